from __future__ import annotations

import time
from pathlib import Path

import pytest
from ingest_checks import assert_verbatim, nothing

from ingest.chunking import chunk
from ingest.parsed import Parsed, UnreadableError
from ingest.readers.html import read

PAGE = """<!doctype html><html lang="ru"><head><meta charset="{charset}"><title>Как выбрать сэмплер</title>
<meta name="author" content="Анна"><meta property="article:published_time" content="2024-05-01">
<link rel="canonical" href="https://example.org/sampler"></head><body>
<nav><a href="/">Главная</a> <a href="/about">О нас</a></nav><script>var secret = 1;</script>
<article><h1>Сэмплеры</h1><p>Сэмплер euler простой и быстрый, хорош для <b>начала</b> работы с моделью.
Подробнее в <a href="https://example.org/guide">руководстве</a>; параметр snake_case_name и 2*3*4.</p>
<h2>Шаги</h2><table><tr><th>Имя</th><th>Шаги</th></tr><tr><td>dpm | x</td><td>30</td></tr></table>
<pre><code>def f():
    return 1

# no heading
</code></pre><ul><li>один пункт<ul><li>вложенный</li></ul></li></ul>
<p>Третий абзац достаточно длинный, чтобы считаться частью основного текста страницы, а не мусором.</p></article>
<footer>Все права защищены</footer></body></html>"""


def page(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "page.html"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def text_of(parsed: Parsed) -> str:
    return "\n".join(parsed.pages[0].lines)


def refused(path: Path) -> tuple[str, str]:
    with pytest.raises(UnreadableError) as caught:
        read(path, check=nothing)
    assert "\n" not in caught.value.message
    return caught.value.status, caught.value.message


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [("utf-8", "utf-8"), ("windows-1251", "cp1251"), ("koi8-r", "koi8-r"), ("windows-1251", "utf-8"), ("", "utf-16")],
)
def test_the_main_text_becomes_markdown(tmp_path: Path, charset: str, encoding: str) -> None:
    parsed = read(page(tmp_path, PAGE.format(charset=charset).encode(encoding)), check=nothing)
    text = text_of(parsed)
    assert text.startswith("# Сэмплеры\n\nСэмплер euler простой и быстрый, хорош для начала работы с моделью.")
    assert "[руководстве](https://example.org/guide); параметр snake_case_name и 2*3*4." in text
    assert "## Шаги\n\n| Имя | Шаги |\n| --- | --- |\n| dpm \\| x | 30 |" in text
    assert "```\ndef f():\n    return 1\n\n# no heading\n```" in text
    assert "- один пункт\n  - вложенный" in text
    assert "secret" not in text and "Главная" not in text
    assert (parsed.kind, parsed.title) == ("html", "Как выбрать сэмплер")
    assert parsed.properties == {
        "author": "Анна",
        "date": "2024-05-01",
        "url": "https://example.org/sampler",
        "language": "ru",
    }
    assert parsed.links == ("https://example.org/guide",)
    chunks = chunk(parsed, check=nothing)
    assert_verbatim(parsed, chunks)
    assert any("Шаги" in one.heading for one in chunks) or len(chunks) == 1


def test_a_page_without_an_article_is_read_whole(tmp_path: Path) -> None:
    items = "".join(f"<li>пункт {number}</li>" for number in range(3))
    parsed = read(page(tmp_path, f"<body><h1>Список</h1><ol start=4>{items}</ol><nav>x</nav></body>"), check=nothing)
    assert parsed.pages[0].lines == ("# Список", "", "4. пункт 0", "5. пункт 1", "6. пункт 2")
    assert parsed.title == "Список"
    assert read(page(tmp_path, "<p>fragment without a title"), check=nothing).title == "page"


def test_xhtml_and_pictures_inside_the_page(tmp_path: Path) -> None:
    path = tmp_path / "a.xhtml"
    picture = f'<img src="data:image/png;base64,{"A" * 9_000_000}" alt="схема"/>'
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?><html><head><title/></head><body><p>Да{picture}</p></body>')
    parsed = read(path, check=nothing)
    assert parsed.pages[0].lines == ("Дасхема",)
    assert parsed.title == "a"


def test_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    markup = '<!DOCTYPE html SYSTEM "http://localhost/x.dtd"><base href="http://localhost/"><img src="x.png">'
    assert read(page(tmp_path, markup + "<p>Some words.</p>"), check=nothing).pages[0].lines == ("Some words.",)


@pytest.mark.parametrize("content", ["", " \n", "<html></html>", "<body><script>x</script></body>", "<!-- x -->"])
def test_a_page_without_text_is_skipped(tmp_path: Path, content: str) -> None:
    assert refused(page(tmp_path, content))[0] == "skipped"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG"),
        (bytes(range(256)) * 20, "not text"),
        ("<div>" * 100_000 + "x", "nested more than"),
        ("<b><div>" * 100_000 + "x", "nested more than"),
        ("<p>" + "word " * 4_000_000, "MB of markup"),
        ("<p>x</p>" * 100_000, "more than 80000 elements"),
        ("<p " + " ".join(f"a{number}=1" for number in range(200_000)) + ">x", "attributes"),
    ],
    ids=["picture", "binary", "deep", "unclosed", "long", "many", "attributes"],
)
def test_pages_that_are_none_get_a_reason_soon(tmp_path: Path, content: str | bytes, reason: str) -> None:
    path = page(tmp_path, content)
    started = time.process_time()
    status, message = refused(path)
    assert (status, reason in message) == ("failed", True)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "content", ["<p>a" + " " * 3_000_000 + "b", "<pre>x" + "\n" * 1_000_000 + "</pre>y"], ids=["spaces", "lines"]
)
def test_white_space_without_end_is_read_soon(tmp_path: Path, content: str) -> None:
    started = time.process_time()
    assert read(page(tmp_path, content), check=nothing).pages[0].nodes
    assert time.process_time() - started < 5


def test_a_page_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = PAGE.format(charset="utf-8").encode()
    for length in range(200, len(whole), 151):
        path = page(tmp_path, whole[:length])
        try:
            parsed = read(path, check=nothing)
        except UnreadableError as error:
            assert error.status == "skipped"
        else:
            assert_verbatim(parsed, chunk(parsed, check=nothing))


def test_the_check_stops_the_reading(tmp_path: Path) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(page(tmp_path, PAGE.format(charset="utf-8")), check=check)

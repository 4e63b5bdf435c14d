"""Some three hundred damaged files of every format at once: each gets its one line, and the good ones
beside them are found.
"""

from __future__ import annotations

import importlib.util
import io
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ingest_pdfs import pdf

from ingest.pipeline import Outcome, ingest
from ingest.readers import EXTENSIONS, READERS
from knowledge.library import Library

FILES = 300
PDFS = 24
STATUSES = {"indexed", "skipped", "failed", "unchanged"}

MARKDOWN = (
    "---\ntitle: Заметка\naliases: [a, b]\n---\n# Head\n\nA [[link|word]] and `code`. ^id\n\n"
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nx = 1\n```\n\n> [!note] callout\n\n- [ ] task\n\t- sub %%comment%%\n"
)
LOGSEQ = (
    "title:: Page\n\n- one\n  id:: 64a1b2c3-0000-0000-0000-000000000001\n\t- two [[Link]] ((64a1b2c3-0000))\n"
    "\t\t- {{embed [[Page]]}}\n\t- ```python\n\t  x = 1\n\t  ```\n- три\n"
)
TRANSCRIPT = "1\n00:00:01,000 --> 00:00:04,000\nHello there.\n\n2\n00:00:05,000 --> 00:00:09,500\nПривет.\n"
HTML = (
    "<!DOCTYPE html><html><head><title>Page</title><style>p{}</style></head><body><h1>Head</h1><p>Text &amp; more"
    " <a href='x'>link</a></p><ul><li>one<li>two</ul><table><tr><td>1</td></tr></table><pre>x</pre></body></html>"
)
CODE = (
    '"""What it does."""\n\nimport os\n\n\nclass A:\n    def run(self) -> int:\n        """Run."""\n        return 1\n'
)
TEXT = "First paragraph of a text.\nIts second line.\n\nВторой абзац текста.\n"


def zipped(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def docx(body: str = "<w:p><w:r><w:t>Words of a document</w:t></w:r></w:p>") -> bytes:
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    package = "http://schemas.openxmlformats.org/package/2006"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    main = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    return zipped(
        {
            "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="xml"'
            f' ContentType="application/xml"/><Override PartName="/word/document.xml" ContentType="{main}"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{office}"'
            ' Target="word/document.xml"/></Relationships>',
            "word/document.xml": f"<w:document {space}><w:body>{body}</w:body></w:document>",
        }
    )


def epub(body: str = "<h1>Chapter</h1><p>Words of a book</p>") -> bytes:
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"'
            ' version="1.0"><rootfiles><rootfile full-path="c.opf" media-type="application/oebps-package+xml"/>'
            "</rootfiles></container>",
            "c.opf": '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata'
            ' xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Book</dc:title></metadata><manifest><item id="a"'
            ' href="a.xhtml" media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine>'
            "</package>",
            "a.xhtml": f'<html xmlns="http://www.w3.org/1999/xhtml"><body>{body}</body></html>',
        }
    )


SAMPLES: dict[str, bytes] = {
    "markdown": MARKDOWN.encode(),
    "logseq": LOGSEQ.encode(),
    "text": TEXT.encode(),
    "code": CODE.encode(),
    "csv": 'name,cost,note\nEuler,1,быстрый\nHeun,2,"two\nlines"\n'.encode(),
    "transcript": TRANSCRIPT.encode(),
    "html": HTML.encode(),
    "docx": docx(),
    "epub": epub(),
    "pdf": pdf([["Some lines of a page", "and another line"], ["The second page has words"]]),
}

Damage = Callable[[bytes, random.Random], bytes]


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(1, len(data))]


def headless(data: bytes, chance: random.Random) -> bytes:
    return data[chance.randrange(1, len(data)) :]


def flipped(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for place in chance.sample(range(len(data)), min(len(data), chance.choice((1, 3, 20)))):
        changed[place] ^= 1 << chance.randrange(8)
    return bytes(changed)


def zeroed(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.randrange(1, 80))
    return data[:start] + bytes(end - start) + data[end:]


def doubled(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.randrange(1, 200))
    return data[:end] + data[start:end] * chance.choice((1, 2, 30)) + data[end:]


def holed(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + data[start + chance.randrange(1, 80) :]


def swapped(data: bytes, chance: random.Random) -> bytes:
    middle = chance.randrange(len(data))
    return data[middle:] + data[:middle]


def noisy(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(8)] + chance.randbytes(chance.randrange(1, 4000))


def marked(data: bytes, chance: random.Random) -> bytes:
    mark = chance.choice((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\xff\xfe\x00\x00", b"\xef\xbb\xbf\xef\xbb\xbf"))
    return mark + data


def empty(data: bytes, chance: random.Random) -> bytes:
    return chance.choice((b"", b"\n\n \n", b"\x00" * 50, b"\xef\xbb\xbf", b"\xff\xfe", b"\x00"))


def other(data: bytes, chance: random.Random) -> bytes:
    """The bytes of another format under this ending."""
    heads = [b"\x89PNG\r\n\x1a\n" + chance.randbytes(200), b"GIF89a" + bytes(40), b"MZ" + bytes(200)]
    return chance.choice([*heads, *(sample for sample in SAMPLES.values() if sample != data)])


def escaped(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + b"\x1b[31m\x1b]0;t\x07\r\r\n\x0c\x85\xe2\x80\xae\xc2\x85" * 3 + data[place:]


DAMAGES: tuple[Damage, ...] = (
    cut,
    headless,
    flipped,
    zeroed,
    doubled,
    holed,
    swapped,
    noisy,
    marked,
    empty,
    other,
    escaped,
)

LONG = "слово word " * 4000
DEEP = 3000
# Well made and unreasonable.
EXTREMES: dict[str, tuple[str, ...]] = {
    "markdown": (
        *("\n".join("\t" * depth + "- item" for depth in range(600)), "> " * DEEP + "deep", "[" * DEEP, "[[" * DEEP),
        *("`" * DEEP + "x", "# " + LONG, LONG, "x" * 50_000, "| " * DEEP + "\n|" + "-|" * DEEP, "$" * DEEP, "*" * DEEP),
        *(
            "---\na: " + "[" * DEEP + "\n---\ntext",
            "---\na: " + "{b: " * DEEP + "\n---\ntext",
            "---\n? [a]\n: b\n---\nc",
        ),
        *('---\ntitle: "\\ud800"\n---\nbroken title', '---\nx: "\\udfff\\0"\n---\nbroken value', "---\nnever closed\n"),
        *("---\nx: 0x" + "f" * 9000 + "\n---\nlarge number", "+++\nx = 0x" + "f" * 9000 + "\n+++\nlarge number"),
        *(
            "---\nx: .inf\ny: .nan\n---\nno number",
            "---\n=: 1\n---\ntext",
            "---\nx: 2024-99-99\n---\ntext",
            "%%" * DEEP,
        ),
        *(
            "\r" * DEEP + "after",
            "a\x00b\x00" * 3,
            "<!--" * DEEP,
            "<div " * DEEP,
            "((" * DEEP,
            "{{" * DEEP,
            "^a\n" * 300,
        ),
    ),
    "logseq": ("\n".join("\t" * depth + "- item" for depth in range(1200)), "- a\n\t- b\n\t- " + "[[" * DEEP),
    "text": (LONG, "x" * 50_000, "a\n\n" * 5000, "\u0301" * DEEP + "a", "\u202e\u200f" * 500),
    "code": ("(" * DEEP, "x = " + "-" * DEEP + "1", "def f(" * 500, "if x:\n" + " " * DEEP + "y", '"' * 1001, LONG),
    "csv": ('"' * DEEP, "," * DEEP, "a,b\n" + '"' + "x\n" * DEEP, "\t;|," * 500, "a" * 200_000, "a,b\n" * 2000),
    "transcript": ("00:00:01,000 --> " * 500, "1\n" * DEEP, "99:99:99,999 --> -1:0:0\n\n\n" * 200, LONG),
    "html": (
        "<div>" * DEEP + "x",
        "<" * DEEP,
        "<table><tr><td>" * 500,
        "&#xD800;&#0;&#x110000; x",
        "<p>" + LONG,
        "&" * DEEP,
    ),
    "docx": (),
    "epub": (),
    "pdf": (),
}


def formats() -> dict[str, list[str]]:
    """kind -> endings, of the kinds whose reader is there."""
    found: dict[str, list[str]] = {}
    for ending, kind in EXTENSIONS.items():
        if importlib.util.find_spec(READERS[kind].split(":")[0]) is not None:
            found.setdefault(kind, []).append(ending)
    found["logseq"] = [".md"]
    return found


def damaged(endings: dict[str, list[str]]) -> Iterator[tuple[str, bytes]]:
    """(file name, bytes), always the same ones."""
    chance = random.Random(7)
    number = 0
    for kind, samples in EXTREMES.items():
        for text in samples if kind in endings else ():
            number += 1
            yield f"{number:03}-extreme{chance.choice(endings[kind])}", text.encode("utf-8", "surrogatepass")
    if "docx" in endings:
        number += 1
        yield f"{number:03}-deep.docx", docx("<w:p>" * DEEP + "</w:p>" * DEEP)
    if "epub" in endings:
        number += 1
        yield f"{number:03}-deep.epub", epub("<div>" * DEEP + "x" + "</div>" * DEEP)
    pdfs = 0
    while number < FILES:
        for kind in sorted(endings):
            for damage in chance.sample(DAMAGES, 4):
                if kind == "pdf" and (pdfs := pdfs + 1) > PDFS:
                    continue
                number += 1
                data = damage(SAMPLES[kind], chance)
                yield f"{number:03}-{damage.__name__}{chance.choice(endings[kind])}", data


def good(endings: dict[str, list[str]]) -> Iterator[tuple[str, bytes, str]]:
    """(file name, bytes, a word to find it by)."""
    for number, kind in enumerate(sorted(endings)):
        word = f"qx{'abcdefghijklmnop'[number]}zorn"
        if kind == "pdf":
            data = pdf([[f"A page about {word} and more words"]])
        elif kind == "docx":
            data = docx(f"<w:p><w:r><w:t>A document about {word}</w:t></w:r></w:p>")
        elif kind == "epub":
            data = epub(f"<p>A book about {word}</p>")
        elif kind == "transcript":
            data = TRANSCRIPT.replace("Hello", word).encode()
        elif kind == "html":
            data = HTML.replace("Text", word).encode()
        elif kind == "csv":
            data = f"name,cost\n{word},1\n".encode()
        else:
            sample = {
                "logseq": LOGSEQ.replace("три", word),
                "markdown": f"# Head\n\nAbout {word}.",
                "code": f"{word} = 1\n",
            }
            data = sample.get(kind, f"About {word}.").encode()
        yield f"{'good' if number % 2 else 'a-good'}-{kind}{endings[kind][0]}", data, word


def test_damaged_files_each_have_a_status_and_harm_no_other(library: Library, notes: Path) -> None:
    endings = formats()
    (notes / "vault" / ".obsidian").mkdir(parents=True)
    names = []
    for number, (name, data) in enumerate(damaged(endings)):
        folder = notes / "vault" if name.endswith(".md") and number % 2 else notes
        (folder / name).write_bytes(data)
        names.append(str(folder / name))
    words = {}
    for name, data, word in good(endings):
        (notes / name).write_bytes(data)
        words[word] = str(notes / name)

    outcomes = {outcome.path: outcome for outcome in ingest([notes], library)}
    assert FILES <= len(names) < FILES + 60
    assert set(outcomes) == {*names, *words.values()}
    for outcome in outcomes.values():
        assert outcome.status in STATUSES, outcome
        if outcome.status in ("skipped", "failed"):
            assert 0 < len(outcome.reason) < 200, outcome
            assert len(outcome.reason.splitlines()) == 1, outcome
            assert "Traceback" not in outcome.reason
            assert outcome.chunks == 0
        else:
            assert outcome.chunks > 0, outcome
    assert {"indexed", "skipped", "failed"} <= {outcome.status for outcome in outcomes.values()}

    for word, path in words.items():
        assert outcomes[path].status == "indexed", outcomes[path]
        assert library.search(word)[0].path == path
    health = library.health()
    assert health["vectors"] == health["chunks"]
    assert not any("damaged" in problem for problem in health["problems"])

    before, version = library.documents(), library.version()
    again = {outcome.path: outcome for outcome in ingest([notes], library)}
    assert {path: again_as(outcome) for path, outcome in outcomes.items()} == {
        path: (outcome.status, outcome.reason, outcome.chunks) for path, outcome in again.items()
    }
    assert (library.documents(), library.version()) == (before, version)


def again_as(outcome: Outcome) -> tuple[str, str, int]:
    """What a file that did not change is at the next ingest."""
    status = "unchanged" if outcome.status == "indexed" else outcome.status
    return status, outcome.reason, outcome.chunks

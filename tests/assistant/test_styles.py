"""Styles read, written, laid over a prompt and taken off again, as A1111 does it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.errors import BadArgument, one_line
from assistant.styles import Style, apply, named, read, remove, write

BOM = b"\xef\xbb\xbf"
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
names = texts.filter(lambda name: name.strip() != "" and not name.startswith("#"))
styles = st.builds(Style, names, texts, texts)


def test_a_file_of_a1111_is_read(tmp_path: Path) -> None:
    path = tmp_path / "styles.csv"
    path.write_bytes(
        BOM + b'name,prompt,negative_prompt\r\nFilm,"film still of {prompt}, 35mm","drawing, ""cgi"""\r\n'
        b'#a remark, with, too, many cells\r\n\r\nTwo lines,"one\r\ntwo",\r\nSoft,soft light, hard light\r\n'
    )
    assert read(path) == [
        Style("Film", "film still of {prompt}, 35mm", 'drawing, "cgi"'),
        Style("Two lines", "one\r\ntwo", ""),
        Style("Soft", "soft light", "hard light"),
    ]


def test_it_is_written_as_a1111_writes_it(tmp_path: Path) -> None:
    path = write(tmp_path / "deep" / "styles.csv", [Style("a", "x, {prompt}", 'say "no"'), Style("ü", " lead", "")])
    assert path.read_bytes() == (
        BOM + 'name,prompt,negative_prompt\r\na,"x, {prompt}","say ""no"""\r\nü," lead",\r\n'.encode()
    )
    assert [one.name for one in path.parent.iterdir()] == ["styles.csv"]
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, skipinitialspace=True))
    assert rows[1] == {"name": "ü", "prompt": " lead", "negative_prompt": ""}


def test_old_columns_sloppy_quotes_and_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "styles.csv"
    path.write_text('name,text\nold,"soft" light\n')
    assert read(path) == [Style("old", "soft light")]
    path.write_text("")
    assert read(path) == []


def test_the_later_of_two_with_one_name_counts(tmp_path: Path) -> None:
    path = tmp_path / "styles.csv"
    path.write_text("name,prompt,negative_prompt\na,1,\nb,2,\na,3,\n")
    assert read(path) == [Style("a", "3"), Style("b", "2")]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("s.csv", b"name,prompt,negative_prompt\na,1,\nb,x, y, z,w\n", "line 3: 5 cells for 3 columns"),
        ("s.csv", b'name,prompt,negative_prompt\na,1,\nb,"never\nclosed\n', "line 3: a quote is opened"),
        ("s.csv", b"a,1,2\n", "line 1: the columns name,prompt,negative_prompt are missing"),
        ("s.csv", b"name,prompt,negative_prompt\n,x,\n", "line 2: a style without a name"),
        ("s.csv", b"name,prompt,negative_prompt\na,\xff,\n", "line 2: this is not UTF-8"),
        ("s.json", b'[\n{"name": "a"},\n{"nom": "b"}\n]', "line 3: style 2 lacks a name"),
        ("s.json", b'[\n{"name": "a",}]', "line 2: "),
        ("s.json", b'{"name": "a"}', "line 1: this is no list"),
        ("s.json", b'[{"name": "a"},\n\n3]', "line 3: style 2"),
    ],
)
def test_a_broken_file_is_one_line_with_the_place(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(BadArgument) as caught:
        read(path)
    assert says in caught.value.message and str(path) in caught.value.message
    assert "\n" not in one_line(caught.value)


def test_files_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="there is no file"):
        read(tmp_path / "none.csv")
    with pytest.raises(BadArgument, match="cannot be read"):
        read(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadArgument, match="cannot be written"):
        write(tmp_path / "file" / "styles.csv", [Style("a")])
    for name in ("", "#a"):
        with pytest.raises(BadArgument, match="cannot name a style"):
            write(tmp_path / "s.csv", [Style(name, "x")])
    with pytest.raises(BadArgument, match="half of a character"):
        write(tmp_path / "s.csv", [Style("a", "\ud800")])
    assert not (tmp_path / "s.csv").exists()


def test_what_stood_there_outlives_a_failed_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "s.csv", [Style("a", "1")])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("assistant.writing.os.fsync", full)
    with pytest.raises(BadArgument, match="No space left"):
        write(path, [Style("b", "2")])
    assert read(path) == [Style("a", "1")] and len(list(tmp_path.iterdir())) == 1


def test_a_link_stays_one(tmp_path: Path) -> None:
    real = write(tmp_path / "real.csv", [])
    link = tmp_path / "styles.csv"
    link.symlink_to(real)
    write(link, [Style("a", "1")])
    assert link.is_symlink() and read(real) == [Style("a", "1")]


@given(st.lists(styles, max_size=5, unique_by=lambda style: style.name))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, kept: list[Style]) -> None:
    folder = tmp_path_factory.getbasetemp()
    assert read(write(folder / "round.csv", kept)) == kept
    assert read(write(folder / "round.json", kept)) == kept


def test_the_json_of_fooocus(tmp_path: Path) -> None:
    path = tmp_path / "sdxl_styles.json"
    path.write_text(json.dumps([{"name": "mre", "prompt": "art of {prompt}"}, {"name": "n", "negative_prompt": "x"}]))
    assert read(path) == [Style("mre", "art of {prompt}"), Style("n", "", "x")]


def test_styles_are_applied_in_order() -> None:
    film, soft = Style("film", "film still of {prompt}, 35mm", "cgi"), Style("soft", "soft light")
    assert apply("a cat", "", [film, soft]) == ("film still of a cat, 35mm, soft light", "cgi")
    assert apply("a cat", "bad", [soft, film]) == ("film still of a cat, soft light, 35mm", "bad, cgi")
    assert apply("", "", [soft]) == ("soft light", "")
    assert [one.name for one in named([film, soft], ["soft", "film"])] == ["soft", "film"]
    with pytest.raises(BadArgument, match='no style "sofd"') as caught:
        named([film, soft], ["sofd"])
    assert "soft" in caught.value.hint


def test_a_style_that_is_not_there_stays() -> None:
    film, soft = Style("film", "film still of {prompt}, 35mm", "cgi"), Style("soft", "soft light")
    assert remove("a cat, soft  light", "", [film, soft]) == ("a cat", "", [soft])
    # Both of its texts must be there.
    assert remove("film still of a cat, 35mm", "", [film]) == ("film still of a cat, 35mm", "", [])
    assert remove("a cat", "", [Style("nothing")]) == ("a cat", "", [])


pieces = st.text("ab, ", max_size=6)
laid = st.one_of(pieces, st.builds("{}{{prompt}}{}".format, pieces, pieces), st.just("{prompt} and {prompt}"))


@given(
    st.text("abc ,", max_size=12).map(str.strip), st.text("abc ,", max_size=12).map(str.strip),
    st.lists(st.builds(Style, st.just("s"), laid, laid), max_size=3),
)  # fmt: skip
def test_what_was_applied_comes_off(prompt: str, negative: str, over: list[Style]) -> None:
    result = apply(prompt, negative, over)
    one, other, gone = remove(*result, over)
    # Runs of blanks may differ, as `remove` says; everything that was taken off goes on again.
    assert [part.split() for part in apply(one, other, gone)] == [part.split() for part in result]


@given(st.text(max_size=30), st.sampled_from(["x {prompt} y", "{prompt}", "{prompt}/{prompt}", "a, {prompt}"]))
def test_a_placeholder_gives_the_prompt_back_exactly(prompt: str, style: str) -> None:
    over = Style("s", style, "bad")
    assert remove(*apply(prompt, "", [over]), [over]) == (prompt, "", [over])

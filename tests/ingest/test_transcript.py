from __future__ import annotations

from pathlib import Path

import pytest
from ingest_checks import assert_verbatim, nothing

from ingest.chunking import chunk
from ingest.parsed import Parsed, UnreadableError
from ingest.readers.transcript import read, spoken

SRT = """1
00:00:01,000 --> 00:00:03,500
{\\an8}<i>Привет</i>, это урок
о сэмплерах.

2
00:00:04,000 --> 00:00:06,000
Сэмплер euler простой.
"""
VTT = """WEBVTT - Урок первый
Kind: captions
Language: ru

NOTE
not said --> at all

STYLE
::cue { color: red }

intro
00:01.000 --> 00:04.000 align:start position:0%
<v Анна>Начнём с <c.yellow>модели</c>.</v>

00:04.000 --> 01:00:06.500
<v.loud Борис Б.>Tom &amp; Jerry &lt;3<00:00:05.000>
"""


def heard(tmp_path: Path, content: str | bytes, name: str = "talk.srt") -> Parsed:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    parsed = read(path, check=nothing)
    assert_verbatim(parsed, chunk(parsed, check=nothing))
    return parsed


def said(parsed: Parsed) -> list[str | None]:
    return [cue.search for group in parsed.pages[0].nodes for cue in group.children]


def srt(cues: int, words: str = "слово за словом идёт рассказ", step: int = 30) -> str:
    def at(seconds: int) -> str:
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02},000"

    return "\n".join(
        f"{number + 1}\n{at(step * number)} --> {at(step * number + 2)}\n{words} {number}\n" for number in range(cues)
    )


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_srt(tmp_path: Path, ending: str) -> None:
    parsed = heard(tmp_path, SRT.replace("\n", ending))
    assert said(parsed) == ["Привет, это урок о сэмплерах.", "Сэмплер euler простой."]
    (group,) = parsed.pages[0].nodes
    assert [(cue.line_start, cue.line_end) for cue in group.children] == [(1, 4), (6, 8)]
    assert (group.label, group.search) == ("00:00:01", "")
    assert (parsed.kind, parsed.title, parsed.properties) == ("transcript", "talk", {"duration": "00:00:06"})
    (only,) = chunk(parsed, check=nothing)
    assert only.heading == "talk > 00:00:01"
    assert only.search_text == "Привет, это урок о сэмплерах.\nСэмплер euler простой."


def test_vtt(tmp_path: Path) -> None:
    parsed = heard(tmp_path, VTT, "talk.vtt")
    assert said(parsed) == ["Анна: Начнём с модели.", "Борис Б.: Tom & Jerry <3"]
    assert parsed.title == "Урок первый"
    assert parsed.properties == {"duration": "01:00:06", "language": "ru"}


def test_groups_are_named_by_their_time(tmp_path: Path) -> None:
    parsed = heard(tmp_path, srt(100))
    groups = parsed.pages[0].nodes
    assert [group.label for group in groups[:3]] == ["00:00:00", "00:05:00", "00:10:00"]
    assert all(60 <= sum(len(str(cue.search).split()) for cue in group.children) < 125 for group in groups)
    chunks = chunk(parsed, check=nothing)
    assert all(one.heading.startswith("talk > 00:") for one in chunks)
    assert all("-->" in one.text and "-->" not in one.search_text for one in chunks)


def test_rolling_captions_are_indexed_once(tmp_path: Path) -> None:
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\nfirst line\n\n00:02.000 --> 00:03.000\nfirst line\nsecond line\n"
    assert said(heard(tmp_path, text, "a.vtt")) == ["first line", "second line"]


def test_a_blank_line_inside_a_cue(tmp_path: Path) -> None:
    parsed = heard(tmp_path, "1\n00:00:01,0 --> 00:00:02,0\none\n\ntwo\n\n2\n\n3\n00:00:03,0 --> 00:00:04,0\nthree\n")
    assert said(parsed) == ["one two", "three"]


def test_cues_without_blank_lines_between_them(tmp_path: Path) -> None:
    parsed = heard(tmp_path, "1\n00:00:01,0 --> 00:00:02,0\none\n2\n00:00:03,0 --> 00:00:04,0\n\ntwo\n")
    assert said(parsed) == ["one", "two"]
    parsed = heard(tmp_path, "00:00:01,0 --> 00:00:02,0\none\n00:00:03,0 --> 00:00:04,0\ntwo\n")
    assert said(parsed) == ["one", "two"]


def test_marks_are_no_words() -> None:
    assert spoken("<b>A</b> {\\an8}<font color='red'>b</font> <c.x>c</c> 2 < 3 > 1") == "A b c 2 < 3 > 1"
    assert spoken("[музыка] ИВАН: да") == "[музыка] ИВАН: да"


def test_encodings(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        assert said(heard(tmp_path, SRT.encode(encoding)))[1] == "Сэмплер euler простой."


@pytest.mark.parametrize(
    "content", ["", "\n", "WEBVTT\n\nNOTE nothing\n", "just words\n", "1\n00:00:01,000 --> 00:00:02,000\n\n"]
)
def test_no_subtitles_is_skipped(tmp_path: Path, content: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        heard(tmp_path, content)
    assert caught.value.status == "skipped"


def test_damage_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    for text in (SRT, VTT):
        for length in range(80, len(text), 7):
            try:
                assert heard(tmp_path, text[:length]).pages
            except UnreadableError as error:
                assert error.status == "skipped"
    with pytest.raises(UnreadableError, match="not text"):
        heard(tmp_path, bytes(range(256)) * 9)

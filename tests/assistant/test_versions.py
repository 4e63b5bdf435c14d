"""Former versions of a draft: kept through kills, found again, compared."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from assistant import versions
from assistant.versions import Versions, changes, side_by_side


def test_versions_come_back_newest_first_and_are_found_by_words(tmp_path: Path) -> None:
    kept = Versions(tmp_path / "state" / "prompts.jsonl")
    assert kept.list() == []
    kept.add("a cat", "blur", "rendered")
    kept.add("ein Hund,\nrot", "", "expanded")
    assert [(v.prompt, v.negative, v.why) for v in kept.list()] == [
        ("ein Hund,\nrot", "", "expanded"), ("a cat", "blur", "rendered"),
    ]  # fmt: skip
    assert [v.prompt for v in kept.list("CAT blur")] == ["a cat"]


def test_the_same_text_again_and_nothing_are_not_remembered(tmp_path: Path) -> None:
    kept = Versions(tmp_path / "v.jsonl")
    assert kept.add(" ", "", "rendered") is None
    assert kept.add("a", "", "rendered") is not None
    assert kept.add("a", "", "kept") is None
    assert kept.add("a", "b", "kept") is not None
    assert len(kept.list()) == 2


def test_a_line_cut_short_loses_itself_alone(tmp_path: Path) -> None:
    kept = Versions(tmp_path / "v.jsonl")
    for text in ("one", "two", "three"):
        kept.add(text, "", "rendered")
    whole = kept.path.read_bytes()
    for cut in range(1, len(whole)):
        kept.path.write_bytes(whole[:cut])
        before = [v.prompt for v in kept.list()]
        kept.add("four", "", "rendered")
        assert [v.prompt for v in kept.list()] == ["four", *before]
        assert before == ["three", "two", "one"][3 - len(before) :]


def test_the_oldest_go_in_one_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "MOST", 8)
    kept = Versions(tmp_path / "v.jsonl")
    for number in range(11):
        kept.add(f"text {number}", "", "rendered")
    assert [v.prompt for v in kept.list()] == [f"text {n}" for n in range(10, 2, -1)]


def test_changes_put_together_are_the_texts() -> None:
    draw = random.Random(1)
    for _ in range(300):
        old, new = (" ".join(draw.choices(["cat", "dog,", "(red:1.2)", "\n", ","], k=draw.randrange(9))) for _ in "ab")
        both = changes(old, new)
        assert ("".join(c.old for c in both), "".join(c.new for c in both)) == (old, new)
        left, right = side_by_side(old, new)
        assert ("".join(t for t, _ in left), "".join(t for t, _ in right)) == (old, new)


def test_only_what_differs_is_marked() -> None:
    left, right = side_by_side("a red cat, hat", "a blue cat, hat, rain")
    assert left == [("a ", False), ("red", True), (" cat, hat", False)]
    assert right == [("a ", False), ("blue", True), (" cat, hat", False), (", rain", True)]

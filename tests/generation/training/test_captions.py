"""What a training reads of a caption, in sd-scripts' order; and what lies beside a picture."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from generation.errors import BadSpec
from generation.training.captions import CaptionRules, beside, chosen, drawn, split


def read(caption: str, rules: CaptionRules, seed: int = 0, step: int = 0, epoch: int = 1) -> str:
    return drawn(caption, rules, random.Random(seed), step=step, epoch=epoch)


def test_without_rules_a_caption_stays_as_it_is() -> None:
    assert read("a  cat ,sitting", CaptionRules()) == "a  cat ,sitting"


def test_prefix_and_suffix_come_before_dropout_and_count_as_tags() -> None:
    rules = CaptionRules(prefix="ohwx,", suffix=", photo")
    assert read("a cat", rules) == "ohwx, a cat , photo"
    kept = CaptionRules(prefix="ohwx,", shuffle=True, keep_tokens=1)
    assert all(read("a, b, c, d", kept, seed).startswith("ohwx, ") for seed in range(20))
    assert read("a cat", CaptionRules(prefix="ohwx", dropout=1)) == ""


def test_dropout_of_captions_is_a_share() -> None:
    rules = CaptionRules(dropout=0.3)
    rng = random.Random(1)
    empty = sum(drawn("a cat", rules, rng, step=0, epoch=1) == "" for _ in range(2000))
    assert 0.26 < empty / 2000 < 0.34


def test_every_third_epoch_from_the_first_has_no_captions() -> None:
    rules = CaptionRules(dropout_every_epochs=3)
    assert [bool(read("a cat", rules, epoch=epoch)) for epoch in range(7)] == [
        False,
        True,
        True,
        False,
        True,
        True,
        False,
    ]


def test_wildcards_are_drawn_evenly_and_doubled_braces_stay() -> None:
    found = {read("a {red|blue} {cat|}", CaptionRules(), seed) for seed in range(60)}
    assert found == {"a red cat", "a blue cat", "a red", "a blue"}
    assert chosen("{{a|b}} {x} {|}", random.Random(0)) == "{a|b} {x} "


def test_wildcards_come_before_tags_are_split() -> None:
    """A choice may hold several tags, which are then shuffled like others."""
    rules = CaptionRules(shuffle=True)
    found = {tuple(split(read("{a, b|c, d}, e", rules, seed))) for seed in range(300)}
    assert {frozenset(tags) for tags in found} == {frozenset("abe"), frozenset("cde")}
    assert len(found) == 12


def test_shuffle_keeps_the_first_and_loses_none() -> None:
    rules = CaptionRules(shuffle=True, keep_tokens=2)
    found = [split(read("a, b, c, d, e", rules, seed)) for seed in range(40)]
    assert all(tags[:2] == ["a", "b"] and sorted(tags) == list("abcde") for tags in found)
    assert len({tuple(tags) for tags in found}) == 6


def test_tags_drop_out_but_kept_ones_do_not() -> None:
    rules = CaptionRules(tag_dropout=0.5, keep_tokens=1)
    found = [split(read("a, b, c, d", rules, seed)) for seed in range(500)]
    assert all(tags[0] == "a" for tags in found)
    share = sum(len(tags) - 1 for tags in found) / 1500
    assert 0.45 < share < 0.55
    assert read("a, b", CaptionRules(tag_dropout=1)) == ""


def test_tags_warm_up_over_the_steps() -> None:
    rules = CaptionRules(warmup_min=1, warmup_steps=10, keep_tokens=1)
    tags = "k, a, b, c, d, e"
    assert [len(split(read(tags, rules, step=step))) - 1 for step in (0, 2, 3, 5, 9, 10, 50)] == [1, 1, 2, 3, 4, 5, 5]
    assert read("k, a", rules, step=0) == "k, a"


def test_warm_up_takes_the_first_tags_before_they_are_shuffled() -> None:
    rules = CaptionRules(warmup_min=2, warmup_steps=10, shuffle=True)
    assert {frozenset(split(read("a, b, c, d", rules, seed))) for seed in range(20)} == {frozenset("ab")}


def test_another_separator() -> None:
    rules = CaptionRules(separator="|||", shuffle=True, keep_tokens=3)
    assert read("a, b||| c |||d", rules) == "a, b||| c||| d"


@pytest.mark.parametrize(
    "wrong", [{"dropout": 1.5}, {"tag_dropout": -0.1}, {"keep_tokens": -1}, {"separator": " "}, {"warmup_steps": -1}]
)
def test_rules_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(BadSpec) as told:
        CaptionRules(**wrong)  # type: ignore[arg-type]
    assert told.value.hint


def test_same_seed_same_words() -> None:
    rules = CaptionRules(shuffle=True, tag_dropout=0.3, dropout=0.2)
    assert [read("a, b, c, d", rules, seed) for seed in range(9)] == [
        read("a, b, c, d", rules, seed) for seed in range(9)
    ]


def test_caption_beside_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "one.two.png"
    assert beside(picture) == ("", "")
    (tmp_path / "one.two.caption").write_text("from caption")
    assert beside(picture) == ("from caption", "")
    (tmp_path / "one.two.txt").write_text("  \n")
    assert beside(picture) == ("from caption", "")
    (tmp_path / "one.two.txt").write_text("first,\n second\t\n")
    assert beside(picture) == ("first, second", "")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\xfe\xff", "no text"),
        (b"a\0b", "no text"),
        (b"\xe9t\xe9", "UTF-8"),
        (b"", "empty"),
        (b"x" * 100_001, "larger"),
    ],
)
def test_damaged_captions_are_told(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    caption, wrong = beside(tmp_path / "a.png")
    assert caption == "" and said in wrong and "a.txt" in wrong and "\n" not in wrong


def test_captions_of_other_encodings(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("кот".encode("utf-16"))
    assert beside(tmp_path / "a.png") == ("кот", "")
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfcat")
    assert beside(tmp_path / "a.png") == ("cat", "")

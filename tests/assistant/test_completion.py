"""What is proposed at a place of a prompt, and which names nobody has."""

from __future__ import annotations

import random

import pytest

from assistant.completion import MOST, Names, complete, unknown
from generation.catalogue import ModelEntry
from generation.specs import ModelDefaults


def entry(name: str, kind: str, family: str = "sd15") -> ModelEntry:
    return ModelEntry(name, f"/models/{kind}/{name}.safetensors", kind, family, 1, ModelDefaults())


NAMES = Names(
    networks=[entry("blue_alien_v2", "lora"), entry("film-grain", "lora", "sdxl"), entry("oldhyper", "hypernetwork")],
    embeddings=[entry("EasyNegative", "embedding"), entry("bad-hands-5", "embedding")],
    wildcards=["colours", "art/painters", "animals"],
    styles=["Cinematic", "Line art", "Анимация"],
    phrases={"golden hour": "vocabulary", "golden light": "your prompts", "low angle": "vocabulary"},
)


def accepted(text: str, number: int = 0) -> str:
    """The text after the proposal of that number is taken at `|`."""
    place = text.index("|")
    plain = text.replace("|", "")
    found = complete(plain, place, NAMES)
    return plain[: found.start] + found.items[number].insert + plain[found.end :]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a cat <lora:bl|", "a cat <lora:blue_alien_v2:1>"),
        ("a cat <lora:bl|:0.7>, hat", "a cat <lora:blue_alien_v2:0.7>, hat"),
        ("a cat <lora:bl|>", "a cat <lora:blue_alien_v2>"),
        ("<lora:grain|", "<lora:film-grain:1>"),
        ("<lyco:fi|", "<lyco:film-grain:1>"),
        ("<hypernet:|", "<hypernet:oldhyper:1>"),
        ("<old|", "<hypernet:oldhyper:1>"),
        ("__col|", "__colours__"),
        ("__col|__ cat", "__colours__ cat"),
        ("__paint|", "__art/painters__"),
        ("cat, @line|", "cat, Line art"),
        ("@аним|", "Анимация"),
        ("embedding:easy|", "EasyNegative"),
        ("ugly, easyn|", "ugly, EasyNegative"),
        ("cat, golden h|", "cat, golden hour"),
        ("a cat in golden l|, hat", "a cat in golden light, hat"),
        ("(low a|:1.2)", "(low angle:1.2)"),
    ],
)
def test_the_first_proposal(before: str, after: str) -> None:
    assert accepted(before) == after


@pytest.mark.parametrize(
    "text", ["", "a|", "cat, |", "go|lden", "<lora:nothing like it|", "user@host|", "golden hour|", "<lora:x:0.5>|"]
)
def test_nothing_is_proposed(text: str) -> None:
    assert complete(text.replace("|", ""), text.find("|") if "|" in text else 0, NAMES).items == ()


def test_a_network_says_its_family_and_the_wrong_kind_is_not_proposed() -> None:
    found = complete("<lora:", 6, NAMES)
    assert [(item.shown, item.note) for item in found.items] == [("blue_alien_v2", "sd15"), ("film-grain", "sdxl")]
    assert {item.kind for item in complete("<", 1, NAMES).items} == {"lora", "hypernetwork"}


def test_the_list_is_bounded_and_the_nearest_stand_first() -> None:
    many = Names(wildcards=[f"xa{n}" for n in range(50)] + ["a", "the-a", "ba"])
    items = complete("__a", 3, many).items
    assert len(items) == MOST
    assert [item.shown for item in items[:3]] == ["a", "the-a", "ba"]


def test_unknown_names_are_told_with_the_nearest() -> None:
    def said(text: str) -> list[str]:
        return [warning.message for warning in unknown(text, NAMES)]

    assert said("cat <lora:blue_alien:0.8> <lora:Blue_Alien_V2:1> <lora:lora/film-grain:1>") == [
        "there is no lora “blue_alien”; did you mean blue_alien_v2?"
    ]
    assert said("<lora:zzzz:1>") == ["there is no lora “zzzz”"]
    assert said("<hypernet:blue_alien_v2:1>") == ["there is no hypernet “blue_alien_v2”"]
    assert said("<embeding:x> hello") == []
    assert said("easynegatve, bad-hands-5") == ["“easynegatve”: did you mean EasyNegative?"]
    assert said("embedding:badhands") == ["there is no embedding “badhands”; did you mean bad-hands-5?"]
    text = "cat <lora:blue_alien:0.8>"
    assert [(w.start, w.end) for w in unknown(text, NAMES)] == [(4, len(text))]


def test_any_text_at_any_place_gives_a_range_around_it() -> None:
    draw = random.Random(3)
    for _ in range(3000):
        text = "".join(draw.choices("<>lora:_@ag, ()embedding.\n", k=draw.randrange(30)))
        place = draw.randint(0, len(text))
        found = complete(text, place, NAMES)
        if found.items:
            assert 0 <= found.start <= place <= found.end <= len(text)
        unknown(text, NAMES)

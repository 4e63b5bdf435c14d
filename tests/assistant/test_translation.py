"""Ideas in Russian: by a large model under verification, else word by word, else left alone and said so."""

from __future__ import annotations

import pytest
from assistant_checks import Fake

from assistant.drafting import expand
from assistant.drafting.translation import faithful, foreign, translate

LARGE = 8_000_000_000


def test_what_is_foreign() -> None:
    assert foreign("кот") and foreign("a кот") and foreign("猫") and foreign("γάτα")
    assert not foreign("café, naïve, 3, (x:1.2)") and not foreign("a cat <lora:кот:1>") and not foreign("")


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("рыжий кот на окне", "ginger cat on window"),
        ("две кошки и три собаки", "two cats and three dogs"),
        ("5 яблок на деревянном столе", "5 apples on wooden table"),
        ("портрет старого рыбака", "portrait of old fisherman"),
        ("(синий:1.3) дракон, <lora:кот:1>, закат", "(blue:1.3) dragon, <lora:кот:1>, sunset"),
        ("[кот:собака:0.5] в лесу AND ночной город :0.5", "[cat:dog:0.5] in forest AND night city :0.5"),
        ("замок BREAK мягкий свет, oil painting", "castle BREAK soft light, oil painting"),
        ("Ёжик в тумане", "hedgehog in fog"),
        ("горы с озерами", "mountain with lakes"),
    ],
)
def test_word_by_word_where_every_word_is_known(text: str, english: str) -> None:
    for model in (None, Fake("nonsense")):
        found = translate(text, model)
        assert (found.text, found.how, found.unknown) == (english, "words", ())
        assert "word by word" in found.note


def test_one_unknown_word_and_the_text_stays() -> None:
    found = translate("рыжая куздра в лесу", Fake("x"))
    assert (found.text, found.how, found.unknown) == ("рыжая куздра в лесу", "none", ("куздра",))
    assert "fake cannot translate this" in found.note and "куздра" in found.note
    assert "Without a language model" in translate("куздра", None).note


def test_a_large_model_translates_and_is_verified() -> None:
    text = "старая (куздра:1.2) и 2 кота, <lora:кот:0.8>"
    good = "an old (beast:1.2) and 2 cats, <lora:кот:0.8>"
    for size in (LARGE, 0):  # a server does not say its size
        assert translate(text, Fake(f'"{good}"\n', size)).text == good
    for bad in (
        "an old beast and 2 cats, <lora:кот:0.8>", "an old (beast:1.3) and 2 cats, <lora:кот:0.8>",
        "an old (beast:1.2) and cats, <lora:кот:0.8>", "an old (beast:1.2) and 2 cats", "старая (куздра:1.2)", "",
        "an old (beast:1.2) and 2 cats, <lora:кот:0.8>\nThis means:", good + ", x" * 200,
        "an old (beast:1.2) AND 2 cats, <lora:кот:0.8>",
    ):  # fmt: skip
        assert not faithful(text, bad), bad
        assert translate(text, Fake(bad, LARGE)).how in {"none", "model"}
        assert translate(text, Fake(bad, LARGE)).text != bad


def test_a_large_model_that_spoils_the_syntax_is_asked_for_the_words_alone() -> None:
    said = {"старая": "old", "куздра": "beast", "ночь": "night"}
    model = Fake(lambda told: said.get(told.rsplit("\n", 1)[-1], "an old beast at night"), LARGE)
    assert translate("старая (куздра:1.2), ночь", model).text == "old (beast:1.2), night"


def test_latin_letters_are_left_alone_unless_asked_for() -> None:
    model = Fake("a black cat", LARGE)
    assert translate("un chat noir", model).text == "un chat noir" and model.told == []
    assert translate("un chat noir", model, always=True).text == "a black cat"
    assert translate("un chat noir", Fake("x"), always=True).how == "same"
    kept = translate("un chat noir :1.2", Fake("the black cat", LARGE), always=True)
    assert (kept.text, kept.how) == ("un chat noir :1.2", "none") and kept.note


def test_a_draft_of_a_russian_idea_shows_both() -> None:
    draft = expand("рыжий кот на окне", None, strength=1)
    assert draft.idea == "рыжий кот на окне" and draft.translated == "ginger cat on window"
    assert draft.prompt.startswith("ginger cat on window, ") and "word by word" in draft.notes[0]
    stays = expand("рыжая куздра", None, strength=1)
    assert stays.prompt.startswith("рыжая куздра, ") and stays.translated == "" and "куздра" in stays.notes[0]

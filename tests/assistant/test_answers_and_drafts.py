"""Answers and drafts with models that say what a small model says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from assistant.answering import REFUSAL, answer
from assistant.claims import Source, supported
from assistant.drafting import expand
from assistant.drafting.vocabulary import phrases_of
from assistant.llm import Message
from assistant.memory import remember_render
from assistant.paths import Paths
from generation.prompts.chunks import chunk
from generation.prompts.tokens import ClipTokenizer
from knowledge.records import Evidence, Passage, Quote


class Said:
    """A language model that always says the same."""

    name, context = "said", 2048

    def __init__(self, text: str, parameters: int = 135_000_000) -> None:
        self.text, self.parameters = text, parameters
        self.asked: list[Sequence[Message]] = []

    def stream(self, messages: Sequence[Message], **options: Any) -> Iterator[str]:
        self.asked.append(messages)
        yield self.text

    def count(self, text: str) -> int:
        return len(text) // 4


def passage(text: str, path: str = "/n.md", heading: str = "Notes", number: int = 1) -> Passage:
    return Passage(number, path, "Notes", heading, 1, 1, None, 0.9, text, {})


def evidence(question: str, *texts: str, refused: bool = False) -> Evidence:
    passages = tuple(passage(text, number=n) for n, text in enumerate(texts, 1))
    quotes = tuple(Quote(n, p, p.text, 1, 1, 0.9) for n, p in enumerate(passages, 1))
    return Evidence(question, () if refused else quotes, passages, 0.9, refused)


def sources(found: Evidence) -> list[Source]:
    return [Source(quote.n, quote.passage.heading, quote.text) for quote in found.quotes]


NOTE = "Nitrosocke trains with 100 steps for each picture, so 10 pictures need 1000 steps."


def test_an_answer_without_a_model_is_its_quotes() -> None:
    got = answer(evidence("How many steps?", NOTE), None)
    assert got.text == f"“{NOTE}” [1]"
    assert [c.quote for c in got.citations] == [NOTE]
    assert got.model == "extractive"


def test_a_refusal_never_asks_the_model_and_offers_the_nearest() -> None:
    model = Said("Ulaanbaatar.")
    got = answer(evidence("Capital of Mongolia?", NOTE, refused=True), model)
    assert (got.refused, got.text, got.citations, model.asked) == (True, REFUSAL, (), [])
    assert got.nearest[0].quote in NOTE


def test_a_supported_sentence_comes_first_with_the_number_code_gave_it() -> None:
    got = answer(evidence("How many steps for 10 pictures?", NOTE), Said("10 pictures need 1000 steps. [7]"))
    assert got.text.startswith("10 pictures need 1000 steps. [1]\n\n“")
    assert got.model == "said"


@pytest.mark.parametrize(
    "sentence",
    [
        "The answer is 10.",
        "10 pictures need 2000 steps.",
        "10 pictures do not need 1000 steps.",
        "10 pictures need 1000 steps and a large GPU from NVIDIA.",
        "How many steps for 10 pictures?",
        "10 pictures need 1000",
        "Nitrosocke needs 1000 pictures.",
        "",
    ],
)
def test_what_the_quote_does_not_carry_is_dropped(sentence: str) -> None:
    found = evidence("How many steps for 10 pictures?", NOTE)
    assert supported(sentence, sources(found), found.question) is None
    assert answer(found, Said(sentence)).text == f"“{NOTE}” [1]"


def test_a_word_carried_from_one_thing_to_another_is_dropped() -> None:
    note = (
        "Atelier rendered “a red apple” with the sampler DPM++ 2M, 20 steps, CFG scale 4 and seed 7, on the model "
        "atelier-demo."
    )
    found = evidence("Which sampler rendered the red apple?", note)
    assert supported("The sampler atelier-demo rendered the red apple.", sources(found), found.question) is None


def test_a_large_model_may_say_more_and_each_sentence_is_held_against_a_quote() -> None:
    found = evidence("Steps?", NOTE, "Euler is simple and reliable.")
    got = answer(found, Said("10 pictures need 1000 steps. Euler is reliable. Paris is large.", 8_000_000_000))
    assert got.text.startswith("10 pictures need 1000 steps. [1] Euler is reliable. [2]\n\n")
    assert "Paris" not in got.text


def test_terminal_codes_of_a_model_do_not_reach_the_screen() -> None:
    got = answer(evidence("How many steps?", NOTE), Said("\x1b[31m10 pictures need 1000 steps.\x07"))
    assert "\x1b" not in got.text
    assert "\x07" not in got.text


# Drafts


def test_the_ideas_words_and_weights_stay_first_and_nothing_repeats() -> None:
    draft = expand("a (blue:1.2) alien, <lora:x:1>", None, strength=1)
    assert draft.prompt.startswith("a (blue:1.2) alien, <lora:x:1>, ")
    assert len(draft.added) == len(set(draft.added)) > 3
    assert not any("blue" in phrase for phrase in draft.added)


def test_strength_nothing_adds_nothing() -> None:
    assert expand("a fox", None, strength=0).prompt == "a fox"


def test_a_slot_the_idea_has_decided_is_left_alone() -> None:
    draft = expand("watercolor of a fox at golden hour", None, strength=1)
    assert draft.added
    assert not set(draft.added) & set(phrases_of("medium"))
    assert not set(draft.added) & set(phrases_of("lighting"))


def test_a_model_can_only_choose_among_the_phrases() -> None:
    draft = expand(
        "a fox",
        Said("oil painting, the viewer dies, oil painting"),
        strength=1,
        rank=lambda idea, phrases: [float(phrase == "oil painting") for phrase in phrases],
    )
    assert draft.added == ("oil painting",)


def test_the_budget_of_chunks_is_kept() -> None:
    idea = ", ".join(["red thing"] * 24)
    tokenizer = ClipTokenizer.load()
    assert len(chunk(idea, tokenizer)) == 1
    draft = expand(idea, None, strength=1)
    assert len(chunk(draft.prompt, tokenizer)) == 1
    assert len(expand(idea, None, strength=1, chunks=2).added) > len(draft.added)


def test_notes_lend_phrases_that_are_cited_only_when_they_are_about_the_idea() -> None:
    notes = [passage("Prompt that worked: **amber eyes**, **mustard apron**, alien", "/alien.md", "Blue alien")]
    draft = expand("a blue alien", None, passages=notes, strength=1)
    assert "amber eyes" in draft.added
    assert [(s.path, s.used) for s in draft.sources] == [("/alien.md", "amber eyes"), ("/alien.md", "mustard apron")]
    assert [s.used for s in expand("a blue alien", None, passages=notes, strength=0.4).sources] == ["amber eyes"]
    assert expand("a red apple on blue", None, passages=notes, strength=1).sources == ()


def test_the_negative_never_names_what_is_asked_for() -> None:
    assert "text" not in expand("a poster with text, photo", None).negative.split(", ")


def test_the_negative_of_a_photograph_is_not_photo() -> None:
    assert "photo" not in expand("a black and white photograph of an illustration", None).negative.split(", ")
    assert "photo" in expand("oil painting of a fox", None).negative.split(", ")


def test_a_render_is_remembered_in_sentences_that_stand_alone(paths: Paths) -> None:
    spec = {
        "prompt": "a fox", "negative": "blur", "sampler": "Euler", "steps": 4, "cfg": 3.0, "seed": 1, "model": "m",
        "width": 64, "height": 64,
    }  # fmt: skip
    first = remember_render(paths.memory, paths.output / "x.png", spec, 1.0)
    second = remember_render(paths.memory, paths.output / "x.png", spec, 1.0)
    assert first != second
    assert "“a fox” with the sampler Euler" in first.read_text("utf-8")

from __future__ import annotations

import pytest

from knowledge.conflicts import conflicts, disagree
from knowledge.records import Passage


def passage(path: str, text: str, line: int = 1) -> Passage:
    return Passage(1, path, path, "", line, line + text.count("\n"), None, 1.0, text)


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("The default CFG scale is 7.", "The default CFG scale is 12.", "numbers"),
        ("Use 30 steps.", "Use 30 steps and a seed of 5.", ""),
        ("Masks are 50% wide.", "Masks are 50 % wide.", ""),
        ("Masks are 50% wide.", "Masks are 50 px wide.", "numbers"),
        ("It needs 8 GB.", "It needs 8 gb.", ""),
        ("It needs 8 GB.", "It needs 8 MB.", "numbers"),
        ("Strength is 0,5.", "Strength is 0.5.", ""),
        ("Values of 5-9 suit.", "Values of 5–9 suit.", ""),
        ("Values of 5 to 9 suit.", "Values of 5 - 9 suit.", ""),
        ("Подходят значения от 5 до 9.", "Подходят значения 5—9.", ""),
        ("Values of 5-9 suit.", "Values of 10-15 suit.", "numbers"),
        ("1. Choose a seed.", "2. Choose a seed.", ""),
        ("1. Choose a seed.", "2) Do not choose a seed.", "negation"),
        ("The model v1.5 is good.", "The model v2.1 is good.", ""),
        ("Use 30 steps.", "Use many steps.", ""),
        ("Euler adds noise.", "Euler does not add noise.", "negation"),
        ("Euler adds noise.", "Euler doesn't add noise.", "negation"),
        ("Euler adds noise.", "Euler doesn’t add noise.", "negation"),
        ("Euler never adds noise.", "Euler does not add noise.", ""),
        ("Сэмплер добавляет шум.", "Сэмплер не добавляет шум.", "negation"),
        ("Шум нужен.", "Шума нет.", "negation"),
        ("Небо светлое.", "Снова небо.", ""),  # не and but beginnings of words
        ("A note on notation.", "A word on nothing.", ""),
        ("Use 30 steps.", "Do not use 20 steps.", "numbers"),
        ("See https://example.org/12 for it.", "See https://example.org/99 for it.", ""),
    ],
)
def test_when_two_sentences_do_not_agree(one: str, other: str, why: str) -> None:
    assert disagree(one, other) == disagree(other, one) == why


def test_numbers_that_differ_are_found_with_their_lines() -> None:
    one = passage("/a.md", "# Guidance\n\nIt is old. The default guidance scale of the model is 7.", 10)
    other = passage("/b.md", "The default guidance scale of this model is 12. It is new.", 3)
    (found,) = conflicts("What is the default guidance scale?", [one, other])
    assert found.why == "numbers"
    assert (found.one.text, found.one.line) == ("The default guidance scale of the model is 7.", 12)
    assert (found.other.text, found.other.line) == ("The default guidance scale of this model is 12.", 3)
    assert (found.one.passage, found.other.passage) == (one, other)


def test_a_denial_is_found() -> None:
    one = passage("/a.md", "- The ancestral sampler adds noise at every step")
    other = passage("/b.md", "- The ancestral sampler does not add noise at every step")
    (found,) = conflicts("Does the ancestral sampler add noise?", [one, other])
    assert found.why == "negation"


def test_one_document_never_conflicts_with_itself() -> None:
    texts = ("The default guidance scale is 7.", "The default guidance scale is 12.")
    asked = "What is the default guidance scale?"
    assert conflicts(asked, [passage("/a.md", text) for text in texts]) == []
    assert conflicts(asked, [passage("/a.md", " ".join(texts))]) == []
    assert len(conflicts(asked, [passage("/a.md", texts[0]), passage("/b.md", texts[1])])) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The default guidance scale of the model is 7.", "Thirty steps take 12 seconds on a laptop."),
        ("The default guidance scale is 7.", "The default guidance picture on the wall of a museum cost 12 francs."),
        ("The guidance scale is 7.", "The guidance scale of the old rocket in the museum of flight is 12 tons."),
        ("# The default guidance scale is 7", "# The default guidance scale is 12"),
        ("```\nthe default guidance scale is 7\n```", "```\nthe default guidance scale is 12\n```"),
        ("The default guidance scale is 7.", "The default guidance scale is high."),
        (
            "The default guidance scale beside wide masks with ragged holes and soft edges is 4.",
            "The default guidance scale for long prompts about old Dutch painters and brushes is 3.",
        ),
    ],
)
def test_sentences_about_something_else_and_what_is_no_sentence_never_conflict(one: str, other: str) -> None:
    assert conflicts("What is the default guidance scale?", [passage("/a.md", one), passage("/b.md", other)]) == []


def test_a_conflict_about_another_subject_than_the_question_is_left_out() -> None:
    both = [
        passage("/a.md", "The default guidance scale of the model is 7."),
        passage("/b.md", "The default guidance scale of the model is 12."),
    ]
    assert conflicts("How many photos make a training set?", both) == []
    assert len(conflicts("guidance scale", both)) == 1
    assert len(conflicts("guidance", both)) == 1


def test_the_clearest_come_first_and_no_more_than_asked_for() -> None:
    loose = passage("/a.md", "The default guidance scale for prompts of great length is 3.")
    one = passage("/b.md", "The default guidance scale beside masks with holes is 4.")
    other = passage("/c.md", "The default guidance scale beside masks with holes is 9.")
    asked = "the default guidance scale"
    found = conflicts(asked, [loose, one, other])
    assert (found[0].one.passage, found[0].other.passage) == (one, other)
    assert len(found) == 3
    assert conflicts(asked, [loose, one, other], most=1) == found[:1]
    assert conflicts(asked, []) == []

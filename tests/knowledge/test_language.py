from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge.language import content_terms, fold, stem, terms, words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("running", "runs"),
        ("libraries", "library"),
        ("сэмплеры", "сэмплера"),
        ("генерация", "генерации"),
        ("настройки", "настройкой"),
        ("Ёлка", "елки"),
        ("café", "cafe"),
    ],
)
def test_forms_of_a_word_share_a_stem(one: str, other: str) -> None:
    assert terms(one) == terms(other)


def test_short_i_is_a_letter_not_an_accent() -> None:
    assert fold("Йод") == "йод"


def test_names_of_samplers_are_cut_at_marks() -> None:
    assert words("DPM++ 2M_Karras, img2img") == ["dpm", "2m", "karras", "img2img"]


def test_chinese_is_cut_into_pairs() -> None:
    assert words("扩散模型 ok") == ["扩散", "散模", "模型", "ok"]


def test_a_question_keeps_its_subject() -> None:
    assert content_terms("What does the CFG scale do?") == [stem("cfg"), stem("scale")]
    assert content_terms("Для чего нужен VAE?") == [stem("нужен"), "vae"]


def test_a_question_of_stop_words_keeps_them() -> None:
    assert content_terms("who are you") == terms("who are you")
    assert content_terms("?!") == []


@given(st.text())
def test_any_text_gives_words_of_letters_and_digits(text: str) -> None:
    for word in words(text):
        assert word
        assert '"' not in word
        assert not any(c.isspace() for c in word)

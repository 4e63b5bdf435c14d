from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from knowledge_samples import chunks, document

from knowledge.embedders import Embedder
from knowledge.glossary import equivalents, in_english, latin
from knowledge.language import stem, terms
from knowledge.library import Library


@pytest.mark.parametrize(
    ("question", "word", "others"),
    [
        ("Which sampler is fast?", "sampler", {"сэмплер", "семплер"}),
        ("Какой сэмплер быстрый?", "сэмплер", {"sampler"}),
        ("a dark picture", "dark", {"black", "тёмный"}),
        ("СКОРОСТЬ обучения", "обучение", {"training"}),
        ("зерно", "зерно", {"seed", "сид"}),
    ],
)
def test_a_word_brings_those_of_its_meaning(question: str, word: str, others: set[str]) -> None:
    found = equivalents(question)[terms(word)[0]]
    assert {terms(other)[0] for other in others} <= set(found)
    assert terms(word)[0] not in found


def test_forms_of_a_word_are_one_word() -> None:
    assert equivalents("сэмплеры")[stem("сэмплеры")] == equivalents("сэмплер")[stem("сэмплер")]
    assert "sampler" in equivalents("О сэмплерах")[stem("сэмплерах")]


@pytest.mark.parametrize(
    ("word", "english"),
    [
        ("памяти", "memory"),
        ("токенов", "token"),
        ("объективы", "lens"),
        ("подписи", "caption"),
        ("проблему", "problem"),
    ],
)
def test_forms_that_the_stemmer_takes_for_another_word_are_known(word: str, english: str) -> None:
    assert stem(english) in equivalents(word)[stem(word)]
    assert in_english(f"о {word}") == english


def test_half_of_a_compound_is_no_word_of_its_own() -> None:
    assert equivalents("on") == {}
    assert "on" not in equivalents("a plugin")["plugin"]


def test_words_outside_the_field_bring_nothing() -> None:
    assert equivalents("borscht with sour cream") == {}
    assert equivalents("") == {}
    assert "how" not in equivalents("how and why")


def test_a_phrase_counts_only_where_its_words_stand_side_by_side() -> None:
    wanted = stem("хромакей")
    assert wanted in equivalents("Remove a green screen")["green"]
    assert wanted in equivalents("Remove a green screen")["screen"]
    assert wanted not in equivalents("A screen of green cloth").get("green", ())
    assert wanted not in equivalents("green")
    assert "chromakey" in equivalents("Как убрать зелёный фон?")[stem("зеленый")]


def test_a_cyrillic_name_is_looked_for_in_latin_letters_too() -> None:
    assert equivalents("Кто такой Пикачу?")[stem("пикачу")] == (stem("pikachu"),)
    assert latin("щука хэш чаща подъезд цирк") == "shchuka khesh chashcha podezd cirk"
    assert equivalents("Кто там") == {}  # too short, or said in every question


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("Какой сэмплер быстрый?", "sampler speed"),
        ("Что такое скорость обучения?", "learning rate"),
        ("Замена лица в видео", "face swap video"),
        ("перенос стиля", "style transfer"),
        ("место на диске для модели", "disk space model"),
        ("Как работает CFG scale?", "cfg scale"),
        ("Какая модель рисует персонажа Пикачу?", "model character pikachu"),
    ],
)
def test_a_question_is_put_into_english_word_by_word(question: str, said: str) -> None:
    assert in_english(question) == said


@pytest.mark.parametrize(
    "question", ["Кто написал роман Война и мир?", "Как приготовить борщ?", "Где живёт Пикачу?", "Что это?", "", "?!"]
)
def test_a_question_outside_the_field_is_not(question: str) -> None:
    assert in_english(question) == ""


@given(st.text(alphabet="абвгдеёжзийклмнопрстуфхцчшщъыьэюя ABC-.,?", max_size=80))
def test_whatever_is_asked_the_table_says_latin_words(question: str) -> None:
    assert in_english(question).isascii()
    for others in equivalents(question).values():
        assert all(others)


# Both languages with all-MiniLM-L6-v2, which reads English only.

ENGLISH = {
    "flicker": "Flickering in a video comes from noise that differs between frames. Interpolate the frames to hide it.",
    "memory": "Out of video memory: use smaller batches, or move the text encoder to the processor.",
    "seed": "The seed starts the noise. The same seed gives the same picture again.",
    "hands": "Hands with six fingers are repaired by inpainting them with a mask.",
    "chromakey": "A green screen lets you replace what is behind a person.",
    "borscht": "Borscht is a soup of beetroot and cabbage.",
}
RUSSIAN = {
    "upscale": "Апскейлер увеличивает картинку в четыре раза и добавляет детали.",
    "dataset": "Для датасета хватит тридцати фотографий одного лица. Подписи к ним пишут вручную.",
    "sampler": "Сэмплер euler простой и быстрый.",
    "lighting": "Освещение задают словами: мягкий свет, закат, контровой.",
    "dacha": "На даче растут яблони и крыжовник.",
}


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory, minilm: Embedder) -> Iterator[Library]:
    with Library(tmp_path_factory.mktemp("notes"), embedder=minilm, writable=True) as library:
        for name, text in {**ENGLISH, **RUSSIAN}.items():
            library.put(document(f"/{name}.md", "Note"), chunks(text), embed=False)
        library.embed_pending()
        yield library


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Как убрать мерцание видео?", "flicker"),
        ("Не хватает видеопамяти, что делать?", "memory"),
        ("Что задаёт сид?", "seed"),
        ("Как исправить руки?", "hands"),
        ("Как заменить зелёный фон?", "chromakey"),
        ("How can a picture be enlarged by an upscaler?", "upscale"),
        ("How many photos does a dataset need?", "dataset"),
        ("Which sampler is fast?", "sampler"),
        ("How do I describe the lighting?", "lighting"),
    ],
)
def test_a_question_finds_the_note_in_the_other_language(notes: Library, question: str, name: str) -> None:
    assert notes.search(question)[0].path == f"/{name}.md"


def test_full_text_finds_a_note_that_shares_no_word_with_the_question(notes: Library) -> None:
    """What the table is for: neither note holds a word of its question."""
    for question, name in (("Как исправить руки?", "/hands.md"), ("Which sampler is fast?", "/sampler.md")):
        found = notes.explain(question)
        (hit,) = (one for one in found.hits if notes.paths_of([one.chunk_id])[one.chunk_id] == name)
        assert not set(found.stems) & set(terms(notes.chunks(name)[0].text))
        assert hit.bm25_rank == 1

"""Which questions lean on the one before them, and what is lent to them."""

from __future__ import annotations

import pytest

from assistant.followups import leans, standalone

LEANING = """
What about SDXL?
what about portraits
How about the VAE?
And for portraits?
And the sampler?
but why?
Why?
Why so?
Why so slow?
Why is it so slow on a laptop?
How strong should it be?
How many steps does it need?
When is it used?
Which of them is faster?
What is its license?
What is it?
What is that?
Does it work on a Mac?
Is that enough?
How much?
How?
Which one?
For SDXL?
Where can I find it?
Can they be combined?
Tell me more
More details, please
Give an example
А для SDXL?
а для портретов
И для видео?
Почему?
А почему?
Зачем?
Зачем он нужен?
Как это работает?
Сколько у него шагов?
Как его установить?
Где это найти?
Чем она лучше?
А если без него?
Что насчёт SDXL?
Как насчет портретов?
Сколько?
Какой из них быстрее?
Как с ними работать?
Подробнее
Расскажи подробнее
Приведи пример
Что он делает?
Что это?
Тогда какой сэмплер?
Ещё?
"""

STANDING = """
What does the CFG scale do to the picture?
What is a LoRA?
What is LoRA?
What are embeddings?
What is it that makes a sampler ancestral?
Is there a way to train on a Mac?
Are there samplers without noise?
What is the sampler that Nitrosocke used for the dog?
Which checkpoint is the one that draws hands?
Which sampler did the author use for the cosmetics pictures?
How many steps does Euler a need for portraits?
Why use Euler?
Why does high CFG burn colours?
Why are hands hard to draw for Stable Diffusion?
So what is the recommended learning rate for Dreambooth training?
And what does the tile ControlNet do while upscaling a picture?
How do I install ComfyUI?
How does inpainting work?
Who wrote the webui guide?
Что такое LoRA?
Что такое это «CFG scale»?
Что это за модель SDXL Turbo?
Кто такой Nitrosocke?
Какой сэмплер лучше для портретов?
Почему высокий CFG портит цвета?
Зачем нужен VAE?
Как работает inpainting?
Сколько шагов нужно для Euler a?
Как обучить LoRA на своих фотографиях?
Какие есть способы убрать мерцание в видео?
Это правда, что SDXL требует 12 ГБ видеопамяти?
А как установить ControlNet в AUTOMATIC1111 на Windows?
Или лучше использовать DDIM вместо Euler для портретов?
"""

BEFORE = "Which ControlNet keeps the composition while upscaling?"


@pytest.mark.parametrize("question", LEANING.strip().splitlines())
def test_a_follow_up_leans_and_is_given_the_former_subject(question: str) -> None:
    assert leans(question)
    whole = standalone(question, ["Something else entirely?", BEFORE])
    assert whole.startswith(question.rstrip(" ?.!"))
    for word in ("ControlNet", "composition", "upscaling"):
        assert word in whole
    assert "Something" not in whole
    assert 0 < len(whole.split()) - len(question.split()) <= 8


@pytest.mark.parametrize("question", STANDING.strip().splitlines())
def test_a_whole_question_is_left_as_it_is(question: str) -> None:
    assert not leans(question)
    assert standalone(question, [BEFORE]) == question


@pytest.mark.parametrize("question", LEANING.strip().splitlines())
def test_with_nothing_before_a_question_is_left_as_it_is(question: str) -> None:
    assert standalone(question, []) == question


def test_no_more_than_eight_words_are_taken_over() -> None:
    long = "How do alpha beta gamma delta epsilon zeta eta theta iota kappa lambda differ?"
    assert standalone("Why?", [long]) == "Why (alpha beta gamma delta epsilon zeta eta theta)?"


def test_words_it_has_already_and_words_without_meaning_are_not_repeated() -> None:
    assert standalone("And for portraits?", ["Which sampler is best for a portrait, and which sampler is fast?"]) == (
        "And for portraits (sampler best fast)?"
    )
    assert standalone("А для SDXL?", ["Какой сэмплер лучше для портретов?"]) == "А для SDXL (сэмплер лучше портретов)?"


def test_names_and_numbers_are_taken_as_they_are_written() -> None:
    assert standalone("Why?", ["Is DPM++ 2M with 20 steps at 7.5 better than img2img-alt?"]) == (
        "Why (DPM++ 2M 20 steps 7.5 better img2img-alt)?"
    )


def test_a_former_question_without_a_subject_lends_nothing() -> None:
    assert standalone("And why?", ["What is it?"]) == "And why?"


def test_a_chain_keeps_its_subject() -> None:
    first = "What keeps the composition while upscaling?"
    second = standalone("And for portraits?", [first])
    third = standalone("How strong should it be?", [first, second])
    assert "composition" in third
    assert "portraits" in third

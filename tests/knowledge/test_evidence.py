from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from knowledge_samples import Put, chunks, document

from knowledge.embedders import Embedder
from knowledge.evidence import CALIBRATION, answerable
from knowledge.library import Library
from knowledge.records import Evidence

NOTES = {
    "guidance": "# CFG scale\n\nThe CFG scale says how closely the picture follows the prompt. "
    "Values of 5 to 9 suit most checkpoints. Above 15 colours burn out.",
    "seed": "# Seed\n\nThe seed starts the random noise. The same seed and the same settings give "
    "the same picture again.",
    "steps": "# Steps\n\nMore steps cost time. Beyond 30 steps Euler changes little.",
    "negative": "# Negative prompt\n\n- It lists what the picture should not show.\n"
    "- Long lists of bad hands help less than people say.",
    "lora": "# LoRA\n\nA LoRA adds small matrices to the attention layers. Its weight is written "
    "as <lora:name:0.8> in the prompt.",
    "vae": "- [VAE](https://example.org/vae)\n\t- Turns latents into pixels and fixes washed out "
    "colours\n\t- id:: 64a1",
    "upscale": "# Upscaling\n\nLatent upscaling needs a denoising strength of at least 0.5.",
    "sampler": "# Сэмплеры\n\nСэмплер euler простой и быстрый. Для качества берут dpmpp_2m.",
    "dataset": "# Dataset\n\nThirty photos of one person are enough for a Dreambooth training.",
    "prompt": "# Writing prompts\n\nName the subject first, then the style, then the light.",
}


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory, minilm: Embedder) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("notes")
    with Library(folder, embedder=minilm, writable=True) as library:
        for name, text in NOTES.items():
            library.put(document(f"/{name}.md", name), chunks(text, heading=name), embed=False)
        library.embed_pending()
        yield library


def assert_verbatim(evidence: Evidence) -> None:
    for number, quote in enumerate(evidence.quotes, 1):
        assert quote.n == number
        assert quote.text in quote.passage.text
        lines = quote.passage.text.split("\n")
        first = quote.line_start - quote.passage.line_start
        last = quote.line_end - quote.passage.line_start
        assert quote.text in "\n".join(lines[first : last + 1])
        assert quote.text.split("\n")[0] in lines[first]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What does CFG scale do?", "how closely the picture follows the prompt"),
        ("What does the seed do?", "starts the random noise"),
        ("How many photos do I need for Dreambooth?", "Thirty photos"),
        ("How do I write the weight of a LoRA?", "<lora:name:0.8>"),
        ("What is the VAE for?", "Turns latents into pixels"),
        ("Which denoising strength for latent upscaling?", "at least 0.5"),
        ("Какой сэмплер быстрый?", "euler простой и быстрый"),
    ],
)
def test_a_question_the_notes_answer_gets_the_line(notes: Library, question: str, answer: str) -> None:
    found = notes.evidence(question)
    assert not found.refused, found.signals
    assert any(answer in quote.text for quote in found.quotes[:2])
    assert_verbatim(found)


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of Mongolia?",
        "Who won the football world cup in 1998?",
        "How do I cook risotto?",
        "What are the symptoms of measles?",
        "Какая столица Монголии?",
        "Who is the president of Argentina?",
    ],
)
def test_a_question_from_elsewhere_is_refused_with_the_nearest(notes: Library, question: str) -> None:
    found = notes.evidence(question)
    assert found.refused, found.signals
    assert found.quotes == ()
    assert found.passages


def test_quotes_do_not_overlap_or_repeat(notes: Library) -> None:
    quotes = notes.evidence("What does CFG scale do?").quotes
    spans = [(quote.passage.chunk_id, quote.text) for quote in quotes]
    assert len(set(spans)) == len(spans)
    assert 1 <= len(quotes) <= 4


def test_properties_of_logseq_are_never_quoted(notes: Library) -> None:
    quotes = notes.evidence("What is the VAE for?").quotes
    assert not any("id::" in quote.text.split("\n")[0] for quote in quotes)


def test_the_score_grows_with_every_signal() -> None:
    low = dict.fromkeys(set(CALIBRATION) - {"bias"}, 0.2)
    for name in low:
        assert answerable({**low, name: 0.9}) > answerable(low)


def test_every_quote_is_verbatim_on_real_notes(shared: Path, tmp_path: Path, hashed: Embedder, put: Put) -> None:
    guide = shared / "notes-of-the-user" / "webui-guide.md"
    text = guide.read_text(encoding="utf-8")
    parts = [part for part in text.split("\n## ") if part.strip()]
    with Library(tmp_path, embedder=hashed, writable=True) as library:
        put(library, str(guide), *parts)
        for question in ("What does CFG scale do?", "What is Deforum?", "How to train a LoRA?"):
            evidence = library.evidence(question)
            assert_verbatim(evidence)

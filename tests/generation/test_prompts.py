"""The prompt grammar, tokens, chunks and editing, against the reference and by rule."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from generation.errors import GenerationError
from generation.prompts.chunks import chunk
from generation.prompts.edit import adjust_weight
from generation.prompts.grammar import parse
from generation.prompts.tokens import BUNDLED, ClipTokenizer


@pytest.fixture(scope="module")
def tokenizer() -> ClipTokenizer:
    return ClipTokenizer.load()


def rounded(pairs: list[Any]) -> list[list[Any]]:
    return [[text, round(weight, 9)] for text, weight in pairs]


def test_parsed_texts_and_weights_are_the_references(vectors: Callable[[str], Any]) -> None:
    wrong = []
    for vector in vectors("a1111_prompts.json")["vectors"]:
        got = rounded(parse(vector.get("parsed_from", vector["input"])).flat())
        if got != rounded(vector["parsed"]):
            wrong.append((vector["id"], got, vector["parsed"]))
    assert wrong == []


def test_networks_are_the_references(vectors: Callable[[str], Any]) -> None:
    for vector in vectors("a1111_prompts.json")["vectors"]:
        wanted = vector.get("extra_networks")
        if wanted is None:
            continue
        got: dict[str, list[Any]] = {}
        for network in parse(vector["input"]).networks:
            entry = {"positional": list(network.positional), "named": dict(network.named)}
            got.setdefault(network.kind, []).append(entry)
        assert got == wanted, vector["id"]


def test_chunks_hold_as_many_tokens_as_the_references(vectors: Callable[[str], Any], tokenizer: ClipTokenizer) -> None:
    data = vectors("a1111_prompts.json")
    for vector in data["vectors"]:
        got = [part.tokens for part in chunk(vector.get("parsed_from", vector["input"]), tokenizer)]
        assert got == vector["chunk_token_counts"], vector["id"]
    for vector in data["chunk_vectors"]:
        if vector["comma_padding_backtrack"] == 20:
            got = [part.tokens for part in chunk(vector["input"], tokenizer)]
            assert got == [part["n_tokens"] for part in vector["chunks"]], vector["id"]


def test_fragments_are_the_persons_own_text_as_compel_is_given_it(
    vectors: Callable[[str], Any], tokenizer: ClipTokenizer
) -> None:
    for vector in vectors("a1111_prompts.json")["vectors"]:
        parts = chunk(vector.get("parsed_from", vector["input"]), tokenizer)
        got = [[[text, round(weight, 6)] for text, weight in part.fragments] for part in parts if part.tokens]
        wanted = [[pair for pair in part if pair[0]] for part in vector["compel_chunks"]]
        assert got == [part for part in wanted if part], vector["id"]


@pytest.mark.parametrize(
    ("text", "flat"),
    [
        ("", [("", 1.0)]),
        ("a (b) c", [("a ", 1.0), ("b", 1.1), (" c", 1.0)]),
        ("(a:1.3)", [("a", 1.3)]),
        ("((a))", [("a", 1.21)]),
        ("[a]", [("a", 1 / 1.1)]),
        (r"\(a\)", [("(a)", 1.0)]),
        ("a BREAK b", [("a", 1.0), ("BREAK", -1.0), ("b", 1.0)]),
        ("x <lora:n:0.8>", [("x ", 1.0)]),
        ("(a <lora:n:1> b:1.2)", [("a  b", 1.2)]),
    ],
)
def test_attention_by_hand(text: str, flat: list[tuple[str, float]]) -> None:
    assert rounded(parse(text).flat()) == rounded(flat)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[fog:0.8]", "prompt editing"),
        ("(fog", "never closed"),
        ("fog)", "closes nothing"),
        ("(fog:3)", "0.8 to 1.5"),
        ("a castle, time: 5", "weight of the whole prompt"),
    ],
)
def test_silent_traps_are_warned_of_with_their_place(text: str, said: str) -> None:
    warnings = parse(text).warnings
    assert any(said in warning.message for warning in warnings)
    assert all(0 <= w.start < w.end <= len(text) for w in warnings)


def test_a_plain_prompt_has_no_warning() -> None:
    assert parse("a (red:1.2) fox, [soft light], rim light").warnings == ()


def test_three_thousand_random_prompts_never_crash_and_print_back(tokenizer: ClipTokenizer) -> None:
    source = random.Random(5)
    letters = [*"ab ,.:|\\()[]<>0123456789\n", "BREAK", " AND ", "<lora:x:1>", "ё", "🌸", "::", ":1.2)"]
    for _ in range(3000):
        text = "".join(source.choice(letters) for _ in range(source.randint(0, 40)))
        tree = parse(text)
        assert parse(str(tree)) == tree
        assert all(0 <= span.start <= span.end <= len(text) for span in tree.spans())
        assert all(part.tokens <= 75 for part in chunk(text, tokenizer))


def test_spans_cover_what_is_weighted() -> None:
    text = "a (red fox:1.3), <lora:x:0.5> b BREAK c"
    found = {(text[s.start : s.end], s.kind) for s in parse(text).spans()}
    assert {("red fox", "weight"), ("<lora:x:0.5>", "network"), ("BREAK", "break")} <= found


def test_the_tokenizer_is_clips(tokenizer: ClipTokenizer) -> None:
    from transformers import CLIPTokenizer

    reference = CLIPTokenizer.from_pretrained(BUNDLED)
    for text in (
        "a photo of a cat", "it's 2024, you'll!", "Привет, мир ёлка", "🎨 x 桜", "  a  b\n\nc", "DON'T (a:1.2) C++",
        "naïve café 12345 _under_score", "", "—“quotes”…", "x" * 300,
    ):  # fmt: skip
        assert tokenizer.encode(text) == reference(text, add_special_tokens=False).input_ids, text


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match="cannot be read"):
        ClipTokenizer.load(tmp_path)


def test_long_prompts_break_at_the_comma(tokenizer: ClipTokenizer) -> None:
    parts = chunk("cat " * 70 + ", a blue alien in a shop", tokenizer)
    assert [part.tokens for part in parts] == [71, 6]
    assert parts[1].text == "a blue alien in a shop"


@pytest.mark.parametrize(
    ("text", "selected", "delta", "after"),
    [
        ("a fox", "fox", 0.1, "a (fox:1.1)"),
        ("a (fox:1.1)", "fox", 0.1, "a (fox:1.2)"),
        ("a (fox:1.1)", "fox", -0.1, "a fox"),
        ("a (fox:1.1)", "(fox:1.1)", 0.1, "a (fox:1.2)"),
        ("a fox", "fox", -0.1, "a (fox:0.9)"),
        ("a (fox:2)", "fox", 0.1, "a (fox:2)"),
    ],
)
def test_weights_by_key(text: str, selected: str, delta: float, after: str) -> None:
    start = text.index(selected)
    got, first, last = adjust_weight(text, start, start + len(selected), delta)
    assert got == after
    assert got[first:last] == "fox"


def test_the_light_half_imports_nothing_heavy() -> None:
    code = (
        "import sys, generation.prompts.chunks, generation.prompts.edit, generation.specs, generation.metadata,"
        " generation.catalogue, generation.infotext; "
        "print([m for m in ('torch','numpy','PIL','transformers','diffusers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

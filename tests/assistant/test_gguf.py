"""GGUF files told from their headers, and choosing one in the shell."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from assistant.cli import main
from assistant.cli.show_library import llm_list
from assistant.errors import BadArgument, ModelMissing
from assistant.llm import gguf
from assistant.llm.gguf import available, choose, header, look
from assistant.paths import Paths
from assistant.settings import Settings


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def string(key: str, value: str | bytes) -> bytes:
    return pair(key, 8, text(value))


def u32(key: str, value: int) -> bytes:
    return pair(key, 4, struct.pack("<I", value))


def u64(key: str, value: int) -> bytes:
    return pair(key, 10, struct.pack("<Q", value))


def array(key: str, kind: int, count: int, data: bytes) -> bytes:
    return pair(key, 9, struct.pack("<IQ", kind, count) + data)


def made(path: Path, *pairs: bytes, version: int = 3, count: int | None = None, after: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = b"GGUF" + struct.pack("<IQQ", version, 0, len(pairs) if count is None else count)
    path.write_bytes(head + b"".join(pairs) + after)
    return path


LLAMA = (
    string("general.architecture", "llama"),
    string("general.name", "Small Llama"),
    array("tokenizer.ggml.tokens", 8, 3, text("a") + text("") + text("слово")),
    array("tokenizer.ggml.scores", 6, 4, struct.pack("<4f", 1, 2, 3, 4)),
    u64("general.parameter_count", 1_100_000_000),
    u32("llama.block_count", 10),
    u32("llama.embedding_length", 512),
    u32("llama.attention.head_count", 8),
    u32("llama.attention.head_count_kv", 2),
    u32("llama.context_length", 2048),
)


@pytest.fixture(autouse=True)
def _nothing_bundled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "bundled", lambda: None)
    monkeypatch.setattr(gguf, "free_memory", lambda: 8_000_000_000)


@pytest.mark.parametrize("version", [2, 3])
def test_a_header_is_read_past_its_arrays(tmp_path: Path, version: int) -> None:
    found = header(made(tmp_path / "m.gguf", *LLAMA, version=version))
    assert found == {
        "general.architecture": "llama",
        "general.name": "Small Llama",
        "general.parameter_count": 1_100_000_000,
        "llama.block_count": 10,
        "llama.embedding_length": 512,
        "llama.attention.head_count": 8,
        "llama.attention.head_count_kv": 2,
        "llama.context_length": 2048,
    }


def test_every_type_of_value_is_read(tmp_path: Path) -> None:
    values = {0: ("B", 200), 1: ("b", -3), 2: ("H", 60000), 3: ("h", -9), 4: ("I", 1 << 31), 5: ("i", -1 << 30),
              6: ("f", 0.5), 7: ("?", True), 10: ("Q", 1 << 63), 11: ("q", -1 << 62), 12: ("d", 0.1)}  # fmt: skip
    pairs = [pair(f"k{kind}", kind, struct.pack("<" + letter, value)) for kind, (letter, value) in values.items()]
    assert header(made(tmp_path / "m.gguf", *pairs)) == {f"k{kind}": value for kind, (_, value) in values.items()}


def test_memory_is_weights_and_cache_and_buffers(tmp_path: Path) -> None:
    path = made(tmp_path / "m.gguf", *LLAMA, after=b"\0" * 10_000)
    # keys and values, 16 bits each: 10 layers x 2 heads x 512/8 numbers x tokens
    cache = 2 * 2 * 10 * 2 * 64
    small, large = look(path, 1024), look(path, 4096)
    assert small.needs == path.stat().st_size + cache * 1024 + 300_000_000
    assert large.needs == path.stat().st_size + cache * 2048 + 300_000_000  # no more than it was trained for
    assert (small.name, small.architecture, small.layers) == ("m", "llama", 10)
    assert (small.parameters, small.context, small.problem) == (1_100_000_000, 2048, "")


def test_the_length_of_a_key_may_be_given(tmp_path: Path) -> None:
    path = made(tmp_path / "m.gguf", *LLAMA, u32("llama.attention.key_length", 128))
    assert look(path, 1024).needs == path.stat().st_size + 2 * 2 * 10 * 2 * 128 * 1024 + 300_000_000


def test_it_fits_up_to_the_last_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path / "m.gguf", *LLAMA)
    needs = look(path, 1024).needs
    for free, fits in ((needs, True), (needs - 1, False), (0, True)):  # 0: it cannot be told
        monkeypatch.setattr(gguf, "free_memory", lambda free=free: free)
        assert look(path, 1024).fits is fits


def test_a_header_without_anything_is_a_model_all_the_same(tmp_path: Path) -> None:
    model = look(made(tmp_path / "bare.gguf"), 4096)
    assert (model.name, model.parameters, model.context, model.problem) == ("bare", 0, 0, "")
    assert model.needs == model.size + 300_000_000


HUGE = 0xFFFFFFFFFFFFFFFF


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not a GGUF file"),
        (b"GGU", "not a GGUF file"),
        (b"PK\x03\x04 a zip file of some length", "not a GGUF file"),
        (b"GGUF", "cut short"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "version"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, HUGE), "damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 5), "cut short"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", HUGE), "damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + pair("k", 99, b""), "unknown type 99"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + array("k", 4, HUGE, b""), "cut short"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + array("k", 4, 100, b"\0" * 8), "cut short"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + array("k", 8, HUGE, b""), "damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + array("k", 8, 9, text("a")), "cut short"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + array("k", 8, 1, struct.pack("<Q", HUGE)), "cut short"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + array("k", 9, 1, b"\0" * 12), "damaged"),
    ],
)
def test_what_cannot_be_used_says_why(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    model = look(path, 4096)
    assert problem in model.problem
    assert "\n" not in model.problem
    assert (model.name, model.fits, model.needs) == ("bad", False, 0)


@pytest.mark.parametrize("cut", range(0, 380, 7))
def test_a_file_cut_anywhere_is_a_problem_and_no_crash(tmp_path: Path, cut: int) -> None:
    whole = made(tmp_path / "m.gguf", *LLAMA).read_bytes()
    assert cut < len(whole)
    (tmp_path / "m.gguf").write_bytes(whole[:cut])
    assert look(tmp_path / "m.gguf", 4096).problem in ("not a GGUF file", "its header is cut short")


@pytest.mark.parametrize(
    "odd",
    [
        (string("general.parameter_count", "many"),),
        (pair("general.parameter_count", 6, struct.pack("<f", float("inf"))),),
        (pair("general.parameter_count", 12, struct.pack("<d", float("nan"))),),
        (string("general.architecture", "llama"), string("llama.block_count", "x")),
        (string("general.architecture", "llama"), pair("llama.block_count", 6, struct.pack("<f", float("-inf")))),
        (string("general.architecture", b"\xff\xfe"), u32("general.name", 7)),
    ],
)
def test_values_of_the_wrong_kind_are_no_crash(tmp_path: Path, odd: tuple[bytes, ...]) -> None:
    model = look(made(tmp_path / "m.gguf", *odd), 4096)
    assert (model.problem, model.parameters, model.layers) == ("", 0, 0)


# Several files


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> Path:
    folder = tmp_path / "weights"
    made(folder / "small.gguf", *LLAMA)
    for n in (1, 2, 3):
        made(folder / "deep" / f"big-0000{n}-of-00003.gguf", string("general.name", "Big"), after=b"\0" * n * 1000)
    made(folder / "best-of-both.gguf", string("general.name", "Mix"))
    (folder / "notes.txt").write_text("x", "utf-8")
    (folder / "broken.gguf").write_bytes(b"nothing")
    settings["llm.models"] = [str(folder), str(tmp_path / "not there")]
    return folder


def test_models_are_found_below_the_folders_and_parts_count_as_one(
    paths: Paths, settings: Settings, folder: Path
) -> None:
    made(paths.models / "own.gguf")
    found = {model.name: model for model in available(paths, settings)}
    assert set(found) == {"own", "small", "big-00001-of-00003", "best-of-both", "broken"}
    parts = sorted((folder / "deep").iterdir())
    assert found["big-00001-of-00003"].size == sum(part.stat().st_size for part in parts)
    assert found["big-00001-of-00003"].path == str(parts[0])
    assert found["broken"].problem == "not a GGUF file"
    assert not any(model.chosen or model.bundled for model in found.values())


def test_a_part_that_is_missing_is_named(paths: Paths, settings: Settings, folder: Path) -> None:
    (folder / "deep" / "big-00002-of-00003.gguf").unlink()
    problem = look(folder / "deep" / "big-00001-of-00003.gguf", 4096).problem
    assert "big-00002-of-00003.gguf is missing" in problem


def test_a_model_is_chosen_by_name_file_or_path(
    paths: Paths, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = available(paths, settings)
    path = str(folder / "small.gguf")
    for name in ("small", "small.gguf", path):
        assert choose(name, models).path == path
    monkeypatch.chdir(folder)
    assert choose("./small.gguf", models).path == path
    elsewhere = made(folder.parent / "elsewhere.gguf", string("general.name", "Else"))
    assert choose(str(elsewhere), models).name == "elsewhere"
    with pytest.raises(BadArgument) as near:
        choose("smal.gguf", models)
    assert near.value.hint == 'Did you mean "small.gguf"?'
    with pytest.raises(ModelMissing, match="not a GGUF file"):
        choose("broken.gguf", models)
    with pytest.raises(ModelMissing, match="not a GGUF file"):
        choose(str(folder / "notes.txt"), models)


def test_the_chosen_model_is_listed_first_even_when_it_is_gone(paths: Paths, settings: Settings, folder: Path) -> None:
    settings["llm.model"] = str(folder.parent / "gone.gguf")
    first, *rest = available(paths, settings)
    assert (first.name, first.chosen) == ("gone", True)
    assert "no such file" in first.problem.lower()
    assert not any(model.chosen for model in rest)


# The shell


def run(capsys: pytest.CaptureFixture[str], home: Path, *arguments: str) -> tuple[int, Any, str]:
    status = main([*arguments, "--home", str(home), "--json"])
    out, err = capsys.readouterr()
    return status, json.loads(out) if out.strip() else None, err


def test_the_shell_lists_and_uses_models(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, paths: Paths, folder: Path
) -> None:
    _, listed, _ = run(capsys, tmp_path, "llm", "list")
    assert {model["name"] for model in listed["models"]} == {"small", "big-00001-of-00003", "best-of-both", "broken"}
    status, used, _ = run(capsys, tmp_path, "llm", "use", "small")
    assert (status, used["model"]["path"]) == (0, str(folder / "small.gguf"))
    assert Settings(paths.settings)["llm.model"] == str(folder / "small.gguf")
    _, listed, _ = run(capsys, tmp_path, "llm", "list")
    assert [model["name"] for model in listed["models"] if model["chosen"]] == ["small"]
    status, _, err = run(capsys, tmp_path, "llm", "use", "smal")
    assert (status, err.count("\n")) == (2, 1)
    status, _, err = run(capsys, tmp_path, "llm", "use", "broken.gguf")
    assert (status, err.count("\n")) == (2, 1)
    assert Settings(paths.settings)["llm.model"] == str(folder / "small.gguf")  # a mistake changes nothing


def test_going_back_to_the_bundled_model_empties_the_setting(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, paths: Paths, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(capsys, tmp_path, "llm", "use", "small")
    own = made(tmp_path / "package" / "own.gguf", string("general.name", "Own"))
    monkeypatch.setattr(gguf, "bundled", lambda: own)
    settings = Settings(paths.settings)
    settings["llm.backend"] = "off"
    run(capsys, tmp_path, "llm", "use", "own")
    settings = Settings(paths.settings)
    assert (settings["llm.model"], settings["llm.backend"]) == ("", "llama.cpp")
    _, listed, _ = run(capsys, tmp_path, "llm", "list")
    assert [(m["name"], m["bundled"]) for m in listed["models"] if m["chosen"]] == [("own", True)]


def test_a_name_cannot_speak_to_the_terminal(tmp_path: Path) -> None:
    evil = look(made(tmp_path / "\x1b]0;owned\x07Nice\x9b2J\u202e.gguf", *LLAMA), 4096)
    said = llm_list({"models": [evil.to_json()]})
    assert "Nice" in said
    assert not [c for c in said if c != "\n" and not c.isprintable()]

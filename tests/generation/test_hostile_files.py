"""Two hundred files of weights that are damaged or made to harm: each one line, and no code of theirs ever runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import shutil
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from generation import headers, single_files
from generation.catalogue import Catalogue, look
from generation.errors import BadWeights
from generation.loading import load

NAMES = ["model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.decoder.conv_in.weight", "a.b"]


class Runs:
    """An object whose pickle calls `call(*arguments)` when it is unpickled."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


def good(folder: Path, name: str) -> bytes:
    torch.manual_seed(0)
    tensors = {key: torch.randn(4, 4, 3, 3) for key in NAMES}
    if name.endswith(".safetensors"):
        save_file(tensors, folder / name)
    else:
        torch.save({"state_dict": tensors}, folder / name, _use_new_zipfile_serialization=name.endswith(".ckpt"))
    return (folder / name).read_bytes()


def header(table: Any, data: bytes = b"") -> bytes:
    head = table if isinstance(table, bytes) else json.dumps(table).encode()
    return struct.pack("<Q", len(head)) + head + data


def tensor(first: int, last: int, shape: Any = (4,), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


def safetensors() -> Iterator[tuple[str, bytes]]:
    """Headers that lie, by name."""
    data = bytes(32)
    yield "nothing", b""
    yield "text", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    yield "page", b"<!DOCTYPE html><html><body>404</body></html>"
    for length in (2**63, 2**64 - 1, 2**40, 99_999_999, 500):
        yield f"claims-{length}", struct.pack("<Q", length) + b"{}"
    yield "overlapping", header({"a": tensor(0, 16), "b": tensor(8, 24)}, data[:24])
    yield "same-place", header({"a": tensor(0, 16), "b": tensor(0, 16)}, data[:16])
    yield "gap", header({"a": tensor(0, 16), "b": tensor(20, 36)}, bytes(36))
    yield "backwards", header({"a": tensor(16, 0)}, data)
    yield "negative", header({"a": tensor(-16, 0)}, data)
    yield "longer-than-shape", header({"a": tensor(0, 32)}, data)
    yield "shorter-than-shape", header({"a": tensor(0, 8)}, data[:8])
    yield "wrong-type", header({"a": tensor(0, 16, dtype="F64")}, data[:16])
    yield "behind", header({"a": tensor(0, 16)}, data)
    yield "huge-shape", header({"a": tensor(0, 16, [2**62, 2**62])}, data[:16])
    yield "deep-shape", header({"a": tensor(0, 16, [1] * 100_000)}, data[:16])
    yield "fractions", header({"a": tensor(0, 16, [4.0])}, data[:16])
    yield "texts", header({"a": tensor(0, 16, ["4"])}, data[:16])
    yield "true", header({"a": tensor(0, 16, [True])}, data[:16])
    yield "no-shape", header({"a": {"dtype": "F32", "data_offsets": [0, 16]}}, data[:16])
    yield "no-type", header({"a": {"shape": [4], "data_offsets": [0, 16]}}, data[:16])
    yield "three-places", header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8, 16]}}, data[:16])
    yield "nested", header(b"[" * 200_000)
    yield "infinite", header(b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 1e999]}}', data)
    yield "bytes", header(bytes(range(256)))
    yield "list", header([1, 2])
    yield "number", header(7)
    yield "type-is-a-list", header({"a": tensor(0, 16, dtype=["F32"])}, data[:16])


def pickles_that_call(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Pickles that would leave a file behind, by every way there is."""
    mark = str(folder / "ran")
    calls = {
        "system": Runs(os.system, f"touch {mark}"),
        "eval": Runs(eval, f"open({mark!r}, 'w')"),
        "exec": Runs(exec, f"open({mark!r}, 'w')"),
        "open": Runs(open, mark, "w"),
        "import": Runs(__import__, "this"),
        "chain": Runs(getattr, Runs(__import__, "os"), "system"),
        "load": Runs(torch.load, mark),
        "pathlib": Runs(Path.touch, Path(mark)),
    }
    for name, bomb in calls.items():
        for place, held in {
            "value": {"state_dict": {"a": torch.zeros(2), "x": bomb}},
            "root": bomb,
            "beside": {"state_dict": {"a": torch.zeros(2)}, "callbacks": [bomb]},
        }.items():
            for suffix, zipped in ((".ckpt", True), (".pt", False)):
                stream = io.BytesIO()
                torch.save(held, stream, _use_new_zipfile_serialization=zipped)
                yield f"{name}-{place}{suffix}", stream.getvalue()
        yield f"{name}-plain.bin", pickle.dumps(bomb)
    yield "opcodes.pt", b"cos\nsystem\n(S'touch " + mark.encode() + b"'\ntR."
    yield "instance.pt", b"\x80\x02(S'touch " + mark.encode() + b"'\nios\nsystem\n."


def archives() -> Iterator[tuple[str, bytes]]:
    """Zip files that are no checkpoints, or more than they seem."""

    def packed(parts: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", how) as archive:
            for name, data in parts.items():
                archive.writestr(name, data)
        return stream.getvalue()

    yield "bomb.ckpt", packed({"archive/data.pkl": bytes(30_000_000)}, zipfile.ZIP_DEFLATED)
    yield "empty.ckpt", packed({})
    yield "other.ckpt", packed({"readme.txt": b"hello"})
    yield "no-end.ckpt", packed({"archive/data.pkl": b"\x80\x02}"})
    yield "script.pt", packed({"m/data.pkl": b"\x80\x02}.", "m/code/__torch__.py": b"x", "m/constants.pkl": b"."})
    yield "nested.ckpt", packed({"inner.ckpt": packed({"archive/data.pkl": b"\x80\x02}."})})
    yield "escape.ckpt", packed({"../../data.bin": b"x"})
    yield "number.ckpt", packed({"archive/data.pkl": b"\x80\x02K\x05"})
    yield "stack.ckpt", packed({"archive/data.pkl": b"\x80\x02RRR."})
    yield "memo.ckpt", packed({"archive/data.pkl": b"\x80\x02j\xff\xff\xff\xff."})
    yield "text.ckpt", b"no pickle at all"
    yield "lfs.pt", b"version https://git-lfs.github.com/spec/v1\n"
    yield "empty.pt", b""
    yield "magic.pt", pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    yield "tar.pt", b"x".ljust(257, b"\0") + b"ustar\x0000".ljust(300, b"\0")


def broken(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Good files cut short and with bits turned."""
    turn = random.Random(1)
    for name in ("good.safetensors", "good.ckpt", "good.pt"):
        data = good(folder, name)
        (folder / name).unlink()
        stem, suffix = name.split(".")
        step = max(1, len(data) // 16)
        for end in range(0, len(data) - 1, step):
            yield f"{stem}-cut-{end}.{suffix}", data[:end]
        length = 8 + struct.unpack("<Q", data[:8])[0] if suffix == "safetensors" else 600
        for number in range(16):
            place = turn.randrange(length)
            changed = bytearray(data)
            changed[place] ^= 1 << turn.randrange(8)
            yield f"{stem}-bit-{number}.{suffix}", bytes(changed)


def one_line(text: str) -> bool:
    return "\n" not in text and "Traceback" not in text and 0 < len(text) < 400


def test_two_hundred_files(tmp_path: Path) -> None:
    files = [
        *((f"{name}.safetensors", data) for name, data in safetensors()),
        *pickles_that_call(tmp_path), *archives(), *broken(tmp_path),
    ]  # fmt: skip
    assert len(files) >= 200
    mended = 0
    for name, data in files:
        path = tmp_path / name
        path.write_bytes(data)
        entry = look(path)
        # A turned bit may fall into a name or a number, where nothing is wrong with the file as such.
        if entry.problem == "" and "-bit-" in name:
            mended += 1
        else:
            assert one_line(entry.problem), name
        try:
            single_files.read(path)
        except BadWeights as error:
            assert one_line(error.message), name
        else:
            assert "-bit-" in name or name == "behind.safetensors", name
        path.unlink()
        assert not (tmp_path / "ran").exists(), name
    assert mended < 30


def test_code_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    torch.save({"x": Runs(os.system, "true")}, path)
    assert look(path).problem == f"holds code: {os.system.__module__}.system"
    torch.save({"x": Runs(eval, "1")}, path, _use_new_zipfile_serialization=False)
    assert look(path).problem.removeprefix("holds code: ") in {"__builtin__.eval", "builtins.eval"}


def repacked(path: Path, target: Path, how: int = zipfile.ZIP_STORED, cut: str = "") -> Path:
    """A checkpoint with its parts packed, or with one of them cut to half."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", how) as new:
        for part in old.infolist():
            data = old.read(part)
            new.writestr(part.filename, data[: len(data) // 2] if cut and part.filename.endswith(cut) else data)
    return target


def test_archives_that_are_whole_and_yet_not_what_torch_writes(tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    torch.save({"a": torch.randn(64, 64), "b": torch.randn(8)}, path)
    assert look(repacked(path, tmp_path / "same.ckpt")).problem == ""
    assert "packed" in look(repacked(path, tmp_path / "packed.ckpt", zipfile.ZIP_DEFLATED)).problem
    assert look(repacked(path, tmp_path / "cut.ckpt", cut="data/0")).problem == (
        'the file is cut short: the numbers of "a" are not there'
    )


def test_what_trainers_leave_beside_the_weights_harms_nobody(tmp_path: Path) -> None:
    """The checkpoints of 2022 carry Lightning's callbacks under their class, which torch alone refuses to read."""
    state = {"a.b": torch.arange(6.0).reshape(2, 3)}
    stream = io.BytesIO()
    torch.save({"state_dict": state, "callbacks": {"PLACEHOLDER": {"monitor": "val"}}}, stream)
    path = tmp_path / "old.ckpt"
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(path, "w") as new:
        for part in old.infolist():
            data = old.read(part)
            if part.filename.endswith("data.pkl"):
                text = b"X\x0b\x00\x00\x00PLACEHOLDER"
                assert text in data
                data = data.replace(text, b"cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n")
            new.writestr(part.filename, data)
    assert headers.read(path) == {"a.b": [2, 3]}
    found = single_files.read(path)
    assert list(found) == ["a.b"]
    assert torch.equal(found["a.b"], state["a.b"])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"unet": ["evil", "Net"]}, 'holds code: its unet is of "evil"'),
        ({"vae": ["os", "system"]}, 'holds code: its vae is of "os"'),
        ({"_class_name": ["pipeline", "Mine"]}, "holds code: a pipeline of its own"),
    ],
)
def test_a_folder_that_brings_its_own_code(
    tiny_checkpoint: Path, tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_checkpoint, folder)
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    assert look(folder).problem == ""
    (folder / "model_index.json").write_text(json.dumps(index | changed), "utf-8")
    for part in ("unet", "vae"):
        (folder / part / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", "utf-8")
    entry = look(folder)
    assert entry.problem == said
    with pytest.raises(BadWeights, match="holds code"):
        load(entry, "cpu", torch.float32)
    assert not (tmp_path / "ran").exists()


def test_links_and_pipes_are_told_and_never_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").symlink_to(tmp_path / "b.safetensors")
    (tmp_path / "b.safetensors").symlink_to(tmp_path / "a.safetensors")
    (tmp_path / "gone.safetensors").symlink_to(tmp_path / "nowhere")
    (tmp_path / "round").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.ckpt")
    found = {entry.name: entry.problem for entry in Catalogue([tmp_path]).entries()[1:]}
    assert set(found) == {"a", "b", "gone", "pipe"}
    assert found["pipe"] == "no regular file"
    assert all(one_line(problem) for problem in found.values())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_nobody_may_read(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(header({"a": tensor(0, 16)}, bytes(16)))
    path.chmod(0)
    assert "cannot be read" in look(path).problem

"""A merged checkpoint written piece by piece: a single safetensors file, or a diffusers folder, part by part.

Nothing is held but one piece; the header is known before the first number. A value that the number format cannot hold
stops the writing. Knows the format; leaves the values to `streams`, and moving the result into place to `running`.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import torch

from generation import diffusers_folders, headers
from generation.diffusers_folders import PARTS
from generation.errors import BadWeights
from generation.merging import contents, streams
from generation.merging.contents import Held
from generation.merging.sources import RECIPE
from generation.merging.streams import Model, Stream, pieces
from generation.merging.tally import Tally
from generation.merging.weights import rows

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip
# Folders of a pipeline that are copied beside its weights, and what of them.
BESIDE = ("scheduler", "tokenizer", "tokenizer_2", "feature_extractor", *PARTS)
TEXTS = {".json", ".txt", ".model"}
REPORTED = 16  # tensors between two reports


def single(
    stream: Stream, path: Path, precision: str, texts: Mapping[str, str], tally: Tally, report: Report, check: Check
) -> int:
    """Write all of a stream's tensors into one file; returns its bytes. Raises `BadWeights`, OSError as it comes."""
    return _file(stream, stream.trunk.tensors, path, precision, texts, _Counter(stream, report, tally), check)


def folder(
    stream: Stream, path: Path, precision: str, texts: Mapping[str, str], tally: Tally, report: Report, check: Check
) -> int:
    """Write a diffusers folder, configurations and all, into the new folder `path`; returns the weights' bytes."""
    source = Path(stream.trunk.entry.path)
    path.mkdir(parents=True)
    counter = _Counter(stream, report, tally)
    written = 0
    for part in PARTS:
        tensors = {name: held for name, held in stream.trunk.tensors.items() if name.startswith(f"{part}/")}
        if tensors:
            (path / part).mkdir()
            stem = "model" if part.startswith("text_encoder") else "diffusion_pytorch_model"
            file = path / part / f"{stem}.safetensors"
            written += _file(stream, tensors, file, precision, {}, counter, check, f"{part}/")
    _beside(source, path)
    (path / f"{RECIPE}.json").write_text(texts[RECIPE] + "\n", "utf-8")
    return written


def _beside(source: Path, path: Path) -> None:
    """What of a pipeline is no weights. Parts that were not copied are taken out of the index."""
    for part in BESIDE:
        for file in sorted((source / part).glob("*")):
            if file.suffix in TEXTS and file.is_file() and not file.name.endswith(".index.json"):
                (path / part).mkdir(exist_ok=True)
                shutil.copyfile(file, path / part / file.name)
    index = diffusers_folders.read_json(source / "model_index.json")
    index = {
        name: [None, None] if isinstance(value, list) and not (path / name).is_dir() else value
        for name, value in index.items()
    }
    (path / "model_index.json").write_text(json.dumps(index, indent=1) + "\n", "utf-8")
    if (source / "atelier.json").is_file():
        about = diffusers_folders.read_json(source / "atelier.json")
        about.pop("name", None)  # the merge has its folder's
        (path / "atelier.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", "utf-8")


class _Counter:
    """Tensors done, told now and then; and `tally` for those large enough to take the most memory.

    To look at every operation on a thousand small tensors would take longer than the merge.
    """

    def __init__(self, stream: Stream, report: Report, tally: Tally) -> None:
        self._report, self._total, self._done = report, len(stream.trunk.tensors), 0
        self._tally = tally
        largest = max((prod(held.shape) for held in stream.trunk.tensors.values()), default=0)
        self._least = min(largest, streams.PIECE) // 2

    def counted(self, held: Held) -> AbstractContextManager[object]:
        """The context in which a tensor is made."""
        return self._tally if prod(held.shape) >= self._least else nullcontext()

    def step(self) -> None:
        if self._done % REPORTED == 0:
            self._report({"kind": "progress", "stage": "merging", "done": self._done, "total": self._total})
        self._done += 1


def _file(
    stream: Stream,
    tensors: Mapping[str, Held],
    path: Path,
    precision: str,
    texts: Mapping[str, str],
    counter: _Counter,
    check: Check,
    prefix: str = "",
) -> int:
    types = {name: contents.written(held, precision) for name, held in tensors.items()}
    # Wider types first, as safetensors itself sorts, so that every tensor begins at a multiple of its width.
    order = sorted(tensors, key=lambda name: (-headers.WIDTHS[types[name]], name))
    with path.open("wb") as file:
        _header(file, ((name, tensors[name].shape, types[name]) for name in order), texts, prefix)
        for name in order:
            counter.step()
            with counter.counted(tensors[name]):
                for piece in _pieces(stream, name, types[name], tensors[name]):
                    check()
                    # Bytes of the numbers; NumPy knows no bfloat16.
                    file.write(memoryview(piece.contiguous().flatten().view(torch.uint8).numpy()))
        return file.tell()


def _header(
    file: BinaryIO, order: Iterable[tuple[str, tuple[int, ...], str]], texts: Mapping[str, str], prefix: str
) -> None:
    table: dict[str, Any] = {"__metadata__": {"format": "pt", **texts}}
    place = 0
    for name, shape, kind in order:
        size = prod(shape) * headers.WIDTHS[kind]
        table[name.removeprefix(prefix)] = {"dtype": kind, "shape": list(shape), "data_offsets": [place, place + size]}
        place += size
    head = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    head += b" " * (-len(head) % 8)
    file.write(struct.pack("<Q", len(head)) + head)


def _pieces(stream: Stream, name: str, kind: str, held: Held) -> Iterable[torch.Tensor]:
    """A tensor's rows in the type they are written in; whole numbers are the trunk's own."""
    if not held.is_float:
        while not isinstance(stream, Model):
            stream = stream.inputs[0]
        whole = stream.reader.tensor(stream.trunk, name)
        yield rows(whole, 0, whole.shape[0] if whole.dim() else 1, whole.dtype)
        return
    for start, stop in pieces(held.shape):
        found = stream.rows(name, start, stop)
        made = found.to(DTYPES[kind])
        if not bool(torch.isfinite(made.float()).all()):
            if not bool(torch.isfinite(found).all()):
                raise BadWeights(f"{name} of the merge holds values that are no numbers", "Give smaller weights.")
            raise BadWeights(f"{name} of the merge is too large for {kind}", "Give --precision bf16 or fp32.")
        yield made

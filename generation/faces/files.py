"""Where the weights for faces lie, and ONNX files opened: by insightface's and the restorers' own file names.

Looked for under the model folders, wherever a tool keeps them, and in insightface's own folder of the home. Reads one
tensor out of an ONNX file by the protobuf format's rules, which insightface's swapper needs. Nothing is downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from generation.catalogue import Catalogue
from generation.errors import BadWeights

# What is looked for -> (what it is called, the files that do, the best first, all lower case).
ROLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "detector": (
        "the face detector",
        ("det_10g.onnx", "scrfd_10g_bnkps.onnx", "scrfd_10g.onnx", "det_2.5g.onnx", "det_500m.onnx"),
    ),
    "identity": ("the face recogniser", ("w600k_r50.onnx", "glintr100.onnx", "w600k_mbf.onnx")),
    "swapper": ("the face swapper", ("inswapper_128.onnx", "inswapper_128_fp16.onnx")),
    "restorer": (
        "the face restorer",
        ("gfpganv1.4.pth", "gfpganv1.4.onnx", "gfpgan_1.4.onnx", "gfpganv1.3.pth", "gfpganv1.3.onnx",
         "restoreformer.pth", "restoreformer.onnx", "codeformer.onnx", "codeformer-v0.1.0.pth", "codeformer.pth"),
    ),
}  # fmt: skip
HOME = Path("~/.insightface/models")
DEEPEST = 5
FLOAT, DOUBLE, HALF = 1, 11, 10  # element types of an ONNX tensor
TYPES = {FLOAT: np.float32, DOUBLE: np.float64, HALF: np.float16}


def find(role: str, catalogue: Catalogue, wanted: str = "") -> Path:
    """The file of a role, or the one that `wanted` names by path. Raises `BadWeights` that says what to put where."""
    what, names = ROLES[role]
    if wanted:
        path = Path(wanted).expanduser()
        if path.is_file():
            return path
        raise BadWeights(f"there is no file {path}", f"Give {what}'s own, such as {names[0]}.")
    found = {path.name.lower(): path for path in _files((*catalogue.roots, HOME.expanduser()))}
    for name in names:
        if name in found:
            return found[name]
    raise BadWeights(
        f"{what} is not here", f"Put {names[0]} into a folder of studio.models, such as insightface, or into {HOME}."
    )


def _files(roots: tuple[Path, ...]) -> Iterator[Path]:
    for root in roots:
        for folder, folders, names in os.walk(root):
            if len(Path(folder).relative_to(root).parts) >= DEEPEST:
                folders.clear()
            yield from (Path(folder) / name for name in names if name.lower().endswith((".onnx", ".pth")))


def session(path: Path) -> Any:
    """An onnxruntime session on the CPU. Raises `BadWeights` where the package or the file cannot be used."""
    return _session(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _session(path: Path, changed: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise BadWeights("ONNX files need onnxruntime", "Install it: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own that share no root
        reason = " ".join(str(error).split())[:160]
        raise BadWeights(
            f"{path} could not be loaded: {reason}", "Download it again, or choose another file."
        ) from error


def asked(path: Path, *arrays: np.ndarray) -> list[np.ndarray]:
    """The outputs for inputs in the file's own order. Raises `BadWeights` where it takes or gives something else."""
    model = session(path)
    names = [one.name for one in model.get_inputs()]
    try:
        found: list[np.ndarray] = model.run(None, dict(zip(names, arrays, strict=True)))
    except Exception as error:  # as above
        reason = " ".join(str(error).split())[:120]
        raise BadWeights(
            f"{path.name} does not answer as such a model does: {reason}", "Choose another file."
        ) from error
    return found


def last_initializer(path: Path) -> np.ndarray:
    """The last constant of an ONNX graph: of insightface's swapper, [512, 512] that turns an identity into its own.

    ModelProto.graph is field 7, GraphProto.initializer 5; of a TensorProto dims are 1, the type 2, packed floats 4 and
    raw bytes 9 (onnx.proto). Raises `BadWeights`.
    """
    try:
        data = memoryview(np.memmap(path, np.uint8, "r"))  # type: ignore[arg-type]
        graph = next(value for number, value in _fields(data) if number == 7)
        tensor = None
        for number, value in _fields(graph):
            tensor = value if number == 5 else tensor
        assert tensor is not None
        dims: list[int] = []
        kind, raw = FLOAT, memoryview(b"")
        for number, value in _fields(tensor):
            if number == 1:
                dims += [value] if isinstance(value, int) else list(_varints(value))
            elif number == 2:
                kind = value
            elif number in {4, 9}:
                raw = value
        return np.frombuffer(raw, TYPES[kind]).reshape(dims).astype(np.float32)
    except (OSError, ValueError, KeyError, IndexError, StopIteration, AssertionError, TypeError) as error:
        raise BadWeights(f"{path} is no swapper of insightface's", "Choose inswapper_128.onnx.") from error


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """(number, value) of a protobuf message: whole numbers as such, everything else as bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire not in {1, 2, 5}:
            raise ValueError(f"wire type {wire}")
        size = {1: 8, 5: 4}.get(wire, 0)
        if wire == 2:
            size, at = _varint(data, at)
        if at + size > len(data):
            raise ValueError("cut short")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        shift += 7
        if byte < 128:
            return value, at


def _varints(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value

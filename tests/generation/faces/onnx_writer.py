"""Tiny ONNX files written by the format's own rules (onnx.proto), so that no package is needed to make them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

TYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 7, np.dtype(np.float64): 11}


class Node(NamedTuple):
    kind: str
    inputs: Sequence[str]
    output: str


def write(
    path: Path,
    nodes: Sequence[Node],
    inputs: dict[str, tuple[Sequence[int], int]],
    outputs: Sequence[str],
    constants: dict[str, np.ndarray],
) -> Path:
    """`inputs` are name -> (shape, element type); constants are kept in their order."""
    graph = b"".join(
        _bytes(1, b"".join([*(_bytes(1, i.encode()) for i in node.inputs), _bytes(2, node.output.encode()),
                            _bytes(4, node.kind.encode())]))
        for node in nodes
    )  # fmt: skip
    graph += _bytes(2, b"tiny")
    for name, array in constants.items():
        dims = b"".join(_whole(1, side) for side in array.shape)
        kind = _whole(2, TYPES[array.dtype])
        graph += _bytes(5, dims + kind + _bytes(8, name.encode()) + _bytes(9, np.ascontiguousarray(array).tobytes()))
    for name, (shape, kind) in inputs.items():
        graph += _bytes(11, _value(name, shape, kind))
    for name in outputs:
        graph += _bytes(12, _value(name, None, 1))
    model = _whole(1, 8) + _bytes(8, _bytes(1, b"") + _whole(2, 13)) + _bytes(7, graph)
    path.write_bytes(model)
    return path


def _value(name: str, shape: Sequence[int] | None, kind: int) -> bytes:
    tensor = _whole(1, kind)
    if shape is not None:
        tensor += _bytes(2, b"".join(_bytes(1, _whole(1, side)) for side in shape))
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


def _bytes(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _whole(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])

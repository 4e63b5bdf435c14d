"""The tensors that `contents` names, from their files: mapped from the disk, so that only the rows asked for are read.

Leaves what is done with them to `streams`.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from generation import headers, single_files
from generation.errors import BadWeights
from generation.merging.contents import Contents, Held


class Reader:
    """The open files of a merge. A context manager; tensors it gave are no longer good when it is left."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._files: dict[Path, Any] = {}
        # The tensor last asked for of each file: its rows are asked for one piece after another.
        self._last: dict[Path, tuple[str, Tensor]] = {}

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._last.clear()
        self._files.clear()
        self._stack.close()

    def tensor(self, held: Contents, name: str) -> Tensor:
        """A whole tensor in its own number format; pages of the file, not memory. Raises `BadWeights`."""
        place = held.tensors[name]
        last = self._last.get(place.file)
        if last is not None and last[0] == place.name:
            return last[1]
        found = self._opened(place)
        self._last[place.file] = place.name, found
        return found

    def _opened(self, place: Held) -> Tensor:
        try:
            if place.file.suffix.lower() in headers.PICKLES:
                if place.file not in self._files:
                    self._files[place.file] = single_files.read(place.file)
                return self._files[place.file][place.name]  # type: ignore[no-any-return]
            if place.file not in self._files:
                self._files[place.file] = self._stack.enter_context(safe_open(str(place.file), "pt"))
            return self._files[place.file].get_tensor(place.name)  # type: ignore[no-any-return]
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise BadWeights(f"{place.name} of {place.file} cannot be read: {reason}", "Download it again.") from error


def rows(tensor: Tensor, start: int, stop: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Rows of a tensor in the working format, copied; a tensor without sides has one row."""
    piece = tensor[start:stop] if tensor.dim() else tensor
    return piece.to(dtype, copy=True)

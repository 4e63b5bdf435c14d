"""How much memory tensors take at a time: bytes of the storages that operations made and that are still alive.

Mapped files are no memory of ours and are not counted; nor is what one operation takes and gives back inside itself.
The count is the same on every machine, so that a test can hold a bound.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tally(TorchDispatchMode):
    """`peak` is the most bytes alive at once, after any operation inside the context."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._total = 0  # of what is alive, and of what has gone since it was last looked through
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self._mapped: dict[int, StorageWeakRef] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        # The tensors of a file are laid over its pages by this one operation.
        mapped = func is torch.ops.aten.set_.source_Storage
        for tensor in tree_leaves(found):
            if isinstance(tensor, Tensor) and tensor.device.type != "meta":
                self._seen(tensor, mapped)
        if self._total > self.peak:
            self._alive = {key: one for key, one in self._alive.items() if not one[0].expired()}
            self._mapped = {key: one for key, one in self._mapped.items() if not one.expired()}
            self._total = sum(size for _, size in self._alive.values())
            self.peak = max(self.peak, self._total)
        return found

    def _seen(self, tensor: Tensor, mapped: bool) -> None:
        storage = tensor.untyped_storage()
        reference = StorageWeakRef(storage)
        key = reference.cdata
        if mapped:
            self._mapped[key] = reference
            return
        known, former = self._mapped.get(key), self._alive.get(key)
        if (known is None or known.expired()) and (former is None or former[0].expired()):
            self._total += storage.nbytes() - (former[1] if former is not None else 0)
            self._alive[key] = reference, storage.nbytes()

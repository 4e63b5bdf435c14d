"""FreeU (Si et al. 2023, arXiv:2309.11497): the backbone's features stronger, the skips' low frequencies weaker.

diffusers' up blocks compute it where they carry the four numbers; here those are set and taken away again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

# The authors' numbers for each family: (b1, b2, s1, s2).
PRESETS = {"sd15": (1.5, 1.6, 0.9, 0.2), "sd2": (1.4, 1.6, 0.9, 0.2), "sdxl": (1.3, 1.4, 0.9, 0.2)}
NAMES = ("b1", "b2", "s1", "s2")


def numbers(modifiers: Mapping[str, Any], family: str) -> dict[str, float]:
    """The four numbers of a spec's modifiers: those given, the rest of the preset (of `family` with "auto")."""
    chosen = modifiers["freeu"]
    key = chosen if chosen in PRESETS else next((name for name in PRESETS if family.startswith(name)), "sd15")
    return {name: modifiers.get(f"freeu_{name}") or usual for name, usual in zip(NAMES, PRESETS[key], strict=True)}


@contextmanager
def freeu(unet: Any, values: Mapping[str, float]) -> Iterator[None]:
    """While it holds, `unet` computes with FreeU; then every block has the attributes it had."""
    before = [(block, {name: vars(block)[name] for name in values if name in vars(block)}) for block in unet.up_blocks]
    try:
        for block in unet.up_blocks:
            for name, value in values.items():
                setattr(block, name, value)
        yield
    finally:
        for block, old in before:
            for name in values:
                vars(block).pop(name, None)
            vars(block).update(old)

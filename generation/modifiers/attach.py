"""The modifiers that a spec switches on, entered around its render; each leaves the model as it found it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from generation.fitting import base
from generation.modifiers.deepcache import deepcache
from generation.modifiers.freeu import freeu, numbers
from generation.modifiers.merging import merging
from generation.modifiers.refiner import refining
from generation.modifiers.tiling import tiling
from generation.stage import Stage


@contextmanager
def attach(stage: Stage) -> Iterator[None]:
    """Raises `BadSpec` or `BadWeights` for a modifier that this checkpoint cannot have."""
    on = stage.spec.modifiers
    with ExitStack() as stack:
        if on.get("freeu"):
            stack.enter_context(freeu(stage.unet, numbers(on, base(stage.tools.entry.family))))
        if on.get("tiling"):
            across, down = on["tiling"] in {"both", "x"}, on["tiling"] in {"both", "y"}
            stack.enter_context(tiling((stage.unet, stage.tools.pipe.vae), across, down))
        if on.get("token_merging"):
            stack.enter_context(merging(stage, on["token_merging"]))
        if on.get("deepcache"):
            stack.enter_context(deepcache(stage, on["deepcache"], on.get("deepcache_layers", 1)))
        if on.get("refiner"):
            stack.enter_context(refining(stage, on["refiner"], on.get("refiner_switch", 0.8)))
        yield

"""What hangs on a render while it is made: hypernetworks of its prompt, and the attachments that its spec names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module

from generation.attachments import ATTACHMENTS
from generation.catalogue import ModelEntry
from generation.networks.hypernetworks import hypernetworks
from generation.stage import Stage


@contextmanager
def hung(stage: Stage, hypers: Sequence[tuple[ModelEntry, float]]) -> Iterator[None]:
    """While it holds, the stage's UNet has the hypernetworks with their strengths, and the stage its attachments."""
    with ExitStack() as held:
        held.enter_context(hypernetworks(stage.unet, hypers))
        for name, place in ATTACHMENTS.items():
            if getattr(stage.spec, name):
                module, attribute = place.split(":")
                held.enter_context(getattr(import_module(module), attribute)(stage))
        yield

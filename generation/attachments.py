"""What can be hung onto any render beside its operation: controls, references, regions, modifiers; as tables.

Each name is a field of the spec. Where the field holds anything, the engine enters `ATTACHMENTS[name]` around the
operation: a context manager `attach(stage: generation.stage.Stage) -> Iterator[None]` that adds to `stage.steering`,
hooks the UNet, or loads what it needs through `stage.tools`, and leaves everything as it was. Listing loads nothing.
"""

from __future__ import annotations

from generation.parameters import Parameter

ATTACHMENTS: dict[str, str] = {}

MODIFIERS: tuple[Parameter, ...] = ()
CONTROL: tuple[Parameter, ...] = ()
REFERENCE: tuple[Parameter, ...] = ()
REGION: tuple[Parameter, ...] = ()
# Field of the spec -> (the table of one of its entries, what messages call it).
PARTS: dict[str, tuple[tuple[Parameter, ...], str]] = {
    "controls": (CONTROL, "a control"),
    "references": (REFERENCE, "a reference"),
    "regions": (REGION, "a region"),
}

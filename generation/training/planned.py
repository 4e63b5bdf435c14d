"""A training's plan as data: the model, the machine, and what would happen to every picture.

Knows its plain form. Leaves making it to `plan`, and what is worth saying about it to `plan_remarks`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from generation.training import footprint
from generation.training.buckets import Placed, Size
from generation.training.datasets import Dataset, Picture, Remark

LESS = 0.01  # share of the pictures that another way of making buckets must save to be proposed


@dataclass(frozen=True)
class Base:
    """The model that is trained: `family` as the catalogue tells it, `side` its own resolution in pixels, `unet` the
    numbers its UNet has (0 unknown)."""

    name: str
    family: str
    side: int
    unet: int = 0

    @property
    def small(self) -> bool:
        return self.family.endswith("-small")


@dataclass(frozen=True)
class Machine:
    """`device` cuda, mps or cpu; `memory` its bytes, or those asked about, None unknown; `speed` TFLOP/s of a training
    step (None leaves the time out), `start` seconds that any step takes; `eight_bit`: bitsandbytes is there."""

    device: str = "cpu"
    memory: int | None = None
    speed: float | None = None
    start: float = 0.0
    eight_bit: bool = False


@dataclass(frozen=True)
class Plan:
    """`placed` goes with `pictures`, None for one that fits no bucket; `repeats` is the mean where folders differ.

    `crop_loss` is the mean share cropped off, `unenlarged` the same and the buckets' sizes without enlarging, `memory`
    bytes at the peak, `seconds` None where the speed is not known. `sources` says where each setting came from.
    """

    dataset: Dataset
    base: Base
    kind: str
    subject: str
    settings: dict[str, Any]
    sources: dict[str, str]
    pictures: tuple[Picture, ...]
    placed: tuple[Placed | None, ...]
    repeats: float
    steps: int
    memory: int
    fits: bool
    seconds: float | None
    crop_loss: float
    unenlarged: tuple[float, Counter[Size]]
    remarks: tuple[Remark, ...]

    @property
    def buckets(self) -> Counter[Size]:
        """How many pictures each bucket has."""
        return Counter(one.bucket for one in self.placed if one)

    @property
    def proposes_unenlarged(self) -> bool:
        """Whether less is cropped off where no picture is enlarged."""
        return self.settings["upscale"] and self.crop_loss - self.unenlarged[0] >= LESS

    def to_json(self) -> dict[str, Any]:
        """Plain data; sizes are [width, height], losses shares of 0 to 1, memory GiB."""
        repeats = int(self.repeats) if self.repeats == int(self.repeats) else round(self.repeats, 2)
        return {
            "dataset": str(self.dataset.path),
            "layout": self.dataset.layout,
            "model": self.base.name,
            "family": self.base.family,
            "kind": self.kind,
            "preset": self.subject,
            "images": sum(1 for one in self.placed if one),
            "regularisation": len(self.dataset.regularisation),
            "repeats": repeats,
            "epochs": self.settings["epochs"],
            "steps": self.steps,
            "buckets": _listed(self.buckets),
            "crop_loss": round(self.crop_loss, 4),
            "no_upscale": {
                "crop_loss": round(self.unenlarged[0], 4),
                "buckets": _listed(self.unenlarged[1]),
                "proposed": self.proposes_unenlarged,
            },
            "memory_gb": round(self.memory / footprint.GIB, 2),
            "fits": self.fits,
            "seconds_estimate": None if self.seconds is None else round(self.seconds, 1),
            "settings": self.settings,
            "sources": self.sources,
            "pictures": [
                {
                    "path": str(picture.path),
                    "size": [picture.width, picture.height],
                    "bucket": list(placed.bucket) if placed else None,
                    "crop_loss": round(placed.loss, 4) if placed else None,
                    "caption": picture.caption or picture.tokens,
                }
                for picture, placed in zip(self.pictures, self.placed, strict=True)
            ],
            "remarks": [vars(remark) for remark in self.remarks],
        }


def _listed(buckets: Counter[Size]) -> list[dict[str, Any]]:
    return [{"size": list(size), "count": count} for size, count in sorted(buckets.items())]

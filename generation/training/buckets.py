"""Buckets: the sizes that pictures of many shapes are trained at, and what is cropped off each.

The arithmetic of kohya-ss/sd-scripts (`make_bucket_resolutions`, `BucketManager.select_bucket`), since a training is
compared with the ones of that tool. Knows numbers alone; leaves files to `datasets`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from generation.errors import BadSpec

Size = tuple[int, int]
MOST = 4096  # pixels of a side that is trained at


@dataclass(frozen=True)
class Rules:
    """`resolution` (width, height) is the area in pixels that a bucket may fill; sides lie between `smallest` and
    `largest` and are multiples of `step`. Without `upscale` a picture keeps its size up to that area, and `smallest`
    and `largest` do not count, as in sd-scripts. Raises `BadSpec` for rules that leave no bucket.
    """

    resolution: Size = (512, 512)
    smallest: int = 256
    largest: int = 1024
    step: int = 64
    upscale: bool = True

    def __post_init__(self) -> None:
        if not all(64 <= side <= MOST for side in self.resolution):
            width, height = self.resolution
            raise BadSpec(f"a resolution of {width}x{height} cannot be trained at", f"Give 64 to {MOST}.")
        if not 8 <= self.step <= 512 or self.step % 8:
            raise BadSpec(f"buckets cannot go in steps of {self.step}", "Give a multiple of 8 up to 512, such as 64.")
        if not 8 <= self.smallest <= self.largest <= MOST:
            raise BadSpec(
                f"buckets cannot have sides of {self.smallest} to {self.largest}",
                f"Give 8 to {MOST}, the smaller one first.",
            )
        if self.smallest % self.step or self.largest % self.step:
            raise BadSpec(
                f"sides of {self.smallest} to {self.largest} are no multiples of {self.step}",
                "Give multiples of the step.",
            )
        if self.step > math.isqrt(self.area):
            raise BadSpec(f"a step of {self.step} is larger than the resolution", "Give a smaller step.")

    @property
    def area(self) -> int:
        return self.resolution[0] * self.resolution[1]


@dataclass(frozen=True)
class Placed:
    """A picture in its bucket: brought to `resized`, which covers it, then cropped around the middle to `bucket`.

    Sizes are (width, height). `ar_error` is the bucket's width by height less the picture's; `scale` is how often the
    picture's height goes into the resized one, above 1 where it is enlarged.
    """

    bucket: Size
    resized: Size
    ar_error: float
    scale: float

    @property
    def loss(self) -> float:
        """Share of the picture that is cropped off, 0 to 1."""
        return 1 - self.bucket[0] * self.bucket[1] / (self.resized[0] * self.resized[1])


@lru_cache(maxsize=64)
def sizes(rules: Rules) -> tuple[Size, ...]:
    """The buckets there are with `upscale`, by width and height: the square, and each side with its longest partner."""
    side = math.isqrt(rules.area) // rules.step * rules.step
    found = {(side, side)}
    for width in range(rules.smallest, rules.largest + 1, rules.step):
        height = min(rules.largest, rules.area // width // rules.step * rules.step)
        if height >= rules.smallest:
            found |= {(width, height), (height, width)}
    return tuple(sorted(found))


def place(width: int, height: int, rules: Rules) -> Placed:
    """The bucket of a picture of this size in pixels.

    With `upscale` a bucket of exactly this size, else the one whose width by height is nearest (the difference of the
    quotients: a tall picture's buckets lie closer together than a wide one's). Raises `BadSpec` for a picture of no
    size, or one too thin for a bucket without `upscale`.
    """
    if width < 1 or height < 1:
        raise BadSpec(f"a picture of {width}x{height} has no size", "Leave it out.")
    shape = width / height
    bucket, resized = _nearest(width, height, rules) if rules.upscale else _own(width, height, rules)
    return Placed(bucket, resized, bucket[0] / bucket[1] - shape, resized[1] / height)


def _nearest(width: int, height: int, rules: Rules) -> tuple[Size, Size]:
    there, shape = sizes(rules), width / height
    bucket = (width, height)
    if bucket not in there:
        bucket = min(there, key=lambda size: abs(size[0] / size[1] - shape))
    scale = bucket[1] / height if shape > bucket[0] / bucket[1] else bucket[0] / width
    return bucket, (_whole(width * scale), _whole(height * scale))


def _own(width: int, height: int, rules: Rules) -> tuple[Size, Size]:
    shape, resized = width / height, (width, height)
    if width * height > rules.area:
        full = math.sqrt(rules.area * shape)
        by_width, by_height = _stepped(full, rules), _stepped(rules.area / full, rules)
        other_height, other_width = _stepped(by_width / shape, rules), _stepped(by_height * shape, rules)
        _refuse_thin(width, height, (by_width, other_height), rules)
        _refuse_thin(width, height, (other_width, by_height), rules)
        # One side is brought to a multiple exactly; which one is left whole keeps the shape better.
        if abs(by_width / other_height - shape) < abs(other_width / by_height - shape):
            resized = (by_width, _whole(by_width / shape))
        else:
            resized = (_whole(by_height * shape), by_height)
    bucket = (resized[0] // rules.step * rules.step, resized[1] // rules.step * rules.step)
    _refuse_thin(width, height, bucket, rules)
    return bucket, resized


def _refuse_thin(width: int, height: int, bucket: Size, rules: Rules) -> None:
    if not all(bucket):
        raise BadSpec(
            f"a picture of {width}x{height} has a side under one step of {rules.step} pixels",
            "Leave it out, or let it be enlarged.",
        )


def _whole(value: float) -> int:
    return int(value + 0.5)


def _stepped(value: float, rules: Rules) -> int:
    return _whole(value) // rules.step * rules.step

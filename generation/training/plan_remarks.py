"""What a plan is worth saying to the person: crops, small pictures, missing captions, mixed shapes, the class.

Knows what is usual and how it is put. Leaves figures to `plan` and how pictures look to `checks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from generation.training.datasets import Remark

if TYPE_CHECKING:
    from generation.training.planned import Plan

CROPPED = 0.05  # share of a picture that is told when it is cropped off
ENLARGED = 1.25  # times that a picture may be enlarged without a remark
# What each kind of remark is about, in the order in which they are shown.
TITLES = {
    "memory": "Does not fit as it is",
    "damaged": "Cannot be read",
    "format": "Of another format",
    "line": "Lines that name no picture",
    "layout": "Outside the layout",
    "repeats": "Repeats",
    "shape": "Too thin",
    "duplicate": "There twice",
    "blurred": "Blurred",
    "small": "Too small",
    "crop": "Cropped",
    "caption": "Captions",
    "aspect": "Mixed shapes",
    "upscale": "Proposed",
    "prior": "Pictures of the class",
}


def of(made: Plan) -> list[Remark]:
    """What the sizes and captions are worth saying."""
    remarks = []
    for picture, one in zip(made.pictures, made.placed, strict=True):
        path = str(picture.path)
        if one is None:
            message = f"{picture.width}x{picture.height} is too thin for a bucket: left out"
            remarks.append(Remark("shape", path, message))
            continue
        bucket = "x".join(map(str, one.bucket))
        if one.scale > ENLARGED:
            message = f"{picture.width}x{picture.height} is too small: enlarged {one.scale:.1f} times to {bucket}"
            remarks.append(Remark("small", path, message))
        if one.loss > CROPPED:
            remarks.append(Remark("crop", path, f"loses {one.loss:.1%} to {bucket}"))
    silent = [picture for picture in made.pictures if not picture.caption]
    for picture in silent:
        said = f'"{picture.tokens}" stands in' if picture.tokens else "it is learned without words"
        remarks.append(Remark("caption", str(picture.path), f"has no caption: {said}"))
    batch = made.settings["batch"]
    few = [size for size, count in made.buckets.items() if count < batch]
    if len(made.buckets) > 1 and few:
        sizes = ", ".join(f"{width}x{height}" for width, height in sorted(few))
        message = f"{len(few)} of {len(made.buckets)} buckets hold less than a batch of pictures ({sizes})"
        remarks.append(Remark("aspect", "", message))
    if made.proposes_unenlarged:
        less, buckets = made.unenlarged
        message = (
            f"without enlarging {less:.1%} is cropped off instead of {made.crop_loss:.1%}, in {len(buckets)} buckets "
            f"instead of {len(made.buckets)}: set upscale to no"
        )
        remarks.append(Remark("upscale", "", message))
    return [*remarks, *_prior(made)]


def _prior(made: Plan) -> list[Remark]:
    wanted = made.settings.get("prior_images", 0) if made.settings.get("prior_weight") else 0
    there = len(made.dataset.regularisation)
    if wanted <= there:
        return []
    missing = wanted - there
    if not made.settings["class_prompt"]:
        message = f"{missing} pictures of the class would be made, but no class is named: set class_prompt"
    else:
        message = f'{missing} pictures of "{made.settings["class_prompt"]}" are made first'
    return [Remark("prior", "", message)]

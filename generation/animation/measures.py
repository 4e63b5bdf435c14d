"""How steady a video is, in numbers: warp error, consistency, motion, flicker.

Knows the measures and their units; a still picture wins all of them but motion, which is why it always stands beside
them. Frames come one by one. Leaves reading to `clips`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from transformers import CLIPVisionModelWithProjection

from generation.animation import flow as flows
from generation.animation.colour import to_floats
from generation.errors import BadVideo, BadWeights

Array = NDArray[Any]
Bytes = NDArray[np.uint8]
Check = Callable[[], None]
LARGEST = 512  # pixels of the longer side that is measured at
BLOCKS = 16  # blocks a side whose brightness tells flicker from texture
THUMBNAIL = 32
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Measures:
    """Of `frames` frames.

    `warp_error`: mean squared difference, values of 0 to 255, between each frame and the next brought back along the
    flow, where that is sure (Lai et al. 2018, arXiv:1808.00449). `flow_of` says whose flow it was: the source's or the
    video's own. `motion`: mean length of the video's own flow, percent of the diagonal a frame. `flicker`: mean second
    difference of the brightness of 16x16 blocks, values of 0 to 255. `consistency`: mean cosine between neighbours, by
    CLIP's picture embeddings where `consistency_by` is "clip", else of grey thumbnails without their mean: a stand-in
    that knows nothing of what is shown. `sure`: share of the pixels that warp error counts.
    """

    frames: int
    warp_error: float
    flow_of: str
    motion: float
    flicker: float
    consistency: float
    consistency_by: str
    sure: float

    def to_json(self) -> dict[str, Any]:
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}


def measure(
    frames: Iterable[Bytes],
    source: Iterable[Bytes] | None = None,
    *,
    clip: Path | None = None,
    check: Check = lambda: None,
) -> Measures:
    """The measures of frames [h, w, 3] of 0..255, against those of a source where there is one.

    Where the source is shorter, as many are measured as it has. `clip` is a folder of a CLIP model in transformers'
    layout. Raises `BadVideo` for fewer than two frames, `BadWeights` for the folder.
    """
    embed = _clip(clip) if clip is not None else _thumbnail
    pairs: Iterator[tuple[Bytes, Bytes]] = (
        zip(frames, source, strict=False) if source is not None else ((f, f) for f in frames)
    )
    pair, bend = np.zeros(4), np.zeros(1)
    before: tuple[Array, Array, Array] | None = None
    lights: list[Array] = []
    count = 0
    for frame, other in pairs:
        check()
        count += 1
        now = _small(frame)
        like = now if source is None else _small(other, now.shape[:2])
        vector = embed(now)
        lights = [*lights[-2:], _lights(now)]
        if before is not None:
            pair += (*_between(before[0], now, before[1], like, own=source is None), float(before[2] @ vector))
        if len(lights) == 3:
            bend += np.abs(lights[2] - 2 * lights[1] + lights[0]).mean()
        before = now, like, vector
    if count < 2:
        raise BadVideo("a video of fewer than two frames has nothing to measure", "Choose a longer one.")
    error, sure, motion, cosine = (float(value) for value in pair / (count - 1))
    return Measures(
        count,
        error,
        "video" if source is None else "source",
        motion,
        float(bend[0]) / max(count - 2, 1),
        cosine,
        "thumbnails" if clip is None else "clip",
        sure,
    )


def _between(
    one: Array, other: Array, from_source: Array, to_source: Array, *, own: bool
) -> tuple[float, float, float]:
    """(warp error, share of sure pixels, motion) of two neighbours."""
    way = flows.flow(from_source, to_source)
    sure = flows.seen(way, flows.flow(to_source, from_source))
    apart = ((one - flows.along(other, way)) * 255) ** 2
    error = float(apart.mean(-1)[sure].mean()) if sure.any() else 0.0
    moved = way if own else flows.flow(one, other)
    diagonal = float(np.hypot(*one.shape[:2]))
    return error, float(sure.mean()), float(np.linalg.norm(moved, axis=-1).mean()) / diagonal * 100


def _small(frame: Bytes, shape: tuple[int, ...] | None = None) -> Array:
    """[h, w, 3] in 0..1, no larger than is measured at, or as `shape`."""
    height, width = frame.shape[:2]
    scale = min(LARGEST / max(height, width), 1.0)
    size = (shape[1], shape[0]) if shape else (max(round(width * scale), 1), max(round(height * scale), 1))
    if size != (width, height):
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
    return to_floats(frame)


def _lights(picture: Array) -> Array:
    return np.asarray(cv2.resize(picture.mean(-1), (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)) * 255


def _thumbnail(picture: Array) -> Array:
    grey = np.asarray(cv2.resize(picture.mean(-1), (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)).ravel()
    grey = grey - grey.mean()
    length = np.linalg.norm(grey)
    # A picture of one brightness is like any other of that kind.
    return grey / length if length > 1e-6 else np.full_like(grey, 1 / np.sqrt(grey.size))


def _clip(folder: Path) -> Callable[[Array], Array]:
    folder = folder.expanduser()
    hint = "Give a folder of a CLIP model in transformers' layout, such as clip-vit-base-patch32."
    if not (folder / "config.json").is_file():
        raise BadWeights(f"{folder} is no folder of a model: config.json is missing", hint)
    try:
        model = CLIPVisionModelWithProjection.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
        ).eval()
    # transformers answers a folder of another kind and damage with errors of many kinds.
    except Exception as error:
        raise BadWeights(f"{folder} cannot be used as CLIP: {' '.join(str(error).split())[:120]}", hint) from error
    side = int(model.config.image_size)
    mean, std = np.array(CLIP_MEAN, np.float32), np.array(CLIP_STD, np.float32)

    @torch.no_grad()
    def embed(picture: Array) -> Array:
        scale = side / min(picture.shape[:2])
        size = (max(round(picture.shape[1] * scale), side), max(round(picture.shape[0] * scale), side))
        shown = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC))
        left, top = (size[0] - side) // 2, (size[1] - side) // 2
        shown = (shown[top : top + side, left : left + side] - mean) / std
        vector = model(pixel_values=torch.from_numpy(shown).permute(2, 0, 1)[None].float()).image_embeds[0].numpy()
        return np.asarray(vector / np.linalg.norm(vector))

    return embed

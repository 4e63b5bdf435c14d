"""Clips as a training sees them: videos with captions beside them, latents of every frame, windows drawn by number.

A dataset of clips is a folder of videos (any that ffmpeg reads) and of folders of frames; the caption of `cat.mp4` is
`cat.txt` or `cat.caption`, that of the folder `cat` as well. Of each clip frames are taken at the training's frame rate
and encoded once; a batch draws a window of frames from each of its clips. Leaves captions to `captions` and the rest to
`examples`, whose pictures these are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from generation.animation.clips import PICTURES, Clip, resized
from generation.errors import BadSpec, BadVideo
from generation.training import TrainingFailed, captions
from generation.training.datasets import Dataset, Picture, Remark
from generation.training.examples import Batch, Examples, Item, plain, size_ids
from generation.training.texts import Texts

Check = Callable[[], None]
VIDEOS = frozenset({".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".gif", ".apng"})
MOST = 20_000  # clips
ENCODED = 8  # frames at once


def read(path: Path, check: Check = lambda: None) -> Dataset:
    """The clips at `path`, each as a `Picture` of its first frame's size; what cannot be used is left out and told.

    Raises `BadSpec` where no clip is found.
    """
    path = path.expanduser().absolute()
    if not path.is_dir():
        raise BadSpec(f"there is no folder {path}", "Name a folder of videos.")
    found: list[Picture] = []
    remarks: list[Remark] = []
    try:
        places = sorted(one for one in path.iterdir() if not one.name.startswith("."))
    except OSError as error:
        raise BadSpec(f"{path} cannot be read: {error.strerror}", "Check its rights.") from error
    for place in places[:MOST]:
        check()
        if not (_holds_frames(place) if place.is_dir() else place.suffix.lower() in VIDEOS):
            continue
        try:
            clip = Clip(place)
        except BadVideo as error:
            remarks.append(Remark("damaged", str(place), f"{error.message}: left out"))
            continue
        caption, _ = captions.beside(place)
        if not caption:
            remarks.append(Remark("caption", str(place), "has no caption"))
        found.append(Picture(place, clip.width, clip.height, caption))
    if not found:
        why = f": {remarks[0].message}" if remarks else ""
        raise BadSpec(f"{path} holds no clip to train on{why}", "Put videos there, captions beside them.")
    return Dataset(path, "folder", tuple(found), tuple(remarks), ())


def _holds_frames(folder: Path) -> bool:
    return any(one.suffix.lower() in PICTURES for one in folder.iterdir())


class Clips(Examples):
    """Clips with their latents and texts; batches have `frames` latents for each clip, one behind the other."""

    def __init__(self, found: list[Item], *given: Any, frames: int, frame_rate: float, **further: Any) -> None:
        self._frames, self._rate = frames, frame_rate
        super().__init__(found, *given, **further)

    def batch(self, number: int, step: int = 0) -> Batch:
        """As of pictures; where in each clip its window begins depends on the number alone."""
        epoch, within = divmod(number, self.batches)
        chosen = self._order(epoch)[within]
        rng = Random(f"{self._seed}-{number}")
        windows = []
        for one in chosen:
            mirrored = self._flip and rng.random() < 0.5
            whole = self._latent(one, mirrored)
            begin = rng.randrange(len(whole) - self._frames + 1)
            windows.append(whole[begin : begin + self._frames])
        texts = self._encoded([self._caption(one, epoch, step) for one in chosen])
        return self._of_clips(chosen, windows, texts)

    def all(self) -> list[Batch]:
        """The first window of every clip, one a batch."""
        found = []
        for number, item in enumerate(self.items):
            texts = self._encoded([plain(item.picture, self._rules)])
            found.append(self._of_clips([number], [self._latent(number, False)[: self._frames]], texts))
        return found

    def _of_clips(self, chosen: list[int], windows: list[Tensor], texts: Texts) -> Batch:
        pooled = None if texts.pooled is None else texts.pooled.repeat_interleave(self._frames, 0)
        told = Texts(texts.embeds.repeat_interleave(self._frames, 0), pooled)
        ids = torch.tensor([size_ids(self.items[n]) for n in chosen]).repeat_interleave(self._frames, 0)
        return Batch(torch.cat(windows), told, ids, self._of(chosen))

    def _encode(self, number: int, mirrored: bool) -> Tensor:
        """[frames, c, h, w] of the whole clip at the training's frame rate. Raises `BadSpec` for one that is too short,
        `TrainingFailed` for latents that are no numbers."""
        item = self.items[number]
        found, waiting = [], []
        for picture in taken(Clip(item.picture.path), self._rate):
            fitted = resized(picture, item.placed.bucket).astype(np.float32) / 255
            waiting.append(np.ascontiguousarray(fitted[:, ::-1]) if mirrored else fitted)
            if len(waiting) == ENCODED:
                found.append(self._autoencoder.encode(np.stack(waiting)).cpu())
                waiting = []
        if waiting:
            found.append(self._autoencoder.encode(np.stack(waiting)).cpu())
        latents = torch.cat(found)
        name = item.picture.path.name
        if len(latents) < self._frames:
            raise BadSpec(
                f"{name} has {len(latents)} frames at {self._rate:g} a second, and a clip {self._frames}",
                "Take it out, or train with fewer frames or a higher frame rate.",
            )
        if not bool(torch.isfinite(latents).all()):
            raise TrainingFailed(f"the latents of {name} are no numbers", "Train with precision fp32 or bf16.")
        return latents

    def _key(self, item: Item, mirrored: bool) -> str:
        path = item.picture.path
        if path.is_dir():
            content = " ".join(f"{one.name} {one.stat().st_size} {one.stat().st_mtime_ns}"
                               for one in sorted(path.iterdir()))  # fmt: skip
        else:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        said = f"clip {content} {item.placed.bucket} {mirrored} {self._rate:g} {self._identity}"
        return hashlib.sha256(said.encode()).hexdigest()[:32]


def taken(clip: Clip, rate: float) -> Any:
    """The frames [h, w, 3] of a clip at `rate` a second: the one that is shown at each moment."""
    due = 0.0
    for number, frame in enumerate(clip):
        while number / clip.fps >= due - 1e-6:
            yield frame
            due += 1 / rate

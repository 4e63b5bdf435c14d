"""A dataset as a training sees it: latents by bucket, captions drawn and encoded, batches by number.

Each picture is brought to its bucket (covered, cropped around the middle) and encoded once; latents lie on disk by what
they depend on, so that a second training of the same pictures begins at once. Texts are encoded once as well where no
encoder learns. A batch depends on its number and the seed alone, which is what lets a training go on to the same bits.
Leaves what is done with a batch to `loop`.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from generation.autoencoder import Autoencoder
from generation.errors import BadSpec
from generation.pictures import read, to_array
from generation.training import TrainingFailed
from generation.training.buckets import Placed, Rules, Size, place
from generation.training.captions import CaptionRules, drawn
from generation.training.datasets import Picture
from generation.training.texts import Reader, Texts, joined

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
ENCODED = 16  # captions at once
REMEMBERED = 20_000  # encoded captions; one of SD 1.5 takes 0.24 MB, of SDXL 0.63


@dataclass(frozen=True)
class Batch:
    """`latents` [n, c, h, w] as the UNet sees them, `texts` of n captions, `time_ids` [n, 6] for SDXL."""

    latents: Tensor
    texts: Texts
    time_ids: Tensor
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Item:
    """A picture in its bucket; `repeats` is how often an epoch shows it."""

    picture: Picture
    placed: Placed
    repeats: int


def items(pictures: Sequence[Picture], rules: Rules, repeats: int, note: Callable[[str], None]) -> list[Item]:
    """The pictures that have a bucket; of the others `note` is told. Raises `BadSpec` where none is left."""
    found = []
    for picture in pictures:
        try:
            placed = place(picture.width, picture.height, rules)
        except BadSpec as error:
            note(f"{picture.path.name} is left out: {error.message}")
            continue
        found.append(Item(picture, placed, picture.repeats or repeats))
    if not found:
        raise BadSpec("no picture has a bucket", "Let pictures be enlarged, or use larger ones.")
    return found


def pixels(item: Item) -> np.ndarray:
    """[h, w, 3] float32 in 0..1 of a picture in its bucket. Raises `BadImage`."""
    image = _opaque(read(item.picture.path))
    if image.size != item.placed.resized:
        image = image.resize(item.placed.resized, Image.Resampling.LANCZOS)
    width, height = item.placed.bucket
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return to_array(image.crop((left, top, left + width, top + height)))


def _opaque(image: Image.Image) -> Image.Image:
    """RGB; what is transparent stands before white, as a cut-out is looked at."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    whole = image.convert("RGBA")
    white = Image.new("RGBA", whole.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, whole).convert("RGB")


class Examples:
    """Items with their latents and texts.

    `identity` names the autoencoder. `cached` is whether latents are kept; without it every picture is read and encoded
    each time that it is seen, as captions are without `texts_cached`.
    """

    def __init__(
        self,
        found: Sequence[Item],
        autoencoder: Autoencoder,
        reader: Reader,
        rules: CaptionRules,
        folder: Path,
        *,
        identity: str,
        batch: int = 1,
        flip: bool = False,
        variants: int = 8,
        cached: bool = True,
        texts_cached: bool = True,
        seed: int = 0,
        report: Report = lambda event: None,
        check: Check = lambda: None,
    ) -> None:
        self.items = list(found)
        self._autoencoder, self._reader, self._rules = autoencoder, reader, rules
        self._folder, self._identity = folder, identity
        self._batch, self._flip, self._variants, self._seed = batch, flip, variants, seed
        self._cached, self._texts_cached = cached, texts_cached
        self._latents: dict[tuple[int, bool], Tensor] = {}
        self._texts: OrderedDict[str, Texts] = OrderedDict()
        self._groups = _grouped(self.items)
        if cached:
            self._encode_all(report, check)
        if texts_cached:
            self._read_all(report, check)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def batches(self) -> int:
        """In an epoch: buckets do not mix, so that each may end with a smaller batch."""
        return sum(math.ceil(len(numbers) / self._batch) for numbers in self._groups.values())

    def batch(self, number: int, step: int = 0) -> Batch:
        """The batch of that number, counted over all epochs; `step` lets tags warm up."""
        epoch, within = divmod(number, self.batches)
        chosen = self._order(epoch)[within]
        rng = Random(f"{self._seed}-{number}")
        mirrored = [self._flip and rng.random() < 0.5 for _ in chosen]
        latents = torch.stack([self._latent(n, side) for n, side in zip(chosen, mirrored, strict=True)])
        texts = self._encoded([self._caption(n, epoch, step) for n in chosen])
        return Batch(latents, texts, torch.tensor([size_ids(self.items[n]) for n in chosen]), self._of(chosen))

    def all(self) -> list[Batch]:
        """Every picture once, unchanged, in batches: what validation looks at."""
        found = []
        for numbers in self._groups.values():
            once = sorted(set(numbers))
            for begin in range(0, len(once), self._batch):
                chosen = once[begin : begin + self._batch]
                latents = torch.stack([self._latent(n, False) for n in chosen])
                texts = self._encoded([plain(self.items[n].picture, self._rules) for n in chosen])
                found.append(
                    Batch(latents, texts, torch.tensor([size_ids(self.items[n]) for n in chosen]), self._of(chosen))
                )
        return found

    def _of(self, numbers: Sequence[int]) -> tuple[Picture, ...]:
        return tuple(self.items[n].picture for n in numbers)

    def _order(self, epoch: int) -> list[list[int]]:
        return _ordered(tuple(tuple(numbers) for numbers in self._groups.values()), self._batch, self._seed, epoch)

    def _caption(self, number: int, epoch: int, step: int) -> str:
        variant = epoch % self._variants if self._variants else epoch
        rng = Random(f"{self._seed}-{number}-{variant}")
        every = self._rules.dropout_every_epochs
        # Which epochs have no captions at all counts epochs, not variants.
        told = epoch if every else variant
        picture = self.items[number].picture
        return drawn(picture.caption or picture.tokens, self._rules, rng, step=step, epoch=told)

    def _encoded(self, captions: Sequence[str]) -> Texts:
        if not self._texts_cached:
            return self._reader(captions)
        missing = list(dict.fromkeys(text for text in captions if text not in self._texts))
        self._remember(missing)
        return joined([self._texts[text] for text in captions])

    @torch.no_grad()
    def _remember(self, captions: Sequence[str]) -> None:
        for begin in range(0, len(captions), ENCODED):
            part = captions[begin : begin + ENCODED]
            made = self._reader(part).to("cpu")
            for number, text in enumerate(part):
                self._texts[text] = made.rows([number])
        while len(self._texts) > REMEMBERED:
            self._texts.popitem(last=False)

    def _read_all(self, report: Report, check: Check) -> None:
        """Encode what the first epochs will ask for; with a warm-up of tags, as it comes."""
        if self._rules.warmup_steps:
            return
        wanted: dict[str, None] = {}
        epochs = self._variants or 1
        if self._rules.dropout_every_epochs:
            epochs = max(epochs, self._rules.dropout_every_epochs + 1)
        for epoch in range(epochs):
            for number in range(len(self.items)):
                wanted.setdefault(self._caption(number, epoch, 0))
                if len(wanted) >= REMEMBERED // 2:
                    break
        texts = list(wanted)
        for begin in range(0, len(texts), ENCODED):
            check()
            report({"kind": "progress", "stage": "captions", "done": begin, "total": len(texts)})
            self._remember(texts[begin : begin + ENCODED])

    # Latents

    def _latent(self, number: int, mirrored: bool) -> Tensor:
        if self._cached:
            return self._latents[number, mirrored]
        return self._encode(number, mirrored)

    def _encode(self, number: int, mirrored: bool) -> Tensor:
        made = pixels(self.items[number])
        if mirrored:
            made = np.ascontiguousarray(made[:, ::-1])
        latent = self._autoencoder.encode(made[None])[0].cpu()
        if not bool(torch.isfinite(latent).all()):
            raise TrainingFailed(
                f"the latents of {self.items[number].picture.path.name} are no numbers",
                "The VAE overflows in half precision: train with precision fp32 or bf16, or choose another VAE.",
            )
        return latent

    def _encode_all(self, report: Report, check: Check) -> None:
        sides = (False, True) if self._flip else (False,)
        total = len(self.items) * len(sides)
        for number, item in enumerate(self.items):
            check()
            report({"kind": "progress", "stage": "latents", "done": number * len(sides), "total": total})
            for mirrored in sides:
                path = self._folder / f"{self._key(item, mirrored)}.npy"
                found = _kept(path)
                if found is None:
                    found = self._encode(number, mirrored)
                    _keep(path, found)
                self._latents[number, mirrored] = found

    def _key(self, item: Item, mirrored: bool) -> str:
        """What latents depend on: the file's bytes, its place in a bucket, and the autoencoder."""
        content = hashlib.sha256(item.picture.path.read_bytes()).hexdigest()
        said = f"{content} {item.placed.resized} {item.placed.bucket} {mirrored} {self._identity}"
        return hashlib.sha256(said.encode()).hexdigest()[:32]


def _grouped(found: Sequence[Item]) -> dict[Size, list[int]]:
    """Numbers of items by bucket, each as often as an epoch shows it."""
    groups: dict[Size, list[int]] = {}
    for number, item in enumerate(found):
        groups.setdefault(item.placed.bucket, []).extend([number] * item.repeats)
    return dict(sorted(groups.items()))


@lru_cache(maxsize=4)
def _ordered(groups: tuple[tuple[int, ...], ...], batch: int, seed: int, epoch: int) -> list[list[int]]:
    """The batches of an epoch: each bucket in an order of its own, then the batches in one."""
    rng = np.random.default_rng([seed, epoch])
    found = []
    for numbers in groups:
        mixed = [int(n) for n in rng.permutation(np.array(numbers))]
        found += [mixed[begin : begin + batch] for begin in range(0, len(mixed), batch)]
    return [found[int(n)] for n in rng.permutation(len(found))]


def plain(picture: Picture, rules: CaptionRules) -> str:
    """A caption as a person would write it: with prefix and suffix, and nothing left out."""
    always = CaptionRules(prefix=rules.prefix, suffix=rules.suffix, separator=rules.separator)
    return drawn(picture.caption or picture.tokens, always, Random(0), step=0, epoch=0)


def size_ids(item: Item) -> list[float]:
    """SDXL's six numbers (Podell et al. 2023, arXiv:2307.01952): own size, where the crop begins, size trained at."""
    (width, height), (resized_width, resized_height) = item.placed.bucket, item.placed.resized
    top, left = (resized_height - height) // 2, (resized_width - width) // 2
    return [float(n) for n in (item.picture.height, item.picture.width, top, left, height, width)]


def _kept(path: Path) -> Tensor | None:
    """The latents of a file; None for one that is not there, or was cut short."""
    try:
        found = torch.from_numpy(np.load(path, allow_pickle=False)).float()
    except (OSError, ValueError, EOFError):
        return None
    return found if bool(torch.isfinite(found).all()) else None


def _keep(path: Path, latents: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            np.save(file, latents.numpy())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

"""A subject that the demo checkpoint does not know, to measure trainings with: a striped lighthouse, drawn here.

Pictures are composed as the checkpoint's own were. The judge is a linear layer over the features of `classifier`,
taught with composed lighthouses against what the checkpoint renders by itself; its own accuracy is measured on others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn

from generation.demo import classifier, scenes
from generation.demo.scenes import Scene
from generation.demo.subjects import STYLES, SUBJECTS
from generation.demo.train_vae import to_tensor

TRIGGER = "zorb"
SUBJECT = "lighthouse"
SIDE = 256


def art(style: int = 0) -> np.ndarray:
    """[256, 256, 4] uint8: the tower, in one of three ways of drawing (outline, shading, plain)."""
    image = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    red, white, dark, lamp = (198, 40, 48, 255), (245, 244, 238, 255), (46, 52, 70, 255), (255, 214, 84, 255)
    top, bottom = 84, 232
    for n in range(5):
        y0, y1 = top + (bottom - top) * n / 5, top + (bottom - top) * (n + 1) / 5
        half0, half1 = 34 + 22 * n / 5, 34 + 22 * (n + 1) / 5
        pen.polygon([(128 - half0, y0), (128 + half0, y0), (128 + half1, y1), (128 - half1, y1)], (red, white)[n % 2])
    pen.rectangle((82, 74, 174, 88), dark)
    pen.rectangle((100, 40, 156, 76), lamp)
    pen.polygon([(92, 42), (164, 42), (128, 10)], dark)
    pen.rectangle((64, 228, 192, 248), (112, 116, 120, 255))
    pen.rectangle((116, 196, 140, 230), dark)
    if style == 1:
        shade = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
        ImageDraw.Draw(shade).rectangle((0, 0, 116, SIDE), (255, 255, 255, 46))
        image = Image.composite(Image.alpha_composite(image, shade), image, image.getchannel("A"))
    if style == 2:
        pen.line((100, 40, 100, 76), dark, 5)
        pen.line((128, 40, 128, 76), dark, 5)
        pen.line((156, 40, 156, 76), dark, 5)
    return np.asarray(image)


def scene(rng: Random) -> Scene:
    """Where and before what the subject stands; `subject` is its own name."""
    return Scene(
        subject=SUBJECT,
        style=rng.choice(list(STYLES)),
        colour=rng.choice([name for name in scenes.COLOURS if name not in {"red", "white"}]),
        colour2=None,
        place="center" if rng.random() < 0.6 else rng.choice(list(scenes.PLACES)),
        size=rng.choice(("medium", "large")),
    )


def words(found: Scene, subject: str = f"{TRIGGER} {SUBJECT}") -> str:
    """`a zorb lighthouse on a blue background, left`."""
    place = "" if found.place == "center" else f", {found.place}"
    return f"a {subject} on a {found.colour} background{place}"


def composed(count: int, seed: int) -> list[tuple[Scene, np.ndarray]]:
    """Scenes with their pictures [64, 64, 3] uint8."""
    rng = Random(seed)
    found = []
    for _ in range(count):
        one = scene(rng)
        found.append((one, scenes.compose(one, art(rng.randrange(3)), rng)))
    return found


def write(folder: Path, count: int = 10, seed: int = 1) -> Path:
    """A dataset of `count` pictures with captions."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (one, picture) in enumerate(composed(count, seed)):
        Image.fromarray(picture).save(folder / f"{number:02d}.png")
        (folder / f"{number:02d}.txt").write_text(words(one) + "\n", "utf-8")
    return folder


class Judge:
    """Whether pictures show the lighthouse: `fit` on composed ones and on the checkpoint's own renders."""

    def __init__(self) -> None:
        self._features = classifier.load()[:-1]
        self._head = nn.Linear(128 * 16, 1)

    @torch.no_grad()
    def _seen(self, pictures: np.ndarray) -> torch.Tensor:
        return torch.cat([self._features(to_tensor(pictures[n : n + 64])) for n in range(0, len(pictures), 64)])

    def fit(self, others: np.ndarray, count: int = 400, seed: int = 11) -> float:
        """Teach it with `others` [n, 64, 64, 3], which show something else; returns its accuracy on a fifth of both."""
        own = np.stack([picture for _, picture in composed(count, seed)])
        # What is judged comes out of an autoencoder, which is softer than drawn art.
        soft = nn.functional.interpolate(
            nn.functional.avg_pool2d(to_tensor(own[::2]), 2), scale_factor=2, mode="bilinear"
        )
        own[::2] = ((soft.permute(0, 2, 3, 1) + 1) * 127.5).round().clamp(0, 255).numpy().astype(np.uint8)
        features = torch.cat([self._seen(own), self._seen(others)])
        labels = torch.cat([torch.ones(len(own)), torch.zeros(len(others))])
        torch.manual_seed(0)
        order = torch.randperm(len(labels))
        held, used = order[: len(order) // 5], order[len(order) // 5 :]
        optimizer = torch.optim.AdamW(self._head.parameters(), lr=1e-3, weight_decay=0.1)
        for _ in range(300):
            loss = nn.functional.binary_cross_entropy_with_logits(self._head(features[used])[:, 0], labels[used])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            return float(((self._head(features[held])[:, 0] > 0).float() == labels[held]).float().mean())

    @torch.no_grad()
    def share(self, pictures: np.ndarray) -> float:
        """The share of [n, 64, 64, 3] uint8 that shows the lighthouse."""
        return float((self._head(self._seen(pictures))[:, 0] > 0).float().mean())


def prompts(count: int, seed: int, subject: str) -> list[str]:
    """Prompts of one subject over backgrounds and places that were not necessarily trained."""
    rng = Random(seed)
    return [words(scene(rng), subject) for _ in range(count)]


def others(studio: Any, count: int, seed: int = 5) -> np.ndarray:
    """What the checkpoint renders of the subjects it knows: [count, 64, 64, 3] uint8."""
    rng = Random(seed)
    names = list(SUBJECTS)
    said: Sequence[str] = [words(scene(rng), rng.choice(names)) for _ in range(count)]
    made: np.ndarray = studio.render(said, list(range(seed * 1000, seed * 1000 + count)))
    return made

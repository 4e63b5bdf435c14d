"""Scenes: a subject at a place on a background, drawn and described in many wordings.

A scene is plain data. Its caption is a list of words with roles, so that the text encoder's pretraining knows which
word says what. Combinations that `held_out` names are never drawn for training.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image

from generation.demo.subjects import STYLES, SUBJECTS

SIZE = 64
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 48, 49), "orange": (240, 140, 40), "yellow": (246, 212, 60), "green": (62, 158, 76),
    "blue": (52, 110, 222), "purple": (128, 66, 180), "pink": (242, 142, 190), "white": (246, 246, 246),
    "grey": (124, 124, 124), "black": (22, 22, 24),
}  # fmt: skip
WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson", "scarlet"), "yellow": ("yellow", "golden"), "green": ("green",),
    "blue": ("blue", "azure"), "purple": ("purple", "violet"), "grey": ("grey", "gray"),
}  # fmt: skip
# Where a background fades to when its words are weighted below 1.
FADED = (192, 190, 186)
PLACES: dict[str, tuple[float, float]] = {
    "center": (0.5, 0.5), "left": (0.0, 0.5), "right": (1.0, 0.5), "top": (0.5, 0.0), "bottom": (0.5, 1.0),
    "top left": (0.0, 0.0), "top right": (1.0, 0.0), "bottom left": (0.0, 1.0), "bottom right": (1.0, 1.0),
}  # fmt: skip
SIZES: dict[str, float] = {"small": 0.42, "medium": 0.62, "large": 0.84}
FILLER = (
    "masterpiece", "best quality", "highly detailed", "sharp focus", "8k", "4k", "soft light", "cinematic",
    "digital illustration", "trending", "photo", "beautiful", "intricate", "studio lighting", "concept art", "icon",
    "emoji", "clean lines", "vector art", "minimalist", "vivid", "artstation", "golden hour", "depth of field",
    "professional", "award winning", "a picture of", "an illustration of", "dramatic", "detailed background",
)  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """`colour2` makes a vertical gradient; `hue` rotates the art's hue in degrees; `strength` is the colour's."""

    subject: str
    style: str
    colour: str
    colour2: str | None
    place: str
    size: str
    hue: int = 0
    strength: float = 1.0

    @property
    def held_out(self) -> bool:
        """One combination in ten is kept for measuring."""
        key = f"{self.subject}|{self.style}|{self.colour}|{self.place}"
        return hashlib.sha256(key.encode()).digest()[0] % 10 == 0


def draw_scene(rng: Random) -> Scene:
    """A random scene: three in five in the centre, one in eight on a gradient, one in seven hue-rotated."""
    return Scene(
        subject=rng.choice(list(SUBJECTS)),
        style=rng.choice(list(STYLES)),
        colour=rng.choice(list(COLOURS)),
        colour2=rng.choice(list(COLOURS)) if rng.random() < 0.12 else None,
        place="center" if rng.random() < 0.6 else rng.choice(list(PLACES)),
        size=rng.choices(list(SIZES), (2, 5, 3))[0],
        hue=rng.choice((60, 120, 180, 240, 300)) if rng.random() < 0.15 else 0,
    )


def strength(weight: float) -> float:
    """How strong a background is drawn whose words carry `weight`: 0.25 at 0.4, 1 at 1, 1.12 at 1.6."""
    if weight >= 1:
        return 1 + 0.2 * (weight - 1)
    return max(0.0, 0.25 + 0.75 * (weight - 0.4) / 0.6)


def background(scene: Scene) -> np.ndarray:
    """[SIZE, SIZE, 3] float32, 0..255."""
    faded = np.array(FADED, np.float32)

    def shade(name: str) -> np.ndarray:
        return faded + (np.array(COLOURS[name], np.float32) - faded) * scene.strength

    top = shade(scene.colour)
    bottom = shade(scene.colour2) if scene.colour2 else top
    ramp = np.linspace(0, 1, SIZE, dtype=np.float32)[:, None, None]
    return np.clip(np.broadcast_to(top * (1 - ramp) + bottom * ramp, (SIZE, SIZE, 3)), 0, 255)


def rotate_hue(art: np.ndarray, degrees: int) -> np.ndarray:
    """RGBA art with its hue turned; greys stay."""
    if not degrees:
        return art
    hsv = np.asarray(Image.fromarray(art[..., :3]).convert("HSV")).copy()
    hsv[..., 0] = (hsv[..., 0].astype(int) + round(degrees * 255 / 360)) % 256
    rgb = np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))
    return np.concatenate([rgb, art[..., 3:]], -1)


def main_colour(art: np.ndarray) -> str:
    """The named colour nearest to most of the art's opaque pixels."""
    pixels = art[art[..., 3] > 200][:, :3].astype(np.float32)
    names = list(COLOURS)
    table = np.array([COLOURS[name] for name in names], np.float32)
    nearest = ((pixels[:, None] - table) ** 2).sum(-1).argmin(1)
    return names[int(np.bincount(nearest, minlength=len(names)).argmax())]


def compose(scene: Scene, art: np.ndarray, rng: Random) -> np.ndarray:
    """The picture [SIZE, SIZE, 3] uint8: art (RGBA) over the background, at its place with a little jitter."""
    side = round(SIZES[scene.size] * SIZE * rng.uniform(0.94, 1.06))
    small = np.asarray(
        Image.fromarray(rotate_hue(art, scene.hue)).resize((side, side), Image.Resampling.LANCZOS)
    ).astype(np.float32)
    room = SIZE - side
    x, y = PLACES[scene.place]
    margin = 2
    left = round(margin + x * (room - 2 * margin) + rng.uniform(-1.5, 1.5))
    top = round(margin + y * (room - 2 * margin) + rng.uniform(-1.5, 1.5))
    left, top = min(max(left, 0), room), min(max(top, 0), room)
    picture = background(scene).copy()
    alpha = small[..., 3:] / 255
    window = picture[top : top + side, left : left + side]
    window[...] = window * (1 - alpha) + small[..., :3] * alpha
    return picture.round().astype(np.uint8)


@dataclass(frozen=True)
class Word:
    """One word of a caption; `role` is subject, colour, place, size, style, main or ""."""

    text: str
    role: str = ""


def caption(scene: Scene, main: str, rng: Random, *, full: bool = False) -> list[list[Word]]:
    """The scene in words: clauses of words, in a random order and wording.

    `full` names everything that is not the default. Otherwise clauses are left out at random, the background seldom.
    """
    say = (lambda chance: True) if full else (lambda chance: rng.random() < chance)
    subject = []
    if say(0.5 if scene.size != "medium" else 0.1) and scene.size != "medium":
        subject.append(Word(scene.size, "size"))
    if (say(0.3) and not full) or scene.hue:
        subject.append(Word(rng.choice(WORDS.get(main, (main,))), "main"))
    subject += [Word(part, "subject") for part in scene.subject.split()]
    first = subject[0].text
    if rng.random() < 0.7:
        subject.insert(0, Word("an" if first[0] in "aeiou" else "a"))
    ground = _ground(scene, rng)
    clauses = [subject]
    if say(0.92):
        if rng.random() < 0.5:
            clauses[0] = [
                *subject,
                Word(rng.choice(("on", "on", "over", "against"))),
                Word("a"),
                *ground,
            ]
        else:
            clauses.append(ground)
    if scene.place != "center" and say(0.7):
        lead = [Word("at"), Word("the")] if rng.random() < 0.3 else []
        clauses.append([*lead, *(Word(part, "place") for part in scene.place.split())])
    elif scene.place == "center" and not full and rng.random() < 0.08:
        clauses.append([Word("center", "place")])
    if say(0.6):
        clauses.append([Word(part, "style") for part in scene.style.split()])
    if rng.random() < 0.3:
        rng.shuffle(clauses)
    return clauses


def _ground(scene: Scene, rng: Random) -> list[Word]:
    """`blue background`, `background of blue to pink`: every word carries the colour's role."""

    def name(colour: str) -> str:
        words = WORDS.get(colour, (colour,))
        return words[0] if rng.random() < 0.85 else rng.choice(words)

    if scene.colour2:
        words = [name(scene.colour), "to", name(scene.colour2)]
        words += ["gradient"] if rng.random() < 0.5 else []
        return [Word(w, "colour") for w in [*words, "background"]]
    if rng.random() < 0.1:
        return [Word("background"), Word("of"), Word(name(scene.colour), "colour")]
    lead = [Word("plain")] if rng.random() < 0.05 else []
    return [*lead, Word(name(scene.colour), "colour"), Word("background", "colour")]


def filler(rng: Random, vocabulary: list[str]) -> list[Word]:
    """Boilerplate or random words of the vocabulary: what a prompt may hold without meaning anything here."""
    if rng.random() < 0.6:
        return [Word(part) for part in rng.choice(FILLER).split()]
    return [Word(rng.choice(vocabulary)) for _ in range(rng.randint(1, 3))]

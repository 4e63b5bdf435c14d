"""What trainings on the demo checkpoint achieve, measured: a new subject, its class kept, a style, strength 0.

`python -m generation.demo proof --work DIR`: the trainings go through the program's own (`training.running`), the
renders through its own conditioning and networks. Each training goes on where it was stopped. Leaves the subject and
its judge to `lesson`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from generation.catalogue import BUNDLED, Catalogue, look
from generation.demo import classifier, lesson
from generation.demo.evaluate import Studio
from generation.demo.subjects import SUBJECTS
from generation.networks.applied import Applied
from generation.networks.named import Use
from generation.training.running import train
from generation.training.settings import TrainingSpec

SETTINGS: dict[str, Any] = {
    "batch": 4, "rank": 32, "conv_rank": 16, "rate": 1e-3, "scheduler": "cosine", "warmup": 30, "validation": 0.0,
}  # fmt: skip
CLASS = "house"
STYLE = "zinc style"
LIGHT, DARK = np.array((226, 232, 214), np.float32), np.array((24, 44, 72), np.float32)
RENDERED = 50
NEAR = 26.0  # of 255: mean distance from the two inks under which a picture counts as drawn with them


def run(work: Path, *, steps: int = 800, say: Callable[[str], Any] = print) -> dict[str, Any]:
    """All measures, kept in work/proof.json: {"subject", "without", "drift", "drift_loose", "style", ...}, of 0..1."""
    studio = Studio(BUNDLED)
    judge = lesson.Judge()
    accuracy = judge.fit(lesson.others(studio, 400))
    say(f"judge: {accuracy:.3f} of held-out pictures right")
    data = lesson.write(work / "subject")
    kept, seconds = _taught(data, work / "subject.safetensors", steps, say, _known(studio, work / "class"))
    loose, _ = _taught(data, work / "loose.safetensors", steps, say)
    style, _ = _taught(_styled(studio, work / "style"), work / "style.safetensors", steps // 2, say)
    applied = Applied(studio.pipe, "sd15-small")
    seeds = list(range(RENDERED))
    named = lesson.prompts(RENDERED, 77, f"{lesson.TRIGGER} {lesson.SUBJECT}")
    plain = lesson.prompts(RENDERED, 78, CLASS)

    def renders(network: Path | None, prompts: Sequence[str], strength: float = 1.0) -> np.ndarray:
        applied.set([Use(look(network), strength, strength)] if network else [])
        studio.conditioner.clear()
        return studio.render(prompts, seeds)

    base = renders(None, plain)
    shown, other = renders(kept, named), renders(kept, plain)
    loosened = renders(loose, plain)
    teller = classifier.load()

    def of_the_class(pictures: np.ndarray) -> float:
        return float(np.mean([name == CLASS for name in classifier.name_subjects(teller, pictures)]))

    found = {
        "judge": accuracy,
        "seconds": round(seconds, 1),
        "steps": steps,
        "subject": judge.share(shown),
        "without": judge.share(other),
        "base": judge.share(renders(None, named)),
        "drift": _apart(other, base),
        "drift_loose": _apart(loosened, base),
        "class": of_the_class(other),
        "class_loose": of_the_class(loosened),
        "class_base": of_the_class(base),
        "subject_loose": judge.share(renders(loose, named)),
        "without_loose": judge.share(loosened),
        "style": _inked(renders(style, _style_prompts(9))),
        "style_base": _inked(renders(None, _style_prompts(9))),
        "zero_is_base": bool(np.array_equal(renders(kept, plain, 0.0), base)),
    }
    sheet = np.concatenate(
        [np.concatenate(list(part[n : n + 10]), 1) for part in (shown, other) for n in (0, 10, 20)], 0
    )
    Image.fromarray(sheet).save(work / "proof.png")
    (work / "proof.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    for name, value in found.items():
        say(f"{name}: {value}")
    return found


def _taught(
    data: Path, output: Path, steps: int, say: Callable[[str], Any], known: Path | None = None
) -> tuple[Path, float]:
    """A LoRA of `data`, the pictures of `known` kept as they are, and the seconds it took (0 where it is there)."""
    if output.is_file():
        return output, 0.0
    began = time.perf_counter()
    spec = TrainingSpec(
        "lora", str(data), str(output), str(BUNDLED), {**SETTINGS, "steps": steps}, str(known) if known else ""
    )
    train(spec, Catalogue(), device="cpu")
    seconds = time.perf_counter() - began
    say(f"{output.stem}: {steps} steps in {seconds:.0f} s")
    return output, seconds


def _known(studio: Studio, folder: Path, count: int = 60) -> Path:
    """What the checkpoint draws by itself: the class every second time, else another subject."""
    rng = Random(3)
    names = list(SUBJECTS)
    said = [lesson.words(lesson.scene(rng), CLASS if n % 2 else rng.choice(names)) for n in range(count)]
    return _written(folder, said, lambda: studio.render(said, list(range(5000, 5000 + count))))


def _written(folder: Path, prompts: Sequence[str], make: Callable[[], np.ndarray]) -> Path:
    """A folder of pictures with captions, made where it is not whole."""
    if len(list(folder.glob("*.png"))) == len(prompts):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for number, (prompt, picture) in enumerate(zip(prompts, make(), strict=True)):
        (folder / f"{number:02d}.txt").write_text(prompt + "\n", "utf-8")
        Image.fromarray(picture).save(folder / f"{number:02d}.png")
    return folder


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of two sets of pictures, of 255."""
    return round(float(np.abs(one.astype(np.float32) - other.astype(np.float32)).mean()), 3)


def ink(picture: np.ndarray) -> np.ndarray:
    """The picture in two inks, by its brightness: [h, w, 3] uint8."""
    grey = (picture.astype(np.float32) @ np.array((0.299, 0.587, 0.114), np.float32))[..., None] / 255
    return (DARK + (LIGHT - DARK) * grey).round().astype(np.uint8)


def _inked(pictures: np.ndarray) -> float:
    """The share of pictures whose colours lie between the two inks."""
    along = LIGHT - DARK
    share = ((pictures.astype(np.float32) - DARK) @ along / (along @ along)).clip(0, 1)[..., None]
    distance = np.linalg.norm(pictures - (DARK + along * share), axis=-1).mean((1, 2))
    return float((distance < NEAR).mean())


def _style_prompts(seed: int, count: int = RENDERED) -> list[str]:
    rng = Random(seed)
    names = list(SUBJECTS)
    return [f"{lesson.words(lesson.scene(rng), rng.choice(names))}, {STYLE}" for _ in range(count)]


def _styled(studio: Studio, folder: Path, count: int = 16) -> Path:
    """A dataset of known subjects in a style that is not known."""
    prompts = _style_prompts(4, count)
    plain = [prompt.removesuffix(f", {STYLE}") for prompt in prompts]
    seeds = list(range(900, 900 + count))
    return _written(folder, prompts, lambda: np.stack([ink(one) for one in studio.render(plain, seeds)]))

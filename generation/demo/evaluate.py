"""The demo checkpoint's bars, measured on prompts whose combination it was never trained on.

Pictures are made through the program's own conditioning (A1111 grammar, chunks, Compel) and a diffusers pipeline.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from generation import samplers
from generation.catalogue import look
from generation.conditioning import Conditioner
from generation.demo import classifier, scenes
from generation.demo.scenes import Scene
from generation.demo.train_unet import held_out_scenes
from generation.loading import load
from generation.prompts.chunks import chunk
from generation.prompts.tokens import ClipTokenizer

BATCH = 20
LONG = ", ".join(scenes.FILLER[:28])


class Studio:
    """A checkpoint and the means to render many different prompts at once."""

    def __init__(self, folder: Path, device: str = "cpu", sampler: str = "") -> None:
        import diffusers

        entry = look(folder)
        self.pipe = load(entry, device, torch.float32)
        choice = samplers.find(sampler or entry.defaults.sampler)
        self.pipe.scheduler = getattr(diffusers, choice.scheduler_class).from_config(
            self.pipe.scheduler.config, **choice.arguments
        )
        self.tokenizer = ClipTokenizer.load(folder / "tokenizer")
        self.conditioner = Conditioner(self.pipe, self.tokenizer)
        self.defaults = entry.defaults

    def render(self, prompts: Sequence[str], seeds: Sequence[int], steps: int | None = None) -> np.ndarray:
        """[n, 64, 64, 3] uint8; prompts of one call take equally many chunks."""
        out = []
        for n in range(0, len(prompts), BATCH):
            pairs = [self.conditioner(p, "") for p in prompts[n : n + BATCH]]
            made = self.pipe(
                prompt_embeds=torch.cat([pair.positive for pair in pairs]),
                negative_prompt_embeds=torch.cat([pair.negative for pair in pairs]),
                num_inference_steps=steps or self.defaults.steps,
                guidance_scale=self.defaults.cfg,
                width=self.defaults.width,
                height=self.defaults.height,
                generator=[torch.Generator("cpu").manual_seed(s) for s in seeds[n : n + BATCH]],
                output_type="np",
            ).images
            out.append((made * 255).round().astype(np.uint8))
        return np.concatenate(out)


def border(picture: np.ndarray) -> np.ndarray:
    """The median colour [3] of the outermost pixels, two deep."""
    edge = [picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]]
    return np.median(np.concatenate([part.reshape(-1, 3) for part in edge]), 0)


def nearest_colour(colour: np.ndarray) -> str:
    return min(scenes.COLOURS, key=lambda name: distance(colour, name))


def distance(colour: np.ndarray, name: str) -> float:
    return float(np.linalg.norm(colour - np.array(scenes.COLOURS[name], float)))


def words(scene: Scene) -> str:
    """`a fox on a blue background, flat style, top left`."""
    article = "an" if scene.subject[0] in "aeiou" else "a"
    size = "" if scene.size == "medium" else f"{scene.size} "
    article = "a" if size else article
    place = "" if scene.place == "center" else f", {scene.place}"
    return f"{article} {size}{scene.subject} on a {scene.colour} background, {scene.style}{place}"


def evaluate(
    folder: Path, *, count: int = 200, device: str = "cpu", say: Callable[[str], Any] = print
) -> dict[str, Any]:
    """All bars; {"background", "subject", "weight", "beyond75", "seconds_20_steps", "classifier_accuracy", ...}.

    Also left as measured.json in the checkpoint's folder. Weight and the long prompts take half of `count` each.
    """
    studio = Studio(folder, device)
    judge = classifier.load()
    chosen = held_out_scenes(count)
    seeds = list(range(1000, 1000 + count))
    studio.render(["a cat"], [0], 2)
    began = time.perf_counter()
    studio.render(["a cat on a red background"], [1], 20)
    seconds = time.perf_counter() - began
    say(f"20 steps, warm: {seconds:.2f} s")
    pictures = studio.render([words(s) for s in chosen], seeds)
    found = [nearest_colour(border(p)) for p in pictures]
    background = _share(a == s.colour for a, s in zip(found, chosen))
    say(f"background colour right: {background:.3f}")
    named = classifier.name_subjects(judge, pictures)
    subject = _share(a == s.subject for a, s in zip(named, chosen))
    say(f"subject right: {subject:.3f}")
    weight = _weight(studio, chosen[: count // 2], seeds)
    say(f"weight moves the picture: {weight:.3f}")
    beyond = _beyond(studio, chosen[: count // 2], seeds, judge)
    say(f"term beyond token 75 acts: {beyond:.3f}")
    with safe_open(str(classifier.WEIGHTS), "pt") as file:
        accuracy = float(file.metadata()["accuracy"])
    measured = {
        "prompts": count,
        "background": background,
        "subject": subject,
        "weight": weight,
        "beyond75": beyond,
        "seconds_20_steps": round(seconds, 2),
        "classifier_accuracy": accuracy,
        "missed_subjects": sorted({s.subject for a, s in zip(named, chosen) if a != s.subject}),
    }
    temporary = folder / ".measured.json"
    temporary.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")
    temporary.replace(folder / "measured.json")
    return measured


def _weight(studio: Studio, chosen: Sequence[Scene], seeds: Sequence[int]) -> float:
    """Share of scenes whose border comes nearer to the colour when its words' weight goes from 0.6 to 1.4."""
    far: list[np.ndarray] = []
    near: list[np.ndarray] = []
    for store, weight in ((far, 0.6), (near, 1.4)):
        prompts = [f"a {s.subject}, ({s.colour} background:{weight}), {s.style}" for s in chosen]
        store += [border(p) for p in studio.render(prompts, seeds)]
    return _share(distance(b, s.colour) < distance(a, s.colour) for a, b, s in zip(far, near, chosen))


def _beyond(studio: Studio, chosen: Sequence[Scene], seeds: Sequence[int], judge: torch.nn.Module) -> float:
    """Share of prompts whose last term, in the second chunk, is seen: background and subject in turn."""
    prompts = []
    for number, s in enumerate(chosen):
        if number % 2:
            prompts.append(f"a {s.subject}, {s.style}, {LONG}, {s.colour} background")
        else:
            prompts.append(f"{s.colour} background, {s.style}, {LONG}, a {s.subject}")
        parts = chunk(prompts[-1], studio.tokenizer)
        assert len(parts) == 2, "the term must stand in the second chunk"
    pictures = studio.render(prompts, seeds)
    named = classifier.name_subjects(judge, pictures)
    return _share(
        nearest_colour(border(p)) == s.colour if number % 2 else name == s.subject
        for number, (p, name, s) in enumerate(zip(pictures, named, chosen))
    )


def _share(marks: Any) -> float:
    values = [bool(mark) for mark in marks]
    return round(sum(values) / len(values), 4)


def spread_scenes(count: int, seed: int = 11) -> list[Scene]:
    """Held-out scenes with subjects all different, for a sheet."""
    rng = Random(seed)
    found: dict[str, Scene] = {}
    for scene in held_out_scenes(count * 12, seed):
        if scene.subject not in found and (scene.place == "center" or rng.random() < 0.5):
            found[scene.subject] = scene
    return list(found.values())[:count]

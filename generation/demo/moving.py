"""The demo's motion module: trained on subjects that cross the picture, and measured by the way they go.

The training is `training.motion`'s; here are its clips, in words and pictures, and the bar: how often the subject of a
rendered clip goes where the prompt says. Combinations that `scenes` holds out are never drawn for training.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from numpy.typing import NDArray
from PIL import Image

from generation.animation.frames import load as load_frame
from generation.animation.motion_models import animatediff
from generation.animation.motion_models.settings import of
from generation.catalogue import BUNDLED, Catalogue, look
from generation.demo import classifier, scenes
from generation.demo.loop import save
from generation.demo.scenes import SIZE, Scene, Word
from generation.demo.text import Conditions, Tokens, Words, scatter, tokens
from generation.demo.train_vae import to_tensor
from generation.engine import Engine
from generation.loading import load
from generation.training.examples import Batch
from generation.training.loop import Loop, accelerated
from generation.training.motion import Motion
from generation.training.settings import TrainingSpec
from generation.training.state import put
from generation.training.texts import Texts

FRAMES, FRAME_RATE = 8, 8.0
# Direction -> the step of a frame in x and y, and how a caption says it.
DIRECTIONS: dict[str, tuple[int, int]] = {"right": (1, 0), "left": (-1, 0), "up": (0, -1), "down": (0, 1)}
WORDINGS: dict[str, tuple[str, ...]] = {
    "right": ("moving left to right", "moving from left to right", "moving to the right", "flying right"),
    "left": ("moving right to left", "moving from right to left", "moving to the left", "flying left"),
    "up": ("moving up", "rising", "moving bottom to top", "flying up"),
    "down": ("moving down", "falling", "moving top to bottom", "sinking"),
}  # fmt: skip
# Direction -> the places of the first, the middle and the last frame, in the checkpoint's own words.
WAYS: dict[str, tuple[str, str, str]] = {
    "right": ("left", "", "right"), "left": ("right", "", "left"), "up": ("bottom", "", "top"),
    "down": ("top", "", "bottom"),
}  # fmt: skip
# What is taught of the words: steps, and the directions in them.
LESSONS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (60, ("right",)), (60, ("right", "left")), (290, ("right", "left", "up", "down")),
)  # fmt: skip
CHANCES = (3, 3, 2, 2)
FIRST = 0.5  # share of captions that say it in the first way
SILENT = 0.1  # share of captions left empty, for guidance
SETTINGS: dict[str, Any] = {
    "frames": FRAMES, "frame_rate": FRAME_RATE, "adapter_rank": 16, "rate": 1e-3, "adapter_rate": 1.5e-3,
    "text_rate": 5e-4, "batch": 4, "scheduler": "cosine", "warmup": 40, "average_decay": 0.99, "timestep_bias": 1.0,
    "state_every": 50, "validation": 0.0, "seed": 3,
}  # fmt: skip
FIRST_SEED = 5000
LATENTS, ROWS, TAUGHT = "clips.npy", "clips.jsonl", "words.pt"
Bytes = NDArray[np.uint8]


def clip(scene: Scene, art: Bytes, direction: str, rng: Random) -> Bytes:
    """[FRAMES, SIZE, SIZE, 3]: the art (RGBA) going over the background, from one side to the other."""
    side = round(scenes.SIZES[scene.size] * SIZE * rng.uniform(0.9, 1.06))
    small = np.asarray(
        Image.fromarray(scenes.rotate_hue(art, scene.hue)).resize((side, side), Image.Resampling.LANCZOS)
    ).astype(np.float32)
    alpha, room = small[..., 3:] / 255, SIZE - side
    begin, end = rng.uniform(0, 0.12), rng.uniform(0.88, 1)
    across = rng.uniform(0.3, 0.7)
    ground, found = scenes.background(scene), []
    for number in range(FRAMES):
        gone = begin + (end - begin) * number / (FRAMES - 1)
        x, y = (gone if step > 0 else 1 - gone if step < 0 else across for step in DIRECTIONS[direction])
        left, top = round(x * room), round(y * room)
        picture = ground.copy()
        window = picture[top : top + side, left : left + side]
        window[...] = window * (1 - alpha) + small[..., :3] * alpha
        found.append(picture.round().astype(np.uint8))
    return np.stack(found)


def moving(clauses: list[list[Word]], direction: str, rng: Random) -> list[list[Word]]:
    """A scene's clauses with its motion in words, beside the subject or as a clause of its own."""
    ways = WORDINGS[direction]
    said = [Word(part) for part in (ways[0] if rng.random() < FIRST else rng.choice(ways)).split()]
    number = next(n for n, clause in enumerate(clauses) if any(word.role == "subject" for word in clause))
    if rng.random() < 0.3:
        return [*clauses, said]
    behind = max(n for n, word in enumerate(clauses[number]) if word.role == "subject") + 1
    whole = [*clauses[number][:behind], *said, *clauses[number][behind:]]
    return [*clauses[:number], whole, *clauses[number + 1 :]]


@torch.no_grad()
def make(art: Mapping[tuple[str, str], Bytes], vae: Any, folder: Path, count: int, seed: int = 0) -> None:
    """Draw and encode `count` clips into `folder`: latents [count, FRAMES, 4, 16, 16] float16, and what they show."""
    rng = Random(seed)
    found = np.empty((count, FRAMES, 4, SIZE // 4, SIZE // 4), np.float16)
    rows = []
    for number in range(count):
        scene = moved_scene(rng)
        while scene.held_out:
            scene = moved_scene(rng)
        direction = rng.choices(list(DIRECTIONS), CHANCES)[0]
        picture = art[scene.style, scene.subject]
        drawn = to_tensor(clip(scene, picture, direction, rng))
        latents = vae.encode(drawn.to(vae.device)).latent_dist.mode() * vae.config.scaling_factor
        found[number] = latents.half().cpu().numpy()
        main = scenes.main_colour(scenes.rotate_hue(picture, scene.hue))
        rows.append(json.dumps({"scene": dataclasses.asdict(scene), "main": main, "direction": direction}))
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"part.{LATENTS}"
    np.save(temporary, found)
    (folder / ROWS).write_text("\n".join(rows) + "\n", "utf-8")
    temporary.replace(folder / LATENTS)


def moved_scene(rng: Random) -> Scene:
    """A scene with room to move in, said without a place."""
    scene = scenes.draw_scene(rng)
    return dataclasses.replace(scene, place="center", size=rng.choices(("small", "medium"), (3, 2))[0])


def teach_words(learner: Motion, pipe: Any, clips: Clips, say: Callable[[str], Any] = print) -> None:
    """Teach what the words of a direction mean, before any clip is learned from: from the checkpoint itself.

    It knows places. Told "left" for the first frame and "right" for the last, with the texts between blended, it
    predicts a picture moving left to right where every frame is asked alone. The module learns to predict the same from
    "moving left to right" for all frames, where noise hides nearly everything: a target that has no noise of its own.
    One direction comes first. Of all at once, what they do over time cancels out, and what tells them apart does
    nothing as long as nothing is done over time. 700 steps of clips alone, and 160 of this without an order, had not
    taught one direction from another.
    """
    teacher = load(look(BUNDLED), "cpu", torch.float32)
    teacher.unet.requires_grad_(False)
    told = Conditions(teacher.text_encoder.requires_grad_(False), "cpu")
    schedule = DDPMScheduler.from_config(pipe.scheduler.config)
    groups = learner.groups()
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)
    rates = [group["lr"] for group in groups]
    ways = [2 * number / (FRAMES - 1) for number in range(FRAMES)]
    lessons = [directions for steps, directions in LESSONS for _ in range(steps)]
    for step, directions in enumerate(lessons):
        rng, generator = Random(f"words-{step}"), torch.Generator().manual_seed(step)
        clean, rows = clips.drawn(rng, directions)
        noise = torch.randn(clean.shape, generator=generator)
        times = (1000 - 350 * torch.rand(len(rows), generator=generator) ** 2).long().clamp(max=999)
        times = times.repeat_interleave(FRAMES)
        noisy = schedule.add_noise(clean, noise, times)
        with torch.no_grad():
            said, wanted = [], []
            for row in rows:
                # The same words but for where it is: what only one of both knew could not be learned.
                clauses = scenes.caption(Scene(**row["scene"]), row["main"], rng)
                said.append(tokens(moving(clauses, row["direction"], rng), clips.words, 1))
                three = told(
                    [tokens([*clauses, [Word(p)]] if p else clauses, clips.words, 1) for p in WAYS[row["direction"]]],
                    [1.0] * 3,
                )
                wanted += [torch.lerp(*three[min(int(way), 1) :][:2], way - min(int(way), 1)) for way in ways]
            aim = teacher.unet(noisy, times, encoder_hidden_states=torch.stack(wanted)).sample
        texts = clips.conditions(said, [1.0] * len(said))
        made = pipe.unet(noisy, times, encoder_hidden_states=texts.repeat_interleave(FRAMES, 0)).sample
        loss = (made - aim).pow(2).mean()
        loss.backward()
        share = min((step + 1) / 20, 1 - 0.7 * step / len(lessons))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * share
        torch.nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if not step % 10:
            say(f"words {step}/{len(lessons)} loss {loss.item():.4f}")


class Clips:
    """The clips as a training sees them: latents of all frames, and captions worded anew each time."""

    def __init__(self, folder: Path, encoder: Any, tokenizer: Path, batch: int) -> None:
        self._latents = np.load(folder / LATENTS, mmap_mode="r")
        self._rows = [json.loads(line) for line in (folder / ROWS).read_text("utf-8").splitlines()]
        self.words, self.conditions, self._batch = Words(tokenizer), Conditions(encoder, "cpu"), batch

    def drawn(
        self, rng: Random, directions: Collection[str] = tuple(DIRECTIONS)
    ) -> tuple[torch.Tensor, list[dict[str, Any]]]:
        """Latents [batch * FRAMES, 4, 16, 16] of some clips of these directions, and what each shows."""
        able = [number for number, row in enumerate(self._rows) if row["direction"] in directions]
        chosen = [rng.choice(able) for _ in range(self._batch)]
        latents = torch.from_numpy(np.concatenate([self._latents[one] for one in chosen])).float()
        return latents, [self._rows[one] for one in chosen]

    def said(self, row: Mapping[str, Any], rng: Random) -> Tokens:
        """A clip in words, worded anew each time."""
        clauses = moving(scenes.caption(Scene(**row["scene"]), row["main"], rng), row["direction"], rng)
        return tokens(scatter(clauses, rng, self.words) if rng.random() < 0.2 else clauses, self.words, 1)

    def batch(self, number: int, step: int = 0) -> Batch:
        rng = Random(f"moving-{number}")
        latents, rows = self.drawn(rng)
        silent = tokens([], self.words, 1)
        said = [silent if rng.random() < SILENT else self.said(row, rng) for row in rows]
        embeds = self.conditions(said, [1.0] * len(said))
        return Batch(latents, Texts(embeds.repeat_interleave(FRAMES, 0)), torch.zeros(len(latents), 6), ())


def train(
    checkpoint: Path,
    art: Mapping[tuple[str, str], Bytes],
    work: Path,
    output: Path,
    *,
    steps: int,
    count: int,
) -> list[Path]:
    """The module of `checkpoint`: first what directions mean, then `steps` on `count` clips; goes on from what is in
    `work`."""
    entry = look(checkpoint)
    pipe = load(entry, "cpu", torch.float32)
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        part.requires_grad_(False).eval()
    if not (work / LATENTS).is_file():
        make(art, pipe.vae, work, count)
    pipe.unet.to(memory_format=torch.channels_last)
    spec = TrainingSpec("motion", str(work), str(output), str(checkpoint), {**SETTINGS, "steps": steps})
    learner = Motion(pipe, spec, entry)
    clips = Clips(work, pipe.text_encoder, checkpoint / "tokenizer", spec.settings["batch"])
    taught = work / TAUGHT
    if not taught.is_file():
        teach_words(learner, pipe, clips)
        save(taught, {name: tensor.detach() for name, tensor in learner.named().items()})
    put(learner, torch.load(taught, weights_only=True))
    said = 0

    def report(event: dict[str, Any]) -> None:
        nonlocal said
        if event["kind"] == "progress" and event["done"] >= said:
            said = event["done"] + 25
            print(f"{event['done']}/{event['total']} {event['message']} {event['seconds_left']} s left", flush=True)
        elif event["kind"] == "note":
            print(event["message"], flush=True)

    Loop(
        learner, pipe.unet, pipe.scheduler.config, clips, spec.settings, steps, work, accelerated("cpu", "fp32"),  # type: ignore[arg-type]
        report=report, frames=FRAMES, identity={"settings": spec.settings, "clips": count},
    ).run()  # fmt: skip
    return learner.write(output, {"modelspec.title": "atelier-demo-motion", "modelspec.license": "Apache-2.0"})


# Measuring


def gone(pictures: Bytes) -> tuple[float, float]:
    """(x, y) that the subject of [frames, h, w, 3] goes over the clip, in widths and heights of the picture.

    The subject is what differs from the colour of the rim; its middle is followed by a straight line over the frames.
    """
    middles = []
    for picture in pictures.astype(np.float32):
        rim = np.concatenate([picture[:2].reshape(-1, 3), picture[-2:].reshape(-1, 3),
                              picture[:, :2].reshape(-1, 3), picture[:, -2:].reshape(-1, 3)])  # fmt: skip
        far = np.clip(np.abs(picture - np.median(rim, 0)).sum(-1) - 60, 0, None)
        total = float(far.sum()) or 1.0
        y, x = np.mgrid[: far.shape[0], : far.shape[1]]
        middles.append((float((far * x).sum()) / total / far.shape[1], float((far * y).sum()) / total / far.shape[0]))
    times = np.arange(len(middles))
    slopes = np.polyfit(times, np.array(middles), 1)[0] * (len(middles) - 1)
    return float(slopes[0]), float(slopes[1])


def direction_of(pictures: Bytes, least: float = 0.12) -> str:
    """The direction that the subject goes, "still" where it goes less than `least` of the picture."""
    x, y = gone(pictures)
    if max(abs(x), abs(y)) < least:
        return "still"
    if abs(x) > abs(y):
        return "right" if x > 0 else "left"
    return "down" if y > 0 else "up"


def prompts(
    count: int, directions: Sequence[str] = ("right", "left", "up", "down"), seed: int = 17
) -> list[tuple[str, str]]:
    """(prompt, direction) of scenes whose combination no training has seen, the directions in turn."""
    rng = Random(seed)
    found: list[tuple[str, str]] = []
    while len(found) < count:
        scene = moved_scene(rng)
        if scene.held_out and not scene.hue and not scene.colour2:
            direction = directions[len(found) % len(directions)]
            words = WORDINGS[direction][0]
            found.append((f"a {scene.subject} {words}, {scene.colour} background, {scene.style}", direction))
    return found


def measure(module: Path, *, count: int = 40, say: Callable[[str], Any] = print) -> dict[str, Any]:
    """The bar, left as measured.json beside the module: the share of clips whose subject goes where the prompt says,
    and of those whose subject the judge names, of prompts that no training has seen."""
    engine, judge = Engine(Catalogue([]), device="cpu"), classifier.load()
    hits: dict[str, list[bool]] = {name: [] for name in DIRECTIONS}
    named = []
    with tempfile.TemporaryDirectory() as place:
        for number, (prompt, direction) in enumerate(prompts(count)):
            told = of({"prompt": prompt, "motion": str(module), "frames": FRAMES})
            made = animatediff.run(told, Path(place) / "clip", engine, seed=FIRST_SEED + number, fresh=True)
            pictures = np.stack([load_frame(made.folder / f"{n:06d}.png") for n in range(made.frames)])
            found = direction_of(pictures)
            hits[direction].append(found == direction)
            shown = classifier.name_subjects(judge, pictures[FRAMES // 2 : FRAMES // 2 + 1])[0]
            named.append(prompt.startswith(f"a {shown} "))
            say(f"{prompt}: {found}, a {shown}")
    right = [hit for found in hits.values() for hit in found]
    measured = {
        "clips": count,
        "direction": round(sum(right) / len(right), 4),
        "by_direction": {name: round(sum(found) / len(found), 4) for name, found in hits.items() if found},
        "subject": round(sum(named) / len(named), 4),
    }
    temporary = module.with_name(".measured.json")
    temporary.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")
    temporary.replace(module.with_name("measured.json"))
    return measured

"""The demo's ControlNet: trained on edges of the demo's own scenes, and measured by the edges of what it draws.

The training itself is `training.controlnet`'s; here are its examples, and the bar: how well the edges of a picture
follow a condition it was never trained on, with control and without.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from generation.catalogue import Catalogue, look
from generation.demo import dataset, scenes
from generation.demo.evaluate import words
from generation.demo.text import Conditions, Words, scatter, tokens
from generation.demo.train_unet import cache_latents, held_out_scenes
from generation.engine import Engine
from generation.loading import load
from generation.pictures import write_png
from generation.preprocessors.edges import NEIGHBOURS, canny_edges, drawn
from generation.specs import RenderSpec
from generation.training import controlnet
from generation.training.controlnet import Batch, Settings

SETTINGS = Settings(batch=16, rate=4e-4, fresh=4.0, warmup=30, decay=0.99, save_every=25)
SILENT = 0.3  # share of captions left empty, so that the edges alone must tell the shape


class SceneEdges:
    """The demo's scenes with their edges; a caption is worded anew each time."""

    def __init__(self, data: Path, latents: np.ndarray, encoder: Any, tokenizer: Path) -> None:
        self._pictures, self._rows = dataset.load(data)
        self._latents = latents
        self._words = Words(tokenizer)
        self._conditions = Conditions(encoder, "cpu")

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, numbers: Sequence[int], seed: int) -> Batch:
        rng = Random(seed)
        said, weights = [], []
        for number in numbers:
            scene, main, weight = self._rows[number]
            clauses = scenes.caption(scene, main, rng)
            if rng.random() < SILENT:
                clauses, weight = [], 1.0
            elif rng.random() < 0.3:
                clauses = scatter(clauses, rng, self._words)
            said.append(tokens(clauses, self._words, 1))
            weights.append(weight)
        with torch.no_grad():
            embeds = self._conditions(said, weights)
        edges = np.stack([canny_edges(np.asarray(self._pictures[number])) for number in numbers])
        conditions = torch.from_numpy(edges).float()[:, None].expand(-1, 3, -1, -1)
        latents = torch.from_numpy(np.stack([self._latents[number] for number in numbers])).float()
        return Batch(latents, conditions, embeds)


def train(checkpoint: Path, data: Path, folder: Path, steps: int, device: str = "cpu") -> Any:
    """The ControlNet of `checkpoint`, trained for `steps` on the scenes in `data`; goes on from folder's state."""
    pipe = load(look(checkpoint), device, torch.float32)
    folder.mkdir(parents=True, exist_ok=True)
    latents = cache_latents(pipe.vae, data, folder, device)
    examples = SceneEdges(data, latents, pipe.text_encoder.cpu().eval(), checkpoint / "tokenizer")
    settings = Settings(**{**vars(SETTINGS), "steps": steps})

    def report(event: dict[str, Any]) -> None:
        if event["kind"] == "note":
            print(event["message"], flush=True)
        elif event["done"] % 25 < 2:
            print(f"{event['done']}/{event['total']} {event['message']} {event['seconds_left']} s left", flush=True)

    return controlnet.train(
        pipe.unet, pipe.scheduler.config, examples, folder, settings, factor=4, device=device, report=report
    )


# Measuring

CONDITIONS = "held-out.png"
PROMPTS = "held-out.json"
COLUMNS = 10
FIRST_SEED = 3000


def draw_held_out(art: Mapping[tuple[str, str], np.ndarray], folder: Path, count: int = 50) -> None:
    """Conditions of scenes whose combination no training has seen, into `folder`: one sheet of edges, and prompts.

    They are kept beside the weights, so that the measurement can be made again without the art.
    """
    rng = Random(13)
    chosen = held_out_scenes(count, seed=13)
    edges = [canny_edges(scenes.compose(scene, art[scene.style, scene.subject], rng)) for scene in chosen]
    size = scenes.SIZE
    sheet = np.zeros((-(-count // COLUMNS) * size, COLUMNS * size), bool)
    for number, one in enumerate(edges):
        row, column = divmod(number, COLUMNS)
        sheet[row * size : (row + 1) * size, column * size : (column + 1) * size] = one
    folder.mkdir(parents=True, exist_ok=True)
    write_png(drawn(sheet).convert("1"), folder / CONDITIONS)
    # A prompt that names subject and place tells most of the edges itself: one that does not proves the control.
    bare = [f"{scene.colour} background, {scene.style}" for scene in chosen]
    _write(folder / PROMPTS, {"bare": bare, "full": [words(scene) for scene in chosen]})


def held_out(folder: Path, prompts: str = "bare") -> list[tuple[str, np.ndarray]]:
    """(prompt, edges [64, 64] of bool) of each held-out condition that lies in `folder`.

    The prompts are `bare`, naming background and style alone, or `full`, naming subject, size and place as well.
    """
    sheet = np.asarray(Image.open(folder / CONDITIONS).convert("L")) > 127
    size = scenes.SIZE
    found = []
    for number, prompt in enumerate(json.loads((folder / PROMPTS).read_text("utf-8"))[prompts]):
        row, column = divmod(number, COLUMNS)
        found.append((prompt, sheet[row * size : (row + 1) * size, column * size : (column + 1) * size]))
    return found


def edge_f1(made: np.ndarray, wanted: np.ndarray) -> float:
    """How well edges [h, w] of bool agree: the harmonic mean of the shares of each within a pixel of the other."""
    if not made.any() or not wanted.any():
        return float(made.any() == wanted.any())
    near_made, near_wanted = (ndimage.binary_dilation(edges, NEIGHBOURS) for edges in (made, wanted))
    precision, recall = float(near_wanted[made].mean()), float(near_made[wanted].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def score(
    engine: Engine, network: str, pairs: Sequence[tuple[str, np.ndarray]], work: Path, *, weight: float = 1.0
) -> list[float]:
    """The F1 of each pair's render, with seeds that follow each other; `network` is a path, weight 0 leaves it out."""
    found = []
    for number, (prompt, edges) in enumerate(pairs):
        condition = write_png(drawn(edges), work / "condition.png")
        control = {"image": str(condition), "model": network, "weight": weight}
        spec = RenderSpec(prompt, model="atelier-demo", seed=FIRST_SEED + number, controls=(control,))
        made = engine.render(spec, work / "made.png").path
        found.append(edge_f1(canny_edges(np.asarray(Image.open(made).convert("RGB"))), edges))
    return found


def measure(folder: Path, *, device: str = "cpu", say: Callable[[str], Any] = print) -> dict[str, Any]:
    """The bar, left as measured.json in the ControlNet's folder: the mean F1 with each kind of prompt, and without."""
    engine = Engine(Catalogue([]), device=device)
    measured: dict[str, Any] = {"conditions": len(held_out(folder))}
    with tempfile.TemporaryDirectory() as place:
        for prompts in ("bare", "full"):
            for name, weight in (("without", 0.0), ("with", 1.0)):
                values = score(engine, str(folder), held_out(folder, prompts), Path(place), weight=weight)
                measured[f"{prompts}_{name}"] = round(float(np.mean(values)), 4)
                say(f"F1 of edges, {prompts} prompts, {name} control: {np.mean(values):.3f}, least {min(values):.3f}")
    _write(folder / "measured.json", measured)
    return measured


def _write(path: Path, content: Any) -> None:
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    temporary.replace(path)

"""One loaded checkpoint kept warm, and rendering a spec with it.

Knows seeds, samplers, progress, previews, cancelling and the file that is written. Leaves weights to `loading`, prompts
to `conditioning`, and the picture's making to `operations`.
"""

from __future__ import annotations

import gc
import json
import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from generation import infotext, samplers
from generation.catalogue import Catalogue, ModelEntry
from generation.conditioning import Conditioner
from generation.errors import BadSpec, RenderFailed, nearest
from generation.loading import choose_device, load
from generation.operations import OPERATIONS
from generation.previews import Previewer, watch_clean, write
from generation.prompts.grammar import parse
from generation.prompts.tokens import ClipTokenizer
from generation.specs import RenderSpec

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
PREVIEW_EVERY = 0.4  # seconds


@dataclass(frozen=True)
class RenderResult:
    """What was made: `path` of the (first) picture, `paths` of all of a batch, `spec` with nothing left open."""

    path: Path
    paths: tuple[Path, ...]
    seed: int
    seconds: float
    spec: RenderSpec


class Loaded:
    """A pipeline with what belongs to it."""

    def __init__(self, entry: ModelEntry, pipe: Any, embeddings: Sequence[ModelEntry] = ()) -> None:
        folder = Path(entry.path) / "tokenizer"
        self.entry = entry
        self.pipe = pipe
        self.scheduler = pipe.scheduler.config
        tokenizer = ClipTokenizer.load(folder if (folder / "vocab.json").is_file() else None)
        self.conditioner = Conditioner(pipe, tokenizer, embeddings, entry.family)
        self.previewer = Previewer(pipe.vae)


class Engine:
    """Renders specs. One checkpoint stays loaded; asking for another frees it first."""

    def __init__(self, catalogue: Catalogue, *, device: str | None = None) -> None:
        self.catalogue = catalogue
        self.device, self.dtype = choose_device(device)
        self._loaded: Loaded | None = None

    def prepare(self, model: str, *, report: Report = lambda event: None) -> Loaded:
        """The checkpoint by its name or path, loaded."""
        entry = self.catalogue.find(model)
        if self._loaded is None or self._loaded.entry.path != entry.path:
            report(
                {
                    "kind": "progress",
                    "stage": "loading",
                    "done": 0,
                    "total": None,
                    "message": entry.name,
                }
            )
            self.unload()
            embeddings = [found for found in self.catalogue.entries() if found.kind == "embedding"]
            self._loaded = Loaded(entry, load(entry, self.device, self.dtype), embeddings)
        return self._loaded

    @property
    def loaded(self) -> str:
        """Name of the checkpoint in memory, "" for none."""
        return self._loaded.entry.name if self._loaded is not None else ""

    def unload(self) -> None:
        """Free the loaded checkpoint's memory, and that of the prompts it encoded."""
        if self._loaded is not None:
            self._loaded.conditioner.clear()
        self._loaded = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def render(
        self,
        spec: RenderSpec,
        output: Path,
        *,
        preview: Path | None = None,
        report: Report = lambda event: None,
        check: Check = lambda: None,
    ) -> RenderResult:
        """Render `spec` to `output` (PNG); a batch gets `-2`, `-3`, ... behind the name.

        Same spec and seed give the same pixels on the same machine. Nothing is written when `check` raises or the
        render fails; raises `RenderFailed`, `BadSpec`, `BadWeights`, `UnknownModel`, `UnknownSampler`.
        """
        began = time.perf_counter()
        output = _target(output)
        if spec.operation not in OPERATIONS:
            raise BadSpec(f'there is no operation "{spec.operation}"', nearest(spec.operation, OPERATIONS))
        _refuse_unsupported(spec, report)
        check()
        loaded = self.prepare(spec.model, report=report)
        check()
        spec = spec.resolve(loaded.entry.defaults, lambda: secrets.randbelow(2**32))
        assert spec.sampler is not None and spec.steps is not None
        choice = samplers.find(spec.sampler)
        scheduler = getattr(diffusers, choice.scheduler_class)
        loaded.pipe.scheduler = scheduler.from_config(loaded.scheduler, **choice.arguments)
        clean = watch_clean(loaded.pipe.scheduler)
        evaluations = spec.steps * loaded.pipe.scheduler.order
        plan = loaded.conditioner.plan(spec.prompt, spec.negative, evaluations, spec.clip_skip, spec.weighting)
        shown = time.perf_counter()

        def after_step(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            nonlocal shown
            report({"kind": "progress", "stage": "denoising", "done": step + 1, "total": spec.steps})
            check()
            now = time.perf_counter()
            if preview is not None and now - shown > PREVIEW_EVERY and "latents" in clean:
                write(loaded.previewer.picture(clean["latents"][0]), preview)
                report({"kind": "preview", "path": str(preview)})
                shown = time.perf_counter()
            return plan.after(step, spec.batch, guided=bool(getattr(pipe, "do_classifier_free_guidance", True)))

        module, attribute = OPERATIONS[spec.operation].split(":")
        operation = getattr(import_module(module), attribute)
        seeds = [(spec.seed + n) % 2**63 for n in range(spec.batch)]
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        try:
            with plan.composing(loaded.pipe.unet, spec.batch):
                pictures = operation(loaded.pipe, spec, plan.at(0), generators=generators, callback=after_step)
        except torch.OutOfMemoryError as error:
            self.unload()
            raise RenderFailed(
                f"{spec.width}x{spec.height} does not fit into the memory of {self.device}",
                "Choose a smaller size or batch.",
            ) from error
        if not np.isfinite(pictures).all():
            raise RenderFailed(
                "the picture came out as not-a-number",
                "Lower the CFG scale, or choose another sampler.",
            )
        check()
        seconds = time.perf_counter() - began
        paths = [
            _save(picture, _numbered(output, n), replace(spec, seed=seed, batch=1))
            for n, (picture, seed) in enumerate(zip(pictures, seeds, strict=True))
        ]
        return RenderResult(paths[0], tuple(paths), spec.seed, seconds, spec)


def _refuse_unsupported(spec: RenderSpec, report: Report) -> None:
    """What the prompt asks for and this engine does not do must be said, not dropped."""
    for place, text in (("positive", spec.prompt), ("negative", spec.negative)):
        tree = parse(text)
        for network in tree.networks:
            report({"kind": "note", "message": f"<{network.kind}:{network.name}> is not applied yet"})
        if place == "negative" and len(tree.ands) > 1:
            report({"kind": "note", "message": "AND is a word in a negative prompt: its parts are read as one"})
        for warning in tree.warnings:
            report({"kind": "note", "message": warning.message})


def _target(output: Path) -> Path:
    """`output` as an absolute PNG name whose folder exists."""
    output = output.expanduser().absolute()
    if output.is_dir():
        raise BadSpec(f"{output} is a folder", "Name a file, such as picture.png.")
    if output.suffix.lower() != ".png":
        if output.suffix:
            raise BadSpec(f"{output.name} is not a PNG name", "End it in .png.")
        output = output.with_suffix(".png")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadSpec(
            f"the folder {output.parent} cannot be made: {error.strerror}", "Choose another place."
        ) from error
    return output


def _numbered(output: Path, number: int) -> Path:
    return output if number == 0 else output.with_stem(f"{output.stem}-{number + 1}")


def _save(picture: np.ndarray, path: Path, spec: RenderSpec) -> Path:
    """PNG with A1111's `parameters` and the whole spec under `atelier`; written aside, then moved into place."""
    image = Image.fromarray((picture * 255).round().astype(np.uint8))
    texts = PngInfo()
    shown = spec.to_json()
    texts.add_text("parameters", infotext.write(shown))
    texts.add_text("atelier", json.dumps(shown, ensure_ascii=False))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        image.save(temporary, "PNG", pnginfo=texts)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path

"""One loaded checkpoint kept warm, and rendering a spec with it.

Knows which specs a checkpoint can serve, seeds, and the order of things: refuse, load, render, write. Leaves weights to
`loading`, what networks do to `networks`, and the picture's making to the operations.
"""

from __future__ import annotations

import gc
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from generation import pictures, sizes
from generation.autoencoder import Autoencoder
from generation.catalogue import Catalogue, ModelEntry
from generation.conditioning import Conditioner
from generation.errors import BadSpec, RenderFailed
from generation.hanging import hung
from generation.loading import choose_device
from generation.loading import prepare as hold
from generation.memory import Plan, preflight
from generation.modifiers.fast import hints
from generation.networks import named
from generation.networks.applied import Applied
from generation.operations import OPERATIONS
from generation.previews import Previewer
from generation.prompts.grammar import parse
from generation.prompts.tokens import ClipTokenizer
from generation.specs import ModelDefaults, RenderSpec
from generation.stage import Check, Report, Stage, Tools

# Channels a UNet takes beside the latents -> (what such a checkpoint is, the operations it can serve).
SPECIAL = {5: ("made for inpainting", ("inpaint", "outpaint")), 4: ("made to follow instructions", ("instruct",))}


@dataclass(frozen=True)
class RenderResult:
    """What was made: `path` of the (first) picture, `paths` of all of a batch, `spec` with nothing left open.

    `size` is (width, height) of each picture in pixels, which a second pass or an outpainting makes larger than the
    spec's.
    """

    path: Path
    paths: tuple[Path, ...]
    seed: int
    seconds: float
    spec: RenderSpec
    size: tuple[int, int]


class Loaded:
    """A pipeline with what belongs to it."""

    vae = ""  # path of the one that took its own's place
    pixels = 0  # of the largest render that the plan was made for

    def __init__(
        self, entry: ModelEntry, pipe: Any, plan: Plan, catalogue: Catalogue, further: Sequence[ModelEntry] = ()
    ) -> None:
        folder = Path(entry.path) / "tokenizer"
        self.entry, self.plan = entry, plan
        tokenizer = ClipTokenizer.load(folder if (folder / "vocab.json").is_file() else None)
        embeddings = [*further, *(found for found in catalogue.entries() if found.kind == "embedding")]
        self.tools = Tools(
            pipe,
            pipe.scheduler.config,
            Conditioner(pipe, tokenizer, embeddings, entry.family),
            Previewer(pipe.vae),
            Autoencoder(pipe.vae, pipe._execution_device),
            catalogue,
            entry,
        )
        self.networks = Applied(pipe, entry.family)

    @property
    def pipe(self) -> Any:
        return self.tools.pipe

    @property
    def conditioner(self) -> Conditioner:
        return self.tools.conditioner


class Engine:
    """Renders specs. One checkpoint stays loaded; asking for another frees it first.

    `precision` and `offload` are those of `memory.preflight`, which says before loading how a model is held.
    """

    def __init__(
        self, catalogue: Catalogue, *, device: str | None = None, precision: str = "auto", offload: str = "auto"
    ) -> None:
        self.catalogue = catalogue
        self.device = choose_device(device)[0]
        self._precision, self._offload = precision, offload
        self._loaded: Loaded | None = None

    def prepare(
        self,
        model: str,
        *,
        vae: str = "",
        size: tuple[int, int] | None = None,
        batch: int = 1,
        report: Report = lambda event: None,
    ) -> Loaded:
        """The checkpoint by its name or path, loaded for pictures of `size`, with another VAE where one is named.

        A larger picture than it was loaded for may mean that it has to be held otherwise, and is loaded again.
        """
        entry = self.catalogue.find(model)
        other = self.catalogue.find(vae) if vae else None
        width, height = size or (entry.defaults.width, entry.defaults.height)
        pixels = width * height * batch
        now = self._loaded
        if now is not None and (now.entry.path, now.vae) == (entry.path, other.path if other else ""):
            if pixels <= now.pixels:
                return now
            plan = self._plan(entry, width, height, batch, held=now.plan.needs)
            if (plan.offload, plan.vae_tiling) == (now.plan.offload, now.plan.vae_tiling):
                now.plan, now.pixels = plan, pixels
                return now
        now = None  # a name that still held it would keep its memory
        self.unload()
        plan = self._plan(entry, width, height, batch)
        report({"kind": "progress", "stage": "loading", "done": 0, "total": None, "message": entry.name})
        self._loaded = Loaded(entry, hold(entry, plan, vae=other), plan, self.catalogue)
        self._loaded.vae = other.path if other else ""
        self._loaded.pixels = pixels
        if self.device != "cpu":
            report({"kind": "note", "message": plan.reason})
        return self._loaded

    def adopt(self, entry: ModelEntry, pipe: Any, embeddings: Sequence[ModelEntry] = ()) -> None:
        """Render with a pipeline that somebody else has loaded and goes on changing: a training looks at itself so.

        `embeddings` are words that the catalogue does not have yet.
        """
        self.unload()
        plan = preflight(entry, "cpu", "fp32", entry.defaults.width, entry.defaults.height)
        self._loaded = Loaded(entry, pipe, plan, self.catalogue, embeddings)
        self._loaded.pixels = 2**62  # whatever it is asked for, it is not loaded again

    def _plan(self, entry: ModelEntry, width: int, height: int, batch: int, held: int = 0) -> Plan:
        return preflight(entry, self.device, self._precision, width, height, batch, offload=self._offload, held=held)

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

        Networks that the prompt names are put into the weights first and stay there until a prompt names others. Same
        spec and seed give the same pixels on the same machine. Nothing is written when `check` raises or the render
        fails; raises `RenderFailed`, `BadSpec`, `BadImage`, `BadWeights`, `UnknownModel`, `UnknownSampler`.
        """
        began = time.perf_counter()
        output = pictures.target(output)
        while OPERATIONS[spec.operation].rewrites:
            spec = _found(OPERATIONS[spec.operation].run)(spec)
        spec = _fixed(spec, report)
        if plain := OPERATIONS[spec.operation].plain:
            image = spec.options.get("image")
            size = pictures.size_for(pictures.read(image), spec.width, spec.height) if image else (256, 256)
            whole = spec.resolve(ModelDefaults(*size), _drawn)
            made = _found(plain)(whole, self.catalogue, report, check)
            if made is not None:
                check()
                return _kept(made, whole, *_seeds(whole), output, began)
        _say_what_is_not_done(spec, report)
        networks = parse(spec.prompt).networks
        entries, family = self.catalogue.entries(), self.catalogue.find(spec.model).family
        loras = named.resolve(networks, entries, family)
        hypers = named.hypernetworks(networks, entries, family)
        source = pictures.read(spec.options["image"]) if spec.options.get("image") else None
        check()
        entry = self.catalogue.find(spec.model)
        defaults = entry.defaults
        if source is not None and not spec.options.get("only_masked"):
            width, height = pictures.size_for(source, spec.width, spec.height)
            defaults = replace(defaults, width=width, height=height)
        spec = spec.resolve(defaults, _drawn)
        for line in hints([entry.name, *(use.entry.name for use in loras)], entry.family, spec):
            report({"kind": "note", "message": line})
        for line in sizes.remarks(entry, spec, source.size if source is not None else None):
            report({"kind": "note", "message": line})
        scale = spec.options.get("hires_scale", spec.options.get("scale", 1.0))
        size = (int((spec.width or 512) * scale), int((spec.height or 512) * scale))
        loaded = self.prepare(spec.model, vae=spec.vae, size=size, batch=spec.batch, report=report)
        _refuse_misfit(loaded, spec)
        check()
        if loaded.networks.set(loras, report=report, check=check):
            loaded.conditioner.clear()
        stage = _staged(loaded, spec, report, check, preview)
        try:
            with hung(stage, hypers):
                made = _found(OPERATIONS[spec.operation].run)(stage)
        except torch.OutOfMemoryError as error:
            self.unload()
            raise RenderFailed(
                f"{spec.width}x{spec.height} does not fit into the memory of {self.device}",
                "Choose a smaller size or batch.",
            ) from error
        finally:
            loaded.pipe.maybe_free_model_hooks()
        if not np.isfinite(made).all():
            raise RenderFailed(
                "the picture came out as not-a-number", "Lower the CFG scale, or choose another sampler."
            )
        check()
        return _kept(made, spec, stage.seeds, stage.variations, output, began)


def _drawn() -> int:
    return secrets.randbelow(2**32)


def _found(place: str) -> Any:
    """What "module:attribute" names."""
    module, attribute = place.split(":")
    return getattr(import_module(module), attribute)


def _fixed(spec: RenderSpec, report: Report) -> RenderSpec:
    """The spec with what its operation can only work with; what was asked for instead is said, not dropped."""
    fixed = OPERATIONS[spec.operation].fixed
    for name, value in fixed.items():
        if getattr(spec, name) not in (None, value):
            report({"kind": "note", "message": f"{spec.operation} works with the {name} {value} alone"})
    return replace(spec, **fixed)


def _kept(
    made: np.ndarray, spec: RenderSpec, seeds: Sequence[int], variations: Sequence[int], output: Path, began: float
) -> RenderResult:
    """The pictures written, each with the spec that makes it alone."""
    seconds = time.perf_counter() - began
    paths = []
    for n, picture in enumerate(made):
        options = dict(spec.options)
        if "variation_seed" in options:
            options["variation_seed"] = variations[n]
        alone = replace(spec, seed=seeds[n], batch=1, options=options)
        paths.append(pictures.save(picture, pictures.numbered(output, n), alone))
    return RenderResult(paths[0], tuple(paths), spec.seed, seconds, spec, (made.shape[2], made.shape[1]))


def _staged(loaded: Loaded, spec: RenderSpec, report: Report, check: Check, preview: Path | None) -> Stage:
    return Stage(loaded.tools, spec, *_seeds(spec), report, check, preview)


def _seeds(spec: RenderSpec) -> tuple[list[int], list[int]]:
    """(seeds, variations): of a batch each picture has the next seed, or with a variation the next variation."""
    share = spec.options.get("variation_strength", 0.0)
    first = spec.options.get("variation_seed", -1)
    if share and first == -1:
        first = _drawn()
    if share:
        return [spec.seed] * spec.batch, [first + n for n in range(spec.batch)]
    return [(spec.seed + n) % 2**63 for n in range(spec.batch)], [first] * spec.batch


def _refuse_misfit(loaded: Loaded, spec: RenderSpec) -> None:
    """A UNet that wants more than latents can serve the operations that give it that, and no others."""
    channels = int(loaded.pipe.unet.config.in_channels) - int(loaded.pipe.vae.config.latent_channels)
    if channels == 0:
        return
    what, able = SPECIAL.get(channels, ("of an unknown kind", ()))
    if spec.operation not in able:
        raise BadSpec(
            f"{loaded.entry.name} is {what} and cannot do {spec.operation}",
            f"Use it for {' or '.join(able)}, or choose another model." if able else "Choose another model.",
        )


def _say_what_is_not_done(spec: RenderSpec, report: Report) -> None:
    """What the prompt asks for and this engine does not do must be said, not dropped."""
    for place, text in (("positive", spec.prompt), ("negative", spec.negative)):
        tree = parse(text)
        if place == "negative" and tree.networks:
            report(
                {"kind": "note", "message": "networks act from the positive prompt; those in the negative do nothing"}
            )
        if place == "negative" and len(tree.ands) > 1:
            report({"kind": "note", "message": "AND is a word in a negative prompt: its parts are read as one"})
        for warning in tree.warnings:
            report({"kind": "note", "message": warning.message})

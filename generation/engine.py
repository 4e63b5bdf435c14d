"""One loaded checkpoint kept warm, and rendering a spec with it.

Knows which specs a checkpoint can serve, seeds, and the order of things: refuse, load, render, write. Leaves weights to
`loading`, what networks do to `networks`, and the picture's making to the operations.
"""

from __future__ import annotations

import gc
import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from generation import pictures
from generation.attachments import ATTACHMENTS
from generation.autoencoder import Autoencoder
from generation.catalogue import Catalogue, ModelEntry
from generation.conditioning import Conditioner
from generation.errors import BadSpec, RenderFailed
from generation.loading import choose_device, load
from generation.networks import named
from generation.networks.applied import Applied
from generation.networks.hypernetworks import hypernetworks
from generation.operations import OPERATIONS
from generation.previews import Previewer
from generation.prompts.grammar import parse
from generation.prompts.tokens import ClipTokenizer
from generation.specs import RenderSpec
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

    def __init__(self, entry: ModelEntry, pipe: Any, embeddings: Sequence[ModelEntry] = ()) -> None:
        folder = Path(entry.path) / "tokenizer"
        self.entry = entry
        tokenizer = ClipTokenizer.load(folder if (folder / "vocab.json").is_file() else None)
        self.tools = Tools(
            pipe,
            pipe.scheduler.config,
            Conditioner(pipe, tokenizer, embeddings, entry.family),
            Previewer(pipe.vae),
            Autoencoder(pipe.vae, pipe._execution_device),
        )
        self.networks = Applied(pipe, entry.family)

    @property
    def pipe(self) -> Any:
        return self.tools.pipe

    @property
    def conditioner(self) -> Conditioner:
        return self.tools.conditioner


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
            report({"kind": "progress", "stage": "loading", "done": 0, "total": None, "message": entry.name})
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

        Networks that the prompt names are put into the weights first and stay there until a prompt names others. Same
        spec and seed give the same pixels on the same machine. Nothing is written when `check` raises or the render
        fails; raises `RenderFailed`, `BadSpec`, `BadImage`, `BadWeights`, `UnknownModel`, `UnknownSampler`.
        """
        began = time.perf_counter()
        output = pictures.target(output)
        while OPERATIONS[spec.operation].rewrites:
            spec = _found(OPERATIONS[spec.operation].run)(spec)
        _say_what_is_not_done(spec, report)
        networks = parse(spec.prompt).networks
        entries, family = self.catalogue.entries(), self.catalogue.find(spec.model).family
        loras = named.resolve(networks, entries, family)
        hypers = named.hypernetworks(networks, entries, family)
        source = pictures.read(spec.options["image"]) if spec.options.get("image") else None
        check()
        loaded = self.prepare(spec.model, report=report)
        _refuse_misfit(loaded, spec)
        check()
        if loaded.networks.set(loras, report=report, check=check):
            loaded.conditioner.clear()
        defaults = loaded.entry.defaults
        if source is not None and not spec.options.get("only_masked"):
            width, height = pictures.size_for(source, spec.width, spec.height)
            defaults = replace(defaults, width=width, height=height)
        spec = spec.resolve(defaults, _drawn)
        stage = _staged(loaded, spec, report, check, preview)
        try:
            with ExitStack() as hung:
                hung.enter_context(hypernetworks(loaded.pipe.unet, hypers))
                for name, place in ATTACHMENTS.items():
                    if getattr(spec, name):
                        hung.enter_context(_found(place)(stage))
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
        seconds = time.perf_counter() - began
        paths = []
        for n, picture in enumerate(made):
            options = dict(spec.options)
            if "variation_seed" in options:
                options["variation_seed"] = stage.variations[n]
            alone = replace(spec, seed=stage.seeds[n], batch=1, options=options)
            paths.append(pictures.save(picture, pictures.numbered(output, n), alone))
        return RenderResult(paths[0], tuple(paths), spec.seed, seconds, spec, (made.shape[2], made.shape[1]))


def _drawn() -> int:
    return secrets.randbelow(2**32)


def _found(place: str) -> Any:
    """What "module:attribute" names."""
    module, attribute = place.split(":")
    return getattr(import_module(module), attribute)


def _staged(loaded: Loaded, spec: RenderSpec, report: Report, check: Check, preview: Path | None) -> Stage:
    """The stage with its seeds: of a batch each picture has the next one, or with a variation the next variation."""
    share = spec.options.get("variation_strength", 0.0)
    first = spec.options.get("variation_seed", -1)
    if share and first == -1:
        first = _drawn()
    if share:
        seeds, variations = [spec.seed] * spec.batch, [first + n for n in range(spec.batch)]
    else:
        seeds, variations = [(spec.seed + n) % 2**63 for n in range(spec.batch)], [first] * spec.batch
    return Stage(loaded.tools, spec, seeds, variations, report, check, preview)


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

"""A clip of a checkpoint and a motion module: all frames denoised together by the engine's own loop.

The frames are a batch of one render, between which the module's attention goes (`hooks`): whatever a render can have,
networks, controls, references, weighted and edited prompts, samplers, a clip has. Frame n starts from the noise of the
seed n further on, so that its first frame is related to the picture of the same seed. Latents that were made are kept
until all frames are files: what was stopped after denoising goes on with decoding. Leaves files of weights to
`modules`, long clips to `windows` and `free`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from generation import infotext
from generation.animation.clips import Clip, resized
from generation.animation.colour import to_bytes
from generation.animation.deforum import PREVIEW_EVERY, Animated
from generation.animation.frames import Frames, load, save, stamp
from generation.animation.motion_models import finding, free, hooks, loras, modules, windows
from generation.animation.motion_models.settings import MotionSettings
from generation.animation.motion_models.told import Told, Travelling
from generation.catalogue import look
from generation.engine import Engine, Loaded
from generation.errors import BadSpec, RenderFailed
from generation.hanging import hung
from generation.networks import named
from generation.networks.named import Use
from generation.prompts.grammar import parse
from generation.specs import LARGEST_SEED, RenderSpec
from generation.stage import Check, Report, Stage

LATENTS = "latents.npy"
SHOWN = 4  # frames of a preview


def run(
    settings: MotionSettings,
    folder: Path,
    engine: Engine,
    *,
    seed: int,
    fresh: bool = False,
    report: Report = lambda event: None,
    check: Check = lambda: None,
) -> Animated:
    """Make every frame of a clip under `folder`; frames that are there of the same settings are not made again.

    Raises `BadSpec`, `BadVideo`, `BadImage`, `BadWeights`, `UnknownModel`, `RenderFailed`, and what `check` raises.
    """
    return _Making(settings, folder, engine, seed, fresh, report, check).run()


class _Making:
    def __init__(
        self, settings: MotionSettings, folder: Path, engine: Engine, seed: int, fresh: bool, report: Report,
        check: Check,
    ) -> None:  # fmt: skip
        self.settings, self.engine, self.report, self.check = settings, engine, report, check
        self.seed = seed
        spec = settings.spec()
        self.entry = engine.catalogue.find(spec.model)
        self.module = finding.module(engine.catalogue, settings["motion"], self.entry)
        self.loras = [(finding.lora(engine.catalogue, name, self.entry), weight) for name, weight in settings.loras]
        self.clip = Clip(settings["video"]) if settings["video"] else None
        trained = modules.trained_on(Path(self.module.path))
        self.count = settings["frames"] or trained
        if self.clip is not None and not settings["frames"] and self.clip.frames:
            self.count = min(self.clip.frames, trained)
        self.context = settings["context"] or trained
        self.stride = settings["stride"] or max(self.context // 4, 1)
        self.spec = self._resolved(spec)
        self.told = None
        if settings.prompts:
            self.told = Told(settings.prompts, spec.negative, self.count, seed)
            for warning in self.told.warnings:
                report({"kind": "note", "message": f"prompts: {warning}"})
        self.frames = Frames(folder, self._made_of(), fresh=fresh)

    def _resolved(self, spec: RenderSpec) -> RenderSpec:
        """The spec with nothing open, of the video's shape where there is one."""
        spec = replace(spec, seed=self.seed)
        defaults = self.entry.defaults
        if self.clip is not None and spec.width is None and spec.height is None:
            scale = (defaults.width * defaults.height / (self.clip.width * self.clip.height)) ** 0.5
            width, height = (max(round(side * scale / 8) * 8, 32) for side in (self.clip.width, self.clip.height))
            defaults = replace(defaults, width=width, height=height)
        return spec.resolve(defaults, lambda: 0)

    def _made_of(self) -> dict[str, Any]:
        about = [stamp(Path(entry.path)) for entry in (self.module, *(one for one, _ in self.loras))]
        source = stamp(self.clip.path) if self.clip is not None else ""
        return {"kind": "motion", "seed": self.seed, "settings": self.settings.to_json(), "spec": self.spec.to_json(),
                "frames": self.count, "model": self.entry.path, "weights": about, "source": source}  # fmt: skip

    def run(self) -> Animated:
        began = time.perf_counter()
        missing = [number for number in range(self.count) if not self.frames.here(number)]
        diffusion = 0.0
        if missing:
            latents = self._kept()
            if latents is None:
                started = time.perf_counter()
                latents = self._denoised()
                diffusion = time.perf_counter() - started
            self._decoded(latents, missing)
        (self.frames.folder / LATENTS).unlink(missing_ok=True)
        size = int(self.spec.width or 0), int(self.spec.height or 0)
        warnings = self.told.warnings if self.told is not None else ()
        return Animated(
            self.frames.folder, self.count, len(missing), len(missing), self.seed, size,
            time.perf_counter() - began, diffusion, tuple(warnings), self.spec,
        )  # fmt: skip

    # Denoising

    @torch.no_grad()
    def _denoised(self) -> Tensor:
        settings, spec = self.settings, self.spec
        assert spec.width is not None and spec.height is not None
        loaded = self._loaded()
        module = self._moving(loaded)
        tools = loaded.tools
        if self.told is not None:
            tools = replace(tools, conditioner=Travelling(tools.conditioner, self.told))  # type: ignore[arg-type]
        seeds = [(self.seed + number) % LARGEST_SEED for number in range(self.count)]
        preview = self.frames.folder / "preview.png"
        stage = ClipStage(tools, spec, seeds, seeds, self.report, self.check, preview, count=self.count)
        if stage.own_channels:
            raise BadSpec(f"{self.entry.name} was made for single pictures", "Choose another model.")
        family = loaded.entry.family
        hypers = named.hypernetworks(parse(spec.prompt).networks, self.engine.catalogue.entries(), family)
        init = self._init(stage)
        try:
            with ExitStack() as held:
                if self.context < self.count:
                    held.enter_context(windows.windowed(module, self.context, self.stride))
                held.enter_context(hooks.moving(loaded.pipe.unet, module, self.count, scale=settings["scale"]))
                held.enter_context(hung(stage, hypers))
                made = self._rounds(stage, init)
        except torch.OutOfMemoryError as error:
            self.engine.unload()
            raise RenderFailed(
                f"{self.count} frames of {spec.width}x{spec.height} do not fit into the memory of {self.engine.device}",
                "Choose fewer frames or a smaller size.",
            ) from error
        finally:
            loaded.pipe.maybe_free_model_hooks()
            preview.unlink(missing_ok=True)
        if not bool(torch.isfinite(made).all()):
            raise RenderFailed("the clip came out as not-a-number", "Lower the CFG scale, or choose another sampler.")
        latents = made.float().cpu()
        self._keep(latents)
        return latents

    def _rounds(self, stage: ClipStage, init: Tensor | None) -> Tensor:
        """The clip, made again from its own slow motion as often as FreeInit is told to."""
        settings = self.settings
        noise = self._noise(stage)
        made = stage.denoise(noise, init=init, strength=self._strength(), name="denoising")
        signal = float(stage.scheduler().alphas_cumprod[-1])
        first = noise
        for number in range(settings["free_init"]):
            shape = (self.count, made.shape[-2], made.shape[-1])
            kept = free.low_pass(
                shape, settings["free_init_filter"], settings["free_init_space"], settings["free_init_time"]
            )
            fresh = _drawn(noise, self.seed + number + 1)
            noise = free.renewed(made, first, fresh, signal, kept)
            made = stage.denoise(noise, init=init, strength=self._strength(), name=f"round {number + 2}")
        return made

    def _strength(self) -> float:
        """Less than one step of change is one."""
        return min(max(self.settings["strength"], 1 / (self.spec.steps or 1) + 1e-6), 1.0)

    def _noise(self, stage: ClipStage) -> Tensor:
        noise = stage.noise(*stage.size)
        if self.settings["free_noise"] and self.context < self.count:
            generator = torch.Generator("cpu").manual_seed(self.seed)
            noise = free.shuffled(noise, self.context, self.stride, generator)
        return noise

    def _init(self, stage: ClipStage) -> Tensor | None:
        """The video's frames as latents, where it is more than what controls look at."""
        if self.clip is not None:
            stage.filmed = self._filmed()
        if self.clip is None or self.settings["strength"] >= 1:
            return None
        pictures = np.stack([load(path) for path in stage.filmed]).astype(np.float32) / 255
        return stage.encode(pictures)

    def _filmed(self) -> tuple[Path, ...]:
        """The video's first frames at the clip's size, as files: what controls look at."""
        assert self.clip is not None and self.spec.width is not None and self.spec.height is not None
        folder = self.frames.folder / "filmed"
        folder.mkdir(exist_ok=True)
        found: list[Path] = []
        for number, frame in enumerate(self.clip.part(last=self.count - 1)):
            self.check()
            path = folder / f"{number:06d}.png"
            if not path.is_file():
                save(path, resized(frame, (self.spec.width, self.spec.height)))
            found.append(path)
        if self.clip.note:
            self.report({"kind": "note", "message": self.clip.note})
        if len(found) < self.count:
            raise BadSpec(
                f"{self.clip.path.name} has {len(found)} frames, and the clip {self.count}",
                f"Set frames to {len(found)} or fewer.",
            )
        return tuple(found)

    # Weights

    def _loaded(self) -> Loaded:
        spec = self.spec
        assert spec.width is not None and spec.height is not None
        loaded = self.engine.prepare(
            spec.model, vae=spec.vae, size=(spec.width, spec.height), batch=self.count, report=self.report
        )
        entries = self.engine.catalogue.entries()
        text = self.settings.prompts.get("0", "") or spec.prompt
        uses = named.resolve(parse(text).networks, entries, loaded.entry.family)
        beside = modules.adapter_beside(Path(self.module.path))
        if beside is not None and self.settings["adapter"]:
            uses.append(Use(look(beside), self.settings["adapter"], self.settings["adapter"]))
        if loaded.networks.set(uses, report=self.report, check=self.check):
            loaded.conditioner.clear()
        return loaded

    def _moving(self, loaded: Loaded) -> Any:
        """The motion module with its LoRAs, on the UNet's device; read once a checkpoint."""
        known = ("motion", stamp(Path(self.module.path)), tuple((stamp(Path(e.path)), w) for e, w in self.loras))
        if loaded.tools.kept.get("motion_key") != known:
            self.report({"kind": "progress", "stage": "loading", "done": 0, "total": None, "message": self.module.name})
            made = modules.load(Path(self.module.path))
            for entry, weight in self.loras:
                loras.apply(made, Path(entry.path), weight)
            loaded.tools.kept["motion"] = made
            loaded.tools.kept["motion_key"] = known
        module = loaded.tools.kept["motion"]
        unet = loaded.pipe.unet
        module.to(loaded.pipe._execution_device, unet.dtype)
        places = modules.frames_of(module)
        longest = min(self.context, self.count)
        if longest > places:
            raise BadSpec(
                f"{self.module.name} tells {places} frames apart, not {longest}",
                "Leave context out: longer clips are seen in windows.",
            )
        return module

    # Pictures

    def _decoded(self, latents: Tensor, missing: Sequence[int]) -> None:
        loaded = self.engine.prepare(self.spec.model, vae=self.spec.vae, report=self.report)
        shown = 0.0
        with self.frames:
            for done, number in enumerate(missing):
                self.check()
                self.report({"kind": "progress", "stage": "frames", "done": done, "total": len(missing)})
                picture = to_bytes(loaded.tools.autoencoder.decode(latents[number : number + 1])[0])
                alone = replace(self.spec, prompt=self._prompt(number))
                path = self.frames.write(number, picture, {"parameters": infotext.write(alone.to_json())})
                if time.perf_counter() - shown > PREVIEW_EVERY:
                    shown = time.perf_counter()
                    self.frames.settle()
                    self.report({"kind": "preview", "path": str(path)})
        self.report({"kind": "progress", "stage": "frames", "done": len(missing), "total": len(missing)})

    def _prompt(self, frame: int) -> str:
        return self.told.texts[frame][0] if self.told is not None else self.spec.prompt

    def _keep(self, latents: Tensor) -> None:
        temporary = self.frames.folder / f".{LATENTS}.{os.getpid()}.part"
        with temporary.open("wb") as file:
            np.save(file, latents.numpy())
        temporary.replace(self.frames.folder / LATENTS)

    def _kept(self) -> Tensor | None:
        """Latents that were made before the clip was stopped."""
        try:
            found = torch.from_numpy(np.load(self.frames.folder / LATENTS, allow_pickle=False))
        except (OSError, ValueError, EOFError):
            return None
        return found if len(found) == self.count else None


class ClipStage(Stage):
    """A render whose pictures are the frames of one clip; `filmed` are the files of a video's frames."""

    def __init__(self, *given: Any, count: int) -> None:
        super().__init__(*given)
        self.count = count

    def shown(self, latents: Tensor) -> np.ndarray:
        """Some of the frames beside each other."""
        numbers = np.linspace(0, self.count - 1, min(SHOWN, self.count)).round().astype(int)
        found = [self.tools.previewer.picture(latents[int(n)]) for n in numbers]
        # The first may have shown that decoding takes too long; the others are smaller then.
        height, width = found[-1].shape[:2]
        return np.concatenate([resized(one, (width, height)) for one in found], axis=1)


def _drawn(like: Tensor, seed: int) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(seed % LARGEST_SEED)
    return torch.randn(like.shape, generator=generator, dtype=torch.float32).to(like)

"""A training from its spec to its files: pictures, captions and model brought together, and the loop let run.

Knows the order of things: refuse what cannot be, load, make pictures of the class, encode, train, write. The state lies
in a hidden folder beside the output while it is trained; the same spec again goes on from it. Leaves what learns to the
learners, files' names and the record to `results`.
"""

from __future__ import annotations

import math
import random
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from generation import fitting, loading
from generation.autoencoder import Autoencoder
from generation.catalogue import Catalogue, ModelEntry
from generation.engine import Engine
from generation.errors import BadSpec
from generation.training import TRAINERS, metadata, results, samples
from generation.training.captions import CaptionRules
from generation.training.examples import Examples, Item, items
from generation.training.inversion import Word
from generation.training.loop import Loop, accelerated
from generation.training.priors import class_pictures
from generation.training.results import target, work_folder
from generation.training.settings import TrainingSpec
from generation.training.texts import Reader

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
FEW = 8  # pictures; of fewer none is kept aside
WORD_SAID = "a picture of {}"


@dataclass(frozen=True)
class Trained:
    """What came of it. `paths` are the files, the last (or averaged) weights first; `record` is plain data."""

    paths: tuple[Path, ...]
    record: dict[str, Any]


def train(
    spec: TrainingSpec,
    catalogue: Catalogue,
    *,
    device: str | None = None,
    gallery: Path | None = None,
    cached: bool = True,
    report: Report = lambda event: None,
    check: Check = lambda: None,
) -> Trained:
    """Train as `spec` says. `gallery` is the folder that samples go to; `cached` False encodes everything again each
    time, which is what caches are measured against.

    Raises `BadSpec`, `BadWeights`, `BadImage` before anything is trained, `TrainingFailed` on the way.
    """
    began = time.time()
    settings = spec.settings
    entry = catalogue.find(spec.model)
    fitting.require(entry, *fitting.MODELS)
    output = target(spec, entry)
    work = work_folder(output)

    def note(message: str) -> None:
        report({"kind": "note", "message": message})

    trainer = TRAINERS[spec.kind]
    dataset = _found(trainer.dataset)(Path(spec.dataset), check)
    for remark in dataset.remarks[:20]:
        note(f"{Path(remark.path).name}: {remark.message}" if remark.path else remark.message)
    side = settings["resolution"] or min(entry.defaults.width, entry.defaults.height)
    rules = spec.rules(min(entry.defaults.width, entry.defaults.height))
    found = items(dataset.pictures, rules, settings["repeats"], note)
    chosen, _ = loading.choose_device(device)
    precision = _precision(settings["precision"], chosen, note)
    accelerator = accelerated(chosen, precision)
    report({"kind": "progress", "stage": "loading", "done": 0, "total": None, "message": entry.name})
    frozen = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    pipe = loading.load(entry, str(accelerator.device), frozen)
    if int(pipe.unet.config.in_channels) != int(pipe.vae.config.latent_channels):
        raise BadSpec(
            f"{entry.name} reads more than latents and is no base for a training",
            "Train on the plain checkpoint of the same family.",
        )
    engine = Engine(catalogue, device=chosen)
    # In turn, since only the first process of several makes pictures.
    with accelerator.main_process_first():
        priors = class_pictures(spec, entry, dataset, engine, pipe, rules, output, note, report, check)
    check()
    _frozen(pipe, chosen)
    reader = Reader(pipe, int(settings["max_tokens"]), settings["clip_skip"])
    learner = _learner(spec, pipe, entry)
    if isinstance(learner, Word):
        reader.place(learner.tokenizers)
    if settings["checkpointing"]:
        _checkpoint(pipe, learner)
    trains_text = any(group["part"] != "unet" and group["params"] for group in learner.groups())
    kept, held = _aside(found, settings)
    if held is None and settings["validation"]:
        note(f"fewer than {FEW} pictures: none is kept aside, so overfitting is not looked for")
    autoencoder = Autoencoder(pipe.vae, accelerator.device)
    identity = f"{entry.name} {entry.size} {precision}"
    caption_rules = _rules(settings, learner, found)

    # Of a clip's frames all are seen in one batch; of pictures each is its own.
    clip = {name: settings[name] for name in ("frames", "frame_rate") if name in settings}

    def examples(of: list[Item], batch: int, **further: Any) -> Examples:
        made: Examples = _found(trainer.examples)(
            of, autoencoder, reader, further.pop("rules", caption_rules), work / "latents",
            identity=identity, batch=batch, variants=settings["variants"], seed=settings["seed"],
            texts_cached=cached and not trains_text, report=report, check=check, **clip, **further,
        )  # fmt: skip
        return made

    cache = cached and settings["cache_latents"]
    seen = examples(kept, settings["batch"], flip=settings["flip"], cached=cache)
    aside = examples(held, settings["batch"], cached=True) if held else None
    class_rules = CaptionRules()
    class_seen = examples(priors, settings["batch"], cached=cache, rules=class_rules) if priors else None
    per_epoch = max(math.ceil(seen.batches / (settings["accumulate"] * accelerator.num_processes)), 1)
    steps = settings["steps"] or settings["epochs"] * per_epoch
    sampled = _samples(spec, entry, learner, engine, pipe, kept, gallery, output, work)
    rest = not sampled and chosen != "cpu"
    if rest:
        # What is encoded already needs no room on the GPU.
        pipe.vae.to("cpu" if cache else accelerator.device)
        if cached and not trains_text:
            for encoder in reader.encoders:
                encoder.to("cpu")
    said: dict[str, Any] = {
        "model": entry.name, "family": fitting.base(entry.family), "found": kept,
        "prediction": str(pipe.scheduler.config.prediction_type), "resolution": (side, side),
        "priors": len(priors), "batches": seen.batches, "precision": precision, "began": began,
    }  # fmt: skip
    written: list[Path] = []

    def on_the_way(step: int) -> bool:
        every, epochs = settings["save_every"], settings["save_every_epochs"]
        return step < steps and bool((every and step % every == 0) or (epochs and step % (epochs * per_epoch) == 0))

    def sampling(step: int) -> bool:
        return bool(sampled and settings["sample_every"] and (step % settings["sample_every"] == 0 or step == steps))

    def every(step: int) -> None:
        if on_the_way(step):
            written.extend(
                learner.write(
                    results.named(output, step, per_epoch, settings), metadata.describe(spec, steps=step, **said)
                )
            )
        if sampled and sampling(step):
            if isinstance(learner, Word):
                samples.word_entry(learner, work, fitting.base(entry.family))
            sampled.make(step, report, check)

    loop = Loop(
        learner, pipe.unet, pipe.scheduler.config, seen, settings, steps, work, accelerator,
        priors=class_seen, held=aside, every=every, wants=lambda step: on_the_way(step) or sampling(step),
        report=report if accelerator.is_main_process else lambda event: None, check=check,
        identity=results.identity(spec, entry, found, priors, steps), frames=settings.get("frames", 1),
    )  # fmt: skip
    run = loop.run()
    record: dict[str, Any] = {}
    if accelerator.is_main_process:
        report({"kind": "progress", "stage": "writing", "done": 0, "total": None})
        last = learner.write(output, metadata.describe(spec, steps=steps, **said))
        best = results.best(
            work, run, output, learner, metadata.describe(spec, steps=max(run.watch.best, 0), **said), note
        )
        record = results.record(
            spec, entry, found, held, priors, run, sampled.made if sampled else [], began, per_epoch
        )
        record["path"], record["paths"] = str(last[0]), [str(path) for path in (*last, *best, *written)]
        record["best_path"] = str(best[0]) if best else None
        record["bytes"] = results.size_of(last[0])
        record["plot"] = str(output.with_name(f"{output.stem}.loss.png"))
        results.keep(output, run, record)
        shutil.rmtree(work, ignore_errors=True)
    accelerator.wait_for_everyone()
    return Trained(tuple(Path(path) for path in record.get("paths", ())), record)


def _precision(wanted: str, device: str, note: Callable[[str], None]) -> str:
    if wanted == "fp16" and device == "cpu":
        note("a CPU cannot train in fp16: this training works in fp32")
        return "fp32"
    if wanted != "auto":
        return wanted
    if device != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def _learner(spec: TrainingSpec, pipe: Any, entry: ModelEntry) -> Any:
    return _found(TRAINERS[spec.kind].learner)(pipe, spec, entry)


def _found(place: str) -> Any:
    """What "module:attribute" names."""
    module, attribute = place.split(":")
    return getattr(import_module(module), attribute)


def _frozen(pipe: Any, device: str) -> None:
    """Nothing of the pipeline learns but what a learner says."""
    for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
        if (module := getattr(pipe, name, None)) is not None:
            module.requires_grad_(False)
    if device == "cpu":
        # A convolution's step takes 0.8 of the time so.
        pipe.unet.to(memory_format=torch.channels_last)


def _checkpoint(pipe: Any, learner: Any) -> None:
    pipe.unet.enable_gradient_checkpointing()
    parts = {group["part"] for group in learner.groups()}
    for part in parts - {"unet"}:
        module = getattr(pipe, part, None)
        if module is not None and hasattr(module, "gradient_checkpointing_enable"):
            module.gradient_checkpointing_enable()
            if hasattr(module, "enable_input_require_grads"):
                module.enable_input_require_grads()


def _rules(settings: Mapping[str, Any], learner: Any, found: list[Item]) -> CaptionRules:
    prefix = settings["prefix"]
    if isinstance(learner, Word):
        named = any(learner.word.casefold() in item.picture.caption.casefold() for item in found)
        if not named and learner.word.casefold() not in prefix.casefold():
            prefix = f"{prefix} {WORD_SAID.format(learner.word)}".strip()
    return CaptionRules(
        prefix=prefix,
        suffix=settings["suffix"],
        dropout=settings["caption_dropout"],
        dropout_every_epochs=settings["caption_dropout_every"],
        tag_dropout=settings["tag_dropout"],
        keep_tokens=settings["keep_tokens"],
        shuffle=settings["shuffle"],
        warmup_min=settings["warmup_min"],
        warmup_steps=settings["warmup_steps"],
    )


def _aside(found: list[Item], settings: Mapping[str, Any]) -> tuple[list[Item], list[Item] | None]:
    """(pictures to learn from, pictures kept aside): drawn by the seed."""
    if len(found) < FEW or not settings["validation"]:
        return found, None
    count = max(round(len(found) * settings["validation"]), 1)
    chosen = set(random.Random(settings["seed"]).sample(range(len(found)), count))
    return (
        [item for number, item in enumerate(found) if number not in chosen],
        [item for number, item in enumerate(found) if number in chosen],
    )


def _samples(
    spec: TrainingSpec,
    entry: ModelEntry,
    learner: Any,
    engine: Engine,
    pipe: Any,
    found: list[Item],
    gallery: Path | None,
    output: Path,
    work: Path,
) -> samples.Samples | None:
    settings = spec.settings
    if not settings["sample_every"]:
        return None
    lines = samples.lines(settings["samples"])
    if not lines:
        first = found[0].picture.caption or found[0].picture.tokens
        lines = [f"{settings['prefix']} {first}".strip() or WORD_SAID.format(output.stem)]
        if isinstance(learner, Word):
            lines = [WORD_SAID.format(learner.word)]
    specs = [samples.parsed(line, entry.path) for line in lines]
    words = [samples.word_entry(learner, work, fitting.base(entry.family))] if isinstance(learner, Word) else []
    engine.adopt(entry, pipe, words)
    folder = (gallery or output.parent) / f"{output.stem}-samples"
    folder.mkdir(parents=True, exist_ok=True)
    return samples.Samples(engine, entry, learner, specs, folder, output.stem)

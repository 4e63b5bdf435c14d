"""What a training of a dataset will do, before it starts: buckets and crops, steps, settings, memory and time.

Knows how presets, overriding settings and a memory become one set of settings. Plain arithmetic: how pictures look
comes from `checks`, how fast the machine is from `speed`, and what is worth saying from `plan_remarks`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from generation import parameters
from generation.errors import BadSpec
from generation.training import footprint, plan_remarks, presets
from generation.training.buckets import Placed, Rules, Size, place
from generation.training.datasets import Dataset, Picture, Remark
from generation.training.planned import Base, Machine, Plan
from generation.training.settings import table

CLASS_STEPS = 20  # of sampling, for a picture of the class
# Where settings come from that no guide names.
GIVEN, MODEL, MEMORY, COUNTED = "you", "the model's own size", "the memory there is", "the number of pictures"


def make(
    dataset: Dataset,
    base: Base,
    machine: Machine,
    *,
    kind: str = "lora",
    subject: str = "character",
    given: Mapping[str, Any] | None = None,
    remarks: Sequence[Remark] = (),
) -> Plan:
    """The plan; settings in `given` stand over the preset's, `remarks` are those of `checks`.

    Of the preset's ladder the first rung that fits the memory is taken, then smaller sizes. Raises `BadSpec` for a
    setting that cannot be or a dataset of which no picture fits a bucket.
    """
    given = dict(given or {})
    for name in given:
        # The whole is checked below; a wrong name must not first become a wrong sum.
        parameters.checked({name: given[name]}, table(kind), f"training a {kind}")
    chosen = presets.preset(kind, subject, "sdxl" if base.family.startswith("sdxl") else "sd15")
    own = _own(chosen, base, dataset)
    of = footprint.model(base.family, base.unet)
    said: list[Remark] = []
    settings, memory, fits = _fitting(chosen, own, given, dataset, of, machine, said)
    rules = rules_of(settings)
    placed = tuple(_placed(picture, rules) for picture in dataset.pictures)
    if not any(placed):
        raise BadSpec(f"no picture of {dataset.path} fits a bucket", "Allow pictures to be enlarged.")
    _length(settings, given, chosen, dataset.pictures, placed)
    settings = parameters.checked(settings, table(kind), f"training a {kind}")
    sources = {name: chosen.sources.get(name, presets.DEFAULT) for name in settings}
    sources |= dict.fromkeys(
        ("repeats", "epochs", "steps", *(("text_steps",) if settings["text_steps"] else ())), COUNTED
    )
    sources |= {name: MODEL for name in settings if name in chosen.settings and own[name] != chosen.settings[name]}
    tried = {name for rung in chosen.ladder for name in rung}
    sources |= {name: MEMORY for name in tried if settings[name] != chosen.settings.get(name)}
    sources |= dict.fromkeys(given, GIVEN)
    other = replace(rules, upscale=False)
    whole = [one for one in (_placed(picture, other) for picture in dataset.pictures) if one]
    made = Plan(
        dataset, base, kind, subject, settings, sources, dataset.pictures, placed, _mean_repeats(settings, dataset),
        settings["steps"], memory, fits, _seconds(settings, dataset, placed, kind, of, machine),
        _mean_loss(placed), (_mean_loss(whole), Counter(one.bucket for one in whole)), (),
    )  # fmt: skip
    return replace(made, remarks=(*dataset.remarks, *remarks, *plan_remarks.of(made), *said))


def rules_of(settings: Mapping[str, Any]) -> Rules:
    """The buckets' rules that complete settings state."""
    side = settings["resolution"]
    return Rules(
        (side, side), settings["bucket_min"], settings["bucket_max"], settings["bucket_step"], settings["upscale"]
    )


def _own(chosen: presets.Preset, base: Base, dataset: Dataset) -> dict[str, Any]:
    """The table's defaults under the preset's settings, brought to the model's own size."""
    own = {parameter.name: parameter.default for parameter in table(chosen.kind)} | chosen.settings
    own["resolution"] = base.side
    if base.side < 256:
        # What was meant for 512 pixels, in proportion, in steps that small latents allow; as `TrainingSpec.rules`.
        scale = 2 ** math.ceil(math.log2(512 / base.side))
        own |= {"bucket_min": max(own["bucket_min"] // scale, 8), "bucket_max": max(own["bucket_max"] // scale, 16)}
        own["bucket_step"] = max(own["bucket_step"] // scale, 8)
    if base.small:
        own |= {"clip_skip": 1, "max_tokens": "75"}
    if "class_prompt" in own:
        words = {picture.tokens for picture in dataset.pictures}
        if len(words) == 1 and len(parts := words.pop().split()) > 1:
            own["class_prompt"] = f"a {parts[-1]}"  # kohya's folders: what it is called, then what it is
    return own


def _fitting(
    chosen: presets.Preset, own: dict[str, Any], given: Mapping[str, Any], dataset: Dataset, of: footprint.Model,
    machine: Machine, said: list[Remark],
) -> tuple[dict[str, Any], int, bool]:  # fmt: skip
    """(settings, bytes, whether they fit): the first rung that does, then the last at three quarters and half size."""
    rungs = [rung for rung in chosen.ladder if machine.eight_bit or rung["optimizer"] != "AdamW8bit"]
    tried = [{**own, **rung, **given} for rung in rungs]
    if "resolution" not in given and own["resolution"] >= 512:
        last = tried[-1]
        tried += [{**last, "resolution": own["resolution"] * quarters // 4} for quarters in (3, 2)]
    found = []
    for settings in tried:
        rules = rules_of(settings)
        areas = [one.bucket[0] * one.bucket[1] for picture in dataset.pictures if (one := _placed(picture, rules))]
        if not areas:
            areas = [rules.area]
        need = footprint.peak(of, chosen.kind, settings, max(areas), device=machine.device)
        if machine.memory is None or need <= machine.memory:
            if settings["resolution"] < own["resolution"] and "resolution" not in given:
                side = settings["resolution"]
                said.append(Remark("memory", "", f"at {own['resolution']} pixels it does not fit: {side} are proposed"))
            return settings, need, True
        found.append((need, settings))
    need, settings = min(found, key=lambda one: one[0])
    remedy = "; a LoRA takes far less" if chosen.kind in {"dreambooth", "finetune"} else ""
    message = f"it needs about {need / footprint.GIB:.1f} GB and {(machine.memory or 0) / footprint.GIB:.1f} are there"
    said.append(Remark("memory", "", message + remedy))
    return settings, need, False


def _length(
    settings: dict[str, Any], given: Mapping[str, Any], chosen: presets.Preset, pictures: Sequence[Picture],
    placed: Sequence[Placed | None],
) -> None:  # fmt: skip
    """Sets repeats, epochs and steps, so that each picture is seen as often as the preset says, or as was given."""
    told = [picture.repeats for picture in pictures if picture.repeats]
    if told:
        if "epochs" not in given:
            settings["epochs"] = max(1, round(chosen.views * len(told) / sum(told)))
    elif "repeats" in given and "epochs" not in given:
        settings["epochs"] = max(1, round(chosen.views / given["repeats"]))
    elif "repeats" not in given:
        settings["repeats"] = max(1, round(chosen.views / settings["epochs"]))
    if not given.get("steps"):
        seen: Counter[Size] = Counter()
        for picture, one in zip(pictures, placed, strict=True):
            if one:
                seen[one.bucket] += picture.repeats or settings["repeats"]
        batches = sum(math.ceil(count / settings["batch"]) for count in seen.values())
        settings["steps"] = math.ceil(settings["epochs"] * batches / settings["accumulate"])
    if settings["text_rate"] > 0 and chosen.text_share < 1 and "text_steps" not in given:
        settings["text_steps"] = max(1, round(chosen.text_share * settings["steps"]))


def _seconds(
    settings: Mapping[str, Any], dataset: Dataset, placed: Sequence[Placed | None], kind: str, of: footprint.Model,
    machine: Machine,
) -> float | None:  # fmt: skip
    if not machine.speed:
        return None
    share = settings["text_steps"] / settings["steps"] if settings["text_steps"] else 1.0
    step, once, weight = 0.0, 0.0, 0
    for picture, one in zip(dataset.pictures, placed, strict=True):
        if one is None:
            continue
        area, times = one.bucket[0] * one.bucket[1], picture.repeats or settings["repeats"]
        beside = _beside(settings, dataset)
        step += times * footprint.work(of, kind, settings, area, text_share=min(share, 1.0), beside=beside)
        once += footprint.preparation(of, settings, area)
        weight += times
    seen = settings["steps"] * settings["batch"] * settings["accumulate"]
    made = max(settings.get("prior_images", 0) - len(dataset.regularisation), 0) if settings.get("prior_weight") else 0
    once += made * CLASS_STEPS * footprint.forward(of, settings["resolution"] ** 2)
    return (step / weight * seen + once) / machine.speed + (settings["steps"] + made * CLASS_STEPS) * machine.start


def _placed(picture: Picture, rules: Rules) -> Placed | None:
    try:
        return place(picture.width, picture.height, rules)
    except BadSpec:
        return None


def _beside(settings: Mapping[str, Any], dataset: Dataset) -> bool:
    """Whether pictures of the class are seen with the training's own."""
    return bool(settings.get("prior_weight") and (settings.get("prior_images") or dataset.regularisation))


def _mean_repeats(settings: Mapping[str, Any], dataset: Dataset) -> float:
    return sum(picture.repeats or settings["repeats"] for picture in dataset.pictures) / len(dataset.pictures)


def _mean_loss(placed: Sequence[Placed | None]) -> float:
    there = [one.loss for one in placed if one]
    return sum(there) / len(there) if there else 0.0

"""Which motion module a clip uses, and which motion LoRAs: found by name, by path, or because only one fits.

Leaves reading them to `modules` and `loras`.
"""

from __future__ import annotations

from pathlib import Path

from generation.catalogue import BUNDLED, Catalogue, ModelEntry, look
from generation.errors import BadWeights, UnknownModel, nearest
from generation.fitting import fit, require

KIND = "motion"
LORA = "lora"  # the format of a motion LoRA
DEMO = BUNDLED.with_name("atelier-demo-motion") / "atelier-demo-motion.safetensors"
PROVIDE = (
    "Put a module of AnimateDiff (mm_sd_v15_v2, v3_sd15_mm, mm_sdxl_v10_beta, ...) into a folder of studio.models."
)


def module(catalogue: Catalogue, name: str, model: ModelEntry) -> ModelEntry:
    """The motion module by name or path; for "" the one that fits the checkpoint.

    Raises `UnknownModel`, or `BadWeights` for what is no module, is damaged, or made for another family.
    """
    if name in {"", DEMO.stem} and (name or model.path == str(BUNDLED)):
        if not DEMO.is_file():
            raise BadWeights(f"the motion module {DEMO.stem} is not there", "Install the program again.")
        return look(DEMO)
    found = _named(catalogue, name, plain=True) if name else _fitting(catalogue, model)
    require(found, KIND)
    if found.format == LORA:
        raise BadWeights(f"{found.name} is a motion LoRA, not a motion module", "Name it under motion_loras.")
    fit(found, model)
    return found


def lora(catalogue: Catalogue, name: str, model: ModelEntry) -> ModelEntry:
    """A motion LoRA by name or path. Raises as `module`."""
    found = _named(catalogue, name, plain=False)
    require(found, KIND)
    if found.format != LORA:
        raise BadWeights(f"{found.name} is no motion LoRA", "Name a motion module under motion.")
    fit(found, model)
    return found


def able(catalogue: Catalogue, model: ModelEntry) -> list[ModelEntry]:
    """The motion modules that fit a checkpoint; that of the demo comes with the program."""
    known = [entry for entry in catalogue.entries() if entry.kind == KIND and entry.format != LORA]
    found = [entry for entry in known if not entry.problem and _fits(entry, model)]
    return [look(DEMO), *found] if model.path == str(BUNDLED) and DEMO.is_file() else found


def _fitting(catalogue: Catalogue, model: ModelEntry) -> ModelEntry:
    fitting = able(catalogue, model)
    if not fitting:
        raise UnknownModel(f"there is no motion module for {model.name}", PROVIDE)
    if len(fitting) > 1:
        names = ", ".join(entry.name for entry in fitting[:6])
        raise UnknownModel(f"{len(fitting)} motion modules fit {model.name}: {names}", "Name one under motion.")
    return fitting[0]


def _fits(entry: ModelEntry, model: ModelEntry) -> bool:
    try:
        fit(entry, model)
    except BadWeights:
        return False
    return True


def _named(catalogue: Catalogue, name: str, *, plain: bool) -> ModelEntry:
    own = [entry for entry in catalogue.entries() if entry.kind == KIND and (entry.format != LORA) == plain]
    named = [entry for entry in own if name in {entry.name, entry.path, Path(entry.path).name}]
    if named:
        return min(named, key=lambda entry: entry.problem != "")
    try:
        return catalogue.find(name)
    except UnknownModel as error:
        what = "motion module" if plain else "motion LoRA"
        hint = nearest(name, [entry.name for entry in own]) or PROVIDE
        raise UnknownModel(f'there is no {what} "{name}"', hint) from error

"""Whether weights go together: a LoRA with a checkpoint, a VAE with a family; told from the catalogue, before loading.

Knows which families share shapes. Leaves what is done about it to the caller.
"""

from __future__ import annotations

from generation.catalogue import ModelEntry
from generation.errors import BadWeights

# A family's variants read other channels or predict otherwise; what is put on top of them is the same.
VARIANTS = ("-inpainting", "-pix2pix", "-depth", "-v")
NAMES = {"sd15": "SD 1.5", "sd2": "SD 2", "sdxl": "SDXL", "sdxl-refiner": "the SDXL refiner", "sd15-small": "small SD"}
KINDS = {
    "lora": "LoRA",
    "vae": "VAE",
    "controlnet": "ControlNet",
    "t2i-adapter": "T2I-Adapter",
    "ip-adapter": "IP-Adapter",
    "motion": "motion module",
    "video": "video model",
}
# Kinds that a render loads as its model.
MODELS = ("checkpoint",)


def base(family: str) -> str:
    """The family without its variant: "sd15" of "sd15-inpainting"."""
    for variant in VARIANTS:
        family = family.removesuffix(variant)
    return family


def named(entry: ModelEntry) -> str:
    """The kind with its article: "a LoRA", "an upscaler"."""
    kind = KINDS.get(entry.kind, entry.kind)
    return f"{'an' if kind[0].lower() in 'aeiou' and kind != 'unknown' else 'a'} {kind}"


def require(entry: ModelEntry, *kinds: str) -> None:
    """Raises `BadWeights` when the weights are broken or of another kind than asked for."""
    if entry.problem:
        raise BadWeights(f"{entry.path} cannot be used: {entry.problem}", "Choose another file.")
    if entry.kind not in kinds:
        wanted = " or ".join(KINDS.get(kind, kind) for kind in kinds)
        if entry.kind == "unknown":
            raise BadWeights(f"{entry.name} is of a kind nobody here knows", f"Choose a {wanted}.")
        raise BadWeights(f"{entry.name} is not a {wanted} but {named(entry)}", f"Choose a {wanted}.")


def reason(part: ModelEntry, model: ModelEntry) -> str:
    """Why `part` (a LoRA, an embedding, a ControlNet, a VAE, ...) does not fit `model`, "" when it does.

    What cannot be told from the file is not refused here: loading compares the shapes again.
    """
    if part.problem:
        return f"{part.path} cannot be used: {part.problem}"
    if part.kind == "vae":
        if part.format.startswith("latents"):
            return f"{part.name} makes latents of {part.format[7:]} channels; {model.name} has 4"
        # SD 1 and SD 2 have one VAE, SDXL another of the same shape: a wrong one gives grey colour noise.
        xl = {base(part.family).startswith("sdxl"), base(model.family).startswith("sdxl")}
        if "unknown" not in {part.family, model.family} and len(xl) == 2:
            return _other(part, model)
        return ""
    if "unknown" in {part.family, model.family} or base(part.family) == base(model.family):
        return ""
    return _other(part, model)


def fit(part: ModelEntry, model: ModelEntry) -> None:
    """Raises `BadWeights` with `reason`."""
    if why := reason(part, model):
        raise BadWeights(why, f"Choose one for {NAMES.get(base(model.family), model.family)}, or another checkpoint.")


def _other(part: ModelEntry, model: ModelEntry) -> str:
    made, wanted = (NAMES.get(base(family), family) for family in (part.family, model.family))
    return f"{part.name} is {named(part)} for {made}, and {model.name} is {wanted}"

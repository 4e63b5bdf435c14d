"""What a training is told, as a table: one serves the check of a spec, the shell's options and the form.

Knows names, ranges and which kind of training has which setting. Leaves figures to begin with to `presets`, and what
they do to the modules that read them. Imports nothing heavy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from generation.errors import BadSpec, nearest
from generation.parameters import Parameter, checked
from generation.training import TRAINERS
from generation.training.buckets import Rules

OPTIMIZERS = ("AdamW", "AdamW8bit", "Adafactor", "Prodigy")
SCHEDULERS = ("constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial")
ALGORITHMS = ("lora", "dora", "loha", "lokr")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
FORMATS = ("fp16", "bf16", "fp32")
MOST = 10_000_000

LENGTH = (
    Parameter("steps", "integer", 0, "Steps of the optimiser; 0 counts them from the epochs", 0, MOST),
    Parameter("epochs", "integer", 10, "Times that every picture is seen", 1, 100_000),
    Parameter("repeats", "integer", 1, "Times a picture is seen an epoch, where its folder does not say", 1, 10_000),
    Parameter("batch", "integer", 1, "Pictures a step", 1, 256),
    Parameter("accumulate", "integer", 1, "Batches whose gradients make a step", 1, 256),
)
LEARNING = (
    Parameter("rate", "number", 1e-4, "Learning rate of the UNet, or of the word", 0, 1),
    Parameter("text_rate", "number", 0.0, "Learning rate of the text encoders; 0 leaves them alone", 0, 1),
    Parameter("text_steps", "integer", 0, "Steps after which the text encoders learn no more; 0 never stops", 0, MOST),
    Parameter("optimizer", "choice", "AdamW", "What turns gradients into changes", choices=OPTIMIZERS),
    Parameter("weight_decay", "number", 0.01, "Share of the weights that a step takes off, times the rate", 0, 10),
    Parameter("scheduler", "choice", "constant", "How the rate goes over the steps", choices=SCHEDULERS),
    Parameter("warmup", "integer", 0, "Steps over which the rate rises", 0, MOST),
    Parameter("max_grad_norm", "number", 1.0, "Length to which gradients are cut; 0 leaves them", 0, 1000),
    Parameter("min_snr_gamma", "number", 0.0, "Bound of the loss's weight by signal to noise; 5 is usual", 0, 100),
    Parameter("noise_offset", "number", 0.0, "Noise that is the same all over: lets pictures be dark", 0, 1),
    Parameter("timestep_bias", "number", 0.0, "Draw noisy timesteps more often; 0: all alike", 0, 10),
    Parameter("average_decay", "number", 0.0, "Decay of a running average of the weights, the result then", 0, 0.99999),
    Parameter("seed", "integer", 0, "The same seed trains the same", 0, 2**31),
)  # fmt: skip
PICTURES = (
    Parameter("resolution", "integer", 0, "Pixels a side of the area pictures are brought to; 0: the model's", 0, 4096),
    Parameter("bucket_min", "integer", 256, "Smallest side of a bucket in pixels", 8, 4096),
    Parameter("bucket_max", "integer", 1024, "Largest side of a bucket in pixels", 8, 4096),
    Parameter("bucket_step", "integer", 64, "Sides are multiples of it", 8, 512),
    Parameter("upscale", "flag", True, "Enlarge pictures that are smaller than their bucket"),
    Parameter("flip", "flag", False, "Show half of the pictures mirrored"),
    Parameter("cache_latents", "flag", True, "Encode each picture once and keep the latents on disk"),
)
CAPTIONS = (
    Parameter("prefix", "text", "", "Put before every caption: the trigger word"),
    Parameter("suffix", "text", "", "Put behind every caption"),
    Parameter("shuffle", "flag", False, "Draw the order of a caption's tags anew"),
    Parameter("keep_tokens", "integer", 0, "Tags at the beginning that stay in their places", 0, 75),
    Parameter("caption_dropout", "number", 0.0, "Share of captions left empty", 0, 1),
    Parameter("caption_dropout_every", "integer", 0, "Every so many epochs no captions at all; 0: never", 0, 10_000),
    Parameter("tag_dropout", "number", 0.0, "Share of tags left out", 0, 1),
    Parameter("warmup_min", "integer", 1, "Tags shown at the first step, where tags warm up", 1, 75),
    Parameter("warmup_steps", "integer", 0, "Steps until all tags are shown; 0: at once", 0, MOST),
    Parameter("max_tokens", "choice", "75", "Tokens that are read of a caption", choices=("75", "150", "225")),
    Parameter("clip_skip", "integer", 1, "Layer of the text encoder that is read, from the last", 1, 12),
    Parameter("variants", "integer", 8, "Captions drawn for a picture, then used again; 0: no end", 0, 1000),
)  # fmt: skip
WATCHING = (
    Parameter("validation", "number", 0.1, "Share of the pictures kept aside, to tell overfitting", 0, 0.5),
    Parameter("validate_every", "integer", 0, "Steps; 0: twenty times in a training", 0, MOST),
    Parameter("sample_every", "integer", 0, "Steps between pictures made; 0: none", 0, MOST),
    Parameter(
        "samples", "text", "", "Their prompts, a line each: prompt --n negative --w --h --d seed --l cfg --s steps"
    ),
    Parameter("save_every", "integer", 0, "Steps between files written on the way; 0: none", 0, MOST),
    Parameter("save_every_epochs", "integer", 0, "Epochs between files written on the way; 0: none", 0, 100_000),
    Parameter("save_precision", "choice", "fp16", "Number format of the file", choices=FORMATS),
    Parameter("state_every", "integer", 100, "Steps between states that a killed training goes on from", 1, 100_000),
)  # fmt: skip
MACHINE = (
    Parameter("precision", "choice", "auto", "Number format of the work", choices=PRECISIONS),
    Parameter("checkpointing", "flag", False, "Less memory for more time"),
)
NETWORK = (
    Parameter("algorithm", "choice", "lora", "Kind of network", choices=ALGORITHMS),
    Parameter("rank", "integer", 16, "Width of the network's layers", 1, 1024),
    Parameter("alpha", "number", 0.0, "Strength is alpha by rank; 0 is the rank", 0, 4096),
    Parameter("conv_rank", "integer", 0, "Width for 3x3 convolutions; 0 leaves them out", 0, 1024),
    Parameter("conv_alpha", "number", 0.0, "Alpha of these; 0 is their rank", 0, 4096),
    Parameter("dropout", "number", 0.0, "Share of the network's inputs left out while it learns", 0, 0.9),
    Parameter("attention_only", "flag", False, "Attention's layers alone, as the first LoRAs"),
    Parameter("unet", "flag", True, "Train the UNet's layers"),
)
PRIOR = (
    Parameter("class_prompt", "text", "", "What the subject is one of; pictures of it are kept as they are"),
    Parameter("prior_weight", "number", 1.0, "Weight of these pictures' loss", 0, 100),
    Parameter("prior_images", "integer", 0, "Pictures of the class to make where too few are given", 0, 10_000),
)
WORD = (
    Parameter("word", "text", "", "The word; none: the file's name"),
    Parameter("vectors", "integer", 4, "Vectors behind the word", 1, 75),
    Parameter("begin_from", "text", "", "Words whose vectors it begins from; none: noise"),
)
CLIPS = (
    Parameter("frames", "integer", 16, "Frames of a clip", 2, 128),
    Parameter("frame_rate", "number", 8.0, "Frames a second that are taken of a clip", 0.1, 120),
    Parameter("adapter_rank", "integer", 0, "Width of a network that learns words and look; 0: none", 0, 1024),
    Parameter("adapter_rate", "number", 0.0, "Its learning rate; 0 is the module's", 0, 1),
    Parameter("begin_from", "text", "", "A motion module to go on from; none: one that does nothing yet"),
)
COMMON = (*LENGTH, *LEARNING, *PICTURES, *CAPTIONS, *WATCHING, *MACHINE)
TABLES: dict[str, tuple[Parameter, ...]] = {
    "lora": (*NETWORK, *PRIOR, *COMMON),
    "dreambooth": (*PRIOR, *COMMON),
    "finetune": COMMON,
    "embedding": (*WORD, *COMMON),
    "motion": (*CLIPS, *COMMON),
}
# What a kind begins with where that is not the table's: 5e-6 is diffusers' example, a word learns at a thousand times
# that (Gal et al. 2022).
OWN: dict[str, dict[str, Any]] = {
    # AnimateDiff's rate (Guo et al. 2023, arXiv:2307.04725, section 5).
    "motion": {"rate": 1e-4, "caption_dropout": 0.1},
    "dreambooth": {"rate": 5e-6}, "finetune": {"rate": 1e-5}, "embedding": {"rate": 5e-3, "weight_decay": 0.0},
}  # fmt: skip


def table(kind: str) -> tuple[Parameter, ...]:
    """The settings of a kind of training with its own defaults. Raises `BadSpec` for another kind."""
    if kind not in TABLES:
        raise BadSpec(
            f'there is no training of a "{kind}"', nearest(kind, TABLES) or f"There are: {', '.join(TABLES)}."
        )
    own = OWN.get(kind, {})
    return tuple(
        Parameter(p.name, p.kind, own[p.name], p.help, p.low, p.high, p.choices) if p.name in own else p
        for p in TABLES[kind]
    )


@dataclass(frozen=True)
class TrainingSpec:
    """A training as data. `dataset` is a folder or a JSONL file, `output` the file to write (a folder for a whole model
    of a diffusers folder), `model` a checkpoint's name or path, `regularisation` a folder of pictures of the class.

    `settings` are complete and checked after this. Raises `BadSpec` with the nearest name and the remedy.
    """

    kind: str
    dataset: str
    output: str
    model: str
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    regularisation: str = ""

    def __post_init__(self) -> None:
        for name in ("kind", "dataset", "output", "model", "regularisation"):
            if not isinstance(getattr(self, name), str) or "\0" in getattr(self, name):
                raise BadSpec(f"{name} must be text, not {getattr(self, name)!r}", "Put it in quotes.")
        for name in ("dataset", "output", "model"):
            if not getattr(self, name).strip():
                raise BadSpec(f"the training names no {name}", f"Give the {name}.")
        values = checked(self.settings, table(self.kind), f"training a {self.kind}")
        object.__setattr__(self, "settings", values)
        if not (values["rate"] or values["text_rate"]):
            raise BadSpec("both learning rates are 0", "Give a rate above 0.")
        if self.kind == "lora" and not values["unet"] and not values["text_rate"]:
            raise BadSpec(
                "neither the UNet nor a text encoder is to be trained", "Give a text rate, or train the UNet."
            )
        if self.kind == "embedding" and values["text_rate"]:
            raise BadSpec("a word is learned by itself: the text encoders stay as they are", "Leave the text rate out.")
        if self.kind == "motion" and values["text_rate"] and not values["adapter_rank"]:
            raise BadSpec("only the network beside a motion module reads texts", "Give an adapter rank as well.")
        if self.kind == "motion" and values["sample_every"]:
            raise BadSpec(
                "a training of motion makes no samples on the way",
                "Set save_every instead, and render the files with `atelier animate motion`.",
            )

    def rules(self, resolution: int) -> Rules:
        """How pictures are put into buckets; `resolution` is the model's own, for a setting of 0."""
        side = self.settings["resolution"] or resolution
        low, high = self.settings["bucket_min"], self.settings["bucket_max"]
        step = self.settings["bucket_step"]
        if side < 256 and not self.settings["resolution"]:
            # A small model: what was meant for 512 pixels, in proportion, in steps that its latents allow.
            scale = 2 ** math.ceil(math.log2(512 / side))
            low, high, step = max(low // scale, 8), max(high // scale, 16), max(step // scale, 8)
        return Rules((side, side), low, high, step, self.settings["upscale"])

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "dataset": self.dataset,
            "output": self.output,
            "model": self.model,
            "settings": dict(self.settings),
            "regularisation": self.regularisation,
        }

    @classmethod
    def from_json(cls, mapping: Mapping[str, Any]) -> TrainingSpec:
        """A spec of plain data. An unknown field is an error that names the nearest one."""
        names = ("kind", "dataset", "output", "model", "settings", "regularisation")
        if not isinstance(mapping, Mapping):
            raise BadSpec(
                f"a training is a table of fields, not {type(mapping).__name__}", 'Give {"kind": "lora", ...}.'
            )
        for name in mapping:
            if name not in names:
                raise BadSpec(f'a training has no field "{name}"', nearest(str(name), names))
        for name in names[:4]:
            if name not in mapping:
                raise BadSpec(f"the training names no {name}", f"Give the {name}.")
        if mapping["kind"] not in TRAINERS:
            raise BadSpec(f'there is no training of a "{mapping["kind"]}"', nearest(str(mapping["kind"]), TRAINERS))
        return cls(**mapping)

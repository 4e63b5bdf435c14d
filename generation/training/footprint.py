"""What a training takes before it starts: bytes at its peak and operations for each picture seen.

Numbers of parameters are those of the published models and of the demo checkpoint. What a picture adds was counted on
full-size UNets on torch's meta device: the live tensors of a step forth and back in half precision, attention without
its matrix of scores, LoRA on every linear layer of the transformers. At 512 pixels SD 1.5 holds 3,646 bytes a pixel and
2,174 with checkpointing, SDXL at 1024 6,549 and 3,613. Operations are those of the same steps. What an allocator and
the libraries add is `SPARE` and `CONTEXT`, as in `generation.memory`. Leaves which settings to take to `plan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

GIB = 2**30
SPARE = 1.1  # the allocator's pieces
CONTEXT = GIB // 3  # what a GPU's libraries take before the first tensor
PROCESS = 11 * GIB // 20  # and the program with its libraries in the system's memory, 0.54 GiB resident
# Bytes of state a trained number. In 8 bits by arXiv:2110.02861; Adafactor keeps rows and columns alone
# (arXiv:1804.04235); Prodigy two more copies than Adam (arXiv:2306.06101).
OPTIMIZERS = {"AdamW": 8, "AdamW8bit": 2, "Adafactor": 0.1, "Prodigy": 16}


@dataclass(frozen=True)
class Model:
    """Numbers of a family's parts and of LoRA at rank 1; for (kind, checkpointing) `pixel` bytes a pixel and picture in
    half precision, and `work` TFLOP a picture of `side`**2 pixels, of which `attention` grows with the area's square;
    `layers` are (count, width) of each text encoder; `vae` TFLOP to encode such a picture.
    """

    unet: int
    text: int
    lora_unet: int
    lora_text: int
    side: int
    pixel: Mapping[tuple[str, bool], float]
    work: Mapping[tuple[str, bool], float]
    attention: Mapping[bool, float]
    layers: tuple[tuple[int, int], ...]
    vae: float


MODELS = {
    "sd15": Model(
        unet=859_520_964, text=123_060_480, lora_unet=423_936, lora_text=165_888, side=512,
        pixel={
            ("lora", False): 3650, ("lora", True): 2180, ("dreambooth", False): 3650, ("dreambooth", True): 2180,
            ("embedding", False): 2950, ("embedding", True): 1720,
        },
        work={
            ("lora", False): 1.84, ("lora", True): 2.50, ("dreambooth", False): 2.51, ("dreambooth", True): 3.11,
            ("embedding", False): 1.76, ("embedding", True): 2.36,
        },
        attention={False: 0.47, True: 0.60}, layers=((12, 768),), vae=1.12,
    ),
    "sdxl": Model(
        unet=2_567_463_684, text=817_720_320, lora_unet=2_659_840, lora_text=903_168, side=1024,
        pixel={
            ("lora", False): 6650, ("lora", True): 3620, ("dreambooth", False): 6650, ("dreambooth", True): 3620,
            ("embedding", False): 5010, ("embedding", True): 2610,
        },
        work={
            ("lora", False): 15.1, ("lora", True): 21.4, ("dreambooth", False): 21.1, ("dreambooth", True): 26.4,
            ("embedding", False): 14.8, ("embedding", True): 20.1,
        },
        attention={False: 2.97, True: 3.82}, layers=((12, 768), (32, 1280)), vae=4.88,
    ),
    "sd15-small": Model(
        unet=10_860_676, text=6_730_880, lora_unet=38_656, lora_text=4_608, side=64,
        pixel={
            ("lora", False): 1260, ("lora", True): 1050, ("dreambooth", False): 1260, ("dreambooth", True): 1050,
            ("embedding", False): 1060, ("embedding", True): 800,
        },
        work={
            ("lora", False): 2.00e-3, ("lora", True): 2.77e-3, ("dreambooth", False): 2.84e-3,
            ("dreambooth", True): 3.55e-3, ("embedding", False): 1.94e-3, ("embedding", True): 2.61e-3,
        },
        attention={False: 0.14e-3, True: 0.19e-3}, layers=((2, 128),), vae=0.42e-3,
    ),
}  # fmt: skip


def model(family: str, unet: int = 0) -> Model:
    """The figures of a family ("sd2" has nearly those of "sd15"); those of a small one in proportion to the numbers its
    UNet has, where `unet` says them."""
    base = family.partition("-")[0]
    found = MODELS.get(family) or MODELS["sdxl" if base == "sdxl" else "sd15"]
    if not family.endswith("-small") or not unet or unet == found.unet:
        return found
    # Bytes go with the width of the layers, numbers and operations with its square.
    share = unet / found.unet
    return replace(
        found,
        unet=unet,
        pixel={key: value * share**0.5 for key, value in found.pixel.items()},
        work={key: value * share for key, value in found.work.items()},
        attention={key: value * share for key, value in found.attention.items()},
        lora_unet=int(found.lora_unet * share**0.5),
    )


def peak(of: Model, kind: str, settings: Mapping[str, Any], pixels: int, *, device: str = "cuda") -> int:
    """Bytes on the device at a step's peak; `pixels` is the area of the largest bucket.

    What does not learn is held in half precision, in single on the CPU; what learns, its gradient and the optimiser's
    state in single, of a whole model with a half-precision copy. The text encoders count where they learn; the VAE does
    not, since latents are made before. Pictures of the class come in batches of their own, one after another.
    """
    width = 4 if device == "cpu" or settings["precision"] == "fp32" else 2
    kind = "dreambooth" if kind == "finetune" else kind
    trains_text = settings["text_rate"] > 0 or kind == "embedding"
    text = of.text if trains_text else 0
    if kind == "lora":
        learned = settings["rank"] * (of.lora_unet + (of.lora_text if trains_text else 0))
        held: float = width * (of.unet + text)
    elif kind == "embedding":
        learned, held = settings["vectors"] * sum(size for _, size in of.layers), width * (of.unet + text)
    else:
        learned = of.unet + text
        held = width * learned if width < 4 else 0  # the copy that computes
    held += learned * (4 + 4 + OPTIMIZERS[settings["optimizer"]])
    if settings["average_decay"]:
        held += 4 * learned
    shown = settings["batch"]
    seen = shown * pixels * of.pixel[kind, settings["checkpointing"]] * width / 2
    if trains_text:
        # Korthikanti et al. 2022, arXiv:2205.05198: 34 bytes a token and unit of width for each layer.
        tokens = shown * int(settings["max_tokens"])
        seen += sum(34 * tokens * size * count for count, size in of.layers) * width / 2
    return int((held + seen) * SPARE) + (PROCESS if device == "cpu" else CONTEXT)


def work(
    of: Model, kind: str, settings: Mapping[str, Any], pixels: int, *, text_share: float = 1.0, beside: bool = False
) -> float:
    """TFLOP of a picture of so many pixels, seen once in training, with `beside` together with one of the class; the
    text encoders learn in `text_share` of the steps."""
    checkpointing = settings["checkpointing"]
    kind = "dreambooth" if kind == "finetune" else kind
    ratio = pixels / of.side**2
    square = of.attention[checkpointing]
    found = (of.work[kind, checkpointing] - square) * ratio + square * ratio**2
    if settings["text_rate"] > 0 or kind == "embedding":
        found += (1 + (2 if kind == "dreambooth" else 1) * text_share) * _text(of, settings)
    return found * (2 if beside else 1)


def forward(of: Model, pixels: int) -> float:
    """TFLOP of a step of sampling with guidance: two passes forth, each 0.45 of a LoRA's step forth and back."""
    return 2 * 0.45 * of.work["lora", False] * pixels / of.side**2


def preparation(of: Model, settings: Mapping[str, Any], pixels: int) -> float:
    """TFLOP to make a picture's latents and its caption's outputs, once."""
    return of.vae * pixels / of.side**2 + _text(of, settings)


def _text(of: Model, settings: Mapping[str, Any]) -> float:
    return 2 * of.text * int(settings["max_tokens"]) / 1e12

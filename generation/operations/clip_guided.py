"""A picture searched for in a VQGAN's codes by CLIP's judgement (Crowson et al. 2022, arXiv:2204.08583).

The codes are moved by Adam so that cut-outs of the decoded picture come nearer to the prompt on CLIP's sphere; each
fragment of the prompt counts by its weight. Both models are the person's own files; no checkpoint is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import CLIPModel, CLIPTokenizer

from generation.catalogue import Catalogue
from generation.errors import BadWeights
from generation.loading import choose_device
from generation.pictures import fitted, read, to_array
from generation.prompts.grammar import parse
from generation.specs import RenderSpec
from generation.vqgan import Vqgan, load

# What CLIP's pictures are brought to: means and deviations of red, green and blue in 0..1.
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def plain(
    spec: RenderSpec, catalogue: Catalogue, report: Callable[[dict[str, Any]], None], check: Callable[[], None]
) -> np.ndarray:
    """Pictures [batch, h, w, 3] float32 in 0..1, at the spec's size. Raises `BadImage`, `BadWeights`."""
    device = torch.device(choose_device(None)[0])
    gan = load(Path(spec.options["vqgan"]).expanduser()).to(device)
    judge, tokenizer = _clip(Path(spec.options["clip"]).expanduser(), device)
    return np.concatenate([_one(spec, spec.seed + n, gan, judge, tokenizer, report, check) for n in range(spec.batch)])


def run(stage: Any) -> np.ndarray:
    """As `plain`, for a stage."""
    return plain(stage.spec, stage.tools.catalogue, stage.report, stage.check)


def _one(
    spec: RenderSpec,
    seed: int,
    gan: Vqgan,
    judge: Any,
    tokenizer: Any,
    report: Callable[[dict[str, Any]], None],
    check: Callable[[], None],
) -> np.ndarray:
    options, device = spec.options, gan.codebook.device
    generator = torch.Generator("cpu").manual_seed(seed % 2**63)
    width, height = (max(side // gan.factor, 1) for side in (spec.width or 256, spec.height or 256))
    if options["image"]:
        picture = to_array(fitted(read(options["image"]), (width * gan.factor, height * gan.factor)))
        z = gan.encode(torch.from_numpy(picture.transpose(2, 0, 1).copy())[None].to(device) * 2 - 1)
    else:
        drawn = torch.randint(len(gan.codebook), (1, height, width), generator=generator)
        z = gan.codebook[drawn.to(device)].permute(0, 3, 1, 2)
    z = z.detach().clone().requires_grad_(True)
    low, high = (bound(gan.codebook, 0).values[None, :, None, None] for bound in (torch.min, torch.max))
    wanted = _texts(spec, judge, tokenizer, device)
    optimiser = torch.optim.Adam([z], lr=options["rate"])
    total = options["iterations"]
    for step in range(total):
        check()
        optimiser.zero_grad()
        decoded = (gan.decode(gan.quantised(z)) + 1) / 2
        parts = cutouts(decoded.clamp(0, 1), judge.config.vision_config.image_size, options["cutouts"], generator)
        seen = judge.get_image_features(pixel_values=normalised(parts))
        seen = functional.normalize(getattr(seen, "pooler_output", seen), dim=-1)
        loss = sum(weight * distance(seen, text).mean() for text, weight in wanted)
        loss.backward()  # type: ignore[union-attr]
        optimiser.step()
        with torch.no_grad():
            z.copy_(z.clamp(low, high))
        report({"kind": "progress", "stage": "searching", "done": step + 1, "total": total})
    with torch.no_grad():
        made = ((gan.decode(gan.quantised(z)) + 1) / 2).clamp(0, 1)
    size = (spec.height or made.shape[-2], spec.width or made.shape[-1])
    if made.shape[-2:] != size:
        made = functional.interpolate(made, size, mode="bicubic", antialias=True).clamp(0, 1)
    return np.ascontiguousarray(made.permute(0, 2, 3, 1).float().cpu().numpy())


def cutouts(picture: torch.Tensor, side: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """[count, 3, side, side]: squares of a picture [1, 3, h, w] from a quarter of its shorter side to all of it."""
    height, width = picture.shape[-2:]
    most = min(height, width)
    found = []
    for _ in range(count):
        share, x, y = torch.rand(3, generator=generator).tolist()
        size = max(round(most * (0.25 + 0.75 * share)), 1)
        left, top = round(x * (width - size)), round(y * (height - size))
        part = picture[..., top : top + size, left : left + size]
        found.append(functional.interpolate(part, (side, side), mode="bilinear", antialias=True))
    return torch.cat(found)


def normalised(parts: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values, device=parts.device).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (parts - mean) / std


def distance(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Half the squared angle between unit vectors [n, width] and [1, width]."""
    chord = (one - other).norm(dim=-1).clamp(max=2 - 1e-6)
    return (chord / 2).arcsin().pow(2) * 2


def _texts(spec: RenderSpec, judge: Any, tokenizer: Any, device: torch.device) -> list[tuple[torch.Tensor, float]]:
    """(the text's place on the sphere, its weight) of each fragment; the negative's pushes away."""
    told = [(text, weight) for text, weight in parse(spec.prompt).flat() if text.strip(" ,")]
    told += [(text, -weight) for text, weight in parse(spec.negative).flat() if text.strip(" ,")]
    found = []
    for text, weight in told:
        rows = tokenizer(text, padding="max_length", truncation=True, max_length=77, return_tensors="pt").to(device)
        with torch.no_grad():
            made = judge.get_text_features(input_ids=rows["input_ids"], attention_mask=rows["attention_mask"])
        found.append((functional.normalize(getattr(made, "pooler_output", made), dim=-1), weight))
    return found


def _clip(folder: Path, device: torch.device) -> tuple[Any, Any]:
    hint = "Give a folder such as clip-vit-base-patch32, with model.safetensors and its tokenizer."
    if not (folder / "config.json").is_file():
        raise BadWeights(f"there is no CLIP model in {folder}", hint)
    try:
        judge = CLIPModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise BadWeights(f"{folder} holds no CLIP model that can be loaded", hint) from error
    return judge.to(device).eval().requires_grad_(False), tokenizer

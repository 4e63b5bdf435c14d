"""Inpainting: what is white in a mask is made anew, what is black stays.

With a model made for it (nine channels) the mask and the masked picture go in beside the latents; with any other the
latents outside the mask are set back after each step (Lugmayr et al. 2022, arXiv:2201.09865, without resampling). The
result is laid over the original, so that `strict` leaves no pixel outside the mask changed at all: neither by the loop
nor by the autoencoder.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageChops, ImageFilter

from generation.errors import BadSpec
from generation.pictures import LANCZOS, fitted, read, read_mask, to_array, to_image
from generation.stage import Stage

Box = tuple[int, int, int, int]


def run(stage: Stage) -> np.ndarray:
    """Pictures [batch, height, width, 3] float32 in 0..1, at the picture's own size when only the masked part is made.

    Raises `BadImage`, and `BadSpec` for a mask that changes nothing.
    """
    options = stage.options
    picture, mask = read(options["image"]), read_mask(options["mask"])
    if mask.size != picture.size:
        mask = mask.resize(picture.size, Image.Resampling.NEAREST)
    if options["invert"]:
        mask = ImageChops.invert(mask)
    if mask.getbbox() is None:
        raise BadSpec(
            f"the mask {options['mask']} is black everywhere", "Paint white what should change, or invert it."
        )
    if not options["only_masked"]:
        picture, mask = fitted(picture, stage.size, "stretch"), mask.resize(stage.size, Image.Resampling.NEAREST)
        return repaint(stage, picture, mask)
    box = window(mask, options["padding"], stage.size)
    part, part_mask = picture.crop(box), mask.crop(box)
    made = repaint(
        stage, part.resize(stage.size, LANCZOS), part_mask.resize(stage.size, Image.Resampling.NEAREST), lay_over=False
    )
    inside = (box[2] - box[0], box[3] - box[1])
    small = np.stack([to_array(to_image(one).resize(inside, LANCZOS)) for one in made])
    laid = over(to_array(part), small, part_mask, options["mask_blur"], options["strict"])
    whole = np.repeat(to_array(picture)[None], len(laid), 0)
    whole[:, box[1] : box[3], box[0] : box[2]] = laid
    return whole


def repaint(stage: Stage, picture: Image.Image, mask: Image.Image, *, lay_over: bool = True) -> np.ndarray:
    """`picture` with what is white in `mask` made anew; both at the stage's size."""
    options = stage.options
    blur, strength = options.get("mask_blur", 0), options["strength"]
    soft = softened(mask, blur, strict=False)
    noise = stage.noise(*picture.size)
    begun = filled(picture, mask, options.get("fill", "original"))
    init = stage.encode(to_array(begun)[None])
    if options.get("fill") == "noise":
        init = torch.where(_latent_mask(mask, noise) > 0.5, noise.to(init.dtype), init)
    elif options.get("fill") == "nothing":
        init = init * (1 - _latent_mask(mask, noise)).to(init.dtype)
    latent_mask = _latent_mask(soft, noise).to(init.dtype)
    channels: torch.Tensor | None = None
    blended: torch.Tensor | None = latent_mask
    if stage.own_channels:
        hidden = to_array(picture) * (np.asarray(mask) < 128)[..., None] + 0.5 * (np.asarray(mask) >= 128)[..., None]
        masked = stage.encode(hidden[None])
        hard = (_latent_mask(mask, noise) > 0.5).to(init.dtype).expand(stage.batch, -1, -1, -1)
        channels, blended = torch.cat([hard, masked], dim=1), None
    latents = stage.denoise(noise, init=init, strength=strength, mask=blended, channels=channels, size=picture.size)
    made = stage.decode(latents)
    return over(to_array(picture), made, mask, blur, options.get("strict", True)) if lay_over else made


def softened(mask: Image.Image, blur: int, *, strict: bool) -> Image.Image:
    """The mask with its edge softened over `blur` pixels; strictly, only inwards: what is black stays black."""
    if not blur:
        return mask
    soft = mask.filter(ImageFilter.GaussianBlur(blur))
    return ImageChops.multiply(soft, mask.point(lambda value: 255 if value else 0)) if strict else soft


def over(original: np.ndarray, made: np.ndarray, mask: Image.Image, blur: int, strict: bool) -> np.ndarray:
    """`made` [batch, h, w, 3] laid over `original` [h, w, 3] by the softened mask; where that is 0, not a bit."""
    share = np.asarray(softened(mask, blur, strict=strict), dtype=np.float32)[None, ..., None] / 255
    return np.where(share == 0, original[None], original[None] * (1 - share) + made * share).astype(np.float32)


def window(mask: Image.Image, padding: int, size: tuple[int, int]) -> Box:
    """The box around the mask's white with `padding` pixels, widened to the shape of `size` as far as there is room."""
    left, top, right, bottom = mask.getbbox() or (0, 0, *mask.size)
    left, top = max(left - padding, 0), max(top - padding, 0)
    right, bottom = min(right + padding, mask.width), min(bottom + padding, mask.height)
    shape = size[0] / size[1]
    width, height = right - left, bottom - top
    if width / height < shape:
        left, right = _widened(left, right, round(height * shape), mask.width)
    else:
        top, bottom = _widened(top, bottom, round(width / shape), mask.height)
    return left, top, right, bottom


def _widened(low: int, high: int, wanted: int, most: int) -> tuple[int, int]:
    wanted = min(wanted, most)
    low = min(max(low - (wanted - (high - low)) // 2, 0), most - wanted)
    return low, low + wanted


def filled(picture: Image.Image, mask: Image.Image, how: str) -> Image.Image:
    """What the masked part starts from; `blurred` spreads the colours around it inwards."""
    if how != "blurred":
        return picture
    clear = Image.new("RGBA", picture.size)
    clear.paste(picture, mask=ImageChops.invert(mask.point(lambda value: 255 if value >= 128 else 0)))
    base = Image.new("RGBA", picture.size)
    for radius in (256, 64, 16, 4, 2, 0):
        blurred = clear.convert("RGBa").filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
        for _ in range(2):
            base.alpha_composite(blurred)
    return base.convert("RGB")


def _latent_mask(mask: Image.Image, noise: torch.Tensor) -> torch.Tensor:
    """[1, 1, h, w] in 0..1 at the latents' size, on their device."""
    small = mask.resize((noise.shape[-1], noise.shape[-2]), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(small, dtype=np.float32).copy())[None, None].to(noise.device) / 255

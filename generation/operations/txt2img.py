"""Text to image: noise at the wanted size, denoised under the prompt's conditioning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from generation.conditioning import Conditioning
from generation.specs import RenderSpec


def run(
    pipe: Any,
    spec: RenderSpec,
    conditioning: Conditioning,
    *,
    generators: list[torch.Generator],
    callback: Callable[..., dict[str, Any]],
) -> np.ndarray:
    """Pictures [batch, height, width, 3] float32 in 0..1.

    The noise is drawn on the CPU by `generators`, one a picture, so that a seed means the same on every device.
    """
    embeddings: dict[str, Any] = conditioning.arguments(len(generators))
    result = pipe(
        **embeddings,
        width=spec.width,
        height=spec.height,
        num_inference_steps=spec.steps,
        guidance_scale=spec.cfg,
        generator=generators,
        output_type="np",
        callback_on_step_end=callback,
        callback_on_step_end_tensor_inputs=["latents"],
    )
    return np.asarray(result.images, dtype=np.float32)

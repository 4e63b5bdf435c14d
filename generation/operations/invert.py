"""DDIM inversion: a picture taken back to the noise it would come from, and rendered from there under another prompt.

DDIM's step is an ordinary differential equation's, so that it can be gone backwards (Song et al. 2020,
arXiv:2010.02502, equation 13). The step back to a noisier state asks for the prediction at that very state, which is
not known yet: it is solved by fixed-point iteration (Pan et al. 2023, arXiv:2309.04907), which each of `refinements`
comes nearer to. Guidance is left out on the way back: with it errors grow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from generation.errors import BadSpec
from generation.pictures import fitted, read, to_array
from generation.sampling import first_step
from generation.stage import Stage


def run(stage: Stage) -> np.ndarray:
    """Pictures [batch, height, width, 3] float32 in 0..1, at the spec's size. Raises `BadImage`, `BadSpec`."""
    options = stage.options
    picture = fitted(read(options["image"]), stage.size, options["resize"])
    clean = stage.encode(to_array(picture)[None])
    noise = inverted(stage, clean, options["source_prompt"], options["strength"], options["refinements"])
    return stage.decode(stage.denoise(noise, begun=noise, strength=options["strength"]))


def inverted(stage: Stage, clean: torch.Tensor, prompt: str, strength: float, refinements: int) -> torch.Tensor:
    """The latents from which DDIM without guidance makes `clean` in the last `strength` of the spec's steps."""
    steps = stage.spec.steps or 1
    begin = first_step(steps, strength)
    if begin >= steps:
        raise BadSpec(
            f"a strength of {strength:g} leaves none of {steps} steps", f"Give at least {1 / steps:.2g}, or more steps."
        )
    backwards = Backwards(stage.scheduler(), begin, refinements)
    back = replace(stage, spec=replace(stage.spec, prompt=prompt, negative="", cfg=1.0), preview=None)
    return back.denoise(clean, begun=clean, steps=steps, scheduler=backwards, name="inverting")


class Backwards:
    """A DDIM scheduler gone backwards, as the loop asks a scheduler; each timestep comes 1 + `refinements` times.

    At each the prediction is asked for at the state that was found last; the state before it is what stays fixed.
    """

    init_noise_sigma = 1.0

    def __init__(self, forwards: Any, begin: int, refinements: int) -> None:
        self._forwards, self._begin = forwards, begin
        self.order = 1 + refinements
        self.config, self.alphas_cumprod = forwards.config, forwards.alphas_cumprod
        self.timesteps = torch.empty(0)
        self._known: torch.Tensor | None = None
        self._asked = 0

    def set_timesteps(self, steps: int, device: Any = None) -> None:
        """Those that DDIM takes last, the cleanest first."""
        self._forwards.set_timesteps(steps, device=device)
        self._stride = self._forwards.config.num_train_timesteps // steps
        self.timesteps = self._forwards.timesteps[self._begin :].flip(0).repeat_interleave(self.order)

    def scale_model_input(self, sample: torch.Tensor, timestep: Any = None) -> torch.Tensor:
        return sample

    def step(
        self, predicted: torch.Tensor, timestep: Any, sample: torch.Tensor, return_dict: bool = False
    ) -> tuple[torch.Tensor]:
        """(the state at `timestep`,) as `predicted`, asked for at `sample`, makes it of the state before it."""
        if self._known is None or self._asked == self.order:
            self._known, self._asked = sample, 0
        self._asked += 1
        number = int(timestep)
        earlier = number - self._stride
        alphas = self.alphas_cumprod
        here = float(alphas[number])
        before = float(alphas[earlier]) if earlier >= 0 else float(self._forwards.final_alpha_cumprod)
        kind = self.config.prediction_type
        x = sample.float()
        if kind == "v_prediction":
            noise = here**0.5 * predicted.float() + (1 - here) ** 0.5 * x
        elif kind == "sample":
            noise = (x - here**0.5 * predicted.float()) / (1 - here) ** 0.5
        else:
            noise = predicted.float()
        clean = (self._known.float() - (1 - before) ** 0.5 * noise) / before**0.5
        return ((here**0.5 * clean + (1 - here) ** 0.5 * noise).to(sample.dtype),)

"""Image to image on a picture larger than the model was made for: every step asks about tiles and blends the answers.

The tiles share one noise and one set of latents, and their predictions are blended before each step is taken (Bar-Tal
et al. 2023, arXiv:2302.08113; with weights that fall towards a tile's border as in Jiménez 2023, arXiv:2302.02412), so
that no seam comes to be that a blend of finished pictures would have to hide. Any sampler, control and preview works
as it does on a whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from generation.errors import BadSpec
from generation.stage import Stage
from generation.tiles import Tile, cover, share

# What counts on seeing the whole plane at once.
WHOLE = ("deepcache", "token_merging", "refiner")


def refined(stage: Stage, picture: np.ndarray, strength: float, tile: int, overlap: float) -> np.ndarray:
    """Pictures [batch, h, w, 3] of a picture [h, w, 3], made over by `strength`.

    `tile` is in pixels, `overlap` a share of it. Raises `BadSpec` for what does not go with tiles.
    """
    factor = stage.tools.autoencoder.factor
    # Tiles begin where every level of the UNet has a place of its own, so that residuals can be cut as well. What that
    # asks for beyond the picture is its own edge, and is cut off again.
    levels = 2 ** (len(stage.unet.config.block_out_channels) - 1)
    side = max(tile // (factor * levels), 1) * levels
    height, width = picture.shape[:2]
    below, beside = -height % (factor * levels), -width % (factor * levels)
    init = stage.encode(np.pad(picture, ((0, below), (0, beside), (0, 0)), mode="edge")[None])
    noise = stage.noise(width + beside, height + below)
    size = (min(side * factor, width + beside), min(side * factor, height + below))
    if noise.shape[-1] > side or noise.shape[-2] > side:
        refused = [name for name in WHOLE if stage.spec.modifiers.get(name)]
        refused += ["regions"] if stage.spec.regions else []
        if refused:
            raise BadSpec(f"tiles do not go together with {' and '.join(refused)}", "Leave it out, or give --tile.")
        tiles = cover(noise.shape[-1], noise.shape[-2], side, round(side * overlap), levels)
        stage.around.append(lambda asked: Tiled(asked, tiles, max(round(side * overlap), 1), stage.check))
    latents = stage.denoise(noise, init=init, strength=strength, size=size, name="refining")
    return stage.decode(latents)[:, :height, :width]


class Tiled:
    """What the loop asks instead of a UNet: it asks that about each of `tiles` and blends what it answers."""

    def __init__(self, asked: Any, tiles: list[Tile], overlap: int, check: Any = lambda: None) -> None:
        self._asked, self._tiles, self._overlap, self._check = asked, tiles, overlap, check
        self.config = asked.config

    def __call__(
        self, rows: torch.Tensor, timestep: Any, *, return_dict: bool = False, **named: Any
    ) -> tuple[torch.Tensor]:
        """(predictions [n, c, h, w],) for rows [n, channels, h, w]; residuals of a control are cut in proportion."""
        height, width = rows.shape[-2:]
        total, shares = None, torch.zeros(1, 1, height, width, device=rows.device)
        for tile in self._tiles:
            self._check()
            own = {name: self._cut(value, tile, width, height) for name, value in named.items()}
            asked = self._cut(rows, tile, width, height)
            found = self._asked(asked, timestep, return_dict=False, **own)[0].float()
            weight = torch.from_numpy(share(tile, width, height, self._overlap)).to(rows.device)
            if total is None:
                total = torch.zeros(*found.shape[:2], height, width, device=rows.device)
            total[..., tile.top : tile.bottom, tile.left : tile.right] += found * weight
            shares[..., tile.top : tile.bottom, tile.left : tile.right] += weight
        assert total is not None
        return ((total / shares).to(rows.dtype),)

    def _cut(self, value: Any, tile: Tile, width: int, height: int) -> Any:
        """The tile's part of every tensor that is a plane, whatever its scale; all else as it is."""
        if isinstance(value, (list, tuple)):
            return type(value)(self._cut(one, tile, width, height) for one in value)
        if not isinstance(value, torch.Tensor) or value.dim() != 4:
            return value
        across, down = value.shape[-1] / width, value.shape[-2] / height
        columns = slice(round(tile.left * across), round(tile.right * across))
        return value[..., round(tile.top * down) : round(tile.bottom * down), columns]

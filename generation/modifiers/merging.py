"""Token merging in self-attention (Bolya and Hoffman 2023, arXiv:2303.17604): alike places are read once.

In each cell of 2x2 places one, drawn at random, is a target; of the others those that are most like a target are
averaged into it before self-attention and get its answer behind it. Only the outermost level that has attention is
worth it: there attention's cost, which grows with the square of the places, is nearly all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from generation.errors import BadSpec
from generation.stage import Stage

CELL = 2


class Matching:
    """Which places become one, found by the cosine of their features [rows, places, width].

    Every row finds its own. `merge` makes [rows, fewer, width], `part` spreads such a tensor out again.
    """

    def __init__(self, features: torch.Tensor, targets: torch.Tensor, share: float) -> None:
        places = features.shape[1]
        self._places = places
        free = torch.ones(places, dtype=torch.bool, device=features.device)
        free[targets] = False
        self._targets, self._others = targets, free.nonzero().flatten()
        unit = torch.nn.functional.normalize(features.float(), dim=-1)
        likeness, nearest = (unit[:, self._others] @ unit[:, self._targets].transpose(1, 2)).max(-1)
        count = min(int(places * share), len(self._others))
        order = likeness.argsort(-1, descending=True)
        self._merged, self._kept = order[:, :count], order[:, count:]
        self._into = nearest.gather(1, self._merged)

    def merge(self, tensor: torch.Tensor) -> torch.Tensor:
        """The places that are left: those kept, then the targets with what was averaged into them."""
        width = tensor.shape[-1]
        others, targets = tensor[:, self._others], tensor[:, self._targets]
        joining = others.gather(1, _wide(self._merged, width))
        targets = targets.scatter_reduce(1, _wide(self._into, width), joining, "mean", include_self=True)
        return torch.cat([others.gather(1, _wide(self._kept, width)), targets], dim=1)

    def part(self, tensor: torch.Tensor) -> torch.Tensor:
        """[rows, places, width] of what `merge` made (or attention made of it)."""
        width = tensor.shape[-1]
        kept, targets = tensor.split([self._kept.shape[1], len(self._targets)], dim=1)
        others = tensor.new_empty(len(tensor), len(self._others), width)
        others.scatter_(1, _wide(self._kept, width), kept)
        others.scatter_(1, _wide(self._merged, width), targets.gather(1, _wide(self._into, width)))
        spread = tensor.new_empty(len(tensor), self._places, width)
        spread[:, self._others], spread[:, self._targets] = others, targets
        return spread


def drawn(height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """One place in each whole cell of 2x2, counted row by row through [height, width]; sorted."""
    rows, columns = height // CELL, width // CELL
    within = torch.randint(CELL * CELL, (rows, columns), generator=generator)
    y = torch.arange(rows)[:, None] * CELL + within // CELL
    x = torch.arange(columns)[None] * CELL + within % CELL
    return (y * width + x).flatten().sort().values


@contextmanager
def merging(stage: Stage, share: float) -> Iterator[None]:
    """While it holds, self-attention of the outermost level leaves out `share` (up to 0.75) of the places."""
    down = list(stage.unet.down_blocks)
    level = next((n for n, block in enumerate(down) if getattr(block, "attentions", None)), None)
    if level is None:
        raise BadSpec("this model has no attention whose tokens could be merged", "Set token_merging to 0.")
    blocks = (down[level], stage.unet.up_blocks[len(down) - 1 - level])
    selves = [module for block in blocks for name, module in block.named_modules() if name.endswith(".attn1")]
    generator = torch.Generator("cpu").manual_seed(stage.seeds[0])
    size = [0, 0]
    targets: list[torch.Tensor] = []

    def follow(rows: torch.Tensor, timestep: Any, texts: Any, added: Any, done: float) -> dict[str, Any]:
        size[:] = (-(-side // 2**level) for side in rows.shape[-2:])
        targets[:] = [drawn(size[0], size[1], generator).to(rows.device)]
        return {}

    def before(
        matchings: list[Matching], module: Any, args: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        features = args[0] if args else named["hidden_states"]
        matchings[:] = [Matching(features, targets[0], share)]
        merged = matchings[0].merge(features)
        return ((merged, *args[1:]), named) if args else (args, {**named, "hidden_states": merged})

    def behind(matchings: list[Matching], module: Any, args: Any, found: torch.Tensor) -> torch.Tensor:
        return matchings.pop().part(found)

    stage.steering.append(follow)
    with ExitStack() as hooks:
        hooks.callback(stage.steering.remove, follow)
        for module in selves:
            own: list[Matching] = []
            first = module.register_forward_pre_hook(_bound(before, own), with_kwargs=True)
            hooks.callback(first.remove)
            hooks.callback(module.register_forward_hook(_bound(behind, own)).remove)
        yield


def _bound(hook: Any, own: list[Matching]) -> Any:
    return lambda *arguments: hook(own, *arguments)


def _wide(index: torch.Tensor, width: int) -> torch.Tensor:
    return index[..., None].expand(-1, -1, width)

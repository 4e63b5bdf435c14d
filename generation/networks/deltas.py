"""What one layer of a network adds to a weight, by each method's own equation.

W is the weight [out, in] or [out, in, kh, kw] in the working format (fp32), r the rank, s = alpha / r. Knows the
methods; each is a pure function of tensors. All but `norm` were compared with lycoris-lora 4.1.3's own layers, linear
and convolutions, with and without Tucker cores, magnitudes and constraints: no output differs by more than 6e-6. Leaves
names in files to `keys` and `files`, and adding up to `applied`.

| method | what is added to W | source |
|---|---|---|
| lora | s up down; with lora_mid (CP): s sum_ij mid[i,j] up[:,i] down[j,:] | arXiv:2106.09685, 2309.14859 |
| loha | s (w1_a w1_b) * (w2_a w2_b), elementwise; Tucker cores t1, t2 | FedPara arXiv:2108.06098; LyCORIS |
| lokr | s w1 (x) w2, Kronecker's product; s is 1 where both are whole | LyCORIS, KronA arXiv:2212.10650 |
| ia3 | W times w, by outputs, or inputs where `on_input` | arXiv:2205.05638 |
| glora | s (W A1 A2 + B1 B2) | arXiv:2306.07967, as LyCORIS has it |
| full, norm | the difference itself | LyCORIS |
| oft, boft | (R - 1) W, R orthogonal, of blocks or of butterflies of blocks | arXiv:2306.07280, arXiv:2311.06243 |
| dora_scale | the sum above brought to the given magnitude | DoRA arXiv:2402.09353 |
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

Method = Callable[["Layer", Tensor, int | None], tuple[Tensor, int | None]]
# What may stand in a layer of any method.
COMMON = frozenset({"dora_scale", "magnitude", "diff_b", "b_norm"})
FACTORS = ("lokr_w1", "lokr_w2")


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a network: its method and the tensors of it, on the CPU in the file's own format. Equal to itself
    alone.

    `alpha` None means the rank. `factor` multiplies the sum; `rank_stabilised` divides alpha by the rank's root
    (arXiv:2312.03732).
    """

    method: str
    tensors: Mapping[str, Tensor] = field(repr=False)
    alpha: float | None = None
    factor: float = 1.0
    rank_stabilised: bool = False

    @property
    def rank(self) -> int | None:
        """Of the method's product, None where a method has none or its factors are whole."""
        names = {"lora": ("lora_down",), "loha": ("hada_w1_b",), "lokr": ("lokr_w1_b", "lokr_w2_b")}
        for name in names.get(self.method, ()):
            if name in self.tensors:
                return self.tensors[name].shape[0]
        return self.tensors["a1"].shape[1] if self.method == "glora" else None

    def scale(self, rank: int | None) -> float:
        """What the product of a method of that rank is multiplied by; methods without a rank have none."""
        if rank is None:
            return self.factor
        # An alpha of 0 is how trainers write "the rank".
        return self.factor * (self.alpha or rank) / (sqrt(rank) if self.rank_stabilised else rank)


class Parts(NamedTuple):
    """The tensors of a method: those it must have, those it may have, and its equation."""

    needed: tuple[str, ...]
    optional: tuple[str, ...]
    equation: Method


def method_of(names: Collection[str], dimensions: Callable[[str], int]) -> str:
    """The method that a layer's tensor names tell; `dimensions` gives the number of a tensor's sides.

    Raises ValueError in a few words: half a pair, or a tensor of no known method.
    """
    own = set(names) - COMMON
    if not own:
        if {"diff_b", "b_norm"} & set(names):
            return "bias"
        raise ValueError("it has a magnitude without directions")
    if any(name.startswith("lokr_") for name in own):
        own = _whole_lokr(own)
    for method, parts in METHODS.items():
        if not own & {*parts.needed, *parts.optional}:
            continue
        missing = sorted(set(parts.needed) - own)
        if missing:
            raise ValueError(f"{missing[0]} is missing")
        strange = sorted(own - {*parts.needed, *parts.optional})
        if strange:
            raise ValueError(f'it uses "{strange[0]}", which is of no known method')
        if method == "oft":
            return "boft" if dimensions("oft_blocks") == 4 else "oft"
        return method
    raise ValueError(f'it uses "{min(own)}", which is of no known method')


def _whole_lokr(names: set[str]) -> set[str]:
    """The names with a factor's two halves put down as the factor."""
    whole = set(names)
    for factor in FACTORS:
        halves = {f"{factor}_a", f"{factor}_b"}
        if halves & whole and factor not in whole:
            missing = sorted(halves - whole)
            if missing:
                raise ValueError(f"{missing[0]} is missing")
            whole = (whole - halves) | {factor}
    return whole


def delta(layer: Layer, weight: Tensor, rank: int | None = None) -> Tensor:
    """What `layer` at strength 1 adds to `weight`, of its shape and format; `rank` keeps a LoRA's first directions.

    Raises ValueError or RuntimeError where the shapes do not go together. Works on the meta device too.
    """
    change, scale = unscaled(layer, weight, rank)
    return change * scale


def unscaled(layer: Layer, weight: Tensor, rank: int | None = None) -> tuple[Tensor, float]:
    """`delta` as a tensor and the number it is still to be multiplied by, which an addition does in passing."""
    if layer.method == "bias":
        return torch.zeros_like(weight), 1.0
    change, own_rank = METHODS[layer.method].equation(layer, weight, rank)
    change, scale = _shaped(change, weight), layer.scale(own_rank)
    if "dora_scale" in layer.tensors or "magnitude" in layer.tensors:
        return _decomposed(layer, torch.add(weight, change, alpha=scale)) - weight, 1.0
    return change, scale


def bias_delta(layer: Layer, bias: Tensor) -> Tensor:
    """What `layer` at strength 1 adds to a bias [out]; zeros where it has nothing for one."""
    found = [_get(layer, name, bias) for name in ("diff_b", "b_norm") if name in layer.tensors]
    if "lora_up_bias" in layer.tensors:
        found.append(_get(layer, "lora_up_bias", bias) * layer.scale(layer.tensors["lora_down"].shape[0]))
    if any(tensor.shape != bias.shape for tensor in found):
        raise ValueError(f"a bias of {list(found[0].shape)} for one of {list(bias.shape)}")
    return torch.stack(found).sum(0) if found else torch.zeros_like(bias)


def has_bias(layer: Layer) -> bool:
    """Whether `layer` changes the bias as well."""
    return any(name in layer.tensors for name in ("diff_b", "b_norm", "lora_up_bias"))


def _get(layer: Layer, name: str, like: Tensor) -> Tensor:
    return layer.tensors[name].to(like.device, like.dtype)


def _shaped(change: Tensor, weight: Tensor) -> Tensor:
    """`change` in the weight's shape: linear for a 1x1 convolution and the reverse, kernels that lie flat, and the
    four latent channels of an inpainting model's first convolution, whose further ones stay as they are."""
    if change.shape == weight.shape:
        return change
    flat = change.dim() == 2 or weight.dim() == 2
    if flat and change.shape[0] == weight.shape[0] and change.numel() == weight.numel():
        return change.reshape(weight.shape)
    if change.dim() == weight.dim() == 4 and change.shape[1] == 4 and weight.shape[1] in {8, 9}:
        wider = torch.zeros_like(weight)
        if wider[:, :4].shape == change.shape:
            wider[:, :4] = change
            return wider
    raise ValueError(f"{list(change.shape)} for a weight of {list(weight.shape)}")


def _decomposed(layer: Layer, merged: Tensor) -> Tensor:
    """DoRA: `merged` with each column (or row) brought to the stored magnitude (arXiv:2402.09353, equation 5).

    `dora_scale` has one side of the weight's: [1, in] as first published, [out, 1] as newer LyCORIS trains by default.
    PEFT's magnitude is always by outputs.
    """
    by_magnitude = "magnitude" in layer.tensors
    scale = _get(layer, "magnitude" if by_magnitude else "dora_scale", merged)
    out, inner = merged.shape[:2]
    by_output = by_magnitude or scale.dim() < 2 or (scale.shape[0] == out and scale.shape[1] == 1 != out)
    if scale.numel() != (out if by_output else inner):
        raise ValueError(f"magnitudes of {list(scale.shape)} for a weight of {list(merged.shape)}")
    kept = 0 if by_output else 1
    others = [side for side in range(merged.dim()) if side != kept]
    norm = torch.linalg.vector_norm(merged, dim=others, keepdim=True)
    return merged * (scale.reshape(norm.shape) / norm.clamp(min=torch.finfo(merged.dtype).tiny))


def _lora(layer: Layer, weight: Tensor, rank: int | None) -> tuple[Tensor, int]:
    up, down = _get(layer, "lora_up", weight), _get(layer, "lora_down", weight)
    own = down.shape[0]
    if "lora_mid" in layer.tensors:
        mid = _get(layer, "lora_mid", weight)
        return torch.einsum("ij...,oi,jn->on...", mid, up.flatten(1), down.flatten(1)), own
    kernel = down.shape[1:]
    # alpha stays divided by the whole rank, as A1111 does.
    return (up.flatten(1)[:, :rank] @ down.flatten(1)[:rank]).reshape(-1, *kernel), own


def _loha(layer: Layer, weight: Tensor, rank: int | None) -> tuple[Tensor, int]:
    first, second = (
        _rebuilt(layer, f"hada_w{n}_a", f"hada_w{n}_b", f"hada_t{n}", weight) for n in (1, 2)
    )  # each [out, in, kh, kw], or [out, in kh kw] without a core
    if first.shape != second.shape:
        raise ValueError(f"factors of {list(first.shape)} and {list(second.shape)}")
    return first * second, layer.tensors["hada_w1_b"].shape[0]


def _rebuilt(layer: Layer, left: str, right: str, core: str, weight: Tensor) -> Tensor:
    """left right, or with a Tucker core [r, r, kh, kw]: sum_ij core[i,j] left[i,:] right[j,:] (left is [r, out])."""
    a, b = _get(layer, left, weight), _get(layer, right, weight)
    if core in layer.tensors:
        return torch.einsum("ij...,io,jn->on...", _get(layer, core, weight), a, b)
    return (a @ b.flatten(1)).reshape(a.shape[0], *b.shape[1:])


def _lokr(layer: Layer, weight: Tensor, rank: int | None) -> tuple[Tensor, int | None]:
    own = None
    factors = []
    for name, core in (("lokr_w1", "lokr_t1"), ("lokr_w2", "lokr_t2")):
        if name in layer.tensors:
            factors.append(_get(layer, name, weight))
        else:
            factors.append(_rebuilt(layer, f"{name}_a", f"{name}_b", core, weight))
            own = own or layer.tensors[f"{name}_b"].shape[0]
    first, second = factors
    if first.dim() > second.dim():
        raise ValueError(f"factors of {list(first.shape)} and {list(second.shape)}")
    return torch.kron(first.reshape(*first.shape, *[1] * (second.dim() - first.dim())), second.contiguous()), own


def _ia3(layer: Layer, weight: Tensor, rank: int | None) -> tuple[Tensor, None]:
    factors = _get(layer, "weight", weight).flatten()
    side = 1 if bool(layer.tensors["on_input"]) else 0
    if factors.numel() != weight.shape[side]:
        raise ValueError(f"{factors.numel()} factors for a weight of {list(weight.shape)}")
    return weight * factors.reshape([-1 if n == side else 1 for n in range(weight.dim())]), None


def _glora(layer: Layer, weight: Tensor, rank: int | None) -> tuple[Tensor, int]:
    a1, a2, b1, b2 = (_get(layer, name, weight) for name in ("a1", "a2", "b1", "b2"))
    if a1.shape[0] < a1.shape[1]:  # older files name the halves the other way round, as A1111 reads them
        a1, a2, b1, b2 = a2, a1, b2, b1
    through = torch.einsum("oi...,ij->oj...", weight, a1.flatten(1) @ a2.flatten(1))
    return through + (b1.flatten(1) @ b2.flatten(1)).reshape(weight.shape), a1.shape[1]


def _full(layer: Layer, weight: Tensor, rank: int | None) -> tuple[Tensor, None]:
    return _get(layer, "diff", weight), None


def _norm(layer: Layer, weight: Tensor, rank: int | None) -> tuple[Tensor, None]:
    return _get(layer, "w_norm", weight), None


def _rotations(layer: Layer, weight: Tensor) -> Tensor:
    """Cayley's orthogonal matrices (1 + Q)(1 - Q)^-1 of the blocks [..., b, b], Q = block - block^T.

    alpha bounds Q: its norm is at most alpha times the number of outputs. Computed in the working format.
    """
    blocks = _get(layer, "oft_blocks", weight)
    skew = blocks - blocks.transpose(-1, -2)
    if layer.alpha:
        norm = skew.norm() + 1e-8
        skew = skew * (norm.clamp(max=layer.alpha * weight.shape[0]) / norm)
    one = torch.eye(blocks.shape[-1], device=weight.device, dtype=weight.dtype)
    return (one + skew) @ torch.linalg.inv(one - skew)


def _oft(layer: Layer, weight: Tensor, rank: int | None) -> tuple[Tensor, None]:
    rotations = _rotations(layer, weight)  # [blocks, b, b]
    rows = weight.unflatten(0, rotations.shape[:2])
    return _rescaled(layer, torch.einsum("knm,kn...->km...", rotations, rows).flatten(0, 1), weight), None


def _boft(layer: Layer, weight: Tensor, rank: int | None) -> tuple[Tensor, None]:
    """Each factor turns blocks of rows that lie 2^i b/2 apart (arXiv:2311.06243, section 4)."""
    rotations = _rotations(layer, weight)  # [factors, blocks, b, b]
    size = rotations.shape[-1]
    turned = weight
    for number, blocks in enumerate(rotations):
        apart = 2**number * (size // 2)
        rows = turned.unflatten(0, (-1, 2, apart)).transpose(1, 2).flatten(0, 2).unflatten(0, (-1, size))
        rows = torch.einsum("bij,bj...->bi...", blocks, rows).flatten(0, 1)
        turned = rows.unflatten(0, (-1, apart, 2)).transpose(1, 2).flatten(0, 2)
    return _rescaled(layer, turned, weight), None


def _rescaled(layer: Layer, turned: Tensor, weight: Tensor) -> Tensor:
    if "rescale" in layer.tensors:
        scale = _get(layer, "rescale", weight).flatten()
        turned = turned * scale.reshape(-1, *[1] * (turned.dim() - 1))
    return turned - weight


METHODS: dict[str, Parts] = {
    "lora": Parts(("lora_up", "lora_down"), ("lora_mid", "lora_up_bias"), _lora),
    "loha": Parts(("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"), ("hada_t1", "hada_t2"), _loha),
    "lokr": Parts(FACTORS, ("lokr_t1", "lokr_t2"), _lokr),
    "ia3": Parts(("weight", "on_input"), (), _ia3),
    "glora": Parts(("a1", "a2", "b1", "b2"), (), _glora),
    "full": Parts(("diff",), (), _full),
    "norm": Parts(("w_norm",), (), _norm),
    "oft": Parts(("oft_blocks",), ("rescale",), _oft),
    "boft": Parts(("oft_blocks",), ("rescale",), _boft),
}

"""Hypernetworks: small nets before the keys and values of attention, A1111's files and formula.

    k = to_k(context + strength H_k(context)),  v = to_v(context + strength H_v(context))

with one pair (H_k, H_v) for each width of context: 768 where SD 1.5 reads the text, 320, 640 and 1280 where it reads
itself. (NovelAI 2022, "Improvements on Stable Diffusion"; the form of the nets is that of A1111's training.) The files
are pickles and are read as weights only. Hooks before `to_k` and `to_v` do the work, so that any attention processor
sees it and no weight changes.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from generation.catalogue import ModelEntry
from generation.errors import BadWeights
from generation.networks.files import AGAIN, DAMAGE
from generation.networks.named import HYPERNETWORK_FILES, USABLE

# `activation_func` of a file -> module; "swish" is the hard one there.
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU, "leakyrelu": nn.LeakyReLU, "elu": nn.ELU, "swish": nn.Hardswish, "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid, "gelu": nn.GELU, "silu": nn.SiLU, "mish": nn.Mish, "selu": nn.SELU, "celu": nn.CELU,
    "relu6": nn.ReLU6, "softplus": nn.Softplus, "softsign": nn.Softsign, "hardswish": nn.Hardswish,
    "hardtanh": nn.Hardtanh, "hardsigmoid": nn.Hardsigmoid, "hardshrink": nn.Hardshrink, "softshrink": nn.Softshrink,
    "tanhshrink": nn.Tanhshrink, "logsigmoid": nn.LogSigmoid, "rrelu": nn.RReLU,
}  # fmt: skip
# Names in the first files of 2022.
OLD_NAMES = {"linear1.": "0.", "linear2.": "1."}

Pair = tuple[nn.Sequential, nn.Sequential]


def load(path: Path) -> dict[int, Pair]:
    """Width of the context -> the nets for keys and values. Raises `BadWeights` in one line."""
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(found, Mapping):
            raise ValueError("it holds no table")  # noqa: TRY004 - callers look for one error
        pairs = {
            width: (_net(width, states[0], found), _net(width, states[1], found))
            for width, states in found.items()
            if isinstance(width, int)
        }
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        if isinstance(error, pickle.UnpicklingError):
            reason = "it is damaged, or holds more than weights, which could run code"
        raise BadWeights(f"the hypernetwork {path} cannot be read: {reason}", AGAIN) from error
    if not pairs:
        raise BadWeights(f"{path} is no hypernetwork", "Choose another file.")
    return pairs


def _net(width: int, state: Mapping[str, Tensor], about: Mapping[Any, Any]) -> nn.Sequential:
    """The net of a width from its weights. Raises ValueError or RuntimeError where they do not make one.

    `layer_structure` holds widths as multiples of the context's. Behind each linear layer stand the activation (behind
    the last one only where `activate_output`), the layer norm and, in training, dropout, each where the file has it;
    dropout counts as a place in the names.
    """
    structure = [float(size) for size in about.get("layer_structure") or (1, 2, 1)]
    activation = str(about.get("activation_func") or "linear").lower()
    if len(structure) < 2 or structure[0] != 1 or structure[-1] != 1:
        raise ValueError(f"its layer structure {structure} does not begin and end with 1")
    if activation != "linear" and activation not in ACTIVATIONS:
        raise ValueError(f'its activation "{activation}" is not known')
    layers: list[nn.Module] = []
    last = len(structure) - 2
    for n, (inner, outer) in enumerate(pairwise(structure)):
        layers.append(nn.utils.skip_init(nn.Linear, int(width * inner), int(width * outer)))
        if activation != "linear" and (n < last or about.get("activate_output", True)):
            layers.append(ACTIVATIONS[activation]())
        if about.get("is_layer_norm", False):
            layers.append(nn.LayerNorm(int(width * outer)))
        if _drops(n, structure, about):
            layers.append(nn.Identity())
    net = nn.Sequential(*layers)
    named = {_renamed(name): tensor.detach().float() for name, tensor in state.items()}
    if any(not bool(torch.isfinite(tensor).all()) for tensor in named.values()):
        raise ValueError("it holds values that are no numbers")
    net.load_state_dict(named)
    return net.eval().requires_grad_(False)


def _drops(n: int, structure: Sequence[float], about: Mapping[Any, Any]) -> bool:
    """Whether a dropout stands behind the n-th linear layer.

    Later files say it layer by layer in `dropout_structure`; earlier ones had it behind all but the last two layers,
    or all but the last where `last_layer_dropout`.
    """
    if not about.get("use_dropout", False):
        return False
    rates = about.get("dropout_structure")
    if rates:
        return n + 1 < len(rates) and float(rates[n + 1]) > 0
    return n < len(structure) - 3 or (bool(about.get("last_layer_dropout", False)) and n < len(structure) - 2)


def _renamed(name: str) -> str:
    for old, new in OLD_NAMES.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name.removeprefix("linear.")


@contextmanager
def hypernetworks(unet: Any, uses: Sequence[tuple[ModelEntry, float]]) -> Iterator[None]:
    """While it holds, `unet` attends through the hypernetworks of `uses` in their order; strength 0 does nothing.

    Raises `BadWeights` before anything is changed where a file is damaged or has no width that this UNet reads.
    """
    attentions = [m for m in unet.modules() if isinstance(getattr(m, "to_k", None), nn.Linear)]
    widths = {m.to_k.in_features for m in attentions}
    read = [(_loaded(entry, widths), strength) for entry, strength in uses if strength]
    with ExitStack() as hooks:
        for pairs, strength in read:
            for attention in attentions:
                pair = pairs.get(attention.to_k.in_features)
                for module, net in zip((attention.to_k, attention.to_v), pair or ()):
                    hooks.callback(module.register_forward_pre_hook(_before(net, strength)).remove)
        yield


def _loaded(entry: ModelEntry, widths: set[int]) -> dict[int, Pair]:
    if entry.problem not in USABLE:
        raise BadWeights(f"the hypernetwork {entry.path} cannot be used: {entry.problem}", "Choose another file.")
    if entry.kind not in {*HYPERNETWORK_FILES, "unknown"}:
        raise BadWeights(f"{entry.name} is not a hypernetwork but a {entry.kind}", "Name a hypernetwork there.")
    pairs = load(Path(entry.path))
    if not widths & set(pairs):
        theirs, ours = (", ".join(map(str, sorted(sides))) for sides in (pairs, widths))
        raise BadWeights(
            f'the hypernetwork "{entry.name}" is made for widths {theirs}, and this model has {ours}',
            "Leave its name out of the prompt, or choose a model of its family.",
        )
    return pairs


def _before(net: nn.Sequential, strength: float) -> Any:
    """A hook that adds `strength` times the net's answer to the context."""

    def hook(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        context = args[0]
        net.to(context.device, context.dtype)
        return context + net(context) * strength, *args[1:]

    return hook

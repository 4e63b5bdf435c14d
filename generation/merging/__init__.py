"""Weights made of other weights: checkpoints merged, LoRAs joined, extracted and resized, VAEs put in.

`METHODS` is everything a recipe can call; listing it loads nothing. `recipes` reads the text, `contents` what the files
hold, `running` does it.

| module | holds |
|---|---|
| `recipes`, `blocks` | the text of a recipe as a checked tree; block weights and which block a tensor belongs to |
| `sources` | where a recipe comes from: a line, a file, a merge's own result |
| `contents`, `plans` | tensors of a checkpoint by name, from headers; what a recipe gives, without reading weights |
| `weights`, `streams`, `attached` | the tensors themselves; a recipe's value of one tensor, piece by piece |
| `formulas` | the same values again, as the papers state them, in fp64: what a merge is checked against |
| `places`, `networks` | modules' names and tensors' names; LoRAs joined, extracted, resized |
| `writing`, `verification`, `running` | the file, whether it is right, and the whole way |
| `tally` | bytes of tensors alive at a time |
"""

from __future__ import annotations

from dataclasses import dataclass

from generation.parameters import Parameter

CHECKPOINT, NETWORK, VAE = "checkpoint", "lora", "vae"
PRECISIONS = ("fp16", "bf16", "fp32")


@dataclass(frozen=True)
class Method:
    """`run` is "module:attribute". `takes` are the kinds of what it is given, in order; where `more`, the last may come
    several times. `blocks` names parameters that may be a number for each block as well.
    """

    run: str
    takes: tuple[str, ...]
    gives: str
    parameters: tuple[Parameter, ...]
    help: str
    more: bool = False
    blocks: tuple[str, ...] = ()


def _number(name: str, default: float, help: str, low: float = -10.0, high: float = 10.0) -> Parameter:
    return Parameter(name, "number", default, help, low, high)


_STREAMS = "generation.merging.streams:"
_ATTACHED = "generation.merging.attached:"
_NETWORKS = "generation.merging.networks:"
_TWO, _THREE = (CHECKPOINT,) * 2, (CHECKPOINT,) * 3
_RANK = Parameter("rank", "integer", 0, "directions to keep; 0: as many as keep asks for", 0, 4096)
_KEEP = _number("keep", 0.0, "share of the change's Frobenius norm to keep, each layer by itself; 0: rank says", 0, 1)

METHODS: dict[str, Method] = {
    "weighted_sum": Method(
        _STREAMS + "WeightedSum", _TWO, CHECKPOINT,
        (_number("alpha", 0.5, "share of the second"),),
        "(1 - alpha) a + alpha b", blocks=("alpha",),
    ),
    "add_difference": Method(
        _STREAMS + "AddDifference", _THREE, CHECKPOINT,
        (_number("alpha", 1.0, "how much of the difference"),),
        "a + alpha (b - c)", blocks=("alpha",),
    ),
    "train_difference": Method(
        _STREAMS + "TrainDifference", _THREE, CHECKPOINT,
        (_number("alpha", 1.0, "how much of the difference"),),
        "a + 1.8 alpha m (b - c), m = |b - a| / (|b - a| + |b - c|): what b learned and a does not know yet",
        blocks=("alpha",),
    ),
    "slerp": Method(
        _STREAMS + "Slerp", _TWO, CHECKPOINT,
        (_number("alpha", 0.5, "how far towards the second", 0, 1),),
        "Along the arc between a and b, each tensor by itself; lengths are mixed linearly", blocks=("alpha",),
    ),
    "ties": Method(
        _STREAMS + "Ties", _TWO, CHECKPOINT,
        (
            _number("alpha", 1.0, "how much of the merged difference"),
            _number("density", 0.2, "share of each difference that is kept, its largest entries", 0.0001, 1),
            Parameter("vote", "choice", "mass", "what elects a sign: the sum, or how many", choices=("mass", "count")),
        ),
        "a + the mean of the others' differences from a that have the elected sign (arXiv:2306.01708)",
        more=True, blocks=("alpha",),
    ),
    "dare": Method(
        _STREAMS + "Dare", _TWO, CHECKPOINT,
        (
            _number("alpha", 1.0, "how much of the differences"),
            _number("drop", 0.9, "chance that an entry of a difference is dropped", 0, 0.999),
            Parameter("combine", "choice", "mean", "what becomes of several", choices=("mean", "sum", "ties")),
            Parameter("seed", "integer", 0, "of what is dropped", 0, 2**32 - 1),
        ),
        "a + the others' differences from a, most entries dropped and the rest scaled up (arXiv:2311.03099)",
        more=True, blocks=("alpha",),
    ),
    "add_lora": Method(
        _ATTACHED + "AddLora", (CHECKPOINT, NETWORK), CHECKPOINT,
        (
            _number("weight", 1.0, "strength for the UNet"),
            Parameter("text", "number", None, "strength for the text encoders; none: the same", -10, 10),
        ),
        "A LoRA or LyCORIS put into a checkpoint's weights",
    ),
    "bake_vae": Method(_ATTACHED + "BakeVae", (CHECKPOINT, VAE), CHECKPOINT, (), "Another VAE in a checkpoint"),
    "concat_loras": Method(
        _NETWORKS + "concatenated", (NETWORK, NETWORK), NETWORK, (),
        "weights[0] a + weights[1] b + ..., exactly: ranks add up", more=True,
    ),
    "svd_loras": Method(
        _NETWORKS + "joined", (NETWORK, NETWORK), NETWORK, (_RANK, _KEEP),
        "weights[0] a + weights[1] b + ..., as near as a rank allows", more=True,
    ),
    "resize_lora": Method(
        _NETWORKS + "resized", (NETWORK,), NETWORK, (_RANK, _KEEP), "A LoRA of another rank, as near as it allows",
    ),
    "extract_lora": Method(
        _NETWORKS + "extracted", _TWO, NETWORK,
        (
            Parameter("rank", "integer", 32, "of linear layers", 1, 4096),
            Parameter("conv_rank", "integer", 0, "of convolutions with a kernel; 0: left out", 0, 4096),
        ),
        "A LoRA that makes the second into the first",
    ),
}  # fmt: skip
# Methods that take `weights`, a number for each network.
WEIGHTED = ("concat_loras", "svd_loras")
MODEL = "model"

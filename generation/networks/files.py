"""Network files read into layers: LoRA, LyCORIS and what is like them, from safetensors or from a pickle.

A pickle is read as weights only, so that no code in it runs. Knows where alphas stand and what makes a file damaged:
halves without their other half, values that are not numbers. Keeps read files in memory, as a strength is often
changed. Leaves key names to `keys`, equations to `deltas`, and a model's modules to `applied`.
"""

from __future__ import annotations

import json
import pickle
import re
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from generation.errors import BadWeights
from generation.networks import keys
from generation.networks.deltas import Layer, method_of

KEPT = 2 << 30  # bytes of read files that stay in memory
# Tensors of one number that a layer holds as numbers.
NUMBERS = ("alpha", "scalar")
DIFFUSERS_METADATA = "lora_adapter_metadata"
PEFT_CONFIG = "adapter_config.json"
AGAIN = "Download it again, or choose another."
# Words in keys -> the model a network of another house is for.
FOREIGN = {
    "double_blocks": "Flux", "single_blocks": "Flux", "single_transformer_blocks": "Flux", "joint_blocks": "SD3",
    "transformer_blocks_0_attn_add": "SD3 or Qwen", "cross_attn_k_proj": "Anima",
}  # fmt: skip
DAMAGE = (
    OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError, RuntimeError, OverflowError,
    MemoryError, AssertionError, struct.error, SafetensorError, pickle.UnpicklingError,
)  # fmt: skip

Find = Callable[[str], Tensor]


@dataclass(frozen=True)
class Network:
    """A read file. `layers` has "part.module" for its keys, the module's name with underscores for dots.

    `kind` is the method of most layers; `base` the family it is made for, "" where the shapes do not tell; `embeddings`
    the names of textual inversions that lie in the same file and are not used; `size` in bytes.
    """

    kind: str
    layers: Mapping[str, Layer] = field(repr=False)
    metadata: Mapping[str, str] = field(repr=False)
    path: Path
    base: str
    embeddings: tuple[str, ...]
    size: int


def read(path: Path) -> Network:
    """The network of a file. Raises `BadWeights` in one line where it is none, damaged, or of an unknown method."""
    try:
        with _opened(path) as (names, find, metadata):
            return _network(path, names, find, metadata)
    except DAMAGE as error:
        raise BadWeights(f"the network {path} cannot be read: {_reason(error)}", AGAIN) from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[list[str], Find, dict[str, str]]]:
    """(names, the tensor of a name, metadata) of a file."""
    if path.suffix.lower() == ".safetensors":
        with safe_open(str(path), "pt") as file:
            # Cloned: the tensors of an open file are its pages, and the file may be overwritten while they are kept.
            yield list(file.keys()), lambda name: file.get_tensor(name).clone(), dict(file.metadata() or {})
        return
    found: Any = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping):
        raise ValueError("it holds no table of tensors")  # noqa: TRY004 - callers look for one error
    tensors = {str(name): value.detach() for name, value in found.items() if isinstance(value, Tensor)}
    yield list(tensors), tensors.__getitem__, {}


def _reason(error: BaseException) -> str:
    if isinstance(error, pickle.UnpicklingError):
        return "it is damaged, or holds more than weights, which could run code"
    return " ".join(str(error).split())[:120] or type(error).__name__


def _network(path: Path, names: list[str], find: Find, metadata: dict[str, str]) -> Network:
    zero = keys.from_zero(names)
    grouped: dict[str, dict[str, str]] = {}
    for name in names:
        found = keys.split(name, zero)
        if found is not None:
            part, module, tensor = found
            grouped.setdefault(f"{part}.{module}", {})[tensor] = name
    foreign = next((house for word, house in FOREIGN.items() if any(word in _plain(name) for name in names)), "")
    if not grouped:
        made = f", but one for {foreign}" if foreign else ""
        raise BadWeights(f"{path} is no LoRA or LyCORIS of a known form{made}", "Choose another file.")
    configured = _configured(path, names, metadata)
    layers = {}
    for place, members in grouped.items():
        try:
            layers[place] = _layer(place, members, find, configured)
        except ValueError as error:
            raise BadWeights(f"the layer {place} of {path} cannot be used: {error}", AGAIN) from error
    kind = Counter("dora" if _is_dora(layer) else layer.method for layer in layers.values()).most_common(1)[0][0]
    size = sum(t.numel() * t.element_size() for layer in layers.values() for t in layer.tensors.values())
    bundled = sorted({name.split(".")[1] for name in names if name.startswith("bundle_emb.") and name.count(".") > 1})
    return Network(kind, layers, metadata, path, foreign or _base(layers), tuple(bundled), size)


def _plain(name: str) -> str:
    return name.replace(".", "_")


def _is_dora(layer: Layer) -> bool:
    return "dora_scale" in layer.tensors or "magnitude" in layer.tensors


def _layer(place: str, members: dict[str, str], find: Find, configured: Mapping[str, Any]) -> Layer:
    """The layer of its tensors' names. Raises ValueError in a few words."""
    tensors, numbers = {}, {}
    for name, key in members.items():
        tensor = find(key)
        if tensor.is_complex() or tensor.is_quantized:
            raise ValueError(f"{name} has the number format {tensor.dtype}")
        if not bool(torch.isfinite(tensor.float()).all()):
            raise ValueError(f"{name} holds values that are no numbers")
        if name in NUMBERS:
            if tensor.numel() != 1:
                raise ValueError(f"{name} is no single number")
            numbers[name] = float(tensor)
        else:
            tensors[name] = tensor
    if not tensors:
        raise ValueError("it has no weights")
    method = method_of(tensors, lambda name: tensors[name].dim())
    _check_sides(method, tensors)
    alpha = numbers.get("alpha", _alpha(place, configured))
    return Layer(
        method, tensors, alpha, numbers.get("scalar", 1.0), bool(_setting(place, configured, "use_rslora", False))
    )


def _check_sides(method: str, tensors: Mapping[str, Tensor]) -> None:
    """Halves that do not meet are damage of the file, whatever the model."""
    pairs = {"lora": [("lora_up", "lora_down")], "loha": [("hada_w1_a", "hada_w1_b"), ("hada_w2_a", "hada_w2_b")]}
    for left, right in pairs.get(method, []):
        a, b = tensors[left], tensors[right]
        core = f"hada_t{left[6]}" if method == "loha" else ""
        inner = 0 if core in tensors else 1
        if min(a.dim(), b.dim()) < 2 or a.shape[inner] != b.shape[0] or 0 in (*a.shape, *b.shape):
            raise ValueError(f"{left} {list(a.shape)} and {right} {list(b.shape)} do not go together")


def _configured(path: Path, names: list[str], metadata: Mapping[str, str]) -> Mapping[str, Any]:
    """What diffusers writes into a file's metadata, or PEFT beside it, about alphas; parts before each name."""
    said: Any = None
    try:
        if DIFFUSERS_METADATA in metadata:
            said = json.loads(metadata[DIFFUSERS_METADATA])
        elif any(name.startswith(keys.WRAPPERS) for name in names):
            beside = path.with_name(PEFT_CONFIG)
            if beside.is_file():
                said = json.loads(beside.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadWeights(f"the settings of {path} cannot be read: {_reason(error)}", AGAIN) from error
    return said if isinstance(said, dict) else {}


def _setting(place: str, configured: Mapping[str, Any], name: str, default: Any) -> Any:
    part = place.partition(".")[0]
    return configured.get(f"{part}.{name}", configured.get(name, default))


def _alpha(place: str, configured: Mapping[str, Any]) -> float | None:
    """PEFT's alpha of a layer: by a pattern of its name, else the one for all; None where nothing is said."""
    module = place.partition(".")[2]
    patterns = _setting(place, configured, "alpha_pattern", None)
    for pattern, value in patterns.items() if isinstance(patterns, dict) else ():
        # PEFT matches a pattern with the end of a module's dotted name.
        if re.search(rf"(?:^|_){re.escape(_plain(str(pattern)))}$", module):
            return float(value)
    alpha = _setting(place, configured, "lora_alpha", None)
    return float(alpha) if isinstance(alpha, (int, float)) else None


def _base(layers: Mapping[str, Layer]) -> str:
    """The family whose widths these are: by the text that cross-attention reads, else by what only SDXL has."""
    for place, layer in layers.items():
        if place.startswith(keys.UNET) and re.search(r"attn2_to_[kv]$", place):
            family = keys.FAMILIES.get(_inputs(layer), "")
            if family:
                return family
    deep = any(place.startswith(keys.UNET) and re.search(r"transformer_blocks_[1-9]", place) for place in layers)
    return "sdxl" if deep or any(place.startswith(f"{keys.TEXT_2}.") for place in layers) else ""


def _inputs(layer: Layer) -> int:
    """Columns of the weight that a layer is for, 0 where its tensors do not tell."""
    own = layer.tensors
    for name in ("lora_down", "hada_w1_b", "diff"):
        if name in own and own[name].dim() > 1:
            return own[name].shape[1]
    if layer.method == "lokr":
        widths = [own[n if n in own else f"{n}_b"].shape[1] for n in ("lokr_w1", "lokr_w2")]
        return widths[0] * widths[1]
    return 0


class Files:
    """Read networks by path, time of change and size; the longest unused go when `limit` bytes are passed."""

    def __init__(self, limit: int = KEPT) -> None:
        self.limit = limit
        self._kept: OrderedDict[tuple[str, int, int], Network] = OrderedDict()

    @staticmethod
    def stamp(path: Path) -> tuple[str, int, int]:
        """(path, time of change in ns, bytes): another one means another content."""
        try:
            about = path.stat()
        except OSError as error:
            raise BadWeights(f"the network {path} cannot be read: {error.strerror or error}", AGAIN) from error
        return str(path), about.st_mtime_ns, about.st_size

    def get(self, path: Path) -> Network:
        """The network of a file, read when it is new or has changed. Raises as `read`."""
        key = self.stamp(path)
        if key not in self._kept:
            for old in [other for other in self._kept if other[0] == key[0]]:
                del self._kept[old]
            network = read(path)
            if network.size > self.limit:
                return network
            self._kept[key] = network
            while self.size > self.limit:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    @property
    def size(self) -> int:
        """Bytes kept."""
        return sum(network.size for network in self._kept.values())

    def clear(self) -> None:
        self._kept.clear()

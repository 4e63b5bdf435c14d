"""The tensors of a network in a local file: safetensors, a file of torch, or a TorchScript program, none of them run.

Knows the tables and prefixes that training leaves around the weights. Which network they make is told by their names,
by those that use them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from generation import pickles, programs
from generation.errors import BadWeights

Tensors = dict[str, torch.Tensor]
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TABLES = ("state_dict", "model_state_dict", "model")  # that weights lie in beside an optimiser's state
PREFIXES = ("module.", "flownet.")  # of several devices, of a network in a network


def read(path: Path, hint: str) -> Tensors:
    """Name -> tensor in float32. Raises `BadWeights` in one line, with `hint` for what would do."""
    path = path.expanduser()
    if not path.is_file():
        raise BadWeights(f"there is no file {path}", hint)
    try:
        found = _found(path)
    # What a file can be wrong in, the readers answer with errors of many kinds.
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise BadWeights(f"{path.name} cannot be read: {reason}", hint) from error
    return {_bare(str(name)): one.float() for name, one in found.items() if isinstance(one, torch.Tensor)}


def _found(path: Path) -> Mapping[str, Any]:
    if path.suffix.lower() == ".safetensors":
        return load_file(path)
    if pickles.is_program(path):
        return programs.tensors(path)
    programs.check(pickles.read(path))  # looks through it before anything of it is loaded
    found = torch.load(path, map_location="cpu", weights_only=True)
    for table in TABLES:
        if isinstance(found, Mapping) and isinstance(found.get(table), Mapping):
            found = found[table]
    if not isinstance(found, Mapping):
        raise ValueError("it holds no table of tensors")  # noqa: TRY004
    return found


def _bare(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def filled(net: torch.nn.Module, tensors: Tensors) -> torch.nn.Module:
    """`net`, made on torch's meta device, with these tensors; others of the file may be left over.

    Raises KeyError for one that is not there, RuntimeError for one of another shape.
    """
    # How many batches a norm has seen steers nothing any more, and some files leave it out.
    counts = {name: torch.zeros(()) for name in net.state_dict() if name.endswith(".num_batches_tracked")}
    found = {name: tensors[name] for name in net.state_dict() if name not in counts}
    found = {name: tensors[name] for name in net.state_dict() if name not in counts}
    net.load_state_dict({**found, **counts}, assign=True)
    return net.eval().requires_grad_(False).to(DEVICE)

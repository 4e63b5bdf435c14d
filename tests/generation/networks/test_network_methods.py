"""Every method from a file into a weight and out again, and how several add up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from network_models import alone, kohya, saved, sd15, states
from torch import Tensor, nn

from generation.networks.applied import Applied


def lycoris(module: nn.Linear) -> dict[str, dict[str, Tensor]]:
    """One layer of each method for an 8 -> 12 linear layer named `layer`."""
    draw = torch.Generator().manual_seed(5)

    def rand(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw) * 0.5

    pair = {"lora_up.weight": rand(12, 2), "lora_down.weight": rand(2, 8)}
    hada = {"hada_w1_a": rand(12, 2), "hada_w1_b": rand(2, 8), "hada_w2_a": rand(12, 2), "hada_w2_b": rand(2, 8)}
    return {
        "lora": {**pair, "alpha": torch.tensor(1.0)},
        "loha": {**hada, "alpha": torch.tensor(1.0)},
        "lokr": {"lokr_w1": rand(3, 2), "lokr_w2_a": rand(4, 2), "lokr_w2_b": rand(2, 4), "alpha": torch.tensor(1.0)},
        "ia3": {"weight": rand(12), "on_input": torch.tensor(False)},
        "glora": {"a1.weight": rand(8, 2), "a2.weight": rand(2, 8), "b1.weight": rand(12, 2), "b2.weight": rand(2, 8)},
        "full": {"diff": rand(12, 8), "diff_b": rand(12)},
        "oft": {"oft_blocks": rand(3, 4, 4), "alpha": torch.tensor(0.0)},
        "boft": {"oft_blocks": rand(1, 3, 4, 4), "rescale": rand(12, 1)},
        "dora": {**pair, "dora_scale": rand(1, 8).abs()},
    }


def wanted(method: str, t: dict[str, Tensor], weight: Tensor) -> Tensor:
    """The change of the weight by the published equation, for the shapes of `lycoris`."""
    if method in {"lora", "dora"}:
        change = t["lora_up.weight"] @ t["lora_down.weight"] * (0.5 if method == "lora" else 1)
        if method == "lora":
            return change
        merged = weight + change
        return merged * (t["dora_scale"] / merged.norm(dim=0, keepdim=True)) - weight
    if method == "loha":
        return (t["hada_w1_a"] @ t["hada_w1_b"]) * (t["hada_w2_a"] @ t["hada_w2_b"]) * 0.5
    if method == "lokr":
        second = t["lokr_w2_a"] @ t["lokr_w2_b"] * 0.5
        return torch.einsum("ab,cd->acbd", t["lokr_w1"], second).reshape(12, 8)
    if method == "ia3":
        return torch.diag(t["weight"]) @ weight
    if method == "glora":
        return weight @ t["a1.weight"] @ t["a2.weight"] + t["b1.weight"] @ t["b2.weight"]
    if method == "full":
        return t["diff"]
    skew = t["oft_blocks"] - t["oft_blocks"].transpose(-1, -2)
    rotations = torch.linalg.solve(torch.eye(4) - skew, torch.eye(4) + skew)  # the two factors commute
    assert method == "oft"
    return torch.block_diag(*rotations).T @ weight - weight


@pytest.mark.parametrize("method", ["lora", "loha", "lokr", "ia3", "glora", "full", "oft", "boft", "dora"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_method_goes_through_a_file_into_a_weight_and_out(
    tmp_path: Path, method: str, dtype: torch.dtype
) -> None:
    torch.manual_seed(1)
    module = nn.Linear(8, 12).to(dtype)
    weight, bias = module.weight.detach().clone(), module.bias.detach().clone()
    tensors = lycoris(module)[method]
    use = saved(tmp_path / "n.safetensors", {f"lora_unet_layer.{name}": t for name, t in tensors.items()})
    applied = Applied(alone(module), "sd15")
    assert applied.set([replace(use, unet=0.5)]) is False  # no text encoder
    if method != "boft":
        change = wanted(method, tensors, weight.float())
        assert torch.equal(module.weight, (weight.float() + 0.5 * change).to(dtype)) or torch.allclose(
            module.weight.float(), weight.float() + 0.5 * change, atol=1e-5 if dtype == torch.float32 else 2e-2
        )
    assert not torch.equal(module.weight, weight)
    moved = torch.equal(module.bias, (bias.float() + 0.5 * tensors["diff_b"]).to(dtype)) if method == "full" else False
    assert moved or torch.equal(module.bias, bias)
    assert moved == (method == "full")
    applied.clear()
    assert torch.equal(module.weight, weight)
    assert torch.equal(module.bias, bias)


def test_sums_are_in_fp32_and_rounded_once(tmp_path: Path) -> None:
    module = nn.Linear(4, 4).half()
    module.weight.data.fill_(1.0)
    # 2^-11 is half of fp16's step above 1: each alone would be lost, both together are one step.
    use = saved(tmp_path / "n.safetensors", {"lora_unet_layer.diff": torch.full((4, 4), 2.0**-11)})
    Applied(alone(module), "sd15").set([use, use])
    assert torch.equal(module.weight, torch.full((4, 4), 1 + 2.0**-10).half())


def test_a_change_that_depends_on_the_weight_sees_those_before_it(tmp_path: Path) -> None:
    module = nn.Linear(4, 4)
    module.weight.data.copy_(torch.eye(4))
    add = saved(tmp_path / "add.safetensors", {"lora_unet_layer.diff": torch.eye(4)})
    factors = {"lora_unet_layer.weight": torch.full((4,), 2.0), "lora_unet_layer.on_input": torch.tensor(0)}
    times = saved(tmp_path / "times.safetensors", factors)
    applied = Applied(alone(module), "sd15")
    applied.set([add, times])
    assert torch.equal(module.weight, torch.eye(4) * 6)  # (1 + 1) + 2 * 2
    applied.set([times, add])
    assert torch.equal(module.weight, torch.eye(4) * 4)  # 1 + 2 * 1 + 1


def test_the_rank_asked_for_is_kept(tmp_path: Path) -> None:
    pipe, other = sd15(), sd15()
    tensors = kohya(pipe)
    short = {
        name: t[:, :2] if "up.weight" in name else t[:2] * (2 / 3) if "down.weight" in name else t
        for name, t in tensors.items()
    }
    Applied(pipe, "sd15").set([replace(saved(tmp_path / "a.safetensors", tensors), rank=2)])
    Applied(other, "sd15").set([saved(tmp_path / "b.safetensors", short)])
    one, two = states(pipe), states(other)
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)


def test_an_inpainting_model_takes_a_network_of_its_family(tmp_path: Path) -> None:
    pipe, plain = sd15(in_channels=9), sd15()
    tensors = {
        "unet.conv_in.lora_B.weight": torch.ones(16, 1, 1, 1),
        "unet.conv_in.lora_A.weight": torch.ones(1, 4, 3, 3),
    }
    use = saved(tmp_path / "n.safetensors", tensors)
    base = states(pipe)["unet.conv_in.weight"]
    Applied(pipe, "sd15-inpainting").set([use])
    Applied(plain, "sd15").set([use])
    assert torch.equal(pipe.unet.conv_in.weight[:, 4:], base[:, 4:])
    assert torch.allclose(pipe.unet.conv_in.weight[:, :4], base[:, :4] + 1)

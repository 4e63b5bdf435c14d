"""Hypernetworks: A1111's files rebuilt, its formula in the attention, and nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from network_models import answers, entry, same, sd15, states
from torch import Tensor, nn

from generation.catalogue import ModelEntry
from generation.errors import BadWeights
from generation.networks.hypernetworks import hypernetworks, load

DRAW = torch.Generator().manual_seed(9)


def state(width: int, places: list[tuple[int, str, float, float]]) -> dict[str, Tensor]:
    """Random weights at given places of a net: (index, "linear" or "norm", widths in and out over the context's)."""
    found = {}
    for index, kind, inner, outer in places:
        sides = (int(width * outer), int(width * inner)) if kind == "linear" else (int(width * outer),)
        found[f"linear.{index}.weight"] = torch.randn(*sides, generator=DRAW) * 0.2
        found[f"linear.{index}.bias"] = torch.randn(int(width * outer), generator=DRAW) * 0.2
    return found


PLAIN = [(0, "linear", 1, 2), (1, "linear", 2, 1)]
FULL = [(0, "linear", 1, 2), (2, "norm", 1, 2), (4, "linear", 2, 1), (6, "norm", 1, 1)]


def saved(path: Path, widths: tuple[int, ...], places: Any = PLAIN, **about: Any) -> ModelEntry:
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs = {width: (state(width, places), state(width, places)) for width in widths}
    torch.save({**pairs, "step": 100, "name": path.stem, "sd_checkpoint": None, **about}, path)
    return entry(path, "hypernetwork")


def pairs_of(path: str) -> dict[int, Any]:
    return {k: v for k, v in torch.load(path, weights_only=True).items() if isinstance(k, int)}


def test_two_linear_layers_and_nothing_between(tmp_path: Path) -> None:
    path = saved(tmp_path / "h.pt", (8, 12)).path
    nets = load(Path(path))
    assert sorted(nets) == [8, 12]
    raw = pairs_of(path)
    x = torch.randn(2, 3, 8, generator=DRAW)
    for net, weights in zip(nets[8], raw[8], strict=True):
        hidden = x @ weights["linear.0.weight"].T + weights["linear.0.bias"]
        assert torch.allclose(net(x), hidden @ weights["linear.1.weight"].T + weights["linear.1.bias"], atol=1e-5)
        assert not any(parameter.requires_grad for parameter in net.parameters())


def test_activation_norm_and_dropout_stand_where_the_file_has_them(tmp_path: Path) -> None:
    about = {
        "layer_structure": [1, 2, 1], "activation_func": "leakyrelu", "is_layer_norm": True, "activate_output": True,
        "use_dropout": True, "dropout_structure": [0, 0.3, 0],
    }  # fmt: skip
    path = saved(tmp_path / "h.pt", (8,), FULL, **about).path
    (net, _), w = load(Path(path))[8], pairs_of(path)[8][0]
    x = torch.randn(2, 8, generator=DRAW)
    hidden = nn.functional.leaky_relu(nn.functional.linear(x, w["linear.0.weight"], w["linear.0.bias"]))
    hidden = nn.functional.layer_norm(hidden, (16,), w["linear.2.weight"], w["linear.2.bias"])
    hidden = nn.functional.leaky_relu(nn.functional.linear(hidden, w["linear.4.weight"], w["linear.4.bias"]))
    wanted = nn.functional.layer_norm(hidden, (8,), w["linear.6.weight"], w["linear.6.bias"])
    assert torch.allclose(net(x), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("places", "about"),
    [
        (PLAIN, {}),
        (PLAIN, {"activation_func": "linear", "layer_structure": [1, 2, 1]}),
        ([(0, "linear", 1, 2), (2, "linear", 2, 1)], {"activation_func": "relu", "activate_output": False}),
        ([(0, "linear", 1, 2), (2, "linear", 2, 1)], {"activation_func": "swish"}),
        (
            [(0, "linear", 1, 0.5), (2, "linear", 0.5, 3), (3, "linear", 3, 1)],
            {"layer_structure": [1, 0.5, 3, 1], "use_dropout": True},
        ),
        (
            [(0, "linear", 1, 1), (2, "linear", 1, 1), (4, "linear", 1, 1)],
            {"layer_structure": [1, 1, 1, 1], "use_dropout": True, "last_layer_dropout": True},
        ),
        (
            [(0, "linear", 1, 1), (1, "linear", 1, 1), (3, "linear", 1, 1)],
            {"layer_structure": [1, 1, 1, 1], "use_dropout": True, "dropout_structure": [0, 0, 0.1, 0]},
        ),
    ],
)
def test_structures_of_every_age(tmp_path: Path, places: Any, about: dict[str, Any]) -> None:
    path = saved(tmp_path / "h.pt", (8,), places, **about).path
    net = load(Path(path))[8][1]
    weights = [tensor for name, tensor in pairs_of(path)[8][1].items() if name.endswith("weight")]
    assert [layer.weight.shape for layer in net if isinstance(layer, nn.Linear)] == [w.shape for w in weights]


def test_the_first_names_of_2022(tmp_path: Path) -> None:
    new = saved(tmp_path / "new.pt", (8,)).path
    old = {
        width: tuple({name.replace("linear.1", "linear2").replace("linear.0", "linear1"): t for name, t in s.items()}
        for s in pair) for width, pair in pairs_of(new).items()
    }  # fmt: skip
    torch.save(old, tmp_path / "old.pt")
    x = torch.randn(2, 8, generator=DRAW)
    assert torch.equal(load(tmp_path / "old.pt")[8][0](x), load(Path(new))[8][0](x))


class Formula:
    """An attention processor of the plain equation, with hypernetworks written into it."""

    def __init__(self, chain: list[tuple[dict[int, Any], float]]) -> None:
        self.chain = chain

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Any = None, **more: Any) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        keys = values = context
        for nets, strength in self.chain:
            if context.shape[-1] in nets:
                keys = keys + strength * nets[context.shape[-1]][0](keys)
                values = values + strength * nets[context.shape[-1]][1](values)
        q, k, v = (
            t.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for t in (attn.to_q(hidden_states), attn.to_k(keys), attn.to_v(values))
        )
        weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
        out: Tensor = attn.to_out[0]((weights @ v).transpose(1, 2).flatten(2))
        return out


def test_keys_and_values_are_those_of_the_formula(tmp_path: Path) -> None:
    # 24 is the text's width, 16 the width of the picture at the first blocks: both attend through their nets.
    one = saved(tmp_path / "one.pt", (24, 16))
    two = saved(tmp_path / "two.pt", (24, 7), activation_func="relu", places=[(0, "linear", 1, 2), (2, "linear", 2, 1)])
    pipe, theirs = sd15(), sd15()
    base, weights = answers(pipe), states(pipe)
    theirs.unet.set_attn_processor(Formula([(load(Path(one.path)), 0.7), (load(Path(two.path)), -0.4)]))
    with hypernetworks(pipe.unet, [(one, 0.7), (two, -0.4)]):
        found = answers(pipe)
    assert torch.allclose(found[0], answers(theirs)[0], atol=1e-4)
    assert not torch.allclose(found[0], base[0], atol=1e-3)
    assert torch.equal(found[1], base[1])  # the text encoder is no part of it
    # Each of the two widths does its share, and the order matters.
    with hypernetworks(pipe.unet, [(two, -0.4), (one, 0.7)]):
        assert not torch.allclose(answers(pipe)[0], found[0], atol=1e-5)
    narrow = saved(tmp_path / "narrow.pt", (16,))
    with hypernetworks(pipe.unet, [(narrow, 1.0)]):
        assert not torch.allclose(answers(pipe)[0], base[0], atol=1e-4)
    assert torch.equal(answers(pipe)[0], base[0])
    assert same(states(pipe), weights)
    assert not any(module._forward_pre_hooks for module in pipe.unet.modules())


def test_strength_zero_leaves_the_bits_alone_and_reads_no_file(tmp_path: Path) -> None:
    pipe = sd15()
    base = answers(pipe)
    with hypernetworks(pipe.unet, [(entry(tmp_path / "gone.pt", "hypernetwork"), 0.0)]):
        assert torch.equal(answers(pipe)[0], base[0])
        assert not any(module._forward_pre_hooks for module in pipe.unet.modules())


def test_half_precision_stays_half(tmp_path: Path) -> None:
    pipe = sd15().to(dtype=torch.bfloat16)
    hyper = saved(tmp_path / "h.pt", (24, 16))
    latents, text = torch.randn(1, 4, 8, 8).bfloat16(), torch.randn(1, 5, 24).bfloat16()
    with torch.no_grad(), hypernetworks(pipe.unet, [(hyper, 1.0)]):
        assert pipe.unet(latents, 5, text).sample.dtype == torch.bfloat16


def test_an_error_inside_takes_the_hooks_off(tmp_path: Path) -> None:
    pipe = sd15()
    with pytest.raises(KeyError), hypernetworks(pipe.unet, [(saved(tmp_path / "h.pt", (24,)), 1.0)]):
        raise KeyError
    assert not any(module._forward_pre_hooks for module in pipe.unet.modules())


class Bomb:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path(BOMB[0]),))


BOMB = [""]


def test_what_is_no_hypernetwork_is_refused_in_one_line_and_runs_nothing(tmp_path: Path) -> None:
    BOMB[0] = str(tmp_path / "went off")
    bad = tmp_path / "bad"
    good = pairs_of(saved(tmp_path / "good.pt", (24,)).path)
    missing = {24: ({k: v for k, v in good[24][0].items() if "bias" not in k}, good[24][1])}
    blank = {24: (good[24][0], {k: v * torch.nan for k, v in good[24][1].items()})}
    bad.mkdir()
    contents = {
        "bomb": {**good, "x": Bomb()}, "list": [1], "empty": {}, "half": {24: good[24][:1]}, "text": {24: "no"},
        "missing": missing, "blank": blank, "structure": {**good, "layer_structure": [1, 2, 3]},
        "words": {**good, "layer_structure": "abc"}, "activation": {**good, "activation_func": "bent"},
        "places": {**good, "activation_func": "relu"}, "width": {25: good[24]}, "negative": {-24: good[24]},
    }  # fmt: skip
    for name, content in contents.items():
        torch.save(content, bad / f"{name}.pt")
    (bad / "zero.pt").write_bytes(b"")
    (bad / "cut.pt").write_bytes(Path(tmp_path / "good.pt").read_bytes()[:-100])
    pipe = sd15()
    before = answers(pipe)
    for path in [*sorted(bad.iterdir()), bad / "gone.pt"]:
        with (
            pytest.raises(BadWeights) as caught,
            hypernetworks(pipe.unet, [(entry(tmp_path / "good.pt", "unknown"), 1.0), (entry(path, "unknown"), 1.0)]),
        ):
            pytest.fail("it was used")
        assert "\n" not in caught.value.message, path
        assert path.name in caught.value.message
        assert caught.value.hint
    assert not Path(BOMB[0]).exists()
    assert torch.equal(answers(pipe)[0], before[0])


def test_another_models_widths_are_told(tmp_path: Path) -> None:
    pipe = sd15()
    wrong = saved(tmp_path / "h.pt", (1024, 7))
    told = "made for widths 7, 1024, and this model has 16, 24, 32"
    with pytest.raises(BadWeights, match=told), hypernetworks(pipe.unet, [(wrong, 1.0)]):
        pytest.fail("it was used")
    lora = entry(Path(wrong.path), "lora")
    with pytest.raises(BadWeights, match="not a hypernetwork but a lora"), hypernetworks(pipe.unet, [(lora, 1.0)]):
        pytest.fail("it was used")
    hostile = entry(Path(wrong.path), "hypernetwork", "holds code: os.system")
    with pytest.raises(BadWeights, match="holds code"), hypernetworks(pipe.unet, [(hostile, 1.0)]):
        pytest.fail("it was used")

"""Each method's equation against sums written out by hand, and against loops where a hand would tire."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from generation.networks.deltas import Layer, bias_delta, delta, method_of

DRAW = torch.Generator().manual_seed(3)
W = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])  # [out 2, in 3]
CONV = torch.randn(4, 6, 3, 3, generator=DRAW)
LINEAR = torch.randn(8, 12, generator=DRAW)


def layer(tensors: dict[str, Tensor], **more: float) -> Layer:
    return Layer(method_of(tensors, lambda name: tensors[name].dim()), tensors, **more)


def rand(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=DRAW)


def close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, atol=1e-5)


UP, DOWN = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0, 0.0, -1.0]])


@pytest.mark.parametrize(("alpha", "times"), [(None, 1.0), (1.0, 1.0), (0.5, 0.5), (4.0, 4.0), (0.0, 1.0)])
def test_lora_is_up_times_down_times_alpha_over_rank(alpha: float | None, times: float) -> None:
    found = delta(layer({"lora_up": UP, "lora_down": DOWN}, alpha=alpha), W)
    assert torch.equal(found, times * torch.tensor([[3.0, 0.0, -1.0], [6.0, 0.0, -2.0]]))


def test_the_rank_divides_alpha_and_its_root_does_where_stabilised() -> None:
    tensors = {"lora_up": rand(2, 4), "lora_down": rand(4, 3)}
    product = tensors["lora_up"] @ tensors["lora_down"]
    assert close(delta(layer(tensors, alpha=2.0), W), product * 0.5)
    stabilised = Layer("lora", tensors, 2.0, rank_stabilised=True)
    assert close(delta(stabilised, W), product)
    assert close(delta(layer(tensors, alpha=2.0, factor=3.0), W), product * 1.5)


def test_the_first_directions_alone_keep_the_whole_ranks_scale() -> None:
    tensors = {"lora_up": rand(2, 4), "lora_down": rand(4, 3)}
    found = delta(layer(tensors, alpha=2.0), W, 3)
    assert close(found, tensors["lora_up"][:, :3] @ tensors["lora_down"][:3] * 0.5)
    assert torch.equal(delta(layer(tensors), W, 9), delta(layer(tensors), W))


def test_lora_of_convolutions() -> None:
    up, down = rand(4, 2, 1, 1), rand(2, 6, 3, 3)
    found = delta(layer({"lora_up": up, "lora_down": down}), CONV)
    assert close(found, torch.einsum("or,rnhw->onhw", up[:, :, 0, 0], down))
    # One after the other is what the trainer computed.
    picture = rand(1, 6, 5, 5)
    one = torch.nn.functional.conv2d(torch.nn.functional.conv2d(picture, down), up)
    assert torch.allclose(torch.nn.functional.conv2d(picture, found), one, atol=1e-4)
    point = rand(4, 6, 1, 1)
    linear = {"lora_up": rand(4, 2), "lora_down": rand(2, 6)}
    assert close(delta(layer(linear), point), (linear["lora_up"] @ linear["lora_down"])[..., None, None])
    spatial = {"lora_up": rand(8, 2, 1, 1), "lora_down": rand(2, 12, 1, 1)}
    assert close(delta(layer(spatial), LINEAR), spatial["lora_up"].flatten(1) @ spatial["lora_down"].flatten(1))


def test_cp_decomposition_has_its_kernel_in_the_middle() -> None:
    up, mid, down = rand(4, 2, 1, 1), rand(2, 2, 3, 3), rand(2, 6, 1, 1)
    found = delta(layer({"lora_up": up, "lora_mid": mid, "lora_down": down}, alpha=1.0), CONV)
    conv = torch.nn.functional.conv2d
    picture = rand(1, 6, 5, 5)
    one = conv(conv(conv(picture, down), mid), up) * 0.5
    assert torch.allclose(conv(picture, found), one, atol=1e-4)


def test_loha_multiplies_two_products_element_by_element() -> None:
    tensors = {
        "hada_w1_a": UP, "hada_w1_b": DOWN, "hada_w2_a": torch.tensor([[2.0], [1.0]]),
        "hada_w2_b": torch.tensor([[1.0, 5.0, 4.0]]),
    }  # fmt: skip
    found = delta(layer(tensors, alpha=0.5), W)
    assert torch.equal(found, 0.5 * torch.tensor([[6.0, 0.0, -8.0], [6.0, 0.0, -8.0]]))
    flat = {
        "hada_w1_a": rand(4, 2), "hada_w1_b": rand(2, 54), "hada_w2_a": rand(4, 2), "hada_w2_b": rand(2, 54),
    }  # fmt: skip
    product = (flat["hada_w1_a"] @ flat["hada_w1_b"]) * (flat["hada_w2_a"] @ flat["hada_w2_b"])
    assert close(delta(layer(flat), CONV), product.reshape(4, 6, 3, 3))


def test_loha_with_tucker_cores() -> None:
    tensors = {f"hada_w{n}_a": rand(2, 4) for n in (1, 2)} | {f"hada_w{n}_b": rand(2, 6) for n in (1, 2)}
    tensors |= {"hada_t1": rand(2, 2, 3, 3), "hada_t2": rand(2, 2, 3, 3)}
    sums = []
    for n in (1, 2):
        whole = torch.zeros(4, 6, 3, 3)
        for i in range(2):
            for j in range(2):
                outer = torch.outer(tensors[f"hada_w{n}_a"][i], tensors[f"hada_w{n}_b"][j])
                whole += outer[..., None, None] * tensors[f"hada_t{n}"][i, j]
        sums.append(whole)
    assert close(delta(layer(tensors, alpha=1.0), CONV), sums[0] * sums[1] * 0.5)


def kron(first: Tensor, second: Tensor) -> Tensor:
    """Kronecker's product entry by entry."""
    (a, b), (c, d) = first.shape, second.shape[:2]
    found = torch.zeros(a * c, b * d, *second.shape[2:])
    for i in range(a):
        for j in range(b):
            found[i * c : (i + 1) * c, j * d : (j + 1) * d] = first[i, j] * second
    return found


def test_lokr_of_every_form() -> None:
    whole = {"lokr_w1": rand(2, 3), "lokr_w2": rand(4, 4)}
    # Two whole factors have no rank, so that alpha says nothing.
    assert close(delta(layer(whole, alpha=7.0), LINEAR), kron(whole["lokr_w1"], whole["lokr_w2"]))
    half = {"lokr_w1": rand(2, 3), "lokr_w2_a": rand(4, 2), "lokr_w2_b": rand(2, 4)}
    second = half["lokr_w2_a"] @ half["lokr_w2_b"]
    assert close(delta(layer(half, alpha=1.0), LINEAR), kron(half["lokr_w1"], second) * 0.5)
    both = {"lokr_w1_a": rand(2, 3), "lokr_w1_b": rand(3, 3), "lokr_w2_a": rand(4, 3), "lokr_w2_b": rand(3, 4)}
    product = kron(both["lokr_w1_a"] @ both["lokr_w1_b"], both["lokr_w2_a"] @ both["lokr_w2_b"])
    assert close(delta(layer(both, alpha=1.0), LINEAR), product / 3)
    spatial = {"lokr_w1": rand(2, 3), "lokr_w2": rand(2, 2, 3, 3)}
    assert close(delta(layer(spatial), CONV), kron(spatial["lokr_w1"], spatial["lokr_w2"]))
    tucker = {"lokr_w1": rand(2, 3), "lokr_t2": rand(2, 2, 3, 3), "lokr_w2_a": rand(2, 2), "lokr_w2_b": rand(2, 2)}
    second = torch.einsum("ijhw,io,jn->onhw", tucker["lokr_t2"], tucker["lokr_w2_a"], tucker["lokr_w2_b"])
    assert close(delta(layer(tucker, alpha=1.0), CONV), kron(tucker["lokr_w1"], second) * 0.5)
    kernel = {"lokr_w1": rand(2, 3), "lokr_w2_a": rand(2, 5), "lokr_w2_b": rand(5, 2, 3, 3)}
    second = torch.einsum("or,rnhw->onhw", kernel["lokr_w2_a"], kernel["lokr_w2_b"])
    assert close(delta(layer(kernel), CONV), kron(kernel["lokr_w1"], second))
    flat = {**kernel, "lokr_w2_b": kernel["lokr_w2_b"].flatten(1)}
    assert close(delta(layer(flat), CONV), kron(kernel["lokr_w1"], second))


def test_ia3_multiplies_outputs_or_inputs() -> None:
    outputs = {"weight": torch.tensor([1.0, -1.0]), "on_input": torch.tensor(0)}
    assert torch.equal(delta(layer(outputs), W), torch.tensor([[1.0, 2.0, 3.0], [-4.0, -5.0, -6.0]]))
    inputs = {"weight": torch.tensor([1.0, 0.0, 2.0]), "on_input": torch.tensor(1)}
    assert torch.equal(delta(layer(inputs), W), torch.tensor([[1.0, 0.0, 6.0], [4.0, 0.0, 12.0]]))
    spatial = {"weight": rand(1, 4, 1, 1), "on_input": torch.tensor(0)}
    assert close(delta(layer(spatial), CONV), CONV * spatial["weight"].reshape(4, 1, 1, 1))
    with pytest.raises(ValueError, match="3 factors"):
        delta(layer({**inputs, "on_input": torch.tensor(0)}), W)


def test_glora_in_both_orders() -> None:
    a1, a2, b1, b2 = rand(12, 2), rand(2, 12), rand(8, 2), rand(2, 12)
    wanted = (LINEAR @ a1 @ a2 + b1 @ b2) * 0.5
    assert close(delta(layer({"a1": a1, "a2": a2, "b1": b1, "b2": b2}, alpha=1.0), LINEAR), wanted)
    assert close(delta(layer({"a1": a2, "a2": a1, "b1": b2, "b2": b1}, alpha=1.0), LINEAR), wanted)
    a1, a2, b1, b2 = rand(6, 2, 1, 1), rand(2, 6, 1, 1), rand(4, 2, 1, 1), rand(2, 6, 3, 3)
    inner = torch.einsum("ir,rj->ij", a1[..., 0, 0], a2[..., 0, 0])
    wanted = torch.einsum("oihw,ij->ojhw", CONV, inner) + torch.einsum("or,rnhw->onhw", b1[..., 0, 0], b2)
    assert close(delta(layer({"a1": a1, "a2": a2, "b1": b1, "b2": b2}), CONV), wanted)


def test_differences_are_added_as_they_are() -> None:
    assert torch.equal(delta(layer({"diff": W}, alpha=9.0), W), W)
    norm = layer({"w_norm": torch.tensor([1.0, 2.0]), "b_norm": torch.tensor([3.0, 4.0])})
    assert torch.equal(delta(norm, torch.zeros(2)), torch.tensor([1.0, 2.0]))
    found = bias_delta(norm, torch.zeros(2))
    assert torch.equal(found, torch.tensor([3.0, 4.0]))
    alone = layer({"diff_b": torch.tensor([3.0, 4.0])})
    assert alone.method == "bias"
    assert not delta(alone, W).any()
    both = layer({"lora_up": UP, "lora_down": DOWN, "lora_up_bias": torch.tensor([1.0, 1.0])}, alpha=2.0)
    found = bias_delta(both, torch.zeros(2))
    assert torch.equal(found, torch.tensor([2.0, 2.0]))


def test_oft_turns_rows_by_cayleys_rotation() -> None:
    # One block of two rows: Q = [[0, q], [-q, 0]] turns by the angle 2 atan(q).
    q = 0.5
    blocks = torch.tensor([[[0.0, q], [0.0, 0.0]]])
    cos, sin = (1 - q * q) / (1 + q * q), 2 * q / (1 + q * q)
    rotation = torch.tensor([[cos, sin], [-sin, cos]])
    found = W + delta(layer({"oft_blocks": blocks}), W)
    assert close(found, rotation.T @ W)
    assert torch.allclose(found.T @ found, W.T @ W, atol=1e-4)  # lengths and angles are kept
    scaled = layer({"oft_blocks": blocks, "rescale": torch.tensor([[2.0], [3.0]])})
    assert close(W + delta(scaled, W), torch.tensor([[2.0], [3.0]]) * (rotation.T @ W))
    # alpha bounds the norm of Q at alpha times the outputs: here 0.1 * 2, of sqrt(2) q.
    bound = 0.2 / 2**0.5
    cos, sin = (1 - bound**2) / (1 + bound**2), 2 * bound / (1 + bound**2)
    wanted = torch.tensor([[cos, sin], [-sin, cos]]).T @ W
    assert close(W + delta(layer({"oft_blocks": blocks}, alpha=0.1), W), wanted)


def test_oft_blocks_are_apart_and_convolutions_too() -> None:
    blocks = rand(2, 2, 2)
    found = CONV + delta(layer({"oft_blocks": blocks}), CONV)
    for n in range(2):
        skew = blocks[n] - blocks[n].T
        rotation = (torch.eye(2) + skew) @ torch.linalg.inv(torch.eye(2) - skew)
        rows = CONV[2 * n : 2 * n + 2].flatten(1)
        assert torch.allclose(found[2 * n : 2 * n + 2].flatten(1), rotation.T @ rows, atol=1e-5)


def test_boft_reaches_rows_further_apart_with_each_factor() -> None:
    blocks = rand(2, 2, 4, 4)
    found = LINEAR + delta(layer({"oft_blocks": blocks}), LINEAR)
    assert torch.allclose(found.T @ found, LINEAR.T @ LINEAR, atol=1e-4)
    turned = LINEAR.clone()
    for factor in range(2):
        apart = 2**factor * 2
        # Rows in pairs `apart` from each other, four rows a block.
        order = [c * 2 * apart + g * apart + k for c in range(8 // (2 * apart)) for k in range(apart) for g in range(2)]
        for block in range(2):
            skew = blocks[factor, block] - blocks[factor, block].T
            rotation = (torch.eye(4) + skew) @ torch.linalg.inv(torch.eye(4) - skew)
            rows = order[4 * block : 4 * block + 4]
            turned[rows] = rotation @ turned[rows]
    assert torch.allclose(found, turned, atol=1e-4)
    assert layer({"oft_blocks": blocks}).method == "boft"


def test_dora_brings_columns_or_rows_to_their_magnitude() -> None:
    pair = {"lora_up": UP, "lora_down": DOWN}
    merged = W + torch.tensor([[3.0, 0.0, -1.0], [6.0, 0.0, -2.0]])
    columns = torch.tensor([[1.0, 2.0, 3.0]])
    found = W + delta(layer({**pair, "dora_scale": columns}), W)
    assert close(found.norm(dim=0), columns[0])
    assert close(found, merged / merged.norm(dim=0) * columns)
    rows = torch.tensor([[5.0], [7.0]])
    found = W + delta(layer({**pair, "dora_scale": rows}), W)
    assert close(found, merged / merged.norm(dim=1, keepdim=True) * rows)
    # PEFT's magnitude is one number an output, without sides.
    assert close(W + delta(layer({**pair, "magnitude": rows[:, 0]}), W), found)
    with pytest.raises(ValueError, match="magnitudes"):
        delta(layer({**pair, "dora_scale": torch.ones(1, 5)}), W)


def test_dora_of_a_square_weight_goes_by_the_side_that_is_one() -> None:
    square, pair = rand(3, 3), {"lora_up": rand(3, 1), "lora_down": rand(1, 3)}
    merged, sizes = square + pair["lora_up"] @ pair["lora_down"], torch.tensor([1.0, 2.0, 3.0])
    found = square + delta(layer({**pair, "dora_scale": sizes[None]}), square)
    assert close(found, merged / merged.norm(dim=0) * sizes)
    found = square + delta(layer({**pair, "dora_scale": sizes[:, None]}), square)
    assert close(found, merged / merged.norm(dim=1, keepdim=True) * sizes[:, None])


def test_dora_of_a_convolution_and_of_another_method() -> None:
    tensors = {"hada_w1_a": rand(4, 2), "hada_w1_b": rand(2, 54), "hada_w2_a": rand(4, 2), "hada_w2_b": rand(2, 54)}
    merged = CONV + delta(layer(tensors), CONV)
    sizes = rand(1, 6, 1, 1).abs()
    found = CONV + delta(layer({**tensors, "dora_scale": sizes}), CONV)
    assert close(found.transpose(0, 1).flatten(1).norm(dim=1), sizes.flatten())
    length = merged.transpose(0, 1).flatten(1).norm(dim=1)[:, None, None]
    assert close(found, merged / length * sizes)
    by_output = rand(4, 1, 1, 1).abs()
    found = CONV + delta(layer({**tensors, "dora_scale": by_output}), CONV)
    assert close(found.flatten(1).norm(dim=1), by_output.flatten())


def test_an_inpainting_models_further_channels_stay() -> None:
    wide, change = rand(4, 9, 3, 3), rand(4, 4, 3, 3)
    found = delta(layer({"diff": change}), wide)
    assert torch.equal(found[:, :4], change)
    assert not found[:, 4:].any()
    with pytest.raises(ValueError, match=r"\[4, 4, 3, 3\] for a weight of \[4, 7, 3, 3\]"):
        delta(layer({"diff": change}), rand(4, 7, 3, 3))


def test_shapes_that_do_not_fit_are_never_forced() -> None:
    # As many numbers, but outputs for inputs.
    with pytest.raises(ValueError, match=r"\[3, 2\] for a weight of \[2, 3\]"):
        delta(layer({"diff": W.T}), W)
    for wrong in (
        {"lora_up": rand(2, 1), "lora_down": rand(1, 4)},
        {"lokr_w1": rand(2, 2), "lokr_w2": rand(2, 2)},
        {"oft_blocks": rand(3, 2, 2)},
        {"diff_b": rand(3), "diff": rand(2, 3)},
        {"hada_w1_a": rand(2, 1), "hada_w1_b": rand(1, 3), "hada_w2_a": rand(2, 1), "hada_w2_b": rand(1, 1)},
    ):
        bad = layer(wrong)
        for place in (W, W.to("meta")):
            with pytest.raises((ValueError, RuntimeError)):
                delta(bad, place)
                bias_delta(bad, place[:, 0])


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["lora_up"], "lora_down is missing"),
        (["lora_mid"], "is missing"),
        (["hada_w1_a", "hada_w1_b", "hada_w2_a"], "hada_w2_b is missing"),
        (["lokr_w1"], "lokr_w2 is missing"),
        (["lokr_w1", "lokr_w2_a"], "lokr_w2_b is missing"),
        (["weight"], "on_input is missing"),
        (["oft_R"], 'uses "oft_R"'),
        (["oft_diag"], 'uses "oft_diag"'),
        (["lora_up", "lora_down", "hada_w1_a"], 'uses "hada_w1_a"'),
        (["set_weight"], 'uses "set_weight"'),
        (["dora_scale"], "without directions"),
    ],
)
def test_half_a_method_or_an_unknown_one_is_named(names: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        method_of(names, lambda name: 3)

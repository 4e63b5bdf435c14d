"""LoRAs joined, resized, extracted and put into checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from merge_models import change, lora, models, run
from safetensors.torch import load_file, save_file

from generation import loading
from generation.catalogue import Catalogue
from generation.errors import BadWeights
from generation.merging.recipes import BadRecipe
from generation.networks.applied import Applied
from generation.networks.files import Files
from generation.networks.named import Use

QUERY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
CONV = "lora_unet_down_blocks_0_resnets_0_conv1"
TEXT = "lora_te_text_model_encoder_layers_0_mlp_fc1"
ONE = {QUERY: ((32, 32), 4, 2.0), CONV: ((32, 32, 3, 3), 3, 3.0), TEXT: ((64, 32), 2, 8.0)}
TWO = {QUERY: ((32, 32), 6, 6.0), CONV: ((32, 32, 3, 3), 2, 1.0)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lora(tmp_path / "one.safetensors", ONE, 1)
    lora(tmp_path / "two.safetensors", TWO, 2)
    return tmp_path


def both(folder: Path, place: str, one: float, two: float) -> torch.Tensor:
    found = one * change(folder / "one.safetensors", place)
    return found + two * change(folder / "two.safetensors", place) if place in TWO else found


def test_joined_end_to_end_nothing_is_lost(folder: Path) -> None:
    out = folder / "out.safetensors"
    made = run('concat_loras("one", "two", weights=[0.7, -0.3])', out, precision="fp32")
    for place in ONE:
        torch.testing.assert_close(change(out, place), both(folder, place, 0.7, -0.3), rtol=1e-5, atol=1e-8)
    ranks = {place: load_file(out)[f"{place}.lora_down.weight"].shape[0] for place in ONE}
    assert ranks == {QUERY: 10, CONV: 5, TEXT: 2} and made["ranks"] == [2, 10] and made["kept"] == 1.0


def test_the_products_of_halves_of_different_networks_are_not_in_it(folder: Path) -> None:
    """(A1 + A2)(B1 + B2) has two products that nobody trained."""
    same = {QUERY: ((32, 32), 4, 4.0)}
    lora(folder / "three.safetensors", same, 3)
    lora(folder / "four.safetensors", same, 4)
    run('concat_loras("three", "four")', folder / "out.safetensors", precision="fp32")
    right = change(folder / "three.safetensors", QUERY) + change(folder / "four.safetensors", QUERY)
    t, f = load_file(folder / "three.safetensors"), load_file(folder / "four.safetensors")
    up, down = (t[f"{QUERY}.lora_{h}.weight"].double() + f[f"{QUERY}.lora_{h}.weight"].double() for h in ("up", "down"))
    assert float((change(folder / "out.safetensors", QUERY) - right).norm() / right.norm()) < 1e-6
    assert float((up @ down - right).norm() / right.norm()) > 0.5


def test_by_singular_values_it_is_the_nearest_of_its_rank(folder: Path) -> None:
    out = folder / "out.safetensors"
    made = run('svd_loras("one", "two", weights=[1, 0.5], rank=3)', out, precision="fp32")
    lost = whole = 0.0
    for place in ONE:
        wanted = both(folder, place, 1, 0.5)
        sizes = torch.linalg.svdvals(wanted.flatten(1))
        error = (change(out, place) - wanted).norm()
        assert float(error) == pytest.approx(float(sizes[3:].norm()), rel=1e-3, abs=1e-6)
        lost, whole = lost + float(error) ** 2, whole + float(wanted.norm()) ** 2
    assert made["kept"] == pytest.approx((1 - lost / whole) ** 0.5, rel=1e-5)
    assert load_file(out)[f"{TEXT}.lora_down.weight"].shape[0] == 2  # there is no more


def test_the_whole_rank_is_the_sum_itself(folder: Path) -> None:
    run('svd_loras("one", "two", rank=64)', folder / "out.safetensors", precision="fp32")
    for place in ONE:
        torch.testing.assert_close(
            change(folder / "out.safetensors", place), both(folder, place, 1, 1), rtol=1e-4, atol=1e-7
        )


def test_resized_to_a_share_of_the_norm(folder: Path) -> None:
    out = folder / "out.safetensors"
    made = run('resize_lora("one", keep=0.8)', out, precision="fp32")
    for place in ONE:
        wanted = change(folder / "one.safetensors", place)
        sizes = torch.linalg.svdvals(wanted.flatten(1))
        shares = (sizes.square().cumsum(0) / sizes.square().sum()).sqrt()
        assert load_file(out)[f"{place}.lora_down.weight"].shape[0] == int((shares < 0.8).sum()) + 1
    assert 0.8 <= made["kept"] <= 1


def test_extracted_at_the_whole_rank_it_is_the_difference(tmp_path: Path) -> None:
    models(tmp_path, dtype=torch.float32)
    made = run('extract_lora("b", "a", rank=512, conv_rank=2000)', tmp_path / "out.safetensors", precision="fp32")
    a, b = (load_file(tmp_path / f"{name}.safetensors") for name in "ab")
    for stem, name in (
        (QUERY, "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"),
        (CONV, "model.diffusion_model.input_blocks.1.0.in_layers.2.weight"),
        (TEXT, "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight"),
    ):
        wanted = b[name].double() - a[name].double()
        torch.testing.assert_close(change(tmp_path / "out.safetensors", stem), wanted, rtol=1e-3, atol=1e-6)
    assert made["kept"] == pytest.approx(1, abs=1e-6) and 0 < made["outside"] < 1


def test_extracted_in_a_rank_it_is_the_best_and_says_what_is_kept(tmp_path: Path) -> None:
    models(tmp_path, dtype=torch.float32)
    made = run('extract_lora("b", "a", rank=4)', tmp_path / "out.safetensors", precision="fp32")
    name = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"
    a, b = (load_file(tmp_path / f"{one}.safetensors")[name].double() for one in "ab")
    sizes = torch.linalg.svdvals(b - a)
    assert float((change(tmp_path / "out.safetensors", QUERY) - b + a).norm()) == pytest.approx(
        float(sizes[4:].norm()), rel=1e-4
    )
    assert made["ranks"] == [4, 4] and 0.2 < made["kept"] < 0.9
    assert not [key for key in load_file(tmp_path / "out.safetensors") if "resnets" in key]


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_a_lora_in_a_checkpoint_is_what_a_render_puts_there(tmp_path: Path, family: str) -> None:
    models(tmp_path, family, torch.float32)
    run('extract_lora("b", "a", rank=2, conv_rank=2)', tmp_path / "net.safetensors")
    run('add_lora("a", "net", weight=0.8, text=-0.5)', tmp_path / "out.safetensors")
    catalogue = Catalogue([tmp_path])
    pipes = [loading.load(catalogue.find(name), "cpu", torch.float32) for name in ("a", "out")]
    before = {name: value.clone() for name, value in pipes[0].unet.state_dict().items()}
    Applied(pipes[0], family, Files()).set([Use(catalogue.find("net"), 0.8, -0.5)])
    changed = 0
    for part in ("unet", "text_encoder", "text_encoder_2"):
        if getattr(pipes[0], part, None) is None:
            continue
        mine, theirs = (getattr(pipe, part).state_dict() for pipe in pipes)
        for name, value in mine.items():
            torch.testing.assert_close(theirs[name], value, rtol=1e-6, atol=1e-7, msg=f"{part} {name}")
            changed += part == "unet" and not torch.equal(before[name], value)
    assert changed > 50


def test_a_lycoris_goes_into_a_checkpoint_too(tmp_path: Path) -> None:
    models(tmp_path, dtype=torch.float32)
    draw = torch.Generator().manual_seed(5)
    layers = {f"{QUERY}.{name}": torch.randn(*shape, generator=draw) for name, shape in (
        ("hada_w1_a", (32, 2)), ("hada_w1_b", (2, 32)), ("hada_w2_a", (32, 2)), ("hada_w2_b", (2, 32)))}  # fmt: skip
    save_file({**layers, f"{QUERY}.alpha": torch.tensor(1.0)}, tmp_path / "net.safetensors")
    run('add_lora("a", "net")', tmp_path / "out.safetensors")
    name = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"
    one = layers[f"{QUERY}.hada_w1_a"] @ layers[f"{QUERY}.hada_w1_b"]
    two = layers[f"{QUERY}.hada_w2_a"] @ layers[f"{QUERY}.hada_w2_b"]
    wanted = load_file(tmp_path / "a.safetensors")[name] + 0.5 * one * two
    torch.testing.assert_close(load_file(tmp_path / "out.safetensors")[name], wanted, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_joined(folder: Path) -> None:
    draw = torch.ones(32, 1)
    save_file({**load_file(folder / "one.safetensors"), f"{QUERY}.dora_scale": draw}, folder / "dora.safetensors")
    lora(folder / "other.safetensors", {QUERY: ((32, 48), 4, 4.0)}, 7)
    for recipe, error, said in (
        ('concat_loras("one", "dora")', BadWeights, "no plain LoRA"),
        ('svd_loras("one", "dora", rank=2)', BadWeights, "DoRA"),
        ('concat_loras("one", "other")', BadWeights, "other shapes"),
        ('svd_loras("one", "other", rank=2)', BadWeights, "other shapes"),
        ('concat_loras("one", "nobody")', BadRecipe, 'no model "nobody"'),
    ):
        with pytest.raises(error, match=said):
            run(recipe, folder / "out.safetensors")
    assert not [path for path in folder.iterdir() if "out" in path.name]


def test_two_that_are_the_same_have_no_difference(tmp_path: Path) -> None:
    models(tmp_path)
    with pytest.raises(BadWeights, match="are the same"):
        run('extract_lora("a", "a")', tmp_path / "out.safetensors")

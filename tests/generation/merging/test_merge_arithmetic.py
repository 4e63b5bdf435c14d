"""Merges of whole checkpoints, written and read again, against sums written out here."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import torch
from merge_models import Tensors, models, run, variant
from original_files import write
from safetensors.torch import load_file, save_file

from generation.merging import streams

CROSS = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
MIDDLE = "model.diffusion_model.middle_block.1.proj_in.weight"
TEXT = "cond_stage_model.transformer.text_model.encoder.layers.1.mlp.fc1.weight"
LAST = "model.diffusion_model.out.2.weight"
TOKENS = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
NAMES = (CROSS, MIDDLE, TEXT, LAST, TOKENS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models(tmp_path_factory.mktemp("models"), dtype=torch.float32)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token embedding lies in a dozen pieces."""
    monkeypatch.setattr(streams, "PIECE", 1 << 17)


def merged(folder: Path, tmp_path: Path, recipe: str) -> tuple[Tensors, Tensors, Tensors, Tensors]:
    """(result, a, b, c) in fp64."""
    output = tmp_path / "out.safetensors"
    paths = {name: folder / f"{name}.safetensors" for name in "abc"}
    for name, path in paths.items():
        recipe = recipe.replace(f'"{name}"', f'"{path}"')
    run(recipe, output)
    loaded = [load_file(path) for path in (output, *paths.values())]
    assert all(one.keys() == loaded[0].keys() for one in loaded)
    found = [{name: one[name].double() for name in NAMES} for one in loaded]
    return found[0], found[1], found[2], found[3]


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_weighted_sum(folder: Path, tmp_path: Path) -> None:
    out, a, b, _ = merged(folder, tmp_path, 'weighted_sum("a", "b", alpha=0.3)')
    for name in NAMES:
        close(out[name], 0.7 * a[name] + 0.3 * b[name])


def test_block_weights_reach_the_blocks_they_name(folder: Path, tmp_path: Path) -> None:
    recipe = 'weighted_sum("a", "b", alpha={"BASE": 0.1, "IN01": 0.2, "M00": 0.8, "OUT11": 1, "default": 0})'
    out, a, b, _ = merged(folder, tmp_path, recipe)
    for name, alpha in ((TEXT, 0.1), (CROSS, 0.2), (MIDDLE, 0.8), (LAST, 1.0)):
        close(out[name], (1 - alpha) * a[name] + alpha * b[name])


def test_add_difference(folder: Path, tmp_path: Path) -> None:
    out, a, b, c = merged(folder, tmp_path, 'add_difference("a", "b", "c", alpha=0.6)')
    for name in NAMES:
        close(out[name], a[name] + 0.6 * (b[name] - c[name]))


def test_train_difference(folder: Path, tmp_path: Path) -> None:
    """supermerger's trainDifference: the difference times 1.8 and the share that a lies away from b."""
    out, a, b, c = merged(folder, tmp_path, 'train_difference("a", "b", "c", alpha=0.5)')
    for name in NAMES:
        far, learnt = (b[name] - a[name]).abs(), (b[name] - c[name]).abs()
        share = torch.where(far + learnt > 0, far / (far + learnt), 0.0)
        close(out[name], a[name] + 0.5 * 1.8 * share * (b[name] - c[name]))


def test_slerp_turns_and_mixes_lengths(folder: Path, tmp_path: Path) -> None:
    out, a, b, _ = merged(folder, tmp_path, 'slerp("a", "b", alpha=0.25)')
    for name in NAMES:
        one, two = a[name].norm(), b[name].norm()
        assert float(out[name].norm()) == pytest.approx(float(0.75 * one + 0.25 * two), rel=1e-6)
        whole = torch.arccos((a[name] / one * (b[name] / two)).sum())
        part = torch.arccos((a[name] / one * (out[name] / out[name].norm())).sum().clamp(max=1))
        assert float(part) == pytest.approx(0.25 * float(whole), rel=1e-3)


def test_slerp_of_the_same_is_the_same(folder: Path, tmp_path: Path) -> None:
    out, a, _, _ = merged(folder, tmp_path, 'slerp("a", "a", alpha=0.25)')
    for name in NAMES:
        close(out[name], a[name])


@pytest.mark.parametrize("vote", ["mass", "count"])
def test_ties_trims_elects_and_means(folder: Path, tmp_path: Path, vote: str) -> None:
    out, a, b, c = merged(folder, tmp_path, f'ties("a", "b", "c", alpha=0.9, density=0.25, vote="{vote}")')
    for name in NAMES:
        changes = []
        for other in (b, c):
            change = (other[name].float() - a[name].float()).double().numpy().copy()
            flat = change.reshape(-1)
            order = numpy.argsort(numpy.abs(flat), kind="stable")
            flat[order[: int(0.75 * flat.size)]] = 0
            changes.append(change)
        votes = [numpy.sign(change) for change in changes] if vote == "count" else changes
        sign = numpy.sign(votes[0] + votes[1])
        agreed = [numpy.where((numpy.sign(change) == sign) & (change != 0), change, 0) for change in changes]
        count = sum((one != 0).astype(float) for one in agreed)
        close(out[name], a[name] + 0.9 * torch.from_numpy(sum(agreed) / numpy.maximum(count, 1)))


def test_dare_drops_and_scales_up(folder: Path, tmp_path: Path) -> None:
    out, a, b, _ = merged(folder, tmp_path, 'dare("a", "b", alpha=0.5, drop=0.75, seed=3)')
    kept = total = 0
    for name in NAMES:
        change, whole = out[name] - a[name], 0.5 * 4 * (b[name] - a[name])
        there = change.abs() > whole.abs() / 2
        torch.testing.assert_close(change[there], whole[there], rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(change[~there], torch.zeros_like(change[~there]), rtol=0, atol=1e-6)
        kept, total = kept + int(there.sum()), total + there.numel()
    assert abs(kept / total - 0.25) < 5 * (0.25 * 0.75 / total) ** 0.5


def test_dare_of_several_drops_other_entries_of_each(folder: Path, tmp_path: Path) -> None:
    """Were the same dropped of both, the sum of b and minus b would be a again."""
    one, two = load_file(folder / "a.safetensors"), load_file(folder / "b.safetensors")
    opposite = {name: 2 * value - two[name] if value.is_floating_point() else value for name, value in one.items()}
    save_file(opposite, tmp_path / "d.safetensors")
    recipe = f'dare("a", "b", "{tmp_path}/d.safetensors", drop=0.5, combine="sum")'
    out, a, b, _ = merged(folder, tmp_path, recipe)
    moved = ((out[MIDDLE] - a[MIDDLE]).abs() > (b[MIDDLE] - a[MIDDLE]).abs()).double().mean()
    assert 0.4 < float(moved) < 0.6


def test_dare_is_the_same_again_and_another_with_another_seed(folder: Path, tmp_path: Path) -> None:
    first = merged(folder, tmp_path / "1", 'dare("a", "b", "c", combine="mean", seed=1)')[0]
    again = merged(folder, tmp_path / "2", 'dare("a", "b", "c", combine="mean", seed=1)')[0]
    other = merged(folder, tmp_path / "3", 'dare("a", "b", "c", combine="mean", seed=2)')[0]
    assert torch.equal(first[MIDDLE], again[MIDDLE]) and not torch.equal(first[MIDDLE], other[MIDDLE])


def test_dare_with_ties(folder: Path, tmp_path: Path) -> None:
    out, a, b, c = merged(folder, tmp_path, 'dare("a", "b", "c", drop=0.5, combine="ties")')
    # Each entry is nothing, one of the differences doubled, or the mean of both doubled where they agree.
    one, two = 2 * (b[MIDDLE] - a[MIDDLE]), 2 * (c[MIDDLE] - a[MIDDLE])
    change = out[MIDDLE] - a[MIDDLE]
    nearest = torch.stack([torch.zeros_like(one), one, two, (one + two) / 2]).sub(change).abs().min(0).values
    assert float(nearest.max()) < 1e-6
    assert 0.1 < float((change.abs() < 1e-7).double().mean()) < 0.4


def test_recipes_nest(folder: Path, tmp_path: Path) -> None:
    recipe = 'x = weighted_sum("a", "b", alpha=0.5)\ny = add_difference(x, "c", "a")\nslerp(y, y)'
    out, a, b, c = merged(folder, tmp_path, recipe)
    for name in NAMES:
        close(out[name], (a[name] + b[name]) / 2 + c[name] - a[name])


def test_an_inpainting_model_takes_a_difference_of_plain_ones(tmp_path: Path) -> None:
    """The recipe by which any model becomes an inpainting one: inpainting + (model - base)."""
    write(tmp_path / "i.safetensors", "sd15-inpainting", dtype=torch.float32)
    a = write(tmp_path / "a.safetensors", "sd15", dtype=torch.float32)
    b = variant(tmp_path / "b.safetensors", a, 1)
    run('add_difference("i", "b", "a")', tmp_path / "out.safetensors")
    first = "model.diffusion_model.input_blocks.0.0.weight"
    out, i, one, two = (load_file(p)[first] for p in (tmp_path / "out.safetensors", tmp_path / "i.safetensors", b, a))
    assert out.shape[1] == 9 and torch.equal(out[:, 4:], i[:, 4:])
    torch.testing.assert_close(out[:, :4], i[:, :4] + one - two, rtol=1e-5, atol=1e-7)


def test_another_vae_is_put_in_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    prefix = "first_stage_model."
    whole = load_file(folder / "a.safetensors")
    vae = {name.removeprefix(prefix): value * 2 for name, value in whole.items() if name.startswith(prefix)}
    save_file(vae, tmp_path / "sweet.vae.safetensors")
    run(f'bake_vae("{folder}/a.safetensors", "{tmp_path}/sweet.vae.safetensors")', tmp_path / "out.safetensors")
    out, a = load_file(tmp_path / "out.safetensors"), load_file(folder / "a.safetensors")
    for name, value in a.items():
        assert torch.equal(out[name], value * 2 if name.startswith("first_stage_model.") else value), name


def test_what_a_model_lacks_stays_the_firsts(folder: Path, tmp_path: Path) -> None:
    a = load_file(folder / "a.safetensors")
    b = load_file(folder / "b.safetensors")
    save_file(
        {name: value for name, value in b.items() if name != MIDDLE} | {"more": torch.ones(3)},
        tmp_path / "b.safetensors",
    )
    made = run(f'weighted_sum("{folder}/a.safetensors", "{tmp_path}/b.safetensors")', tmp_path / "out.safetensors")
    out = load_file(tmp_path / "out.safetensors")
    assert torch.equal(out[MIDDLE], a[MIDDLE]) and "more" not in out
    close(out[CROSS].double(), (a[CROSS].double() + b[CROSS].double()) / 2)
    assert any(MIDDLE in note for note in made["notes"]) and any("more" in note for note in made["notes"])


def test_sdxl_has_its_own_names(tmp_path: Path) -> None:
    models(tmp_path, "sdxl", torch.float16)
    run('weighted_sum("a", "b", alpha={"M00": 1, "default": 0})', tmp_path / "out.safetensors")
    out, a, b = (load_file(tmp_path / f"{name}.safetensors") for name in ("out", "a", "b"))
    for name, value in out.items():
        assert torch.equal(value, (b if ".middle_block." in name else a)[name]), name

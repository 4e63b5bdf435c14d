"""The whole way of a merge: what is told before, what is written, what stops it, and that nothing half is left."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from merge_models import lora, models, run
from original_files import write
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from generation.catalogue import BUNDLED, Catalogue
from generation.errors import BadWeights, GenerationError
from generation.merging import streams, tally
from generation.merging.running import merge
from generation.merging.sources import RECIPE, Source, planned, source

SUM = 'weighted_sum("a", "b", alpha=0.25)'
MIDDLE = "model.diffusion_model.middle_block.1.proj_in.weight"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    for path in made.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def texts(path: Path) -> dict[str, str]:
    with safe_open(str(path), "pt") as file:
        return dict(file.metadata())


def test_the_result_says_what_it_is_and_can_be_made_again(folder: Path) -> None:
    told = run(SUM, folder / "out.safetensors")
    assert (told["method"], told["family"], told["bytes"]) == (
        "weighted_sum",
        "sd15",
        (folder / "out.safetensors").stat().st_size,
    )
    assert told["verified"]["sampled"] >= 24 and told["verified"]["nan"] == 0 and told["verified"]["render"] is None
    said = texts(folder / "out.safetensors")
    assert said["modelspec.architecture"] == "stable-diffusion-v1" and said["modelspec.merged_from"] == "a, b"
    assert 'merge "weighted_sum"' in said["mecha_recipe"] and json.loads(said[RECIPE])["recipe"] == SUM
    again = source(str(folder / "out.safetensors"))
    merge(again, folder / "again.safetensors", Catalogue([folder]))
    one, two = load_file(folder / "again.safetensors"), load_file(folder / "out.safetensors")
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_a_replay_says_when_an_input_is_another(folder: Path) -> None:
    run(SUM, folder / "out.safetensors")
    (folder / "b.safetensors").unlink()
    shutil.copyfile(folder / "c.safetensors", folder / "b.safetensors")
    told = merge(source(str(folder / "out.safetensors")), folder / "again.safetensors", Catalogue([folder]))
    assert len(told["notes"]) == 1 and told["notes"][0].startswith("b is not what it was")


def test_a_dry_run_reads_no_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.merging.weights.safe_open", None)
    told = planned(Source(SUM), Catalogue([folder])).to_json("fp32")
    held = load_file(folder / "a.safetensors")
    assert told["tensors"] == len(held) and told["family"] == "sd15" and told["dtype"] == "F32"
    assert told["bytes"] == sum(v.numel() * (4 if v.is_floating_point() else 8) for v in held.values())
    assert told["missing"] == told["extra"] == []


@pytest.mark.parametrize(
    ("precision", "dtype"), [("", torch.float16), ("bf16", torch.bfloat16), ("fp32", torch.float32)]
)
def test_the_number_format(folder: Path, precision: str, dtype: torch.dtype) -> None:
    run(SUM, folder / "out.safetensors", precision=precision)
    assert load_file(folder / "out.safetensors")[MIDDLE].dtype == dtype


def test_folders_are_merged_part_by_part_and_rendered(tmp_path: Path) -> None:
    if not (BUNDLED / "model_index.json").is_file():
        pytest.skip("the demo checkpoint is not here")
    from generation.engine import Engine

    catalogue = Catalogue([tmp_path])
    told = merge(Source('weighted_sum("atelier-demo", "atelier-demo")'), tmp_path / "out", catalogue,
                 engine=Engine(catalogue, device="cpu"))  # fmt: skip
    assert told["verified"]["render"] and not list(tmp_path.glob(".*"))
    for file in BUNDLED.rglob("*.safetensors"):
        mine, theirs = load_file(tmp_path / "out" / file.relative_to(BUNDLED)), load_file(file)
        assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
    catalogue.refresh()
    assert catalogue.find("out").problem == "" and source(str(tmp_path / "out")).inputs


class Stopped(Exception):
    pass


def test_a_cancel_leaves_no_half_file(folder: Path) -> None:
    counts = {"left": 0}

    def check() -> None:
        counts["left"] -= 1
        if not counts["left"]:
            raise Stopped

    before = sorted(folder.iterdir())
    for limit in (1, 200, 700):
        counts["left"] = limit
        with pytest.raises(Stopped):
            run(SUM, folder / "out.safetensors", check=check)
        assert sorted(folder.iterdir()) == before


def test_a_merge_that_is_wrong_is_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = streams.WeightedSum.mixed

    def wrong(self: Any, name: str, parts: Any, start: int) -> torch.Tensor:
        return right(self, name, parts, start) * 1.01

    monkeypatch.setattr(streams.WeightedSum, "mixed", wrong)
    before = sorted(folder.iterdir())
    with pytest.raises(BadWeights, match="the merge is wrong at"):
        run(SUM, folder / "out.safetensors")
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("recipe", [
    SUM, 'add_difference("a", "b", "c")', 'train_difference("a", "b", "c")', 'slerp("a", "b")',
    'ties("a", "b", "c", density=0.2)', 'dare("a", "b", "c")',
])  # fmt: skip
def test_memory_stays_below_one_and_a_half_of_the_largest_group(
    folder: Path, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group: one tensor of every input, in the working format. Counted, not measured: bytes of living storages."""
    monkeypatch.setattr(streams, "PIECE", 1 << 16)
    told = run(recipe, folder / "out.safetensors")
    used = len(planned(Source(recipe), Catalogue([folder])).entries)
    largest = max(value.numel() for value in load_file(folder / "a.safetensors").values())
    assert 0 < told["peak_bytes"] <= 1.5 * used * largest * 4


def test_the_tally_counts_what_lives() -> None:
    with tally.Tally() as counted:
        one = torch.zeros(1000)
        two = one + 1
        del one
        three = two.view(10, 100)[1:]
        four = torch.ones(500)
    assert counted.peak == 8000 and three.shape[0] + four.shape[0] == 509


def poisoned(path: Path) -> None:
    class Run:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
            import os

            return os.system, ("true",)

    with path.open("wb") as file:
        pickle.dump({"state_dict": Run()}, file)


def test_what_cannot_be_merged_is_one_line_and_no_file(folder: Path) -> None:
    a = load_file(folder / "a.safetensors")
    whole = (folder / "a.safetensors").read_bytes()
    (folder / "short.safetensors").write_bytes(whole[: len(whole) // 2])
    (folder / "noise.safetensors").write_bytes(b"\x07" * 4000)
    (folder / "nothing.safetensors").write_bytes(b"")
    poisoned(folder / "code.ckpt")
    save_file({**a, MIDDLE: a[MIDDLE] * float("nan")}, folder / "black.safetensors")
    save_file({**a, MIDDLE: a[MIDDLE] * 0 + 60000}, folder / "bright.safetensors")
    save_file({**a, MIDDLE: a[MIDDLE][:-1].contiguous()}, folder / "shape.safetensors")
    few = {name: value for name, value in a.items() if "model.input_blocks" in name and "attn" not in name}
    save_file({**few, MIDDLE: a[MIDDLE]}, folder / "few.safetensors")
    alien = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    save_file({**few, alien: torch.ones(32, 555)}, folder / "whose.safetensors")
    write(folder / "xl.safetensors", "sdxl", dtype=torch.float16)
    lora(folder / "net.safetensors", {"lora_unet_down_blocks_0_attentions_0_proj_in": ((32, 32), 2, 2.0)}, 1)
    lora(folder / "strange.safetensors", {"lora_unet_nowhere_to_q": ((32, 32), 2, 2.0)}, 1)
    save_file(
        {"encoder.conv_in.weight": torch.ones(4, 3, 3, 3), "decoder.up.0.x": torch.ones(2)},
        folder / "half.vae.safetensors",
    )
    Path(folder / "words.txt").write_text("nothing here", "utf-8")
    output = folder / "out.safetensors"
    before = sorted(folder.iterdir())
    cases = {
        'weighted_sum("a", "short")': "cut short",
        'weighted_sum("a", "noise")': "claims",
        'weighted_sum("a", "nothing")': "cut short",
        'weighted_sum("a", "code")': "code",
        'weighted_sum("a", "black")': "no numbers",
        'add_difference("bright", "bright", "a", alpha=9)': "too large for F16",
        'weighted_sum("a", "shape")': "is [",
        'weighted_sum("a", "few")': "of the",
        'weighted_sum("a", "whose")': "unknown family",
        'weighted_sum("a", "xl")': "SDXL",
        'weighted_sum("a", "net")': "not a",
        'weighted_sum("a", "atelier-demo")': "small SD",
        'weighted_sum("a", "missing")': 'no model "missing"',
        'weighted_sum("a", "words.txt")': "no model",
        'weighted_sum("a", "b", alpha=[0.5])': "26 blocks",
        'weighted_sum("a", "b", alpha={"IN12": 1})': "no block",
        'add_lora("a", "b")': "not a LoRA",
        'add_lora("xl", "net")': "SD 1.5",
        'add_lora("a", "strange")': "no layer of",
        'add_lora("a", "short")': "cut short",
        'bake_vae("a", "net")': "not a VAE",
        'bake_vae("a", "half.vae")': "lacks",
        'extract_lora("a", "xl")': "SDXL",
        'concat_loras("net", "a")': "not a LoRA",
        'resize_lora("net")': "needs a rank",
        'weighted_sum("a")': "takes 2",
    }
    for recipe, said in cases.items():
        with pytest.raises(GenerationError) as caught:
            run(recipe, output)
        message = f"{caught.value.message}. {caught.value.hint}"
        assert said in message and "\n" not in message and caught.value.hint, (recipe, message)
        assert sorted(folder.iterdir()) == before, recipe


def test_outputs_that_cannot_be(folder: Path) -> None:
    run(SUM, folder / "out.safetensors")
    kept = (folder / "out.safetensors").read_bytes()
    for name, said in (
        ("out.safetensors", "there already"), ("a.safetensors", "recipe's inputs"), ("x.ckpt", "not end"),
    ):  # fmt: skip
        with pytest.raises(GenerationError, match=said):
            run(SUM, folder / name)
    with pytest.raises(GenerationError, match="cannot be written"):
        merge(Source(SUM), folder / "out.safetensors" / "x.safetensors", Catalogue([folder]))
    with pytest.raises(GenerationError, match="inputs"):
        run(SUM, folder / "a.safetensors", force=True)
    assert (folder / "out.safetensors").read_bytes() == kept
    run('weighted_sum("a", "b", alpha=1)', folder / "out.safetensors", force=True)
    assert (folder / "out.safetensors").read_bytes() != kept


def test_where_recipes_come_from(folder: Path) -> None:
    (folder / "mine.txt").write_text(f"# a comment\n{SUM}\n", "utf-8")
    assert source(str(folder / "mine.txt")).folder == folder and source(SUM).text == SUM
    for given, said in (
        ("nobody", "no recipe"), (str(folder / "a.safetensors"), "not made by"), (str(folder), "not made by"),
    ):  # fmt: skip
        with pytest.raises(GenerationError, match=said):
            source(given)
    (folder / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GenerationError, match="cannot be read"):
        source(str(folder / "bytes.txt"))

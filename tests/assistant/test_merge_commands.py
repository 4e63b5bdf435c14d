"""`atelier merge`: what it prints, what it refuses, and the job behind it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from assistant.cli import main
from assistant.jobs import HANDLERS
from generation.merging import METHODS

QUERY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"


def network(path: Path, seed: int) -> Path:
    draw = torch.Generator().manual_seed(seed)
    up, down = torch.randn(320, 2, generator=draw), torch.randn(2, 320, generator=draw)
    tensors = {"lora_up.weight": up, "lora_down.weight": down, "alpha": torch.tensor(2.0)}
    tensors = {f"{QUERY}.{name}": value for name, value in tensors.items()}
    save_file(tensors, path)
    return path


def test_two_networks_by_a_line_and_again_by_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = network(tmp_path / "one.safetensors", 1), network(tmp_path / "two.safetensors", 2)
    home = ["--home", str(tmp_path / "home"), "--json"]
    recipe = f'concat_loras("{one}", "{two}", weights=[1, 0.5])'
    assert main([*home, "merge", recipe, "-o", str(tmp_path / "out.safetensors")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (
        told["ranks"] == [4, 4]
        and told["verified"]["sampled"] == 1
        and told["path"] == str(tmp_path / "out.safetensors")
    )
    again = str(tmp_path / "again.safetensors")
    assert main([*home, "merge", told["path"], "-o", again, "--precision", "fp32"]) == 0
    tensors = load_file(again)
    change = tensors[f"{QUERY}.lora_up.weight"] @ tensors[f"{QUERY}.lora_down.weight"] * (tensors[f"{QUERY}.alpha"] / 4)
    a, b = load_file(one), load_file(two)
    wanted = sum(w * t[f"{QUERY}.lora_up.weight"] @ t[f"{QUERY}.lora_down.weight"] for w, t in ((1, a), (0.5, b)))
    torch.testing.assert_close(change, wanted, rtol=1e-4, atol=1e-4)


def test_a_dry_run_and_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = network(tmp_path / "one.safetensors", 1)
    assert main(["--home", str(tmp_path), "--json", "merge", f'resize_lora("{one}", rank=1)', "--dry-run"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["gives"] == "lora" and told["inputs"][0]["path"] == str(one) and told["bytes"] is None
    assert main(["--home", str(tmp_path), "merge", "--list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in METHODS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["weighted_sum('a', b)", "-o", "x.safetensors"], 'line 1, column 19: nothing is named "b"'),
        (["nobody", "-o", "x.safetensors"], 'no recipe "nobody"'),
        (["", "-o", "x.safetensors"], "empty"),
        (["weighted_sum('atelier-demo', 'atelier-demo')"], "no file to go to"),
    ],
)
def test_one_line_of_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["--home", str(tmp_path), "merge", *arguments]) == 2
    printed = capsys.readouterr().err
    assert said in printed and len(printed.strip().splitlines()) == 1


def test_the_job_is_durable_and_in_the_studio() -> None:
    assert (HANDLERS["merge"].lane, HANDLERS["merge"].durable) == ("studio", True)

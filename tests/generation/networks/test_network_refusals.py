"""Networks that are not for the model: refused in one line before anything changes; what is left out is counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from network_models import entry, kohya, peft, same, saved, sd15, sdxl, states, targets

from generation.catalogue import PICKLE
from generation.errors import BadWeights
from generation.networks.applied import Applied
from generation.networks.named import Use


def refusals(tmp_path: Path) -> dict[str, tuple[Use, str]]:
    """Uses that a narrow SD 1.5 of text width 768 must refuse, with words of the message."""
    fitting = sd15(768)
    wide, double = kohya(sdxl()), kohya(sd15(1024))
    damaged = saved(tmp_path / "torn.safetensors", kohya(fitting))
    Path(damaged.entry.path).write_bytes(Path(damaged.entry.path).read_bytes()[:-9])
    blank = {f"{name}": torch.full_like(t, torch.nan) if "down" in name else t for name, t in kohya(fitting).items()}
    other = kohya(fitting)
    key = next(name for name in reversed(other) if "mid_block" in name and name.endswith("up.weight"))
    other[key] = other[key][:-1]
    flux = {"lora_unet_double_blocks_0_img_attn_proj.lora_up.weight": torch.ones(2, 1)}
    flux |= {"lora_unet_double_blocks_0_img_attn_proj.lora_down.weight": torch.ones(1, 2)}
    flux |= {name: t for name, t in kohya(fitting).items() if name.startswith("lora_te_")}
    strange = {"unet.a.lora_A.weight": torch.ones(1, 2), "unet.a.lora_B.weight": torch.ones(2, 1)}
    return {
        "sdxl": (saved(tmp_path / "xl.safetensors", wide), "made for sdxl, and this model is sd15"),
        "sd2": (saved(tmp_path / "two.safetensors", double), "made for sd2, and this model is sd15"),
        "flux": (saved(tmp_path / "flux.safetensors", flux), "made for Flux, and this model is sd15"),
        "shape": (saved(tmp_path / "shape.safetensors", other), "does not fit this model at unet.mid_block"),
        "strange": (saved(tmp_path / "strange.safetensors", strange), "has no layer of this model"),
        "nan": (saved(tmp_path / "nan.safetensors", blank), "no numbers"),
        "torn": (damaged, "cannot be read"),
        "gone": (Use(entry(tmp_path / "gone.safetensors")), "cannot be read"),
        "kind": (Use(entry(Path(damaged.entry.path), "vae")), "is not a LoRA but a vae"),
        "problem": (Use(entry(Path(damaged.entry.path), problem="holds code: os.system")), "holds code: os.system"),
    }  # fmt: skip


def test_what_does_not_fit_is_refused_before_anything_changes(tmp_path: Path) -> None:
    pipe = sd15(768)
    good = saved(tmp_path / "good.safetensors", kohya(pipe))
    for former in ((), (replace(good, unet=0.5),)):
        applied = Applied(pipe, "sd15")
        applied.set(former)
        before = states(pipe)
        for name, (use, words) in refusals(tmp_path).items():
            with pytest.raises(BadWeights, match=words) as caught:
                applied.set([good, use])
            assert "\n" not in caught.value.message, name
            assert caught.value.hint
            assert same(states(pipe), before), name
            assert applied.uses == former
        applied.clear()
        assert same(states(pipe), states(sd15(768)))


def test_self_attention_alone_tells_sdxl_by_its_depth(tmp_path: Path) -> None:
    # Widths of 640 and 1280 are SD 1.5's too: by shape alone most of this would fit.
    pipe = sd15(768)
    name = "lora_unet_input_blocks_1_1_transformer_blocks_{}_attn1_to_q"
    tensors = {}
    for depth in (0, 1):
        tensors |= {f"{name.format(depth)}.lora_up.weight": torch.ones(16, 1)}
        tensors |= {f"{name.format(depth)}.lora_down.weight": torch.ones(1, 16)}
    with pytest.raises(BadWeights, match="made for sdxl, and this model is sd15"):
        Applied(pipe, "sd15").set([saved(tmp_path / "n.safetensors", tensors)])
    shallow = {key: t for key, t in tensors.items() if "blocks_0_" in key}
    Applied(pipe, "sd15").set([saved(tmp_path / "m.safetensors", shallow)])


def test_layers_without_a_place_are_counted_in_one_line(tmp_path: Path) -> None:
    pipe = sd15()
    extra = {f"unet.other.{n}.lora_{half}.weight": torch.ones(2, 2) for n in range(3) for half in "AB"}
    extra["bundle_emb.zork.emb_params"] = torch.ones(1, 24)
    events: list[dict[str, Any]] = []
    tensors = {**peft(pipe), **extra}
    count = len(list(targets(pipe))) + 3
    use = saved(tmp_path / "n.safetensors", tensors)
    Applied(pipe, "sd15").set([use, use], report=events.append)
    notes = [event["message"] for event in events if event["kind"] == "note"]
    assert notes == [
        f"3 of {count} layers of n have no place in this model",
        "n also holds the embeddings zork, which are not used",
    ]
    done = [event for event in events if event["kind"] == "progress"]
    assert done[0]["message"] == "n"
    assert {event["stage"] for event in done} == {"networks"}
    assert done[-1]["total"] == count - 3


def test_a_pickle_by_the_catalogues_word_is_used(tmp_path: Path) -> None:
    pipe = sd15()
    use = saved(tmp_path / "n.pt", kohya(pipe))
    assert Applied(pipe, "sd15").set([replace(use, entry=replace(use.entry, problem=PICKLE, kind="unknown"))])

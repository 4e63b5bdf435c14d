"""A LoRA in every tool's spelling: as diffusers and PEFT compute it, and the same weights whatever the names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from network_models import (
    MODELS,
    answers,
    entry,
    kohya,
    kohya_prefix,
    near,
    original,
    peft,
    same,
    saved,
    sd15,
    states,
    targets,
)
from peft import LoraConfig, get_peft_model_state_dict
from torch import Tensor, nn

from generation.networks.applied import Applied
from generation.networks.modules import by_name
from generation.networks.named import Use


def old_diffusers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """PEFT's names of attention layers as diffusers' first files had them."""
    found = {}
    for name, tensor in tensors.items():
        half = "down" if "lora_A" in name else "up"
        stem = name.partition(".lora_")[0]
        if stem.startswith("unet."):
            block, _, last = stem.replace(".to_out.0", ".to_out").rpartition(".")
            found[f"{block}.processor.{last}_lora.{half}.weight"] = tensor
        else:
            block, _, last = stem.rpartition(".")
            last = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}[last]
            found[f"{block}.{last}_lora.{half}.weight"] = tensor
    return found


def attention_only(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: t for name, t in tensors.items() if "attn" in name and "ff" not in name}


PREFIXES = ("down_blocks", "mid_block", "up_blocks")
FORMS = [(family, conv, form) for family in MODELS for conv in (False, True) for form in ("kohya", "peft", "metadata")]


# Of the original code's names diffusers converts SDXL's linear layers alone.
@pytest.mark.parametrize(("family", "convolutions", "form"), [*FORMS, ("sdxl", False, "original")])
def test_the_answers_are_those_of_diffusers_and_peft(
    tmp_path: Path, family: str, convolutions: bool, form: str
) -> None:
    pipe, theirs = MODELS[family](), MODELS[family]()
    # One alpha for all: peft 0.21 with diffusers 0.42 drops kohya's alphas where they differ.
    kohyas = kohya(pipe, alpha=2.0, convolutions=convolutions)
    said = {f"{part}.lora_alpha": 1.5 for part in ("unet", "text_encoder", "text_encoder_2")}
    written, metadata = {
        "kohya": (kohyas, None),
        "original": (kohya(pipe, original(pipe), alpha=2.0), None),
        "peft": (peft(pipe, convolutions=convolutions), None),
        "metadata": (peft(pipe, convolutions=convolutions), {"lora_adapter_metadata": json.dumps(said)}),
    }[form]
    use = saved(tmp_path / "n.safetensors", written, metadata)
    given = saved(tmp_path / "m.safetensors", kohyas if form == "original" else written)
    theirs.load_lora_weights(str(tmp_path), weight_name=Path(given.entry.path).name, adapter_name="n")
    theirs.set_adapters(["n"], [0.5 if form == "metadata" else 1.0])  # half the rank as alpha is half the strength
    base, before = states(pipe), answers(pipe)
    applied = Applied(pipe, family)
    assert applied.set([use]) is True
    found = answers(pipe)
    assert near(found, answers(theirs))
    assert not any(torch.allclose(one, other, atol=1e-2) for one, other in zip(found, before, strict=True))
    applied.clear()
    assert same(states(pipe), base)


@pytest.mark.parametrize("family", MODELS)
def test_different_alphas_are_each_obeyed(tmp_path: Path, family: str) -> None:
    pipe = MODELS[family]()
    tensors, base = kohya(pipe, convolutions=True), states(pipe)
    Applied(pipe, family).set([saved(tmp_path / "n.safetensors", tensors)])
    now = states(pipe)
    for part, dotted, _ in targets(pipe, convolutions=True):
        key = kohya_prefix(pipe, part) + dotted.replace(".", "_")
        up, down, alpha = (tensors[f"{key}.{name}"] for name in ("lora_up.weight", "lora_down.weight", "alpha"))
        weight = base.pop(f"{part}.{dotted}.weight")
        wanted = weight + (alpha / 3) * (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
        assert torch.allclose(now[f"{part}.{dotted}.weight"], wanted, atol=1e-5)
    assert all(torch.equal(now[name], tensor) for name, tensor in base.items())


@pytest.mark.parametrize("family", MODELS)
def test_every_spelling_gives_the_same_weights(tmp_path: Path, family: str) -> None:
    pipe = MODELS[family]()
    tensors = attention_only(peft(pipe))
    forms = {
        "peft": tensors,
        "old": old_diffusers(tensors),
        "adapter": {name.replace(".weight", ".default.weight"): t for name, t in tensors.items()},
        "comfy": {name.replace("unet.", "diffusion_model.", 1): t for name, t in tensors.items()},
        "pickle": tensors,
    }
    kohyas, respelled = {}, {}
    for name, tensor in tensors.items():
        part, _, dotted = name.partition(".lora_")[0].partition(".")
        half = "lora_down.weight" if "lora_A" in name else "lora_up.weight"
        kohyas[f"{kohya_prefix(pipe, part)}{dotted.replace('.', '_')}.{half}"] = tensor
        dotted = original(pipe)(dotted) if part == "unet" else dotted
        respelled[f"{kohya_prefix(pipe, part)}{dotted.replace('.', '_')}.{half}"] = tensor
    forms |= {"kohya": kohyas, "original": respelled}
    found = {}
    for form, written in forms.items():
        pipe = MODELS[family]()
        use = saved(tmp_path / f"{form}.{'pt' if form == 'pickle' else 'safetensors'}", written)
        notes: list[dict[str, Any]] = []
        Applied(pipe, family).set([use], report=notes.append)
        assert not [note for note in notes if note["kind"] == "note"], form
        found[form] = states(pipe)
    assert not same(found["peft"], states(MODELS[family]()))
    assert all(same(found["peft"], other) for other in found.values())


def test_every_module_has_its_name_in_the_original_code() -> None:
    for make in MODELS.values():
        pipe = make()
        modules, respell = by_name(pipe), original(pipe)
        for name, module in pipe.unet.named_modules():
            if name.startswith((*PREFIXES, "conv_in", "conv_out")) and isinstance(module, (nn.Linear, nn.Conv2d)):
                assert modules[f"unet.{respell(name).replace('.', '_')}"] is module, name
        assert modules["unet.time_embed_2"] is pipe.unet.time_embedding.linear_2
        assert (
            modules["text_encoder.encoder_layers_0_mlp_fc1"]
            is modules["text_encoder.text_model_encoder_layers_0_mlp_fc1"]
        )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_dora": True},
        {"use_rslora": True},
        {"alpha_pattern": {"attn1.to_q": 1, "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k": 9}},
        {"rank_pattern": {"attn1.to_q": 5}},
    ],
)
def test_what_peft_trains_and_diffusers_saves_is_read_with_its_settings(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    pipe, theirs = sd15(), sd15()
    config = LoraConfig(r=3, lora_alpha=2, target_modules=["to_q", "to_k", "to_out.0", "conv1"], **options)
    theirs.unet.add_adapter(config)
    torch.manual_seed(6)
    for name, parameter in theirs.unet.named_parameters():
        if "magnitude" in name:
            parameter.data.mul_(1.3)
        elif "lora_" in name:
            parameter.data.normal_(0, 0.2)
    trained = get_peft_model_state_dict(theirs.unet)
    theirs.save_lora_weights(tmp_path, trained, unet_lora_adapter_metadata=config.to_dict())
    before = answers(pipe)
    Applied(pipe, "sd15").set([Use(entry(tmp_path / "pytorch_lora_weights.safetensors"))])
    assert near(answers(pipe), answers(theirs))
    assert not torch.allclose(answers(pipe)[0], before[0], atol=1e-2)

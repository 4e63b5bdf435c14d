"""Every kind of weights told by the names its makers write, and headers weighed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from generation import headers, pickles, recognition
from generation.recognition import FIRST

BLOCK = "down_blocks_1_attentions_0_transformer_blocks_0"
DOTTED = "down_blocks.1.attentions.0.transformer_blocks.0"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        # LoRA in each trainer's spelling; the family is the width of the text that the cross-attention reads.
        ({f"lora_unet_{BLOCK}_attn2_to_k.lora_down.weight": [8, 768]}, ("lora", "sd15", "kohya")),
        ({f"lora_unet_{BLOCK}_attn2_to_k.lora_up.weight": [768, 8],
          f"lora_unet_{BLOCK}_attn2_to_v.lora_down.weight": [8, 1024]}, ("lora", "sd2", "kohya")),
        ({"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": [8, 1280]}, ("lora", "sdxl", "kohya")),
        ({"lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight": [8, 1024]},
         ("lora", "sd2", "kohya")),
        ({f"unet.{DOTTED}.attn2.to_k.lora_A.weight": [8, 2048]}, ("lora", "sdxl", "peft")),
        ({f"unet.{DOTTED}.attn2.to_k.lora.down.weight": [8, 768]}, ("lora", "sd15", "diffusers")),
        ({f"{DOTTED}.attn2.processor.to_k_lora.down.weight": [8, 768]}, ("lora", "sd15", "diffusers")),
        ({f"lora_unet_{BLOCK}_attn2_to_k.hada_w1_a": [320, 8], f"lora_unet_{BLOCK}_attn2_to_k.hada_w1_b": [8, 768]},
         ("lora", "sd15", "lycoris-loha")),
        ({f"lora_unet_{BLOCK}_attn2_to_k.lokr_w1": [16, 32], f"lora_unet_{BLOCK}_attn2_to_k.lokr_w2_a": [40, 8],
          f"lora_unet_{BLOCK}_attn2_to_k.lokr_w2_b": [8, 64]}, ("lora", "sdxl", "lycoris-lokr")),
        ({f"lora_unet_{BLOCK}_attn2_to_k.lokr_w1": [8, 24], f"lora_unet_{BLOCK}_attn2_to_k.lokr_w2": [80, 32]},
         ("lora", "sd15", "lycoris-lokr")),
        ({f"lora_unet_{BLOCK}_attn2_to_k.diff": [640, 768]}, ("lora", "sd15", "lycoris-full")),
        ({f"lora_unet_{BLOCK}_attn2_to_k.oft_blocks": [4, 8, 8], "lora_te2_x.oft_blocks": [1]},
         ("lora", "sdxl", "lycoris-oft")),
        ({f"lora_unet_{BLOCK}_attn2_to_k.on_input": [], f"lora_unet_{BLOCK}_attn2_to_k.weight": [640, 768]},
         ("lora", "sd15", "lycoris-ia3")),
        # Without cross-attention, the names of blocks that one family alone has.
        ({"lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q.lora_down.weight": [8, 640]},
         ("lora", "sdxl", "kohya")),
        ({"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight": [8, 320]},
         ("lora", "sd15", "kohya")),
        ({"lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight": [8, 1280]},
         ("lora", "unknown", "kohya")),
        # ControlNet and its relatives.
        ({"control_model.zero_convs.0.0.weight": [320, 320, 1, 1],
          "control_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": [320, 1024]},
         ("controlnet", "sd2", "")),
        ({"controlnet_cond_embedding.conv_in.weight": [16, 3, 3, 3], f"{DOTTED}.attn2.to_k.weight": [640, 2048]},
         ("controlnet", "sdxl", "diffusers")),
        ({"controlnet_cond_embedding.conv_in.weight": [16, 3, 3, 3], "add_embedding.linear_1.weight": [1280, 2816]},
         ("controlnet", "sdxl", "diffusers")),
        ({"lora_controlnet": [], "input_blocks.4.1.transformer_blocks.0.attn2.to_k.down": [8, 2048]},
         ("controlnet", "sdxl", "control-lora")),
        ({"lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.down.0.weight": [1]},
         ("controlnet", "sdxl", "lllite")),
        ({"task_embedding": [6, 320], "controlnet_cond_embedding.conv_in.weight": [1]},
         ("controlnet", "unknown", "union")),
        # Adapters.
        ({"adapter.conv_in.weight": [320, 192, 3, 3], "adapter.body.0.resnets.0.block1.weight": [1]},
         ("t2i-adapter", "sd15", "")),
        ({"conv_in.weight": [320, 64, 3, 3], "body.0.block1.weight": [1]}, ("t2i-adapter", "sd15", "")),
        ({"adapter.conv_in.weight": [320, 768, 3, 3], "adapter.body.0.resnets.0.block1.weight": [1]},
         ("t2i-adapter", "sdxl", "")),
        ({"image_proj.proj.weight": [3072, 1024], "ip_adapter.1.to_k_ip.weight": [320, 768]},
         ("ip-adapter", "sd15", "")),
        ({"image_proj.proj.0.weight": [1], "ip_adapter.0.to_q_lora.down.weight": [128, 640],
          "ip_adapter.1.to_k_ip.weight": [640, 2048]}, ("ip-adapter", "sdxl", "faceid")),
        # Motion.
        ({"down_blocks.3.motion_modules.0.temporal_transformer.norm.weight": [1280]}, ("motion", "sd15", "")),
        ({"down_blocks.2.motion_modules.0.temporal_transformer.norm.weight": [1280]}, ("motion", "sdxl", "")),
        ({"down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.processor."
          "to_q_lora.down.weight": [8, 320]}, ("motion", "sd15", "lora")),
        # Small ones.
        ({"768.0.linear.0.weight": [1536, 768]}, ("hypernetwork", "sd15", "")),
        ({"decoder.layers.1.conv.0.weight": [64, 64, 3, 3]}, ("vae", "unknown", "tiny")),
        ({"decoder.conv_in.weight": [512, 16, 3, 3], "decoder.up.0.x": [1], "encoder.x": [1]},
         ("vae", "unknown", "latents16")),
        ({"text_model.encoder.layers.0.x": [1]}, ("text-encoder", "unknown", "")),
        ({"vision_model.encoder.layers.0.x": [1]}, ("image-encoder", "unknown", "")),
        # Upscalers and faces.
        ({"model.0.weight": [64, 3, 3, 3], "model.1.sub.0.RDB1.conv1.0.weight": [1]}, ("upscaler", "unknown", "")),
        ({"conv_first.weight": [1], "body.0.rdb1.conv1.weight": [1]}, ("upscaler", "unknown", "")),
        ({"body.0.weight": [64, 3, 3, 3], "body.1.weight": [64]}, ("upscaler", "unknown", "")),
        ({"layers.0.residual_group.blocks.0.x": [1]}, ("upscaler", "unknown", "")),
        ({"stylegan_decoder.style_mlp.1.weight": [512, 512]}, ("face", "unknown", "")),
        # Checkpoints by channels and text encoder.
        ({FIRST: [320, 9, 3, 3], "conditioner.embedders.1.model.x": [1]}, ("checkpoint", "sdxl-inpainting", "")),
        ({FIRST: [320, 8, 3, 3], "cond_stage_model.transformer.x": [1]}, ("checkpoint", "sd15-pix2pix", "")),
        ({FIRST: [384, 4, 3, 3], "conditioner.embedders.0.model.x": [1]}, ("checkpoint", "sdxl-refiner", "")),
        ({FIRST: [320, 9, 3, 3], "cond_stage_model.model.x": [1]}, ("checkpoint", "sd2-inpainting", "")),
        ({FIRST: [320, 5, 3, 3], "cond_stage_model.model.x": [1]}, ("checkpoint", "sd2-depth", "")),
        ({FIRST: [256, 7, 3, 3], "cond_stage_model.model.x": [1]}, ("checkpoint", "unknown", "upscaler")),
        ({"conv_in.weight": [320, 9, 3, 3], "up_blocks.1.x": [1], f"{DOTTED}.attn2.to_k.weight": [640, 768]},
         ("unet", "sd15-inpainting", "diffusers")),
        # Another house's transformer, whatever else it looks like.
        ({"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": [16, 768]}, ("lora", "unknown", "kohya")),
    ],
)  # fmt: skip
def test_kinds(keys: dict[str, list[int]], expected: tuple[str, str, str]) -> None:
    assert tuple(recognition.recognise(keys)) == expected
    assert expected[0] in recognition.KINDS


def test_names_alone_never_raise() -> None:
    """Shapes of any length stand behind names of any kind."""
    names = (
        f"{FIRST} conv_in.weight emb_params clip_l controlnet_cond_embedding.conv_in.weight x.attn2.to_k.w "
        "image_proj.x x.attn2.to_k.lokr_w1 ip_adapter.1.to_k_ip.weight adapter.body.0.in_conv.weight"
    ).split()
    for name in names:
        for shape in ([], [0], [1, 1, 1, 1, 1]):
            recognition.recognise({name: shape})
            recognition.recognise({name: shape, "decoder.up.0": [], "encoder.": []})


def test_the_bytes_of_a_part_are_counted_by_type(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a.x": torch.zeros(3, 5), "a.y": torch.zeros(7, dtype=torch.half), "b": torch.zeros(11)}, path)
    header = headers.load(path)
    assert header.weigh("a.") == (22, 15 * 4 + 7 * 2)
    assert header.weigh() == (33, 15 * 4 + 7 * 2 + 44)
    assert header.types["a.y"] == "F16"


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_says_the_same_as_its_tensors(tmp_path: Path, zipped: bool) -> None:
    held = {
        "state_dict": {
            "a.b": torch.zeros(2, 3),
            "half": torch.zeros(4, dtype=torch.half),
            "brain": torch.zeros(5, dtype=torch.bfloat16),
            "view": torch.zeros(8, 8)[2:4],
            "empty": torch.zeros(0),
            "number": torch.tensor(3),
            "parameter": torch.nn.Parameter(torch.zeros(6)),
        },
        "epoch": 3, "names": ["x", ("y", None, True, 1.5)], "size": torch.Size([1, 2]),
    }  # fmt: skip
    path = tmp_path / "m.ckpt"
    torch.save(held, path, _use_new_zipfile_serialization=zipped)
    header = headers.load(path)
    assert header.shapes == {
        "a.b": [2, 3], "half": [4], "brain": [5], "view": [2, 8], "empty": [0], "number": [], "parameter": [6],
    }  # fmt: skip
    assert header.types["brain"] == "BF16"
    assert pickles.read(path)["state_dict.half"].size == 8


def test_tables_that_hold_each_other_end(tmp_path: Path) -> None:
    one: dict[str, object] = {"t": torch.zeros(1)}
    one["again"] = {"back": one, "t": torch.zeros(2)}
    deep: dict[str, object] = {"t": torch.zeros(3)}
    for _ in range(50):
        deep = {"d": deep}
    torch.save({"one": one, "deep": deep}, tmp_path / "m.pt")
    assert headers.read(tmp_path / "m.pt") == {"one.t": [1], "one.again.t": [2]}


@pytest.mark.parametrize("wrapper", ["params_ema", "params", "state_dict"])
def test_an_upscaler_in_a_pickle(tmp_path: Path, wrapper: str) -> None:
    torch.save({wrapper: {"conv_first.weight": torch.zeros(4, 3, 3, 3), "body.0.rdb1.conv1.weight": torch.zeros(2)}},
               tmp_path / "x4.pth")  # fmt: skip
    assert headers.recognise(headers.read(tmp_path / "x4.pth")) == ("upscaler", "unknown")


def test_a_pickled_embedding_and_hypernetwork(tmp_path: Path) -> None:
    torch.save({"string_to_param": torch.nn.ParameterDict({"*": torch.zeros(2, 768)}), "name": "x"}, tmp_path / "e.pt")
    assert headers.recognise(headers.read(tmp_path / "e.pt")) == ("embedding", "sd15")
    layers = {"linear.0.weight": torch.zeros(4, 4)}
    torch.save({768: (layers, layers), "name": "x", "step": 5}, tmp_path / "h.pt")
    assert headers.recognise(headers.read(tmp_path / "h.pt")) == ("hypernetwork", "sd15")

"""Sizes read from names and shapes: the real files' own, name for name, and every family's relatives."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from original_files import controlnet, original, shrunken, unet_names

from generation import architecture, headers

ROOT = Path(__file__).parent.parent.parent
# What stands in real files and is no weight of a part: schedules, copies of training, a constant.
BESIDE = re.compile(
    r"model_ema\.|.*position_ids$|.*logit_scale$|alphas|betas|(sqrt_|log_one|posterior_)|logvar|edm_|v_pred|ztsnr|denoiser"
)


def shared(*parts: str) -> Path:
    """A file of the shared data; the test is skipped where it is not at hand."""
    path = Path(os.environ.get("ATELIER_SHARED", ROOT.parent / "shared")).joinpath(*parts)
    if not path.exists():
        pytest.skip(f"the shared data {'/'.join(parts)} are not here (ATELIER_SHARED)")
    return path


def shapes(tensors: Any) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in tensors.items()}


@pytest.mark.parametrize(("name", "family"), [("sd1-ldm", "sd15"), ("sdxl-sgm", "sdxl")])
def test_every_name_and_shape_of_the_real_files(name: str, family: str) -> None:
    """The parts we would build of the real file have exactly its tensors: none lacks, none is left over."""
    listed = shared("data", "keys", "sd_mecha", f"{name}.yaml").read_text("utf-8")
    found = re.findall(r"^    (\S+): \{shape: \[([^\]]*)\]", listed, re.MULTILINE)
    real = {key: [int(side) for side in shape.split(",") if side.strip()] for key, shape in found}
    real = {key: shape for key, shape in real.items() if not BESIDE.match(key)}
    assert len(real) > 1000
    assert headers.recognise(real) == ("checkpoint", family)
    config = architecture.configure(family, real)
    assert shapes(original(config, empty=True)) == real
    # And what the shapes say is what the family's configuration says, where that says it.
    for part in ("unet", "vae", *config["encoders"]):
        for key, value in architecture.published(family)[part].items():
            if key != "transformer_layers_per_block":
                assert config[part][key] == value, (part, key)


@pytest.mark.parametrize(
    ("name", "family"), [("sd1", "sd15"), ("sd2", "sd2"), ("sdxl", "sdxl"), ("refiner", "sdxl-refiner")]
)
def test_every_name_of_the_real_files(name: str, family: str) -> None:
    path = shared("data", "keys", "ai_toolkit_keymaps", f"stable_diffusion_{name}.json")
    table = json.loads(path.read_text("utf-8"))
    real = {*table["ldm_diffusers_keymap"], *(table.get("ldm_diffusers_operator_map") or {})}
    ours = set(original(architecture.published(family), empty=True))
    # The list keeps the projection apart, because it is turned round.
    assert {key for key in ours - real if not key.endswith("text_projection")} == set()
    assert real - ours == set()


@pytest.mark.parametrize("family", architecture.families())
def test_sizes_of_shrunken_relatives(family: str) -> None:
    """Configuring from a small file's shapes gives parts with those very shapes."""
    wanted = shrunken(family)
    small = shapes(original(wanted, empty=True))
    config = architecture.configure(family, small)
    assert shapes(original(config, empty=True)) == small
    assert config["unet"]["in_channels"] == {"inpainting": 9, "pix2pix": 8}.get(family.partition("-")[2], 4)
    assert config["unet"]["attention_head_dim"] == wanted["unet"]["attention_head_dim"]
    assert config["scheduler"]["prediction_type"] == ("v_prediction" if family == "sd2-v" else "epsilon")


def test_what_is_missing_is_named() -> None:
    small = shapes(original(shrunken("sd15"), empty=True))
    for prefix, said in ((architecture.UNET, "no UNet"), ("cond_stage_model.", "no text encoder")):
        rest = {key: shape for key, shape in small.items() if not key.startswith(prefix)}
        with pytest.raises(ValueError, match=said):
            architecture.configure("sd15", rest)
    rest = {key: shape for key, shape in small.items() if not key.startswith(architecture.VAE)}
    assert "vae" not in architecture.configure("sd15", rest)
    with pytest.raises(KeyError):
        architecture.configure("sd15-small", small)


def test_files_of_2022_without_a_level_in_the_text_encoder_s_names() -> None:
    small = shapes(original(shrunken("sd15"), empty=True))
    old = {key.replace("transformer.text_model.", "transformer."): shape for key, shape in small.items()}
    assert architecture.configure("sd15", old) == architecture.configure("sd15", small)


def test_the_mark_of_a_velocity_model_of_sdxl() -> None:
    small = shapes(original(shrunken("sdxl"), empty=True))
    scheduler = architecture.configure("sdxl", small | {"v_pred": []})["scheduler"]
    assert (scheduler["prediction_type"], scheduler["timestep_spacing"]) == ("v_prediction", "leading")
    scheduler = architecture.configure("sdxl", small | {"v_pred": [], "ztsnr": []})["scheduler"]
    assert (scheduler["rescale_betas_zero_snr"], scheduler["timestep_spacing"]) == (True, "trailing")


@pytest.mark.parametrize("family", ["sd15", "sd2", "sdxl"])
def test_controlnets_in_both_layouts(family: str) -> None:
    made, names = controlnet(family)
    usual = architecture.published(family)["unet"]
    keys = shapes(made.state_dict())
    original_keys = {f"control_model.{key}": shape for key, shape in shapes(names).items()}
    for found in (keys, original_keys, shapes(names)):
        config = architecture.controlnet(usual, found)
        again = type(made).from_config(config)
        assert shapes(again.state_dict()) == keys
        assert shapes(unet_names(again.state_dict(), 2)) == shapes(names)

"""Single files of every family loaded and rendered with no network, parts alone, and what is refused before loading."""

from __future__ import annotations

import gc
import re
import socket
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from original_files import controlnet, original, shrunken, write
from PIL import Image
from safetensors.torch import save_file

from generation import architecture, single_files
from generation.catalogue import Catalogue, ModelEntry, look
from generation.engine import Engine
from generation.errors import BadWeights
from generation.loading import load, load_controlnet, load_vae, prepare, tokenizers
from generation.memory import Plan
from generation.specs import ModelDefaults, RenderSpec

FLOAT = torch.float32


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError(f"a socket was asked for: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A shrunken checkpoint of a family, written once."""
    folder = tmp_path_factory.mktemp("files")

    def give(family: str, suffix: str = ".safetensors") -> Path:
        path = folder / f"{family}{'-768' if family == 'sd2-v' else ''}{suffix}"
        return path if path.exists() else write(path, family)

    return give


def picture(pipe: Any, family: str) -> np.ndarray:
    """Two steps at 64 pixels, through the pipeline's own call."""
    grey = Image.new("RGB", (64, 64), (90, 120, 200))
    more: dict[str, Any] = {"width": 64, "height": 64}
    if family.endswith("-pix2pix"):
        more = {"image": grey} | (more if family.startswith("sdxl") else {})
    elif family.endswith("-inpainting"):
        more |= {"image": grey, "mask_image": Image.new("L", (64, 64), 255)}
    elif family == "sdxl-refiner":
        more = {"image": grey, "strength": 1.0}
    made = pipe("a fox", num_inference_steps=2, generator=torch.Generator().manual_seed(1), output_type="np", **more)
    return np.asarray(made.images[0])


@pytest.mark.parametrize("family", architecture.families())
def test_every_family_renders_from_a_single_file(files: Any, family: str) -> None:
    entry = look(files(family))
    assert (entry.kind, entry.family, entry.problem) == ("checkpoint", family, "")
    pipe = load(entry, "cpu", FLOAT)
    # Every number is the file's: the text encoder's and the UNet's come back under their own names.
    wanted = single_files.read(Path(entry.path))
    assert torch.equal(pipe.unet.conv_in.weight, wanted[f"{architecture.UNET}input_blocks.0.0.weight"])
    assert torch.equal(pipe.vae.decoder.conv_out.weight, wanted[f"{architecture.VAE}decoder.conv_out.weight"])
    found = picture(pipe, family)
    assert found.shape == (64, 64, 3)
    assert np.isfinite(found).all()
    assert found.std() > 0


@pytest.mark.parametrize("family", ["sd15", "sd2", "sdxl"])
def test_a_checkpoint_in_a_pickle_is_the_same(files: Any, family: str) -> None:
    safe, pickled = load(look(files(family)), "cpu", FLOAT), load(look(files(family, ".ckpt")), "cpu", FLOAT)
    for name in ("unet", "vae", "text_encoder"):
        one, other = getattr(safe, name).state_dict(), getattr(pickled, name).state_dict()
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), name


@pytest.mark.parametrize("family", ["sd15", "sd2", "sdxl", "sdxl-refiner"])
def test_text_encoders_are_those_the_file_was_made_of(files: Any, family: str) -> None:
    """OpenCLIP's joined matrices and turned projection come apart as they were put together."""
    torch.manual_seed(0)
    from original_files import parts

    config = shrunken(family)
    made = parts(config)
    pipe = load(look(files(family)), "cpu", FLOAT)
    for name in config["encoders"]:
        one, other = made[name].state_dict(), getattr(pipe, name).state_dict()
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), name
    assert getattr(pipe, "text_encoder", None) is not None or family == "sdxl-refiner"


def test_files_of_2022_without_a_level_in_the_text_encoder_s_names(tmp_path: Path) -> None:
    state = {k.replace("transformer.text_model.", "transformer."): v for k, v in original(shrunken("sd15")).items()}
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "old.safetensors")
    pipe = load(look(tmp_path / "old.safetensors"), "cpu", FLOAT)
    assert not any(value.is_meta for value in pipe.text_encoder.state_dict().values())


def test_the_engine_renders_a_single_file(files: Any, tmp_path: Path) -> None:
    path = files("sd15")
    engine = Engine(Catalogue([path.parent]), device="cpu")
    spec = RenderSpec("a (red:1.3) fox", "blur", model="sd15", seed=3, steps=2, width=64, height=64)
    first = engine.render(spec, tmp_path / "a.png")
    again = engine.render(spec, tmp_path / "b.png")
    assert np.array_equal(np.asarray(Image.open(first.path)), np.asarray(Image.open(again.path)))


@pytest.mark.parametrize(
    ("family", "prediction", "scale", "pads"),
    [
        ("sd15", "epsilon", 0.18215, ["<|endoftext|>"]),
        ("sd2", "epsilon", 0.18215, ["!"]),
        ("sd2-v", "v_prediction", 0.18215, ["!"]),
        ("sdxl", "epsilon", 0.13025, ["<|endoftext|>", "!"]),
        ("sdxl-refiner", "epsilon", 0.13025, ["!"]),
    ],
)
def test_what_the_weights_do_not_say_is_the_family_s(
    files: Any, family: str, prediction: str, scale: float, pads: list[str]
) -> None:
    pipe = load(look(files(family)), "cpu", FLOAT)
    assert pipe.scheduler.config.prediction_type == prediction
    assert (pipe.scheduler.config.beta_start, pipe.scheduler.config.beta_end) == (0.00085, 0.012)
    assert pipe.vae.config.scaling_factor == scale
    assert pipe.vae.config.force_upcast is family.startswith("sdxl")
    found = [t for t in (pipe.tokenizer, getattr(pipe, "tokenizer_2", None)) if t is not None]
    assert [t.pad_token for t in found] == pads
    for tokenizer in found:
        ids = tokenizer("a fox", padding="max_length").input_ids
        assert len(ids) == tokenizer.model_max_length == 77
        assert ids[0] == 49406
        assert ids[-1] == (0 if tokenizer.pad_token == "!" else 49407)


def test_a_configuration_beside_the_file_says_what_it_predicts(files: Any, tmp_path: Path) -> None:
    path = tmp_path / "anime.safetensors"
    path.symlink_to(files("sdxl"))
    path.with_suffix(".yaml").write_text("model:\n  params:\n    parameterization: v\n", "utf-8")
    assert load(look(path), "cpu", FLOAT).scheduler.config.prediction_type == "v_prediction"


def test_the_tokenizers_are_clip_s() -> None:
    ids = tokenizers("sdxl")["tokenizer_2"]("a photo of a cat").input_ids
    assert ids == [49406, 320, 1125, 539, 320, 2368, 49407]


def test_tokenizers_are_made_once(files: Any, tiny_checkpoint: Path) -> None:
    """One that is let go leaves 9 MB behind, so that switching models would fill the memory."""
    assert tokenizers("sd15")["tokenizer"] is tokenizers("sdxl")["tokenizer"]
    folder = look(tiny_checkpoint)
    assert load(folder, "cpu", FLOAT).tokenizer is load(folder, "cpu", FLOAT).tokenizer


def test_a_plan_sets_the_number_format_and_the_tiles(files: Any) -> None:
    pipe = prepare(look(files("sdxl")), Plan("cpu", "bf16", "none", True, 0, 0))
    assert pipe.unet.dtype == pipe.vae.dtype == pipe.text_encoder_2.dtype == torch.bfloat16
    assert pipe.vae.use_tiling
    assert pipe.vae.tile_sample_min_size == 512
    assert pipe.vae.tile_latent_min_size * 8 == 512
    assert not prepare(look(files("sd15")), Plan("cpu", "fp32", "none", False, 0, 0)).vae.use_tiling


def vae_file(path: Path, prefix: str = "", family: str = "sd15") -> Path:
    state = original(shrunken(family))
    own = {k.removeprefix(architecture.VAE): v for k, v in state.items() if k.startswith(architecture.VAE)}
    save_file({f"{prefix}{key}": value.contiguous() for key, value in own.items()}, path)
    return path


@pytest.mark.parametrize("prefix", ["", "first_stage_model."])
def test_a_vae_alone(tmp_path: Path, prefix: str) -> None:
    entry = look(vae_file(tmp_path / "v.safetensors", prefix))
    assert (entry.kind, entry.problem) == ("vae", "")
    vae = load_vae(entry, FLOAT)
    assert vae.config.scaling_factor == 0.18215
    assert load_vae(entry, FLOAT, "sdxl-inpainting").config.scaling_factor == 0.13025
    assert torch.isfinite(vae.decode(torch.zeros(1, 4, 8, 8)).sample).all()
    # diffusers' folder of the same holds the same numbers.
    vae.save_pretrained(tmp_path / "folder")
    again = load_vae(look(tmp_path / "folder"), FLOAT)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in vae.state_dict().items())


def test_a_vae_mended_for_half_precision_needs_no_single(tmp_path: Path) -> None:
    stock = load_vae(look(vae_file(tmp_path / "sdxl_vae.safetensors", family="sdxl")), torch.float16)
    mended = load_vae(look(vae_file(tmp_path / "sdxl-vae-fp16-fix.safetensors", family="sdxl")), torch.float16)
    assert (stock.config.force_upcast, mended.config.force_upcast) == (True, False)


def test_another_vae_takes_the_place_of_its_own_or_of_none(files: Any, tmp_path: Path) -> None:
    other = look(vae_file(tmp_path / "v.safetensors"))
    bare = look(write(tmp_path / "bare.safetensors", "sd15", without=architecture.VAE))
    with pytest.raises(BadWeights, match="holds no VAE"):
        load(bare, "cpu", FLOAT)
    for entry in (bare, look(files("sd15"))):
        pipe = load(entry, "cpu", FLOAT, vae=other)
        assert torch.equal(pipe.vae.post_quant_conv.weight, load_vae(other, FLOAT).post_quant_conv.weight)
    wrong = look(vae_file(tmp_path / "sdxl_vae.safetensors"))
    with pytest.raises(BadWeights, match="SDXL"):
        load(bare, "cpu", FLOAT, vae=wrong)


@pytest.mark.parametrize("family", ["sd15", "sd2", "sdxl"])
def test_a_controlnet_alone(tmp_path: Path, family: str) -> None:
    made, names = controlnet(family)
    names = {f"control_model.{key}": value for key, value in names.items()}
    for name, state in (("original", names), ("diffusers", made.state_dict())):
        path = tmp_path / f"{name}.safetensors"
        save_file({key: value.contiguous() for key, value in state.items()}, path)
        entry = look(path)
        assert entry.kind == "controlnet"
        # Shrunken text widths name no family; a real file's do.
        entry = ModelEntry(entry.name, entry.path, "controlnet", family, 1, ModelDefaults(), format=entry.format)
        found = load_controlnet(entry, FLOAT).state_dict()
        assert all(torch.equal(value, found[key]) for key, value in made.state_dict().items())
    made.save_pretrained(tmp_path / "folder")
    found = load_controlnet(look(tmp_path / "folder"), FLOAT).state_dict()
    assert all(torch.equal(value, found[key]) for key, value in made.state_dict().items())


def entry(kind: str, family: str = "sd15", **more: str) -> ModelEntry:
    return ModelEntry("m", "/nowhere/m.safetensors", kind, family, 1, ModelDefaults(), **more)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (entry("lora"), "m is not a checkpoint but a LoRA"),
        (entry("upscaler"), "m is not a checkpoint but an upscaler"),
        (entry("unknown"), "m is of a kind nobody here knows"),
        (entry("checkpoint", problem="the file is cut short"), "cannot be used: the file is cut short"),
    ],
)
def test_what_is_no_checkpoint_is_refused_before_it_is_opened(wrong: ModelEntry, said: str) -> None:
    with pytest.raises(BadWeights) as caught:
        load(wrong, "cpu", FLOAT)
    assert said in caught.value.message
    assert caught.value.hint


def test_parts_of_the_wrong_kind_or_format() -> None:
    with pytest.raises(BadWeights, match="a checkpoint"):
        load_vae(entry("checkpoint"), FLOAT)
    with pytest.raises(BadWeights, match="16 channels"):
        load_vae(entry("vae", format="latents16"), FLOAT)
    with pytest.raises(BadWeights, match="control-lora"):
        load_controlnet(entry("controlnet", "sdxl", format="control-lora"), FLOAT)
    with pytest.raises(BadWeights, match="nobody here knows"):
        load_controlnet(entry("controlnet", "unknown"), FLOAT)


@pytest.mark.parametrize("family", ["unknown", "sd2-depth", "sd15-small"])
def test_a_family_without_a_configuration_is_refused_by_name(files: Any, family: str) -> None:
    path = files("sd15")
    with pytest.raises(BadWeights, match=family):
        load(ModelEntry("m", str(path), "checkpoint", family, 1, ModelDefaults()), "cpu", FLOAT)


def test_a_file_that_lacks_a_tensor_or_has_another_says_which(tmp_path: Path) -> None:
    state = single_files.read(write(tmp_path / "m.safetensors", "sd15"))
    names = {
        f"{architecture.UNET}middle_block.1.norm.weight": "lacks mid_block.attentions.0.norm.weight of its unet",
        f"{architecture.VAE}decoder.mid.block_1.conv1.bias": "lacks decoder.mid_block.resnets.0.conv1.bias of its vae",
        "cond_stage_model.transformer.text_model.final_layer_norm.bias": "final_layer_norm.bias of its text_encoder",
    }
    for name, said in names.items():
        save_file({key: value for key, value in state.items() if key != name}, tmp_path / "less.safetensors")
        with pytest.raises(BadWeights, match=re.escape(said)) as caught:
            load(look(tmp_path / "less.safetensors"), "cpu", FLOAT)
        assert "\n" not in caught.value.message
        save_file(state | {name: torch.zeros(3)}, tmp_path / "other.safetensors")
        with pytest.raises(BadWeights, match=re.escape("is [3] and should be")):
            load(look(tmp_path / "other.safetensors"), "cpu", FLOAT)


def test_a_model_that_is_let_go_leaves_memory(files: Any, tmp_path: Path) -> None:
    """No module, tensor or hook of the former model is alive once another was loaded, twice round."""
    engine = Engine(Catalogue([files("sd15").parent, files("sdxl").parent]), device="cpu")
    spec = RenderSpec("a fox", model="sd15", seed=3, steps=1, width=64, height=64)
    watched: list[Any] = []
    for _ in range(2):
        for name in ("sd15", "sd2"):
            files(name)
            engine.catalogue.refresh()
            engine.render(RenderSpec(**{**spec.to_json(), "model": name}), tmp_path / "a.png")
            pipe = engine.prepare(name).pipe
            gone = [r() for r in watched]
            assert gone == [None] * len(watched)
            parts = (pipe.unet, pipe.vae, pipe.text_encoder)
            watched = [weakref.ref(m) for part in parts for m in part.modules()]
            watched += [weakref.ref(p) for part in parts for p in part.parameters()]
            del pipe, parts
    engine.unload()
    gc.collect()
    assert [r() for r in watched] == [None] * len(watched)

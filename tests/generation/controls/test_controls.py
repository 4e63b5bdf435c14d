"""Controls on a checkpoint of random weights: when they act, how much, on which rows, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, T2IAdapter, UNet2DConditionModel
from PIL import Image
from safetensors.torch import save_file

from generation.catalogue import Catalogue
from generation.controls import nets
from generation.controls.steering import SOFT, Adapter, Control, ControlNet
from generation.engine import Engine
from generation.errors import BadImage, BadSpec, BadWeights, UnknownModel
from generation.metadata import read
from generation.specs import RenderSpec

SMALL = (4, 8)  # channels of the condition's embedding: the tiny autoencoder halves once


def awake(network: Any, seed: int) -> Any:
    """The network with its zero convolutions set to something, so that it acts."""
    torch.manual_seed(seed)
    for name, parameter in network.named_parameters():
        if name.startswith(("controlnet_down_blocks", "controlnet_mid_block", "controlnet_cond_embedding.conv_out")):
            torch.nn.init.normal_(parameter, std=0.3)
    return network


@pytest.fixture(scope="module")
def folder(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ControlNets and a T2I-Adapter for the tiny checkpoint."""
    place = tmp_path_factory.mktemp("controls")
    unet = UNet2DConditionModel.from_pretrained(tiny_checkpoint / "unet")
    for number, name in enumerate(("tiny_canny", "tiny_depth")):
        network = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=SMALL)
        awake(network, number).save_pretrained(place / name)
    torch.manual_seed(7)
    # The tiny UNet's first level has no attention, as SDXL's.
    adapter = T2IAdapter(channels=[8, 16, 16, 16], num_res_blocks=1, downscale_factor=4, adapter_type="full_adapter_xl")
    adapter.save_pretrained(place / "tiny_adapter")
    return place


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path, folder: Path) -> Engine:
    return Engine(Catalogue([tiny_checkpoint.parent, folder]), device="cpu")


@pytest.fixture
def photo(tmp_path: Path) -> str:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(noise).save(path)
    return str(path)


def spec(photo: str, *controls: dict[str, Any], prompt: str = "fox", **more: Any) -> RenderSpec:
    entries = tuple({"image": photo, "model": "tiny_canny", **one} for one in controls)
    return RenderSpec(prompt, **{"model": "tiny", "seed": 5, "steps": 4, **more}, controls=entries)


def pixels(engine: Engine, wanted: RenderSpec, tmp_path: Path) -> np.ndarray:
    return np.asarray(Image.open(engine.render(wanted, tmp_path / "made.png").path)).astype(int)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What the UNet's loop got from ControlNets, a call each."""
    found: list[dict[str, Any]] = []
    own = ControlNet.added

    def added(self: ControlNet, *arguments: Any) -> dict[str, Any]:
        made = own(self, *arguments)
        found.append(made)
        return made

    monkeypatch.setattr(ControlNet, "added", added)
    yield found


def test_weight_nothing_is_no_control_to_the_bit_and_weight_one_is_not(
    engine: Engine, photo: str, tmp_path: Path
) -> None:
    plain = pixels(engine, spec(photo), tmp_path)
    assert (pixels(engine, spec(photo, {"weight": 0.0}), tmp_path) == plain).all()
    controlled = pixels(engine, spec(photo, {}), tmp_path)
    assert (controlled != plain).any()
    assert (pixels(engine, spec(photo, {}), tmp_path) == controlled).all()
    assert (pixels(engine, spec(photo), tmp_path) == plain).all(), "nothing of it stays behind"


def test_it_is_diffusers_own_pipeline_to_the_bit(engine: Engine, photo: str, tmp_path: Path, folder: Path) -> None:
    from diffusers import StableDiffusionControlNetPipeline

    pipe = engine.prepare("tiny").pipe
    network = ControlNetModel.from_pretrained(folder / "tiny_canny")
    theirs = StableDiffusionControlNetPipeline.from_pipe(pipe, controlnet=network)
    told = engine.prepare("tiny").conditioner("fox", "")
    made = theirs(
        prompt_embeds=told.positive, negative_prompt_embeds=told.negative, image=Image.open(photo), width=64, height=64,
        num_inference_steps=4, guidance_scale=3.0, generator=torch.Generator("cpu").manual_seed(5), output_type="np",
        controlnet_conditioning_scale=0.8,
    ).images  # fmt: skip
    ours = pixels(engine, spec(photo, {"weight": 0.8}), tmp_path)
    assert np.abs((made[0] * 255).round() - ours).max() <= 1


@pytest.mark.parametrize(
    ("start", "end", "steps", "wanted"),
    [
        (0.0, 1.0, 10, 10),
        (0.0, 0.5, 10, 5),
        (0.5, 1.0, 10, 5),
        (0.7, 1.0, 10, 3),
        (0.2, 0.7, 10, 5),
        (0.3, 0.55, 10, 3),
    ],
)
def test_it_acts_on_its_share_of_the_steps(
    engine: Engine, photo: str, tmp_path: Path, calls: list[Any], start: float, end: float, steps: int, wanted: int
) -> None:
    pixels(engine, spec(photo, {"start": start, "end": end}, steps=steps), tmp_path)
    assert len(calls) == wanted


def test_several_are_added_up(engine: Engine, photo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = {"weight": 0.5}, {"model": "tiny_depth", "weight": 0.7}
    pictures = [pixels(engine, spec(photo, *controls), tmp_path) for controls in ((one,), (other,), (one, other))]
    assert (pictures[2] != pictures[0]).any() and (pictures[2] != pictures[1]).any()
    # The same network twice at half weight is the network once, since residuals are added.
    twice = pixels(engine, spec(photo, one, one), tmp_path)
    whole = pixels(engine, spec(photo, {"weight": 1.0}), tmp_path)
    assert np.abs(twice - whole).max() <= 1


def test_the_condition_is_the_preprocessed_picture(
    engine: Engine, photo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    own = Control.ready

    def ready(self: Control, size: tuple[int, int]) -> torch.Tensor:
        seen.append(own(self, size))
        return seen[-1]

    monkeypatch.setattr(Control, "ready", ready)
    pixels(engine, spec(photo, {"preprocessor": "invert"}), tmp_path)
    given = 255 - np.asarray(Image.open(photo)).astype(np.float32)
    assert seen[0].shape == (1, 3, 64, 64)
    assert np.allclose(seen[0][0].permute(1, 2, 0).numpy() * 255, given)


def test_a_second_pass_gets_a_condition_of_its_size(
    engine: Engine, photo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []
    own = Control.size
    monkeypatch.setattr(Control, "size", lambda self, rows: sizes.append(own(self, rows)) or sizes[-1])
    made = pixels(engine, spec(photo, {}, options={"hires_scale": 1.5, "hires_strength": 0.5}), tmp_path)
    assert made.shape[:2] == (96, 96)
    assert sizes == [(64, 64)] * 4 + [(96, 96)] * 2


@pytest.mark.parametrize("prompt", ["fox AND a red hat :0.7", "fox AND blue AND red", "fox :1.3"])
@pytest.mark.parametrize("batch", [1, 2])
def test_composed_prompts_are_controlled_too(
    engine: Engine, photo: str, tmp_path: Path, prompt: str, batch: int
) -> None:
    plain = pixels(engine, spec(photo, prompt=prompt, batch=batch), tmp_path)
    controls = [{}, {"model": "tiny_adapter"}, {"mode": "control"}]
    for control in controls:
        assert (pixels(engine, spec(photo, control, prompt=prompt, batch=batch), tmp_path) != plain).any()


def test_modes_weigh_levels_and_rows(engine: Engine, photo: str, tmp_path: Path, calls: list[Any]) -> None:
    for mode in ("balanced", "prompt", "control"):
        pixels(engine, spec(photo, {"mode": mode}, steps=1), tmp_path)
    balanced, prompt, control = calls
    name, mid = "down_block_additional_residuals", "mid_block_additional_residual"
    count = len(balanced[name])
    for level in range(count):
        expected = balanced[name][level] * SOFT ** (count - level)
        assert torch.allclose(prompt[name][level], expected, atol=1e-6)
        assert (control[name][level][:1] == 0).all(), "nothing for the negative's row"
        assert torch.allclose(control[name][level][1:], expected[1:], atol=1e-5)
    assert torch.allclose(prompt[mid], balanced[mid])
    assert (control[mid][:1] == 0).all() and (control[mid][1:] != 0).any()


def test_without_guidance_there_is_only_the_prompts_row(
    engine: Engine, photo: str, tmp_path: Path, calls: list[Any]
) -> None:
    pixels(engine, spec(photo, {"mode": "control"}, cfg=1.0, steps=1), tmp_path)
    assert calls[0]["mid_block_additional_residual"].shape[0] == 1
    assert (calls[0]["mid_block_additional_residual"] != 0).any()


def test_one_that_pools_keeps_to_the_prompts_row(engine: Engine, photo: str, tmp_path: Path, folder: Path) -> None:
    network = ControlNetModel.from_pretrained(folder / "tiny_canny")
    network.register_to_config(global_pool_conditions=True)
    control = ControlNet(network, lambda size: Image.open(photo), 2, 1)
    rows, texts = torch.randn(2, 4, 32, 32), torch.randn(2, 77, 16)
    found = control(rows, torch.tensor(10), texts, {}, 0.0)["down_block_additional_residuals"]
    assert found[0].shape == (2, 8, 1, 1)
    assert (found[0][0] == 0).all() and (found[0][1] != 0).any()


def test_an_inpainting_models_further_channels_stay_out(folder: Path, photo: str) -> None:
    network = ControlNetModel.from_pretrained(folder / "tiny_canny")
    control = ControlNet(network, lambda size: Image.open(photo), 2, 1)
    rows, texts = torch.randn(2, 9, 32, 32), torch.randn(2, 77, 16)
    nine = control(rows, torch.tensor(10), texts, {}, 0.0)["mid_block_additional_residual"]
    four = control(rows[:, :4], torch.tensor(10), texts, {}, 0.0)["mid_block_additional_residual"]
    assert torch.equal(nine, four)


def test_an_adapter_acts_through_its_own_door(engine: Engine, photo: str, tmp_path: Path) -> None:
    plain = pixels(engine, spec(photo), tmp_path)
    alone = pixels(engine, spec(photo, {"model": "tiny_adapter"}), tmp_path)
    assert (alone != plain).any()
    both = pixels(engine, spec(photo, {"model": "tiny_adapter"}, {}), tmp_path)
    assert (both != alone).any()


def test_an_adapters_features_are_weighted_and_made_once(folder: Path, photo: str) -> None:
    network = T2IAdapter.from_pretrained(folder / "tiny_adapter")
    control = Adapter(network, lambda size: Image.open(photo), 2, 1, weight=0.5)
    rows, texts = torch.randn(2, 4, 32, 32), torch.randn(2, 77, 16)
    name = "down_intrablock_additional_residuals"
    first, second = (control(rows, torch.tensor(10), texts, {}, share)[name] for share in (0.0, 0.5))
    assert first is not second, "diffusers empties the list it is given"
    whole = network(control.ready((64, 64)))
    assert all(torch.allclose(a[1:], 0.5 * b) for a, b in zip(first, whole, strict=True))
    with pytest.raises(BadSpec, match="62x64 does not go") as told:
        Adapter(network, lambda size: Image.open(photo), 2, 1)(rows[..., :31], torch.tensor(1), texts, {}, 0.0)
    assert "multiples of 4" in told.value.hint


def test_sdxls_further_conditions_reach_its_controlnet(tiny_sdxl: Path, photo: str, tmp_path: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(tiny_sdxl / "unet")
    engine = Engine(Catalogue([tiny_sdxl.parent]), device="cpu")
    factor = engine.prepare(tiny_sdxl.name).tools.autoencoder.factor
    channels = (4, 8, 8, 8)[: factor.bit_length()]
    network = awake(ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=channels), 1)
    network.save_pretrained(tmp_path / "xl_canny")
    wanted = spec(photo, {"model": str(tmp_path / "xl_canny")}, model=tiny_sdxl.name, steps=2)
    plain = spec(photo, model=tiny_sdxl.name, steps=2)
    assert (pixels(engine, wanted, tmp_path) != pixels(engine, plain, tmp_path)).any()


def test_a_network_is_loaded_once_and_goes_with_its_checkpoint(
    engine: Engine, photo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.unload()
    loads: list[str] = []
    own = nets.load_controlnet
    monkeypatch.setattr(nets, "load_controlnet", lambda entry, dtype: loads.append(entry.name) or own(entry, dtype))
    pixels(engine, spec(photo, {}, {"weight": 0.3}), tmp_path)
    pixels(engine, spec(photo, {}), tmp_path)
    assert loads == ["tiny_canny"]
    monkeypatch.setattr(nets, "KEPT", 1)
    pixels(engine, spec(photo, {"model": "tiny_depth"}), tmp_path)
    assert list(engine.prepare("tiny").tools.kept["controls"]) == [
        next(e.path for e in engine.catalogue.entries() if e.name == "tiny_depth")
    ]
    engine.unload()
    pixels(engine, spec(photo, {}), tmp_path)
    assert loads == ["tiny_canny", "tiny_depth", "tiny_canny"]


def test_without_a_name_the_one_that_fits_the_preprocessor_is_taken(engine: Engine, photo: str, tmp_path: Path) -> None:
    named = pixels(engine, spec(photo, {"model": "tiny_canny", "preprocessor": "canny"}), tmp_path)
    found = pixels(engine, spec(photo, {"model": "", "preprocessor": "canny"}), tmp_path)
    assert (named == found).all()
    with pytest.raises(UnknownModel, match="for scribble") as told:
        engine.render(spec(photo, {"model": "", "preprocessor": "scribble"}), tmp_path / "a.png")
    assert "tiny_canny" in told.value.hint


def refused(engine: Engine, wanted: RenderSpec, tmp_path: Path, kind: type[Exception], match: str) -> Any:
    steps: list[Any] = []
    target = tmp_path / "refused.png"
    with pytest.raises(kind, match=match) as told:
        engine.render(wanted, target, report=lambda e: steps.append(e) if e.get("stage") == "denoising" else None)
    assert not steps and not target.exists(), "refused before the first step"
    assert "\n" not in str(told.value)
    return told.value


def test_what_does_not_fit_is_refused_before_the_first_step(
    engine: Engine, photo: str, tmp_path: Path, tiny_checkpoint: Path, folder: Path
) -> None:
    refused(engine, spec(photo, {"model": "tiny_cany"}), tmp_path, UnknownModel, "tiny_cany")
    refused(engine, spec(photo, {"model": "tiny"}), tmp_path, BadWeights, "not a ControlNet")
    refused(engine, spec(photo, {"start": 0.6, "end": 0.5}), tmp_path, BadSpec, "begins at 0.6")
    refused(engine, spec(str(tmp_path / "none.png"), {}), tmp_path, BadImage, "no picture")
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    refused(engine, spec(str(empty), {}), tmp_path, BadImage, "0 bytes")
    # The program's own ControlNet is for the demo checkpoint.
    if (nets.DEMO / "config.json").is_file():
        refused(engine, spec(photo, {"model": nets.DEMO.name}), tmp_path, BadWeights, "channels")
    # One of Stable Diffusion 1.5's width, and one that halves the picture once more than the autoencoder.
    unet = UNet2DConditionModel.from_pretrained(tiny_checkpoint / "unet")
    config = {**unet.config, "cross_attention_dim": 768}
    wide = UNet2DConditionModel.from_config(config)
    ControlNetModel.from_unet(wide, conditioning_embedding_out_channels=SMALL).save_pretrained(tmp_path / "wide")
    error = refused(engine, spec(photo, {"model": str(tmp_path / "wide")}), tmp_path, BadWeights, "SD 1.5")
    assert "small SD" in error.message
    ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8, 8)).save_pretrained(tmp_path / "far")
    refused(engine, spec(photo, {"model": str(tmp_path / "far")}), tmp_path, BadWeights, "pixels a latent 4")
    T2IAdapter(channels=[8, 16], num_res_blocks=1, downscale_factor=2).save_pretrained(tmp_path / "older")
    refused(engine, spec(photo, {"model": str(tmp_path / "older")}), tmp_path, BadWeights, "like SD 1.5's")
    T2IAdapter(channels=[8, 32], num_res_blocks=1, downscale_factor=2).save_pretrained(tmp_path / "other")
    refused(engine, spec(photo, {"model": str(tmp_path / "other")}), tmp_path, BadWeights, "8-32")
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    refused(engine, spec(photo, {"model": str(torn)}), tmp_path, BadWeights, "torn")


def test_a_picture_gives_its_controls_back(engine: Engine, photo: str, tmp_path: Path) -> None:
    wanted = spec(photo, {"preprocessor": "canny", "low": 30, "weight": 0.4, "mode": "prompt"})
    made = engine.render(wanted, tmp_path / "a.png")
    again = RenderSpec.from_json(read(made.path).spec() or {})
    assert again.controls == wanted.controls == made.spec.controls
    assert again.controls[0]["low"] == 30


@pytest.mark.parametrize("kind", ["full_adapter", "light_adapter", "full_adapter_xl"])
@pytest.mark.parametrize("spelling", ["diffusers", "bare"])
def test_adapters_of_single_files_in_both_spellings(tmp_path: Path, kind: str, spelling: str) -> None:
    fold = 16 if kind == "full_adapter_xl" else 8
    torch.manual_seed(2)
    adapter = T2IAdapter(channels=[8, 16, 32, 32], num_res_blocks=2, downscale_factor=fold, adapter_type=kind)
    state = adapter.state_dict()
    if spelling == "bare":
        state = originally_named(state, light=kind == "light_adapter")
    path = tmp_path / "adapter.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    entry = Catalogue([tmp_path]).find("adapter")
    loaded = nets.load_adapter(entry, torch.float32)
    picture = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(loaded(picture), adapter(picture), strict=True))


def originally_named(state: dict[str, torch.Tensor], light: bool) -> dict[str, torch.Tensor]:
    found = {}
    for name, tensor in state.items():
        parts = name.removeprefix("adapter.").split(".")
        if light and "resnets" in parts:
            parts[2] = "body"
        elif not light and parts[0] == "body":
            level = int(parts[1])
            block, rest = (int(parts[3]), parts[4:]) if parts[2] == "resnets" else (0, parts[2:])
            parts = ["body", str(2 * level + block), *rest]
        found[".".join(parts)] = tensor
    return found

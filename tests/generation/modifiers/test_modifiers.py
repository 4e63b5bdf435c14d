"""Modifiers: what each does to numbers that can be counted by hand, and that nothing of it stays behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from generation.catalogue import Catalogue, ModelEntry
from generation.engine import Engine
from generation.errors import BadSpec, GenerationError
from generation.modifiers.deepcache import Kept
from generation.modifiers.fast import hints
from generation.modifiers.freeu import freeu, numbers
from generation.modifiers.merging import Matching, drawn
from generation.modifiers.refiner import refuse
from generation.modifiers.tiling import tiling
from generation.specs import ModelDefaults, RenderSpec


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


@pytest.fixture(scope="module")
def engines(tiny_checkpoint: Path, tiny_sdxl: Path) -> dict[str, Engine]:
    folders = {"sd": tiny_checkpoint, "sdxl": tiny_sdxl}
    return {name: Engine(Catalogue([folder.parent]), device="cpu") for name, folder in folders.items()}


def spec(**modifiers: Any) -> RenderSpec:
    more = {name: modifiers.pop(name) for name in list(modifiers) if name in {"batch", "cfg", "steps", "regions",
            "options", "prompt", "sampler"}}  # fmt: skip
    return RenderSpec(**{"prompt": "fox", "model": "tiny", "seed": 5, **more}, modifiers=modifiers)


ALL = [
    {"freeu": "auto"},
    {"tiling": "both"},
    {"tiling": "x"},
    {"token_merging": 0.5},
    {"deepcache": 2},
    {"freeu": "sdxl", "tiling": "y", "token_merging": 0.25, "deepcache": 3},
]


@pytest.mark.parametrize("modifiers", ALL)
@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_each_changes_the_picture_and_leaves_nothing_behind(
    engines: dict[str, Engine], tmp_path: Path, family: str, modifiers: dict[str, Any]
) -> None:
    engine = engines[family]
    plain = pixels(engine.render(spec(), tmp_path / "a.png").path)
    loaded = engine.prepare("tiny")
    models = (loaded.pipe.unet, loaded.pipe.vae)
    before = [(m, set(vars(m)), len(m._forward_hooks) + len(m._forward_pre_hooks)) for x in models for m in x.modules()]
    changed = engine.render(spec(**modifiers), tmp_path / "b.png")
    assert (pixels(changed.path) != plain).any()
    assert changed.spec.modifiers == modifiers
    assert before == [
        (m, set(vars(m)), len(m._forward_hooks) + len(m._forward_pre_hooks)) for x in models for m in x.modules()
    ]
    assert (pixels(engine.render(spec(), tmp_path / "c.png").path) == plain).all()
    again = pixels(engine.render(spec(**modifiers), tmp_path / "d.png").path)
    assert (again == pixels(changed.path)).all()


@pytest.mark.parametrize(
    "modifiers", [{"freeu": "off"}, {"tiling": "off"}, {"token_merging": 0.0}, {"deepcache": 1}, {"refiner": ""}]
)
def test_what_is_off_is_not_there(modifiers: dict[str, Any]) -> None:
    assert spec(**modifiers).modifiers == {}


def test_with_regions_and_batches_and_without_guidance(engines: dict[str, Engine], tmp_path: Path) -> None:
    region = {"prompt": "a car", "place": "left"}
    for more in ({"regions": (region,)}, {"batch": 2, "cfg": 1.0}, {"prompt": "fox AND cat"}, {"sampler": "Heun"}):
        for modifiers in ({"token_merging": 0.5}, {"deepcache": 2}, {"freeu": "auto", "tiling": "both"}):
            made = engines["sd"].render(spec(**modifiers, **more), tmp_path / "a.png")
            assert pixels(made.path).std() > 0


# FreeU


def test_freeu_has_the_familys_numbers_unless_others_are_given() -> None:
    assert numbers({"freeu": "auto"}, "sdxl") == {"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2}
    assert numbers({"freeu": "auto"}, "sd15-small")["b1"] == 1.5
    assert numbers({"freeu": "sd2", "freeu_s2": 0.5}, "sdxl") == {"b1": 1.4, "b2": 1.6, "s1": 0.9, "s2": 0.5}


def test_freeu_is_taken_away_even_when_the_render_fails(engines: dict[str, Engine]) -> None:
    unet = engines["sd"].prepare("tiny").pipe.unet
    unet.up_blocks[0].s1 = 0.7
    try:
        with pytest.raises(RuntimeError), freeu(unet, {"s1": 0.9, "b1": 1.5}):
            assert unet.up_blocks[0].s1 == 0.9
            raise RuntimeError
        assert unet.up_blocks[0].s1 == 0.7
        assert "b1" not in vars(unet.up_blocks[0])
    finally:
        del unet.up_blocks[0].s1


# Tiling


@pytest.mark.parametrize(("across", "down"), [(True, False), (False, True), (True, True), (False, False)])
def test_a_seamless_model_does_not_know_where_the_picture_begins(
    engines: dict[str, Engine], across: bool, down: bool
) -> None:
    """Latents moved round a side give the picture moved round that side, along the sides that are seamless alone."""
    pipe = engines["sd"].prepare("tiny").pipe
    generator = torch.Generator().manual_seed(0)
    latents, text = torch.randn(1, 4, 16, 16, generator=generator), torch.randn(1, 77, 16, generator=generator)
    with torch.no_grad(), tiling((pipe.unet, pipe.vae), across, down):
        for dim, whole in ((3, across), (2, down)):
            noise = [pipe.unet(one, 500, text, return_dict=False)[0] for one in (latents, latents.roll(4, dim))]
            picture = [pipe.vae.decode(one, return_dict=False)[0] for one in noise]
            moved = picture[0].roll(8, dim)
            assert (torch.allclose(moved, picture[1], atol=1e-4)) == whole


# Token merging


def test_matching_by_hand() -> None:
    a, b = [1.0, 0.0], [0.0, 1.0]
    # Targets 0 and 3; of the others, 1 is exactly like 0, and 2 and 4 are less like anything.
    features = torch.tensor([[a, [2.0, 0.0], [1.0, 0.9], b, [0.8, 1.0]]])
    matching = Matching(features, torch.tensor([0, 3]), 0.2)
    merged = matching.merge(features)
    assert merged.shape == (1, 4, 2)
    assert torch.allclose(merged[0, 2], torch.tensor([1.5, 0.0]))
    assert torch.allclose(merged[0, 3], torch.tensor(b))
    assert {tuple(row) for row in merged[0, :2].tolist()} == {tuple(features[0, n].tolist()) for n in (2, 4)}
    parted = matching.part(merged)
    assert torch.allclose(parted[0, 0], torch.tensor([1.5, 0.0]))
    assert torch.equal(parted[0, 1], parted[0, 0])
    assert torch.equal(parted[0, 2:], features[0, 2:])


def test_merging_nothing_gives_every_place_back() -> None:
    features = torch.randn(2, 24, 8, generator=torch.Generator().manual_seed(1))
    targets = drawn(4, 6, torch.Generator().manual_seed(2))
    matching = Matching(features, targets, 0.0)
    assert torch.equal(matching.part(matching.merge(features)), features)
    most = Matching(features, targets, 0.75)
    assert most.merge(features).shape == (2, 6, 8)
    assert most.part(most.merge(features)).shape == features.shape


def test_one_target_is_drawn_in_each_cell() -> None:
    targets = drawn(5, 7, torch.Generator().manual_seed(0))
    cells = {(int(t) // 7 // 2, int(t) % 7 // 2) for t in targets}
    assert len(targets) == len(cells) == 6
    assert all(y < 2 and x < 3 for y, x in cells)
    assert drawn(5, 7, torch.Generator().manual_seed(0)).tolist() == targets.tolist()


def test_attention_reads_fewer_places_at_the_outermost_level_alone(engines: dict[str, Engine], tmp_path: Path) -> None:
    seen: dict[str, set[int]] = {"attn1": set(), "attn2": set()}
    unet = engines["sd"].prepare("tiny").pipe.unet
    handles = [
        module.to_q.register_forward_pre_hook(lambda _, args, n=name[-5:]: seen[n].add(args[0].shape[1]))
        for name, module in unet.named_modules()
        if name.endswith(("attn1", "attn2")) and not name.startswith("mid")
    ]
    engines["sd"].render(spec(token_merging=0.5), tmp_path / "a.png")
    for handle in handles:
        handle.remove()
    # 64 pixels are 32 latents, 16 at the second level: 256 places, half of which are merged.
    assert seen == {"attn1": {128}, "attn2": {256}}


# DeepCache


def test_the_inner_layers_are_computed_every_few_steps(engines: dict[str, Engine], tmp_path: Path) -> None:
    unet = engines["sd"].prepare("tiny").pipe.unet
    watched = {
        "first": unet.down_blocks[0].resnets[0],
        "mid": unet.mid_block.resnets[0],
        "upsampler": unet.up_blocks[0].upsamplers[0].conv,
        "last but one": unet.up_blocks[1].resnets[0],
        "last": unet.up_blocks[1].resnets[1],
    }
    calls = dict.fromkeys(watched, 0)

    def count(name: str) -> Any:
        def hook(*_: Any) -> None:
            calls[name] += 1

        return hook

    # Watched from inside each layer: a layer that answers from what was kept is still called.
    inner = {name: getattr(module, "conv1", module) for name, module in watched.items()}
    handles = [module.register_forward_hook(count(name)) for name, module in inner.items()]

    def counted(**modifiers: Any) -> list[int]:
        calls.update(dict.fromkeys(calls, 0))
        engines["sd"].render(spec(steps=8, **modifiers), tmp_path / "a.png")
        return list(calls.values())

    assert counted() == [8, 8, 8, 8, 8]
    assert counted(deepcache=3) == [3, 3, 3, 3, 8]
    assert counted(deepcache=3, deepcache_layers=2) == [8, 3, 3, 8, 8]
    options = {"hires_scale": 1.5, "hires_strength": 0.5}
    assert counted(deepcache=3, options=options) == [5, 5, 5, 5, 12]
    # Another text in the middle is another question.
    assert counted(deepcache=8, prompt="[fox:cat:0.5]") == [2, 2, 2, 2, 8]
    for handle in handles:
        handle.remove()


def test_answers_belong_to_their_question_and_cannot_be_written_into() -> None:
    kept = Kept(2)
    texts, rows = torch.zeros(1), torch.zeros(2, 4)

    def asked(value: float) -> torch.Tensor:
        kept.begin()
        found: torch.Tensor = kept.answer("a", lambda: torch.full((1,), value))
        return found

    kept.follow(rows, 0, texts, {}, 0.0)
    first, other = asked(0.0), asked(1.0)
    first += 9
    kept.follow(rows, 0, texts, {}, 0.5)
    assert (asked(5.0).item(), asked(5.0).item()) == (0, 1)
    assert other.item() == 1
    kept.follow(rows, 0, texts, {}, 0.75)
    assert asked(5.0).item() == 5
    assert kept.computed == 3


def test_with_nothing_left_out_or_nothing_kept_it_is_the_plain_render(
    engines: dict[str, Engine], tmp_path: Path
) -> None:
    """A sampler's second question at a step is another step, and one step cannot keep anything."""
    for more in ({"steps": 1}, {"steps": 1, "prompt": "fox AND cat", "batch": 2}):
        plain, cached = (
            pixels(engines["sd"].render(spec(**more, **modifiers), tmp_path / "a.png").paths[-1])
            for modifiers in ({}, {"deepcache": 5})
        )
        assert (plain == cached).all()


def test_a_model_without_inner_layers_is_refused(engines: dict[str, Engine], tmp_path: Path) -> None:
    with pytest.raises(BadSpec, match="has 4 layers, none inside 4") as caught:
        engines["sd"].render(spec(deepcache=2, deepcache_layers=4), tmp_path / "a.png")
    assert caught.value.hint == "Set deepcache_layers to 3."


# Refiner


@pytest.fixture(scope="module")
def refined(tiny_checkpoint: Path, tiny_sdxl: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Engine]:
    """Each checkpoint beside a second one with other weights of the UNet; the last a refiner with one text encoder."""
    from diffusers import StableDiffusionXLImg2ImgPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    found = {}
    for name, folder in (("sd", tiny_checkpoint), ("sdxl", tiny_sdxl)):
        root = tmp_path_factory.mktemp(name)
        shutil.copytree(folder, root / "tiny")
        shutil.copytree(folder, root / "other")
        torch.manual_seed(9)
        config = UNet2DConditionModel.load_config(root / "other" / "unet")
        UNet2DConditionModel.from_config(config).save_pretrained(root / "other" / "unet")
        about = json.loads((folder / "atelier.json").read_text())
        (root / "other" / "atelier.json").write_text(json.dumps({**about, "name": "other"}))
        shutil.copytree(root / "other", root / "same")
        shutil.rmtree(root / "same" / "unet")
        shutil.copytree(folder / "unet", root / "same" / "unet")
        (root / "same" / "atelier.json").write_text(json.dumps({**about, "name": "same"}))
        found[name] = Engine(Catalogue([root]), device="cpu")
    pipe: Any = found["sdxl"].prepare("other").pipe
    config = {**pipe.unet.config, "cross_attention_dim": 24, "projection_class_embeddings_input_dim": 8 * 5 + 20}
    encoder = CLIPTextModelWithProjection(
        CLIPTextConfig(hidden_size=24, projection_dim=20, vocab_size=49408, intermediate_size=32, num_hidden_layers=3,
                       num_attention_heads=2, max_position_embeddings=77)
    )  # fmt: skip
    StableDiffusionXLImg2ImgPipeline(
        pipe.vae, None, encoder, None, pipe.tokenizer_2, UNet2DConditionModel.from_config(config), pipe.scheduler,
        requires_aesthetics_score=True, add_watermarker=False,
    ).save_pretrained(root / "finisher")  # fmt: skip
    about = {"name": "finisher", "family": "sdxl-refiner", "width": 64, "height": 64, "steps": 4, "cfg": 3.0}
    (root / "finisher" / "atelier.json").write_text(json.dumps({**about, "sampler": "Euler"}))
    found["sdxl"] = Engine(Catalogue([root]), device="cpu")
    return found


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_the_refiner_takes_the_last_steps(refined: dict[str, Engine], tmp_path: Path, family: str) -> None:
    engine = refined[family]
    plain = pixels(engine.render(spec(), tmp_path / "a.png").path)
    other = pixels(engine.render(RenderSpec("fox", model="other", seed=5), tmp_path / "b.png").path)

    def made(**modifiers: Any) -> np.ndarray:
        return pixels(engine.render(spec(**modifiers), tmp_path / "c.png").path)

    assert (made(refiner="other", refiner_switch=1.0) == plain).all()
    assert (made(refiner="other", refiner_switch=0.0) == other).all()
    assert (made(refiner="same", refiner_switch=0.5) == plain).all()
    half = made(refiner="other", refiner_switch=0.5)
    assert (half != plain).any()
    assert (half != other).any()
    for more in ({"cfg": 1.0, "batch": 2}, {"prompt": "fox AND (red:1.2) cat"}):
        assert made(refiner="other", **more).std() > 0
    composed = made(refiner="other", refiner_switch=0.0, prompt="fox AND cat")
    alone = RenderSpec("fox AND cat", model="other", seed=5)
    assert (composed == pixels(engine.render(alone, tmp_path / "d.png").path)).all()


def test_sdxls_refiner_reads_with_one_encoder_and_is_told_a_score(refined: dict[str, Engine], tmp_path: Path) -> None:
    engine = refined["sdxl"]
    asked: list[dict[str, Any]] = []
    made = engine.render(spec(refiner="finisher", refiner_switch=0.5), tmp_path / "a.png")
    assert pixels(made.path).std() > 0
    unet = engine.prepare("tiny").tools.kept["refiner"][1].unet
    handle = unet.register_forward_pre_hook(lambda _, args, named: asked.append(named), with_kwargs=True)
    engine.render(spec(refiner="finisher", refiner_switch=0.5), tmp_path / "a.png")
    handle.remove()
    assert len(asked) == 2
    assert asked[0]["added_cond_kwargs"]["time_ids"].tolist() == [[64, 64, 0, 0, 2.5], [64, 64, 0, 0, 6.0]]
    assert asked[0]["encoder_hidden_states"].shape == (2, 77, 24)


def entry(name: str, family: str, prediction: str = "") -> ModelEntry:
    return ModelEntry(name, name, "checkpoint", family, 0, ModelDefaults(), prediction=prediction)


def test_refiners_of_another_kind_are_refused(engines: dict[str, Engine], tmp_path: Path) -> None:
    refuse(entry("a", "sdxl-refiner"), entry("b", "sdxl"))
    refuse(entry("a", "sd15"), entry("b", "sd15-inpainting"))
    for one, other in (("sdxl-refiner", "sd15"), ("sd15", "sdxl"), ("sd2", "sd15")):
        with pytest.raises(BadSpec, match="cannot refine"):
            refuse(entry("a", one), entry("b", other))
    with pytest.raises(BadSpec, match="predicts something else"):
        refuse(entry("a", "sdxl", "v"), entry("b", "sdxl"))
    with pytest.raises(GenerationError) as caught:
        engines["sd"].render(spec(refiner="nowhere"), tmp_path / "a.png")
    assert "nowhere" in caught.value.message


# Fast models


def test_settings_far_from_a_fast_models_are_said() -> None:
    slow = RenderSpec("a", steps=20, cfg=7.0)
    found = hints(["lcm-lora-sdv1-5", "fox style"], "sd15", slow)
    assert len(found) == 1
    assert found[0].startswith("lcm-lora-sdv1-5 is made for 6 steps, CFG 1.5 and LCM")
    assert hints(["lcm-lora-sdv1-5"], "sd15", RenderSpec("a", steps=8, cfg=1.5)) == []
    assert len(hints(["lcm-lora-sdv1-5"], "sd15", RenderSpec("a", steps=8, cfg=7.0))) == 1
    assert len(hints(["sdxl_lightning_4step_lora"], "sdxl", RenderSpec("a", steps=12, cfg=1.0))) == 1

"""What leads and holds an animation beside its prompts: guided images, masks, denoising again, units of ControlNet."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from fake_painting import Engines, FakePainter, animate, pixels, settings
from PIL import Image

from generation.animation import deforum, video
from generation.animation.controlling import MODULES, preprocessor
from generation.animation.frames import load
from generation.animation.guided import Guides
from generation.animation.masks import Masks
from generation.animation.timelines import Timeline
from generation.catalogue import Catalogue
from generation.engine import Engine
from generation.errors import BadImage, BadSpec, BadVideo, GenerationError
from generation.preprocessors import PREPROCESSORS

STILL: dict[str, Any] = {
    "diffusion_cadence": 1, "angle": "0:(0)", "zoom": "0:(1)", "translation_x": "0:(0)", "noise_schedule": "0:(0)",
    "amount_schedule": "0:(0)", "color_coherence": "None", "border": "wrap",
}  # fmt: skip


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Path) -> Engines:
    monkeypatch.setattr(deforum, "Painter", FakePainter)
    return Engines(tiny_checkpoint.parent)


def plain(path: Path, colour: tuple[int, int, int]) -> str:
    Image.new("RGB", (32, 32), colour).save(path)
    return str(path)


# Guided images


def guided(tmp_path: Path, **changes: Any) -> Any:
    red, blue = plain(tmp_path / "red.png", (255, 0, 0)), plain(tmp_path / "blue.png", (0, 0, 255))
    return settings(use_looper=True, init_images=json.dumps({"0": red, "max_f/2": blue}), **{**STILL, **changes})


def test_which_picture_leads_and_how_strongly(tmp_path: Path) -> None:
    told = guided(tmp_path, max_frames=41, tweening_frames_schedule="0:(8)", blendFactorSlope="0:(0.2)")
    guides = Guides(Timeline(told, 5), (32, 32))
    assert [guides.at(n)[0, 0].tolist() for n in (0, 19, 20, 40)] == [[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]]
    swell = [0.35 - 0.2 * math.cos((n % 8) / 4) for n in range(9)]
    assert [guides.share(n) for n in range(9)] == pytest.approx(swell)
    assert [guides.share(n) for n in (9, 19)] == [0.07, 0.07], "between swells it rests"
    assert guides.share(20) == pytest.approx(0.35 - 0.2 * math.cos(20 % 8 / 4)), "every 20 frames anew"
    behind = [guides.share(n) for n in (24, 25, 33, 34)]
    assert behind == pytest.approx([0.07, *(0.35 - 0.2 * math.cos(n % 8 / 4) for n in (25, 33)), 0.07]), "every 25"
    assert (guides.strength(3), guides.colour(3)) == (0.75, 0.075)


def test_frames_start_from_a_mixture_and_get_its_colours(tmp_path: Path, fake: Any) -> None:
    told = guided(
        tmp_path, max_frames=5, blendFactorMax="0:(0.5)", blendFactorSlope="0:(0)", image_strength_schedule="0:(0.9)",
        color_correction_factor="0:(1)", strength_schedule="0:(0.1)",
    )  # fmt: skip
    animate(told, tmp_path / "frames", fake)
    asked = FakePainter.asked
    assert np.allclose(asked[0].picture, [1, 0, 0]), "the first frame starts from the first picture"
    assert [frame.strength for frame in asked] == pytest.approx([0.1] * 5), "the pictures' strength, not the schedule's"
    first = load(tmp_path / "frames/000001.png").astype(float) / 255
    half = (first + np.array([0, 0, 1])) / 2
    assert np.abs(asked[2].picture - half).max() < 0.01, "half of the frame before, half of what leads"
    last = load(tmp_path / "frames/000004.png").astype(float)
    assert last[..., 2].mean() > 1.5 * last[..., 0].mean(), "the colours are those of the picture that leads"
    seeds = [frame.spec.seed for frame in asked]
    assert [seeds[n] for n in (0, 3, 4)] == [5] * 3 and len(set(seeds)) == 3, "seeds go by their schedule"


def test_it_goes_on_with_the_same_frames(tmp_path: Path, fake: Any) -> None:
    told = guided(tmp_path, diffusion_redo=1, optical_flow_redo_generation="DIS Fast", diffusion_cadence=2)
    animate(told, tmp_path / "whole", fake)
    animate(told, tmp_path / "again", fake)
    for path in sorted((tmp_path / "again").glob("[0-9]*.png"))[4:]:
        path.unlink()
    animate(told, tmp_path / "again", fake)
    assert pixels(tmp_path / "again") == pixels(tmp_path / "whole")


def test_a_picture_that_changed_is_another_setting(tmp_path: Path, fake: Any) -> None:
    mask = plain(tmp_path / "mask.png", (255, 255, 255))
    told = guided(tmp_path, max_frames=3, use_noise_mask=True, noise_mask_schedule=f'0:("[{mask}]")')
    animate(told, tmp_path / "frames", fake)
    assert animate(told, tmp_path / "frames", fake).made == 0
    for name in ("blue.png", "mask.png"):
        Image.new("RGB", (40, 40), (7, 8, 9)).save(tmp_path / name)
        with pytest.raises(BadSpec, match="other settings"):
            animate(told, tmp_path / "frames", fake)
        animate(told, tmp_path / "frames", fake, fresh=True)


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ("", "init_images: there is no picture"),
        ('{"0": 5}', "no text"),
        ('{"3": "x.png"}', "frame 0"),
        ('{"0": "https://deforum.github.io/a1/Gi1.png"}', "is an address"),
        ('{"0": "/nowhere.png"}', "/nowhere.png"),
        ('{"0": ""}', "init_images is empty"),
        ('{"0": "a', "no JSON"),
    ],
)
def test_pictures_that_cannot_lead_are_one_line(images: str, told: str, tmp_path: Path, fake: Any) -> None:
    with pytest.raises(GenerationError) as caught:
        animate(settings(use_looper=True, init_images=images, **STILL), tmp_path / "frames", fake)
    assert told in caught.value.message and caught.value.hint and "\n" not in caught.value.message


# Masks


def halves(tmp_path: Path) -> dict[str, str]:
    """The left half white, and the upper one."""
    found = {}
    for name, place in (("left", np.s_[:, :16]), ("upper", np.s_[:16, :])):
        mask = np.zeros((32, 32), np.uint8)
        mask[place] = 255
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
        found[name] = str(tmp_path / f"{name}.png")
    return found


def corners(mask: np.ndarray | None) -> list[float] | None:
    """Upper left, upper right, lower left, lower right."""
    return None if mask is None else [float(mask[y, x]) for y in (4, 28) for x in (4, 28)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{video_mask}", [1, 0, 1, 0]),
        ("!{video_mask}", [0, 1, 0, 1]),
        ("{video_mask} & [UPPER]", [1, 0, 0, 0]),
        ("{video_mask} | [UPPER]", [1, 1, 1, 0]),
        ("{video_mask} ^ [UPPER]", [0, 1, 1, 0]),
        ("{video_mask} \\ [UPPER]", [0, 0, 1, 0]),
        ("!({everywhere}^({init_mask}|{video_mask}) ) ", [1, 0, 1, 0]),
        ("{everywhere} \\ {video_mask} & [UPPER]", [0, 1, 1, 1]),
        ("!{video_mask} | [UPPER] & {video_mask}", [1, 1, 0, 1]),
        ("{everywhere}", None),
    ],
)
def test_masks_are_put_together(text: str, wanted: list[float] | None, tmp_path: Path) -> None:
    files = halves(tmp_path)
    told = settings(
        use_mask=True, mask_file=files["left"], mask_schedule=f'0:("{text.replace("UPPER", files["upper"])}")'
    )
    assert corners(Masks(Timeline(told, 5), (32, 32)).at(0)) == wanted


def test_masks_change_with_their_schedule_and_the_whole_is_inverted(tmp_path: Path) -> None:
    files = halves(tmp_path)
    told = settings(
        use_mask=True, mask_file=files["left"], invert_mask=True, max_frames=6,
        mask_schedule=f'0:("{{video_mask}}"), 3:("{{video_mask}} & [{files["upper"]}]")',
    )  # fmt: skip
    masks = Masks(Timeline(told, 5), (32, 32))
    assert corners(masks.at(0)) == [0, 1, 0, 1] and corners(masks.at(5)) == [0, 1, 1, 1]
    assert corners(masks.noise(5)) == [0, 1, 1, 1], "noise is put where the frame changes"
    apart = told.changed({"use_noise_mask": True, "noise_mask_schedule": f'0:("[{files["upper"]}]")'})
    masks = Masks(Timeline(apart, 5), (32, 32))
    assert corners(masks.noise(0)) == [0, 0, 1, 1] and corners(masks.at(0)) == [0, 1, 0, 1]


def test_noise_is_put_where_its_mask_is_white(tmp_path: Path, fake: Any) -> None:
    files = halves(tmp_path)
    told = settings(
        use_noise_mask=True, max_frames=2, **{**STILL, "noise_schedule": "0:(0.5)", "strength_schedule": "0:(0.5)"},
        noise_mask_schedule=f'0:("[{files["left"]}]")',
    )  # fmt: skip
    animate(told, tmp_path / "frames", fake)
    first, second = load(tmp_path / "frames/000000.png") / 255, FakePainter.asked[1].picture
    change = np.abs(second - first)
    assert change[:, 16:].max() < 1e-5 and change[:, :16].max() > 0.05
    assert FakePainter.asked[1].mask is None, "what the model changes is another mask's matter"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{vidoe_mask}", 'no mask "vidoe_mask"'),
        ("{human_mask}", "human_mask"),
        ("<a cat>", "<a cat>"),
        ("{video_mask} &", "a mask is missing"),
        ("{video_mask} {video_mask}", "not expected"),
        ("({video_mask}", "not closed"),
        ("({video_mask}))", "bracket closes"),
        ("& {video_mask}", '"&" stands'),
        ("{video_mask", '"{" stands'),
        ("(" * 200 + "{video_mask}" + ")" * 200, "too deeply"),
        ("[/nowhere.png]", "/nowhere.png"),
        ("[https://example.org/x.png]", "is an address"),
    ],
)
def test_masks_that_cannot_be_are_one_line(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(GenerationError) as caught:
        line = Timeline(settings(use_noise_mask=True, noise_mask_schedule=f"0:({text})"), 5)
        Masks(line, (32, 32))
    assert told in caught.value.message or told in str(caught.value)
    assert caught.value.hint and "\n" not in caught.value.message


# Denoised again


def test_a_frame_is_denoised_before_it_counts(tmp_path: Path, fake: Any) -> None:
    told = settings(max_frames=3, diffusion_redo=2, strength_schedule="0:(0.5)", **STILL)
    animate(told, tmp_path / "frames", fake)
    asked = FakePainter.asked
    assert len(asked) == 1 + 3 + 3, "twice before, from the second frame on"
    assert asked[3].spec.seed == 6 and len({frame.spec.seed for frame in asked}) == 7
    for before, now in ((asked[1], asked[2]), (asked[2], asked[3])):
        made = before.picture / 2 + np.random.default_rng(before.spec.seed).random((32, 32, 3), dtype=np.float32) / 2
        assert np.abs(now.picture - made).max() < 1e-5, "each starts from the one before"
    animate(told.changed({"strength_schedule": "0:(0)"}), tmp_path / "none", fake)
    assert len(FakePainter.asked) == 3, "where nothing stays there is nothing to do again"


def test_the_flow_to_what_a_frame_becomes_is_followed(tmp_path: Path, fake: Any, monkeypatch: Any) -> None:
    """A painter that moves what it gets by two pixels: the frame starts from it, moved by as much again."""
    texture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)).resize((64, 64))
    texture.save(tmp_path / "init.png")

    def paint(self: Any, frame: Any) -> np.ndarray:
        self.asked.append(frame)
        return frame.picture if frame.strength == 0 else np.roll(frame.picture, 2, 1)

    monkeypatch.setattr(FakePainter, "paint", paint)
    told = settings(
        W=64, H=64, max_frames=2, use_init=True, init_image=str(tmp_path / "init.png"), strength=1.0,
        optical_flow_redo_generation="DIS Fine", strength_schedule="0:(0.5)", **STILL,
    )  # fmt: skip
    inside = np.s_[12:-12, 12:-12]
    for factor, way in (("1", 4), ("0", 2)):
        animate(told.changed({"redo_flow_factor_schedule": f"0:({factor})"}), tmp_path / factor, fake)
        started, first = FakePainter.asked[2].picture, load(tmp_path / factor / "000000.png") / 255
        apart = {n: np.abs(started - np.roll(first, n, 1))[inside].mean() for n in (0, 2, 4, 6)}
        assert min(apart, key=lambda n: apart[n]) == way, apart


# Units of ControlNet


def test_every_preprocessor_has_a_place() -> None:
    assert set(MODULES.values()) <= set(PREPROCESSORS)
    for told, ours in {
        "canny": "canny",
        "depth_midas": "depth",
        "lineart_anime": "lineart",
        "openpose_full": "dwpose",
        "dw_openpose_full": "dwpose",
        "scribble_pidinet": "scribble",
        "softedge_hed": "softedge",
        "normal_bae": "normal",
        "seg_ofade20k": "segmentation",
        "tile_resample": "tile",
        "invert (from white bg & black line)": "invert",
        "None": "none",
    }.items():
        assert preprocessor(told, "cn_1_module") == ours
    for told in ("mlsd", "reference_only", "ip-adapter_clip_sd15"):
        with pytest.raises(BadSpec, match=f'cn_2_module "{told}'):
            preprocessor(told, "cn_2_module")


def test_units_are_controls_of_each_frame(tmp_path: Path, fake: Any) -> None:
    photo = plain(tmp_path / "photo.png", (9, 9, 9))
    video.write((np.full((32, 32, 3), 240 - 40 * n, np.uint8) for n in range(6)), tmp_path / "clip.mkv", 10)
    seen: list[list[float]] = []
    plain_paint = FakePainter.paint

    def paint(self: Any, frame: Any) -> np.ndarray:
        seen.append([load(Path(one["image"])).mean() for one in frame.spec.controls])
        return plain_paint(self, frame)

    told = settings(
        max_frames=3, **STILL, cn_1_enabled=True, cn_1_module="canny", cn_1_model="control_v11p_sd15_canny [d14c016b]",
        cn_1_vid_path=photo, cn_1_weight="0:(0.2), 2:(0.6)", cn_1_guidance_start="0:(0.1)", cn_1_threshold_a=150,
        cn_1_control_mode="My prompt is more important", cn_1_resize_mode="Just Resize",
        cn_3_enabled=True, cn_3_vid_path=str(tmp_path / "clip.mkv"), cn_3_guidance_end="0:(1), 2:(0)",
        cn_4_enabled=True, cn_4_loopback_mode=True, cn_4_vid_path=photo,
        cn_5_enabled=True, cn_5_vid_path=photo, cn_5_weight="0:(0)",
    )  # fmt: skip
    fake_paint, FakePainter.paint = FakePainter.paint, paint  # type: ignore[method-assign]
    try:
        animate(told, tmp_path / "frames", fake)
    finally:
        FakePainter.paint = fake_paint  # type: ignore[method-assign]
    units = [frame.spec.controls for frame in FakePainter.asked]
    assert [len(one) for one in units] == [2, 3, 2], "loopback has nothing at first; an end of 0 is none"
    canny = units[2][0]
    assert canny["model"] == "control_v11p_sd15_canny" and canny["image"] == photo and canny["preprocessor"] == "canny"
    assert (canny["low"], canny["high"], canny["mode"], canny["resize"]) == (64, 150, "prompt", "stretch")
    assert [one[0]["weight"] for one in units] == pytest.approx([0.2, 0.4, 0.6])
    assert {one[0]["start"] for one in units} == {0.1} and units[0][1]["end"] == 1 and units[1][1]["end"] == 0.5
    assert [one[1] for one in seen[:2]] == pytest.approx([240, 200], abs=3), "its frames go along"
    before = FakePainter.asked[1].picture.mean() * 255
    assert seen[1][2] == pytest.approx(before, abs=1) and seen[1][2] != pytest.approx(9, abs=2)


def test_a_unit_steers_a_frame(tmp_path: Path, tiny_checkpoint: Path) -> None:
    """A network of random weights that acts: the frame is another, and at weight 0 the same to the bit."""
    network = ControlNetModel.from_unet(
        UNet2DConditionModel.from_pretrained(tiny_checkpoint / "unet"), conditioning_embedding_out_channels=(4, 8)
    )
    torch.manual_seed(0)
    for name, parameter in network.named_parameters():
        if name.startswith(("controlnet_down_blocks", "controlnet_mid_block", "controlnet_cond_embedding.conv_out")):
            torch.nn.init.normal_(parameter, std=0.3)
    network.save_pretrained(tmp_path / "networks" / "tiny_canny")
    engine = Engine(Catalogue([tiny_checkpoint.parent, tmp_path / "networks"]), device="cpu")
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    told = settings(max_frames=2, cn_2_enabled=True, cn_2_model="tiny_canny", cn_2_vid_path=str(tmp_path / "photo.png"))
    frames = {}
    for weight in ("0", "1"):
        animate(told.changed({"cn_2_weight": f"0:({weight})"}), tmp_path / weight, engine)
        frames[weight] = load(tmp_path / weight / "000000.png").astype(int)
    animate(settings(max_frames=2), tmp_path / "plain", engine)
    assert np.array_equal(frames["0"], load(tmp_path / "plain/000000.png"))
    assert np.abs(frames["1"] - frames["0"]).mean() > 1
    with pytest.raises(GenerationError, match="nowhere"):
        animate(told.changed({"cn_2_model": "nowhere"}), tmp_path / "wrong", engine)
    engine.unload()


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"cn_1_module": "mlsd"}, BadSpec, "mlsd"),
        ({"cn_1_vid_path": "https://example.org/x.mp4"}, BadSpec, "is an address"),
        ({"cn_1_vid_path": "/nowhere.mp4"}, BadVideo, "/nowhere.mp4"),
        ({"cn_1_vid_path": "/nowhere.png"}, BadImage, "/nowhere.png"),
    ],
)
def test_units_that_cannot_be_are_one_line(
    changes: dict[str, Any], error: type[GenerationError], told: str, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    network = ControlNetModel.from_unet(
        UNet2DConditionModel.from_pretrained(tiny_checkpoint / "unet"), conditioning_embedding_out_channels=(4, 8)
    )
    network.save_pretrained(tmp_path / "networks" / "tiny")
    engine = Engine(Catalogue([tiny_checkpoint.parent, tmp_path / "networks"]), device="cpu")
    with pytest.raises(error) as caught:
        animate(settings(cn_1_enabled=True, cn_1_model="tiny", **changes), tmp_path / "frames", engine)
    assert told in caught.value.message and caught.value.hint and "\n" not in caught.value.message

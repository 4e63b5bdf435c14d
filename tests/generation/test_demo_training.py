"""The training loop, the text's conditions and the stages of the demo checkpoint, on tiny random models."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from torch import nn

from generation.catalogue import BUNDLED
from generation.conditioning import Conditioner
from generation.demo import classifier, dataset, export, scenes, text, train_unet, train_vae
from generation.demo.loop import Average, train
from generation.demo.scenes import Word
from generation.demo.subjects import STYLES, SUBJECTS
from generation.errors import GenerationError
from generation.prompts.tokens import ClipTokenizer

TOKENIZER = BUNDLED / "tokenizer"


@pytest.fixture(scope="module")
def words() -> text.Words:
    return text.Words(TOKENIZER)


def fit(folder: Path, steps: int, stop: int | None = None) -> nn.Linear:
    """A line fitted to a line; `stop` raises at that step, after the state was saved."""
    torch.manual_seed(5)
    model = nn.Linear(3, 1)

    def step(number: int) -> torch.Tensor:
        if number == stop:
            raise KeyboardInterrupt
        x = torch.randn(8, 3)
        return (model(x) - x.sum(1, keepdim=True)).pow(2).mean()

    train("line", [model], step, steps=steps, rate=1e-2, folder=folder)
    return model


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.demo.loop.SAVE_EVERY", -1.0)
    whole = fit(tmp_path / "a", 40)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "b", 40, stop=23)
    resumed = fit(tmp_path / "b", 40)
    assert torch.equal(whole.weight, resumed.weight)
    assert not list(tmp_path.rglob("*.tmp")), "no half-written state stays"


def test_a_finished_training_is_not_trained_further(tmp_path: Path) -> None:
    fit(tmp_path, 5)
    fit(tmp_path, 5, stop=5)


def test_a_loss_that_is_no_number_stops_with_its_step(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)
    with pytest.raises(FloatingPointError, match="step 0"):
        train("bad", [model], lambda n: model.weight.sum() * float("nan"), steps=3, rate=1e-3, folder=tmp_path)


def test_the_average_starts_fast_and_then_follows_slowly() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = Average([model], decay=0.999)
    nn.init.ones_(model.weight)
    average.update([model])
    assert average.modules[0].weight.item() == pytest.approx(1 - 2 / 11)


def test_captions_become_rows_with_the_roles_of_their_tokens(words: text.Words) -> None:
    clauses = [[Word("a"), Word("cat", "subject")], [Word("blue", "colour"), Word("background", "colour")]]
    made = text.tokens(clauses, words, 1)
    assert made.ids[0][:8] == [49406, 320, 2368, 267, 1746, 5994, 49407, 49407]
    assert len(made.ids[0]) == 77
    assert made.roles[0][:7] == ["begin", "", "subject", "", "colour", "colour", "end"]


def test_a_long_prompt_has_clauses_in_both_rows(words: text.Words) -> None:
    rng = Random(2)
    rows_with_meaning = set()
    for _ in range(20):
        clauses = text.spread([[Word("cat", "subject")], [Word("red", "colour")]], rng, words)
        made = text.tokens(clauses, words, 2)
        assert [len(row) for row in made.ids] == [77, 77]
        for row, roles in enumerate(made.roles):
            rows_with_meaning |= {row for role in roles if role in {"subject", "colour"}}
    assert rows_with_meaning == {0, 1}


@pytest.mark.parametrize("weight", [0.5, 0.9, 1.0, 1.3])
def test_training_sees_weights_exactly_as_compel_makes_them(
    weight: float, tiny_checkpoint: Path, words: text.Words
) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(tiny_checkpoint)
    theirs = Conditioner(pipe, ClipTokenizer.load(TOKENIZER))(f"cat, (blue background:{weight})", "").positive
    clauses = [[Word("cat", "subject")], [Word("blue", "colour"), Word("background", "colour")]]
    with torch.no_grad():
        mine = text.Conditions(pipe.text_encoder, "cpu")([text.tokens(clauses, words, 1)], [weight])
    assert torch.allclose(mine, theirs, atol=2e-4)


def tiny_vae() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 8), layers_per_block=1, norm_num_groups=4, sample_size=64,
        mid_block_add_attention=False,
    )  # fmt: skip


def tiny_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=text.WIDTH, attention_head_dim=2, norm_num_groups=4,
    )  # fmt: skip


def test_all_stages_make_a_checkpoint_diffusers_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_vae, "build", tiny_vae)
    monkeypatch.setattr(train_unet, "build", tiny_unet)
    monkeypatch.setattr(train_unet, "BATCH", 4)
    art = {(style, subject): np.full((8, 8, 4), 255, np.uint8) for style in STYLES for subject in SUBJECTS}
    dataset.make(art, tmp_path / "data", 64)
    train_vae.run(tmp_path / "data", tmp_path, steps=2, deadline=None, device="cpu")
    text.pretrain(TOKENIZER, tmp_path, steps=2, device="cpu")
    train_unet.run(tmp_path / "data", tmp_path, TOKENIZER, steps=2, deadline=None, device="cpu")
    train_unet.run(tmp_path / "data", tmp_path, TOKENIZER, steps=3, deadline=None, device="cpu")
    before = AutoencoderKL.from_pretrained(tmp_path / "vae")
    train_vae.sharpen(tmp_path / "data", tmp_path, steps=2, deadline=None, device="cpu")
    after = AutoencoderKL.from_pretrained(tmp_path / "vae")
    assert torch.equal(before.encoder.conv_in.weight, after.encoder.conv_in.weight), "latents stay as they are"
    assert not torch.equal(before.decoder.conv_out.weight, after.decoder.conv_out.weight)
    target = tmp_path / "checkpoint"
    with pytest.raises(GenerationError, match="tokenizer"):
        export.export(tmp_path, target)
    (target / "tokenizer").mkdir(parents=True)
    for file in TOKENIZER.iterdir():
        (target / "tokenizer" / file.name).write_bytes(file.read_bytes())
    assert export.export(tmp_path, target) < export.LARGEST
    pipe = StableDiffusionPipeline.from_pretrained(target, torch_dtype=torch.float32)
    assert pipe.scheduler.config.prediction_type == "v_prediction"
    assert not list(target.glob(".*")), "nothing half-written stays"


def test_the_judge_tells_things_apart_and_states_its_accuracy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = list(SUBJECTS)[:4]
    art = {
        (style, subject): np.concatenate(
            [np.tile(rng.integers(0, 255, 3, np.uint8), (8, 8, 1)), np.full((8, 8, 1), 255, np.uint8)], -1
        )
        for subject in names
        for style in STYLES
    }
    full = {(style, subject): art[style, names[n % 4]] for style in STYLES for n, subject in enumerate(SUBJECTS)}
    dataset.make(full, tmp_path, 150)
    target = tmp_path / "judge.safetensors"
    accuracy = classifier.fit(tmp_path, target, epochs=1)
    assert 0 <= accuracy <= 1
    pictures, _ = dataset.load(tmp_path)
    named = classifier.name_subjects(classifier.load(target), pictures[:5])
    assert set(named) <= set(SUBJECTS)


def test_the_noisiest_timestep_hides_the_picture_and_stays_finite() -> None:
    signal = train_unet.DDPMScheduler(**train_unet.SCHEDULE).alphas_cumprod[-1].sqrt().item()
    assert 0.005 < signal < 0.02, "Stable Diffusion's own leaves 0.068: the mean colour would shine through"


def test_scenes_and_latents_agree_on_the_size() -> None:
    assert train_unet.build().config.sample_size * 4 == scenes.SIZE

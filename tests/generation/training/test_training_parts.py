"""The parts of a training by hand-computed numbers: the loss, texts, batches, the watch, settings of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image

from generation.autoencoder import Autoencoder
from generation.catalogue import look
from generation.conditioning import Conditioner
from generation.errors import BadSpec
from generation.loading import load
from generation.networks import exporting
from generation.networks.deltas import Layer
from generation.prompts.tokens import ClipTokenizer
from generation.training import kohya_settings, objective, plot, samples
from generation.training.buckets import Rules
from generation.training.captions import CaptionRules
from generation.training.datasets import Picture
from generation.training.examples import Examples, items
from generation.training.settings import TABLES, TrainingSpec, table
from generation.training.texts import Reader
from generation.training.watch import Watch


@pytest.fixture(scope="module")
def pipe(tiny_checkpoint: Path) -> Any:
    return load(look(tiny_checkpoint), "cpu", torch.float32)


@pytest.mark.parametrize(
    ("kind", "weight"),
    [
        ("epsilon", lambda snr, low: low / snr), ("v_prediction", lambda snr, low: low / (snr + 1)),
        ("sample", lambda snr, low: low),
    ],
)  # fmt: skip
def test_min_snr_is_the_papers(kind: str, weight: Any) -> None:
    schedule = DDPMScheduler(prediction_type=kind, beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    times = torch.tensor([0, 300, 999])
    found = objective.weights(schedule, times, 5.0)
    for time, got in zip(times.tolist(), found.tolist(), strict=True):
        alpha = float(schedule.alphas_cumprod[time])
        snr = alpha / (1 - alpha)
        assert got == pytest.approx(weight(snr, min(snr, 5.0)), rel=1e-4)


def test_one_chunk_is_what_a_render_reads(pipe: Any) -> None:
    conditioner = Conditioner(pipe, ClipTokenizer.load())
    for skip in (1, 2):
        wanted = conditioner("a red zorb, on a hill", "", skip).positive
        got = Reader(pipe, 75, skip)(["a red zorb, on a hill"]).embeds
        assert torch.allclose(got, wanted, atol=1e-5)


def test_three_chunks_are_encoded_apart_and_joined(pipe: Any) -> None:
    words = " ".join(f"word{n}" for n in range(60))
    with torch.no_grad():
        three, one = Reader(pipe, 225)([words]).embeds, Reader(pipe, 75)([words]).embeds
    assert three.shape == (1, 227, 16) and one.shape == (1, 77, 16)
    assert torch.allclose(three[:, :76], one[:, :76], atol=1e-6)  # the beginning and the first 75 tokens
    ids = pipe.tokenizer([words])["input_ids"][0][1:-1]
    second = pipe.tokenizer.decode(ids[75:150])
    with torch.no_grad():
        apart = Reader(pipe, 75)([second]).embeds
    assert torch.allclose(three[:, 76:151], apart[:, 1:76], atol=1e-5)
    with pytest.raises(BadSpec, match="3 layers"):
        Reader(pipe, 75, 4)


def pictures(folder: Path, sizes: list[tuple[int, int]]) -> list[Picture]:
    rng = np.random.default_rng(1)
    found = []
    for number, (width, height) in enumerate(sizes):
        path = folder / f"{number}.png"
        Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(path)
        found.append(Picture(path, width, height, f"tag{number}, other, third", repeats=1 + number % 2))
    return found


def examples(pipe: Any, folder: Path, **further: Any) -> Examples:
    made = pictures(folder, [(64, 64), (96, 48), (64, 64), (48, 96)])
    found = items(made, Rules((64, 64), 32, 128, 16), 1, lambda message: None)
    rules = further.pop("rules", CaptionRules())
    return Examples(found, Autoencoder(pipe.vae, "cpu"), Reader(pipe), rules, folder / "cache", identity="t", **further)


def test_an_epoch_shows_each_picture_as_often_as_it_should(pipe: Any, tmp_path: Path) -> None:
    made = examples(pipe, tmp_path, batch=2, seed=5)
    seen: list[str] = []
    shapes = set()
    for number in range(made.batches):
        batch = made.batch(number)
        seen += [picture.path.name for picture in batch.pictures]
        shapes.add(tuple(batch.latents.shape[2:]))
        assert len(batch.pictures) <= 2 and batch.texts.embeds.shape[0] == len(batch.pictures)
    assert sorted(seen) == ["0.png", "1.png", "1.png", "2.png", "3.png", "3.png"]
    assert len(shapes) == 3  # buckets do not mix
    order = [[p.path.name for p in made.batch(n).pictures] for n in range(2 * made.batches)]
    assert order == [[p.path.name for p in made.batch(n).pictures] for n in range(2 * made.batches)]
    other = examples(pipe, tmp_path, batch=2, seed=6)
    assert order != [[p.path.name for p in other.batch(n).pictures] for n in range(2 * made.batches)]


def test_latents_are_kept_by_what_they_depend_on(pipe: Any, tmp_path: Path) -> None:
    one = examples(pipe, tmp_path)
    kept = sorted((tmp_path / "cache").iterdir())
    assert len(kept) == 4
    stamps = [path.stat().st_mtime_ns for path in kept]
    kept[0].write_bytes(kept[0].read_bytes()[:40])  # cut short: made again, the others not
    again = examples(pipe, tmp_path)
    assert [path.stat().st_mtime_ns for path in kept][1:] == stamps[1:]
    assert torch.equal(one.batch(0).latents, again.batch(0).latents)
    Image.new("RGB", (64, 64), "red").save(tmp_path / "0.png")
    examples_again = items([Picture(tmp_path / "0.png", 64, 64, "a")], Rules((64, 64), 32, 128, 16), 1, print)
    Examples(
        examples_again, Autoencoder(pipe.vae, "cpu"), Reader(pipe), CaptionRules(), tmp_path / "cache", identity="t"
    )
    assert len(list((tmp_path / "cache").iterdir())) == 5


def test_captions_are_drawn_and_come_again_after_their_variants(pipe: Any, tmp_path: Path) -> None:
    made = examples(pipe, tmp_path, rules=CaptionRules(shuffle=True, keep_tokens=1), variants=2, seed=2)
    said = [[made._caption(number, epoch, 0) for number in range(4)] for epoch in range(4)]
    assert said[0] == said[2] and said[1] == said[3]
    assert all(caption.startswith(f"tag{n}") for epoch in said for n, caption in enumerate(epoch))
    assert said[0] != said[1]


def test_mirrored_pictures_are_mirrored(pipe: Any, tmp_path: Path) -> None:
    made = examples(pipe, tmp_path, flip=True)
    plain, mirrored = made._latents[0, False], made._latents[0, True]
    assert not torch.equal(plain, mirrored)
    image = Image.open(made.items[0].picture.path).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image.save(tmp_path / "m.png")
    other = items([Picture(tmp_path / "m.png", 64, 64, "")], Rules((64, 64), 32, 128, 16), 1, print)
    turned = Examples(other, Autoencoder(pipe.vae, "cpu"), Reader(pipe), CaptionRules(), tmp_path / "c", identity="t")
    assert torch.allclose(turned._latents[0, False], mirrored, atol=1e-5)


def test_overfitting_is_told_once_and_at_the_right_step() -> None:
    watch = Watch()
    told = [watch.validated(step, loss) for step, loss in ((0, 1.0), (10, 0.8), (20, 0.81), (30, 0.9), (40, 0.95))]
    assert told[:4] == [""] * 4 and watch.best == 10
    told.append(watch.validated(50, 0.99))
    assert "step 10" in told[5] and "24%" in told[5].replace(" ", "") and watch.overfit == 50
    assert watch.validated(60, 1.2) == ""
    steady = Watch()
    for step, loss in enumerate((1.0, 0.9, 0.905, 0.91, 0.9, 0.912, 0.915)):
        assert steady.validated(step, loss) == ""
    assert steady.overfit == -1


def test_a_watch_comes_back_from_its_json_and_stays_small() -> None:
    watch = Watch()
    for step in range(1, 9001):
        watch.loss(step, 1 / step)
    assert len(watch.losses) <= 2001 and watch.losses[-1][0] > 8900
    again = Watch()
    again.load(watch.to_json())
    assert again == watch
    image = np.asarray(plot.draw(watch, "losses"))
    assert image.shape == (540, 960, 3) and len(np.unique(image.reshape(-1, 3), axis=0)) > 5


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_plot_of_almost_nothing_is_drawn(count: int) -> None:
    watch = Watch()
    for step in range(count):
        watch.loss(step + 1, 0.5)
    assert plot.draw(watch, "x" * 300).size == (960, 540)


def test_lines_of_samples() -> None:
    spec = samples.parsed("a cat, (red:1.2) --n dog --w 515 --h 768 --d 9 --l 5.5 --s 12", "m")
    assert (spec.prompt, spec.negative, spec.width, spec.height) == ("a cat, (red:1.2)", "dog", 512, 768)
    assert (spec.seed, spec.cfg, spec.steps, spec.model) == (9, 5.5, 12, "m")
    assert samples.lines("a\n\n# b\n c ") == ["a", "c"]


LORA = """- **Datasets** : resolution = 512, min_bucket_reso = 256, flip_aug = false , color_aug = false
- **Optimizer_argument** : optimizer_type = "AdamW", learning_rate = 0.0001, lr_scheduler = "constant"
- **Training_arguments** : save_precision = "fp16", train_batch_size = 3, max_token_length = 225, xformers = true,
mixed_precision = "fp16", clip_skip = 2, max_train_epochs = 25"""


def test_settings_are_read_as_kohyas_tools_write_them() -> None:
    found = {one.setting: one.value for one in kohya_settings.parse(LORA, "lora") if one.setting}
    assert found == {
        "resolution": 512, "bucket_min": 256, "flip": False, "optimizer": "AdamW", "rate": 1e-4,
        "scheduler": "constant", "save_precision": "fp16", "batch": 3, "max_tokens": "225", "precision": "fp16",
        "clip_skip": 2, "epochs": 25,
    }  # fmt: skip
    TrainingSpec("lora", "d", "o", "m", found)
    text = "Unet_learning_rate : 2e-6\nCrop size : 512\nlearning_rate = 1"
    told = {one.setting: one.value for one in kohya_settings.parse(text, "dreambooth")}
    assert told == {"rate": 2e-6, "resolution": 512}


def test_settings_are_read_from_sentences() -> None:
    text = "He takes **100 steps per sample image** at a learning rate of 1e-6 and about 1000 class images."
    found = {one.setting: one.value for one in kohya_settings.parse(text, "dreambooth")}
    assert found == {"epochs": 100, "rate": 1e-6, "prior_images": 1000}


@pytest.mark.parametrize(
    "text", ["color_aug = true", "clip_skip = many", "max_token_length = 77", "lr_scheduler = hot"]
)
def test_a_stated_value_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(BadSpec) as error:
        kohya_settings.parse(text, "lora")
    assert error.value.hint and "\n" not in error.value.message


def test_a_spec_survives_json_and_names_what_is_wrong() -> None:
    for kind in TABLES:
        spec = TrainingSpec(kind, "d", "o", "m")
        assert TrainingSpec.from_json(spec.to_json()) == spec
        assert set(spec.settings) == {parameter.name for parameter in table(kind)}
    whole = TrainingSpec("lora", "d", "o", "m").to_json()
    for change, message in (
        ({"kind": "lroa"}, 'no training of a "lroa"'), ({"kidn": 1}, 'no field "kidn"'),
        ({"dataset": ""}, "no dataset"), ({"settings": []}, "are a table"), ({"output": 3}, "must be text"),
    ):  # fmt: skip
        with pytest.raises(BadSpec) as error:
            TrainingSpec.from_json({**whole, **change})
        assert message in error.value.message
    del whole["model"]
    with pytest.raises(BadSpec, match="names no model"):
        TrainingSpec.from_json(whole)


def test_a_small_model_has_small_buckets() -> None:
    spec = TrainingSpec("lora", "d", "o", "m")
    assert spec.rules(512) == Rules((512, 512))
    assert spec.rules(64) == Rules((64, 64), 32, 128, 8)


@pytest.mark.parametrize(("family", "file"), [("sd15", "sd1-kohya.yaml"), ("sdxl", "sdxl-kohya.yaml")])
def test_every_key_is_one_that_kohya_writes(family: str, file: str) -> None:
    import os

    import yaml
    from accelerate import init_empty_weights
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    from generation import architecture

    root = Path(os.environ.get("ATELIER_SHARED", Path(__file__).parents[4] / "shared"))
    path = root / "data" / "keys" / "sd_mecha" / file
    if not path.is_file():
        pytest.skip("the lists of real keys are not here (ATELIER_SHARED)")
    listed = {name: about["shape"] for part in yaml.safe_load(path.read_text())["components"].values()
              for name, about in part.items()}  # fmt: skip
    wanted = {
        f"lora_{name.removesuffix('.weight').replace('.', '_')}"
        for name, shape in listed.items()
        if name.endswith(".weight") and len(shape) > 1 and name.split(".")[0] in {"unet", "te", "te1", "te2"}
        and not name.endswith(("token_embedding.weight", "position_embedding.weight"))
    }  # fmt: skip
    config = architecture.published(family)
    with init_empty_weights():
        parts: dict[str, Any] = {"unet": UNet2DConditionModel.from_config(config["unet"])}
        for name in config["encoders"]:
            maker = CLIPTextModelWithProjection if name.endswith("2") else CLIPTextModel
            parts[name] = maker(CLIPTextConfig(**config[name]))
    made = {
        exporting.key(f"{part}.{name.replace('.', '_')}", family)
        for part, root_module in parts.items()
        for name, module in root_module.named_modules()
        if isinstance(getattr(module, "weight", None), torch.Tensor) and module.weight.dim() > 1
        and not isinstance(module, torch.nn.Embedding)
    }  # fmt: skip
    assert made == wanted


def test_a_network_that_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    down, up = torch.ones(2, 4), torch.full((4, 2), 1e6)
    layer = Layer("lora", {"lora_down": down, "lora_up": up}, alpha=1.0)
    path = tmp_path / "n.safetensors"
    with pytest.raises(Exception, match="too large for fp16"):
        exporting.write(path, {"unet.mid_block_x": layer}, family="sd15", metadata={})
    assert list(tmp_path.iterdir()) == []
    exporting.write(path, {"unet.mid_block_x": layer}, family="sd15", metadata={"ss_tag": "é"}, precision="bf16")
    assert path.exists()

"""A plan: steps, buckets, crops, settings, memory and time follow from the pictures, the preset and the machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from generation.errors import BadSpec
from generation.training import footprint, presets
from generation.training.datasets import Dataset, Picture
from generation.training.plan import make
from generation.training.planned import Base, Machine, Plan
from generation.training.settings import TrainingSpec, table

GIB = 2**30
SD15 = Base("photo", "sd15", 512)
SDXL = Base("large", "sdxl", 1024)
DEMO = Base("atelier-demo", "sd15-small", 64, 10_860_676)
BIG = Machine("cuda", 80 * GIB, 50.0)


def dataset(*sizes: tuple[int, int], caption: str = "a cat", **options: Any) -> Dataset:
    pictures = tuple(Picture(Path(f"/d/{n}.png"), *size, caption, **options) for n, size in enumerate(sizes))
    return Dataset(Path("/d"), "folder", pictures)


def plan(data: Dataset, base: Base = SD15, machine: Machine = BIG, **options: Any) -> Plan:
    return make(data, base, machine, **options)


def kinds(made: Plan) -> list[str]:
    return [remark.kind for remark in made.remarks]


def test_every_picture_is_seen_a_hundred_times() -> None:
    made = plan(dataset(*[(512, 512)] * 9))
    assert (made.repeats, made.settings["epochs"], made.settings["batch"]) == (10, 10, 3)
    assert made.steps == 9 * 100 / 3 == made.settings["steps"]


def test_steps_count_the_last_batch_of_each_bucket() -> None:
    made = plan(dataset((512, 512), (768, 512), (768, 512)), given={"epochs": 2, "repeats": 1})
    # Of batches of three: one picture, then two: a step each, two epochs.
    assert made.steps == 4 and made.settings["repeats"] == 1


def test_what_folders_say_sets_the_epochs() -> None:
    pictures = [Picture(Path(f"/d/{times}.png"), 512, 512, "", times, "ohwx man") for times in (10, 30)]
    data = Dataset(Path("/d"), "kohya", tuple(pictures))
    made = plan(data, given={"batch": 1})
    assert (made.repeats, made.settings["epochs"], made.steps) == (20, 5, 200)
    assert plan(data, given={"batch": 1, "epochs": 2}).steps == 80


@pytest.mark.parametrize(
    ("given", "repeats", "epochs"),
    [({"epochs": 25}, 4, 25), ({"repeats": 20}, 20, 5), ({"repeats": 3, "epochs": 4}, 3, 4), ({"steps": 77}, 10, 10)],
)
def test_what_is_given_stands(given: dict[str, int], repeats: int, epochs: int) -> None:
    made = plan(dataset((512, 512)), given=given)
    assert (made.settings["repeats"], made.settings["epochs"]) == (repeats, epochs)
    assert made.steps == given.get("steps", made.steps)
    assert {made.sources[name] for name in given} == {"you"}


def test_buckets_and_crops_of_photographs() -> None:
    made = plan(dataset((1200, 800), (1200, 800), (512, 512)))
    assert made.buckets == {(640, 384): 2, (512, 512): 1}
    assert made.crop_loss == pytest.approx(2 * 0.1007 / 3, abs=1e-4)
    assert made.unenlarged == (0, {(576, 384): 2, (512, 512): 1}) and made.proposes_unenlarged
    assert kinds(made) == ["crop", "crop", "aspect", "upscale"]
    own = plan(dataset((1200, 800), (512, 512)), given={"upscale": False})
    assert own.crop_loss == 0 and not own.proposes_unenlarged and kinds(own) == ["aspect"]


def test_not_enlarging_is_proposed_only_where_less_is_cropped() -> None:
    same = plan(dataset((1600, 1000)))
    assert same.crop_loss == pytest.approx(0.04, abs=1e-3) and same.unenlarged[0] == pytest.approx(0.04, abs=1e-3)
    assert not same.proposes_unenlarged and "upscale" not in kinds(same)


def test_a_little_enlarging_is_not_told() -> None:
    assert kinds(plan(dataset((450, 450)))) == []


def test_small_and_thin_pictures_are_told() -> None:
    made = plan(dataset((200, 200), (512, 512)))
    assert kinds(made) == ["small"] and "2.6 times" in made.remarks[0].message
    thin = plan(dataset((3000, 30), (512, 512)), given={"upscale": False})
    assert kinds(thin) == ["shape"] and thin.buckets == {(512, 512): 1} and thin.to_json()["images"] == 1
    with pytest.raises(BadSpec, match="no picture"):
        plan(dataset((3000, 30)), given={"upscale": False})


def test_missing_captions_are_told_with_what_stands_in() -> None:
    assert kinds(plan(dataset((512, 512), caption=""))) == ["caption"]
    made = plan(dataset((512, 512), caption="", tokens="ohwx man"))
    assert '"ohwx man"' in made.remarks[0].message
    assert made.to_json()["pictures"][0]["caption"] == "ohwx man"


@pytest.mark.parametrize("kind", presets.KINDS)
@pytest.mark.parametrize("subject", presets.SUBJECTS)
@pytest.mark.parametrize("base", [SD15, SDXL, DEMO, Base("two", "sd2-v", 768)], ids=lambda base: base.family)
def test_a_plans_settings_are_a_training(kind: str, subject: str, base: Base) -> None:
    made = plan(dataset((640, 512), (512, 512)), base, kind=kind, subject=subject)
    spec = TrainingSpec(kind, "/d", "/o.safetensors", base.name, made.settings)
    assert spec.settings == made.settings
    assert {parameter.name for parameter in table(kind)} == set(made.settings) == set(made.sources)
    assert made.fits and made.seconds and made.steps > 0
    rules = spec.rules(base.side)
    assert all(min(size) >= rules.smallest and size[0] * size[1] <= rules.area for size in made.buckets)


@pytest.mark.parametrize("memory", presets.MEMORIES)
@pytest.mark.parametrize("base", [SD15, SDXL], ids=lambda base: base.family)
@pytest.mark.parametrize("subject", presets.SUBJECTS)
def test_loras_fit_the_cards_of_the_guides(memory: int, base: Base, subject: str) -> None:
    made = plan(dataset(*[(base.side, base.side)] * 4), base, Machine("cuda", memory * GIB, 50.0), subject=subject)
    assert made.fits and made.memory <= memory * GIB
    if made.settings["resolution"] < base.side:
        assert base is SDXL and memory == 8 and "memory" in kinds(made)


def test_more_memory_never_makes_it_slower() -> None:
    data = dataset(*[(1024, 1024)] * 6)
    seconds = [plan(data, SDXL, Machine("cuda", memory * GIB, 50.0)).seconds or 0 for memory in (12, 16, 24, 48)]
    assert seconds == sorted(seconds, reverse=True)


def test_what_does_not_fit_is_said_and_still_planned() -> None:
    made = plan(dataset((1024, 1024)), SDXL, Machine("cuda", 8 * GIB, 50.0), kind="dreambooth")
    assert not made.fits and made.memory > 8 * GIB
    assert any(remark.kind == "memory" and "LoRA" in remark.message for remark in made.remarks)


def test_eight_bit_is_taken_where_it_is_there() -> None:
    data = dataset((512, 512))
    without, there = (
        plan(data, SD15, Machine("cuda", 13 * GIB, 1.0, eight_bit=bits), kind="dreambooth", subject="object")
        for bits in (False, True)
    )
    assert (without.settings["optimizer"], there.settings["optimizer"]) == ("Adafactor", "AdamW8bit")


def test_time_grows_with_what_is_seen() -> None:
    one = plan(dataset(*[(512, 512)] * 3), given={"batch": 1}).seconds or 0
    two = plan(dataset(*[(512, 512)] * 6), given={"batch": 1}).seconds or 0
    assert two == pytest.approx(2 * one, rel=0.01)
    slow = plan(dataset(*[(512, 512)] * 3), SD15, Machine("cuda", 80 * GIB, 25.0), given={"batch": 1}).seconds
    assert slow == pytest.approx(2 * one, rel=0.01)
    assert plan(dataset((512, 512)), SD15, Machine("cuda", 80 * GIB)).seconds is None


def test_a_small_model_is_planned_at_its_own_size() -> None:
    made = plan(dataset((600, 400), (512, 512)), DEMO, Machine("cpu", 8 * GIB, 0.03, 0.06))
    assert made.buckets == {(80, 48): 1, (64, 64): 1}
    assert made.memory < GIB and made.settings["clip_skip"] == 1
    assert made.sources["resolution"] == "the model's own size"


def test_a_class_is_taken_from_kohyas_folders() -> None:
    data = dataset((512, 512), caption="", tokens="ohwx man")
    made = plan(data, kind="dreambooth", subject="object")
    assert made.settings["class_prompt"] == "a man"
    assert [remark.message for remark in made.remarks if remark.kind == "prior"] == [
        '200 pictures of "a man" are made first'
    ]
    without = plan(data, kind="dreambooth", subject="object", given={"prior_images": 0})
    assert (made.seconds or 0) > 1.5 * (without.seconds or 0)
    unnamed = plan(dataset((512, 512)), kind="dreambooth", subject="object")
    assert any("class_prompt" in remark.message for remark in unnamed.remarks)
    given = Dataset(data.path, "folder", data.pictures, (), data.pictures * 200)
    assert "prior" not in kinds(plan(given, kind="dreambooth", subject="object"))


@pytest.mark.parametrize(
    ("given", "said"),
    [({"rankk": 3}, "rankk"), ({"rank": 0}, "rank"), ({"bucket_step": 63}, "63"), ({"epochs": "many"}, "epochs")],
)
def test_settings_that_cannot_be(given: Mapping[str, Any], said: str) -> None:
    with pytest.raises(BadSpec, match=said):
        plan(dataset((512, 512)), given=given)


@pytest.mark.parametrize("names", [("loraa", "style", "sd15"), ("lora", "styl", "sd15"), ("lora", "style", "flux")])
def test_presets_there_are_not(names: tuple[str, str, str]) -> None:
    with pytest.raises(BadSpec) as told:
        presets.preset(*names)
    assert told.value.hint


def test_clips_have_no_plan() -> None:
    for kind in presets.KINDS:
        presets.require(kind)
    with pytest.raises(BadSpec, match="a training of motion has no plan") as caught:
        presets.preset("motion", "style", "sd15")
    assert "atelier train motion --help" in caught.value.hint


def test_what_the_memory_decided_is_told_from_what_the_preset_says() -> None:
    data = dataset((1024, 1024))
    assert plan(data, SDXL).sources["text_rate"].startswith("kohya") and plan(data, SDXL).settings["text_rate"] == 1e-5
    tight = plan(data, SDXL, Machine("cuda", 12 * GIB, 1.0))
    assert tight.settings["text_rate"] == 0 and tight.sources["text_rate"] == "the memory there is"
    assert tight.sources["batch"] == "the memory there is" and tight.settings["batch"] == 1


def test_figures_of_the_guides() -> None:
    """The numbers of the published guides, each with its source."""
    character = presets.preset("lora", "character", "sd15")
    assert character.views == 100 and "nitrosocke" not in character.sources.get("rate", "")
    assert {name: character.settings[name] for name in ("rank", "alpha", "rate", "text_rate", "max_tokens")} == {
        "rank": 16, "alpha": 1.0, "rate": 1e-4, "text_rate": 1e-5, "max_tokens": "225",
    }  # fmt: skip
    style = presets.preset("dreambooth", "style", "sdxl")
    assert (style.settings["rate"], style.settings["prior_images"], style.settings["bucket_max"]) == (1e-6, 1000, 2048)
    assert all(style.sources[name] for name in style.settings)


def test_footprint_of_known_trainings() -> None:
    """As people report: LoRA of SD 1.5 under 6 GB, DreamBooth of it in 16 to 24 GB, SDXL's LoRA under 12 GB."""
    lora = {parameter.name: parameter.default for parameter in table("lora")} | {"batch": 1, "checkpointing": True}
    whole = {parameter.name: parameter.default for parameter in table("dreambooth")} | {"batch": 1}
    assert 2 < footprint.peak(footprint.MODELS["sd15"], "lora", lora, 512**2) / GIB < 6
    assert 14 < footprint.peak(footprint.MODELS["sd15"], "dreambooth", whole, 512**2) / GIB < 24
    assert 8 < footprint.peak(footprint.MODELS["sdxl"], "lora", lora, 1024**2) / GIB < 12


@pytest.mark.parametrize(
    ("more", "than"),
    [({"batch": 2}, {}), ({}, {"checkpointing": True}), ({"rank": 64}, {}), ({"text_rate": 1e-5}, {}),
     ({"precision": "fp32"}, {}), ({"average_decay": 0.9}, {}), ({"optimizer": "Prodigy"}, {})],
)  # fmt: skip
def test_what_takes_more_memory(more: dict[str, Any], than: dict[str, Any]) -> None:
    usual = {parameter.name: parameter.default for parameter in table("lora")}
    of = footprint.MODELS["sdxl"]
    assert footprint.peak(of, "lora", usual | more, 1024**2) > footprint.peak(of, "lora", usual | than, 1024**2)

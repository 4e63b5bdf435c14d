"""Buckets are kohya's to the pixel, and what is cropped off is told right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from generation.errors import BadSpec
from generation.training.buckets import Rules, place, sizes


def test_every_vector_of_kohya(vectors: Callable[[str], Any]) -> None:
    told = vectors("kohya_buckets.json")
    for config in told["configs"]:
        rules = Rules(
            tuple(config["resolution"]),
            config["min_bucket_reso"],
            config["max_bucket_reso"],
            config["bucket_reso_steps"],
            not config["bucket_no_upscale"],
        )
        if config.get("predefined_resos") and not config["bucket_no_upscale"]:
            assert [list(size) for size in sizes(rules)] == config["predefined_resos"], config["name"]
        for vector in config["vectors"]:
            found = place(*vector["image"], rules)
            assert list(found.bucket) == vector["bucket"], (config["name"], vector)
            assert list(found.resized) == vector["resized"], (config["name"], vector)
            assert found.ar_error == pytest.approx(vector["ar_error"], abs=1e-6), (config["name"], vector)


def test_loss_of_a_photo() -> None:
    """The 3:2 photo of the guide: 640x384 of 640x427 is kept, and all of it where nothing is enlarged."""
    enlarged, own = place(1200, 800, Rules()), place(1200, 800, Rules(upscale=False))
    assert (enlarged.bucket, enlarged.resized) == ((640, 384), (640, 427))
    assert enlarged.loss == pytest.approx(0.1007, abs=1e-4)
    assert (own.bucket, own.loss) == ((576, 384), 0)


def test_the_nearest_shape_is_by_width_over_height() -> None:
    """By height over width these would have the next, wider bucket."""
    assert place(360, 1000, Rules()).bucket == (256, 832)
    assert place(520, 1000, Rules()).bucket == (320, 704)
    assert place(1000, 360, Rules()).bucket == (768, 320)


def test_a_bucket_covers_no_more_than_its_area_and_lies_inside_what_it_is_cut_from() -> None:
    for rules in (Rules(), Rules((768, 512), 256, 1024, 32), Rules((1024, 1024), upscale=False)):
        for width, height in ((17, 1000), (640, 641), (5000, 4999), (100, 900), (2000, 300)):
            if not rules.upscale and min(width, height) < rules.step:
                continue
            found = place(width, height, rules)
            assert found.bucket[0] * found.bucket[1] <= rules.area
            assert found.bucket[0] <= found.resized[0] and found.bucket[1] <= found.resized[1]
            assert all(side % rules.step == 0 for side in found.bucket)
            assert 0 <= found.loss < 1


def test_scale_tells_enlarging() -> None:
    assert place(256, 256, Rules()).scale == 2
    assert place(1024, 1024, Rules()).scale == 0.5
    assert place(256, 256, Rules(upscale=False)).scale == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"resolution": (32, 512)}, {"resolution": (512, 9999)}, {"step": 7}, {"step": 0}, {"smallest": 300},
        {"smallest": 1024, "largest": 512}, {"largest": 10_000}, {"resolution": (64, 64), "step": 128},
    ],
)  # fmt: skip
def test_rules_that_leave_no_bucket_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadSpec) as told:
        Rules(**wrong)
    assert told.value.hint


def test_pictures_without_a_bucket_are_refused() -> None:
    with pytest.raises(BadSpec, match="0x5"):
        place(0, 5, Rules())
    with pytest.raises(BadSpec, match="2000x20"):
        place(2000, 20, Rules(upscale=False))

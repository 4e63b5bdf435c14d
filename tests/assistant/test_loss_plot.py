"""Two curves of losses in one scale, and what is kept of long ones."""

from __future__ import annotations

import math
from itertools import pairwise

from assistant.tui.loss_plot import ASIDE, LEARNED, MOST, added, drawn, resampled


def test_points_are_joined_and_nothing_is_drawn_beside_them() -> None:
    assert resampled([(0, 1.0), (10, 3.0)], 0, 10, 5) == [1.0, 1.5, 2.0, 2.5, 3.0]
    found = resampled([(5, 1.0), (10, 2.0)], 0, 20, 5)
    assert math.isnan(found[0]) and found[1:3] == [1.0, 2.0] and math.isnan(found[3]) and math.isnan(found[4])


def test_a_single_point_is_drawn() -> None:
    assert [value for value in resampled([(7, 2.0)], 0, 10, 10) if not math.isnan(value)] == [2.0]
    assert resampled([(3, 2.0)], 3, 3, 4)[0] == 2.0


def test_a_training_that_goes_on_takes_later_points_off() -> None:
    points = [(1, 0.5), (2, 0.4), (3, 0.3)]
    assert added(points, 4, 0.2) == [*points, (4, 0.2)]
    assert added(points, 2, 0.9) == [(1, 0.5), (2, 0.9)]


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    points: list[tuple[int, float]] = []
    for step in range(1, 3 * MOST):
        points = added(points, step, 1 / step)
    assert len(points) <= MOST + 1
    assert points[0] == (1, 1.0) and points[-1][0] == 3 * MOST - 1
    assert all(before[0] < after[0] for before, after in pairwise(points))


def test_the_curves_fill_their_place() -> None:
    loss = [(step, 1 / step) for step in range(1, 50)]
    text = drawn(loss, [(10, 0.5), (40, 0.6)], 50, 10)
    lines = text.plain.split("\n")
    assert len(lines) == 10 and {len(line) for line in lines[:-1]} == {50}
    assert lines[-1].split() == ["loss", "0.0204", "aside", "0.6000,", "best", "0.5000", "at", "10"]
    # What there is no room for is left out.
    assert drawn(loss, [(10, 0.5)], 30, 10).plain.split("\n")[-1] == "loss 0.0204  aside 0.5000"
    colours = {str(span.style) for span in text.spans}
    assert {LEARNED, ASIDE} <= colours


def test_each_curve_has_its_own_scale_at_its_side() -> None:
    """A small fall of a high curve is as tall as the large fall of a low one."""
    lines = drawn([(0, 0.9), (10, 0.1)], [(0, 5.01), (10, 5.0)], 50, 9).plain.split("\n")
    assert lines[0].startswith("0.9000 ") and lines[0].endswith(" 5.0100")
    assert lines[7].startswith("0.1000 ") and lines[7].endswith(" 5.0000")
    alone = drawn([(0, 0.9), (10, 0.1)], [], 50, 9).plain.split("\n")
    assert all(len(line) == 50 for line in alone[:-1]) and alone[0].startswith("0.9000 ")


def test_without_losses_it_says_so() -> None:
    assert "first steps" in drawn([], [], 40, 10).plain
    assert drawn([(1, 1.0)], [], 20, 9).plain == ""

"""The committed ControlNet of the demo checkpoint: its files, its figures, and that edges are followed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from generation.catalogue import BUNDLED, Catalogue, look
from generation.controls import nets
from generation.controls.nets import DEMO
from generation.demo import control
from generation.demo.control import edge_f1, held_out, score
from generation.demo.export import LARGEST
from generation.engine import Engine
from generation.errors import BadWeights

FEW = 4


def test_it_is_small_half_precision_and_names_no_folder() -> None:
    (weights,) = DEMO.glob("*.safetensors")
    assert weights.stat().st_size <= 12_000_000
    together = sum(f.stat().st_size for place in (DEMO, BUNDLED) for f in place.rglob("*") if f.is_file())
    assert together <= LARGEST + 12_000_000
    with safe_open(str(weights), "pt") as file:
        assert {file.get_slice(key).get_dtype() for key in file.keys()} == {"F16"}  # noqa: SIM118 - not a dict
    assert "_name_or_path" not in json.loads((DEMO / "config.json").read_text())
    assert (look(DEMO).kind, look(DEMO).problem) == ("controlnet", "")


def test_the_card_states_the_measured_figures_and_they_meet_the_bar() -> None:
    measured = json.loads((DEMO / "measured.json").read_text())
    card = (DEMO / "README.md").read_text()
    assert measured["conditions"] == 50
    for name in ("bare_without", "bare_with", "full_without", "full_with"):
        assert f"| {measured[name]:.2f} |" in card, name
    assert measured["bare_with"] >= 0.6
    assert measured["bare_with"] > measured["bare_without"] + 0.25
    assert measured["full_with"] > measured["full_without"]


def test_f1_by_hand() -> None:
    one = np.zeros((9, 9), bool)
    one[4, 2:7] = True
    assert edge_f1(one, one) == 1.0
    assert edge_f1(np.roll(one, 1, 0), one) == 1.0, "a pixel beside is near enough"
    assert edge_f1(np.roll(one, 2, 0), one) == 0.0
    double = one | np.roll(one, 3, 0)
    # Half of the doubled one lies by the other, which is covered whole.
    assert edge_f1(double, one) == pytest.approx(2 * 0.5 / 1.5)
    assert edge_f1(np.zeros_like(one), one) == 0.0
    assert edge_f1(np.zeros_like(one), np.zeros_like(one)) == 1.0


def test_held_out_conditions_lie_beside_the_weights() -> None:
    bare, full = held_out(DEMO), held_out(DEMO, "full")
    assert len(bare) == len(full) == 50
    for (short, edges), (_, same) in zip(bare, full, strict=True):
        assert edges.shape == (64, 64) and np.array_equal(edges, same)
        assert edges.mean() < 0.25
        assert "background" in short and " on a " not in short
    # A red heart on red has none; it counts as a miss wherever the render has any.
    assert sum(edges.any() for _, edges in bare) >= 49


def test_the_sheet_of_conditions_is_laid_out_as_it_is_read(tmp_path: Path) -> None:
    from generation.demo.scenes import STYLES, SUBJECTS

    rng = np.random.default_rng(0)
    art = {(style, name): rng.integers(0, 256, (16, 16, 4), dtype=np.uint8) for style in STYLES for name in SUBJECTS}
    control.draw_held_out(art, tmp_path, 12)
    pairs = held_out(tmp_path)
    assert len(pairs) == 12
    assert all(edges.any() for _, edges in pairs)
    assert len({edges.tobytes() for _, edges in pairs}) == 12


def test_edges_of_a_render_follow_conditions_never_seen(tmp_path: Path) -> None:
    torch.manual_seed(0)
    engine = Engine(Catalogue([]), device="cpu")
    pairs = held_out(DEMO)[:FEW]
    with_it, without = (float(np.mean(score(engine, "", pairs, tmp_path, weight=w))) for w in (1.0, 0.0))
    assert with_it > 0.5
    assert with_it > without + 0.15


def test_it_is_found_by_name_and_for_the_demo_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue, demo = Catalogue([]), look(BUNDLED)
    assert nets.find(catalogue, "", demo, "canny").path == str(DEMO)
    assert nets.find(catalogue, DEMO.name, demo, "none").path == str(DEMO)
    monkeypatch.setattr(nets, "DEMO", tmp_path / "atelier-demo-canny")
    with pytest.raises(BadWeights, match="not there"):
        nets.find(catalogue, "", demo, "canny")

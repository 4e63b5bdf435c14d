"""A character on a sheet: its views, what they share, and where they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from generation.attachments import ATTACHMENTS
from generation.catalogue import Catalogue
from generation.engine import Engine
from generation.errors import BadSpec
from generation.operations.character_sheet import ROWS, poses_of, sheet
from generation.sheets import GAP
from generation.specs import RenderSpec


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Engine:
    return Engine(Catalogue([tiny_checkpoint.parent]), device="cpu")


def spec(prompt: str = "a fox", **options: Any) -> RenderSpec:
    more = {name: options.pop(name) for name in ("batch", "regions", "modifiers", "seed") if name in options}
    return RenderSpec(prompt, **{"model": "tiny", "seed": 5, **more}, operation="character_sheet", options=options)


def cells(made: np.ndarray, row: int = 0, rows: int = 1) -> list[np.ndarray]:
    """The four pictures of a row, at the bottom of its part of the sheet."""
    bottom = made.shape[0] if row == rows - 1 else (made.shape[0] - GAP * (rows - 1)) // rows
    return [made[bottom - 64 : bottom, x * (64 + GAP) : x * (64 + GAP) + 64] for x in range(4)]


def test_each_view_is_the_render_of_its_words(engine: Engine, tmp_path: Path) -> None:
    result = engine.render(spec(variety=0.0, views="both"), tmp_path / "sheet.png")
    made = pixels(result.path)
    assert result.size == (made.shape[1], made.shape[0])
    assert made.shape[1] == 4 * 64 + 3 * GAP
    for row, name in enumerate(ROWS):
        for (_, words), cell in zip(ROWS[name], cells(made, row, 2), strict=True):
            alone = RenderSpec(f"a fox, {words}", model="tiny", seed=5)
            assert (cell == pixels(engine.render(alone, tmp_path / "a.png").path)).all()
    labels = made[: made.shape[0] // 2 - 64 - GAP]
    assert labels.min() < 100 < labels.max()


def test_variety_changes_all_views_but_the_first(engine: Engine, tmp_path: Path) -> None:
    same, varied = (cells(pixels(engine.render(spec(variety=v), tmp_path / "sheet.png").path)) for v in (0.0, 0.3))
    assert (same[0] == varied[0]).all()
    for one, other in zip(same[1:], varied[1:], strict=True):
        assert (one != other).any()
    again = cells(pixels(engine.render(spec(variety=0.3), tmp_path / "sheet.png").path))
    assert all((one == other).all() for one, other in zip(varied, again, strict=True))


def test_a_batch_is_a_sheet_for_each_seed(engine: Engine, tmp_path: Path) -> None:
    result = engine.render(spec(batch=2), tmp_path / "sheet.png")
    alone = engine.render(spec(seed=6), tmp_path / "alone.png")
    assert len(result.paths) == 2
    assert np.abs(pixels(result.paths[1]) - pixels(alone.path)).max() <= 1


def test_what_the_spec_attaches_holds_for_every_view(engine: Engine, tmp_path: Path) -> None:
    regions = ({"prompt": "a car", "place": "all", "soft": 0.0},)
    made = engine.render(spec(variety=0.0, regions=regions, modifiers={"base_weight": 0.0}), tmp_path / "sheet.png")
    car = pixels(engine.render(RenderSpec("a car", model="tiny", seed=5), tmp_path / "a.png").path)
    assert all(np.abs(cell - car).max() <= 1 for cell in cells(pixels(made.path)))


def test_poses_go_to_the_views_of_their_names(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "poses"
    folder.mkdir()
    for name in ("Front.PNG", "three_quarter.json", "other.png", "side.txt"):
        (folder / name).write_bytes(b"x")
    views = [label for label, _ in ROWS["turnaround"]]
    assert poses_of(str(folder), views) == {
        "front": folder / "Front.PNG", "three-quarter": folder / "three_quarter.json"
    }  # fmt: skip
    assert poses_of("", views) == {}
    seen: list[tuple[str, dict[str, Any]]] = []
    import generation.operations.character_sheet as module

    class Attached:
        def __init__(self, stage: Any) -> None:
            seen.append((stage.spec.prompt, stage.spec.controls[0]))

        def __enter__(self) -> None: ...

        def __exit__(self, *_: Any) -> None: ...

    monkeypatch.setattr(module, "Attached", Attached, raising=False)
    monkeypatch.setitem(ATTACHMENTS, "controls", "generation.operations.character_sheet:Attached")
    engine.render(spec(poses=str(folder), pose_model="net", pose_weight=0.5), tmp_path / "a.png")
    assert [prompt.split(", ")[1] for prompt, _ in seen] == ["front view", "three-quarter view"]
    assert [one["preprocessor"] for _, one in seen] == ["none", "openpose"]
    assert {(one["model"], one["weight"]) for _, one in seen} == {("net", 0.5)}


def test_a_folder_without_poses_is_refused(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(BadSpec, match="there is no folder"):
        engine.render(spec(poses=str(tmp_path / "none")), tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadSpec, match="holds no pose") as caught:
        engine.render(spec(poses=str(tmp_path / "empty")), tmp_path / "a.png")
    assert "front" in caught.value.hint


def test_progress_names_the_view(engine: Engine, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    engine.render(spec(), tmp_path / "a.png", report=events.append)
    stages = [event["stage"] for event in events if event["kind"] == "progress" and event["stage"] != "loading"]
    assert list(dict.fromkeys(stages)) == ["front", "three-quarter", "side", "back"]


def test_a_sheet_by_hand() -> None:
    white, black = np.ones((40, 64, 3), np.float32), np.zeros((40, 64, 3), np.float32)
    made = sheet([[white, black], [black]], [["one", "two"], ["three"]])
    assert made.shape[1] == 2 * 64 + GAP
    assert made[-20, 10].tolist() == [0, 0, 0]
    assert made[-20, 100].tolist() == [1, 1, 1]

"""`train plan` and `captions` as a person types them, and captions that can always be taken back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from assistant.caption_files import KEPT, CaptionsChanged, kept, undo, write
from assistant.cli import main
from generation.training import datasets


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photographs of 3:2 and a square, half of them with captions."""
    place = tmp_path / "set"
    place.mkdir()
    rng = np.random.default_rng(0)
    for number, size in enumerate([(150, 100), (150, 100), (100, 150), (100, 100)]):
        noise = rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(noise).save(place / f"p{number}.png")
    (place / "p0.txt").write_text("a cat, sitting")
    (place / "p1.caption").write_text("a cat")
    return place


def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    status = main(["--home", str(tmp_path / "home"), *words, "--json"])
    out = capsys.readouterr()
    return status, json.loads(out.out) if out.out else out.err


def test_plan_as_json(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contact = tmp_path / "contact.png"
    status, plan = run(tmp_path, capsys, "train", "plan", str(folder), "--contact", str(contact), "--set", "batch=1")
    assert status == 0
    assert (plan["images"], plan["repeats"], plan["epochs"], plan["steps"]) == (4, 10, 10, 400)
    assert plan["buckets"] == [
        {"size": [48, 80], "count": 1}, {"size": [64, 64], "count": 1}, {"size": [80, 48], "count": 2},
    ]  # fmt: skip
    assert 0.05 < plan["crop_loss"] < 0.1 and plan["no_upscale"]["proposed"]
    assert 0 < plan["memory_gb"] < 4 and plan["seconds_estimate"] > 0 and plan["fits"]
    assert plan["settings"]["batch"] == 1 and plan["sources"]["batch"] == "you"
    kinds = [remark["kind"] for remark in plan["remarks"]]
    assert kinds.count("crop") == 3 and kinds.count("caption") == 2 and "upscale" in kinds
    with Image.open(contact) as sheet:
        assert sheet.width > 200


def test_plan_as_text(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.png").write_bytes(b"nothing")
    assert main(["--home", str(tmp_path / "home"), "train", "plan", str(folder), "--preset", "style"]) == 0
    said = capsys.readouterr().out
    for words in ("4 pictures", "80x48", "broken.png", "without enlarging", "ai-toolkit", "rank=16"):
        assert words in said
    assert max(map(len, said.splitlines())) <= 120


def test_without_looking_nothing_is_decoded(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A picture that is cut behind its header passes only where it is not decoded."""
    data = (folder / "p3.png").read_bytes()
    at = data.index(b"IDAT") + 4
    (folder / "p4.png").write_bytes(data[:at] + bytes(len(data) - 16 - at) + data[-16:])
    _, looked = run(tmp_path, capsys, "train", "plan", str(folder))
    assert looked["images"] == 4 and [r["kind"] for r in looked["remarks"]].count("damaged") == 1
    _, passed = run(tmp_path, capsys, "train", "plan", str(folder), "--no-look")
    assert passed["images"] == 5 and [r["kind"] for r in passed["remarks"]].count("damaged") == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/nowhere"], "/nowhere"), (["", "--kind", "lora"], "empty"), (["SET", "--kind", "lorra"], '"lora"'),
        (["SET", "--preset", "styl"], '"style"'), (["SET", "--model", "none-such"], "none-such"),
        (["SET", "--memory", "-3"], "-3"), (["SET", "--set", "rnak=3"], '"rank"'), (["SET", "--set", "rank"], "rank"),
        (["SET", "--set", "rank=x"], "rank"), (["SET", "--set", "bucket_step=63"], "63"),
        (["SET", "--contact", "x.gif"], "x.gif"), (["SET", "--regularisation", "/nowhere"], "/nowhere"),
        (["SET", "--kind", "motion"], "a training of motion has no plan"),
    ],
)  # fmt: skip
def test_plan_refuses_in_a_line(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    before = sorted(path.name for path in folder.iterdir())
    words = [str(folder) if word == "SET" else word for word in words]
    assert main(["--home", str(tmp_path / "home"), "train", "plan", *words]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("atelier: ") and len(told.err.splitlines()) == 1
    assert said in told.err
    assert sorted(path.name for path in folder.iterdir()) == before


def captions(folder: Path) -> dict[str, str]:
    return {
        path.name: path.read_text("utf-8") for path in sorted(folder.iterdir()) if path.suffix in {".txt", ".caption"}
    }


def test_captions_are_edited_and_taken_back(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = captions(folder)
    words = ["captions", str(folder), "--find", "cat", "--replace", "dog", "--prefix", "ohwx"]
    _, dry = run(tmp_path, capsys, *words, "--dry-run")
    assert len(dry["changed"]) == 4 and not dry["written"] and captions(folder) == before
    _, done = run(tmp_path, capsys, *words)
    assert done["changed"] == dry["changed"] and done["undo"] == str(folder / KEPT)
    assert captions(folder) == {
        "p0.txt": "ohwx, a dog, sitting\n", "p1.caption": "ohwx, a dog\n", "p2.txt": "ohwx\n", "p3.txt": "ohwx\n",
    }  # fmt: skip
    assert done["stats"]["tags"][0] == {"tag": "ohwx", "count": 4}
    _, again = run(tmp_path, capsys, *words)
    assert again["changed"] == []
    (folder / "p1.caption").write_text("mine now")
    _, back = run(tmp_path, capsys, "captions", str(folder), "--undo")
    assert back == {"dataset": str(folder), "restored": 3, "left": [str(folder / "p1.caption")]}
    assert captions(folder) == before | {"p1.caption": "mine now"}
    assert not kept(folder).exists()


def test_class_tokens_are_not_lost_to_a_prefix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "set" / "5_ohwx man"
    place.mkdir(parents=True)
    Image.new("RGB", (70, 70)).save(place / "a.png")
    _, done = run(tmp_path, capsys, "captions", str(tmp_path / "set"), "--prefix", "photo")
    assert done["changed"] == [] and captions(place) == {}


def test_several_edits_are_taken_back_one_by_one(folder: Path) -> None:
    for text in ("one", "two", "three"):
        assert write(datasets.read(folder), {folder / "p0.png": text}) == 1
    for text in ("two\n", "one\n", "a cat, sitting"):
        assert undo(folder) == (1, [])
        assert (folder / "p0.txt").read_text() == text
    with pytest.raises(CaptionsChanged):
        undo(folder)


def test_an_edit_stopped_half_way_is_taken_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import assistant.caption_files as module

    before = captions(folder)
    real = module.write_whole
    calls: list[Path] = []

    def failing(path: Path, data: str | bytes) -> Path:
        calls.append(path)
        if len(calls) == 3:
            raise OSError(28, os.strerror(28), str(path))
        return real(path, data)

    monkeypatch.setattr(module, "write_whole", failing)
    with pytest.raises(OSError):
        write(datasets.read(folder), {folder / f"p{n}.png": "x" for n in range(4)})
    monkeypatch.undo()
    assert captions(folder) != before
    assert undo(folder)[1] == []
    assert captions(folder) == before


def test_a_damaged_undo_file_stops_edits(folder: Path) -> None:
    before = captions(folder)
    for text in ("{", "[]", '{"edits": [[{"path": 3}]]}', '{"edits": 3}'):
        kept(folder).write_text(text)
        with pytest.raises(CaptionsChanged):
            write(datasets.read(folder), {folder / "p0.png": "x"})
        with pytest.raises(CaptionsChanged):
            undo(folder)
        assert captions(folder) == before and kept(folder).read_text() == text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/nowhere"], "/nowhere"), (["SET", "--find", "x"], "--replace"), (["SET", "--replace", "x"], "--find"),
        (["SET", "--auto", "/nowhere"], "/nowhere"), (["SET", "--auto", "SET"], "config.json"),
        (["SET", "--threshold", "7"], "7"), (["SET", "--undo"], "no edit"), ([""], "empty"),
    ],
)  # fmt: skip
def test_captions_refuse_in_a_line(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    before = captions(folder)
    words = [str(folder) if word == "SET" else word for word in words]
    assert main(["--home", str(tmp_path / "home"), "captions", *words]) == 2
    told = capsys.readouterr()
    assert said in told.err and len(told.err.splitlines()) == 1 and captions(folder) == before


def test_statistics_as_text(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(tmp_path / "home"), "captions", str(folder), "--stats"]) == 0
    said = capsys.readouterr().out
    assert "2 of 4 pictures have a caption" in said and "     2  a cat" in said


def test_automatic_captions_fill_what_is_missing(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from generation.training import captioners

    monkeypatch.setattr(captioners, "load", lambda *words, **more: lambda image: f"{image.width} wide")
    _, done = run(tmp_path, capsys, "captions", str(folder), "--auto", str(folder))
    assert {Path(change["path"]).name: change["after"] for change in done["changed"]} == {
        "p2.png": "100 wide", "p3.png": "100 wide",
    }  # fmt: skip
    _, all_of_them = run(tmp_path, capsys, "captions", str(folder), "--auto", str(folder), "--overwrite", "--dry-run")
    assert len(all_of_them["changed"]) == 2 and all_of_them["changed"][0]["after"] == "150 wide"

"""`--control` in words, `preprocess` and `train controlnet` as a person types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from assistant.cli import main
from assistant.cli.control_commands import control
from assistant.errors import BadArgument
from generation.errors import BadSpec
from generation.metadata import read


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    picture = Image.new("RGB", (64, 64), "black")
    picture.paste("white", (16, 16, 48, 48))
    path = tmp_path / "photo.png"
    picture.save(path)
    return path


def test_a_control_in_words(photo: Path) -> None:
    assert control(f"canny:{photo},weight=0.8,end=0.7,model=my net,low=30") == {
        "image": str(photo), "preprocessor": "canny", "weight": 0.8, "end": 0.7, "model": "my net", "low": 30,
    }  # fmt: skip
    assert control(str(photo)) == {"image": str(photo), "preprocessor": "none"}
    assert control(f"{photo}, mode = control") == {"image": str(photo), "preprocessor": "none", "mode": "control"}
    assert control(f"openpose:{photo},face_and_hands=no")["face_and_hands"] is False


@pytest.mark.parametrize("name", ["a,b.png", "a:b.png", "canny,weight.png", "a=b,c.png", "shot: 1, take=2.png"])
def test_paths_may_hold_colons_and_commas(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    for text in (f"canny:{tmp_path / name},weight=0.5", f"canny:{name},weight=0.5"):
        assert control(text) == {"image": str(tmp_path / name), "preprocessor": "canny", "weight": 0.5}
    assert control(name)["image"] == str(tmp_path / name)
    assert control(f"canny:x.png,model={tmp_path / name}")["model"] == str(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("cany:a.png", BadSpec, "cany"), ("canny:a.png,wieght=0.8", BadArgument, "wieght"),
        ("canny:a.png,weight=heavy", BadSpec, "heavy"), ("canny:a.png,weight=3", BadSpec, "out of range"),
        ("canny:a.png,thickness=3", BadArgument, "thickness"), ("canny:", BadArgument, "no picture"),
        ("", BadArgument, "no picture"), ("canny:a.png,mode=loud", BadSpec, "loud"),
        ("canny:a.png,weight=1,weight=2", BadArgument, "already"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_what_would_do(text: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said) as told:
        control(text)
    assert told.value.hint  # type: ignore[attr-defined]


def run(capsys: pytest.CaptureFixture[str], home: Path, *words: str) -> tuple[int, Any, str]:
    status = main([*words, "--home", str(home), "--json"])
    out, error = capsys.readouterr()
    return status, json.loads(out) if out else None, error


def test_the_list_needs_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, found, _ = run(capsys, tmp_path, "preprocess", "--list")
    assert status == 0
    kinds = {one["name"]: one for one in found["preprocessors"]}
    assert {"canny", "lineart", "scribble", "tile", "shuffle", "softedge", "openpose", "depth", "segmentation"} <= set(
        kinds
    )
    assert kinds["depth"]["needs"] and not kinds["canny"]["needs"]
    assert [p["name"] for p in kinds["canny"]["parameters"]] == ["low", "high", "blur"]


def test_a_condition_is_made_of_a_picture(capsys: pytest.CaptureFixture[str], tmp_path: Path, photo: Path) -> None:
    target = tmp_path / "out" / "edges.png"
    words = ("preprocess", "canny", str(photo), "-o", str(target), "--low", "50", "--width", "32", "--height", "32")
    status, found, _ = run(capsys, tmp_path, *words)
    assert (status, found["path"], found["size"]) == (0, str(target), [32, 32])
    assert np.asarray(Image.open(target)).any()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("cany", "PHOTO", "-o", "OUT"), 'Did you mean "canny"?'), (("canny", "PHOTO"), "output"),
        (("canny", "-o", "OUT"), "picture"), (("canny", "PHOTO", "-o", "OUT", "--seed", "3"), "has no parameter seed"),
        (("canny", "PHOTO", "-o", "OUT", "--low", "x"), "low must be a number"),
        (("canny", "nowhere.png", "-o", "OUT"), "no picture"), (("depth", "PHOTO", "-o", "OUT"), "Give weights"),
        (("canny", "PHOTO", "-o", "OUT", "--width", "9"), "a width and a height"), ((), "kind is empty"),
    ],
)  # fmt: skip
def test_preprocess_says_what_is_wrong_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, photo: Path, words: tuple[str, ...], said: str
) -> None:
    target = tmp_path / "out.png"
    filled = [{"PHOTO": str(photo), "OUT": str(target)}.get(word, word) for word in words]
    status, _, error = run(capsys, tmp_path, "preprocess", *filled)
    assert status == 2 and said in error
    assert error.count("\n") == 1 and not target.exists()


def test_a_trained_controlnet_controls_a_render(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, photo: Path, tiny_checkpoint: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        Image.open(photo).rotate(15 * number).save(pictures / f"{number}.png")
        (pictures / f"{number}.txt").write_text("a square")
    target = tmp_path / "mine"
    words = ("train", "controlnet", str(pictures), "-o", str(target), "--model", str(tiny_checkpoint), "--steps", "3",
             "--batch", "1", "--rate", "0.01", "--set", "low=50")  # fmt: skip
    status, found, _ = run(capsys, tmp_path, *words)
    assert status == 0
    assert (found["path"], found["steps"], found["pictures"]) == (str(target), 3, 3)
    assert np.isfinite(found["loss"])
    assert not target.with_name(".mine.training").exists(), "the state goes when the weights are there"
    outputs = []
    for weight in ("0", "2"):
        outputs.append(tmp_path / f"made-{weight}.png")
        status, found, error = run(
            capsys, tmp_path, "render", "a square", "--model", str(tiny_checkpoint), "--seed", "3", "--steps", "2",
            "-o", str(outputs[-1]), "--control", f"canny:{photo},model={target},weight={weight}",
        )  # fmt: skip
        assert status == 0, error
    assert (np.asarray(Image.open(outputs[0])) != np.asarray(Image.open(outputs[1]))).any()
    spec = read(outputs[1]).spec() or {}
    assert [(c["weight"], c["model"]) for c in spec["controls"]] == [(2.0, str(target))]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere", "-o", "OUT"), "no folder"), (("EMPTY", "-o", "OUT"), "holds no pictures"),
        (("EMPTY",), "output is empty"), (("EMPTY", "-o", "OUT", "--preprocessor", "cany"), "canny"),
        (("EMPTY", "-o", "OUT", "--set", "lo=3"), "low"), (("EMPTY", "-o", "OUT", "--steps", "0"), "steps must be"),
        (("EMPTY", "-o", "FULL"), "not the folder of a ControlNet"), (("EMPTY", "-o", "OUT", "--rate", "-1"), "rate"),
        (("EMPTY", "-o", "OUT", "--silent", "2"), "share of 2"),
    ],
)  # fmt: skip
def test_training_says_what_is_wrong_before_it_begins(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    known = {"EMPTY": "empty", "OUT": "out", "FULL": "full"}
    filled = [str(tmp_path / known[word]) if word in known else word for word in words]
    status, _, error = run(capsys, tmp_path, "train", "controlnet", *filled)
    assert status == 2 and said in error and error.count("\n") == 1
    assert (tmp_path / "full" / "thesis.txt").exists() and not (tmp_path / "out").exists()

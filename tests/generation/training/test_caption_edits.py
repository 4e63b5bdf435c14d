"""Edits of captions: what becomes of the words, which files change, and how often tags are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from generation.errors import BadSpec
from generation.training import datasets
from generation.training.caption_edits import Edit, edited, files, statistics


@pytest.mark.parametrize(
    ("caption", "edit", "after"),
    [
        ("a cat, sitting", Edit("cat", "dog"), "a dog, sitting"),
        ("a Cat", Edit("cat", "dog"), "a Cat"),
        ("a cat, red, sitting", Edit(", red", ""), "a cat, sitting"),
        ("red, a cat", Edit("red", ""), "a cat"),
        ("a cat, red", Edit("red", ""), "a cat"),
        ("x ,, y", Edit("z", ""), "x ,, y"),
        ("a cat, Red ,sitting", Edit(remove=("red",)), "a cat, sitting"),
        ("a red cat", Edit(remove=("red",)), "a red cat"),
        ("a cat", Edit(prefix="ohwx"), "ohwx, a cat"),
        ("ohwx, a cat", Edit(prefix="ohwx"), "ohwx, a cat"),
        ("a cat", Edit(prefix="photo of "), "photo of a cat"),
        ("a cat", Edit(prefix="ohwx,"), "ohwx, a cat"),
        ("", Edit(prefix="ohwx,"), "ohwx"),
        ("a cat", Edit(suffix="4k"), "a cat, 4k"),
        ("a cat", Edit(suffix=", 4k"), "a cat, 4k"),
        ("a cat", Edit(suffix=" on grass"), "a cat on grass"),
        ("a cat, 4k", Edit(suffix="4k"), "a cat, 4k"),
        ("", Edit(suffix="4k"), "4k"),
        ("a cat, b", Edit("cat", "dog", ("b",), "x", "y"), "x, a dog, y"),
        ("a.c", Edit(".", "+"), "a+c"),
    ],
)
def test_edits(caption: str, edit: Edit, after: str) -> None:
    assert edited(caption, edit) == after


def test_something_to_put_in_needs_something_to_find() -> None:
    with pytest.raises(BadSpec, match="nothing to find"):
        Edit(replace="x")


def test_statistics_count_a_tag_once_a_caption() -> None:
    found = statistics(["Red cat, sitting", "red cat, red cat, on grass", "", "sitting"])
    assert found["tags"] == [
        {"tag": "Red cat", "count": 2}, {"tag": "sitting", "count": 2}, {"tag": "on grass", "count": 1},
    ]  # fmt: skip
    assert (found["captions"], found["without"], found["longest"]) == (3, 1, 6)
    assert {"word": "cat", "count": 2} in found["words"]
    assert len(statistics([f"{n}" for n in range(300)], most=10)["tags"]) == 10


def folder(tmp_path: Path, **captions: str | bytes) -> datasets.Dataset:
    for name in "abc":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    for name, text in captions.items():
        path = tmp_path / name.replace("_", ".")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return datasets.read(tmp_path)


def test_only_files_that_change_are_named(tmp_path: Path) -> None:
    found = folder(tmp_path, a_txt="one\n", b_caption="two")
    wanted = {tmp_path / "a.png": "one", tmp_path / "b.png": "zwei", tmp_path / "c.png": "drei"}
    assert files(found, wanted) == {
        tmp_path / "b.caption": ("two", "zwei\n"),
        tmp_path / "c.txt": (None, "drei\n"),
    }


def test_the_file_that_says_something_is_changed(tmp_path: Path) -> None:
    found = folder(tmp_path, a_txt="", a_caption="two")
    assert files(found, {tmp_path / "a.png": "x"}) == {tmp_path / "a.caption": ("two", "x\n")}


def test_a_caption_that_is_no_text_is_never_lost(tmp_path: Path) -> None:
    found = folder(tmp_path, a_txt=b"\xff\x00\xff")
    with pytest.raises(BadSpec, match=r"a\.txt"):
        files(found, {tmp_path / "a.png": "x"})


def test_jsonl_keeps_all_but_the_caption(tmp_path: Path) -> None:
    folder(tmp_path)
    lines = [
        '{"file_name": "a.png", "text": "один", "source": {"x": 1}}',
        "",
        "not json",
        '{"file_name": "b.png"}',
        "3",
    ]
    listed = tmp_path / "metadata.jsonl"
    listed.write_text("\n".join(lines) + "\n", "utf-8")
    found = files(
        datasets.read(tmp_path), {tmp_path / "a.png": "два", tmp_path / "b.png": "b", tmp_path / "c.png": "c"}
    )
    (path,) = found
    assert path == listed
    before, after = found[path]
    assert before == listed.read_text("utf-8")
    written = after.split("\n")
    assert json.loads(written[0]) == {"file_name": "a.png", "text": "два", "source": {"x": 1}} and "два" in written[0]
    assert json.loads(written[3]) == {"file_name": "b.png", "caption": "b"}
    assert [written[n] for n in (1, 2, 4, 5)] == ["", "not json", "3", ""]
    listed.write_text(after, "utf-8")
    assert [one.caption for one in datasets.read(tmp_path).pictures] == ["два", "b"]
    assert files(datasets.read(tmp_path), {tmp_path / "a.png": "два"}) == {}

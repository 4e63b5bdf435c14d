"""Prompts kept, found, taken from pictures and written out."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from assistant.errors import BadArgument, one_line
from assistant.prompt_export import export, styles
from assistant.prompt_shelf import Shelf
from assistant.styles import Style, read
from generation.errors import BadImage

ROOT = Path(__file__).parent.parent.parent
INFO = (
    "a red cat, (soft light:1.2)\nNegative prompt: blurry\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 8x8"
)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "data" / "prompts.sqlite3")


def picture(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    about = PngInfo()
    if text:
        about.add_text("parameters", text)
    Image.new("RGB", (8, 8)).save(path, pnginfo=about)
    return path


def test_nothing_is_written_before_the_first_prompt(shelf: Shelf) -> None:
    assert shelf.find() == [] and shelf.tags() == {} and shelf.frequent() == ([], [])
    with pytest.raises(BadArgument, match="no prompt 1"):
        shelf.get(1)
    assert not shelf.path.exists()


def test_a_prompt_is_kept_with_what_belongs_to_it(shelf: Shelf) -> None:
    kept = shelf.add(" a red cat, " + "soft light, " * 9, "blurry", tags=["Cats", "#night  sky"], notes="good")
    assert kept.name == "a red cat, " + "soft light, " * 3 + "soft light,…"
    assert (kept.negative, kept.notes, kept.tags, kept.used) == ("blurry", "good", ("cats", "night sky"), 0)
    assert shelf.get(kept.id) == kept and kept.to_json()["tags"] == ["cats", "night sky"]
    with pytest.raises(BadArgument, match="is empty"):
        shelf.add(" ", "\n")


def test_the_same_prompt_is_kept_once(shelf: Shelf) -> None:
    first = shelf.add("a cat", notes="mine")
    shelf.use(first.id)
    again = shelf.add("a cat ", name="Tom", tags=["x"], notes="other", source="/p.png")
    assert (again.id, again.name, again.notes, again.source, again.used) == (first.id, "Tom", "mine", "/p.png", 1)
    assert shelf.add("a cat", "blurry").id != first.id and len(shelf.find()) == 2


def test_it_is_found_by_words_tags_and_marks(shelf: Shelf) -> None:
    cat = shelf.add("a red Cat", tags=["pets"])
    dog = shelf.add("a dog", notes="like the RED one")
    sky = shelf.add("Небо", "cat")
    assert [kept.id for kept in shelf.find()] == [sky.id, dog.id, cat.id]
    assert {kept.id for kept in shelf.find("red")} == {cat.id, dog.id}
    assert [kept.id for kept in shelf.find("RED cat")] == [cat.id] and shelf.find("небо")[0].id == sky.id
    assert [kept.id for kept in shelf.find(tag="Pets")] == [cat.id] and shelf.find("%") == []
    assert shelf.favourite(cat.id).favourite and shelf.find()[0].id == cat.id
    assert [kept.id for kept in shelf.find(favourites=True)] == [cat.id]
    assert not shelf.favourite(cat.id, False).favourite


def test_it_is_changed_counted_and_deleted(shelf: Shelf) -> None:
    number = shelf.add("a cat").id
    assert shelf.rename(number, " Tom\n the cat ").name == "Tom the cat"
    assert shelf.note(number, "x").notes == "x"
    assert shelf.tag(number, "pets").tags == shelf.tag(number, "PETS").tags == ("pets",)
    assert shelf.tags() == {"pets": 1}
    with pytest.raises(BadArgument, match='no tag "pet"') as caught:
        shelf.untag(number, "pet")
    assert "pets" in caught.value.hint
    assert shelf.untag(number, "Pets").tags == ()
    used = shelf.use(number)
    assert used.used == 1 and used.last > used.created
    shelf.tag(number, "pets")
    assert shelf.delete(number).name == "Tom the cat"
    assert shelf.find() == [] and shelf.tags() == {}
    for wrong in (lambda: shelf.rename(1, "x"), lambda: shelf.use(1), lambda: shelf.tag(1, "x")):
        with pytest.raises(BadArgument, match="no prompt 1"):
            wrong()
    number = shelf.add("b").id
    for wrong in (lambda: shelf.rename(number, " "), lambda: shelf.tag(number, " ")):
        with pytest.raises(BadArgument, match="is empty"):
            wrong()


def test_odd_letters_do_no_harm(shelf: Shelf) -> None:
    kept = shelf.add("a\0b \ud800 '); DROP TABLE prompts; --", tags=["x'y"])
    assert shelf.get(kept.id).positive == "ab ? '); DROP TABLE prompts; --" and kept.tags == ("x'y",)


def test_frequent_phrases(shelf: Shelf) -> None:
    shelf.add("a cat, (soft light:1.2)", "blurry, text")
    shelf.add("a dog, Soft light", "text")
    assert shelf.frequent(1) == ([("soft light", 2)], [("text", 2)])


def test_a_picture_gives_its_prompt(shelf: Shelf, tmp_path: Path) -> None:
    path = picture(tmp_path / "one.png", INFO)
    kept = shelf.import_picture(path)
    assert kept is not None
    assert (kept.positive, kept.negative, kept.source) == ("a red cat, (soft light:1.2)", "blurry", str(path))
    assert shelf.import_picture(picture(tmp_path / "plain.png")) is None
    with pytest.raises(BadImage):
        shelf.import_picture(tmp_path / "none.png")


def test_a_folder_is_imported_with_a_report(shelf: Shelf, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    picture(folder / "a.png", INFO)
    picture(folder / "deep" / "same.PNG", INFO)
    picture(folder / "deep" / "other.png", INFO.replace("red", "blue"))
    picture(folder / "plain.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "notes.txt").write_text("x")
    shelf.add("a blue cat, (soft light:1.2)", "blurry")
    report = shelf.import_folder(folder)
    assert [kept.positive for kept in report.added] == ["a red cat, (soft light:1.2)"]
    assert [kept.positive for kept in report.known] == ["a blue cat, (soft light:1.2)"]
    assert report.silent == (str(folder / "plain.png"),) and list(report.broken) == [str(folder / "broken.jpg")]
    assert str(report) == "1 new, 1 already there, 1 without a prompt, 1 not readable"
    assert str(shelf.import_folder(folder)) == "0 new, 2 already there, 1 without a prompt, 1 not readable"
    with pytest.raises(BadArgument, match="there is no folder"):
        shelf.import_folder(tmp_path / "none")


def test_it_is_written_out(shelf: Shelf, tmp_path: Path) -> None:
    shelf.add("a cat", "blurry", name="Tom", tags=["pets"], notes="good")
    shelf.favourite(shelf.use(shelf.add("a ```dog", name="# Tom").id).id)
    csv = export(tmp_path / "styles", "styles", shelf.find())
    assert csv.name == "styles.csv"
    assert read(csv) == [Style("Tom", "a ```dog"), Style("Tom (2)", "a cat", "blurry")] == styles(shelf.find())
    data = json.loads(export(tmp_path / "out.json", "json", shelf.find("cat")).read_text("utf-8"))
    assert [(one["name"], one["tags"]) for one in data] == [("Tom", ["pets"])]
    text = export(tmp_path / "out.md", "markdown", shelf.find()).read_text("utf-8")
    assert (
        "## # Tom ★\n\n````\na ```dog\n````\n" in text and "Tags: pets\n\ngood\n" in text and "Used: 1, last 2" in text
    )
    with pytest.raises(BadArgument, match="no form"):
        export(tmp_path / "x", "docx", [])


def test_a_damaged_file_is_one_line(shelf: Shelf) -> None:
    shelf.path.parent.mkdir(parents=True)
    shelf.path.write_bytes(b"this is no database at all" * 50)
    for act in (shelf.find, lambda: shelf.add("x")):
        with pytest.raises(BadArgument, match="cannot be used") as caught:
            act()
        assert "\n" not in one_line(caught.value)
    with pytest.raises(BadArgument, match="cannot be used"):
        Shelf(shelf.path / "below" / "x.sqlite3").add("x")


def test_a_kill_leaves_whole_prompts(shelf: Shelf) -> None:
    script = (
        "import sys, pathlib\nfrom assistant.prompt_shelf import Shelf\nshelf = Shelf(pathlib.Path(sys.argv[1]))\n"
        "n = 0\nwhile True:\n    shelf.add(f'prompt {n}', tags=['a', 'b'])\n    print(n, flush=True)\n    n += 1\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", script, str(shelf.path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    said = [int(worker.stdout.readline()) for _ in range(5)][-1]
    worker.kill()
    worker.communicate()
    kept = shelf.find()
    assert len(kept) > said and all(one.tags == ("a", "b") for one in kept)
    with sqlite3.connect(shelf.path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)

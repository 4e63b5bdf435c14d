"""Datasets of every layout, and a hundred damaged ones: each is told in one line or left out with a remark."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from generation.errors import BadImage, BadSpec
from generation.pictures import read as read_picture
from generation.training import checks
from generation.training.datasets import MOST_REPEATS, Dataset, Remark, read


def picture(path: Path, size: tuple[int, int] = (40, 30), seed: int = 0, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, **options)
    return path


def kinds(dataset: Dataset) -> list[str]:
    return [remark.kind for remark in dataset.remarks]


def test_any_folder_is_a_dataset(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (40, 30))
    picture(tmp_path / "below" / "deep" / "b.JPG", (20, 10))
    picture(tmp_path / ".hidden" / "c.png")
    picture(tmp_path / ".d.png")
    (tmp_path / "a.txt").write_text("a cat")
    (tmp_path / "notes.md").write_text("not a picture")
    found = read(tmp_path)
    assert found.layout == "folder" and not found.remarks
    assert [(one.path.name, one.width, one.height, one.caption, one.folder) for one in found.pictures] == [
        ("a.png", 40, 30, "a cat", ""),
        ("b.JPG", 20, 10, "", "below/deep"),
    ]
    assert all(one.repeats is None and one.tokens == "" for one in found.pictures)


@pytest.mark.parametrize("base", ["", "img"])
def test_kohyas_layout(tmp_path: Path, base: str) -> None:
    root = tmp_path / base
    picture(root / "10_ohwx man" / "a.png")
    picture(root / "3_ohwx man  portrait" / "b.webp")
    picture(root / "reg" / "1_man" / "r.png") if not base else picture(tmp_path / "reg" / "1_man" / "r.png")
    picture(root / "stray.png")
    (root / "10_ohwx man" / "a.caption").write_text("in a park")
    found = read(tmp_path)
    assert found.layout == "kohya"
    assert [(one.path.name, one.repeats, one.tokens, one.caption) for one in found.pictures] == [
        ("a.png", 10, "ohwx man", "in a park"),
        ("b.webp", 3, "ohwx man portrait", ""),
    ]
    assert [one.path.name for one in found.regularisation] == ["r.png"]
    assert kinds(found) == ["layout"] and "1 pictures" in found.remarks[0].message


def test_a_numbered_folder_itself(tmp_path: Path) -> None:
    picture(tmp_path / "7_cat" / "a.png")
    found = read(tmp_path / "7_cat")
    assert (found.layout, found.pictures[0].repeats, found.pictures[0].tokens) == ("kohya", 7, "cat")


def test_a_folder_named_by_a_date_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "2024_holiday" / "a.png")
    assert kinds(read(tmp_path)) == ["repeats"]


def test_numbered_folders_without_pictures_make_no_layout(tmp_path: Path) -> None:
    (tmp_path / "10_empty").mkdir()
    picture(tmp_path / "a.png")
    assert read(tmp_path).layout == "folder"


@pytest.mark.parametrize("name", ["list.jsonl", "metadata.jsonl"])
def test_jsonl(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "sub" / "b.png")
    picture(tmp_path / "c.png")
    (tmp_path / "c.txt").write_text("beside")
    lines = [
        {"file_name": "a.png", "text": "one\ntwo \u2028three"},
        {"image": "sub/b.png", "caption": "", "repeats": 4},
        {"path": str(tmp_path / "c.png")},
    ]
    (tmp_path / name).write_text("\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n", "utf-8")
    found = read(tmp_path / name if name == "list.jsonl" else tmp_path)
    assert found.layout == "jsonl" and not found.remarks
    assert [(one.caption, one.repeats) for one in found.pictures] == [
        ("one two three", None),
        ("", 4),
        ("beside", None),
    ]


def test_phones_turn_their_pictures(tmp_path: Path) -> None:
    """A portrait that lies in the file with a note to turn it has the size that `pictures.read` gives it."""
    for name, form in (("a.jpg", "JPEG"), ("b.png", "PNG"), ("c.webp", "WebP")):
        for value in range(1, 9):
            exif = Image.Exif()
            exif[0x0112] = value
            path = picture(tmp_path / str(value) / name, (40, 30), format=form, exif=exif)
            found = read(tmp_path / str(value)).pictures
            one = next(one for one in found if one.path == path)
            assert (one.width, one.height) == read_picture(path).size, (name, value)


def test_what_other_tools_take_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    for ending in ("bmp", "gif", "tiff"):
        picture(tmp_path / f"x.{ending}")
    found = read(tmp_path)
    assert kinds(found) == ["format"] * 3 and len(found.pictures) == 1


def test_check_stops_it(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")

    class Stopped(Exception):
        pass

    def check() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        read(tmp_path, check)


# Damage


def png(width: int = 8, height: int = 8, tail: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + b"\x7f" * 3 * 8 for _ in range(8))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + tail + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def encoded(form: str, size: tuple[int, int] = (64, 48)) -> bytes:
    import io

    noise = np.random.default_rng(3).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    held = io.BytesIO()
    Image.fromarray(noise).save(held, form)
    return held.getvalue()


FORMS = {"png": "PNG", "jpg": "JPEG", "webp": "WebP"}
DAMAGED: list[tuple[str, bytes]] = [
    *((f"cut {share}.{end}", encoded(form)[: int(len(encoded(form)) * share)])
      for end, form in FORMS.items() for share in (0.001, 0.01, 0.05, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 0.97)),
    *((f"flipped {at}.{end}", (data := encoded(form))[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
      for end, form in FORMS.items() for at in (0, 1, 3)),
    *((f"other {kind}.{end}", data) for end in FORMS for kind, data in (
        ("empty", b""), ("text", b"a picture of a cat"), ("zeros", b"\0" * 300), ("html", b"<html>404</html>"),
        ("zip", b"PK\3\4" + b"\0" * 60), ("gif", b"GIF89a" + b"\0" * 20))),
    ("size.png", png(0, 8)), ("wide.png", png(2**31 - 1, 8)), ("huge.png", png(60_000, 60_000)),
    ("tall.png", png(8, 0)), ("more.png", png(9_000, 9_000)), ("end.png", png()[:-30]), ("head.png", png()[:33]),
    ("length.png", png()[:8] + b"\xff\xff\xff\xff" + png()[12:]), ("bomb.png", png(20_000, 20_000)),
    ("sof.jpg", encoded("JPEG").replace(b"\xff\xc0", b"\xff\xfe")), ("soi.jpg", b"\xff\xd8" * 50),
    ("riff.webp", b"RIFF\xff\xff\xff\xffWEBP"), ("vp8.webp", b"RIFF\x20\0\0\0WEBPVP8 \xff\xff\xff\x7f"),
]  # fmt: skip
ENTRIES: list[str] = [
    "", "{", "[]", "null", "3", '"a.png"', "{}", '{"image": 3}', '{"image": null}', '{"image": ""}', '{"image": "  "}',
    '{"image": "none.png"}', '{"image": "a.png", "repeats": 0}', '{"image": "a.png", "repeats": -1}',
    '{"image": "a.png", "repeats": "3"}', '{"image": "a.png", "repeats": true}', '{"image": "a.png", "repeats": 1e9}',
    '{"image": "a.png", "caption": 3}', '{"image": "a.png", "caption": ["x"]}', '{"image": "a\\u0000.png"}',
    '{"image": "' + "x" * 5000 + '.png"}', '{"image": "\\ud800.png"}', '{"image": "."}', '{"image": ".."}',
    "[" * 100_000, '{"image": "a.png"', "{'image': 'a.png'}", '{"file": {"name": "a.png"}}',
    '{"image": "a.png", "caption": "x", "repeats": NaN}', '{"image": "notes.txt"}', '{"pictures": ["a.png"]}',
]  # fmt: skip


def told(remark: Remark) -> None:
    assert remark.message and "\n" not in remark.message and len(remark.message) < 300
    assert "Traceback" not in remark.message and "Errno" not in remark.message


def looked_through(dataset: Dataset) -> tuple[Remark, ...]:
    return (*dataset.remarks, *checks.examine(dataset.pictures))


@pytest.mark.parametrize(("name", "data"), DAMAGED, ids=[name for name, _ in DAMAGED])
def test_a_damaged_picture_is_left_out(tmp_path: Path, name: str, data: bytes) -> None:
    """Alone it is refused in a line; beside a good one it is told, by the header or when it is decoded."""
    (tmp_path / name).write_bytes(data)
    try:
        alone = looked_through(read(tmp_path))
        assert [remark.kind for remark in alone] == ["damaged"]
    except BadSpec as error:
        assert name in error.message and error.hint and "\n" not in error.message
    picture(tmp_path / "good.png")
    found = looked_through(read(tmp_path))
    assert [(remark.kind, Path(remark.path).name) for remark in found] == [("damaged", name)]
    told(found[0])
    with pytest.raises(BadImage):
        read_picture(tmp_path / name)


@pytest.mark.parametrize("line", ENTRIES, ids=range(len(ENTRIES)))
def test_a_damaged_line_is_left_out(tmp_path: Path, line: str) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "good.png", seed=1)
    (tmp_path / "notes.txt").write_text("words")
    path = tmp_path / "list.jsonl"
    path.write_text(line, "utf-8")
    with pytest.raises(BadSpec) as alone:
        read(path)
    assert "\n" not in alone.value.message and alone.value.hint
    path.write_text(f'{line}\n{{"image": "good.png", "caption": "x"}}\n', "utf-8")
    found = read(path)
    assert [one.path.name for one in found.pictures] == ["good.png"]
    assert len(found.remarks) == (1 if line else 0)
    for remark in found.remarks:
        told(remark)


def nothing(tmp_path: Path) -> Path:
    return tmp_path / "nothing"


def empty(tmp_path: Path) -> Path:
    return tmp_path


def one_file(tmp_path: Path) -> Path:
    return picture(tmp_path / "a.png")


def bytes_list(tmp_path: Path) -> Path:
    path = tmp_path / "list.jsonl"
    path.write_bytes(b"\xff\x00\xfe")
    return path


def only_folders(tmp_path: Path) -> Path:
    (tmp_path / "a.png").mkdir()
    return tmp_path


def dangling(tmp_path: Path) -> Path:
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    return tmp_path


def itself(tmp_path: Path) -> Path:
    (tmp_path / "a.png").symlink_to("a.png")
    return tmp_path


def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "a.png")
    return tmp_path


def zero_repeats(tmp_path: Path) -> Path:
    picture(tmp_path / "0_cat" / "a.png")
    return tmp_path


def many_repeats(tmp_path: Path) -> Path:
    picture(tmp_path / f"{MOST_REPEATS + 1}_cat" / "a.png")
    return tmp_path


def zero_byte(tmp_path: Path) -> Path:
    return Path("a\0b")


def long_name(tmp_path: Path) -> Path:
    return tmp_path / ("x" * 5000)


@pytest.mark.parametrize(
    "make",
    [nothing, empty, one_file, bytes_list, only_folders, dangling, itself, pipe, zero_repeats, many_repeats, zero_byte,
     long_name],
)  # fmt: skip
def test_what_is_no_dataset_is_refused_in_a_line(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    with pytest.raises(BadSpec) as error:
        read(make(tmp_path))
    assert error.value.hint and "\n" not in error.value.message


def test_there_are_a_hundred_of_them() -> None:
    assert len(DAMAGED) + len(ENTRIES) >= 100


def test_a_damaged_caption_is_told_and_the_picture_stays(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\xfd")
    found = read(tmp_path)
    assert len(found.pictures) == 1 and kinds(found) == ["caption"]
    (tmp_path / "a.txt").unlink()
    (tmp_path / "a.txt").mkdir()
    assert len(read(tmp_path).pictures) == 1


def test_nothing_is_read_twice_nor_round_a_link(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "a.png")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert len(read(tmp_path).pictures) == 1
    (tmp_path / "l.jsonl").write_text('{"image": "a/a.png"}\n{"image": "a/a.png"}\n')
    found = read(tmp_path / "l.jsonl")
    assert len(found.pictures) == 1 and kinds(found) == ["line"]

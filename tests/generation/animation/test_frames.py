"""Frames on disk: PNGs packed by hand read back by others, and a thread that writes them whole, in order, and tells."""

from __future__ import annotations

import threading
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from generation.animation import frames
from generation.metadata import read

RANDOM = np.random.default_rng(3)


def picture(value: int | None = None, shape: tuple[int, ...] = (12, 20, 3)) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, np.uint8) if value is None else np.full(shape, value, np.uint8)


@pytest.mark.parametrize("shape", [(12, 20, 3), (1, 1, 3), (7, 5, 4), (9, 3), (1, 40, 3), (40, 1, 4)])
def test_packed_pictures_read_back(shape: tuple[int, ...]) -> None:
    pixels = picture(shape=shape)
    with Image.open(BytesIO(frames.packed(pixels, {"parameters": "Привет"}))) as image:
        image.load()
        assert image.size == (shape[1], shape[0])
        assert np.array_equal(np.asarray(image), pixels)
        assert image.info["parameters"] == "Привет"


def test_rows_that_are_not_next_to_each_other_are_packed() -> None:
    turned = picture()[::-1, ::-1]
    with Image.open(BytesIO(frames.packed(turned))) as image:
        assert np.array_equal(np.asarray(image), turned)


def test_what_is_told_is_read_by_the_gallery(tmp_path: Path) -> None:
    path = frames.save(tmp_path / "one.png", picture(), {"parameters": "a cat\nSteps: 3, Sampler: Euler, Seed: 5"})
    assert read(path).prompt == "a cat"


def test_the_thread_writes_in_order_and_all_is_there_at_the_end(tmp_path: Path, monkeypatch: Any) -> None:
    order: list[str] = []
    threads: set[int] = set()
    plain = frames.save

    def slow(path: Path, *given: Any) -> Path:
        threads.add(threading.get_ident())
        made = plain(path, *given)
        order.append(f"{path.parent.name}/{path.name}")
        return made

    monkeypatch.setattr(frames, "save", slow)
    with frames.Frames(tmp_path / "f", {"a": 1}) as made:
        for number in range(9):
            made.keep(number, picture(number))
            made.write(number, picture(number))
        assert made.read(8)[0, 0, 0] == 8, "what is read has been written"
        made.keep(9, picture(9))
        made.same(9)
    assert threading.get_ident() not in threads and len(threads) == 1
    assert order == [f"{place}/{n:06d}.png" for n in range(9) for place in ("denoised", "f")] + ["denoised/000009.png"]
    assert made.whole_to(20) == 10 and made.kept() == [8, 9] and made.latest == made.path(9)
    assert made.read(9)[0, 0, 0] == 9


def test_no_more_wait_than_said(tmp_path: Path, monkeypatch: Any) -> None:
    """Memory does not grow where the disk is slower than what is made."""
    go = threading.Event()
    plain = frames.save
    monkeypatch.setattr(frames, "save", lambda *given: (go.wait(20), plain(*given))[1])
    with frames.Frames(tmp_path / "f", {"a": 1}) as made:
        given = threading.Semaphore(0)

        def give() -> None:
            for number in range(12):
                made.write(number, picture(number))
                given.release()

        giving = threading.Thread(target=give)
        giving.start()
        assert all(given.acquire(timeout=20) for _ in range(frames.WAITING))
        assert not given.acquire(timeout=0.2), "the next one waits for room"
        go.set()
        giving.join(20)
    assert made.whole_to(12) == 12


def test_a_full_disk_is_told_and_no_frame_is_written_past_the_gap(tmp_path: Path, monkeypatch: Any) -> None:
    plain = frames.save

    def full(path: Path, *given: Any) -> Path:
        if path.name == "000002.png":
            raise OSError(28, "No space left on device")
        return plain(path, *given)

    monkeypatch.setattr(frames, "save", full)
    made = frames.Frames(tmp_path / "f", {"a": 1})
    with pytest.raises(OSError, match="No space"), made:
        for number in range(6):
            made.write(number, picture(number))
    assert sorted(path.name for path in made.folder.glob("[0-9]*.png")) == ["000000.png", "000001.png"]
    with pytest.raises(KeyError), frames.Frames(tmp_path / "g", {"a": 1}) as other:
        other.write(0, picture(1))
        other.write(2, picture(1))
        raise KeyError  # what stopped the work is what is told
    assert other.whole_to(5) == 1

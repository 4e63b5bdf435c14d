"""Videos written and read: every format there and back, texts in containers, sound, and files that are damaged."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from generation import metadata
from generation.animation import clips, filmstrips, video
from generation.errors import BadImage, BadVideo
from generation.specs import RenderSpec

TEXTS: dict[str, Any] = {
    "atelier_animation": {"kind": "deforum", "prompt": 'a "кот"', "n": [1]},
    "atelier": RenderSpec("a cat", seed=5, steps=4).to_json(),
}
ENDINGS = (".mp4", ".mov", ".webm", ".mkv", ".gif", ".png", ".apng")


def scene(number: int, width: int = 48, height: int = 32) -> np.ndarray:
    """A light square that goes to the right over a dark ground."""
    frame = np.full((height, width, 3), 40, np.uint8)
    frame[8:24, 2 * number : 2 * number + 16] = (220, 120, 60)
    return frame


def frames(count: int = 10, **size: int) -> list[np.ndarray]:
    return [scene(number, **size) for number in range(count)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for ending in ENDINGS:
        assert video.write(frames(), folder / f"one{ending}", 10, texts=TEXTS) == 10
    video.write(frames(), folder / "folder", 10)
    return folder


@pytest.mark.parametrize("ending", [*ENDINGS, ""])
def test_there_and_back(written: Path, ending: str) -> None:
    clip = clips.Clip(written / (f"one{ending}" if ending else "folder"))
    there = list(clip)
    assert (clip.width, clip.height, len(there), clip.note) == (48, 32, 10, "")
    assert clip.fps == pytest.approx(10 if ending else clips.FOLDER_FPS)
    exact = ending in {"", ".png", ".apng"}
    for one, other in zip(there, frames(), strict=True):
        assert np.abs(one.astype(int) - other).mean() <= (0 if exact else 4)
    assert np.abs(there[3][10, 10].astype(int) - (220, 120, 60)).max() < 25, "red is red: no colours swapped"
    assert len(list(clip)) == 10, "it can be gone through again"


@pytest.mark.parametrize("ending", ENDINGS)
def test_texts_are_read_back_from_the_bytes(written: Path, ending: str) -> None:
    found = metadata.read(written / f"one{ending}")
    assert (found.width, found.height) == (48, 32)
    assert json.loads(found.raw["atelier_animation"]) == TEXTS["atelier_animation"]
    assert found.prompt == "a cat" and found.tool == "Atelier"
    assert RenderSpec.from_json(found.spec() or {}) == RenderSpec("a cat", seed=5, steps=4)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_cut_anywhere_is_one_line_or_read(written: Path, ending: str, tmp_path: Path) -> None:
    """Bytes missing at the end, and bytes changed: never anything but our own errors."""
    data = (written / f"one{ending}").read_bytes()
    path = tmp_path / f"cut{ending}"
    drawn = np.random.default_rng(0)
    wounded = [data[: len(data) * n // 8] for n in range(8)]
    for _ in range(8):
        changed = bytearray(data)
        for place in drawn.integers(0, len(data), 20):
            changed[place] = int(drawn.integers(256))
        wounded.append(bytes(changed))
    for one in wounded:
        path.write_bytes(one)
        try:
            metadata.read(path)
        except BadImage as error:
            assert error.hint and "\n" not in error.message
        try:
            clip = clips.Clip(path)
            got = [frame.shape for frame in clip]
        except BadVideo as error:
            assert error.hint and "\n" not in error.message
        else:
            assert len(got) <= 40


def test_a_damaged_video_gives_what_can_be_had(tmp_path: Path) -> None:
    path = tmp_path / "long.mkv"
    noise = np.random.default_rng(0).integers(0, 255, (60, 64, 64, 3), np.uint8)
    video.write(iter(noise), path, 10)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = np.random.default_rng(1).bytes(4000)
    path.write_bytes(data)
    clip = clips.Clip(path)
    got = len(list(clip))
    assert 20 < got < 61
    path.write_bytes(data[: len(data) // 3])
    assert 5 < len(list(clips.Clip(path))) < 30


@pytest.mark.parametrize("name", ["none.mp4", "folder", "empty.mp4", "text.mp4", "noise.mp4", "sound.wav"])
def test_what_is_no_video_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video at all\n" * 50)
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    sound(tmp_path / "sound.wav", 0.2)
    with pytest.raises(BadVideo) as caught:
        clips.Clip(tmp_path / name)
    assert name in caught.value.message and caught.value.hint


def sound(path: Path, seconds: float) -> Path:
    with wave.open(str(path), "wb") as to:
        to.setnchannels(1)
        to.setsampwidth(2)
        to.setframerate(8000)
        to.writeframes((np.sin(np.arange(int(8000 * seconds)) * 0.3) * 9000).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
@pytest.mark.parametrize("seconds", [0.3, 5.0])
def test_sound_lies_beside_as_long_as_the_frames(ending: str, seconds: float, tmp_path: Path) -> None:
    path = tmp_path / f"x{ending}"
    video.write(frames(20), path, 10, sound=sound(tmp_path / "a.wav", seconds))
    clip = clips.Clip(path)
    assert clip.audio and len(list(clip)) == 20
    with av.open(str(path)) as container:
        heard = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
    assert heard == pytest.approx(min(seconds, 2.0), abs=0.15)


def heard(path: Path) -> np.ndarray:
    """The left channel, at 48 kHz, placed as its time stamps say."""
    found = np.zeros(48000 * 4)
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            assert frame.sample_rate == 48000
            values = frame.to_ndarray()
            left = values[0] if frame.format.is_planar else values[0, :: frame.layout.nb_channels]
            start = round(frame.pts * frame.time_base * 48000)
            place = slice(max(start, 0), start + len(left))
            found[place] = left[max(-start, 0) :]
    return found


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
@pytest.mark.parametrize("since", [0.5, 0.734375])
def test_sound_begins_where_its_part_does_to_the_sample(ending: str, since: float, tmp_path: Path) -> None:
    """Noise is like itself at one place only: where the correlation is highest, the sound of the part begins."""
    noise = np.random.default_rng(1).normal(0, 4000, 48000 * 2).astype("<i2")
    with wave.open(str(tmp_path / "noise.wav"), "wb") as to:
        to.setparams((1, 2, 48000, 0, "NONE", ""))
        to.writeframes(noise.tobytes())
    path = tmp_path / f"x{ending}"
    video.write(frames(10), path, 10, sound=tmp_path / "noise.wav", since=since)
    there = heard(path)[4800 : 4800 + 24000]  # behind the encoder's first packets
    likeness = np.fft.irfft(np.fft.rfft(noise.astype(float), 2**17) * np.conj(np.fft.rfft(there, 2**17)))
    # An encoder may be a few samples late by itself; it is as late where the sound begins at its start.
    video.write(frames(10), path, 10, sound=tmp_path / "noise.wav")
    there = heard(path)[4800 : 4800 + 24000]
    usual = np.fft.irfft(np.fft.rfft(noise.astype(float), 2**17) * np.conj(np.fft.rfft(there, 2**17)))
    assert np.argmax(likeness) - np.argmax(usual) == round(since * 48000)
    assert abs(np.argmax(usual) - 4800) < 50


def test_a_part_behind_the_sound_has_none(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    video.write(frames(10), path, 10, sound=sound(tmp_path / "a.wav", 0.5), since=3)
    assert len(list(clips.Clip(path))) == 10 and not clips.Clip(path).audio


def test_sound_that_cannot_be(tmp_path: Path) -> None:
    for path, other in (
        (tmp_path / "x.gif", sound(tmp_path / "a.wav", 1)),
        (tmp_path / "x.mp4", tmp_path / "none.wav"),
    ):
        with pytest.raises(BadVideo):
            video.write(frames(), path, 10, sound=other)
        assert not path.exists() and not list(tmp_path.glob(".*")), "nothing is left"


def test_a_video_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    video.write(frames(3), path, 10)
    before = path.read_bytes()

    def broken() -> Any:
        yield scene(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        video.write(broken(), path, 10)
    assert path.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == ["x.mp4"]
    with pytest.raises(BadVideo, match="no frames"):
        video.write(iter(()), tmp_path / "y.mp4", 10)
    assert not (tmp_path / "y.mp4").exists()


@pytest.mark.parametrize("name", ["x.mp3", "x.mp5", "x.docx"])
def test_endings_that_are_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadVideo) as caught:
        video.write(frames(2), tmp_path / name, 10)
    assert ".mp4" in caught.value.hint


def test_odd_sides_and_rates(tmp_path: Path) -> None:
    video.write(frames(4, width=47, height=31), tmp_path / "odd.mp4", 29.97)
    clip = clips.Clip(tmp_path / "odd.mp4")
    assert (clip.width, clip.height) == (48, 32)
    assert clip.fps == pytest.approx(29.97, abs=0.01)


def test_parts_of_a_clip(written: Path) -> None:
    clip = clips.Clip(written / "folder")
    found = [int(np.flatnonzero(frame[10, :, 0] > 100)[0]) // 2 for frame in clip.part(every=3, first=1, last=8)]
    assert found == [1, 4, 7]


def test_a_folder_is_read_in_the_order_of_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"f{number}.png")
    (tmp_path / "f5.png").write_bytes(b"no picture")
    clip = clips.Clip(tmp_path)
    assert [int(frame[0, 0, 0]) for frame in clip] == [1, 9, 10]
    assert "1 parts could not" in clip.note


def test_strips_and_sheets() -> None:
    there = frames(20)
    strip = filmstrips.strip(there.__getitem__, 20, most=5)
    assert strip.size == (5 * 48 + 4 * filmstrips.GAP, 32)
    assert strip.getpixel((10, 10)) == (220, 120, 60), "the first frame is first"
    sheet = filmstrips.sheet(there.__getitem__, 20, columns=3, rows=2)
    assert sheet.size == (3 * 48 + 2 * filmstrips.GAP, 2 * 32 + filmstrips.GAP)
    assert filmstrips.chosen(100, 5) == [0, 25, 50, 74, 99]
    assert filmstrips.chosen(3, 5) == [0, 1, 2]


def test_the_person_s_videos(shared_videos: Path) -> None:
    for name, size, count in (("woman-running", (512, 512), 120), ("carphone_pristine", (176, 144), 120)):
        clip = clips.Clip(shared_videos / f"{name}.mp4")
        assert (clip.width, clip.height) == size
        assert sum(1 for _ in clip) == count and clip.note == ""


@pytest.fixture
def shared_videos() -> Path:
    import os

    folder = Path(os.environ.get("ATELIER_SHARED", Path(__file__).parents[4] / "shared")) / "data/video"
    if not folder.is_dir():
        pytest.skip("the clips are not here (ATELIER_SHARED)")
    return folder

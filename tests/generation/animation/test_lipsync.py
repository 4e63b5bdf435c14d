"""Lip sync: sound to spectrograms beside another formula, Wav2Lip's own file, and the stage over a film."""

from __future__ import annotations

import wave as wav
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers.audio_utils import mel_filter_bank

from generation.animation import speech, video
from generation.animation.clips import Clip
from generation.animation.frames import save
from generation.animation.stages import lipsync, running, wav2lip
from generation.animation.stages.reading import parse
from generation.catalogue import Catalogue
from generation.errors import BadSpec, BadVideo, BadWeights, GenerationError
from generation.faces.detection import Face

FPS = 25


def sounding(path: Path, samples: Any, rate: int = speech.RATE) -> Path:
    """A WAV of samples [n] or [n, channels] in -1..1."""
    samples = np.asarray(samples)
    with wav.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).round().astype("<i2").tobytes())
    return path


def tone(hertz: float, seconds: float, rate: int = speech.RATE, loud: float = 0.3) -> Any:
    return loud * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


# Sound


def test_the_spectrogram_is_that_of_another_formula() -> None:
    """torch's transform and transformers' triangles, with pre-emphasis and levels as the paper's code has them."""
    made = np.random.default_rng(0)
    samples = (made.normal(0, 0.1, 20000) + tone(440, 1.25)).astype(np.float32)
    sharp = torch.tensor(samples, dtype=torch.float64)
    sharp = torch.cat([sharp[:1], sharp[1:] - 0.97 * sharp[:-1]])
    window = torch.hann_window(800, periodic=True, dtype=torch.float64)
    strength = torch.stft(sharp, 800, 200, window=window, center=True, pad_mode="reflect", return_complex=True).abs()
    bank = mel_filter_bank(401, 80, 55, 7600, 16000, norm="slaney", mel_scale="slaney")
    level = 20 * np.log10(np.maximum(1e-5, bank.T @ strength.numpy())) - 20
    wanted = np.clip(8 * ((level + 100) / 100) - 4, -4, 4)
    found = speech.mel(samples)
    assert found.shape == wanted.shape == (80, 101) and found.dtype == np.float32
    assert np.abs(found - wanted).max() < 1e-3 and wanted.max() - wanted.min() > 2


def test_silence_is_the_least_and_a_tone_has_its_band(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (speech.mel(np.zeros(16000)) == speech.SILENCE).all()
    assert speech.mel(np.zeros(3)).shape[0] == 80  # shorter than a window
    assert speech.mel(np.ones(100000) * 2).max() <= 4
    bands = [int(speech.mel(tone(hertz, 0.5))[:, 20].argmax()) for hertz in (300, 1000, 4000)]
    assert bands == sorted(bands) and bands[0] > 0 and bands[2] - bands[0] > 30
    late = np.concatenate([np.zeros(16000), tone(500, 1)])
    loud = speech.mel(late).max(0) > 0
    assert not loud[:78].any() and loud[82:158].all()
    whole = speech.mel(late)
    monkeypatch.setattr(speech, "AT_ONCE", 7)
    assert np.allclose(speech.mel(late), whole, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_sound_of_any_rate_is_brought_to_one_channel(tmp_path: Path, rate: int) -> None:
    two = np.stack([tone(440, 1, rate), np.zeros(rate)], -1)
    samples = speech.wave(sounding(tmp_path / "two.wav", two, rate))
    assert abs(len(samples) - 16000) <= 16 and samples.dtype == np.float32
    inner = samples[1000:15000]
    assert abs(float(np.abs(inner).max()) - 0.15) < 0.01  # the mean of 0.3 and nothing
    strongest = np.abs(np.fft.rfft(np.resize(samples, 16000))).argmax()
    assert abs(int(strongest) - 440) <= 1


def test_a_part_of_a_sound_begins_where_it_is_asked(tmp_path: Path) -> None:
    path = sounding(tmp_path / "steps.wav", np.repeat([0.1, 0.2, 0.3], 16000))
    part = speech.wave(path, 0.5, 1.0)
    assert len(part) == 16000 and np.allclose(part[:7990], 0.1, atol=1e-3) and np.allclose(part[8010:], 0.2, atol=1e-3)
    assert np.allclose(speech.wave(path, 2.5), 0.3, atol=1e-3) and len(speech.wave(path, 2.5)) == 8000
    assert len(speech.wave(path, 10.0)) == 0


def test_wrong_sounds_say_so(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound", "utf-8")
    (tmp_path / "empty.wav").write_bytes(b"")
    video.write(iter([np.zeros((16, 16, 3), np.uint8)] * 2), tmp_path / "mute.mp4", FPS)
    for name in ("text.wav", "empty.wav", "mute.mp4", "missing.wav"):
        with pytest.raises(BadVideo) as caught:
            speech.wave(tmp_path / name)
        assert caught.value.hint and name in caught.value.message and "\n" not in caught.value.message


# Wav2Lip's file


def published() -> dict[str, tuple[int, ...]]:
    """The names and shapes of wav2lip.pth: (outputs, inputs, sides) of each layer, in order."""
    face = [[(16, 6, 7)], [(32, 16, 3), (32, 32, 3), (32, 32, 3)], [(64, 32, 3), *[(64, 64, 3)] * 3],
            [(128, 64, 3), *[(128, 128, 3)] * 2], [(256, 128, 3), *[(256, 256, 3)] * 2],
            [(512, 256, 3), (512, 512, 3)], [(512, 512, 3), (512, 512, 1)]]  # fmt: skip
    sound = [(32, 1, 3), (32, 32, 3), (32, 32, 3), (64, 32, 3), (64, 64, 3), (64, 64, 3), (128, 64, 3), (128, 128, 3),
             (128, 128, 3), (256, 128, 3), (256, 256, 3), (512, 256, 3), (512, 512, 1)]  # fmt: skip
    back = [[(512, 512, 1)], [(512, 1024, 3), (512, 512, 3)], [(512, 1024, 3), *[(512, 512, 3)] * 2],
            [(384, 768, 3), *[(384, 384, 3)] * 2], [(256, 512, 3), *[(256, 256, 3)] * 2],
            [(128, 320, 3), *[(128, 128, 3)] * 2], [(64, 160, 3), *[(64, 64, 3)] * 2]]  # fmt: skip
    layers = {f"face_encoder_blocks.{n}.{k}": one for n, block in enumerate(face) for k, one in enumerate(block)}
    layers |= {f"audio_encoder.{n}": one for n, one in enumerate(sound)}
    layers |= {f"face_decoder_blocks.{n}.{k}": one for n, block in enumerate(back) for k, one in enumerate(block)}
    layers["output_block.0"] = (32, 80, 3)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (out, into, side) in layers.items():
        turned = name.startswith("face_decoder_blocks") and name.endswith(".0") and not name.endswith("0.0")
        shapes[f"{name}.conv_block.0.weight"] = (into, out, side, side) if turned else (out, into, side, side)
        shapes[f"{name}.conv_block.0.bias"] = (out,)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.conv_block.1.{part}"] = (out,)
    return {**shapes, "output_block.1.weight": (3, 32, 1, 1), "output_block.1.bias": (3,)}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole network with random weights, wrapped as training leaves it."""
    made = torch.Generator().manual_seed(0)
    tensors = {}
    for name, shape in published().items():
        many = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        one = torch.randn(shape, generator=made) * (many**-0.5 if many > 1 else 0.1)
        tensors[f"module.{name}"] = one.abs() + 0.5 if "running_var" in name or ".1.weight" in name else one
    path = tmp_path_factory.mktemp("wav2lip") / "wav2lip_gan.pth"
    torch.save({"state_dict": tensors, "optimizer": {"state": {0: {"step": 3}}}, "global_step": 7}, path)
    return path


def test_the_whole_network_is_read_and_hears(weights: Path) -> None:
    network = wav2lip.load(weights)
    made = np.random.default_rng(0)
    face, sound = made.random((96, 96, 3), dtype=np.float32), made.uniform(-4, 4, (80, 16)).astype(np.float32)
    spoken = network.spoken(face, sound)
    assert spoken.shape == (96, 96, 3) and spoken.dtype == np.float32 and 0 < spoken.min() < spoken.max() < 1
    assert np.array_equal(network.spoken(face, sound), spoken)
    assert np.abs(network.spoken(face, -sound) - spoken).max() > 1e-6
    assert np.abs(network.spoken(1 - face, sound) - spoken).max() > 1e-2


def test_the_file_has_the_published_size() -> None:
    with torch.device("meta"):
        net = wav2lip.Speaking()
    own = {name: tuple(one.shape) for name, one in net.state_dict().items() if "num_batches" not in name}
    assert own == published()
    assert sum(one.numel() for one in net.parameters()) == 36_298_035


def test_faces_go_in_blue_first_once_with_the_mouth_black() -> None:
    given: list[torch.Tensor] = []

    def seen(sound: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        given.extend((sound, faces))
        return torch.tensor([0.1, 0.2, 0.3])[None, :, None, None].expand(1, 3, 96, 96)

    face = np.broadcast_to(np.array([0.9, 0.5, 0.4], np.float32), (96, 96, 3))
    made = wav2lip.Network(seen).spoken(face, np.full((80, 16), 2.0, np.float32))  # type: ignore[arg-type]
    sound, faces = given
    assert sound.shape == (1, 1, 80, 16) and faces.shape == (1, 6, 96, 96)
    assert torch.allclose(faces[0, :, 47, 5], torch.tensor([0.4, 0.5, 0.9, 0.4, 0.5, 0.9]))
    assert torch.allclose(faces[0, :, 48, 5], torch.tensor([0, 0, 0, 0.4, 0.5, 0.9]))
    assert np.allclose(made[3, 3], [0.3, 0.2, 0.1])  # and comes back red first


def test_wrong_networks_say_so(weights: Path, tmp_path: Path) -> None:
    whole = weights.read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.pth").write_text("no network", "utf-8")
    save_file({"face.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    first = "face_encoder_blocks.0.0.conv_block.0.weight"
    save_file({first: torch.zeros(32, 6, 3, 3)}, tmp_path / "large.safetensors")
    for name, said in (
        ("cut.pth", "cannot be read"),
        ("text.pth", "cannot be read"),
        ("missing.pth", "there is no file"),
        ("other.safetensors", "is no network of Wav2Lip"),
        ("large.safetensors", "other faces than 96 pixels"),
    ):
        with pytest.raises(BadWeights, match=said) as caught:
            wav2lip.load(tmp_path / name)
        assert "wav2lip_gan.pth" in caught.value.hint and "\n" not in caught.value.message


# The stage


class NoEngine:
    def __init__(self, root: Path) -> None:
        self.catalogue = Catalogue([root])


class Mouth:
    """A network whose face is as red as what is heard is loud, and black where it is silent."""

    def __init__(self) -> None:
        self.faces: list[Any] = []
        self.sounds: list[Any] = []

    def spoken(self, face: Any, sound: Any) -> Any:
        self.faces.append(face)
        self.sounds.append(sound)
        made = np.zeros((96, 96, 3), np.float32)
        made[..., 0] = float((sound.max(0) > 0).mean())
        return made


@pytest.fixture
def mouth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mouth:
    """A network in place of Wav2Lip, and white squares in place of faces."""
    found = Mouth()
    (tmp_path / "det_10g.onnx").write_bytes(b"detector")
    (tmp_path / "net.pth").write_bytes(b"network")
    monkeypatch.setattr(wav2lip, "load", lambda path: found)
    monkeypatch.setattr(lipsync, "faces", squares)
    return found


def squares(picture: Image.Image, detector: Path) -> list[Face]:
    white = np.asarray(picture).min(-1) > 250
    if not white.any():
        return []
    down, across = np.nonzero(white)
    box = float(across.min()), float(down.min()), float(across.max() + 1), float(down.max() + 1)
    return [Face(box, np.zeros((5, 2)), 0.9)]


def frame(left: int = 16, top: int = 16, side: int = 64, shade: int = 100) -> Any:
    """A grey picture with a white square for a face; none for a `side` of 0."""
    picture = np.full((96, 112, 3), shade, np.uint8)
    picture[top : top + side, left : left + side] = 255
    return picture


def clip(tmp_path: Path, frames: list[Any], name: str = "clip.mkv", sound: Path | None = None) -> str:
    path = tmp_path / name
    if path.suffix:
        video.write(iter(frames), path, FPS, sound=sound)
        return str(path)
    path.mkdir()
    for number, one in enumerate(frames):
        save(path / f"{number:03d}.png", one)
    return str(path)


def done(
    tmp_path: Path, source: str, settings: str = "", notes: list[Any] | None = None, **beside: str
) -> running.Made:
    text = f"name: said\ninput: {source}\nstages:\n"
    text += f"  - {{do: lipsync, with: {{network: '{tmp_path / 'net.pth'}', chin: 0.0{settings}}}}}"
    engine: Any = NoEngine(tmp_path)
    return running.run(parse(text, None, beside), tmp_path / "out", engine, report=(notes or []).append)


def half_loud(tmp_path: Path, seconds: float = 0.4) -> Path:
    """Silence, then a tone, each so long."""
    silence = np.zeros(round(seconds * 16000))
    return sounding(tmp_path / "said.wav", np.concatenate([silence, tone(500, seconds)]))


def test_the_mouth_follows_the_sound_and_the_rest_stays(tmp_path: Path, mouth: Mouth) -> None:
    source = clip(tmp_path, [frame()] * 20, "clip", None)
    sound = half_loud(tmp_path, 20 / 15 / 2)  # a folder has 15 frames a second
    made = done(tmp_path, source, f", sound: {sound}")
    frames = list(made.all())
    assert made.frames == 20 and len(mouth.faces) == 20
    # What is heard at a frame are the 0.2 seconds from it on.
    loud = [float((one.max(0) > 0).mean()) for one in mouth.sounds]
    assert loud[:6] == [0] * 6 and loud[11:17] == [1.0] * 6 and 0 < loud[8] < 1
    for number in (0, 15):
        shown, filmed = frames[number].astype(int), frame().astype(int)
        box = slice(16, 80), slice(16, 80)
        centre = shown[16 + 50, 16 + 32]
        assert np.allclose(centre, [255 * loud[number], 0, 0], atol=1)
        assert np.array_equal(shown[16 : 16 + 26, 16:80], filmed[16 : 16 + 26, 16:80])  # eyes
        outside = np.ones(shown.shape[:2], bool)
        outside[box] = False
        assert np.array_equal(shown[outside], filmed[outside])
        # Softly at the sides and the chin.
        assert shown[16 + 50, 16 + 1, 1] > 200 and shown[16 + 62, 16 + 32, 1] > 200 and 20 < shown[66, 16 + 3, 1] < 250


def test_behind_the_sound_it_is_silent(tmp_path: Path, mouth: Mouth) -> None:
    source = clip(tmp_path, [frame()] * 8, "clip")
    done(tmp_path, source, f", sound: {sounding(tmp_path / 'short.wav', tone(500, 0.1))}")
    assert mouth.sounds[0].max() > 0
    assert all(one.shape == (80, 16) for one in mouth.sounds)
    assert all((one == speech.SILENCE).all() for one in mouth.sounds[3:])


def test_the_videos_own_sound_is_heard_from_its_first_frame_on(tmp_path: Path, mouth: Mouth) -> None:
    source = clip(tmp_path, [frame()] * 20, sound=half_loud(tmp_path, 0.4))
    done(tmp_path, source)
    whole = [float((one.max(0) > 0).mean()) for one in mouth.sounds]
    assert whole[0] == 0 and whole[12] == 1.0
    mouth.sounds.clear()
    done(tmp_path, source, first="8", frames="6")
    part = [float((one.max(0) > 0).mean()) for one in mouth.sounds]
    assert np.allclose(part, whole[8:14], atol=0.07)
    mouth.sounds.clear()
    # Another file's sound begins with the first frame that is shown.
    done(tmp_path, source, f", sound: {half_loud(tmp_path, 0.4)}", first="8", frames="6")
    assert mouth.sounds[0].max() < 0 < mouth.sounds[5].max()


def test_more_frames_a_second_hear_the_same_sound(tmp_path: Path, mouth: Mouth) -> None:
    source = clip(tmp_path, [frame()] * 5, "clip")
    text = f"name: a\ninput: {source}\nstages:\n  - {{do: interpolate, with: {{factor: 3}}}}\n"
    text += f"  - {{do: lipsync, with: {{network: '{tmp_path / 'net.pth'}', sound: '{half_loud(tmp_path, 0.15)}'}}}}"
    made = running.run(parse(text), tmp_path / "out", NoEngine(tmp_path))  # type: ignore[arg-type]
    assert made.frames == 13 and made.fps == 45
    loud = [float((one.max(0) > 0).mean()) for one in mouth.sounds]
    assert 0 < loud[0] < loud[3] < loud[5]  # 0.11 seconds later


def test_frames_without_a_face_stay_and_are_told_once(tmp_path: Path, mouth: Mouth) -> None:
    source = clip(tmp_path, [frame(), frame(side=0), frame(side=0), frame(), frame(side=4)], "clip")
    notes: list[Any] = [0]
    made = done(tmp_path, source, f", sound: {half_loud(tmp_path)}", notes)
    assert len(mouth.faces) == 2
    for number in (1, 2, 4):  # and a face too small to be one
        assert np.array_equal(made.read(number), list(Clip(source))[number])
    told = [one for one in notes[1:] if one["kind"] == "note"]
    assert len(told) == 1 and told[0]["message"].startswith("lipsync: frames in which no face")


def test_places_of_a_face_are_averaged_over_its_neighbours_in_the_scene(tmp_path: Path, mouth: Mouth) -> None:
    """A face that shakes by 4 pixels: what is taken of the frames shakes less, and nothing of another scene counts."""
    shaking = [frame(left=20 + 4 * (n % 2)) for n in range(6)]
    behind = [frame(left=40, shade=5) for _ in range(3)]
    source = clip(tmp_path, [*shaking, *behind], "clip")
    made = done(tmp_path, source, f", sound: {half_loud(tmp_path)}", scene="0.3")
    assert made.cuts == (6,)
    # Grey is seen at the rim of what is taken where the place is an average.
    left = [int((face[10, :, 0] < 0.9).sum()) for face in mouth.faces]
    assert all(0 < one <= 5 for one in left[:6]) and left[6:] == [0, 0, 0]
    assert [int((face[:5] < 0.9).sum()) for face in mouth.faces][6:] == [0, 0, 0]
    mouth.faces.clear()
    done(tmp_path, source, f", sound: {half_loud(tmp_path)}", **{"scene": "0.3", "lipsync.smooth": "0"})
    assert all((face > 0.99).all() for face in mouth.faces)


def test_another_face_beside_it_is_no_neighbour(tmp_path: Path, mouth: Mouth) -> None:
    source = clip(tmp_path, [frame(left=4, side=30), frame(left=70, side=30), frame(left=4, side=30)], "clip")
    done(tmp_path, source, f", sound: {half_loud(tmp_path)}", scene="0")
    assert all((face > 0.99).all() for face in mouth.faces)


def test_whose_mouth_and_how_much_chin(tmp_path: Path, mouth: Mouth, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [(60.0, 10.0, 100.0, 50.0), (4.0, 10.0, 34.0, 40.0)]
    monkeypatch.setattr(lipsync, "faces", lambda *_: [Face(box, np.zeros((5, 2)), 0.9) for box in boxes])
    picture = np.full((96, 112, 3), 200, np.uint8)
    picture[:, :50] = 90
    source = clip(tmp_path, [picture], "clip")
    for which, shade in (("largest", 200), ("left", 90), ("right", 200)):
        done(tmp_path, source, f", sound: {half_loud(tmp_path)}, which: {which}")
        assert round(float(mouth.faces[-1].mean() * 255)) == shade, which
    made = done(tmp_path, source, f", sound: {half_loud(tmp_path)}", **{"lipsync.chin": "0.5"})
    changed = (made.read(0) != picture).any(-1).any(1).nonzero()[0]
    assert changed[-1] > 60  # 40 pixels of face from 10 on, and 20 of what is below
    plain = done(tmp_path, source, f", sound: {half_loud(tmp_path)}")
    assert (plain.read(0) != picture).any(-1).any(1).nonzero()[0][-1] < 50


def test_what_is_transparent_stays_so(tmp_path: Path, mouth: Mouth) -> None:
    green = np.full((96, 112, 3), (0, 177, 64), np.uint8)
    green[16:80, 16:80] = 255
    source = clip(tmp_path, [green], "clip")
    text = f"name: a\ninput: {source}\nstages:\n  - {{do: key, with: {{colour: green}}}}\n"
    text += f"  - {{do: lipsync, with: {{network: '{tmp_path / 'net.pth'}', sound: '{half_loud(tmp_path)}'}}}}"
    made = running.run(parse(text), tmp_path / "out", NoEngine(tmp_path))  # type: ignore[arg-type]
    shown = np.asarray(Image.open(made.folder / "000000.png"))
    assert shown.shape[-1] == 4 and shown[2, 2, 3] == 0 and shown[60, 48, 3] == 255 and shown[60, 48, 1] < 50


def test_the_real_network_speaks_in_a_film(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "det_10g.onnx").write_bytes(b"detector")
    monkeypatch.setattr(lipsync, "faces", squares)
    (tmp_path / "net.pth").symlink_to(weights)
    source = clip(tmp_path, [frame()] * 2, "clip")
    made = done(tmp_path, source, f", sound: {half_loud(tmp_path, 0.05)}")
    assert (made.read(0)[60, 40] != 255).any() and (made.read(0) != made.read(1)).any()
    again = done(tmp_path, source, f", sound: {half_loud(tmp_path, 0.05)}")
    assert again.stages[0]["made"] in {0, 2}  # the sound's file was written again
    kept = done(tmp_path, source, f", sound: {tmp_path / 'said.wav'}")
    assert kept.stages[0]["made"] == 0


def test_what_is_missing_is_said_in_one_line(tmp_path: Path, mouth: Mouth) -> None:
    source = clip(tmp_path, [frame()], "clip")
    mute = clip(tmp_path, [frame()] * 2, "mute.mp4")
    for given, settings in ((source, ""), (mute, "")):
        with pytest.raises(BadSpec, match="has no sound of its own") as caught:
            done(tmp_path, given, settings)
        assert "sound:" in caught.value.hint
    with pytest.raises(BadVideo, match="there is no sound"):
        done(tmp_path, source, ", sound: /nowhere.wav")
    (tmp_path / "det_10g.onnx").unlink()
    with pytest.raises(BadWeights, match="face detector"):
        done(tmp_path, source, f", sound: {half_loud(tmp_path)}")
    with pytest.raises(GenerationError, match="lipsync needs network"):
        parse("name: a\nstages:\n  - {do: lipsync}")


def test_the_sound_of_the_last_that_speaks_is_the_videos() -> None:
    text = "name: a\nstages:\n"
    for number, sound in enumerate(("one.wav", "two.wav", "")):
        text += f"  - {{id: s{number}, do: lipsync, with: {{network: n.pth, sound: '{sound}'}}}}\n"
    assert Path(parse(text).sound).name == "two.wav"
    assert Path(parse(text, off=("s1",)).sound).name == "one.wav"
    assert parse(text, off=("s0", "s1")).sound == ""
    assert parse("name: a\nstages:\n  - do: key").sound == ""

"""Networks that put frames in between: RIFE, FILM and FLAVR read by their files' own names, and what each makes.

The names and shapes here are those of the published files, written down apart from the code; weights are small, and set
by hand wherever what comes out can be told.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from generation import pickles, programs
from generation.animation.frames import save
from generation.animation.stages import film, flavr, interpolators, rife, running
from generation.animation.stages.reading import parse
from generation.catalogue import Catalogue
from generation.errors import BadSpec, BadWeights

Tensors = dict[str, torch.Tensor]
RIFE = {
    # version: (widths, what encodes, features of one picture, channels of a block's answer)
    "4.5": ((16, 12, 8, 8), "", 0, 5),
    "4.6": ((16, 12, 8, 8), "", 0, 6),
    "4.7": ((16, 12, 8, 8), "two", 4, 6),
    "4.10": ((16, 12, 8, 8), "list", 8, 6),
    "4.15": ((16, 12, 8, 8), "named", 8, 6),
    "4.22": ((16, 12, 8, 8), "named", 8, 13),
    "4.25": ((16, 12, 8, 8, 8), "named", 4, 13),
    "4.25 lite": ((16, 12, 8, 8, 24), "named", 4, 13),
}
HIGH, WIDE = 64, 128


def table(shapes: dict[str, tuple[int, ...]]) -> Tensors:
    """Small random weights."""
    made = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=made) * 0.1 for name, shape in shapes.items()}


def convolution(name: str, out: int, into: int, *sides: int, turned: bool = False) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (into, out, *sides) if turned else (out, into, *sides), f"{name}.bias": (out,)}


def rife_tensors(version: str, groups: int = 1) -> Tensors:
    widths, encoder, features, answers = RIFE[version]
    shapes: dict[str, tuple[int, ...]] = {}
    handed = answers - 5 if answers > 6 else 0
    for n, width in enumerate(widths):
        into = 7 + 2 * features if not n else 12 + 2 * features + handed
        shapes |= convolution(f"block{n}.conv0.0.0", width // 2, into, 3, 3)
        shapes |= convolution(f"block{n}.conv0.1.0", width, width // 2, 3, 3)
        for k in range(8):
            shapes |= convolution(f"block{n}.convblock.{k}.conv", width, width // groups, 3, 3)
            shapes[f"block{n}.convblock.{k}.beta"] = (1, width, 1, 1)
        shapes |= convolution(f"block{n}.lastconv.0", 4 * answers, width, 4, 4, turned=True)
    layers = {"two": ("0", "1"), "list": ("0", "2", "4", "6"), "named": ("cnn0", "cnn1", "cnn2", "cnn3")}.get(encoder)
    if layers:
        shapes |= convolution(f"encode.{layers[0]}", 16, 3, 3, 3)
        for middle in layers[1:-1]:
            shapes |= convolution(f"encode.{middle}", 16, 16, 3, 3)
        shapes |= convolution(f"encode.{layers[-1]}", features, 16, 4, 4, turned=True)
    return table(shapes)


def film_tensors(filters: int = 4, flows: tuple[int, ...] = (8, 6, 4, 4), conv: str = "0") -> Tensors:
    """`flows`: of the shared predictor, then coarse to fine."""
    shapes: dict[str, tuple[int, ...]] = {}
    into = 3
    for n in range(4):
        for k in range(2):
            shapes |= convolution(f"extract.extract_sublevels.convs.{n}.{k}.{conv}", filters << n, into, 3, 3)
            into = filters << n
    features = [sum(filters << k for k in range(n + 1)) for n in range(4)]
    names = ["predict_flow._predictor", *(f"predict_flow._predictors.{n}" for n in range(3))]
    for name, width, level in zip(names, flows, (3, 2, 1, 0), strict=True):
        for k, (out, before, side) in enumerate(
            [(width, 2 * features[level], 3), (width, width, 3), (width, width, 3), (width // 2, width, 1),
             (2, width // 2, 1)]
        ):  # fmt: skip
            shapes |= convolution(f"{name}._convs.{k}.{conv}", out, before, side, side)
    below = 2 * (features[3] + 5)
    for n, level in enumerate((3, 2, 1, 0)):
        width = filters << level
        for k, (before, side) in enumerate([(below, 2), (2 * (features[level] + 5) + width, 3), (width, 3)]):
            shapes |= convolution(f"fuse.convs.{n}.{k}.{conv}", width, before, side, side)
        below = width
    return table(shapes | convolution("fuse.output_conv", 3, filters, 1, 1))


def flavr_tensors(count: int, widths: tuple[int, ...] = (4, 8, 12, 16)) -> Tensors:
    shapes = convolution("encoder.stem.0", widths[0], 3, 3, 7, 7)
    before = widths[0]
    for n, width in enumerate(widths, 1):
        for k in range(2):
            name = f"encoder.layer{n}.{k}"
            shapes |= convolution(f"{name}.conv1.0", width, before, 3, 3, 3)
            shapes |= convolution(f"{name}.conv2.0", width, width, 3, 3, 3)
            shapes |= convolution(f"{name}.fg.attn_layer.0", width, width, 1, 1, 1)
            if before != width:
                shapes[f"{name}.downsample.0.weight"] = (width, before, 1, 1, 1)
            before = width
    if count == 1:  # the file for twice as many frames has no bias in its encoder
        shapes = {name: shape for name, shape in shapes.items() if "bias" not in name or "attn" in name}
    narrow, middle, wide, widest = widths
    for n, (out, into, kind) in enumerate(
        [(wide, widest, "conv"), (middle, 2 * wide, "upconv"), (narrow, 2 * middle, "upconv"),
         (narrow, 2 * narrow, "conv"), (narrow, 2 * narrow, "upconv")]
    ):  # fmt: skip
        sides = (3, 3, 3) if kind == "conv" else (3, 4, 4)
        shapes |= convolution(f"decoder.{n}.{kind}.0", out, into, *sides, turned=kind == "upconv")
        shapes |= convolution(f"decoder.{n}.{kind}.1.attn_layer.0", out, out, 1, 1, 1)
    shapes["feature_fuse.conv.0.weight"] = (narrow, 4 * narrow, 1, 1)
    return table(shapes | convolution("outconv.1", 3 * count, narrow, 7, 7))


def emptied(tensors: Tensors) -> Tensors:
    return {name: torch.zeros_like(one) for name, one in tensors.items()}


def pictures(count: int = 2, high: int = HIGH, wide: int = WIDE) -> list[Any]:
    made = np.random.default_rng(3)
    return [made.random((high, wide, 3), dtype=np.float32) for _ in range(count)]


def ramp(slope: float = 0.004, start: float = 0.2) -> Any:
    """Brighter by `slope` a pixel to the right: what was moved shows by how much."""
    row = start + slope * np.arange(WIDE, dtype=np.float32)
    return np.repeat(np.repeat(row[None, :, None], HIGH, 0), 3, 2)


def file(tmp_path: Path, tensors: Tensors, name: str = "net.pth", **beside: Any) -> Path:
    path = tmp_path / name
    torch.save({**tensors, **beside}, path)
    return path


# RIFE


@pytest.mark.parametrize("version", RIFE)
def test_every_version_of_rife_is_read_and_looks_at_all_it_has(tmp_path: Path, version: str) -> None:
    tensors = rife_tensors(version)
    one, other = pictures()
    made = interpolators.load(file(tmp_path, tensors)).gap([one, other])(0.5)
    assert made.shape == one.shape and 0 <= made.min() < made.max() <= 1
    for name in ("encode.0.weight", "encode.cnn3.weight", "block3.conv0.0.0.weight", "block0.convblock.7.beta"):
        if name in tensors:
            changed = {**tensors, name: -tensors[name]}
            assert not np.allclose(rife.of(changed, "x").gap([one, other])(0.5), made, atol=1e-6), name


@pytest.mark.parametrize(
    ("version", "moved"), [("4.6", 15), ("4.7", 15), ("4.22", 15), ("4.25", 31), ("4.25 lite", 61)]
)
def test_flow_of_rife_adds_up_over_its_scales(version: str, moved: int) -> None:
    """Each block finds one pixel at its own scale: 8 + 4 + 2 + 1, and 16 or 32 and 16 before them in later ones."""
    tensors = emptied(rife_tensors(version))
    for name, one in tensors.items():
        if name.endswith("lastconv.0.bias"):
            one[:4] = 0.25  # across, to the first picture; four numbers become four pixels of one channel
            one[16:20] = 100.0  # nothing but the first picture
    made = rife.of(tensors, "x").gap([ramp(), ramp(start=0.9)])(0.5)
    inner = made[8:-8, 8 : WIDE - 70, 0]
    assert np.allclose(inner, ramp()[8:-8, 8 : WIDE - 70, 0] + 0.25 * moved * 0.004, atol=1e-4)


@pytest.mark.parametrize(("version", "share"), [("4.6", 4.0), ("4.7", 1.0), ("4.15", 1.0), ("4.25", 1.0)])
def test_masks_of_rife_are_added_to_4_6_and_replaced_behind(version: str, share: float) -> None:
    tensors = emptied(rife_tensors(version))
    for name, one in tensors.items():
        if name.endswith("lastconv.0.bias"):
            one[16:20] = 1.0
    one, other = pictures()
    part = 1 / (1 + np.exp(-share))
    assert np.allclose(rife.of(tensors, "x").gap([one, other])(0.5), one * part + other * (1 - part), atol=1e-5)


def test_features_of_rife_move_with_their_picture() -> None:
    """The first block finds 16 pixels; the last one takes the first picture where its feature, red, is by then."""
    tensors = emptied(rife_tensors("4.7"))
    tensors["block0.lastconv.0.bias"][:4] = 2.0
    tensors["encode.0.weight"][0, 0, 1, 1] = 1
    tensors["encode.1.weight"][0, 0] = 1
    tensors["block3.conv0.0.0.weight"][0, 6, 1, 1] = 1  # behind both pictures' colours
    tensors["block3.conv0.1.0.weight"][0, 0, 1, 1] = 1
    tensors["block3.lastconv.0.weight"][0, 16:20] = 100
    tensors["block3.lastconv.0.bias"][16:20] = -300
    one, other = (np.zeros((HIGH, WIDE, 3), np.float32) for _ in range(2))
    one[:, :64, 0], one[..., 2], other[..., 1] = 1, 1, 1
    made = rife.of(tensors, "x").gap([one, other])(0.5)
    assert abs(int((made[32, :, 2] > 0.5).sum()) - 48) <= 6 and (made[32, 60:, 1] > 0.9).all()


def test_rife_is_told_the_time(tmp_path: Path) -> None:
    network = rife.of(rife_tensors("4.25"), "x")
    gap = network.gap(pictures())
    assert not np.allclose(gap(0.25), gap(0.75), atol=1e-5) and np.array_equal(gap(0.25), gap(0.25))


def test_sides_that_are_no_multiples_are_kept(tmp_path: Path) -> None:
    for tensors in (rife_tensors("4.6"), film_tensors(), flavr_tensors(1)):
        network = interpolators.load(file(tmp_path, tensors))
        frames = pictures(2 * network.reach, 50, 70)
        assert network.gap(frames)(0.5).shape == (50, 70, 3)


def test_wrapped_grouped_and_renamed_files_are_the_same(tmp_path: Path) -> None:
    tensors = rife_tensors("4.25")
    frames = pictures()
    made = interpolators.load(file(tmp_path, tensors)).gap(frames)(0.5)
    several = {f"module.{name}": one for name, one in tensors.items()}
    teacher = {"module.teacher.conv0.0.0.weight": torch.zeros(2)}
    listed = {name.replace("block", "blocks.", 1) if name[5].isdigit() else name: t for name, t in tensors.items()}
    save_file(listed, tmp_path / "listed.safetensors")
    for path in (
        file(tmp_path, several, "a.pkl", **teacher),
        file(tmp_path, {}, "b.pth", state_dict=several, epoch=3),
        tmp_path / "listed.safetensors",
    ):
        assert np.array_equal(interpolators.load(path).gap(frames)(0.5), made), path.name
    grouped = rife.of(rife_tensors("4.15", groups=2), "x").gap(frames)(0.5)  # 4.14 lite
    assert grouped.shape == made.shape


def test_flow_is_in_pixels() -> None:
    picture = torch.arange(8.0).repeat(4, 1)[None, None]
    way = torch.zeros(1, 2, 4, 8)
    way[:, 0] = 2
    assert torch.allclose(rife.moved(picture, way)[0, 0, 0], torch.tensor([2.0, 3, 4, 5, 6, 7, 7, 7]))
    way[:, 0], way[:, 1] = 0, 1
    down = torch.arange(4.0)[:, None].repeat(1, 8)[None, None]
    assert torch.allclose(rife.moved(down, way)[0, 0, :, 0], torch.tensor([1.0, 2, 3, 3]))


# FILM


def by_hand(pixels: float, shares: tuple[float, float] = (0.75, 0.25)) -> Tensors:
    """FILM whose flow is `pixels` to the right both ways, and whose picture is both moved ones in these shares."""
    tensors, filters = emptied(film_tensors()), 4
    for name, one in tensors.items():
        # A level's flow is twice the one below and its own: 127 times at the finest of seven.
        if name.startswith("predict_flow") and "_convs.4" in name and name.endswith("bias"):
            one[0] = pixels / 127
    mix, refine = tensors["fuse.convs.3.1.0.weight"], tensors["fuse.convs.3.2.0.weight"]
    for colour in range(3):
        mix[colour, colour, 1, 1] = shares[0]
        mix[colour, 3 + filters + colour, 1, 1] = shares[1]
        refine[colour, colour, 1, 1] = 1
        tensors["fuse.output_conv.weight"][colour, colour] = 1
    return tensors


@pytest.mark.parametrize("share", [1 / 3, 2 / 3, 0.5])
def test_film_moves_both_pictures_to_the_time(share: float) -> None:
    made = film.of(by_hand(4.0), "x").gap([ramp(), ramp()])(share)
    ahead = 0.75 * 4 * share + 0.25 * 4 * (1 - share)
    inner = slice(20, WIDE - 20)
    assert np.allclose(made[20:-20, inner], ramp()[20:-20, inner] + 0.004 * ahead, atol=1e-5)


def test_films_features_of_a_level_are_in_order() -> None:
    """Shallow ones of its own size first, then deeper ones that began at larger sizes."""
    net = film.Extractor(2)
    for name, parameter in net.named_parameters():
        parameter.data.zero_()
        if name.endswith("1.0.bias"):
            parameter.data += 1 + int(name.split(".")[2])
    found = net([torch.zeros(1, 3, 64 >> n, 64 >> n) for n in range(7)])
    assert [one.shape[1:] for one in found] == [(c, 64 >> n, 64 >> n) for n, c in enumerate((2, 6, 14, 30, 30, 30, 30))]
    for n, one in enumerate(found):
        depths = range(min(n + 1, 4))
        assert one[0, :, 0, 0].tolist() == [1.0 + depth for depth in depths for _ in range(2 << depth)]


def test_film_takes_middles_of_middles(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, float, float]] = []

    def seen(self: Any, one: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
        asked.append((round(float(one.mean()), 3), round(float(other.mean()), 3), share))
        return one + (other - one) * share

    network = film.of(film_tensors(), "x")
    monkeypatch.setattr(film.Interpolator, "forward", seen)
    gap = network.gap([np.full((64, 64, 3), value, np.float32) for value in (0.0, 0.8)])
    assert [round(float(gap(n / 4).mean()), 3) for n in (1, 2, 3)] == [0.2, 0.4, 0.6]
    assert asked == [(0, 0.8, 0.5), (0, 0.4, 0.5), (0.4, 0.8, 0.5)]
    asked.clear()
    assert round(float(gap(1 / 3).mean()), 3) == 0.267 and asked == [(0, 0.8, pytest.approx(1 / 3))]
    assert round(float(gap(1 / 6).mean()), 3) == 0.133


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_film_is_read_from_each_of_its_files(tmp_path: Path) -> None:
    """A state dict, ComfyUI's names in safetensors, and the program, out of which the weights alone are taken."""
    tensors, frames = film_tensors(), pictures()
    made = interpolators.load(file(tmp_path, tensors, "film.pt")).gap(frames)(0.5)
    assert made.std() > 0.01
    save_file(
        {name.replace(".0.weight", ".conv.weight").replace(".0.bias", ".conv.bias"): t for name, t in tensors.items()},
        tmp_path / "film_net.safetensors",
    )
    assert set(film_tensors(conv="conv")) == set(name_of(tmp_path / "film_net.safetensors"))
    net = film.Interpolator(4, [8, 6, 4, 4])
    net.load_state_dict(tensors)
    script(net, torch.rand(1, 3, 64, 64), tmp_path / "film_net_fp32.pt")
    for name in ("film_net.safetensors", "film_net_fp32.pt"):
        assert np.allclose(interpolators.load(tmp_path / name).gap(frames)(0.5), made, atol=1e-6), name
    halves = {name: one.half() for name, one in tensors.items()}
    assert np.allclose(interpolators.load(file(tmp_path, halves)).gap(frames)(0.5), made, atol=0.01)


def name_of(path: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(path, "pt") as opened:
        return list(opened.keys())


class Timed(torch.nn.Module):
    """A network of two pictures as a program has it: the time is a tensor."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        for name, child in net.named_children():
            self.add_module(name, child)
        self._net = [net]

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self._net[0](one, other, 0.5)
        return made


def script(net: torch.nn.Module, given: torch.Tensor, path: Path) -> None:
    torch.jit.trace(Timed(net), (given, given), check_trace=False).save(str(path))


# Programs


def test_a_programs_tensors_are_taken_as_they_lie(tmp_path: Path) -> None:
    """Turned and shared storages too: a program's tensors are views."""

    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            whole = torch.arange(24.0).reshape(4, 6)
            self.register_buffer("turned", whole.T)
            self.register_buffer("part", whole[1:3, 2:5])
            self.register_buffer("small", torch.arange(5, dtype=torch.int16))
            self.inner = torch.nn.Linear(2, 2).half()

        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return given + self.turned.sum() + self.part.sum() + self.inner.weight.sum() + self.small.sum()

    module = Odd()
    path = tmp_path / "odd.pt"
    torch.jit.script(module).save(str(path))
    found = programs.tensors(path)
    assert pickles.is_program(path) and not pickles.is_program(tmp_path / "none.pt")
    for name, one in module.state_dict().items():
        assert torch.equal(found[name], one) and found[name].dtype == one.dtype, name
    with pytest.raises(ValueError, match="TorchScript"):
        pickles.read(path)


def test_a_program_that_calls_something_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bad/data.pkl", b"cos\nsystem\n(S'touch ran'\ntR.")
        archive.writestr("bad/code/__torch__.py", b"")
        archive.writestr("bad/constants.pkl", b"")
    with pytest.raises(BadWeights, match=r"holds code: os\.system"):
        interpolators.load(path)


def test_numbers_that_are_repeated_to_any_size_are_refused(tmp_path: Path) -> None:
    class Large(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("large", torch.zeros(1).expand(10**6, 10**6))

        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return given

    torch.save({"block0.conv0.0.0.weight": Large().large}, tmp_path / "large.pth")
    torch.jit.script(Large()).save(str(tmp_path / "large.pt"))
    for name in ("large.pth", "large.pt"):
        with pytest.raises(BadWeights, match="claims more numbers than the file holds"):
            interpolators.load(tmp_path / name)


# FLAVR


@pytest.mark.parametrize("count", [1, 3, 7])
def test_flavr_gives_its_outputs_in_their_order(tmp_path: Path, count: int) -> None:
    tensors = emptied(flavr_tensors(count))
    tensors["outconv.1.bias"][:] = 0.01 * torch.arange(3 * count)
    frames = [np.full((16, 24, 3), (0.1 * n, 0.05 * n, 0.3), np.float32) for n in range(4)]
    network = flavr.of(tensors, "x")
    gap = network.gap(frames)
    for n in range(count):
        made = gap((n + 1) / (count + 1))
        assert np.allclose(made, np.array([0.15, 0.075, 0.3]) + 0.01 * np.arange(3 * n, 3 * n + 3), atol=1e-6)
    assert network.reach == 2


def test_flavr_looks_at_all_four_frames_and_all_its_layers(tmp_path: Path) -> None:
    tensors, frames = flavr_tensors(3), pictures(4, 32, 40)
    made = interpolators.load(file(tmp_path, {f"module.{n}": t for n, t in tensors.items()})).gap(frames)(0.25)
    assert made.std() > 0.01
    for n in range(4):
        moved = [1 - one if n == k else one for k, one in enumerate(frames)]
        assert not np.allclose(flavr.of(tensors, "x").gap(moved)(0.25), made, atol=1e-4)
    for name in tensors:
        if name.endswith("weight"):
            changed = flavr.of({**tensors, name: tensors[name] * 3}, "x").gap(frames)(0.25)
            assert not np.array_equal(changed, made), name


def test_flavr_looks_at_what_is_left_of_the_mean() -> None:
    """Four frames that are all redder give the same picture, redder."""
    tensors = flavr_tensors(1)
    tensors["outconv.1.weight"] *= 0.05
    network = flavr.of(tensors, "x")
    frames = [0.3 + 0.2 * one for one in pictures(4, 32, 40)]
    redder = [one + np.array([0.1, 0, 0], np.float32) for one in frames]
    made = network.gap(frames)(0.5)
    assert 0 < made.min() < made.max() < 0.9 and made.std() > 0.001
    assert np.allclose(network.gap(redder)(0.5), made + np.array([0.1, 0, 0]), atol=1e-5)


def test_flavr_gives_no_other_times() -> None:
    four = flavr.of(flavr_tensors(3), "x")
    assert [bool(four.refusal(factor)) for factor in (2, 3, 4, 8)] == [False, True, False, True]
    frames = pictures(4, 16, 16)
    assert np.array_equal(four.gap(frames)(0.5), four.gap(frames)(2 / 4))
    assert not rife.of(rife_tensors("4.6"), "x").refusal(7) and not film.of(film_tensors(), "x").refusal(7)


# The stage


class Counting:
    """A network that notes what it is given."""

    reach = 2

    def __init__(self) -> None:
        self.given: list[list[int]] = []

    def refusal(self, factor: int) -> str:
        return "it makes 2 times as many" if factor != 2 else ""

    def gap(self, frames: list[Any]) -> Any:
        self.given.append([round(float(frame.mean() * 255)) for frame in frames])
        return lambda share: frames[1] * (1 - share) + frames[2] * share


def filmed(tmp_path: Path, values: tuple[int, ...]) -> str:
    folder = tmp_path / "clip"
    folder.mkdir()
    for number, value in enumerate(values):
        save(folder / f"{number:03d}.png", np.full((64, 64, 3), value, np.uint8))
    return str(folder)


class NoEngine:
    def __init__(self, root: Path) -> None:
        self.catalogue = Catalogue([root])


def interpolated(tmp_path: Path, source: str, path: Path, factor: int = 2, scene: float = 0.5) -> running.Made:
    text = f"name: a\ninput: {source}\nscene: {scene}\nstages:\n"
    text += f"  - {{do: interpolate, with: {{network: '{path}', factor: {factor}}}}}"
    return running.run(parse(text), tmp_path / "out", NoEngine(tmp_path))  # type: ignore[arg-type]


def test_a_network_sees_its_scene_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Counting()
    monkeypatch.setattr(interpolators, "load", lambda path: network)
    source = filmed(tmp_path, (10, 14, 18, 22, 240, 244))
    made = interpolated(tmp_path, source, tmp_path / "net.pth")
    assert made.cuts == (8,) and made.frames == 11
    assert network.given == [[10, 10, 14, 18], [10, 14, 18, 22], [14, 18, 22, 22], [240, 240, 244, 244]]
    assert [int(made.read(n)[0, 0, 0]) for n in range(11)] == [10, 12, 14, 16, 18, 20, 22, 22, 240, 242, 244]


def test_a_factor_that_a_network_has_not_is_said(tmp_path: Path) -> None:
    path = file(tmp_path, flavr_tensors(1), "FLAVR_2x.pth")
    with pytest.raises(BadSpec, match=r"FLAVR_2x\.pth: the network makes 2 times as many frames, and 4") as caught:
        interpolated(tmp_path, filmed(tmp_path, (10, 20)), path, factor=4)
    assert caught.value.hint


@pytest.mark.parametrize("kind", ["rife", "film", "flavr"])
def test_each_kind_makes_a_video(tmp_path: Path, kind: str) -> None:
    tensors = {"rife": rife_tensors("4.25"), "film": film_tensors(), "flavr": flavr_tensors(3)}[kind]
    made = interpolated(tmp_path, filmed(tmp_path, (10, 20, 30)), file(tmp_path, tensors), factor=4)
    assert made.frames == 9 and made.fps == 60
    assert [int(made.read(n)[0, 0, 0]) for n in (0, 4, 8)] == [10, 20, 30]


# Files that are wrong

WRONG = {
    "missing.pkl": (None, "there is no file"),
    "empty.pth": (b"", "cannot be read"),
    "other.pkl": (b"no pickle", "cannot be read"),
    "cut.pt": (b"PK\x03\x04", "cannot be read"),
    "other.safetensors": (b"\x08\0\0\0\0\0\0\0{}      ", "no network that puts frames in between"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files_say_which_three_kinds_there_are(tmp_path: Path, name: str) -> None:
    data, said = WRONG[name]
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(BadWeights, match=said) as caught:
        interpolators.load(tmp_path / name)
    for kind in ("RIFE 4.5 to 4.26", "FILM", "FLAVR"):
        assert kind in caught.value.hint
    assert "\n" not in caught.value.message


def test_cut_short_and_half_networks_say_so(tmp_path: Path) -> None:
    path = file(tmp_path, rife_tensors("4.25"))
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(BadWeights, match="cannot be read"):
        interpolators.load(path)
    for tensors, said in (
        (rife_tensors("4.6"), "no network of RIFE 4.5 to 4.26"),
        (film_tensors(), "no network of FILM"),
        (flavr_tensors(1), "no network of FLAVR"),
    ):
        gone = [name for name in tensors if name.startswith(("block2.lastconv", "fuse.convs.1", "decoder.3"))]
        for name in gone:
            del tensors[name]
        with pytest.raises(BadWeights, match=said) as caught:
            interpolators.load(file(tmp_path, tensors))
        assert caught.value.hint


def test_an_older_rife_is_told_by_its_version(tmp_path: Path) -> None:
    tensors = rife_tensors("4.6")
    older = {name.replace("lastconv.0.", "lastconv."): one for name, one in tensors.items()}
    with pytest.raises(BadWeights, match=r"before 4\.5") as caught:
        interpolators.load(file(tmp_path, older))
    assert "4.5 to 4.26" in caught.value.hint


def test_a_table_of_something_else_is_no_network(tmp_path: Path) -> None:
    for path in (file(tmp_path, {"weight": torch.zeros(2)}), file(tmp_path, {}, state_dict={})):
        with pytest.raises(BadWeights, match="no network that puts frames"):
            interpolators.load(path)
    path = tmp_path / "list.pth"
    torch.save([torch.zeros(2)], path)
    with pytest.raises(BadWeights, match="no table of tensors"):
        interpolators.load(path)

"""Networks in a pipeline's weights: strengths apart, restored to the bit, undone where a change is cut short."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from network_models import answers, entry, kohya, near, original, peft, same, saved, sd15, sdxl, states
from torch import Tensor

from generation.errors import BadWeights
from generation.networks import applied as applied_module
from generation.networks.applied import Applied
from generation.networks.named import Use


def test_strengths_are_apart_for_unet_and_text(tmp_path: Path) -> None:
    pipe = sdxl()
    base = states(pipe)
    use = saved(tmp_path / "n.safetensors", kohya(pipe))
    applied = Applied(pipe, "sdxl")

    def moved(unet: float, text: float) -> tuple[bool, dict[str, Tensor]]:
        changed = applied.set([replace(use, unet=unet, text=text)])
        now = states(pipe)
        return changed, {name: now[name] - base[name] for name in base}

    changed, whole = moved(1.0, 1.0)
    assert changed
    changed, unet_only = moved(0.5, 0.0)
    assert changed  # the text encoders went back
    for name, tensor in unet_only.items():
        if name.startswith("unet."):
            assert torch.allclose(tensor, 0.5 * whole[name], atol=1e-6)
        else:
            assert torch.equal(states(pipe)[name], base[name])
    changed, less = moved(-0.25, 0.0)
    assert not changed  # no text encoder has
    assert torch.allclose(
        less["unet.mid_block.attentions.0.proj_in.weight"],
        -0.5 * unet_only["unet.mid_block.attentions.0.proj_in.weight"],
        atol=1e-6,
    )
    changed, text_only = moved(0.0, 2.0)
    assert changed
    for name, tensor in text_only.items():
        if name.startswith("unet."):
            assert torch.equal(states(pipe)[name], base[name])
        else:
            assert torch.allclose(tensor, 2 * whole[name], atol=1e-5)


def test_strength_zero_is_the_base_to_the_bit_and_reads_no_file(tmp_path: Path) -> None:
    pipe = sd15().to(dtype=torch.float16)
    base = states(pipe)
    use = saved(tmp_path / "n.safetensors", kohya(pipe))
    applied = Applied(pipe, "sd15")
    nothing = replace(use, unet=0.0, text=0.0)
    assert applied.set([nothing]) is False
    assert applied.uses == (nothing,)
    gone = Use(entry(tmp_path / "gone.safetensors"), 0.0, 0.0)
    assert applied.set([gone]) is False
    assert same(states(pipe), base)
    applied.set([use])
    assert applied.set([nothing]) is True
    assert same(states(pipe), base)


def test_the_same_again_does_nothing_and_a_new_file_of_that_name_does(tmp_path: Path) -> None:
    pipe = sd15()
    use = saved(tmp_path / "n.safetensors", kohya(pipe))
    applied = Applied(pipe, "sd15")
    assert applied.set([use]) is True
    first = states(pipe)
    checks: list[int] = []
    assert applied.set([use], check=lambda: checks.append(1)) is False
    assert not checks
    saved(tmp_path / "n.safetensors", kohya(pipe, rank=2))
    assert applied.set([use]) is True
    assert not same(states(pipe), first)


def test_the_same_file_twice_sums(tmp_path: Path) -> None:
    pipe, other = sd15(), sd15()
    use = saved(tmp_path / "n.safetensors", kohya(pipe))
    Applied(pipe, "sd15").set([replace(use, unet=0.25, text=0.25), replace(use, unet=0.5, text=0.5)])
    Applied(other, "sd15").set([replace(use, unet=0.75, text=0.75)])
    one, two = states(pipe), states(other)
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)
    assert not same(one, states(sd15()))


def test_any_order_of_sets_ends_at_the_same_weights_and_clearing_at_the_base(tmp_path: Path) -> None:
    pipe = sdxl().to(dtype=torch.bfloat16)
    base = states(pipe)
    networks = [
        saved(tmp_path / "a.safetensors", kohya(pipe, original(pipe), convolutions=True)),
        saved(tmp_path / "b.safetensors", peft(pipe)),
        saved(tmp_path / "c.safetensors", kohya(pipe, text=False, rank=2)),
    ]
    rng = random.Random(4)
    applied = Applied(pipe, "sdxl")
    reached: dict[tuple[Any, ...], tuple[list[Use], dict[str, Tensor]]] = {}
    steps = [(-1.0, 0.0), (0.3, 1.0), (1.0, 0.0), (0.0, 0.0), (0.0, 0.7)]
    for _ in range(14):
        chosen = rng.sample(networks, rng.randint(0, 3))
        uses = []
        for use in chosen[: rng.randint(0, 2)]:
            unet, text = rng.choice(steps)
            uses.append(replace(use, unet=unet, text=text))
        text_before = {name: t for name, t in states(pipe).items() if name.startswith("text")}
        changed = applied.set(uses)
        now = states(pipe)
        assert applied.uses == tuple(uses)
        if not changed:
            assert same(text_before, {name: t for name, t in now.items() if name.startswith("text")})
        key = tuple((use.entry.path, use.unet, use.text) for use in uses if use.unet or use.text)
        assert same(now, reached.setdefault(key, (uses, now))[1])
        assert key or same(now, base)
    for uses, state in reached.values():
        fresh = sdxl().to(dtype=torch.bfloat16)
        Applied(fresh, "sdxl").set(uses)
        assert same(states(fresh), state)
    applied.clear()
    assert same(states(pipe), base)
    assert not applied._originals


class Cancelled(BaseException):
    pass


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.7, 0.99])
def test_a_cancelled_change_leaves_the_former_state(tmp_path: Path, share: float) -> None:
    pipe = sd15()
    first = saved(tmp_path / "a.safetensors", peft(pipe, text=False))
    second = saved(tmp_path / "b.safetensors", kohya(pipe, convolutions=True))
    applied = Applied(pipe, "sd15")
    applied.set([first])
    whole: list[int] = []
    trial = sd15()
    Applied(trial, "sd15").set([first])
    Applied(trial, "sd15").set([replace(second, unet=0.5), first], check=lambda: whole.append(1))
    before = states(pipe)
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) > share * len(whole):
            raise Cancelled

    with pytest.raises(Cancelled):
        applied.set([replace(second, unet=0.5), first], check=check)
    assert len(calls) == int(share * len(whole)) + 1
    assert same(states(pipe), before)
    assert applied.uses == (first,)
    applied.set([replace(second, unet=0.5), first])
    fresh = sd15()
    Applied(fresh, "sd15").set([replace(second, unet=0.5), first])
    assert same(states(pipe), states(fresh))
    applied.clear()
    assert same(states(pipe), states(sd15()))


def test_a_change_that_fails_in_the_middle_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = sd15()
    use = saved(tmp_path / "a.safetensors", kohya(pipe))
    applied = Applied(pipe, "sd15")
    before = states(pipe)
    true = applied_module._sum
    calls: list[int] = []

    def failing(*arguments: Any) -> Tensor:
        calls.append(1)
        if len(calls) == 40:
            raise RuntimeError("no memory")
        return true(*arguments)

    monkeypatch.setattr(applied_module, "_sum", failing)
    with pytest.raises(RuntimeError, match="no memory"):
        applied.set([use])
    assert same(states(pipe), before)
    assert applied.uses == ()
    # Where even the former state cannot be summed again the base stands, and is told as such.
    monkeypatch.setattr(applied_module, "_sum", true)
    applied.set([use])
    monkeypatch.setattr(applied_module, "_sum", lambda *arguments: (_ for _ in ()).throw(RuntimeError("no memory")))
    with pytest.raises(RuntimeError, match="no memory"):
        applied.set([replace(use, unet=0.5)])
    assert same(states(pipe), before)
    assert applied.uses == ()


def test_no_memory_on_the_device_is_summed_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, other = sd15(), sd15()
    use = saved(tmp_path / "a.safetensors", kohya(pipe))
    Applied(other, "sd15").set([use])
    true = applied_module._sum
    full: list[int] = []

    def failing(*arguments: Any) -> Tensor:
        full.append(1)
        if len(full) % 2:
            raise torch.OutOfMemoryError("full")
        return true(*arguments)

    monkeypatch.setattr(applied_module, "_sum", failing)
    Applied(pipe, "sd15").set([use])
    assert same(states(pipe), states(other))


def test_sequential_offload_is_reached_through_its_table(tmp_path: Path) -> None:
    pipe, plain = sd15(), sd15()
    use = saved(tmp_path / "n.safetensors", kohya(pipe))
    before = answers(pipe)
    for part in (pipe.unet, pipe.text_encoder):
        cpu_offload(part, torch.device("cpu"))
    assert pipe.unet.conv_in.weight.device.type == "meta"
    applied = Applied(pipe, "sd15")
    assert applied.set([use]) is True
    Applied(plain, "sd15").set([use])
    assert near(answers(pipe), answers(plain))
    applied.clear()
    assert near(answers(pipe), before, 0)


def test_weights_that_are_nowhere_are_refused(tmp_path: Path) -> None:
    pipe = sd15()
    use = saved(tmp_path / "n.safetensors", kohya(pipe))
    pipe.unet.to("meta")
    before = {name: t.clone() for name, t in pipe.text_encoder.state_dict().items()}
    with pytest.raises(BadWeights, match="not in memory"):
        Applied(pipe, "sd15").set([use])
    assert all(torch.equal(t, before[name]) for name, t in pipe.text_encoder.state_dict().items())

"""Plans for memory: counted from headers, chosen by what is free, told with the numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from original_files import original, shrunken, write

from generation import memory
from generation.catalogue import BUNDLED, ModelEntry, look
from generation.errors import BadSpec, BadWeights, RenderFailed
from generation.memory import GIB, Plan, Weights, preflight
from generation.specs import ModelDefaults

# The published sizes: UNet, VAE, text encoders.
SIZES = {"sd15": Weights(859_520_964, 83_653_863, 123_060_480), "sdxl": Weights(2_567_463_684, 83_653_863, 817_720_321)}


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Full-size checkpoints by their sizes alone, except where a test counts."""
    if not request.function.__name__.startswith("test_weights"):
        monkeypatch.setattr(memory, "weigh", lambda entry: SIZES[entry.family])


def entry(family: str) -> ModelEntry:
    return ModelEntry("m", "/m", "checkpoint", family, 0, ModelDefaults())


@pytest.mark.parametrize(
    ("family", "gib", "expected"),
    [
        ("sdxl", 24, ("none", False)),
        ("sdxl", 12, ("none", False)),
        ("sdxl", 9.5, ("none", True)),
        ("sdxl", 8, ("model", False)),
        ("sdxl", 4, ("sequential", True)),
        ("sd15", 4, ("none", False)),
    ],
)
def test_the_fastest_plan_that_fits(family: str, gib: float, expected: tuple[str, bool]) -> None:
    side = 1024 if family == "sdxl" else 512
    plan = preflight(entry(family), "cuda", "fp16", side, side, free=int(gib * GIB))
    assert (plan.offload, plan.vae_tiling) == expected
    assert plan.needs <= plan.free == int(gib * GIB)
    assert plan.dtype == "fp16"
    assert ("would need" in plan.reason) is (expected != ("none", False))


def test_less_memory_never_gives_a_plan_that_needs_more() -> None:
    needs = [preflight(entry("sdxl"), "cuda", "fp16", 1024, 1024, free=int(g * GIB)).needs for g in (24, 10, 8, 5, 4)]
    assert needs == sorted(needs, reverse=True)


def test_size_batch_and_number_format_count() -> None:
    def needs(**more: object) -> int:
        return preflight(entry("sd15"), "cuda", **{"dtype": "fp16", "free": 10**13, **more}).needs  # type: ignore[arg-type]

    assert needs(width=1024) > needs() * 1.1
    assert needs(batch=4) == needs(width=1024, height=1024)
    # Twice the bytes of everything but what the libraries take.
    context = memory.CONTEXT["cuda"]
    assert needs(dtype="fp32") - context == pytest.approx(2 * (needs() - context), rel=1e-6)
    assert needs(dtype="bf16") == needs()


def test_the_decoder_counts_where_it_is_the_largest() -> None:
    """At 2,048 pixels the VAE needs six times what its own weights and the UNet's steps take."""
    for offload in ("none", "model"):
        plan = preflight(entry("sd15"), "cuda", "fp16", 2048, 2048, free=10**13, offload=offload)
        assert plan.needs > 2048 * 2048 * memory.VAE_PIXEL
    tiled = preflight(entry("sd15"), "cuda", "fp16", 2048, 2048, free=plan.needs - 1, offload="model")
    assert tiled.vae_tiling


def test_what_does_not_fit_at_all_is_said_with_the_numbers() -> None:
    with pytest.raises(RenderFailed) as caught:
        preflight(entry("sdxl"), "cuda", "fp16", 4096, 4096, free=2 * GIB)
    assert "4096x4096" in caught.value.message
    assert "2.0 GiB are free" in caught.value.message
    assert caught.value.hint
    # A setting that forbids the smaller plans is kept to.
    with pytest.raises(RenderFailed):
        preflight(entry("sdxl"), "cuda", "fp16", 1024, 1024, free=6 * GIB, offload="none")
    assert preflight(entry("sdxl"), "cuda", "fp16", 1024, 1024, free=99 * GIB, offload="model").offload == "model"


def test_what_the_model_holds_already_is_free_to_it() -> None:
    with pytest.raises(RenderFailed):
        preflight(entry("sdxl"), "cuda", "fp16", 1024, 1024, free=GIB)
    assert preflight(entry("sdxl"), "cuda", "fp16", 1024, 1024, free=4 * GIB, held=8 * GIB).offload == "none"


def test_the_cpu_has_nowhere_to_offload_to_and_halves_its_numbers_last() -> None:
    assert preflight(entry("sd15"), "cpu", free=16 * GIB).dtype == "fp32"
    plan = preflight(entry("sd15"), "cpu", free=3 * GIB, offload="sequential")
    assert (plan.dtype, plan.offload, plan.vae_tiling) == ("bf16", "none", True)
    with pytest.raises(RenderFailed):
        preflight(entry("sd15"), "cpu", "fp32", free=3 * GIB)
    assert preflight(entry("sd15"), "cpu", free=None).free > 0


@pytest.mark.parametrize(
    ("device", "wanted", "chosen"),
    [("cuda", "auto", "fp16"), ("mps", "auto", "fp16"), ("cpu", "auto", "fp32"), ("cpu", "bf16", "bf16")],
)
def test_number_formats(device: str, wanted: str, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA GeForce RTX 3060")
    assert memory.choose_dtype(device, wanted) == chosen
    assert Plan(device, chosen, "none", False, 0, 0).torch_dtype in {torch.float16, torch.bfloat16, torch.float32}


def test_number_formats_a_device_cannot_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSpec, match="fp16"):
        memory.choose_dtype("cpu", "fp16")
    with pytest.raises(BadSpec, match="fp8"):
        memory.choose_dtype("cuda", "fp8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA GeForce GTX 1660 Ti")
    with pytest.raises(BadSpec, match="bf16"):
        memory.choose_dtype("cuda", "bf16")
    assert memory.choose_dtype("cuda") == "fp32"


def test_settings_and_models_that_cannot_be() -> None:
    with pytest.raises(BadSpec, match="half"):
        preflight(entry("sd15"), "cuda", offload="half")
    with pytest.raises(BadWeights, match="LoRA"):
        preflight(ModelEntry("m", "/m", "lora", "sd15", 0, ModelDefaults()), "cpu")


def test_weights_are_counted_from_headers(tmp_path: Path) -> None:
    tensors = original(shrunken("sd15"))
    path = write(tmp_path / "m.safetensors", "sd15", dtype=torch.half)
    found = memory.weigh(look(path))
    for prefix, count in (("model.diff", found.unet), ("first_stage", found.vae), ("cond_stage", found.text)):
        assert count == sum(value.numel() for key, value in tensors.items() if key.startswith(prefix)) > 0


def test_weights_of_a_folder() -> None:
    found = memory.weigh(look(BUNDLED))
    assert 10**6 < found.vae < found.unet < 2 * 10**7
    assert found.text > 10**6

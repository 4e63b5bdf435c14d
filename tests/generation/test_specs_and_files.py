"""Specs, samplers, metadata and the catalogue: what is read from outside and what is refused."""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from generation import infotext, samplers
from generation.catalogue import BUNDLED, Catalogue, look
from generation.errors import BadImage, BadSpec, GenerationError, UnknownModel, UnknownSampler
from generation.metadata import read
from generation.specs import ModelDefaults, RenderSpec


def test_a_spec_survives_json() -> None:
    spec = RenderSpec("a fox", "blurry", seed=5, steps=12, cfg=6.5, sampler="dpm++ 2m karras", width=512, height=768)
    assert spec.sampler == "DPM++ 2M Karras"
    assert RenderSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"width": 100}, "96 or 104"),
        ({"height": 16}, "32 to 4096"),
        ({"steps": 0}, "1 to 1000"),
        ({"steps": 2.5}, "whole number"),
        ({"steps": True}, "whole number"),
        ({"cfg": math.nan}, "0 to 50"),
        ({"cfg": "high"}, "number"),
        ({"seed": -2}, "-1"),
        ({"sampler": "DPM++ 2N Karras"}, 'Did you mean "DPM++ 2M Karras"'),
        ({"stepz": 4}, 'Did you mean "steps"'),
        ({"prompt": 3}, "text"),
        ({"weighting": "magic"}, "compel"),
    ],
)
def test_a_wrong_value_is_named_with_its_remedy(fields: dict[str, Any], said: str) -> None:
    with pytest.raises((BadSpec, UnknownSampler)) as caught:
        RenderSpec.from_json({"prompt": "a", **fields})
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_open_fields_take_the_models_defaults() -> None:
    spec = RenderSpec("a").resolve(ModelDefaults(64, 64, 20, 4.0, "Euler"), lambda: 99)
    assert (spec.width, spec.steps, spec.cfg, spec.sampler, spec.seed) == (64, 20, 4.0, "Euler", 99)
    kept = RenderSpec("a", seed=0, cfg=0.0).resolve(ModelDefaults(), lambda: 99)
    assert (kept.seed, kept.cfg) == (0, 0.0)


def test_every_sampler_exists_in_diffusers_and_takes_its_arguments() -> None:
    import diffusers

    base = diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear").config
    for name in samplers.names():
        choice = samplers.find(name)
        made = getattr(diffusers, choice.scheduler_class).from_config(base, **choice.arguments)
        for key, value in choice.arguments.items():
            assert made.config[key] == value, name


def test_sampler_names_in_both_of_a1111s_ways() -> None:
    assert samplers.find("DPM++ 2M", schedule="Karras") == samplers.find("dpm++ 2m karras")
    assert samplers.find("Euler a", schedule="Automatic").name == "Euler a"
    assert samplers.to_a1111("DPM++ 2M SDE Karras") == ("DPM++ 2M SDE", "Karras")


def test_infotext_is_read_as_the_reference_reads_it(vectors: Callable[[str], Any]) -> None:
    for sample in vectors("infotext.json")["samples"]:
        wanted = sample["reference_parse"]
        got = infotext.read(sample["text"])
        assert got == {k: wanted[k] for k in ("prompt", "negative_prompt", "params")}, sample["id"]


def test_infotext_written_is_read_back() -> None:
    spec = RenderSpec("a fox: red,\nsecond line", "blurry", seed=5, cfg=6.0, sampler="DPM++ 2M Karras", clip_skip=2)
    full = spec.resolve(ModelDefaults(), lambda: 0).to_json()
    parsed = infotext.read(infotext.write(full))
    again = infotext.to_spec(parsed)
    assert {k: full[k] for k in again} == again
    assert parsed["params"]["Schedule type"] == "Karras"


# Pictures


def png(*texts: tuple[bytes, bytes], size: tuple[int, int] = (3, 2)) -> bytes:
    """A PNG with the given chunks between header and end; its pixels are never looked at."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunk(k, b) for k, b in texts) + chunk(b"IEND", b"")


A1111 = "a fox\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x768"


def save(folder: Path, data: bytes, name: str = "x.png") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "data",
    [
        png((b"tEXt", b"parameters\0" + A1111.encode())),
        png((b"zTXt", b"parameters\0\0" + zlib.compress(A1111.encode()))),
        png((b"iTXt", b"parameters\0\0\0\0\0" + A1111.encode())),
        png((b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress(A1111.encode()))),
    ],
)
def test_a1111_text_in_every_kind_of_chunk(tmp_path: Path, data: bytes) -> None:
    info = read(save(tmp_path, data))
    assert (info.tool, info.prompt, info.negative) == ("A1111", "a fox", "blurry")
    assert RenderSpec.from_json(info.spec() or {}).height == 768
    assert (info.width, info.height) == (3, 2)


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_a1111_text_in_exif(tmp_path: Path, suffix: str) -> None:
    from PIL import Image

    path = tmp_path / f"x.{suffix}"
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + A1111.encode("utf-16-be")
    Image.new("RGB", (24, 16)).save(path, exif=exif)
    info = read(path)
    assert (info.prompt, info.width, info.height) == ("a fox", 24, 16)


def test_comfy_graph_is_followed_to_its_texts(tmp_path: Path) -> None:
    graph = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "m.safetensors"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": ["7", 0]}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "ugly"}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 640, "height": 512}},
        "5": {"class_type": "KSampler", "inputs": {
            "positive": ["6", 0], "negative": ["3", 0], "latent_image": ["4", 0], "seed": 8, "steps": 30, "cfg": 5.5,
            "sampler_name": "dpmpp_2m", "scheduler": "karras"}},
        "6": {"class_type": "ConditioningConcat", "inputs": {"conditioning": ["2", 0]}},
        "7": {"class_type": "String", "inputs": {"string": "a blue alien"}},
    }  # fmt: skip
    info = read(save(tmp_path, png((b"tEXt", b"prompt\0" + json.dumps(graph).encode()))))
    spec = RenderSpec.from_json(info.spec() or {})
    assert (info.tool, spec.prompt, spec.negative) == ("ComfyUI", "a blue alien", "ugly")
    assert (spec.seed, spec.steps, spec.cfg, spec.sampler, spec.width) == (8, 30, 5.5, "DPM++ 2M Karras", 640)


def test_invoke_metadata(tmp_path: Path) -> None:
    data = {"positive_prompt": "a fox", "negative_prompt": "", "seed": 3, "steps": 10, "width": 512, "height": 512}
    info = read(save(tmp_path, png((b"tEXt", b"invokeai_metadata\0" + json.dumps(data).encode()))))
    assert (info.tool, (info.spec() or {})["seed"]) == ("InvokeAI", 3)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"not a picture", "no PNG"),
        (png()[:40], "cut short"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"\xff\xd8\xff", "damaged"),
        (png((b"zTXt", b"a\0\0not zlib")), "damaged"),
    ],
)
def test_damaged_pictures_are_told_in_one_line(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(BadImage) as caught:
        read(save(tmp_path, data))
    assert said in caught.value.message
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_a_missing_picture_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(BadImage):
            read(path)


def test_a_picture_without_metadata_is_fine(tmp_path: Path) -> None:
    info = read(save(tmp_path, png()))
    assert (info.tool, info.spec()) == ("", None)


def test_a_packed_bomb_is_cut(tmp_path: Path) -> None:
    data = png((b"zTXt", b"parameters\0\0" + zlib.compress(b"a" * 50_000_000)))
    assert len(read(save(tmp_path, data)).raw["parameters"]) <= 8_000_000


# Catalogue


def safetensors(keys: dict[str, list[int]], *, cut: int = 0) -> bytes:
    at, table = 0, {}
    for key, shape in keys.items():
        size = 2 * math.prod(shape)
        table[key] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(table).encode()
    whole = struct.pack("<Q", len(head)) + head + b"\0" * at
    return whole[: len(whole) - cut]


FIRST = "model.diffusion_model.input_blocks.0.0.weight"


@pytest.mark.parametrize(
    ("keys", "kind", "family"),
    [
        ({FIRST: [4, 4, 1, 1], "cond_stage_model.transformer.x": [1]}, "checkpoint", "sd15"),
        ({FIRST: [4, 9, 1, 1]}, "checkpoint", "sd15-inpainting"),
        ({FIRST: [4, 4, 1, 1], "cond_stage_model.model.transformer.x": [1]}, "checkpoint", "sd2"),
        ({FIRST: [4, 4, 1, 1], "conditioner.embedders.1.model.x": [1]}, "checkpoint", "sdxl"),
        ({"lora_unet_down_blocks_0_attn2_to_k.lora_down.weight": [4, 768]}, "lora", "sd15"),
        ({"lora_te2_x.lora_down.weight": [4, 8]}, "lora", "sdxl"),
        ({"emb_params": [1, 768]}, "embedding", "sd15"),
        ({"something": [1]}, "unknown", "unknown"),
    ],
)
def test_weights_are_told_apart_by_their_keys(
    tmp_path: Path, keys: dict[str, list[int]], kind: str, family: str
) -> None:
    entry = look(save(tmp_path, safetensors(keys), "m.safetensors"))
    assert (entry.kind, entry.family, entry.problem) == (kind, family, "")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.safetensors", safetensors({"x": [10]}, cut=4), "cut short"),
        ("b.safetensors", b"", "cut short"),
        ("c.safetensors", b"PK\x03\x04 this is no safetensors", "safetensors"),
        ("d.safetensors", struct.pack("<Q", 4) + b"oops", "JSON"),
        ("e.ckpt", b"\x80\x02", "pickle"),
    ],
)
def test_damaged_weights_are_listed_with_their_problem(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    save(tmp_path, data, name)
    entries = Catalogue([tmp_path]).entries()
    assert said in entries[1].problem


def test_the_bundled_checkpoint_comes_first_and_an_unknown_name_gets_the_nearest() -> None:
    catalogue = Catalogue([])
    assert catalogue.entries()[0].path == str(BUNDLED)
    with pytest.raises(UnknownModel) as caught:
        catalogue.find("atelier-dmo")
    assert "atelier-demo" in caught.value.hint


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    save(tmp_path, safetensors({"emb_params": [1, 768]}), "m.safetensors")
    assert len(Catalogue([tmp_path]).entries()) == 2


def test_errors_have_a_message_and_a_hint() -> None:
    error = GenerationError("broke", "Mend it.")
    assert (str(error), error.hint) == ("broke", "Mend it.")

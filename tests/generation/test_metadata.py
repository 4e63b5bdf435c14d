"""Pictures of other tools, and pictures that were made to harm."""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from generation import exif
from generation.errors import BadImage
from generation.metadata import LARGEST_TEXTS, read
from generation.metadata_tools import understand
from generation.specs import RenderSpec

A1111 = "a fox\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x768"


def sampler(**inputs: Any) -> dict[str, Any]:
    usual = {"seed": 8, "steps": 30, "cfg": 5.5, "sampler_name": "dpmpp_2m", "scheduler": "karras"}
    return {"class_type": "KSampler", "inputs": {**usual, "positive": ["1", 0], "negative": ["2", 0], **inputs}}


def text(value: Any) -> dict[str, Any]:
    return {"class_type": "CLIPTextEncode", "inputs": {"text": value, "clip": ["9", 1]}}


TEXTS = {"1": text("good"), "2": text("bad")}


def comfy(graph: dict[str, Any]) -> Any:
    found = understand({"prompt": json.dumps(graph)})
    assert found.tool == "ComfyUI"
    RenderSpec.from_json(found.fields or {"prompt": ""})
    return found


def test_both_outputs_of_a_controlnet_node() -> None:
    node = {"class_type": "ControlNetApplyAdvanced", "inputs": {"positive": ["1", 0], "negative": ["2", 0]}}
    # The ControlNet stands first and has a positive and a negative too; it is no sampler.
    found = comfy({"3": node, **TEXTS, "5": sampler(positive=["3", 0], negative=["3", 1])})
    assert (found.prompt, found.negative, found.fields["seed"]) == ("good", "bad", 8)


def test_of_two_samplers_the_first_pass() -> None:
    latent = {"class_type": "EmptyLatentImage", "inputs": {"width": 640, "height": 512}}
    found = comfy(
        {
            **TEXTS,
            "3": sampler(seed=2, latent_image=["5", 0]),
            "4": latent,
            "5": sampler(seed=1, latent_image=["4", 0]),
        }
    )
    assert (found.fields["seed"], found.fields["width"], found.fields["height"]) == (1, 640, 512)


def test_a_sampler_in_parts() -> None:
    found = comfy(
        {
            **TEXTS,
            "3": {"inputs": {"noise": ["4", 0], "guider": ["5", 0], "sampler": ["6", 0], "sigmas": ["7", 0]}},
            "4": {"inputs": {"noise_seed": 12}},
            "5": {"inputs": {"positive": ["1", 0], "negative": ["2", 0], "cfg": 3.5, "model": ["8", 0]}},
            "6": {"inputs": {"sampler_name": "euler"}},
            "7": {"inputs": {"scheduler": "simple", "steps": 9}},
            "8": {"inputs": {"lora_name": "x", "model": ["9", 0]}},
            "9": {"inputs": {"ckpt_name": "m.safetensors"}},
        }
    )
    expected = {"seed": 12, "steps": 9, "cfg": 3.5, "sampler": "Euler Simple", "prompt": "good", "negative": "bad"}
    assert found.fields == expected
    assert found.settings["Model"] == "m.safetensors"


def test_clip_skip_linked_numbers_and_what_no_table_knows() -> None:
    clip = {"class_type": "CLIPSetLastLayer", "inputs": {"stop_at_clip_layer": -2}}
    number = {"class_type": "PrimitiveNode", "inputs": {"value": 77}}
    found = comfy({**TEXTS, "9": clip, "7": number, "5": sampler(seed=["7", 0], scheduler="align_your_steps")})
    assert (found.fields["clip_skip"], found.fields["seed"]) == (2, 77)
    assert "sampler" not in found.fields


def test_graphs_in_circles_end() -> None:
    keys = ("text", "text_g", "string", "conditioning", "conditioning_1", "conditioning_2", "value")
    nodes = {str(n): {"inputs": {key: [str((n + 1) % 20), 0] for key in keys}} for n in range(20)}
    assert comfy({**nodes, "k": sampler(positive=["0", 0], negative=["1", 0])}).prompt == ""


@pytest.mark.parametrize(
    ("texts", "tool", "expected"),
    [
        (
            {
                "invokeai_metadata": json.dumps(
                    {
                        "positive_prompt": "a fox", "negative_prompt": "blurry", "seed": 3, "steps": 10,
                        "cfg_scale": 7.5, "scheduler": "dpmpp_2m_k", "clip_skip": 1, "width": 512, "height": 515,
                    }
                )
            },
            "InvokeAI",
            # 515 pixels are outside of what a spec can hold, and are left to the model.
            {"prompt": "a fox", "negative": "blurry", "seed": 3, "steps": 10, "cfg": 7.5, "width": 512,
             "sampler": "DPM++ 2M Karras", "clip_skip": 2},
        ),
        (
            {"sd-metadata": json.dumps({"image": {"prompt": [{"prompt": "a fox [blurry]", "weight": 1}], "seed": 3,
                                                  "sampler": "k_euler_a"}})},
            "InvokeAI",
            {"prompt": "a fox", "negative": "blurry", "seed": 3, "sampler": "Euler a"},
        ),
        (
            {"Dream": '"a \\"red\\" fox [blurry]" -s 50 -S42 -W 512 -H 640 -C 7.5 -A k_lms'},
            "InvokeAI",
            {"prompt": 'a "red" fox', "negative": "blurry", "steps": 50, "seed": 42, "width": 512, "height": 640,
             "cfg": 7.5, "sampler": "LMS"},
        ),
        (
            {"parameters": json.dumps({"prompt": "a fox", "negative_prompt": "", "seed": "7", "steps": 30,
                                       "guidance_scale": 4.0, "resolution": "(1152, 896)",
                                       "sampler": "dpmpp_2m_sde_gpu", "scheduler": "karras"}),
             "fooocus_scheme": "fooocus"},
            "Fooocus",
            {"prompt": "a fox", "negative": "", "seed": 7, "steps": 30, "cfg": 4.0, "width": 1152, "height": 896,
             "sampler": "DPM++ 2M SDE Karras"},
        ),
        (
            {"Software": "NovelAI", "Description": "a fox", "Comment": json.dumps(
                {"uc": "blurry", "steps": 28, "scale": 11, "seed": 9, "sampler": "k_euler_ancestral"})},
            "NovelAI",
            {"prompt": "a fox", "negative": "blurry", "steps": 28, "cfg": 11.0, "seed": 9, "sampler": "Euler a"},
        ),
        (
            {"parameters": A1111, "fooocus_scheme": "a1111"},
            "Fooocus",
            {"prompt": "a fox", "negative": "blurry", "steps": 20, "cfg": 7.0, "seed": 5, "width": 512, "height": 768,
             "sampler": "Euler a"},
        ),
        ({"parameters": "time: 5, place: rome, mood: sad"}, "", {"prompt": "time: 5, place: rome, mood: sad",
                                                                 "negative": ""}),
        ({"atelier": json.dumps({"prompt": "a", "seed": 1}), "parameters": A1111}, "Atelier",
         {"prompt": "a", "seed": 1}),
        ({"prompt": "a plain text", "parameters": "a fox"}, "", {"prompt": "a fox", "negative": ""}),
    ],
)  # fmt: skip
def test_every_tools_settings_become_a_spec(texts: dict[str, str], tool: str, expected: dict[str, Any]) -> None:
    found = understand(texts)
    assert (found.tool, found.fields) == (tool, expected)
    RenderSpec.from_json(found.fields)


@pytest.mark.parametrize("key", ["atelier", "prompt", "invokeai_metadata", "sd-metadata", "parameters", "Dream"])
def test_broken_texts_are_no_errors(key: str) -> None:
    for value in ("", "{", "[]", "3", "null", '{"image": 3}', '{"a":' + "[" * 100_000, '"', '{"1": 2}'):
        understand({key: value, "Software": "NovelAI", "Comment": value})


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    whole = [(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 2, 0, 0, 0)), *chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, body) for kind, body in whole)


def jpeg(block: bytes = b"", end: bytes = b"\xff\xd9") -> bytes:
    part = b"\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block if block else b""
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 8, 8, 16, 24, 0)
    return b"\xff\xd8" + part + frame + b"\xff\xda\x00\x02pixels" + end


def tiff(comment: bytes, order: str = ">") -> bytes:
    """A TIFF block with a user comment in its EXIF directory."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    first = struct.pack(f"{order}HHHIII", 1, 0x8769, 4, 1, 26, 0)
    second = struct.pack(f"{order}HHHIII", 1, 0x9286, 7, len(comment), 44, 0)
    return mark + struct.pack(f"{order}I", 8) + first + second + comment


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "ascii"])
@pytest.mark.parametrize("words", ["a fox", "рыжая лиса, зимой"])
def test_user_comments_in_every_order(tmp_path: Path, order: str, encoding: str, words: str) -> None:
    label = b"ASCII\0\0\0" if encoding == "ascii" else b"UNICODE\0"
    said = A1111.replace("a fox", words)
    body = said.encode("utf-8" if encoding == "ascii" else encoding)
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg(tiff(label + body, order)))
    info = read(path)
    assert (info.tool, info.prompt, info.width, info.height) == ("A1111", words, 24, 16)


def test_a_comfy_graph_in_the_cameras_model() -> None:
    said = b"prompt:" + json.dumps({**TEXTS, "5": sampler()}).encode()
    block = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x0110, 2, len(said), 26, 0) + said
    assert understand(exif.texts(block, 10_000)).prompt == "good"


@pytest.mark.parametrize("cut", [0, 3, 9, 15, 30, 43])
def test_exif_that_ends_early_is_no_error(cut: int) -> None:
    whole = tiff(b"ASCII\0\0\0a fox")
    assert exif.texts(whole, 100) == {"parameters": "a fox"}
    assert exif.texts(whole[:cut], 100) == {}


@pytest.mark.parametrize(
    "data",
    [
        jpeg(end=b""),
        jpeg()[:12],
        b"\xff\xd8" + b"\xff" * 50,
        b"RIFF\xff\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(10),
        b"RIFF\x04\0\0\0WEBP",
        png((b"iTXt", b"parameters\0")),
        b"GIF89a" + bytes(20),
    ],
)
def test_pictures_cut_short(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(BadImage) as caught:
        read(path)
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_a_pipe_and_a_name_that_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("a\0b"), tmp_path / ("x" * 400)):
        with pytest.raises(BadImage):
            read(path)


def test_many_bombs_share_one_bound(tmp_path: Path) -> None:
    bomb = zlib.compress(b"a" * 20_000_000)
    path = tmp_path / "x.png"
    path.write_bytes(png(*((b"zTXt", b"k%d\0\0" % n + bomb) for n in range(20))))
    assert sum(map(len, read(path).raw.values())) <= LARGEST_TEXTS


def test_settings_without_a_prompt_are_a_spec_too(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png((b"tEXt", b"parameters\0Steps: 10, Sampler: Euler, Seed: 4")))
    info = read(path)
    assert info.tool == "A1111"
    assert RenderSpec.from_json(info.spec() or {}).seed == 4
    assert json.loads(json.dumps(info.to_json()))["spec"] == info.spec()

"""Real key names told apart, folders of the known tools, and files that are damaged."""

from __future__ import annotations

import json
import os
import re
import struct
from pathlib import Path

import pytest

from generation import catalogue, headers
from generation.catalogue import NOT_YET, Catalogue, look
from generation.errors import UnknownModel

ROOT = Path(__file__).parent.parent.parent
FIRST = "model.diffusion_model.input_blocks.0.0.weight"
EMBEDDING = {"emb_params": [1, 768]}


def shared(*parts: str) -> Path:
    """A file or folder of the shared data; the test is skipped where it is not at hand."""
    path = Path(os.environ.get("ATELIER_SHARED", ROOT.parent / "shared")).joinpath(*parts)
    if not path.exists():
        pytest.skip(f"the shared data {'/'.join(parts)} are not here (ATELIER_SHARED)")
    return path


def weights(path: Path, keys: dict[str, list[int]]) -> Path:
    """A safetensors file of empty tensors: the header says shapes, the data are none."""
    table = {key: {"dtype": "F16", "shape": shape, "data_offsets": [0, 0]} for key, shape in keys.items()}
    head = json.dumps(table).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(head)) + head)
    return path


@pytest.mark.parametrize(
    ("name", "expected"), [("sd1-ldm", ("checkpoint", "sd15")), ("sdxl-sgm", ("checkpoint", "sdxl"))]
)
def test_real_checkpoints(name: str, expected: tuple[str, str]) -> None:
    listed = shared("data", "keys", "sd_mecha", f"{name}.yaml").read_text("utf-8")
    found = re.findall(r"^    (\S+): \{shape: \[([^\]]*)\]", listed, re.MULTILINE)
    keys = {key: [int(side) for side in shape.split(",") if side.strip()] for key, shape in found}
    assert headers.recognise(keys) == expected
    bare = {key: shape for key, shape in keys.items() if key.startswith("model.diffusion_model.")}
    assert headers.recognise(bare)[1] == expected[1]
    if expected[1] == "sd15":
        assert headers.recognise(keys | {FIRST: [320, 9, 3, 3]}) == ("checkpoint", "sd15-inpainting")


@pytest.mark.parametrize(
    ("name", "family"), [("sd2", "sd2"), ("refiner", "sdxl-refiner"), ("ssd", "unknown"), ("vega", "unknown")]
)
def test_relatives_of_the_real_checkpoints(name: str, family: str) -> None:
    path = shared("data", "keys", "ai_toolkit_keymaps", f"stable_diffusion_{name}.json")
    keys = json.loads(path.read_text("utf-8"))["ldm_diffusers_keymap"]
    assert headers.recognise({key: [1, 1] for key in keys}) == ("checkpoint", family)


def test_weights_of_other_houses_are_never_taken_for_ours() -> None:
    for path in shared("data", "keys", "invokeai_json").glob("*state_dict_keys.json"):
        kind, family = headers.recognise(json.loads(path.read_text("utf-8")))
        assert family == "unknown", path.name
        assert kind == ("lora" if "_lora_" in path.name or "_lokr_" in path.name or "_dora_" in path.name else kind)
        assert kind != "checkpoint", path.name


def test_real_files() -> None:
    folder = shared("data", "weights")
    found = {Path(e.path).name: e for e in Catalogue([folder]).entries()[1:]}
    lora = found["pytorch_lora_weights.safetensors"]
    assert (lora.kind, lora.family, lora.problem) == ("lora", "sd15", "")
    assert found["test_embedding.safetensors"].kind == "embedding"
    assert "pickle" in found["pytorch_lora_weights.bin"].problem


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"emb_params": [2, 1024]}, ("embedding", "sd2")),
        ({"clip_l": [2, 768], "clip_g": [2, 1280]}, ("embedding", "sdxl")),
        ({"<cat>": [768]}, ("embedding", "sd15")),
        ({"control_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": [320, 768]}, ("controlnet", "sd15")),
        ({"encoder.conv_in.weight": [1], "decoder.up_blocks.0.x": [1]}, ("vae", "unknown")),
        ({"unet.down_blocks.1.attn2.to_k.lora_A.weight": [4, 2048]}, ("lora", "sdxl")),
        ({FIRST: []}, ("checkpoint", "sd15")),
        ({f"x{FIRST}": [1, 1, 1]}, ("unknown", "unknown")),
        ({}, ("unknown", "unknown")),
    ],
)
def test_kinds(keys: dict[str, list[int]], expected: tuple[str, str]) -> None:
    assert headers.recognise(keys) == expected


def test_headers_made_to_harm_are_listed_with_their_problem(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    for head in (
        b"[]",
        b"3",
        b'{"a": 3}',
        b'{"a": {"shape": 3, "data_offsets": [0, 0]}}',
        b'{"a": {"data_offsets": ["x", {}]}}',
        b'{"a": {"shape": [1], "data_offsets": [0, 1e999]}}',
        b"[" * 100_000,
    ):
        path.write_bytes(struct.pack("<Q", len(head)) + head)
        entry = look(path)
        assert "not a safetensors file" in entry.problem, head[:40]
        assert (entry.size, entry.kind) == (len(head) + 8, "unknown")


def test_a_file_cut_short_says_by_how_much(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    head = json.dumps({"a": {"dtype": "F16", "shape": [100], "data_offsets": [0, 200]}}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(50))
    size = 8 + len(head)
    assert look(path).problem == f"the file is cut short: header says {size + 200} bytes, file has {size + 50}"


def test_folders_of_a1111_comfyui_and_invokeai(tmp_path: Path) -> None:
    places = {
        "a1111/models/Stable-diffusion/old.ckpt": "checkpoint",
        "a1111/models/Lora/a.pt": "lora",
        "a1111/models/VAE/v.pt": "vae",
        "a1111/embeddings/e.pt": "embedding",
        "comfy/models/checkpoints/sub/c.ckpt": "checkpoint",
        "comfy/models/loras/l.pt": "lora",
        "invoke/models/sd-1/main/i.ckpt": "checkpoint",
        "invoke/models/sd-1/embedding/t.pt": "embedding",
    }
    for place in places:
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x80\x02")
    # A file that can be read is what its own keys say, wherever it lies.
    weights(tmp_path / "a1111/models/Stable-diffusion/astray.safetensors", EMBEDDING)
    found = {str(Path(e.path).relative_to(tmp_path)): e for e in Catalogue([tmp_path]).entries()[1:]}
    assert {place: found[place].kind for place in places} == places
    assert found["a1111/models/Stable-diffusion/astray.safetensors"].kind == "embedding"


def test_roots_inside_each_other_list_a_file_once_and_missing_ones_nothing(tmp_path: Path) -> None:
    weights(tmp_path / "in" / "m.safetensors", EMBEDDING)
    roots = [tmp_path, tmp_path / "in", tmp_path, tmp_path / "none"]
    assert [e.name for e in Catalogue(roots).entries()[1:]] == ["m"]


def test_depth_is_bounded(tmp_path: Path) -> None:
    weights(tmp_path.joinpath(*"abcdef") / "near.safetensors", EMBEDDING)
    weights(tmp_path.joinpath(*"abcdefg") / "far.safetensors", EMBEDDING)
    assert [e.name for e in Catalogue([tmp_path]).entries()[1:]] == ["near"]


def pipeline(folder: Path, **about: object) -> Path:
    weights(folder / "unet" / "diffusion_pytorch_model.safetensors", {"conv_in.weight": [4, 4, 3, 3]})
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}', "utf-8")
    (folder / "unet" / "config.json").write_text('{"cross_attention_dim": 768}', "utf-8")
    if about:
        (folder / "atelier.json").write_text(json.dumps(about), "utf-8")
    return folder


def test_a_diffusers_folder_is_one_entry_with_its_own_defaults(tmp_path: Path) -> None:
    pipeline(tmp_path / "mine", width=96, sampler="Euler")
    (entry,) = Catalogue([tmp_path]).entries()[1:]
    assert (entry.name, entry.family, entry.problem) == ("mine", "sd15", "")
    assert (entry.defaults.width, entry.defaults.height, entry.defaults.sampler) == (96, 512, "Euler")
    assert entry.to_json()["defaults"]["width"] == 96


@pytest.mark.parametrize(("about", "said"), [({"width": 100}, "multiple of 8"), ({"cfg": None}, "null")])
def test_defaults_that_cannot_be_are_told(tmp_path: Path, about: dict[str, object], said: str) -> None:
    entry = look(pipeline(tmp_path / "mine", **about))
    assert "atelier.json" in entry.problem
    assert said in entry.problem


def test_a_cut_part_of_a_pipeline_is_told(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "mine")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"1234")
    assert "cut short" in look(folder).problem


def test_a_vae_folder(tmp_path: Path) -> None:
    weights(tmp_path / "v" / "diffusion_pytorch_model.safetensors", {"encoder.x": [1]})
    (tmp_path / "v" / "config.json").write_text('{"_class_name": "AutoencoderKL"}', "utf-8")
    (entry,) = Catalogue([tmp_path]).entries()[1:]
    assert (entry.name, entry.kind, entry.problem) == ("v", "vae", "")


def test_the_bundled_checkpoint_before_its_weights_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (tmp_path / "none", tmp_path):
        monkeypatch.setattr(catalogue, "BUNDLED", place)
        entry = Catalogue([]).entries()[0]
        assert (entry.kind, entry.problem) == ("checkpoint", NOT_YET)


def test_finding(tmp_path: Path) -> None:
    weights(tmp_path / "a" / "same.safetensors", EMBEDDING)
    model = weights(tmp_path / "b" / "same.safetensors", {FIRST: [320, 4, 3, 3], "cond_stage_model.transformer.x": [1]})
    found = Catalogue([tmp_path])
    assert found.find("same").path == found.find("same.safetensors").path == str(model)
    assert Catalogue([]).find(str(model)).kind == "checkpoint"
    for name in ("sane", "a\0b", "x" * 5000, ""):
        with pytest.raises(UnknownModel) as caught:
            found.find(name)
        assert caught.value.hint

"""Real key names told apart, folders of the known tools, and files that are damaged."""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from generation import catalogue, fitting, headers, places, sidecars
from generation.catalogue import NOT_YET, Catalogue, ModelEntry, look
from generation.defaults import defaults_of
from generation.errors import BadWeights, UnknownModel
from generation.specs import ModelDefaults

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
    pickled = found["pytorch_lora_weights.bin"]
    assert (pickled.kind, pickled.family, pickled.format, pickled.problem) == ("lora", "sd15", "diffusers", "")


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
        "a1111/models/ESRGAN/x4.pth": "upscaler",
        "a1111/models/hypernetworks/h.pt": "hypernetwork",
        "comfy/models/upscale_models/u.pth": "upscaler",
        "invoke/models/sd-1/ip_adapter/x/ip_adapter.bin": "ip-adapter",
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


def test_notes_beside_a_file(tmp_path: Path) -> None:
    keys = {"lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight": [4, 1280]}
    path = weights(tmp_path / "fox.safetensors", keys)
    assert look(path).triggers == ()
    civitai = {"trainedWords": ["red fox, fur", "snow"], "baseModel": "SDXL 1.0", "description": "<p>A  fox</p>"}
    (tmp_path / "fox.civitai.info").write_text(json.dumps(civitai), "utf-8")
    (tmp_path / "fox.preview.png").write_bytes(b"")
    found = look(path)
    assert (found.triggers, found.family, found.description) == (("red fox", "fur", "snow"), "sdxl", "A fox")
    assert found.thumbnail == str(tmp_path / "fox.preview.png")
    # What the person wrote in A1111 is believed before the site's.
    mine = {"activation text": "vulpes", "preferred weight": 0.7, "sd version": "SD1", "description": ""}
    (tmp_path / "fox.json").write_text(json.dumps(mine), "utf-8")
    found = look(path)
    assert (found.triggers, found.weight, found.family) == (("vulpes",), 0.7, "sd15")
    for damaged in (b"{", b"[1]", b"\xff", b"[" * 100_000):
        (tmp_path / "fox.json").write_bytes(damaged)
        assert look(path).triggers == ("red fox", "fur", "snow")


def test_tags_of_the_training_stand_in_for_trigger_words() -> None:
    texts = {"ss_tag_frequency": json.dumps({"10_fox": {"fox": 20, "red": 12, "tree": 9}, "5_more": {" fox": 4}})}
    assert sidecars.about(Path("x.safetensors"), texts, frozenset()).triggers == ("fox", "red")
    texts["modelspec.trigger_phrase"] = "vulpes vulpes, red"
    assert sidecars.about(Path("x.safetensors"), texts, frozenset()).triggers == ("vulpes vulpes", "red")


SD2 = {FIRST: [320, 4, 3, 3], "cond_stage_model.model.ln_final.weight": [1024]}


@pytest.mark.parametrize(
    ("name", "yaml", "family"),
    [
        ("m", "", "sd2"),
        ("m", 'model:\n  params:\n    parameterization: "v"\n', "sd2-v"),
        ("m", "model:\n  params:\n    linear_start: 0.00085\n", "sd2"),
        ("v2-1_768-ema-pruned", "", "sd2-v"),
        # The configuration is believed before the name.
        ("m768", "model:\n  params: {}\n", "sd2"),
    ],
)
def test_what_sd2_predicts_is_told_beside_the_weights(tmp_path: Path, name: str, yaml: str, family: str) -> None:
    path = weights(tmp_path / f"{name}.safetensors", SD2)
    if yaml:
        path.with_suffix(".yaml").write_text(yaml, "utf-8")
    entry = look(path)
    assert entry.family == family
    assert entry.defaults.width == (768 if family == "sd2-v" else 512)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sd_xl_turbo_1.0", (512, 4, 1.0, "Euler a")),
        ("dreamshaperXL_lightning_4step", (1024, 4, 1.0, "Euler SGM Uniform")),
        ("myLCM-model", (1024, 25, 6.0, "DPM++ 2M Karras")),
        ("my_LCM", (1024, 6, 1.5, "LCM")),
        ("turbovision", (1024, 8, 2.0, "DPM++ SDE Karras")),
    ],
)
def test_names_of_fast_models_set_their_defaults(name: str, expected: tuple[int, int, float, str]) -> None:
    usual = defaults_of("sdxl", name)
    assert (usual.width, usual.steps, usual.cfg, usual.sampler) == expected


def test_the_cache_answers_until_something_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, cache = tmp_path / "models", tmp_path / "state" / "catalogue.json"
    path = weights(root / "a.safetensors", EMBEDDING)
    weights(root / "xl_turbo.safetensors", {FIRST: [320, 4, 3, 3], "conditioner.embedders.1.x": [1]})
    pipeline(root / "mine", width=96)
    first = Catalogue([root], cache).entries()
    opened: list[Path] = []
    read = headers.load
    monkeypatch.setattr(headers, "load", lambda path: opened.append(path) or read(path))
    again = Catalogue([root], cache).entries()
    assert again == first
    assert not any(root in path.parents for path in opened)
    weights(path, {"clip_l": [2, 768], "clip_g": [2, 1280]})
    assert {e.name: e.family for e in Catalogue([root], cache).entries()}["a"] == "sdxl"
    assert [path.name for path in opened if root in path.parents] == ["a.safetensors"]
    # A note written beside the file counts as a change of it, and a file that is gone is forgotten.
    (root / "a.json").write_text('{"activation text": "zork"}', "utf-8")
    assert Catalogue([root], cache).find("a").triggers == ("zork",)
    (root / "a.preview.png").write_bytes(b"")
    assert Catalogue([root], cache).find("a").thumbnail == str(root / "a.preview.png")
    path.unlink()
    Catalogue([root], cache).entries()
    assert "a.safetensors" not in cache.read_text("utf-8")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version": 1}', b'{"version": 1, "rows": [], "hashes": 3}', b"\xff" * 50]
)
def test_a_damaged_cache_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    weights(tmp_path / "m" / "a.safetensors", EMBEDDING)
    cache = tmp_path / "catalogue.json"
    cache.write_bytes(content)
    assert [e.name for e in Catalogue([tmp_path / "m"], cache).entries()[1:]] == ["a"]
    assert json.loads(cache.read_text("utf-8"))["rows"]


def test_rows_of_the_cache_that_are_nonsense_are_read_anew(tmp_path: Path) -> None:
    path = weights(tmp_path / "m" / "a.safetensors", EMBEDDING)
    cache = tmp_path / "catalogue.json"
    Catalogue([tmp_path / "m"], cache).entries()
    kept = json.loads(cache.read_text("utf-8"))
    for row in ([], None, [1, 2], "x", [kept["rows"][str(path)][0], [None] * 13]):
        kept["rows"][str(path)] = row
        cache.write_text(json.dumps(kept), "utf-8")
        assert Catalogue([tmp_path / "m"], cache).find("a").kind == "embedding"


def test_a_cache_that_cannot_be_written_hurts_nobody(tmp_path: Path) -> None:
    weights(tmp_path / "m" / "a.safetensors", EMBEDDING)
    (tmp_path / "file").write_text("", "utf-8")
    assert len(Catalogue([tmp_path / "m"], tmp_path / "file" / "catalogue.json").entries()) == 2


def test_hashes_are_counted_as_the_tools_count_them_and_kept(tmp_path: Path) -> None:
    head = json.dumps({"a": {"dtype": "U8", "shape": [1_200_000], "data_offsets": [0, 1_200_000]}}).encode()
    data = bytes(range(256)) * 4688
    data = data[:1_200_000]
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)
    whole = path.read_bytes()
    found = Catalogue([tmp_path], tmp_path / "c.json")
    counted = found.hashes(found.find("m"))
    assert counted.sha256 == hashlib.sha256(whole).hexdigest()
    assert counted.autov2 == counted.sha256[:10]
    assert counted.autov1 == hashlib.sha256(whole[0x100000:0x110000]).hexdigest()[:8]
    assert counted.autov3 == hashlib.sha256(data).hexdigest()[:12]
    # Another catalogue over the same cache knows them, and finds the file by them.
    again = Catalogue([tmp_path], tmp_path / "c.json")
    assert again.known_hashes(again.find("m")) == counted.to_json()
    assert again.find(counted.autov2.upper()).name == "m"
    path.write_bytes(whole[:-1] + b"x")
    assert again.known_hashes(look(path)) == {}

    class Stop(Exception):
        pass

    def check() -> None:
        raise Stop

    with pytest.raises(Stop):
        again.hashes(look(path), check=check)


def test_comfyui_s_extra_folders(tmp_path: Path) -> None:
    weights(tmp_path / "webui" / "models" / "Lora" / "a.safetensors", EMBEDDING)
    weights(tmp_path / "more" / "b.safetensors", EMBEDDING)
    listing = (
        "a111:\n  base_path: ../webui/\n  loras: |\n    models/Lora\n    models/LyCORIS\nmine:\n  checkpoints: {}\n"
    )
    comfy = tmp_path / "ComfyUI"
    (comfy / "models").mkdir(parents=True)
    (comfy / "extra_model_paths.yaml").write_text(listing.format(tmp_path / "more"), "utf-8")
    assert [e.name for e in Catalogue([comfy]).entries()[1:]] == ["a", "b"]
    for damaged in ("a: [", "- 1", "a: 3", "\x00"):
        (comfy / "extra_model_paths.yaml").write_text(damaged, "utf-8")
        assert Catalogue([comfy]).entries()[1:] == []


def test_other_tools_are_found_at_their_usual_places_only(tmp_path: Path) -> None:
    for place in (
        "ComfyUI/models",
        "Documents/stable-diffusion-webui/models",
        "invokeai/models",
        "deep/er/ComfyUI/models",
    ):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "SwarmUI").mkdir()  # without its folder of models
    (tmp_path / "src").symlink_to(tmp_path)  # the same folder under a second name
    found = {str(folder.relative_to(tmp_path)) for folder in places.find_tools(tmp_path)}
    assert found == {"ComfyUI", "Documents/stable-diffusion-webui", "invokeai"}


def test_parts_of_pipelines_in_folders(tmp_path: Path) -> None:
    parts = {
        "cn": ({"_class_name": "ControlNetModel", "cross_attention_dim": 2048}, ("controlnet", "sdxl")),
        "vx": ({"_class_name": "AutoencoderKL", "scaling_factor": 0.13025}, ("vae", "sdxl")),
        "ad": ({"_class_name": "T2IAdapter"}, ("t2i-adapter", "unknown")),
        "mo": ({"_class_name": "MotionAdapter"}, ("motion", "unknown")),
        "tr": ({"_class_name": "FluxTransformer2DModel"}, ("unknown", "unknown")),
    }
    for name, (config, _) in parts.items():
        weights(tmp_path / name / "diffusion_pytorch_model.safetensors", {"x": [1]})
        (tmp_path / name / "config.json").write_text(json.dumps(config), "utf-8")
    entries = Catalogue([tmp_path]).entries()[1:]
    assert {e.name: (e.kind, e.family) for e in entries} == {name: what for name, (_, what) in parts.items()}
    assert [e.name for e in entries if "FluxTransformer2DModel" in e.problem] == ["tr"]


def test_what_does_not_fit_together_is_said_with_the_reason() -> None:
    def entry(name: str, kind: str, family: str, **more: str) -> ModelEntry:
        return ModelEntry(name, f"/m/{name}", kind, family, 1, ModelDefaults(), **more)

    model = entry("dream", "checkpoint", "sd15-inpainting")
    lora = entry("fox", "lora", "sdxl")
    assert fitting.reason(lora, model) == "fox is a LoRA for SDXL, and dream is SD 1.5"
    with pytest.raises(BadWeights) as caught:
        fitting.fit(lora, model)
    assert "SD 1.5" in caught.value.hint
    assert fitting.reason(entry("fox", "lora", "sd15"), model) == ""
    assert fitting.reason(entry("fox", "lora", "unknown"), model) == ""
    assert "cannot be used: cut" in fitting.reason(entry("fox", "lora", "sd15", problem="cut"), model)
    assert fitting.reason(entry("v", "vae", "sd15"), entry("two", "checkpoint", "sd2")) == ""
    assert fitting.reason(entry("v", "vae", "sdxl"), model)
    assert "16 channels" in fitting.reason(entry("v", "vae", "unknown", format="latents16"), model)
    assert "a ControlNet for SD 2" in fitting.reason(entry("c", "controlnet", "sd2-v"), model)


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


def test_looking_at_models_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from generation import architecture, catalogue, fitting, hashes\n"
        "catalogue.Catalogue([Path('.')]).entries()\n"
        "architecture.published('sdxl-inpainting')\n"
        "print(sorted({'torch', 'numpy', 'PIL', 'diffusers', 'transformers', 'safetensors'} & set(sys.modules)))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT / "docs"
    )
    assert found.stdout.strip() == "[]"

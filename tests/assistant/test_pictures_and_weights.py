"""Pictures and weights as documents: what is read of them, and answers that cite the file."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from assistant_checks import do, states, workshop, write
from PIL import Image, PngImagePlugin
from safetensors.torch import save_file

from assistant.jobs.workshop import Workshop
from assistant.memory import remember_render
from assistant.pictures_and_weights import formats, frequent_tags, read_picture, read_weights
from ingest.parsed import Parsed, UnreadableError

A1111 = (
    "a lighthouse in a storm, oil painting\nNegative prompt: blurry, watermark\n"
    "Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 6.5, Seed: 1234, Size: 64x48, Model: dreamshaper_8"
)
COMFY = {
    "3": {
        "class_type": "KSampler",
        "inputs": {"seed": 77, "steps": 12, "cfg": 5.5, "sampler_name": "heun", "scheduler": "normal", "denoise": 1.0,
                   "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]},
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "juggernaut.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 48, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a clay teapot on a shelf", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "cracks", "clip": ["4", 1]}},
}  # fmt: skip


def nothing() -> None:
    pass


def picture(path: Path, **texts: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngImagePlugin.PngInfo()
    for key, value in texts.items():
        info.add_text(key, value)
    Image.new("RGB", (64, 48), "navy").save(path, pnginfo=info)
    return path


def weights(path: Path, metadata: dict[str, str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    down = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"
    save_file({down: torch.zeros(4, 768), down.replace("lora_down", "lora_up"): torch.zeros(320, 4)}, path, metadata)
    return path


KOHYA = {
    "ss_output_name": "inkwash",
    "ss_network_dim": "16",
    "ss_network_alpha": "8",
    "ss_num_train_images": "40",
    "ss_learning_rate": "0.0001",
    "ss_optimizer": "None",
    "modelspec.trigger_phrase": "zhenshui style",
    "ss_tag_frequency": json.dumps({"10_ink": {"ink wash": 30, "mountain ": 12}, "5_more": {"mountain": 20, " ": 9}}),
}


def text_of(parsed: Parsed) -> str:
    return "\n".join(parsed.pages[0].lines)


def test_a_picture_of_a1111_becomes_sentences(tmp_path: Path) -> None:
    parsed = read_picture(picture(tmp_path / "light.png", parameters=A1111), check=nothing)
    text = text_of(parsed)
    assert (parsed.kind, parsed.title) == ("picture", "a lighthouse in a storm, oil painting")
    assert "The prompt of the picture light.png was “a lighthouse in a storm, oil painting”." in text
    assert "Its negative prompt was “blurry, watermark”." in text
    assert "Sampler DPM++ 2M Karras" in text
    assert "The picture is 64x48 pixels." in text
    assert parsed.properties["Seed"] == "1234"


def test_a_picture_of_comfyui_becomes_sentences(tmp_path: Path) -> None:
    parsed = read_picture(picture(tmp_path / "pot.png", prompt=json.dumps(COMFY)), check=nothing)
    text = text_of(parsed)
    assert "was “a clay teapot on a shelf”" in text
    assert "negative prompt was “cracks”" in text
    assert "made by ComfyUI with " in text
    for setting in ("12", "5.5", "77"):
        assert setting in text
    assert "class_type" not in text


def test_long_prompts_wrap_between_words(tmp_path: Path) -> None:
    prompt = ", ".join(f"blue-green water-colour wash number-{n}" for n in range(60))
    path = picture(tmp_path / "long.png", parameters=f"{prompt}\nSteps: 3, Sampler: Euler, CFG scale: 4, Seed: 1")
    parsed = read_picture(path, check=nothing)
    lines = parsed.pages[0].lines
    assert max(len(line) for line in lines) <= 200
    assert f"“{prompt}”" in " ".join(lines)


def test_a_picture_without_settings_is_passed_over(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError) as error:
        read_picture(picture(tmp_path / "plain.png"), check=nothing)
    assert error.value.status == "skipped"


@pytest.mark.parametrize("damage", [b"", b"\x89PNG\r\n\x1a\n", b"no picture at all"])
def test_a_damaged_picture_has_failed_and_is_named(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(damage)
    with pytest.raises(UnreadableError) as error:
        read_picture(path, check=nothing)
    assert error.value.status == "failed"
    assert "bad.png" in error.value.message
    assert str(tmp_path) not in error.value.message


def test_weights_are_told_by_their_keys_and_their_trainers_words(tmp_path: Path) -> None:
    parsed = read_weights(weights(tmp_path / "ink.safetensors", KOHYA), check=nothing)
    text = text_of(parsed)
    assert (parsed.kind, parsed.title) == ("weights", "inkwash")
    assert "The file ink.safetensors is a LoRA for sd15, with 2 tensors" in text
    assert "The rank of ink is 16." in text
    assert "The alpha of ink is 8." in text
    assert "The trigger phrase of ink is zhenshui style." in text
    assert "The tags ink was trained on most are mountain, ink wash." in text
    assert "optimizer" not in text  # "None" is no value
    assert (parsed.properties["kind"], parsed.properties["rank"]) == ("lora", "16")


def test_weights_without_words_are_told_by_their_keys(tmp_path: Path) -> None:
    parsed = read_weights(weights(tmp_path / "bare.safetensors"), check=nothing)
    assert parsed.title == "bare"
    assert "is a LoRA for sd15" in text_of(parsed)


@pytest.mark.parametrize(
    "frequencies",
    [
        "",
        "no json",
        "[]",
        '{"a": 1}',
        '{"a": {"t": "x"}}',
        '{"a": {"t": Infinity}}',
        '{"a":' * 5000,
        '{"a": {"t": {}}}',
    ],
)
def test_tags_that_are_none_are_left_out(tmp_path: Path, frequencies: str) -> None:
    assert frequent_tags(frequencies) == []
    parsed = read_weights(weights(tmp_path / "w.safetensors", {"ss_tag_frequency": frequencies}), check=nothing)
    assert "trained on most" not in text_of(parsed)


def test_truncated_weights_have_failed(tmp_path: Path) -> None:
    path = weights(tmp_path / "cut.safetensors", KOHYA)
    whole = path.read_bytes()
    for cut in (0, 4, 8, 40, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(UnreadableError, match="cut short"):
            read_weights(path, check=nothing)
    path.write_bytes(struct.pack("<Q", 4) + b"[1]]")
    with pytest.raises(UnreadableError, match="safetensors"):
        read_weights(path, check=nothing)


def test_pictures_are_read_only_where_they_are_wanted() -> None:
    assert formats().reads(Path("a.PNG"))
    assert not formats(pictures=False).reads(Path("a.png"))
    assert formats(pictures=False).reads(Path("a.safetensors"))


# Through the jobs


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    folder = tmp_path / "pictures"
    picture(folder / "light.png", parameters=A1111)
    picture(folder / "pot.png", prompt=json.dumps(COMFY))
    picture(folder / "plain.png")
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    weights(folder / "ink.safetensors", KOHYA)
    write(folder / "tea.md", "# Tea\n\nGreen tea is steeped for two minutes.\n")
    shop = workshop(tmp_path / "home")
    assert states(do("ingest", shop, paths=[str(folder)])) == {
        "light.png": "indexed",
        "pot.png": "indexed",
        "plain.png": "skipped",
        "bad.png": "failed",
        "ink.safetensors": "indexed",
        "tea.md": "indexed",
    }
    return shop


def first(shop: Workshop, question: str) -> dict[str, Any]:
    got = do("ask", shop, question=question)
    assert not got["refused"]
    return dict(got["citations"][0])


def test_a_picture_is_found_by_its_sampler_and_cited_with_itself(shop: Workshop, tmp_path: Path) -> None:
    light = str(tmp_path / "pictures" / "light.png")
    assert do("search", shop, query="DPM++ 2M Karras sampler", k=1)["passages"][0]["path"] == light
    cited = first(shop, "Which sampler was the lighthouse picture in a storm made with?")
    assert (cited["path"], cited["picture"]) == (light, light)
    assert {p["path"] for p in do("search", shop, query="picture kind:picture")["passages"]} == {
        light,
        str(tmp_path / "pictures" / "pot.png"),
    }


def test_weights_are_found_by_their_trigger(shop: Workshop, tmp_path: Path) -> None:
    ink = str(tmp_path / "pictures" / "ink.safetensors")
    assert do("search", shop, query="zhenshui", k=1)["passages"][0]["path"] == ink
    cited = first(shop, "What is the trigger phrase of ink?")
    assert (cited["path"], cited["picture"]) == (ink, "")
    assert "zhenshui style" in cited["quote"]


def test_switching_pictures_off_takes_them_out(shop: Workshop, tmp_path: Path) -> None:
    shop.settings["library.pictures"] = False
    result = states(do("sync", shop))
    assert (result["light.png"], result["ink.safetensors"]) == ("removed", "unchanged")


def test_the_note_about_a_render_cites_its_picture(shop: Workshop, tmp_path: Path) -> None:
    made = picture(tmp_path / "home" / "pictures" / "a (1).png")
    spec = {"prompt": "a violet walrus", "negative": "", "sampler": "Euler a", "steps": 9, "cfg": 4.0, "seed": 3,
            "model": "demo", "width": 64, "height": 48}  # fmt: skip
    note = remember_render(shop.paths.memory, made, spec, 1.0)
    cited = first(shop, "Which sampler rendered the violet walrus?")  # read without being told
    assert (cited["path"], cited["picture"]) == (str(note), str(made))
    made.unlink()
    assert first(shop, "Which sampler rendered the violet walrus?")["picture"] == ""

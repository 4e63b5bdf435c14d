"""IP-Adapters of random weights: the same numbers as diffusers' own loader, and nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from generation.catalogue import Catalogue
from generation.engine import Engine
from generation.errors import BadSpec, BadWeights, GenerationError
from generation.faces import files as face_files
from generation.references import encoders, files
from generation.references.adapter import attended, layers, places
from generation.specs import RenderSpec

HIDDEN, PROJECTED, SIDE = 32, 24, 32  # of the image encoder


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape) * 0.5


def projection(kind: str, text: int) -> dict[str, torch.Tensor]:
    """`image_proj` of a kind, in the authors' names, made of diffusers' modules where these are many."""
    if kind == "plain":
        return {"proj.weight": random(4 * text, PROJECTED), "proj.bias": random(4 * text),
                "norm.weight": random(text), "norm.bias": random(text)}  # fmt: skip
    if kind == "full":
        return {"proj.0.weight": random(HIDDEN, HIDDEN), "proj.0.bias": random(HIDDEN),
                "proj.2.weight": random(text, HIDDEN), "proj.2.bias": random(text),
                "proj.3.weight": random(text), "proj.3.bias": random(text)}  # fmt: skip
    if kind == "faceid":
        return {"proj.0.weight": random(1024, 512), "proj.0.bias": random(1024),
                "proj.2.weight": random(4 * text, 1024), "proj.2.bias": random(4 * text),
                "norm.weight": random(text), "norm.bias": random(text)}  # fmt: skip
    inner = 64
    found = {"proj_in.weight": random(inner, HIDDEN), "proj_in.bias": random(inner),
             "proj_out.weight": random(text, inner), "proj_out.bias": random(text),
             "norm_out.weight": random(text), "norm_out.bias": random(text)}  # fmt: skip
    for n in range(4):
        own = f"layers.{n}."
        for norm in ("0.norm1", "0.norm2", "1.0"):
            found |= {f"{own}{norm}.{end}": random(inner) for end in ("weight", "bias")}
        found |= {f"{own}0.to_q.weight": random(64, inner), f"{own}0.to_kv.weight": random(128, inner),
                  f"{own}0.to_out.weight": random(inner, 64), f"{own}1.1.weight": random(4 * inner, inner),
                  f"{own}1.3.weight": random(inner, 4 * inner)}  # fmt: skip
    if kind == "plus":
        return {"latents": random(1, 5, inner), **found}
    found = {f"perceiver_resampler.{key}": value for key, value in found.items()}
    return {**found, "proj.0.weight": random(1024, 512), "proj.0.bias": random(1024),
            "proj.2.weight": random(4 * inner, 1024), "proj.2.bias": random(4 * inner),
            "norm.weight": random(inner), "norm.bias": random(inner)}  # fmt: skip


def adapter(unet: Any, kind: str) -> dict[str, dict[str, torch.Tensor]]:
    """A whole adapter for a UNet; those of faces have a LoRA for every attention."""
    text = unet.config.cross_attention_dim
    inner: dict[str, torch.Tensor] = {}
    for number, name in enumerate(unet.attn_processors):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        if name.endswith("attn2.processor"):
            inner |= {f"{number}.to_{part}_ip.weight": random(*attention.to_k.weight.shape) for part in "kv"}
        if kind.startswith("faceid"):
            for part in files.LORA_PARTS:
                linear = attention.to_out[0] if part == "to_out" else getattr(attention, part)
                inner[f"{number}.{part}_lora.down.weight"] = random(3, linear.in_features)
                inner[f"{number}.{part}_lora.up.weight"] = random(linear.out_features, 3)
    return {"image_proj": projection(kind, text), "ip_adapter": inner}


def flat(tables: dict[str, dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {f"{outer}.{key}": value for outer, table in tables.items() for key, value in table.items()}


class Rooms:
    """Engines whose model folder holds a checkpoint, adapters of every kind and their image encoder."""

    def __init__(self, tiny: dict[str, Path], root: Path) -> None:
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        self.engines: dict[str, Engine] = {}
        self.folders: dict[str, Path] = {}
        for name, folder in tiny.items():
            torch.manual_seed(3)
            place = root / name
            place.mkdir()
            (place / "tiny").symlink_to(folder)
            unet = Engine(Catalogue([folder.parent]), device="cpu").prepare("tiny").pipe.unet
            for kind in ("plain", "plus", "full", "faceid", "faceid-plus"):
                save_file(flat(adapter(unet, kind)), place / f"{kind}.safetensors")
            CLIPVisionModelWithProjection(
                CLIPVisionConfig(hidden_size=HIDDEN, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2,
                                 image_size=SIDE, patch_size=8, projection_dim=PROJECTED, hidden_act="gelu")
            ).save_pretrained(place / "image_encoder")  # fmt: skip
            self.engines[name] = Engine(Catalogue([place]), device="cpu")
            self.folders[name] = place


@pytest.fixture(scope="module")
def rooms(tiny_checkpoint: Path, tiny_sdxl: Path, tmp_path_factory: pytest.TempPathFactory) -> Rooms:
    return Rooms({"sd": tiny_checkpoint, "sdxl": tiny_sdxl}, tmp_path_factory.mktemp("rooms"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(noise).save(path)
    return path


def spec(rooms: Rooms, family: str, *references: dict[str, Any], **more: Any) -> RenderSpec:
    own = []
    for told in references:
        named = {k: str(v) if isinstance(v, Path) else v for k, v in told.items()}
        named["adapter"] = str(rooms.folders[family] / f"{named.get('adapter', 'plain')}.safetensors")
        own.append(named)
    return RenderSpec(**{"prompt": "fox", "model": "tiny", "seed": 5, **more}, references=own)


@pytest.mark.parametrize("family", ["sd", "sdxl"])
@pytest.mark.parametrize("kind", ["plain", "plus", "full"])
def test_the_picture_is_the_one_of_diffusers_own_loader(
    rooms: Rooms, tmp_path: Path, photo: Path, family: str, kind: str
) -> None:
    engine, folder = rooms.engines[family], rooms.folders[family]
    plain = pixels(engine.render(spec(rooms, family), tmp_path / "a.png").path)
    ours = pixels(
        engine.render(spec(rooms, family, {"image": photo, "adapter": kind, "weight": 0.8}), tmp_path / "b.png").path
    )
    assert np.abs(ours - plain).max() > 3
    loaded = engine.prepare("tiny")
    unet = loaded.pipe.unet
    processors = dict(unet.attn_processors)
    state = {"image_proj": {}, "ip_adapter": {}}
    for key, value in files.read(folder / f"{kind}.safetensors").items():
        outer, _, inner = key.partition(".")
        state[outer][inner] = value
    unet._load_ip_adapter_weights([state], low_cpu_mem_usage=False)
    try:
        for one in unet.attn_processors.values():
            if hasattr(one, "scale"):
                one.scale = [0.8]
        encoder = encoders.load(folder / "image_encoder" / "model.safetensors", torch.device("cpu"), torch.float32)
        seen, none = encoders.features(encoder, Image.open(photo), projected=kind == "plain")

        def theirs(rows: Any, timestep: Any, texts: Any, added: dict[str, Any], share: float) -> dict[str, Any]:
            added["image_embeds"] = [torch.stack([none, seen])]
            return {}

        from generation.engine import _staged

        told = spec(rooms, family).resolve(loaded.entry.defaults, lambda: 1)
        stage = _staged(loaded, told, lambda event: None, lambda: None, None)
        stage.steering.append(theirs)
        wanted = (stage.decode(stage.denoise(stage.noise(64, 64)))[0] * 255).round().astype(int)
    finally:
        unet.encoder_hid_proj = None
        unet.set_attn_processor(processors)
        unet.config.encoder_hid_dim_type = None
    assert np.abs(ours - wanted).max() <= 1
    assert (pixels(engine.render(spec(rooms, family), tmp_path / "c.png").path) == plain).all()


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_nothing_is_left_and_weight_nothing_is_nothing(rooms: Rooms, tmp_path: Path, photo: Path, family: str) -> None:
    engine = rooms.engines[family]
    plain = pixels(engine.render(spec(rooms, family), tmp_path / "a.png").path)
    unet = engine.prepare("tiny").pipe.unet

    def hooks() -> int:
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in unet.modules())

    before, processors = hooks(), dict(unet.attn_processors)
    both = [{"image": photo}, {"image": photo, "adapter": "plus", "weight": 0.4}]
    two = pixels(engine.render(spec(rooms, family, *both), tmp_path / "b.png").path)
    one = pixels(engine.render(spec(rooms, family, both[0]), tmp_path / "c.png").path)
    assert (two != one).any()
    assert (hooks(), dict(unet.attn_processors)) == (before, processors)
    none = spec(rooms, family, {"image": photo, "weight": 0.0})
    assert (pixels(engine.render(none, tmp_path / "d.png").path) == plain).all()
    late = spec(rooms, family, {"image": photo, "start": 0.9})
    assert (pixels(engine.render(late, tmp_path / "e.png").path) == plain).all()


def test_it_acts_between_start_and_end(rooms: Rooms, tmp_path: Path, photo: Path) -> None:
    """Two halves make the whole, and of four steps each half has two."""
    engine = rooms.engines["sd"]
    seen: list[float] = []
    made = []
    for window in ({"end": 0.5}, {"start": 0.5}, {}):
        told = spec(rooms, "sd", {"image": photo, **window})
        unet = engine.prepare("tiny").pipe.unet
        asked: list[torch.Tensor] = []
        handle = unet.register_forward_hook(lambda _, args, found, asked=asked: asked.append(found[0].clone()))
        engine.render(told, tmp_path / "a.png")
        handle.remove()
        made.append(asked)
        seen.append(len(asked))
    assert seen == [4, 4, 4]
    first, second, whole = made
    assert torch.equal(first[0], whole[0])
    assert torch.equal(first[1], whole[1])
    assert not torch.equal(first[2], whole[2])
    assert not torch.equal(second[0], whole[0])


@pytest.mark.parametrize("more", [{"cfg": 1.0}, {"batch": 2}, {"prompt": "fox AND cat"}, {"cfg": 1.0, "batch": 2}])
def test_rows_are_those_of_the_loop(rooms: Rooms, tmp_path: Path, photo: Path, more: dict[str, Any]) -> None:
    engine = rooms.engines["sd"]
    plain = pixels(engine.render(spec(rooms, "sd", **more), tmp_path / "a.png").path)
    told = spec(rooms, "sd", {"image": photo}, **more)
    result = engine.render(told, tmp_path / "b.png")
    assert (pixels(result.path) != plain).any()
    if "batch" in more:
        alone = spec(rooms, "sd", {"image": photo}, **{**more, "batch": 1, "seed": 6})
        second = pixels(engine.render(alone, tmp_path / "c.png").path)
        assert np.abs(second - pixels(result.paths[1])).max() <= 1


def test_without_guidance_the_rows_are_those_of_the_picture(rooms: Rooms, tmp_path: Path, photo: Path) -> None:
    engine = rooms.engines["sd"]
    asked: list[torch.Tensor] = []
    unet = engine.prepare("tiny").pipe.unet
    handle = unet.register_forward_pre_hook(
        lambda _, args, named: asked.append(named["cross_attention_kwargs"]["ip_hidden_states"][0]), with_kwargs=True
    )
    for cfg in (3.0, 1.0):
        engine.render(spec(rooms, "sd", {"image": photo}, cfg=cfg, batch=2, steps=1), tmp_path / "a.png")
    handle.remove()
    guided, alone = asked
    assert (len(guided), len(alone)) == (4, 2)
    assert torch.equal(guided[2:], alone)
    assert torch.equal(guided[0], guided[1])
    assert not torch.equal(guided[1], guided[2])


def test_no_picture_is_zeros_before_or_behind_the_encoder(rooms: Rooms, photo: Path) -> None:
    path = rooms.folders["sd"] / "image_encoder" / "model.safetensors"
    encoder = encoders.load(path, torch.device("cpu"), torch.float32)
    seen, none = encoders.features(encoder, Image.open(photo), projected=True)
    assert seen.shape == (1, PROJECTED)
    assert not none.any()
    seen, none = encoders.features(encoder, Image.open(photo), projected=False)
    with torch.no_grad():
        wanted = encoder(torch.zeros(1, 3, SIDE, SIDE), output_hidden_states=True).hidden_states[-2]
    assert seen.shape == (1, 1 + (SIDE // 8) ** 2, HIDDEN)
    assert torch.allclose(none, wanted)
    assert not torch.allclose(seen, wanted)


def test_with_regions_every_question_has_the_reference(rooms: Rooms, tmp_path: Path, photo: Path) -> None:
    engine = rooms.engines["sd"]
    regions = ({"prompt": "a car", "place": "all", "soft": 0.0},)
    told = spec(rooms, "sd", {"image": photo}, regions=regions, modifiers={"base_weight": 0.0})
    alone = spec(rooms, "sd", {"image": photo}, prompt="a car")
    one, other = (pixels(engine.render(s, tmp_path / f"{n}.png").path) for n, s in enumerate((told, alone)))
    assert np.abs(one - other).max() <= 1


def test_a_mask_keeps_it_to_its_place(rooms: Rooms, tmp_path: Path, photo: Path) -> None:
    engine = rooms.engines["sd"]
    white, black = tmp_path / "white.png", tmp_path / "black.png"
    Image.new("L", (30, 30), 255).save(white)
    Image.new("L", (30, 30), 0).save(black)
    plain = pixels(engine.render(spec(rooms, "sd"), tmp_path / "a.png").path)
    whole = pixels(engine.render(spec(rooms, "sd", {"image": photo}), tmp_path / "b.png").path)
    masked = [
        pixels(engine.render(spec(rooms, "sd", {"image": photo, "mask": mask}), tmp_path / "c.png").path)
        for mask in (white, black)
    ]
    assert (masked[0] == whole).all()
    assert (masked[1] == plain).all()


def test_attention_and_places_by_hand() -> None:
    query, tokens = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[9.0, 0.0], [0.0, 9.0]]])
    found = attended(query, tokens, torch.eye(2), torch.eye(2) * 2, 1)
    share = torch.softmax(torch.tensor([9 / 2**0.5, 0.0]), 0)
    assert torch.allclose(found[0, 0], 18 * share)
    mask = torch.zeros(1, 1, 8, 16)
    mask[..., 8:] = 1
    assert places(mask, torch.zeros(1, 8, 3), [4, 8])[0, :, 0].tolist() == [0, 0, 1, 1] * 2
    assert places(mask, torch.zeros(1, 32, 3), [4, 8]).shape == (1, 32, 1)
    assert places(mask, torch.zeros(1, 6, 3), [3, 5]).shape == (1, 6, 1)


def test_kinds_are_layers() -> None:
    from diffusers import UNet2DConditionModel

    small = {"block_out_channels": (4, 4, 4, 4), "cross_attention_dim": 8, "norm_num_groups": 2,
             "attention_head_dim": 2}  # fmt: skip
    unet = UNet2DConditionModel(**small)

    def names(kind: str, family: str, model: Any) -> set[str]:
        own = list(model.attn_processors)
        return {".".join(own[n].split(".")[:4]) for n in layers(model, kind, family)}

    assert names("composition", "sd15", unet) == {f"down_blocks.2.attentions.{n}" for n in (0, 1)}
    style = names("style", "sd15", unet)
    assert not [name for name in style if name.startswith(("down_blocks.2", "up_blocks.1"))]
    assert len(style) == 2 * 2 + 1 + 2 * 3
    assert len(layers(unet, "full", "sd15")) == 16
    wide = UNet2DConditionModel(
        **{**small, "block_out_channels": (4, 4, 4)}, transformer_layers_per_block=(1, 2, 3),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    assert names("style", "sdxl", wide) == {"up_blocks.0.attentions.1"}
    assert names("composition", "sdxl", wide) == {"down_blocks.2.attentions.1"}
    assert len(layers(wide, "style", "sdxl")) == 3


@pytest.fixture
def face(monkeypatch: pytest.MonkeyPatch) -> Iterator[np.ndarray]:
    """The identity that a recogniser would tell."""
    import generation.references.adapter as module

    unit = np.random.default_rng(1).standard_normal(512).astype(np.float32)
    unit /= np.linalg.norm(unit)
    monkeypatch.setattr(module, "identity", lambda picture, catalogue, name: (unit, picture))
    yield unit


@pytest.mark.parametrize("kind", ["faceid", "faceid-plus"])
def test_an_identity_goes_in_with_its_lora(
    rooms: Rooms, tmp_path: Path, photo: Path, face: np.ndarray, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = rooms.engines["sd"]
    plain = pixels(engine.render(spec(rooms, "sd"), tmp_path / "a.png").path)
    told = spec(rooms, "sd", {"image": photo, "adapter": kind})
    with_lora = pixels(engine.render(told, tmp_path / "b.png").path)
    assert (with_lora != plain).any()
    kept = engine.prepare("tiny").tools.kept["references"]
    own = kept[str(rooms.folders["sd"] / f"{kind}.safetensors")]
    count = len(engine.prepare("tiny").pipe.unet.attn_processors)
    assert len(own.loras) == 4 * count
    monkeypatch.setattr(own, "loras", {})
    assert (pixels(engine.render(told, tmp_path / "c.png").path) != with_lora).any()
    monkeypatch.undo()
    assert (pixels(engine.render(spec(rooms, "sd"), tmp_path / "d.png").path) == plain).all()


def test_a_pickle_is_read_as_weights_and_code_in_it_never_runs(rooms: Rooms, tmp_path: Path, photo: Path) -> None:
    engine = rooms.engines["sd"]
    tables: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for key, value in files.read(rooms.folders["sd"] / "plain.safetensors").items():
        outer, _, inner = key.partition(".")
        tables[outer][inner] = value
    beside = rooms.folders["sd"] / "as-bin.bin"
    torch.save(tables, beside)
    unet = engine.prepare("tiny").pipe.unet
    one, other = files.load(beside, unet), files.load(rooms.folders["sd"] / "plain.safetensors", unet)
    assert one.kind == other.kind == "plain"
    assert all(torch.equal(one.keys[n], other.keys[n]) for n in other.keys)
    beside.unlink()

    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"image_proj": Evil(), "ip_adapter": {}}, tmp_path / "evil.bin")
    with pytest.raises(BadWeights):
        files.load(tmp_path / "evil.bin", unet)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["empty", "cut", "text", "lora", "wrong family"])
def test_files_that_are_no_adapter_for_this_model_are_one_line(
    rooms: Rooms, tmp_path: Path, photo: Path, kind: str
) -> None:
    engine = rooms.engines["sd"]
    path = tmp_path / "x.safetensors"
    whole = (rooms.folders["sd"] / "plain.safetensors").read_bytes()
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "text":
            path.write_text("no weights")
        case "lora":
            save_file({"lora_unet_x.lora_up.weight": torch.zeros(4, 4)}, path)
        case "wrong family":
            path.write_bytes((rooms.folders["sdxl"] / "plain.safetensors").read_bytes())
    told = RenderSpec("fox", model="tiny", seed=5, references=({"image": str(photo), "adapter": str(path)},))
    with pytest.raises(GenerationError) as caught:
        engine.render(told, tmp_path / "out" / "a.png")
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_missing_is_named(
    tiny_checkpoint: Path, rooms: Rooms, tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = tmp_path / "models" / "deep" / "er"
    alone.mkdir(parents=True)
    (alone / "tiny").symlink_to(tiny_checkpoint)
    engine = Engine(Catalogue([alone]), device="cpu")
    told = RenderSpec("fox", model="tiny", references=({"image": str(photo)},))
    with pytest.raises(BadWeights, match="no IP-Adapter for this model"):
        engine.render(told, tmp_path / "a.png")
    (alone / "plain.safetensors").write_bytes((rooms.folders["sd"] / "plain.safetensors").read_bytes())
    engine = Engine(Catalogue([alone]), device="cpu")
    with pytest.raises(BadWeights, match="the image encoder of plain is not here") as caught:
        engine.render(told, tmp_path / "a.png")
    assert "projected features of width 24" in caught.value.hint
    assert "image_encoder" in caught.value.hint
    monkeypatch.setattr(face_files, "HOME", tmp_path / "nothing")
    (alone / "plain.safetensors").write_bytes((rooms.folders["sd"] / "faceid.safetensors").read_bytes())
    engine = Engine(Catalogue([alone]), device="cpu")
    with pytest.raises(BadWeights, match="face detector is not here") as caught:
        engine.render(told, tmp_path / "a.png")
    assert "det_10g.onnx" in caught.value.hint
    several = RenderSpec("fox", model="tiny", references=({"image": str(photo)},))
    with pytest.raises(BadSpec, match="several IP-Adapters"):
        rooms.engines["sd"].render(several, tmp_path / "a.png")
    with pytest.raises(BadSpec, match="ends before it starts"):
        rooms.engines["sd"].render(spec(rooms, "sd", {"image": photo, "start": 0.5, "end": 0.5}), tmp_path / "a.png")


def test_the_encoders_of_published_adapters_are_known_by_name() -> None:
    def hint(kind: str, width: int) -> str:
        return encoders._remedy(files.Adapter(kind, width, torch.nn.Identity(), {}, {}))

    assert "ViT-H/14" in hint("plain", 1024)
    assert "ViT-bigG/14" in hint("plain", 1280)
    assert "ViT-H/14" in hint("plus", 1280)
    assert "ViT-bigG/14" in hint("plus", 1664)


def test_pixels_are_the_middle_square_as_clip_was_trained() -> None:
    wide = Image.new("RGB", (90, 30), "black")
    wide.paste("white", (30, 0, 60, 30))
    found = encoders.pixels(wide, 16)
    assert found.shape == (1, 3, 16, 16)
    white = (1 - torch.tensor(encoders.MEAN)) / torch.tensor(encoders.STD)
    assert torch.allclose(found[0, :, 8, 8], white)
    assert torch.allclose(found[0, :, 8, 1], white, atol=0.05)

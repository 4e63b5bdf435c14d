"""Reading network files: every spelling, the alphas, what is damaged or hostile, and what is kept in memory."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from network_models import kohya, peft, saved, sd15, sdxl, targets
from safetensors.torch import save_file
from torch import Tensor

from generation.errors import BadWeights
from generation.networks import keys
from generation.networks.files import Files, read

ROOT = Path(__file__).parents[3]
PLACE = "unet.down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
HALVES = (torch.ones(4, 2), torch.ones(2, 4))


def shared(*parts: str) -> Path:
    """A file of the shared data; the test is skipped where it is not at hand."""
    path = Path(os.environ.get("ATELIER_SHARED", ROOT.parent / "shared")).joinpath(*parts)
    if not path.exists():
        pytest.skip(f"the shared data {'/'.join(parts)} are not here (ATELIER_SHARED)")
    return path


DOTTED = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
FLAT = DOTTED.replace(".", "_")


@pytest.mark.parametrize(
    ("up", "down"),
    [
        (f"lora_unet_{FLAT}.lora_up.weight", f"lora_unet_{FLAT}.lora_down.weight"),
        (f"unet.{DOTTED}.lora_B.weight", f"unet.{DOTTED}.lora_A.weight"),
        (f"unet.{DOTTED}.lora_B.default.weight", f"unet.{DOTTED}.lora_A.default.weight"),
        (f"base_model.model.{DOTTED}.lora_B.weight", f"base_model.model.{DOTTED}.lora_A.weight"),
        (f"base_model.model.unet.{DOTTED}.lora_B.weight", f"base_model.model.unet.{DOTTED}.lora_A.weight"),
        (f"unet.{DOTTED}.lora.up.weight", f"unet.{DOTTED}.lora.down.weight"),
        (f"{DOTTED}.lora.up.weight", f"{DOTTED}.lora.down.weight"),
        (f"unet.{DOTTED}.lora_linear_layer.up.weight", f"unet.{DOTTED}.lora_linear_layer.down.weight"),
        (
            f"unet.{DOTTED[:-5]}.processor.to_q_lora.up.weight",
            f"unet.{DOTTED[:-5]}.processor.to_q_lora.down.weight",
        ),
        (f"{DOTTED[:-5]}.processor.to_q_lora.up.weight", f"{DOTTED[:-5]}.processor.to_q_lora.down.weight"),
        (f"diffusion_model.{DOTTED}.lora_B.weight", f"diffusion_model.{DOTTED}.lora_A.weight"),
        (f"lycoris_{FLAT}.lora_up.weight", f"lycoris_{FLAT}.lora_down.weight"),
        (f"lycoris_unet_{FLAT}.lora_up.weight", f"lycoris_unet_{FLAT}.lora_down.weight"),
        (f"lora_unet_{FLAT}.lora_B.weight", f"lora_unet_{FLAT}.lora_A.weight"),
    ],
)
def test_every_spelling_names_the_same_layer(tmp_path: Path, up: str, down: str) -> None:
    path = tmp_path / "n.safetensors"
    save_file({up: HALVES[0], down: HALVES[1]}, path)
    (found,) = read(path).layers.items()
    assert found[0] == PLACE
    assert found[1].method == "lora"
    assert torch.equal(found[1].tensors["lora_up"], HALVES[0])
    assert torch.equal(found[1].tensors["lora_down"], HALVES[1])
    assert found[1].alpha is None


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("lora_te_text_model_encoder_layers_0_mlp_fc1.alpha", "text_encoder.text_model_encoder_layers_0_mlp_fc1"),
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha", "text_encoder.text_model_encoder_layers_0_mlp_fc1"),
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1.alpha", "text_encoder_2.text_model_encoder_layers_0_mlp_fc1"),
        ("text_encoder.text_model.a.self_attn.q_proj.lora_A.weight", "text_encoder.text_model_a_self_attn_q_proj"),
        ("text_encoder_2.a.q_proj.lora_linear_layer.up.weight", "text_encoder_2.a_q_proj"),
        ("text_encoder.a.self_attn.to_out_lora.up.weight", "text_encoder.a_self_attn_out_proj"),
        ("text_encoder.a.self_attn.to_k_lora.down.weight", "text_encoder.a_self_attn_k_proj"),
        ("unet.mid.attn1.processor.to_out_lora.up.weight", "unet.mid_attn1_to_out_0"),
        ("text_encoders.clip_g.transformer.text_model.x.lora_A.weight", "text_encoder_2.text_model_x"),
        ("oft_unet_mid.oft_blocks", "unet.mid"),
        ("lora_unet_input_blocks_4_1_proj_in.hada_w1_a", "unet.input_blocks_4_1_proj_in"),
    ],
)
def test_parts_and_old_names(key: str, place: str) -> None:
    found = keys.split(key)
    assert found is not None
    assert f"{found[0]}.{found[1]}" == place


def test_encoders_counted_from_zero() -> None:
    assert keys.from_zero(["lora_te0_a.alpha", "lora_te1_a.alpha"])
    assert [keys.split(f"lora_te{n}_a.alpha", zero=True) for n in (0, 1)] == [
        ("text_encoder", "a", "alpha"),
        ("text_encoder_2", "a", "alpha"),
    ]


@pytest.mark.parametrize(
    "key",
    ["model.diffusion_model.input_blocks.0.0.weight", "unet.conv_in.weight", "first_stage_model.decoder.conv_in.bias"],
)
def test_a_checkpoints_own_keys_are_no_networks(key: str) -> None:
    assert keys.split(key) is None


def test_alphas_and_kinds(tmp_path: Path) -> None:
    pipe = sd15()
    network = read(Path(saved(tmp_path / "k.safetensors", kohya(pipe), {"ss_output_name": "k"}).entry.path))
    assert network.kind == "lora"
    assert network.metadata == {"ss_output_name": "k"}
    for n, (part, dotted, _) in enumerate(targets(pipe)):
        assert network.layers[f"{part}.{dotted.replace('.', '_')}"].alpha == 1.0 + n % 3
    assert network.size == sum(t.numel() * 4 for t in kohya(pipe).values() if t.dim())
    plain = read(Path(saved(tmp_path / "p.safetensors", peft(pipe)).entry.path))
    assert {layer.alpha for layer in plain.layers.values()} == {None}
    assert len(plain.layers) == len(list(targets(pipe))) == len(network.layers)


def test_alphas_of_peft_stand_in_metadata_or_beside_the_file(tmp_path: Path) -> None:
    pipe = sdxl()
    said = {
        "unet.lora_alpha": 6, "unet.r": 3, "unet.alpha_pattern": {"attn2.to_k": 12}, "unet.use_rslora": True,
        "text_encoder.lora_alpha": 1.5,
    }  # fmt: skip
    use = saved(tmp_path / "a.safetensors", peft(pipe), {"lora_adapter_metadata": json.dumps(said)})
    layers = read(Path(use.entry.path)).layers
    alphas = {place: layer.alpha for place, layer in layers.items()}
    assert {a for place, a in alphas.items() if place.startswith("unet.") and "attn2_to_k" not in place} == {6.0}
    assert {a for place, a in alphas.items() if place.endswith("attn2_to_k")} == {12.0}
    assert {a for place, a in alphas.items() if place.startswith("text_encoder.")} == {1.5}
    assert {a for place, a in alphas.items() if place.startswith("text_encoder_2.")} == {None}
    assert {layer.rank_stabilised for place, layer in layers.items() if place.startswith("unet.")} == {True}
    assert {layer.rank_stabilised for place, layer in layers.items() if place.startswith("text")} == {False}
    wrapped = {f"base_model.model.{name.removeprefix('unet.')}": t for name, t in peft(pipe, text=False).items()}
    use = saved(tmp_path / "adapter" / "adapter_model.safetensors", wrapped)
    assert {layer.alpha for layer in read(Path(use.entry.path)).layers.values()} == {None}
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"lora_alpha": 9, "r": 3}')
    assert {layer.alpha for layer in read(Path(use.entry.path)).layers.values()} == {9.0}
    (tmp_path / "adapter" / "adapter_config.json").write_text("{")
    with pytest.raises(BadWeights, match="settings of"):
        read(Path(use.entry.path))


@pytest.mark.parametrize("suffix", ["pt", "bin", "ckpt"])
def test_pickles_are_read_as_weights(tmp_path: Path, suffix: str) -> None:
    pipe = sd15()
    wanted = read(Path(saved(tmp_path / "n.safetensors", kohya(pipe)).entry.path))
    saved(tmp_path / f"n.{suffix}", kohya(pipe))
    torch.save({"state_dict": kohya(pipe), "epoch": 3}, tmp_path / f"wrapped.{suffix}")
    for name in ("n", "wrapped"):
        found = read(tmp_path / f"{name}.{suffix}")
        assert found.layers.keys() == wanted.layers.keys()
        for place, layer in found.layers.items():
            assert layer.alpha == wanted.layers[place].alpha
            assert torch.equal(layer.tensors["lora_up"], wanted.layers[place].tensors["lora_up"])


class Bomb:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path(BOMB[0]),))


BOMB = [""]


def test_what_is_damaged_or_no_network_is_refused_in_one_line_and_runs_nothing(tmp_path: Path) -> None:
    BOMB[0] = str(tmp_path / "went off")
    bad = tmp_path / "bad"
    bad.mkdir()
    good = {f"lora_unet_{FLAT}.lora_up.weight": HALVES[0], f"lora_unet_{FLAT}.lora_down.weight": HALVES[1]}
    up, down = good
    save_file(good, tmp_path / "good.safetensors")
    raw = (tmp_path / "good.safetensors").read_bytes()
    for length in (0, 4, 8, 20, len(raw) - 30, len(raw) - 1):
        (bad / f"cut{length}.safetensors").write_bytes(raw[:length])
    (bad / "long.safetensors").write_bytes(b"\xff" * 8 + raw[8:])
    save_file({up: HALVES[0]}, bad / "half.safetensors")
    save_file({**good, down: torch.full((2, 4), torch.nan)}, bad / "nan.safetensors")
    save_file({**good, up: torch.full((4, 2), torch.inf).half()}, bad / "inf.safetensors")
    save_file({**good, down: torch.ones(3, 4)}, bad / "sides.safetensors")
    save_file({**good, up: torch.ones(4)}, bad / "flat.safetensors")
    save_file({up: torch.ones(4, 0), down: torch.ones(0, 4)}, bad / "empty.safetensors")
    save_file({**good, f"lora_unet_{FLAT}.alpha": torch.ones(3)}, bad / "alphas.safetensors")
    save_file({f"lora_unet_{FLAT}.alpha": torch.tensor(3.0)}, bad / "alone.safetensors")
    save_file({**good, f"lora_unet_{FLAT}.oft_R.weight": torch.ones(3)}, bad / "mixed.safetensors")
    save_file({"oft_unet_mid.oft_diag": torch.ones(1, 2, 2)}, bad / "unknown.safetensors")
    save_file({"conv_in.weight": torch.ones(2, 2)}, bad / "checkpoint.safetensors")
    save_file({"double_blocks.0.processor.qkv_lora1.up.weight": torch.ones(2, 2)}, bad / "flux.safetensors")
    torch.save({**good, "x": Bomb()}, bad / "bomb.pt")
    torch.save([1, 2], bad / "list.pt")
    torch.save(torch.nn.Linear(2, 2), bad / "module.pt")
    (bad / "text.bin").write_text("nothing at all")
    (bad / "empty.ckpt").write_bytes(b"")
    stream = io.BytesIO()
    torch.save(good, stream)
    for length in (1, 200, len(stream.getvalue()) - 40):
        (bad / f"cut{length}.pt").write_bytes(stream.getvalue()[:length])
    with zipfile.ZipFile(bad / "other.pt", "w") as file:
        file.writestr("hello.txt", "hello")
    files = sorted(bad.iterdir())
    assert len(files) == 28
    for path in [*files, bad / "missing.safetensors", bad]:
        with pytest.raises(BadWeights) as caught:
            read(path)
        assert "\n" not in caught.value.message, path
        assert path.name in caught.value.message
        assert caught.value.hint
        with pytest.raises(BadWeights):
            Files().get(path)
    assert not Path(BOMB[0]).exists()
    told = {
        "nan.safetensors": "no numbers", "half.safetensors": "lora_down is missing", "alone.safetensors": "no weights",
        "unknown.safetensors": "oft_diag", "flux.safetensors": "Flux", "bomb.pt": "could run code",
        "sides.safetensors": r"\[4, 2\] and lora_down \[3, 4\]", "alphas.safetensors": "no single number",
        "mixed.safetensors": "oft_R",
    }  # fmt: skip
    for name, words in told.items():
        with pytest.raises(BadWeights, match=words):
            read(bad / name)


def network(rank: int, value: float = 1.0) -> dict[str, Tensor]:
    return {"unet.a.lora_B.weight": torch.full((32, rank), value), "unet.a.lora_A.weight": torch.ones(rank, 32)}


def test_files_are_kept_until_they_change_or_the_limit_is_passed(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.safetensors" for n in range(3)]
    for path in paths:
        save_file(network(2), path)
    size = 2 * 2 * 32 * 4
    files = Files(limit=2 * size)
    first = files.get(paths[0])
    assert files.get(paths[0]) is first
    assert files.size == size
    second = files.get(paths[1])
    files.get(paths[0])
    files.get(paths[2])  # the second is the longest unused
    assert files.size == 2 * size
    assert files.get(paths[0]) is first
    assert files.get(paths[1]) is not second
    # Another content under the same name is read anew and stands in place of the old.
    save_file(network(2, 5.0), paths[1])
    os.utime(paths[1], ns=(1, 1))
    changed = files.get(paths[1])
    assert changed.layers["unet.a"].tensors["lora_up"][0, 0] == 5
    assert files.size == 2 * size
    # What is larger than all of the room is given and not kept.
    save_file(network(9), paths[2])
    assert files.get(paths[2]) is not files.get(paths[2])
    assert files.size <= 2 * size
    files.clear()
    assert files.size == 0


def test_a_kept_network_does_not_hang_on_its_file(tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    save_file(network(2), path)
    kept = Files().get(path).layers["unet.a"].tensors["lora_up"]
    length = path.stat().st_size
    with path.open("r+b") as file:
        file.write(b"\x00" * length)
    assert torch.equal(kept, torch.ones(32, 2))


def test_what_a_network_is_made_for(tmp_path: Path) -> None:
    def base(tensors: dict[str, Tensor]) -> str:
        save_file(tensors, tmp_path / "b.safetensors")
        return read(tmp_path / "b.safetensors").base

    def lora(key: str, inner: int, up: str = "lora_up.weight", down: str = "lora_down.weight") -> dict[str, Tensor]:
        return {f"{key}.{up}": torch.ones(4, 1), f"{key}.{down}": torch.ones(1, inner)}

    for inner, family in ((768, "sd15"), (1024, "sd2"), (2048, "sdxl"), (640, "")):
        assert base(lora("lora_unet_down_blocks_0_attn2_to_k", inner)) == family
    hada_keys = {"hada_w1_a": (4, 1), "hada_w1_b": (1, 768), "hada_w2_a": (4, 1), "hada_w2_b": (1, 768)}
    assert base({f"lora_unet_x_attn2_to_v.{n}": torch.ones(s) for n, s in hada_keys.items()}) == "sd15"
    lokr = {"lokr_w1": (2, 16), "lokr_w2_a": (2, 1), "lokr_w2_b": (1, 128)}
    assert base({f"lora_unet_x_attn2_to_v.{n}": torch.ones(s) for n, s in lokr.items()}) == "sdxl"
    assert base(lora("lora_te2_text_model_encoder_layers_0_mlp_fc1", 1280)) == "sdxl"
    assert base(lora("lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q", 640)) == "sdxl"
    assert base(lora("lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q", 640)) == ""
    assert base(lora("lora_unet_double_blocks_0_img_attn_proj", 3072)) == "Flux"
    assert (
        base(lora("transformer.single_transformer_blocks.0.attn.to_k", 4, "lora_B.weight", "lora_A.weight")) == "Flux"
    )


def test_embeddings_in_the_same_file_are_seen(tmp_path: Path) -> None:
    extra = {"bundle_emb.zork.string_to_param.*": torch.ones(1, 768), "bundle_emb.zork.emb_params": torch.ones(1, 768)}
    use = saved(tmp_path / "n.safetensors", {**network(2), **extra})
    found = read(Path(use.entry.path))
    assert found.embeddings == ("zork",)
    assert list(found.layers) == ["unet.a"]


def test_a_real_file_in_both_forms() -> None:
    folder = shared("data", "weights", "lora_sd15_catundchat")
    one, two = (read(folder / f"pytorch_lora_weights.{suffix}") for suffix in ("safetensors", "bin"))
    assert len(one.layers) == 128
    assert one.base == two.base == "sd15"
    assert one.layers.keys() == two.layers.keys()
    for place, layer in one.layers.items():
        assert layer.tensors["lora_up"].shape == two.layers[place].tensors["lora_up"].shape


def test_real_key_names_of_other_houses_are_known_as_such(tmp_path: Path) -> None:
    for path in sorted(shared("data", "keys", "invokeai_json").glob("*lora*keys.json")):
        listed = json.loads(path.read_text("utf-8"))
        split = [keys.split(name) for name in listed]
        if "xlabs" not in path.name and "control" not in path.name:
            assert all(found is not None for found in split), path.name
        if path.name.startswith("flux") and "xlabs" not in path.name:
            tensors = {name: torch.ones([min(side, 2) for side in shape]) for name, shape in listed.items()}
            save_file(tensors, tmp_path / "flux.safetensors")
            assert read(tmp_path / "flux.safetensors").base == "Flux", path.name

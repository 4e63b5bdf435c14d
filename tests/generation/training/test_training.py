"""Trainings from spec to file on a checkpoint of random weights: kinds, resume, damage, and what the files hold."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from original_files import write
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from generation import embeddings
from generation.catalogue import Catalogue, look
from generation.errors import BadSpec, GenerationError
from generation.loading import load
from generation.networks.applied import Applied
from generation.networks.named import Use
from generation.training import TrainingFailed, objective
from generation.training.adapters import Adapter
from generation.training.launching import launch
from generation.training.results import work_folder
from generation.training.running import train
from generation.training.settings import TABLES, TrainingSpec
from generation.training.state import FILE

FEW: dict[str, Any] = {"steps": 3, "rank": 2, "rate": 1e-2, "resolution": 64, "bucket_min": 32, "bucket_max": 128,
                       "bucket_step": 16, "save_precision": "fp32", "state_every": 1}  # fmt: skip


class Stop(Exception):
    """The person cancels."""


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for n, size in enumerate(((64, 64), (96, 48), (64, 64))):
        Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(folder / f"{n}.png")
        (folder / f"{n}.txt").write_text(f"zorb number {n}, red")
    return folder


def run(model: Path, dataset: Path, output: Path, kind: str = "lora", report: Any = None, **settings: Any) -> Any:
    own = {name: value for name, value in FEW.items() if name in {p.name for p in TABLES[kind]}}
    spec = TrainingSpec(kind, str(dataset), str(output), str(model), {**own, **settings})
    return train(spec, Catalogue(), device="cpu", report=report or (lambda event: None))


def predicted(pipe: Any) -> torch.Tensor:
    """What a UNet says of a fixed picture and text, the text through its own encoder."""
    ids = pipe.tokenizer("a zorb", padding="max_length", max_length=77, return_tensors="pt").input_ids
    noise = torch.randn((1, 4, 32, 32), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        states = pipe.text_encoder(ids)[0]
        found: torch.Tensor = pipe.unet(noise, 500, encoder_hidden_states=states).sample
    return found


@pytest.mark.parametrize(
    ("algorithm", "further"),
    [
        ("lora", {}),
        ("lora", {"conv_rank": 3, "conv_alpha": 1.0}),
        ("dora", {}),
        ("loha", {"conv_rank": 2}),
        ("lokr", {}),
    ],
)
def test_what_was_trained_is_what_the_file_does(
    tiny_checkpoint: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str, further: Any
) -> None:
    kept: list[Any] = []
    original = Adapter.write

    def spied(self: Adapter, path: Path, metadata: Any) -> list[Path]:
        kept.append(self.layers())
        kept.append(predicted(spied.pipe))  # type: ignore[attr-defined]
        return original(self, path, metadata)

    begin = Adapter.__init__

    def began(self: Adapter, pipe: Any, spec: Any, entry: Any) -> None:
        spied.pipe = pipe  # type: ignore[attr-defined]
        begin(self, pipe, spec, entry)

    monkeypatch.setattr(Adapter, "write", spied)
    monkeypatch.setattr(Adapter, "__init__", began)
    out = run(
        tiny_checkpoint, dataset, tmp_path / "n.safetensors", algorithm=algorithm, alpha=1.0, text_rate=1e-2, **further
    )
    layers, trained = kept
    pipe = load(look(tiny_checkpoint), "cpu", torch.float32)
    base = predicted(pipe)
    applied = Applied(pipe, "sd15-small")
    applied.set([Use(look(out.paths[0]))])
    laid = predicted(pipe)
    assert float((trained - base).abs().max()) > 1e-3  # it learned something
    assert float((laid - trained).abs().max()) < 2e-4 * float(trained.abs().max())
    assert any(place.startswith("text_encoder.") for place in layers)
    applied.set([Use(look(out.paths[0]), unet=0.0, text=0.0)])
    assert torch.equal(predicted(pipe), base)


def test_diffusers_loads_the_file_and_does_the_same(tiny_checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    out = run(tiny_checkpoint, dataset, tmp_path / "n.safetensors", alpha=1.0, text_rate=1e-2)
    ours = load(look(tiny_checkpoint), "cpu", torch.float32)
    Applied(ours, "sd15-small").set([Use(look(out.paths[0]))])
    theirs = StableDiffusionPipeline.from_pretrained(tiny_checkpoint, safety_checker=None)
    theirs.load_lora_weights(str(out.paths[0]))
    assert float((predicted(theirs) - predicted(ours)).abs().max()) < 1e-4


def test_keys_and_metadata_are_kohyas(tiny_checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    out = run(tiny_checkpoint, dataset, tmp_path / "zorb.safetensors", alpha=1.0, text_rate=1e-2, epochs=2, steps=0)
    with safe_open(str(out.paths[0]), "pt") as file:
        names, said = set(file.keys()), file.metadata()
        stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
        assert float(file.get_tensor(f"{stem}.alpha")) == 1.0
        assert file.get_tensor(f"{stem}.lora_down.weight").shape == (2, 16)
    assert "lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_up.weight" in names
    assert {name.rpartition(".")[2] for name in names} == {"alpha", "weight"}
    assert (said["ss_network_dim"], said["ss_network_alpha"]) == ("2", "1.0")
    assert said["ss_output_name"] == "zorb" and said["ss_network_module"] == "networks.lora"
    assert json.loads(said["ss_tag_frequency"])["pictures"]["red"] == 3
    assert json.loads(said["ss_bucket_info"])["buckets"]["0"]["resolution"]
    assert len(said["sshs_model_hash"]) == 64 and said["ss_steps"] == str(out.record["steps"]) == "6"


def test_sdxl_is_written_in_the_original_codes_names(tiny_sdxl: Path, dataset: Path, tmp_path: Path) -> None:
    out = run(tiny_sdxl, dataset, tmp_path / "xl.safetensors", text_rate=1e-2, conv_rank=2)
    stems = {name.partition(".")[0] for name in load_file(out.paths[0])}
    parts = {stem.split("_")[1] for stem in stems}
    assert parts == {"unet", "te1", "te2"}
    unet = [stem for stem in stems if stem.startswith("lora_unet_")]
    assert all(stem.split("_")[2] in {"input", "middle", "output"} for stem in unet)
    pipe = load(look(tiny_sdxl), "cpu", torch.float32)
    Applied(pipe, "sdxl").set([Use(look(out.paths[0]))])


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_training_that_was_stopped_ends_with_the_same_bits(
    tiny_checkpoint: Path, dataset: Path, tmp_path: Path, average: float
) -> None:
    more = {"steps": 6, "average_decay": average, "dropout": 0.3, "shuffle": True, "optimizer": "AdamW", "flip": True,
            "scheduler": "cosine", "warmup": 2, "batch": 2}  # fmt: skip
    whole = run(tiny_checkpoint, dataset, tmp_path / "whole.safetensors", **more)
    spec = TrainingSpec("lora", str(dataset), str(tmp_path / "cut.safetensors"), str(tiny_checkpoint), {**FEW, **more})

    def stepped() -> int:
        state = torch.load(work_folder(tmp_path / "cut.safetensors") / FILE, weights_only=True)
        return int(state["step"])

    def checked() -> None:
        if (work_folder(tmp_path / "cut.safetensors") / FILE).exists() and stepped() >= 3:
            raise Stop

    with pytest.raises(Stop):
        train(spec, Catalogue(), device="cpu", check=checked)
    assert not (tmp_path / "cut.safetensors").exists()
    assert 3 <= stepped() < 6
    again = train(spec, Catalogue(), device="cpu")
    one, other = load_file(whole.paths[0]), load_file(again.paths[0])
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert again.record["loss"] == whole.record["loss"]
    assert not work_folder(tmp_path / "cut.safetensors").exists()


def test_another_training_does_not_go_on_from_a_state(tiny_checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    output = tmp_path / "n.safetensors"
    run(tiny_checkpoint, dataset, output)
    state = work_folder(output)
    state.mkdir()
    with pytest.raises(BadSpec, match="no state"):
        (state / FILE).write_bytes(b"not a state")
        run(tiny_checkpoint, dataset, output)
    (state / FILE).unlink()
    failing = TrainingSpec("lora", str(dataset), str(output), str(tiny_checkpoint), {**FEW, "steps": 5})

    def check() -> None:
        if (state / FILE).exists():
            raise Stop

    with pytest.raises(Stop):
        train(failing, Catalogue(), device="cpu", check=check)
    with pytest.raises(BadSpec, match="another rank"):
        run(tiny_checkpoint, dataset, output, steps=5, rank=4)
    # What changes no number may differ.
    assert run(tiny_checkpoint, dataset, output, steps=5, state_every=50).paths[0] == output


def test_a_loss_that_is_no_number_stops_and_the_good_weights_are_kept(
    tiny_checkpoint: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = objective.loss
    calls = 0

    def broken(*arguments: Any, **named: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        found = real(*arguments, **named)
        return found * torch.nan if calls == 3 else found

    monkeypatch.setattr(objective, "loss", broken)
    output = tmp_path / "n.safetensors"
    with pytest.raises(TrainingFailed) as error:
        run(tiny_checkpoint, dataset, output, steps=5)
    assert "step 3" in error.value.message and "weights of step 2 are kept" in error.value.message
    assert "lower it" in error.value.hint and ".png" in error.value.message
    assert not output.exists()
    state = torch.load(work_folder(output) / FILE, weights_only=True)
    assert state["step"] == 2 and all(torch.isfinite(value).all() for value in state["weights"].values())


def test_the_class_is_made_once_and_weighs_in(tiny_checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    more = {"class_prompt": "a toy", "prior_images": 2, "prior_weight": 1.0}
    out = run(tiny_checkpoint, dataset, tmp_path / "n.safetensors", **more)
    made = sorted((tmp_path / "n.class").glob("*.png"))
    assert out.record["class_pictures"] == 2 and len(made) == 2
    stamps = [path.stat().st_mtime_ns for path in made]
    run(tiny_checkpoint, dataset, tmp_path / "n.safetensors", **more)
    assert stamps == [path.stat().st_mtime_ns for path in made]
    without = run(tiny_checkpoint, dataset, tmp_path / "m.safetensors", prior_weight=0.0)
    one, other = load_file(out.paths[0]), load_file(without.paths[0])
    assert any(not torch.equal(one[name], other[name]) for name in one)
    with pytest.raises(BadSpec, match="class is not named"):
        run(tiny_checkpoint, dataset, tmp_path / "o.safetensors", prior_images=2)


def test_a_word_is_learned_and_read_by_a_render(tiny_checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    more = {"vectors": 2, "begin_from": "toy", "rate": 0.1}
    out = run(tiny_checkpoint, dataset, tmp_path / "zorb.safetensors", "embedding", **more)
    vectors = embeddings.load(out.paths[0])[0]
    base = load(look(tiny_checkpoint), "cpu", torch.float32)
    table = base.text_encoder.get_input_embeddings().weight
    toy = table[base.tokenizer("toy")["input_ids"][1]]
    assert vectors.shape == (2, 16)
    assert 0.05 < float((vectors - toy.detach()).abs().max()) < 1
    assert look(out.paths[0]).kind == "embedding"


def test_a_whole_folder_is_trained(tiny_checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    out = run(tiny_checkpoint, dataset, tmp_path / "tuned", "dreambooth", text_rate=1e-3, prior_weight=0.0, rate=1e-3)
    assert out.paths[0].is_dir() and not look(out.paths[0]).problem
    one, other = (load(look(folder), "cpu", torch.float32) for folder in (tiny_checkpoint, out.paths[0]))
    assert not torch.equal(predicted(one), predicted(other))
    for name, value in one.vae.state_dict().items():
        assert torch.equal(value, other.vae.state_dict()[name])
    with pytest.raises(BadSpec, match="write over the model"):
        run(tiny_checkpoint, dataset, tiny_checkpoint, "finetune")


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_a_single_file_comes_out_as_one(dataset: Path, tmp_path: Path, family: str) -> None:
    base = write(tmp_path / f"base-{family}.safetensors", family)
    text = 1e-3
    out = run(base, dataset, tmp_path / "tuned.safetensors", "finetune", text_rate=text, rate=1e-3, clip_skip=1)
    before, after = load_file(base), load_file(out.paths[0])
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name].float(), after[name].float())}
    assert not any(name.startswith("first_stage_model.") for name in changed)
    share = {
        part: sum(name.startswith(part) for name in changed) / sum(name.startswith(part) for name in before)
        for part in ("model.diffusion_model.", "cond")
    }
    assert share["model.diffusion_model."] > 0.95 and share["cond"] > 0.5
    again = load(look(out.paths[0]), "cpu", torch.float32)
    one = load(look(base), "cpu", torch.float32)
    # The same place in both: the first convolution moved a little, not to another's.
    moved = (again.unet.conv_in.weight - one.unet.conv_in.weight).abs().max()
    assert 0 < float(moved.detach()) < 0.02


def test_samples_carry_their_spec_and_go_where_they_are_told(
    tiny_checkpoint: Path, dataset: Path, tmp_path: Path
) -> None:
    events: list[dict[str, Any]] = []
    spec = TrainingSpec(
        "lora", str(dataset), str(tmp_path / "n.safetensors"), str(tiny_checkpoint),
        {**FEW, "steps": 4, "sample_every": 2, "samples": "a zorb --d 7 --s 2\n# no\na cat --w 64 --h 64 --s 2"},
    )  # fmt: skip
    out = train(spec, Catalogue(), device="cpu", gallery=tmp_path / "gallery", report=events.append)
    names = [Path(path).name for path in out.record["samples"]]
    assert names == [f"n-step00000{step}-{number}.png" for step in (2, 4) for number in (1, 2)]
    first = Image.open(out.record["samples"][0])
    assert json.loads(first.info["atelier"])["seed"] == 7
    assert sum(event["kind"] == "preview" for event in events) == 4
    assert not np.array_equal(np.asarray(first), np.asarray(Image.open(out.record["samples"][2])))


def test_files_on_the_way_are_named_as_kohya_names_them(tiny_checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    out = run(tiny_checkpoint, dataset, tmp_path / "n.safetensors", steps=0, epochs=4, save_every_epochs=2)
    assert [path.name for path in out.paths] == ["n.safetensors", "n-000002.safetensors"]
    out = run(tiny_checkpoint, dataset, tmp_path / "m.safetensors", steps=5, save_every=2)
    assert [path.name for path in out.paths][1:] == ["m-step00000002.safetensors", "m-step00000004.safetensors"]
    record = json.loads((tmp_path / "m.training.json").read_text())
    assert record["steps"] == 5 and Image.open(record["plot"]).size == (960, 540)


def test_without_caches_the_same_is_learned(tiny_checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    spec = TrainingSpec("lora", str(dataset), str(tmp_path / "n.safetensors"), str(tiny_checkpoint), FEW)
    one = load_file(train(spec, Catalogue(), device="cpu").paths[0])
    other = load_file(train(spec, Catalogue(), device="cpu", cached=False).paths[0])
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": -1.0}, "out of range"),
        ({"rank": 0}, "out of range"),
        ({"rnak": 4}, 'no setting "rnak"'),
        ({"algorithm": "glora"}, 'cannot be "glora"'),
        ({"rate": 0.0}, "rates are 0"),
        ({"unet": False}, "neither the UNet"),
        ({"clip_skip": 9}, "more than the text encoder"),
        ({"samples": "a cat --s many", "sample_every": 1}, "no number"),
        ({"optimizer": "AdamW8bit"}, "NVIDIA"),
        ({"optimizer": "Prodigy"}, "prodigyopt"),
        ({"bucket_min": 100}, "no multiples"),
        ({"max_tokens": "77"}, "cannot be"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(
    tiny_checkpoint: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, message: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "prodigyopt", None)
    with pytest.raises(GenerationError) as error:
        run(tiny_checkpoint, dataset, tmp_path / "n.safetensors", **change)
    assert message in error.value.message and error.value.hint and "\n" not in error.value.message
    assert not (tmp_path / "n.safetensors").exists()


def test_two_processes_learn_what_one_learns_in_two_parts(tiny_checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    spec = TrainingSpec(
        "lora", str(dataset), str(tmp_path / "two.safetensors"), str(tiny_checkpoint), {**FEW, "shuffle": True}
    )
    record = launch(spec, 2, [], device="cpu", report=events.append)
    one = run(tiny_checkpoint, dataset, tmp_path / "one.safetensors", shuffle=True, accumulate=2)
    mine, theirs = load_file(one.paths[0]), load_file(record["path"])
    assert mine.keys() == theirs.keys()
    assert all(torch.allclose(mine[name], theirs[name], atol=1e-4) for name in mine)
    assert [event["step"] for event in events if event["kind"] == "loss"][-1] == 3


def test_what_fails_in_one_of_several_processes_is_told(tiny_checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    spec = TrainingSpec("lora", str(dataset), str(tmp_path / "n.safetensors"), str(tiny_checkpoint), {"clip_skip": 9})
    with pytest.raises(TrainingFailed, match="3 layers"):
        launch(spec, 2, [], device="cpu")


def test_a_training_that_was_killed_goes_on_from_its_last_state(
    tiny_checkpoint: Path, dataset: Path, tmp_path: Path
) -> None:
    output = tmp_path / "cut.safetensors"
    spec = TrainingSpec("lora", str(dataset), str(output), str(tiny_checkpoint), {**FEW, "steps": 60, "state_every": 2})
    told = {
        "spec": spec.to_json(), "models": [], "device": "cpu", "gallery": "",
        "events": str(tmp_path / "events"), "result": str(tmp_path / "result"),
    }  # fmt: skip
    (tmp_path / "spec.json").write_text(json.dumps(told))
    child = subprocess.Popen(
        [sys.executable, "-m", "generation.training", str(tmp_path / "spec.json")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    state = work_folder(output) / FILE
    try:
        while not state.exists() and child.poll() is None:
            time.sleep(0.02)
    finally:
        child.kill()
        child.wait()
    done = int(torch.load(state, weights_only=True)["step"])
    assert done % 2 == 0 and not output.exists()
    again = train(spec, Catalogue(), device="cpu")
    whole = run(tiny_checkpoint, dataset, tmp_path / "whole.safetensors", steps=60, state_every=2)
    one, other = load_file(again.paths[0]), load_file(whole.paths[0])
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_nothing_is_asked_of_a_network(
    tiny_checkpoint: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError(f"a socket was asked for: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    more = {"sample_every": 3, "class_prompt": "a toy", "prior_images": 1}
    assert run(tiny_checkpoint, dataset, tmp_path / "n.safetensors", **more).paths[0].is_file()


@pytest.mark.parametrize(
    "change",
    [{"precision": "bf16"}, {"checkpointing": True, "text_rate": 1e-2}, {"noise_offset": 0.1, "min_snr_gamma": 5.0}],
)
def test_numbers_formats_and_checkpointing_learn_nearly_the_same(
    tiny_checkpoint: Path, dataset: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    plain = {name: value for name, value in change.items() if name == "text_rate"}
    one = run(tiny_checkpoint, dataset, tmp_path / "one.safetensors", **plain)
    other = run(tiny_checkpoint, dataset, tmp_path / "other.safetensors", **change)
    mine, theirs = load_file(one.paths[0]), load_file(other.paths[0])
    moved = max(float(mine[name].abs().max()) for name in mine if "lora_up" in name)
    apart = max(float((mine[name] - theirs[name]).abs().max()) for name in mine)
    if change.get("checkpointing"):
        assert apart < 1e-4  # the same numbers, computed twice
    elif "precision" in change:
        assert apart < 3 * moved and other.record["loss"] == pytest.approx(one.record["loss"], rel=0.05)
    else:
        assert apart > 1e-5

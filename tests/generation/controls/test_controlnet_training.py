"""The ControlNet trainer: what it learns, what a kill leaves, what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel, DDPMScheduler, UNet2DConditionModel
from PIL import Image

from generation.autoencoder import Autoencoder
from generation.catalogue import look
from generation.conditioning import Conditioner
from generation.errors import BadSpec, BadWeights
from generation.loading import load
from generation.prompts.tokens import ClipTokenizer
from generation.training import TrainingFailed, control_examples, controlnet, objective
from generation.training.controlnet import STATE, Batch, Settings

SCHEDULER = DDPMScheduler(beta_schedule="scaled_linear").config


def unet(seed: int = 0, **more: Any) -> UNet2DConditionModel:
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=8, **{"in_channels": 4, **more}, out_channels=4, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16, norm_num_groups=4,
    )  # fmt: skip


class Drawn:
    """Latents that are what their condition shows: bright where it is white."""

    def __init__(self, broken: int = -1) -> None:
        self.broken = broken
        self.seen: list[list[int]] = []

    def __len__(self) -> int:
        return 6

    def batch(self, numbers: Sequence[int], seed: int) -> Batch:
        self.seen.append(list(numbers))
        conditions = torch.zeros(len(numbers), 3, 16, 16)
        for row, number in enumerate(numbers):
            conditions[row, :, 2 * number : 2 * number + 6] = 1
        latents = torch.nn.functional.avg_pool2d(conditions[:, :1], 2).expand(-1, 4, -1, -1) * 2 - 1
        if len(self.seen) - 1 == self.broken:
            latents = latents * float("nan")
        return Batch(latents, conditions, torch.zeros(len(numbers), 7, 16))


def trained(folder: Path, examples: Drawn | None = None, **more: Any) -> ControlNetModel:
    stop = more.pop("stop", None)
    steps: list[dict[str, Any]] = []

    def check() -> None:
        if stop is not None and len(drawn.seen) == stop:
            raise KeyboardInterrupt

    drawn = examples or Drawn()
    settings = Settings(**{"steps": 12, "batch": 2, "rate": 1e-2, "save_every": 4, "decay": 0.9, **more})
    return controlnet.train(unet(), SCHEDULER, drawn, folder, settings, factor=2, report=steps.append, check=check)


def same(one: Any, other: Any) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_it_begins_as_the_unets_half_and_does_nothing() -> None:
    base = unet()
    network = controlnet.begin(base, factor=2)
    assert network.config.conditioning_embedding_out_channels == (8, 8)
    assert torch.equal(network.conv_in.weight, base.conv_in.weight)
    down, mid = network(
        torch.randn(1, 4, 8, 8), 5, encoder_hidden_states=torch.randn(1, 7, 16),
        controlnet_cond=torch.rand(1, 3, 16, 16), return_dict=False,
    )  # fmt: skip
    assert all((one == 0).all() for one in (*down, mid))
    assert controlnet.begin(base, factor=8).config.conditioning_embedding_out_channels == (8, 8, 8, 8)
    with pytest.raises(BadWeights, match="9 channels") as told:
        controlnet.begin(unet(in_channels=9))
    assert "plain checkpoint" in told.value.hint


def test_it_learns_from_the_condition_and_leaves_the_unet_alone(tmp_path: Path) -> None:
    """The loss with the right condition falls below that with another one: the text and the noise tell nothing."""
    base, before = unet(), unet().state_dict()
    settings = Settings(steps=80, batch=6, rate=2e-2, save_every=80)
    network = controlnet.train(base, SCHEDULER, Drawn(), tmp_path, settings, factor=2)
    assert all(torch.equal(base.state_dict()[name], value) for name, value in before.items())
    schedule, batch = DDPMScheduler.from_config(SCHEDULER), Drawn().batch(range(6), 0)
    other = Batch(batch.latents, batch.conditions.flip(2), batch.embeds)
    with torch.no_grad():
        right, wrong = (
            sum(float(controlnet._loss(base, network, schedule, b, settings, 900 + n, "cpu")) for n in range(12))
            for b in (batch, other)
        )
    # A frozen UNet of random weights follows little; untrained, both are the same to the bit.
    assert right < 0.997 * wrong


@pytest.mark.parametrize("stop", [5, 8])
def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path: Path, stop: int) -> None:
    whole = trained(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "b", stop=stop)
    assert same(whole, trained(tmp_path / "b"))
    assert not list(tmp_path.rglob("*.part")), "no half-written state stays"
    untouched = Drawn()
    assert same(whole, trained(tmp_path / "b", untouched))
    assert not untouched.seen, "a finished training takes no step"


def test_what_a_crash_leaves_is_the_last_save(tmp_path: Path) -> None:
    """Nothing is written at the crash itself, and what is read again ends with the same bits."""
    whole = trained(tmp_path / "a")

    class Crashing(Drawn):
        def batch(self, numbers: Sequence[int], seed: int) -> Batch:
            if len(self.seen) == 7:
                raise MemoryError
            return super().batch(numbers, seed)

    with pytest.raises(MemoryError):
        trained(tmp_path / "b", Crashing())
    assert torch.load(tmp_path / "b" / STATE, weights_only=True)["step"] == 4
    (tmp_path / "b" / f".{STATE}.1.part").write_bytes(b"half")
    assert same(whole, trained(tmp_path / "b"))


def test_a_killed_process_goes_on(tmp_path: Path) -> None:
    code = (
        "import sys, torch; sys.path.insert(0, sys.argv[2]); torch.set_num_threads(1)\n"
        "from test_controlnet_training import trained\nfrom pathlib import Path\n"
        "trained(Path(sys.argv[1]), steps=400, save_every=1, decay=0.0)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)])
    state = tmp_path / STATE
    while not state.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = torch.load(state, weights_only=True)
    assert 1 <= found["step"] < 400
    drawn = Drawn()
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, drawn, steps=400, save_every=1, decay=0.0, stop=2)
    assert torch.load(state, weights_only=True)["step"] == found["step"] + 2


def test_a_loss_that_is_no_number_stops_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="nan at step 7") as told:
        trained(tmp_path, Drawn(broken=6))
    assert "learning rate" in told.value.hint and "step 4" in told.value.hint
    assert torch.load(tmp_path / STATE, weights_only=True)["step"] == 4


def test_every_example_comes_once_before_any_comes_again(tmp_path: Path) -> None:
    drawn = Drawn()
    trained(tmp_path, drawn, steps=6, batch=2, accumulate=2)
    flat = [number for batch in drawn.seen for number in batch]
    assert len(flat) == 24
    assert [sorted(flat[n : n + 6]) for n in range(0, 24, 6)] == [list(range(6))] * 4
    assert len({tuple(flat[n : n + 6]) for n in range(0, 24, 6)}) > 1
    other = Drawn()
    trained(tmp_path / "other", other, steps=6, batch=2, accumulate=2, seed=1)
    assert other.seen != drawn.seen


def test_accumulated_batches_are_one_step_of_the_mean(tmp_path: Path) -> None:
    """The gradient of two halves is the mean of theirs, as of one batch."""
    schedule, network, base = DDPMScheduler.from_config(SCHEDULER), controlnet.begin(unet(), factor=2), unet()
    losses = [
        controlnet._loss(base, network, schedule, Drawn().batch([n], 0), Settings(), n, "cpu").item() for n in range(2)
    ]
    events: list[dict[str, Any]] = []
    examples = Drawn()
    examples.batch = lambda numbers, seed: Drawn.batch(examples, [seed], seed)  # type: ignore[method-assign]
    controlnet.train(
        base, SCHEDULER, examples, tmp_path, Settings(steps=1, batch=1, accumulate=2), factor=2, report=events.append
    )
    assert events[-1]["loss"] == pytest.approx(sum(losses) / 2, rel=1e-4)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_loss_is_of_what_the_unet_predicts(kind: str) -> None:
    class Perfect:
        """A UNet that knows the answer; what it gets beside the latents is not looked at."""

        dtype = torch.float32

        def __call__(self, noisy: torch.Tensor, times: torch.Tensor, **named: Any) -> tuple[torch.Tensor]:
            signal = schedule.alphas_cumprod[times][:, None, None, None]
            clean = batch.latents
            noise = (noisy - signal.sqrt() * clean) / (1 - signal).sqrt()
            answers = {
                "epsilon": noise,
                "sample": clean,
                "v_prediction": signal.sqrt() * noise - (1 - signal).sqrt() * clean,
            }
            return (answers[kind],)

    schedule = DDPMScheduler(beta_schedule="scaled_linear", prediction_type=kind)
    batch = Drawn().batch(range(4), 0)
    network = controlnet.begin(unet(), factor=2)
    loss = controlnet._loss(Perfect(), network, schedule, batch, Settings(gamma=5.0), 3, "cpu")
    assert float(loss) < 1e-4


def test_min_snr_weighs_by_hand() -> None:
    schedule = DDPMScheduler(beta_schedule="scaled_linear")
    times = torch.tensor([0, 999])
    ratio = schedule.alphas_cumprod[times] / (1 - schedule.alphas_cumprod[times])
    assert ratio[0] > 5 > ratio[1]
    weights = objective.weights(schedule, times, 5.0)
    assert weights.tolist() == pytest.approx([float(5 / ratio[0]), 1.0])
    of_velocity = DDPMScheduler(beta_schedule="scaled_linear", prediction_type="v_prediction")
    velocity = objective.weights(of_velocity, times, 5.0)
    assert velocity.tolist() == pytest.approx([float(5 / (ratio[0] + 1)), float(ratio[1] / (ratio[1] + 1))])


def test_another_trainings_state_is_refused(tmp_path: Path) -> None:
    trained(tmp_path, steps=4)
    with pytest.raises(BadSpec, match="another rate"):
        trained(tmp_path, steps=4, rate=1e-3)
    trained(tmp_path, steps=4, save_every=2)
    (tmp_path / STATE).write_bytes(b"")
    with pytest.raises(BadSpec, match="no state"):
        trained(tmp_path, steps=4)


@pytest.mark.parametrize("values", [{"steps": 0}, {"rate": 0}, {"rate": float("nan")}, {"decay": 1.0}, {"batch": -1}])
def test_settings_that_cannot_be_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(BadSpec):
        Settings(**values)


def test_the_result_is_written_whole_in_half_precision(tmp_path: Path) -> None:
    network = trained(tmp_path / "state")
    target = tmp_path / "mine"
    target.mkdir()
    (target / "README.md").write_text("a card")
    written = controlnet.write(network, target)
    assert written == (target / "diffusion_pytorch_model.safetensors").stat().st_size
    assert (target / "README.md").read_text() == "a card", "what else lies there stays"
    config = json.loads((target / "config.json").read_text())
    assert "_name_or_path" not in config and str(tmp_path) not in json.dumps(config)
    again = ControlNetModel.from_pretrained(target)
    assert torch.allclose(again.conv_in.weight, network.conv_in.weight, atol=1e-3)
    assert look(target).kind == "controlnet"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


# A folder of pictures


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "conditions").mkdir(parents=True)
    for number, colour in enumerate(("red", "green", "blue")):
        picture = Image.new("RGB", (64 + 8 * number, 64), "white")
        picture.paste(colour, (16, 16, 48, 48))
        picture.save(folder / f"{number}.png")
    (folder / "0.txt").write_text("a red  square\n")
    (folder / "1.txt").write_text("word " * 100)
    Image.new("RGB", (64, 64), (7, 8, 9)).save(folder / "conditions" / "2.png")
    return folder


def examples(tiny_checkpoint: Path, dataset: Path, cache: Path, **more: Any) -> control_examples.FolderExamples:
    pipe = load(look(tiny_checkpoint), "cpu", torch.float32)
    conditioner = Conditioner(pipe, ClipTokenizer.load(tiny_checkpoint / "tokenizer"))
    return control_examples.load(
        dataset, cache, conditioner=conditioner, autoencoder=Autoencoder(pipe.vae, "cpu"), size=(64, 64),
        **{"silent": 0.0, **more},
    )  # fmt: skip


def test_a_folder_becomes_latents_conditions_and_texts(tiny_checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    found = examples(
        tiny_checkpoint, dataset, tmp_path / "cache",
        report=lambda event: notes.append(event["message"]) if event["kind"] == "note" else None,
    )  # fmt: skip
    assert len(found) == 3
    batch = found.batch([0, 1, 2], 0)
    assert batch.latents.shape == (3, 4, 32, 32)
    assert batch.conditions.shape == (3, 3, 64, 64)
    assert batch.embeds.shape == (3, 154, 16), "all as long as the longest, 100 words in two chunks"
    assert batch.conditions[0, 0, 20:44, 14:18].sum() == 24, "canny: one line at the square's side"
    assert torch.allclose(batch.conditions[2, :, 5, 5] * 255, torch.tensor([7.0, 8.0, 9.0])), "its own condition"
    assert notes == ["1 of 3 pictures have no caption"]
    silent = examples(tiny_checkpoint, dataset, tmp_path / "cache", silent=1.0).batch([0, 1], 0)
    assert torch.equal(silent.embeds[0], silent.embeds[1])


def test_the_cache_is_used_again_and_made_anew_when_anything_changed(
    tiny_checkpoint: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    own = Autoencoder.encode
    monkeypatch.setattr(Autoencoder, "encode", lambda self, p: encoded.append(1) or own(self, p))  # type: ignore[func-returns-value]
    cache = tmp_path / "cache"
    first = examples(tiny_checkpoint, dataset, cache).batch([0], 0)
    again = examples(tiny_checkpoint, dataset, cache).batch([0], 0)
    assert len(encoded) == 3 and torch.equal(first.latents, again.latents)
    examples(tiny_checkpoint, dataset, cache, values={"low": 10})
    assert len(encoded) == 6
    Image.new("RGB", (64, 64)).save(dataset / "0.png")
    os.utime(dataset / "0.png", (1, 1))
    examples(tiny_checkpoint, dataset, cache, values={"low": 10})
    assert len(encoded) == 9
    (cache / "examples.json").write_text("{")
    examples(tiny_checkpoint, dataset, cache, values={"low": 10})
    assert len(encoded) == 12


def test_broken_pictures_are_left_out_and_named(tiny_checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    (dataset / "1.png").write_bytes(b"")
    notes: list[str] = []
    found = examples(
        tiny_checkpoint, dataset, tmp_path / "cache",
        report=lambda event: notes.append(event["message"]) if event["kind"] == "note" else None,
    )  # fmt: skip
    assert len(found) == 2
    assert "1.png" in notes[0]
    assert torch.allclose(found.batch([1], 0).conditions[0, :, 5, 5] * 255, torch.tensor([7.0, 8.0, 9.0]))


def test_folders_without_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSpec, match="no pictures"):
        control_examples.sources(tmp_path)
    with pytest.raises(BadSpec, match="no folder"):
        control_examples.sources(tmp_path / "none")

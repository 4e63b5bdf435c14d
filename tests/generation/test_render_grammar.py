"""Prompt editing, alternation and AND while rendering: what the UNet is asked at each step, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from generation.catalogue import Catalogue
from generation.conditioning import Conditioner, Encoded, Plan, Timeline
from generation.engine import Engine
from generation.prompts.tokens import ClipTokenizer
from generation.specs import RenderSpec

LONG = "cat, " * 40


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Engine:
    return Engine(Catalogue([tiny_checkpoint.parent]), device="cpu")


def made(engine: Engine, folder: Path, prompt: str, negative: str = "", **fields: Any) -> np.ndarray:
    """[batch, height, width, 3] of a render."""
    spec = RenderSpec(prompt, negative, model="tiny", **{"seed": 3, **fields})
    result = engine.render(spec, folder / "a.png")
    return np.stack([np.asarray(Image.open(path)) for path in result.paths]).astype(int)


@contextmanager
def watched(engine: Engine) -> Iterator[list[tuple[torch.Tensor, torch.Tensor]]]:
    """(latents, text) the pipeline asks its UNet about, step by step, each [2 * batch, ...], negative rows first."""
    asked: list[tuple[torch.Tensor, torch.Tensor]] = []

    def look(module: Any, args: Any, named: dict[str, Any]) -> None:
        asked.append((args[0].clone(), named["encoder_hidden_states"].clone()))

    handle = engine.prepare("tiny").pipe.unet.register_forward_pre_hook(look, with_kwargs=True)
    try:
        yield asked
    finally:
        handle.remove()


def steps(engine: Engine, folder: Path, prompt: str, negative: str = "", **fields: Any) -> list[Any]:
    with watched(engine) as asked:
        made(engine, folder, prompt, negative, **fields)
    return asked


def test_editing_is_the_first_text_to_the_bit_and_then_the_second(engine: Engine, tmp_path: Path) -> None:
    edited, first, second = (
        steps(engine, tmp_path, f"a {word} on a hill", "blur", steps=6) for word in ("[cat:dog:0.5]", "cat", "dog")
    )
    assert len(edited) == 6
    for step in range(6):
        assert torch.equal(edited[step][1], (first if step < 3 else second)[step][1])
        # The latents that come into a step are those of the steps before it.
        assert torch.equal(edited[step][0], first[step][0]) == (step <= 3)


def test_a_picture_of_an_edited_prompt_is_neither_of_both_and_comes_again(engine: Engine, tmp_path: Path) -> None:
    edited, first, second = (made(engine, tmp_path, p, steps=6) for p in ("[cat:dog:3]", "cat", "dog"))
    assert (edited != first).any()
    assert (edited != second).any()
    assert (edited == made(engine, tmp_path, "[cat:dog:3]", steps=6)).all()
    assert (made(engine, tmp_path, "[cat:dog:6]", steps=6) == first).all()
    assert (made(engine, tmp_path, "[cat:dog:0]", steps=6) == second).all()


@pytest.mark.parametrize(("prompt", "texts"), [("a [red|green|blue] car", 3), ("[fe|]male", 2)])
def test_alternation_changes_at_every_step(engine: Engine, tmp_path: Path, prompt: str, texts: int) -> None:
    seen = [text for _, text in steps(engine, tmp_path, prompt, steps=7)]
    for step in range(7):
        for other in range(step):
            assert torch.equal(seen[step], seen[other]) == ((step - other) % texts == 0)


def test_the_negative_prompt_is_edited_too_and_takes_no_and(engine: Engine, tmp_path: Path) -> None:
    edited, first, second = (
        [text for _, text in steps(engine, tmp_path, "fox", negative, steps=4)]
        for negative in ("[cat:dog:2]", "cat", "dog")
    )
    assert all(torch.equal(edited[n], (first if n < 2 else second)[n]) for n in range(4))
    notes: list[dict[str, Any]] = []
    spec = RenderSpec("fox", "cat AND dog", model="tiny")
    engine.render(spec, tmp_path / "a.png", report=notes.append)
    assert any("negative" in note.get("message", "") for note in notes)
    assert (made(engine, tmp_path, "fox", "cat AND dog") != made(engine, tmp_path, "fox", "cat")).any()


def test_a_second_text_of_more_chunks_leaves_the_first_as_it_is(engine: Engine, tmp_path: Path) -> None:
    edited, first = (steps(engine, tmp_path, prompt, steps=4) for prompt in (f"fox [{LONG}::2]", f"fox {LONG}"))
    assert [text.shape[1] for _, text in edited] == [154, 154, 77, 77]
    assert all(torch.equal(edited[n][1], first[n][1]) for n in range(2))
    empty = engine.prepare("tiny").conditioner("", "").positive
    assert torch.equal(edited[0][1][:1], torch.cat([empty, empty], 1))


@pytest.mark.parametrize("sampler", ["Heun", "DPM2", "DPM++ SDE"])
def test_samplers_of_second_order_count_evaluations(engine: Engine, tmp_path: Path, sampler: str) -> None:
    seen = [text for _, text in steps(engine, tmp_path, "[cat:dog:0.5]", steps=4, sampler=sampler)]
    # The last step is of first order: 7 evaluations of 8, and the change stands in the middle of 8.
    assert [torch.equal(text, seen[0]) for text in seen] == [True] * 4 + [False] * (len(seen) - 4)
    assert len(seen) in {7, 8}


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_editing_without_guidance_and_in_a_batch(engine: Engine, tmp_path: Path, cfg: float) -> None:
    seen = steps(engine, tmp_path, "[cat:dog:2]", steps=4, cfg=cfg, batch=2)
    cat, dog = (engine.prepare("tiny").conditioner(word, "") for word in ("cat", "dog"))
    for step, (latents, text) in enumerate(seen):
        pair = cat if step < 2 else dog
        rows = [pair.negative] * 2 * (cfg > 1) + [pair.positive] * 2
        assert len(latents) == len(rows)
        assert torch.equal(text, torch.cat(rows))


@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_the_sum_by_hand(guided: bool, named: bool) -> None:
    """A UNet that answers with its text's first number plus the latents, its pooled text and time ids."""

    class Unet(torch.nn.Module):
        def forward(self, sample: torch.Tensor, timestep: Any, **kw: Any) -> Any:
            self.rows = len(sample)
            added = kw["added_cond_kwargs"]
            assert kw["cross_attention_kwargs"] == {"scale": 0.5}
            text = kw["encoder_hidden_states"][:, 0, :1] + added["text_embeds"] + added["time_ids"][:, :1]
            residual = kw["down_block_additional_residuals"][0]
            found = sample + text[..., None, None] + residual
            return Out(found) if named else (found,)

    class Out(list[torch.Tensor]):
        """Answers to [0] and to .sample, as what diffusers returns does."""

        def __init__(self, sample: torch.Tensor) -> None:
            super().__init__([sample])
            self.sample = sample

    def encoded(value: float) -> Encoded:
        return Encoded(torch.full((1, 77, 2), value), torch.tensor([[value / 10]]))

    u, a, b, c = (encoded(v) for v in (1.0, 3.0, 8.0, 20.0))
    plan = Plan(
        [Timeline(((1, a), (4, b)), 1.0), Timeline(((4, c),), -0.5)],
        Timeline(((4, u),)),
        u,
    )
    unet, batch = Unet(), 2
    latents = torch.arange(2.0)[:, None, None, None].repeat(1, 4, 2, 2)
    for step, first in enumerate((3.3, 8.8)):
        with plan.composing(unet, batch):
            plan.step = step
            pair = plan.at(step)
            texts = [pair.negative, pair.positive][not guided :]
            pools = [pair.negative_pooled, pair.positive_pooled][not guided :]
            repeat = [1 + guided, 1, 1, 1]
            found = unet(
                latents.repeat(*repeat),
                torch.tensor(5),
                encoder_hidden_states=torch.cat([one.repeat(batch, 1, 1) for one in texts]),
                timestep_cond=None,
                cross_attention_kwargs={"scale": 0.5},
                added_cond_kwargs={
                    "text_embeds": torch.cat([one.repeat(batch, 1) for one in pools]),
                    "time_ids": torch.full((batch * (1 + guided), 6), 0.25),
                },
                down_block_additional_residuals=(torch.zeros(batch * (1 + guided), 4, 2, 2),),
            )
        assert unet.rows == 3 * batch
        answer = (found.sample if named else found[0])[:, 0, 0, 0]
        uncond = torch.arange(2.0) + 1.1 + 0.25
        text = uncond + 1.0 * (first - 1.1) - 0.5 * (22.0 - 1.1)
        assert torch.allclose(answer, torch.cat([uncond, text]) if guided else text)
    assert not unet._forward_pre_hooks
    assert not unet._forward_hooks


def test_a_part_of_weight_zero_is_not_there(engine: Engine, tmp_path: Path) -> None:
    alone = made(engine, tmp_path, "a cat")
    assert (made(engine, tmp_path, "a cat AND a dog :0") == alone).all()
    assert (made(engine, tmp_path, f"a cat AND {LONG} :0") == alone).all()
    assert (made(engine, tmp_path, "a dog :0 AND a cat") == alone).all()
    assert (made(engine, tmp_path, "a cat AND a dog") != alone).any()


def test_and_is_symmetric_and_comes_again(engine: Engine, tmp_path: Path) -> None:
    one = made(engine, tmp_path, "a cat AND a dog :0.6", "blur")
    assert (one == made(engine, tmp_path, "a cat AND a dog :0.6", "blur")).all()
    assert np.abs(one - made(engine, tmp_path, "a dog :0.6 AND a cat", "blur")).max() <= 1
    assert (one != made(engine, tmp_path, "a cat :0.6 AND a dog", "blur")).any()


def test_weights_add_up_to_guidance(engine: Engine, tmp_path: Path) -> None:
    """Halves of one prompt are the prompt; a doubled weight is a doubled scale."""
    whole = made(engine, tmp_path, "a cat", "blur", cfg=4.0)
    assert np.abs(made(engine, tmp_path, "a cat :0.5 AND a cat :0.5", "blur", cfg=4.0) - whole).max() <= 1
    assert np.abs(made(engine, tmp_path, "a cat :2", "blur", cfg=2.0) - whole).max() <= 1
    assert np.abs(made(engine, tmp_path, "a cat AND a cat", "blur", cfg=2.0) - whole).max() <= 1
    # Without guidance, too, a part of weight -1 takes away: what is left is the negative prompt's prediction.
    gone = made(engine, tmp_path, "a cat AND a cat :-1", "blur", cfg=1.0)
    assert np.abs(gone - made(engine, tmp_path, "blur", cfg=1.0)).max() <= 1


def test_and_with_editing_many_chunks_and_a_batch(engine: Engine, tmp_path: Path) -> None:
    prompt = f"a [cat|dog] :0.7 AND {LONG} AND [a fox:(a (red:1.3) fish:1.1):0.5]"
    both = made(engine, tmp_path, prompt, "blur", batch=2, seed=3)
    assert (both == made(engine, tmp_path, prompt, "blur", batch=2, seed=3)).all()
    assert np.abs(both[1] - made(engine, tmp_path, prompt, "blur", seed=4)[0]).max() <= 2
    edited = made(engine, tmp_path, "[cat:dog:2] AND fox", steps=4)
    assert (edited != made(engine, tmp_path, "cat AND fox", steps=4)).any()
    assert (
        made(engine, tmp_path, "[cat:dog:4] AND fox", steps=4) == made(engine, tmp_path, "cat AND fox", steps=4)
    ).all()


def test_a_plain_prompt_hooks_nothing(engine: Engine) -> None:
    loaded = engine.prepare("tiny")
    plan = loaded.conditioner.plan("a (red:1.2) [fox], 16:9 portrait", "blur", 20)
    assert (plan.composed, plan.edited) == (False, False)
    with plan.composing(loaded.pipe.unet, 1):
        assert not loaded.pipe.unet._forward_pre_hooks


@pytest.fixture(scope="module")
def sdxl_engine(tiny_sdxl: Path) -> Engine:
    return Engine(Catalogue([tiny_sdxl.parent]), device="cpu")


@pytest.mark.parametrize("how", ["compel", "a1111"])
def test_sdxl_takes_all_of_it(sdxl_engine: Engine, tmp_path: Path, how: str) -> None:
    def picture(prompt: str, **fields: Any) -> np.ndarray:
        return made(sdxl_engine, tmp_path, prompt, "blur", weighting=how, **fields)

    cat, dog = picture("a cat"), picture("a dog")
    edited = picture("a [cat:dog:0.5]")
    assert (edited != cat).any()
    assert (edited != dog).any()
    assert (picture("a [cat:dog:0]") == dog).all()
    assert (picture("a [cat:dog:4]") == cat).all()
    assert np.abs(picture("a cat :0.5 AND a cat :0.5") - cat).max() <= 1
    assert (picture("a cat AND a dog :0") == cat).all()
    one = picture("a cat AND a (red:1.2) dog", batch=2)
    assert np.abs(one - picture("a (red:1.2) dog AND a cat", batch=2)).max() <= 1
    assert (one[0] != cat[0]).any()


def test_the_pooled_text_is_edited_with_the_rest(sdxl_engine: Engine) -> None:
    conditioner = sdxl_engine.prepare("tiny").conditioner
    plan = conditioner.plan("[cat:dog:2]", "blur", 4)
    cat, dog = (conditioner(word, "blur") for word in ("cat", "dog"))
    for step, wanted in enumerate((cat, cat, dog, dog)):
        found = plan.at(step)
        assert torch.equal(found.positive, wanted.positive)
        assert found.positive_pooled is not None
        assert wanted.positive_pooled is not None
        assert torch.equal(found.positive_pooled, wanted.positive_pooled)


def test_each_text_is_encoded_once(engine: Engine) -> None:
    conditioner = Conditioner(engine.prepare("tiny").pipe, ClipTokenizer.load())
    asked: list[int] = []
    handle = engine.prepare("tiny").pipe.text_encoder.register_forward_hook(lambda *_: asked.append(1))
    try:
        conditioner.plan("[cat|dog] AND cat AND [dog:fish:0.5]", "cat", 50)
    finally:
        handle.remove()
    assert len(asked) == 3

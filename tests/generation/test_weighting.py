"""A1111's emphasis beside Compel's: hand-computed tensors, then a checkpoint of random weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from generation.catalogue import BUNDLED, Catalogue, look
from generation.conditioning import Conditioner
from generation.engine import Engine
from generation.errors import BadSpec
from generation.loading import load
from generation.prompts.chunks import chunk
from generation.prompts.tokens import ClipTokenizer
from generation.specs import RenderSpec
from generation.weighting import emphasise, encode, pool, read_layer, token_row

BOS, EOS = 49406, 49407
SD1 = SimpleNamespace(bos_token_id=BOS, eos_token_id=EOS, pad_token_id=EOS)
SDXL_2 = SimpleNamespace(bos_token_id=BOS, eos_token_id=EOS, pad_token_id=0)


@pytest.fixture(scope="module")
def tokenizer() -> ClipTokenizer:
    return ClipTokenizer.load()


@pytest.fixture(scope="module")
def pipe(tiny_checkpoint: Path) -> Any:
    return load(look(tiny_checkpoint), "cpu", torch.float32)


@pytest.fixture(scope="module")
def sdxl() -> Any:
    """What a conditioner sees of an SDXL: two tokenizers, two encoders of random weights, 16 and 24 wide."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    torch.manual_seed(1)
    common = {
        "vocab_size": 49408,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "max_position_embeddings": 77,
    }
    return SimpleNamespace(
        tokenizer=CLIPTokenizer.from_pretrained(BUNDLED / "tokenizer"),
        tokenizer_2=CLIPTokenizer.from_pretrained(BUNDLED / "tokenizer", pad_token="!"),
        text_encoder=CLIPTextModel(CLIPTextConfig(hidden_size=16, projection_dim=16, **common)).eval(),
        text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(hidden_size=24, projection_dim=20, **common)).eval(),
    )


def plain(encoder: Any, ids: list[int], layer: int | None = None) -> torch.Tensor:
    """What the encoder gives for these ids, with nothing of ours in between."""
    with torch.no_grad():
        found = encoder(torch.tensor([ids]), output_hidden_states=True)
    result: torch.Tensor = found.last_hidden_state if layer is None else found.hidden_states[layer]
    return result


class Table:
    """An encoder whose layer n holds id * (n + 1) in both of its columns, and whose norm adds 1000."""

    device = torch.device("cpu")

    def __init__(self, layers: int = 3) -> None:
        self.seen: list[list[int]] = []
        self._layers = layers
        self.text_model = SimpleNamespace(final_layer_norm=lambda hidden: hidden + 1000)

    def __call__(self, ids: torch.Tensor, attention_mask: Any = None, **options: Any) -> Any:
        self.seen.append(ids[0].tolist())
        layers = [ids[..., None].float().repeat(1, 1, 2) * (n + 1) for n in range(self._layers)]
        return SimpleNamespace(last_hidden_state=layers[-1] + 1000, hidden_states=layers)


def test_hidden_states_times_weights_with_the_mean_put_back() -> None:
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    found = emphasise(hidden, [1.0, 2.0])
    # [1 2; 6 8] has the mean 4.25, and 2.5 was the mean before.
    assert torch.allclose(found, torch.tensor([[[1.0, 2.0], [6.0, 8.0]]]) * 2.5 / 4.25)
    assert float(found.mean()) == pytest.approx(2.5)
    below = emphasise(hidden, [-1.0, 1.0])
    assert torch.allclose(below, torch.tensor([[[-1.0, -2.0], [3.0, 4.0]]]) * 2.5 / 1.0)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_of_1_change_no_bit(kind: torch.dtype) -> None:
    hidden = torch.randn(1, 77, 16, generator=torch.Generator().manual_seed(0)).to(kind)
    found = emphasise(hidden, [1.0] * 77)
    assert found.dtype == kind
    assert torch.equal(found, hidden)


def test_a_mean_of_zero_is_not_divided_by() -> None:
    hidden = torch.tensor([[[1.0], [3.0]]])
    assert torch.equal(emphasise(hidden, [3.0, -1.0]), torch.tensor([[[3.0], [-3.0]]]))


@pytest.mark.parametrize(("which", "padding"), [(SD1, EOS), (SDXL_2, 0)])
def test_a_row_is_begun_ended_and_padded(tokenizer: ClipTokenizer, which: Any, padding: int) -> None:
    (part,) = chunk("a (cat:1.5)", tokenizer)
    ids, weights = token_row(part, which)
    assert ids == [BOS, 320, 2368, EOS, *[padding] * 73]
    assert weights == [1.0, 1.0, 1.5, *[1.0] * 74]
    (full, _) = chunk("cat " * 76, tokenizer)
    assert token_row(full, which)[0] == [BOS, *[2368] * 75, EOS]


def test_the_layer_is_counted_from_the_end_and_normalised() -> None:
    encoder = Table()
    ids = torch.tensor([[5]])
    assert read_layer(encoder, ids, 1)[0, 0, 0] == 5 * 3 + 1000
    assert read_layer(encoder, ids, 2)[0, 0, 0] == 5 * 2 + 1000
    with pytest.raises(BadSpec, match="2 layers"):
        read_layer(encoder, ids, 3)


def test_two_encoders_stand_side_by_side_each_with_its_own_padding_and_mean(tokenizer: ClipTokenizer) -> None:
    first, second = Table(), Table()
    found = encode(chunk("(cat:2) BREAK dog", tokenizer), [SD1, SDXL_2], [first, second])
    assert found.shape == (1, 154, 4)
    assert [row[3:] for row in (first.seen[0], second.seen[0])] == [[EOS] * 74, [0] * 74]
    # The layer before the last, not normalised: twice the id. The second chunk has no weight and is untouched.
    assert found[0, 77 + 1].tolist() == [2 * 1929] * 4
    for side, ids in ((found[0, :77, :2], first.seen[0]), (found[0, :77, 2:], second.seen[0])):
        before = torch.tensor(ids).double() * 2
        weighted = before.clone()
        weighted[1] *= 2
        wanted = weighted * before.mean() / weighted.mean()
        assert torch.allclose(side[:, 0].double(), wanted, rtol=1e-5)


@pytest.mark.parametrize("text", ["a red fox", "", "cat " * 90, "a BREAK b", "(a red:1.0) fox, 猫"])
@pytest.mark.parametrize("skip", [1, 2])
def test_without_weights_it_is_the_plain_encoding_to_the_bit(
    pipe: Any, tokenizer: ClipTokenizer, text: str, skip: int
) -> None:
    wanted = []
    for part in chunk(text, tokenizer):
        ids = [BOS, *part.ids, EOS, *[EOS] * (75 - len(part.ids))]
        if skip == 1:
            wanted.append(plain(pipe.text_encoder, ids))
        else:
            with torch.no_grad():
                wanted.append(pipe.text_encoder.text_model.final_layer_norm(plain(pipe.text_encoder, ids, -skip)))
    found = Conditioner(pipe, tokenizer)(text, "", skip, "a1111").positive
    assert torch.equal(found, torch.cat(wanted, 1))
    compelled = Conditioner(pipe, tokenizer)(text, "", skip, "compel").positive
    assert torch.allclose(compelled, found, atol=1e-6)


def test_weights_mean_something_else_than_to_compel_and_the_mean_of_each_chunk_stays(
    pipe: Any, tokenizer: ClipTokenizer
) -> None:
    conditioner = Conditioner(pipe, tokenizer)
    for text in ("a (red:1.4) fox", "a (red:0.6) fox", "a (red:-1) fox", "(a BREAK b:1.2) c"):
        ours = conditioner(text, "", 1, "a1111").positive
        theirs = conditioner(text, "", 1, "compel").positive
        assert torch.isfinite(ours).all()
        assert torch.isfinite(theirs).all()
        assert not torch.allclose(ours, theirs, atol=1e-3)
    long = "a (red:1.4) fox BREAK the (blue:0.7) sea"
    bare = "a red fox BREAK the blue sea"
    pair = [conditioner(text, "", 1, "a1111").positive for text in (long, bare)]
    for half in (slice(0, 77), slice(77, 154)):
        weighted, unweighted = (tensor[:, half] for tensor in pair)
        assert not torch.equal(weighted, unweighted)
        assert float(weighted.mean()) == pytest.approx(float(unweighted.mean()), abs=1e-6)
        # One token weighs more or less; against each other the other rows stay as they were.
        ratio = weighted[0, 0] / unweighted[0, 0]
        assert torch.allclose(ratio, ratio[0].expand_as(ratio), rtol=1e-4)


def test_a_negative_weight_turns_its_token_round(pipe: Any, tokenizer: ClipTokenizer) -> None:
    conditioner = Conditioner(pipe, tokenizer)
    turned = conditioner("a (red:-1) fox", "", 1, "a1111").positive[0]
    bare = conditioner("a red fox", "", 1, "a1111").positive[0]
    scale = (turned[0] / bare[0]).mean()
    assert torch.allclose(turned[2], -bare[2] * scale, rtol=1e-4)
    assert torch.allclose(turned[3:], bare[3:] * scale, rtol=1e-4)


def test_sdxl(sdxl: Any, tokenizer: ClipTokenizer) -> None:
    conditioner = Conditioner(sdxl, tokenizer)
    (part,) = chunk("a red fox", tokenizer)
    ids = [BOS, *part.ids, EOS]
    bare = conditioner("a red fox", "blur", 1, "a1111")
    wanted = [
        plain(sdxl.text_encoder, ids + [EOS] * (77 - len(ids)), -2),
        plain(sdxl.text_encoder_2, ids + [0] * (77 - len(ids)), -2),
    ]
    assert torch.equal(bare.positive, torch.cat(wanted, -1))
    assert torch.allclose(conditioner("a red fox", "blur").positive, bare.positive, atol=1e-6)
    weighted = conditioner("a (red:1.5) fox", "blur", 1, "a1111")
    assert weighted.positive.shape == (1, 77, 40)
    for side in (slice(0, 16), slice(16, 40)):
        before, after = bare.positive[..., side], weighted.positive[..., side]
        assert not torch.allclose(before, after, atol=1e-3)
        assert float(before.mean()) == pytest.approx(float(after.mean()), abs=1e-6)
    assert not torch.allclose(weighted.positive, conditioner("a (red:1.5) fox", "blur").positive, atol=1e-3)
    # The pooled vector is that of the plain words, whatever weighs what and whoever weighs.
    with torch.no_grad():
        pooled = sdxl.text_encoder_2(torch.tensor([ids + [0] * (77 - len(ids))])).text_embeds
        assert torch.equal(pool(part, sdxl.tokenizer_2, sdxl.text_encoder_2), pooled)
    for found in (bare, weighted, conditioner("a (red:1.5) fox", ""), conditioner("a red fox BREAK a sea", "")):
        assert found.positive_pooled is not None
        assert torch.equal(found.positive_pooled, pooled)


@pytest.mark.parametrize("how", ["compel", "a1111"])
def test_a_shorter_prompt_is_padded_with_the_empty_one(pipe: Any, tokenizer: ClipTokenizer, how: str) -> None:
    conditioner = Conditioner(pipe, tokenizer)
    empty = conditioner("", "", 1, how).positive
    long = conditioner("cat " * 160, "(blur:1.3)", 1, how)
    alone = conditioner("(blur:1.3)", "", 1, how).positive
    assert long.positive.shape == long.negative.shape == (1, 231, 16)
    assert torch.equal(long.negative, torch.cat([alone, empty, empty], 1))


def test_encodings_are_remembered_by_text_layer_and_weighting(pipe: Any, tokenizer: ClipTokenizer) -> None:
    conditioner = Conditioner(pipe, tokenizer)
    first = conditioner("a (red:1.3) fox", "")
    asked: list[int] = []
    with_hook = pipe.text_encoder.register_forward_hook(lambda *_: asked.append(1))
    try:
        assert conditioner("a (red:1.3) fox", "").positive is first.positive
        assert conditioner("", "a (red:1.3) fox").negative is first.positive
        assert asked == []
        others = [conditioner("a (red:1.3) fox", "", 2), conditioner("a (red:1.3) fox", "", 1, "a1111")]
        assert not any(torch.equal(first.positive, other.positive) for other in others)
        assert asked
        asked.clear()
        conditioner.clear()
        assert torch.equal(conditioner("a (red:1.3) fox", "").positive, first.positive)
        assert asked
    finally:
        with_hook.remove()


def test_a_spec_takes_both_names_and_says_the_nearest() -> None:
    assert RenderSpec("a", weighting="a1111").weighting == "a1111"
    with pytest.raises(BadSpec) as caught:
        RenderSpec("a", weighting="a111")
    assert caught.value.hint == 'Did you mean "a1111"?'


def test_it_reaches_the_picture_and_unloading_forgets_the_texts(tiny_checkpoint: Path, tmp_path: Path) -> None:
    engine = Engine(Catalogue([tiny_checkpoint.parent]), device="cpu")

    def made(prompt: str, how: str) -> np.ndarray:
        spec = RenderSpec(prompt, model="tiny", seed=3, weighting=how)
        return np.asarray(Image.open(engine.render(spec, tmp_path / "a.png").path))

    assert (made("a (red:1.5) fox", "compel") != made("a (red:1.5) fox", "a1111")).any()
    assert (made("a (red:1.5) fox", "a1111") == made("a (red:1.5) fox", "a1111")).all()
    assert np.abs(made("a fox", "compel").astype(int) - made("a fox", "a1111").astype(int)).max() <= 1
    conditioner = engine.prepare("tiny").conditioner
    assert conditioner._known
    engine.unload()
    assert not conditioner._known

"""Captions as tokens, the text encoder, and its pretraining.

The encoder first learns, alone and in minutes, to say at each word and at the end of a caption what it means; the UNet
then finds the text readable from its first step. Leaves pictures to others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from generation.demo import scenes
from generation.demo.loop import train
from generation.demo.scenes import Scene, Word
from generation.demo.subjects import STYLES, SUBJECTS

WIDTH = 128
LENGTH = 77
BEGIN, END, COMMA = 49406, 49407, 267
# Role -> the values a word of that role can stand for. "main" shares the colours' names.
VALUES: dict[str, list[str]] = {
    "subject": list(SUBJECTS), "colour": list(scenes.COLOURS), "main": list(scenes.COLOURS),
    "place": list(scenes.PLACES), "size": list(scenes.SIZES), "style": list(STYLES),
}  # fmt: skip


def build() -> CLIPTextModel:
    """CLIP's text tower with its whole vocabulary, 128 wide, 2 layers: 6.7 million weights, 6.3 of them vocabulary."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=49408,
            hidden_size=WIDTH,
            intermediate_size=512,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=LENGTH,
            hidden_act="quick_gelu",
            projection_dim=WIDTH,
            bos_token_id=BEGIN,
            eos_token_id=END,
            pad_token_id=END,
        )
    )


class Words:
    """Token ids of single words, remembered: CLIP's vocabulary never joins across a space."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = CLIPTokenizer.from_pretrained(folder)
        self._known: dict[str, list[int]] = {}
        words = [w for w in self._tokenizer.get_vocab() if w.endswith("</w>")]
        self.vocabulary = [w[:-4] for w in words if w[:-4].isascii() and w[:-4].isalpha() and len(w) > 6]

    def __call__(self, word: str) -> list[int]:
        if word not in self._known:
            self._known[word] = self._tokenizer(word, add_special_tokens=False).input_ids
        return self._known[word]


@dataclass
class Tokens:
    """One caption as 1 or 2 rows of 77 ids; `roles` has the role of each token, `ground` marks the background's."""

    ids: list[list[int]]
    roles: list[list[str]]

    @property
    def ground(self) -> list[list[bool]]:
        return [[role == "colour" for role in row] for row in self.roles]


def tokens(clauses: Sequence[Sequence[Word]], words: Words, rows: int) -> Tokens:
    """Clauses joined by commas, cut into rows of 75 tokens between BOS and EOS padding."""
    flat: list[tuple[int, str]] = []
    for number, clause in enumerate(clauses):
        if number:
            flat.append((COMMA, ""))
        for word in clause:
            flat += [(token, word.role) for token in words(word.text)]
    ids, roles = [], []
    for row in range(rows):
        part = flat[row * 75 : row * 75 + 75]
        ids.append([BEGIN, *(t for t, _ in part), *[END] * (LENGTH - 1 - len(part))])
        roles.append(["begin", *(r for _, r in part), *["end"] * (LENGTH - 1 - len(part))])
    return Tokens(ids, roles)


def spread(clauses: list[list[Word]], rng: Random, words: Words) -> list[list[Word]]:
    """Boilerplate between the clauses of a long prompt, so that some of them fall behind token 75."""
    out: list[list[Word]] = []
    cut = rng.randint(0, len(clauses))
    for number, clause in enumerate(clauses):
        if number == cut:
            out += pad(rng, words, 78)
        out.append(clause)
    if cut == len(clauses):
        out += pad(rng, words, 78)
    return out


def pad(rng: Random, words: Words, count: int) -> list[list[Word]]:
    """Clauses without meaning that take at least `count` tokens."""
    out: list[list[Word]] = []
    total = 0
    while total < count:
        clause = scenes.filler(rng, words.vocabulary)
        out.append(clause)
        total += 1 + sum(len(words(word.text)) for word in clause)
    return out


def scatter(clauses: list[list[Word]], rng: Random, words: Words) -> list[list[Word]]:
    """A few meaningless clauses anywhere among the others."""
    out = list(clauses)
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        out.insert(rng.randint(0, len(out)), scenes.filler(rng, words.vocabulary))
    return out


def targets(scene: Scene, main: str) -> dict[str, int]:
    """Role -> index of the value the scene has."""
    return {
        "subject": VALUES["subject"].index(scene.subject), "colour": VALUES["colour"].index(scene.colour),
        "main": VALUES["main"].index(main), "place": VALUES["place"].index(scene.place),
        "size": VALUES["size"].index(scene.size), "style": VALUES["style"].index(scene.style),
    }  # fmt: skip


def pretrain(tokenizer: Path, folder: Path, *, steps: int, device: str) -> None:
    """Train the encoder with one linear reader a role on random captions; saves folder/text_encoder."""
    words = Words(tokenizer)
    encoder = build().to(device)
    readers = nn.ModuleDict({role: nn.Linear(WIDTH, len(v)) for role, v in VALUES.items()}).to(device)

    def step(number: int) -> torch.Tensor:
        rng = Random(number)
        ids, marks = [], []
        for row in range(48):
            scene = scenes.draw_scene(rng)
            main = rng.choice(VALUES["main"])
            clauses = scenes.caption(scene, main, rng)
            if rng.random() < 0.5:
                clauses = scatter(clauses, rng, words)
            made = tokens(clauses, words, 1)
            ids.append(made.ids[0])
            wanted = targets(scene, main)
            said = {word.role for clause in clauses for word in clause if word.role}
            end = made.roles[0].index("end") if "end" in made.roles[0] else LENGTH - 1
            for role in said:
                if role == "colour" and scene.colour2:
                    continue
                places = [n for n, r in enumerate(made.roles[0]) if r == role]
                # The word itself, the end of the caption, and one place in the padding behind it.
                for place in (*places, end, rng.randint(end, LENGTH - 1)):
                    marks.append((role, row, place, wanted[role]))
        hidden = encoder(torch.tensor(ids, device=device)).last_hidden_state
        loss = hidden.new_zeros(())
        for role, reader in readers.items():
            mine = [(r, p, v) for name, r, p, v in marks if name == role]
            if mine:
                r, p, v = (torch.tensor(column, device=device) for column in zip(*mine))
                loss = loss + nn.functional.cross_entropy(reader(hidden[r, p]), v) * len(mine) / len(marks)
        return loss

    average = train("text", [encoder, readers], step, steps=steps, rate=1.5e-3, folder=folder)
    average.modules[0].save_pretrained(folder / "text_encoder")


class Conditions:
    """Encodes captions for the UNet the way Compel does, weights of the background included.

    Above 1 the words' states are scaled away from the empty prompt's; below 1 the whole encoding also moves towards
    the one with these words masked, by tan((1-w)*pi/2) (Compel's EmbeddingsProvider, downweight mode MASK).
    """

    def __init__(self, encoder: CLIPTextModel, device: str) -> None:
        self.encoder = encoder
        self.device = device
        self._empty = [[BEGIN, *[END] * (LENGTH - 1)]]

    def empty(self) -> torch.Tensor:
        """The empty prompt's states [1, 77, width]."""
        return self.encoder(torch.tensor(self._empty, device=self.device)).last_hidden_state

    def __call__(self, batch: Sequence[Tokens], weights: Sequence[float]) -> torch.Tensor:
        """[n, 77 * rows, width] for captions of equally many rows; `weights` act on their `ground` tokens alone."""
        rows = len(batch[0].ids)
        ids = torch.tensor([row for t in batch for row in t.ids], device=self.device)
        hidden = self.encoder(ids).last_hidden_state
        each = torch.tensor(weights, device=self.device).repeat_interleave(rows)
        some = (each != 1).nonzero()[:, 0]
        if len(some):
            ground = torch.tensor([row for t in batch for row in t.ground], device=self.device)[some]
            w = each[some][:, None]
            factor = torch.where(ground, w, torch.ones_like(w))[..., None]
            empty = self.empty()
            scaled = empty + (hidden[some] - empty) * factor
            masked = self.encoder(ids[some], attention_mask=(~ground).long()).last_hidden_state
            masked = empty + (masked - empty) * factor
            pull = torch.tan((1 - w.clamp(1e-5, 1)) * torch.pi / 2)[..., None]
            hidden = hidden.clone()
            hidden[some] = (scaled + masked * pull) / (1 + pull)
        return hidden.reshape(len(batch), rows * LENGTH, -1)

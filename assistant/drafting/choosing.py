"""The language model's share in a draft: one phrase a slot under a grammar, and phrases of its own where it can.

Knows how to ask. What may be chosen is `vocabulary`'s matter; what a model says beyond it is thrown away.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

from assistant.drafting.vocabulary import ORIGIN, Candidate
from assistant.llm import SMALL, LanguageModel, Message
from knowledge.records import Passage

FREE = SMALL
# Of the phrases nearest to the idea, as many are put before the model; with all of them SmolLM2-135M takes the first
# letter it likes ("firelight" for a mountain lake), with five it cannot go far wrong.
NEAREST = 5
OWN = 2  # of the person's own phrases and the template's, besides
# How well each phrase goes with the idea, best high. The worker gives the embedder's similarity.
Rank = Callable[[str, Sequence[str]], Sequence[float]]


def able(model: LanguageModel | None, least: int) -> bool:
    """Whether a model has at least so many weights; a server's, whose count is not known, is taken to have them."""
    return model is not None and (model.parameters == 0 or model.parameters >= least)


def nearest(idea: str, there: Sequence[Candidate], rank: Rank | None, seed: int) -> list[Candidate]:
    """The candidates worth choosing among, the best first; without a rank a draw, the person's and template's first."""
    if rank is not None and there:
        scores = rank(idea, [one.text for one in there])
        there = [there[n] for n in sorted(range(len(there)), key=lambda n: (-scores[n], n))]
    own = [one for one in there if one.origin != ORIGIN][:OWN]
    rest = [one for one in there if one.origin == ORIGIN]
    if rank is None:
        random.Random(f"{seed} {idea}").shuffle(rest)
    kept = [*own, *rest[:NEAREST]]
    return [one for one in there if one in kept] if rank is not None else kept


def choose(
    idea: str,
    slot: str,
    there: Sequence[Candidate],
    chosen: Sequence[str],
    model: LanguageModel | None,
    seed: int,
    check: Callable[[], None],
) -> Candidate | None:
    """The model's choice for a slot; without one the best, another for another seed. None if it names nothing."""
    check()
    if model is None:
        few = there[:3]
        return random.Random(f"{seed} {slot} {idea}").choice(few) if seed else few[0]
    if len(there) == 1:
        return there[0]
    so_far = f"\nPrompt so far: {', '.join(chosen)}" if chosen else ""
    reply = "".join(
        model.stream(
            [
                Message("system", "You write prompts for pictures."),
                Message("user", f"Idea: {idea}{so_far}\nName the {slot} that suits this picture best."),
            ],
            max_tokens=24,
            # Another seed shall give another draft; at 0 the model's likeliest choice is wanted.
            temperature=0.9 if seed else 0.0,
            grammar="root ::= " + " | ".join(json.dumps(one.text, ensure_ascii=False) for one in there) + "\n",
            seed=seed,
            check=check,
        )
    ).lower()
    # A server may not know grammars: what it says counts where it names a candidate, the first named first.
    named = [(reply.find(one.text.lower()), one) for one in there]
    return min(((at, one) for at, one in named if at >= 0), key=lambda pair: pair[0], default=(0, None))[1]


def free(
    idea: str, model: LanguageModel, passages: Sequence[Passage], seed: int, check: Callable[[], None]
) -> list[str]:
    """Three to six phrases in a larger model's own words, informed by the notes."""
    notes = "\n".join(f"- {' '.join(p.text.split())[:400]}" for p in passages[:3])
    reply = "".join(
        model.stream(
            [
                Message(
                    "system",
                    "You complete prompts for pictures: visible details only, short phrases separated by commas, "
                    "no sentences, nothing the idea already says.",
                ),
                Message("user", (f"Notes:\n{notes}\n\n" if notes else "") + f"Idea: {idea}"),
            ],
            max_tokens=80,
            temperature=0.7,
            repeat_penalty=1.15,
            grammar='root ::= phrase (", " phrase){2,5}\nphrase ::= [a-z] [a-z0-9\' -]{3,40}\n',
            seed=seed,
            check=check,
        )
    )
    # The last phrase may be cut short by the token limit.
    return [part.strip() for part in reply.split(",")[:-1] if 1 <= len(part.split()) <= 7]

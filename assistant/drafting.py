"""An idea -> a prompt.

The person's words come first and stay as they are. What is added is chosen by the local model under a grammar that
leaves it no way to ramble: one phrase a slot, from the vocabulary nearest to the idea and from the person's notes.
Models from `FREE` weights on also write phrases of their own.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from assistant.llm import SMALL, LanguageModel, Message
from assistant.words import content_words
from generation.prompts.chunks import chunk
from generation.prompts.grammar import parse
from generation.prompts.tokens import ClipTokenizer
from knowledge.records import Passage

FREE = SMALL
VOCABULARY_ONLY = "vocabulary"
CHUNK = 75
PEOPLE = frozenset(
    [
        "man",
        "woman",
        "person",
        "people",
        "girl",
        "boy",
        "child",
        "portrait",
        "dancer",
        "warrior",
        "player",
        "singer",
        "hand",
        "face",
        "crowd",
        "couple",
        "family",
        "actor",
        "alien",
        "human",
        "figure",
        "character",
    ]
)
# How well each phrase goes with the idea, best high. The worker gives the embedder's similarity.
Rank = Callable[[str, Sequence[str]], Sequence[float]]


@dataclass(frozen=True)
class Source:
    """A passage that gave the phrase `used`."""

    path: str
    title: str
    heading: str
    line_start: int
    line_end: int
    used: str

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Draft:
    """`prompt` starts with the idea; `added` are the phrases behind it, in order."""

    idea: str
    prompt: str
    negative: str
    added: tuple[str, ...]
    sources: tuple[Source, ...]
    model: str

    def to_json(self) -> dict[str, Any]:
        return {
            "idea": self.idea,
            "prompt": self.prompt,
            "negative": self.negative,
            "added": list(self.added),
            "sources": [source.to_json() for source in self.sources],
            "model": self.model,
        }


@cache
def vocabulary() -> dict[str, dict[str, list[str]]]:
    """The slots of `vocabulary/slots.toml`."""
    path = Path(__file__).parent / "vocabulary" / "slots.toml"
    return tomllib.loads(path.read_text("utf-8"))


def expand(
    idea: str,
    model: LanguageModel | None,
    *,
    passages: Sequence[Passage] = (),
    rank: Rank | None = None,
    strength: float = 0.7,
    chunks: int = 1,
    seed: int = 0,
    tokenizer: ClipTokenizer | None = None,
    check: Callable[[], None] = lambda: None,
) -> Draft:
    """Expand `idea`; `strength` 0..1 says how many slots are filled, `chunks` the budget of 75 tokens each.

    With `model` None the best-ranked phrase of each slot is taken. The result never repeats a phrase and never grows
    past the budget (an idea that is longer by itself is returned as it is).
    """
    idea = idea.strip().rstrip(",. \n")
    tokenizer = tokenizer or ClipTokenizer.load()
    taken = content_words(_plain(idea))
    slots = _open_slots(idea, taken, rank, strength)
    noted = dict(_noted(passages, taken))
    if noted:
        slots["notes"] = list(noted)[:8]
    chosen = _choose(idea, slots, model, seed, check) if slots else []
    if model is not None and model.parameters >= FREE and strength > 0:
        chosen = [*_free(idea, model, passages, seed, check), *chosen]
    added: list[str] = []
    seen = set(taken)
    for phrase in chosen:
        words = content_words(phrase)
        if not words or words <= seen:
            continue
        if len(chunk(", ".join([idea, *added, phrase]), tokenizer)) > max(chunks, len(chunk(idea, tokenizer))):
            break
        added.append(phrase)
        seen |= words
    sources = tuple(
        Source(p.path, p.title, p.heading, p.line_start, p.line_end, phrase)
        for phrase, p in noted.items()
        if phrase in added
    )
    prompt = ", ".join([idea, *added])
    name = model.name if model is not None else VOCABULARY_ONLY
    return Draft(idea, prompt, _negative(prompt), tuple(added), sources, name)


def _plain(text: str) -> str:
    """The words of a prompt without its weights and networks."""
    return "".join(part for part, _ in parse(text).flat())


def _open_slots(idea: str, taken: set[str], rank: Rank | None, strength: float) -> dict[str, list[str]]:
    """Slot -> candidates for every slot the idea has not decided, the most telling slots first."""
    lowered = " " + " ".join(re.findall(r"[^\W_]+", idea.lower())) + " "
    slots = {}
    for name, slot in vocabulary().items():
        if name == "negative":
            continue
        if any(f" {sign.replace('-', ' ')} " in lowered for sign in slot["signs"]):
            continue
        phrases = [p for p in slot["phrases"] if not content_words(p) <= taken]
        if rank is not None:
            scores = rank(idea, phrases)
            order = sorted(range(len(phrases)), key=lambda i: -scores[i])
            phrases = [phrases[i] for i in order[:6]]
        slots[name] = phrases
    keep = round(len(slots) * min(max(strength, 0.0), 1.0))
    return dict(list(slots.items())[:keep])


def _noted(passages: Sequence[Passage], taken: set[str]) -> list[tuple[str, Passage]]:
    """Phrases of the notes that read like parts of a prompt, with where they stand.

    Such are short members of comma lists, and what the person set in code marks or bold, in passages that hold at
    least half of the idea's words: one shared word ("blue") had lent a blue alien's skin to an apple.
    """
    found: list[tuple[str, Passage]] = []
    seen: set[str] = set()
    for passage in passages:
        shared = content_words(f"{passage.heading} {passage.text}") & taken
        if not shared or len(shared) < len(taken) / 2:
            continue
        candidates = re.findall(r"`([^`\n]{3,60})`|\*\*([^*\n]{3,40})\*\*", passage.text)
        phrases = [part for pair in candidates for item in pair for part in item.split(",")]
        for line in passage.text.splitlines():
            parts = line.strip(" -*\t").split(",")
            if len(parts) >= 4:
                phrases += parts[1:-1]
        for phrase in phrases:
            phrase = phrase.strip(" .;:").lower()
            words = phrase.split()
            fits = 1 <= len(words) <= 4 and re.fullmatch(r"[a-z0-9][a-z0-9' -]{2,32}", phrase)
            if fits and phrase not in seen and not re.match(r"(and|or|the|a|in|of)\b", phrase):
                seen.add(phrase)
                if not content_words(phrase) <= taken:
                    found.append((phrase, passage))
    return found


def _choose(
    idea: str,
    slots: dict[str, list[str]],
    model: LanguageModel | None,
    seed: int,
    check: Callable[[], None],
) -> list[str]:
    """One phrase a slot: the model's choice under a grammar of exactly these phrases."""
    if model is None:
        return [phrases[0] for phrases in slots.values()]
    rules = ["root ::= " + ' ", " '.join(slots)]
    for name, phrases in slots.items():
        rules.append(f"{name} ::= " + " | ".join(json.dumps(p, ensure_ascii=False) for p in phrases))
    reply = "".join(
        model.stream(
            [
                Message("system", "You write prompts for pictures."),
                Message(
                    "user",
                    f"Idea: {_plain(idea)}\nName the {', '.join(slots)} that suit this picture best.",
                ),
            ],
            max_tokens=16 * len(slots),
            grammar="\n".join(rules) + "\n",
            seed=seed,
            check=check,
        )
    )
    allowed = {phrase for phrases in slots.values() for phrase in phrases}
    return [part for part in reply.strip().split(", ") if part in allowed]


def _free(
    idea: str,
    model: LanguageModel,
    passages: Sequence[Passage],
    seed: int,
    check: Callable[[], None],
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
                Message("user", (f"Notes:\n{notes}\n\n" if notes else "") + f"Idea: {_plain(idea)}"),
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


def _negative(prompt: str) -> str:
    """A proposal: what spoils such a picture, without a word that the prompt asks for."""
    lists = vocabulary()["negative"]
    words = content_words(prompt)
    drawn = words & content_words(
        "painting drawing sketch illustration vector render print icon comic engraving linocut"
    )
    if words & content_words("photo photograph photographs film"):
        drawn = set()
    proposal = lists["always"] + (lists["drawing"] if drawn else lists["photograph"])
    if words & content_words(" ".join(PEOPLE)):
        proposal = proposal + lists["people"]
    unique = dict.fromkeys(phrase for phrase in proposal if not content_words(phrase) & words)
    return ", ".join(unique)

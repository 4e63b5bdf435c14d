"""An idea -> a prompt.

The person's words come first and stay as they are. What is added is chosen by the local model under a grammar that
leaves it no way to ramble: one phrase a slot, from the vocabulary nearest to the idea and from what the person has
written, each held against what stands there already. Models from `choosing.FREE` weights on also write phrases of
their own, those from `sentences.OWN_WORDS` on whole sentences, which are verified.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assistant.drafting import choosing, negatives, own, sentences, templates, translation, vocabulary
from assistant.drafting.attaching import attach
from assistant.drafting.choosing import Rank
from assistant.drafting.vocabulary import Candidate
from assistant.errors import BadArgument, nearest
from assistant.llm import LanguageModel
from generation.prompts.chunks import chunk
from generation.prompts.grammar import parse
from generation.prompts.tokens import ClipTokenizer
from knowledge.records import Passage

VOCABULARY_ONLY = "vocabulary"
MODEL = "model"
MOST_NOTES = 2  # phrases of notes in one draft


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
    """`prompt` starts with the idea; `added` are the phrases behind it, in order, `origins` whose each is.

    `style` is tags or sentence, `template` the name of the one used. `translated` is the idea in English where it
    was put into it, and what the prompt then starts with. `notes` are lines for the person.
    """

    idea: str
    prompt: str
    negative: str
    added: tuple[str, ...]
    sources: tuple[Source, ...]
    model: str
    style: str = sentences.TAGS
    template: str = templates.OTHERWISE
    origins: Mapping[str, str] = field(default_factory=dict)
    translated: str = ""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "idea": self.idea,
            "prompt": self.prompt,
            "negative": self.negative,
            "added": list(self.added),
            "sources": [source.to_json() for source in self.sources],
            "model": self.model,
            "style": self.style,
            "template": self.template,
            "origins": dict(self.origins),
            "translated": self.translated,
            "notes": list(self.notes),
        }


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
    style: str = sentences.AUTO,
    template: str = templates.AUTO,
    templates_file: Path | None = None,
    phrases: Mapping[str, Sequence[str]] | None = None,
    negative: str = "",
    family: str = "",
    avoid: frozenset[str] = frozenset(),
) -> Draft:
    """Expand `idea`; `strength` 0..1 says how many slots are filled, `chunks` the budget of 75 tokens each.

    With `model` None the best-ranked phrase of each slot is taken. `phrases` are the person's own by their origin
    (`own.of_styles`, `own.of_prompts`), `negative` what the person has, which the proposal goes on from, `family` the
    model's ("sd15", "sdxl", "flux"). Phrases in `avoid` are taken only where a slot has no other. The result never
    repeats a phrase and never grows past the budget (an idea that is longer by itself is returned as it is).
    Raises `BadArgument` for a style, template or family there is not, and for a broken templates file.
    """
    if style not in sentences.STYLES:
        raise BadArgument(f'there is no style "{style}"', nearest(style, sentences.STYLES))
    idea = idea.strip()
    english, notes = idea, []
    if translation.foreign(idea):
        put = translation.translate(idea, model, check=check)
        english = put.text
        if put.note:
            notes.append(put.note)
    about = vocabulary.profile(_plain(english))
    layout = templates.choose(template, about, templates.load(templates_file))
    form = sentences.form_of(english) if style == sentences.AUTO else style
    work = _Work(
        english, about, layout, form, model, rank, seed, check,
        tokenizer or ClipTokenizer.load(), max(chunks, 1), avoid,
    )  # fmt: skip
    noted = own.of_notes(passages, about.words)
    strength = min(max(strength, 0.0), 1.0)
    if strength:
        work.fill(strength, phrases or {}, passages, noted)
    prompt = work.prompt()
    if prompt is None:
        prompt = english
        notes.append("Nothing can be put behind this prompt without changing what it means.")
    added = [one for one in work.ordered() if prompt != english]
    if form == sentences.SENTENCE and added and choosing.able(model, sentences.OWN_WORDS) and model is not None:
        told = sentences.own_words(english, added, model, seed, check)
        if told is not None and work.fits(told):
            prompt = told
    return Draft(
        idea,
        prompt,
        negatives.propose(
            prompt, negative, kind=work.kind, subjects=(about.subject,), family=family, more=layout.negative
        ),
        tuple(one.text for one in added),
        tuple(
            Source(p.path, p.title, p.heading, p.line_start, p.line_end, phrase)
            for phrase, p in noted.items()
            if any(one.text == phrase and one.origin == own.NOTES for one in added)
        ),
        model.name if model is not None else VOCABULARY_ONLY,
        form,
        layout.name,
        {one.text: one.origin for one in added},
        english if english != idea else "",
        tuple(notes),
    )


def variants(idea: str, model: LanguageModel | None, count: int, *, seed: int = 0, **options: Any) -> list[Draft]:
    """Up to `count` drafts of one idea, the first as `expand` gives it; no two add the same phrases.

    `options` are those of `expand`. Fewer come back where the phrases that suit the idea are used up.
    """
    found: list[Draft] = []
    used: frozenset[str] = frozenset()
    for number in range(count):
        draft = expand(idea, model, seed=seed + number, avoid=used, **options)
        if any(set(draft.added) == set(one.added) for one in found):
            break
        found.append(draft)
        used |= frozenset(draft.added)
    return found


def _plain(text: str) -> str:
    """The words of a prompt without its weights, networks and keywords."""
    parts = [part if (part, weight) != ("BREAK", -1.0) else " " for part, weight in parse(text).flat()]
    return " ".join("".join(parts).replace(" AND ", ", ").split())


class _Work:
    """One draft in the making: what is chosen so far, and whether one phrase more still fits."""

    def __init__(
        self,
        idea: str,
        about: vocabulary.Profile,
        layout: templates.Template,
        form: str,
        model: LanguageModel | None,
        rank: Rank | None,
        seed: int,
        check: Callable[[], None],
        tokenizer: ClipTokenizer,
        chunks: int,
        avoid: frozenset[str],
    ) -> None:
        self.idea, self.about, self.layout, self.form = idea, about, layout, form
        self.model, self.rank, self.seed, self.check = model, rank, seed, check
        self.tokenizer, self.avoid = tokenizer, avoid
        self.budget = max(chunks, len(chunk(idea, tokenizer)))
        self.kind = about.kind
        self.chosen: list[Candidate] = []

    def fill(
        self,
        strength: float,
        phrases: Mapping[str, Sequence[str]],
        passages: Sequence[Passage],
        noted: Mapping[str, Passage],
    ) -> None:
        """Fill the open slots as far as the strength says, then what the notes and a larger model lend."""
        open_ = [slot for slot in self.layout.slots if not vocabulary.decided(slot, self.about.text)]
        open_ = open_[: round(len(open_) * strength)]
        for slot in sorted(open_, key=lambda slot: slot != "medium"):  # the medium decides what suits the others
            first = self.layout.phrases.get(slot, ())
            there = vocabulary.candidates(slot, self.about, self.kind, phrases, first)
            self._take(slot, [one for one in there if vocabulary.goes_with(one.text, self.about, self._texts())])
            if slot == "medium":
                self.kind = self.about.kind or vocabulary.kind_of(" ".join(self._texts()))
        if choosing.able(self.model, choosing.FREE) and self.model is not None:
            written = choosing.free(self.about.text, self.model, passages, self.seed, self.check)
            for text in written:
                self._put(Candidate("free", text, origin=MODEL))
        rest = [Candidate("notes", text, origin=own.NOTES) for text in noted][:8]
        for _ in range(MOST_NOTES if strength >= 0.5 else 1):
            rest = [one for one in rest if self._lends(one.text)]
            self._take("notes", rest)

    def _texts(self) -> list[str]:
        return [one.text for one in self.chosen]

    def _lends(self, text: str) -> bool:
        """Whether a phrase that is not of the vocabulary says something new and nothing against the rest."""
        words = vocabulary.said_by(text)
        seen = self.about.words.union(*(vocabulary.said_by(one) for one in self._texts()))
        return (
            bool(words - seen)
            and not vocabulary.recounts(self.about.text, text, strict=False)
            and not any(vocabulary.clash(text, one) for one in [self.about.text, *self._texts()])
        )

    def _take(self, slot: str, there: Sequence[Candidate]) -> None:
        there = [one for one in there if one.text not in self.avoid] or list(there)
        if not there:
            return
        there = choosing.nearest(self.about.text, there, self.rank, self.seed)
        one = choosing.choose(self.about.text, slot, there, self._texts(), self.model, self.seed, self.check)
        if one is not None:
            self._put(one)

    def _put(self, one: Candidate) -> None:
        if not self._lends(one.text):
            return
        self.chosen.append(one)
        text = self.prompt()
        if text is None or not self.fits(text):
            self.chosen.pop()

    def ordered(self) -> list[Candidate]:
        """What is chosen in the order of the template; a model's own phrases first, those of the notes last."""
        places = {slot: n for n, slot in enumerate(["free", *self.layout.slots, "notes"])}
        return sorted(self.chosen, key=lambda one: places[one.slot])

    def prompt(self) -> str | None:
        if self.form == sentences.SENTENCE:
            return sentences.compose(self.idea, self.ordered())
        return attach(self.idea, ", ".join(one.text for one in self.ordered()))

    def fits(self, text: str) -> bool:
        return len(chunk(text, self.tokenizer)) <= self.budget

"""What can be completed at a place of a prompt: networks, embeddings, wildcards, styles, and phrases of the field.

Pure functions of a text, a place and the names there are; who knows the names (`Names`) and shows the list is left to
the screens. Also says which names a prompt uses that nobody has, with the nearest.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generation.prompts.grammar import Warning, parse

if TYPE_CHECKING:
    from generation.catalogue import ModelEntry

MOST = 8
SHORTEST = 2  # letters before a phrase is proposed
LIKENESS = 0.84  # of a word to an embedding's name, that it may be a slip of
KINDS = {"lora": ("lora", "lycoris"), "lyco": ("lora", "lycoris"), "hypernet": ("hypernetwork",)}
NETWORKS = ("lora", "lycoris", "hypernetwork")

_NETWORK = re.compile(r"<(lora|lyco|hypernet)?(:)?([^<>:\n]*)$")
_WILDCARD = re.compile(r"__([\w\-/*. ]*)$")
_STYLE = re.compile(r"(?:^|(?<=[\s,(]))@([^\n,()@<>]*)$")
_EMBEDDING = re.compile(r"\bembedding:([\w.\- ]*)$", re.IGNORECASE)
_PHRASE = re.compile(r"[^\s,.()\[\]{}<>:|@][^,.()\[\]{}<>:|@\n]*$")
_WORD = re.compile(r"[^\s,()\[\]<>:|]+")


@dataclass(frozen=True)
class Names:
    """The names there are. `networks` and `embeddings` are catalogue entries, `phrases` {phrase: where it is from},
    `templates` what an idea can be expanded by, `vectors` {embedding: the tokens it takes}."""

    networks: Sequence[ModelEntry] = ()
    embeddings: Sequence[ModelEntry] = ()
    wildcards: Sequence[str] = ()
    styles: Sequence[str] = ()
    phrases: dict[str, str] = field(default_factory=dict)
    templates: Sequence[str] = ()
    vectors: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """One proposal: `insert` replaces the range; `shown` and `note` are for the list. Kinds: lora, ..., phrase."""

    insert: str
    shown: str
    kind: str
    note: str = ""


@dataclass(frozen=True)
class Completion:
    """Proposals for text[start:end]."""

    start: int
    end: int
    items: tuple[Item, ...]


NONE = Completion(0, 0, ())


def complete(text: str, place: int, names: Names) -> Completion:
    """What can stand at `place` in `text`, the likeliest first, `MOST` at most; nothing inside of a finished name."""
    before = text[:place]
    if match := _NETWORK.search(before):
        return _networks(match, text, place, names)
    if match := _WILDCARD.search(before):
        found = _ranked(match[1], names.wildcards)
        end = place + 2 if text.startswith("__", place) else place
        return _completion(match.start(), end, [Item(f"__{n}__", n, "wildcard") for n in found])
    if match := _EMBEDDING.search(before):
        found = _ranked(match[1], [entry.name for entry in names.embeddings])
        return _completion(match.start(), place, [Item(name, name, "embedding") for name in found])
    if match := _STYLE.search(before):
        found = _ranked(match[1], names.styles)
        return _completion(match.start(), place, [Item(name, name, "style") for name in found])
    if place < len(text) and text[place].isalnum():
        return NONE
    match = _PHRASE.search(before)
    if match is None or len(match[0].strip()) < SHORTEST:
        return NONE
    return _phrases(match, place, names)


def _networks(match: re.Match[str], text: str, place: int, names: Names) -> Completion:
    kind, colon, written = match[1] or "", match[2], match[3]
    kinds = KINDS.get(kind, NETWORKS) if colon else NETWORKS
    table = {entry.name: entry for entry in names.networks if entry.kind in kinds}
    found = _ranked(written if colon else "" if kind else written, table)
    closing = re.match(r"(:[^<>\s,]*)?>", text[place:])
    items = []
    for name in found:
        tag = kind if kind and colon else "hypernet" if table[name].kind == "hypernetwork" else "lora"
        behind = closing[0] if closing else ":1>"
        items.append(Item(f"<{tag}:{name}{behind}", name, table[name].kind, _about(table[name])))
    return _completion(match.start(), place + (closing.end() if closing else 0), items)


def _about(entry: ModelEntry) -> str:
    """The family and the trigger words, where the catalogue knows them."""
    triggers: Any = getattr(entry, "triggers", ()) or ()
    return "  ".join(part for part in (entry.family if entry.family != "unknown" else "", ", ".join(triggers)) if part)


def _phrases(match: re.Match[str], place: int, names: Names) -> Completion:
    """Phrases that go on from what stands since the last comma, or from fewer of its last words."""
    for word in re.finditer(r"\S+", match[0]):
        written = match[0][word.start() :]
        if len(written) < SHORTEST:
            break
        found = [Item(e.name, e.name, "embedding") for e in names.embeddings if _begins(written, e.name)]
        found += [Item(p, p, "phrase", source) for p, source in names.phrases.items() if _begins(written, p)]
        found = [item for item in found if item.insert.casefold() != written.casefold()]
        if found:
            start = match.start() + word.start()
            return _completion(start, place, sorted(found, key=lambda item: (len(item.shown), item.shown)))
    return NONE


def _begins(words: str, phrase: str) -> bool:
    return phrase.casefold().startswith(words.casefold())


def _ranked(written: str, names: Iterable[str]) -> list[str]:
    """Names that begin with what is written, then those with a part that does, then those that hold it."""
    wanted = written.strip().casefold()
    ranked = []
    for name in names:
        folded = name.casefold()
        if folded.startswith(wanted):
            rank = 0
        elif any(part.startswith(wanted) for part in re.split(r"[\s_\-/.]+", folded)):
            rank = 1
        elif wanted in folded:
            rank = 2
        else:
            continue
        ranked.append((rank, folded, name))
    return [name for _, _, name in sorted(ranked)]


def _completion(start: int, end: int, items: list[Item]) -> Completion:
    return Completion(start, end, tuple(items[:MOST])) if items else NONE


def unknown(text: str, names: Names) -> list[Warning]:
    """Networks and embeddings that are named and nowhere to be found, each with the nearest name.

    An embedding stands in a prompt as a bare word, so only words that look like a slip of an embedding's name count,
    and those behind `embedding:`.
    """
    found = []
    for network in parse(text).networks:
        known = [entry for entry in names.networks if entry.kind in KINDS.get(network.kind, ())]
        if network.kind not in KINDS or not network.name:
            continue
        if network.name.casefold() in {alias.casefold() for entry in known for alias in _aliases(entry)}:
            continue
        found.append(
            Warning(
                f"there is no {network.kind} “{network.name}”{_near(network.name, known)}", network.start, network.end
            )
        )
    embeddings = {entry.name.casefold(): entry.name for entry in names.embeddings}
    for match in re.finditer(r"\bembedding:([\w.\-]+)", text, re.IGNORECASE):
        if match[1].casefold() not in embeddings:
            near_to = _near(match[1], names.embeddings)
            found.append(Warning(f"there is no embedding “{match[1]}”{near_to}", match.start(), match.end()))
    for match in _WORD.finditer(text):
        word = match[0].casefold()
        if len(word) < 6 or word in embeddings:
            continue
        near = difflib.get_close_matches(word, embeddings, n=1, cutoff=LIKENESS)
        if near and abs(len(near[0]) - len(word)) <= 2:
            found.append(Warning(f"“{match[0]}”: did you mean {embeddings[near[0]]}?", match.start(), match.end()))
    return found


def _aliases(entry: ModelEntry) -> list[str]:
    """What a network may be called: its name, its file's, and its path within the folder."""
    path = Path(entry.path)
    return [entry.name, path.name, path.stem, f"{path.parent.name}/{path.stem}", *getattr(entry, "aliases", ())]


def _near(name: str, entries: Iterable[ModelEntry]) -> str:
    folded = {entry.name.casefold(): entry.name for entry in entries}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    return f"; did you mean {folded[close[0]]}?" if close else ""

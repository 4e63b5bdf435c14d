"""What of a passage can be quoted: sentences, list items, settings, headings that say something."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from knowledge import sentences
from knowledge.language import words
from knowledge.records import Passage

READ_PASSAGES = 5  # sentences are taken from these
_MIN_QUOTE = 20  # characters; shorter ones say nothing by themselves
_MIN_WORDS = 3  # beside addresses: a bare link is no answer
_SHORT_ITEM = 6  # words of a list item that is quoted together with the one under it
_HEADING_WORDS = 5  # a shorter heading says nothing by itself
_SETTING = re.compile(r"[^\s:][^:\n]{1,40}:\s+\S")  # "CFG scale: 4" is short and says all


@dataclass(frozen=True)
class Candidate:
    """A possible quote: ``text[start:end]`` of ``passage``, with what it stands under."""

    passage: int
    start: int
    end: int
    text: str
    plain: str
    context: str


def candidates(passages: Sequence[Passage], read: int = READ_PASSAGES) -> list[Candidate]:
    """Sentences, short list items with what is said under them, addresses with what they belong to."""
    found: list[Candidate] = []
    for number, passage in enumerate(passages[:read]):
        text = passage.text
        spans = [span for span in sentences.split(text) if span.kind != "property"]
        above: list[tuple[int, str]] = []  # (indent, text) of what a sentence stands under
        taken = -1  # end of what the candidate before has already taken in
        for position, span in enumerate(spans):
            own = text[span.start : span.end]
            level = -1 if span.kind == "heading" else span.indent
            if span.kind in ("heading", "item"):
                above = [item for item in above if item[0] < level]
            context = above[-1][1] if above else passage.heading.rsplit(" > ", 1)[-1]
            if span.kind in ("heading", "item"):
                above.append((level, own))
            if span.start < taken:
                continue
            plain = sentences.plain(own)
            said = len(words(plain))
            if span.kind == "heading" and said < _HEADING_WORDS:
                continue
            end = span.end
            following = spans[position + 1] if position + 1 < len(spans) else None
            if (
                following is not None
                and following.kind in ("item", "prose")
                and span.kind == "item"
                and following.indent > span.indent
                and said <= _SHORT_ITEM
                and following.end - span.start <= sentences.MAX_CHARACTERS
            ):
                # "VAE", then under it "A way to fix faces": the one is nothing without the other.
                end = following.end
                plain = f"{plain}: {sentences.plain(text[following.start : end])}"
                said = _MIN_WORDS
                position += 1
            if said >= _MIN_WORDS:
                for later in spans[position + 1 :]:  # a line that is an address and no more
                    bare = text[later.start : later.end]
                    if not _is_address(bare) or later.end - span.start > 2 * sentences.MAX_CHARACTERS:
                        break
                    end = taken = later.end
            whole = text[span.start : end]
            setting = bool(_SETTING.match(whole)) and said >= 2
            if setting or (len(whole) >= _MIN_QUOTE and said >= _MIN_WORDS):
                found.append(Candidate(number, span.start, end, whole, plain, context))
    return found


def _is_address(text: str) -> bool:
    return sentences.has_address(text) and not words(sentences.plain(text.strip("`<>()")))

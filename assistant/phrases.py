"""A prompt as its phrases: what stands between commas, line ends and sentences, with brackets and networks whole.

Knows where a prompt may be cut without changing the grammar of the rest. Leaves to others which phrase goes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from assistant.words import content_words
from generation.prompts.grammar import BREAK, NETWORK, parse

Counts = list[tuple[str, int]]
# In order: what is skipped whole, brackets, the keywords, the separators. A keyword begins no sentence: the full stop
# before it is its phrase's own.
_MARK = re.compile(
    rf"\\[()\[\]\\]|{NETWORK.pattern}|[()\[\]]|\bBREAK\b|\bAND\b|[,;\n]|(?<=\w{{4}})\.\s+(?=[A-Z])(?!(?:BREAK|AND)\b)",
    re.DOTALL,
)
_CLOSE = {")": "(", "]": "["}
# Words that praise a picture and show nothing. A phrase of these alone is the first to go.
PRAISE = frozenset(
    content_words(
        """
        masterpiece best high highest top quality highly ultra extremely very super hyper insanely detailed detail
        details intricate intricately elaborate 4k 8k 16k uhd hd hdr fhd highres hires absurdres resolution res
        trending artstation deviantart cgsociety pixiv featured award winning awarded stunning beautiful gorgeous
        amazing incredible awesome perfect professional unreal engine octane rendered sharp focus crisp
        """
    )
)
OPPOSITES = (
    ("sharp", "blurry"), ("sharp", "blurred"), ("day", "night"), ("bright", "dark"), ("indoors", "outdoors"),
    ("monochrome", "colorful"), ("monochrome", "colourful"), ("saturated", "desaturated"), ("summer", "winter"),
    ("sunrise", "sunset"), ("photograph", "painting"), ("photo", "painting"), ("realistic", "cartoon"),
    ("minimalist", "cluttered"), ("young", "old"), ("wet", "dry"), ("hot", "cold"), ("empty", "crowded"),
    ("close-up", "wide shot"), ("low angle", "high angle"), ("low key", "high key"), ("smiling", "crying"),
    ("shallow depth of field", "deep focus"), ("symmetrical", "asymmetrical"), ("modern", "ancient"),
)  # fmt: skip


@dataclass(frozen=True)
class Phrase:
    """A part of a prompt: `text` as it stands, `before` what separates it from the part in front.

    Kinds: phrase, network, break, and (the keywords). `plain` is the text without syntax, `words` its stems.
    `sticky` holds networks alone, or a bracket never closed: without it the parts behind would weigh otherwise.
    """

    kind: str
    text: str
    before: str = ""
    sticky: bool = False
    plain: str = field(default="", compare=False)
    weight: float = field(default=1.0, compare=False)
    words: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def raised(self) -> bool:
        return self.weight > 1 + 1e-6

    @property
    def keyword(self) -> bool:
        return self.kind in {"break", "and"}

    @property
    def key(self) -> str:
        """What makes two phrases the same."""
        if self.kind == "network":
            network = parse(self.text).networks[0]
            return f"<{network.kind}:{network.name}>"
        return " ".join(self.plain.lower().split()).strip(" .") or self.text.strip()

    @property
    def strength(self) -> float:
        """The weight, or the first number of a network."""
        if self.kind != "network":
            return self.weight
        try:
            return float(parse(self.text).networks[0].positional[1])
        except (IndexError, ValueError):
            return 1.0

    @property
    def networks(self) -> str:
        """The networks inside the phrase; they stay when it goes."""
        return " ".join(match[0] for match in NETWORK.finditer(self.text))


@lru_cache(maxsize=256)
def split(text: str) -> tuple[tuple[Phrase, ...], str]:
    """(parts, what stands behind the last); the texts and what is between them make up `text`."""
    groups, lost = _brackets(text)
    cuts: list[tuple[int, int, str]] = []
    for match in _MARK.finditer(text):
        start, end = match.span()
        if any(first < start < last for first, last in groups):
            continue
        if match[0] in {"BREAK", "AND"}:
            cuts.append((start, end, match[0]))
        elif match[0] in {",", ";", "\n"} or match[0].startswith("."):
            cuts.append((start, end, ""))
    parts: list[Phrase] = []
    before, at = "", 0
    for start, end, keyword in [*cuts, (len(text), len(text), "")]:
        body = text[at:start]
        if body.strip():
            inner = body.strip()
            lead = body[: body.index(inner)]
            parts.append(_made(inner, before + lead, any(at <= one < start for one in lost)))
            before = body[len(lead) + len(inner) :]
        else:
            before += body
        if keyword:
            parts.append(Phrase(keyword.lower(), keyword, before))
            before = ""
        else:
            before += text[start:end]
        at = end
    return tuple(parts), before


def _made(text: str, before: str, sticky: bool) -> Phrase:
    if NETWORK.fullmatch(text):
        return Phrase("network", text, before)
    pieces = [(piece, weight) for piece, weight in parse(text).flat() if (piece, weight) != BREAK]
    plain = "".join(piece for piece, _ in pieces).strip()
    weights = [weight for piece, weight in pieces if re.search(r"\w", piece)]
    sticky = sticky or not NETWORK.sub("", text).strip()
    return Phrase("phrase", text, before, sticky, plain, max(weights, default=1.0), frozenset(content_words(plain)))


def _brackets(text: str) -> tuple[list[tuple[int, int]], list[int]]:
    """(places of brackets that belong together, places of those never closed)."""
    open_: dict[str, list[int]] = {"(": [], "[": []}
    groups = []
    for match in _MARK.finditer(text):
        letter = match[0]
        if letter in open_:
            open_[letter].append(match.start())
        elif letter in _CLOSE and open_[_CLOSE[letter]]:
            groups.append((open_[_CLOSE[letter]].pop(), match.start()))
    return groups, open_["("] + open_["["]


def closed(text: str) -> str:
    """The text with the brackets closed that would hold to its end; it means the same."""
    _, lost = _brackets(text)
    ends = "".join(")" if text[at] == "(" else "]" for at in sorted(lost, reverse=True))
    return f"{text} {ends}" if ends and text.endswith("\\") else text + ends


def joined(parts: Iterable[Phrase], behind: str = "") -> str:
    """The parts as one text, each with what stood before it."""
    return ("".join(part.before + part.text for part in parts) + behind).strip()


def phrases(text: str) -> list[Phrase]:
    """The phrases alone, without networks and keywords."""
    return [part for part in split(text)[0] if part.kind == "phrase"]


def frequent(
    history: Sequence[tuple[str, str]], limit: int = 20
) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """(positives, negatives): the phrases in most prompts of [(positive, negative), ...] with how many, most first.

    Weights and capitals do not tell phrases apart; a phrase counts once a prompt.
    """
    return _counted((one for one, _ in history), limit), _counted((other for _, other in history), limit)


def _counted(texts: Iterable[str], limit: int) -> Counts:
    counts = Counter(key for text in texts for key in {part.key for part in phrases(text) if part.words})
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]

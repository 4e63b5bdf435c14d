"""A question that leans on the one before it, made to stand by itself. By rule: no model is asked.

English and Russian. The words taken over are shown to the person ("understood as ..."), so a wrong guess is seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from assistant.words import content_words

# "What about SDXL?", "And for portraits?", "А для SDXL?", "Why?"
_OPENING = re.compile(
    r"^(?:and|or|but|what about|how about|what of|then|also|else|why so|why|so)\b[\s,]*"
    r"|^(?:а|и|но|или|тогда|ещё|еще|почему|зачем)(?=[\s,?])[\s,]*",
    re.IGNORECASE,
)
_POINTING = re.compile(
    r"\b(?:it|its|they|them|their|this one|that one|the same|this|that|these|those|there)\b"
    r"|\b(?:он|она|оно|они|его|её|ее|их|им|ими|ней|нему|нем|нём|него|это|этот|эта|эти|этого|этой|этом|там|то же)\b",
    re.IGNORECASE,
)
# "What is it that ...", "is there", "это" at the head of a definition: words that point at nothing.
_EMPTY = re.compile(r"\b(?:what is it|is there|are there|that is|so that|такое это|что это за)\b", re.IGNORECASE)
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:[-'+.][^\W_]+)*")
_MOST = 8  # words taken over


def leans(question: str) -> bool:
    """Whether a question cannot be understood without the one before it."""
    own = content_words(question)
    if _OPENING.match(question) and len(own) <= 4:
        return True
    if len(own) <= 1 and len(_WORD.findall(question)) <= 3:
        return True
    return bool(_POINTING.search(_EMPTY.sub(" ", question))) and len(own) <= 5


def standalone(question: str, before: Sequence[str]) -> str:
    """`question` with the subject of the latest of `before` (standalone questions, oldest first) added to it.

    Unchanged where there is nothing before or it stands by itself. In "what about X" the old subject's own counterpart
    of X is not looked for: search weighs words, and X is among them.
    """
    if not before or not leans(question):
        return question
    own = content_words(question)
    taken: list[str] = []
    for word in _WORD.findall(before[-1]):
        stems = content_words(word)
        if stems and not stems <= own and word.lower() not in {t.lower() for t in taken}:
            taken.append(word)
    if not taken:
        return question
    bare = question.rstrip(" ?!.")
    return f"{bare} ({' '.join(taken[:_MOST])})?"

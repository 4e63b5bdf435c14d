"""A negative prompt proposed for a prompt: what spoils such a picture, and nothing the prompt asks for.

Knows negative.toml. What the person has written stays in front; the proposal adds only what it does not say.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from typing import Any

from assistant.drafting.attaching import attach
from assistant.drafting.vocabulary import FOLDER, holds, kind_of, subjects_of
from assistant.errors import BadArgument, nearest
from assistant.phrases import phrases
from assistant.prompt_tools import contradictions
from assistant.words import content_words


@cache
def _lists() -> dict[str, Any]:
    return tomllib.loads((FOLDER / "negative.toml").read_text("utf-8"))


def families() -> list[str]:
    return list(_lists()["families"])


def propose(
    prompt: str, given: str = "", *, kind: str = "", subjects: Sequence[str] = (), family: str = "",
    more: Sequence[str] = (),
) -> str:  # fmt: skip
    """`given` and behind it what spoils such a picture: by its kind, by what it shows, by the model's `family`.

    `kind` and `subjects` are read off the prompt where they are not given. `more` are a template's. A model of the
    family "flux" takes no negative, "sdxl" a short one, "sd15" a longer one. Raises `BadArgument` for another family.
    """
    lists = _lists()
    if family and family not in lists["families"]:
        raise BadArgument(f'there is no family "{family}"', nearest(family, lists["families"]))
    limits = lists["families"].get(family, {})
    proposal = [*lists["always"], *more]
    for sort in subjects or subjects_of(prompt)[:1]:
        proposal += lists["subjects"].get(sort, [])
    proposal += lists["kinds"].get(kind or kind_of(prompt), [])
    proposal += limits.get("more", [])
    there = phrases(given)
    said = [part.words for part in there]
    room = max(0, limits.get("most", 10) - len(there))
    added: list[str] = []
    for phrase in proposal:
        words = frozenset(content_words(phrase))
        if len(added) == room or any(words <= one or one <= words for one in said if one):
            continue
        if holds(prompt, lists["unless"].get(phrase, [])):
            continue
        if any(one.where == "both" for one in contradictions(prompt, phrase)):
            continue
        added.append(phrase)
        said.append(words)
    whole = attach(given.strip(), ", ".join(added), negative=True)
    return given.strip() if whole is None else whole

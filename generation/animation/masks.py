r"""Where a frame changes, and where noise is put: masks put together by a schedule of expressions.

    {video_mask}  {init_mask}  {everywhere}  [file.png]          ! not   & and   | or   ^ either   \ without   ( )

Knows Deforum's syntax and order (`&` before `|` before `^` before `\`). Masks are float32 [height, width], 1 where the
frame changes; soft edges stay soft. Leaves files to `sources`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generation.animation import sources
from generation.animation.timelines import Timeline
from generation.errors import BadSpec, nearest

Array = NDArray[Any]
Tree = tuple[Any, ...]
NAMES = ("video_mask", "init_mask", "everywhere")
# The weakest first.
OPERATORS: tuple[tuple[str, Callable[[Array, Array], Array]], ...] = (
    ("\\", lambda one, other: one * (1 - other)),
    ("^", lambda one, other: np.abs(one - other)),
    ("|", np.maximum),
    ("&", np.minimum),
)
GIVEN = "{video_mask}"
DEEPEST = 100
_TOKEN = re.compile(r"\s*(?:\{([^{}]*)\}|\[([^\[\]]*)\]|<([^<>]*)>|(.))", re.DOTALL)


class Masks:
    """The masks of an animation; `files` are those its schedules name.

    Raises `BadSpec` and `BadImage` before the first frame, `BadVideo` where a video cannot be read.
    """

    def __init__(self, line: Timeline, size: tuple[int, int]) -> None:
        self._line, self._settings, self._size = line, line.settings, size
        self._still = sources.mask_of(self._settings, size)
        moving = self._settings["use_mask_video"]
        self._video = sources.followed(self._settings, "video_mask_path", size) if moving else None
        self.files: dict[str, Array] = {}
        self._used = self._still is not None or self._video is not None
        self._trees: dict[str, Tree] = {}
        for name, used in (("mask_schedule", self._used), ("noise_mask_schedule", self._settings["use_noise_mask"])):
            for text in (line.words(name) or (GIVEN,)) if used else ():
                self._trees[text] = _read(text, name)
                self._look(self._trees[text])
        self._made: dict[tuple[int, str], Array | None] = {}

    def at(self, frame: int) -> Array | None:
        """Where the frame changes; None where it does everywhere."""
        return self._of(frame, "mask_schedule") if self._used else None

    def noise(self, frame: int) -> Array | None:
        """Where noise is put before denoising."""
        return self._of(frame, "noise_mask_schedule") if self._settings["use_noise_mask"] else self.at(frame)

    def _of(self, frame: int, name: str) -> Array | None:
        if (frame, name) not in self._made:
            text = self._line.word(name, frame) if self._line.has(name) else GIVEN
            made = self._composed(self._trees[text], frame)
            inverted = made is not None and self._settings["invert_mask"]
            self._made = {key: mask for key, mask in self._made.items() if key[0] == frame}
            self._made[frame, name] = 1 - made if inverted and made is not None else made
        return self._made[frame, name]

    def _composed(self, tree: Tree, frame: int) -> Array | None:
        """None is a mask that is not there: white everywhere."""
        kind, *parts = tree
        if kind == "name":
            return self._named(parts[0], frame)
        if kind == "file":
            return self.files[parts[0]]
        found = [self._composed(part, frame) for part in parts]
        whole = [np.ones(self._size[::-1], np.float32) if one is None else one for one in found]
        return 1 - whole[0] if kind == "!" else dict(OPERATORS)[kind](*whole)

    def _named(self, name: str, frame: int) -> Array | None:
        if name == "everywhere":
            return None
        if name == "init_mask" or self._video is None:
            return self._still
        return sources.adjusted(sources.grey(self._video.at(frame)), self._settings)

    def _look(self, tree: Tree) -> None:
        """Read the files that a tree names."""
        if tree[0] == "file" and tree[1] not in self.files:
            self.files[tree[1]] = sources.mask(tree[1], self._settings, self._size)
        for part in tree[1:]:
            if isinstance(part, tuple):
                self._look(part)


def _read(text: str, name: str) -> Tree:
    """The expression as (operator, operands), ("name", word) or ("file", path). Raises `BadSpec` with the column."""
    tokens: list[tuple[str, str, int]] = []
    for match in _TOKEN.finditer(text.rstrip()):
        kind = ("name", "file", "word", "mark")[(match.lastindex or 1) - 1]
        tokens.append((kind, (match[match.lastindex or 1]).strip(), match.start(match.lastindex or 1) + 1))
    tokens.append(("end", "", len(text) + 1))

    def wrong(what: str, column: int, hint: str = "Write it as in {video_mask} & [file.png].") -> BadSpec:
        return BadSpec(f"{name}: column {column}: {what}", hint)

    def level(strength: int) -> Tree:
        if strength == len(OPERATORS):
            return single()
        mark, made = OPERATORS[strength][0], level(strength + 1)
        while tokens[0][:2] == ("mark", mark):
            tokens.pop(0)
            made = (mark, made, level(strength + 1))
        return made

    def single() -> Tree:
        kind, word, column = tokens.pop(0)
        if kind == "name":
            if word not in NAMES:
                raise wrong(
                    f'there is no mask "{word[:40]}"', column, nearest(word, NAMES) or f"Choose: {', '.join(NAMES)}."
                )
            return "name", word
        if kind == "file":
            return "file", word
        if kind == "word":
            raise wrong(f"<{word[:40]}> needs a network that finds words in pictures, which is not here", column,
                        "Draw the mask and name its file: [file.png].")  # fmt: skip
        if word == "!" and kind == "mark":
            return "!", single()
        if word == "(" and kind == "mark":
            inner = level(0)
            if tokens.pop(0)[:2] != ("mark", ")"):
                raise wrong("a bracket is not closed", column, "Close it.")
            return inner
        if kind == "end" and len(tokens) == 0 and not text.strip():
            return "name", "everywhere"
        raise wrong(f'"{word}" stands where a mask should' if word else "a mask is missing", column)

    if sum(word in {"(", "!"} for _, word, _ in tokens) > DEEPEST:
        raise wrong("nested too deeply", 1, f"At most {DEEPEST} brackets and ! are read.")
    made = level(0)
    if tokens and tokens[0][0] != "end":
        raise wrong(f'"{tokens[0][1][:20]}" is not expected', tokens[0][2])
    return made

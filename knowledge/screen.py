"""Text that came out of files, made safe for a screen."""

from __future__ import annotations

import re

# CSI and OSC sequences and two-character escapes (ECMA-48), then the C0 and C1 controls but tab
# and newline, and the marks that reorder text on a screen (Unicode UAX 9).
_UNSAFE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


def shown(text: str) -> str:
    """``text`` without terminal escapes, control characters and reordering marks: safe to put on a
    screen.
    """
    return _UNSAFE.sub("", text)

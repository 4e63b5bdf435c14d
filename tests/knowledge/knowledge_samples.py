"""Small documents for the library's tests."""

from __future__ import annotations

from collections.abc import Callable

from knowledge.records import Chunk, Document

Put = Callable[..., None]


def document(path: str, title: str = "", sha256: str = "") -> Document:
    return Document(path, sha256 or f"hash of {path}", 1, 1, "text", title or path)


def chunks(*texts: str, heading: str = "") -> list[Chunk]:
    return [
        Chunk(number, text, heading, 1 + 10 * number, 1 + 10 * number + text.count("\n"))
        for number, text in enumerate(texts)
    ]

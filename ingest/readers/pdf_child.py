"""The PDF parser's own process: ``python -m ingest.readers.pdf_child FILE PAGES MEGABYTES
SECONDS``.

A PDF can make a parser loop or take all memory, so pypdf runs here under limits and the reader
(ingest.readers.pdf) watches. Writes JSON lines: one a page ``{"page", "text", "label"}``, before
them ``{"pages", "title"}`` or ``{"error", "status"}``. With the word ``ocr`` behind the numbers pages
without text are recognised. Imports nothing of ours.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
from pathlib import Path
from typing import Any

from pypdf import PdfReader
from pypdf.errors import DependencyError, EmptyFileError, FileNotDecryptedError, PdfReadError

try:
    import resource
except ImportError:  # Windows has no such limits; the watch over time remains
    resource = None  # type: ignore[assignment]


SCANNED = 5  # letters; a page with fewer is a picture
MOST_PICTURES = 12  # of a page
LEAST_PICTURE = 24  # pixels a side; smaller ones are bullets and rules


def tell(record: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def limit(megabytes: int, seconds: int) -> None:
    if resource is None:
        return
    for kind, value in (
        (resource.RLIMIT_AS, megabytes << 20),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, hard))


def labels(reader: PdfReader) -> dict[int, str]:
    """Page number from 1 -> the outline's headings that begin on it or before, "a > b"."""
    starts: dict[int, list[str]] = {}

    def collect(entries: list[Any], above: list[str]) -> None:
        last = above
        for entry in entries[:2000]:
            if isinstance(entry, list):
                if len(above) < 6:
                    collect(entry, last)
                continue
            number = reader.get_destination_page_number(entry)
            last = [*above, " ".join(str(entry.title).split())[:80]]
            if number is not None and number >= 0:
                starts.setdefault(number + 1, last)

    try:
        collect(reader.outline, [])
    except Exception:
        return {}
    found: dict[int, str] = {}
    current = ""
    for number in range(1, len(reader.pages) + 1):
        current = " > ".join(starts[number]) if number in starts else current
        found[number] = current
    return found


def text_of(value: object) -> str:
    """Without lone surrogates, which neither JSON nor SQLite can hold."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


class Recogniser:
    """Text of a page's pictures by rapidocr-onnxruntime, whose package holds its weights; loaded at the first page
    that needs it.
    """

    def __init__(self) -> None:
        self._engine: Any = None

    def lines(self, page: Any) -> str:
        """Recognised lines from top to bottom; the page's own rotation is undone first."""
        if self._engine is None:
            self._engine = importlib.import_module("rapidocr_onnxruntime").RapidOCR()
        numpy = importlib.import_module("numpy")
        said: list[str] = []
        for number, image in enumerate(page.images):
            if number == MOST_PICTURES or image.image is None:
                break
            picture = image.image.convert("RGB")
            if min(picture.size) < LEAST_PICTURE:
                continue
            if page.rotation:
                picture = picture.rotate(-page.rotation, expand=True)
            found, _ = self._engine(numpy.asarray(picture))
            said += [str(line[1]) for line in found or []]
        return "\n".join(said)


def run(path: Path, most_pages: int, recogniser: Recogniser | None = None) -> None:
    reader = PdfReader(path, strict=False)
    if reader.is_encrypted and not reader.decrypt(""):
        tell({"error": "encrypted: needs a password", "status": "failed"})
        return
    count = len(reader.pages)
    title = ""
    try:
        title = text_of(reader.metadata.title or "") if reader.metadata else ""
    except Exception:  # a damaged information dictionary is no reason to lose the text
        title = ""
    tell({"pages": count, "title": title})
    headings = labels(reader)
    for number in range(1, min(count, most_pages) + 1):
        try:
            text = text_of(reader.pages[number - 1].extract_text())
        except (MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:  # one damaged page costs that page
            tell({"page": number, "text": "", "problem": type(error).__name__})
            continue
        record: dict[str, object] = {"page": number, "text": text, "label": text_of(headings.get(number, ""))}
        if recogniser is not None and sum(map(str.isalnum, text)) < SCANNED:
            try:
                record["text"] = text_of(recogniser.lines(reader.pages[number - 1])) or text
                record["ocr"] = True
            except (MemoryError, KeyboardInterrupt):
                raise
            except Exception as error:  # a picture that cannot be decoded costs its page
                record["problem"] = type(error).__name__
        tell(record)


def main(arguments: list[str]) -> int:
    path, pages, megabytes, seconds, *options = arguments
    logging.disable(logging.CRITICAL)
    limit(int(megabytes), int(seconds))
    try:
        run(Path(path), int(pages), Recogniser() if "ocr" in options else None)
    except EmptyFileError:
        tell({"error": "empty file", "status": "skipped"})
    except FileNotDecryptedError:
        tell({"error": "encrypted: needs a password", "status": "failed"})
    except DependencyError:
        tell({"error": "encrypted: pip install cryptography to read it", "status": "failed"})
    except MemoryError:
        tell({"error": f"needs more than {megabytes} MB of memory", "status": "failed"})
    except PermissionError:
        tell({"error": "permission denied", "status": "failed"})
    except (PdfReadError, OSError, ValueError, RecursionError, Exception) as error:
        reason = " ".join(text_of(error).split())[:120] or type(error).__name__
        tell({"error": f"corrupt: {reason}", "status": "failed"})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

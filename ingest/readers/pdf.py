"""PDF text by pypdf in a process of its own, under limits of time, memory, pages and size.

Lines are those of the extracted text, counted within their page. What goes wrong with a file comes
back as a status with one line: encrypted, scanned, corrupt, too long.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from ingest.parsed import Node, Page, Parsed, UnreadableError, split_lines
from ingest.readers.text import paragraphs

SECONDS = 60
MEGABYTES = 2048
PAGES = 2000
# With the extra "ocr" installed pages without text are recognised: seconds each, and more memory.
OCR_SECONDS = 3600
OCR_MEGABYTES = 8192
_TEXT_BYTES = 64 << 20  # of extracted text; a page can repeat a form without end
_POLL = 0.02

_ROOT = Path(__file__).resolve().parents[2]
_NO_TITLE = re.compile(r"untitled|document\d*|microsoft (word|powerpoint)|.*\.\w{2,4}$", re.I)


def read(path: Path, *, check: Callable[[], None]) -> Parsed:
    try:
        if path.stat().st_size == 0:
            raise UnreadableError("empty file", status="skipped")
        with path.open("rb") as stream:
            if b"%PDF" not in stream.read(1024):
                raise UnreadableError("corrupt: it does not begin as a PDF")
    except PermissionError as error:
        raise UnreadableError("permission denied") from error
    except FileNotFoundError as error:
        raise UnreadableError("the file is gone") from error
    with tempfile.TemporaryFile() as output:
        ended = _run(path, output, check)
        output.seek(0)
        records = [json.loads(line) for line in output.read(_TEXT_BYTES).split(b"\n")[:-1] if line.strip()]
    return _parsed(path, records, ended)


def _run(path: Path, output: IO[bytes], check: Callable[[], None]) -> str:
    """Run the child; returns why it ended early, or an empty string."""
    ocr = importlib.util.find_spec("rapidocr_onnxruntime") is not None
    seconds, megabytes = (OCR_SECONDS, OCR_MEGABYTES) if ocr else (SECONDS, MEGABYTES)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), *_python_path()])}
    child = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ingest.readers.pdf_child",
            str(path),
            str(PAGES),
            str(megabytes),
            str(seconds),
            *(["ocr"] if ocr else []),
        ],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment,
    )
    deadline = time.monotonic() + seconds
    try:
        while child.poll() is None:
            check()
            if time.monotonic() > deadline:
                return f"took longer than {seconds} s"
            if os.fstat(output.fileno()).st_size > _TEXT_BYTES:
                return f"holds more than {_TEXT_BYTES >> 20} MB of text"
            time.sleep(_POLL)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    return "" if child.returncode == 0 else "the parser stopped on it"


def _python_path() -> list[str]:
    return [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]


def _parsed(path: Path, records: list[dict[str, Any]], ended: str) -> Parsed:
    for record in records:
        if "error" in record:
            raise UnreadableError(record["error"], status=record.get("status", "failed"))
    total = int(records[0]["pages"]) if records else 0
    title = " ".join(str(records[0]["title"]).split()) if records else ""
    found = [record for record in records if "page" in record]
    if not found:
        raise UnreadableError(f"corrupt: {ended or 'it has no pages'}")
    pages = []
    for record in found:
        lines = split_lines(record["text"])
        nodes = paragraphs(lines)
        label = record.get("label") or ""
        if label and nodes:
            nodes = [Node(nodes[0].line_start, nodes[0].line_start - 1, label, tuple(nodes), "")]
        pages.append(Page(int(record["page"]), lines, tuple(nodes)))
    letters = sum(character.isalnum() for page in pages for line in page.lines for character in line)
    if letters < 5 * len(pages) and letters < 200:
        remedy = "" if any(record.get("ocr") for record in found) else "; pip install rapidocr-onnxruntime reads it"
        raise UnreadableError(f"no text layer (scanned){remedy}", status="skipped")
    recognised = sum(bool(record.get("ocr")) for record in found)
    note = f"{recognised} pages read by OCR" if recognised else ""
    if len(found) < total:
        note = f"{len(found)} of {total} pages read ({ended or f'limit {PAGES}'})"
    return Parsed(
        kind="pdf",
        title=path.stem if len(title) < 3 or _NO_TITLE.match(title) else title,
        pages=tuple(pages),
        properties={"pages": total} | ({"ocr": recognised} if recognised else {}),
        note=note,
    )

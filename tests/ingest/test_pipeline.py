from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ingest_checks import Counting
from ingest_pdfs import pdf

from ingest import pipeline
from ingest.parsed import IngestError
from ingest.pipeline import Outcome, ingest
from ingest.readers import Formats
from knowledge.library import Library


def statuses(outcomes: list[Outcome]) -> dict[str, str]:
    return {Path(outcome.path).name: outcome.status for outcome in outcomes}


def reasons(outcomes: list[Outcome]) -> dict[str, str]:
    return {Path(outcome.path).name: outcome.reason for outcome in outcomes}


def later(path: Path, text: str) -> None:
    """Rewrite a file with another time of change."""
    before = path.stat().st_mtime_ns
    path.write_text(text)
    os.utime(path, ns=(before + 1_000_000, before + 1_000_000))


def test_every_kind_is_read_and_found(library: Library, notes: Path) -> None:
    (notes / "a.md").write_text("# Guidance\n\nThe scale follows the prompt.")
    (notes / "b.txt").write_bytes("Сэмплер эйлера быстрый.".encode("cp1251"))
    (notes / "c.pdf").write_bytes(pdf([["Latents are small pictures"]]))
    (notes / "d.md").write_text("- Block one\n\t- Nested tungsten\n\t\t- deeper\n")
    found = ingest([notes], library)
    assert set(statuses(found).values()) == {"indexed"}
    assert {row.kind for row in library.documents()} == {"markdown", "text", "pdf", "logseq"}
    for query, name in (
        ("guidance", "a.md"),
        ("сэмплеры", "b.txt"),
        ("latent", "c.pdf"),
        ("tungsten", "d.md"),
    ):
        assert Path(library.search(query)[0].path).name == name
    assert library.search("latent")[0].page == 1


def test_unchanged_files_are_not_opened(
    library: Library, notes: Path, embedder: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    (notes / "a.md").write_text("text")
    ingest([notes], library)
    embedder.seen.clear()
    monkeypatch.setattr(pipeline._Run, "hash", None)
    version = library.version()
    assert statuses(ingest([notes], library)) == {"a.md": "unchanged"}
    assert (embedder.seen, library.version()) == ([], version)


def test_a_file_whose_time_alone_changed_is_unchanged(library: Library, notes: Path) -> None:
    (notes / "a.md").write_text("text")
    ingest([notes], library)
    later(notes / "a.md", "text")
    assert statuses(ingest([notes], library)) == {"a.md": "unchanged"}
    assert library.manifest()[str(notes / "a.md")][1] == (notes / "a.md").stat().st_mtime_ns


def test_a_changed_file_replaces_its_chunks(library: Library, notes: Path) -> None:
    (notes / "a.md").write_text("about tungsten")
    ingest([notes], library)
    later(notes / "a.md", "about helium")
    assert statuses(ingest([notes], library)) == {"a.md": "indexed"}
    assert "helium" in library.search("helium")[0].text
    assert library.health()["chunks"] == library.health()["index_vectors"] == 1


def test_a_removed_file_leaves_the_library(library: Library, notes: Path) -> None:
    (notes / "a.md").write_text("alpha")
    (notes / "b.md").write_text("beta")
    ingest([notes], library)
    (notes / "a.md").unlink()
    assert statuses(ingest([notes], library)) == {"a.md": "removed", "b.md": "unchanged"}
    assert library.health()["index_vectors"] == 1
    assert [Path(passage.path).name for passage in library.search("alpha")] == ["b.md"]


def test_a_removed_file_is_dropped_only_below_the_named_folder(library: Library, notes: Path) -> None:
    for name in ("one/a.md", "two/b.md"):
        (notes / name).parent.mkdir()
        (notes / name).write_text(name)
    ingest([notes / "one", notes / "two"], library)
    (notes / "one" / "a.md").unlink()
    assert statuses(ingest([notes / "two"], library)) == {"b.md": "unchanged"}
    assert len(library.documents()) == 2
    assert library.roots() == [str(notes / "one"), str(notes / "two")]


@pytest.mark.parametrize("target", ["sub/a.md", "b.md", "sub/b.md"])
def test_a_moved_file_is_linked_again_without_embedding(
    library: Library, notes: Path, embedder: Counting, target: str
) -> None:
    (notes / "a.md").write_text("# Title\n\nSome text about tungsten.")
    ingest([notes], library)
    embedder.seen.clear()
    (notes / target).parent.mkdir(exist_ok=True)
    shutil.move(notes / "a.md", notes / target)
    (outcome,) = ingest([notes], library)
    assert (outcome.status, outcome.reason) == ("unchanged", f"moved from {notes / 'a.md'}")
    assert embedder.seen == []
    assert library.search("tungsten")[0].path == str(notes / target)
    assert len(library.documents()) == 1


def test_a_copy_is_a_document_of_its_own_without_embedding(library: Library, notes: Path, embedder: Counting) -> None:
    (notes / "a.md").write_text("# Title\n\nThe same text.")
    ingest([notes], library)
    embedder.seen.clear()
    shutil.copy(notes / "a.md", notes / "b.md")
    assert statuses(ingest([notes], library)) == {"a.md": "unchanged", "b.md": "indexed"}
    assert embedder.seen == []


def test_one_bad_file_does_not_harm_the_rest(library: Library, notes: Path) -> None:
    (notes / "good.md").write_text("good text")
    (notes / "empty.md").write_bytes(b"")
    (notes / "blank.txt").write_text("\n \n")
    (notes / "binary.txt").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    (notes / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    (notes / "scan.pdf").write_bytes(pdf([[]]))
    (notes / "nul.txt").write_bytes(b"a\x00" * 3 + bytes(100))
    found = ingest([notes], library)
    assert statuses(found) == {
        "good.md": "indexed",
        "empty.md": "skipped",
        "blank.txt": "skipped",
        "binary.txt": "failed",
        "broken.pdf": "failed",
        "scan.pdf": "skipped",
        "nul.txt": "failed",
    }
    assert all("\n" not in outcome.reason for outcome in found)
    assert reasons(found)["empty.md"] == "empty file"
    # Asked again, they keep status and reason without being read again.
    assert reasons(ingest([notes], library)) == reasons(found)


def test_a_file_that_becomes_unreadable_is_no_longer_cited(library: Library, notes: Path) -> None:
    (notes / "a.md").write_text("about tungsten")
    ingest([notes], library)
    (notes / "a.md").write_bytes(b"\x00" * 64)
    assert statuses(ingest([notes], library)) == {"a.md": "failed"}
    assert library.search("tungsten") == []


def test_a_reader_that_fails_unforeseen_is_one_status(
    library: Library, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (notes / "a.md").write_text("text")
    (notes / "b.txt").write_text("text")

    def fails(formats: Formats, kind: str) -> object:
        raise RuntimeError("surprise\nsecond line")

    monkeypatch.setattr(Formats, "reader", fails)
    found = ingest([notes / "a.md"], library)
    assert reasons(found) == {"a.md": "could not be understood: RuntimeError: surprise"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_one_status(library: Library, notes: Path) -> None:
    (notes / "a.md").write_text("text")
    (notes / "a.md").chmod(0)
    assert reasons(ingest([notes], library)) == {"a.md": "permission denied"}
    (notes / "a.md").chmod(0o600)
    assert statuses(ingest([notes], library)) == {"a.md": "indexed"}


def test_a_file_that_is_too_large_is_not_read(library: Library, notes: Path) -> None:
    with (notes / "huge.txt").open("wb") as stream:
        stream.truncate(200 << 20)  # a hole: it takes no room on the disk
    (outcome,) = ingest([notes], library)
    assert (outcome.status, outcome.reason) == ("skipped", "too large: 200 MB, the limit is 32 MB")


def test_a_path_that_is_not_there_changes_nothing(library: Library, notes: Path) -> None:
    (notes / "a.md").write_text("text")
    with pytest.raises(IngestError):
        ingest([notes, notes / "b.md"], library)
    assert library.documents() == []


def test_a_folder_without_readable_files_is_empty(library: Library, notes: Path) -> None:
    (notes / "x.bin").write_bytes(b"1")
    assert ingest([notes], library) == []


def test_excluded_files_leave_the_library(library: Library, notes: Path) -> None:
    (notes / "a.md").write_text("alpha")
    ingest([notes], library)
    assert statuses(ingest([notes], library, exclude=["a.*"])) == {"a.md": "removed"}


def test_progress_counts_the_files(library: Library, notes: Path) -> None:
    for number in range(5):
        (notes / f"{number}.md").write_text(f"text {number}")
    events: list[dict[str, object]] = []
    ingest([notes], library, report=events.append)
    assert all(event["kind"] == "progress" and event["stage"] == "ingest" for event in events)
    assert [event["done"] for event in events][:5] == [1, 2, 3, 4, 5]
    assert {event["total"] for event in events} == {5}


def test_cancelling_keeps_the_files_that_are_done(library: Library, notes: Path) -> None:
    class StopError(Exception):
        pass

    for number in range(6):
        (notes / f"{number}.md").write_text(f"text {number}")
    stored = 0

    def check() -> None:
        nonlocal stored
        stored = len(library.documents())
        if stored == 3:
            raise StopError

    with pytest.raises(StopError):
        ingest([notes], library, check=check)
    assert len(library.documents()) == 3
    assert set(statuses(ingest([notes], library)).values()) == {"unchanged", "indexed"}
    health = library.health()
    assert health["documents"] == health["index_vectors"] == 6
    assert health["problems"] == []


CHILD = """
import os, sys
from pathlib import Path
from ingest.pipeline import ingest
from knowledge.hashed import HashedWords
from knowledge.library import Library
left = int(sys.argv[3])
def check():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), 9)
with Library(Path(sys.argv[2]), embedder=HashedWords(), writable=True) as library:
    ingest([sys.argv[1]], library, check=check)
"""


def test_killed_anywhere_nothing_is_lost_or_doubled(notes: Path, tmp_path: Path) -> None:
    for number in range(12):
        (notes / f"{number}.md").write_text(f"# Note {number}\n\nAbout subject{number} and more.")
    folder = tmp_path / "library"
    root = Path(pipeline.__file__).parents[1]
    for moment in (20, 45, 70, 95):
        ended = subprocess.run(
            [sys.executable, "-c", CHILD, str(notes), str(folder), str(moment)],
            check=False,
            cwd=root,
        )
        with Library(folder, embedder=Counting()) as library:  # readable after every kill
            for row in library.documents():
                assert library.chunks(row.path)
        if ended.returncode == 0:
            break
        assert ended.returncode == -9
    with Library(folder, embedder=Counting(), writable=True) as library:
        ingest([notes], library)
        health = library.health()
        assert health["documents"] == health["chunks"] == health["index_vectors"] == 12
        assert health["problems"] == []
        for number in range(12):
            assert Path(library.search(f"subject{number}")[0].path).name == f"{number}.md"

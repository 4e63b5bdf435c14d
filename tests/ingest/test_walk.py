from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingest.parsed import IngestError
from ingest.walk import walk


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("text")


def names(root: Path, **options: object) -> list[str]:
    found = walk([root], **options)  # type: ignore[arg-type]
    return [path.relative_to(root.resolve()).as_posix() for path in found.files]


def test_folders_are_walked_whole_and_other_kinds_passed_over(notes: Path) -> None:
    make(notes, "a.md", "b/c/d.txt", "b/x.png", "e.PDF", "Makefile")
    assert names(notes) == ["a.md", "b/c/d.txt", "e.PDF"]


def test_hidden_files_and_machinery_are_passed_over(notes: Path) -> None:
    make(notes, ".hidden.md", ".git/a.md", "node_modules/a.md", "logseq/bak/p/a.md")
    make(notes, "logseq/.recycle/a.md", "logseq/notes.md", "bak/kept.md")
    assert names(notes) == ["bak/kept.md", "logseq/notes.md"]


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("*.txt", ["a.md", "draft/b.md", "draft/deep/c.md"]),
        ("draft", ["a.md", "t.txt"]),
        ("draft/", ["a.md", "t.txt"]),
        ("draft/*", ["a.md", "t.txt"]),
        ("draft/deep", ["a.md", "draft/b.md", "t.txt"]),
        ("nothing", ["a.md", "draft/b.md", "draft/deep/c.md", "t.txt"]),
    ],
)
def test_patterns_leave_files_and_folders_out(notes: Path, pattern: str, left: list[str]) -> None:
    make(notes, "a.md", "draft/b.md", "draft/deep/c.md", "t.txt")
    assert names(notes, exclude=[pattern]) == left


def test_a_file_that_is_named_twice_is_read_once(notes: Path) -> None:
    make(notes, "a.md")
    found = walk([notes / "a.md", notes, str(notes)])
    assert len(found.files) == 1
    assert found.roots == [notes.resolve()]


def test_a_named_file_without_a_reader_has_its_reason(notes: Path) -> None:
    make(notes, "a.xyz")
    found = walk([notes / "a.xyz"])
    assert list(found.passed.values()) == ["no reader for .xyz"]


def test_a_path_that_is_not_there_names_the_nearest(notes: Path) -> None:
    make(notes, "samplers.md")
    with pytest.raises(IngestError) as caught:
        walk([notes / "sampler.md"])
    assert "samplers.md" in caught.value.hint
    with pytest.raises(IngestError):
        walk([notes / "no" / "such" / "path"])


def test_links_are_not_followed_inside_a_folder(notes: Path, tmp_path: Path) -> None:
    make(tmp_path, "outside/secret.md")
    make(notes, "a.md")
    (notes / "loop").symlink_to(notes)
    (notes / "out").symlink_to(tmp_path / "outside")
    (notes / "inner.md").symlink_to(notes / "a.md")
    (notes / "secret.md").symlink_to(tmp_path / "outside" / "secret.md")
    (notes / "broken.md").symlink_to(notes / "gone.md")
    found = walk([notes])
    assert [path.name for path in found.files] == ["a.md"]
    assert {path.name: reason for path, reason in found.passed.items()} == {"secret.md": "a link out of the folder"}


def test_a_link_that_the_person_names_is_followed(notes: Path, tmp_path: Path) -> None:
    make(tmp_path, "outside/a.md")
    (notes / "link").symlink_to(tmp_path / "outside")
    assert [path.name for path in walk([notes / "link"]).files] == ["a.md"]


def test_a_pipe_is_no_file(notes: Path) -> None:
    os.mkfifo(notes / "pipe.md")
    assert walk([notes]).files == []
    assert list(walk([notes / "pipe.md"]).passed.values()) == ["not a regular file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_reported(notes: Path) -> None:
    make(notes, "shut/a.md")
    (notes / "shut").chmod(0)
    try:
        assert list(walk([notes]).unreadable) == [notes.resolve() / "shut"]
    finally:
        (notes / "shut").chmod(0o700)

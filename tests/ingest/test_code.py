from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_checks import assert_verbatim, nothing

from ingest.chunking import chunk
from ingest.parsed import Parsed, UnreadableError
from ingest.readers.code import read

PYTHON = '''"""Сэмплеры."""

import os

LIMIT = 3


# Считает шаги.
@cached
def steps(name: str) -> int:
    """How many steps a sampler takes."""
    if name:
        return LIMIT

    return 0


class Sampler(
    Base,
):
    name = "euler"


if __name__ == "__main__":
    print(steps("euler"))
'''


def source(tmp_path: Path, name: str, content: str | bytes) -> Parsed:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    parsed = read(path, check=nothing)
    assert_verbatim(parsed, chunk(parsed, check=nothing))
    return parsed


def outline(parsed: Parsed) -> list[tuple[str, int, int]]:
    return [
        (node.label, node.children[0].line_start if node.children else node.line_start, node.last_line)
        for node in parsed.pages[0].nodes
    ]


def test_python_is_cut_at_its_definitions(tmp_path: Path) -> None:
    parsed = source(tmp_path, "sampler.py", PYTHON)
    assert outline(parsed) == [
        ("", 1, 1),
        ("", 3, 3),
        ("", 5, 5),
        ("steps", 8, 14 + 1),
        ("Sampler", 18, 21),
        ("", 24, 25),
    ]
    assert (parsed.kind, parsed.title) == ("code", "sampler.py")
    assert parsed.pages[0].nodes[3].children[0].whole


@pytest.mark.parametrize(
    ("name", "content", "names"),
    [
        ("a.js", "export async function draw(x) {\n  y()\n}\n\nexport const pick = (a) => {\n}\n", ["draw", "pick"]),
        ("a.ts", "export interface Shape {\n  x: number\n}\n\ntype Name = string\n", ["Shape", "Name"]),
        ("a.sh", "#!/bin/sh\n\n# builds\nbuild() {\n  make\n}\n\nfunction test {\n  true\n}\n", ["", "build", "test"]),
        ("a.lua", "local function run(x)\n  return x\nend\n\nfunction M.stop()\nend\n", ["run", "M.stop"]),
        ("a.glsl", "#version 330\n\nvec3 tone(vec3 c) {\n  return c;\n}\n\nvoid main() {\n}\n", ["", "tone", "main"]),
        ("a.toml", 'x = 1\n\n# models\n[model]\nname = "a"\n\npath = "b"\n\n[[list]]\ny = 2\n', ["", "model", "list"]),
        ("a.ini", "; настройки\n[Общие настройки]\nx = 1\n", ["Общие настройки"]),
        ("a.yaml", "# top\nmodel:\n  name: a\n\nsteps: 20\n", ["model", "steps"]),
    ],
)
def test_names_of_other_languages(tmp_path: Path, name: str, content: str, names: list[str]) -> None:
    parsed = source(tmp_path, name, content)
    assert [label for label, _, _ in outline(parsed)] == names
    assert parsed.pages[0].nodes[-1].last_line == len(parsed.pages[0].lines)


def test_calls_are_no_definitions(tmp_path: Path) -> None:
    text = "print(1)\nreturn foo(2)\nelse if (x)\nx = def_name(3)\nawait run(\n"
    assert outline(source(tmp_path, "a.py", text)) == [("", 1, 5)]


def test_long_definitions_are_cut_at_blank_lines(tmp_path: Path) -> None:
    body = "".join(f"    step_{number} = {number}\n{chr(10) if number % 10 == 9 else ''}" for number in range(80))
    parsed = source(tmp_path, "a.py", f"def long():\n{body}")
    (node,) = parsed.pages[0].nodes
    assert (node.label, len(node.children)) == ("long", 8)
    assert all(one.heading == "a.py > long" for one in chunk(parsed, check=nothing))


def test_a_file_without_definitions_is_paragraphs(tmp_path: Path) -> None:
    assert outline(source(tmp_path, "a.py", "x = 1\ny = 2\n\nz = 3\n")) == [("", 1, 2), ("", 4, 4)]


@pytest.mark.parametrize(
    ("content", "status"), [(b"", "skipped"), (b"\n\n", "skipped"), (bytes(range(256)) * 9, "failed")]
)
def test_files_that_are_no_source(tmp_path: Path, content: bytes, status: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        source(tmp_path, "a.py", content)
    assert caught.value.status == status


def test_one_endless_line_is_read_soon(tmp_path: Path) -> None:
    parsed = source(tmp_path, "a.js", "function f() {" + "a b " * 5_000 + "}")
    assert outline(parsed) == [("f", 1, 1)]


LINES = ["def a():", "class B:", "[s]", "# c", "@d", "    x", "", "}", "y = 1", "export x", "\x1b[0m"]


@given(st.lists(st.sampled_from(LINES), max_size=30))
def test_every_line_is_in_one_node(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.py"
    path.write_text("\n".join([*lines, "last"]))
    parsed = read(path, check=nothing)
    covered = [
        number
        for top in parsed.pages[0].nodes
        for node in top.walk()
        for number in range(node.line_start, node.line_end + 1)
    ]
    assert len(covered) == len(set(covered))
    assert {number for number, line in enumerate(parsed.pages[0].lines, 1) if line.strip()} <= set(covered)

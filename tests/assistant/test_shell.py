"""The shell as a person uses it: shapes of --json, one-line errors, exit status, and no socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assistant.cli import main
from assistant.errors import BadSetting
from assistant.paths import Paths
from assistant.settings import Settings

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose library uses the embedder that needs no weights, and no language model."""
    folder = tmp_path / "home"
    settings = Settings(Paths.find(folder).make().settings)
    settings["library.embedder"] = "hashed-words"
    settings["llm.backend"] = "off"
    return folder


def run(capsys: pytest.CaptureFixture[str], home: Path, *arguments: str) -> tuple[int, Any, str]:
    status = main([*arguments, "--home", str(home), "--json"])
    out, err = capsys.readouterr()
    return status, json.loads(out) if out.strip() else None, err


def test_notes_in_cited_answer_out(capsys: pytest.CaptureFixture[str], home: Path, tmp_path: Path) -> None:
    note = tmp_path / "notes" / "cfg.md"
    note.parent.mkdir()
    note.write_text("# Sampling\n\n## CFG scale\n\nThe CFG scale pulls the picture towards the prompt.\n", "utf-8")
    status, result, _ = run(capsys, home, "ingest", str(note.parent))
    assert status == 0
    assert set(result) == {"documents", "seconds"}
    assert result["documents"][0] == {"path": str(note), "status": "indexed", "reason": "", "chunks": 1}

    _, found, _ = run(capsys, home, "search", "CFG scale", "-k", "3")
    keys = {"path", "title", "heading", "line_start", "line_end", "page", "score", "text"}
    assert set(found["passages"][0]) == keys

    _, answer, _ = run(capsys, home, "ask", "What does the CFG scale do to the picture?")
    assert {"answer", "refused", "citations", "model"} <= set(answer)
    for citation in answer["citations"]:
        lines = note.read_text("utf-8").split("\n")[citation["line_start"] - 1 : citation["line_end"]]
        assert citation["quote"] in "\n".join(lines)

    _, again, _ = run(capsys, home, "ingest", str(note.parent))
    assert again["documents"][0]["status"] == "unchanged"


def test_prompt_commands(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    _, chunks, _ = run(capsys, home, "prompt", "chunks", "cat " * 80)
    assert [c["tokens"] for c in chunks["chunks"]] == [75, 5]
    assert chunks["tokens"] == 80
    _, parsed, _ = run(capsys, home, "prompt", "parse", "a (b:1.2)")
    assert parsed["parsed"] == [["a ", 1.0], ["b", 1.2]]
    _, draft, err = run(capsys, home, "prompt", "expand", "a fox")
    assert {"prompt", "negative", "sources"} <= set(draft)
    assert draft["prompt"].startswith("a fox, ")
    assert "note: the language model is switched off" in err


def test_a_render_is_written_read_back_and_remembered(
    capsys: pytest.CaptureFixture[str], home: Path, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    target = tmp_path / "a.png"
    options = ("--model", str(tiny_checkpoint), "--steps", "2", "--cfg", "3", "--sampler", "Euler a", "--seed", "5")
    status, result, _ = run(capsys, home, "render", "a violet walrus", "-o", str(target), *options)
    assert status == 0
    assert set(result) >= {"path", "seed", "seconds", "spec"}
    assert (result["path"], result["seed"]) == (str(target), 5)
    _, info, _ = run(capsys, home, "image-info", str(target))
    assert (info["tool"], info["prompt"], info["spec"]) == ("Atelier", "a violet walrus", result["spec"])
    first = target.read_bytes()
    _, again, _ = run(capsys, home, "render", "--again", str(target), "-o", str(tmp_path / "b.png"))
    assert again["spec"] == result["spec"]
    assert Path(again["path"]).read_bytes() == first
    _, found, _ = run(capsys, home, "search", "violet walrus sampler")
    assert "Euler a" in found["passages"][0]["text"]
    _, jobs, _ = run(capsys, home, "jobs")
    assert [job["state"] for job in jobs["jobs"]] == ["done", "done"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serch", "x"], 'Did you mean "search"?'),
        (["search"], "required"),
        (["search", "  "], "empty"),
        (["ingest", "/no/such/folder"], "/no/such/folder"),
        (["render", "a", "--width", "100"], "96 or 104"),
        (["render", "a", "--sampler", "Oiler"], "no sampler"),
        (["render", "a", "--model", "nothing"], "no model"),
        (["render", "a", "--steps", "many"], "many"),
        (["image-info", "/no/picture.png"], "no picture"),
        (["settings", "llm.modle"], 'Did you mean "llm.model"?'),
        (["settings", "llm.backend", "magic"], "llm.backend"),
        (["prompt", "expand", "a", "--strength", "7"], "out of range"),
        (["jobs", "--again", "99"], "no job 99"),
        (["eval", "retrieval", "/no/such"], "/no/such"),
    ],
)
def test_every_mistake_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], home: Path, arguments: list[str], said: str
) -> None:
    status = main([*arguments, "--home", str(home)])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_settings_are_kept_with_the_persons_comments(paths: Paths) -> None:
    paths.settings.write_text("# mine\n[llm]\ncontext = 2048 # small\n", "utf-8")
    settings = Settings(paths.settings)
    settings["studio.steps"] = 12
    text = paths.settings.read_text("utf-8")
    assert "# mine" in text
    assert "context = 2048 # small" in text
    assert Settings(paths.settings)["studio.steps"] == 12


@pytest.mark.parametrize("text", ["[llm", "[llm]\ncontext = 'long'\n", "[llm]\ncontxt = 3\n"])
def test_a_broken_settings_file_is_named(paths: Paths, text: str) -> None:
    paths.settings.write_text(text, "utf-8")
    with pytest.raises(BadSetting, match="settings"):
        Settings(paths.settings)


def test_where_and_models(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    _, where, _ = run(capsys, home, "where")
    assert all(str(home) in p or "samples" in p for p in where["paths"].values())
    _, models, _ = run(capsys, home, "models", "list")
    assert models["models"][0]["name"] == "atelier-demo"


def test_the_terminal_process_stays_light() -> None:
    """Every module of the screens, imported in a process of its own."""
    code = (
        "import sys, pkgutil, importlib, assistant.tui as t, assistant.jobs.runner\n"
        "for m in pkgutil.iter_modules(t.__path__): importlib.import_module('assistant.tui.' + m.name)\n"
        "bad = [m for m in ('torch','transformers','diffusers','chromadb','sentence_transformers','numpy') "
        "if m in sys.modules]\nprint(bad)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


OFFLINE = """
import socket, sys
def refuse(self, address, *rest):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
        print("CONNECT", address); raise OSError("blocked")
    return real(self, address, *rest)
real = socket.socket.connect
socket.socket.connect = refuse
def lookup(host, *rest, **kw):
    if host not in ("127.0.0.1", "::1", "localhost", None): print("LOOKUP", host); raise OSError("blocked")
    return found(host, *rest, **kw)
found = socket.getaddrinfo
socket.getaddrinfo = lookup
from assistant.demo import main
sys.exit(main(["--out", sys.argv[1]]))
"""


@pytest.mark.timeout(1200)  # it loads every model there is; a machine busy with other work needs minutes
def test_the_whole_main_job_runs_with_sockets_blocked(tmp_path: Path) -> None:
    """The demonstration on the real embedder, language model and checkpoint, with every way out shut."""
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "0"},
    )  # fmt: skip
    assert "CONNECT" not in done.stdout
    assert "LOOKUP" not in done.stdout
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "demo.png").is_file()
    assert done.stdout.rstrip().endswith("Every step did what it should.")


def test_the_readmes_tables_are_those_of_the_code() -> None:
    done = subprocess.run([sys.executable, "docs/readme_tables.py", "--check"], check=False, cwd=ROOT)
    assert done.returncode == 0, "run: python docs/readme_tables.py"

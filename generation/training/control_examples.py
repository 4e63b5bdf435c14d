"""A folder of pictures as a ControlNet's examples: latents, conditions and texts, each made once and kept on disk.

`<name>.png` (jpg, webp) with its caption in `<name>.txt`; a picture of the same name in the subfolder `conditions` is
its condition, else a preprocessor makes it. Knows files and the cache. Leaves what a step does to `controlnet`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from generation.autoencoder import Autoencoder
from generation.conditioning import Conditioner
from generation.errors import BadImage, BadSpec
from generation.pictures import fitted, read, to_array
from generation.preprocessors.prepared import prepare, run
from generation.training.controlnet import Batch

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
CONDITIONS = "conditions"
Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]


@dataclass(frozen=True)
class Source:
    """One example's files; `condition` None where a preprocessor makes it."""

    picture: Path
    caption: str
    condition: Path | None


def sources(folder: Path) -> list[Source]:
    """The examples of a folder by name. Raises `BadSpec` for one without pictures."""
    if not folder.is_dir():
        raise BadSpec(f"there is no folder {folder}", "Name a folder of pictures with captions in .txt files.")
    made = {path.stem: path for path in sorted((folder / CONDITIONS).glob("*")) if path.suffix.lower() in PICTURES}
    found = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PICTURES and path.is_file():
            beside = path.with_suffix(".txt")
            caption = beside.read_text("utf-8", errors="replace").strip() if beside.is_file() else ""
            found.append(Source(path, " ".join(caption.split()), made.get(path.stem)))
    if not found:
        raise BadSpec(f"{folder} holds no pictures", f"Put {', '.join(PICTURES)} files there, captions beside them.")
    return found


class FolderExamples:
    """The examples of a folder at one size; `silent` is the share of captions that a step leaves empty."""

    def __init__(
        self,
        latents: np.ndarray,
        conditions: np.ndarray,
        texts: Sequence[tuple[torch.Tensor, torch.Tensor | None]],
        empty: tuple[torch.Tensor, torch.Tensor | None],
        size: tuple[int, int],
        silent: float = 0.1,
    ) -> None:
        self._latents, self._conditions, self._texts, self._empty = latents, conditions, texts, empty
        self._size, self._silent = size, silent

    def __len__(self) -> int:
        return len(self._texts)

    def batch(self, numbers: Sequence[int], seed: int) -> Batch:
        """The examples of these numbers; `seed` decides which captions are left empty."""
        rng = Random(seed)
        texts = [self._empty if rng.random() < self._silent else self._texts[number] for number in numbers]
        longest = max(embeds.shape[1] for embeds, _ in texts)
        embeds = torch.cat([padded(one, self._empty[0], longest) for one, _ in texts])
        pixels = torch.from_numpy(np.stack([self._conditions[number] for number in numbers]))
        latents = torch.from_numpy(np.stack([self._latents[number] for number in numbers]).astype(np.float32))
        added: dict[str, torch.Tensor] = {}
        pooled = [vector for _, vector in texts if vector is not None]
        if pooled:
            width, height = self._size
            ids = torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32)
            added = {"text_embeds": torch.cat(pooled), "time_ids": ids.repeat(len(pooled), 1)}
        return Batch(latents, pixels.permute(0, 3, 1, 2).float() / 255, embeds, added)


def padded(embeds: torch.Tensor, empty: torch.Tensor, length: int) -> torch.Tensor:
    """A text's states [1, length, width]: the empty prompt's chunks behind it, as at a render."""
    missing = (length - embeds.shape[1]) // empty.shape[1]
    return torch.cat([embeds, *[empty] * missing], 1) if missing else embeds


def load(
    folder: Path,
    cache: Path,
    *,
    conditioner: Conditioner,
    autoencoder: Autoencoder,
    size: tuple[int, int],
    kind: str = "canny",
    values: Mapping[str, Any] | None = None,
    silent: float = 0.1,
    report: Report = lambda event: None,
    check: Check = lambda: None,
) -> FolderExamples:
    """The folder's examples at `size` (width, height), latents and conditions kept in `cache` for the next time.

    Pictures are cropped to size around their middle, their conditions with them. One that cannot be read is left out
    with a note. Raises `BadSpec` where none is left, and what the preprocessor raises.
    """
    if size[0] % autoencoder.factor or size[1] % autoencoder.factor:
        raise BadSpec(f"{size[0]}x{size[1]} cannot be encoded", f"Give multiples of {max(autoencoder.factor, 8)}.")
    found = sources(folder)
    settings = dict(values or {})
    key = _key(found, size, kind, settings, autoencoder)
    used = _kept(cache, key)
    if used is None:
        used = _made(found, cache, key, autoencoder, size, kind, settings, report, check)
    chosen = [found[number] for number in used]
    if any(not source.caption for source in chosen):
        count = sum(not source.caption for source in chosen)
        report({"kind": "note", "message": f"{count} of {len(chosen)} pictures have no caption"})
    texts: dict[str, tuple[torch.Tensor, torch.Tensor | None]] = {}
    for number, caption in enumerate(dict.fromkeys(["", *(source.caption for source in chosen)])):
        check()
        report({"kind": "progress", "stage": "captions", "done": number, "total": None})
        told = conditioner(caption, "")
        pooled = told.positive_pooled
        texts[caption] = (told.positive.float().cpu(), pooled.float().cpu() if pooled is not None else None)
    return FolderExamples(
        np.load(cache / "latents.npy", mmap_mode="r"),
        np.load(cache / "conditions.npy", mmap_mode="r"),
        [texts[source.caption] for source in chosen],
        texts[""],
        size,
        silent,
    )


def _key(
    found: Sequence[Source], size: tuple[int, int], kind: str, values: dict[str, Any], autoencoder: Autoencoder
) -> str:
    """What latents and conditions depend on, as one hash; the autoencoder is told by a few of its weights."""
    files = [path for source in found for path in (source.picture, source.condition) if path is not None]
    stamps = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    weights = next(iter(autoencoder.vae.parameters())).flatten()[:8].float().tolist()
    told = json.dumps([stamps, size, kind, values, weights], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _kept(cache: Path, key: str) -> list[int] | None:
    """The numbers of the examples that the cache holds, None where it was made for other ones."""
    try:
        index = json.loads((cache / "examples.json").read_text("utf-8"))
        return [int(number) for number in index["used"]] if index["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _made(
    found: Sequence[Source],
    cache: Path,
    key: str,
    autoencoder: Autoencoder,
    size: tuple[int, int],
    kind: str,
    values: dict[str, Any],
    report: Report,
    check: Check,
) -> list[int]:
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "examples.json").unlink(missing_ok=True)
    arrays: dict[str, np.ndarray] = {}
    used: list[int] = []
    for number, source in enumerate(found):
        check()
        report({"kind": "progress", "stage": "encoding", "done": number, "total": len(found)})
        try:
            picture = fitted(read(source.picture), size, "crop")
            made = prepare("none", source.condition, size, "crop") if source.condition else run(kind, picture, values)
        except BadImage as error:
            report({"kind": "note", "message": f"left out: {error.message}"})
            continue
        row = {
            "latents": autoencoder.encode(to_array(picture)[None])[0].half().cpu().numpy(),
            "conditions": np.asarray(made.convert("RGB"), dtype=np.uint8),
        }
        for name, value in row.items():
            if name not in arrays:
                # On disk from the first row: ten thousand pictures of 512 pixels would take 8 GB of memory.
                arrays[name] = np.lib.format.open_memmap(
                    cache / f"{name}.npy", "w+", value.dtype, (len(found), *value.shape)
                )
            arrays[name][len(used)] = value
        used.append(number)
    if not used:
        raise BadSpec("none of the pictures can be read", "Choose another folder.")
    for array in arrays.values():
        array.flush()  # type: ignore[attr-defined]
    # The index comes last: without it the arrays are made again.
    temporary = cache / ".examples.json"
    temporary.write_text(json.dumps({"key": key, "used": used}), "utf-8")
    temporary.replace(cache / "examples.json")
    return used

"""Everything a prompt can name on this machine: weights, wildcards, styles, and the phrases the person and the field
use.

Reads files; leaves what is proposed where to `completion`.
"""

from __future__ import annotations

from pathlib import Path

from assistant import styles
from assistant.completion import NETWORKS, Names
from assistant.drafting import templates, vocabulary
from assistant.errors import AssistantError
from assistant.paths import Paths
from assistant.phrases import phrases
from assistant.prompt_shelf import Shelf
from assistant.settings import Settings
from assistant.versions import Versions
from generation.catalogue import Catalogue
from generation.prompts.named_vectors import count

RECENT = 200  # versions whose phrases are proposed


def gather(paths: Paths, settings: Settings) -> Names:
    """All names as they stand now. What cannot be read is left out: it is told where it is asked for by name."""
    roots = [paths.models, *(Path(p).expanduser() for p in settings["studio.models"])]
    entries = [entry for entry in Catalogue(roots, paths.catalogue).entries() if not entry.problem]
    found = {phrase: slot for slot in vocabulary.slots() for phrase in vocabulary.phrases_of(slot)}
    kept: list[str] = []
    try:
        known = styles.read(paths.styles) if paths.styles.exists() else []
        kept = [one.positive for one in Shelf(paths.prompts).find()]
    except AssistantError:
        known = []
    for style in known:
        found |= {part.text.strip(): "styles" for part in phrases(style.prompt.replace("{prompt}", "")) if part.words}
    for text in [*kept, *(version.prompt for version in Versions(paths.history).list()[:RECENT])]:
        found |= {part.text.strip(): "your prompts" for part in phrases(text) if part.words}
    return Names(
        networks=[entry for entry in entries if entry.kind in NETWORKS],
        embeddings=[entry for entry in entries if entry.kind == "embedding"],
        wildcards=_wildcards(paths, settings),
        styles=[style.name for style in known],
        phrases={phrase: source for phrase, source in found.items() if 2 < len(phrase) < 60},
        templates=_templates(paths),
        vectors={entry.name: count(Path(entry.path)) for entry in entries if entry.kind == "embedding"},
    )


def _wildcards(paths: Paths, settings: Settings) -> list[str]:
    folders = [paths.wildcards, *(Path(p).expanduser() for p in settings["draft.wildcards"])]
    folders = [folder for folder in folders if folder.is_dir()]
    if not folders:
        return []
    from assistant.wildcards import names

    return list(names(folders, warn=lambda message: None))


def _templates(paths: Paths) -> tuple[str, ...]:
    try:
        return tuple(templates.load(paths.templates))
    except AssistantError:
        return tuple(templates.load())

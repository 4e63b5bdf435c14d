"""Settings to begin a training with, from published guides: by what is trained, what it shows, and the base's family.

Knows how the tables of `presets.toml` stand over one another and where each figure came from. Leaves which rung of the
ladder fits a memory to `plan`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from generation.errors import BadSpec, nearest
from generation.training.settings import TABLES

KINDS = tuple(kind for kind in TABLES if kind != "motion")  # of clips no guide gives figures to begin with
SUBJECTS = ("character", "style", "object")
FAMILIES = ("sd15", "sdxl")
MEMORIES = (8, 12, 24)  # GB of the cards that the guides speak of
TABLE = Path(__file__).with_name("presets.toml")
DEFAULT = "Atelier's own choice"
LADDERS = {"dreambooth": "whole", "finetune": "whole"}


@dataclass(frozen=True)
class Preset:
    """`settings` by name, `sources` the origin of each, `ladder` further settings in the order in which they are tried.

    `views` is how often a picture is seen, `text_share` the share of the steps in which the text encoders learn.
    """

    kind: str
    subject: str
    family: str
    settings: dict[str, Any]
    sources: dict[str, str]
    ladder: tuple[dict[str, Any], ...]
    views: int
    text_share: float


def require(kind: str) -> None:
    """Raises `BadSpec` for a kind of training that no preset has figures for, so that none can be planned."""
    if kind in TABLES and kind not in KINDS:
        raise BadSpec(
            f"a training of {kind} has no plan: no guide gives figures for clips",
            f"Give its settings: atelier train {kind} --help lists them.",
        )


def preset(kind: str, subject: str, family: str) -> Preset:
    """The preset of these three names. Raises `BadSpec` with the nearest for a name there is not."""
    require(kind)
    for what, value, there in (("kind", kind, KINDS), ("subject", subject, SUBJECTS), ("family", family, FAMILIES)):
        if value not in there:
            hint = nearest(str(value), there) or f"Choose: {', '.join(there)}."
            raise BadSpec(f'there is no {what} of training "{value}"', hint)
    tables = _tables()
    settings: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for layer in (tables["common"], tables["family"][family], tables[kind]["common"], tables[kind].get(subject, {})):
        for source, values in layer.items():
            settings |= values
            sources |= dict.fromkeys(values, tables["sources"][source])
    views, text_share = settings.pop("views"), settings.pop("text_share")
    ladder = tuple(dict(rung) for rung in tables["ladder"][LADDERS.get(kind, kind)])
    return Preset(kind, subject, family, settings, sources, ladder, views, text_share)


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(TABLE.read_text("utf-8"))

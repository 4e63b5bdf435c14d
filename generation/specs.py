"""A render as data: frozen, validated, the same after a trip through JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from generation import samplers
from generation.attachments import MODIFIERS, PARTS, further
from generation.errors import BadSpec, nearest
from generation.operations import OPERATIONS
from generation.parameters import checked, given

WEIGHTINGS = ("compel", "a1111")
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class ModelDefaults:
    """What a model is used with when the person leaves it open. Sizes in pixels."""

    width: int = 512
    height: int = 512
    steps: int = 20
    cfg: float = 7.0
    sampler: str = "DPM++ 2M Karras"


@dataclass(frozen=True)
class RenderSpec:
    """Everything that decides a picture. None means the model's own default, seed -1 a drawn one.

    width and height are multiples of 8 in 32..4096, steps 1..1000, cfg 0..50, clip_skip 1..12 (A1111's count: 1 is the
    last layer), batch 1..64. weighting is how `(word:1.2)` acts: "compel" interpolates from the empty prompt, "a1111"
    multiplies and restores the mean. `options` are the operation's own parameters, complete and checked. cfg_rescale
    is 0..1 (phi of Lin et al. 2023, arXiv:2305.08891). `idea` and `expansion` are what the prompt was made of, kept so
    that a picture gives them back. `modifiers`, `controls`, `references` and `regions` are what `attachments` lists.
    Raises `BadSpec` or `UnknownSampler` with the remedy.
    """

    prompt: str
    negative: str = ""
    model: str = "atelier-demo"
    operation: str = "txt2img"
    seed: int = -1
    steps: int | None = None
    cfg: float | None = None
    sampler: str | None = None
    width: int | None = None
    height: int | None = None
    clip_skip: int = 1
    batch: int = 1
    weighting: str = "compel"
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    cfg_rescale: float = 0.0
    vae: str = ""
    idea: str = ""
    expansion: str = ""
    modifiers: dict[str, Any] = field(default_factory=dict, hash=False)
    controls: tuple[dict[str, Any], ...] = field(default=(), hash=False)
    references: tuple[dict[str, Any], ...] = field(default=(), hash=False)
    regions: tuple[dict[str, Any], ...] = field(default=(), hash=False)

    def __post_init__(self) -> None:
        for name in ("prompt", "negative", "model", "operation", "weighting", "vae", "idea", "expansion"):
            if not isinstance(getattr(self, name), str):
                raise BadSpec(f"{name} must be text, not {getattr(self, name)!r}", "Put it in quotes.")
            # Bytes of an argument that were no UTF-8 arrive as lone surrogates, which no file can hold.
            if any("\ud800" <= letter <= "\udfff" for letter in getattr(self, name)):
                raise BadSpec(f"{name} holds bytes that are no text", "Type it again in UTF-8.")
        for name in ("width", "height"):
            value = getattr(self, name)
            if value is not None:
                _whole(name, value, 32, 4096)
                if value % 8:
                    raise BadSpec(
                        f"{name} {value} is no multiple of 8",
                        f"Choose {value // 8 * 8} or {value // 8 * 8 + 8}.",
                    )
        if self.steps is not None:
            _whole("steps", self.steps, 1, 1000)
        _whole("clip skip", self.clip_skip, 1, 12)
        _whole("batch", self.batch, 1, 64)
        _whole("seed", self.seed, -1, LARGEST_SEED)
        if self.cfg is not None:
            if isinstance(self.cfg, bool) or not isinstance(self.cfg, (int, float)):
                raise BadSpec(f"cfg must be a number, not {self.cfg!r}", "Give 1 to 15.")
            # A comparison, not isfinite: it refuses NaN and infinity, and does not overflow on a huge integer.
            if not 0 <= self.cfg <= 50:
                raise BadSpec(f"cfg {str(self.cfg)[:20]} is out of range", "Give 0 to 50; 7 is usual.")
        if self.sampler is not None:
            if not isinstance(self.sampler, str):
                raise BadSpec(f"sampler must be text, not {self.sampler!r}", "Give a name.")
            object.__setattr__(self, "sampler", samplers.find(self.sampler).name)
        if self.operation not in OPERATIONS:
            raise BadSpec(f'there is no operation "{self.operation}"', nearest(self.operation, OPERATIONS))
        own = checked(self.options, OPERATIONS[self.operation].parameters, self.operation)
        object.__setattr__(self, "options", own)
        object.__setattr__(self, "modifiers", given(self.modifiers, MODIFIERS, "modifiers"))
        for name, (table, what) in PARTS.items():
            found = getattr(self, name)
            if not isinstance(found, (list, tuple)):
                raise BadSpec(f"{name} must be a list, not {found!r}", "Give a list of tables.")
            object.__setattr__(self, name, tuple(checked(one, (*table, *further(name, one)), what) for one in found))
        if isinstance(self.cfg_rescale, bool) or not isinstance(self.cfg_rescale, (int, float)):
            raise BadSpec(f"cfg rescale must be a number, not {self.cfg_rescale!r}", "Give 0 to 1.")
        if not 0 <= self.cfg_rescale <= 1:
            raise BadSpec(f"cfg rescale {str(self.cfg_rescale)[:20]} is out of range", "Give 0 to 1; 0.7 is usual.")
        if self.weighting not in WEIGHTINGS:
            raise BadSpec(
                f'there is no weighting "{self.weighting}"',
                nearest(self.weighting, WEIGHTINGS) or f"Choose: {', '.join(WEIGHTINGS)}.",
            )

    def to_json(self) -> dict[str, Any]:
        """Plain data with every field; `from_json` makes an equal spec of it."""
        found = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    @classmethod
    def from_json(cls, mapping: Mapping[str, Any]) -> RenderSpec:
        """A spec of plain data. An unknown field is an error that names the nearest one."""
        if not isinstance(mapping, Mapping):
            raise BadSpec(f"a render is a table of fields, not {type(mapping).__name__}", 'Give {"prompt": "..."}.')
        names = [f.name for f in dataclasses.fields(cls)]
        for key in mapping:
            if key not in names:
                raise BadSpec(f'a render has no field "{key}"', nearest(str(key), names))
        if "prompt" not in mapping:
            raise BadSpec("the render has no prompt", "Give one.")
        return cls(**mapping)

    def resolve(self, defaults: ModelDefaults, draw: Callable[[], int]) -> RenderSpec:
        """The spec with nothing left open: the model's defaults, and a seed from `draw`."""
        return dataclasses.replace(
            self,
            seed=draw() if self.seed == -1 else self.seed,
            steps=self.steps or defaults.steps,
            cfg=defaults.cfg if self.cfg is None else float(self.cfg),
            sampler=self.sampler or samplers.find(defaults.sampler).name,
            width=self.width or defaults.width,
            height=self.height or defaults.height,
        )


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadSpec(f"{name} must be a whole number, not {value!r}", f"Give {low} to {high}.")
    if not low <= value <= high:
        raise BadSpec(f"{name} {value} is out of range", f"Give {low} to {high}.")

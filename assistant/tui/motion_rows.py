"""What a clip of a motion model is told as a list: its settings with their values, and what hangs on every frame."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from assistant.tui.motion_clip import MovingClip
from generation.attachments import PARTS
from generation.parameters import Parameter
from knowledge.screen import shown

NAMED = 18  # columns of a name
HUNG = "hung onto it"
# Where the usual value is no value.
OWN = "model's own"
OPEN = {"frames": OWN, "fps": OWN, "sampler": OWN, "seed": "drawn", "context": "as trained", "stride": "a quarter"}


class MotionRows(OptionList):
    """The form's settings in its order, then what hangs on the clip; the chosen one stays chosen."""

    names: tuple[str, ...] = ()

    @property
    def chosen(self) -> str:
        """The name of a setting, or `HUNG`."""
        at = self.highlighted
        return self.names[at] if at is not None and at < len(self.names) else HUNG

    def show(self, clip: MovingClip, table: tuple[Parameter, ...]) -> None:
        names = (*(one.name for one in table), HUNG)
        if names != self.names:
            chosen = self.chosen if self.names else names[0]
            self.names = names
            with self.prevent(OptionList.OptionHighlighted):
                self.clear_options()
                self.add_options([Option("") for _ in names])
                self.highlighted = names.index(chosen) if chosen in names else 0
        for number, one in enumerate(table):
            self.replace_option_prompt_at_index(number, row(clip, one))
        self.replace_option_prompt_at_index(len(table), hung(clip))


def row(clip: MovingClip, one: Parameter) -> Text:
    """A setting with its value, dim where that is the usual one."""
    usual = one.name not in clip.data
    value = clip.data.get(one.name, one.default)
    if usual:
        told = OPEN.get(one.name) or ("none" if value == "" else OWN if value is None else _told(value))
    else:
        told = _told(value)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{one.name.replace('_', ' ')[:NAMED]:<{NAMED}} ", "dim" if usual else "bold")
    return text.append(shown(told), "dim" if usual else "")


def hung(clip: MovingClip) -> Text:
    """How many of each kind hang on it."""
    found = clip.hung()
    counts = [
        f"{len(found[name])} {name if len(found[name]) > 1 else name.rstrip('s')}" for name in PARTS if found[name]
    ]
    counts += [", ".join(found["modifiers"])] if found["modifiers"] else []
    text = Text(no_wrap=True, overflow="ellipsis").append(f"{HUNG:<{NAMED}} ", "bold" if counts else "dim")
    return text.append(shown(", ".join(counts)) if counts else "none; C adds", "" if counts else "dim")


def _told(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)

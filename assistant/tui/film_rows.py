"""The prompts and schedules of an animation as a list: what has a key at the playhead, and its value there."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from assistant.tui.film import PROMPTS, Film, shown_value
from assistant.tui.timeline_plot import KEY
from knowledge.screen import shown

NAMED = 22  # columns of a name


class FilmRows(OptionList):
    """Prompts first, then what the settings change, then what is as usual; the chosen one stays chosen as they move."""

    names: tuple[str, ...] = ()

    @property
    def chosen(self) -> str:
        """The name of a schedule, or `prompts`."""
        at = self.highlighted
        return self.names[at] if at is not None and at < len(self.names) else PROMPTS

    def show(self, film: Film, frame: int) -> None:
        """Draw every row for a frame."""
        if film.names != self.names:
            chosen = self.chosen
            self.names = film.names
            with self.prevent(OptionList.OptionHighlighted):
                self.clear_options()
                self.add_options([Option("") for _ in self.names])
                self.highlighted = self.names.index(chosen)
        for number, name in enumerate(self.names):
            self.replace_option_prompt_at_index(number, row(film, name, frame))


def row(film: Film, name: str, frame: int) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{KEY} " if film.key(name, frame) else "  ", "bright_yellow")
    quiet = film.usual(name) or not film.acts(name)
    text.append(f"{name.removesuffix('_schedule')[:NAMED]:<{NAMED}} ", "dim" if quiet else "bold")
    value = shown_value(film.value(name, frame)) if film.acts(name) else "off"
    return text.append(shown(value), "dim" if quiet else "")

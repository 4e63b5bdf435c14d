"""The draft's former versions, each beside the text of now."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from assistant.tui.keys import bindings
from assistant.versions import Version, Versions, side_by_side
from knowledge.screen import shown

SHOWN = 300


class VersionsScreen(ModalScreen[Version]):
    """Closes with the version to bring back, or with nothing."""

    BINDINGS = bindings("versions")  # type: ignore[assignment]

    def __init__(self, path: Path, prompt: str, negative: str) -> None:
        super().__init__()
        self._versions = Versions(path)
        self._now = (prompt, negative)
        self._shown: list[Version] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="passage"):
            yield Label("Former versions of the draft", classes="passage-title")
            yield Input(placeholder="Words", id="versions-query", compact=True)
            yield OptionList(id="versions-list")
            with Horizontal(id="versions-sides"):
                for name in ("then", "now"):
                    with VerticalScroll(classes="side"):
                        yield Static("", id=f"versions-{name}")
            yield Label("Enter bring it back   J K choose   Esc close", classes="passage-keys")

    def on_mount(self) -> None:
        self._find("")
        self.query_one("#versions-list").focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._find(event.value)

    def on_input_submitted(self) -> None:
        self.query_one("#versions-list").focus()

    @work(thread=True, exclusive=True, group="versions", exit_on_error=False)
    def _find(self, query: str) -> None:
        self.app.call_from_thread(self._fill, self._versions.list(query)[:SHOWN])

    def _fill(self, found: list[Version]) -> None:
        self._shown = found
        options = self.query_one("#versions-list", OptionList)
        options.clear_options()
        for version in found:
            label = Text(no_wrap=True, overflow="ellipsis")
            label.append(f"{version.at[5:16].replace('T', ' ')} {version.why:<9}", "dim")
            options.add_option(Option(label.append(shown(" ".join(version.prompt.split())))))
        if found:
            options.highlighted = 0
        else:
            text = "No version yet: rendering, expanding and keeping a draft make one."
            options.add_option(Option(Text(text, "dim"), disabled=True))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        version = self._shown[event.option_index]
        sides = [Text("then\n", "bold"), Text("now\n", "bold")]
        for old, new in ((version.prompt, self._now[0]), (version.negative, self._now[1])):
            for side, stretches, style in zip(sides, side_by_side(old, new), ("red", "green"), strict=True):
                for text, changed in stretches:
                    side.append(shown(text), style if changed else "")
                side.append("\n\n")
        self.query_one("#versions-then", Static).update(sides[0])
        self.query_one("#versions-now", Static).update(sides[1])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self._shown[event.option_index])

    def action_close(self) -> None:
        self.dismiss(None)

    def action_cursor_down(self) -> None:
        self.query_one("#versions-list", OptionList).action_cursor_down()

    def action_cursor_up(self) -> None:
        self.query_one("#versions-list", OptionList).action_cursor_up()

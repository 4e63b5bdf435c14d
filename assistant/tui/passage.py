"""A passage where it stands: the file's lines around it, its own lines marked, and the picture it is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Label, Static

from ingest.readers import BUILT_IN, EXTRACTED
from knowledge.screen import shown

AROUND = 40
MOST_BYTES = 4_000_000


class PassageView(ModalScreen[None]):
    """`source` is a citation as the results carry it. Files without lines of their own show the quote alone."""

    BINDINGS = [("e", "edit", "Editor"), ("o", "picture", "Picture"), ("q", "app.cancel", "Close")]  # noqa: RUF012

    def __init__(self, source: dict[str, Any]) -> None:
        super().__init__()
        self._source = source

    def compose(self) -> ComposeResult:
        s = self._source
        where = f"page {s['page']}" if s["page"] else f"line {s['line_start']}"
        with Vertical(classes="passage"):
            yield Label(shown(f"{s['path']}, {where}"), markup=False, classes="passage-title")
            if s.get("stale"):
                yield Label("The file has changed since it was read.", classes="passage-stale")
            if s.get("picture"):
                from assistant.tui.picture import Picture

                yield Picture(id="picture")
            with VerticalScroll():
                yield Static(self._content(), id="passage-text")
            yield Label("E editor   O picture   Esc close" if s.get("picture") else "E editor   Esc close",
                        classes="passage-keys")  # fmt: skip

    def on_mount(self) -> None:
        scroll = self.query_one(VerticalScroll)
        first = max(1, self._source["line_start"] - AROUND)
        self.call_after_refresh(scroll.scroll_to, y=max(0, self._source["line_start"] - first - 4), animate=False)
        if self._source.get("picture"):
            from assistant.tui.picture import Picture

            self.call_after_refresh(self.query_one(Picture).show, self._source["picture"])

    def _content(self) -> Text:
        s = self._source
        kind = BUILT_IN.extensions.get(Path(s["path"]).suffix.lower())
        if s["page"] is not None or kind is None or kind in EXTRACTED:
            return Text(shown(s["quote"]))
        try:
            # What is shown never exceeds 2 x AROUND lines around the passage.
            with Path(s["path"]).open(encoding="utf-8", errors="replace") as file:
                lines = file.read(MOST_BYTES).split("\n")
        except OSError as error:
            return Text(f"{shown(s['quote'])}\n\n(the file cannot be read now: {error.strerror})")
        first = max(1, s["line_start"] - AROUND)
        out = Text()
        for number, line in enumerate(lines[first - 1 : s["line_end"] + AROUND], first):
            inside = s["line_start"] <= number <= s["line_end"]
            text = "".join(c if c.isprintable() or c == "\t" else "·" for c in line.rstrip("\r"))
            out.append(f"{number:>5} ", "dim")
            out.append(shown(text).expandtabs(4), "bold" if inside else "dim")
            out.append("\n")
        return out

    def action_edit(self) -> None:
        from assistant.tui.opening import edit

        edit(self.app, self._source["path"], self._source["line_start"])

    def action_picture(self) -> None:
        from assistant.tui.opening import view

        if self._source.get("picture"):
            view(self.app, self._source["picture"])

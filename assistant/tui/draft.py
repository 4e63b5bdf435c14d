"""The Draft room: the prompt, how it falls into chunks, and the expansion that is proposed for it."""

from __future__ import annotations

import difflib
import re
from importlib import import_module
from types import ModuleType
from typing import Any

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.css.query import NoMatches
from textual.widgets import Label, Static, TextArea

from assistant.tui.keys import bindings
from assistant.tui.meter import Meter
from assistant.tui.prompt_area import PromptArea
from generation.prompts.chunks import chunk
from generation.prompts.edit import adjust_weight
from generation.prompts.grammar import parse
from generation.prompts.tokens import ClipTokenizer


class DraftRoom(Vertical):
    """Edits a prompt and its negative; a proposal is shown as a difference and taken only by Ctrl+T."""

    BINDINGS = bindings("draft")  # type: ignore[assignment]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._tokenizer: ClipTokenizer | None = None
        self._expanding: int | None = None
        self._proposal: dict[str, Any] | None = None
        self._asked: tuple[str, int] = ("", -1)
        self._tools: ModuleType | None = None

    def compose(self) -> ComposeResult:
        yield Label("Prompt", classes="field")
        yield PromptArea(id="prompt", placeholder="An idea: a blue alien in a supermarket")
        yield Meter("", id="meter", markup=False)
        yield Label("Negative prompt", classes="field")
        yield PromptArea(id="negative", placeholder="What should not be seen")
        with VerticalScroll(id="proposal"):
            yield Static(
                Text.assemble(
                    ("Ctrl+G", "bold"), " proposes an expansion from your notes and the local model.\n",
                    ("F5", "bold"), " renders the prompt as it stands.",
                ),
                id="proposal-text",
            )  # fmt: skip

    def on_mount(self) -> None:
        self._load_tokenizer()

    def enter(self) -> None:
        self.query_one("#prompt").focus()

    def cancel(self) -> bool:
        if self._expanding is not None:
            self.app.stop(self._expanding)  # type: ignore[attr-defined]
            return True
        try:
            return bool(self.app.room("studio").cancel())  # type: ignore[attr-defined]
        except NoMatches:
            return False

    @work(thread=True, group="tokenizer", exit_on_error=False)
    def _load_tokenizer(self) -> None:
        """Reading the vocabulary and the tools takes about 0.3 s: not on the screen's thread."""
        tokenizer = ClipTokenizer.load()
        tools = import_module("assistant.prompt_tools")
        self.app.call_from_thread(self._ready, tokenizer, tools)

    def _ready(self, tokenizer: ClipTokenizer, tools: ModuleType) -> None:
        self._tokenizer, self._tools = tokenizer, tools
        self._measure()

    # Text

    @property
    def prompt(self) -> str:
        return self.query_one("#prompt", PromptArea).text

    @property
    def negative(self) -> str:
        return self.query_one("#negative", PromptArea).text

    def fill(self, prompt: str, negative: str) -> None:
        """Replace both texts; one undo brings the former back."""
        for name, text in (("#prompt", prompt), ("#negative", negative)):
            area = self.query_one(name, PromptArea)
            area.replace(text, (0, 0), area.document.end)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        if event.text_area.id in {"prompt", "negative"}:
            self._measure()

    def _measure(self) -> None:
        if self._tokenizer is None:
            return
        text = self.prompt
        chunks = [(part.tokens, " ".join(part.text.split()[:3])) for part in chunk(text, self._tokenizer)]
        warnings = [warning.message for warning in parse(text).warnings]
        if self._tools is not None and self.negative.strip():
            warnings += [
                f"“{one.one.strip()}” and “{one.other.strip()}” work against each other"
                for one in self._tools.contradictions(text, self.negative)
            ]
        self.query_one("#meter", Meter).show(chunks, warnings)

    def action_weigh(self, delta: float) -> None:
        area = self.query_one("#prompt", PromptArea)
        if self.app.focused is not area:
            focused = self.app.focused
            area = focused if isinstance(focused, PromptArea) else area
        first, last = area.selected_range
        if first == last:
            return
        text, start, end = adjust_weight(area.text, first, last, delta)
        area.replace(text, (0, 0), area.document.end)
        area.selection = type(area.selection)(area.place(start), area.place(end))

    def action_undo(self) -> None:
        focused = self.app.focused
        if isinstance(focused, PromptArea):
            focused.undo()

    # Expansion

    def action_expand(self) -> None:
        idea = self.prompt.strip()
        if not idea:
            self.notify("Write an idea first.", markup=False)
            return
        if self._expanding is None:
            # Asked again about the same idea, the model draws another variant.
            self._asked = (idea, self._asked[1] + 1 if self._asked[0] == idea else 0)
            spec = {"idea": idea, "seed": self._asked[1]}
            self._expanding = self.app.submit("expand", spec, self._on_expand)  # type: ignore[attr-defined]
            if self._expanding is not None:
                self._propose(Text("looking into your notes and asking the model ...", "dim"))

    def _on_expand(self, number: int, event: dict[str, Any]) -> None:
        match event["kind"]:
            case "note":
                self.notify(event["message"], markup=False)
            case "done":
                self._expanding = None
                self._proposal = event["result"]
                self._propose(self._difference(event["result"]))
            case "failed":
                self._expanding = None
                self._propose(Text(f"{event['message']}. {event['hint']}".strip(), "red"))
            case "cancelled":
                self._expanding = None
                self._propose(Text("stopped", "dim"))

    def _difference(self, draft: dict[str, Any]) -> Text:
        """The proposal with what is new in green and what is gone struck through."""
        old = re.findall(r"\s+|[^\s,]+|,", self.prompt.strip())
        new = re.findall(r"\s+|[^\s,]+|,", draft["prompt"])
        out = Text()
        matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
        for kind, a, b, c, d in matcher.get_opcodes():
            if kind in {"delete", "replace"}:
                out.append("".join(old[a:b]), "strike red")
            if kind != "delete":
                out.append("".join(new[c:d]), "" if kind == "equal" else "green")
        out.append(f"\nNegative: {draft['negative']}", "dim")
        for source in draft["sources"]:
            out.append(f"\n“{source['used']}” from {source['title']}, line {source['line_start']}", "dim")
        out.append("\nCtrl+T", "bold")
        out.append(f" takes it, Ctrl+G asks again   ({draft['model']})", "dim")
        return out

    # Tools

    def action_shorten(self) -> None:
        """Propose the prompt within one chunk; taken by Ctrl+T like an expansion."""
        if self._tools is None or self._tokenizer is None or not self.prompt.strip():
            self.notify("Write a prompt first.", markup=False)
            return
        short = self._tools.shorten(self.prompt, self._tokenizer)
        if not short.removed:
            self.notify(f"It has {short.tokens} tokens; nothing needs to go.", markup=False)
            return
        self._proposal = {
            "prompt": short.text, "negative": self.negative, "sources": [], "model": f"{short.tokens} tokens",
        }  # fmt: skip
        self._propose(self._difference(self._proposal))

    def action_explain(self) -> None:
        """What each part of the prompt does, in place of the proposal."""
        if self._tools is None or self._tokenizer is None or not self.prompt.strip():
            self.notify("Write a prompt first.", markup=False)
            return
        out = Text()
        for line in self._tools.explain(self.prompt, self._tokenizer):
            out.append(f"{line.text.strip()}  ", "bold").append(f"{line.note}\n", "dim")
        self._proposal = None
        self._propose(out)

    @work(thread=True, group="shelf", exit_on_error=False)
    def action_keep(self) -> None:
        """Put the prompt on the shelf."""
        from assistant.errors import AssistantError
        from assistant.prompt_shelf import Shelf

        try:
            kept = Shelf(self.app.paths.prompts).add(self.prompt, self.negative)  # type: ignore[attr-defined]
            said, severity = f"Kept as “{kept.name}”; Ctrl+O lists what you kept.", "information"
        except AssistantError as error:
            said, severity = f"{error.message}. {error.hint}", "error"
        self.app.call_from_thread(self.notify, said, severity=severity, markup=False)

    def action_kept(self) -> None:
        from assistant.tui.kept import KeptPrompts

        self.app.push_screen(KeptPrompts(self.app.paths.prompts), self._take_kept)  # type: ignore[attr-defined]

    def _take_kept(self, pair: tuple[str, str] | None) -> None:
        if pair is not None:
            self.fill(*pair)
            self.enter()

    def _propose(self, text: Text) -> None:
        self.query_one("#proposal-text", Static).update(text)

    def action_apply(self) -> None:
        if self._proposal is None:
            self.notify("Ctrl+G proposes an expansion first.", markup=False)
            return
        self.fill(self._proposal["prompt"], self.negative.strip() or self._proposal["negative"])
        self._proposal = None
        self._propose(Text("Taken. Ctrl+Z brings the former text back.", "dim"))

    # Rendering

    async def action_render(self) -> None:
        if not self.prompt.strip():
            self.notify("Write a prompt first.", markup=False)
            return
        await self.app.action_room("studio")  # type: ignore[attr-defined]
        await self.app.room("studio").action_render()  # type: ignore[attr-defined]

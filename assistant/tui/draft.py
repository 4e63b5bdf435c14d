"""The Draft room: the prompt, how it falls into chunks, and the expansion that is proposed for it."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Container, Vertical, VerticalScroll
from textual.css.query import NoMatches
from textual.widgets import Label, Static, TextArea

from assistant.completion import NONE, Completion, Item, Names, complete, unknown
from assistant.errors import AssistantError
from assistant.tui.completions import Completions
from assistant.tui.expansion_form import ExpansionForm
from assistant.tui.keys import bindings
from assistant.tui.meter import Meter
from assistant.tui.prompt_area import PromptArea
from assistant.tui.result import Result
from assistant.versions import Version, Versions, changes
from assistant.words import content_words
from generation.prompts.chunks import chunk
from generation.prompts.edit import adjust_weight
from generation.prompts.grammar import parse
from generation.prompts.named_vectors import CountingTokenizer
from generation.prompts.tokens import ClipTokenizer

# A checkpoint's family -> how long a negative prompt it takes; the others say nothing of it.
FAMILIES = {"sd15": "sd15", "sdxl": "sdxl", "sd15-inpainting": "sd15", "sdxl-inpainting": "sdxl"}


MINE = ("styles", "your prompts")  # origins of a phrase that are worth telling


class DraftRoom(Vertical):
    """Edits a prompt and its negative; a proposal is shown as a difference and taken only by Ctrl+T."""

    BINDINGS = bindings("draft")  # type: ignore[assignment]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._tokenizer: ClipTokenizer | None = None
        self._tools: ModuleType | None = None
        self._names = Names()
        self._expanding: int | None = None
        self._asked: dict[str, Any] | None = None
        self._variants: list[dict[str, Any]] = []
        self._variant = 0
        self._proposal: dict[str, Any] | None = None
        self._short: dict[str, Any] | None = None
        self._idea = self._expansion = ""
        self._filled: dict[str, str] = {}  # what was put into a field and not typed: nothing is proposed for it

    def compose(self) -> ComposeResult:
        with Container(id="draft-body"):
            with Vertical(id="draft-text"):
                yield Label("Prompt", classes="field")
                yield PromptArea(id="prompt", placeholder="An idea: a blue alien in a supermarket")
                yield Completions(id="completions")
                yield Meter("", id="meter", markup=False)
                yield Label("Negative prompt", classes="field")
                yield PromptArea(id="negative", placeholder="What should not be seen")
                yield ExpansionForm(id="expansion")
                with VerticalScroll(id="proposal"):
                    yield Static(
                        Text.assemble(
                            ("Ctrl+G", "bold"), " proposes an expansion from your notes and the local model.\n",
                            ("F5", "bold"), " renders the prompt as it stands, ", ("Shift+F5", "bold"), " four seeds.",
                        ),
                        id="proposal-text",
                    )  # fmt: skip
            yield Result(id="result")

    def on_mount(self) -> None:
        self._load_tokenizer()

    def enter(self) -> None:
        self.query_one("#prompt").focus()
        self._load_names()

    def cancel(self) -> bool:
        completions = self.query_one("#completions", Completions)
        if completions.display:
            completions.put_away()
            return True
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
        if self._names.vectors:
            self._tokenizer = CountingTokenizer(tokenizer, self._names.vectors)
        self._measure()

    @work(thread=True, exclusive=True, group="names", exit_on_error=False)
    def _load_names(self) -> None:
        """What can be completed: looked up anew whenever the room is entered."""
        from assistant.prompt_names import gather

        self.app.call_from_thread(self._named, gather(self.app.paths, self.app.settings))  # type: ignore[attr-defined]

    def _named(self, names: Names) -> None:
        self._names = names
        if names.vectors and self._tokenizer is not None:
            self._tokenizer = CountingTokenizer(ClipTokenizer.load(), names.vectors)
        self.query_one(ExpansionForm).name_templates(names.templates)
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
            self._filled[name] = text
        self.query_one("#completions", Completions).put_away()

    def restore(self, prompt: str, negative: str, spec: dict[str, Any]) -> None:
        """Take a picture's text back, and what it was made of."""
        self._remember("replaced")
        self.fill(prompt, negative)
        self._idea, self._expansion = str(spec.get("idea") or ""), str(spec.get("expansion") or "")

    def origin(self) -> dict[str, str]:
        """The idea and the expansion behind the text, as long as it still holds the words of one of them."""
        words = content_words(self.prompt)
        if not self._idea or not any(content_words(text) <= words for text in (self._idea, self._expansion)):
            return {}
        return {"idea": self._idea, "expansion": self._expansion}

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        if event.text_area.id in {"prompt", "negative"}:
            self._measure()
            area = event.text_area
            filled = self._filled.pop(f"#{area.id}", None) == area.text
            if not filled and area is self.app.focused and isinstance(area, PromptArea):
                self._offer(area)

    def _offer(self, area: PromptArea) -> None:
        found = complete(area.text, area.place_of_cursor, self._names) if area.selection.is_empty else NONE
        self.query_one("#completions", Completions).offer(found)

    def on_prompt_area_completing(self, event: PromptArea.Completing) -> None:
        """Keys of the list while it is open; the field asks before it takes them itself."""
        completions = self.query_one("#completions", Completions)
        if event.what == "away":
            completions.put_away()
        elif event.what == "take":
            self._complete(event.area, completions.found, completions.chosen)
        else:
            completions.move(1 if event.what == "down" else -1)

    @property
    def completing(self) -> bool:
        return bool(self.query_one("#completions", Completions).display)

    def _complete(self, area: PromptArea, found: Completion, item: Item) -> None:
        insert = item.insert
        if item.kind == "style":
            self._put_style(area, found, item.insert)
        else:
            area.replace(insert, area.place(found.start), area.place(found.end))
        self.query_one("#completions", Completions).put_away()

    def _put_style(self, area: PromptArea, found: Completion, name: str) -> None:
        """Take the @name away and lay the style over both texts."""
        from assistant import styles

        text = area.text[: found.start] + area.text[found.end :]
        pair = (text, self.negative) if area.id == "prompt" else (self.prompt, text)
        try:
            chosen = styles.named(styles.read(self.app.paths.styles), [name])  # type: ignore[attr-defined]
        except AssistantError as error:
            self.notify(f"{error.message}. {error.hint}", severity="error", markup=False)
            return
        self._remember("styled")
        self.fill(*styles.apply(pair[0].strip(" ,"), pair[1], chosen))

    def _measure(self) -> None:
        if self._tokenizer is None:
            return
        text = self.prompt
        chunks = [(part.tokens, " ".join(part.text.split()[:3]), part.moved) for part in chunk(text, self._tokenizer)]
        warnings = [warning.message for warning in parse(text).warnings]
        warnings += [warning.message for area in (text, self.negative) for warning in unknown(area, self._names)]
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
        """Ask for variants; the same key on the same idea shows the next one, and asks for more behind the last."""
        idea = self.prompt.strip()
        if not idea:
            self.notify("Write an idea first.", markup=False)
            return
        if self._expanding is not None:
            return
        asked = {**self.query_one(ExpansionForm).values(), "idea": idea, "negative": self.negative}
        with suppress(NoMatches):
            asked["family"] = FAMILIES.get(self.app.room("studio").family, "")  # type: ignore[attr-defined]
        if self._asked is not None and {**self._asked, "seed": 0} == {**asked, "seed": 0}:
            if self._variant + 1 < len(self._variants):
                self._show_variant(self._variant + 1)
                return
            asked["seed"] = self._asked["seed"] + 1
        else:
            asked["seed"] = 0
        self._asked = asked
        self._expanding = self.app.submit("expand", asked, self._on_expand)  # type: ignore[attr-defined]
        if self._expanding is not None:
            self._propose(Text("looking into your notes and asking the model ...", "dim"))

    def _on_expand(self, number: int, event: dict[str, Any]) -> None:
        match event["kind"]:
            case "note":
                self.notify(event["message"], markup=False)
            case "done":
                self._expanding = None
                self._variants = [event["result"], *event["result"].get("variants", [])]
                self._show_variant(0)
            case "failed":
                self._expanding, self._asked = None, None
                self._propose(Text(f"{event['message']}. {event['hint']}".strip(), "red"))
            case "cancelled":
                self._expanding, self._asked = None, None
                self._propose(Text("stopped", "dim"))

    def _show_variant(self, number: int) -> None:
        self._variant, self._proposal = number, self._variants[number]
        self._propose(self._difference(self._proposal))
        self.remove_class("-result")

    def _difference(self, draft: dict[str, Any]) -> Text:
        """The proposal with what is new in green and what is gone struck through."""
        out = Text()
        for one in changes(self.prompt.strip(), draft["prompt"]):
            if one.kind in {"delete", "replace"}:
                out.append(one.old, "strike red")
            if one.kind != "delete":
                out.append(one.new, "" if one.kind == "equal" else "green")
        out.append(f"\nNegative: {draft['negative']}", "dim")
        if draft.get("translated"):
            out.append(f"\nPut into English: {draft['translated']}", "dim")
        mine = [text for text, origin in draft.get("origins", {}).items() if origin in MINE]
        if mine:
            out.append(f"\nYours: {', '.join(mine)}", "dim")
        for source in draft["sources"]:
            out.append(f"\n“{source['used']}” from {source['title']}, line {source['line_start']}", "dim")
        out.append("\nCtrl+T", "bold")
        which = f"variant {self._variant + 1} of {len(self._variants)}, " if len(self._variants) > 1 else ""
        again = ", Ctrl+G shows another" if draft is not self._short else ""
        out.append(f" takes it{again}   ({which}{draft['model']})", "dim")
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
        self._short = self._proposal = {
            "prompt": short.text, "negative": self.negative, "sources": [], "model": f"{short.tokens} tokens",
        }  # fmt: skip
        self._variants = []
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
        from assistant.prompt_shelf import Shelf

        try:
            kept = Shelf(self.app.paths.prompts).add(self.prompt, self.negative)  # type: ignore[attr-defined]
            self.app.call_from_thread(self._remember, "kept")
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
        self._remember("idea")
        if self._proposal is not self._short:
            self._idea, self._expansion = self.prompt.strip(), self._proposal["prompt"]
        self.fill(self._proposal["prompt"], self._proposal["negative"])
        self._remember("expanded" if self._proposal is not self._short else "shortened")
        self._proposal, self._asked = None, None
        self._propose(Text("Taken. Ctrl+Z brings the former text back, F10 every version.", "dim"))

    # Versions

    @work(thread=True, group="remember", exit_on_error=False)
    def _store(self, prompt: str, negative: str, why: str) -> None:
        with suppress(OSError):
            Versions(self.app.paths.history).add(prompt, negative, why)  # type: ignore[attr-defined]

    def _remember(self, why: str) -> None:
        self._store(self.prompt, self.negative, why)

    def action_versions(self) -> None:
        from assistant.tui.versions import VersionsScreen

        screen = VersionsScreen(self.app.paths.history, self.prompt, self.negative)  # type: ignore[attr-defined]
        self.app.push_screen(screen, self._bring_back)

    def _bring_back(self, version: Version | None) -> None:
        if version is not None:
            self.restore(version.prompt, version.negative, {})
            self.enter()

    # Rendering

    async def action_render(self) -> None:
        await self._ask_for(None)

    async def action_render_four(self) -> None:
        await self._ask_for(4)

    def action_picture(self) -> None:
        """To the picture beside the text; from there back. Where there is room for one only, it takes turns."""
        result = self.query_one("#result", Result)
        if result.has_focus:
            self.remove_class("-result")
            self.query_one("#prompt").focus()
        else:
            self.add_class("-result")
            result.focus()

    async def _ask_for(self, batch: int | None) -> None:
        studio = await self.app.ensure("studio")  # type: ignore[attr-defined]
        result = self.query_one("#result", Result)
        if await studio.render_draft(batch=batch, watcher=result.on_render):
            self.add_class("-result")
            self._remember("rendered")

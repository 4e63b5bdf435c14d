"""The captions of a dataset: picture by picture, and all together: find and replace, prefix, tags counted and removed.

Reading and writing happen off the screen's thread; files change whole or not at all, and every edit can be taken back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList, Static, TextArea
from textual.widgets.option_list import Option

from assistant.caption_files import undo, write
from assistant.errors import PERSONAL, explain
from assistant.tui.dialogs import Ask, Confirm
from assistant.tui.keys import bindings
from assistant.tui.parameter_form import ParameterForm
from assistant.tui.picture import Picture
from generation.parameters import Parameter
from generation.training import datasets
from generation.training.caption_edits import Edit, edited, statistics
from generation.training.captions import one_line, split
from generation.training.datasets import Dataset
from knowledge.screen import shown

DATASET = "A folder of pictures, or a JSONL file"
EDIT = (
    Parameter("find", "text", "", "Text to find, as it stands"),
    Parameter("replace", "text", "", "Text to put in its place"),
    Parameter("remove", "text", "", "A tag to remove, capitals do not count"),
    Parameter("prefix", "text", "", "Text to put before every caption, with a comma"),
    Parameter("suffix", "text", "", "Text to put behind every caption, with a comma"),
)


class CaptionText(TextArea):
    """The caption of the chosen picture. A line of its own means nothing in a caption: Enter saves."""

    BINDINGS = bindings("caption text")  # type: ignore[assignment]

    def action_save(self) -> None:
        self.screen.action_save()  # type: ignore[attr-defined]

    def action_leave(self) -> None:
        self.screen.query_one("#caption-list").focus()


class CaptionEditor(ModalScreen[bool]):
    """Closes with whether any caption changed."""

    BINDINGS = bindings("captions")  # type: ignore[assignment]

    def __init__(self, dataset: str = "") -> None:
        super().__init__()
        self._path = dataset
        self._dataset: Dataset | None = None
        self._captions: dict[Path, str] = {}
        self._shown: list[Path] = []
        self._tags: list[str] = []
        self._tag = ""
        self._at: Path | None = None
        self._changed = False
        self._pending = 0  # writes on their way to the files
        self._leaving = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="passage captions"):
            yield Input(self._path, placeholder=DATASET, id="caption-dataset", compact=True)
            with Horizontal(id="caption-body"):
                yield OptionList(id="caption-list")
                with Vertical(id="caption-one"):
                    yield Picture(id="caption-picture")
                    yield CaptionText("", id="caption-text", soft_wrap=True, compact=True)
                yield OptionList(id="caption-tags")
            yield Static("", id="caption-state", markup=False)
            yield Label(
                "Enter write  F find  T tags  X remove  A by a model  U undo  Esc close", classes="passage-keys"
            )

    def on_mount(self) -> None:
        self.query_one("#caption-picture", Picture).query_one("#no-picture", Static).update("")
        if self._path:
            self._read(Path(self._path))
        else:
            self.query_one("#caption-dataset").focus()

    # Reading

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip():
            self._read(Path(event.value.strip()))

    @work(thread=True, exclusive=True, group="captions", exit_on_error=False)
    def _read(self, path: Path, said: str = "") -> None:
        try:
            dataset = datasets.read(path)
        except PERSONAL as error:
            self.app.call_from_thread(self._say, ". ".join(explain(error)))
            return
        self.app.call_from_thread(self._take, dataset, said)

    def _take(self, dataset: Dataset, said: str) -> None:
        if not self.is_attached:
            return
        self._dataset = dataset
        self._captions = {picture.path: picture.caption for picture in dataset.pictures}
        self._fill()
        if said:
            self._say(said)
        if self.focused is None or self.focused.id == "caption-dataset":
            self.query_one("#caption-list").focus()

    def _fill(self) -> None:
        """The lists anew: the pictures (with a tag those that have it) and the tags."""
        options = self.query_one("#caption-list", OptionList)
        was = self._at
        self._shown = [path for path in self._captions if not self._tag or self._has(path, self._tag)]
        options.clear_options()
        options.add_options([Option(self._line(path)) for path in self._shown])
        found = statistics(list(self._captions.values()))
        tags = self.query_one("#caption-tags", OptionList)
        tags.clear_options()
        self._tags = [row["tag"] for row in found["tags"]]
        for row in found["tags"]:
            text = Text(no_wrap=True, overflow="ellipsis").append(f"{row['count']:>5}  ", "cyan")
            tags.add_option(Option(text.append(shown(row["tag"]))))
        if self._shown:
            options.highlighted = self._shown.index(was) if was in self._shown else 0
        of = f" of {len(self._captions)} with “{shown(self._tag)}”; T shows all" if self._tag else " pictures"
        self._say(f"{len(self._shown)}{of}, {found['without']} without a caption, {len(self._tags)} tags")

    def _has(self, path: Path, tag: str) -> bool:
        return tag.casefold() in {one.casefold() for one in split(self._captions[path])}

    def _line(self, path: Path) -> Text:
        text = Text(no_wrap=True, overflow="ellipsis").append(shown(path.name), "bold")
        caption = self._captions[path]
        return text.append(f"  {shown(caption)}", "dim") if caption else text.append("  no caption", "red")

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if event.option_list.id != "caption-list" or event.option_index >= len(self._shown):
            return
        path = self._shown[event.option_index]
        if path == self._at and self.query_one("#caption-text", CaptionText).text:
            return
        self._keep_typed()
        self._at = path
        self.query_one("#caption-text", CaptionText).text = self._captions[path]
        self.query_one("#caption-picture", Picture).show(path)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_list.id == "caption-list":
            self.query_one("#caption-text").focus()
        elif event.option_index < len(self._tags):
            # What was typed belongs to the picture that may go from the list.
            self._keep_typed()
            self._tag = self._tags[event.option_index]
            self._fill()
            self.query_one("#caption-list").focus()

    # One caption

    def _typed(self) -> dict[Path, str]:
        """The caption in the field, where it differs from the picture's."""
        if self._at is None or self._at not in self._captions:
            return {}
        text = one_line(self.query_one("#caption-text", CaptionText).text)
        return {self._at: text} if text != self._captions[self._at] else {}

    def _keep_typed(self) -> None:
        if typed := self._typed():
            self._write(typed)

    def action_save(self) -> None:
        """Write the caption and go to the next picture."""
        self._keep_typed()
        options = self.query_one("#caption-list", OptionList)
        options.focus()
        options.action_cursor_down()

    def _write(self, wanted: dict[Path, str]) -> None:
        """Take captions at once on the screen; their files follow, and what fails comes back."""
        assert self._dataset is not None
        self._pending += 1
        before = {path: self._captions[path] for path in wanted}
        self._captions |= wanted
        options = self.query_one("#caption-list", OptionList)
        for path in wanted:
            if path in self._shown:
                options.replace_option_prompt_at_index(self._shown.index(path), self._line(path))
        self._to_files(self._dataset, wanted, before)

    @work(thread=True, group="caption-files", exit_on_error=False)
    def _to_files(self, dataset: Dataset, wanted: dict[Path, str], before: dict[Path, str]) -> None:
        app: Any = self.app
        with app.caption_lock:
            try:
                count = write(dataset, wanted)
            except (*PERSONAL, OSError) as error:
                app.call_from_thread(self._failed, ". ".join(explain(error)), before)
                return
        app.call_from_thread(self._written, count)

    def _written(self, count: int) -> None:
        self._changed = self._changed or count > 0
        self._pending -= 1
        if self._leaving and not self._pending:
            self.dismiss(self._changed)
        else:
            self._say(f"{count} file{'' if count == 1 else 's'} written; U takes it back")

    def _failed(self, message: str, before: dict[Path, str]) -> None:
        self._pending -= 1
        self._leaving = False
        self._captions |= before
        self.app.notify(message, severity="error", markup=False)
        self._fill()
        self._say(message)

    # All captions

    def action_find(self) -> None:
        if self._dataset is None:
            self._say("Name a dataset first.")
            return
        self._keep_typed()
        place = f"the {len(self._shown)} with “{self._tag}”" if self._tag else f"all {len(self._captions)}"

        def take(found: dict[str, Any] | None) -> None:
            if found is None:
                return
            remove = (found.pop("remove"),)
            if found["replace"] and not found["find"]:
                self._say("There is something to put in, but nothing to find.")
                return
            self._edit(Edit(**found, remove=remove if remove[0].strip() else ()))

        self.app.push_screen(ParameterForm(f"Captions: {place}", EDIT, {}), take)

    def _edit(self, edit: Edit) -> None:
        assert self._dataset is not None
        tokens = {picture.path: picture.tokens for picture in self._dataset.pictures}
        wanted = {
            path: after
            for path in self._shown
            # Class tokens that stand in for a caption would be lost by a prefix written in their place.
            if (self._captions[path] or not tokens[path])
            and (after := edited(self._captions[path], edit)) != self._captions[path]
        }
        if not wanted:
            self._say("No caption changes by that.")
            return
        self._write(wanted)
        self._show_again()

    def _show_again(self) -> None:
        """The lists and the field, after captions changed behind them."""
        text = self.query_one("#caption-text", CaptionText)
        if self._at in self._captions:
            text.text = self._captions[self._at]
        self._fill()

    def action_tags(self) -> None:
        """Show the tags, or the pictures again; with a tag chosen all pictures."""
        tags = self.query_one("#caption-tags", OptionList)
        if self._tag:
            self._keep_typed()
            self._tag = ""
            self._fill()
        elif self.focused is tags:
            self.set_class(False, "-tags")
            self.query_one("#caption-list").focus()
        else:
            self.set_class(True, "-tags")
            tags.focus()
            if tags.highlighted is None and self._tags:
                tags.highlighted = 0

    def action_remove_tag(self) -> None:
        tags = self.query_one("#caption-tags", OptionList)
        if self.focused is not tags or tags.highlighted is None:
            self._say("T leads to the tags; X removes the chosen one.")
            return
        tag = self._tags[tags.highlighted]

        def take(yes: bool | None) -> None:
            if yes:
                self._edit(Edit(remove=(tag,)))

        many = sum(1 for path in self._shown if self._has(path, tag))
        self.app.push_screen(Confirm(f"Remove “{tag}” from {many} captions?", "Remove", "Leave"), take)

    def action_automatic(self) -> None:
        """Captions for the pictures that have none, by a model in a local folder."""
        if self._dataset is None:
            self._say("Name a dataset first.")
            return
        self._keep_typed()
        self.app.push_screen(Ask("Folder of a BLIP model or a WD tagger", placeholder="~/models/blip"), self._ask_model)

    def _ask_model(self, folder: str | None) -> None:
        if folder and self._dataset is not None:
            spec: dict[str, Any] = {
                "dataset": str(self._dataset.path),
                "edit": {},
                "auto": str(Path(folder).expanduser().absolute()),
                "threshold": None,
                "overwrite": False,
                "dry_run": False,
            }
            self.app.submit("captions", spec, self._on_model)  # type: ignore[attr-defined]

    def _on_model(self, number: int, event: dict[str, Any]) -> None:
        if not self.is_attached:
            return
        match event["kind"]:
            case "progress":
                self._say(
                    f"{event['stage']} {event['done']} of {event['total']}" if event.get("total") else event["stage"]
                )
            case "failed":
                self._say(f"{event['message']}. {event['hint']}".strip())
            case "done":
                assert self._dataset is not None
                result = event["result"]
                self._changed = self._changed or bool(result["changed"])
                self._at = None
                failed = f", {len(result['failed'])} cannot be read" if result["failed"] else ""
                self._read(self._dataset.path, f"{len(result['changed'])} captions made{failed}; U takes them back")

    def action_undo(self) -> None:
        if self._dataset is not None:
            self._undo(self._dataset.path)

    @work(thread=True, group="caption-files", exit_on_error=False)
    def _undo(self, path: Path) -> None:
        app: Any = self.app
        with app.caption_lock:
            try:
                back, left = undo(path)
            except (*PERSONAL, OSError) as error:
                app.call_from_thread(self._say, ". ".join(explain(error)))
                return
        app.call_from_thread(self._undone, path, back, left)

    def _undone(self, path: Path, back: int, left: list[str]) -> None:
        self._changed = self._changed or back > 0
        self._at = None
        kept = f"; {len(left)} were changed since and stay" if left else ""
        self._read(path, f"{back} file{'' if back == 1 else 's'} brought back{kept}")

    def _say(self, text: str) -> None:
        if self.is_attached:
            self.query_one("#caption-state", Static).update(text)

    def _list(self) -> OptionList:
        tags = self.query_one("#caption-tags", OptionList)
        return tags if self.focused is tags else self.query_one("#caption-list", OptionList)

    def action_cursor_down(self) -> None:
        self._list().action_cursor_down()

    def action_cursor_up(self) -> None:
        self._list().action_cursor_up()

    def action_close(self) -> None:
        if self._tag:
            self.action_tags()
            return
        self._keep_typed()
        # What is still written may fail, and that must be seen.
        if self._pending:
            self._leaving = True
        else:
            self.dismiss(self._changed)

"""The settings, one line each, changed in place and saved at once."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Select, Static, Switch

from assistant.errors import BadSetting
from assistant.settings import SETTINGS, TABLE, Settings


class SettingsScreen(ModalScreen[None]):
    """Every row of the table of settings; a wrong value is named beside its field and not saved."""

    BINDINGS = [("escape", "close", "Close")]  # noqa: RUF012

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    def compose(self) -> ComposeResult:
        with Vertical(classes="settings"):
            yield Label("Settings   Enter saves a field, Esc closes", classes="passage-title")
            with VerticalScroll():
                for setting in SETTINGS:
                    key = setting.name.replace(".", "-")
                    value = self._settings[setting.name]
                    with Horizontal(classes="setting"):
                        yield Label(setting.name, classes="setting-name", markup=False)
                        if isinstance(setting.default, bool):
                            yield Switch(bool(value), id=key)
                        elif setting.choices:
                            yield Select(
                                [(c, c) for c in setting.choices],
                                value=value,
                                allow_blank=False,
                                id=key,
                            )
                        else:
                            shown = "; ".join(value) if isinstance(value, list) else str(value)
                            yield Input(shown, id=key, compact=True)
                    yield Static(setting.help, id=f"{key}-help", classes="setting-help", markup=False)

    def _save(self, key: str, text: str) -> None:
        name = key.replace("-", ".", 1)
        note = self.query_one(f"#{key}-help", Static)
        try:
            self._settings.set_text(name, text)
        except BadSetting as error:
            note.update(f"{error.message}. {error.hint}")
            note.add_class("problem")
            return
        note.update(f"{TABLE[name].help}  (saved)")
        note.remove_class("problem")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._save(event.input.id or "", event.value)

    def on_switch_changed(self, event: Switch.Changed) -> None:
        name = (event.switch.id or "").replace("-", ".", 1)
        if self._settings[name] != event.value:
            self._save(event.switch.id or "", str(event.value).lower())

    def on_select_changed(self, event: Select.Changed) -> None:
        name = (event.select.id or "").replace("-", ".", 1)
        if self._settings[name] != event.value:
            self._save(event.select.id or "", str(event.value))

    def action_close(self) -> None:
        self.dismiss()

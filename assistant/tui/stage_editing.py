"""The stages of a film changed by keys and forms: switched, moved, added, taken out, set; and taken back.

What a change makes of the file is `video_stages`' matter. Leaves files, frames and the run to `video`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.widgets import OptionList

from assistant.tui.attachments import Attachments
from assistant.tui.film import problem
from assistant.tui.film_screen import FilmScreen
from assistant.tui.parameter_form import ParameterForm
from assistant.tui.video_rows import StageKinds, VideoRows
from assistant.tui.video_stages import ABOUT, Stages
from generation.animation.stages import FRAME
from generation.errors import GenerationError

NOTHING = "Name a film or a file of stages above, and press Enter."
UNDONE = 100  # changes that can be taken back


class StageEditing(FilmScreen):
    """`stages` is what is edited, None before a file or film was named."""

    def __init__(self) -> None:
        super().__init__()
        self.stages: Stages | None = None
        self.before: list[Stages] = []

    @property
    def rows(self) -> VideoRows:
        return self.query_one("#anim-rows", VideoRows)

    def _change(self, make: Callable[[Stages, int], Stages], at: int = 0) -> bool:
        """Change the stages at the chosen one; `at` places further one is chosen then. Whether it could be."""
        chosen = self.rows.chosen
        if self.stages is None or chosen < 0:
            self.say(NOTHING if self.stages is None else "Choose a stage; T changes the film.")
            return False
        try:
            self._take(make(self.stages, chosen), chosen + at)
        except GenerationError as error:
            self.wrong(problem(error))
            return False
        return True

    def _take(self, stages: Stages, chosen: int | None = None) -> None:
        assert self.stages is not None
        self.before = [*self.before, self.stages][-UNDONE:]
        self.stages = stages
        self.rows.show(stages, chosen)
        self.look()

    def action_undo(self) -> None:
        if self.before:
            self.stages = self.before.pop()
            self.rows.show(self.stages)
            self.look()

    def action_switch(self) -> None:
        self._change(lambda stages, number: stages.switched(number))

    def action_move(self, by: int) -> None:
        self._change(lambda stages, number: stages.moved(number, by), by)

    def action_remove(self) -> None:
        self._change(lambda stages, number: stages.removed(number))

    def action_add(self) -> None:
        def take(do: str | None) -> None:
            if do and self.stages is not None:
                place = self.rows.chosen + 1
                self._take(self.stages.added(place, do), place)
                if self.stages.rows[place].stage.painted or self.stages.problem:
                    self.action_edit()

        if self.stages is not None:
            self.app.push_screen(StageKinds(), take)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self.look()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.action_edit()

    def action_edit(self) -> None:
        """The settings of the chosen stage, or of the film."""
        stages, number = self.stages, self.rows.chosen
        if stages is None or number < 0:
            self.action_settings()
            return
        row = stages.rows[number]

        def take(found: dict[str, Any] | None) -> None:
            if found is not None:
                self._change(lambda now, number: now.with_form(number, found))

        def wrong(found: dict[str, Any]) -> str:
            return stages.with_form(number, found).wrong(number, stages)

        title = row.id if row.id == row.do else f"{row.id}: {row.do}"
        self.app.push_screen(ParameterForm(title, stages.table(number), stages.values(number), wrong), take)

    def action_hang(self) -> None:
        """Controls and the like of a stage that renders."""
        stages, number = self.stages, self.rows.chosen
        if stages is None or number < 0 or not stages.rows[number].stage.painted:
            self.say("Controls go with a stage that renders.")
            return

        def take(found: dict[str, Any] | None) -> None:
            if found is not None and found != stages.hung(number):
                self._change(lambda now, number: now.with_hung(number, found))

        self.app.push_screen(Attachments(stages.hung(number), FRAME), take)

    def action_settings(self) -> None:
        stages = self.stages
        if stages is None:
            self.say(NOTHING)
            return

        def take(found: dict[str, Any] | None) -> None:
            if found is not None:
                self._take(stages.with_about(found))

        def wrong(found: dict[str, Any]) -> str:
            problem = stages.with_about(found).problem
            return problem if problem != stages.problem else ""

        self.app.push_screen(ParameterForm("The film", ABOUT, stages.about(), wrong), take)

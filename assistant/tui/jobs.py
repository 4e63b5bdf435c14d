"""The Jobs room: what runs, what waits, what was done; cancelling and running again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import DataTable, Static

from assistant.jobs.queue import FINAL, Job, Queue
from assistant.pace import Estimate, eta
from assistant.tui.keys import bindings

STYLES = {
    "done": "green",
    "failed": "red",
    "running": "bold yellow",
    "interrupted": "red",
    "cancelled": "dim",
}


class JobsRoom(Vertical):
    """A table of the queue, kept in step with the events of the lanes."""

    BINDINGS = bindings("jobs")  # type: ignore[assignment]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._jobs: list[Job] = []
        self._live: dict[int, str] = {}
        self._estimates: dict[int, Estimate] = {}

    def compose(self) -> ComposeResult:
        table: DataTable[Any] = DataTable(id="job-table", cursor_type="row", zebra_stripes=True)
        table.add_column("Job", key="id")
        table.add_column("Began", key="began")
        table.add_column("What", key="kind")
        table.add_column("State", key="state")
        table.add_column("About", key="about")
        yield table
        yield Static("", id="job-detail", markup=False)

    def on_mount(self) -> None:
        self.refresh_jobs()

    def enter(self) -> None:
        self.query_one("#job-table").focus()
        self.refresh_jobs()

    def cancel(self) -> bool:
        return False

    @work(thread=True, exclusive=True, group="jobs", exit_on_error=False)
    def refresh_jobs(self) -> None:
        """Read the table anew, off the screen's thread."""
        jobs = Queue(self.app.paths.jobs).list()  # type: ignore[attr-defined]
        self.app.call_from_thread(self._show, jobs)

    def _show(self, jobs: list[Job]) -> None:
        table = self.query_one("#job-table", DataTable)
        row = table.cursor_row
        self._jobs = jobs
        table.clear()
        for job in jobs:
            began = datetime.fromtimestamp(job.created).strftime("%m-%d %H:%M")
            state = Text(self._live.get(job.id) or self._place(job), STYLES.get(job.state, ""))
            table.add_row(str(job.id), began, job.kind, state, Text(_about(job)), key=str(job.id))
        if jobs:
            table.move_cursor(row=min(row, len(jobs) - 1))
        self._detail()

    def _place(self, job: Job) -> str:
        """The state, of a waiting job with its place in the queue."""
        runner = self.app.runner  # type: ignore[attr-defined]
        if runner is None or job.id not in runner.waiting:
            return job.state
        place = runner.waiting.index(job.id) + 1
        return f"paused, {place}" if runner.paused else f"waits, {place}"

    def on_work(self, number: int, event: dict[str, Any]) -> None:
        """An event of any lane."""
        if number < 0:
            return
        if event["kind"] == "progress":
            total = f"/{event['total']}" if event.get("total") else ""
            left = self._estimates.setdefault(number, Estimate()).update(
                event["stage"], event["done"], event.get("total")
            )
            self._live[number] = f"{event['done']}{total}" + (f", {eta(left)}" if left else "")
            table = self.query_one("#job-table", DataTable)
            if str(number) in table.rows:
                table.update_cell(str(number), "state", Text(self._live[number], "bold yellow"))
                return
        elif event["kind"] in {"done", "failed", "cancelled"}:
            self._live.pop(number, None)
            self._estimates.pop(number, None)
        elif event["kind"] != "started":
            return
        self.refresh_jobs()

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        self._detail()

    def _chosen(self) -> Job | None:
        row = self.query_one("#job-table", DataTable).cursor_row
        return self._jobs[row] if 0 <= row < len(self._jobs) else None

    def _detail(self) -> None:
        job = self._chosen()
        text = "No jobs yet." if job is None else _about(job, long=True)
        self.query_one("#job-detail", Static).update(text)

    def action_stop(self) -> None:
        job = self._chosen()
        if job is not None and job.state not in FINAL:
            self.app.stop(job.id)  # type: ignore[attr-defined]
        elif job is not None:
            self.notify(f"Job {job.id} has ended already.", markup=False)

    def action_pause(self) -> None:
        runner = self.app.runner  # type: ignore[attr-defined]
        if runner is not None:
            runner.pause(not runner.paused)
            said = "No further job begins; P goes on." if runner.paused else "Jobs begin again."
            self.notify(said, markup=False)
            self.refresh_jobs()

    def action_move(self, by: int) -> None:
        job, runner = self._chosen(), self.app.runner  # type: ignore[attr-defined]
        if job is None or runner is None:
            return
        if runner.move(job.id, by):
            self.refresh_jobs()
        elif job.id not in runner.waiting:
            self.notify("Only a job that waits has a place in the queue.", markup=False)

    def action_again(self) -> None:
        job = self._chosen()
        if job is not None:
            spec = {**job.spec, "output": ""} if job.kind in {"render", "grid"} else job.spec
            self.app.submit(job.kind, spec, lambda number, event: None)  # type: ignore[attr-defined]
            self.refresh_jobs()

    def action_cursor_down(self) -> None:
        self.query_one("#job-table", DataTable).action_cursor_down()

    def action_cursor_up(self) -> None:
        self.query_one("#job-table", DataTable).action_cursor_up()


def _about(job: Job, *, long: bool = False) -> str:
    """What a job is about, in one line, or with its outcome in a few."""
    if job.kind in {"render", "grid"}:
        about = str(job.spec.get("spec", {}).get("prompt", ""))
    elif job.kind.startswith("train-"):
        about = f"{job.spec.get('dataset', '')} on {job.spec.get('model', '')}"
    elif job.kind == "animate":
        about = str(job.spec.get("video") or job.spec.get("name", ""))
    elif job.kind == "motion":
        told = job.spec.get("settings", {})
        about = str(told.get("prompt") or next(iter(told.get("prompts", {}).values()), job.spec.get("name", "")))
    elif job.kind == "vid2vid":
        about = str(job.spec.get("video") or job.spec.get("file", ""))
    else:
        about = ", ".join(str(p) for p in job.spec.get("paths", []))
    if not long:
        return job.message or about
    lines = [
        f"{job.kind} {job.id}: {job.state}" + (f", {eta(job.seconds)}" if job.seconds else ""),
        about,
    ]
    if job.message:
        lines.append(job.message)
    if job.result and job.result.get("path"):
        lines.append(str(job.result["path"]))
    return "\n".join(line for line in lines if line)

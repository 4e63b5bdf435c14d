"""The queue, and a lane with its real child process."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import BadArgument
from assistant.jobs import HANDLERS, LANES
from assistant.jobs.lane import Lane, Request
from assistant.jobs.queue import Queue
from assistant.jobs.runner import Runner
from assistant.paths import Paths
from assistant.settings import Settings


def test_a_job_goes_through_its_states_and_stays_closed(paths: Paths) -> None:
    jobs = Queue(paths.jobs)
    number = jobs.add("render", {"spec": {"prompt": "ё"}})
    assert (jobs.get(number).state, jobs.waiting()) == ("queued", 1)
    jobs.start(number)
    jobs.finish(number, "done", result={"path": "/x.png"})
    jobs.finish(number, "failed", message="too late")
    job = Queue(paths.jobs).get(number)
    assert (job.state, job.result, job.spec["spec"]["prompt"], jobs.waiting()) == ("done", {"path": "/x.png"}, "ё", 0)
    assert job.seconds is not None


def test_a_job_of_a_dead_process_is_interrupted_and_a_living_ones_is_not(paths: Paths) -> None:
    jobs = Queue(paths.jobs)
    mine, dead = jobs.add("render", {}), jobs.add("render", {})
    jobs.start(mine)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    jobs.start(dead)
    with jobs._open() as database:
        database.execute("UPDATE jobs SET pid=? WHERE id=?", (child.pid, dead))
    assert jobs.mark_interrupted() == 1
    assert [jobs.get(n).state for n in (mine, dead)] == ["running", "interrupted"]


def test_an_unknown_job_is_told(paths: Paths) -> None:
    with pytest.raises(BadArgument, match="no job 9"):
        Queue(paths.jobs).get(9)


def test_every_kind_has_a_lane_and_a_handler_that_exists() -> None:
    from importlib import import_module

    for kind in HANDLERS.values():
        module, attribute = kind.handler.split(":")
        assert callable(getattr(import_module(module), attribute))
        assert kind.lane in LANES


class Mailbox:
    """Collects the events of a runner and waits for the last of a job."""

    def __init__(self) -> None:
        self.events: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()

    def put(self, number: int, event: dict[str, Any]) -> None:
        self.events.put((number, event))

    def until(self, number: int, kinds: set[str], patience: float = 200) -> dict[str, Any]:
        """The next event of that job and one of these kinds; those of other jobs wait for their turn."""
        deadline = time.monotonic() + patience
        others: list[tuple[int, dict[str, Any]]] = []
        try:
            while True:
                got, event = self.events.get(timeout=max(0.1, deadline - time.monotonic()))
                if got == number and event["kind"] in kinds:
                    return event
                if got != number:
                    others.append((got, event))
        finally:
            for one in others:
                self.events.put(one)


ENDS = {"done", "failed", "cancelled"}


def test_a_render_in_a_worker_is_cancelled_replayed_and_survives_a_killed_child(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    paths = Paths.find(tmp_path).make()
    Settings(paths.settings)["studio.models"] = [str(tiny_checkpoint.parent)]
    mailbox = Mailbox()
    runner = Runner(paths, str(tmp_path), mailbox.put)
    try:
        spec = {"prompt": "a fox", "model": "tiny", "seed": 1}
        target = tmp_path / "a.png"
        long = runner.submit("render", {"spec": {**spec, "steps": 1000}, "output": str(target)})
        waiting = runner.submit("render", {"spec": spec, "output": str(target)})
        runner.cancel(waiting)
        progress = mailbox.until(long, {"progress", *ENDS})
        while progress.get("stage") != "denoising":
            assert progress["kind"] == "progress", progress
            progress = mailbox.until(long, {"progress", *ENDS})
        runner.cancel(long)
        assert mailbox.until(long, ENDS)["kind"] == "cancelled"
        assert mailbox.until(waiting, ENDS)["kind"] == "cancelled"
        assert not target.exists()
        assert [runner.queue.get(n).state for n in (long, waiting)] == ["cancelled", "cancelled"]

        failing = runner.submit("render", {"spec": {**spec, "model": "nothing"}, "output": str(target)})
        failed = mailbox.until(failing, ENDS)
        assert "no model" in failed["message"]
        assert runner.queue.get(failing).state == "failed"

        good = runner.submit("render", {"spec": spec, "output": str(target)})
        done = mailbox.until(good, ENDS)
        assert done["kind"] == "done", done
        assert target.is_file()
        assert Path(done["result"]["note"]).read_text("utf-8").count("a fox") >= 2

        child = runner._lanes["studio"]._child
        assert child is not None
        doomed = runner.submit("render", {"spec": {**spec, "steps": 1000}, "output": str(tmp_path / "b.png")})
        mailbox.until(doomed, {"progress"})
        os.kill(child.pid, 9)
        lost = mailbox.until(doomed, ENDS)
        assert (lost["kind"], runner.queue.get(doomed).state) == ("failed", "failed")
        assert not (tmp_path / "b.png").exists()
        assert list(tmp_path.glob(".*.part")) == []
    finally:
        runner.close()


def test_a_question_of_the_moment_leaves_no_row(tmp_path: Path) -> None:
    paths = Paths.find(tmp_path).make()
    mailbox = Mailbox()
    runner = Runner(paths, str(tmp_path), mailbox.put)
    try:
        number = runner.submit("documents", {})
        assert mailbox.until(number, ENDS)["result"]["documents"] == []
        assert number < 0
        assert runner.queue.list() == []
    finally:
        runner.close()


def test_waiting_jobs_change_places_and_a_pause_holds_them_but_no_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lane's own order, with a child that only says what it was asked."""
    begun: queue.Queue[int] = queue.Queue()
    go = threading.Semaphore(0)

    class Child:
        def poll(self) -> None:
            return None

    def converse(self: Lane, request: Request) -> dict[str, Any]:
        begun.put(request.id)
        go.acquire(timeout=60)
        return {"id": request.id, "kind": "done"}

    monkeypatch.setattr(Lane, "_start", lambda self: Child())
    monkeypatch.setattr(Lane, "_converse", converse)
    paths = Paths.find(tmp_path).make()
    mailbox = Mailbox()
    lane = Lane("studio", paths, None, mailbox.put)
    rows = Queue(paths.jobs)
    numbers = [rows.add("render", {}) for _ in range(4)]
    for number in numbers:
        lane.submit(Request(number, "render", {}, True))
    first, second, third, fourth = numbers
    assert begun.get(timeout=60) == first
    assert lane.waiting == [second, third, fourth]
    assert lane.move(fourth, -5)
    assert not lane.move(fourth, -1)
    assert not lane.move(first, 1)
    assert lane.waiting == [fourth, second, third]
    lane.cancel(second)
    assert mailbox.until(second, ENDS)["kind"] == "cancelled"
    assert rows.get(second).state == "cancelled"
    lane.pause(True)
    lane.submit(Request(-1, "ask", {}, False))
    go.release()
    # A question of the moment goes past what is held.
    assert begun.get(timeout=60) == -1
    go.release()
    assert mailbox.until(-1, ENDS)["kind"] == "done"
    assert lane.waiting == [fourth, third]
    lane.pause(False)
    assert begun.get(timeout=60) == fourth
    go.release()
    assert begun.get(timeout=60) == third
    go.release()
    assert mailbox.until(third, ENDS)["kind"] == "done"
    assert not lane.busy
    lane._child = None
    lane.close()

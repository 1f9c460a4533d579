"""Trainings as jobs on disk: real processes that fail, are killed, paused, left alone and found again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from napari_pathogan.engine import jobs
from napari_pathogan.engine.events import Finished, Metrics, Progress, Pulse, Warn
from napari_pathogan.engine.training_jobs import Fate, State, TrainingJob, all_jobs
from napari_pathogan.errors import JobError, OutputError

# a training in small: it goes on until told, and leaves a model
SCRIPT = """
    import json, sys, time
    from pathlib import Path
    from napari_pathogan.engine.jobs import end_with_parent

    end_with_parent()
    orders, asked = Path(sys.argv[1]), sys.argv[2:]
    run = Path(asked[asked.index("-o") + 1])

    def say(event, to=sys.stdout, **what):
        print(json.dumps({"event": event, **what}), file=to, flush=True)

    (run / "model").mkdir(parents=True, exist_ok=True)
    (run / "config.json").write_text("{}")
    (run / "checkpoint.safetensors").touch()
    say("warn", message="resumed" if "--resume" in asked else "begun")
    with open(run / "metrics.jsonl", "a") as log:
        for to in (log, sys.stdout):
            say("metrics", to, step=1, values={"loss": 2.0, "lr": 1.0})
    done = 0
    while not (orders / "end").exists():
        done += 1
        say("progress", done=done, total=1000)
        time.sleep(0.02)
        if (orders / "fail").exists():
            sys.exit("pathogan: no space")
    (run / "model" / "model.json").write_text("new")
    say("finished", summary={"text": "learnt"})
"""
LONG_S = 60


@pytest.fixture
def orders(tmp_path, monkeypatch):
    """Where the process is told what to do."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    folder = tmp_path / "orders"
    folder.mkdir()
    monkeypatch.setattr(jobs, "PROGRAM", (sys.executable, str(script), str(folder)))
    return folder


@pytest.fixture
def job(orders, tmp_path):
    """A training that waits."""
    made = TrainingJob.make("nuclei", "mine", tmp_path / "models" / "mine", figure=("dice", "Dice"))
    made.command = ("nuclei", "train", "images of ours", "-o", str(made.run))
    made.state = State.WAITS
    made.save()
    yield made
    made.fate = Fate.STOPS
    made._stop()


def until(events, kind):
    """The next event of a kind."""
    return next(event for event in events if isinstance(event, kind))


def wait(there):
    end = time.monotonic() + LONG_S
    while not there():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_it_ends_with_its_model_in_its_place(job, orders):
    events = job.events()
    assert until(events, Warn).message == "begun"
    assert until(events, Metrics).values == {"loss": 2.0, "lr": 1.0}
    assert job.curve().values["loss"] == (2.0,)
    assert TrainingJob.load(job.folder).state is State.RUNS
    (orders / "end").touch()
    *_, last = events
    assert isinstance(last, Finished)
    assert (job.model / "model.json").read_text() == "new"
    kept = TrainingJob.load(job.folder)
    assert (kept.state, kept.summary, kept.figure) == (
        State.DONE,
        {"text": "learnt"},
        ("dice", "Dice"),
    )
    assert kept.curve().steps == (1,)
    assert not (job.run / "checkpoint.safetensors").exists()
    assert "pathogan nuclei train 'images of ours' -o " in job.log()
    assert "begun" in job.log()


def test_cancel_leaves_nothing_but_its_line_in_the_list(job):
    events = job.events()
    until(events, Progress)
    process = job.process
    job.fate = Fate.GOES
    events.close()
    assert not process.is_running()
    assert TrainingJob.load(job.folder).state is State.CANCELLED
    assert not job.run.exists()
    assert not job.model.exists()


def test_what_rests_is_ended_too(job):
    events = job.events()
    until(events, Metrics)
    job.pause()
    assert job.paused
    job.go_on()
    assert not job.paused
    job.pause()
    process = job.process
    events.close()
    assert not process.is_running()


def test_stopped_with_its_window_and_resumed(job, orders):
    events = job.events()
    until(events, Metrics)
    events.close()
    (found,) = all_jobs()
    assert found.process is None
    assert not found.has_finished()
    found.settle()
    assert (found.state, found.why) == (State.STOPPED, "")
    again = found.events()
    assert until(again, Warn).message == "resumed"
    (orders / "end").touch()
    *_, last = again
    assert isinstance(last, Finished)


def test_killed_it_can_be_resumed_failed_it_says_why(job, orders):
    events = job.events()
    until(events, Metrics)
    os.kill(job.pid, signal.SIGKILL)
    with pytest.raises(JobError, match="mine was interrupted"):
        list(events)
    assert job.state is State.STOPPED
    (orders / "fail").touch()
    with pytest.raises(JobError, match="mine: no space"):
        list(job.events())
    assert (TrainingJob.load(job.folder).state, job.why) == (State.FAILED, "no space")


def test_where_a_model_is_already_nothing_is_lost(job, orders):
    job.model.mkdir(parents=True)
    (job.model / "theirs").touch()
    (orders / "end").touch()
    with pytest.raises(OutputError, match="is there already"):
        list(job.events())
    assert job.state is State.FAILED
    assert (job.model / "theirs").exists()
    assert (job.run / "model" / "model.json").exists()


def test_it_goes_on_alone_and_is_found(job, orders, tmp_path):
    """By another process than the one that has begun it, which has ended."""
    code = f"""
        from pathlib import Path
        from napari_pathogan.engine import jobs
        from napari_pathogan.engine.events import Metrics
        from napari_pathogan.engine.training_jobs import TrainingJob
        jobs.PROGRAM = {jobs.PROGRAM!r}
        job = TrainingJob.load(Path({str(job.folder)!r}))
        events = job.events()
        while not isinstance(next(events), Metrics):
            pass
        job.stay()
        events.close()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
    (found,) = all_jobs()
    assert found.process is not None
    assert not found.watched_elsewhere
    events = found.events(found=True)
    first = next(event for event in events if not isinstance(event, Pulse))
    assert isinstance(first, Progress)  # what was said before is not said again
    done = first.done
    wait(lambda: until(events, Progress).done > done)
    (orders / "end").touch()
    *_, last = events
    assert last.result == job.model
    assert (job.model / "model.json").exists()


def test_a_parent_that_is_killed_takes_it_along(job):
    code = f"""
        import os, signal
        from pathlib import Path
        from napari_pathogan.engine import jobs
        from napari_pathogan.engine.events import Metrics
        from napari_pathogan.engine.training_jobs import TrainingJob
        jobs.PROGRAM = {jobs.PROGRAM!r}
        job = TrainingJob.load(Path({str(job.folder)!r}))
        events = job.events()
        while not isinstance(next(events), Metrics):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    (found,) = all_jobs()
    wait(lambda: found.process is None)
    found.settle()
    assert found.state is State.STOPPED


def test_it_says_that_it_runs_before_its_process_does(job, monkeypatch):
    """So that a kill in between leaves one that is resumed, and not one that waits beside its process."""
    states, spawn = [], jobs.spawn

    def spawned(*asked):
        states.append(TrainingJob.load(job.folder).state)
        return spawn(*asked)

    monkeypatch.setattr(jobs, "spawn", spawned)
    events = job.events()
    until(events, Pulse)
    events.close()
    assert states == [State.RUNS]


def test_two_windows_start_it_once(job):
    events = job.events()
    until(events, Progress)
    other = TrainingJob.load(job.folder)
    with pytest.raises(JobError, match="runs in another napari"):
        next(other.events())
    assert TrainingJob.load(job.folder).state is State.RUNS
    events.close()


def test_what_was_prepared_by_a_process_that_has_gone_goes(job, caplog):
    prepared = TrainingJob.make("stain", "half", job.model.with_name("half"))
    prepared.pool.mkdir()
    assert [one.name for one in all_jobs()] == ["mine"]
    assert prepared.pool.exists()  # this process may be at it
    prepared.watcher = (psutil.Process().pid, 1.0)
    prepared.save()
    assert [one.name for one in all_jobs()] == ["mine"]
    assert not prepared.folder.exists()
    (job.folder / "job.json").write_text(json.dumps({"state": "thinks"}))
    assert all_jobs() == []
    assert "holds no training that can be read" in caplog.text


def test_whether_there_is_a_checkpoint_is_known(orders, tmp_path):
    job = TrainingJob.make("masses", "mine", tmp_path / "models" / "mine")
    assert not job.has_checkpoint, "it was stopped while it started"
    part = job.run / "fold0"
    part.mkdir(parents=True)
    (part / "checkpoint.safetensors").touch()
    assert job.has_checkpoint

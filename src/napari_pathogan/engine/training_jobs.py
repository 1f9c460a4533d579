"""Trainings that outlive the window that they were begun in: a folder each, which says how they stand.

    jobs/NAME-.../job.json      what was asked for, how it stands, its process
                  events.jsonl  what the process says, an event a line
                  said.txt      what it says besides: warnings, an error
                  run/          the run, which can be resumed
                  pool/         images that were cut for it alone, where it has some

The process is our own command line; its words go into files, so that it can go on when the window is
closed, and the next one watches on. A training that was killed, or stopped with its window, is resumed
by the same command.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from filelock import FileLock

from napari_pathogan.engine import jobs
from napari_pathogan.engine.events import (
    Event,
    Finished,
    Metrics,
    Preview,
    Progress,
    Pulse,
    Warn,
    from_json,
)
from napari_pathogan.errors import JobError, PathoganError
from napari_pathogan.files import data_folder, output_error, write_text, written
from napari_pathogan.kinds import NEW, OURS

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence

_PATIENCE = 0.4  # seconds that a process has to leave by itself
_DYING = 5.0  # the same once it was killed: the system may be busy
_PULSE = 0.1  # seconds between two looks at what it says
_SAME_S = 2.0  # within which two starts of a process are the same
_LOCK = ".lock"  # held by who starts one
_PREFIX = "pathogan: "
_CHECKPOINT = "checkpoint.safetensors"  # of `engine.runs`, which imports torch
_INTERRUPTED = "pathogan: interrupted", "KeyboardInterrupt"
_RATE, _HELD_OUT = "lr", "held_out_"  # among the numbers of an epoch
_FIELDS = "task", "name", "figure", "state", "place", "why", "summary", "pid", "born", "watcher"
_log = logging.getLogger(__name__)


class State(StrEnum):
    """How a training stands."""

    PREPARES = "prepares"  # its images are being made
    WAITS = "waits"
    RUNS = "runs"
    DONE = "done"
    STOPPED = "stopped"  # with its window, or killed: it can be resumed
    FAILED = "failed"
    CANCELLED = "cancelled"


class Fate(StrEnum):
    """What becomes of a process that nobody watches any more."""

    STOPS = "stops"  # its run is kept
    GOES = "goes"  # with all that it has made
    STAYS = "stays"  # goes on alone


class _TakenError(JobError):
    """Another process has been quicker to start it."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The numbers of a training by its epochs, so far.

    Attributes
    ----------
    part
        Which of several networks it is of, as its folder in the run is called; "" for the model's.
    steps
        The epochs.
    values
        Name of a loss or figure -> its values.
    """

    part: str
    steps: tuple[int, ...]
    values: Mapping[str, tuple[float, ...]]


@dataclass(eq=False)
class TrainingJob:
    """A training, as its folder has it.

    Attributes
    ----------
    task, name
        What is trained, and what the new model is called.
    model
        Where the new model is to lie.
    command
        What would be typed after ``pathogan``.
    figure
        Of before and after: its name in the summary, and what a reader calls it.
    place
        Among those that wait: the least is the next.
    why
        It failed, in a sentence.
    summary
        What it ended with.
    pid, born
        Its process, and when that started.
    watcher
        The process that watches it, and when that started.
    fate
        What becomes of its process when :meth:`events` is closed.
    paused
        Whether its process has been told to rest.
    """

    folder: Path
    task: str
    name: str
    model: Path
    command: tuple[str, ...]
    figure: tuple[str, str] = ("", "")
    state: State = State.WAITS
    place: float = field(default_factory=time.time)
    why: str = ""
    summary: Mapping[str, Any] = field(default_factory=dict)
    pid: int = 0
    born: float = 0.0
    watcher: tuple[int, float] = (0, 0.0)
    fate: Fate = Fate.STOPS
    paused: bool = False
    _child: subprocess.Popen[Any] | None = None

    # what lies where

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.folder / "run"

    @property
    def pool(self) -> Path:
        """Images that were cut for it alone."""
        return self.folder / "pool"

    @property
    def line(self) -> str:
        """The command as it is typed."""
        return shlex.join(["pathogan", *self.command])

    @property
    def ended(self) -> bool:
        """Whether it is over, or has to be resumed."""
        return self.state not in {State.PREPARES, State.WAITS, State.RUNS}

    def curve(self) -> Curve | None:
        """What was measured in the network that learns now, or learnt last; None before its first epoch."""
        files = {path: path.stat().st_mtime for path in self.run.rglob("metrics.jsonl")}
        if not files:
            return None
        file = max(files, key=files.__getitem__)
        part = file.parent.relative_to(self.run).as_posix()
        found = [one for one in _events(file) if isinstance(one, Metrics) and one.values]
        names = dict.fromkeys(name for one in found for name in one.values)
        values = {
            name: tuple(float(one.values.get(name, float("nan"))) for one in found)
            for name in names
        }
        return Curve("" if part == "." else part, tuple(one.step for one in found), values)

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint from which it can go on."""
        return any(self.run.rglob(_CHECKPOINT))

    def preview(self) -> Path | None:
        """The latest picture of how it goes; None before there is one."""
        files = {path: path.stat().st_mtime for path in self.run.rglob("previews/*.png")}
        return max(files, key=files.__getitem__) if files else None

    def preview_says(self) -> str:
        """What its pictures show, if its process has said so."""
        said = [one.name for one in _events(self._said_in) if isinstance(one, Preview)]
        return said[-1] if said else ""

    def log(self) -> str:
        """The command, and all that was said: notes, warnings of libraries, errors."""
        notes = [one.message for one in _events(self._said_in) if isinstance(one, Warn)]
        said = _text(self._said_else).strip()
        return "\n\n".join(filter(None, [self.line, "\n".join(notes), said, self.why]))

    # on disk

    @classmethod
    def make(
        cls, task: str, name: str, model: Path, *, figure: tuple[str, str] = ("", "")
    ) -> TrainingJob:
        """A new one with a folder of its own, to be prepared.

        Raises
        ------
        OutputError
            If the folder can't be made.
        """
        try:
            jobs_folder().mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=jobs_folder()))
        except OSError as error:
            raise output_error(jobs_folder(), error) from error
        job = cls(folder, task, name, model, (), figure, State.PREPARES, watcher=_here())
        job.save()
        return job

    @classmethod
    def load(cls, folder: Path) -> TrainingJob:
        """The one that lies in a folder.

        Raises
        ------
        JobError
            If nothing readable says what it is.
        """
        try:
            kept = json.loads((folder / "job.json").read_text(encoding="utf-8"))
            kept["state"], kept["model"] = State(kept["state"]), Path(kept["model"])
            kept |= {name: tuple(kept[name]) for name in ("command", "figure", "watcher")}
            return cls(folder, **kept)
        except (OSError, ValueError, KeyError, TypeError) as error:
            msg = f"{folder} holds no training that can be read ({error})"
            raise JobError(msg) from error

    def save(self) -> None:
        """Keep how it stands.

        Raises
        ------
        OutputError
            If it can't be written.
        """
        kept = {name: getattr(self, name) for name in _FIELDS}
        kept |= {"model": str(self.model), "command": self.command}
        write_text(self.folder / "job.json", json.dumps(kept, indent=1), OURS)

    def remove(self) -> None:
        """Take its folder away."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # its process

    @property
    def process(self) -> psutil.Process | None:
        """Its process, as long as that lives."""
        if self._child is not None:
            self._child.poll()  # one that has ended goes
        return _living(self.pid, self.born)

    @property
    def watched_elsewhere(self) -> bool:
        """Whether another napari, which is open, watches it."""
        return self.watcher[0] != os.getpid() and _living(*self.watcher) is not None

    def pause(self) -> None:
        """Let its process rest where it is; harmless if there is none."""
        self.paused = True
        for one in self._family():
            with suppress(psutil.NoSuchProcess):
                one.suspend()

    def go_on(self) -> None:
        """Let its process go on."""
        self.paused = False
        for one in self._family():
            with suppress(psutil.NoSuchProcess):
                one.resume()

    def stay(self) -> None:
        """Let its process go on when this one ends."""
        self.fate = Fate.STAYS
        self.go_on()
        if self._child is not None:
            jobs.let_stay(self._child)

    def events(self, *, found: bool = False) -> Iterator[Event]:
        """Start it, or resume it; yield what it says until it ends.

        Closing the generator ends the process as :attr:`fate` says. Finishes with the new model's
        folder, which is then in its place.

        Parameters
        ----------
        found
            Its process runs, or has run, since another napari has started it: it says again how far
            it is, and no more of what it has said.

        Raises
        ------
        JobError
            If it can't be started, fails or is killed.
        OutputError
            If the model can't be put in its place.
        """
        over = False
        try:
            if not found:
                with FileLock(jobs_folder() / _LOCK):
                    self._start()
                yield Progress(0, 0, "starting the training")
            else:
                self.go_on()  # with a napari that was killed nobody else would tell it
                self.watcher = _here()
                self.save()
            finished: Finished | None = None
            for event in self._said(skip=found):
                if isinstance(event, Finished):
                    finished = event
                else:
                    yield event
            over = True
            yield self._end(finished)
        except _TakenError:
            over = True
            raise
        except PathoganError as error:
            if not self.ended:
                self.state, self.why = State.FAILED, str(error)
                with suppress(PathoganError):  # the disk may be full
                    self.save()
            raise
        finally:
            if not over and self.fate is not Fate.STAYS:
                self._stop()
                if self.fate is Fate.GOES:
                    self._conclude(State.CANCELLED)

    def has_finished(self) -> bool:
        """Whether its process has said that it is through, though its model may not be in its place."""
        return any(isinstance(event, Finished) for event in _events(self._said_in))

    def settle(self) -> None:
        """Note what became of a process that has gone before it was through."""
        self.why = self._complaint()
        self.state = State.FAILED if self.why else State.STOPPED
        self.save()

    def give_up(self) -> None:
        """Note that one which does not run is not wanted; what it has made goes."""
        self._conclude(State.CANCELLED)

    def _start(self) -> None:
        if TrainingJob.load(self.folder).state is State.RUNS:
            raise _TakenError(f"the training of {self.name} runs in another napari already")
        resumed = ["--resume"] * (self.run / "config.json").is_file()
        self.state, self.why, self.paused, self.watcher = State.RUNS, "", False, _here()
        self.pid, self.born = 0, 0.0
        self.save()  # first: whoever is killed while the process starts leaves one that runs, not one that waits
        try:
            with self._said_in.open("wb") as said, self._said_else.open("wb") as besides:
                self._child = jobs.spawn([*self.command, *resumed], jobs.PROGRAM, said, besides)
        except OSError as error:
            raise output_error(self.folder, error) from error
        self.pid, self.born = self._child.pid, psutil.Process(self._child.pid).create_time()
        self.save()

    def _said(self, *, skip: bool) -> Iterator[Event]:
        """What the process says until it is gone; with ``skip`` the first look gives the latest alone."""
        rest = ""
        with self._said_in.open(encoding="utf-8", errors="replace") as stream:
            while True:
                lives = self.process is not None
                *lines, rest = (rest + stream.read()).split("\n")
                events = [event for line in lines if (event := _event(line)) is not None]
                latest = [one for one in events if isinstance(one, Progress)][-1:]
                for event in events:
                    old = skip and not isinstance(event, Progress | Finished)
                    if not old and (event in latest or not isinstance(event, Progress)):
                        yield event
                if not lives:
                    return
                skip = False
                yield Pulse()
                time.sleep(_PULSE)

    def _end(self, finished: Finished | None) -> Finished:
        """Put the model in its place."""
        if finished is None:
            self.settle()
            raise JobError(
                f"{self.name}: {self.why}"
                if self.why
                else f"the training of {self.name} was interrupted; Plugins > PathoGAN > Jobs resumes it"
            )
        with written(self.model, NEW) as beside:
            shutil.copytree(self.run / "model", beside)
        self.summary = dict(finished.summary)
        self._conclude(State.DONE)
        return Finished(self.model, self.summary)

    def _conclude(self, state: State) -> None:
        """Keep of a training that is over what says how it went."""
        shutil.rmtree(self.pool, ignore_errors=True)
        if state is State.DONE:
            shutil.rmtree(self.run / "model", ignore_errors=True)
            for state_of in self.run.rglob("*.safetensors"):
                state_of.unlink(missing_ok=True)
        else:
            shutil.rmtree(self.run, ignore_errors=True)
        self.state = state
        self.save()

    def _stop(self) -> None:
        """End the process and all it started: asked first, as by Ctrl-C, then killed."""
        process = self.process
        if process is None:
            return
        self.go_on()  # what rests hears nothing
        with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            if sys.platform != "win32":
                process.send_signal(signal.SIGINT)
            elif self._child is not None and self._child.stdin is not None:
                self._child.stdin.close()
            process.wait(_PATIENCE)
        jobs.kill(self.pid)
        with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            process.wait(_DYING)

    def _family(self) -> list[psutil.Process]:
        process = self.process
        try:
            return [] if process is None else [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _complaint(self) -> str:
        """What went wrong, in the process's own words; empty if it was killed."""
        lines = [line for line in _text(self._said_else).splitlines() if line.strip()]
        own = [line for line in lines if line.startswith(_PREFIX)]
        failed = own or any(line.startswith("Traceback") for line in lines)
        last = (own or lines)[-1] if failed else ""
        return "" if last.startswith(_INTERRUPTED) else last.removeprefix(_PREFIX)

    @property
    def _said_in(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def _said_else(self) -> Path:
        return self.folder / "said.txt"


def loss(values: Mapping[str, float]) -> float:
    """The losses of an epoch in one: their sum, without learning rates and figures."""
    return sum(value for name, value in values.items() if name != _RATE and not is_figure(name))


def is_figure(name: str) -> bool:
    """Whether a number of an epoch was measured on what is held out, and no loss."""
    return name.startswith(_HELD_OUT)


def jobs_folder() -> Path:
    """Where the folders of all trainings lie; it may not be there."""
    return data_folder() / "jobs"


def all_jobs(known: Sequence[TrainingJob] = ()) -> list[TrainingJob]:
    """All trainings: those that are known, as they are, and others that wait, run or have ended.

    What cannot be read is logged; what was being prepared by a process that has gone is taken away.
    """
    found = {job.folder: job for job in known if job.folder.is_dir()}
    for file in jobs_folder().glob("*/job.json"):
        if file.parent in found:
            continue
        try:
            job = TrainingJob.load(file.parent)
        except JobError as error:
            _log.warning("%s", error)
            continue
        if job.state is not State.PREPARES:
            found[job.folder] = job
        elif _living(*job.watcher) is None:
            job.remove()
    return list(found.values())


def _living(pid: int, born: float) -> psutil.Process | None:
    """The process of a number, if it is still the one that started then."""
    if not pid:
        return None
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - born) < _SAME_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _here() -> tuple[int, float]:
    return os.getpid(), psutil.Process().create_time()


def _event(line: str) -> Event | None:
    """The event of a line; None if it is something else, as of a library that prints."""
    try:
        return from_json(line)
    except (ValueError, TypeError):
        return None


def _events(file: Path) -> list[Event]:
    return [event for line in _text(file).splitlines() if (event := _event(line)) is not None]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

"""Long work in a child process of our own command line: start, watch, cancel, resume.

The child (``python -m napari_pathogan.cli ... --events``) prints its events as JSON lines. It ends
when its parent ends: the parent holds the other end of its stdin, and a thread waits for that to
close, unless it was told to stay. What the child leaves behind is what the command line leaves: whole files, a run to resume.

The parent is a window that someone works in: the child leaves a core to it, and comes second where
both want the same one.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from queue import Empty, Queue
from typing import TYPE_CHECKING, Self

from napari_pathogan.engine.events import Event, Finished, Pulse, from_json
from napari_pathogan.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from typing import IO, Any

_MARK = "PATHOGAN_JOB"  # set in a child's environment: it ends when its stdin closes
_PATIENCE = 0.4  # seconds that a child has to leave by itself
_PULSE = 0.1  # seconds between two events at most
_NICENESS = 10  # of a child
_LEAVING = 2.0  # the same when its parent is gone
_KEPT = 30  # lines of other output kept for an error message
_PREFIX = "pathogan: "
_ENVIRONMENT = {_MARK: "1", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
_THREADS = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) - 1))}  # unless the user says
_FLAGS = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(
    subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0
)
PROGRAM = (sys.executable, "-m", "napari_pathogan.cli")
"""Our own command line."""
_STAY = b"stay"  # the last word of a parent that goes without its child


class Rests:
    """How often this process has gone on after a rest, which counts for no pace.

    Attributes
    ----------
    ended
        The number, from :meth:`note` on.
    """

    ended = 0

    @classmethod
    def note(cls) -> None:
        """Notice them from now on."""
        if hasattr(signal, "SIGCONT"):  # a system without it lets threads go on, and says nothing
            signal.signal(signal.SIGCONT, cls._went_on)

    @classmethod
    def _went_on(cls, *_: object) -> None:
        cls.ended += 1


class Job:
    """A running command; a context manager that cancels what still runs at its end.

    Examples
    --------
    >>> with Job.start(["idc", "train", "patches", "-o", "run"]) as job:  # doctest: +SKIP
    ...     for event in job.events():
    ...         print(event)
    """

    def __init__(
        self, arguments: Sequence[str], program: Sequence[str], process: subprocess.Popen[str]
    ) -> None:
        self.arguments = tuple(arguments)
        self.program = tuple(program)
        self.process = process
        self._cancelled = False
        self._said: deque[str] = deque(maxlen=_KEPT)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    @classmethod
    def start(cls, arguments: Sequence[str], program: Sequence[str] = PROGRAM) -> Job:
        """Start ``pathogan *arguments --events`` in a process group of its own.

        Parameters
        ----------
        arguments
            What would be typed after ``pathogan``.
        program
            What to run instead of our command line (tests).

        Raises
        ------
        JobError
            If the process can't be started.
        """
        pipe = subprocess.PIPE
        process = spawn(arguments, program, pipe, pipe, encoding="utf-8", errors="replace")
        return cls(arguments, program, process)

    def events(self) -> Generator[Event, None, None]:
        """Yield the child's events until it ends; closing the generator cancels it.

        While the child says nothing, a :class:`Pulse` comes every tenth of a second. Ends quietly after :meth:`cancel`.

        Raises
        ------
        JobError
            If the child fails or is killed; with the one line that it said about it.
        """
        finished = False
        try:
            for line in self._lines():
                if line is None:
                    if not finished:  # its process may take a while to go
                        yield Pulse()
                    continue
                try:
                    event = from_json(line)
                except (ValueError, TypeError):
                    self._said.append(line.strip())  # a library that prints
                else:
                    finished = isinstance(event, Finished)
                    yield event
            code = self.process.wait()
        finally:
            self.cancel()
            self._listener.join(_PATIENCE)
        if code and not self._cancelled:
            raise JobError(self._complaint(code))

    def cancel(self) -> None:
        """End the child and all it started, within half a second; harmless if it has ended.

        It is asked first (as by Ctrl-C), so that it can tidy up, and killed if it does not go. May
        be called from any thread; :meth:`events` then ends.
        """
        if self.process.poll() is None:
            self._cancelled = True
            if sys.platform != "win32":
                self.process.send_signal(signal.SIGINT)
            else:
                self._let_go()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_PATIENCE)
            kill(self.process.pid)
            self.process.wait()
        self._let_go()

    def resume(self) -> Job:
        """Start the command again with ``--resume``: it goes on from its last checkpoint."""
        arguments = [a for a in self.arguments if a != "--resume"]
        return Job.start([*arguments, "--resume"], self.program)

    def _let_go(self) -> None:
        """Close the child's stdin, which also asks it to leave."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # a broken pipe: the child went first
            self.process.stdin.close()

    def _lines(self) -> Iterator[str | None]:
        """What the child prints, line by line; None when nothing has come for a while."""
        lines: Queue[str] = Queue()
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()
        while True:
            try:
                line = lines.get(timeout=_PULSE)
            except Empty:
                yield None
            else:
                if not line:
                    return
                yield line

    def _read(self, lines: Queue[str]) -> None:
        """Put all lines of the child's output, then an empty one."""
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                lines.put(line)
        lines.put("")

    def _listen(self) -> None:
        """Keep the end of what the child says on stderr (and never let that pipe fill up)."""
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            self._said.extend(line.strip() for line in stream if line.strip())

    def _complaint(self, code: int) -> str:
        """What went wrong, in the child's own words where it found any."""
        command = " ".join(self.arguments[:2])
        said = [line for line in self._said if line.startswith(_PREFIX)] or list(self._said)
        if code < 0:
            return (
                f"{command} was killed ({signal.Signals(-code).name}); what it had finished is "
                "kept, a training run goes on from its last checkpoint when resumed"
            )
        return said[-1].removeprefix(_PREFIX) if said else f"{command} ended with code {code}"


def end_with_parent() -> None:
    """In a job's child: leave as by Ctrl-C when the parent is gone, or the parent asks to.

    Until then it comes second to the parent. Does nothing in a process that no :class:`Job` has started.
    """
    if os.environ.pop(_MARK, None) is not None:
        # a shell's background process ignores SIGINT, and so would its children
        signal.signal(signal.SIGINT, signal.default_int_handler)
        Rests.note()
        atexit.register(gc.freeze)  # else Python walks all that torch has brought before it ends
        if sys.platform != "win32":  # there the parent has seen to it
            os.nice(_NICENESS)
        threading.Thread(target=_wait_for_the_end, daemon=True).start()


def _wait_for_the_end() -> None:
    said = b""
    while new := os.read(0, 1024):  # stdin; not through sys.stdin, whose lock would be held at exit
        said += new
    if said == _STAY:
        return
    _thread.interrupt_main()
    time.sleep(_LEAVING)
    os._exit(2)


def spawn(
    arguments: Sequence[str],
    program: Sequence[str],
    stdout: int | IO[Any],
    stderr: int | IO[Any],
    **options: Any,
) -> subprocess.Popen[Any]:
    """Start ``program *arguments --events`` in a process group of its own, which ends with this process.

    Raises
    ------
    JobError
        If it can't be started.
    """
    try:
        return subprocess.Popen(  # noqa: S603  (our own command line)
            [*program, *arguments, "--events"],
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            env={**_THREADS, **os.environ, **_ENVIRONMENT},
            creationflags=_FLAGS,
            start_new_session=True,  # of no effect on Windows, as the flag is elsewhere
            **options,
        )
    except OSError as error:
        msg = f"can't start {program[0]}: {error.strerror or error}"
        raise JobError(msg) from error


def let_stay(process: subprocess.Popen[Any]) -> None:
    """Let a child that :func:`spawn` started go on when this process ends."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # a broken pipe: the child went first
        os.write(process.stdin.fileno(), _STAY)


def kill(pid: int) -> None:
    """Kill a child with its whole process group, if any of it is left."""
    if sys.platform == "win32":
        tree = ["taskkill", "/F", "/T", "/PID", str(pid)]
        subprocess.run(tree, capture_output=True, check=False)  # noqa: S603
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

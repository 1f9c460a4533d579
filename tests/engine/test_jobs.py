"""Jobs are real child processes here: they fail, are killed, cancelled and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from napari_pathogan.engine.events import Finished, Metrics, Progress, Pulse
from napari_pathogan.engine.jobs import Job
from napari_pathogan.errors import JobError

# a training run in small: five steps, one file a step, goes on where it was with --resume
SCRIPT = """
    import sys, time
    from pathlib import Path
    from napari_pathogan.engine.events import Finished, Metrics, to_json
    from napari_pathogan.engine.jobs import end_with_parent

    end_with_parent()
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    assert "--events" in sys.argv
    begin = len(list(folder.glob("step*"))) if "--resume" in sys.argv else 0
    print("a library says hello")
    try:
        for step in range(begin, 5):
            time.sleep(seconds)
            (folder / f"step{step}").touch()
            print(to_json(Metrics(step, {"loss": 1 / (step + 1)})), flush=True)
        print(to_json(Finished(summary={"begin": begin})), flush=True)
    except KeyboardInterrupt:
        (folder / "tidied").touch()
        sys.exit(2)
"""


@pytest.fixture
def program(tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(SCRIPT))
    return sys.executable, str(path)


QUICK_S = 20  # far less than what the children would take, far more than a busy machine


def said(events):
    """The next event that is not a pulse."""
    return next(event for event in events if not isinstance(event, Pulse))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0] != "Z"


def test_events_arrive_and_other_output_does_not_hurt(tmp_path, program):
    with Job.start([str(tmp_path), "0"], program) as job:
        events = list(job.events())
    assert [e.step for e in events if isinstance(e, Metrics)] == [0, 1, 2, 3, 4]
    assert isinstance(events[-1], Finished)
    assert events[-1].summary == {"begin": 0}
    assert job.process.returncode == 0


def test_cancel_is_quick_lets_the_child_tidy_up_and_ends_quietly(tmp_path, program):
    job = Job.start([str(tmp_path), "0.5"], program)
    events = job.events()
    assert isinstance(said(events), Metrics)
    start = time.perf_counter()
    job.cancel()
    assert time.perf_counter() - start < QUICK_S
    assert all(isinstance(e, Metrics | Pulse) for e in events)
    assert (tmp_path / "tidied").exists()
    assert not alive(job.process.pid)
    job.cancel()  # harmless


def test_closing_the_events_cancels(tmp_path, program):
    job = Job.start([str(tmp_path), "0.5"], program)
    events = job.events()
    said(events)
    events.close()
    assert not alive(job.process.pid)


def test_a_child_that_will_not_go_is_killed_with_its_children(tmp_path):
    script = tmp_path / "stubborn.py"
    script.write_text(
        "import signal, subprocess, sys, time\n"
        "from napari_pathogan.engine.events import Progress, to_json\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(to_json(Progress(child.pid, 0)), flush=True)\n"
        "time.sleep(60)\n"
    )
    job = Job.start([], (sys.executable, str(script)))
    grandchild = said(job.events())
    assert isinstance(grandchild, Progress)
    start = time.perf_counter()
    job.cancel()
    assert time.perf_counter() - start < QUICK_S
    assert not alive(job.process.pid)
    deadline = time.perf_counter() + QUICK_S
    while alive(grandchild.done) and time.perf_counter() < deadline:
        time.sleep(0.02)
    assert not alive(grandchild.done)


def test_a_killed_run_is_an_error_and_goes_on_when_resumed(tmp_path, program):
    job = Job.start([str(tmp_path), "0.2"], program)
    events = job.events()
    assert isinstance(said(events), Metrics)
    os.kill(job.process.pid, signal.SIGKILL)
    with pytest.raises(JobError, match=r"was killed \(SIGKILL\).*resumed"):
        list(events)
    done = len(list(tmp_path.glob("step*")))
    assert 1 <= done < 5
    with job.resume() as again:
        last = list(again.events())[-1]
    assert isinstance(last, Finished)
    assert last.summary["begin"] == done
    with again.resume() as third:
        assert third.arguments == again.arguments


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('pathogan: no such folder', file=sys.stderr); sys.exit(2)", "^no such folder$"),
        ("raise ValueError('broken inside')", "^ValueError: broken inside$"),
        ("sys.exit(3)", "ended with code 3"),
    ],
)
def test_the_childs_one_line_is_the_error(code, message):
    job = Job.start(["idc", "train"], (sys.executable, "-c", f"import sys; {code}"))
    with pytest.raises(JobError, match=message):
        list(job.events())


def test_it_can_be_cancelled_while_the_child_says_nothing(tmp_path, program):
    with Job.start([str(tmp_path), "60"], program) as job:
        events = job.events()
        start = time.perf_counter()
        assert isinstance(next(events), Pulse)
        events.close()
        assert time.perf_counter() - start < QUICK_S
    assert not alive(job.process.pid)


@pytest.mark.skipif(sys.platform == "win32", reason="there it has a class of priority")
def test_the_child_leaves_a_core_and_comes_second(tmp_path, monkeypatch):
    script = tmp_path / "priority.py"
    script.write_text(
        "import os\n"
        "from napari_pathogan.engine.events import Progress, to_json\n"
        "from napari_pathogan.engine.jobs import end_with_parent\n"
        "end_with_parent()\n"
        "print(to_json(Progress(os.nice(0), int(os.environ['OMP_NUM_THREADS']))), flush=True)\n"
    )
    program = sys.executable, str(script)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    first = said(Job.start([], program).events())
    assert first.done > os.nice(0)
    assert first.total == max(1, os.cpu_count() - 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert said(Job.start([], program).events()).total == 7  # the user's choice


def test_a_program_that_is_not_there(tmp_path):
    with pytest.raises(JobError, match="can't start"):
        Job.start([], (str(tmp_path / "nothing"),))


def test_our_own_command_line_says_what_is_wrong():
    job = Job.start(["idc", "no-such-command"])
    with pytest.raises(JobError, match="no-such-command"):
        list(job.events())


def test_the_child_ends_with_its_parent(tmp_path, program):
    code = (
        "import sys, time\n"
        "from napari_pathogan.engine.jobs import Job\n"
        "job = Job.start([sys.argv[1], '30'], tuple(sys.argv[2:]))\n"
        "print(job.process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), *program], stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    time.sleep(0.5)
    assert alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.perf_counter() + QUICK_S
    while alive(child) and time.perf_counter() < deadline:
        time.sleep(0.05)
    assert not alive(child)

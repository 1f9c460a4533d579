"""Fixtures that all tests share."""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import signal
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import pytest

import patience

# One core a process, also in those that tests start: the suite runs in several, and where more
# threads than cores share a small network, each waits for the slowest at every layer.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# napari draws its icons into the user's cache, where another process reads them half written; what
# it remembers of its window is no business of tests. Fonts and shaders cost seconds to make again.
_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
os.environ.setdefault("MPLCONFIGDIR", str(_cache / "matplotlib"))
os.environ.setdefault("MESA_SHADER_CACHE_DIR", str(_cache))
_home = tempfile.TemporaryDirectory(prefix="pathogan-tests-")
for _name in ("CACHE", "CONFIG", "STATE"):
    os.environ[f"XDG_{_name}_HOME"] = str(Path(_home.name) / _name.lower())

os.environ["PATHOGAN_SHADERS"] = "off"  # but for who looks at that

# The same examples in every run, however slow the machine; --hypothesis-profile=hunt tries others.
_slow = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile("hunt", deadline=None, suppress_health_check=_slow)
hypothesis.settings.register_profile(
    "suite", hypothesis.settings.get_profile("hunt"), derandomize=True, database=None
)
hypothesis.settings.load_profile("suite")

# Windows and training share a process here, in any order: see plugin/viewer/beside_opengl.py.
sys.modules.setdefault("triton", None)


def pytest_addoption(parser):
    """Learning tests hold for any seed: ``benchmarks/learning_spread.py`` tries several."""
    parser.addoption("--seeds", type=int, default=1, help="of each test marked 'learning'")


def pytest_generate_tests(metafunc):
    """Let each learning test begin with several seeds, if asked to."""
    count = metafunc.config.getoption("--seeds")
    if "seed" in metafunc.fixturenames and count > 1:
        ids = [f"seed{number}" for number in range(count)]
        metafunc.parametrize("seed", range(count), ids=ids, scope="session")


def pytest_collection_modifyitems(items):
    """Files that take longest first: each is one process's, and the others have nothing to do at the end."""

    def turn(item):
        file = item.nodeid.split("::")[0]
        return next(n for n, part in enumerate(_FIRST) if part in file)

    items.sort(key=turn)


# half a minute of a core and more, by a run of all; then what trains
_FIRST = (
    *("test_gaps", "test_first", "desk/", "plugin/", "test_reference_numbers", "test_tasks"),
    *("test_outputs", "files_let_go", "_train", "crossval", "retrain", "encoder", ""),
)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Before a window: set aside all there is, which napari walks at the end of every test.

    Docks would take it back as they go, so those of such a test neither take back nor set aside.
    """
    if torch := sys.modules.get("torch"):  # begins each process with a seed of its own
        torch.manual_seed(0)
    if not {"make_napari_viewer", "window"} & set(item.fixturenames):
        return
    from qtpy.QtGui import QMovie

    start = _qts.setdefault("start", QMovie.start)
    if item.get_closest_marker("timed"):  # nothing is left out; of other windows nothing is walked
        QMovie.start = lambda movie: start(movie)  # Qt's own is no function, and would not be bound
        gc.unfreeze()
        gc.collect()
        return
    from napari_pathogan.plugin.shell import garbage

    garbage.gc = SimpleNamespace(
        **{name: getattr(gc, name) for name in ("disable", "enable", "isenabled")},
        freeze=lambda: None,
        unfreeze=lambda: None,
    )
    gc.freeze()
    # Each picture of napari's spinner draws the whole window, 20 ms of a core without graphics.
    QMovie.start = lambda _: None


_qts: dict[str, object] = {}  # own way to start a spinner


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item):
    """Let napari's fixture see whether a viewer is left: a dock that was open sets some aside."""
    garbage = sys.modules.get("napari_pathogan.plugin.shell.garbage")
    if garbage is not None and garbage.gc is gc:
        garbage.take_back()
    try:
        return (yield)
    finally:
        if garbage is not None:
            garbage.gc = gc  # not before the docks are gone, which take back
        _give_back_memory()


_GROWN_MB = 500
_after_last_mb = float("inf")


def _give_back_memory():
    """Collect what was set aside with windows that have gone, and what C keeps, before it is gigabytes."""
    global _after_last_mb  # noqa: PLW0603
    if sys.platform != "linux":
        return
    if _memory_mb() > _after_last_mb + _GROWN_MB:
        gc.unfreeze()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        _after_last_mb = _memory_mb()
    _after_last_mb = min(_after_last_mb, _memory_mb())


def _memory_mb() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.fixture(scope="session")
def seed() -> int:
    """What a learning test begins with; ``--seeds`` gives it others."""
    return 0


@pytest.fixture
def measured(record_property):
    """Note a figure that a bound is asked of, and give it back.

    ``benchmarks/learning_spread.py`` collects them over seeds, threads and instruction sets.
    """

    def note(name: str, value: float) -> float:
        record_property(name, float(value))
        return float(value)

    return note


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real images (env PATHOGAN_DATA, else ../shared/data); skips where it is not."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("PATHOGAN_DATA", default))
    if not (folder / "wsi").is_dir():
        pytest.skip("the real images are not here (set PATHOGAN_DATA to their folder)")
    return folder


@pytest.fixture(scope="session")
def _command_line():
    """Typer makes the command line anew in each process: here once, not a thousand times."""
    import typer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture
def exit_code(request, monkeypatch, _command_line):
    """Run ``pathogan`` in this process, with what the test file names as its COMMAND: how it leaves."""
    from napari_pathogan.cli.app import main

    command = getattr(request.module, "COMMAND", ())

    def run(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["pathogan", *command, *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0)

    return run


@pytest.fixture
def pathogan(exit_code, capsys):
    """The same, with what it says: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        return exit_code(*arguments), *capsys.readouterr()

    return run


@pytest.fixture
def typed(pathogan):
    """Run ``pathogan``, which is to leave with a code: what it says."""

    def run(*words, code=0):
        left, out, err = pathogan(*words)
        assert left == code, out + err
        return SimpleNamespace(stdout=out, stderr=err)

    return run


@pytest.fixture
def qtbot(qtbot, monkeypatch):
    """Qt's robot, patient: what it waits for may take longer than a test says, on a busy machine."""
    until, signalled, pause = qtbot.waitUntil, qtbot.waitSignal, qtbot.wait

    def patient(wait):
        def waiting(what, *, timeout=0, **options):
            return wait(what, timeout=max(timeout, int(1000 * patience.PATIENCE_S)), **options)

        return waiting

    monkeypatch.setattr(qtbot, "waitUntil", patient(until))
    monkeypatch.setattr(qtbot, "waitSignal", patient(signalled))
    monkeypatch.setattr(
        qtbot, "wait", lambda ms: patience.rest(ms / 1000, lambda: pause(min(ms, 10)))
    )
    return qtbot


@pytest.fixture(scope="session", autouse=True)
def _data_folder(tmp_path_factory):
    """No test finds the models of the user, or writes into their folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        patch.setenv("PATHOGAN_FEATURES", str(tmp_path_factory.mktemp("features")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _manifests():
    """Each window asks what plugins are installed: they are looked for once, not five hundred times."""
    from npe2 import PluginManifest

    found = list(PluginManifest.discover())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManifest, "discover", lambda paths=(): iter(found))
        yield


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c():
    """Ctrl-C works in the commands that tests start.

    A suite that a script starts in the background ignores it, and so would all that it starts.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def two_threads():
    """Tiles are worked on by two threads, on any machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)

"""How fast the desk is, as a user sees it: docks, first overlays, masses, results of a study, memory.

    python benchmarks/desk_speed.py              # everything, each part in a napari of its own
    python benchmarks/desk_speed.py memory       # one part; ROUNDS=20 repeats its jobs

A real window of 1600 x 1000 px, worked by its menus and buttons (``tests/desk/desk.py``). Models are warm
where a dock has said that it is ready. Prints a line a figure: seconds (or GB), what is aimed at, and how
much of a core this process had while it was measured: figures of a busy machine say little.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TESTS = Path(__file__).parents[1] / "tests"
SAMPLES = {
    "IDC heat map": "H&E phantom slide",
    "Nuclei": "H&E phantom at 40x",
    "Stain transfer": "H&E phantom at 40x",
    "Mammogram masses": "Mammogram phantom study",
}
DOCKS = (
    *("Slides", *SAMPLES, "Virtual stains", "Blending", "Batch", "Reader study", "Jobs", "Models"),
)
DOCK_S, OVERLAY_S, VIEW_S, STUDY_S, MEMORY_GB = 0.3, 0.5, 2.0, 2.0, 1.5  # what is aimed at
_PART = "PATHOGAN_DESK_PART"  # what a process measures that this one has begun
ROUNDS = int(os.environ.get("ROUNDS", "5"))


def main() -> None:
    """Measure all parts, or those that are named."""
    if part := os.environ.get(_PART):
        PARTS[part]()
        sys.stdout.flush()
        os._exit(0)
    for part in sys.argv[1:] or PARTS:
        with tempfile.TemporaryDirectory() as home:
            env = {**os.environ, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home, _PART: part}
            subprocess.run([sys.executable, __file__], check=True, env=env)  # noqa: S603


def docks() -> None:
    """From the choice in the menu until a dock is seen and the window answers; each for the first time."""
    with working() as desk:
        for title in DOCKS:
            entry = desk.entry("Plugins", "PathoGAN", title)
            with measured(f"dock {title}", DOCK_S):
                entry.trigger()
                until(partial(desk.docked, title))
            desk.rest(3)  # what it imports in its thread
            desk.viewer.window.remove_dock_widget("all")
            desk.rest(0.2)


def overlays() -> None:
    """From *Run*, with a warm model, until something of the result is seen; the first time and again."""
    for title in ("IDC heat map", "Nuclei", "Mammogram masses"):
        with working() as desk:
            dock = ready(desk, title)
            for number in (1, 2):
                seen = first_seen(dock)
                with measured(f"first overlay, {title}, run {number}", OVERLAY_S):
                    dock.form.run.click()
                    until(seen)
                ended(desk, dock)
                desk.rest(1)
            close(desk)


def masses() -> None:
    """A study of four views, a view."""
    with working() as desk:
        dock = ready(desk, "Mammogram masses")
        for number in (1, 2):
            with measured(f"masses, a view, run {number}", VIEW_S, share=len(dock.images)):
                dock.form.run.click()
                until(lambda: dock.run is None)
            desk.rest(1)


def study() -> None:
    """From the answer key until the results of three readers and 100 images are seen."""
    from napari_pathogan.engine.events import Finished  # noqa: PLC0415
    from napari_pathogan.study.example import example  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as room, working() as desk:
        folder = Path(room) / "study"
        (done,) = (event for event in example(folder) if isinstance(event, Finished))
        del done
        (key,) = folder.parent.rglob("*.key.json")
        dock = desk.dock("Reader study")
        dock.show_folder(folder)
        for number in (1, 2):
            with measured(f"results of a study, time {number}", STUDY_S):
                dock.results.work_out(folder, key)
                until(lambda: dock.results.run is None)
            desk.rest(1)


def memory() -> None:
    """Of a napari in which all jobs were done, again and again."""
    import psutil  # noqa: PLC0415

    own = psutil.Process()
    with working() as desk:
        began, tops = time.monotonic(), []
        for _ in range(ROUNDS):
            for title in SAMPLES:
                dock = ready(desk, title)
                desk.press(dock.form.run)
                ended(desk, dock)
                close(desk)
            tops.append(own.memory_info().rss / 1e9)
            minutes = (time.monotonic() - began) / 60
            say(f"memory after {len(tops)} rounds, {minutes:.0f} min", tops[-1], MEMORY_GB, "GB")


def ready(desk: Any, title: str) -> Any:  # noqa: ANN401 - a Desk, a dock
    """A dock with its sample and its models, as a user has them who presses *Run*."""
    from napari_pathogan.plugin.shell.running import running  # noqa: PLC0415
    from napari_pathogan.plugin.viewer import shaders  # noqa: PLC0415

    dock = desk.docked(title) or desk.dock(title)
    desk.sample(SAMPLES[title])
    desk.wait(dock.form.run.isEnabled, "the model")
    desk.wait(lambda: not running() and not shaders.compiling(), "what is made ready")
    desk.rest(1)
    return dock


def until(there: Callable[[], object], patience_s: float = 300.0) -> None:
    """Let Qt work until something is there, without the patience that tests have with busy machines."""
    from qtpy.QtWidgets import QApplication  # noqa: PLC0415

    end = time.monotonic() + patience_s
    while not there():
        if time.monotonic() > end:
            raise SystemExit(f"nothing came in {patience_s:.0f} s")
        QApplication.processEvents()
        time.sleep(0.002)
    QApplication.processEvents()  # and it is drawn


def ended(desk: Any, dock: Any) -> None:  # noqa: ANN401
    """Wait for the end of a run."""
    desk.wait(lambda: dock.run is None, "the run")


def close(desk: Any) -> None:  # noqa: ANN401 - a Desk
    """Close what is open."""
    desk.viewer.layers.clear()
    desk.viewer.window.remove_dock_widget("all")
    desk.rest(0.5)


def first_seen(dock: Any) -> Callable[[], bool]:  # noqa: ANN401
    """Whether something of a run that is about to begin has been laid."""
    seen: list[float] = []

    def after(method: Callable[..., Any]) -> Callable[..., Any]:
        def laid(*arguments: Any) -> Any:  # noqa: ANN401
            answer = method(*arguments)
            seen.append(time.monotonic())
            return answer

        return laid

    dock.tile_came = after(type(dock).tile_came.__get__(dock))
    if hasattr(dock, "_all_shown"):  # of masses: a view's findings
        dock._all_shown = after(type(dock)._all_shown.__get__(dock))  # noqa: SLF001
    return lambda: bool(seen)


@contextmanager
def working() -> Iterator[Any]:
    """A napari that is worked by hand."""
    sys.path[:0] = [str(TESTS / "desk"), str(TESTS)]
    import napari  # noqa: PLC0415  (not in the process that starts the others)

    from desk import SIZE, Desk  # noqa: PLC0415

    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    desk = Desk(viewer)
    with desk.watched():
        desk.rest(1)
        yield desk
    viewer.close()


@contextmanager
def measured(what: str, aim: float, *, share: int = 1) -> Iterator[None]:
    """Print how long the block takes, of which there are so many in it."""
    began, core = time.monotonic(), time.process_time()
    yield
    took, worked = time.monotonic() - began, time.process_time() - core
    say(what, took / share, aim, "s", f"{100 * worked / max(took, 1e-9):.0f} % of a core")


def say(what: str, value: float, aim: float, unit: str, more: str = "") -> None:
    """Print a figure and what is aimed at."""
    held = "" if value <= aim else "  (missed)"
    print(f"{what:48}{value:8.2f} {unit} of {aim:g}{held:10}  {more}", flush=True)


PARTS = {one.__name__: one for one in (docks, overlays, masses, study, memory)}

if __name__ == "__main__":
    main()

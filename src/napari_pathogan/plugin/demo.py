"""The demo: a sample slide, the IDC dock, its heat map; ``make demo`` runs it.

With ``--screenshot demo/demo.png`` the window is closed when the pictures are taken: the whole
slide in the dark and the light theme, and the most uncertain region.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari
    from qtpy.QtWidgets import QWidget

    from napari_pathogan.plugin.idc.dock import IdcDock

D = TypeVar("D")  # a dock
SIZE = (1600, 1000)
PATIENCE_S = 300.0
DOCK_PX = 340


def main(arguments: Sequence[str] | None = None) -> None:
    """Open napari, run, print what was found; stay open unless asked for pictures."""
    present("IDC heat map of a slide", "slide", show, take_pictures, arguments)


def present(
    title: str,
    kind: str,
    show: Callable[[napari.Viewer, Path | None], tuple[D, str]],
    take_pictures: Callable[[napari.Viewer, D, Path], list[Path]],
    arguments: Sequence[str] | None = None,
) -> None:
    """Give a demo: in a window that stays open, or in pictures.

    Parameters
    ----------
    title
        What is shown.
    kind
        What can be given instead of the sample: "slide", "study".
    show
        Opens it, or the sample, and runs a dock; returns the dock and what was found, in words.
    take_pictures
        Saves what the window shows to a path, and others beside it; returns them all.
    """
    parser = argparse.ArgumentParser(description=f"napari-pathogan: {title}")
    parser.add_argument(kind, type=Path, nargs="?", help=f"a {kind} instead of the sample")
    parser.add_argument("--screenshot", type=Path, help="save pictures here, then close")
    chosen = parser.parse_args(arguments)

    import napari  # noqa: PLC0415  (slow to import)

    viewer = napari.Viewer(title=f"napari-pathogan demo: {title}")
    dock, summary = show(viewer, getattr(chosen, kind))
    print(summary)  # noqa: T201
    if chosen.screenshot is None:
        napari.run()
        return
    for picture in take_pictures(viewer, dock, chosen.screenshot):
        print(f"picture: {picture}")  # noqa: T201
    viewer.close()
    from qtpy.QtCore import QCoreApplication, QEvent  # noqa: PLC0415

    QCoreApplication.processEvents()  # what would be deleted later goes now, and not with Python's own end
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def show(viewer: napari.Viewer, slide: Path | None = None) -> tuple[IdcDock, str]:
    """Open the sample or a slide, dock the widget, run it; returns what was found, in words.

    Raises
    ------
    SystemExit
        If the run fails: the reason has been shown.
    """
    from napari_pathogan.plugin.viewer.commands import show_slide  # noqa: PLC0415
    from napari_pathogan.plugin.viewer.keys import PLUGIN  # noqa: PLC0415

    viewer.window.resize(*SIZE)
    opening = time.monotonic()
    if slide is None:
        viewer.open_sample(PLUGIN, "he_phantom")
    else:
        show_slide(viewer, slide)
    opened = time.monotonic() - opening
    dock, seconds = docked_and_run(viewer, "IDC heat map")
    if dock.heat is None:
        raise SystemExit("the heat map failed; the notification says why")
    lines = (
        f"slide       {dock.layer.name}, opened in {opened:.1f} s",
        f"model       {dock.heat.model_line}",
        f"heat map    {dock.heat.area().n_cells} cells in {seconds:.1f} s, model loading included",
        f"result      {dock.heat.area()}",
    )
    return dock, "\n".join(lines)


def docked_and_run(viewer: napari.Viewer, title: str) -> tuple[Any, float]:
    """Dock a widget and run it on what is open; returns the widget, and how many seconds it took."""
    from napari_pathogan.plugin.viewer.keys import PLUGIN  # noqa: PLC0415

    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, title)
    viewer.window.resize(*SIZE)
    widen(dock)
    rest()  # the canvas takes its size
    viewer.reset_view()
    wait_until(dock.form.run.isEnabled)
    start = time.monotonic()
    dock.run_or_cancel()
    wait_until(lambda: dock.run is None)
    return dock, time.monotonic() - start


def take_pictures(viewer: napari.Viewer, dock: IdcDock, target: Path) -> list[Path]:
    """Save what the window shows to ``target``, and ``-light`` and ``-uncertain`` beside it."""
    places = [target, *(target.with_stem(f"{target.stem}-{x}") for x in ("light", "uncertain"))]
    for place in places:
        viewer.theme = "light" if place is places[1] else "dark"
        if place is places[2]:
            dock.places.go(1)
        rest()
        shoot(viewer, place)
    return places


def shoot(viewer: napari.Viewer, place: Path) -> None:
    """Save what the window shows as a PNG.

    Raises
    ------
    OutputError
        If it can't be written, or something else than an earlier one is there.
    """
    from PIL import Image  # noqa: PLC0415

    from napari_pathogan.files import written  # noqa: PLC0415
    from napari_pathogan.kinds import picture, picture_text  # noqa: PLC0415

    kind = picture("screenshot")
    shot = viewer.screenshot(canvas_only=False, flash=False)
    with written(place, kind) as beside:
        Image.fromarray(shot).save(beside, "PNG", pnginfo=picture_text(kind.name))


def widen(dock: QWidget) -> None:
    """Give a dock the width it is drawn for."""
    from qtpy.QtCore import Qt  # noqa: PLC0415
    from qtpy.QtWidgets import QDockWidget, QMainWindow  # noqa: PLC0415

    frame, window = dock.parent(), dock.window()
    if isinstance(frame, QDockWidget) and isinstance(window, QMainWindow):
        window.resizeDocks([frame], [DOCK_PX], Qt.Orientation.Horizontal)


def wait_until(done: Callable[[], bool]) -> None:
    """Keep the window alive until something is done."""
    end = time.monotonic() + PATIENCE_S
    while not done():
        rest(0.02)
        if time.monotonic() > end:
            raise SystemExit(f"nothing came within {PATIENCE_S:.0f} s")


def rest(seconds: float = 0.6) -> None:
    """Let Qt draw for a while."""
    from qtpy.QtWidgets import QApplication  # noqa: PLC0415

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.005)


if __name__ == "__main__":
    main()

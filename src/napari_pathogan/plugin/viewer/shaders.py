"""What the driver compiles to draw a layer is compiled by another process, before it is needed.

The first layer of a kind has its shaders compiled in the window's own thread, which does not answer
meanwhile: for half a second where the processor draws, as on machines without a graphics card. Drivers
keep what they have compiled on disk, for every process. So the first dock that is ever shown has a napari
that nobody sees draw each kind of layer that docks lay.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

import platformdirs

from napari_pathogan.engine import jobs
from napari_pathogan.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import napari

VARIABLE = "PATHOGAN_SHADERS"
_PROGRAM = (sys.executable, "-m", "napari_pathogan.plugin.viewer.shaders")
_LASTS_S = 30 * 24 * 3600  # then the driver may be another one
_compiling: list[threading.Thread] = []  # the one that waits for the process, once there is one
_log = logging.getLogger(__name__)


def begin() -> None:
    """Have shaders compiled, unless that was done in the last month or ``PATHOGAN_SHADERS`` is ``off``.

    On macOS another napari would be seen, in the Dock; nothing is done there.
    """
    if _compiling or sys.platform == "darwin" or os.environ.get(VARIABLE) == "off" or _done():
        return
    _compiling.append(threading.Thread(target=_compile, name="shaders", daemon=True))
    _compiling[0].start()


def compiling() -> bool:
    """Whether shaders are being compiled."""
    return any(thread.is_alive() for thread in _compiling)


def _compile() -> None:
    try:
        quiet = subprocess.DEVNULL
        code = jobs.spawn((), _PROGRAM, quiet, quiet).wait()
        if code == 0:
            _note().parent.mkdir(parents=True, exist_ok=True)
            _note().touch()
        else:
            _log.info("the process that compiles shaders ended with %d", code)
    except (JobError, OSError) as error:  # the first layers are slow then, and no more
        _log.info("shaders can't be compiled ahead: %s", error)


def _done() -> bool:
    try:
        return time.time() - _note().stat().st_mtime < _LASTS_S
    except OSError:
        return False


def _note() -> Path:
    """A file that says when it was last done with these versions."""
    name = "-".join(version(one) for one in ("napari-pathogan", "napari", "vispy"))
    return platformdirs.user_cache_path("napari-pathogan", appauthor=False) / f"shaders-{name}"


def _kinds(viewer: napari.Viewer) -> Iterator[None]:
    """Lay each kind of layer, in the ways that docks lay it; drawn after each step."""
    import numpy as np  # noqa: PLC0415

    grey = np.zeros((60, 40), np.uint8)
    square = np.array([[5, 5], [5, 15], [15, 15], [15, 5]])
    text = {"string": "{label}", "size": 10, "color": "#ffffff"}
    viewer.add_image(grey, contrast_limits=(0, 255))
    viewer.canvas.overlays.scale_bar.visible = True
    yield
    viewer.add_image(grey / 255, colormap="magma", contrast_limits=(0, 1))
    viewer.add_image(np.zeros((60, 40, 3), np.uint8), rgb=True)
    yield
    labels = viewer.add_labels(grey)
    yield
    labels.contour = 2
    yield
    viewer.add_points(square, features={"label": list("abcd")}, text=text)
    yield
    shapes = viewer.add_shapes([square], shape_type="polygon", features={"label": ["a"]}, text=text)
    yield
    shapes.mode = "select"
    shapes.selected_data = {0}
    yield
    shapes.mode = "add_polygon_lasso"
    yield
    viewer.add_vectors(np.zeros((3, 2, 2)) + 20, vector_style="line")
    yield
    grid = viewer.canvas.grid
    grid.stride, grid.shape, grid.enabled = -1, (2, 2), True
    viewer.layers[-1].name_overlay.visible = True
    yield


def main() -> None:
    """Draw all kinds of layers in a window that is never shown."""
    jobs.end_with_parent()
    import napari  # noqa: PLC0415

    viewer = napari.Viewer(show=False)
    for _ in _kinds(viewer):
        viewer.screenshot(canvas_only=True, flash=False)
    os._exit(0)  # nothing of it is to be kept


if __name__ == "__main__":
    main()

"""What a process that draws with OpenGL asks of us: care in loading torch and in removing layers."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from napari import current_viewer
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_pathogan.plugin.viewer.canvas import canvas_of

if TYPE_CHECKING:
    import napari
    from napari.utils.events import Event

_MAPS = Path("/proc/self/maps")
_importing = threading.Lock()


def ready_for_torch() -> None:
    """Call in a thread before it uses torch in napari: imports torch, without triton where that crashes.

    One thread at a time: two docks that are opened one soon after the other would each import torch
    and its compiler, whose modules import one another in circles; Python, to escape the deadlock,
    then gives one thread half a module, and torch can't be used until napari is restarted.

    Mesa's drivers (software rendering, AMD) bring LLVM as a shared library, and triton, which
    torchvision loads by way of torch's compiler, brings another: loaded second, it ends the process
    with a segmentation fault (triton 3.7). Nothing here compiles with triton, and torch does
    without it where it is not installed; so on such a machine it is made to look so.

    The window answers meanwhile.
    """
    with _importing:
        if "triton" not in sys.modules and _MAPS.exists() and "libLLVM" in _MAPS.read_text():
            sys.modules["triton"] = None  # type: ignore[assignment]
        with contextlib.suppress(ImportError):  # said in a sentence where torch is used
            if "torch" not in sys.modules:
                _load_library_of_torch()
            import torchvision  # noqa: F401, PLC0415


def _load_library_of_torch() -> None:
    """Load torch's library as importing it does, but let other threads go on meanwhile.

    An import keeps the interpreter to itself while the system loads and links a library, which for
    this one, with what it brings for graphics cards, takes from a third of a second to many.
    """
    found = importlib.util.find_spec("torch")
    if sys.platform != "linux" or found is None or found.origin is None:
        return
    dlopen = ctypes.CDLL(
        None
    ).dlopen  # called so, it releases the interpreter; ctypes.CDLL does not
    dlopen.argtypes, dlopen.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
    folder = Path(found.origin).parent / "lib"
    dlopen(os.fsencode(folder / "libtorch_global_deps.so"), os.RTLD_LAZY | os.RTLD_GLOBAL)
    dlopen(os.fsencode(folder / "libtorch.so"), os.RTLD_LAZY)


def let_layers_go(viewer: napari.Viewer) -> None:
    """Call :func:`make_current` before any layer of a viewer is removed, by whomever."""
    viewer.layers.events.removing.connect(_layer_goes)  # once: napari knows a second time


def _layer_goes(event: Event) -> None:
    viewer = current_viewer()
    if viewer is not None and event.source is viewer.layers:
        canvas_of(viewer).native.makeCurrent()


def make_current(widget: QWidget) -> None:
    """Call before a layer is removed, with a widget of its window: shaders are freed where they were made.

    napari 0.9 frees the shaders of a removed layer in whichever OpenGL context is current, mostly the
    one in which Qt puts the window together, not the canvas's own. With Mesa (software rendering; seen
    in 22.3) the canvas is then left without the shader that it believes to be bound, and when it is
    drawn next, the process ends with a segmentation fault.
    """
    above: QWidget | None = widget
    while above is not None and not isinstance(above, QMainWindow):
        above = above.parentWidget()
    central = above.centralWidget() if above is not None else None
    canvas = central.findChild(QOpenGLWidget) if central is not None else None
    if canvas is not None:
        canvas.makeCurrent()

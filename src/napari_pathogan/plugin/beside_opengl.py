"""Loading torch into a process that draws with OpenGL."""

from __future__ import annotations

import sys
from pathlib import Path

_MAPS = Path("/proc/self/maps")


def ready_for_torch() -> None:
    """Call before torch is imported in napari: keeps triton out where it would crash.

    Mesa's drivers (software rendering, AMD) bring LLVM as a shared library, and triton, which
    torchvision loads by way of torch's compiler, brings another: loaded second, it ends the process
    with a segmentation fault (triton 3.7). Nothing here compiles with triton, and torch does
    without it where it is not installed; so on such a machine it is made to look so.
    """
    if "triton" not in sys.modules and _MAPS.exists() and "libLLVM" in _MAPS.read_text():
        sys.modules["triton"] = None  # type: ignore[assignment]

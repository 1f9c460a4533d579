"""Clicks on the canvas, told from drags."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import napari
    from napari.utils.events import Event as MouseEvent

    from napari_pathogan.plugin.shell.form import Ties

CLICK_PX = 4  # on the screen: a press that moves further is a drag


class Clicks:
    """Calls back on each click of the left button, with its place in the world (y, x).

    While a layer is being drawn or painted on, a click is part of that.
    """

    def __init__(
        self, viewer: napari.Viewer, ties: Ties, clicked: Callable[[Sequence[float]], object]
    ) -> None:
        self._clicked = clicked
        callbacks = viewer.mouse_drag_callbacks
        callbacks.append(self.pressed)
        ties.add(partial(callbacks.remove, self.pressed))

    def pressed(self, viewer: napari.Viewer, event: MouseEvent) -> Iterator[None]:
        """Follow the mouse from a press to its release, as napari asks of such callbacks."""
        active = viewer.layers.selection.active
        painting = active is not None and str(getattr(active, "mode", "pan_zoom")) != "pan_zoom"
        start = event.pos
        yield
        while event.type == "mouse_move":
            yield
        moved = max(abs(a - b) for a, b in zip(event.pos, start, strict=True))
        if moved <= CLICK_PX and event.button == 1 and not painting:
            self._clicked(event.position[-2:])

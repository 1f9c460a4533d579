"""The brush in a layer of nuclei: which nucleus it paints, and who hears of its strokes.

napari keeps a history of strokes with each Labels layer. Corrections have one of their own, which
holds strokes and everything else, so that the layer's keys to undo and redo go there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.layers import Labels
    from napari.utils.events import Event as MouseEvent

REST_MS = 250  # labels have rested for as long: see whether anything but the brush has changed them
BRUSH_UM = 3.0  # across: half a small nucleus
MOVING = "pan_zoom"


@dataclass(frozen=True)
class Hands:
    """What is called when the user paints.

    Attributes
    ----------
    painted
        Labels may have changed.
    undo, redo
        The keys for it were pressed.
    numbered
        The brush has another number, which the user has chosen.
    missed
        A stroke went beside the labels.
    """

    painted: Callable[[], object]
    undo: Callable[[], object]
    redo: Callable[[], object]
    numbered: Callable[[int], object]
    missed: Callable[[], object]


class Brush:
    """Paints in the labels of one slide's nuclei."""

    def __init__(self) -> None:
        self.hands: Hands | None = None
        self.painting = False  # the mouse is down
        self._labels: Labels | None = None
        self._held = 0
        self._mode = MOVING  # before it was locked
        self._rest = QTimer()
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._rested)

    def take(self, labels: Labels) -> None:
        """Paint in a layer that was just made."""
        self._labels, self._held = labels, int(labels.selected_label)
        labels.brush_size = max(3, round(BRUSH_UM / float(labels.scale[0])))
        labels.events.paint.connect(self._painted)
        labels.events.set_data.connect(self._changed)
        labels.events.selected_label.connect(self._numbered)
        labels.mouse_drag_callbacks.append(self._stroke)
        labels.bind_key("Ctrl+Z", lambda _: self._call("undo"), overwrite=True)
        labels.bind_key("Ctrl+Shift+Z", lambda _: self._call("redo"), overwrite=True)

    def hold(self, number: int) -> None:
        """Paint with a number from now on."""
        self._held = number
        if self._labels is not None:
            self._labels.selected_label = number

    def begin(self) -> None:
        """Let the mouse paint."""
        assert self._labels is not None
        self._labels.visible = True
        self._labels.mode = "paint"

    def lock(self, *, locked: bool) -> None:
        """Let nobody paint for a while; then go on as before."""
        labels = self._labels
        if labels is None or labels.editable is not locked:
            return
        if locked:
            self._mode = str(labels.mode)
        labels.editable = not locked
        if not locked:
            labels.mode = self._mode

    def release(self) -> None:
        """Stop what is still to come."""
        self._rest.stop()

    def _call(self, what: str, *about: object) -> None:
        if self.hands is not None:
            getattr(self.hands, what)(*about)

    def _painted(self) -> None:
        """A stroke is over; of a polygon, napari says so before it has painted it."""
        self.painting = False
        self._call("painted")
        self._rest.start()

    def _changed(self) -> None:
        self._rest.start()

    def _rested(self) -> None:
        if not self.painting:
            self._call("painted")

    def _numbered(self) -> None:
        assert self._labels is not None
        number = int(self._labels.selected_label)
        if number not in {0, self._held}:  # with 0 the brush erases
            self._call("numbered", number)

    def _stroke(self, labels: Labels, event: MouseEvent) -> Iterator[None]:
        """Follow the mouse from a press to its release, as napari asks of such callbacks."""
        if str(labels.mode) not in {"paint", "erase", "fill"}:
            return
        self.painting, hit = True, False
        while True:
            place = np.asarray(labels.world_to_data(event.position))[-2:]
            reach = labels.brush_size / 2
            hit |= bool(
                (place >= -reach).all() and (place <= np.array(labels.data.shape) + reach).all()
            )
            yield
            if event.type != "mouse_move":
                break
        self.painting = False
        if not hit:
            self._call("missed")

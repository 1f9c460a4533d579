"""The size of a pixel from two points: a line is drawn along something whose length is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QInputDialog, QLineEdit

from napari_pathogan.plugin.viewer.layers import place_level0

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Image, Shapes

    from napari_pathogan.plugin.shell.form import Form
    from napari_pathogan.plugin.shell.pixel_size import PixelSize

NAME = "Known length"
DRAW = (
    "Draw a line along something whose length you know: press at its one end, let go at the other"
)
_REST_MS = 50  # napari has done with the line


class Calibration(QObject):
    """Lets one line be drawn on an image, asks how long that is, and gives the size of a pixel as text.

    Parameters
    ----------
    viewer, form, asks, image
        Where it is drawn, where is said what to do, what is asked of pixels, and of which image.
    found
        Called with what is to stand in the row 'Scale'.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        form: Form,
        asks: PixelSize,
        image: Image,
        found: Callable[[str], object],
    ) -> None:
        super().__init__(form)
        self._viewer, self._form, self._asks = viewer, form, asks
        self._image, self._found = image, found
        self._layer: Shapes = viewer.add_shapes(
            name=NAME,
            ndim=2,
            edge_color="#ffd400",
            edge_width=2 / viewer.scene.camera.zoom / abs(image.scale[0]),
            **place_level0(image),
        )
        viewer.layers.selection.active = self._layer
        self._layer.mode = "add_line"
        self._layer.events.data.connect(self._drawn)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(self._ask)
        form.status.setText(DRAW)

    def cancel(self) -> None:
        """Take the line away."""
        self._rest.stop()
        if self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)

    def _drawn(self) -> None:
        self._rest.start()

    def _ask(self) -> None:
        if self._layer not in self._viewer.layers or not self._layer.nshapes:
            return
        if getattr(self._layer, "_is_creating", False):  # the mouse still draws
            self._rest.start()
            return
        first, last = np.asarray(self._layer.data[-1], float)[:2]
        px = float(np.hypot(*(last - first)))
        asks, form = self._asks, self._form
        form.status.setText("")
        text, said = ("", False)
        if px > 1:
            text, said = QInputDialog.getText(
                form,
                NAME,
                f"How long is this line, in {asks.unit}?",
                QLineEdit.EchoMode.Normal,
            )
        self.cancel()
        if self._image in self._viewer.layers:
            self._viewer.layers.selection.active = self._image
        try:
            length = asks.read(text) if said else 0.0
        except ValueError:
            form.status.setText(f"{text!r} is no length: type a number of {asks.unit}")
            return
        if length:
            self._found(f"{length / px:.6g}")

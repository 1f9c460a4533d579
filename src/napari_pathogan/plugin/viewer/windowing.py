"""Window and level of mammograms, as at a PACS workstation: dragged with the right button, by presets, inverted.

Everywhere else the right button zooms, as napari has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_pathogan.mammograms.mammogram import Mammogram, data_range
from napari_pathogan.plugin.viewer.canvas import canvas_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import napari
    from napari.layers import Image
    from napari.utils.events import Event as MouseEvent

RIGHT = 2  # the button, as napari numbers them
FULL_PX = 300.0  # of a drag that make a window twice as wide, or move it by its width
FILE, ALL = "As in the file", "All values"
_LEAST = 1e-3  # of the range of values: no window is narrower
_AWAY = 16  # px from the cursor, where the numbers stand


def mammogram_at(viewer: napari.Viewer, position: Sequence[float]) -> Image | None:
    """The topmost mammogram that is seen at a place in the world (y, x)."""
    for layer in reversed(viewer.layers):
        if layer.visible and isinstance(layer.metadata.get("mammogram"), Mammogram):
            if not hasattr(layer, "contrast_limits"):
                continue  # outlines on it
            at = np.asarray(layer.world_to_data(position[-2:])) + 0.5
            if np.all((at >= 0) & (at < layer.data.shape[:2])):
                found: Image = layer
                return found
    return None


def windows_of(image: Image) -> dict[str, tuple[float, float]]:
    """What a mammogram can be shown in, by name: contrast limits, each once."""
    mammogram: Mammogram = image.metadata["mammogram"]
    known = mammogram.pixels
    if mammogram.padded is not None:
        known = known[~mammogram.padded]
    shown: dict[str, tuple[float, float]] = {}
    for name, limits in {
        FILE: mammogram.window,
        **mammogram.windows,
        ALL: data_range(known),
    }.items():
        if not any(np.allclose(limits, other) for other in shown.values()):
            shown[name] = limits
    return shown


def next_window(image: Image) -> str:
    """Show a mammogram in the window after the one that it is shown in; returns its name."""
    windows = windows_of(image)
    names = list(windows)
    shown = tuple(image.contrast_limits)
    at = next((i for i, name in enumerate(names) if np.allclose(windows[name], shown)), -1)
    name = names[(at + 1) % len(names)]
    image.contrast_limits = windows[name]
    return name


def invert(image: Image) -> None:
    """Show dark what is bright, and the other way round."""
    image.colormap = "gray" if image.colormap.name == "gray_r" else "gray_r"


def level_text(image: Image) -> str:
    """``W 1,234  L 2,048``: as wide as the window is, and its middle."""
    low, high = image.contrast_limits
    return f"W {high - low:,.4g}   L {(low + high) / 2:,.4g}"


class Windowing:
    """Drags of the right button on mammograms change their window: right is softer, up is brighter.

    With Shift all mammograms that are seen follow.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        viewer.mouse_drag_callbacks.append(self.pressed)

    def pressed(self, viewer: napari.Viewer, event: MouseEvent) -> Iterator[None]:
        """Follow the mouse from a press to its release, as napari asks of such callbacks."""
        image = mammogram_at(viewer, event.position) if event.button == RIGHT else None
        if image is None:
            return
        images = [image]
        if "Shift" in event.modifiers:
            images = [x for x in viewer.layers if x.visible and _is_view(x)]
        starts = {one: tuple(one.contrast_limits) for one in images}
        camera, start = viewer.scene.camera, np.asarray(event.pos, float)
        could_pan = camera.mouse_pan
        camera.mouse_pan = False  # or the drag would zoom as well
        numbers = _Numbers(viewer)
        try:
            yield
            while event.type == "mouse_move":
                right, down = (np.asarray(event.pos, float) - start) / FULL_PX
                for one, limits in starts.items():
                    one.contrast_limits = dragged(one, limits, right, down)
                numbers.say(level_text(image), event.pos)
                yield
        finally:
            camera.mouse_pan = could_pan
            numbers.deleteLater()


def dragged(
    image: Image, limits: tuple[float, float], right: float, down: float
) -> tuple[float, float]:
    """The limits after a drag, in shares of :data:`FULL_PX`."""
    low, high = limits
    least, most = data_range(image.metadata["mammogram"].pixels)
    width = max((high - low) * 2.0**right, _LEAST * (most - least))
    dark_high = image.colormap.name == "gray_r"
    middle = (low + high) / 2 + (high - low) * down * (-1 if dark_high else 1)
    middle = min(max(middle, least), most)
    return middle - width / 2, middle + width / 2


def _is_view(layer: object) -> bool:
    metadata = getattr(layer, "metadata", {})
    return isinstance(metadata.get("mammogram"), Mammogram) and hasattr(layer, "contrast_limits")


class _Numbers(QLabel):
    """Numbers beside the cursor."""

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__(canvas_of(viewer).native)
        self.setObjectName("window-and-level")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setStyleSheet("background: #101010; color: #ffffff; padding: 3px 6px")

    def say(self, text: str, at: Sequence[float]) -> None:
        """Show a text beside a place on the canvas (x, y)."""
        self.setText(text)
        self.adjustSize()
        room = self.parentWidget()
        assert room is not None
        x, y = (int(v) + _AWAY for v in at)
        self.move(min(x, room.width() - self.width()), min(y, room.height() - self.height()))
        self.show()
        self.raise_()

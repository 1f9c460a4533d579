"""A layer that gets finer where one looks: the network's tiles replace the fast ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.shell.form import Ties
from napari_pathogan.plugin.shell.running import Run
from napari_pathogan.plugin.viewer import layers as between
from napari_pathogan.plugin.viewer.canvas import canvas_of
from napari_pathogan.slides.geometry import Region

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Image
    from napari.utils.events import Event
    from qtpy.QtWidgets import QWidget

    from napari_pathogan.engine.events import Finished
    from napari_pathogan.engine.live import LiveView
    from napari_pathogan.slides.slide import Slide

REDRAW_MS = 150  # tiles that come within this time are drawn at once


@dataclass(frozen=True)
class InView:
    """What a viewer shows of a slide: a part of it, and the canvas (high, wide) in pixels."""

    region: Region
    canvas: tuple[int, int]

    @classmethod
    def now(cls, viewer: napari.Viewer, layer: Image) -> InView | None:
        """What is in view of a layer; None if nothing is."""
        try:
            region = between.view_region(viewer, layer)
        except PathoganError:
            return None
        high, wide = viewer.canvas.size
        return cls(region, (int(high), int(wide)))


def first_look(slide: Slide, seen: InView) -> None:
    """Compute, in a thread, what napari reads once the slide is laid: the window need not wait for it.

    That is its coarsest level, and what is in view on the coarsest that has as many pixels as the canvas.
    """
    slide.levels[-1][:]
    region, (high, wide) = seen.region, seen.canvas
    finer = [
        (level, (y, x))
        for level, (y, x) in zip(slide.levels, slide.downsamples, strict=True)
        if region.height / y > high and region.width / x > wide
    ]
    level, (y, x) = finer[-1] if finer else (slide.levels[0], (1.0, 1.0))
    rows = slice(int(region.y / y), int(region.bottom / y) + 1)
    level[rows, int(region.x / x) : int(region.right / x) + 1]


class Refining(QObject):
    """Watches a layer and has what is in view computed, until the layer or the viewer is gone.

    Parameters
    ----------
    viewer, layer
        The layer of a live view's slide, and its viewer; a dock that made it may go.
    live
        The view.
    owner
        The dock that made it, in whose window it is.
    by
        What paints the finer tiles, in words.
    """

    said = Signal()  # the text may have changed

    def __init__(
        self,
        viewer: napari.Viewer,
        layer: Image,
        live: LiveView,
        owner: QWidget,
        by: str = "network",
    ) -> None:
        super().__init__(canvas_of(viewer).native)  # which a viewer that is closed takes along
        self.viewer, self.layer, self.live, self.owner = viewer, layer, live, owner
        self.by = by
        self.run: Run | None = None
        self._ties = Ties()
        self._ties.connect(layer.events.set_data, self._look)
        self._ties.connect(layer.events.visible, self._look)
        self._ties.connect(viewer.layers.events.removed, self._removed)
        self._redraw = self._timer(REDRAW_MS, self._draw)
        # a layer looks anew while it is drawn, and a run may not begin there: it has a progress
        # bar, with which napari handles waiting events, such as drawing
        self._soon = self._timer(0, self._go_on)
        self._ties.add(live.close)
        self.destroyed.connect(self._ties.release)
        self._look()

    @property
    def text(self) -> str:
        """What of the view is still to come, in plain words."""
        left, total = self.live.coming
        if left:
            return f"Fast colours first: the {self.by}'s are coming, {left} of {total} tiles to go."
        if total:
            return f"All that is in view has the {self.by}'s colours."
        return f"Fast colours; the {self.by}'s come when you zoom in."

    def stop(self) -> None:
        """Compute no more, for good."""
        self._redraw.stop()
        self._soon.stop()
        self._ties.release()
        self.deleteLater()

    def _look(self) -> None:
        """Something else is in view, or better than before."""
        if self.layer.visible:
            (top, left), (bottom, right) = self.layer.corner_pixels
            number = self.layer.data_level
            centre = between.view_centre(self.viewer, self.layer)
            near = [
                (c + 0.5) / s
                for c, s in zip(centre, self.layer.downsample_factors[number], strict=True)
            ]
            # napari's levels may be fewer than the slide's
            level = int(self.layer.data[number].path)
            window = Region(int(top), int(left), int(bottom - top) + 1, int(right - left) + 1)
            self.live.look(level, window, (near[0], near[1]))
        else:
            self.live.look_away()
        self._soon.start()

    def _go_on(self) -> None:
        if self.run is None and self.live.coming[0]:
            self.run = Run(
                self.live.refine(),
                title=self.layer.name,
                owner=self.owner,
                on_event=self._came,
                on_finished=self._done,
                on_stopped=self._ended,
            )
            self._ties.add(self.run.cancel)
        self.said.emit()

    def _timer(self, wait_ms: int, then: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(wait_ms)
        timer.timeout.connect(then)
        return timer

    def _came(self, _event: object) -> None:
        if not self._redraw.isActive():
            self._redraw.start()

    def _draw(self) -> None:
        if self.layer.data_level == len(self.layer.data) - 1:
            # napari keeps the coarsest level once it has read it, unless it is given anew
            self.layer.data = list(self.layer.data)
        else:
            self.layer.refresh(thumbnail=False, highlight=False, extent=False)

    def _done(self, _event: Finished) -> None:
        self._ended()
        self._go_on()  # the view may have moved on just then

    def _ended(self) -> None:
        """It is done, or failed, which was said: it is tried again when the view moves."""
        if self.run is not None:
            self._ties.remove(self.run.cancel)
        self.run = None

    def _removed(self, event: Event) -> None:
        if event.value is self.layer:
            self.stop()

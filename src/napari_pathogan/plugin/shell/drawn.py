"""What users draw in layers of their own, regions for one: steps of the case's history, too.

napari has no undo for shapes. Layers of docks, whose metadata say what they show, are noted by these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes
from qtpy.QtCore import QObject, QTimer

from napari_pathogan.plugin.viewer.opened import HIDDEN, opened

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.utils.events import Event

REST_MS = 300  # shapes have rested for as long: something was drawn


@dataclass(frozen=True, eq=False)
class _State:
    """All shapes of a layer."""

    shapes: list[tuple[np.ndarray, str]]
    looks: dict[str, Any]

    @classmethod
    def of(cls, layer: Shapes) -> _State:
        shapes = [
            (np.array(one), kind) for one, kind in zip(layer.data, layer.shape_type, strict=True)
        ]
        looks = {
            "edge_color": np.array(layer.edge_color),
            "face_color": np.array(layer.face_color),
            "edge_width": list(layer.edge_width),
        }
        return cls(shapes, looks | {"features": layer.features.copy()})

    def same(self, other: _State) -> bool:
        """Whether the same is drawn."""
        return len(self.shapes) == len(other.shapes) and all(
            a.shape == b.shape and np.array_equal(a, b)
            for (a, _), (b, _) in zip(self.shapes, other.shapes, strict=True)
        )

    def put(self, layer: Shapes) -> None:
        """Draw it in the place of what there is."""
        layer.selected_data = set()
        layer.data = self.shapes
        layer.features = self.looks["features"]
        if self.shapes:
            for name in ("edge_color", "face_color", "edge_width"):
                setattr(layer, name, self.looks[name])


class Drawn(QObject):
    """Watches the layers of shapes that a user draws in.

    Parameters
    ----------
    note
        Called with the image below, the layer, what was done, and what takes it back and does it again.
    """

    def __init__(self, viewer: napari.Viewer, note: Callable[..., None]) -> None:
        super().__init__()
        self._viewer, self._note = viewer, note
        self._known: dict[Shapes, _State] = {}
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self.look)
        viewer.layers.events.inserted.connect(self._inserted)
        viewer.layers.events.removed.connect(self._removed)
        for layer in viewer.layers:
            self._watch(layer)

    def release(self) -> None:
        """Watch no more."""
        self._rest.stop()
        self._viewer.layers.events.inserted.disconnect(self._inserted)
        self._viewer.layers.events.removed.disconnect(self._removed)
        for layer in self._known:
            layer.events.data.disconnect(self._touched)
        self._known.clear()

    def look(self) -> None:
        """Note what was drawn, changed or deleted since the last time."""
        self._rest.stop()
        for layer, before in self._known.items():
            now = _State.of(layer)
            if now.same(before) or layer._is_creating:  # noqa: SLF001  (napari says it nowhere else)
                continue
            self._known[layer] = now
            image = next((x.first for x in opened(self._viewer) if layer in x.results), None)
            if image is None:
                continue
            more = len(now.shapes) - len(before.shapes)
            verb = "drawing in" if more > 0 else "deletion in" if more < 0 else "change of"
            back, again = (partial(self._put, layer, one) for one in (before, now))
            self._note(image, layer, f"{verb} {layer.name}", back, again)

    def _put(self, layer: Shapes, state: _State) -> bool:
        self._known[layer] = state
        state.put(layer)
        self._known[layer] = _State.of(layer)
        return True

    def _watch(self, layer: Any) -> None:  # noqa: ANN401 - a layer
        own = isinstance(layer, Shapes) and layer.ndim == 2 and not set(layer.metadata) - {HIDDEN}
        if own and layer not in self._known:
            self._known[layer] = _State.of(layer)
            layer.events.data.connect(self._touched)

    def _inserted(self, event: Event) -> None:
        self._watch(event.value)

    def _removed(self, event: Event) -> None:
        if self._known.pop(event.value, None) is not None:
            event.value.events.data.disconnect(self._touched)

    def _touched(self, _event: Event) -> None:
        self._rest.start()

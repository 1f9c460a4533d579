"""Layers of unknown scale beside images that have one: said in words that a doctor reads.

napari then draws a pixel as large as a unit of the others, its scale bar counts without a unit, and it
says, whenever a layer comes, that units are inconsistent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from napari import current_viewer
from napari.layers import Image
from napari.utils.notifications import (
    Notification,
    notification_manager,
    show_info,
)
from qtpy.QtCore import QTimer

from napari_pathogan.plugin.viewer.layers import file_of, is_slide, recall_scale
from napari_pathogan.plugin.viewer.mammogram_layers import is_mammogram, recall_spacing
from napari_pathogan.slides import scales

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Layer

_OF_NAPARI = "Inconsistent units across layers"
_said: WeakKeyDictionary[Any, WeakSet[Layer]] = WeakKeyDictionary()  # viewer -> layers


def say_in_words() -> None:
    """Put our words in place of napari's, from now on; once a layer."""
    # who only listens to notifications comes after those who show them
    theirs = notification_manager.dispatch
    if not isinstance(theirs, _InWords):
        notification_manager.dispatch = _InWords(theirs)


class _InWords:
    """Shows notifications as before, but for that one."""

    def __init__(self, theirs: Callable[[Notification], None]) -> None:
        self._theirs = theirs

    def __call__(self, notification: Notification) -> None:
        if not _in_words(notification):
            self._theirs(notification)


def _in_words(notification: Notification) -> bool:
    """Say it in our words soon, if it is that; whether it is."""
    viewer = current_viewer()
    if viewer is None or not notification.message.startswith(_OF_NAPARI):
        return False
    if not any(isinstance(one, Image) and _is_ours(one) for one in viewer.layers):
        return False  # of other plugins alone
    QTimer.singleShot(0, _say)  # the canvas is being drawn
    return True


def _say() -> None:
    """Give layers the scale that is remembered of their files, and name those that have none."""
    viewer = current_viewer()
    if viewer is None:
        return  # it was closed meanwhile
    for one in [one for one in viewer.layers if not _has_scale(one)]:
        _recall(viewer, one)
    without = [one for one in viewer.layers if not _has_scale(one)]
    if len(without) == len(viewer.layers):
        return  # all alike by now
    said = _said.setdefault(viewer, WeakSet())
    new = [one for one in without if one not in said]
    said.update(new)
    if new:
        names = ", ".join(one.name for one in new)
        show_info(
            f"{names}: in pixels, beside images that have a scale. As long as that is so, the scale bar has no "
            "unit. The row 'Scale' of the PathoGAN docks takes the size of a pixel."
        )


def _recall(viewer: napari.Viewer, layer: Layer) -> None:
    """Give an image that another reader has shown in pixels the scale that is remembered of its file."""
    path = file_of(layer) if isinstance(layer, Image) else None
    if path is None or scales.recall(path) is None:
        return
    if is_slide(layer):
        recall_scale(viewer, layer)
    elif is_mammogram(layer):
        recall_spacing(viewer, layer)


def _has_scale(layer: Layer) -> bool:
    return all(unit.is_compatible_with("um") for unit in layer.units[-2:])


def _is_ours(layer: Layer) -> bool:
    return bool({"slide", "mammogram"} & set(layer.metadata))

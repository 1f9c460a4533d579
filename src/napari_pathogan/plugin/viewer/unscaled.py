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

if TYPE_CHECKING:
    from collections.abc import Callable

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
    """Say it in our words, if it is that; whether it was said."""
    viewer = current_viewer()
    if viewer is None or not notification.message.startswith(_OF_NAPARI):
        return False
    without = [one for one in viewer.layers if not _has_scale(one)]
    if not any(isinstance(one, Image) and _is_ours(one) for one in viewer.layers):
        return False  # of other plugins alone
    said = _said.setdefault(viewer, WeakSet())
    new = [one for one in without if one not in said]
    said.update(new)
    if new:
        names = ", ".join(one.name for one in new)
        show_info(
            f"{names}: in pixels, beside images that have a scale. As long as that is so, the scale bar has no "
            "unit. The row 'Scale' of the PathoGAN docks takes the size of a pixel."
        )
    return True


def _has_scale(layer: Layer) -> bool:
    return all(unit.is_compatible_with("um") for unit in layer.units[-2:])


def _is_ours(layer: Layer) -> bool:
    return bool({"slide", "mammogram"} & set(layer.metadata))

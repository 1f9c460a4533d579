"""A key that hides, as long as it is held, all that lies on the images: what is below it is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.key_bindings import coerce_keybinding

from napari_pathogan.plugin.viewer.opened import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    import napari

HOLD = "H"
WHAT = "Held, hides all that lies on the images"


def bind_hold(viewer: napari.Viewer) -> None:
    """Give a viewer the key; does nothing where it has it, or the user has given it to something else."""
    if coerce_keybinding(HOLD) not in viewer.keymap:
        viewer.bind_key(HOLD, hide_while_held)


def hide_while_held(viewer: napari.Viewer) -> Iterator[None]:
    """Hide results until the key is let go; what is hidden already stays so."""
    seen = [layer for one in opened(viewer) for layer in one.results if layer.visible]
    for layer in seen:
        layer.visible = False
    yield
    for layer in seen:
        if layer in viewer.layers:
            layer.visible = True

"""How mammograms are looked at: which views are shown, in which window, under a lens; with keys for all of it.

The keys are those of the viewer: they work on the canvas and beside it, with any dock or none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.key_bindings import coerce_keybinding

from napari_pathogan.plugin.viewer.lens import hold_lens
from napari_pathogan.plugin.viewer.opened import opened, show_views
from napari_pathogan.plugin.viewer.windowing import (
    Windowing,
    invert,
    level_text,
    mammogram_at,
    next_window,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Image

    from napari_pathogan.mammograms.mammogram import Mammogram

LENS, INVERT, WINDOW = "G", "I", "W"
ALL_HUNG, ONE = "All", "One"
HANGINGS: dict[str, tuple[str, str, Callable[[Mammogram], bool]]] = {
    ALL_HUNG: ("F2", "All views of the examination", lambda _: True),
    "CC": ("F3", "Both CC views, side by side", lambda one: one.view == "CC"),
    "MLO": ("F4", "Both MLO views, side by side", lambda one: one.view == "MLO"),
    "Right": ("F5", "All views of the right breast", lambda one: one.laterality == "R"),
    "Left": ("F6", "All views of the left breast", lambda one: one.laterality == "L"),
    ONE: ("F7", "The chosen view alone; again, the next one", lambda _: True),
}
"""Name -> key, what it shows, and which views."""

KEYS = {
    **{key: what for key, what, _ in HANGINGS.values()},
    WINDOW: "The next window of a mammogram: the file's, all values",
    INVERT: "A mammogram inverted",
    LENS: "Held, a lens at full resolution around the cursor, on mammograms",
}
DRAG = "Right button dragged on a mammogram"
DRAG_WHAT = "Window and level: right is softer, up is brighter; with Shift in all views"


def bind_viewing(viewer: napari.Viewer) -> None:
    """Give a viewer the keys and the drag, once; a key that the user has given to something else stays."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    if any(
        isinstance(getattr(one, "__self__", None), Windowing) for one in viewer.mouse_drag_callbacks
    ):
        return
    Windowing(viewer)
    actions: dict[str, Callable[[napari.Viewer], object]] = {
        INVERT: invert_shown,
        WINDOW: change_window,
        LENS: hold_lens,
        **{key: _hanging(name) for name, (key, *_) in HANGINGS.items()},
    }
    for key, action in actions.items():
        if coerce_keybinding(key) not in viewer.keymap:
            viewer.bind_key(key, action)


def chosen_view(viewer: napari.Viewer) -> Image | None:
    """The mammogram that is selected, or on which the selected layer lies; else the one under the cursor."""
    active = viewer.layers.selection.active
    for one in opened(viewer):
        if one.mammograms and active in one.layers:
            at = mammogram_at(viewer, viewer.cursor.position)
            if active in one.images:
                return active
            return at if at in one.images else one.first
    return mammogram_at(viewer, viewer.cursor.position)


def invert_shown(viewer: napari.Viewer) -> bool:
    """Invert the views that are seen; False if there are none."""
    views = seen_views(viewer)
    for view in views:
        invert(view)
    return bool(views)


def change_window(viewer: napari.Viewer) -> bool:
    """Show the views that are seen in their next window, and say which; False if there are none."""
    said = {view: next_window(view) for view in seen_views(viewer)}
    for view, name in said.items():
        viewer.status = f"{name}: {level_text(view)}"
    return bool(said)


def hang(viewer: napari.Viewer, *, name: str) -> bool:
    """Show some views of the examination that is looked at alone; False if there are none of them."""
    view = chosen_view(viewer)
    one = next((x for x in opened(viewer) if view is not None and view in x.images), None)
    if one is None or view is None:
        return False
    fits = HANGINGS[name][2]
    views = [image for image in one.images if fits(image.metadata["mammogram"])]
    if name == ONE:
        at = one.images.index(view)
        alone = [image for image in one.images if image.visible] == [view]
        views = [one.images[(at + 1) % len(one.images)] if alone else view]
    if views:
        show_views(viewer, one, views)
    return bool(views)


def hanging_of(viewer: napari.Viewer, view: Image) -> str:
    """Which of the :data:`HANGINGS` a view is seen in; empty where views were chosen one by one, or none is seen."""
    one = next((x for x in opened(viewer) if view in x.images), None)
    if one is None or not one.mammograms:
        return ""
    seen = [image for image in one.images if image.visible]
    for name, (_, _, fits) in HANGINGS.items():
        if (
            seen
            and name != ONE
            and seen == [x for x in one.images if fits(x.metadata["mammogram"])]
        ):
            return name
    return ONE if len(seen) == 1 else ""


def _hanging(name: str) -> Callable[[napari.Viewer], bool]:
    """What a key does; napari asks for a function with a name."""

    def show(viewer: napari.Viewer) -> bool:
        return hang(viewer, name=name)

    return show


def seen_views(viewer: napari.Viewer) -> list[Image]:
    """The mammograms that are seen."""
    return [x for one in opened(viewer) if one.mammograms for x in one.images if x.visible]

"""Between mammograms and napari layers: window, inversion, scale, and the hanging of four views.

All views share one world with its origin in the middle of the hanging: right breasts lie left of
it, left ones right of it, CC above, MLO below. So a view takes its place whichever is opened first,
and chest walls face each other. Lengths are micrometres, as those of slides: napari draws layers of other units
where they belong, but takes what it is told of places (the camera's, the mouse's) in those of the smallest.
"""

from __future__ import annotations

import textwrap
from dataclasses import replace
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Any

import numpy as np
from napari import current_viewer
from napari.layers import Image
from napari.utils.notifications import show_info, show_warning

from napari_pathogan.errors import SlideFormatError
from napari_pathogan.mammograms.mammogram import (
    USER,
    Mammogram,
    as_positive,
    data_range,
    said_of,
)
from napari_pathogan.mammograms.study import is_microscopic, open_mammogram
from napari_pathogan.mammograms.views import named_view
from napari_pathogan.plugin.viewer.layers import (
    AXES,
    file_of,
    fit,
    in_unit,
    is_slide,
    move_off_others,
    show_scale_bar,
    shows_pixels,
    staying_on,
)
from napari_pathogan.plugin.viewer.mammogram_groups import (
    hang_by_itself,
    hung,
    hung_apart,
    keep_titles,
    moved,
    opened_of,
    pushed,
    write_titles,
)
from napari_pathogan.slides import scales
from napari_pathogan.slides.names import SYNTHETIC
from napari_pathogan.slides.slide import Slide

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari
    from napari.utils.events import Event

    from napari_pathogan.mammograms.study import MammogramStudy
    from napari_pathogan.slides.geometry import Region

    LayerData = tuple[Any, dict[str, Any], str]

_BLACK = (0.0, 0.0, 0.0, 1.0)  # around mammograms, which a white canvas outshines
_MAPS = {
    "doubt_map",
    "loss_map",
    "g2c",
    "classes",
}  # of what is synthetic, and no picture themselves
_GAP = 0.02  # between views, of a view's width
_awaited: dict[int, int] = {}  # by a viewer's id: how many views are about to be added


def mammogram_layer(mammogram: Mammogram, place: dict[str, Any] | None = None) -> LayerData:
    """Image layer of a view: its intensities as stored, in its true size where that is known.

    What is dark where values are high is shown by an inverse colour map, the header's window by
    contrast limits, and padding as air.
    """
    kwargs: dict[str, Any] = {
        "name": mammogram.name + SYNTHETIC * mammogram.synthetic,
        "rgb": False,
        "multiscale": False,
        "axis_labels": AXES,
        "contrast_limits": mammogram.window,
        "colormap": "gray_r" if mammogram.high_is_dark else "gray",
        "metadata": _metadata(mammogram),
        **(_place(mammogram) if place is None else place),
    }
    return _with_air(mammogram), kwargs, "image"


def _with_air(mammogram: Mammogram) -> np.ndarray:
    """The pixels, with the darkest value of the window where there is padding."""
    pixels = mammogram.pixels
    if mammogram.padded is None:
        return pixels
    limits = np.iinfo(pixels.dtype) if pixels.dtype.kind in "ui" else np.finfo(pixels.dtype)
    air = np.clip(mammogram.window[mammogram.high_is_dark], limits.min, limits.max)
    return np.where(mammogram.padded, pixels.dtype.type(air), pixels)


def study_layers(*studies: MammogramStudy, viewer: napari.Viewer | None = None) -> list[LayerData]:
    """Image layers of all views in their places: RCC LCC over RMLO LMLO, others below.

    The views are in mm if the size of a pixel is known for all of them, else all are in pixels.
    Studies hang one beside the other, and beside those that are open in ``viewer``: views of one that
    is open already take the places that are free in it.
    """
    in_mm = all(one.mm_per_px is not None for study in studies for one in study.views)
    layers = [
        layer
        for study in studies
        for layer in _hanging(study, opened_of(study.views, viewer), in_mm=in_mm)
    ]
    return hung_apart(layers, viewer)


def _hanging(study: MammogramStudy, opened: list[Mammogram], *, in_mm: bool) -> list[LayerData]:
    """Layers of a study's views, in the places that those of it that are ``opened`` leave."""
    places = replace(study, views=[*opened, *study.views]).hanging()
    layers, below = [], 0.0
    for row in sorted({1, *(row for row, _ in places)}):
        views = {column: one for (at, column), one in places.items() if at == row}
        for column, one in views.items():
            if one not in opened:
                place = _place(one, (row, column), in_mm=in_mm, below=below)
                layers.append(mammogram_layer(one, place))
        if not views and any(one.view for (at, _), one in places.items() if at > row):
            # room for those of row 1, should they be opened later
            below += max((1 + _GAP) * _size(one, in_mm=in_mm)[0] for one in study.views)
        elif row > 0 and views:
            below += max((1 + _GAP) * _size(one, in_mm=in_mm)[0] for one in views.values())
    return layers


TAKEN = "taken for a mammogram"  # in the metadata of a grey picture that was opened as no mammogram


def is_mammogram(layer: object) -> bool:
    """Whether a layer is a mammogram: one that was opened as such, or any grey image of integers."""
    if not isinstance(layer, Image) or layer.rgb or layer.ndim != 2 or layer.multiscale:
        return False
    slide = layer.metadata.get("slide")
    if isinstance(slide, Slide) and is_microscopic(slide):
        return False
    return "mammogram" in layer.metadata or layer.dtype in (np.uint8, np.uint16, np.int16)


def mammogram_of(layer: Image) -> Mammogram:
    """The mammogram that a layer shows; an image from elsewhere becomes one, with its scale."""
    known = layer.metadata.get("mammogram")
    if isinstance(known, Mammogram):
        return known
    mammogram = _mammogram_in_file(layer)
    if mammogram is None:
        pixels = np.asarray(layer.data)
        laterality, view = named_view(layer.name)
        mammogram = as_positive(
            Mammogram(
                layer.name,
                pixels,
                window=(0.0, 255.0) if pixels.dtype == np.uint8 else data_range(pixels),
                laterality=laterality,
                view=view,
            )
        )
    if all(unit.is_compatible_with("mm") for unit in layer.units):
        y, x = (
            abs(float(scale * (1 * unit).to("mm").magnitude))
            for scale, unit in zip(layer.scale, layer.units, strict=True)
        )
        mammogram = mammogram.with_spacing((y, x))
    layer.metadata = {**layer.metadata, **_metadata(mammogram), TAKEN: True}
    hang_by_itself(layer)
    return mammogram


def spacing_of(layer: Image) -> float | None:
    """Millimetres a pixel of a mammogram's layer spans, the mean of both sides."""
    mm_per_px = mammogram_of(layer).mm_per_px
    return None if mm_per_px is None else float(np.mean(mm_per_px))


def spacing_is_asked(layer: Image) -> bool:
    """Whether the user has to say the size of a pixel, or said it and may correct it."""
    mammogram = mammogram_of(layer)
    return mammogram.mm_per_px is None or mammogram.spacing == USER


def give_spacing(viewer: napari.Viewer, layer: Image, mm_per_px: float) -> None:
    """Give a mammogram the user's size of a pixel: shown at once, remembered for its file.

    The other views that are open and don't say theirs get it as well: one machine made them, and
    views in mm can't hang beside views in pixels. That is said.

    Raises
    ------
    UnknownScaleError
        If it is not above 0.
    """
    others = [
        one
        for one in viewer.layers
        if one is not layer and is_mammogram(one) and mammogram_of(one).mm_per_px is None
    ]
    views = [layer, *others]
    for view in views:
        mammogram = mammogram_of(view).with_spacing(mm_per_px)
        if mammogram.path is not None:
            scales.remember(mammogram.path, (1e3 * mm_per_px, 1e3 * mm_per_px))
        _show_spacing(viewer, view, mammogram)
    in_pixels = [one for one in viewer.layers if is_mammogram(one) and _lies_in_pixels(one)]
    for view in in_pixels:  # that say their size, and hung beside those that did not
        _show_spacing(viewer, view, mammogram_of(view))
    for view in views:  # of one side and view, or of none that is known: one place for all
        with staying_on(viewer, view):
            view.metadata = {**view.metadata, **pushed(view, move_off_others(viewer, view))}
    fit(viewer, [*views, *in_pixels])
    if others:
        names = ", ".join(one.name for one in others)
        show_info(
            f"{mm_per_px:g} mm is taken for {names} too, which say no size of a pixel either. "
            "Where another machine made them, choose them and type theirs."
        )


def recall_spacing(viewer: napari.Viewer, layer: Image) -> None:
    """Show a mammogram in mm that another reader has shown in pixels, if its size is known.

    Views that were opened as mammograms may be in pixels because others beside them are.
    """
    if layer.source.reader_plugin in {None, "napari-pathogan"}:
        return
    if mammogram_of(layer).mm_per_px is not None and _lies_in_pixels(layer):
        _show_spacing(viewer, layer, mammogram_of(layer))
        fit(viewer, [layer])


def _lies_in_pixels(layer: Image) -> bool:
    in_pixels = all(str(unit) == "pixel" for unit in layer.units)
    return in_pixels and bool((np.abs(layer.scale) == 1).all())


def _show_spacing(viewer: napari.Viewer, view: Image, mammogram: Mammogram) -> None:
    assert mammogram.mm_per_px is not None
    with staying_on(viewer, view):
        at = moved(view, float(np.mean(_pixel(mammogram, in_mm=True))))
        view.metadata = {**view.metadata, **_metadata(mammogram), **at}
        place = _place(mammogram)
        y, x = place["translate"]
        for name, given in {**place, "translate": (y, x + hung(view).shift)}.items():
            setattr(view, name, given)
    write_titles(viewer)
    _say_spacing(viewer)


def _mammogram_in_file(layer: Image) -> Mammogram | None:
    """The mammogram in a layer's file; None where there is none, or it has other pixels."""
    path = file_of(layer)
    if path is None or path.is_dir():
        return None
    try:
        mammogram = open_mammogram(path)
    except SlideFormatError:
        return None  # a format that only other readers know: the layer's own pixels will do

    def read(region: Region) -> np.ndarray:
        return mammogram.pixels[region.y : region.bottom, region.x : region.right]

    return mammogram if shows_pixels(layer, mammogram.shape, read) else None


def prepare_mammograms(viewer: napari.Viewer, mammograms: Sequence[Mammogram]) -> None:
    """Get a viewer ready for views that are about to be added.

    The scale bar is switched on, with what its mm are beside it; views without a scale are named;
    and once all views are there the camera shows all mammograms (napari shows the first layer alone).
    """
    _fit_after(viewer, len(mammograms))
    keep_titles(viewer)
    _say_spacing(viewer)
    for one in mammograms:
        if one.mm_per_px is None:
            show_info(
                f"{one.name} does not say how many mm a pixel spans, so it is shown in pixels"
            )
        for note in one.notes:
            show_warning(note)


def _say_spacing(viewer: napari.Viewer) -> None:
    """Show the scale bar, and beside it what its mm are, as long as mammograms in mm are open."""
    show_scale_bar(viewer)
    mark_what_is_seen(viewer)


def mark_what_is_seen(viewer: napari.Viewer) -> None:
    """Say on the canvas, also in pictures of it, what of it is synthetic, and what mm are in mammograms."""
    events = viewer.layers.events
    for emitter in (events.inserted, events.removed):
        emitter.connect(_seen_changed)  # once: napari knows a second time
    for emitter in (viewer.scene.camera.events, viewer.canvas.events.size):
        emitter.connect(_view_moved)
    for layer in viewer.layers:
        layer.events.visible.connect(_seen_changed)
        layer.events.opacity.connect(_seen_changed)
    write_what_is_seen(viewer)


def _view_moved(_: Event) -> None:
    """Views in other colours come into sight, and leave it."""
    viewer = current_viewer()
    if viewer is not None and any(layer.metadata.get("synthetic") for layer in viewer.layers):
        write_what_is_seen(viewer)


def _seen_changed(event: Event) -> None:
    viewer = current_viewer()
    if viewer is None:
        return
    if event.type == "inserted" and event.source is viewer.layers:
        event.value.events.visible.connect(_seen_changed)
        event.value.events.opacity.connect(_seen_changed)
    if event.source is viewer.layers or event.source in viewer.layers:
        write_what_is_seen(viewer)


def write_what_is_seen(viewer: napari.Viewer) -> None:
    """Say beside the scale bar what mm are in the mammograms that are seen, and in which if not in all images.

    And which of what lies on the canvas is synthetic, by its whole name: of which slide it is.
    """
    views: dict[str, list[str]] = {}
    slides = False
    synthetic: dict[str, None] = {}
    for layer in viewer.layers:
        if not isinstance(layer, Image) or not layer.visible:
            continue
        opened = layer.source.path is not None and "pathogan" not in layer.metadata
        made = layer.metadata.get("synthetic") and not _MAPS & set(layer.metadata)
        if made and _in_sight(viewer, layer):
            synthetic[layer.name.replace(SYNTHETIC, "")] = None
        if is_slide(layer):
            slides = True
        elif "mammogram" in layer.metadata or (opened and is_mammogram(layer)):
            views.setdefault(_meaning(layer), []).append(layer.name)
    several, text = len(views) > 1, viewer.canvas.overlays.text
    start = "mammograms: " if slides else ""
    lines = [
        f"{', '.join(names)}: {meaning}" if several else start + meaning
        for meaning, names in sorted(views.items())
        if meaning
    ]
    if synthetic:
        lines.append(f"synthetic: {', '.join(synthetic)}")
    room = max(_SHORTEST, int(viewer.canvas.size[-1] / _LETTER_PX))
    wrapped = (textwrap.fill(line, room) for line in lines)
    text.text, text.position, text.box = "\n".join(wrapped), "bottom_left", True
    text.visible = bool(lines)
    _darken(viewer, alone=bool(views) and not slides)


_LETTER_PX, _SHORTEST = 8, 30  # as wide as a letter of it is at most, on average; letters in a line
LETTERS = f"{ascii_letters}{digits}_-.,:()&"
"""What views in other colours are called with: letters take a moment when they are first written."""


def _in_sight(viewer: napari.Viewer, layer: Image) -> bool:
    """Whether anything of a layer that is not hidden lies on the canvas now."""
    if layer.opacity == 0:
        return False
    if viewer.canvas.grid.enabled:  # side by side: each in a canvas of its own
        return True
    units = viewer.layers.units
    factor = 1.0 if units is None else in_unit(layer, units[-1])
    low, high = np.sort(factor * layer.extent.world[:, -2:], axis=0)
    middle = np.asarray(viewer.scene.camera.center[-2:])
    half = np.asarray(viewer.canvas.size) / viewer.scene.camera.zoom / 2
    return bool(np.all((low < middle + half) & (high > middle - half)))


def _darken(viewer: napari.Viewer, *, alone: bool) -> None:
    """Make the canvas black as long as mammograms alone are seen; a colour of the user's own stays."""
    now = viewer.canvas.background_color_override
    if alone and now is None:
        viewer.canvas.background_color_override = _BLACK
    elif not alone and now is not None and np.array_equal(now, _BLACK):
        viewer.canvas.background_color_override = None


def _fit_after(viewer: napari.Viewer, awaited: int) -> None:
    """Show all mammograms once so many more of them have been added; files are announced one by one."""
    _awaited[id(viewer)] = _awaited.get(id(viewer), 0) + awaited
    viewer.layers.events.inserted.connect(_awaited_came)  # once: napari knows a second time


def _awaited_came(event: Event) -> None:
    viewer = current_viewer()
    if (
        viewer is None
        or event.source is not viewer.layers
        or "mammogram" not in event.value.metadata
    ):
        return
    left = _awaited.pop(id(viewer), 0) - 1
    if left > 0:
        _awaited[id(viewer)] = left
    elif left == 0:
        fit(viewer, [layer for layer in viewer.layers if is_mammogram(layer)])


def _meaning(layer: Image) -> str:
    """What the mm of a layer are; empty where it is no mammogram in mm."""
    mammogram = layer.metadata.get("mammogram")
    in_mm = layer.units[-1].is_compatible_with("mm")
    if mammogram is None or mammogram.spacing is None or not in_mm:
        return ""
    return f"mm {said_of(mammogram.spacing)}"


def _metadata(mammogram: Mammogram) -> dict[str, Any]:
    return {
        "mammogram": mammogram,
        "path": mammogram.path,
        "mm_per_px": mammogram.mm_per_px,
        "spacing": mammogram.spacing,
    }


def _size(mammogram: Mammogram, *, in_mm: bool) -> tuple[float, float]:
    y, x = _pixel(mammogram, in_mm=in_mm)
    return mammogram.shape[0] * y, mammogram.shape[1] * x


def _pixel(mammogram: Mammogram, *, in_mm: bool) -> tuple[float, float]:
    """A pixel's size in the viewer: micrometres, as of slides, which may be open beside."""
    if not in_mm or mammogram.mm_per_px is None:
        return 1.0, 1.0
    y, x = mammogram.mm_per_px
    return 1e3 * y, 1e3 * x


def _place(
    mammogram: Mammogram,
    position: tuple[int, int] | None = None,
    *,
    in_mm: bool = True,
    below: float = 0.0,
) -> dict[str, Any]:
    """Scale, translation and units that lay a view in its place (row, column) of the hanging.

    ``below`` is how far under the origin its row begins, for rows under the first. A mirrored view
    has a negative scale, so that coordinates in its pixels stay those of the file.
    """
    in_mm = in_mm and mammogram.mm_per_px is not None
    unit = "um" if in_mm else "pixel"
    y, x = _pixel(mammogram, in_mm=in_mm)
    height, width = _size(mammogram, in_mm=in_mm)
    row, column = position or (0 if mammogram.view == "CC" else 1, int(mammogram.laterality != "R"))
    gap = _GAP * width / 2
    top = -gap - height if row == 0 else gap + below
    left = -gap - width if column == 0 else gap
    scale, first = ((y, -x), left + width - x / 2) if mammogram.mirrored else ((y, x), left + x / 2)
    return {"scale": scale, "translate": (top + y / 2, first), "units": (unit, unit)}

"""Between slides and napari layers: how a slide is shown, and what a layer or the view stands for.

Overlays take the slide layer's own scale and translate, so they stay on the slide wherever it lies.
"""

from __future__ import annotations

import math
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from napari import current_viewer
from napari.layers import Image, Shapes
from napari.utils import Colormap
from napari.utils.notifications import show_info, show_warning

from napari_pathogan import addresses
from napari_pathogan.errors import FluorescenceError, PathoganError, SlideFormatError
from napari_pathogan.mammograms.views import MAX_PIXELS
from napari_pathogan.plugin.viewer.arriving import Arriving
from napari_pathogan.slides import names, scales, tissues
from napari_pathogan.slides.geometry import Overlay, Region
from napari_pathogan.slides.slide import Slide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import napari
    from napari.layers import Layer
    from napari.utils.events import Event

    from napari_pathogan.slides.channels import ChannelInfo

AXES = ("y", "x")
_ADDING: list[napari.Viewer] = []  # viewers to which a result's layers are just being added
WHOLE = (
    "of the whole examination"  # in the metadata of a layer that lies on all its views: its number
)
LAID = "laid"  # in the metadata of a saved view that lies on its slide: whatever scale it was saved with
_REFUSED = "refused"  # in a layer's metadata: why its file is no slide
_PATCH, _PATCHES = 32, 5  # pixels of a side, and patches along one, that are compared
_ALIKE = 0.9  # correlation of the same pixels read in two ways
_CHANNEL_COLOURS = ("cyan", "magenta", "yellow", "red", "green", "blue")  # where a file says none
_GAP = 0.05  # between slides, of a slide's width


@contextmanager
def selection_kept(viewer: napari.Viewer) -> Iterator[None]:
    """Keep what is selected while a result's layers are added; docks follow nothing meanwhile."""
    selected = set(viewer.layers.selection)
    _ADDING.append(viewer)
    try:
        yield
        viewer.layers.selection = selected
    finally:
        _ADDING.pop()


def results_are_added() -> bool:
    """Whether the layer that is selected right now is so only because it was just added."""
    return bool(_ADDING)


def slide_layer(
    slide: Slide, viewer: napari.Viewer | None = None
) -> tuple[Any, dict[str, Any], str]:
    """Image layer of a slide: its raw pyramid, in micrometres, or in pixels where it has no scale.

    In a viewer it lies right of the slides that are open, so that none covers another.
    """
    # what the user may take for a mammogram is shown like one: at once, and not in levels
    whole = not slide.is_rgb and math.prod(slide.shape) <= MAX_PIXELS
    data = slide.read(Region(0, 0, *slide.shape)) if whole else shown_levels(slide)
    kwargs: dict[str, Any] = {
        "name": names.marked(slide.name) if slide.metadata.get("synthetic") else slide.name,
        "rgb": slide.is_rgb,
        "multiscale": not whole,
        "axis_labels": AXES,
        "contrast_limits": _limits(slide),
        "metadata": _metadata(slide),
        **(scaled := _scaled(slide)),
        **_right_of_images(viewer, scaled["units"][-1]),
    }
    return data, kwargs, "image"


def view_name(slide: str, whose: str, method: str) -> str:
    """What the layer of a slide in another's colours is called, as far as a narrow list shows it."""
    return names.marked(names.recoloured(names.short(slide), whose, method))


def image_name(layer: Layer) -> str:
    """What an image is called in the names of its results: a synthetic one by the slide that it was made of."""
    slide = layer.metadata.get("slide")
    if isinstance(slide, Slide) and slide.metadata.get("synthetic"):
        return names.marked(names.made(slide.metadata, slide.name))
    return str(layer.name)


def virtual_name(slide: str, title: str) -> str:
    """What the layer of a slide in a virtual stain is called."""
    return f"{title} [synthetic] ({slide})"


def channel_layers(
    channels: Sequence[tuple[ChannelInfo, Slide]], viewer: napari.Viewer | None = None
) -> list[tuple[Any, dict[str, Any], str]]:
    """An image layer for each channel of a fluorescence image, in its colour, one over the other."""
    place = _right_of_images(viewer, _scaled(channels[0][1])["units"][-1])
    layers = []
    for number, (said, slide) in enumerate(channels):
        name = said.name or f"channel {number + 1}"
        unsaid = said.colour in ("", "FFFFFF")
        shown = f"#{said.colour}"
        kwargs: dict[str, Any] = {
            "name": f"{name} ({slide.name})",
            "rgb": False,
            "multiscale": True,
            "axis_labels": AXES,
            "contrast_limits": _limits(slide, own=True),
            "colormap": _CHANNEL_COLOURS[number % len(_CHANNEL_COLOURS)]
            if unsaid
            else Colormap(["black", shown], name=shown),
            "blending": "additive",
            "metadata": _metadata(slide),
            **_scaled(slide),
            **place,
        }
        layers.append((shown_levels(slide), kwargs, "image"))
    return layers


def _limits(slide: Slide, *, own: bool = False) -> tuple[float, float]:
    """What is shown black and white: all of 8 bits, the own range of more (or of a dye)."""
    if slide.dtype == np.uint8 and not own:
        return 0.0, 255.0
    coarsest = np.asarray(slide.levels[-1][:])
    low, high = float(coarsest.min()), float(coarsest.max())
    return low, high if high > low else low + 1.0


def show_scale_bar(viewer: napari.Viewer) -> None:
    """Show the scale bar, at the left, since what napari has to say comes up at the right."""
    bar = viewer.canvas.overlays.scale_bar
    if not bar.visible and str(bar.position) == "bottom_right":  # else the user has put it there
        bar.position = "bottom_left"
    bar.visible = True


def prepare(viewer: napari.Viewer, slides: Iterable[Slide]) -> None:
    """Switch the scale bar on; say which slides have no scale, and what else is to know of them.

    Once a slide's layer is there, the view shows it whole; when a layer goes, the view shows what
    is left.
    """
    viewer.layers.events.removed.connect(_show_what_is_left)  # once: napari knows a second time
    show_scale_bar(viewer)
    viewer.canvas.overlays.scale_bar.box = True  # glass is as white as the bar
    for slide in slides:
        _show_when_added(viewer, slide)
        for note in slide.notes:
            show_warning(note)
        if slide.mpp is None:
            show_info(
                f"{slide.name} does not say how large its pixels are, so it is shown in pixels. "
                "The row 'Scale' of the PathoGAN docks takes it."
            )


def _right_of_images(viewer: napari.Viewer | None, unit: str) -> dict[str, Any]:
    """Where another slide lies, beside slides and mammograms; nothing where it is the first."""
    images = [] if viewer is None else [one for one in viewer.layers if _is_opened(one)]
    if not images:
        return {}
    columns = np.concatenate([one.extent.world[:, -1] * in_unit(one, unit) for one in images])
    gap = _GAP * (columns.max() - columns.min()) / len(images)
    return {"translate": (0.0, float(columns.max() + gap))}


def in_unit(layer: Layer, unit: object) -> float:
    """How many of a unit one of the layer's is; 1 where napari can't tell and draws both alike."""
    own = layer.units[-1]
    return float((1 * own).to(unit).magnitude) if own.is_compatible_with(unit) else 1.0


def _is_opened(layer: Layer) -> bool:
    return is_slide(layer) or "mammogram" in layer.metadata


def lie_beside(viewer: napari.Viewer, layer: Image) -> None:
    """Move an image that another reader has laid on one that is open to the right of all, in view.

    napari lays whatever it opens in the same corner, so that one would cover the other.
    """
    if file_of(layer) is None or {"slide", "mammogram"} & set(layer.metadata):
        return
    if not move_off_others(viewer, layer, between=False):
        fit(viewer, [layer])


def move_off_others(viewer: napari.Viewer, layer: Image, *, between: bool = True) -> float:
    """Move an image that lies on others to the right of all; returns by how much, in units of the world.

    Parameters
    ----------
    between
        Whether it may lie in a gap between them, as a view in its hanging.
    """
    ends = _others(viewer, layer)
    if not ends:
        fit(viewer, [layer])
        return 0.0
    low, high = _ends(layer)
    lows, highs = (np.stack(each) for each in zip(*ends, strict=True))
    if not _covered(layer, ends if between else [(lows.min(0), highs.max(0))]):
        return 0.0
    right = highs[:, 1].max()
    by = float(right - low[1] + _GAP * (high[1] - low[1]))
    y, x = layer.translate
    layer.translate = (y, x + by)
    fit(viewer, [layer])
    return by


def _others(viewer: napari.Viewer, layer: Image) -> list[tuple[np.ndarray, np.ndarray]]:
    """Where the other images lie that were opened."""
    return [
        _ends(other)
        for other in viewer.layers
        if other is not layer and isinstance(other, Image) and _was_opened(other)
    ]


def _covered(layer: Image, others: Sequence[tuple[np.ndarray, np.ndarray]]) -> bool:
    low, high = _ends(layer)
    return any(_overlap(low, high, *one) for one in others)


def _was_opened(layer: Image) -> bool:
    """Whether an image was opened, by whomever, and does not lie on another one."""
    if {"synthetic", "heat_map", "doubt_map", "segmentation"} & set(layer.metadata):
        return False
    # napari knows no file of what a command has added
    return bool({"slide", "mammogram"} & set(layer.metadata)) or file_of(layer) is not None


def keep_apart(viewer: napari.Viewer) -> None:
    """See to it that no picture that napari's own reader opens, or has opened, covers another image.

    Pictures that were moved, stacks, and what comes from elsewhere stay where they are.
    """
    viewer.layers.events.inserted.connect(_lay_apart)  # once: napari knows a second time
    for layer in list(viewer.layers)[1:]:
        if _is_naparis_picture(layer) and not np.any(layer.translate):
            move_off_others(viewer, layer, between=False)


def _lay_apart(event: Event) -> None:
    viewer = current_viewer()
    if viewer is not None and event.source is viewer.layers and _is_naparis_picture(event.value):
        lie_beside(viewer, event.value)


def _is_naparis_picture(layer: Layer) -> bool:
    own = layer.source.reader_plugin == "napari"
    return own and isinstance(layer, Image) and layer.ndim == 2


def _ends(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """The world's (y, x) at which a layer begins and ends."""
    low, high = np.sort(layer.extent.world[:, -2:], axis=0)
    return low, high


def _overlap(low: np.ndarray, high: np.ndarray, a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.all((low < b) & (a < high)))


def _show_when_added(viewer: napari.Viewer, slide: Slide) -> None:
    def added(event: Event) -> None:
        if event.value.metadata.get("slide") is slide:
            viewer.layers.events.inserted.disconnect(added)
            fit(viewer, [event.value])

    viewer.layers.events.inserted.connect(added)


def fit(viewer: napari.Viewer, layers: Sequence[Layer] | None = None) -> None:
    """Show layers, or all, whole: now, and whenever the canvas changes until the view is moved.

    The controls of a first layer narrow the canvas only after the layer was shown.
    """
    camera, wanted = viewer.scene.camera, None if layers is None else [ref(x) for x in layers]
    seen: tuple[Any, ...] = ()

    def show() -> None:
        nonlocal seen
        alive = None if wanted is None else [x for one in wanted if (x := one()) in viewer.layers]
        viewer.fit_to_view(layers=alive)
        if alive and viewer.layers.units is not None:  # napari fits in the units of these alone
            factor = in_unit(alive[0], viewer.layers.units[-1])
            camera.center = tuple(factor * at for at in camera.center)
            camera.zoom /= factor
        seen = camera.center, camera.zoom

    def canvas_changed(_: Event) -> None:
        gone = wanted is not None and not any(one() in viewer.layers for one in wanted)
        if gone or (camera.center, camera.zoom) != seen:
            viewer.canvas.events.size.disconnect(canvas_changed)
        else:
            show()

    show()
    viewer.canvas.events.size.connect(canvas_changed)


def _show_what_is_left(event: Event) -> None:
    """Bring what is left into view if the camera looked at the layer that was removed alone.

    Where an image was in the middle of the view, another one at the side is not looked at.
    """
    viewer = current_viewer()
    if viewer is None or event.source is not viewer.layers:
        return
    left = [layer for layer in viewer.layers if layer.visible and layer.ndim == 2]
    gone: Layer = event.value
    alone = _is_opened(gone) and _is_in_the_middle(viewer, gone)
    looked_at = _is_in_the_middle if alone else is_looked_at
    if left and not any(looked_at(viewer, layer) for layer in left):
        fit(viewer, [layer for layer in left if isinstance(layer, Image)] or left)


def is_looked_at(viewer: napari.Viewer, layer: Layer) -> bool:
    """Whether the middle of the view lies on a layer, or the layer's middle in view."""
    half = np.asarray(viewer.canvas.size) / viewer.scene.camera.zoom / 2
    off = np.abs(_ends(layer)[0] + _ends(layer)[1] - 2 * _middle(viewer)) / 2
    return _is_in_the_middle(viewer, layer) or bool(np.all(off <= half))


def _is_in_the_middle(viewer: napari.Viewer, layer: Layer) -> bool:
    low, high = _ends(layer)
    return bool(np.all((low <= _middle(viewer)) & (_middle(viewer) <= high)))


def _middle(viewer: napari.Viewer) -> np.ndarray:
    return np.asarray(viewer.scene.camera.center[-2:])


def shown_levels(slide: Slide) -> list[Any]:
    """The levels that napari lays within one of their own pixels of where they belong.

    napari stretches every level over the whole of level 0. Some scanners pad their coarse levels,
    which would shift them on the screen; such levels are left out. What comes over a network is not
    waited for, but for the coarsest.
    """
    height, width = slide.shape
    distant = slide.path is not None and addresses.is_address(slide.path)
    levels: Sequence[Any] = Arriving(slide).shown() if distant else slide.levels
    shown: list[Any] = []
    for level, (dy, dx) in zip(levels, slide.downsamples, strict=True):
        off = abs(level.shape[0] - height / dy), abs(level.shape[1] - width / dx)
        if max(off) <= 1:
            shown.append(level)
    if distant:  # napari reads the coarsest once, for all
        shown[-1] = shown[-1].whole()
    return shown


def slide_of(layer: Image) -> Slide:
    """The slide that a layer shows; an image from elsewhere becomes one, with the layer's scale.

    Where another reader made the layer from one file that can be opened here too, the slide is
    that file: what belongs to it (corrections, its scale) is kept with it and found again.
    """
    slide = layer.metadata.get("slide")
    if isinstance(slide, Slide):
        return slide
    mpp = _mpp_of(layer)
    slide = _slide_in_file(layer)
    if slide is None:
        levels = list(layer.data) if layer.multiscale else [layer.data]
        slide = Slide.from_arrays(levels, name=layer.name, mpp=mpp, mpp_source="layer")
    elif mpp is not None:
        slide = slide.with_mpp(mpp, "layer")
    layer.metadata = {**layer.metadata, **_metadata(slide)}
    return slide


def check_not_refused(layer: Image) -> None:
    """Check that a layer's file is not fluorescence, which another reader may show like a slide.

    Raises
    ------
    FluorescenceError
        If it is; as the file's own reader says it.
    """
    slide_of(layer)
    if sentence := layer.metadata.get(_REFUSED):
        raise FluorescenceError(sentence)


def file_of(layer: Image) -> Path | None:
    """The file, OME-Zarr folder or address that a layer was made from; None for other layers."""
    slide = layer.metadata.get("slide")
    if isinstance(slide, Slide) and slide.path is not None and addresses.is_address(slide.path):
        return slide.path
    path = None if layer.source.path is None else Path(layer.source.path)
    return path if path is not None and path.exists() else None


def path_of(layer: Image | None) -> Path | None:
    """The file on this computer whose image a layer shows, whoever has opened it."""
    path = None if layer is None else layer.metadata.get("path") or layer.source.path
    return None if path is None or addresses.is_address(path) else Path(path)


def shows_pixels(layer: Image, shape: tuple[int, int], read: Callable[[Region], Any]) -> bool:
    """Whether a layer shows an image that was read in another way.

    A file may hold several images, or be turned by one reader and not by another, and it may have
    changed since. Patches all over the image tell; colours may differ a little (profiles).

    Parameters
    ----------
    shape
        (Y, X) of the other image.
    read
        Gives its pixels in a region, (Y, X) or (Y, X, 3).
    """
    finest = layer.data[0] if layer.multiscale else layer.data
    if tuple(finest.shape[:2]) != tuple(shape):
        return False
    ours, theirs = [], []
    for y in np.linspace(0, max(shape[0] - _PATCH, 0), _PATCHES).astype(int):
        for x in np.linspace(0, max(shape[1] - _PATCH, 0), _PATCHES).astype(int):
            region = Region(int(y), int(x), _PATCH, _PATCH).clip(shape)
            ours.append(np.asarray(read(region), float).ravel())
            shown = finest[region.y : region.bottom, region.x : region.right]
            theirs.append(
                np.asarray(shown, float)[..., :3].ravel()
                if layer.rgb
                else np.asarray(shown, float).ravel()
            )
    one, other = np.concatenate(ours), np.concatenate(theirs)
    if one.shape != other.shape:
        return False
    if min(np.ptp(one), np.ptp(other)) == 0:  # all of one colour
        return bool(np.ptp(one) == np.ptp(other))
    return bool(np.corrcoef(one, other)[0, 1] > _ALIKE)


def recall_scale(viewer: napari.Viewer, layer: Image) -> None:
    """Show a slide in micrometres that another reader has shown in pixels, if its scale is known."""
    slide = slide_of(layer)
    untouched = _mpp_of(layer) is None and bool((np.asarray(layer.scale) == 1).all())
    untouched &= LAID not in layer.metadata
    if slide.mpp is not None and untouched:
        _show_scale(viewer, layer, slide)


def is_slide(layer: object) -> bool:
    """Whether a layer is a colour image that a model can look at."""
    return isinstance(layer, Image) and bool(layer.rgb) and layer.ndim == 2


def mpp_of(layer: Image) -> float | None:
    """Micrometres a pixel of a slide's layer spans, the mean of both sides."""
    mpp = slide_of(layer).mpp
    return None if mpp is None else float(np.mean(mpp))


def mpp_is_asked(layer: Image) -> bool:
    """Whether the user has to say the scale of a slide, or said it and may correct it."""
    slide = slide_of(layer)
    return slide.mpp is None or slide.mpp_source.startswith("user")


def give_mpp(viewer: napari.Viewer, layer: Image, mpp: float) -> Slide:
    """Give a slide the user's scale: shown at once, remembered for its file.

    What lies on the slide stays on it, and the slide stays where its upper left corner is. Its views in
    other colours and virtual stains take the scale too; so does the slide, where it is given to one of them.

    Raises
    ------
    UnknownScaleError
        If it is not above 0.
    """
    slide = slide_of(layer).with_mpp(mpp)
    if slide.path is not None:
        scales.remember(slide.path, (mpp, mpp))
    for other in views_with(viewer, layer):
        own = slide_of(other).with_mpp(mpp)
        if own.path is not None:
            scales.remember(own.path, (mpp, mpp))
        other.metadata = {**other.metadata, **_metadata(own)}
    _show_scale(viewer, layer, slide)
    return slide


def is_view(layer: Layer) -> bool:
    """Whether a layer shows a slide in other colours, or in a virtual stain."""
    return is_slide(layer) and bool({"stain_slide", "virtual_stain_slide"} & set(layer.metadata))


def views_with(viewer: napari.Viewer, layer: Image) -> list[Image]:
    """The views that lie on a slide; for one of them the slide and the other views."""
    alike = [
        other
        for other in viewer.layers
        if other is not layer
        and is_slide(other)
        and other.units == layer.units
        and np.allclose(other.extent.world, layer.extent.world)
    ]
    return [other for other in alike if is_view(layer) or is_view(other)]


def tissue_of(layer: Image) -> str:
    """The organ that the user said a slide's layer is of; "" where nobody has."""
    said = layer.metadata.get("tissue")
    if said is None:
        path = slide_of(layer).path
        said = tissues.recall(path) if path is not None else tissues.NOT_SAID
    return str(said)


def set_tissue(layer: Image, tissue: str) -> None:
    """Say which organ a slide is of: remembered for its file."""
    layer.metadata = {**layer.metadata, "tissue": tissue}
    path = slide_of(layer).path
    if path is not None and addresses.may_be_there(path):
        tissues.remember(path, tissue)


@contextmanager
def staying_on(viewer: napari.Viewer, layer: Image) -> Iterator[None]:
    """Keep what lies on an image on it while the image's scale and place are changed."""
    units, scale, translate = layer.units, np.array(layer.scale), np.array(layer.translate)
    low, high = np.sort(layer.extent.world[:, -2:], axis=0)
    margin = (high - low) * 0.1  # a map's first cell may begin before the slide
    overlays: list[Layer] = list(views_with(viewer, layer)) if is_slide(layer) else []
    overlays += [
        other
        for other in viewer.layers
        if other is not layer
        and not (isinstance(other, Image) and {"slide", "mammogram"} & set(other.metadata))
        and WHOLE not in other.metadata  # whose dock lays it anew
        and other.units[-2:] == units
        and np.all(other.translate[-2:] >= low - margin)
        and np.all(other.translate[-2:] <= high + margin)
    ]
    yield
    factor = np.asarray(layer.scale) / scale
    for other in overlays:
        other.translate = layer.translate + (np.asarray(other.translate) - translate) * factor
        other.scale, other.units = other.scale * factor, layer.units


RUN_AGAIN = "<b>Found at another scale: run again</b>"
"""What is said of a result that is measured in the pixels of before."""


def at_another_scale(layer: Image, mpp: tuple[float, float]) -> bool:
    """Whether a slide has been given another size of a pixel than a result was measured with."""
    now = slide_of(layer).mpp
    return now is not None and not np.allclose(now, mpp, rtol=1e-3)


def place(overlay: Overlay, layer: Image) -> dict[str, Any]:
    """Arguments of a layer that lays an overlay exactly on a slide's layer."""
    scale, translate = overlay.affine()
    return {**_on(layer), "scale": scale * layer.scale, "translate": _moved(layer, translate)}


def place_level0(layer: Image) -> dict[str, Any]:
    """Arguments of a layer whose data are level-0 centre coordinates (outlines, regions)."""
    return {**_on(layer), "scale": layer.scale, "translate": layer.translate}


def view_region(viewer: napari.Viewer, layer: Image) -> Region:
    """The part of a slide that the canvas shows.

    Raises
    ------
    PathoganError
        If the slide is not in view.
    """
    centre = np.asarray(viewer.scene.camera.center[-2:])
    half = np.asarray(viewer.canvas.size) / viewer.scene.camera.zoom / 2
    corners = [layer.world_to_data(centre + half * sign) for sign in ((-1, -1), (1, 1))]
    (top, left), (bottom, right) = np.min(corners, 0) + 0.5, np.max(corners, 0) + 0.5
    y, x = int(np.floor(top)), int(np.floor(left))
    seen = Region(y, x, int(np.ceil(bottom)) - y, int(np.ceil(right)) - x)
    seen = seen.clip(slide_of(layer).shape)
    if seen.empty:
        msg = (
            f"{layer.name} is not in view: move it back (View > Reset View) or choose 'Whole slide'"
        )
        raise PathoganError(msg)
    return seen


def view_centre(viewer: napari.Viewer, layer: Image) -> tuple[float, float]:
    """The middle of the canvas in level-0 centre coordinates."""
    y, x = layer.world_to_data(viewer.scene.camera.center[-2:])
    return float(y), float(x)


def in_view(viewer: napari.Viewer, layer: Image, place: tuple[float, float]) -> bool:
    """Whether a place of a slide (level-0 pixels from its corner) is seen on the canvas."""
    at = np.asarray(layer.data_to_world(np.asarray(place) - 0.5))[-2:]
    half = np.asarray(viewer.canvas.size) / viewer.scene.camera.zoom / 2
    off = np.abs(at - np.asarray(viewer.scene.camera.center[-2:]))
    return bool(layer.visible and np.all(off <= half))


def go_to(viewer: napari.Viewer, layer: Image, region: Region, *, fill: float = 0.4) -> None:
    """Move the camera so that a region lies in the middle and takes ``fill`` of the canvas."""
    middle = (region.y + region.height / 2 - 0.5, region.x + region.width / 2 - 0.5)
    size = np.abs(np.asarray((region.height, region.width)) * layer.scale)  # < 0: mirrored
    viewer.scene.camera.center = tuple(layer.data_to_world(middle))
    viewer.scene.camera.zoom = float(np.min(np.asarray(viewer.canvas.size) * fill / size))


def selected_polygons(viewer: napari.Viewer, layer: Image) -> list[np.ndarray]:
    """The shapes selected in any Shapes layer, as (N, 2) level-0 centre coordinates of a slide.

    Raises
    ------
    PathoganError
        If no closed shape is selected.
    """
    polygons = [
        ring
        for shapes in viewer.layers
        if isinstance(shapes, Shapes)
        for _, ring in closed(shapes, layer, sorted(shapes.selected_data))
    ]
    if not polygons:
        msg = (
            "No shape is selected: draw a polygon, rectangle or ellipse in a Shapes layer "
            "(Layers > Annotate > New regions) and keep it selected"
        )
        raise PathoganError(msg)
    return polygons


def closed(shapes: Shapes, layer: Image, which: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Those of some shapes that enclose something: index and (N, 2) level-0 centre coordinates."""
    for index in which:
        if shapes.shape_type[index] in {"rectangle", "polygon", "ellipse"}:
            ring = [layer.world_to_data(shapes.data_to_world(p[-2:])) for p in _ring(shapes, index)]
            yield index, np.asarray(ring)


def _ring(shapes: Shapes, index: int) -> np.ndarray:
    """Corners of a shape; an ellipse, which napari stores as its bounding box, becomes 64 points."""
    corners: np.ndarray = np.asarray(shapes.data[index])
    if shapes.shape_type[index] != "ellipse":
        return corners
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)[:, None]
    across, down = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    ring: np.ndarray = corners.mean(0) + np.cos(angle) * across + np.sin(angle) * down
    return ring


def _metadata(slide: Slide) -> dict[str, Any]:
    return {
        "slide": slide,
        "path": slide.path,
        "mpp": slide.mpp,
        "mpp_source": slide.mpp_source,
        "notes": slide.notes,
    }


def _scaled(slide: Slide) -> dict[str, Any]:
    if slide.mpp is None:
        return {"scale": (1.0, 1.0), "units": ("pixel", "pixel")}
    return {"scale": slide.mpp, "units": ("um", "um")}


def _show_scale(viewer: napari.Viewer, layer: Image, slide: Slide) -> None:
    apart = _was_opened(layer) and not _covered(layer, _others(viewer, layer))
    with staying_on(viewer, layer):
        layer.metadata = {**layer.metadata, **_metadata(slide)}
        for name, value in _scaled(slide).items():
            setattr(layer, name, value)
        if apart:  # unless a view of it lies on it
            move_off_others(viewer, layer)
    prepare(viewer, ())
    fit(viewer, [layer])


def _slide_in_file(layer: Image) -> Slide | None:
    """The slide in a layer's file; None where there is no file, or the layer shows other pixels."""
    path = file_of(layer)
    if path is None:
        return None
    try:
        slide = Slide.open(path)
    except FluorescenceError as error:
        layer.metadata = {**layer.metadata, _REFUSED: str(error)}
        return None
    except SlideFormatError:
        return None  # a format that only other readers know: the layer's own pixels will do
    with ExitStack() as opened:
        opened.callback(slide.close)
        if slide.is_rgb and shows_pixels(layer, slide.shape, slide.read):
            opened.pop_all()
            return slide
    return None


def _mpp_of(layer: Image) -> tuple[float, float] | None:
    """Micrometres per pixel from a layer's scale; None where its units are not lengths."""
    if not all(unit.is_compatible_with("um") for unit in layer.units):
        return None
    y, x = (
        float(s * (1 * u).to("um").magnitude) for s, u in zip(layer.scale, layer.units, strict=True)
    )
    return y, x


def _on(layer: Image) -> dict[str, Any]:
    return {"units": layer.units, "axis_labels": AXES, "affine": layer.affine}


def _moved(layer: Image, translate: tuple[float, float]) -> np.ndarray:
    return np.asarray(layer.translate) + np.asarray(layer.scale) * translate

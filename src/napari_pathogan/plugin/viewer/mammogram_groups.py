"""Examinations beside each other: what was hung is never joined by views of another one.

Each examination that is open is a group with a number and a place of its own, right of those that
were opened before it. Where there are several, the number stands before the names of its views, and
above them which examination it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from napari import current_viewer
from napari.layers import Image
from napari.utils.notifications import show_warning
from qtpy.QtCore import QTimer

from napari_pathogan.mammograms.mammogram import Mammogram
from napari_pathogan.mammograms.study import distinct_names, same_examination
from napari_pathogan.plugin.viewer.layers import AXES, WHOLE, fit, in_unit, selection_kept

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import napari
    from napari.layers import Layer, Points
    from napari.utils.events import Event

    LayerData = tuple[Any, dict[str, Any], str]

_GAP = 0.4  # between groups, of a view's width: chest walls of two patients never face each other closely
_HUNG = "hung"  # what a layer's metadata call the following
TITLES = "examinations"  # in the metadata of the layer that says which is which
_TITLE_SIZE = 11
_LETTER_PX = 0.9  # wide is a letter of size 1, with what is between two titles
_TITLE_GAP = 0.05  # above an examination, of the longer side of all of them


@dataclass(frozen=True)
class Hung:
    """Where a view hangs.

    Attributes
    ----------
    number
        Of its examination, from 1 on; its name says so once there are several.
    shift
        How far right of its place in a hanging of its own, in units of the world.
    """

    number: int = 1
    shift: float = 0.0


@dataclass
class _Group:
    """Views of an examination, and from where to where they reach, from the middle of their hanging on."""

    number: int
    shift: float
    members: list[Mammogram] = field(default_factory=list)
    left: float = np.inf
    right: float = -np.inf
    widest: float = 0.0

    def holds(self, mammogram: Mammogram) -> bool:
        return any(same_examination(mammogram, one) for one in self.members)

    def reach(self, left: float, right: float) -> None:
        self.left, self.right = min(self.left, left, right), max(self.right, left, right)
        self.widest = max(self.widest, abs(right - left))


def hung(layer: Image) -> Hung:
    """Where a mammogram's layer hangs."""
    known = layer.metadata.get(_HUNG)
    return known if isinstance(known, Hung) else Hung()


def views_of(viewer: napari.Viewer, number: int) -> list[Image]:
    """The views of an examination that are open, in the order of the layers."""
    return [one for one in viewer.layers if _opened(one) and hung(one).number == number]


def moved(layer: Image, pixel: float) -> dict[str, Any]:
    """Metadata of a layer in its place where its pixels become so wide."""
    was = hung(layer)
    return {_HUNG: replace(was, shift=was.shift * pixel / abs(float(layer.scale[-1])))}


def pushed(layer: Image, by: float) -> dict[str, Any]:
    """Metadata of a layer that was moved to the right, in units of the world."""
    was = hung(layer)
    return {_HUNG: replace(was, shift=was.shift + by)}


def hung_apart(layers: Sequence[LayerData], viewer: napari.Viewer | None = None) -> list[LayerData]:
    """Give each examination among layers that are about to be added a place of its own.

    Views of one that is open already join it. The user is told if there are several now.

    Parameters
    ----------
    layers
        Layers as a reader gives them; those that are no mammograms stay as they are.
    viewer
        Where they are added; None if nothing is open there.
    """
    shown = [one for one in viewer.layers if _opened(one)] if viewer is not None else []
    groups = _groups_of(shown)
    known = len(groups)
    whose = {}
    for index, (_, kwargs, _) in enumerate(layers):
        mammogram = kwargs.get("metadata", {}).get("mammogram")
        if not isinstance(mammogram, Mammogram):
            continue
        group = next((one for one in groups if one.holds(mammogram)), None)
        if group is None:
            group = _Group(1 + max((one.number for one in groups), default=0), 0.0)
            groups.append(group)
        group.members.append(mammogram)
        whose[index] = group
    for index, group in whose.items():
        before = group.left, group.right
        group.reach(*_across(layers[index]))
        if group in groups[:known]:
            _make_room(viewer, groups, group, *before)
    if known < len(groups):
        unit = next(layers[index][1]["units"][-1] for index in whose)
        _lay_beside(groups[known:], groups[:known], _slides_end(viewer, unit))
    several = len(groups) > 1
    made = [
        _in_group(layer, whose[index], several=several) if index in whose else layer
        for index, layer in enumerate(layers)
    ]
    if several and len(groups) > known:
        for layer in shown:
            _number(layer)
        _tell(groups)
    return made


def hang_by_itself(layer: Image) -> None:
    """Give a mammogram that another reader has opened the number of an examination, where it hangs.

    It is one of its own, unless its file says that it belongs to one that is open: what is not
    known to be of one examination is never put together. Which is which is said soon.
    """
    viewer = current_viewer()
    if viewer is None or layer not in viewer.layers:
        return
    groups = _groups_of(one for one in viewer.layers if _opened(one) and one is not layer)
    own = next((one for one in groups if one.holds(layer.metadata["mammogram"])), None)
    number = own.number if own else 1 + max((one.number for one in groups), default=0)
    layer.metadata = {**layer.metadata, _HUNG: Hung(number)}

    def say() -> None:
        if current_viewer() is not viewer:
            return
        shown = [one for one in viewer.layers if _opened(one)]
        if len({hung(one).number for one in shown}) > 1:
            for one in shown:
                _number(one)
        keep_titles(viewer)
        write_titles(viewer)

    QTimer.singleShot(0, say)  # whoever asks is at work with the layer


def _lay_beside(new: list[_Group], known: list[_Group], slides_end: list[float]) -> None:
    """Lay groups right of those that are known, and of slides."""
    ends = [*(one.shift + one.right for one in known), *slides_end]
    for group in new:
        if ends:
            group.shift = max(ends) + _GAP * group.widest - group.left
        ends.append(group.shift + group.right)


def _make_room(
    viewer: napari.Viewer | None, groups: list[_Group], group: _Group, left: float, right: float
) -> None:
    """Move a group, and what lies right of it, where it reached from ``left`` to ``right`` until now."""
    assert viewer is not None, "something is open in it"
    begin, end = group.shift + left, group.shift + right
    opened = [one for one in viewer.layers if _opened(one)]
    beside = [*opened, *(one for one in viewer.layers if "slide" in one.metadata)]
    if group.left < left and any(_middle(one, opened[0]) < begin for one in beside):
        _move(viewer, begin, left - group.left, opened[0])
        end += left - group.left
    if group.right > right:
        _move(viewer, end, group.right - right, opened[0])
    by_number = {one.number: one for one in groups}
    for layer in opened:
        by_number[hung(layer).number].shift = hung(layer).shift


def _move(viewer: napari.Viewer, edge: float, by: float, like: Layer) -> None:
    """Move what lies right of an edge further right, in the unit of a layer: images, and what lies on them."""
    for layer in viewer.layers:
        if WHOLE in layer.metadata or _middle(layer, like) <= edge:
            continue
        layer.translate = (
            *layer.translate[:-1],
            layer.translate[-1] + by / in_unit(layer, like.units[-1]),
        )
        if _opened(layer):
            at = hung(layer)
            layer.metadata = {**layer.metadata, _HUNG: replace(at, shift=at.shift + by)}


def _middle(layer: Layer, like: Layer) -> float:
    """Where the middle of a layer is, in the unit of another."""
    return float(layer.extent.world[:, -1].mean()) * in_unit(layer, like.units[-1])


def keep_titles(viewer: napari.Viewer) -> None:
    """Say above each examination which one it is, as long as there are several in a viewer."""
    for emitter in (viewer.layers.events.inserted, viewer.layers.events.removed):
        emitter.connect(_titles_later)  # once: napari knows a second time


def _titles_later(event: Event) -> None:
    """Write titles once napari has done with a layer that came or went."""
    viewer = current_viewer()
    if viewer is None or event.source is not viewer.layers or TITLES in event.value.metadata:
        return
    came = event.type == "inserted"

    def write() -> None:
        if current_viewer() is viewer and write_titles(viewer) and came:
            fit(viewer, [one for one in viewer.layers if _opened(one) or TITLES in one.metadata])

    QTimer.singleShot(0, write)


def write_titles(viewer: napari.Viewer) -> bool:
    """Write above each examination which one it is, and of which views; nothing where there is one.

    Returns
    -------
    bool
        Whether titles were written that were not there.
    """
    shown = [one for one in viewer.layers if _opened(one)]
    known = next((one for one in viewer.layers if TITLES in one.metadata), None)
    numbers = sorted({hung(one).number for one in shown})
    titles, units, gap = {}, None, 0.0
    for number in numbers if len(numbers) > 1 else ():
        extent = viewer.layers.get_extent(shown)
        units = (extent.units or shown[0].units)[-2:]
        views = [one for one in shown if hung(one).number == number]
        (top, left), (_, right) = viewer.layers.get_extent(views).world[:, -2:]
        gap = float(_TITLE_GAP * np.ptp(extent.world[:, -2:], 0).max())
        above = float(top) - gap
        names = "  ".join(_view(one.metadata["mammogram"]) for one in views)
        titles[f"Examination {number}\n{names}"] = (above, float(left + right) / 2)
    if titles == ({} if known is None else known.metadata[TITLES]):
        return False
    viewer.layers.selection.discard(known)
    with selection_kept(viewer):
        if known is not None:
            viewer.layers.remove(known)
        if titles:
            room = [
                (above - gap, middle) for above, middle in titles.values()
            ]  # a fit keeps it too
            layer = viewer.add_points(
                [*titles.values(), *room],
                name="Examinations",
                features={"title": [*titles, *[""] * len(titles)]},
                text={
                    "string": "{title}",
                    "size": _TITLE_SIZE,
                    "color": "#ffd400",
                    "anchor": "center",
                },
                size=0,
                face_color="transparent",
                border_color="transparent",
                units=units,
                axis_labels=AXES,
                metadata={TITLES: titles},
            )
            layer.editable = False
            _keep_titles_apart(viewer, layer, titles)
    return bool(titles)


def _keep_titles_apart(
    viewer: napari.Viewer, layer: Points, titles: Mapping[str, tuple[float, float]]
) -> None:
    """Write titles so small that none reaches into its neighbour's place, however far the view is."""
    zoomed = viewer.scene.camera.events.zoom
    ends = sorted((x, max(map(len, title.splitlines()))) for title, (_, x) in titles.items())
    letter = min(
        2 * (there - here) / (one + other) for (here, one), (there, other) in pairwise(ends)
    )

    def fit_size(_event: object = None) -> None:
        if layer not in viewer.layers:
            zoomed.disconnect(fit_size)
            return
        units = viewer.layers.units
        wide = letter if units is None else letter * in_unit(layer, units[-1])
        size = wide * viewer.scene.camera.zoom / _LETTER_PX
        layer.text.size = max(1.0, min(size, _TITLE_SIZE))

    zoomed.connect(fit_size)
    fit_size()


def _view(mammogram: Mammogram) -> str:
    return (
        f"{mammogram.laterality or ''}{mammogram.view or ''}" or mammogram.name.partition(": ")[2]
    )


def opened_in(viewer: napari.Viewer | None) -> list[Mammogram]:
    """All mammograms that hang, in the order of the layers."""
    layers = [] if viewer is None else list(viewer.layers)
    return [layer.metadata["mammogram"] for layer in layers if _opened(layer)]


def put_together(viewer: napari.Viewer, fingerprint: str) -> None:
    """Let all mammograms that hang be of one examination, which the user knows, from now on."""
    for layer in filter(_opened, viewer.layers):
        mammogram = replace(layer.metadata["mammogram"], examination=fingerprint)
        layer.metadata = {**layer.metadata, "mammogram": mammogram}


def opened_of(views: Sequence[Mammogram], viewer: napari.Viewer | None) -> list[Mammogram]:
    """The mammograms of an examination that hang already; a file that is opened again is none."""
    paths = {one.path for one in views}
    return [
        one
        for one in opened_in(viewer)
        if one.path not in paths and any(same_examination(one, other) for other in views)
    ]


def _slides_end(viewer: napari.Viewer | None, unit: str) -> list[float]:
    """Where each slide that is open ends."""
    slides = [] if viewer is None else [one for one in viewer.layers if "slide" in one.metadata]
    return [float(one.extent.world[1, -1]) * in_unit(one, unit) for one in slides]


def _opened(layer: object) -> bool:
    """Whether a layer is a mammogram that was opened as one."""
    return isinstance(layer, Image) and isinstance(layer.metadata.get("mammogram"), Mammogram)


def _groups_of(layers: Iterable[Image]) -> list[_Group]:
    groups: dict[int, _Group] = {}
    for layer in layers:
        at = hung(layer)
        group = groups.setdefault(at.number, _Group(at.number, at.shift))
        group.members.append(layer.metadata["mammogram"])
        low, high = (float(end) - at.shift for end in layer.extent.world[:, -1])
        group.reach(low, high)
    return [groups[number] for number in sorted(groups)]


def _across(layer: LayerData) -> tuple[float, float]:
    """Where the middles of a view's first and last column lie in the world."""
    data, kwargs, _ = layer
    first, step = kwargs["translate"][1], kwargs["scale"][1]
    return first, first + step * (data.shape[1] - 1)


def _in_group(layer: LayerData, group: _Group, *, several: bool) -> LayerData:
    data, kwargs, kind = layer
    at = Hung(group.number, group.shift)
    y, x = kwargs["translate"]
    kwargs = {**kwargs, "translate": (y, x + group.shift)}
    kwargs["metadata"] = {**kwargs["metadata"], _HUNG: at}
    if several:
        kwargs["name"] = _numbered(kwargs["name"], at)
        kwargs["metadata"]["mammogram"] = _called(kwargs["metadata"]["mammogram"], at)
    return data, kwargs, kind


def _number(layer: Image) -> None:
    """Let a layer that was alone until now say of which examination it is."""
    at = hung(layer)
    layer.name = _numbered(layer.name, at)
    mammogram = _called(layer.metadata["mammogram"], at)
    layer.metadata = {**layer.metadata, "mammogram": mammogram, _HUNG: at}


def _numbered(name: str, at: Hung) -> str:
    start = f"{at.number}: "
    return name if name.startswith(start) else start + name


def _called(mammogram: Mammogram, at: Hung) -> Mammogram:
    return replace(mammogram, name=_numbered(mammogram.name, at))


def _tell(groups: list[_Group]) -> None:
    files = [[one.path for one in group.members if one.path is not None] for group in groups]
    names = distinct_names(files) if all(files) else [""] * len(groups)
    lines = [
        f"{group.number} is {name}" if name else f"{group.number}"
        for group, name in zip(groups, names, strict=True)
    ]
    show_warning(
        f"Mammograms of {len(groups)} examinations are open. They hang one beside the other, "
        f"numbered from left to right, and never as one: {'; '.join(lines)}"
    )

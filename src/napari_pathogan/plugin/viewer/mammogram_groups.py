"""Examinations beside each other: what was hung is never joined by views of another one.

Each examination that is open is a group with a number and a place of its own, right of those that
were opened before it. Where there are several, the number stands before the names of its views.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.utils.notifications import show_warning

from napari_pathogan.mammograms.mammogram import Mammogram
from napari_pathogan.mammograms.study import distinct_names, same_examination
from napari_pathogan.plugin.viewer.layers import in_unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import napari

    LayerData = tuple[Any, dict[str, Any], str]

_GAP = 0.1  # between groups, of half a hanging's width
_ROOM = 1.35  # for a side that is not there yet: detectors are of several sizes
_HUNG = "hung"  # what a layer's metadata call the following


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
    number: int
    shift: float
    members: list[Mammogram] = field(default_factory=list)
    half: float = 0.0  # how far it reaches to both sides of its middle

    def holds(self, mammogram: Mammogram) -> bool:
        return any(same_examination(mammogram, one) for one in self.members)

    def reach(self, left: float, right: float) -> None:
        """Take room on both sides: the other breast may be opened later."""
        room = 1.0 if {one.laterality for one in self.members} >= {"R", "L"} else _ROOM
        self.half = max(self.half, room * abs(left), room * abs(right))


def hung(layer: Image) -> Hung:
    """Where a mammogram's layer hangs."""
    known = layer.metadata.get(_HUNG)
    return known if isinstance(known, Hung) else Hung()


def moved(layer: Image, mm_per_px: float) -> dict[str, Any]:
    """Metadata of a layer in its place where its pixels become so wide."""
    was = hung(layer)
    return {_HUNG: replace(was, shift=was.shift * mm_per_px / abs(float(layer.scale[-1])))}


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
        group.reach(*_across(layers[index]))
    units = [kwargs["units"][-1] for _, kwargs, _ in map(layers.__getitem__, whose)]
    slides_end = _slides_end(viewer, units[0]) if units else []
    for group in groups[known:]:
        ends = [one.shift + one.half for one in groups if one.number < group.number]
        if ends := [*ends, *slides_end]:
            group.shift = max(ends) + (1 + _GAP) * group.half
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


def opened_of(views: Sequence[Mammogram], viewer: napari.Viewer | None) -> list[Mammogram]:
    """The mammograms of an examination that hang already; a file that is opened again is none."""
    paths = {one.path for one in views}
    shown = (
        [layer.metadata["mammogram"] for layer in viewer.layers if _opened(layer)] if viewer else []
    )
    return [
        one
        for one in shown
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
        group.reach(*(float(end) - at.shift for end in layer.extent.world[:, -1]))
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

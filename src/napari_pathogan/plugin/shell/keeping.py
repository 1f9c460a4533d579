"""Between what is open in napari and a case on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from napari.layers import Labels, Points, Shapes
from qtpy.QtWidgets import QWidget

from napari_pathogan import addresses
from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.errors import PathoganError
from napari_pathogan.mammograms.mammogram import USER
from napari_pathogan.mammograms.study import examinations
from napari_pathogan.plugin.shell import case as cases
from napari_pathogan.plugin.shell.case import CameraIn, Case, ImageIn, LookIn, ResultIn
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch
from napari_pathogan.plugin.viewer.layers import file_of, is_slide, mpp_of, slide_of
from napari_pathogan.plugin.viewer.mammogram_layers import (
    TAKEN,
    is_mammogram,
    mammogram_of,
    prepare_mammograms,
    study_layers,
)
from napari_pathogan.plugin.viewer.opened import HIDDEN, opened
from napari_pathogan.plugin.viewer.reader import read as read_file
from napari_pathogan.slides import scales
from napari_pathogan.slides.imprint import Imprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import napari
    from napari.layers import Image, Layer

    from napari_pathogan.plugin.viewer.opened import Opened

_DRAWN = {Shapes: "shapes.npz", Points: "points.npz", Labels: "labels.npz"}
_SYNTHETIC = "views in other colours: they are made anew by Run"


@runtime_checkable
class Keeper(Protocol):
    """A dock whose results a case keeps; see :class:`.dock.Dock`, which says what each does."""

    title: ClassVar[str]
    task: ClassVar[str]

    def unsaved(self, layer: Image | None = None) -> str:
        """What of the user's own work is kept nowhere yet, as a sentence."""

    def was_kept(self, writes: Sequence[partial[None]]) -> None:
        """What was to be kept lies in a case of the user's now."""

    def keeps(self, layer: Image) -> tuple[str, partial[None]] | None:
        """How the file's name of a result ends, and what writes it."""

    def read_kept(self, layer: Image, path: Path) -> object:
        """Read that file."""

    def show_kept(self, layer: Image, result: object) -> None:
        """Show what was read."""

    def choices(self) -> dict[str, Any]:
        """What the user has chosen in it."""

    def choose_again(self, choices: Mapping[str, Any]) -> None:
        """Choose that."""

    def lasting(self) -> dict[str, Any]:
        """What of it is for the next napari."""


def keepers(window: QWidget) -> list[Keeper]:
    """The docks of a window whose results a case keeps."""
    return [one for one in window.findChildren(QWidget) if isinstance(one, Keeper)]


@dataclass
class Taken:
    """What is open now, ready to be written in a thread.

    Attributes
    ----------
    images
        Layers and files of the images, in order.
    results
        What each is of, and what writes it.
    left_out
        What a case can't hold, in words.
    """

    case: Case
    images: list[tuple[Image, Path]] = field(default_factory=list)
    results: list[tuple[ResultIn, partial[None]]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Read(Event):
    """A result of a case, as its dock reads it, or a drawn layer."""

    result: ResultIn
    content: Any


@dataclass(frozen=True, slots=True, eq=False)
class Notice(Event):
    """Something that the user should know."""

    sentence: str


def take(viewer: napari.Viewer, docks: Sequence[Keeper]) -> Taken:
    """Note what is open, found and drawn in a viewer."""
    there = opened(viewer)
    taken = Taken(Case())
    for image in (image for one in there for image in one.images):
        if (path := _path(image)) is None:
            taken.left_out.append(f"{image.name}: it is no file")
        else:
            taken.images.append((image, path))
    for at, (image, _) in enumerate(taken.images):
        for dock in docks:
            if (keep := dock.keeps(image)) is not None:
                end, write = keep
                known = ResultIn(image=at, task=dock.task, file=dock.task + end)
                taken.results.append((known, write))
    others = _take_layers(taken, there, viewer.layers)
    number = {image: at for at, (image, _) in enumerate(taken.images)}
    camera = viewer.scene.camera
    y, x = (float(at) for at in camera.center[-2:])
    taken.case = Case(
        others=tuple(others),
        looks=tuple(
            LookIn(image=number.get(one), name=one.name, visible=one.visible, opacity=one.opacity)
            for one in viewer.layers
        ),
        docks={dock.title: dock.choices() for dock in docks},
        camera=CameraIn(centre=(y, x), zoom=float(camera.zoom)) if len(viewer.layers) else None,
    )
    return taken


def _take_layers(taken: Taken, there: Sequence[Opened], layers: Iterable[Layer]) -> dict[str, None]:
    """Note what was drawn; returns the files of results that were opened."""
    number = {image: at for at, (image, _) in enumerate(taken.images)}
    others: dict[str, None] = {}
    for layer in layers:
        if layer in number:
            continue
        under = next((one.first for one in there if layer in one.results), None)
        if (path := file_of(layer)) is not None:
            others[str(path.absolute())] = None
        elif _is_drawn(layer):
            on = under if under in number else None
            about, arrays = _as_arrays(layer, on)
            write = partial(cases.write_arrays, about=about, arrays=arrays)
            known = ResultIn(image=None if on is None else number[on], file=_DRAWN[type(layer)])
            taken.results.append((known, write))
        elif layer.metadata.get("synthetic") and _SYNTHETIC not in taken.left_out:
            taken.left_out.append(_SYNTHETIC)
    return others


def writing(taken: Taken, path: Path) -> Iterator[Event]:
    """Write a case; finishes with what it could not hold."""
    ready_for_torch()
    images = []
    for at, (image, file) in enumerate(taken.images):
        yield Progress(at, len(taken.images), f"looking at {image.name}")
        images.append(
            ImageIn(
                file=cases.place(file, path),
                name=image.name,
                imprint=str(_imprint(image)),
                mammogram="mammogram" in image.metadata and TAKEN not in image.metadata,
                um_per_px=_given_um(image),
                scale=_pair(image.scale),
                translate=_pair(image.translate),
            )
        )
    case = taken.case.model_copy(
        update={
            "images": tuple(images),
            "others": tuple(cases.place(Path(one), path) for one in taken.case.others),
        }
    )
    yield Progress(0, 0, f"saving {path.name}")
    cases.write(path, case, taken.results)
    yield Finished(taken.left_out)


def open_images(
    viewer: napari.Viewer, case: Case, path: Path
) -> tuple[list[Image | None], list[str], list[str]]:
    """Open the images of a case, with the names they had; those that can't be opened are None.

    Views of an examination hang together as they did. An image that does not say the size of its
    pixels takes the one that was given when the case was saved.

    Returns
    -------
        The images; what is wrong; and which sizes were taken from the case.
    """
    files = [cases.find(one.file, path) for one in case.images]
    alone = not len(viewer.layers)
    sized, told = _remember_sizes(case, files)
    layers = _open_files(viewer, case, files, told)
    images = [
        next((x for x in layers.get(file, ()) if x.name == one.name), layers.get(file, [None])[0])
        for one, file in zip(case.images, files, strict=True)
    ]
    given = []
    for at, (image, one) in enumerate(zip(images, case.images, strict=True)):
        if image is None or images.index(image) != at:
            continue
        if not one.mammogram:
            _put_back(image, one, alone=alone)
        now, was = _given_um(image), one.um_per_px
        if now is None or was is None:
            continue
        here, there = (_size(um, mm=one.mammogram) for um in (now, was))
        if not np.isclose(now, was, rtol=1e-3):
            told.append(f"{image.name} has {here} per pixel, as you gave it; in the case, {there}")
        elif at in sized:
            given.append(f"{image.name} takes {here} per pixel from the case.")
    return images, told, given


def _open_files(
    viewer: napari.Viewer, case: Case, files: Sequence[Path], told: list[str]
) -> dict[Path, list[Image]]:
    """Open the files of a case; returns the layers of each, and adds to ``told`` what is wrong."""
    images: dict[Path, list[Image]] = {}
    grey = []
    for one, file in zip(case.images, files, strict=True):
        if file in images:  # another of its channels
            continue
        if not addresses.may_be_there(file):
            told.append(f"{one.name or file.name} is not where it was ({file})")
            continue
        if one.mammogram:
            grey.append(file)
            continue
        before = set(viewer.layers)
        try:
            layers = read_file(str(file))
        except PathoganError as error:
            told.append(str(error))
            continue
        for data, kwargs, kind in layers:
            getattr(viewer, f"add_{kind}")(data, **kwargs)
        new = [x for x in viewer.layers if x not in before]
        if new:
            images[file] = new
    try:
        hung = _hang(viewer, grey) if grey else {}
    except PathoganError as error:
        told.append(str(error))
        return images
    return images | {file: [view] for file, view in hung.items()}


def _put_back(image: Image, known: ImageIn, *, alone: bool) -> None:
    """Call an image as it was called, and lay it where it lay, if it has its scale and no other is open."""
    image.name = known.name or image.name
    if alone and known.translate is not None and known.scale == _pair(image.scale):
        image.translate = known.translate


def _remember_sizes(case: Case, files: Sequence[Path]) -> tuple[set[int], list[str]]:
    """Remember the sizes of pixels that a case was given, so that readers find them.

    What a file says itself, or the user has said of it here, comes before.

    Returns
    -------
        Of which images, by number; and what is wrong.
    """
    sized, told = set(), []
    for at, (one, file) in enumerate(zip(case.images, files, strict=True)):
        um = one.um_per_px
        if um is None or not addresses.may_be_there(file) or scales.recall(file) is not None:
            continue
        try:
            scales.remember(file, (um, um))
        except PathoganError as error:
            told.append(str(error))
        else:
            sized.add(at)
    return sized, told


def _size(um: float, *, mm: bool) -> str:
    return f"{um / 1e3:g} mm" if mm else f"{um:g} µm"


def _hang(viewer: napari.Viewer, files: list[Path]) -> dict[Path, Image]:
    """Hang mammograms, each examination by itself; nobody is asked, since they hung so."""
    studies = [one.open() for one in examinations(files)]
    prepare_mammograms(viewer, [view for study in studies for view in study.views])
    layers = study_layers(*studies, viewer=viewer)
    added = [viewer.add_image(data, **kwargs) for data, kwargs, _ in layers]
    return {Path(mammogram_of(one).path or ""): one for one in added}


def reading(
    case: Case, path: Path, images: Sequence[Image | None], docks: Sequence[Keeper]
) -> Iterator[Event]:
    """Read the results of a case, each as its dock does; what can't be read is told of."""
    ready_for_torch()
    by_task = {dock.task: dock for dock in docks}
    for image, known in zip(images, case.images, strict=True):
        was = Imprint.read(known.imprint)
        if image is not None and was is not None and (why := was.contradicts(_imprint(image))):
            yield Notice(f"{image.name} is not the image that it was: {why}")
    room = cases.room_of(path)
    for at, one in enumerate(case.results):
        yield Progress(at, len(case.results), "reading what was found")
        image = images[one.image] if one.image is not None and one.image < len(images) else None
        if image is None and one.image is not None:
            continue  # its image is gone, which was told
        file = room / Path(one.file).name
        dock = by_task.get(one.task)
        try:
            if not one.task:
                yield Read(one, cases.read_arrays(file))
            elif dock is not None and image is not None:
                yield Read(one, dock.read_kept(image, file))
        except PathoganError as error:
            yield Notice(str(error))
    yield Finished()


def show_drawn(
    viewer: napari.Viewer,
    file: str,
    content: tuple[dict[str, Any], dict[str, np.ndarray]],
    image: Image | None,
) -> None:
    """Add a drawn layer where it lay on its image."""
    about, arrays = content
    kwargs: dict[str, Any] = {
        "name": str(about["name"]),
        "units": image.units if image is not None else tuple(about["units"]),
        "axis_labels": about["axis_labels"],
        "opacity": float(about["opacity"]),
    }
    scale, translate = arrays["scale"], arrays["translate"]
    if image is not None:
        own = np.asarray(image.scale)
        translate = np.asarray(image.translate) + own * translate
        scale = own * scale
    kwargs |= {"scale": scale, "translate": translate}
    features = pd.DataFrame(about["features"]) if about.get("features") else None
    if file.endswith(_DRAWN[Labels]):
        viewer.add_labels(arrays["data"], **kwargs)
        return
    kwargs |= {"features": features, "ndim": 2, "face_color": arrays["face_color"]}
    if file.endswith(_DRAWN[Points]):
        kwargs |= {"border_color": arrays["border_color"], "size": arrays["size"]}
        viewer.add_points(arrays["data"], **kwargs)
        return
    data = (
        np.split(arrays["data"], np.cumsum(arrays["corners"])[:-1])
        if len(arrays["corners"])
        else None
    )
    if data is None:
        del kwargs["face_color"], kwargs["features"]
        viewer.add_shapes(**kwargs)
        return
    viewer.add_shapes(
        data,
        shape_type=about["shape_type"],
        edge_color=arrays["edge_color"],
        edge_width=arrays["edge_width"],
        **kwargs,
    )


def show_looks(viewer: napari.Viewer, case: Case, images: Sequence[Image | None]) -> None:
    """Show layers as they were shown, and what was in view.

    Parameters
    ----------
    images
        Those of the case, as they were opened.
    """
    number = {one.name: at for at, one in enumerate(case.images)}  # older cases say names alone
    others = {one.name: one for one in viewer.layers if one not in images}
    for look in case.looks:
        at = number.get(look.name) if look.image is None else look.image
        layer = others.get(look.name) if at is None else images[at] if at < len(images) else None
        if layer is not None and layer in viewer.layers:
            layer.visible, layer.opacity = look.visible, look.opacity
    if case.camera is not None:
        viewer.scene.camera.center = case.camera.centre
        viewer.scene.camera.zoom = case.camera.zoom


def _path(image: Image) -> Path | None:
    path = image.metadata.get("path") or image.source.path
    return Path(path) if path and addresses.may_be_there(Path(path)) else None


def _imprint(image: Image) -> Imprint:
    if is_slide(image) or not is_mammogram(image):
        return slide_of(image).imprint
    return mammogram_of(image).imprint


def _given_um(image: Image) -> float | None:
    """The size of a pixel that the user gave an image, in µm; None where the file says it, or nobody."""
    if is_slide(image) or not is_mammogram(image):
        return mpp_of(image) if slide_of(image).mpp_source.startswith(USER) else None
    mammogram = mammogram_of(image)
    if mammogram.mm_per_px is None or mammogram.spacing != USER:
        return None
    return 1e3 * float(np.mean(mammogram.mm_per_px))


def _pair(of_layer: Sequence[float]) -> tuple[float, float]:
    y, x = of_layer[-2:]
    return float(y), float(x)


def _is_drawn(layer: Layer) -> bool:
    """Whether a user has drawn a layer: ours say in their metadata what they show."""
    return type(layer) in _DRAWN and not set(layer.metadata) - {HIDDEN} and layer.ndim == 2


def _as_arrays(
    layer: Any,  # noqa: ANN401 - Shapes, Points or Labels
    image: Image | None,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    scale, translate = np.array(layer.scale), np.array(layer.translate)
    if image is not None:
        own = np.asarray(image.scale)
        scale, translate = scale / own, (translate - image.translate) / own
    about: dict[str, Any] = {
        "name": layer.name,
        "opacity": layer.opacity,
        "units": [str(unit) for unit in layer.units],
        "axis_labels": list(layer.axis_labels),
    }
    arrays = {"scale": scale, "translate": translate}
    if isinstance(layer, Labels):
        return about, arrays | {"data": np.asarray(layer.data)}
    about["features"] = {str(k): v for k, v in layer.features.to_dict("list").items()}
    arrays["face_color"] = np.asarray(layer.face_color)
    if isinstance(layer, Points):
        return about, arrays | {
            "data": np.asarray(layer.data),
            "size": np.asarray(layer.size),
            "border_color": np.asarray(layer.border_color),
        }
    about["shape_type"] = list(layer.shape_type)
    corners = np.array([len(one) for one in layer.data], int)
    data = np.concatenate(layer.data) if len(layer.data) else np.zeros((0, 2))
    return about, arrays | {
        "data": data,
        "corners": corners,
        "edge_color": np.asarray(layer.edge_color),
        "edge_width": np.asarray(layer.edge_width, float),
    }

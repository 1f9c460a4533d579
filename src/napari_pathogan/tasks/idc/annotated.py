"""Training patches from whole slides with annotations: outlines in GeoJSON, or a grid of labels.

A folder of slides holds, beside each image, ``<name>.geojson`` (as QuPath exports it, level-0
pixels) or ``<name>_labels.npy``: uint8 cells [r, c] that cover ``image[51+50r:101+50r,
51+50c:101+50c]`` at 4 um/px; 0 healthy, 1 IDC, 2 no patch. Each slide counts as one patient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.annotations import geojson
from napari_pathogan.annotations.store import AnnotationStore
from napari_pathogan.errors import (
    DataFolderError,
    PathoganError,
    ResultFormatError,
    UnknownScaleError,
)
from napari_pathogan.slides.polygons import contains
from napari_pathogan.slides.slide import Slide
from napari_pathogan.slides.tissue import tissue_mask
from napari_pathogan.tasks.idc.data import (
    MPP,
    PATCH_PX,
    UNLABELLED,
    PatchFolder,
    join,
    read_patches,
)
from napari_pathogan.tasks.idc.grid import CellGrid

if TYPE_CHECKING:
    from pathlib import Path

    from shapely.geometry.base import BaseGeometry

_GRID = "_labels.npy"
_CORNER = 51  # pixels before the first cell of a grid of labels
_NO_PATCH = 2
_IDC_NAMES = ("idc", "tumor", "tumour", "carcinoma")
_MIN_TISSUE = 0.1
_POINTS = 5  # per side of a patch, to see what share of it an outline covers


def read_training_folder(folder: Path) -> PatchFolder:
    """Read a folder of patches, or of slides with annotations.

    Raises
    ------
    DataFolderError
        If it holds neither.
    """
    pairs = annotated_slides(folder) if folder.is_dir() else []
    if not pairs:
        return read_patches(folder)
    parts, skipped = [], []
    for slide, annotation in pairs:
        try:
            parts.append(read_annotated(slide, annotation))
        except PathoganError as error:
            skipped.append(f"{slide}: {error}")
    if not parts:
        msg = f"no slide in {folder} could be used; the first: {skipped[0]}"
        raise DataFolderError(msg)
    joined = join(parts)
    return PatchFolder(
        joined.images, joined.labels, joined.patients, joined.xy, (*joined.skipped, *skipped)
    )


def annotated_slides(folder: Path) -> list[tuple[Path, Path]]:
    """Find slides with a file of annotations beside them."""
    stores = [
        store
        for suffix in (".geojson", _GRID)
        for store in AnnotationStore.in_folder(folder, suffix)
        if store.image.is_file()
    ]
    return sorted((store.image, store.path) for store in stores)


def read_annotated(slide: Path, annotation: Path) -> PatchFolder:
    """Cut a slide into labelled patches at 4 um/px.

    Raises
    ------
    DataFolderError
        If the annotations can't be read or fit no patch of the slide.
    SlideFormatError, UnknownScaleError
        If the slide can't be opened, or outlines need a scale that it does not give.
    """
    with Slide.open(slide) as opened:
        if annotation.suffix == ".npy":
            patches = _from_grid(opened, annotation)
        else:
            patches = _from_outlines(opened, annotation)
    if not len(patches):
        msg = f"{annotation} labels no patch of {slide}"
        raise DataFolderError(msg)
    return patches


def _from_grid(slide: Slide, path: Path) -> PatchFolder:
    try:
        labels = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        msg = f"{path} is not a grid of labels ({error})"
        raise DataFolderError(msg) from error
    downsample = 1.0 if slide.mpp is None else MPP / slide.mpp[0]
    rows, cols = np.nonzero(labels != _NO_PATCH)
    y, x = _CORNER + PATCH_PX * rows, _CORNER + PATCH_PX * cols
    return _cut(slide, labels[rows, cols], y, x, downsample)


def _from_outlines(slide: Slide, path: Path) -> PatchFolder:
    if slide.mpp is None:
        msg = f"{slide.name} does not say its um per px, which outlines need"
        raise UnknownScaleError(msg)
    idc, other = _outlines(path)
    grid = CellGrid.over(slide.shape, slide.mpp, patch_px=PATCH_PX, mpp=MPP)
    covered = _covered(grid, idc), _covered(grid, other)
    labels = np.full(grid.shape, UNLABELLED, np.int8)
    if not other:  # IDC alone was drawn: the rest of the tissue is healthy
        labels[:] = 0
    labels[covered[1] >= 0.5] = 0
    labels[covered[0] >= 0.5] = 1
    tissue = tissue_mask(slide).coverage(grid.origin, grid.step, grid.shape)
    rows, cols = np.nonzero((tissue >= _MIN_TISSUE) | (covered[0] >= 0.5))
    y, x = PATCH_PX * rows, PATCH_PX * cols
    return _cut(slide, labels[rows, cols], y, x, grid.downsample[0])


def _cut(
    slide: Slide, labels: np.ndarray, y: np.ndarray, x: np.ndarray, downsample: float
) -> PatchFolder:
    """Read patches whose corners are at (y, x) pixels of 4 um, row by row."""
    images = np.empty((len(labels), PATCH_PX, PATCH_PX, 3), np.uint8)
    for row in np.unique(y):
        own = np.flatnonzero(y == row)
        left, width = x[own].min(), int(np.ptp(x[own])) + PATCH_PX
        origin = float(row) * downsample, float(left) * downsample
        strip = slide.resampled(origin, (downsample, downsample), (PATCH_PX, width))
        if strip.ndim == 2:
            strip = np.repeat(strip[..., None], 3, 2).astype(np.uint8)
        for i in own:
            images[i] = strip[:, x[i] - left : x[i] - left + PATCH_PX]
    patients = np.full(len(labels), slide.name.split(".")[0])
    return PatchFolder(images, labels.astype(np.int8), patients, np.stack([x, y], 1))


def _outlines(path: Path) -> tuple[list[BaseGeometry], list[BaseGeometry]]:
    """Polygons of IDC and of anything else."""
    try:
        annotations, _ = geojson.read(path)
    except ResultFormatError as error:
        msg = f"{path} is not GeoJSON with polygons ({error.__cause__})"
        raise DataFolderError(msg) from error
    found: tuple[list[BaseGeometry], list[BaseGeometry]] = ([], [])
    for one in annotations:
        is_idc = any(word in one.class_name.lower() for word in _IDC_NAMES)
        if one.polygons and not one.part:
            found[0 if is_idc else 1].append(one.geometry)
    return found


def _covered(grid: CellGrid, drawn: list[BaseGeometry]) -> np.ndarray:
    """(H, W): share of each cell inside any of the polygons."""
    offsets = (np.arange(_POINTS) + 0.5) / _POINTS
    rows = grid.origin[0] + (np.arange(grid.shape[0])[:, None] + offsets).ravel() * grid.step[0]
    cols = grid.origin[1] + (np.arange(grid.shape[1])[:, None] + offsets).ravel() * grid.step[1]
    points = np.stack(np.meshgrid(rows, cols, indexing="ij"), -1).reshape(-1, 2)
    held = contains(points, drawn)
    share: np.ndarray = held.reshape(grid.shape[0], _POINTS, grid.shape[1], _POINTS).mean((1, 3))
    return share

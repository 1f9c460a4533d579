"""Training patches from whole slides with annotations: outlines in GeoJSON, or a grid of labels.

A folder of slides holds, beside each image, ``<name>.geojson`` (as QuPath exports it, level-0
pixels) or ``<name>_labels.npy``: uint8 cells [r, c] that cover ``image[51+50r:101+50r,
51+50c:101+50c]`` at 4 um/px; 0 healthy, 1 IDC, 2 no patch. Each slide counts as one patient.

Of outlines, the innermost says what lies in it; what its class counts as, a table does. Where IDC
alone was drawn, the rest of the tissue is healthy: of the slide, or of the outlines of class
``Region*`` where there are any, outside of which nobody looked. Where nothing was drawn, nothing is
known.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import shapely
from shapely import STRtree, box

from napari_pathogan.annotations import classes
from napari_pathogan.annotations.outlines import beyond, outlines_of
from napari_pathogan.annotations.store import ASIDE, AnnotationStore
from napari_pathogan.engine.cells import CellGrid
from napari_pathogan.errors import (
    DataFolderError,
    PathoganError,
    UnknownScaleError,
)
from napari_pathogan.slides.polygons import contains, corner
from napari_pathogan.slides.slide import Slide
from napari_pathogan.slides.tissue import tissue_mask
from napari_pathogan.tasks.idc.data import (
    CLASSES,
    MPP,
    PATCH_PX,
    UNLABELLED,
    PatchFolder,
    join,
    read_patches,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_pathogan.annotations.geojson import Annotation

_GRID = "_labels.npy"
_KEPT = (".idc", ".nuclei", ".masses")  # before the suffix: by docks
_CORNER = 51  # pixels before the first cell of a grid of labels
_NO_PATCH = 2
_HEALTHY, _IDC = CLASSES
_REGION = "Region*"  # QuPath's own class for an outline of what was looked at
_NOTHING = -2  # no outline is there
_CODES = {_HEALTHY: 0, _IDC: 1, classes.IGNORED: UNLABELLED, classes.UNKNOWN: UNLABELLED}
_INVASIVE = (
    "IDC", "tumor", "tumour", "carcinoma", "cancer", "invasive", "NST", "IBC NST",
    "ductal carcinoma NST", "invasive tumor", "invasive tumour", "tumor invasive",
    "tumour invasive", "invasive cancer", "invasive breast cancer", "invasive carcinoma",
    "invasive breast carcinoma", "invasive ductal", "invasive ductal carcinoma",
    "infiltrating ductal carcinoma", "invasive ductal carcinoma NST", "invasive carcinoma NST",
    "invasive carcinoma of no special type", "tumor tissue", "tumour tissue", "malignant",
)  # fmt: skip
_OTHER = (
    "healthy", "normal", "benign", "healthy tissue", "normal tissue", "benign tissue", "stroma",
    "immune cells", "lymphocytes", "fat", "adipose", "adipose tissue", "DCIS", "LCIS", "CIS",
    "in situ", "carcinoma in situ", "in situ carcinoma", "ductal carcinoma in situ",
    "lobular carcinoma in situ", "intraductal carcinoma", "tumor in situ", "tumour in situ",
    "hyperplasia", "fibroadenoma", "normal gland", "normal duct",
)  # fmt: skip
_NO = ("non {}", "non{}", "no {}", "not {}", "{} free", "without {}")
CLASS_KINDS: dict[str, str] = {
    **{no.format(name): _HEALTHY for name in _INVASIVE for no in _NO},
    **dict.fromkeys(_OTHER, _HEALTHY),
    **dict.fromkeys(_INVASIVE, _IDC),
}
"""What the classes of outlines count as, unless the user says otherwise."""

_MIN_TISSUE = 0.1
_POINTS = 5  # per side of a patch, to see what share of it an outline covers


def class_changes(text: str) -> dict[str, str]:
    """What a user says that classes count as: ``Krebs=IDC, Fat=healthy, Fold=ignored``."""
    return classes.changes(text, CLASSES)


def read_training_folder(folder: Path, *, classes: Mapping[str, str] | None = None) -> PatchFolder:
    """Read a folder of patches, or of slides with annotations.

    Parameters
    ----------
    classes
        Class -> ``IDC``, ``healthy`` or ``ignored``, where that differs from `CLASS_KINDS`.

    Raises
    ------
    DataFolderError
        If it holds neither.
    """
    stores = annotated_slides(folder) if folder.is_dir() else []
    skipped = [
        f"{file}: no slide of its name lies beside it; call it SLIDE{file.suffix.lower()}"
        for file in _of_no_slide(folder, stores)
    ]
    if not stores:
        try:
            return read_patches(folder)
        except DataFolderError as error:
            raise (DataFolderError(skipped[0]) if skipped else error) from error
    parts = []
    for store in stores:
        try:
            parts.append(read_annotated(store.image, store.path, classes=classes))
        except PathoganError as error:
            skipped.append(f"{store.image}: {error}")
    if not parts:
        msg = f"no slide in {folder} could be used; the first: {skipped[0]}"
        raise DataFolderError(msg)
    joined = join(parts)
    return replace(joined, skipped=(*joined.skipped, *skipped))


def annotated_slides(folder: Path) -> list[AnnotationStore]:
    """Find slides with a file of annotations beside them."""
    stores = [
        store
        for suffix in (".geojson", _GRID)
        for store in AnnotationStore.in_folder(folder, suffix)
        if store.image.exists() or store.alike
    ]
    return sorted(stores, key=lambda store: store.image)


def _of_no_slide(folder: Path, stores: Sequence[AnnotationStore]) -> list[Path]:
    """Outlines that are of no slide there; those that docks keep are others' and have names of their own."""
    used = {file for store in stores for file in (store.beside, store.by_stem)}
    return [
        file
        for file in sorted(folder.glob("*"))
        if file.suffix.lower() == ".geojson" and file not in used
        and file.with_suffix("").suffix not in _KEPT and ASIDE not in file.name
    ]  # fmt: skip


def read_annotated(
    slide: Path, annotation: Path, *, classes: Mapping[str, str] | None = None
) -> PatchFolder:
    """Cut a slide into labelled patches at 4 um/px; ``classes`` as in :func:`read_training_folder`.

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
            patches = _from_outlines(opened, annotation, classes or {})
    if not len(patches):
        msg = f"{annotation} labels no patch of {slide}"
        raise DataFolderError(msg)
    return patches


def _from_grid(slide: Slide, path: Path) -> PatchFolder:
    try:
        labels = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        msg = f"{path} is not a grid of labels ({error})"
        raise DataFolderError(msg) from error
    if labels.ndim != 2 or not np.isin(labels, (0, 1, _NO_PATCH)).all():
        msg = f"{path} is not a grid of labels: 0 healthy, 1 IDC, {_NO_PATCH} no patch"
        raise DataFolderError(msg)
    downsample = 1.0 if slide.mpp is None else MPP / slide.mpp[0]
    rows, cols = np.nonzero(labels != _NO_PATCH)
    y, x = _CORNER + PATCH_PX * rows, _CORNER + PATCH_PX * cols
    return _cut(slide, labels[rows, cols], y, x, downsample)


def _from_outlines(slide: Slide, path: Path, changes: Mapping[str, str]) -> PatchFolder:
    if slide.mpp is None:
        msg = f"{slide.name} does not say its um per px, which outlines need"
        raise UnknownScaleError(msg)
    drawn, notes = outlines_of(path, corner(slide))
    notes += beyond(slide, path.name, drawn)
    table = classes.ClassTable(CLASS_KINDS, changes)
    looked = [one for one in drawn if one.class_name == _REGION and _REGION not in changes]
    said = [one for one in drawn if one not in looked]
    counted = {one.class_name: table(one.class_name) for one in said}
    notes += [f"{slide.name}: {line}" for line in disagreements(said, counted)]
    whole = box(0, 0, slide.shape[1], slide.shape[0])
    idc = any(counted[one.class_name] == _IDC and one.geometry.intersects(whole) for one in said)
    grid = CellGrid.over(slide.shape, slide.mpp, patch_px=PATCH_PX, mpp=MPP)
    kinds = [(one, _CODES[counted[one.class_name]]) for one in said]
    share = _shares(grid, kinds)
    labels = np.full(grid.shape, UNLABELLED, np.int8)
    alone = {_HEALTHY, classes.UNKNOWN}.isdisjoint(counted.values())
    if alone and (idc or looked):  # where nothing was drawn, nobody may have looked
        rest = (
            share(_NOTHING)
            if not looked
            else share(_NOTHING) * _shares(grid, [(one, 0) for one in looked])(0)
        )
        labels[rest > 0.5] = 0
        where = f"of class {_REGION} " if looked else ""
        notes.append(f"{slide.name}: the rest of its tissue {where}counts as {_HEALTHY}")
    labels[share(0) >= 0.5] = 0
    labels[share(1) >= 0.5] = 1
    if (labels == UNLABELLED).all():
        notes.append(
            f"{slide.name}: nothing in {path.name} says what is {_IDC} or {_HEALTHY}, so none of its "
            "patches has a label; draw around some"
        )
    tissue = tissue_mask(slide).coverage(grid.origin, grid.step, grid.shape)
    rows, cols = np.nonzero((tissue >= _MIN_TISSUE) | (labels == 1))
    y, x = PATCH_PX * rows, PATCH_PX * cols
    patches = _cut(slide, labels[rows, cols], y, x, grid.downsample[0])
    return replace(patches, classes=counted, notes=tuple(notes))


def disagreements(outlines: Sequence[Annotation], counted: Mapping[str, str]) -> Iterator[str]:
    """Outlines of the two classes that overlap, neither within the other: somebody is wrong."""
    kinds = [counted[one.class_name] for one in outlines]
    shapes = np.array([one.geometry for one in outlines], object)
    tree = STRtree(shapes)
    first, second = np.concatenate([tree.query(shapes, how) for how in ("overlaps", "covers")], 1)
    alike = shapely.overlaps(shapes[first], shapes[second]) | shapely.equals(
        shapes[first], shapes[second]
    )
    pairs = [
        (a, b) for a, b in zip(first[alike], second[alike], strict=True)
        if a < b and {kinds[a], kinds[b]} == set(CLASSES)
    ]  # fmt: skip
    if pairs:
        a, b = pairs[0]
        where = shapes[a].intersection(shapes[b]).centroid
        makers = {outlines[i].by for i in (a, b)} - {""}
        by = f" (by {' and '.join(sorted(makers))})" if makers else ""
        yield (
            f"{len(pairs)} pairs of outlines say both {' and '.join(CLASSES)} of the same place, the first "
            f"at y {where.y:.0f}, x {where.x:.0f} px{by}: the smaller one counts, of two alike the later; "
            "correct one of them"
        )


def labelled_cells(
    grid: CellGrid, drawn: Sequence[Annotation], changes: Mapping[str, str]
) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """What the cells are that were drawn around, half of each at least; of others nothing is said.

    Returns
    -------
    labels, owners
        int8 and int32 (H, W): 0 healthy, 1 IDC, -1 elsewhere, and the number of the outline that
        says so, the innermost in the cell's middle or the nearest to it.
    counted
        Class -> what it counts as.
    """
    table = classes.ClassTable(CLASS_KINDS, changes)
    counted = {one.class_name: table(one.class_name) for one in drawn}
    codes = np.array([*(_CODES[counted[one.class_name]] for one in drawn), UNLABELLED])
    numbers = _painted(grid, [(one, number) for number, one in enumerate(drawn)])
    numbers[numbers == _NOTHING] = len(drawn)
    labels = np.full(grid.shape, UNLABELLED, np.int8)
    owners = np.full(grid.shape, -1, np.int32)
    for label in range(len(CLASSES)):
        says = codes[numbers] == label
        here = says.mean((1, 3)) >= 0.5
        labels[here] = label
        inside = np.moveaxis(np.where(says, numbers, -1), 1, 2).reshape(*grid.shape, -1)
        inside = inside[..., np.argsort(np.abs(np.arange(_POINTS**2) - _POINTS**2 // 2))]
        first = np.take_along_axis(inside, (inside >= 0).argmax(-1)[..., None], -1)[..., 0]
        owners[here] = first[here]
    return labels, owners, counted


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


def _shares(grid: CellGrid, drawn: list[tuple[Annotation, int]]) -> Callable[[int], np.ndarray]:
    """What gives the share (H, W) of each cell whose innermost outline is of a code."""
    codes = _painted(grid, drawn)

    def share(code: int) -> np.ndarray:
        found: np.ndarray = (codes == code).mean((1, 3))
        return found

    return share


def _painted(grid: CellGrid, drawn: list[tuple[Annotation, int]]) -> np.ndarray:
    """The code of the innermost outline at points of each cell: int32 (H, 5, W, 5)."""
    offsets = (np.arange(_POINTS) + 0.5) / _POINTS
    rows = grid.origin[0] + (np.arange(grid.shape[0])[:, None] + offsets).ravel() * grid.step[0]
    cols = grid.origin[1] + (np.arange(grid.shape[1])[:, None] + offsets).ravel() * grid.step[1]
    codes = np.full((len(rows), len(cols)), _NOTHING, np.int32)
    for one, code in sorted(drawn, key=lambda pair: -pair[0].geometry.area):
        left, top, right, bottom = one.geometry.bounds
        y, x = (
            slice(*np.searchsorted(rows, (top, bottom))),
            slice(*np.searchsorted(cols, (left, right))),
        )
        points = np.stack(np.meshgrid(rows[y], cols[x], indexing="ij"), -1)
        held = contains(points.reshape(-1, 2), [one.geometry]).reshape(points.shape[:2])
        codes[y, x][held] = code
    return codes.reshape(grid.shape[0], _POINTS, grid.shape[1], _POINTS)

"""What was saved comes back: which file holds results of ours (or QuPath's), and their layers.

Told at a glance by the first bytes of a file, or the attributes of an OME-Zarr folder.
"""

from __future__ import annotations

import csv
import re
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_pathogan.mammograms.views import is_dicom
from napari_pathogan.slides.imprint import Imprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_pathogan.plugin.viewer.placing import Find, Ground
    from napari_pathogan.tasks.idc.heatmap import HeatMap

    LayerData = tuple[Any, dict[str, Any], str]

RESULT_SUFFIXES = {".geojson", ".json", ".csv", ".parquet", ".h5ad"}
_HEAD = 1 << 16  # bytes that are looked at
_GEOJSON = re.compile(
    rb'"type"\s*:\s*"(FeatureCollection|Feature|GeometryCollection|(Multi)?(Point|LineString|Polygon))"'
)
_MASSES = re.compile(rb'"kind"\s*:\s*"masses"')
_PARQUET = b"PAR1"
_NUCLEI = {"id", "x_um", "y_um", "x_px", "y_px", "area_um2", "class"}


class Saved(Enum):
    """What a file holds."""

    OUTLINES = auto()
    CELLS = auto()
    NUCLEI = auto()
    BOXES = auto()
    MASSES = auto()
    MARKS = auto()
    CLASSES = auto()
    ANNOTATIONS = auto()
    SEGMENTS = auto()


_TABLES = {  # columns that only our tables have together
    Saved.CELLS: {"row", "col", "x_um", "y_um", "probability", "uncertainty", "cell_um", "slide"},
    Saved.NUCLEI: _NUCLEI,
    Saved.CLASSES: {"row", "col", "class", "probability_of", "changed_by", "cell_x_px", "slide"},
    Saved.BOXES: {"image", "mass", "score", "xmin", "ymin", "xmax", "ymax", "synthetic"},
}


def saved_in(path: Path) -> Saved | None:  # noqa: PLR0911  (one a kind)
    """What a file of results holds; None for any other. Reads its beginning only."""
    if is_dicom(path):
        from napari_pathogan.engine import dicom_objects  # noqa: PLC0415  (pydicom)
        from napari_pathogan.tasks.masses.dicom_marks import holds_marks  # noqa: PLC0415

        kind = dicom_objects.kind_of(path)
        if kind == dicom_objects.ANNOTATIONS:
            return Saved.ANNOTATIONS
        if kind == dicom_objects.SEGMENTATION:
            return Saved.SEGMENTS
        return Saved.MARKS if holds_marks(path) else None
    suffix = path.suffix.lower()
    if suffix not in RESULT_SUFFIXES or not path.is_file():
        return None
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    match suffix:
        case ".geojson":
            return Saved.OUTLINES
        case ".json":
            other = Saved.OUTLINES if _GEOJSON.search(head) else None
            return Saved.MASSES if _MASSES.search(head) else other
        case ".h5ad":
            return Saved.NUCLEI if _is_anndata(path) else None
        case ".parquet":
            ours = head.startswith(_PARQUET) and _columns(path) >= _NUCLEI
            return Saved.NUCLEI if ours else None
        case _:
            columns = _header(head)
            return next((kind for kind, needed in _TABLES.items() if columns >= needed), None)


def is_layer_table(path: Path) -> bool:
    """Whether a file is a table of points or shapes as napari itself saves them."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with path.open("rb") as stream:
        return _header(stream.read(_HEAD)) >= {"axis-0", "axis-1"}


def layers_in(path: Path, kind: Saved) -> list[LayerData]:  # noqa: C901, PLR0911  (one a kind)
    """The layers of a file of results, on the image they belong to once that is open.

    Raises
    ------
    ResultFormatError, DataFolderError
        If the file is damaged or incomplete.
    """
    from napari_pathogan.plugin.viewer import placing, results  # noqa: PLC0415  (slow to import)

    match kind:
        case Saved.OUTLINES:
            return _outlines(path)
        case Saved.CELLS:
            from napari_pathogan.tasks.idc import export as idc  # noqa: PLC0415

            return _heat_map(path, idc.read_csv(path))
        case Saved.CLASSES:
            from napari_pathogan.tasks.virtual_stain.g2c import export as g2c  # noqa: PLC0415

            classes = g2c.read_csv(path)
            find = partial(
                placing.on_slide, name=classes.slide, mpp=classes.mpp, imprint=classes.imprint
            )
            return _laid(path, find, partial(results.class_layers, classes), classes.slide)
        case Saved.NUCLEI:
            from napari_pathogan.tasks.nuclei import export as nuclei  # noqa: PLC0415
            from napari_pathogan.tasks.nuclei import scverse  # noqa: PLC0415

            read = scverse.read if path.suffix.lower() == scverse.SUFFIX else nuclei.read_table
            table, about = read(path)
            find = partial(
                placing.on_slide,
                name=about["slide"],
                mpp=about["mpp"],
                imprint=Imprint.read(about.get("imprint")),
            )
            return _laid(path, find, partial(results.table_layers, table, about), about["slide"])
        case Saved.BOXES:
            from napari_pathogan.tasks.masses import export as masses  # noqa: PLC0415

            layers = []
            for boxes in masses.read_csv(path):
                find = partial(placing.on_mammogram, name=boxes.name, imprint=boxes.imprint)
                make = partial(results.box_layers, boxes)
                layers += _laid(path, find, make, boxes.name)
            return layers
        case Saved.MASSES:
            from napari_pathogan.tasks.masses.detections import read_json  # noqa: PLC0415

            found = read_json(path)
            find = partial(
                placing.on_mammogram,
                name=found.name,
                mm_per_px=found.mm_per_px,
                imprint=found.imprint or Imprint(found.shape),
            )
            return _laid(path, find, partial(results.mass_layers, found), found.name)
        case Saved.MARKS:
            from napari_pathogan.tasks.masses.dicom_marks import read_marks  # noqa: PLC0415

            drawn = read_marks(path)
            find = partial(placing.on_dicom, instance=drawn.image)
            make = partial(results.mark_layers, drawn, path.name)
            return _laid(path, find, make, "a DICOM image")
        case Saved.ANNOTATIONS:
            from napari_pathogan.engine.dicom_objects import read_annotations  # noqa: PLC0415

            outlines = read_annotations(path)
            find = partial(placing.on_dicom_slide, series=outlines.series, image=outlines.image)
            make = partial(results.annotation_layers, outlines, path.name)
            return _laid(path, find, make, "a DICOM slide")
        case Saved.SEGMENTS:
            from napari_pathogan.engine.dicom_objects import read_segments  # noqa: PLC0415

            segments = read_segments(path)
            find = partial(placing.on_dicom_slide, series=segments.series, place=segments.place)
            make = partial(results.segment_layers, segments, path.name)
            return _laid(path, find, make, "a DICOM slide")


def zarr_layers(path: Path) -> list[LayerData] | None:
    """The layers of an OME-Zarr folder that is no slide: results, or any grey images.

    None for a colour image, which is a slide, for channels in one plane, and for an array by itself.

    Raises
    ------
    SlideFormatError, ResultFormatError
        If the folder is incomplete.
    """
    from napari_pathogan.slides.backends.ngff import is_bare_picture, read_multiscales  # noqa: PLC0415

    if is_bare_picture(path):
        return None
    images, attributes = read_multiscales(path)
    about = attributes.get("pathogan")
    kind = about.get("kind") if isinstance(about, dict) else None
    if kind == "IDC heat map":
        from napari_pathogan.tasks.idc import export as idc  # noqa: PLC0415

        return _heat_map(path, idc.read_zarr(path))
    if kind == "doubt of a virtual stain":
        from napari_pathogan.plugin.viewer import placing, results  # noqa: PLC0415  (slow to import)
        from napari_pathogan.tasks.virtual_stain.doubt import read_zarr  # noqa: PLC0415

        doubt = read_zarr(path)
        find = partial(placing.on_slide, name=doubt.slide, mpp=doubt.mpp, imprint=doubt.imprint)
        return _laid(path, find, partial(results.doubt_layers, doubt), doubt.slide)
    if kind == "nuclei":
        from napari_pathogan.plugin.viewer import placing, results  # noqa: PLC0415  (slow to import)
        from napari_pathogan.tasks.nuclei import export as nuclei  # noqa: PLC0415

        labels = nuclei.read_zarr(path)
        slide = str(labels.about.get("slide", ""))
        find = partial(
            placing.on_slide,
            name=slide,
            mpp=labels.mpp,
            imprint=Imprint.read(labels.about.get("imprint")),
        )
        return _laid(path, find, partial(results.label_layers, labels), slide)
    if images[0].in_one_plane:
        return None
    from napari_pathogan.plugin.viewer.results import multiscale_layer  # noqa: PLC0415
    from napari_pathogan.slides.names import short  # noqa: PLC0415

    names = [f"{one.name} ({short(path.name)})" for one in images]
    names = [path.name] if len(images) == 1 else names
    return [multiscale_layer(*pair) for pair in zip(images, names, strict=True)]


def _heat_map(path: Path, heat: HeatMap) -> list[LayerData]:
    from napari_pathogan.plugin.viewer import placing, results  # noqa: PLC0415  (slow to import)

    find = partial(placing.on_slide, name=heat.slide, mpp=heat.mpp, imprint=heat.imprint)
    return _laid(path, find, partial(results.heat_map_layers, heat), heat.slide)


def _outlines(path: Path) -> list[LayerData]:
    from napari_pathogan.annotations import geojson  # noqa: PLC0415
    from napari_pathogan.plugin.viewer import placing, results  # noqa: PLC0415
    from napari_pathogan.slides import resolution  # noqa: PLC0415
    from napari_pathogan.slides.names import of_image  # noqa: PLC0415
    from napari_pathogan.tasks.masses import annotated as masses  # noqa: PLC0415
    from napari_pathogan.tasks.nuclei.annotated import SUFFIX  # noqa: PLC0415

    features, about = geojson.read(path)
    name, image, find = (
        path.stem,
        str(about.get("slide") or (path.name.removesuffix(SUFFIX) if "grid" in about else "")),
        partial(placing.on_some_slide, path=path),
    )
    if not about:
        find = partial(placing.from_corner, find)
    size, imprint = about.get("mpp"), Imprint.read(about.get("imprint"))
    if about.get("kind") == masses.KIND:
        image = path.name.removesuffix(masses.SUFFIX)
        if imprint is None and isinstance(about.get("shape"), list):
            imprint = Imprint.read("x".join(map(str, about["shape"])))
        find = partial(placing.on_mammogram, name=image, imprint=imprint)
    elif image:
        mpp = resolution.positive(*size) if isinstance(size, list) and len(size) == 2 else None
        find = partial(placing.on_slide, name=image, mpp=mpp, imprint=imprint)
        words = {"IDC heat map": "IDC outlines", "nuclei": "Nuclei"}
        name = of_image(words.get(str(about.get("kind")), "Outlines"), image)
    return _laid(path, find, partial(results.outline_layers, features, about, name), image)


def _laid(
    path: Path, find: Find, make: Callable[[Ground], list[LayerData]], image: str
) -> list[LayerData]:
    """Layers on their image, or waiting for it; the user is told which.

    Parameters
    ----------
    image
        What the image is called; empty where the file does not say.
    """
    from napari import current_viewer  # noqa: PLC0415  (slow to import)
    from napari.utils.notifications import show_info, show_warning  # noqa: PLC0415

    from napari_pathogan.plugin.viewer.placing import (  # noqa: PLC0415
        await_image,
        beside_images,
        not_laid,
    )

    viewer = current_viewer()
    ground = find(viewer)
    if ground.layer is None:
        ground = beside_images(viewer, ground)
    layers = make(ground)
    if ground.layer is None:
        await_image(viewer, layers, find, ground.beside)
        if ground.namesake is not None:
            show_warning(
                f"{not_laid(path.name, ground)}. It will move to its own once that is open"
            )
            return layers
        which = f"{image}, which" if image else "a slide that it does not name and that"
        show_info(f"{path.name} belongs to {which} is not open: it will move there once it is")
    elif ground.alike > 1:
        show_info(
            f"{ground.alike} open images are called {image}: {path.name} lies on the one named "
            f"{ground.layer.name}; to lay it on another, select that and open the file again"
        )
    elif not image:
        show_info(
            f"{path.name} does not name its slide: it lies on {ground.layer.name}, pixel on pixel"
        )
    return layers


def _header(head: bytes) -> set[str]:
    """The columns that the first line of a table names."""
    line = head.decode("utf-8-sig", errors="replace").partition("\n")[0]
    return set(next(csv.reader([line.strip()]), []))


def _is_anndata(path: Path) -> bool:
    """Whether a file is AnnData of nuclei that was saved here; damaged ones are not."""
    from napari_pathogan.tasks.nuclei import scverse  # noqa: PLC0415  (slow to import)

    try:
        return scverse.is_own(path)
    except (OSError, KeyError, ValueError, TypeError):
        return False


def _columns(path: Path) -> set[str]:
    """Columns of a Parquet file; none where it can't be read."""
    import pyarrow as pa  # noqa: PLC0415  (slow to import)
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        return set(pq.read_schema(path).names)
    except (OSError, pa.ArrowException):
        return set()

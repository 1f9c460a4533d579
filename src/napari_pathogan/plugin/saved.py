"""What was saved comes back: which file holds results of ours (or QuPath's), and their layers.

Told at a glance by the first bytes of a file, or the attributes of an OME-Zarr folder.
"""

from __future__ import annotations

import csv
import re
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from napari_pathogan.slides.views import is_dicom

if TYPE_CHECKING:
    from pathlib import Path

    LayerData = tuple[Any, dict[str, Any], str]

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


_TABLES = {  # columns that only our tables have together
    Saved.CELLS: {"row", "col", "x_um", "y_um", "probability", "uncertainty", "cell_um", "slide"},
    Saved.NUCLEI: _NUCLEI,
    Saved.BOXES: {"image", "mass", "score", "xmin", "ymin", "xmax", "ymax"},
}


def saved_in(path: Path) -> Saved | None:
    """What a file of results holds; None for any other. Reads its beginning only."""
    if is_dicom(path):
        from napari_pathogan.masses.dicom_marks import holds_marks  # noqa: PLC0415  (pydicom)

        return Saved.MARKS if holds_marks(path) else None
    suffix = path.suffix.lower()
    if suffix not in {".geojson", ".json", ".csv", ".parquet"} or not path.is_file():
        return None
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    match suffix:
        case ".geojson":
            return Saved.OUTLINES
        case ".json":
            other = Saved.OUTLINES if _GEOJSON.search(head) else None
            return Saved.MASSES if _MASSES.search(head) else other
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


def layers_in(path: Path, kind: Saved) -> list[LayerData]:
    """The layers of a file of results, on the image they belong to if that is open.

    Raises
    ------
    ResultFormatError, DataFolderError
        If the file is damaged or incomplete.
    """
    from napari import current_viewer  # noqa: PLC0415  (slow to import)

    from napari_pathogan.plugin import placing, results  # noqa: PLC0415

    viewer = current_viewer()
    match kind:
        case Saved.OUTLINES:
            return _outlines(path)
        case Saved.CELLS:
            from napari_pathogan.idc import export as idc  # noqa: PLC0415

            heat = idc.read_csv(path)
            return results.heat_map_layers(heat, placing.on_slide(viewer, heat.slide, heat.mpp))
        case Saved.NUCLEI:
            from napari_pathogan.nuclei import export as nuclei  # noqa: PLC0415

            table, about = nuclei.read_table(path)
            ground = placing.on_slide(viewer, about["slide"], about["mpp"])
            return results.table_layers(table, about, ground)
        case Saved.BOXES:
            from napari_pathogan.masses import export as masses  # noqa: PLC0415

            boxes = masses.read_csv(path)
            grounds = [placing.on_mammogram(viewer, one.name) for one in boxes]
            _say_where(path, grounds)
            return [results.box_layer(*pair) for pair in zip(boxes, grounds, strict=True)]
        case Saved.MASSES:
            from napari_pathogan.masses.detections import read_json  # noqa: PLC0415

            found = read_json(path)
            ground = placing.on_mammogram(viewer, found.name, found.mm_per_px, found.shape)
            _say_where(path, [ground])
            return results.mass_layers(found, ground)
        case Saved.MARKS:
            from napari_pathogan.masses.dicom_marks import read_marks  # noqa: PLC0415

            drawn = read_marks(path)
            ground = placing.on_dicom(viewer, drawn.image)
            _say_where(path, [ground])
            return results.mark_layers(drawn, path.name, ground)


def zarr_layers(path: Path) -> list[LayerData] | None:
    """The layers of an OME-Zarr folder that is no slide: results, or any grey images.

    None for a colour image, which is a slide.

    Raises
    ------
    SlideFormatError, ResultFormatError
        If the folder is incomplete.
    """
    from napari_pathogan.slides.ngff import read_multiscales  # noqa: PLC0415

    images, attributes = read_multiscales(path)
    about = attributes.get("pathogan")
    kind = about.get("kind") if isinstance(about, dict) else None
    if kind is None and images[0].is_colour:
        return None

    from napari import current_viewer  # noqa: PLC0415  (slow to import)

    from napari_pathogan.plugin import placing, results  # noqa: PLC0415

    viewer = current_viewer()
    if kind == "IDC heat map":
        from napari_pathogan.idc import export as idc  # noqa: PLC0415

        heat = idc.read_zarr(path)
        return results.heat_map_layers(heat, placing.on_slide(viewer, heat.slide, heat.mpp))
    if kind == "nuclei":
        from napari_pathogan.nuclei import export as nuclei  # noqa: PLC0415

        labels = nuclei.read_zarr(path)
        ground = placing.on_slide(viewer, str(labels.about.get("slide", "")), labels.mpp)
        return results.label_layers(labels, ground)
    stem = placing.short(path.name)
    names = [path.name] if len(images) == 1 else [f"{one.name} ({stem})" for one in images]
    return [results.multiscale_layer(*pair) for pair in zip(images, names, strict=True)]


def _outlines(path: Path) -> list[LayerData]:
    from napari import current_viewer  # noqa: PLC0415  (slow to import)
    from napari.utils.notifications import show_info  # noqa: PLC0415

    from napari_pathogan.masses import annotated as masses  # noqa: PLC0415
    from napari_pathogan.plugin import placing, results  # noqa: PLC0415
    from napari_pathogan.slides import geojson, resolution  # noqa: PLC0415

    features, about = geojson.read(path)
    viewer = current_viewer()
    name, slide = path.stem, str(about.get("slide") or "")
    size = about.get("mpp")
    mpp = resolution.positive(*size) if isinstance(size, list) and len(size) == 2 else None
    if about.get("kind") == masses.KIND:
        ground = placing.on_mammogram(viewer, path.name.removesuffix(masses.SUFFIX))
        _say_where(path, [ground])
    elif slide:
        ground = placing.on_slide(viewer, slide, mpp)
        words = {"IDC heat map": "IDC outlines", "nuclei": "Nuclei"}
        name = f"{words.get(str(about.get('kind')), 'Outlines')} ({placing.short(slide)})"
    else:  # QuPath's: pixels of a slide that it does not name
        ground = placing.on_some_slide(viewer, path)
        if ground.layer is not None:
            show_info(f"{path.name} lies on {ground.layer.name}, pixel on pixel")
        else:
            show_info(
                f"{path.name} counts in pixels of its slide: open the slide first, then this file, "
                "and it lies on it"
            )
    return results.outline_layers(features, about, name, ground)


def _say_where(path: Path, grounds: list[Any]) -> None:
    from napari.utils.notifications import show_info  # noqa: PLC0415  (slow to import)

    if any(ground.layer is None for ground in grounds):
        show_info(
            f"{path.name} belongs to an image that is not open: open the image first, then this "
            "file, and it lies on it"
        )


def _header(head: bytes) -> set[str]:
    """The columns that the first line of a table names."""
    line = head.decode("utf-8-sig", errors="replace").partition("\n")[0]
    return set(next(csv.reader([line.strip()]), []))


def _columns(path: Path) -> set[str]:
    """Columns of a Parquet file; none where it can't be read."""
    import pyarrow as pa  # noqa: PLC0415  (slow to import)
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        return set(pq.read_schema(path).names)
    except (OSError, pa.ArrowException):
        return set()

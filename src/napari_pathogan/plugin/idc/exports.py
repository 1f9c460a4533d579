"""What a heat map can be saved as, and saving it in the background."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from napari_pathogan.engine.events import Event, Finished, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.idc.heatmap import HeatMap


class Export(Enum):
    """Formats: suffix, and what the menu says."""

    ZARR = (".ome.zarr", "Heat map (OME-Zarr)…")
    GEOJSON = (".geojson", "Outlines for QuPath (GeoJSON)…")
    CSV = (".csv", "Table of all cells (CSV)…")
    REPORT = (".png", "Report page (PNG)…")

    def __init__(self, suffix: str, title: str) -> None:
        self.suffix = suffix
        self.title = title


def saving(kind: Export, heat: HeatMap, slide: Slide, path: Path) -> Iterator[Event]:
    """Save a heat map; the suffix is added where it is missing. Finishes with the path."""
    from napari_pathogan.tasks.idc import export, page  # noqa: PLC0415  (matplotlib is slow to import)

    if not path.name.lower().endswith(kind.suffix):
        path = path.with_name(path.name + kind.suffix)
    yield Progress(0, 0, f"saving {path.name}")
    match kind:
        case Export.ZARR:
            export.write_zarr(path, heat)
        case Export.GEOJSON:
            export.write_geojson(path, heat)
        case Export.CSV:
            export.write_csv(path, heat)
        case Export.REPORT:
            page.write_report(path, heat, slide)
    yield Finished(path)

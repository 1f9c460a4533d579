"""What nuclei can be saved as, and saving them in the background."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_pathogan.tasks.nuclei.segmentation import Segmentation


class NucleiExport(Enum):
    """Formats: suffix, and what the menu says."""

    ZARR = (".ome.zarr", "Labels (OME-Zarr)…")
    CSV = (".csv", "Table of all nuclei (CSV)…")
    PARQUET = (".parquet", "Table of all nuclei (Parquet)…")
    GEOJSON = (".geojson", "Outlines for QuPath (GeoJSON)…")

    def __init__(self, suffix: str, title: str) -> None:
        self.suffix = suffix
        self.title = title


def saving(kind: NucleiExport, segmentation: Segmentation, path: Path) -> Iterator[Event]:
    """Save nuclei; the suffix is added where it is missing. Finishes with the path."""
    ready_for_torch()
    from napari_pathogan.tasks.nuclei import export  # noqa: PLC0415

    if not path.name.lower().endswith(kind.suffix):
        path = path.with_name(path.name + kind.suffix)
    yield Progress(0, 0, f"saving {path.name}")
    match kind:
        case NucleiExport.ZARR:
            export.write_zarr(path, segmentation)
        case NucleiExport.CSV:
            export.write_csv(path, segmentation)
        case NucleiExport.PARQUET:
            export.write_parquet(path, segmentation)
        case NucleiExport.GEOJSON:
            export.write_geojson(path, segmentation)
    yield Finished(path)

"""Nuclei as AnnData, which scanpy, squidpy and napari-spatialdata take; needs anndata (extra ``scverse``)."""

from __future__ import annotations

import json
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pathogan.errors import EnvironmentMismatchError
from napari_pathogan.files import written
from napari_pathogan.kinds import MARK, FileKind
from napari_pathogan.tasks.nuclei.export import KIND, as_saved, attributes, reading_nuclei

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd

    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.nuclei.segmentation import Segmentation

SUFFIX = ".h5ad"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_MEASURED = ["area_um2", "eccentricity", "solidity", "haematoxylin_mean"]
_SPATIAL, _PIXELS = "spatial", "spatial_px"  # places of nuclei: um, as distances are, and pixels


def is_own(path: Path) -> bool:
    """Whether a file is AnnData that :func:`write` wrote; False where h5py is missing, which came with it."""
    if path.suffix.lower() != SUFFIX or not path.is_file():
        return False
    with path.open("rb") as stream:
        if stream.read(len(_HDF5)) != _HDF5:
            return False
    try:
        import h5py  # noqa: PLC0415  (an extra)
    except ImportError:
        return False
    with h5py.File(path) as file:
        return bool(json.loads(file[f"uns/{MARK}"][()])["kind"] == KIND)


ANNDATA = FileKind(f"{KIND}, AnnData", SUFFIX, is_own)


def lacks(_source: Slide) -> str:
    """Why nothing can be saved as AnnData, in a few words; empty if it can."""
    return (
        "" if find_spec("anndata") else "needs anndata, uv pip install 'napari-pathogan[scverse]'"
    )


def write(path: Path, segmentation: Segmentation) -> None:
    """Write the table as AnnData (h5ad), an observation a nucleus.

    ``X`` holds area, eccentricity, solidity and haematoxylin, ``obs`` these and the other columns of the
    table, ``obsm["spatial"]`` x, y in um and ``obsm["spatial_px"]`` in level-0 pixels,
    ``uns["class_colors"]`` the colours of the classes, and ``uns["pathogan"]`` what was done, as JSON.

    Raises
    ------
    EnvironmentMismatchError
        If anndata is not installed.
    OutputError
        If it can't be written.
    """
    with _needing_anndata():
        from anndata import AnnData  # noqa: PLC0415  (an extra)
    import pandas as pd  # noqa: PLC0415  (slow to import)

    table = segmentation.table
    obs = table.drop(columns="id")
    obs.index = pd.Index(table["id"].astype(str).to_numpy(object), name="id")
    obs.columns = [str(column) for column in obs.columns]
    found = AnnData(
        X=table[_MEASURED].to_numpy(np.float32),
        obs=obs,
        var=pd.DataFrame(index=pd.Index(_MEASURED, dtype=object)),
        obsm={
            _SPATIAL: table[["x_um", "y_um"]].to_numpy(float),
            _PIXELS: table[["x_px", "y_px"]].to_numpy(float),
        },
        uns={
            "class_colors": np.array(segmentation.class_colours, dtype=object),
            MARK: json.dumps(attributes(segmentation)),
        },
    )
    with written(path, ANNDATA) as beside:
        found.write_h5ad(beside, compression="gzip")


def read(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table that :func:`write` wrote, and what it says of itself, as :func:`.export.read_table`.

    Raises
    ------
    EnvironmentMismatchError
        If anndata is not installed.
    ResultFormatError
        If it is damaged or something else.
    """
    with _needing_anndata():
        from anndata import read_h5ad  # noqa: PLC0415  (an extra)
    with reading_nuclei(path):
        found = read_h5ad(path)
        table = found.obs.copy()
        table.insert(0, "id", found.obs_names.astype(np.int64))
        return as_saved(table.reset_index(drop=True), json.loads(found.uns[MARK]))


@contextmanager
def _needing_anndata() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        msg = (
            "AnnData needs anndata, which can't be loaded: uv pip install 'napari-pathogan[scverse]', or "
            "use Parquet"
        )
        raise EnvironmentMismatchError(msg) from error

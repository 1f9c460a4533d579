"""napari writer: a heat map's layer as OME-Zarr, laid on its slide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_pathogan.errors import OutputError


def write_heat_map(path: str, _data: Any, meta: dict[str, Any]) -> list[str]:  # noqa: ANN401
    """Save the whole heat map that a layer belongs to (probability, uncertainty, tissue).

    Raises
    ------
    OutputError
        If the layer is no heat map, or it can't be written.
    """
    from napari_pathogan.tasks.idc.export import write_zarr  # noqa: PLC0415  (slow to import)

    heat = meta.get("metadata", {}).get("heat_map")
    if heat is None:
        msg = f"{meta.get('name', 'this layer')} is no PathoGAN heat map; save it in another format"
        raise OutputError(msg)
    write_zarr(Path(path), heat)
    return [path]

"""napari writer: a heat map's layer, or a map of doubt, as OME-Zarr, laid on its slide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_pathogan.errors import OutputError

_DOCKS = {"stain_slide": "Stain transfer", "virtual_stain_slide": "Virtual stains"}


def write_heat_map(path: str, _data: Any, meta: dict[str, Any]) -> list[str]:  # noqa: ANN401
    """Save the whole heat map that a layer belongs to (probability, uncertainty, tissue), or a map of doubt.

    Raises
    ------
    OutputError
        If the layer is neither, or it can't be written. A view in other colours, or in a virtual stain, is as
        large as its slide and computed as one looks: the docks save it in the background.
    """
    from napari_pathogan.tasks.idc import export as idc  # noqa: PLC0415  (slow to import)
    from napari_pathogan.tasks.virtual_stain import doubt  # noqa: PLC0415

    known = meta.get("metadata", {})
    if (heat := known.get("heat_map")) is not None:
        idc.write_zarr(Path(path), heat)
    elif (found := known.get("doubt_map")) is not None:
        doubt.write_zarr(Path(path), found)
    elif dock := next((title for key, title in _DOCKS.items() if key in known), ""):
        saved = getattr(known.get("slide"), "path", None)
        msg = f"{meta.get('name', 'this layer')} is saved by Export in the dock {dock} (Plugins > PathoGAN)"
        if saved is not None:
            msg = f"{meta.get('name', 'this layer')} lies in {saved.name} already: copy that"
        raise OutputError(msg)
    else:
        msg = f"{meta.get('name', 'this layer')} is no PathoGAN heat map; save it in another format"
        raise OutputError(msg)
    return [path]

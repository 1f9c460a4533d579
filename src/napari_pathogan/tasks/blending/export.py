"""A folder of synthetic mammograms, in the form that detectors are trained from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.engine.models import package_versions
from napari_pathogan.tasks.blending.synthesise import synthesise
from napari_pathogan.tasks.masses.data import MassImage, write_mass_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_pathogan.tasks.blending.blend import Method
    from napari_pathogan.tasks.blending.model import BlendModel
    from napari_pathogan.tasks.masses.data import MassFolder

CARD = "synthetic.json"
_NOTE = (
    "Synthetic: masses were put into these mammograms by software. Research use only; the terms "
    "of the images they were made from apply. Not for diagnosis, and not to be passed off as real."
)


def write_synthetic(
    folder: MassFolder,
    path: Path,
    n: int,
    *,
    method: Method,
    seed: int = 0,
    model: BlendModel | None = None,
) -> Iterator[Event]:
    """Write ``n`` synthetic mammograms: images/, masks/, images.csv, boxes.csv, synthetic.json.

    ``images.csv`` says ``synthetic`` of each, and so does the text of each PNG; ``synthetic.json``
    says how each was made.

    Yields
    ------
    Progress an image, and Finished with the folder.

    Raises
    ------
    OutputError
        If it can't be written, or there is something at ``path`` already.
    As :func:`.synthesise.synthesise`.
    """
    made: dict[str, Any] = {}
    about = {"synthetic": True, "note": _NOTE, "method": method, "seed": seed}
    if model is not None:
        about |= {"model": model.card.name, "sha256": model.card.sha256}
    about |= {"versions": package_versions(), "images": made}
    with write_mass_folder(path, {CARD: about}) as add:
        for one in synthesise(folder, n, method=method, seed=seed, model=model):
            source = one.source
            name = f"synthetic_{method}_seed{seed}_{len(made):04d}"
            where = (str(folder.laterality[source]), str(folder.view[source]))
            add(
                MassImage(
                    name, str(folder.patients[source]), one.image, one.boxes, one.mask, *where
                )
            )
            made[f"{name}.png"] = {
                "healthy": folder.files[source].name,
                "lesion": one.lesion,
                "scale": round(one.scale, 3),
                "angle": round(one.angle, 1),
            }
            yield Progress(len(made), n, f"image {len(made)} of {n}")
    yield Finished(path, {"folder": str(path), "n": n, "method": method, "synthetic": True})

"""What findings can be saved as, and saving them in the background."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.errors import OutputError
from napari_pathogan.files import check
from napari_pathogan.tasks.masses import export
from napari_pathogan.tasks.masses.detections import JSON, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_pathogan.kinds import FileKind
    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.tasks.masses.detections import Detections


class MassExport(Enum):
    """Formats: suffix, what the menu says, and what is replaced."""

    JSON = (".json", "Boxes, outlines, scores (JSON)…", JSON)
    CSV = (".csv", "Table (CSV)…", export.CSV)
    SR = (".dcm", "Report for an archive (DICOM SR)…", export.SR)
    GSPS = (".gsps.dcm", "Drawn over the image in an archive (DICOM GSPS)…", export.GSPS)

    def __init__(self, suffix: str, title: str, replaced: FileKind) -> None:
        self.suffix = suffix
        self.title = title
        self.replaced = replaced


def saving(
    kind: MassExport, found: Sequence[tuple[Mammogram, Detections]], path: Path
) -> Iterator[Event]:
    """Save findings, a file a view: ``masses.json``, or ``masses-RCC.json`` and so on for several.

    The suffix is added where it is missing. Finishes with the paths.

    Raises
    ------
    OutputError
        If one of them can't be written; nothing is then written, as far as that is known before.
    """
    stem = path.name.removesuffix(kind.suffix)
    names = [stem] if len(found) == 1 else _names(stem, [one.name for one, _ in found])
    paths = [path.with_name(name + kind.suffix) for name in names]
    for target in paths:
        check(target, kind.replaced)
    for done, (target, (mammogram, findings)) in enumerate(zip(paths, found, strict=True)):
        yield Progress(done, len(paths), f"saving {target.name}")
        match kind:
            case MassExport.JSON:
                write_json(target, findings)
            case MassExport.CSV:
                export.write_csv(target, findings)
            case MassExport.SR:
                export.write_sr(target, findings, image_file(mammogram))
            case MassExport.GSPS:
                export.write_gsps(target, findings, mammogram)
    yield Finished(paths)


def image_file(mammogram: Mammogram) -> Path:
    """The file of a mammogram.

    Raises
    ------
    OutputError
        If it is none.
    """
    if mammogram.path is None:
        msg = f"{mammogram.name} is no file, which a DICOM SR refers to; save JSON"
        raise OutputError(msg)
    return mammogram.path


def _names(stem: str, views: Sequence[str]) -> list[str]:
    """A name a view; the second of one name is numbered."""
    names: list[str] = []
    for view in views:
        own = f"{stem}-{view.replace(': ', '-')}"  # "1: RCC" where several examinations are open
        name, count = own, 1
        while name in names:
            count += 1
            name = f"{own}-{count}"
        names.append(name)
    return names

"""Images with what is there and what was found: what every figure and curve is worked out from.

A run keeps it as ``scored.json``, so that curves of several runs can be drawn later.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from napari_pathogan.engine.patients import pseudonym
from napari_pathogan.errors import DataFolderError
from napari_pathogan.files import write_text
from napari_pathogan.kinds import record
from napari_pathogan.tasks.masses.froc import Hits, judge

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_pathogan.tasks.masses.data import MassFolder
    from napari_pathogan.tasks.masses.detections import Detections

SCORED = "scored.json"
KIND = "scored masses"
JSON = record(KIND)


@dataclass(frozen=True, eq=False)
class Scored:
    """Images of several patients, their masses, and what a detector found in them.

    Images and patients have pseudonyms where this was read from a file, but in files of older runs.

    Attributes
    ----------
    files, patients
        Str (N,).
    truth
        Of each image the boxes (m, 4) of its masses, x0, y0, x1, y1.
    boxes, scores
        Of each image what was found: (n, 4) and (n,).
    """

    files: np.ndarray
    patients: np.ndarray
    truth: tuple[np.ndarray, ...]
    boxes: tuple[np.ndarray, ...]
    scores: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, folder: MassFolder, found: Sequence[Detections]) -> Scored:
        """What was found in the images of a folder, in their order."""
        if len(folder) != len(found):
            msg = f"{len(found)} results do not belong to {len(folder)} images"
            raise ValueError(msg)
        return cls(
            np.array([file.name for file in folder.files]),
            folder.patients,
            folder.boxes,
            tuple(one.boxes for one in found),
            tuple(one.scores for one in found),
        )

    def __len__(self) -> int:
        return len(self.files)

    @cached_property
    def hits(self) -> Hits:
        """Every box judged, as :func:`napari_pathogan.tasks.masses.froc.judge`."""
        return judge(list(zip(self.boxes, self.scores, strict=True)), self.truth)

    def write(self, path: Path) -> None:
        """Write as JSON, whole or not at all.

        Raises
        ------
        OutputError
            If it can't be written.
        """
        columns = zip(self.files, self.patients, self.truth, self.boxes, self.scores, strict=True)
        images = [
            {
                "file": pseudonym(file),
                "patient": pseudonym(patient),
                "truth": _plain(truth),
                "boxes": _plain(boxes),
                "scores": [round(float(score), 6) for score in scores],
            }
            for file, patient, truth, boxes, scores in columns
        ]
        content = {"kind": KIND, "version": 1, "images": images}
        write_text(path, json.dumps(content, allow_nan=False), JSON)

    @classmethod
    def read(cls, path: Path) -> Scored:
        """Read a file, or that of a run's folder.

        Raises
        ------
        DataFolderError
            If there is none, or it is something else.
        """
        if path.is_dir():
            path /= SCORED
        try:
            record = _Record.model_validate_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            msg = (
                f"{path} can't be read ({error.strerror}); give the folder of a run of "
                "`pathogan masses train` with folds"
            )
            raise DataFolderError(msg) from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the file"
            msg = f"{path} does not hold scored masses: {place}: {first['msg']}"
            raise DataFolderError(msg) from error
        images = record.images
        return cls(
            np.array([one.file for one in images]),
            np.array([one.patient for one in images]),
            tuple(np.array(one.truth, np.float32).reshape(-1, 4) for one in images),
            tuple(np.array(one.boxes, np.float32).reshape(-1, 4) for one in images),
            tuple(np.array(one.scores, np.float32) for one in images),
        )


def _plain(boxes: np.ndarray) -> list[list[float]]:
    rounded: list[list[float]] = np.asarray(boxes, float).round(2).tolist()
    return rounded


Box = tuple[float, float, float, float]


class _Image(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    file: str
    patient: str
    truth: tuple[Box, ...]
    boxes: tuple[Box, ...]
    scores: tuple[float, ...]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Literal["scored masses"]
    version: Literal[1]
    images: tuple[_Image, ...]

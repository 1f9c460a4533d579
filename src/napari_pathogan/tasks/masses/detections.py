"""What was found in one mammogram: boxes, outlines and scores, and how large it is in mm."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_pathogan.engine.events import Event
from napari_pathogan.errors import DataFolderError
from napari_pathogan.files import write_text
from napari_pathogan.kinds import record
from napari_pathogan.mammograms.mammogram import MAGNIFICATION, RAW, said_of
from napari_pathogan.mammograms.study import examination_of
from napari_pathogan.slides.imprint import Imprint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_pathogan.mammograms.mammogram import Mammogram

KIND, VERSION = "masses", 1
SCOPE = "Looks for masses only: not for calcifications, architectural distortion or asymmetry."
JSON = record(KIND)
_PARTIAL = {  # modifiers of views that show a part of the breast, or a slice of it
    *(
        MAGNIFICATION,
        "spot compression",
        "tangential",
        "cleavage",
        "axillary tail",
        "axillary tissue",
    ),
    *("infra-mammary fold", "tomosynthesis slice", "tomosynthesis projection"),
}
_DIRECTIONS = 180
_DIGITS = 2  # of a pixel, and of a mm


@dataclass(frozen=True, eq=False)
class Detections:
    """Masses found in an image, or drawn there; nothing in it says whose image it is.

    Attributes
    ----------
    name, shape
        Of the image: what it is called, (H, W) in pixels.
    boxes
        float32 (N, 4): x0, y0, x1, y1 in pixels.
    scores
        float32 (N,) in [0, 1], falling.
    contours
        Of each mass float32 (K, 2): y, x in pixels, not closed; (0, 2) where there is only a box.
        Both count from the upper left corner of the image, so that the middle of the first pixel
        is at 0.5, 0.5.
    mm_per_px, spacing
        Size of a pixel (y, x), and what these mm are ("at detector", ...); None where nobody knows.
    threshold
        From which score on the model calls something a mass.
    model, sha256
        Name of the model and hash of its weights; "" where nobody knows.
    synthetic
        Whether the image was generated.
    scope
        What was looked for and what was not, in a sentence or two.
    imprint
        What tells the image from others of its name; None in results of earlier versions.
    laterality
        Of the breast, "L" or "R"; None where nobody knows.
    best
        The best score in the image, whatever the threshold leaves of it.
    missed
        How often masses of which size were missed where that was measured; "" where it was not.
    standard
        Whether it is a plain view for display: raw data, views of a part and slices don't count for a breast.
    examination
        Equal in images of one examination; holds in this process alone, and is not written.
    """

    name: str
    shape: tuple[int, int]
    boxes: np.ndarray
    scores: np.ndarray
    contours: tuple[np.ndarray, ...]
    mm_per_px: tuple[float, float] | None = None
    spacing: str | None = None
    threshold: float = 0.0
    model: str = ""
    sha256: str = ""
    synthetic: bool = False
    scope: str = SCOPE
    imprint: Imprint | None = None
    laterality: str | None = None
    best: float = 0.0
    missed: str = ""
    examination: object = None
    standard: bool = True

    @classmethod
    def on(
        cls,
        mammogram: Mammogram,
        boxes: np.ndarray,
        scores: np.ndarray,
        contours: Sequence[np.ndarray] = (),
        *,
        threshold: float = 0.0,
        model: str = "",
        sha256: str = "",
        scope: str = SCOPE,
        missed: str = "",
    ) -> Detections:
        """Lay what was found, in any order, on the mammogram it was found in."""
        order = np.argsort(-np.asarray(scores), kind="stable")
        outlines = list(contours) or [np.zeros((0, 2))] * len(order)
        return cls(
            mammogram.name,
            mammogram.shape,
            np.asarray(boxes, np.float32).reshape(-1, 4)[order],
            np.asarray(scores, np.float32)[order],
            tuple(np.asarray(outlines[i], np.float32).reshape(-1, 2) for i in order),
            mammogram.mm_per_px,
            mammogram.spacing,
            threshold,
            model,
            sha256,
            mammogram.synthetic,
            scope,
            mammogram.imprint,
            mammogram.laterality,
            float(np.max(scores, initial=0.0)),
            missed,
            examination_of(mammogram),
            _is_standard(mammogram),
        )

    def __len__(self) -> int:
        return len(self.scores)

    def __str__(self) -> str:
        """``1 mass, score 0.91, 14 x 11 mm at detector``; as many as the threshold lets through."""
        kept = self.at(self.threshold)
        if not len(kept):
            return f"no mass scores {self.threshold:.2f} or more"
        sizes = kept.sizes_mm()
        each = [
            f"score {score:.2f}"
            + (
                ""
                if sizes is None
                else f", {sizes[i, 0]:.0f} x {sizes[i, 1]:.0f} mm {said_of(self.spacing)}"
            )
            for i, score in enumerate(kept.scores)
        ]
        return f"{len(kept)} mass{'es' * (len(kept) != 1)}: {'; '.join(each)}"

    def at(self, threshold: float) -> Detections:
        """Those that score at least so much; the threshold is kept with them."""
        return replace(self.take(self.scores >= threshold), threshold=threshold)

    def take(self, which: np.ndarray) -> Detections:
        """Those that a mask or index picks."""
        chosen = np.arange(len(self))[which]
        return replace(
            self,
            boxes=self.boxes[chosen],
            scores=self.scores[chosen],
            contours=tuple(self.contours[i] for i in chosen),
        )

    def sizes_mm(self) -> np.ndarray | None:
        """Longest diameter of each mass and the width at right angles to it, float (N, 2).

        Measured on the outline, on the sides of the box where there is none; in mm as ``spacing``
        says (at the detector a mass seems larger than it is, by the magnification). None where
        nobody knows the size of a pixel.
        """
        return None if self.mm_per_px is None else self._extents

    @cached_property
    def _extents(self) -> np.ndarray:
        assert self.mm_per_px is not None
        angles = np.deg2rad(np.arange(_DIRECTIONS))
        directions = np.stack([np.sin(angles), np.cos(angles)])
        sizes = np.zeros((len(self), 2))
        for i, contour in enumerate(self.contours):
            if len(contour) < 3:
                x0, y0, x1, y1 = self.boxes[i]
                sides = (y1 - y0) * self.mm_per_px[0], (x1 - x0) * self.mm_per_px[1]
                sizes[i] = max(sides), min(sides)
                continue
            extents = np.ptp(contour * self.mm_per_px @ directions, axis=0)
            longest = int(extents.argmax())
            sizes[i] = extents[longest], extents[(longest + _DIRECTIONS // 2) % _DIRECTIONS]
        return sizes

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: the image, what the model was, and a record a mass."""
        sizes = self.sizes_mm()
        return {
            "kind": KIND,
            "version": VERSION,
            "image": self.name,
            "shape": list(self.shape),
            "imprint": self.imprint and str(self.imprint),
            "synthetic": self.synthetic,
            "mm_per_px": None if self.mm_per_px is None else list(self.mm_per_px),
            "spacing": self.spacing,
            "scope": self.scope,
            "missed": self.missed,
            "laterality": self.laterality,
            "best": round(self.best, 6),
            "model": self.model,
            "sha256": self.sha256,
            "threshold": self.threshold,
            "masses": [
                {
                    "score": round(float(self.scores[i]), 6),
                    "box": self.boxes[i].astype(float).round(_DIGITS).tolist(),
                    "contour": self.contours[i].astype(float).round(_DIGITS).tolist(),
                    "size_mm": None if sizes is None else sizes[i].round(_DIGITS).tolist(),
                }
                for i in range(len(self))
            ],
        }

    def to_json(self) -> str:
        """Render :meth:`to_dict`; box: x0, y0, x1, y1, contour: y, x, in pixels."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, where: str = "the text") -> Detections:
        """Read back what :meth:`to_json` wrote.

        Raises
        ------
        DataFolderError
            If it is not that, or of a newer version; ``where`` names the file in the message.
        """
        try:
            record = _Record.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the file"
            msg = f"{where} does not hold masses of version {VERSION}: {place}: {first['msg']}"
            raise DataFolderError(msg) from error
        masses = sorted(record.masses, key=lambda mass: -mass.score)
        return cls(
            record.image,
            record.shape,
            np.array([mass.box for mass in masses], np.float32).reshape(-1, 4),
            np.array([mass.score for mass in masses], np.float32),
            tuple(np.array(mass.contour, np.float32).reshape(-1, 2) for mass in masses),
            record.mm_per_px,
            record.spacing,
            record.threshold,
            record.model,
            record.sha256,
            record.synthetic,
            record.scope,
            Imprint.read(record.imprint),
            record.laterality,
            record.best,
            record.missed,
        )


@dataclass(frozen=True, slots=True, eq=False)
class ViewSearched(Event):
    """One of several views is done, the ``number``-th, and this was found in it."""

    number: int
    found: Detections


def _is_standard(mammogram: Mammogram) -> bool:
    partial = _PARTIAL.intersection(mammogram.modifiers)
    return not partial and mammogram.metadata.get("intent") != RAW


def write_json(path: Path, found: Detections) -> None:
    """Write detections as JSON, whole or not at all.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    write_text(path, found.to_json() + "\n", JSON)


def read_json(path: Path) -> Detections:
    """Read detections.

    Raises
    ------
    DataFolderError
        If the file is missing or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        msg = f"{path} can't be read ({reason}); it is what `pathogan masses detect` writes"
        raise DataFolderError(msg) from error
    return Detections.from_json(text, str(path))


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Mass(_Strict):
    score: float = Field(ge=0, le=1)
    box: tuple[float, float, float, float]
    contour: tuple[tuple[float, float], ...] = ()
    size_mm: tuple[float, float] | None = None


class _Record(_Strict):
    """The file, version 1."""

    kind: Literal["masses"]
    version: Literal[1]
    image: str
    shape: tuple[int, int]
    imprint: str | None = None
    synthetic: bool = False
    mm_per_px: tuple[float, float] | None = None
    spacing: str | None = None
    scope: str = SCOPE
    missed: str = ""
    laterality: str | None = None
    best: float = Field(default=0.0, ge=0, le=1)
    model: str = ""
    sha256: str = ""
    threshold: float = 0.0
    masses: tuple[_Mass, ...]

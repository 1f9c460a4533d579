"""Masses kept beside a mammogram as ``<file name>.masses.geojson``: reviewed, drawn, to be learned.

The file is GeoJSON in pixels of the image, from its upper left corner: each finding is a polygon
with the reader's decision, of class ``Mass``, or ``Ignore*`` where it was rejected. It says nothing
of whose image it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
from shapely import Polygon
from skimage.draw import polygon2mask

from napari_pathogan.annotations import geojson
from napari_pathogan.annotations.geojson import Annotation
from napari_pathogan.annotations.store import AnnotationStore
from napari_pathogan.engine.patients import pseudonym
from napari_pathogan.errors import DataFolderError, ResultFormatError
from napari_pathogan.kinds import OURS
from napari_pathogan.mammograms.views import named_view
from napari_pathogan.slides.imprint import Imprint
from napari_pathogan.tasks.masses.data import MassFolder, read_mass_folder
from napari_pathogan.tasks.masses.detections import SCOPE, Detections
from napari_pathogan.tasks.masses.review import Decision, Review

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_pathogan.annotations.merging import Known
    from napari_pathogan.mammograms.mammogram import Mammogram

SUFFIX = ".masses.geojson"
KIND, VERSIONS = "masses under review", (1, 2)
MASS, REJECTED = "Mass", "Ignore*"  # the second is QuPath's own
_COLOURS = {MASS: "#ff9f0a", REJECTED: "#8e8e93"}
_DIGITS = 2  # of a pixel


def store(image: Path) -> AnnotationStore:
    """Where the findings of an image are kept."""
    return AnnotationStore(image, SUFFIX)


def write(
    image: Path,
    review: Review,
    *,
    laterality: str = "",
    view: str = "",
    known: Known | None = None,
) -> Path:
    """Keep the findings of an image and what a reader says of them; returns where.

    Parameters
    ----------
    laterality, view
        "L" or "R", "CC", "MLO", ...; "" where nobody knows.
    known
        What is known of the file; as :meth:`.AnnotationStore.write` has it.

    Raises
    ------
    OutputError
        If it can't be written; what was kept before stays as it was.
    """
    about, findings = said(review, laterality, view)
    return store(image).write(lambda: findings, about, known)


def write_file(path: Path, review: Review) -> None:
    """Write findings to a file of its own, as :func:`write` keeps them and :func:`read` reads them.

    Raises
    ------
    OutputError
        If it can't be written; what was there before stays as it was.
    """
    about, findings = said(review)
    geojson.write(path, findings, about, OURS)


def said(
    review: Review, laterality: str = "", view: str = ""
) -> tuple[dict[str, Any], list[Annotation]]:
    """What a file says of its image, and its findings."""
    found = review.found
    about = found.to_dict() | {"kind": KIND, "version": VERSIONS[-1]}
    about |= {"laterality": laterality, "view": view}
    del about["masses"], about["image"]
    return about, [_annotation(found, i, one) for i, one in enumerate(review.decisions)]


def read(path: Path, mammogram: Mammogram | None = None) -> Review:
    """Read what was kept.

    Parameters
    ----------
    mammogram
        The image, to make sure that it is the one; what it is called stays open without it.

    Raises
    ------
    DataFolderError
        If the file can't be read, is something else, or of another image.
    """
    about, annotations = content(path)
    try:
        findings = sorted(map(_finding, annotations), key=lambda one: -one[2])
        height, width = about["shape"]
        spacing = about["mm_per_px"]
        found = Detections(
            path.name.removesuffix(SUFFIX) if mammogram is None else mammogram.name,
            (int(height), int(width)),
            np.array([box for box, *_ in findings], np.float32).reshape(-1, 4),
            np.array([score for *_, score, _ in findings], np.float32),
            tuple(contour for _, contour, *_ in findings),
            None if spacing is None else (float(spacing[0]), float(spacing[1])),
            about["spacing"],
            float(about["threshold"]),
            str(about["model"]),
            str(about["sha256"]),
            bool(about["synthetic"]),
            str(about.get("scope", SCOPE)),
            Imprint.read(about.get("imprint")),
        )
    except geojson.WRONG as error:
        raise _not_kept(path, error) from error
    if mammogram is not None:
        check_image(path, found, mammogram)
    return Review(found, tuple(decision for *_, decision in findings), tuple(range(len(findings))))


def check_image(path: Path, kept: Detections, mammogram: Mammogram) -> None:
    """Make sure that findings are of an image.

    Raises
    ------
    DataFolderError
        If they were kept with another one of that name.
    """
    if kept.shape != mammogram.shape:
        height, width = kept.shape
        raise _not_kept(path, f"its image had {width} x {height} px, this one has other sides")
    if kept.imprint is not None and (why := kept.imprint.contradicts(mammogram.imprint)):
        msg = (
            f"{path.name} was not kept with this {mammogram.name}: {why}; put the image back that it was "
            "kept with, or move the findings away"
        )
        raise DataFolderError(msg)


@dataclass(frozen=True, eq=False)
class AnnotatedFolder(MassFolder):
    """Mammograms with the masses that readers have accepted or drawn.

    Attributes
    ----------
    outlines
        Of each image its masses' outlines, float32 (K, 2) each: y, x in pixels.
    imprints
        Of each image what tells it from others of its name, where that was kept.
    """

    outlines: tuple[tuple[np.ndarray, ...], ...] = ()
    imprints: tuple[Imprint | None, ...] = ()

    def mammogram(self, index: SupportsIndex) -> Mammogram:
        """As :meth:`MassFolder.mammogram`; a DataFolderError too if it is another image by now."""
        found = super().mammogram(index)
        kept = self.imprints[index]
        if kept is not None and (why := kept.contradicts(found.imprint)):
            msg = f"{self.files[index]} is not the image that was reviewed: {why}; review it anew"
            raise DataFolderError(msg)
        return found

    def mask(self, index: SupportsIndex) -> np.ndarray:
        """The outlines as pixels, bool (n, H, W); errors as of :meth:`MassFolder.mammogram`."""
        shape = self.mammogram(index).shape
        masks = [_pixels(outline, shape) for outline in self.outlines[index]]
        return np.array(masks, bool).reshape(-1, *shape)

    def subset(self, indices: np.ndarray | Sequence[int]) -> AnnotatedFolder:
        """The images that a mask or index picks, in its order."""
        chosen = np.arange(len(self))[np.asarray(indices)]
        plain = super().subset(chosen)
        outlines = tuple(self.outlines[i] for i in chosen)
        imprints = tuple(self.imprints[i] for i in chosen)
        return AnnotatedFolder(**vars(plain), outlines=outlines, imprints=imprints)


def read_training_folder(folder: Path) -> MassFolder:
    """Read a folder of images with tables of boxes, or of images with kept masses beside them.

    Raises
    ------
    DataFolderError
        If it holds neither, or what it holds can't be used.
    """
    tables = (folder / "images.csv").is_file()
    if tables or not AnnotationStore.in_folder(folder, SUFFIX, below=True):
        return read_mass_folder(folder)
    return read_annotated_folder(folder)


def read_annotated_folder(folder: Path) -> AnnotatedFolder:
    """Read all images below a folder that have masses kept beside them, or elsewhere.

    The images of one folder in ``folder`` are of one patient; those that lie in ``folder`` itself
    too. Patients are called by a hash of that folder's name, which a model's card may hold, and
    which stays the same whatever folder around it is read. An image counts once all its findings are accepted or rejected:
    rejected ones are tissue to learn from like any other.

    Raises
    ------
    DataFolderError
        If no image can be used; says why of the first.
    """
    return read_annotated([folder])


def read_annotated(places: Sequence[Path]) -> AnnotatedFolder:
    """Read folders, as :func:`read_annotated_folder`, and images, each of its own folder's patient.

    Raises
    ------
    DataFolderError
        If no image can be used; says why of the first.
    """
    found = {
        one.image: (one, place if place.is_dir() else place.parent)
        for place in places
        for one in (
            AnnotationStore.in_folder(place, SUFFIX, below=True)
            if place.is_dir()
            else [store(place)]
        )
    }
    rows, skipped = [], []
    for one, folder in found.values():
        image = one.image
        try:
            kept = one.path
            review = read(kept)
        except DataFolderError as error:
            skipped.append(str(error))
            continue
        undecided = review.decisions.count(Decision.OPEN)
        if not image.is_file():
            skipped.append(f"{kept}: its image is not beside it")
        elif undecided:
            skipped.append(f"{image}: findings that are neither accepted nor rejected: {undecided}")
        else:
            own = review.masses()
            rows.append((image, _patient(image, folder), *_side_and_view(kept, image), own))
    if not rows:
        why = skipped[0] if skipped else f"accept, reject or draw masses in its images (*{SUFFIX})"
        msg = f"{', '.join(map(str, places))} holds no reviewed mammogram: {why}"
        raise DataFolderError(msg)
    files, patients, laterality, view, masses = zip(*rows, strict=True)
    return AnnotatedFolder(
        tuple(files),
        np.array(patients),
        np.array(laterality),
        np.array(view),
        tuple(found.boxes for found in masses),
        np.array([found.synthetic for found in masses], bool),
        (None,) * len(files),
        tuple(skipped),
        tuple(found.contours for found in masses),
        tuple(found.imprint for found in masses),
    )


def content(path: Path) -> tuple[dict[str, Any], list[Annotation]]:
    """What a file says of its image, and its findings."""
    try:
        annotations, about = geojson.read(path)
        right = about["kind"] == KIND and about["version"] in VERSIONS
    except (ResultFormatError, KeyError) as error:
        raise _not_kept(path, error.__cause__ or error) from error
    if not right:
        raise _not_kept(path, f"{about['kind']!r} of version {about['version']!r}")
    return about, annotations


def _not_kept(path: Path, why: object) -> DataFolderError:
    if isinstance(why, OSError):
        why = why.strerror
    elif isinstance(why, KeyError):
        why = f"{why} is missing"
    return DataFolderError(
        f"{path} does not hold masses as they are kept beside an image ({why}); keep them anew"
    )


def _side_and_view(kept: Path, image: Path) -> tuple[str, str]:
    about, _ = content(kept)
    named = named_view(image.stem)
    return str(about.get("laterality") or named[0] or ""), str(about.get("view") or named[1] or "")


def _pixels(outline: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bool (H, W): pixels whose middle lies inside."""
    return polygon2mask(shape, outline - 0.5)


def _patient(image: Path, folder: Path) -> str:
    inside = image.relative_to(folder)
    name = inside.parts[0] if len(inside.parts) > 1 else folder.resolve().name
    return pseudonym(name)


def _annotation(found: Detections, index: int, decision: Decision) -> Annotation:
    x0, y0, x1, y1 = found.boxes[index]
    outline = found.contours[index]
    if len(outline) < 3:
        outline = np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]])
    name = REJECTED if decision is Decision.REJECTED else MASS
    return Annotation(
        geojson.outline([[outline]]),
        class_name=name,
        colour=_COLOURS[name],
        by="reader" if decision is Decision.DRAWN else found.model,
        decision=str(decision),
        more={
            "score": round(float(found.scores[index]), 6),
            "box": found.boxes[index].astype(float).round(_DIGITS).tolist(),
        },
    )


def drawn(outline: np.ndarray, *, mass: bool) -> Annotation:
    """A mass that a reader has outlined, (K, 2) y, x in pixels; or what looks like one and is none."""
    (y0, x0), (y1, x1) = outline.min(0), outline.max(0)
    box = [round(float(side), _DIGITS) for side in (x0, y0, x1, y1)]
    name = MASS if mass else REJECTED
    return Annotation(
        geojson.outline([[outline]]),
        class_name=name,
        colour=_COLOURS[name],
        by="reader",
        decision=str(Decision.DRAWN if mass else Decision.REJECTED),
        more={"score": 1.0, "box": box},
    )


def _finding(annotation: Annotation) -> tuple[np.ndarray, np.ndarray, float, Decision]:
    """Box, outline, score, decision."""
    if not annotation.polygons:
        msg = "a finding without an outline"
        raise ValueError(msg)
    outline, *_ = max(annotation.polygons, key=lambda rings: Polygon(rings[0]).area)
    box = np.array(annotation.more["box"], np.float32).reshape(4)
    score, decision = float(annotation.more["score"]), Decision(annotation.decision)
    return box, outline.astype(np.float32), score, decision

"""Make the mammogram phantom: a study of four drawn views with known masses, as DICOM files.

    .venv/bin/python sample_data/make_mammograms.py

writes ``mammogram_phantom/images/{RCC,LCC,RMLO,LMLO}.dcm`` (12 bit, JPEG-LS without loss, 0.3 mm per
px at the detector), ``images.csv`` and ``boxes.csv`` (the masses, in the layout of a folder of training data) into
the package. Everything is drawn from a seed: fat, a tree of glandular tissue that runs to the
nipple, the pectoral muscle, skin, and one mass a breast in both of its views. No patient's pixel is
in it. It is made to look plausible, not to teach mammography.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from scipy import ndimage
from scipy.special import expit

MM_PER_PX = 0.3
SHAPE = (848, 688)
BITS = 12
FAT, GLAND, MUSCLE = 0.40, 0.30, 0.17  # brightness of fat, and what the others add
TARGET = (
    Path(__file__).parent.parent / "src/napari_pathogan/plugin/sample_data" / "mammogram_phantom"
)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)


class Mass(NamedTuple):
    """A mass in one view of a left breast (the chest wall on the left), in px."""

    y: float
    x: float
    radius: float
    spicules: int  # 0 for a lobulated one


@dataclass(frozen=True)
class View:
    """What is drawn: which view, its seed, its mass."""

    laterality: str
    view: str
    seed: int
    mass: Mass

    @property
    def name(self) -> str:
        """Such as RCC."""
        return self.laterality + self.view


STUDY = (
    View("R", "CC", 11, Mass(322, 236, 39, 22)),
    View("L", "CC", 12, Mass(520, 250, 32, 0)),
    View("R", "MLO", 19, Mass(390, 232, 39, 22)),
    View("L", "MLO", 14, Mass(536, 214, 32, 0)),
)


def noise(rng: np.random.Generator, sigma: float | tuple[float, float]) -> np.ndarray:
    """Smooth noise with mean 0 and standard deviation 1, periodic, (Y, X)."""
    field = ndimage.gaussian_filter(
        rng.standard_normal(SHAPE, dtype=np.float32), sigma, mode="wrap"
    )
    return (field - field.mean()) / field.std()


def outline(view: str, rng: np.random.Generator) -> tuple[np.ndarray, tuple[float, float]]:
    """Depth of the breast at every row (px from the chest wall), and where the nipple is (y, x)."""
    y = np.arange(SHAPE[0], dtype=np.float32)
    bend = 5 * ndimage.gaussian_filter1d(rng.standard_normal(SHAPE[0]), 60) * 8
    if view == "CC":
        middle, half, depth = 424.0, 345.0, 400.0
        round_ = np.clip(1 - np.abs((y - middle) / half) ** 2.3, 0, None) ** 0.62
        reach = depth * round_
    else:
        middle, depth = 500.0, 400.0
        above = 165 + (depth - 165) * np.exp(-((((y - middle) / 235) ** 2) ** 1.25))
        below = depth * np.clip(1 - np.abs((y - middle) / 268) ** 2.4, 0, None) ** 0.6
        reach = np.where(y < middle, above, below)
    return np.where(reach > 0, reach + bend, 0), (middle, float(reach.max()))


def fibres(rng: np.random.Generator, nipple: tuple[float, float]) -> np.ndarray:
    """Strands of several widths that run to the nipple, 0 to 1."""
    away = np.hypot(Y - nipple[0], X - nipple[1])
    angle = np.arctan2(Y - nipple[0], nipple[1] + 60 - X)
    total = np.zeros(SHAPE, np.float32)
    for width, share in ((8.0, 0.35), (5.0, 0.35), (3.0, 0.30)):
        turn, stretch = 0.12 * noise(rng, 45) + 0.05 * noise(rng, 14), 60 * noise(rng, 70)
        rows = 330 * (angle + turn) + SHAPE[0] / 2
        along = ndimage.map_coordinates(
            noise(rng, (width, 3.2 * width)), [rows, away + stretch], order=1, mode="wrap"
        )
        total += share * np.clip((along - 0.35) / 1.5, 0, 1.2) ** 0.8
    return total


def gland(rng: np.random.Generator, nipple: tuple[float, float], inside: np.ndarray) -> np.ndarray:
    """How much glandular tissue there is, 0 to 1: a cone behind the nipple, in patches."""
    behind = (nipple[1] - X) / nipple[1]
    across = np.abs(Y - nipple[0]) / (90 + 210 * np.clip(behind, 0, 1))
    cone = np.exp(-(across**2) - ((behind - 0.42) / 0.36) ** 2)
    patches = expit(2.2 * (noise(rng, 34) + 0.6 * noise(rng, 12)))
    deep = np.clip((ndimage.distance_transform_edt(inside) - 14) / 30, 0, 1)
    return (cone * (0.25 + 0.75 * patches) * deep).astype(np.float32)


def muscle(rng: np.random.Generator) -> np.ndarray:
    """The pectoral muscle of an MLO view, 0 to 1: a wedge in the upper corner at the chest wall."""
    edge = 178 - 0.36 * Y - 30 * (Y / 400) ** 2 + 5 * noise(rng, 45)
    wedge = expit((edge - X) / 3.5)
    strands = ndimage.rotate(noise(rng, (26, 3.5)), 19, reshape=False, mode="wrap")
    return (wedge * (1 + 0.06 * strands - 0.15 * Y / 400)).astype(np.float32)


def mass(rng: np.random.Generator, one: Mass) -> np.ndarray:
    """A mass, 0 to about 1: thick in the middle, lobulated, or with spicules around it."""
    dy, dx = Y - one.y, X - one.x
    angle, away = np.arctan2(dy, dx), np.hypot(dy, dx)
    lobes = sum(
        rng.uniform(0.02, 0.07) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 7)
    )
    inside = 1 - (away / (one.radius * (1 + lobes) + 1.5 * noise(rng, 3))) ** 2
    body = np.clip(inside, 0, None) ** 0.55 * (1 + 0.07 * noise(rng, 2.5) + 0.07 * noise(rng, 6))
    rays = np.zeros(SHAPE, np.float32)
    for _ in range(one.spicules):
        at, length = rng.uniform(-np.pi, np.pi), one.radius * rng.uniform(1.15, 1.7)
        off = np.angle(np.exp(1j * (angle - at - 0.004 * (away - one.radius) * rng.normal())))
        ray = np.exp(-((off * away / rng.uniform(1.4, 2.6)) ** 2)) * (away > 0.4 * one.radius)
        rays = np.maximum(rays, ray * np.clip(1.1 * (1 - away / length), 0, 0.45))
    return np.maximum(ndimage.gaussian_filter(body, 1.2), rays)


def box(one: Mass, drawn: np.ndarray) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 of the mass, px: what stands out of its surroundings."""
    rows, columns = np.nonzero(drawn > 0.22)
    near = np.hypot(rows - one.y, columns - one.x) < 1.5 * one.radius
    rows, columns = rows[near], columns[near]
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def draw(view: View) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Draw a view: brightness float32 (Y, X) in 0..1, and the box of its mass."""
    rng = np.random.default_rng(view.seed)
    reach, nipple = outline(view.view, rng)
    bump = np.hypot((Y - nipple[0]) / 13, (X - nipple[1]) / 15) < 1
    inside = (reach[:, None] > X) | bump
    depth = ndimage.distance_transform_edt(np.pad(inside, ((0, 0), (400, 0)), mode="edge"))[:, 400:]
    amount, strands = gland(rng, nipple, inside), fibres(rng, nipple)
    image = FAT * (1 + 0.05 * noise(rng, 60) + 0.015 * noise(rng, 7))
    image += 0.13 * strands * (0.35 + amount) * np.clip(depth / 60, 0, 1)
    image += GLAND * amount * (0.45 + 0.9 * strands + 0.10 * noise(rng, 5) + 0.06 * noise(rng, 2))
    if view.view == "MLO":
        image += MUSCLE * muscle(rng)
    lump = mass(rng, view.mass)
    image += (0.86 - image) * np.clip(0.62 * lump, 0, 1)
    image *= 1 - 0.55 * np.exp(-depth / 9)  # thinner towards the skin
    image += 0.16 * np.exp(-(((depth - 3.0) / 1.6) ** 2))  # the skin itself, seen from its edge
    image += 0.007 * noise(rng, 0.6)
    image = ndimage.gaussian_filter(np.where(inside, np.clip(image, 0.02, 1), 0), 0.6)
    x0, y0, x1, y1 = box(view.mass, lump)
    if view.laterality == "R":
        image, (x0, x1) = image[:, ::-1], (SHAPE[1] - x1, SHAPE[1] - x0)
    return image.astype(np.float32), (x0, y0, x1, y1)


def main() -> None:
    """Draw, compress and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=TARGET, help="folder")
    folder = parser.parse_args().output
    (folder / "images").mkdir(parents=True, exist_ok=True)
    study = uid.generate_uid(entropy_srcs=["napari-pathogan", "mammogram phantom"])
    boxes = []
    for number, view in enumerate(STUDY, start=1):
        image, corners = draw(view)
        boxes.append((f"{view.name}.dcm", *corners))
        write(folder / "images" / f"{view.name}.dcm", image, view, study, number)
    with (folder / "images.csv").open("w", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(("file", "patient", "laterality", "view", "synthetic"))
        table.writerows((f"{v.name}.dcm", "phantom", v.laterality, v.view, 1) for v in STUDY)
    with (folder / "boxes.csv").open("w", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(("file", "type", "xmin", "ymin", "xmax", "ymax"))
        table.writerows((name, "mass", *map(int, corners)) for name, *corners in boxes)
    size = sum(file.stat().st_size for file in folder.rglob("*.dcm")) / 1e6
    print(f"{folder}: {len(STUDY)} views of {SHAPE[1]} x {SHAPE[0]} px, {size:.2f} MB")


def write(path: Path, image: np.ndarray, view: View, study: str, number: int) -> None:
    """Write a view as a DICOM mammogram for presentation, compressed without loss."""
    values = np.rint(image * (2**BITS - 1)).astype(np.uint16)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = uid.DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = uid.generate_uid(entropy_srcs=[study, view.name])
    meta.TransferSyntaxUID = uid.JPEGLSLossless
    header = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    header.SOPClassUID = meta.MediaStorageSOPClassUID
    header.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    header.StudyInstanceUID = study
    header.SeriesInstanceUID = uid.generate_uid(entropy_srcs=[study, "series"])
    header.InstanceNumber = number
    header.Modality, header.PresentationIntentType = "MG", "FOR PRESENTATION"
    header.ImageType = ["DERIVED", "SECONDARY"]
    header.SyntheticData = "YES"
    header.PatientName, header.PatientID = "Phantom^Drawn", "PHANTOM"
    header.StudyDate = "20260101"
    header.Manufacturer = "napari-pathogan"
    header.BodyPartExamined, header.BurnedInAnnotation = "BREAST", "NO"
    header.ImageLaterality, header.ViewPosition = view.laterality, view.view
    header.PatientOrientation = ["P" if view.laterality == "R" else "A", "FR"]
    header.ViewCodeSequence = [_code(*_VIEW_CODES[view.view])]
    header.ImagerPixelSpacing = [MM_PER_PX, MM_PER_PX]
    header.Rows, header.Columns = SHAPE
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.PresentationLUTShape = "IDENTITY"
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, BITS, BITS - 1
    header.PixelRepresentation = 0
    header.WindowCenter, header.WindowWidth = 2**BITS / 2, 2**BITS
    header.VOILUTFunction = "LINEAR"
    header.LossyImageCompression = "00"
    header.PixelData = encapsulate([imagecodecs.jpegls_encode(values)])
    header.save_as(path, enforce_file_format=True)


_VIEW_CODES = {
    "CC": ("399162004", "cranio-caudal"),
    "MLO": ("399368009", "medio-lateral oblique"),
}


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


if __name__ == "__main__":
    main()

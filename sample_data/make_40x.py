"""Make the H&E phantom at 40x: a drawn field with known nuclei of three kinds.

    .venv/bin/python sample_data/make_40x.py

writes ``he_phantom_40x.ome.tif`` (pyramidal OME-TIFF, JPEG, 0.25 um/px) and ``he_phantom_40x.csv``
(the centre, kind, axes and direction of every nucleus) into the package. Nests of large, vesicular
epithelial nuclei (pale, with clumped chromatin and a clear membrane) lie in wavy collagen with thin fibroblasts along its fibres, and a crowd of small,
dark lymphocytes in between. Everything is drawn from a seed, in stain concentrations, as in
``make.py``; no patient's pixel is in it.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from make import TARGET, Stains
from scipy import ndimage

from napari_pathogan.slides.writers.ome import write_ome_tiff

MPP = 0.25
SHAPE = (1201, 1603)  # 300 x 400 um; odd on purpose
NAME = "he_phantom_40x"
GRAIN_PX = 1.2  # of chromatin: smoother nuclei have not the texture of real ones
FIELDS = ("x", "y", "class", "long_um", "short_um", "angle")


@dataclass(frozen=True)
class Kind:
    """How nuclei of a class look: axes in um, spacing in um, and their chromatin."""

    name: str
    long_um: tuple[float, float]
    short_um: tuple[float, float]
    apart_um: float
    density: tuple[float, float]
    rim: float  # how much darker the membrane is than the inside
    spots: float  # how coarse the chromatin is
    ragged: float  # how far the outline departs from an ellipse


KINDS = (
    Kind("epithelial", (12.0, 16.0), (9.5, 12.0), 12.5, (0.40, 0.60), 1.00, 0.80, 0.06),
    Kind("inflammatory", (5.8, 7.2), (5.4, 6.4), 8.0, (1.05, 1.35), 0.10, 0.22, 0.03),
    Kind("fibroblast", (14.0, 20.0), (2.8, 3.8), 15.0, (0.90, 1.20), 0.05, 0.10, 0.05),
)


@dataclass(frozen=True)
class Nucleus:
    """Where one is: centre in pixels, axes in um, direction of the long one in radians."""

    y: float
    x: float
    kind: Kind
    long_um: float
    short_um: float
    angle: float


def smooth(rng: np.random.Generator, sigma: float | tuple[float, float]) -> np.ndarray:
    """Noise of mean 0 and standard deviation 1 on the whole field."""
    field = ndimage.gaussian_filter(
        rng.standard_normal(SHAPE, dtype=np.float32), sigma, mode="wrap"
    )
    return (field - field.mean()) / field.std()


def tissue(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Where each kind of nucleus lives: soft masks, 0 to 1."""
    rough = smooth(rng, 45)
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]

    def patch(cy: float, cx: float, ry: float, rx: float) -> np.ndarray:
        distance = np.hypot((y - cy) / ry, (x - cx) / rx)
        return np.clip((1 - distance + 0.16 * rough) * 14, 0, 1).astype(np.float32)

    nests = np.maximum.reduce(
        [patch(330, 380, 250, 300), patch(900, 560, 210, 330), patch(430, 1290, 260, 210)]
    )
    crowd = patch(950, 1230, 190, 250) * (1 - nests)
    glass = np.maximum(patch(1160, 60, 210, 260), patch(40, 900, 130, 110))
    stroma = (1 - nests) * (1 - crowd) * (1 - glass)
    return {
        "epithelial": nests * (1 - glass),
        "inflammatory": crowd * (1 - glass),
        "fibroblast": stroma,
        "glass": glass,
    }


def fibres(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Wavy collagen, 0 to 1, and the direction of its fibres in radians."""
    warp = 80 * smooth(rng, 170)
    rows = np.arange(SHAPE[0])[:, None] + warp
    cols = np.broadcast_to(np.arange(SHAPE[1]), SHAPE)
    along = ndimage.map_coordinates(smooth(rng, (3.0, 70)), [rows, cols], order=1, mode="wrap")
    slope = np.gradient(warp, axis=1) / (1 + np.gradient(warp, axis=0))
    return np.clip(0.5 + 0.2 * along, 0, 1).astype(np.float32), np.arctan(-slope)


def place(
    rng: np.random.Generator, where: dict[str, np.ndarray], direction: np.ndarray
) -> list[Nucleus]:
    """Scatter nuclei that don't touch, each kind where it lives."""
    placed: list[Nucleus] = []
    centres = np.empty((0, 2))
    reach = np.empty(0)
    for kind in KINDS:
        for _ in range(9000):
            y, x = rng.uniform(0, SHAPE[0]), rng.uniform(0, SHAPE[1])
            if where[kind.name][int(y), int(x)] < 0.95:
                continue
            long_um, short_um = rng.uniform(*kind.long_um), rng.uniform(*kind.short_um)
            room = kind.apart_um * rng.uniform(0.9, 1.35) / MPP / 2
            if placed and (np.hypot(*(centres - (y, x)).T) < reach + room).any():
                continue
            angle = rng.uniform(0, np.pi)
            if kind.name == "fibroblast":
                angle = float(direction[int(y), int(x)]) + rng.normal(0, 0.15)
            placed.append(Nucleus(y, x, kind, long_um, short_um, angle))
            centres, reach = np.vstack([centres, (y, x)]), np.append(reach, room)
    return placed


def paint_nucleus(stains: Stains, rng: np.random.Generator, one: Nucleus) -> None:
    """Blend one nucleus in: a ragged ellipse, its membrane, its chromatin."""
    half = int(one.long_um / MPP / 2) + 6
    top, left = max(int(one.y) - half, 0), max(int(one.x) - half, 0)
    box = np.s_[top : int(one.y) + half, left : int(one.x) + half]
    height, width = stains.eosin[box].shape
    dy = np.arange(top, top + height)[:, None] - one.y
    dx = np.arange(left, left + width)[None] - one.x
    cos, sin = np.cos(one.angle), np.sin(one.angle)
    u = (dx * cos + dy * sin) / (one.long_um / MPP / 2)
    v = (dy * cos - dx * sin) / (one.short_um / MPP / 2)
    turn = np.arctan2(v, u)
    outline = 1 + one.kind.ragged * (
        np.sin(2 * turn + rng.uniform(0, 6)) + np.sin(3 * turn + rng.uniform(0, 6))
    )
    radius = np.hypot(u, v) / outline
    inside = np.clip((1 - radius) * one.short_um / MPP / 2 / 1.2 + 0.5, 0, 1).astype(np.float32)
    grain = ndimage.gaussian_filter(rng.standard_normal(radius.shape), GRAIN_PX)
    grain /= max(grain.std(), 1e-6)
    membrane = np.exp(-(((radius - 0.88) / 0.11) ** 2))
    dark = rng.uniform(*one.kind.density)
    chromatin = dark * (1 + one.kind.rim * membrane + one.kind.spots * grain)
    part = Stains(stains.haematoxylin[box], stains.eosin[box])
    part.paint(inside, np.clip(chromatin, 0.15, None).astype(np.float32), np.float32(0.30))


def make(seed: int = 11) -> tuple[np.ndarray, list[Nucleus]]:
    """Draw the phantom: uint8 (Y, X, 3), and its nuclei."""
    rng = np.random.default_rng(seed)
    where = tissue(rng)
    collagen, direction = fibres(rng)
    placed = place(rng, where, direction)

    stains = Stains(np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32))
    stains.paint(where["fibroblast"], 0.03 + 0.05 * collagen, 0.10 + 0.62 * collagen)
    cytoplasm = 0.42 + 0.07 * smooth(rng, 6) + 0.12 * smooth(rng, 1.2)
    stains.paint(where["epithelial"], 0.30 + 0.05 * smooth(rng, 8), cytoplasm)
    stains.paint(where["inflammatory"], 0.10 + 0.03 * smooth(rng, 5), 0.26 + 0.08 * smooth(rng, 3))
    stains.paint(where["glass"], np.float32(0), np.float32(0.01))
    for one in placed:
        paint_nucleus(stains, rng, one)
    for field in (stains.haematoxylin, stains.eosin):
        np.clip(ndimage.gaussian_filter(field, 0.7), 0, None, out=field)  # the objective's blur
    image = stains.rgb().astype(np.float32) + rng.normal(0, 1.5, (*SHAPE, 1))
    return np.clip(image, 0, 255).astype(np.uint8), placed


def main() -> None:
    """Write the phantom and the table of its nuclei."""
    parser = argparse.ArgumentParser(description="Make the H&E phantom at 40x.")
    parser.add_argument("-o", "--output", type=Path, default=TARGET)
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    image, placed = make()
    write_ome_tiff(folder / f"{NAME}.ome.tif", image, mpp=(MPP, MPP), quality=80)
    with (folder / f"{NAME}.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(FIELDS)
        for one in placed:
            place_um = (f"{one.x:.1f}", f"{one.y:.1f}", one.kind.name)
            table.writerow(
                (*place_um, *(f"{v:.2f}" for v in (one.long_um, one.short_um, one.angle)))
            )
    size = (folder / f"{NAME}.ome.tif").stat().st_size / 1e6
    print(
        f"{folder / NAME}.ome.tif: {SHAPE[1]} x {SHAPE[0]} px, {len(placed)} nuclei, {size:.2f} MB"
    )


if __name__ == "__main__":
    main()

"""Make the H&E phantom: a drawn slide with known tumour-like and healthy regions.

    .venv/bin/python sample_data/make.py

writes ``he_phantom.ome.tif`` (pyramidal OME-TIFF, JPEG, 2 um/px) and ``he_phantom.geojson`` (its
regions, for QuPath and the tests) into the package. Everything is drawn from a seed: stain
concentrations of haematoxylin and eosin are composed region by region and turned into colours by
the Beer-Lambert law. No patient's pixel is in it. It is made to look plausible at low magnification, not to teach histology.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage import measure

from napari_pathogan.slides.writers.ome import write_ome_tiff

MPP = 2.0
SHAPE = (3201, 4005)  # odd on purpose: levels are not exact halves
HAEMATOXYLIN = np.array([0.60, 0.72, 0.35])
EOSIN = np.array([0.09, 0.85, 0.52])  # pink rather than magenta, as most breast slides are
GLASS = 243.0
TARGET = Path(__file__).parent.parent / "src/napari_pathogan/plugin/sample_data"


@dataclass
class Stains:
    """Optical densities of the two stains, float32 (Y, X) each, painted region by region."""

    haematoxylin: np.ndarray
    eosin: np.ndarray

    def paint(self, where: np.ndarray, haematoxylin: np.ndarray, eosin: np.ndarray) -> None:
        """Blend concentrations in, with ``where`` from 0 to 1 as the share."""
        self.haematoxylin += where * (haematoxylin - self.haematoxylin)
        self.eosin += where * (eosin - self.eosin)

    def rgb(self) -> np.ndarray:
        """Light through the stains: uint8 (Y, X, 3)."""
        density = self.haematoxylin[..., None] * HAEMATOXYLIN + self.eosin[..., None] * EOSIN
        return np.clip(GLASS * np.exp(-density), 0, 255).astype(np.uint8)


def noise(rng: np.random.Generator, sigma: float | tuple[float, float]) -> np.ndarray:
    """Smooth noise with mean 0 and standard deviation 1."""
    field = ndimage.gaussian_filter(
        rng.standard_normal(SHAPE, dtype=np.float32), sigma, mode="wrap"
    )
    return (field - field.mean()) / field.std()


def blob(centre: tuple[float, float], radius: float, roughness: np.ndarray) -> np.ndarray:
    """A rough disc with a soft border, 0 to 1."""
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    distance = np.hypot(y - centre[0], x - centre[1]) / radius
    return np.clip((1.0 - distance + 0.12 * roughness) * radius / 12, 0, 1).astype(np.float32)


def nuclei(
    rng: np.random.Generator, spacing: float, size: float, where: np.ndarray, jitter: float = 0.45
) -> np.ndarray:
    """Nuclei, 0 to 1: spots about ``spacing`` px apart and ``size`` px wide, where ``where``."""
    rows, cols = np.meshgrid(
        np.arange(0, SHAPE[0], spacing), np.arange(0, SHAPE[1], spacing), indexing="ij"
    )
    places = np.stack([rows, cols], -1).reshape(-1, 2)
    places = places + rng.normal(0, jitter * spacing, places.shape)
    places = places[(places >= 0).all(1) & (places < SHAPE).all(1)].astype(int)
    places = places[rng.random(len(places)) < where[places[:, 0], places[:, 1]]]
    spots = np.zeros(SHAPE, np.float32)
    np.add.at(spots, (places[:, 0], places[:, 1]), rng.uniform(0.6, 1.4, len(places)))
    spots = ndimage.gaussian_filter(spots, size / 2.4) * (2 * np.pi * (size / 2.4) ** 2)
    return np.clip(1.6 * spots - 0.25, 0, 1)


def fibres(rng: np.random.Generator) -> np.ndarray:
    """Wavy collagen bundles, 0 to 1, with cracks between them."""
    warp = 90 * noise(rng, 130)
    along = ndimage.map_coordinates(
        noise(rng, (2.2, 34)),
        [np.add.outer(np.arange(SHAPE[0]), np.zeros(SHAPE[1])) + warp,
         np.add.outer(np.zeros(SHAPE[0]), np.arange(SHAPE[1]))],
        order=1, mode="wrap",
    )  # fmt: skip
    return np.clip(0.55 + 0.22 * along, 0, 1).astype(np.float32)


def fat_walls(rng: np.random.Generator, cell: float = 34) -> np.ndarray:
    """Membranes of adipocytes, 0 to 1: borders between the nearest of scattered points."""
    seeds = np.ones(SHAPE, bool)
    n = int(SHAPE[0] * SHAPE[1] / cell**2)
    seeds[rng.integers(0, SHAPE[0], n), rng.integers(0, SHAPE[1], n)] = False
    _, (row, col) = ndimage.distance_transform_edt(seeds, return_indices=True)
    owner = row * SHAPE[1] + col
    border = (owner != np.roll(owner, 1, 0)) | (owner != np.roll(owner, 1, 1))
    return np.clip(ndimage.gaussian_filter(border.astype(np.float32), 0.9) * 1.7, 0, 1)


def paint_ducts(stains: Stains, rng: np.random.Generator, where: np.ndarray) -> None:
    """Normal ducts: a lumen, one ring of epithelium, a sleeve of pale stroma."""
    for _ in range(60):
        y, x = (int(rng.integers(80, n - 80)) for n in SHAPE)
        if where[y, x] < 0.9:
            continue
        radius = rng.uniform(12, 34)
        box = np.s_[max(y - 80, 0) : y + 80, max(x - 80, 0) : x + 80]
        yy, xx = np.ogrid[box]
        folds = int(rng.integers(2, 6))
        wobble = 1 + 0.1 * np.sin(folds * np.arctan2(yy - y, xx - x) + rng.uniform(0, 6))
        distance = np.hypot((yy - y) * rng.uniform(0.8, 1.3), xx - x) / wobble - radius
        ring = np.clip(1.4 - np.abs(distance - 4) / 4, 0, 1)
        lumen = np.clip(-distance / 3, 0, 1)
        part = Stains(stains.haematoxylin[box], stains.eosin[box])
        part.paint(0.5 * np.clip(1 - distance / 40, 0, 1), np.float32(0.10), np.float32(0.28))
        dots = 0.75 + 0.35 * rng.random(distance.shape)
        part.paint(ring, (0.95 * dots).astype(np.float32), np.float32(0.35))
        part.paint(lumen, np.float32(0.0), np.float32(0.02))


def polygon(mask: np.ndarray, name: str, colour: tuple[int, int, int]) -> dict[str, object]:
    """The outer outline of the largest part of a mask as a GeoJSON feature, in level-0 pixels."""
    outlines = measure.find_contours(np.pad(mask, 1).astype(np.float32), 0.5)
    outline = measure.approximate_polygon(max(outlines, key=len) - 1, 4)
    ring = [[round(float(x) + 0.5, 1), round(float(y) + 0.5, 1)] for y, x in outline]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "annotation",
            "classification": {"name": name, "color": list(colour)},
        },
    }


def make(seed: int = 7) -> tuple[np.ndarray, dict[str, object]]:
    """Draw the phantom: uint8 (Y, X, 3), and its regions as a GeoJSON object."""
    rng = np.random.default_rng(seed)
    coarse, fine = noise(rng, 120), noise(rng, 30)
    rough = coarse + 0.35 * fine
    tissue = blob((1600, 1960), 1420, 0.8 * rough)
    tumour = np.maximum(blob((1450, 1330), 690, 1.4 * rough), blob((2270, 2010), 330, 1.6 * rough))
    fat = blob((1250, 2870), 620, 2.2 * coarse) * (1 - tumour)
    tumour, fat = tumour * tissue, fat * tissue
    stroma = tissue * (1 - tumour) * (1 - fat)

    stains = Stains(np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32))
    collagen = fibres(rng)
    sparse = nuclei(rng, 13, 3.0, 0.35 * stroma)
    stains.paint(
        tissue, 0.06 + 0.10 * collagen + 0.6 * sparse, 0.16 + 0.52 * collagen + 0.05 * noise(rng, 2)
    )
    cracks = np.clip(0.27 - collagen, 0, 0.2) * 5 * stroma
    stains.paint(cracks, np.float32(0), np.float32(0.03))
    walls = fat_walls(rng)
    stains.paint(fat, 0.05 * walls, 0.42 * walls)
    paint_ducts(stains, rng, stroma)

    nests = np.clip(0.75 + 0.9 * noise(rng, 11), 0.1, 1)
    dense = nuclei(rng, 6.0, 4.0, np.clip(0.45 + 0.5 * nests, 0, 1), jitter=0.3)
    gaps = np.clip(-noise(rng, 7) - 1.75, 0, 1) * 1.6
    stains.paint(
        tumour,
        0.24 + 0.14 * nests + 0.62 * dense * nests,
        0.42 + 0.08 * noise(rng, 5) + 0.10 * (1 - nests),
    )
    stains.paint(np.clip(gaps, 0, 1) * tumour, np.float32(0.02), np.float32(0.05))
    for field in (stains.haematoxylin, stains.eosin):
        np.multiply(field, 1 + 0.05 * coarse, out=field)
        np.clip(field, 0, None, out=field)
    image = stains.rgb().astype(np.float32) + rng.normal(0, 1.2, (*SHAPE, 1))
    regions = [
        polygon(tumour > 0.9, "IDC-like", (200, 0, 0)),
        polygon(ndimage.binary_erosion(stroma > 0.9, iterations=9), "Stroma", (150, 200, 150)),
        polygon(fat > 0.9, "Adipose", (230, 220, 100)),
    ]
    collection = {"type": "FeatureCollection", "features": regions}
    return np.clip(image, 0, 255).astype(np.uint8), collection


def main() -> None:
    """Write the phantom and its regions."""
    parser = argparse.ArgumentParser(description="Make the H&E phantom slide.")
    parser.add_argument("-o", "--output", type=Path, default=TARGET)
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    image, regions = make()
    write_ome_tiff(folder / "he_phantom.ome.tif", image, mpp=(MPP, MPP), quality=70)
    (folder / "he_phantom.geojson").write_text(json.dumps(regions))
    size = (folder / "he_phantom.ome.tif").stat().st_size / 1e6
    print(f"{folder / 'he_phantom.ome.tif'}: {SHAPE[1]} x {SHAPE[0]} px, {size:.2f} MB")


if __name__ == "__main__":
    main()

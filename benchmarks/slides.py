"""Made-up slides for the benchmarks: tissue everywhere, or a gigapixel section on glass."""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter

from napari_pathogan.slides.writers.ome import write_ome_tiff

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TILE = 512


def tissue(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Pink stroma with purple nuclei, in places more of them; (Y, X, 3) uint8."""
    rng = np.random.default_rng(seed)
    small = gaussian_filter(rng.normal(size=(height // 16 + 1, width // 16 + 1)), 12)
    dense = np.kron((small > 0).astype(np.float32), np.ones((16, 16), np.float32))[:height, :width]
    nuclei = gaussian_filter(rng.normal(size=(height, width)).astype(np.float32), 1.5)
    share = ((nuclei > np.where(dense > 0, 0.05, 0.2)) * 0.8)[..., None].astype(np.float32)
    image = np.array([225, 165, 200]) * (1 - share) + np.array([110, 70, 150]) * share
    return (image + rng.normal(0, 2, (height, width, 1))).clip(0, 250).astype(np.uint8)


def section(path: Path) -> Path:
    """20 x 15 mm at 2 um/px, tissue everywhere: 7,500 patches of 200 um. Pyramid, JPEG tiles."""
    part = tissue(2500, 2500)
    write_ome_tiff(path, np.tile(part, (3, 4, 1)), 2.0)
    return path


def gigapixel(path: Path, shape: tuple[int, int] = (80_000, 100_000)) -> Path:
    """A slide of 100,000 x 80,000 px at 0.25 um/px, an ellipse of tissue; JPEG, four levels."""
    tiles = [_jpeg(tissue(TILE, TILE, seed)) for seed in range(8)]
    glass = _jpeg(np.full((TILE, TILE, 3), 244, np.uint8))
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for level in range(4):
            rows, cols = (-(-n // 4**level) for n in shape)
            writer.write(
                _tiles(rows, cols, tiles, glass),
                shape=(rows, cols, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="ycbcr",
                subsampling=(1, 1),
                compression="jpeg",
                subifds=3 if level == 0 else None,
                subfiletype=0 if level == 0 else 1,
                resolution=(10_000 / 0.25 / 4**level,) * 2,
                resolutionunit="CENTIMETER",
            )
    return path


def _tiles(height: int, width: int, tiles: list[bytes], glass: bytes) -> Iterator[bytes]:
    """Encoded tiles of a level, row by row: tissue inside the ellipse."""
    kinds = itertools.cycle(tiles)
    for y in range(0, height, TILE):
        for x in range(0, width, TILE):
            v, u = (y + TILE / 2) / height * 2 - 1, (x + TILE / 2) / width * 2 - 1
            yield next(kinds) if u * u + v * v < 0.8 else glass


def _jpeg(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=40, subsampling=0)
    return stream.getvalue()

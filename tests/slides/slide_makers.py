"""Images whose pixels say where they are, and files made from them."""

from __future__ import annotations

import numpy as np
import tifffile
from scipy import ndimage

APERIO = "Aperio Image Library v12.0.15\n{w}x{h} (256x256) JPEG/RGB Q=90|AppMag = 40|MPP = {mpp}"


def smooth_image(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Random but smooth, so that JPEG keeps it: (Y, X, C) uint8, or (Y, X) for 1 channel."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(40, 250, (height // 24 + 3, width // 24 + 3, channels))
    fine = ndimage.zoom(coarse, (24, 24, 1), order=1)[:height, :width]
    image = np.clip(fine, 0, 255).astype(np.uint8)
    return image[..., 0] if channels == 1 else image


def halved(image: np.ndarray) -> np.ndarray:
    """Mean of 2 x 2 pixels of an image of even size."""
    parts = image.astype(float)
    mean = (parts[::2, ::2] + parts[1::2, ::2] + parts[::2, 1::2] + parts[1::2, 1::2]) / 4
    return np.rint(mean).astype(image.dtype)


def write_svs(path, image, *, mpp="0.25", compression="jpeg", levels=(), **options):
    """An Aperio file: tiled levels, and a thumbnail in strips between them."""
    text = APERIO.format(w=image.shape[1], h=image.shape[0], mpp=mpp).encode()
    lossy = {"compressionargs": {"level": 95}} if compression == "jpeg" else {}
    with tifffile.TiffWriter(path) as out:
        for number, level in enumerate((image, *levels)):
            out.write(
                level,
                tile=(256, 256),
                compression=compression,
                photometric="rgb",
                description=text,
                metadata=None,
                subfiletype=0,
                **lossy,
                **options,
            )
            if number == 0:
                small = np.ascontiguousarray(image[::8, ::8])
                out.write(
                    small, rowsperstrip=16, photometric="rgb", description=text, metadata=None
                )
    return path

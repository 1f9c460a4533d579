"""CIE Lab for slides: lightness is kept, the two colour channels are what a stain style sets."""

from __future__ import annotations

import warnings

import numpy as np
from skimage import color

# Said of each colour that is clipped. For good, since turning it off and on is not safe in threads.
warnings.filterwarnings("ignore", "Conversion from CIE-LAB", UserWarning)

AB_SCALE = 100.0  # a and b of H&E lie within this; networks see them divided by it

GLASS = 240.0  # intensity of bare glass, as in the common implementations
STAINED = 0.15  # optical density (natural log) from which a pixel says something about stains

_LUMINANCE = np.array([0.2126729, 0.7151522, 0.0721750], np.float32)  # Y of sRGB, D65


def lightness(rgb: np.ndarray) -> np.ndarray:
    """CIE lightness L* of uint8 RGB (..., 3) -> float32 (...), 0 to 100.

    The same as the first channel of ``skimage.color.rgb2lab``, in a sixth of the time: the gamma
    of a byte is looked up, and two of three cube roots are not needed.
    """
    y = _LINEAR[rgb] @ _LUMINANCE
    light: np.ndarray = np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.292 * y)
    return light.astype(np.float32)


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """CIE Lab (D65) of uint8 RGB (..., 3) -> float32 (..., 3)."""
    return np.asarray(color.rgb2lab(np.asarray(rgb, np.float32) / 255), np.float32)


def to_rgb(lab: np.ndarray) -> np.ndarray:
    """Take CIE Lab (..., 3) to uint8 RGB; colours that sRGB lacks are clipped."""
    rgb = np.clip(color.lab2rgb(np.asarray(lab, np.float32)), 0, 1)
    return np.asarray(np.rint(rgb * 255), np.uint8)


def optical_density(rgb: np.ndarray) -> np.ndarray:
    """Natural optical density of uint8 RGB against glass of intensity 240; float32, same shape."""
    return np.asarray(_DENSITY[rgb])


def joined(light: np.ndarray, colour: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Lightness and colours to uint8 RGB; glass keeps its own colour."""
    return with_glass(to_rgb(np.concatenate([light[..., None], colour], -1)), image)


def glass_share(image: np.ndarray) -> np.ndarray:
    """How much each pixel of uint8 RGB (..., 3) is glass, 0 to 1: float32 (...)."""
    return np.asarray(1 - np.clip(optical_density(image).max(-1) / (STAINED / 2), 0, 1))


def with_glass(made: np.ndarray, image: np.ndarray) -> np.ndarray:
    """What was made of uint8 RGB (..., 3), with the glass of that: no stain takes to it."""
    glass = glass_share(image)[..., None]
    mixed = made + glass * (image.astype(np.float32) - made)
    return np.asarray(np.rint(mixed), np.uint8)


def _linear_of_bytes() -> np.ndarray:
    value = np.arange(256) / 255
    linear = np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)
    return linear.astype(np.float32)


_LINEAR = _linear_of_bytes()
_DENSITY = -np.log((np.arange(256, dtype=np.float32) + 1) / np.float32(GLASS))

"""Micrometres per pixel as files state them, and when not to believe them."""

from __future__ import annotations

import math

UM_PER_UNIT = {
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
    "cm": 1e4,
    "centimeter": 1e4,
    "mm": 1e3,
    "millimeter": 1e3,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "micron": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "å": 1e-4,
    "angstrom": 1e-4,
    "inch": 25400.0,
    "in": 25400.0,
}

_LEAST, _MOST = 0.05, 100.0
_DEFAULT_DPI = (1, 50, 72, 75, 90, 96, 100, 120, 144, 150, 180, 200, 240, 300, 360, 400, 600, 1200)


def plausible(y: object, x: object) -> tuple[float, float] | None:
    """(y, x) in um per pixel if a slide or mammogram can have it: 0.05 to 100, finite; else None."""
    try:
        pair = float(y), float(x)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return pair if all(_LEAST <= value <= _MOST for value in pair) else None


def from_resolution(y: float, x: float, um_per_unit: float) -> tuple[float, float] | None:
    """Um per pixel from pixels per unit; None where it is absurd or a default of some program.

    300 dpi says nothing about a slide: programs write such numbers when they know nothing.
    """
    if not (y > 0 and x > 0 and math.isfinite(y) and math.isfinite(x)):
        return None
    dpi = x * 25400.0 / um_per_unit
    if any(abs(dpi - default) <= 2e-3 * default for default in _DEFAULT_DPI):
        return None
    return plausible(um_per_unit / y, um_per_unit / x)


def from_length(y: object, x: object, unit: str) -> tuple[float, float] | None:
    """Um per pixel from a pixel's size in a named unit; None for unknown units."""
    factor = UM_PER_UNIT.get(unit.strip().lower())
    try:
        return plausible(float(y) * factor, float(x) * factor) if factor else None  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def positive(y: object, x: object) -> tuple[float, float] | None:
    """(y, x) as floats if both are finite and above 0 (a user's own figure); None otherwise."""
    try:
        pair = float(y), float(x)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return pair if all(value > 0 and math.isfinite(value) for value in pair) else None

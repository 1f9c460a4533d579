"""Micrometres per pixel as files state them, and when not to believe them."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

_PREFIXES = {  # of the metre, as OME and NGFF have them: symbol, name, um
    "": ("", 1e6),
    "k": ("kilo", 1e9),
    "h": ("hecto", 1e8),
    "da": ("deca", 1e7),
    "d": ("deci", 1e5),
    "c": ("centi", 1e4),
    "m": ("milli", 1e3),
    "u": ("micro", 1.0),
    "µ": ("micro", 1.0),
    "n": ("nano", 1e-3),
    "p": ("pico", 1e-6),
    "f": ("femto", 1e-9),
    "a": ("atto", 1e-12),
}
_INCH = 25400.0
_UM_PER_UNIT = {
    name: um
    for symbol, (word, um) in _PREFIXES.items()
    for name in (f"{symbol}m", f"{word}meter", f"{word}metre")
} | {
    "µ": 1.0,
    "micron": 1.0,
    "å": 1e-4,
    "angstrom": 1e-4,
    "ångström": 1e-4,
    **dict.fromkeys(("inch", "inche", "in", '"'), _INCH),
    "thou": _INCH / 1000,
    "mil": _INCH / 1000,
    "li": _INCH / 12,
    "line": _INCH / 12,
    "pt": _INCH / 72,
    "point": _INCH / 72,
    **dict.fromkeys(("ft", "foot", "feet"), 12 * _INCH),
    **dict.fromkeys(("yd", "yard"), 36 * _INCH),
    **dict.fromkeys(("mi", "mile"), 63360 * _INCH),
}

FAR_COARSER = 4.0
"""A slide is hardly of the scale that is said where it is so many times as coarse as a model's."""

_WITH_UNIT = re.compile(
    r"([-+\d.,e]*\d[.,]?)\s*([^\W\d][\w.]*|\")\s*((/|per)\s*(px|pix|pixels?)\.?)?", re.IGNORECASE
)
_LEAST, _MOST = 0.05, 100.0
_DEFAULT_DPI = (1, 50, 72, 75, 90, 96, 100, 120, 144, 150, 180, 200, 240, 300, 360, 400, 600, 1200)


class Scale(NamedTuple):
    """What a file says of its scale.

    Attributes
    ----------
    mpp
        um per pixel (y, x); None where the file says nothing that can be true.
    source
        Who says so; where ``mpp`` is None, what is said and not believed; empty if nothing is.
    """

    mpp: tuple[float, float] | None
    source: str


UNSTATED = Scale(None, "")
"""Of a file that says nothing."""


def number(value: object) -> float:
    """A number as files write it, "0,25" with a decimal comma too; NaN for what is none."""
    text = str(value).strip()
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        return math.nan


def length(value: object, unit: str) -> tuple[float, str]:
    """A number and its unit, as some files write both together: "0.25 um", "250nm/pixel".

    Parameters
    ----------
    unit
        Of a number without one.
    """
    found = _WITH_UNIT.fullmatch(str(value).strip())
    return (number(value), unit) if found is None else (number(found[1]), found[2])


def um_per(unit: str) -> float | None:
    """Micrometres of a unit by any of its names ("mm", "microns", "Inch"); None for unknown ones."""
    name = unit.strip().rstrip(".").replace("μ", "µ").lower()
    return _UM_PER_UNIT.get(name) or _UM_PER_UNIT.get(name.removesuffix("s"))


def plausible(y: object, x: object) -> tuple[float, float] | None:
    """(y, x) in um per pixel if a slide or mammogram can have it: 0.05 to 100, finite; else None."""
    pair = number(y), number(x)
    return pair if all(_LEAST <= value <= _MOST for value in pair) else None


def stated(who: str, y: object, x: object) -> Scale:
    """Um per pixel in so many words, if it is plausible."""
    return from_length(who, y, x, "um")


def from_resolution(who: str, y: float, x: float, y_unit: str, x_unit: str = "") -> Scale:
    """Um per pixel from pixels per unit; not where it is absurd or a default of some program.

    300 dpi says nothing about a slide: programs write such numbers when they know nothing. Nor do
    numbers without a unit that is a length.
    """
    um = um_per(y_unit), um_per(x_unit or y_unit)
    if um[0] is None or um[1] is None or not (y > 0 and x > 0):
        return UNSTATED
    dpi = x * 25400.0 / um[1]
    mpp = plausible(um[0] / y, um[1] / x) if math.isfinite(x) and math.isfinite(y) else None
    if mpp is None or any(abs(dpi - default) <= 2e-3 * default for default in _DEFAULT_DPI):
        return Scale(None, f"{who} = {dpi:.4g} pixels per inch")
    return Scale(mpp, who)


def from_length(who: str, y: object, x: object, y_unit: str, x_unit: str = "") -> Scale:
    """Um per pixel from a pixel's size in named units; x's is y's where it is left out."""
    high, wide = length(y, y_unit), length(x, x_unit or y_unit)
    um = um_per(high[1]), um_per(wide[1])
    mpp = plausible(high[0] * um[0], wide[0] * um[1]) if um[0] and um[1] else None
    own = any(_WITH_UNIT.fullmatch(str(side).strip()) for side in (y, x))  # in their own words
    units = {} if own else dict.fromkeys((x_unit or y_unit, y_unit))
    return Scale(mpp, who if mpp else f"{who} = {_pair(x, y, ', '.join(units))}")


def _pair(x: object, y: object, unit: str) -> str:
    return f"{' x '.join(dict.fromkeys(str(side).strip()[:20] for side in (x, y)))} {unit}".strip()


def positive(y: object, x: object) -> tuple[float, float] | None:
    """(y, x) as floats if both are finite and above 0 (a user's own figure); None otherwise."""
    try:
        pair = float(y), float(x)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return pair if all(value > 0 and math.isfinite(value) for value in pair) else None

"""The stains that there are generators between, and what to say of one that doesn't fit."""

from __future__ import annotations

from napari_pathogan.errors import PathoganError

STAINS = {
    "he": "H&E",
    "pas": "PAS",
    "masson": "Masson trichrome",
    "pasm": "PASM silver",
}


class SourceStainError(PathoganError, ValueError):
    """An image is said to have a stain that a generator was not trained on, or nobody says which."""


def virtual_title(stain: str) -> str:
    """What a slide in a virtual stain is called, as :func:`stain_title`."""
    return f"virtual {stain_title(stain)}"


def stain_title(stain: str) -> str:
    """A stain as one reads it; a user's own stain has the name that was given."""
    return STAINS.get(stain, stain)

"""Patients, slides and images have pseudonyms in all that a training writes."""

from __future__ import annotations

import hashlib


def pseudonym(name: object) -> str:
    """8 hex digits in place of a name, the same on every computer.

    Somebody with a list of names can still tell which of them are meant, as `evaluate` does.
    """
    return hashlib.sha256(str(name).encode()).hexdigest()[:8]

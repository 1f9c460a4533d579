"""What a model does not look for: said wherever its result could be read as an all-clear."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def limits(scope: str, blind_to: Iterable[str] = ()) -> str:
    """What is looked for, and what is missed all the same.

    Parameters
    ----------
    scope
        A sentence of the task: ``Looks for masses only: not for calcifications.``
    blind_to
        What a model was measured to miss, of its card: ``masses under about 7 mm``.
    """
    missed = ", ".join(blind_to)
    return f"{scope} Misses {missed}." if missed else scope

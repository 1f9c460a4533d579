"""Work of the window's own thread, in steps: between two of them the window answers.

What lays layers is a generator that yields where the window may draw. It is gone through at once
(:func:`at_once`), or a step in a round of Qt's events (:class:`Steps`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

DRAW_MS = 10  # between two steps, for the canvas to be drawn


def at_once(steps: Iterable[None]) -> None:
    """Take all steps."""
    for _ in steps:
        pass


class Steps(QObject):
    """Takes a step at a time until there are none, or its owner is gone.

    Parameters
    ----------
    owner
        Whose work it is.
    steps
        A generator that works up to its next ``yield``.
    then
        Called after the last step, or after one that failed.
    """

    def __init__(
        self, owner: QObject, steps: Iterator[None], then: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(owner)
        self._steps, self._then = steps, then
        self._next = QTimer(self)
        self._next.setSingleShot(True)
        self._next.setInterval(DRAW_MS)
        self._next.timeout.connect(self.go)

    def finish(self) -> None:
        """Take all that are left now."""
        self._next.stop()
        try:
            at_once(self._steps)
        finally:
            self._then()

    def stop(self) -> None:
        """Take no more, and tell nobody."""
        self._next.stop()
        self._steps.close()  # type: ignore[attr-defined]  # a generator

    def go(self) -> None:
        """Take the next step, and the others after it."""
        more = False
        try:
            more = next(self._steps, self) is not self
        finally:
            if more:
                self._next.start()
            else:
                self._then()

"""Going round the places of an image that deserve a look: back and forth, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from qtpy.QtCore import QObject

from napari_pathogan.plugin.shell.dock_keys import OF_SLIDES, everywhere
from napari_pathogan.plugin.shell.form import button

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_pathogan.plugin.shell.dock import Dock
    from napari_pathogan.plugin.shell.form import Ties

P = TypeVar("P")


class Places(QObject, Generic[P]):
    """Two buttons and two keys that go from place to place; the status line says which of how many.

    Parameters
    ----------
    what
        A place is called: ``uncertain region``.
    why
        It is gone to, for the tooltip.
    find
        Gives the places in their order, as they are now; none where nothing was found.
    show
        Brings one into view and marks it; says what is known of it.
    marks
        As of :func:`~napari_pathogan.plugin.shell.dock_keys.everywhere`.

    Attributes
    ----------
    current
        The place that was gone to last.
    """

    def __init__(
        self,
        dock: Dock,
        ties: Ties,
        what: str,
        why: str,
        *,
        find: Callable[[], Sequence[P]],
        show: Callable[[P], str],
        waits: Callable[[P], bool] = lambda _: True,
        marks: frozenset[str] = OF_SLIDES,
    ) -> None:
        super().__init__(dock)
        self._form, self._what, self._find, self._show = dock.form, what, find, show
        self._waits = waits
        self.current: P | None = None
        self._at = 0
        self.next = button(f"Next {what}", f"{why} (U)")
        self.next.clicked.connect(lambda: self.go(1))
        self.back = button("Back", f"Go to the {what} before (Shift+U)")
        self.back.clicked.connect(lambda: self.go(-1))
        everywhere(dock, ties, "U", lambda: self.go(1), marks=marks)
        everywhere(dock, ties, "Shift+U", lambda: self.go(-1), marks=marks)

    def go(self, steps: int) -> bool:
        """Go on to the next place that waits, or back; after the last, to the first again.

        False if there are no places. Where none waits any more, all are gone through.
        """
        places = self._find()
        if not places:
            return False
        if self.current is not None and self.current in places:
            at = places.index(self.current) + steps
        else:  # the one behind has its number now
            at = self._at + min(steps, 0)
        if steps > 0:
            after = [(at + more) % len(places) for more in range(len(places))]
            at = next((one for one in after if self._waits(places[one])), at)
        self._at = at % len(places)
        self.current = place = places[self._at]
        said = self._show(place)
        count = f"{self._what[:1].upper()}{self._what[1:]} {self._at + 1:,} of {len(places):,}"
        self._form.status.setText(f"{count}: {said}" if said else count)
        return True

    def begin_anew(self) -> None:
        """Start from the first place: these are others."""
        self.current, self._at = None, 0

    def enable(self, *, enabled: bool) -> None:
        """Let both buttons be pressed, or rest."""
        for made in (self.next, self.back):
            made.setEnabled(enabled)

"""What the reader says of findings: the buttons and keys of the dock, drawing, keeping."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from napari.utils.notifications import show_error

from napari_pathogan.errors import PathoganError
from napari_pathogan.files import data_folder
from napari_pathogan.plugin.shell.form import button, evenly
from napari_pathogan.tasks.masses.review import Decision

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.layers import Image

    from napari_pathogan.plugin.masses.layers import Edit, MassLayers
    from napari_pathogan.plugin.masses.reviews import Reviews
    from napari_pathogan.plugin.shell.form import Form
    from napari_pathogan.plugin.shell.running import Run
    from napari_pathogan.tasks.masses.review import Review


class Findings(Protocol):
    """What is decided on: the findings of the open images, as a dock shows them."""

    form: Form
    run: Run | None
    finding: tuple[Image, int] | None

    @property
    def layer(self) -> Image | None:
        """The chosen image."""

    @property
    def pairs(self) -> list[MassLayers]:
        """The layers of all examinations' findings."""

    def layers_of(self, image: Image) -> MassLayers:
        """Those on which an image's findings are."""

    def show_findings(self) -> None:
        """Show what has become of them."""

    def go_on(self) -> None:
        """Go to the next finding that is not decided yet."""

    def show_place(self, image: Image, number: int) -> None:
        """Choose a finding, and go there if it is out of view."""

    def did(
        self, image: Image, what: str, back: Callable[[], bool], again: Callable[[], bool]
    ) -> None:
        """Something was done, which can be taken back."""


class Decisions:
    """Accept, reject, draw, back and forth; everything is kept at once."""

    def __init__(self, dock: Findings, reviews: Reviews) -> None:
        self.dock, self.reviews = dock, reviews
        self.accept = button("Accept", "This finding is a mass; on to the next (A)")
        self.reject = button("Reject", "This is no mass, or wrongly drawn; on to the next (R)")
        self.draw = button(
            "Draw",
            "Outline a mass in the chosen image: drag an ellipse, or take another of napari's tools",
        )
        self.draw.setCheckable(True)
        self.keep = button(
            "Keep view",
            "Keep the chosen view as it is reviewed now: one without any mass, too, which models "
            "learn from as a normal one",
        )
        self.line = evenly(self.accept, self.reject, self.draw)
        self.accept.clicked.connect(partial(self.decide, Decision.ACCEPTED))
        self.reject.clicked.connect(partial(self.decide, Decision.REJECTED))
        self.draw.toggled.connect(self._draw_toggled)
        self.keep.clicked.connect(self.keep_view)
        self.keys: dict[str, Callable[[], bool]] = {
            "A": partial(self.decide, Decision.ACCEPTED),
            "R": partial(self.decide, Decision.REJECTED),
            "Delete": partial(self.decide, Decision.REJECTED),
        }

    def decide(self, decision: Decision, _checked: object = None) -> bool:
        """Say of the chosen finding what it is; False if none is chosen. One that is hidden is shown first."""
        if self.dock.finding is None:
            return False
        image, number = self.dock.finding
        if not image.visible:
            self.dock.show_place(image, number)
        elif self.dock.run is None:
            what = f"{decision} ({image.name})"
            if self._change(image, what, lambda: self.reviews.decide(image, number, decision)):
                self.dock.go_on()
        return True

    def keep_view(self) -> None:
        """Keep the chosen view as reviewed, also if it has no mass."""
        image = self.dock.layer
        if image is not None and self.dock.run is None:
            self._keep(image, lambda: self.reviews.keep(image))

    def edited(self, image: Image, edit: Edit) -> None:
        """Take over what was drawn with napari's tools."""
        self.reviews.begin(image)
        what = "drawing" if edit.drawn else "deletion" if edit.removed else "new outline"
        self._change(image, f"{what} ({image.name})", lambda: self.reviews.edit(image, edit))
        self.draw.setChecked(False)

    def enable(self) -> None:
        """Let the buttons say what can be done."""
        idle = self.dock.run is None
        for widget in (self.accept, self.reject):
            widget.setEnabled(idle and self.dock.finding is not None)
        for widget in (self.draw, self.keep):
            widget.setEnabled(idle and self.dock.layer is not None)

    def take_drawn(self) -> None:
        """Take over what was drawn a moment ago."""
        for layers in self.dock.pairs:
            layers.take_drawn()

    def _change(self, image: Image, what: str, change: Callable[[], Path]) -> bool:
        """Change a review, which can be taken back; says whether it could be kept."""
        before = self.reviews.review_of(image)
        if not self._keep(image, change):
            return False
        after = self.reviews.review_of(image)
        assert before is not None
        assert after is not None
        self.dock.did(
            image,
            what,
            partial(self._put, image, after, before),
            partial(self._put, image, before, after),
        )
        return True

    def _put(self, image: Image, now: Review, then: Review) -> bool:
        """Put a review of before in the place of the one there is, and show where they differ."""
        if self.dock.run is not None:
            return False
        if not self._keep(image, lambda: self.reviews.put(image, then)):
            return False
        differs = [n for n in then.ids if _of(then, n) != _of(now, n)]
        if differs:
            self.dock.show_place(image, differs[0])
        return True

    def _keep(self, image: Image, change: Callable[[], Path]) -> bool:
        """Change the review, which is kept at once; says whether it could be."""
        kept = False
        try:
            path = change()
        except PathoganError as error:
            show_error(str(error))
        else:
            kept = True
            elsewhere = data_folder() in path.parents
            place = "Kept in PathoGAN's data folder" if elsewhere else "Kept beside the image"
            self.dock.form.status.setText(self.reviews.note(image) or place)
            self.dock.form.status.setToolTip(str(path))
        self.dock.show_findings()
        return kept

    def _draw_toggled(self, drawing: bool) -> None:  # noqa: FBT001  (Qt passes it)
        layer = self.dock.layer
        if layer is None:
            return
        if drawing:
            self.reviews.begin(layer)
            self.dock.layers_of(layer).begin_drawing(layer)
            self.dock.form.status.setText("Drag an ellipse around the mass")
        else:
            for layers in self.dock.pairs:
                if layers.drawing:
                    layers.end_drawing()


def _of(review: Review, number: int) -> tuple[Decision, bytes] | None:
    """What is said of a finding, and its outline; None where there is none."""
    at = review.index(number)
    return None if at is None else (review.decisions[at], review.found.contours[at].tobytes())

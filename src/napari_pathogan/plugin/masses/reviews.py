"""The reviews of all open mammograms: what is said of each finding, and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.annotations.merging import LATER, Known
from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.masses.annotations import known_of, read_review, write_review
from napari_pathogan.plugin.viewer.mammogram_layers import mammogram_of
from napari_pathogan.tasks.masses.detections import Detections
from napari_pathogan.tasks.masses.review import Decision, Review, least, too_small

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Image

    from napari_pathogan.plugin.masses.layers import Edit


class TooSmallError(PathoganError, ValueError):
    """What was drawn is too small for a mass."""


class Reviews:
    """What was found in each image, and what the reader says of it."""

    def __init__(self) -> None:
        self.threshold = 0.0  # what scores less is not shown, unless it is decided
        self._current: dict[Image, Review] = {}
        self._coming: dict[Image, Review] = {}  # of a run that has not ended
        self._known: dict[Image, Known] = {}  # of the files

    def __contains__(self, image: Image) -> bool:
        return image in self._current

    def review_of(self, image: Image) -> Review | None:
        """The whole review of an image; None if it was not looked at."""
        return self._coming.get(image, self._current.get(image))

    def decided(self, image: Image) -> Review | None:
        """It without what comes in a run that has not ended."""
        return self._current.get(image)

    def shown(self, image: Image) -> Review | None:
        """What of it is shown at the threshold."""
        review = self.review_of(image)
        return None if review is None else review.at(self.threshold)

    def look_for_annotations(self, image: Image) -> bool:
        """Take over what was kept with an image; says whether there was something.

        Raises
        ------
        DataFolderError
            If it can't be read.
        """
        mammogram = mammogram_of(image)
        known = known_of(mammogram)
        review = read_review(mammogram)
        self._known[image] = known
        if review is not None:
            self._current[image] = review
        return review is not None

    def come_back(self, image: Image, review: Review) -> None:
        """Take over a review of before as it was."""
        self._current[image] = review

    def come(self, image: Image, detections: Detections) -> None:
        """Show what a model has found while it looks at others; it counts once it is :meth:`detected`."""
        old = self._current.get(image)
        self._coming[image] = Review.of(detections) if old is None else old.renewed(detections)

    def take_back(self) -> None:
        """Forget what came in a run that was stopped."""
        self._coming.clear()

    def detected(self, image: Image, detections: Detections) -> None:
        """Take over what a model has found; what the reader has decided before stays."""
        self.come(image, detections)
        self._current[image] = self._coming.pop(image)

    def begin(self, image: Image) -> None:
        """Begin without a model, to draw."""
        if image not in self:
            nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
            self._current[image] = Review.of(Detections.on(mammogram_of(image), *nothing))

    def decide(self, image: Image, number: int, decision: Decision) -> Path:
        """Say of a finding what it is; returns where that is kept.

        Raises
        ------
        OutputError
            If it can't be kept; then it is not decided either.
        """
        return self._change(image, self._current[image].decided(number, decision))

    def keep(self, image: Image) -> Path:
        """Keep what is shown in an image, also if that is nothing; returns where.

        Raises
        ------
        OutputError
            If it can't be kept.
        """
        self.begin(image)
        return self._write(image, self._current[image])

    def edit(self, image: Image, edit: Edit) -> Path:
        """Take over what was drawn, changed or deleted in an image; returns where it is kept.

        Raises
        ------
        OutputError
            If it can't be kept; then nothing is changed.
        TooSmallError
            If something drawn is too small for a mass; then nothing is changed.
        """
        self.begin(image)
        review = self._current[image]
        for outline in edit.drawn:
            _check_size(image, outline)
        for number in edit.removed:
            review = review.decided(number, Decision.REJECTED)
        for number, outline in edit.redrawn.items():
            review = review.redrawn(number, outline)
        for outline in edit.drawn:
            review = review.with_drawn(outline)
        return self._change(image, review)

    def put(self, image: Image, review: Review) -> Path:
        """Put a review of before in the place of the one there is; returns where it is kept.

        Raises
        ------
        OutputError
            If it can't be kept; then nothing is changed.
        """
        return self._change(image, review)

    def show(self, image: Image, review: Review | None) -> None:
        """Put what a run has found before, or nothing, in the place of what there is."""
        if review is None:
            self._current.pop(image, None)
        else:
            self._current[image] = review

    def forget(self, image: Image) -> None:
        """Let go of an image that is closed."""
        self._current.pop(image, None)
        self._coming.pop(image, None)
        self._known.pop(image, None)

    def note(self, image: Image) -> str:
        """What another window has kept of an image meanwhile, in words; empty if nothing."""
        known = self._known.get(image)
        return f"{known.note}. {LATER}" if known is not None and known.note else ""

    def _change(self, image: Image, review: Review) -> Path:
        path = self._write(image, review)
        self._current[image] = review
        return path

    def _write(self, image: Image, review: Review) -> Path:
        known = self._known.setdefault(image, Known())
        return write_review(mammogram_of(image), review.at(self.threshold), known)


def _check_size(image: Image, outline: np.ndarray) -> None:
    if why := too_small(outline, mammogram_of(image).mm_per_px):
        msg = f"What was drawn is {why}: it is left out. Draw at least {least(mammogram_of(image).mm_per_px)}"
        raise TooSmallError(msg)

"""The shelf of lesions: a small picture of each, to choose one from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSize, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QListView, QListWidget, QListWidgetItem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pathogan.tasks.blending.lesions import Lesion

ICON_PX = 56
SCROLL_PX = 16


class LesionShelf(QListWidget):
    """Pictures of lesions in a line; the first is chosen at first."""

    chosen = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.lesions: tuple[Lesion, ...] = ()
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(False)
        self.setMovement(QListView.Movement.Static)
        self.setIconSize(QSize(ICON_PX, ICON_PX))
        self.setSpacing(2)
        self.setFixedHeight(ICON_PX + SCROLL_PX + 10)
        self.setToolTip("The lesion to blend, with the tissue around it")
        self.itemSelectionChanged.connect(self.chosen)

    @property
    def lesion(self) -> Lesion | None:
        """The chosen one."""
        rows = self.selectedIndexes()
        return self.lesions[rows[0].row()] if rows else None

    def show_lesions(self, lesions: Sequence[Lesion]) -> None:
        """Put others on the shelf."""
        self.blockSignals(True)
        self.clear()
        self.lesions = tuple(lesions)
        for lesion in lesions:
            item = QListWidgetItem(_picture(lesion.patch), "")
            height, width = lesion.mask.any(1).sum(), lesion.mask.any(0).sum()
            item.setToolTip(f"{lesion.name}: {width} x {height} px")
            item.setSizeHint(QSize(ICON_PX + 4, ICON_PX + 4))
            self.addItem(item)
        if lesions:
            self.setCurrentRow(0)
        self.blockSignals(False)


def _picture(patch: np.ndarray) -> QIcon:
    """A square picture of a patch (H, W), from its darkest to its brightest."""
    from skimage.transform import resize  # noqa: PLC0415  (slow to import)

    low, high = float(patch.min()), float(patch.max())
    longest = max(patch.shape)
    square = np.full((longest, longest), low, np.float32)
    top, left = ((longest - n) // 2 for n in patch.shape)
    square[top : top + patch.shape[0], left : left + patch.shape[1]] = patch
    small = resize((square - low) / max(high - low, 1e-6), (ICON_PX, ICON_PX))
    grey = np.ascontiguousarray(np.rint(255 * small).astype(np.uint8))
    image = QImage(grey.tobytes(), ICON_PX, ICON_PX, ICON_PX, QImage.Format.Format_Grayscale8)
    return QIcon(QPixmap.fromImage(image.copy()))

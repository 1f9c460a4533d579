"""Lists of where a new study's images come from: folders, slides, generators."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QAction  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_pathogan.plugin.shell.form import shortened
from napari_pathogan.plugin.viewer.layers import is_slide
from napari_pathogan.plugin.viewer.reader import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import napari

    from napari_pathogan.synthetic import GeneratorInfo

SOURCE = Qt.ItemDataRole.UserRole


class SourceList(QWidget):
    """The sources of the real, or of the generated images, and how many images to take."""

    changed = Signal()

    def __init__(self, title: str, *, number: int = 50) -> None:
        super().__init__()
        self.number = QSpinBox()
        self.number.setRange(1, 5000)
        self.number.setValue(number)
        self.number.setToolTip("How many images count; several sources share them evenly")
        self.list = QListWidget()
        self.list.setMinimumHeight(64)
        self.list.setSelectionMode(QListWidget.SelectionMode.ExtendedSelection)
        self.add = QPushButton("Add")
        self.menu = QMenu(self)
        self.add.setMenu(self.menu)
        self.remove = QPushButton("Remove")
        self.remove.setToolTip("Take the selected sources out of the list")
        self.remove.clicked.connect(self._remove)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(0, 1)
        grid.addWidget(QLabel(f"<b>{title}</b>"), 0, 0)
        grid.addWidget(QLabel("number"), 0, 1, Qt.AlignmentFlag.AlignRight)
        grid.addWidget(self.number, 0, 2)
        grid.addWidget(self.list, 1, 0, 3, 2)
        grid.addWidget(self.add, 1, 2)
        grid.addWidget(self.remove, 2, 2)
        grid.setRowStretch(3, 1)
        entry(self.menu, "Folder of images…", self._ask_folder)
        self._show()

    @property
    def sources(self) -> list[dict[str, Any]]:
        """As the study's settings take them."""
        items = (self.list.item(row) for row in range(self.list.count()))
        return [item.data(SOURCE) for item in items if item is not None]

    def put(self, source: dict[str, Any], text: str, tip: str) -> None:
        """Add a source; one that is there already stays alone."""
        if source not in self.sources:
            item = QListWidgetItem(text)
            item.setData(SOURCE, source)
            item.setToolTip(tip)
            self.list.addItem(item)
            self._show()

    def put_folder(self, folder: Path) -> None:
        """Add a folder of images."""
        self.put({"folder": str(folder)}, f"Folder {shortened(folder.name, 40)}", str(folder))

    def put_slides(self, path: Path, _checked: object = None) -> None:
        """Add a slide, or a folder of slides."""
        kind = "Slides in" if path.is_dir() and path.suffix != ".zarr" else "Slide"
        self.put({"slides": str(path)}, f"{kind} {shortened(path.name, 40)}", str(path))

    def _ask_folder(self, _checked: object = None) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of images")
        if folder:
            self.put_folder(Path(folder))

    def _remove(self) -> None:
        for item in self.list.selectedItems():
            self.list.takeItem(self.list.row(item))
        self._show()

    def _show(self) -> None:
        self.remove.setEnabled(self.list.count() > 0)
        self.changed.emit()


class RealList(SourceList):
    """Real images: folders, slides that are open, slides on the disk."""

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__("Real images")
        self.viewer = viewer
        entry(self.menu, "Slide…", self._ask_slide)
        entry(self.menu, "Folder of slides…", self._ask_slides)
        self._open = self.menu.addMenu("Open slides")
        self.menu.aboutToShow.connect(self.offer_open)

    def offer_open(self) -> None:
        """Offer the slides that are open and have a file."""
        assert self._open is not None
        self._open.clear()
        for layer in reversed(self.viewer.layers):
            path = layer.metadata.get("path") if is_slide(layer) else None
            if path is not None:
                entry(self._open, layer.name, partial(self.put_slides, Path(path)))
        self._open.setEnabled(not self._open.isEmpty())

    def _ask_slide(self, _checked: object = None) -> None:
        kinds = " ".join(f"*{suffix}" for suffix in SUFFIXES if suffix != ".zarr")
        path, _ = QFileDialog.getOpenFileName(self, "Slide", "", f"Slides ({kinds})")
        if path:
            self.put_slides(Path(path))

    def _ask_slides(self, _checked: object = None) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of slides")
        if folder:
            self.put_slides(Path(folder))


class GeneratedList(SourceList):
    """Generated images: from a generator, class by class, or from folders."""

    taken = Signal(object)  # GeneratorInfo of a generator that was added

    def __init__(self) -> None:
        super().__init__("Generated images")
        self._looking = entry(self.menu, "Looking for generators…")
        self._looking.setEnabled(False)

    def offer(self, known: Mapping[str, GeneratorInfo]) -> None:
        """Offer generators, each with its classes."""
        if known:
            self.menu.removeAction(self._looking)
        self._looking.setText("No generator found")
        for name, info in known.items():
            below = self.menu.addMenu(info.card.title)
            assert below is not None
            every = () if info.paints else (None,)
            for label in (*info.labels, *every):
                take = partial(self.put_generator, name, info, label)
                entry(below, label or "all classes", take)

    def put_generator(
        self, name: str, info: GeneratorInfo, label: str | None, _checked: object = None
    ) -> None:
        """Add a generator, for one of its classes or all; ask what it is to paint over."""
        source = {"generator": name, **({"label": label} if label else {})}
        tip = f"Generator {name}"
        if info.paints:
            folder = QFileDialog.getExistingDirectory(self, "Folder of images to paint over")
            if not folder:
                return
            source["of"] = folder
            tip = f"{tip}, of {folder}"
        self.put(source, f"{info.card.title}: {label or 'all classes'}", tip)
        if not info.paints:  # what paints has the size of what it paints over
            self.taken.emit(info)


def entry(menu: QMenu, text: str, do: Callable[..., object] | None = None) -> QAction:
    """Add an entry to a menu."""
    made = QAction(text, menu)
    if do is not None:
        made.triggered.connect(do)
    menu.addAction(made)
    return made

"""Dialogs that ask for files and folders, each kind where the last one was chosen, also in another napari."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QDialog, QFileDialog, QInputDialog

from napari_pathogan.addresses import place_of
from napari_pathogan.plugin.viewer.remembered import recall, remember
from napari_pathogan.plugin.viewer.samples import FOLDER

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

SLIDES, MAMMOGRAMS, CASES, RESULTS, MODELS = (
    "slides",
    "mammograms",
    "cases",
    "results",
    "models",
)
_FOLDERS = "last folders"  # beside the titles of docks


def ask_file(parent: QWidget | None, title: str, kinds: str, of: str) -> Path | None:
    """A file to read; None if there is to be none."""
    path, _ = QFileDialog.getOpenFileName(parent, title, _last(of), kinds)
    return _took(of, path)


def ask_address(parent: QWidget | None) -> Path | None:
    """What stands for an address that the user types; None if there is to be none.

    Nothing of it is remembered: it may hold what opens it to others.
    """
    dialog = QInputDialog(parent)
    dialog.setWindowTitle("Open from an address")
    dialog.setLabelText(
        "Address of a slide on a web server (https://) or in a bucket (s3://):\n"
        "SVS, NDPI, OME-TIFF and other TIFF, OME-Zarr, PNG, JPEG. It is read as far as you look at it."
    )
    dialog.resize(640, dialog.sizeHint().height())
    if dialog.exec() != QDialog.DialogCode.Accepted or not dialog.textValue().strip():
        return None
    return place_of(dialog.textValue().strip())


def ask_files(parent: QWidget | None, title: str, kinds: str, of: str) -> list[Path]:
    """Files to read."""
    paths, _ = QFileDialog.getOpenFileNames(parent, title, _last(of), kinds)
    if paths:
        _took(of, paths[0])
    return [Path(path) for path in paths]


def ask_folder(parent: QWidget | None, title: str, of: str) -> Path | None:
    """A folder."""
    return _took(of, QFileDialog.getExistingDirectory(parent, title, _last(of)))


def ask_target(
    parent: QWidget | None,
    title: str,
    name: str,
    kinds: str,
    of: str,
    *,
    beside: Path | None = None,
) -> Path | None:
    """A file to write, by that name if the user gives no other.

    Parameters
    ----------
    beside
        A file in whose folder it is looked for where none was asked for before.
    """
    last = _last(of)
    if not last and beside is not None and beside.parent.is_dir() and FOLDER not in beside.parents:
        last = str(beside.parent)
    path, _ = QFileDialog.getSaveFileName(
        parent, title, str(Path(last) / name) if last else name, kinds
    )
    return _took(of, path)


def _last(of: str) -> str:
    folder = recall(_FOLDERS).get(of)
    return folder if isinstance(folder, str) and Path(folder).is_dir() else ""


def _took(of: str, path: str) -> Path | None:
    if not path:
        return None
    remember({_FOLDERS: {**recall(_FOLDERS), of: str(Path(path).absolute().parent)}})
    return Path(path)

"""Cross-validation by patient: a network a fold, tested once on whom it never saw.

A run's ``folds.json`` says which patient is tested in which fold, so that the networks of a later
run of the same folds can begin with this one's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.folds import folds_of, same_folds
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import DataFolderError
from napari_pathogan.files import write_text
from napari_pathogan.kinds import OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from napari_pathogan.engine.events import Event

FOLDS = "folds.json"
OUT_OF_FOLD = "out_of_fold.safetensors"  # what networks say of patients that they never saw


def cross_validate(  # noqa: PLR0917 - as they come
    run: RunFolder,
    folds: int,
    outputs: str,
    train: Callable[[int, RunFolder], Generator[Event, None, Any]],
    test: Callable[[int, Any, Path], Iterable[Event]],
    under: str = "folds",
) -> Generator[Event, None, list[Path]]:
    """Train a network a fold and keep what it says of the patients left out.

    What a stopped run has tested is neither trained nor tested again.

    Parameters
    ----------
    outputs
        Name of the file in each fold's folder that ``test`` writes, whole or not at all.
    train
        Trains fold ``k`` in its own run folder; returns the network.
    test
        Tests fold ``k``'s network and writes the file.
    under
        The folder in the run that holds the folds' folders.

    Returns
    -------
    The files, by fold.
    """
    files = []
    for k in range(folds):
        part = RunFolder(run.path / under / str(k))
        file = part.path / outputs
        if not file.exists():
            network = yield from train(k, part)
            yield from test(k, network, file)
        files.append(file)
    return files


def need_model(start: str, *, compare: bool, folds: int | str) -> None:
    """Make sure that there is a model to compare with.

    Raises
    ------
    SettingError
        If a comparison is asked for, but not with a model: of a run's folds, their own figures are
        what counts.
    """
    if compare and (not start or folds or RunFolder(Path(start)).config.is_file()):
        msg = "compare would count for nothing: it goes with --start MODEL, without --folds"
        raise SettingError(msg)


def nested(fold: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Who is tested and by whom what is fitted to outputs is chosen: masks (N,), fold by fold.

    A threshold or calibration for a fold's patients is fitted to the others, or to themselves
    where there is one fold only. ``fold`` is int (N,), without patients that nobody tested.
    """
    folds = np.unique(fold)
    for k in folds:
        tested = fold == k
        yield tested, ~tested if len(folds) > 1 else tested


def write_folds(run: RunFolder, patients: np.ndarray, fold: np.ndarray) -> None:
    """Keep in a run who (N,) is tested in which fold (N,), by pseudonyms."""
    write_text(run.path / FOLDS, json.dumps(folds_of(patients, fold), indent=1), OURS)


def earlier(run: RunFolder, patients: np.ndarray, fold: np.ndarray | None) -> dict[int, Path]:
    """The checkpoints of a finished run's folds, to begin with; none where ``fold`` is None.

    Raises
    ------
    DataFolderError
        If the run had other patients or folds, so that a network would be tested on patients
        that it has seen; or is not finished.
    """
    checkpoints: dict[int, Path] = {}
    if fold is not None:
        file = run.path / FOLDS
        had = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if not same_folds(had, patients, fold):
            msg = (
                f"{run.path} had other patient folds, so its networks know patients to be tested on"
            )
            raise DataFolderError(msg)
        folds = (run.path / "folds" / str(k) for k in range(fold.max(initial=-1) + 1))
        checkpoints = {k: RunFolder(part).checkpoint for k, part in enumerate(folds)}
    for checkpoint in (*checkpoints.values(), run.checkpoint):
        if not checkpoint.is_file():
            msg = f"{run.path} is no finished run: {checkpoint} is missing; resume it first"
            raise DataFolderError(msg)
    return checkpoints

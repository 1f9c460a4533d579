"""Folds are trained and tested once, and thresholds are chosen on other folds than their own."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pathogan.engine.crossval import cross_validate, earlier, nested, write_folds
from napari_pathogan.engine.events import Warn
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import DataFolderError


def test_what_a_stopped_run_has_tested_is_not_trained_again(tmp_path):
    run, trained = RunFolder(tmp_path / "run"), []

    def train(k, part):
        part.start({"width": 8}, resume=True)
        trained.append(k)
        if trained == [0, 1]:
            raise KeyboardInterrupt
        yield Warn(f"fold {k}")
        return f"network {k}"

    def test(k, network, file):
        file.write_text(f"{network} of fold {k}")
        return ()

    with pytest.raises(KeyboardInterrupt):
        list(cross_validate(run, 3, "kept", train, test))

    def whole():
        files = yield from cross_validate(run, 3, "kept", train, test)
        assert [file.read_text() for file in files] == [
            f"network {k} of fold {k}" for k in range(3)
        ]

    assert [event.message for event in whole()] == ["fold 1", "fold 2"]
    assert trained == [0, 1, 1, 2]


def test_nobody_chooses_for_themselves():
    fold = np.array([0, 1, 2, 1])
    pairs = list(nested(fold))
    assert sum(tested.astype(int) for tested, _ in pairs).tolist() == [1, 1, 1, 1]
    assert not any((tested & others).any() for tested, others in pairs)
    ((tested, others),) = nested(np.zeros(3, int))
    assert tested.all(), "but for who is alone"
    assert others.all()


def test_only_a_finished_run_of_the_same_folds_is_begun_with(tmp_path):
    run, patients, fold = (
        RunFolder(tmp_path / "run"),
        np.array(["a", "a", "b"]),
        np.array([0, 0, 1]),
    )
    run.start({})
    with pytest.raises(DataFolderError, match="other patient folds"):
        earlier(run, patients, fold)
    write_folds(run, patients, fold)
    with pytest.raises(DataFolderError, match="other patient folds"):
        earlier(run, patients, 1 - fold)
    with pytest.raises(DataFolderError, match="no finished run"):
        earlier(run, patients, fold)
    parts = [RunFolder(run.path / "folds" / str(k)) for k in (0, 1)]
    for part in (*parts, run):
        part.path.mkdir(parents=True, exist_ok=True)
        part.checkpoint.touch()
    assert earlier(run, patients, fold) == {k: part.checkpoint for k, part in enumerate(parts)}
    assert earlier(run, patients, None) == {}

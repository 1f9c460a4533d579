"""Folders of patches: what is read, what is left out and named, and splits by patient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.errors import DataFolderError
from napari_pathogan.tasks.idc import data


def test_a_folder_comes_back_as_it_was_written(tmp_path, patches, write):
    read = data.read_patches(write(tmp_path, patches))
    assert len(read) == len(patches)
    assert read.names == patches.names
    assert not read.skipped

    def content(p):
        sums = p.images.sum((1, 2, 3))
        return sorted(zip(p.patients, p.xy[:, 0], p.xy[:, 1], p.labels, sums, strict=True))

    assert content(read) == content(patches)


def test_a_nested_copy_is_left_out(tmp_path, patches, write):
    write(tmp_path, patches)
    write(tmp_path / "IDC_regular_ps50_idx5", patches)
    assert len(data.read_patches(tmp_path)) == len(patches)


def test_an_archive_unpacked_into_its_own_folder_is_found(tmp_path, patches, write):
    write(tmp_path / "IDC_regular_ps50_idx5", patches)
    assert len(data.read_patches(tmp_path)) == len(patches)


def test_broken_and_misplaced_files_are_skipped_and_named(tmp_path, patches, write):
    folder = write(tmp_path, patches)
    good = next((folder / "p0" / "1").glob("*.png"))
    (folder / "p0" / "1" / "p0_idx5_x900_y1_class1.png").write_bytes(good.read_bytes()[:300])
    (folder / "p0" / "0" / "p0_idx5_x901_y1_class0.png").write_text("not a picture")
    (folder / "p0" / "0" / "p0_idx5_x902_y1_class1.png").write_bytes(good.read_bytes())
    (folder / "p0" / "0" / "thumb.png").write_bytes(good.read_bytes())
    Image.new("RGB", (50, 31)).save(folder / "p0" / "0" / "p0_idx5_x903_y1_class0.png")
    (folder / "p0" / "0" / "Thumbs.db").write_bytes(b"")
    read = data.read_patches(folder)
    assert len(read) == len(patches)
    assert len(read.skipped) == 5
    for part in ("x900", "x901", "x902", "thumb", "x903"):
        assert sum(part in line for line in read.skipped) == 1
    assert any("31" in line for line in read.skipped)


def test_unlabelled_patches(tmp_path, patches, write):
    folder = write(tmp_path, patches)
    (folder / "p0" / "unlabelled").mkdir()
    good = next((folder / "p0" / "1").glob("*.png"))
    (folder / "p0" / "unlabelled" / "p0_idx5_x901_y1.png").write_bytes(good.read_bytes())
    read = data.read_patches(folder)
    assert (read.labels == data.UNLABELLED).sum() == 1
    assert len(read.labelled) == len(patches)


@pytest.mark.parametrize("make", ["missing", "file", "empty", "broken"])
def test_folders_that_hold_nothing_say_so(tmp_path, make):
    folder = tmp_path / "data"
    if make == "file":
        folder.write_text("")
    elif make != "missing":
        (folder / "p" / "0").mkdir(parents=True)
    if make == "broken":
        (folder / "p" / "0" / "p_idx5_x1_y1_class0.png").write_text("x")
    with pytest.raises(DataFolderError, match="data"):
        data.read_patches(folder)


@given(st.lists(st.integers(1, 40), min_size=2, max_size=12), st.integers(2, 12))
def test_no_patient_is_in_two_folds_and_all_are_tested(counts, folds):
    patients = np.repeat([f"p{i}" for i in range(len(counts))], counts)
    np.random.default_rng(0).shuffle(patients)
    if folds > len(counts):
        with pytest.raises(DataFolderError, match="by patient"):
            patient_folds(patients, folds)
        return
    fold = patient_folds(patients, folds)
    assert set(fold) == set(range(folds))
    for name in set(patients):
        assert len(set(fold[patients == name])) == 1


def test_folds_need_two_patients(patches):
    with pytest.raises(DataFolderError, match="1 patient:"):
        patient_folds(patches.patients[:12], 2)


def test_hold_out_splits_by_patient(patches):
    train, test = data.hold_out(patches, 0.25)
    assert not set(train.names) & set(test.names)
    assert len(train) + len(test) == len(patches)


def test_hidden_labels_keep_both_classes(patches):
    few = data.hide_labels(patches, 0.1, seed=1)
    assert (few.labels == 1).sum() == (few.labels == 0).sum() == 2
    assert np.array_equal(few.labels[few.labels >= 0], patches.labels[few.labels >= 0])
    assert np.array_equal(data.hide_labels(patches, 1, seed=1).labels, patches.labels)
    with pytest.raises(DataFolderError, match="share"):
        data.hide_labels(patches, 0, seed=1)


def test_one_class_is_not_enough_to_learn(patches):
    with pytest.raises(DataFolderError, match="healthy"):
        data.need_both_classes(patches.take(patches.labels == 1))


def test_joined_folders_keep_their_notes(patches):
    joined = data.join([patches, patches.of(["p1"])])
    assert len(joined) == 60
    with pytest.raises(DataFolderError):
        data.join([])


def test_the_real_folder(real_patches):
    read = data.read_patches(real_patches)
    assert len(read) == 4399
    assert len(read.names) == 10
    assert not read.skipped
    _, (rows, columns) = read.grid("9260")
    assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == len(rows)

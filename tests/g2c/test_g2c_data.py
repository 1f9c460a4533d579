"""Both layouts, groups of labels, and what is wrong with a folder in one sentence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from g2c_stand_ins import images
from PIL import Image

from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.errors import DataFolderError
from napari_pathogan.tasks.virtual_stain.g2c.data import groups, read_folder, resized


def picture(path, side=20, level=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((side, side, 3), level, np.uint8)).save(path)


@pytest.fixture
def listed(tmp_path):
    """A folder with a table, as ``glomeruli_pas`` is laid out."""
    lines = ["Image,Label"]
    for n, (who, label) in enumerate((w, k) for w in ("18-1", "31-2") for k in (0, 1, 1)):
        picture(tmp_path / f"{who}_PAS_{n}.png")
        lines.append(f"{who}_PAS_{n}.png,{label}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return tmp_path


def test_patients_and_classes_are_folders(folder):
    assert folder.classes == ("0", "1")
    assert folder.names == ("ann", "bob", "cid")
    assert np.bincount(folder.labels).tolist() == [12, 12]
    assert folder.patch_px == 40


def test_a_table_says_classes_and_names_say_patients(listed):
    found = read_folder(listed)
    assert found.classes == ("0", "1")
    assert found.names == ("18-1", "31-2")
    assert "no column patient" in found.notes[0]


def test_a_table_may_say_patients(listed):
    rows = (listed / "labels.csv").read_text().splitlines()[1:]
    lines = [f"{row},{'ab'[n % 2]}" for n, row in enumerate(rows)]
    (listed / "labels.csv").write_text("\n".join(["file,class,patient", *lines]))
    found = read_folder(listed)
    assert found.names == ("a", "b")
    assert found.notes == ()


def test_no_patient_is_in_two_folds(tmp_path):
    found = read_folder(images(tmp_path, patients=[f"p{n}" for n in range(7)], count=2))
    fold = patient_folds(found.patients, 3)
    for name in found.names:
        assert len(set(fold[found.patients == name])) == 1


def test_a_nested_copy_and_other_files_are_left_out(data):
    picture(data / "data" / "ann" / "0" / "0.png")
    picture(data / "ann" / "0" / "deeper" / "x.png")
    (data / "ann" / "0" / "notes.txt").write_text("x")
    (data / "ann" / "0" / "broken.png").write_bytes(b"x")
    picture(data / "ann" / "0" / "a_idx5_x1_y1_class1.png")
    picture(data / "ann" / "1" / "tiny.png", side=8)
    found = read_folder(data)
    assert len(found) == 24
    said = "\n".join(found.notes)
    assert all(name in said for name in ("broken.png", "class1", "tiny.png"))


def test_large_images_are_made_smaller_and_small_ones_are_not_enlarged(data):
    picture(data / "ann" / "0" / "large.png", side=600)
    sides = {image.shape[0] for image in read_folder(data).images}
    assert sides == {40, 256}


def test_groups_put_labels_together_and_leave_others_out(tmp_path):
    images(tmp_path, classes=("gs", "noa", "ss"))
    first = read_folder(tmp_path, groups("noa, s = ss + gs"))
    assert first.classes == ("noa", "s")
    assert np.bincount(first.labels).tolist() == [12, 24]
    second = read_folder(tmp_path, groups("gs,ss"))
    assert np.bincount(second.labels).tolist() == [12, 12]
    assert "12 images of other classes were left out: noa" in second.notes[0]


@pytest.mark.parametrize("wrong", ["", "a,", "a=", "a=b+", "a,a", "a=b,c=b", "=b"])
def test_a_wrong_list_of_classes_is_refused(wrong):
    with pytest.raises(ValueError, match="classes"):
        groups(wrong)


@pytest.mark.parametrize("side", [32, 40, 64])
def test_images_of_all_sizes_make_one_batch(side):
    rng = np.random.default_rng(0)
    made = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((40, 40), (20, 31), (99, 64))]
    batch = resized(made, side)
    assert batch.shape == (3, 3, side, side)
    assert 0 <= batch.min() <= batch.max() <= 1
    for one, image in zip(batch, made, strict=True):
        torch.testing.assert_close(one[None], resized([image], side))
    if side == 40:
        torch.testing.assert_close(
            batch[0], torch.from_numpy(made[0]).permute(2, 0, 1).float() / 255
        )


def test_one_class_is_refused(tmp_path):
    with pytest.raises(DataFolderError, match="one class only, 0"):
        read_folder(images(tmp_path, classes=("0",)))


def test_a_class_that_is_not_there_is_refused(data):
    with pytest.raises(DataFolderError, match="no images of class 2; it has 0, 1"):
        read_folder(data, groups("0,2"))


def test_a_class_of_broken_files_is_refused(data):
    for file in data.glob("*/1/*.png"):
        file.write_bytes(b"x")
    with pytest.raises(DataFolderError, match="no readable image of class 1"):
        read_folder(data)


def test_no_folder_and_an_empty_one_are_refused(tmp_path):
    with pytest.raises(DataFolderError, match="not a folder"):
        read_folder(tmp_path / "none")
    with pytest.raises(DataFolderError, match="no labelled images"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("picture,label\na.png,1", "lacks a column image; it has picture, label"),
        ("image,kind\na.png,1", "lacks a column label"),
        ("image,label\na.png,", "line 2: image, class or patient is missing"),
        ("image,label\na_1.png,1\na_1.png,0", "says two things of a_1.png"),
        ("image,label\nnone_1.png,1\nnone_2.png,0", "no labelled images"),
    ],
)
def test_a_wrong_table_is_one_sentence(tmp_path, text, said):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataFolderError, match=said):
        read_folder(tmp_path)


def test_two_tables_are_refused(listed):
    (listed / "more.csv").write_text("image,label\n")
    with pytest.raises(DataFolderError, match="2 CSV files"):
        read_folder(listed)

"""Where reviews of mammograms are kept, and which of two counts."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from masses_standin import detections, view
from PIL import Image as Picture

from napari_pathogan.errors import DataFolderError
from napari_pathogan.mammograms.study import open_mammogram
from napari_pathogan.plugin.masses.annotations import read_review, write_review
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.tasks.masses.annotated import store, write
from napari_pathogan.tasks.masses.review import Decision, Review


@pytest.fixture
def mammogram(tmp_path):
    Picture.fromarray(view("RCC")).save(tmp_path / "RCC.png")
    return open_mammogram(tmp_path / "RCC.png")


def test_beside_the_image_unless_it_cannot_be_written(mammogram, tmp_path):
    review = Review.of(detections(mammogram))
    assert write_review(mammogram, review) == store(mammogram.path).beside
    (tmp_path / "file").write_text("in the way")
    lost = replace(mammogram, path=tmp_path / "file" / "RCC.png")
    path = write_review(lost, review)
    assert tmp_path / "data" in path.parents
    assert "RCC" not in str(path.parent.name)  # a hash of the image's path
    assert len(read_review(lost)) == len(review)


def test_sample_data_stay_as_they_are(mammogram, tmp_path):
    sample = samples.FOLDER / samples.PHANTOM_STUDY / "images" / "RCC.dcm"
    (path,) = store(sample).places
    assert samples.FOLDER not in path.parents
    assert tmp_path / "data" in path.parents


def test_the_newer_of_two_counts(mammogram):
    here, elsewhere = store(mammogram.path).places
    elsewhere.parent.mkdir(parents=True)
    review = Review.of(detections(mammogram))
    write(mammogram.path, review.decided(0, Decision.ACCEPTED)).rename(elsewhere)
    write(mammogram.path, review.decided(0, Decision.REJECTED))
    os.utime(here, (1, 1))
    assert read_review(mammogram).decisions[0] is Decision.ACCEPTED
    os.utime(elsewhere, (0, 0))
    assert read_review(mammogram).decisions[0] is Decision.REJECTED
    here.unlink()
    elsewhere.unlink()
    assert read_review(mammogram) is None


def test_a_review_of_another_image_is_not_taken(mammogram):
    write_review(mammogram, Review.of(detections(mammogram)))
    other = replace(mammogram, pixels=np.zeros((50, 60), np.uint8))
    with pytest.raises(DataFolderError, match="160 x 240 px"):
        read_review(other)

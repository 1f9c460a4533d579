"""Findings under review, kept beside a mammogram, and read again to learn from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from napari_pathogan.errors import DataFolderError
from napari_pathogan.tasks.masses.annotated import (
    SUFFIX,
    read,
    read_annotated_folder,
    read_training_folder,
    store,
    write,
)
from napari_pathogan.tasks.masses.data import MassFolder
from napari_pathogan.tasks.masses.detections import Detections
from napari_pathogan.tasks.masses.review import Decision, Review

SQUARE = np.array([[10, 20], [10, 40], [30, 40], [30, 20]], np.float32)  # y, x
BOXES = np.array([[20, 10, 40, 30], [60, 50, 70, 64], [5, 70, 9, 75]], np.float32)


def found(scores=(0.9, 0.4, 0.1), boxes=BOXES):
    contours = [np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]]) for x0, y0, x1, y1 in boxes]
    return Detections(
        "RCC",
        (100, 90),
        np.asarray(boxes, np.float32),
        np.array(scores, np.float32),
        tuple(c.astype(np.float32) for c in contours),
        (0.1, 0.1),
        "at detector",
        0.3,
        "stand-in",
        "ab12",
    )


def save_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(np.zeros((100, 90), np.uint8)).save(path)
    return path


def test_decisions_stay_with_their_findings():
    review = Review.of(found()).decided(1, Decision.REJECTED)
    review = review.with_drawn(SQUARE + 40).decided(0, Decision.ACCEPTED)
    assert review.ids == (3, 0, 1, 2)
    assert review.decisions == ("drawn", "accepted", "rejected", "open")
    assert review.found.boxes[0].tolist() == [60, 50, 80, 70]
    assert review.decided(3, Decision.ACCEPTED).decisions[0] is Decision.DRAWN
    assert review.decided(3, Decision.REJECTED).ids == (0, 1, 2)
    assert review.decided(99, Decision.REJECTED) is review
    assert review.at(0.3).ids == (3, 0, 1)  # what is decided is shown whatever it scores
    assert review.at(0.05).ids == (3, 0, 1, 2)
    assert review.at(0.5).found.threshold == 0.5
    assert review.at(0.3).masses().scores.tolist() == pytest.approx([1, 0.9])
    redrawn = review.redrawn(0, SQUARE - 15)
    assert redrawn.ids == (0, 3, 1, 2)
    assert redrawn.decisions[0] is Decision.DRAWN
    assert redrawn.found.boxes[0].tolist() == [5, 0, 25, 15]  # cut at the border


def test_another_run_leaves_what_is_decided():
    review = Review.of(found()).decided(0, Decision.ACCEPTED).decided(1, Decision.REJECTED)
    other = found((0.8, 0.7, 0.6), [[21, 10, 41, 30], [1, 1, 9, 9], [60, 50, 70, 64]])
    again = review.renewed(other)
    assert again.decisions == ("accepted", "open", "rejected")
    assert again.found.scores.tolist() == pytest.approx([0.9, 0.7, 0.4])
    assert again.ids == (0, 3, 1)
    assert len(Review.of(found()).renewed(found(()[:0], np.zeros((0, 4))))) == 0


def test_what_is_kept_comes_back(tmp_path):
    review = Review.of(found()).decided(1, Decision.REJECTED).with_drawn(SQUARE + 30.25)
    path = write(tmp_path / "RCC.dcm", review, laterality="R", view="CC")
    assert path == tmp_path / "RCC.dcm.masses.geojson"
    back = read(path)
    assert back.decisions == review.decisions
    for name in ("boxes", "scores"):
        np.testing.assert_allclose(
            getattr(back.found, name), getattr(review.found, name), atol=0.01
        )
    for one, other in zip(back.found.contours, review.found.contours, strict=True):
        np.testing.assert_allclose(one, other, atol=0.01)
    assert back.found.mm_per_px == (0.1, 0.1)
    assert back.found.spacing == "at detector"
    assert back.found.model == "stand-in"
    content = json.loads(path.read_text())
    assert content["features"][0]["geometry"]["coordinates"][0][1] == [70.25, 40.25]  # x, y
    assert [f["properties"]["classification"]["name"] for f in content["features"]] == [
        "Mass",
        "Mass",
        "Ignore*",
        "Mass",
    ]


def test_reviewed_images_are_ready_to_train_on(tmp_path):
    first, second = save_image(tmp_path / "one" / "RCC.png"), save_image(tmp_path / "two" / "a.png")
    third, fourth = save_image(tmp_path / "two/b.png"), tmp_path / "two" / "gone.png"
    review = Review.of(found()).at(0.3)
    review = review.decided(0, Decision.ACCEPTED).decided(1, Decision.REJECTED)
    write(first, review.with_drawn(SQUARE + 30))
    write(second, review.decided(0, Decision.REJECTED), laterality="L", view="MLO")
    write(third, Review.of(found()))
    write(fourth, review)
    folder = read_training_folder(tmp_path)
    assert isinstance(folder, MassFolder)
    assert folder.files == (first, second)
    assert len(set(folder.patients)) == 2
    assert not {"one", "two"} & set(folder.patients)  # a folder may have a patient's name
    assert folder.laterality.tolist() == ["R", "L"]
    assert folder.view.tolist() == ["CC", "MLO"]
    assert folder.n_masses.tolist() == [2, 0]
    assert len(folder.skipped) == 2
    assert "neither accepted nor rejected: 3" in folder.skipped[0]
    mask = folder.mask(0)
    assert mask.shape == (2, 100, 90)
    assert mask[0].sum() == mask[0, 40:60, 50:70].sum() == 400  # what was drawn, to the pixel
    assert mask[1].sum() == mask[1, 10:30, 20:40].sum() == 400
    assert folder.mask(1).shape == (0, 100, 90)
    assert folder.image(0).shape == (100, 90)
    part = folder.subset([1, 0])
    assert part.files == (second, first)
    assert part.mask(1).sum() == 800
    assert read_annotated_folder(tmp_path / "one").patients[0] == folder.patients[0]


def test_what_is_kept_elsewhere_is_trained_on_too(tmp_path):
    review = Review.of(found()).at(0.3).decided(0, Decision.ACCEPTED).decided(1, Decision.REJECTED)
    first, second = save_image(tmp_path / "one" / "RCC.png"), save_image(tmp_path / "two" / "a.png")
    for image in (second, first):
        store(image).elsewhere.parent.mkdir(parents=True)
        write(image, review).rename(store(image).elsewhere)
        assert image in read_training_folder(tmp_path).files
    assert read_training_folder(tmp_path).files == (first, second)
    assert read_training_folder(tmp_path / "one").files == (first,)


def test_folders_and_files_that_hold_nothing_say_so(tmp_path):
    with pytest.raises(DataFolderError, match="no reviewed mammogram: accept, reject or draw"):
        read_annotated_folder(tmp_path)
    with pytest.raises(DataFolderError, match=r"images\.csv"):
        read_training_folder(tmp_path)
    image = save_image(tmp_path / "a.png")
    write(image, Review.of(found()))
    with pytest.raises(DataFolderError, match="neither accepted nor rejected"):
        read_training_folder(tmp_path)
    good = json.loads(store(image).beside.read_text())
    other, version, cut, kind = (json.loads(json.dumps(good)) for _ in range(4))
    other["pathogan"]["kind"] = "nuclei"
    del version["pathogan"]["version"]
    cut["features"][0]["geometry"]["coordinates"] = [[[1, 2], [1, 2]]]
    kind["features"][0]["properties"]["pathogan"]["decision"] = "perhaps"
    for content in (other, version, cut, kind, [], 7, {"features": []}):
        store(image).beside.write_text(json.dumps(content))
        with pytest.raises(DataFolderError, match=r"a\.png.masses\.geojson does not hold masses"):
            read(store(image).beside)
    store(image).beside.write_text("{")
    with pytest.raises(DataFolderError, match="keep them anew"):
        read(store(image).beside)
    with pytest.raises(DataFolderError, match="No such file"):
        read(tmp_path / f"none{SUFFIX}")


def test_reviews_kept_by_0_1_0_still_load():
    path = Path(__file__).parent / "earlier" / "review.masses.geojson"
    back = read(path)
    now = Review.of(found()).decided(0, Decision.ACCEPTED).decided(1, Decision.REJECTED)
    now = now.with_drawn(SQUARE + 30.25)
    assert back.decisions == now.decisions
    np.testing.assert_allclose(back.found.boxes, now.found.boxes, atol=0.01)
    np.testing.assert_allclose(back.found.scores, now.found.scores, atol=1e-6)
    for one, other in zip(back.found.contours, now.found.contours, strict=True):
        np.testing.assert_allclose(one, other, atol=0.01)
    assert (back.found.model, back.found.sha256, back.found.threshold) == ("stand-in", "ab12", 0.3)


def test_a_file_says_what_qupath_does_not_know_in_a_member_of_its_own(tmp_path):
    path = write(tmp_path / "RCC.dcm", Review.of(found()).with_drawn(SQUARE))
    drawn, first, *_ = (f["properties"] for f in json.loads(path.read_text())["features"])
    assert drawn["pathogan"] | {"box": 0} == {
        "by": "reader", "decision": "drawn", "score": 1.0, "box": 0,
    }  # fmt: skip
    assert (first["pathogan"]["by"], first["pathogan"]["decision"]) == ("stand-in", "open")
    assert set(first) == {"objectType", "classification", "pathogan"}

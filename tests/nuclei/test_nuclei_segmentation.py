"""What a segmentation says of its nuclei: by id, by place, by class."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import zarr

from napari_pathogan.slides.geometry import Overlay, Region
from napari_pathogan.tasks.nuclei.segmentation import (
    COLUMNS,
    ClassImage,
    Segmentation,
    UnknownNucleusError,
)

LABELS = np.zeros((40, 60), np.int32)
LABELS[4:10, 4:12], LABELS[20:30, 40:52], LABELS[30:34, 2:6] = 2, 3, 7


def segmentation(labels=LABELS, **more) -> Segmentation:
    """Three nuclei with ids 2, 3 and 7, at half a level-0 pixel per pixel, 100 px down."""
    table = pd.DataFrame({name: [0.0] * 3 for name in COLUMNS})
    table["id"] = [2, 3, 7]
    table["class"] = pd.Categorical(["a", "b", "a"], categories=["a", "b"])
    table["corrected"] = False
    boxes = np.array([[4, 4, 10, 12], [20, 40, 30, 52], [30, 2, 34, 6]])
    given = {"class_names": ("a", "b"), "class_colours": ("#ff0000", "#00ff00"), **more}
    overlay = Overlay(labels, (100.0, 0.0), (0.5, 0.5))
    return Segmentation("case", overlay, table, boxes, (0.5, 0.5), 0.002, **given)


def test_counts_and_densities():
    found = segmentation()
    assert len(found) == 3
    assert found.counts() == {"a": 2, "b": 1}
    assert found.densities() == {"a": 1000, "b": 500}
    assert found.density == 1500
    assert str(found) == "3 nuclei, 1,500 per mm² of tissue (2 a, 1 b)"
    assert found.pixel_um2 == 0.0625


def test_by_place_and_by_id():
    found = segmentation()
    assert found.at(102.5, 3.0) == 2
    assert found.at(100.0, 0.0) is None
    assert found.at(5.0, 5.0) is None
    assert found.row(7) == 2
    assert found.nucleus(3)["class"] == "b"
    assert found.around(2) == Region(102, 2, 3, 4)
    assert found.around(2, margin_um=1) == Region(100, 0, 7, 8)
    for missing in (1, 4, 8, 0):
        with pytest.raises(UnknownNucleusError, match=f"^case has no nucleus {missing};"):
            found.nucleus(missing)


def test_classes_are_looked_up():
    found = segmentation()
    assert found.lut().tolist() == [0, 0, 1, 2, 0, 0, 0, 1]
    image = found.class_image()
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(
        image, np.where(np.isin(LABELS, [2, 7]), 1, np.where(LABELS == 3, 2, 0))
    )


def test_a_lazy_class_image_is_an_array():
    array = zarr.create_array({}, shape=LABELS.shape, chunks=(16, 16), dtype=np.int32)
    array[:] = LABELS
    lazy = segmentation(array).class_image()
    assert isinstance(lazy, ClassImage)
    whole = segmentation().class_image()
    assert (lazy.shape, lazy.ndim, lazy.dtype) == (whole.shape, 2, np.uint8)
    np.testing.assert_array_equal(lazy[20:33, 1:45], whole[20:33, 1:45])
    np.testing.assert_array_equal(np.asarray(lazy), whole)
    assert lazy[5, 5] == 1


def test_a_correction_makes_another_segmentation():
    found = segmentation()
    other = found.with_class(7, "b")
    assert found.counts() == {"a": 2, "b": 1}
    assert other.counts() == {"a": 1, "b": 2}
    assert other.nucleus(7)["corrected"]
    assert other.nucleus(7)["class_probability"] == 1
    assert other.lut()[7] == 2
    assert not found.table["corrected"].any()
    with pytest.raises(UnknownNucleusError, match="no class 'c' here; choose a or b"):
        found.with_class(7, "c")
    with pytest.raises(UnknownNucleusError, match="no nucleus 5"):
        found.with_class(5, "a")


def test_outlines_of_some():
    found = segmentation()
    assert {o.id for o in found.outlines()} == {2, 3, 7}
    (outline,) = found.outlines([3])
    assert outline.exteriors[0].min(0).tolist() == [109.5, 19.5]
    assert outline.exteriors[0].max(0).tolist() == [114.5, 25.5]
    with pytest.raises(UnknownNucleusError):
        list(found.outlines([3, 4]))


def test_ids_beyond_16_bits():
    labels = np.where(LABELS > 0, LABELS + 70_000, 0).astype(np.int32)
    found = segmentation(labels)
    found.table["id"] += 70_000
    assert found.at(102.5, 3.0) == 70_002
    assert found.class_image().max() == 2
    assert {o.id for o in found.outlines()} == {70_002, 70_003, 70_007}


def test_summary_is_json():
    found = json.loads(json.dumps(segmentation(region=Region(0, 1, 2, 3)).summary()))
    assert found["n_nuclei"] == 3
    assert found["classes"]["a"] == {"n": 2, "per_mm2": 1000}
    assert found["label_um"] == [0.25, 0.25]
    assert found["region"] == [0, 1, 2, 3]

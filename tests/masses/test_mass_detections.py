"""Detections: order, sizes in mm, what is written and read back, and nobody's name."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_pathogan.errors import DataFolderError
from napari_pathogan.mammograms.mammogram import Mammogram
from napari_pathogan.tasks.masses.detections import Detections, read_json, write_json


def ellipse(y, x, along_y, along_x, turn=0.0):
    """An outline, float (72, 2)."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    points = np.stack([along_y * np.sin(angle), along_x * np.cos(angle)], 1)
    cos, sin = np.cos(turn), np.sin(turn)
    return points @ np.array([[cos, -sin], [sin, cos]]) + (y, x)


@pytest.fixture
def found():
    mammogram = Mammogram(
        "RCC", np.zeros((200, 100), np.uint16), mm_per_px=(0.1, 0.2), spacing="at detector",
        metadata={"synthetic": True},
    )  # fmt: skip
    boxes = np.array([[10, 20, 30, 60], [40, 100, 60, 110]])
    outlines = [ellipse(40, 20, 20, 10), np.zeros((0, 2))]
    return Detections.on(mammogram, boxes, [0.25, 0.875], outlines, threshold=0.5, model="m")


def test_by_falling_score(found):
    assert found.scores.tolist() == [0.875, 0.25]
    assert found.boxes[0].tolist() == [40, 100, 60, 110]
    assert [len(contour) for contour in found.contours] == [0, 72]
    assert (found.name, found.shape, found.synthetic) == ("RCC", (200, 100), True)
    assert len(found.at(0.5)) == 1
    assert found.at(0.5).threshold == 0.5
    assert len(found.at(0.25)) == 2


def test_sizes_are_those_of_the_outline_in_mm(found):
    sizes = found.sizes_mm()
    assert sizes[0].tolist() == pytest.approx([20 * 0.2, 10 * 0.1])  # the box
    assert sizes[1].tolist() == pytest.approx([4.0, 4.0], rel=0.01)  # 40 x 0.1 and 20 x 0.2
    assert replace(found, mm_per_px=None).sizes_mm() is None


@pytest.mark.parametrize("turn", [0, 0.3, 1.2, 2.5])
def test_a_turned_mass_is_as_large(found, turn):
    (size,) = replace(
        found.take([0]), contours=(ellipse(90, 50, 15, 6, turn),), mm_per_px=(0.1, 0.1)
    ).sizes_mm()
    assert size.tolist() == pytest.approx([3.0, 1.2], rel=0.02)


def test_in_words(found):
    assert str(found) == "1 mass: score 0.88, 4 x 1 mm at detector"
    assert str(found.at(0.95)) == "no mass scores 0.95 or more"
    assert "mm" not in str(replace(found, mm_per_px=None))


def test_written_and_read_back(found, tmp_path):
    write_json(tmp_path / "out.json", found)
    back = read_json(tmp_path / "out.json")
    assert np.array_equal(back.boxes, found.boxes)
    assert np.array_equal(back.scores, found.scores)
    assert np.allclose(back.contours[1], found.contours[1], atol=0.006)
    for name in (
        "name", "shape", "mm_per_px", "spacing", "threshold", "model", "synthetic", "scope",
    ):  # fmt: skip
        assert getattr(back, name) == getattr(found, name)
    record = json.loads((tmp_path / "out.json").read_text())
    assert (record["kind"], record["version"]) == ("masses", 1)
    assert record["scope"].startswith("Looks for masses only: not for calcifications")
    assert record["masses"][0]["size_mm"] == [4, 1]
    assert set(record) == {
        "kind", "version", "image", "shape", "imprint", "synthetic", "mm_per_px", "spacing", "scope",
        "model", "sha256", "threshold", "masses", "missed", "laterality", "best",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 1: version"),
        ({"masses": [{"score": 1.5, "box": [0, 0, 1, 1]}]}, r"masses\.0\.score"),
        ({"masses": [{"score": 0.5, "box": [0, 0, 1]}]}, r"masses\.0\.box"),
        ({"patient": "somebody"}, "patient"),
    ],
)
def test_files_that_hold_something_else(found, tmp_path, change, message):
    path = tmp_path / "out.json"
    path.write_text(json.dumps(found.to_dict() | change))
    with pytest.raises(DataFolderError, match=message):
        read_json(path)


def test_files_that_can_not_be_read(tmp_path):
    with pytest.raises(DataFolderError, match=r"none\.json can't be read"):
        read_json(tmp_path / "none.json")
    (tmp_path / "no.json").write_bytes(b"\xff\x00\xfe")
    with pytest.raises(DataFolderError, match="it is no text"):
        read_json(tmp_path / "no.json")
    (tmp_path / "no.json").write_text("{")
    with pytest.raises(DataFolderError, match=r"no\.json does not hold masses"):
        read_json(tmp_path / "no.json")

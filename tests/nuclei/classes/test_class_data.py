"""Reading folders of nuclei, and what is wrong with them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from kinds import NAMES, draw_image
from PIL import Image

from napari_pathogan.errors import DataFolderError
from napari_pathogan.tasks.nuclei_classes.crops import cut
from napari_pathogan.tasks.nuclei_classes.data import read_nuclei


def test_points(points):
    nuclei = read_nuclei(points, 0.55)
    assert len(nuclei) == 6 * 31
    assert nuclei.names == tuple(f"im{i}.png" for i in range(6))
    assert sorted(set(nuclei.classes)) == sorted([*NAMES, "others"])
    image, centres, _ = draw_image(2)
    own = nuclei.of(["im2.png"])
    assert np.array_equal(own.crops[:30], cut(image, np.round(centres, 1)))
    assert np.array_equal(own.wide, own.crops)  # both at 0.55 um
    assert own.centres[:30] == pytest.approx(np.round(centres, 1) * 0.55)


def test_neighbours_are_of_the_same_image(nuclei):
    near = nuclei.neighbours(4)
    assert near.shape == (len(nuclei), 4)
    assert (nuclei.images[near] == nuclei.images[:, None]).all()
    assert (near != np.arange(len(nuclei))[:, None]).all()
    distance = np.linalg.norm(nuclei.centres[near] - nuclei.centres[:, None], axis=2)
    assert (np.diff(distance, axis=1) >= 0).all()
    lonely = nuclei.take(np.array([0, 40]))
    assert lonely.neighbours(2).tolist() == [[0, 0], [1, 1]]


def test_images_of_another_scale_are_resampled(points):
    once, coarse = read_nuclei(points, 0.55), read_nuclei(points, 0.55, 0.275)
    assert coarse.centres == pytest.approx(once.centres / 2)
    assert not np.array_equal(coarse.pictures, once.pictures)
    assert coarse.mpp == 0.55


def test_masks(tmp_path):
    image, centres, _ = draw_image(0)
    for sub in ("images", "masks"):
        (tmp_path / sub).mkdir()
    y, x = np.mgrid[:240, :240]
    mask = np.zeros((240, 240), np.uint8)
    for cy, cx in centres:
        mask[(y - cy) ** 2 + (x - cx) ** 2 < 36] = 255
    mask[2:4, 2:4] = 255  # a speck
    Image.fromarray(image).save(tmp_path / "images" / "a.png")
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    nuclei = read_nuclei(tmp_path, 0.55)
    assert len(nuclei) == len(centres)
    found = np.sort(nuclei.centres[:, 0]) / 0.55
    assert found == pytest.approx(np.sort(centres[:, 0]), abs=0.6)
    assert set(nuclei.classes) == {""}


def test_slides_with_corrected_nuclei(tmp_path):
    image, centres, classes = draw_image(0)
    Image.fromarray(image).save(tmp_path / "slide.png")
    features = []
    for (y, x), kind in zip(centres, classes, strict=True):
        ring = [[x + dx, y + dy] for dx, dy in ((-4, -4), (4, -4), (4, 4), (-4, 4), (-4, -4))]
        features.append(
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"objectType": "annotation", "classification": {"name": kind}},
            }
        )
    content = {"type": "FeatureCollection", "features": features}
    (tmp_path / "slide.png.nuclei.geojson").write_text(json.dumps(content))
    nuclei = read_nuclei(tmp_path, 0.55, 0.55)
    assert sorted(nuclei.classes) == sorted(classes)
    order = np.lexsort(nuclei.centres.T[::-1])
    wanted = centres[np.lexsort(centres.T[::-1])]
    assert nuclei.centres[order] / 0.55 == pytest.approx(wanted, abs=1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x,y,class\n", "no nucleus in"),
        ("a,b\n1,2\n", "needs the columns x, y"),
        ("x,y\n1,nonsense\n", "needs the columns x, y"),
        ("x,y\n900,10\n", "has 240 x 240 px, but a nucleus at x 900, y 10"),
    ],
)
def test_points_that_are_none(tmp_path, content, message):
    (tmp_path / "images").mkdir()
    (tmp_path / "points").mkdir()
    Image.fromarray(draw_image(0)[0]).save(tmp_path / "images" / "a.png")
    (tmp_path / "points" / "a.csv").write_text(content)
    with pytest.raises(DataFolderError, match=message):
        read_nuclei(tmp_path, 0.55)


def test_folders_that_are_none(tmp_path, points):
    with pytest.raises(DataFolderError, match="is not a folder"):
        read_nuclei(tmp_path / "nowhere", 0.55)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataFolderError, match=r"no nucleus in .*expected images/ with points/"):
        read_nuclei(tmp_path / "empty", 0.55)
    (points / "images" / "im3.png").unlink()
    with pytest.raises(DataFolderError, match=r"holds no image for im3\.csv"):
        read_nuclei(points, 0.55)


def test_a_broken_image_is_left_out_and_named(points):
    (points / "images" / "im3.png").write_text("no image")
    nuclei = read_nuclei(points, 0.55)
    assert len(nuclei.names) == 5
    assert nuclei.skipped[0].startswith("im3.png: ")

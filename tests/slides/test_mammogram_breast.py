"""Where the breast is, and the frame in which masses are looked for."""

import numpy as np
import pytest

from napari_pathogan.mammograms.breast import NoBreastError, breast
from napari_pathogan.tasks.masses.frame import Frame


def phantom(height: int = 300, width: int = 240, *, right: bool = False) -> np.ndarray:
    """Half an ellipse at the left edge (the right one if asked), and a bright marker."""
    y, x = np.mgrid[:height, :width]
    inside = ((y - height / 2) / (height * 0.4)) ** 2 + (x / (width * 0.6)) ** 2 <= 1
    image = np.where(inside, 0.5, 0.0).astype(np.float32)
    image[5:20, width - 30 : width - 5] = 1.0
    return image[:, ::-1].copy() if right else image


@pytest.mark.parametrize("right", [False, True])
def test_finds_the_breast_and_the_side_of_the_chest_wall(right):
    image = phantom(right=right)

    found = breast(image)

    assert found.side == ("right" if right else "left")
    inside = image == 0.5
    assert (found.mask & inside).sum() / (found.mask | inside).sum() > 0.93
    assert not found.mask[5:20, 5 : 30 if right else None].any() or not right
    y0, x0, y1, x1 = found.box
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    assert y0 <= rows[0]
    assert y1 > rows[-1]
    assert x0 <= columns[0]
    assert x1 > columns[-1]
    assert (y1 - y0) * (x1 - x0) < 0.8 * image.size


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((100, 80), np.float32), "of one grey"),
        (np.full((100, 80), 0.7, np.float32), "of one grey"),
        (np.zeros((100, 80, 3), np.float32), "one grey image"),
        (np.zeros((0, 80), np.float32), "one grey image"),
    ],
)
def test_says_that_there_is_no_breast(image, says):
    with pytest.raises(NoBreastError, match=says):
        breast(image)


def test_a_marker_is_no_breast():
    image = np.zeros((1000, 800), np.float32)
    image[20:60, 700:780] = 1

    with pytest.raises(NoBreastError, match="large enough"):
        breast(image)


@pytest.mark.parametrize("right", [False, True])
def test_a_frame_leads_back_to_the_mammogram(right):
    image = phantom(600, 480, right=right)
    x0, y0, x1, y1 = (300, 250, 360, 330) if right else (100, 250, 160, 330)
    image[y0:y1, x0:x1] = 0.9

    frame = Frame.of(image, 300)

    assert frame.mirrored is right
    assert frame.pixels[:, 0].mean() > frame.pixels[:, -1].mean()  # the chest wall is on the left
    rows, columns = np.nonzero(frame.pixels > 0.75)
    box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    np.testing.assert_allclose(frame.boxes_back(box), [[x0, y0, x1, y1]], atol=2.5)
    corners = frame.points_back(np.array([[box[0, 1], box[0, 0]], [box[0, 3], box[0, 2]]]))
    np.testing.assert_allclose(sorted(corners[:, 1]), [x0, x1], atol=2.5)
    np.testing.assert_allclose(corners[:, 0], [y0, y1], atol=2.5)


def test_masks_are_shown_as_their_image_is():
    image = phantom(right=True)
    frame = Frame.of(image, 150)

    shown = frame.shown(np.stack([image > 0.4, image > 2]))

    assert shown.shape == (2, *frame.pixels.shape)
    np.testing.assert_array_equal(shown[0] > 0.5, frame.pixels > 0.25)
    assert not shown[1].any()


def test_real_breasts_hold_their_masses(data):
    """Boxes of masses lie in the breast's box, and the chest wall is where the laterality says."""
    from napari_pathogan.tasks.masses.data import read_mass_folder

    folder = read_mass_folder(data / "inbreast")
    for i in np.flatnonzero(folder.n_masses)[::9]:
        found = breast(folder.image(i))
        y0, x0, y1, x1 = found.box
        assert found.side == {"L": "left", "R": "right"}[folder.laterality[i]]
        assert (folder.boxes[i] >= np.array([x0, y0, x0, y0]) - 3).all()
        assert (folder.boxes[i] <= np.array([x1, y1, x1, y1]) + 3).all()

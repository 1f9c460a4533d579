"""Scanned film: tape, labels, borders and margins never flip a breast; negatives are told."""

from __future__ import annotations

import numpy as np
import pytest
from mammogram_makers import write_dicom
from PIL import Image

from napari_pathogan.mammograms.breast import breast, looks_negative
from napari_pathogan.mammograms.study import open_mammogram
from napari_pathogan.plugin.viewer.samples import FOLDER, PHANTOM_STUDY

VIEWS = ("RCC", "LCC", "RMLO", "LMLO")
SIDES = {"R": "right", "L": "left"}


@pytest.fixture(scope="module")
def phantoms():
    """Of each view float32 (424, 344) in 0..1, air 0."""
    folder = FOLDER / PHANTOM_STUDY / "images"
    return {view: open_mammogram(folder / f"{view}.dcm").shown()[::2, ::2] for view in VIEWS}


def away(image, view):
    """The image with the chest wall on the left; its own inverse."""
    return image[:, ::-1] if view[0] == "R" else image


def strip(image, axis, end, share, level):
    """Bright tape along one whole edge, with the noise of a scanner."""
    lines = np.moveaxis(image, axis, 0)[::end]
    part = lines[: round(share * len(lines))]
    part[:] = level + np.random.default_rng(0).normal(0, 0.01, part.shape)


def framed(image, share):
    for axis in (0, 1):
        for end in (1, -1):
            strip(image, axis, end, share, 1.0)


def lined(image):
    """A line a little inside the edges, all around."""
    image[6:8, 6:-6] = image[-8:-6, 6:-6] = image[6:-6, 6:8] = image[6:-6, -8:-6] = 1


def labelled(image):
    height, width = image.shape
    image[20 : height // 4, 7 * width // 10 : -10] = 1


def half_taped(image):
    height, width = image.shape
    image[height // 5 : -height // 5, -width // 5 :] = 0.98


def askew(image):
    """Tape at the edge away from the chest wall that is not parallel to it."""
    height, width = image.shape
    y, x = np.mgrid[:height, :width]
    image[x > 0.8 * width + 0.05 * (y - height / 2)] = 0.97


def written(image):
    """Tape with dark writing on it."""
    height, width = image.shape
    strip(image, 1, -1, 0.19, 1.0)
    image[height // 3 : height // 2 : 5, -width // 6 : -5] = 0.1
    image[height // 3 : height // 2, -width // 6 : -5 : 7] = 0.1


DRAW = {
    "askew": askew,
    "written": written,
    "chest": lambda image: strip(image, 1, 1, 0.08, 0.95),
    "top": lambda image: strip(image, 0, 1, 0.08, 1.0),
    "bottom": lambda image: strip(image, 0, -1, 0.08, 1.0),
    "frame": lambda image: framed(image, 0.02),
    "thick frame": lambda image: framed(image, 0.12),
    "line": lined,
    "label": labelled,
    "piece": half_taped,
    "label and lid": lambda image: (labelled(image), strip(image, 1, -1, 0.1, 1.0)),
    "": lambda image: None,
}


def taped(image, case):
    """The image, whose chest wall is on the left, as it is scanned with what a case names."""
    if case == "margins":
        return np.pad(image, 25)
    if case.startswith("opposite"):
        strip(image, 1, -1, *map(float, case.split()[1:]))
    else:
        DRAW[case](image)
    return image


CASES = (
    "opposite 0.02 1", "opposite 0.1 1", "opposite 0.19 1", "opposite 0.28 1", "opposite 0.19 0.5",
    "chest", "top", "bottom", "frame", "thick frame", "line", "label", "piece", "margins",
    "label and lid", "askew", "written",
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("view", VIEWS)
def test_tape_and_borders_never_flip_a_breast(phantoms, tmp_path, view, case):
    plain = away(phantoms[view], view).copy()
    image = np.clip(away(taped(plain.copy(), case), view), 0, 1)
    path = tmp_path / f"case_{view[0]}_{view[1:]}.png"
    Image.fromarray(np.rint(255 * image).astype(np.uint8)).save(path)
    found = open_mammogram(path)
    assert found.chest_side == SIDES[view[0]]
    assert not found.mirrored
    assert not found.inverted
    y0, x0, y1, x1 = breast(found.shown()).box
    assert (y1 - y0) * (x1 - x0) < 0.85 * image.size or case in {"chest", "top", "bottom"}


@pytest.mark.parametrize(
    "case",
    [
        "",
        "opposite 0.1 1",
        "opposite 0.28 0.1",
        "opposite 0.28 0.2",
        "frame",
        "label",
        "margins",
        "askew",
        "written",
    ],
)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("view", VIEWS)
def test_a_negative_is_shown_as_a_positive_and_told_of(phantoms, tmp_path, view, bits, case):
    plain = taped(away(phantoms[view], view).copy(), case)
    image = 1 - np.clip(away(plain, view), 0, 1)
    path = tmp_path / f"negative_{view[0]}_{view[1:]}.png"
    kind = np.uint8 if bits == 8 else np.uint16
    Image.fromarray(np.rint((2**bits - 1) * image).astype(kind)).save(path)
    found = open_mammogram(path)
    assert found.inverted
    assert found.notes == (
        f"{path.name} is a negative (its air is bright), so it is shown inverted",
    )
    wanted = 1 - image
    if bits == 16:  # shown between the least and the greatest value
        wanted = (wanted - wanted.min()) / np.ptp(wanted)
    assert np.allclose(found.shown(), wanted, atol=0.01)
    assert found.chest_side == SIDES[view[0]]


@pytest.mark.parametrize("case", ["askew", "written", "opposite 0.28 1", "piece"])
def test_tape_that_is_larger_than_the_breast(phantoms, case):
    small = phantoms["LCC"][::2, ::2]
    image = np.pad(small, ((100, 112), (0, 172)))
    found = breast(taped(image.copy(), case))
    assert found.side == "left"
    assert found.box[3] < 0.75 * image.shape[1]
    assert not looks_negative(taped(image.copy(), case))
    assert looks_negative(1 - taped(image.copy(), case))


def test_a_header_that_inverts_is_told_of_and_believed(phantoms, tmp_path):
    pixels = np.rint(4095 * phantoms["LCC"]).astype(np.uint16)
    path = write_dicom(tmp_path / "a.dcm", pixels, PhotometricInterpretation="MONOCHROME1")
    (note,) = open_mammogram(path).notes
    assert note.startswith("a.dcm looks like a negative")
    assert not open_mammogram(write_dicom(tmp_path / "b.dcm", pixels)).notes


@pytest.mark.parametrize("negative", [True, False])
@pytest.mark.parametrize(
    ("photometric", "shape"), [("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")]
)
def test_a_header_that_contradicts_itself_is_shown_by_looks(
    phantoms, tmp_path, photometric, shape, negative
):
    pixels = np.rint(4095 * phantoms["LCC"]).astype(np.uint16)
    path = write_dicom(
        tmp_path / "a.dcm", 4095 - pixels if negative else pixels,
        PhotometricInterpretation=photometric, PresentationLUTShape=shape,
    )  # fmt: skip
    found = open_mammogram(path)
    (note,) = found.notes
    assert note.startswith("a.dcm says both that high values are bright and that they are dark")
    assert found.inverted is negative


@pytest.mark.parametrize("part", [(0.3, 0.7, 0, 0.4), (0.2, 0.8, 0.1, 0.5), (0.1, 0.5, 0.2, 0.9)])
def test_a_part_of_a_breast_is_no_negative(phantoms, part):
    for view in VIEWS:
        image = away(phantoms[view], view)
        (top, bottom), (left, right) = (
            (int(part[at] * side), int(part[at + 1] * side))
            for at, side in zip((0, 2), image.shape, strict=True)
        )
        assert not looks_negative(image[top:bottom, left:right])
    assert not looks_negative(np.full((90, 80), 0.9, np.float32))


def test_real_breasts_are_no_negatives(data):
    from napari_pathogan.tasks.masses.data import read_mass_folder

    folder = read_mass_folder(data / "inbreast")
    for i in range(0, len(folder.files), 9):
        image = folder.image(i)
        assert not looks_negative(image)
        assert looks_negative(1 - image)


def test_any_few_greys_are_looked_at():
    rng = np.random.default_rng(0)
    for _ in range(300):
        side, greys = rng.integers(9, 40, 2), rng.integers(2, 6)
        image = rng.integers(0, greys, side) / (greys - 1) * rng.uniform(0.3, 1)
        image[:, : side[1] // 2] *= rng.uniform(0, 1)
        assert looks_negative(image.astype(np.float32)) in {False, True}

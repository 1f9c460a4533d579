"""Folders of mammograms with boxes: what is read, what is cut or left out, what is refused."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest
from mass_folders import IMAGES, SHAPE, box, draw, write
from PIL import Image
from scipy.ndimage import binary_dilation

from napari_pathogan.errors import DataFolderError, OutputError, SlideFormatError
from napari_pathogan.tasks.masses.data import (
    MassImage,
    ellipses,
    need_masses,
    read_mass_folder,
    write_mass_folder,
)


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "set")


def swap(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_what_is_written_is_read(folder):
    read = read_mass_folder(folder)
    assert [file.name for file in read.files] == list(IMAGES)
    assert read.patients.tolist() == ["a", "a", "b", "b", "c"]
    assert set(read.laterality) == {"L"}
    assert set(read.view) == {"CC"}
    assert not read.synthetic.any()
    assert read.n_masses.tolist() == [2, 0, 1, 0, 1]
    assert read.boxes[0].tolist() == [list(box(20, 30, 6)), list(box(40, 60, 8))]
    assert read.boxes[1].shape == (0, 4)
    image = read.image(0)
    assert image.dtype == np.float32
    assert np.allclose(image, draw(IMAGES["a1.png"][1]) / 255)


def test_findings_of_other_types_and_of_other_files_are_left_out(tmp_path):
    rows = [("a2.png", "calcification", 1, 1, 5, 5), ("zz.png", "mass", 1, 1, 5, 5)]
    read = read_mass_folder(write(tmp_path / "set", types=rows))
    assert read.n_masses.tolist() == [2, 0, 1, 0, 1]
    assert len(read.skipped) == 1
    assert "boxes.csv, line 7: images.csv has no zz.png" in read.skipped[0]


def test_without_outlines_the_inscribed_ellipse(folder):
    mask = read_mass_folder(folder).mask(0)
    assert mask.shape == (2, *SHAPE)
    disc = draw([(40, 60, 8)]) == 220
    assert np.array_equal(mask[1], disc)
    assert read_mass_folder(folder).mask(1).shape == (0, *SHAPE)


@pytest.mark.parametrize("side", [0.2, 1.0, 7.3, 40.0])
def test_ellipses_fill_their_boxes(side):
    (mask,) = ellipses(np.array([[10, 5, 10 + side, 5 + side / 2]]), (64, 64))
    assert mask.sum() == pytest.approx(np.pi / 8 * side**2, rel=0.15, abs=3)
    assert mask.any()
    y, x = np.nonzero(mask)
    assert x.min() >= 9
    assert y.max() <= 5 + side / 2 + 1


def test_outlines_are_read_in_the_order_of_the_boxes(folder):
    labels = np.zeros(SHAPE, np.uint8)
    labels[28:33, 18:23], labels[55:64, 36:44] = 1, 2
    (folder / "masks").mkdir()
    Image.fromarray(labels).save(folder / "masks" / "a1.png")
    mask = read_mass_folder(folder).mask(0)
    assert np.array_equal(mask, np.stack([labels == 1, labels == 2]))
    Image.fromarray(labels[:50]).save(folder / "masks" / "a1.png")
    with pytest.raises(DataFolderError, match=r"marks 1 masses on 72 x 50 px, but its image has 2"):
        read_mass_folder(folder).mask(0)
    (folder / "masks" / "a1.png").write_bytes(b"none")
    with pytest.raises(DataFolderError, match=r"a1\.png can't be read"):
        read_mass_folder(folder).mask(0)


def test_boxes_are_cut_at_the_edge_and_refused_beyond(folder):
    swap(folder / "boxes.csv", "14,24,26,36", "-3,24,74,36")
    assert read_mass_folder(folder).boxes[0][0].tolist() == [0, 24, 72, 36]
    swap(folder / "boxes.csv", "-3,24,74,36", "14,24,126,136")
    with pytest.raises(DataFolderError, match=r"a1\.png has 72 x 96 px, the box 14, 24, 126, 136"):
        read_mass_folder(folder)
    swap(folder / "boxes.csv", "14,24,126,136", "72,24,75,36")
    with pytest.raises(DataFolderError, match="lies outside"):
        read_mass_folder(folder)


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("images.csv", "patient", "who", "has no column patient; it needs file, patient"),
        ("boxes.csv", "xmax,ymax", "w,h", "has no column xmax, ymax"),
        ("images.csv", "a1.png,a,", "a1.png,,", r"images.csv, line 2: there is no patient"),
        ("images.csv", "a2.png", "a1.png", r"line 3: a1.png was named before"),
        ("images.csv", "c1.png", "d1.png", r"1 of the 5 images .* the first: .*d1.png; copy"),
        ("boxes.csv", "14,24,26,36", "26,24,14,36", r"line 2: 26, 24, 14, 36 is no box"),
        ("boxes.csv", "14,24,26,36", "14,24,,36", r"line 2: 14, 24, nothing, 36 is no box"),
        ("boxes.csv", "14,24,26,36", "14,24,inf,36", "is no box"),
    ],
)
def test_tables_that_can_not_be_used(folder, table, old, new, message):
    swap(folder / table, old, new)
    with pytest.raises(DataFolderError, match=message):
        read_mass_folder(folder)


def test_folders_that_can_not_be_used(folder, tmp_path):
    with pytest.raises(DataFolderError, match="nowhere is not a folder with images/"):
        read_mass_folder(tmp_path / "nowhere")
    (folder / "boxes.csv").unlink()
    with pytest.raises(DataFolderError, match=r"boxes.csv can't be read \(No such file"):
        read_mass_folder(folder)
    (folder / "boxes.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataFolderError, match=r"boxes.csv can't be read"):
        read_mass_folder(folder)
    (folder / "images.csv").write_text("file,patient\n")
    with pytest.raises(DataFolderError, match="names no image"):
        read_mass_folder(folder)


def test_a_broken_image_is_named_when_it_is_read(folder):
    (folder / "images" / "a2.png").write_bytes(b"no picture")
    with pytest.raises(SlideFormatError, match=r"a2\.png"):
        read_mass_folder(folder).image(1)


def test_subsets_keep_what_belongs_together(folder):
    read = read_mass_folder(folder)
    part = read.subset(read.patients == "b")
    assert [file.name for file in part.files] == ["b1.png", "b2.png"]
    assert part.n_masses.tolist() == [1, 0]
    assert [f.name for f in read.subset([4, 0]).files] == ["c1.png", "a1.png"]
    need_masses(part)
    with pytest.raises(
        DataFolderError, match="none of the 2 images has a mass: a box of type 'mass'"
    ):
        need_masses(read.subset([1, 3]))


def test_synthetic_images_are_written_and_known_as_such(folder, tmp_path):
    source, out = read_mass_folder(folder), tmp_path / "made"
    with write_mass_folder(out) as add:
        for i in (0, 1):
            add(
                MassImage(
                    f"synthetic_{i}",
                    "a",
                    source.image(i),
                    source.boxes[i],
                    source.mask(i),
                    "L",
                    "CC",
                )
            )
    read = read_mass_folder(out)
    assert read.synthetic.all()
    assert [f.name for f in read.files] == ["synthetic_0.png", "synthetic_1.png"]
    assert read.masks[1] is None
    assert read.mammogram(0).synthetic
    for i in (0, 1):
        assert np.array_equal(read.image(i), source.image(i))
        assert np.array_equal(read.boxes[i], source.boxes[i])
        assert np.array_equal(read.mask(i), source.mask(i))


def test_nothing_half_written_and_nothing_overwritten(folder, tmp_path):
    out = tmp_path / "made"
    with pytest.raises(RuntimeError, match="stop"), write_mass_folder(out) as add:  # noqa: PT012
        add(MassImage("x", "a", np.zeros((8, 8)), np.zeros((0, 4)), np.zeros((0, 8, 8), bool)))
        raise RuntimeError("stop")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]
    with pytest.raises(OutputError, match="is there already"), write_mass_folder(folder):
        pass


def test_the_phantom_study_is_such_a_folder():
    phantom = resources.files("napari_pathogan.plugin") / "sample_data" / "mammogram_phantom"
    read = read_mass_folder(str(phantom))
    assert read.synthetic.all()
    assert read.n_masses.tolist() == [1, 1, 1, 1]
    mammogram, (mask,) = read.mammogram(0), read.mask(0)
    assert (mammogram.laterality, mammogram.view) == (read.laterality[0], read.view[0])
    assert mask.shape == mammogram.shape
    around = binary_dilation(mask, iterations=25) & ~mask
    shown = mammogram.shown()
    assert shown[mask].mean() > shown[around].mean()  # a mass is brighter than what is around it


def test_the_real_folder(data):
    read = read_mass_folder(data / "inbreast")
    assert len(read) == 251
    assert read.n_masses.sum() == 91
    assert len(set(read.patients)) == 62
    first = int(read.n_masses.argmax())
    height, width = read.image(first).shape
    assert (read.boxes[first][:, 2:] <= (width, height)).all()
    assert read.mask(first).any((1, 2)).all()

"""Folders of images with masks: what is read, what is left out and named, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from slides_of_nuclei import DarkIsNucleus, found, paint

from napari_pathogan.errors import DataFolderError
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.nuclei import annotated
from napari_pathogan.tasks.nuclei.data import (
    NucleiFolder,
    need_nuclei,
    read_folder,
    read_training_folder,
)
from napari_pathogan.tasks.nuclei.labels import split, three_labels


def test_what_is_written_is_read(tmp_path, folder, write):
    read = read_folder(write(tmp_path, folder), mpp=0.5)
    assert read.names == ("p0", "p1", "p2")
    assert read.instances
    assert not read.skipped
    for own, image in zip(read.images, folder.images, strict=True):
        assert own.name == image.name
        assert own.mpp == 0.5
        assert np.array_equal(own.pixels, image.pixels)
        assert np.array_equal(own.mask, image.mask)


def test_binary_masks_are_known_as_such(tmp_path, draw, write):
    assert not read_folder(write(tmp_path, draw(binary=True))).instances


def test_masks_in_other_formats(tmp_path, folder, write):
    write(tmp_path, folder)
    for file in (tmp_path / "masks").iterdir():
        file.unlink()
    first, second, third, fourth, *_ = folder.images
    big = np.where(first.mask > 0, first.mask.astype(np.uint32) + 70_000, 0)
    tifffile.imwrite(tmp_path / "masks" / f"{first.name}.tif", big)
    np.save(tmp_path / "masks" / f"{second.name}.npy", second.mask.astype(np.int64))
    Image.fromarray(third.mask > 0).save(tmp_path / "masks" / f"{third.name}.png")  # 1 bit
    colours = np.random.default_rng(0).integers(1, 255, (20, 3), np.uint8)
    colours[0] = 0
    Image.fromarray(colours[fourth.mask]).save(tmp_path / "masks" / f"{fourth.name}.png")
    read = {image.name: image.mask for image in read_folder(tmp_path).images}
    assert np.array_equal(read[first.name], big)
    assert np.array_equal(read[second.name], second.mask)
    assert np.array_equal(read[third.name] > 0, third.mask > 0)
    painted = read[fourth.name]
    assert np.array_equal(painted > 0, fourth.mask > 0)
    assert len(np.unique(painted)) == len(np.unique(fourth.mask))


def test_broken_and_misfitting_files_are_left_out_and_named(tmp_path, folder, write):
    write(tmp_path, folder)
    images, masks = tmp_path / "images", tmp_path / "masks"
    (images / "p0_0.png").write_bytes(b"no picture")
    (masks / "p0_1.png").write_bytes((masks / "p0_1.png").read_bytes()[:60])
    Image.fromarray(np.zeros((10, 12), np.uint8)).save(masks / "p1_0.png")
    (masks / "p1_1.png").unlink()
    read = read_folder(tmp_path)
    assert read.names == ("p2",)
    assert [Path(line.split(": ")[0]).name for line in read.skipped] == [
        "p0_0.png", "p0_1.png", "p1_0.png", "p1_1.png",
    ]  # fmt: skip
    assert "can't be read" in read.skipped[0]
    assert "12 x 10 px, but its image has 96 x 96" in read.skipped[2]
    assert "no mask" in read.skipped[3]


def test_patients_are_read_from_names(tmp_path, folder, write):
    write(tmp_path, folder)
    for sub in ("images", "masks"):
        (tmp_path / sub / "p0_0.png").rename(tmp_path / sub / "TCGA-18-5592.png")
    assert read_folder(tmp_path).names == ("TCGA-18-5592", "p0", "p1", "p2")
    assert read_folder(tmp_path, patient=r"([pT]).*").names == ("T", "p")
    for wrong, why in (("p(", "no regular expression"), ("p.*", "no group")):
        with pytest.raises(DataFolderError, match=why):
            read_folder(tmp_path, patient=wrong)


def test_folders_that_can_not_be_used(tmp_path, folder, write):
    with pytest.raises(DataFolderError, match="nowhere is not a folder"):
        read_folder(tmp_path / "nowhere")
    (tmp_path / "images").mkdir()
    with pytest.raises(DataFolderError, match="masks is not a folder"):
        read_folder(tmp_path)
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataFolderError, match="no image with a mask"):
        read_folder(tmp_path)
    write(tmp_path, folder)
    for file in (tmp_path / "masks").iterdir():
        file.unlink()
    with pytest.raises(DataFolderError, match=r"there is no mask p0_0\.png"):
        read_folder(tmp_path)


def test_masks_without_any_nucleus_can_not_be_learnt(folder):
    need_nuclei(folder)
    for image in folder.images:
        image.mask[:] = 0
    with pytest.raises(DataFolderError, match="no nucleus is marked in any of the 6 masks"):
        need_nuclei(folder)


def test_another_scale(folder):
    image = folder.images[0]
    coarse = NucleiFolder((type(image)(image.name, "p", image.pixels, image.mask, 0.5),)).images[0]
    pixels, mask = coarse.at(0.25)
    assert pixels.shape == (192, 192, 3)
    assert np.array_equal(mask[::2, ::2], image.mask)
    same, _ = image.at(0.25)
    assert same is image.pixels


def test_three_labels_of_numbered_nuclei():
    mask = np.zeros((20, 24), np.int32)
    mask[4:12, 4:12], mask[4:12, 12:20] = 3, 70_000  # they touch
    mask[16:18, 2:4] = 9  # so small that two pixels of boundary would be all of it
    labels = three_labels(mask)
    assert np.array_equal(labels > 0, mask > 0)
    assert (labels[4:12, 10:14] == 2).all()  # the boundary runs between the two
    assert (labels[6:10, 6:10] == 1).all()
    assert (labels[16:18, 2:4] == 1).all()
    mask[0, 0] = -1
    assert three_labels(mask)[0, 0] == -1


def test_touching_nuclei_of_a_binary_mask_are_told_apart():
    y, x = np.mgrid[:60, :80]
    mask = np.zeros((60, 80), np.uint8)
    for cx in (20, 43):
        mask[(y - 25) ** 2 + (x - cx) ** 2 <= 144] = 255
    mask[50:53, 60:63] = 255
    parts = split(mask)
    assert parts.max() == 3
    assert np.array_equal(parts > 0, mask > 0)
    assert parts[25, 20] != parts[25, 43]
    assert (three_labels(mask)[25, 30:33] == 2).any()


def test_an_oblong_nucleus_stays_one():
    y, x = np.mgrid[:40, :60]
    assert split((((y - 20) / 7) ** 2 + ((x - 30) / 20) ** 2 <= 1).astype(int)).max() == 1


def test_slides_with_corrected_nuclei_are_read(tmp_path):
    """A region of a slide at 0.5 um/px, kept as the plugin keeps it: known there and only there."""
    path = tmp_path / "case_1.tif"
    tifffile.imwrite(path, paint((300, 400), 40, radius=(4, 7)), photometric="rgb")
    with Slide.open(path, mpp=0.5) as slide:
        kept = found(slide, DarkIsNucleus(mpp=0.5), Region(40, 60, 200, 240))
    annotated.write(path, kept)
    (tmp_path / "other.tif.nuclei.geojson").write_text("{")
    folder = read_training_folder(tmp_path)
    (image,) = folder.images
    assert image.patient == "case"
    assert image.mpp == pytest.approx(0.5)
    assert image.pixels.shape[:2] == image.mask.shape
    assert folder.instances
    assert image.mask.max() == len(kept.table)
    assert (image.pixels[image.mask > 0].mean(1) < 150).mean() > 0.9
    assert image.learnt[1].shape == tuple(2 * side for side in image.mask.shape)
    assert len(folder.skipped) == 1
    assert "other.tif" in folder.skipped[0]
    annotated.store(path).beside.unlink()
    with pytest.raises(DataFolderError, match=r"no slide could be used; the first: .*other"):
        read_training_folder(tmp_path)


def test_of_files_of_one_name_none_is_taken(tmp_path, folder, write):
    write(tmp_path, folder)
    first, second, *rest = folder.images
    for sub, name in (("masks", first.name), ("images", second.name)):
        (tmp_path / sub / f"{name}.tif").write_bytes((tmp_path / sub / f"{name}.png").read_bytes())
    (tmp_path / "masks" / f"{rest[0].name}.json").touch()
    read = read_folder(tmp_path)
    assert [image.name for image in read.images] == [image.name for image in rest]
    assert [line.rpartition(": ")[2] for line in read.skipped] == [
        f"{first.name}.png and {first.name}.tif may both be its mask; keep one",
        *[f"2 images are called {second.name}; keep one"] * 2,
    ]

"""Tiles that coarse levels lack are made from finer ones, and how many is said."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import tifffile
import zarr
from slide_makers import halved, smooth_image
from test_slide_formats import write_ngff

from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide

FINE = smooth_image(512, 768)
COARSE = halved(FINE)
COARSEST = halved(COARSE)
WHOLE = Region(0, 0, 512, 768)
LEVELS = (FINE, COARSE, COARSEST)


def tiles_of(image, *, without=()):
    height, width = image.shape[:2]
    corners = [(y, x) for y in range(0, height, 128) for x in range(0, width, 128)]
    for number, (y, x) in enumerate(corners):
        tile = np.ascontiguousarray(image[y : y + 128, x : x + 128])
        yield b"" if number in without else zlib.compress(tile.tobytes())


def pyramid(path, holes, levels=LEVELS):
    """Deflated tiles of 128 px; ``holes`` are the empty tiles of each level."""
    with tifffile.TiffWriter(path) as out:
        for number, (level, without) in enumerate(zip(levels, holes, strict=True)):
            out.write(
                tiles_of(level, without=without),
                shape=level.shape,
                dtype="uint8",
                tile=(128, 128),
                photometric="rgb",
                compression="deflate",
                subfiletype=int(number > 0),
                metadata=None,
            )
    return path


def tear(path, page, tile):
    with tifffile.TiffFile(path) as file:
        at, count = file.pages[page].dataoffsets[tile], file.pages[page].databytecounts[tile]
    whole = bytearray(path.read_bytes())
    whole[at : at + count] = bytes(count)
    path.write_bytes(whole)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [False, True])
def test_a_coarsest_level_that_is_not_there_changes_no_colour(tmp_path, kind, channels):
    """What the pixels have to tell of the colours, the next finer level tells."""
    factor = {"uint8": 1, "uint16": 257, "float32": 1 / 255}[kind]
    levels = [level.astype(kind) * np.asarray(factor, kind) for level in LEVELS]
    whole = write_ngff(tmp_path, levels, "cyx", "0.4", 0.25)
    if not channels:
        named = [
            {"label": name, "color": colour}
            for name, colour in (("Red", "FF0000"), ("Green", "00FF00"), ("Blue", "0000FF"))
        ]
        zarr.open_group(whole, mode="r+").attrs["omero"] = {"channels": named}
    coarsest = max(one for one in whole.iterdir() if one.is_dir())
    for file in coarsest.rglob("[0-9]*"):
        if file.is_file():
            file.unlink()
    with Slide.open(whole) as slide:
        np.testing.assert_array_equal(slide.levels[0][:], FINE)
        found = slide.read(WHOLE, size=COARSEST.shape[:2])
    assert np.abs(found.astype(int) - COARSEST).mean() < 2


@pytest.mark.parametrize(
    "holes", [((), (1, 2), ()), ((), (0, 1, 2, 3, 4, 5), (0, 1)), ((), (), (1,))]
)
def test_empty_coarse_tiles_are_made_from_the_finer_level(tmp_path, holes):
    with Slide.open(pyramid(tmp_path / "whole.tif", ((), (), ()))) as slide:
        right = [slide.read(WHOLE, size=size) for size in ((256, 384), (128, 192), (100, 150))]
        assert slide.notes == []
    with Slide.open(pyramid(tmp_path / "a.tif", holes)) as slide:
        said = slide.notes
        for image in right:
            found = slide.read(WHOLE, size=image.shape[:2])
            assert np.abs(found.astype(int) - image).max() <= 2
        assert slide.damaged == []
        assert slide.notes == said
    for number, without in enumerate(holes):
        sentence = f"{len(without)} of {(24, 6, 2)[number]} tiles of level {number} are empty"
        assert any(sentence in note for note in said) == bool(without)


def test_damaged_coarse_tiles_are_made_from_the_finer_level(tmp_path):
    path = pyramid(tmp_path / "a.tif", ((), (), ()))
    tear(path, 1, 4)
    with Slide.open(path) as slide:
        found = slide.read(WHOLE, size=(256, 384))
        assert np.abs(found.astype(int) - COARSE).max() <= 1
        assert slide.damaged == []
        assert "1 of 6 tiles of level 1 are empty or damaged" in slide.notes[0]


def test_what_is_empty_or_glass_at_all_levels_is_glass(tmp_path):
    """Coarse tiles are larger: one that is stored for what lies beside shows glass too."""
    coarsest = COARSEST.copy()
    coarsest[:64, :64] = (243, 240, 244)
    path = pyramid(tmp_path / "a.tif", ((0, 1, 6, 7), (0,), ()), (FINE, COARSE, coarsest))
    with Slide.open(path) as slide:
        assert (slide.read(WHOLE, size=(256, 384))[:128, :128] == 255).all()
        assert slide.notes == []


def test_what_is_damaged_at_all_levels_is_blank_and_told(tmp_path):
    path = pyramid(tmp_path / "a.tif", ((), (0,), (0,)))
    tear(path, 0, 0)
    with Slide.open(path) as slide:
        found = slide.read(WHOLE, size=(256, 384))
        assert (found[:64, :64] == 255).all()
        assert np.abs(found[64:].astype(int) - COARSE[64:]).max() <= 1
        assert len(slide.damaged) == 1
        assert len(slide.notes) == 3


@pytest.mark.parametrize(("black", "share"), [((1,), 1), ((2,), 1), ((1, 2), 1), ((1,), 0.5)])
def test_black_coarse_tiles_are_made_from_the_finer_level(tmp_path, black, share):
    """As programs leave them that reserve a level and end before they fill it."""
    levels = [level.copy() for level in LEVELS]
    for number in black:
        levels[number][: round(share * len(levels[number]))] = 0
    nothing = ((), (), ())
    with Slide.open(pyramid(tmp_path / "whole.tif", nothing)) as slide:
        right = [slide.read(WHOLE, size=size) for size in ((256, 384), (128, 192))]
    with Slide.open(pyramid(tmp_path / "a.tif", nothing, levels)) as slide:
        read = [slide.read(WHOLE, size=size) for size in ((256, 384), (128, 192))]
        assert len(slide.notes) == len(black)
    assert all(np.abs(a.astype(int) - b).max() <= 2 for a, b in zip(read, right, strict=True))


def test_what_is_black_on_every_level_stays_black(tmp_path):
    levels = [np.zeros_like(level) for level in LEVELS]
    with Slide.open(pyramid(tmp_path / "a.tif", ((), (), ()), levels)) as slide:
        assert not slide.read(WHOLE, size=(128, 192)).any()
        assert slide.notes == []


def far_from(found, right):
    return np.abs(found.astype(int) - right).mean()


@pytest.mark.parametrize("holes", [((8,), (), ()), ((8, 9, 2), (1,), ()), ((0,), (0,), ())])
def test_empty_tiles_of_the_finest_level_are_made_from_a_coarser_one(tmp_path, holes):
    """The finest level lacks what a coarser one shows: blank there, it would be taken for glass."""
    with Slide.open(pyramid(tmp_path / "a.tif", holes)) as slide:
        said = slide.notes
        assert far_from(slide.read(WHOLE), FINE) < 1
        for size, right in (((256, 384), COARSE), ((128, 192), COARSEST)):
            assert far_from(slide.read(WHOLE, size=size), right) < 1
        np.testing.assert_array_equal(slide.levels[0][:], slide.read(WHOLE))
        assert slide.notes == said
        assert slide.damaged == []
        assert slide.scanned(*(0, 256), 128, 128)
    assert f"{len(holes[0])} of 24 tiles of level 0 are empty or damaged" in said[0]
    assert "from a coarser level, with less detail" in said[0]


def test_damaged_and_black_tiles_of_the_finest_level_are_made_from_a_coarser_one(tmp_path):
    fine = FINE.copy()
    fine[:128, :128] = 0
    path = pyramid(tmp_path / "a.tif", ((), (), ()), (fine, COARSE, COARSEST))
    tear(path, 0, 8)
    with Slide.open(path) as slide:
        assert far_from(slide.read(WHOLE), FINE) < 1
        assert "2 of 24 tiles of level 0 are empty or damaged" in slide.notes[0]
        assert slide.damaged == []


def test_grey_levels_help_each_other_too(tmp_path):
    levels = [level[..., :1].copy() for level in LEVELS]
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as out:
        for number, level in enumerate(levels):
            out.write(
                tiles_of(level, without=(0,) if number == 0 else ()),
                shape=level.shape[:2],
                dtype="uint8",
                tile=(128, 128),
                photometric="minisblack",
                compression="deflate",
                subfiletype=int(number > 0),
                metadata=None,
            )
    with Slide.open(path) as slide:
        assert far_from(slide.read(WHOLE), FINE[..., 0]) < 1
        assert "1 of 24 tiles of level 0" in slide.notes[0]


def test_a_tile_that_lacks_a_colour_is_damaged_not_glass(tmp_path):
    """Of planes that are stored one after another, one tile's red is empty."""
    planes = np.moveaxis(FINE, -1, 0)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as out:
        tiles = [one for plane in planes for one in tiles_of(plane[..., None])]
        tiles[5] = b""
        out.write(
            iter(tiles),
            shape=planes.shape,
            dtype="uint8",
            tile=(128, 128),
            photometric="rgb",
            planarconfig="separate",
            compression="deflate",
            metadata=None,
        )
    with Slide.open(path) as slide:
        assert (slide.read(WHOLE)[:128, 640:] == 255).all()
        assert "tile at row 0, column 5 of level 0 can't be read (a colour" in slide.damaged[0]

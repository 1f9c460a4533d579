"""Zarr folders of several layouts, and DICOM whole slides: the scan, or words."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import zarr
from slide_makers import halved, smooth_image
from test_slide_formats import write_ngff

from napari_pathogan.errors import SlideFormatError
from napari_pathogan.plugin.viewer.reader import get_reader
from napari_pathogan.plugin.viewer.reader import read as read_layers
from napari_pathogan.slides.backends.dicom import is_folder_of_slide, is_whole_slide
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide

SCAN, MACRO = smooth_image(256, 384), smooth_image(400, 500, seed=1)
WHOLE = Region(0, 0, 256, 384)


def image(group, pixels, mpp, name, *, levels=1, version=2, units=("micrometer", "micrometer")):
    """Write a multiscale of red, green and blue into a group."""
    datasets = []
    for number in range(levels):
        planar = np.moveaxis(pixels, -1, 0)
        group.create_array(str(number), data=np.ascontiguousarray(planar), chunks=(1, 128, 128))
        scale = [1.0, mpp[0] * 2**number, mpp[1] * 2**number]
        steps = [{"type": "scale", "scale": scale}]
        datasets.append({"path": str(number), "coordinateTransformations": steps})
        pixels = halved(pixels)
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": a, "type": "space", "unit": u} for a, u in zip("yx", units, strict=True)]
    about = {"multiscales": [{"name": name, "axes": axes, "datasets": datasets}]}
    group.attrs.update(about if version == 2 else {"ome": {"version": "0.5", **about}})
    return group


def series(folder, images, *, version=2, layout=True):
    group = zarr.open_group(folder, mode="w", zarr_format=version)
    if layout:
        said = {"bioformats2raw.layout": 3}
        group.attrs.update(said if version == 2 else {"ome": {"version": "0.5", **said}})
    for number, (name, pixels, mpp) in enumerate(images):
        image(group.create_group(str(number)), pixels, (mpp, mpp), name, version=version)
    return folder


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("layout", [True, False])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_the_scan_is_opened_not_the_macro(tmp_path, version, layout, order):
    several = [("scan", SCAN, 0.25), ("macro image", MACRO, 16.4), ("Label", MACRO, 16.4)]
    listed = [several[at] for at in order]
    folder = series(tmp_path / "a", listed, version=version, layout=layout)
    with Slide.open(folder) as slide:
        assert np.array_equal(slide.read(WHOLE), SCAN)
        assert slide.mpp == (0.25, 0.25)
        at = order.index(0)
        assert f"image {at} (scan) of 3 in a is read" in slide.notes[0]
    if layout:
        assert get_reader(str(folder)) is not None


def test_of_several_scans_the_largest_is_opened_and_each_can_be_chosen(tmp_path):
    folder = series(tmp_path / "a.zarr", [("one", SCAN, 0.25), ("two", MACRO, 0.5)])
    with Slide.open(folder) as slide:
        assert slide.shape == (400, 500)
        assert "0 (one)" in slide.notes[0]
    with Slide.open(folder / "0") as slide:
        assert slide.shape == (256, 384)
        assert slide.notes == []


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"plate": {"wells": [{"path": "A/1"}, {"path": "A/2"}]}}, r"plate of 2 wells.*a/A/1/0"),
        ({"well": {"images": [{"path": "0"}]}}, r"well with 1 fields.*a/0"),
        ({}, r"a Zarr folder without the metadata"),
        ({"bioformats2raw.layout": 3}, r"a Zarr folder without the metadata"),
    ],
)
@pytest.mark.parametrize("version", [2, 3])
def test_what_is_no_image_is_said_in_words(tmp_path, attributes, words, version):
    group = zarr.open_group(tmp_path / "a", mode="w", zarr_format=version)
    group.attrs.update(attributes if version == 2 else {"ome": attributes})
    with pytest.raises(SlideFormatError, match=words):
        Slide.open(tmp_path / "a")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("shape", [(60, 90, 3), (60, 90)])
@pytest.mark.parametrize("within", [False, True])
def test_an_array_of_the_shape_of_a_picture_opens_without_scale(tmp_path, version, shape, within):
    pixels = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    if within:
        zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    path = tmp_path / "a.zarr" / "raw" if within else tmp_path / "a.zarr"
    zarr.save_array(path, pixels, zarr_format=version)
    with Slide.open(path) as slide:
        read = slide.read(Region(0, 0, 60, 90))
        assert np.array_equal(read, pixels)
        assert slide.mpp is None
        assert "without the metadata of OME-Zarr" in slide.notes[0]
    assert get_reader(str(path)) is not None
    ((data, _, kind),) = read_layers(str(path))
    assert (kind, (data if len(shape) == 2 else data[0]).shape[:2]) == ("image", (60, 90))


@pytest.mark.parametrize("version", [2, 3])
def test_other_arrays_without_metadata_are_said_in_words(tmp_path, version):
    zarr.save_array(tmp_path / "a.zarr", np.stack([SCAN, SCAN]), zarr_format=version)
    with pytest.raises(SlideFormatError, match=r"a Zarr array \(shape .*save it as OME-Zarr"):
        Slide.open(tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "b.zarr", mode="w", zarr_format=version)
    group.create_array("raw", data=SCAN)
    with pytest.raises(SlideFormatError, match=r"holds arrays \(raw\)"):
        Slide.open(tmp_path / "b.zarr")
    folder = series(tmp_path / "c.zarr", [("one", SCAN, 0.25)])
    level = next(one for one in (folder / "0").iterdir() if one.is_dir())
    with pytest.raises(SlideFormatError, match="open the folder it lies in"):
        Slide.open(level)


def test_units_of_both_axes(tmp_path):
    group = zarr.open_group(tmp_path / "a", mode="w", zarr_format=2)
    image(group, SCAN, (0.00025, 250), "x", units=("millimeter", "nanometer"))
    with Slide.open(tmp_path / "a") as slide:
        assert slide.mpp == pytest.approx((0.25, 0.25))


def test_missing_chunks(tmp_path):
    group = zarr.open_group(tmp_path / "a", mode="w", zarr_format=2)
    image(group, SCAN, (0.5, 0.5), "x", levels=2)
    with Slide.open(tmp_path / "a") as slide:
        right = slide.read(WHOLE, size=(128, 192))
    for channel in range(3):
        (tmp_path / "a" / "1" / f"{channel}.0.1").unlink()
    with Slide.open(tmp_path / "a") as slide:
        assert np.abs(slide.read(WHOLE, size=(128, 192)).astype(int) - right).max() <= 1
        assert "1 of 2 tiles of level 1" in slide.notes[0]
    for channel in range(3):
        (tmp_path / "a" / "0" / f"{channel}.0.0").unlink()
    with Slide.open(tmp_path / "a") as slide:
        assert np.abs(slide.read(WHOLE).astype(int) - SCAN).mean() < 1
        assert any("1 of 6 tiles of level 0" in note for note in slide.notes)
    shutil.rmtree(tmp_path / "a" / "1")
    with pytest.raises(SlideFormatError, match="not a complete"):
        Slide.open(tmp_path / "a")


def one_level(folder, *, version=2, chunks=(1, 128, 128), pixels=SCAN, **options):
    """An image of one level in an OME-Zarr folder; gives the folder of its chunks."""
    group = zarr.open_group(folder, mode="w", zarr_format=version)
    image(group, pixels, (0.5, 0.5), "x", version=version)
    planar = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    group.create_array("0", data=planar, chunks=chunks, overwrite=True, **options)
    return folder / "0"


def chunk(level, *place):
    names = [level / ".".join(map(str, place)), level.joinpath("c", *map(str, place))]
    return next(name for name in names if name.is_file())


@pytest.mark.parametrize("version", [2, 3])
def test_some_chunks_missing_are_said_when_it_opens(tmp_path, version):
    level = one_level(tmp_path / "a.zarr", version=version)
    for channel in range(3):
        chunk(level, channel, 1, 2).unlink()
    with Slide.open(tmp_path / "a.zarr") as slide:
        assert slide.notes == slide.damaged
        assert slide.notes[0].startswith("a.zarr lacks 3 of 18 chunks of level 0")
        pixels = slide.read(WHOLE)
        assert (pixels[128:, 256:] == 255).all()
        np.testing.assert_array_equal(pixels[:128], SCAN[:128])
        np.testing.assert_array_equal(pixels[:, :256], SCAN[:, :256])


def test_a_missing_colour_is_damage_not_another_colour(tmp_path):
    level = one_level(tmp_path / "a.zarr")
    chunk(level, 0, 1, 2).unlink()
    with Slide.open(tmp_path / "a.zarr") as slide:
        assert (slide.read(WHOLE)[128:, 256:] == 255).all()
        assert "lacks 1 of 18 chunks" in slide.damaged[0]
        assert "row 1, column 2 of level 0 can't be read (a colour channel" in slide.damaged[1]


@pytest.mark.parametrize("chunks", [(1, 64, 64), (3, 96, 96)])
def test_small_chunks_missing_are_blank_and_those_beside_them_are_kept(tmp_path, chunks):
    level = one_level(tmp_path / "a.zarr", chunks=chunks)
    for channel in range(0, 3, chunks[0]):
        chunk(level, channel, 1, 2).unlink()
    side = chunks[1]
    with Slide.open(tmp_path / "a.zarr") as slide:
        assert "chunks of level 0" in slide.damaged[0]
        pixels = slide.read(WHOLE)
    lost = np.zeros(pixels.shape, bool)
    lost[side : 2 * side, 2 * side : 3 * side] = True
    assert (pixels[lost] == 255).all()
    np.testing.assert_array_equal(pixels[~lost], SCAN[~lost])


def test_chunks_left_out_of_a_white_image_are_glass(tmp_path):
    level = one_level(tmp_path / "a.zarr", fill_value=255)
    for channel in range(3):
        chunk(level, channel, 1, 2).unlink()
    with Slide.open(tmp_path / "a.zarr") as slide:
        assert (slide.read(WHOLE)[128:, 256:] == 255).all()
        assert slide.notes == []


def test_chunks_of_one_dye_do_not_stand_for_another(tmp_path):
    """A chunk that is not there is black where a dye shines nowhere: it is said once for all."""
    level = one_level(tmp_path / "a.zarr", pixels=np.dstack([SCAN, SCAN[..., :1]]))
    chunk(level, 3, 0, 0).unlink()
    channels = Slide.open_channels(tmp_path / "a.zarr")
    for number, (_, slide) in enumerate(channels):
        with slide:
            assert slide.read(WHOLE)[:128, :128].any() == (number < 3)
            assert len(slide.damaged) == 1
            assert "lacks 1 of 24 chunks" in slide.damaged[0]


@pytest.mark.parametrize("fill", [0, 255])
def test_all_chunks_missing_whatever_they_are_filled_with(tmp_path, fill):
    level = one_level(tmp_path / "a.zarr", fill_value=fill)
    for file in level.glob("[0-9]*"):
        file.unlink()
    with pytest.raises(SlideFormatError, match="holds no pixels"):
        Slide.open(tmp_path / "a.zarr")


def test_all_chunks_missing(tmp_path):
    group = zarr.open_group(tmp_path / "a", mode="w", zarr_format=2)
    image(group, SCAN, (0.5, 0.5), "x")
    for chunk in (tmp_path / "a" / "0").glob("[0-9]*"):
        chunk.unlink()
    with pytest.raises(SlideFormatError, match="holds no pixels"):
        Slide.open(tmp_path / "a")


@pytest.mark.parametrize(
    ("change", "value"),
    [("shape", [3, 10**6, 10**6]), ("chunks", [1, 1, 1]), ("shape", [3, 0, 5]), ("shape", [9])],
)
def test_claims_of_arrays_are_held_against_bounds(tmp_path, change, value):
    import json

    group = zarr.open_group(tmp_path / "a", mode="w", zarr_format=2)
    image(group, MACRO, (0.5, 0.5), "x")
    meta = tmp_path / "a" / "0" / ".zarray"
    about = json.loads(meta.read_text()) | {change: value}
    meta.write_text(json.dumps(about))
    with pytest.raises(SlideFormatError):
        Slide.open(tmp_path / "a")


@pytest.fixture
def dicom_slide(request):
    pytest.importorskip("openslide")
    folder = request.config.rootpath.parent / "shared" / "cases" / "slides" / "dicom_wsi"
    if not folder.is_dir():
        pytest.skip("the folder of cases is absent")
    return folder


@pytest.mark.parametrize("name", ["", "level0.dcm", "level1.dcm"])
def test_dicom_slides_open_by_any_file_and_by_their_folder(dicom_slide, name):
    path = dicom_slide / name
    assert is_folder_of_slide(path) if not name else is_whole_slide(path)
    with Slide.open(path) as slide:
        assert slide.shape == (640, 768)
        assert slide.mpp == (0.25, 0.25)
        assert slide.name == path.name
    assert get_reader(str(path)) is not None


def test_a_folder_of_several_dicom_slides_asks_for_a_file(dicom_slide, tmp_path):
    import pydicom

    for name in ("level0.dcm", "level1.dcm"):
        shutil.copy(dicom_slide / name, tmp_path / name)
    other = pydicom.dcmread(dicom_slide / "level1.dcm")
    other.SeriesInstanceUID = pydicom.uid.generate_uid()
    other.save_as(tmp_path / "other.dcm")
    with pytest.raises(SlideFormatError, match=r"holds 2 slides.*level0\.dcm, other\.dcm"):
        Slide.open(tmp_path)


@pytest.mark.gui
def test_files_of_one_dicom_slide_open_once(dicom_slide, make_napari_viewer):
    viewer = make_napari_viewer()
    both = [str(dicom_slide / name) for name in ("level0.dcm", "level1.dcm")]
    (layer,) = viewer.open(both, plugin="napari-pathogan", stack=True)
    assert layer.metadata["slide"].shape == (640, 768)


def test_a_mammogram_among_slides_makes_a_folder_no_slide(dicom_slide, tmp_path):
    shutil.copy(dicom_slide / "level0.dcm", tmp_path / "level0.dcm")
    assert is_folder_of_slide(tmp_path)
    (tmp_path / "mammogram.dcm").write_bytes(bytes(128) + b"DICM" + bytes(200))
    assert not is_folder_of_slide(tmp_path)


def test_levels_count_by_what_they_hold_not_by_their_place_in_the_list(tmp_path):
    group = image(zarr.open_group(tmp_path / "a.ome.zarr", mode="w", zarr_format=2),
                  SCAN, (0.25, 0.25), "scan", levels=2)  # fmt: skip
    about = dict(group.attrs)
    other = np.ascontiguousarray(np.moveaxis(MACRO[:60, :180], -1, 0))
    group.create_array("other", data=other, chunks=(1, 60, 60))
    first, second = about["multiscales"][0]["datasets"]
    about["multiscales"][0]["datasets"] = [second, {**second, "path": "other"}, first]
    group.attrs.update(about)
    with Slide.open(tmp_path / "a.ome.zarr") as slide:
        assert slide.shape[:2] == SCAN.shape[:2]
        assert slide.mpp == (0.25, 0.25)
        assert [level.shape[:2] for level in slide.levels][:2] == [(256, 384), (128, 192)]
        np.testing.assert_array_equal(slide.levels[0][:], SCAN)
        assert any("another shape (180 x 60 px)" in note for note in slide.notes)


@pytest.mark.parametrize("name", ["a.zarr", "folder"])
def test_a_zarr_group_without_an_image_is_said_to_be_that(tmp_path, name, make_napari_viewer):
    """Not a folder without mammograms, whoever chose it for us."""
    group = zarr.open_group(tmp_path / name, mode="w")
    group.create_array("first", data=SCAN)
    with pytest.raises(SlideFormatError, match=r"holds arrays \(first\) without the metadata"):
        read_layers(str(tmp_path / name))


@pytest.mark.parametrize("dtype", ["int16", "int32", "uint32", "int64"])
def test_values_of_one_channel_are_no_slide_and_the_viewer_shows_them(tmp_path, dtype):
    folder = write_ngff(tmp_path / "a.ome.zarr", [SCAN[..., 0].astype(dtype)], "yx", "0.4", 0.5)
    with pytest.raises(SlideFormatError, match="no slide for an analysis; the viewer shows"):
        Slide.open(folder)
    assert len(read_layers(str(folder))) == 1


def test_what_an_analysis_saved_is_no_grey_slide(tmp_path):
    folder = write_ngff(tmp_path / "a.ome.zarr", [SCAN[..., 0]], "yx", "0.5", 0.5)
    group = zarr.open_group(folder, mode="r+")
    group.attrs["pathogan"] = {"kind": "IDC heat map"}
    with pytest.raises(SlideFormatError, match=r"result of PathoGAN \(IDC heat map\)"):
        Slide.open(folder)
    group.attrs["pathogan"] = {"kind": "slide"}
    with Slide.open(folder) as slide:
        assert slide.shape == SCAN.shape[:2]

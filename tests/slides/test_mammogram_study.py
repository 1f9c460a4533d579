"""Grey images, the view in a file's name, and the four views of a study in their places."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import tifffile
from mammogram_makers import PERSON, breast, open_study, write_dicom
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from napari_pathogan import files
from napari_pathogan.errors import MammogramFormatError, UnknownScaleError
from napari_pathogan.mammograms.mammogram import Mammogram
from napari_pathogan.mammograms.study import (
    MammogramStudy,
    examinations,
    open_mammogram,
    same_examination,
)
from napari_pathogan.mammograms.views import named_view, words_beside_view
from napari_pathogan.plugin.viewer.samples import FOLDER, PHANTOM_STUDY
from napari_pathogan.slides import scales

VIEWS = (("L", "MLO"), ("R", "CC"), ("L", "CC"), ("R", "MLO"))


@pytest.fixture
def study(tmp_path):
    """Four views in two folders, a CT slice among them, and a text."""
    for side, view in VIEWS:
        folder = tmp_path / "study" / side
        folder.mkdir(parents=True, exist_ok=True)
        write_dicom(folder / f"IM{view}", breast(), ImageLaterality=side, ViewPosition=view)
    ct = "1.2.840.10008.5.1.4.1.1.2"
    write_dicom(tmp_path / "study" / "ct", breast(), Modality="CT", SOPClassUID=ct)
    (tmp_path / "study" / "notes.txt").write_text("nothing")
    return tmp_path / "study"


def test_a_folder_hangs_as_rcc_lcc_over_rmlo_lmlo(study):
    opened = open_study(study)
    assert {place: one.name for place, one in opened.hanging().items()} == {
        (0, 0): "RCC", (0, 1): "LCC", (1, 0): "RMLO", (1, 1): "LMLO",
    }  # fmt: skip
    assert len(opened.skipped) == 1
    assert "modality CT" in opened.skipped[0]


def test_more_views_than_four_hang_below(study):
    for number in range(2):
        write_dicom(study / f"again{number}", breast(), ImageLaterality="L", ViewPosition="CC")
    write_dicom(study / "unknown", breast(), ImageLaterality="", ViewPosition="")
    places = open_study(study).hanging()
    assert [one.name for (row, _), one in places.items() if row < 2] == [
        "RCC",
        "LCC",
        "RMLO",
        "LMLO",
    ]
    below = {place: one.name for place, one in places.items() if place[0] >= 2}
    assert below == {(2, 0): "mammogram", (2, 1): "LCC", (3, 1): "LCC"}


def test_files_are_a_study_too(study):
    files = [study / "L" / "IMCC", study / "R" / "IMCC"]
    assert [one.name for one in open_study(files).views] == ["RCC", "LCC"]
    assert [one.name for one in open_study(files[0]).views] == ["LCC"]
    with pytest.raises(MammogramFormatError, match="no files"):
        open_study([])
    with pytest.raises(MammogramFormatError, match="modality CT"):
        open_study([files[0], study / "ct"])


@pytest.mark.parametrize("tags", [{"StudyInstanceUID": "1.2.9"}, {"PatientID": "another"}])
def test_two_examinations_are_not_mixed(study, tags):
    """Other UIDs, or one UID that was copied to another patient's header."""
    write_dicom(study / "prior", breast(), **tags)
    assert len(examinations([study / "prior", study / "R" / "IMCC"])) == 2
    own, prior = examinations(study)
    assert [one.name for one in own.open().views] == ["RCC", "LCC", "RMLO", "LMLO"]
    assert len(own.open().skipped) == 1
    assert own.certain == ("StudyInstanceUID" in tags)  # else the user may say that they are one
    assert own.name == "L/IMCC, L/IMMLO …"  # it lies around the other: no folder tells them apart
    assert str(prior) == "prior (1 image: RMLO)"
    assert [one.name for one in prior.open().views] == ["RMLO"]
    assert not same_examination(own.open().views[0], prior.open().views[0])
    assert same_examination(*own.open().views[:2])


def test_one_that_is_opened_alone_is_called_by_its_files(study):
    """As those that are opened together: the folder around it may hold others."""
    (alone,) = examinations([study / "L" / "IMCC"])
    assert str(alone) == "IMCC (1 image: LCC)"
    (folder,) = examinations(study / "L")
    assert folder.name == "L"


def test_examinations_are_called_by_their_folders_and_never_by_their_headers(tmp_path):
    for patient, uid in (("first", "1.2.3"), ("second", "1.2.4")):
        (tmp_path / patient).mkdir()
        for side in "RL":
            named = {"StudyInstanceUID": uid, "ImageLaterality": side, "ViewPosition": "CC"}
            write_dicom(tmp_path / patient / f"{side}.dcm", breast(), **named)
    found = examinations(tmp_path)
    said = " ".join(map(str, found)) + repr([one.open() for one in found])
    assert [str(one) for one in found] == [
        "first (2 images: LCC, RCC)",
        "second (2 images: LCC, RCC)",
    ]
    assert examinations([tmp_path / "second", tmp_path / "first"])[0].views == ("LCC", "RCC")
    assert not any(word in said for word in (*PERSON, "1.2.3", "1.2.4"))
    (view, _), (other, _) = (one.open().views for one in found)
    assert view.examination not in {None, "1.2.3"}
    assert view.examination != other.examination


@pytest.mark.parametrize("drop", [("StudyInstanceUID",), ("StudyInstanceUID", "SeriesInstanceUID")])
def test_without_a_study_uid_only_what_says_so_belongs_together(tmp_path, drop):
    """The series' UID, else the names: nothing is merged because nothing is known."""
    for name in ("a_R_CC", "a_L_CC", "b_R_MLO"):
        write_dicom(tmp_path / name, breast(), drop=drop)
    write_dicom(tmp_path / "c_L_MLO", breast(), drop=drop, SeriesInstanceUID="1.2.99")
    grouped = [[path.name for path in one.files] for one in examinations(tmp_path)]
    if drop == ("StudyInstanceUID",):
        assert grouped == [["a_L_CC", "a_R_CC", "b_R_MLO"], ["c_L_MLO"]]
    else:
        assert grouped == [["a_L_CC", "a_R_CC"], ["b_R_MLO"], ["c_L_MLO"]]
        assert not examinations(tmp_path)[0].certain


def test_images_of_several_patients_in_a_folder_are_told_by_their_names(tmp_path):
    for name in ("case7_R_CC", "case7_L_CC", "case8-RCC", "LCC", "RMLO"):
        Image.fromarray(breast(8)).save(tmp_path / f"{name}.png")
    grouped = [[path.stem for path in one.files] for one in examinations(tmp_path)]
    assert grouped == [["LCC", "RMLO"], ["case7_L_CC", "case7_R_CC"], ["case8-RCC"]]
    assert not any(one.certain for one in examinations(tmp_path))
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(breast(8)).save(other / "LCC.png")
    files = [tmp_path / "LCC.png", other / "LCC.png"]
    assert [one.name for one in examinations(files)] == ["LCC.png", "other/LCC.png"]
    assert words_beside_view("20586908_6c61_MG_R_CC_ANON") == ("20586908", "6C61", "MG", "ANON")


def test_folders_without_mammograms(tmp_path):
    with pytest.raises(MammogramFormatError, match="holds no mammograms"):
        open_study(tmp_path)
    write_dicom(tmp_path / "ct", breast(), Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    with pytest.raises(MammogramFormatError, match="no mammogram that can be opened"):
        open_study(tmp_path)
    many = tmp_path / "many"
    many.mkdir()
    for number in range(30):
        (many / f"{number}.png").touch()
    with pytest.raises(MammogramFormatError, match="30 images"):
        open_study(many)


@pytest.mark.parametrize(
    ("stem", "view"),
    [
        ("rcc", ("R", "CC")),
        ("case7_R_MLO", ("R", "MLO")),
        ("20586908_6c613a14b80a8591_MG_R_CC_ANON", ("R", "CC")),
        ("Left-XCCL", ("L", "XCCL")),
        ("scan_LMLO_2", ("L", "MLO")),
        ("clear", (None, None)),
        ("20586908", (None, None)),
    ],
)
def test_the_view_in_a_name(stem, view):
    assert named_view(stem) == view


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("suffix", ["png", "pgm", "tif"])
def test_grey_images(tmp_path, suffix, bits):
    pixels = breast(bits)
    if suffix == "pgm" and bits > 8:  # its maximum is written as 65535
        pixels = pixels * np.uint16(16)
    path = tmp_path / f"case_L_CC.{suffix}"
    if suffix == "tif":
        tifffile.imwrite(path, pixels)
    else:
        Image.fromarray(pixels).save(path)
    found = open_mammogram(path)
    assert np.array_equal(found.pixels, pixels)
    assert (found.name, found.laterality, found.view) == ("case_L_CC", "L", "CC")
    assert found.window == ((0, 255) if bits == 8 else (0, pixels.max()))
    assert found.shown().max() == 1
    assert found.mm_per_px is None


def test_grey_written_as_rgb_and_the_mark_of_synthetic_images(tmp_path):
    pixels = breast(8)
    text = PngInfo()
    text.add_text("synthetic", "true")
    Image.fromarray(np.dstack([pixels] * 3)).save(tmp_path / "a.png", pnginfo=text)
    found = open_mammogram(tmp_path / "a.png")
    assert np.array_equal(found.pixels, pixels)
    assert found.synthetic
    Image.fromarray(pixels).save(tmp_path / "b.png")
    assert not open_mammogram(tmp_path / "b.png").synthetic


def test_a_users_scale(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "data_folder", lambda: tmp_path)
    path = tmp_path / "a.png"
    Image.fromarray(breast(8)).save(path)
    given = open_mammogram(path).with_spacing(0.07)
    assert (given.mm_per_px, given.spacing) == ((0.07, 0.07), "user")
    scales.remember(path, (70, 70))
    assert open_mammogram(path).mm_per_px == pytest.approx((0.07, 0.07))
    with pytest.raises(UnknownScaleError, match="mm per pixel"):
        given.with_spacing(0)


def test_a_flat_image_is_shown_as_air():
    found = Mammogram("flat", np.full((4, 4), 7, np.uint16), window=(7.0, 8.0))
    assert (found.shown() == 0).all()
    assert MammogramStudy([found]).hanging() == {(2, 0): found}


def test_the_phantom_study():
    """Four views under 3 MB; the boxes hold what is brighter than its surroundings."""
    folder = FOLDER / PHANTOM_STUDY
    views = {one.name: one for one in open_study(folder).hanging().values()}
    assert list(views) == ["RCC", "LCC", "RMLO", "LMLO"]
    assert sum(path.stat().st_size for path in folder.rglob("*.dcm")) < 3e6
    for row in csv.DictReader((folder / "boxes.csv").open()):
        view = views[row["file"].removesuffix(".dcm")]
        assert view.synthetic
        assert not view.mirrored
        assert (view.mm_per_px, view.spacing) == ((0.3, 0.3), "at detector")
        x0, y0, x1, y1 = (int(row[key]) for key in ("xmin", "ymin", "xmax", "ymax"))
        shown, half = view.shown(), (x1 - x0) // 2
        inside = shown[y0:y1, x0:x1].mean()
        around = shown[y0 - half : y1 + half, x0 - half : x1 + half]
        assert inside > 1.15 * np.median(around[around > 0.1])

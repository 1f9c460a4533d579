"""Which view a mammogram is: modifiers, raw data, functional groups, names of files."""

from __future__ import annotations

import numpy as np
import pytest
from mammogram_makers import breast, coded, open_study, write_dicom
from pydicom import uid
from pydicom.dataset import Dataset

from napari_pathogan.mammograms.study import open_mammogram
from napari_pathogan.mammograms.views import named_view

IMAGE = breast()
TOMOSYNTHESIS = uid.UID("1.2.840.10008.5.1.4.1.1.13.1.3")
FACTOR = "EstimatedRadiographicMagnificationFactor"


def view(*modifiers, code="399162004"):
    """A view code, cranio-caudal, with modifiers."""
    item = coded(code)
    item.ViewModifierCodeSequence = [coded(one) for one in modifiers]
    return [item]


def opened(path, **tags):
    return open_mammogram(write_dicom(path / "a.dcm", IMAGE, **tags))


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (["399163009"], "magnification"),
        (["R-102D6"], "magnification"),
        (["399055006"], "spot compression"),
        (["399209000"], "implant displaced"),
        (["R-102D5"], "implant displaced"),
        (["399163009", "399055006"], "magnification, spot compression"),
        (["399197002"], "rolled lateral"),
        (["399110001"], "tangential"),
        (["99-what-nobody-knows"], "modified"),
    ],
)
def test_modifiers_are_named_and_leave_the_plain_view_its_place(tmp_path, codes, words):
    tags = {"ImagerPixelSpacing": [0.07, 0.07], "ViewCodeSequence": view()}
    write_dicom(tmp_path / "b_plain.dcm", IMAGE, **tags)
    write_dicom(tmp_path / "a_modified.dcm", IMAGE, **tags | {"ViewCodeSequence": view(*codes)})
    study = open_study(tmp_path)
    names = {place: one.name for place, one in study.hanging().items()}
    assert names == {(0, 0): "RCC", (2, 0): f"RCC {words}"}
    assert [one.name for one in study.views] == ["RCC", f"RCC {words}"]


def test_modifiers_at_the_top_or_in_the_words_of_older_files(tmp_path):
    top = opened(tmp_path, ViewModifierCodeSequence=[coded("399163009")])
    assert top.modifiers == ("magnification",)
    assert opened(tmp_path, ViewPosition="CC ID").name == "RCC implant displaced"
    named = coded("")
    named.CodeMeaning = "Spot Compression"
    item = view()
    item[0].ViewModifierCodeSequence = [named]
    assert opened(tmp_path, ViewCodeSequence=item).modifiers == ("spot compression",)


@pytest.mark.parametrize(
    ("tags", "mm", "meaning"),
    [
        ({FACTOR: 1.8}, 0.09 / 1.8, "corrected for magnification"),
        ({FACTOR: 1.8, "ViewCodeSequence": view()}, 0.09 / 1.8, "corrected for magnification"),
        (
            {"DistanceSourceToDetector": 660, "DistanceSourceToPatient": 330,
             "ViewCodeSequence": view("399163009")},
            0.045, "corrected for magnification",
        ),
        ({"ViewCodeSequence": view("399163009")}, 0.09, "at detector, magnified"),
        ({FACTOR: 0, "ViewCodeSequence": view("R-102D6")}, 0.09, "at detector, magnified"),
        ({FACTOR: 1.05}, 0.09, "at detector"),
        (
            {FACTOR: 1.8, "PixelSpacing": [0.05] * 2, "PixelSpacingCalibrationType": "GEOMETRY"},
            0.05, "calibrated",
        ),
    ],
)  # fmt: skip
def test_lengths_in_a_magnified_view(tmp_path, tags, mm, meaning):
    found = opened(tmp_path, ImagerPixelSpacing=[0.09, 0.09], **tags)
    assert found.mm_per_px == pytest.approx((mm, mm))
    assert found.spacing == meaning
    assert len(found.notes) == (meaning == "at detector, magnified")


@pytest.mark.parametrize("size", [[70, 70], [0.07, 70], [0, 0.07], [1e-6, 1e-6], [-0.07, -0.07]])
def test_a_size_that_no_detector_has(tmp_path, size):
    found = opened(tmp_path, ImagerPixelSpacing=size)
    assert (found.mm_per_px, found.spacing) == (None, None)
    assert found.notes[0].startswith("a.dcm states a size of a pixel that no detector has")
    right = opened(tmp_path, ImagerPixelSpacing=size, PixelSpacing=[0.07, 0.07])
    assert (right.mm_per_px, right.notes) == ((0.07, 0.07), ())


@pytest.mark.parametrize(
    "tags",
    [
        {"PresentationIntentType": "FOR PROCESSING"},
        {"SOPClassUID": uid.DigitalMammographyXRayImageStorageForProcessing},
        {"SOPClassUID": uid.DigitalXRayImageStorageForProcessing},
    ],
)
def test_raw_data_never_take_the_place_of_the_view(tmp_path, tags):
    raw = write_dicom(tmp_path / "a_raw.dcm", IMAGE, **tags)
    assert [*open_study(tmp_path).hanging()] == [(1, 0)]  # alone it hangs where it belongs
    write_dicom(tmp_path / "b.dcm", IMAGE, PresentationIntentType="FOR PRESENTATION")
    places = open_study([tmp_path / "a_raw.dcm", tmp_path / "b.dcm"]).hanging()
    assert {place: one.name for place, one in places.items()} == {
        (1, 0): "RMLO",
        (2, 0): "RMLO raw",
    }
    (note,) = open_mammogram(raw).notes
    assert "a_raw.dcm is raw data of the detector (FOR PROCESSING)" in note


def grouped(**macros):
    """Functional groups of the only frame."""
    shared = Dataset()
    for name, elements in macros.items():
        item = Dataset()
        item.update(elements)
        setattr(shared, name, [item])
    return [shared]


@pytest.mark.parametrize("where", ["Shared", "PerFrame"])
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
def test_functional_groups_say_side_spacing_and_window(tmp_path, where, syntax):
    groups = grouped(
        FrameAnatomySequence={"FrameLaterality": "L"},
        PixelMeasuresSequence={"PixelSpacing": [0.1, 0.2]},
        FrameVOILUTSequence={
            "WindowCenter": 600, "WindowWidth": 400, "VOILUTFunction": "SIGMOID",
        },
        PixelValueTransformationSequence={"RescaleIntercept": -100, "RescaleSlope": 2},
    )  # fmt: skip
    found = opened(
        tmp_path, syntax=syntax, SOPClassUID=TOMOSYNTHESIS, NumberOfFrames=1,
        ViewCodeSequence=view(), drop=("ImageLaterality", "ViewPosition"), PixelSpacing=[9, 9],
        **{f"{where}FunctionalGroupsSequence": groups},
    )  # fmt: skip
    assert found.name == "LCC"
    assert (found.mm_per_px, found.spacing) == ((0.1, 0.2), "calibrated")
    assert (found.voi.centre, found.voi.width, found.voi.shape) == (600, 400, "SIGMOID")
    assert np.array_equal(found.pixels, 2.0 * IMAGE - 100)


def test_groups_without_sense_are_no_obstacle(tmp_path):
    odd = Dataset()
    odd.add_new("PixelMeasuresSequence", "LO", "nothing")
    found = opened(tmp_path, SharedFunctionalGroupsSequence=[odd])
    assert found.name == "RMLO"


@pytest.mark.parametrize(
    ("stem", "said"),
    [
        ("case7_R_LAT", ("R", "LAT")),
        ("case7_L_LAT", ("L", "LAT")),
        ("case7_LAT_R", ("R", "LAT")),
        ("RLAT", ("R", "LAT")),
        ("LLAT", ("L", "LAT")),
        ("right-lateral", ("R", "LAT")),
        ("case7_LAT", (None, "LAT")),
        ("R_LM", ("R", "LM")),
        ("L_ML", ("L", "ML")),
        ("LML", ("L", "ML")),
        ("LLM", ("L", "LM")),
        ("R_LMO", ("R", "LMO")),
        ("L_AT", ("L", "AT")),
        ("RAT", ("R", "AT")),
        ("left_cc", ("L", "CC")),
        ("rmlo", ("R", "MLO")),
        ("L_Smith_R_CC", ("R", "CC")),
        ("R_study_CC_L", ("L", "CC")),
        ("R_L_patient_CC", (None, "CC")),
        ("R_CC_L", (None, "CC")),
        ("LCC_RCC", (None, "CC")),
        ("RCC_RMLO", ("R", None)),
        ("lcc_copy_LCC", ("L", "CC")),
        ("notes", (None, None)),
    ],
)
def test_side_and_view_in_names(stem, said):
    assert named_view(stem) == said


@pytest.mark.parametrize(
    "intent", ["FOR PROCESSING", "FOR  PROCESSING", "for_processing", "RAW", "FOR-PROCESSING"]
)
def test_raw_data_however_that_is_written(tmp_path, intent):
    found = opened(tmp_path, PresentationIntentType=intent)
    assert found.name == "RMLO raw"
    assert "raw data of the detector" in found.notes[0]


@pytest.mark.parametrize("intent", ["FOR PRESENTATION", "PROCESSED", "", "FOR"])
def test_other_intents_are_not_raw(tmp_path, intent):
    assert opened(tmp_path, PresentationIntentType=intent).name == "RMLO"


@pytest.mark.parametrize(
    ("position", "view"),
    [("M L O", "MLO"), ("C C", "CC"), ("M-L", "ML"), ("M CC", "CC"), ("ML ID", "ML")],
)
def test_views_in_letters_apart(tmp_path, position, view):
    found = opened(tmp_path, ViewPosition=position)
    assert found.view == view
    assert not any("left in another" in note for note in found.notes)


def test_an_image_of_both_sides_at_once_is_told_of(tmp_path):
    notes = opened(tmp_path, ImageLaterality=["R", "L"]).notes
    assert "says right in one place and left in another" in notes[0]


@pytest.mark.parametrize(
    ("source_to_patient", "said"),
    [("330", "magnified 2 times"), ("620", ""), ("0", ""), ("66", "")],
)
def test_distances_of_a_magnified_view_that_does_not_say_so(tmp_path, source_to_patient, said):
    found = opened(
        tmp_path,
        ImagerPixelSpacing=["0.1", "0.1"],
        DistanceSourceToDetector="660",
        DistanceSourceToPatient=source_to_patient,
    )
    assert said in "".join(found.notes)
    assert len(found.notes) == bool(said)
    assert found.mm_per_px == (0.1, 0.1)


def test_a_factor_that_no_stand_is_high_enough_for(tmp_path):
    found = opened(tmp_path, ImagerPixelSpacing=["0.1", "0.1"], **{FACTOR: "18"})
    assert found.mm_per_px == (0.1, 0.1)

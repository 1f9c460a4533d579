"""DICOM annotations and segmentations of slides: what they hold, keep to themselves and refuse."""

from __future__ import annotations

import re
import sys

import highdicom
import numpy as np
import pydicom
import pytest
from slides_of_nuclei import ByQuadrant, DarkIsNucleus, found, paint

from dicom_slides import PATIENT, place_of, write_slide
from napari_pathogan.engine.dicom_objects import (
    DicomSlideError,
    headers_of,
    kind_of,
    read_annotations,
    read_segments,
    source_of,
)
from napari_pathogan.errors import EnvironmentMismatchError, ResultFormatError
from napari_pathogan.slides.geometry import Overlay
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.idc.dicom import NAMES, SEG, write_seg
from napari_pathogan.tasks.idc.heatmap import HeatMap
from napari_pathogan.tasks.nuclei.dicom import ANN, write_ann
from napari_pathogan.tasks.nuclei.outlines import trace

PIXELS = paint((400, 500), 60, radius=(5, 8))


@pytest.fixture
def slide(tmp_path):
    with Slide.open(write_slide(tmp_path / "case.dcm", PIXELS)) as one:
        yield one


@pytest.fixture
def nuclei(slide):
    return found(slide, DarkIsNucleus(), classifier=ByQuadrant())


@pytest.fixture
def heat(slide):
    """6 x 7 cells of 40 px that begin 12 px down and 30 to the right; the first row is glass."""
    p = np.random.default_rng(0).random((6, 7)).astype(np.float32)
    p[0] = np.nan
    overlays = (Overlay(one, (12.0, 30.0), (40.0, 50.0)) for one in (p, p / 4, np.ones_like(p)))
    return HeatMap(*overlays, slide.mpp, 0.5, model="idc-lite0", slide=slide.name)


def test_outlines_of_nuclei_come_back(slide, nuclei, tmp_path):
    write_ann(tmp_path / "a.ann.dcm", nuclei, slide)
    back = read_annotations(tmp_path / "a.ann.dcm")
    assert back.series == "1.2.3"
    assert back.image == headers_of(slide.path)[0].SOPInstanceUID
    assert [group.label for group in back.groups] == list(nuclei.class_names)
    for group, colour in zip(back.groups, nuclei.class_colours, strict=True):
        wanted = nuclei.table[nuclei.table["class"] == group.label]
        assert len(group.outlines) == len(wanted)
        rgb = [[int(one[i : i + 2], 16) for i in (1, 3, 5)] for one in (group.colour, colour)]
        assert np.abs(np.subtract(*rgb)).max() <= 2  # CIELab of 16 bits
        np.testing.assert_allclose(
            sorted(group.measurements["Area"]), sorted(wanted["area_um2"]), rtol=1e-5
        )
        assert group.by == (nuclei.model or "not stated")
    whole = np.asarray(nuclei.labels)
    wanted = {tuple(map(tuple, one.exteriors[0] + 0.5)) for one in nuclei.outlines()}
    assert len(list(trace(whole))) == len(wanted) == len(nuclei)
    got = {tuple(map(tuple, ring)) for group in back.groups for ring in group.outlines}
    assert got == wanted


def test_highdicom_reads_the_annotations(slide, nuclei, tmp_path):
    write_ann(tmp_path / "a.dcm", nuclei, slide)
    one = highdicom.ann.annread(tmp_path / "a.dcm")
    assert one.SOPClassUID.name == "Microscopy Bulk Simple Annotations Storage"
    assert one.PixelOriginInterpretation == "VOLUME"
    (group,) = [g for g in one.AnnotationGroupSequence if g.AnnotationGroupNumber == 1]
    assert group.annotated_property_type.meaning == "Nucleus"
    assert group.AnnotationGroupGenerationType == "AUTOMATIC"


def test_a_heat_map_comes_back_in_its_place(slide, heat, tmp_path):
    write_seg(tmp_path / "a.seg.dcm", heat, slide)
    back = read_segments(tmp_path / "a.seg.dcm")
    assert back.names == NAMES
    assert back.series == "1.2.3"
    probability, outline, looked_at = back.planes
    p = heat.probability.data
    np.testing.assert_allclose(probability, np.nan_to_num(p), atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(outline, heat.positive())
    np.testing.assert_array_equal(looked_at, np.isfinite(p))
    own = place_of()
    assert own.pixel_of(*back.place.origin) == pytest.approx((12 + 20 - 0.5, 30 + 25 - 0.5))
    assert np.divide(back.place.spacing, own.spacing) == pytest.approx((40, 50))
    # and by highdicom's own arithmetic
    transform = highdicom.spatial.ImageToReferenceTransformer.for_image(
        pydicom.dcmread(tmp_path / "a.seg.dcm"), for_total_pixel_matrix=True
    )
    slides = highdicom.spatial.ReferenceToImageTransformer.for_image(
        pydicom.dcmread(slide.path), for_total_pixel_matrix=True
    )
    corner = slides(transform(np.array([[0.0, 0.0], [7.0, 6.0]])))
    np.testing.assert_allclose(corner[:, :2], [[30, 12], [30 + 350, 12 + 240]], atol=1e-3)


@pytest.mark.parametrize("what", ["ann", "seg"])
def test_nobody_is_named_unless_asked(what, slide, nuclei, heat, tmp_path):
    write, result = (write_ann, nuclei) if what == "ann" else (write_seg, heat)
    write(tmp_path / "a.dcm", result, slide)
    text = (tmp_path / "a.dcm").read_bytes()
    for secret in (b"Quackenbush", b"4711", b"1950", b"20260102", b"101010", b"glass 1"):
        assert secret not in text
    write(tmp_path / "b.dcm", result, slide, identifiers=True)
    named = pydicom.dcmread(tmp_path / "b.dcm")
    assert (str(named.PatientName), named.StudyDate) == (PATIENT, "20260102")
    assert named.ContainerIdentifier == "glass 1 of Quackenbush"


def test_an_object_replaces_its_like_alone(slide, nuclei, heat, tmp_path):
    write_ann(tmp_path / "a.dcm", nuclei, slide)
    write_seg(tmp_path / "s.dcm", heat, slide)
    assert (ANN.objection(tmp_path / "a.dcm"), SEG.objection(tmp_path / "s.dcm")) == ("", "")
    assert ANN.objection(tmp_path / "s.dcm")
    assert SEG.objection(tmp_path / "a.dcm")
    assert ANN.objection(slide.path)


def test_the_finest_image_of_a_folder_is_referred_to(tmp_path, slide):
    write_slide(tmp_path / "coarse.dcm", PIXELS[::4, ::4], mpp=1.0)
    write_slide(
        tmp_path / "label.dcm", np.zeros((600, 600, 3), np.uint8),
        ImageType=["ORIGINAL", "PRIMARY", "LABEL", "NONE"],
    )  # fmt: skip
    for start in (tmp_path, tmp_path / "coarse.dcm", slide.path):
        assert source_of(start, "an object").TotalPixelMatrixColumns == 500


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"FrameOfReferenceUID": None}, "has no FrameOfReferenceUID"),
        ({"TotalPixelMatrixOriginSequence": None}, "does not say where on the glass"),
        ({"ImageOrientationSlide": [0, 0, 0, 0, 0, 0]}, "does not say where on the glass"),
    ],
)
def test_a_slide_that_nothing_can_refer_to(tags, said, tmp_path):
    path = write_slide(tmp_path / "case.dcm", PIXELS, **tags)
    with pytest.raises(DicomSlideError, match=said) as error:
        source_of(path, "an object")
    assert "Quackenbush" not in str(error.value)


def test_a_slide_that_is_no_dicom(nuclei, tmp_path):
    other = Slide.from_arrays([PIXELS], name="a.svs", mpp=0.25)
    with other, pytest.raises(DicomSlideError, match="no DICOM slide"):
        write_ann(tmp_path / "a.dcm", nuclei, other)
    assert not (tmp_path / "a.dcm").exists()


@pytest.mark.parametrize("what", ["ann", "seg"])
def test_damaged_ones_are_said(what, slide, nuclei, heat, tmp_path):
    path, read = tmp_path / "a.dcm", read_annotations if what == "ann" else read_segments
    write, result = (write_ann, nuclei) if what == "ann" else (write_seg, heat)
    write(path, result, slide, identifiers=True)
    whole = path.read_bytes()
    assert kind_of(path)
    for share in (0.3, 0.6, 0.95):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ResultFormatError, match="damaged") as error:
            read(path)
        assert not re.search("Quackenbush|4711", str(error.value))


def test_a_segmentation_that_claims_too_much(slide, heat, tmp_path):
    write_seg(tmp_path / "a.dcm", heat, slide)
    one = pydicom.dcmread(tmp_path / "a.dcm")
    one.TotalPixelMatrixRows = one.TotalPixelMatrixColumns = 2**31
    one.save_as(tmp_path / "a.dcm")
    with pytest.raises(ResultFormatError, match="too much to show"):
        read_segments(tmp_path / "a.dcm")


def test_without_highdicom(slide, nuclei, heat, tmp_path, monkeypatch):
    write_ann(tmp_path / "a.dcm", nuclei, slide)
    monkeypatch.setitem(sys.modules, "highdicom", None)
    monkeypatch.setitem(sys.modules, "highdicom.ann", None)
    for act in (
        lambda: write_ann(tmp_path / "b.dcm", nuclei, slide),
        lambda: write_seg(tmp_path / "b.dcm", heat, slide),
        lambda: read_annotations(tmp_path / "a.dcm"),
    ):
        with pytest.raises(EnvironmentMismatchError, match="needs highdicom"):
            act()
    assert not (tmp_path / "b.dcm").exists()

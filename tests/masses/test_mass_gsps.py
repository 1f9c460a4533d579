"""Masses as a DICOM presentation state, read back: where they lie, in which window, of nobody."""

from __future__ import annotations

import sys

import numpy as np
import pydicom
import pytest
from mass_dicom import NAME, NUMBER, write_image
from pydicom import Dataset

from napari_pathogan.errors import EnvironmentMismatchError
from napari_pathogan.mammograms.mammogram import Mammogram
from napari_pathogan.mammograms.study import open_mammogram
from napari_pathogan.tasks.masses.detections import Detections
from napari_pathogan.tasks.masses.dicom_source import DicomSourceError
from napari_pathogan.tasks.masses.export import write_gsps

OUTLINE = np.array([[10, 10], [10, 30], [20, 30], [20, 10]], float)  # y, x


def found_on(mammogram):
    return Detections.on(
        mammogram, np.array([[10, 10, 30, 20], [1, 0.5, 9, 5]]), np.array([0.75, 0.5]),
        [OUTLINE, np.zeros((0, 2))], threshold=0.4, model="masses-x", sha256="12ab",
    )  # fmt: skip


def written(path, image, **options):
    mammogram = open_mammogram(image)
    write_gsps(path, found_on(mammogram), mammogram, **options)
    return pydicom.dcmread(path)


def table(first, entries):
    """A look-up table of 12 bits."""
    made = Dataset()
    made.LUTDescriptor = [len(entries), first, 12]
    made.LUTData = np.array(entries, "<u2").tobytes()
    return made


@pytest.fixture
def image(tmp_path):
    return write_image(tmp_path / "image.dcm", WindowCenter=1000, WindowWidth=801)


def test_outlines_scores_and_sizes_lie_over_the_image(image, tmp_path):
    state, header = written(tmp_path / "out.dcm", image), pydicom.dcmread(image)
    assert state.SOPClassUID == "1.2.840.10008.5.1.4.1.1.11.1"
    assert state.Modality == "PR"
    assert state.StudyInstanceUID == header.StudyInstanceUID
    assert state.SeriesInstanceUID != header.SeriesInstanceUID
    (series,) = state.ReferencedSeriesSequence
    (referred,) = series.ReferencedImageSequence
    assert referred.ReferencedSOPInstanceUID == header.SOPInstanceUID
    assert state.ManufacturerModelName == "masses-x"
    boxes, outlines, _ = state.GraphicAnnotationSequence
    assert (boxes.GraphicLayer, outlines.GraphicLayer) == ("BOXES", "MASSES")
    layers = [layer.GraphicLayer for layer in state.GraphicLayerSequence]
    assert layers == ["BOXES", "MASSES", "SCOPE"]
    first, second = outlines.GraphicObjectSequence
    assert (first.GraphicType, first.GraphicAnnotationUnits) == ("POLYLINE", "PIXEL")
    assert np.reshape(first.GraphicData, (-1, 2)).tolist() == [
        [10, 10], [30, 10], [30, 20], [10, 20], [10, 10],
    ]  # fmt: skip
    ring = np.reshape(second.GraphicData, (-1, 2))  # no outline: the box
    assert (ring.min(0).tolist(), ring.max(0).tolist()) == ([1, 0.5], [9, 5])
    assert [one.TrackingUID for one in boxes.GraphicObjectSequence] == [
        first.TrackingUID, second.TrackingUID,
    ]  # fmt: skip
    over, under = outlines.TextObjectSequence
    assert over.UnformattedTextValue == "75 %, 2 x 2 mm at detector"
    assert over.BoundingBoxBottomRightHandCorner == [30, 10]
    assert under.UnformattedTextValue == "50 %, 1 x 0 mm at detector"
    assert under.BoundingBoxTopLeftHandCorner == [1, 5]  # there is no room above it


def test_it_is_shown_as_it_was_looked_at(image, tmp_path):
    state = written(tmp_path / "out.dcm", image)
    (window,) = state.SoftcopyVOILUTSequence
    assert (window.WindowCenter, window.WindowWidth) == (1000, 801)
    assert window.VOILUTFunction == "LINEAR"
    assert state.PresentationLUTShape == "IDENTITY"
    (area,) = state.DisplayedAreaSelectionSequence
    assert area.PresentationPixelSpacing == [0.1, 0.1]
    assert area.DisplayedAreaBottomRightHandCorner == [40, 60]


def test_dark_tissue_other_windows_and_pixels_that_are_not_square(tmp_path):
    image = write_image(
        tmp_path / "a.dcm", PhotometricInterpretation="MONOCHROME1", WindowCenter=1000.123456789,
        WindowWidth=400, VOILUTFunction="SIGMOID", ImagerPixelSpacing=[0.1, 0.2],
        RescaleSlope=2, RescaleIntercept=-5,
    )  # fmt: skip
    state = written(tmp_path / "out.dcm", image)
    assert state.PresentationLUTShape == "INVERSE"
    assert state.SoftcopyVOILUTSequence[0].VOILUTFunction == "SIGMOID"
    assert state.SoftcopyVOILUTSequence[0].WindowCenter == pytest.approx(1000.123456789)
    assert (state.RescaleSlope, state.RescaleIntercept) == (2, -5)
    assert state.DisplayedAreaSelectionSequence[0].PresentationPixelSpacing == [0.1, 0.2]


def test_without_a_window_or_a_scale(tmp_path):
    image = write_image(tmp_path / "a.dcm", ImagerPixelSpacing=None)
    state = written(tmp_path / "out.dcm", image)
    (window,) = state.SoftcopyVOILUTSequence
    assert (window.WindowCenter, window.WindowWidth) == (1199.5, 2399)  # all values there are
    assert window.VOILUTFunction == "LINEAR_EXACT"
    (area,) = state.DisplayedAreaSelectionSequence
    assert area.PresentationPixelAspectRatio == [1, 1]
    assert "PresentationPixelSpacing" not in area
    assert state.GraphicAnnotationSequence[1].TextObjectSequence[0].UnformattedTextValue == "75 %"


def test_tables_of_the_image_are_its_own(tmp_path):
    steps = list(range(0, 4096, 16))
    image = write_image(
        tmp_path / "a.dcm", ModalityLUTSequence=[table(0, steps)],
        VOILUTSequence=[table(0, steps), table(0, steps[::-1])],
    )  # fmt: skip
    state = written(tmp_path / "out.dcm", image)
    assert np.frombuffer(state.ModalityLUTSequence[0].LUTData, "<u2").tolist() == steps
    (shown,) = state.SoftcopyVOILUTSequence
    (first,) = shown.VOILUTSequence
    assert np.frombuffer(first.LUTData, "<u2").tolist() == steps
    assert "WindowCenter" not in shown


def test_nobody_is_named_unless_asked_for(image, tmp_path):
    written(tmp_path / "out.dcm", image)
    content = (tmp_path / "out.dcm").read_bytes()
    assert NAME.encode() not in content
    assert NUMBER.encode() not in content
    named = written(tmp_path / "named.dcm", image, identifiers=True)
    assert (named.PatientName, named.PatientID) == (NAME, NUMBER)


def test_nothing_found_is_a_state_too(image, tmp_path):
    mammogram = open_mammogram(image)
    write_gsps(tmp_path / "out.dcm", found_on(mammogram).at(1), mammogram)
    state = pydicom.dcmread(tmp_path / "out.dcm")
    (scope,) = state.GraphicAnnotationSequence
    (text,) = scope.TextObjectSequence
    assert text.UnformattedTextValue.startswith("Looks for masses only: not for calcifications")
    assert text.BoundingBoxAnnotationUnits == "DISPLAY"  # wherever the reader zooms to
    assert state.ContentDescription == "Masses only, from a score of 1.00 on"


def test_images_that_have_none(image, tmp_path, monkeypatch):
    drawn = Mammogram("drawn", np.zeros((60, 40), np.uint8))
    with pytest.raises(DicomSourceError, match="the image is no DICOM file, so a DICOM presentat"):
        write_gsps(tmp_path / "out.dcm", found_on(drawn), drawn)
    lost = write_image(tmp_path / "lost.dcm", SeriesInstanceUID=None)
    with pytest.raises(DicomSourceError, match=r"lost\.dcm has no SeriesInstanceUID"):
        written(tmp_path / "out.dcm", lost)
    monkeypatch.delitem(sys.modules, "napari_pathogan.tasks.masses.dicom_gsps")
    monkeypatch.delattr("napari_pathogan.tasks.masses.dicom_gsps")
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(EnvironmentMismatchError, match="presentation state needs highdicom"):
        written(tmp_path / "out.dcm", image)
    assert not (tmp_path / "out.dcm").exists()

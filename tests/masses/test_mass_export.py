"""What is written for others: CSV and DICOM SR, without a name in it unless asked for."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pydicom
import pytest
from mass_dicom import NAME, NUMBER, write_image

from napari_pathogan.errors import EnvironmentMismatchError
from napari_pathogan.mammograms.study import open_mammogram
from napari_pathogan.tasks.masses.detections import SCOPE, Detections
from napari_pathogan.tasks.masses.dicom_source import DicomSourceError
from napari_pathogan.tasks.masses.export import COLUMNS, CSV, read_csv, write_csv, write_sr


@pytest.fixture
def image(tmp_path):
    return write_image(tmp_path / "image.dcm")


@pytest.fixture
def found(image):
    outline = np.array([[10, 10], [10, 30], [20, 30], [20, 10]], float)
    return Detections.on(
        open_mammogram(image), np.array([[10, 10, 30, 20], [1, 1, 9, 5]]), np.array([0.75, 0.5]),
        [outline, np.zeros((0, 2))], threshold=0.4, model="masses-x", sha256="12ab",
    )  # fmt: skip


def test_a_row_a_mass(found, tmp_path):
    write_csv(tmp_path / "out.csv", found)
    with (tmp_path / "out.csv").open() as stream:
        first, second = csv.DictReader(stream)
    assert tuple(first) == (*COLUMNS, "imprint", "scope")
    assert (first["image"], first["mass"], first["score"]) == ("LCC", "1", "0.75")
    assert [float(first[c]) for c in ("xmin", "ymin", "xmax", "ymax")] == [10, 10, 30, 20]
    assert (float(second["longest_mm"]), float(second["across_mm"])) == (0.8, 0.4)
    assert second["mm"] == "at detector"
    assert first["scope"] == second["scope"] == SCOPE


def test_no_mass_is_a_row_that_says_what_was_looked_for(image, tmp_path):
    none = Detections.on(
        open_mammogram(image), np.zeros((0, 4)), np.zeros(0), [], threshold=0.4, model="m", sha256="1"
    )  # fmt: skip
    write_csv(tmp_path / "out.csv", none)
    with (tmp_path / "out.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert (row["image"], row["mass"], row["score"], row["scope"]) == ("LCC", "0", "", SCOPE)
    (back,) = read_csv(tmp_path / "out.csv")
    assert (back.name, back.boxes.shape, back.scores.shape) == ("LCC", (0, 4), (0,))
    assert back.imprint is not None
    assert CSV.objection(tmp_path / "out.csv") == "", "it is replaced"


def groups(report):
    """The measurement groups of a report: what it says, by the meaning of its codes."""
    (container,) = [
        item for item in report.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
    ]  # fmt: skip
    return [
        {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in group.ContentSequence}
        for group in container.ContentSequence
    ]


def test_a_report_refers_to_its_image(found, image, tmp_path):
    write_sr(tmp_path / "out.dcm", found, image)
    report, header = pydicom.dcmread(tmp_path / "out.dcm"), pydicom.dcmread(image)
    assert report.Modality == "SR"
    assert report.StudyInstanceUID == header.StudyInstanceUID
    assert report.SOPInstanceUID != header.SOPInstanceUID
    total, first, second = groups(report)
    assert total["Quantity"].MeasuredValueSequence[0].NumericValue == 2
    assert first["Finding"].ConceptCodeSequence[0].CodeMeaning == "Mass"
    region = first["Image Region"]
    assert region.GraphicType == "POLYLINE"
    assert np.reshape(region.GraphicData, (-1, 2)).tolist() == [
        [10, 10], [30, 10], [30, 20], [10, 20], [10, 10],
    ]  # fmt: skip
    (reference,) = region.ContentSequence
    assert reference.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == header.SOPInstanceUID
    assert first["Certainty of Finding"].MeasuredValueSequence[0].NumericValue == 75
    axis = second["Long axis"]
    assert axis.MeasuredValueSequence[0].NumericValue == pytest.approx(0.8)
    method = axis.ContentSequence[0].ConceptCodeSequence[0]
    assert method.CodeMeaning == "mm at detector"
    assert first["Algorithm Name"].TextValue == "masses-x"


def test_a_report_says_what_was_not_looked_for(found, image, tmp_path):
    for some in (found, found.at(1)):  # above all where nothing was found
        write_sr(tmp_path / "out.dcm", some, image)
        assert SCOPE.encode() in (tmp_path / "out.dcm").read_bytes()


def test_nobody_is_named_unless_asked_for(found, image, tmp_path):
    write_sr(tmp_path / "out.dcm", found, image)
    assert NAME.encode() not in (tmp_path / "out.dcm").read_bytes()
    assert NUMBER.encode() not in (tmp_path / "out.dcm").read_bytes()
    write_sr(tmp_path / "named.dcm", found, image, identifiers=True)
    report = pydicom.dcmread(tmp_path / "named.dcm")
    assert (report.PatientName, report.PatientID) == (NAME, NUMBER)


def test_nothing_found_is_a_report_too(found, image, tmp_path):
    write_sr(tmp_path / "out.dcm", found.at(1), image)
    (total,) = groups(pydicom.dcmread(tmp_path / "out.dcm"))
    assert total["Quantity"].MeasuredValueSequence[0].NumericValue == 0


def test_images_that_have_no_report(found, image, tmp_path):
    png = tmp_path / "image.png"
    png.write_bytes(b"\x89PNG")
    with pytest.raises(DicomSourceError, match=r"image\.png is no DICOM file"):
        write_sr(tmp_path / "out.dcm", found, png)
    header = pydicom.dcmread(image)
    del header.StudyInstanceUID
    header.save_as(image)
    with pytest.raises(DicomSourceError, match="has no StudyInstanceUID"):
        write_sr(tmp_path / "out.dcm", found, image)
    assert not (tmp_path / "out.dcm").exists()


def test_without_highdicom(found, image, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "napari_pathogan.tasks.masses.dicom_sr")
    monkeypatch.delattr("napari_pathogan.tasks.masses.dicom_sr")
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(EnvironmentMismatchError, match="needs highdicom"):
        write_sr(tmp_path / "out.dcm", found, image)

"""Every element of a header that is read, malformed in turn: a result or one sentence, and no value.

What is read is noted while a whole header is read, so that an element read later is tried too.
"""

from __future__ import annotations

import json
import logging
import traceback
import warnings

import numpy as np
import pydicom
import pytest
from mass_dicom import write_image
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from napari_pathogan.cli import info_mammogram
from napari_pathogan.errors import PathoganError
from napari_pathogan.mammograms.dicom import files as dicom_files
from napari_pathogan.mammograms.dicom import header as headers
from napari_pathogan.mammograms.dicom import luts, pixels, views
from napari_pathogan.mammograms.study import examinations, open_mammogram
from napari_pathogan.tasks.masses import dicom_source, export
from napari_pathogan.tasks.masses.detections import Detections

SECRET = "Zerlina-Quackenbush"
DATE = "19520229"


def table():
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [4096, 0, 12], np.arange(4096, dtype="<u2").tobytes()
    return item


def code(value):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "words"
    return item


WHOLE = {
    "PixelSpacing": [0.1, 0.1], "PixelSpacingCalibrationType": "GEOMETRY", "Manufacturer": "maker",
    "WindowCenter": 1000, "WindowWidth": 800, "WindowCenterWidthExplanation": "NORMAL", "VOILUTFunction": "LINEAR", "PatientOrientation": ["A", "R"],
    "PixelPaddingValue": 0, "PixelPaddingRangeLimit": 0, "PresentationIntentType": "FOR PRESENTATION",
    "NumberOfFrames": 1, "LossyImageCompression": "00", "SyntheticData": "NO", "Laterality": "L",
    "EstimatedRadiographicMagnificationFactor": 1.8, "DistanceSourceToDetector": 660,
    "DistanceSourceToPatient": 330, "RescaleSlope": 2, "RescaleIntercept": 1,
    "PatientBirthDate": DATE, "PatientSex": "F", "AccessionNumber": "1", "StudyID": "1",
    "StudyDate": DATE, "StudyTime": "120000", "ReferringPhysicianName": "A^B",
}  # fmt: skip


def read_elements():
    """Keywords of all elements that opening a mammogram and referring to it read."""
    return sorted(
        {*WHOLE, "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated",
         "BitsStored", "HighBit", "PixelRepresentation", "Modality", "SOPClassUID",
         "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "ImageLaterality",
         "ViewPosition", "ImagerPixelSpacing", "PatientName", "PatientID", "FrameLaterality",
         "ViewCodeSequence", "ViewModifierCodeSequence", "VOILUTSequence", "ModalityLUTSequence",
         "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "PixelData",
         "SpecificCharacterSet", "TransferSyntaxUID", "ImageType", "FrameType",
         "PixelAspectRatio", "NominalScannedPixelSpacing", "PresentationLUTShape"}
    )  # fmt: skip


def test_the_list_holds_all_that_is_read(tmp_path, monkeypatch):
    seen = set()
    known = headers.values

    def values(header, keyword):
        seen.add(keyword)
        return known(header, keyword)

    for module in (headers, luts, pixels, views, dicom_files, dicom_source):
        if hasattr(module, "values"):
            monkeypatch.setattr(module, "values", values)
    do_all(write_image(tmp_path / "a.dcm", **WHOLE))
    inner = {"CodeValue", "CodeMeaning", "LUTDescriptor", "LUTData"}
    assert seen - inner <= {*read_elements()}


def do_all(path):
    """What is done with a mammogram: opened, shown, described, its masses written; all words of it."""
    words = []
    examinations(path)
    try:
        mammogram = open_mammogram(path)
    except PathoganError as error:
        return one_sentence(error)
    words = described(mammogram)
    for write, own in ((report, False), (export.write_gsps, True)):
        try:
            words.append(exported(mammogram, write, identifiers=own))
        except PathoganError as error:
            words.append(one_sentence(error))
    return " ".join(map(str, words))


def one_sentence(error):
    assert str(error).strip()
    assert "\n" not in str(error)
    return " ".join(traceback.format_exception(error))


def described(mammogram):
    """All that is said of it; of the maker it is what the header says."""
    facts = info_mammogram.describe(mammogram)
    assert mammogram.shown().shape == mammogram.shape
    facts["manufacturer"] = json.dumps(facts["manufacturer"])[:0]
    return [repr(mammogram), json.dumps(facts), *mammogram.notes, *info_mammogram.rows(facts)]


def report(target, found, mammogram, **options):
    export.write_sr(target, found, mammogram.path, **options)


def exported(mammogram, write, *, identifiers):
    """The bytes of a file of masses; nothing of one that may say whose they are."""
    found = Detections.on(
        mammogram, np.array([[10, 10, 30, 20]]), np.array([0.75]),
        [np.array([[10, 10], [10, 30], [20, 30], [20, 10]], float)],
        threshold=0.4, model="x", sha256="1",
    )  # fmt: skip
    target = mammogram.path.with_name("out.dcm")
    target.unlink(missing_ok=True)
    write(target, found, mammogram, identifiers=identifiers)
    return "" if identifiers else target.read_bytes().decode("latin-1")


def patched(path, keyword, vr, value):
    """Overwrite an element, whatever it is, or put it before all others."""
    value += b" " * (len(value) % 2)
    tag = tag_for_keyword(keyword)
    header = pydicom.dcmread(path)
    if keyword in {"SpecificCharacterSet", "TransferSyntaxUID"}:  # pydicom won't write these
        whole = path.read_bytes()
        known = header.file_meta.TransferSyntaxUID.encode()
        if keyword == "TransferSyntaxUID":
            path.write_bytes(whole.replace(known, value[: len(known)].ljust(len(known), b"\0"), 1))
            return
        size = len(value).to_bytes(2, "little")
        if vr in {"UN", "OB"}:
            size = bytes(2) + len(value).to_bytes(4, "little")
        element = b"\x08\0\x05\0" + vr.encode() + size + value
        at = whole.index(b"\x08\0", 132 + 12 + header.file_meta.FileMetaInformationGroupLength)
        path.write_bytes(whole[:at] + element + whole[at:])
        return
    header[tag] = RawDataElement(pydicom.tag.Tag(tag), vr, len(value), value, 0, False, True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header.save_as(path)


def malformed(keyword):
    """Texts and dates in the element's own VR and in others; bytes, nothing, numbers of no sense."""
    own = dictionary_VR(tag_for_keyword(keyword)).split(" or ")[0]
    yield from ((vr, SECRET.encode()) for vr in ("LO", "UN"))
    if own in {"SQ", "OB", "OW"}:
        return
    yield from ((own, word) for word in (SECRET.encode(), b"", b"\xff\xff"))
    if own in {"US", "SS"}:
        yield "LO", DATE.encode()
        return
    yield from ((own, word) for word in (b"\\", b"06.06.1944", 200 * b"Q"))
    if own != "DS":  # a number that can be one, as it is shown
        yield own, DATE.encode()


@pytest.mark.parametrize("keyword", read_elements())
def test_a_malformed_element_is_told_of_or_empty(tmp_path, capfd, caplog, keyword):
    pytest.importorskip("highdicom")
    caplog.set_level(logging.DEBUG)
    for vr, value in malformed(keyword):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            more = {
                "ViewCodeSequence": [code("399162004")], "VOILUTSequence": [table()],
            }  # fmt: skip
            path = write_image(tmp_path / "image.dcm", **WHOLE, **more)
            patched(path, keyword, vr, value)
        caplog.clear()
        capfd.readouterr()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            words = do_all(path)
        printed = capfd.readouterr()
        words = " ".join([words, caplog.text, printed.err, *(str(one.message) for one in said)])
        secrets = [SECRET, *([DATE] if DATE.encode() in value else []), 50 * "Q", "06.06.1944"]
        assert not [one for one in secrets if one in words], (keyword, vr, value)


@pytest.mark.parametrize("tags", [{}, {"ImageLaterality": None}, {"ImageLaterality": ""}])
@pytest.mark.parametrize(("side", "meaning"), [("L", "Left"), ("R", "Right"), ("", None)])
def test_a_report_has_the_side_of_the_image_or_of_the_series(tmp_path, tags, side, meaning):
    pytest.importorskip("highdicom")
    if not tags:
        tags = {"ImageLaterality": side, "Laterality": {"L": "R", "R": "L", "": ""}[side]}
    else:
        tags = {**tags, "Laterality": side}
    mammogram = open_mammogram(write_image(tmp_path / "a.dcm", **tags))
    exported(mammogram, report, identifiers=False)
    text = str(pydicom.dcmread(tmp_path / "out.dcm"))
    assert [one for one in ("Left", "Right") if f"'{one}'" in text] == [meaning] * bool(meaning)


@pytest.mark.parametrize("write", [report, export.write_gsps])
@pytest.mark.parametrize(
    ("characters", "name"),
    [
        (None, "Smith^John"),
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 126", "Διονυσίου^Δ"),
        ("ISO_IR 144", "Цветаева^Марина"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        ("GB18030", "王^小东"),
        ("ISO_IR 192", "김^희중"),
    ],
)
def test_a_name_that_is_asked_for_is_written_in_its_script(tmp_path, write, characters, name):
    pytest.importorskip("highdicom")
    tags = {"PatientName": name, "SpecificCharacterSet": characters}
    mammogram = open_mammogram(write_image(tmp_path / "a.dcm", **tags))
    exported(mammogram, write, identifiers=True)
    assert str(pydicom.dcmread(tmp_path / "out.dcm").PatientName) == name

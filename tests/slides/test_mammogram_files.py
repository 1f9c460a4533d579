"""Files as they lie on disks: without preamble or meta, copied, on discs with an index."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pydicom
import pytest
import tifffile
from mammogram_makers import breast, open_study, write_dicom
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from napari_pathogan.errors import MammogramFormatError
from napari_pathogan.mammograms.study import examinations, open_mammogram
from napari_pathogan.mammograms.views import is_dicom

IMAGE = breast()


def bare(path, *, meta, **tags):
    """A file without preamble; without ``meta`` it begins with its data set."""
    write_dicom(path, IMAGE, **tags)
    whole = path.read_bytes()
    start = 132
    if not meta:
        start += 12 + pydicom.dcmread(path).file_meta.FileMetaInformationGroupLength
    path.write_bytes(whole[start:])
    return path


@pytest.mark.parametrize("preamble", [b"", bytes(128), b"II*\0".ljust(128, b"\0")])
@pytest.mark.parametrize("meta", [True, False])
@pytest.mark.parametrize(
    "syntax",
    [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian],
    ids=lambda syntax: syntax.keyword,
)
def test_without_a_preamble_or_its_word(tmp_path, meta, syntax, preamble):
    if preamble and not meta and syntax.is_implicit_VR:
        pytest.skip("nothing tells that from any other file")
    path = bare(tmp_path / "a", meta=meta, syntax=syntax)
    path.write_bytes(preamble + path.read_bytes())
    assert is_dicom(path)
    found = open_mammogram(path)
    assert (found.name, found.metadata["compression"]) == ("RMLO", syntax.name)
    assert np.array_equal(found.pixels, IMAGE)
    write_dicom(tmp_path / "b.dcm", IMAGE, ViewPosition="CC")
    assert [one.name for one in open_study(tmp_path).views] == ["RCC", "RMLO"]


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.RLELossless])
@pytest.mark.parametrize("meta", [True, False])
def test_compressed_pixels_say_how_by_their_beginning(tmp_path, syntax, meta):
    path = bare(tmp_path / "a.dcm", meta=meta, syntax=syntax)
    assert np.array_equal(open_mammogram(path).pixels, IMAGE)


def test_what_is_only_called_dicom_is_told_of(tmp_path):
    write_dicom(tmp_path / "a.dcm", IMAGE)
    (tmp_path / "b.dcm").write_bytes(bytes(300))
    (tmp_path / "c.DCM").write_text("Dear radiologist")
    (tmp_path / "notes.txt").write_text("a disc")
    study = open_study(tmp_path)
    assert [line.split()[0] for line in study.skipped] == ["b.dcm", "c.DCM"]


def test_other_files_are_not_taken_for_dicom(tmp_path):
    """A TIFF whose directory has a count of 2 and a small offset where a preamble ends."""
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0\x08\0\0\0".ljust(128, b"\0") + b"\x02\0\0\0\x40\x01\0\0" + bytes(64))
    assert not is_dicom(path)
    path.write_bytes(b"\x08\0")
    assert not is_dicom(path)


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.dcm")
    assert not is_dicom(tmp_path / "pipe.dcm")


def test_copies_count_once(tmp_path):
    first = write_dicom(tmp_path / "a.dcm", IMAGE, SOPInstanceUID="1.2.3")
    (tmp_path / "sub").mkdir()
    shutil.copy(first, tmp_path / "a (1).dcm")
    shutil.copy(first, tmp_path / "sub" / "a.dcm")
    write_dicom(tmp_path / "sub" / "recoded", IMAGE, SOPInstanceUID="1.2.3", syntax=uid.RLELossless)
    write_dicom(tmp_path / "b.dcm", IMAGE, ImageLaterality="L")
    (found,) = examinations(tmp_path)
    assert found.views == ("RMLO", "LMLO")
    study = found.open()
    assert [one.name for one in study.views] == ["RMLO", "LMLO"]
    (line,) = study.skipped
    assert line.startswith("3 files are copies with the same SOP Instance UID: ")
    assert "sub/a.dcm" in line


@pytest.mark.parametrize("other", [{"ImageLaterality": "L"}, {"seed": 1}])
def test_two_images_of_one_uid_are_both_there(tmp_path, other):
    """Such as pseudonymisers give that put the same in every header."""
    pixels = breast(seed=other.get("seed", 0))
    tags = {key: value for key, value in other.items() if key != "seed"}
    write_dicom(tmp_path / "a.dcm", IMAGE, SOPInstanceUID="1.2.3")
    write_dicom(tmp_path / "b.dcm", pixels, SOPInstanceUID="1.2.3", **tags)
    study = open_study(tmp_path)
    assert len(study.views) == 2
    assert not study.skipped


def index(folder, *named):
    """A DICOMDIR that names images by the parts of their paths."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = uid.MediaStorageDirectoryStorage
    meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    header = pydicom.FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    records = []
    for kind, parts in [("PATIENT", []), *(("IMAGE", parts) for parts in named)]:
        record = Dataset()
        record.DirectoryRecordType = kind
        if parts:
            record.ReferencedFileID = parts
        records.append(record)
    header.DirectoryRecordSequence = records
    header.save_as(folder / "DICOMDIR", enforce_file_format=True)
    return folder / "DICOMDIR"


def test_a_disc_is_opened_by_its_index(tmp_path):
    place = tmp_path / "dicom" / "se01"
    place.mkdir(parents=True)
    write_dicom(place / "im01", IMAGE)
    write_dicom(place / "im02.dcm", IMAGE, ImageLaterality="L")
    write_dicom(tmp_path / "other.dcm", IMAGE, ViewPosition="CC")
    (tmp_path.parent / "outside").write_bytes((place / "im01").read_bytes())
    path = index(
        tmp_path, ["DICOM", "SE01", "IM01"], ["DICOM", "SE01", "IM02"], ["DICOM", "SE01", "IM03"],
        ["..", "outside"],
    )  # fmt: skip
    study = open_study(path)
    assert [one.name for one in study.views] == ["RMLO", "LMLO"]
    (line,) = study.skipped
    assert line.startswith("2 files that DICOMDIR names are not there")
    whole = open_study(tmp_path)
    assert [one.name for one in whole.views] == ["RCC", "RMLO", "LMLO"]
    assert not whole.skipped
    with pytest.raises(MammogramFormatError, match="index of a disc"):
        open_mammogram(path)


def test_an_index_that_names_nothing_stands_for_its_folder(tmp_path):
    write_dicom(tmp_path / "a.dcm", IMAGE)
    assert [one.name for one in open_study(index(tmp_path)).views] == ["RMLO"]


@pytest.mark.parametrize(("um", "spacing"), [(70, "by TIFF resolution"), (None, None)])
def test_a_grey_tiff_has_the_scale_that_it_states(tmp_path, um, spacing):
    path = tmp_path / "case_R_CC.tif"
    scale = {} if um is None else {"resolution": (1e4 / um, 1e4 / um), "resolutionunit": 3}
    tifffile.imwrite(path, np.eye(64, dtype=np.uint8), **scale)
    found = open_mammogram(path)
    assert found.spacing == spacing
    assert found.mm_per_px == (None if um is None else pytest.approx((um / 1e3, um / 1e3)))


def test_a_microscopes_image_is_no_mammogram(tmp_path):
    path = tmp_path / "case_R_CC.tif"
    tifffile.imwrite(path, np.eye(64, dtype=np.uint8), resolution=(2e4, 2e4), resolutionunit=3)
    with pytest.raises(MammogramFormatError, match=r"pixels of 0\.5 um .* open it as a slide"):
        open_mammogram(path)

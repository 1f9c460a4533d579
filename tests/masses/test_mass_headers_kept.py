"""What DICOM libraries say of headers is heard nowhere: it quotes values."""

from __future__ import annotations

import logging
import threading
import time
import traceback
import warnings

import numpy as np
import pydicom
import pytest
from mass_dicom import NAME, NUMBER, write_image

from napari_pathogan.errors import PathoganError
from napari_pathogan.mammograms.study import examinations, open_mammogram
from napari_pathogan.slides.backends.quiet import quiet
from napari_pathogan.tasks.masses.detections import Detections
from napari_pathogan.tasks.masses.dicom_marks import holds_marks, instance_of, read_marks
from napari_pathogan.tasks.masses.export import GSPS, SR, write_gsps, write_sr
from patience import PATIENCE_S

child = logging.getLogger("pydicom.pixels.decoders.made_for_a_test")


def gossip():
    child.warning("invalid value %s", NAME)
    made_now = logging.getLogger(f"highdicom.made_at_{time.perf_counter_ns()}")
    made_now.warning("invalid value %s", NAME)
    logging.getLogger("pydicom").error("invalid value %s", NAME)
    text, where = f"invalid value {NAME}", "pydicom.valuerep"
    warnings.warn_explicit(text, UserWarning, "valuerep.py", 1, module=where)


def found_in(image):
    outline = np.array([[10, 10], [10, 30], [20, 30], [20, 10]], float)
    boxes, score = np.array([[10, 10, 30, 20]]), np.array([0.75])
    return Detections.on(open_mammogram(image), boxes, score, [outline], threshold=0.4, model="x", sha256="1")  # fmt: skip


def report(image, **options):
    pytest.importorskip("highdicom")
    write_sr(image.with_name("a.sr.dcm"), found_in(image), image, **options)


def state(image, **options):
    pytest.importorskip("highdicom")
    write_gsps(image.with_name("a.gsps.dcm"), found_in(image), open_mammogram(image), **options)


DOINGS = [
    open_mammogram, examinations, holds_marks, instance_of, read_marks, report, state,
    lambda image: report(image, identifiers=True), lambda image: state(image, identifiers=True),
    SR.objection, GSPS.objection,
]  # fmt: skip


@pytest.mark.parametrize("do", DOINGS)
@pytest.mark.parametrize("odd", [{}, {"PatientBirthDate": NAME}, {"SOPInstanceUID": NAME}])
def test_nothing_that_is_done_with_a_file_names_anybody(tmp_path, monkeypatch, caplog, do, odd):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = write_image(tmp_path / "image.dcm", **odd)
    read, read_meta = pydicom.filereader.read_partial, pydicom.filereader._read_file_meta_info
    save = pydicom.Dataset.save_as

    def talking(function):
        def wrapped(*args, **kwargs):
            gossip()
            return function(*args, **kwargs)

        return wrapped

    monkeypatch.setattr(pydicom.filereader, "read_partial", talking(read))
    monkeypatch.setattr(pydicom.filereader, "_read_file_meta_info", talking(read_meta))
    monkeypatch.setattr(pydicom.Dataset, "save_as", talking(save))
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    words = []
    with warnings.catch_warnings(record=True) as said:
        warnings.filterwarnings("always")
        try:
            do(image)
        except PathoganError as error:
            words = traceback.format_exception(error)
    words += [caplog.text, *(str(one.message) for one in said)]
    assert not [word for word in (NAME, NUMBER) if word in " ".join(words)]


def test_threads_that_overlap_are_kept_quiet_to_their_own_end(caplog):
    """The first to leave does not let the others speak, nor the last leave the process mute."""
    first_left, second_in = threading.Event(), threading.Event()
    filters = list(warnings.filters)

    def second():
        with quiet():
            second_in.set()
            first_left.wait(PATIENCE_S)
            gossip()

    thread = threading.Thread(target=second)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with quiet():
            thread.start()
            second_in.wait(PATIENCE_S)
        first_left.set()
        thread.join()
        assert not said
        assert not caplog.text
        gossip()
        assert len(said) == 1
        assert caplog.text.count(NAME) == 3
    assert list(warnings.filters) == filters


def test_other_threads_may_log_meanwhile(caplog):
    with quiet():
        thread = threading.Thread(target=child.warning, args=("not of us",))
        thread.start()
        thread.join()
    assert "not of us" in caplog.text

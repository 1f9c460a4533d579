"""Making a study and seeing its results, in the dock."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from PIL import Image
from simulated_reader import wait
from small_studies import answers, make_images, make_study

from answers_elsewhere import handed_back
from napari_pathogan.engine.events import Finished
from napari_pathogan.plugin.study import making as study_making
from napari_pathogan.plugin.study import new as study_new
from napari_pathogan.plugin.study.dock import StudyDock
from napari_pathogan.plugin.study.making import Generators
from napari_pathogan.plugin.study.pages import about
from napari_pathogan.study.layout import key_path, read_key
from napari_pathogan.study.record import Session, Study

pytestmark = pytest.mark.gui

ANSWERED = '"confidence": 3'

INFO = SimpleNamespace(
    card=SimpleNamespace(title="Stand-in generator"),
    labels=("IDC", "healthy"),
    size_px=24,
    mpp=4.0,
    paints=False,
)


@pytest.fixture
def dock(viewer):
    made = StudyDock(viewer)
    viewer.window.add_dock_widget(made, name="Reader study")
    return made


@pytest.fixture
def dialog(dock, monkeypatch):
    """The dialog, with a stand-in for generators."""

    def find(folders):
        yield Generators({"stand-in": INFO})
        yield Finished()

    def draw(name, n, *, label, seed):
        assert (name, label) == ("stand-in", "IDC")
        return np.random.default_rng(seed).integers(0, 255, (n, 24, 24, 3), np.uint8)

    monkeypatch.setattr(study_new, "find_generators", find)
    monkeypatch.setattr(study_making, "_draw", lambda settings: draw)
    made = dock.new_study()
    wait(lambda: "Stand-in generator" in [x.text() for x in made.generated.menu.actions()])
    return made


def make(dialog):
    dialog.make.click()
    wait(lambda: dialog.run is None)


def test_what_a_virtual_stain_paints_over_is_asked_for(dialog, tmp_path, monkeypatch):
    painter = SimpleNamespace(**vars(INFO) | {"paints": True, "labels": ("pas", "he")})
    chosen = [""]
    monkeypatch.setattr(
        "napari_pathogan.plugin.study.sources.QFileDialog.getExistingDirectory",
        lambda *_: chosen[0],
    )
    dialog.generated.put_generator("pair", painter, "pas")
    assert dialog.generated.sources == []
    chosen[0] = str(tmp_path)
    dialog.generated.put_generator("pair", painter, "pas")
    assert dialog.generated.sources == [{"generator": "pair", "label": "pas", "of": str(tmp_path)}]
    assert dialog.side.value() != painter.size_px


def test_a_study_from_a_folder_and_a_generator(dialog, dock, tmp_path, told):
    entries = [action.text() for action in dialog.generated.menu.actions()]
    assert entries == ["Folder of images…", "Stand-in generator"]
    dialog.name.setText("")
    make(dialog)
    assert told.pop() == "Give the study a name, which readers see"
    dialog.name.setText("Noise")
    make(dialog)
    assert told.pop() == "Add real images: 'Add' below 'Real images' lists where from"
    dialog.real.put_folder(make_images(tmp_path / "real", 8, 0, size=32))
    (tmp_path / "real" / "broken.png").write_text("no picture")
    make(dialog)
    assert told.pop() == "Add generated images: 'Add' below 'Generated images' lists where from"
    dialog.generated.put_generator("stand-in", INFO, "IDC")
    dialog.generated.put_generator("stand-in", INFO, "IDC")
    make(dialog)
    assert "where to save the study" in told.pop()
    dialog.target.setText(str(tmp_path / "study"))
    assert dialog.generated.sources == [{"generator": "stand-in", "label": "IDC"}]
    assert (dialog.side.value(), dialog.mpp.value()) == (24, 4.0)
    make(dialog)
    assert "53 images are needed, 8 are there" in told.pop()
    assert "53 images are needed, 8 are there" in dialog.said.text()
    assert dialog.said.text().endswith(". Nothing was made.")
    assert not (tmp_path / "study").exists()
    dialog.real.number.setValue(5)
    dialog.generated.number.setValue(5)
    dialog.practice.setValue(2)
    make(dialog)
    said = dialog.said.text()
    assert "readers on this computer could open it. Move it" in said
    assert str(key_path(tmp_path / "study")) in said
    assert "broken.png" in said
    study = Study.open(tmp_path / "study")
    key = read_key(study.folder, None, study.manifest)
    assert study.manifest.size_px == 24
    assert {x.source for x in key.truth.values() if not x.real} >= {"stand-in, IDC"}
    assert dock.reading.start.study.currentData() == study.folder
    make(dialog)
    assert "is there already" in told.pop()
    dialog.target.setText(str(tmp_path / "second"))
    dialog.key.setText(str(tmp_path / "second" / "key.json"))
    make(dialog)
    assert "choose another place for the answer key" in told.pop()
    dialog.key.setText(str(tmp_path / "stick" / "key.json"))
    make(dialog)
    assert "Keep it apart from the folder" in dialog.said.text()
    assert not key_path(tmp_path / "second").exists()
    second = Study.open(tmp_path / "second")
    assert read_key(second.folder, tmp_path / "stick" / "key.json", second.manifest).truth


def test_patches_from_slides_need_a_size_and_a_scale(dialog, tmp_path, told):
    dialog.real.put_slides(tmp_path / "slide.svs")
    dialog.generated.put_folder(tmp_path)
    make(dialog)
    assert told.pop().startswith("Patches from slides need 'Side of all images'")


def test_a_real_image_among_the_generated_pairs_and_cancel(dialog, tmp_path, told):
    real, fakes = (make_images(tmp_path / kind, 60, i) for i, kind in enumerate(("real", "fakes")))
    shutil.copy(real / "3.png", fakes / "copy.png")
    dialog.target.setText(str(tmp_path / "study"))
    dialog.real.put_folder(real)
    dialog.generated.put_folder(fakes)
    make(dialog)
    assert "copy.png" in told.pop()
    (fakes / "copy.png").unlink()
    dialog.mode.setCurrentIndex(1)
    dialog.real.number.setValue(7)
    assert dialog.generated.number.value() == 7
    wait(lambda: "0% by three" in dialog.power.text())
    assert not dialog.generated.number.isEnabled()
    dialog.make.click()
    assert dialog.make.text() == "Cancel"
    dialog.make.click()
    assert dialog.run is None
    assert "Stopped" in dialog.said.text()
    wait(lambda: not list(tmp_path.glob("*study*")))


def test_open_slides_are_offered(dialog, viewer, tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (64, 64)).save(path)
    viewer.add_image(np.zeros((9, 9, 3), np.uint8), name="no file", rgb=True)
    viewer.add_image(np.zeros((9, 9, 3), np.uint8), name="photo", rgb=True, metadata={"path": path})
    dialog.real.offer_open()
    assert [x.text() for x in dialog.real._open.actions()] == ["photo"]
    dialog.real._open.actions()[0].trigger()
    assert dialog.real.sources == [{"slides": str(path)}]
    dialog.real.list.selectAll()
    dialog.real.remove.click()
    assert dialog.real.sources == []


def test_results(dock, tmp_path, told):
    study = make_study(tmp_path, 8, practice=0, controls=0, repeats=0.2)
    key = read_key(study.folder, None, study.manifest)
    results = dock.results
    dock.reading.open(study.folder)
    dock.tabs.setCurrentIndex(1)
    assert results.study.currentData() == study.folder
    work_out(results, key_path(study.folder))
    assert "no answers to report" in told.pop()
    for reader, wrong in (("A", 0), ("B", 4)):
        with Session.open(study, reader) as session:
            while (trial := session.trial) is not None:
                real = key.truth[name_of(study, trial.image)].real
                session.answer("real" if real == (session.answered >= wrong) else "generated", 3, 2)
    with Session.open(study, "C") as session:
        session.answer("real", 3, 2)
    with Session.open(study, "D"):
        pass  # only agreed to take part
    assert about(study).endswith("; 3 readers so far")
    work_out(results, key_path(study.folder))
    assert "28 of 32 answers were right" in results.verdict.text()
    assert "Other readers, with other images" in results.verdict.text()
    assert [results.reader.itemText(i) for i in range(3)] == ["All readers", "A", "B"]
    assert results.reader.count() == 3
    assert (
        "C: too few answers to count (1 of the 16 images that count)" in results.not_counted.text()
    )
    results.reader.setCurrentText("A")
    assert "16 of 16 answers were right" in results.verdict.text()
    assert "<b>100.0 %</b>" in results.table.text()
    assert "<b>8</b>" in results.confusion.text()
    shown = [one for gallery in results.galleries for one in gallery.pictures]
    assert sum(one.text() != "none" for one in shown) == 4  # B's, of one kind or of both
    assert all(not one.image.isNull() for one in results.figures.values())
    assert dock.minimumSizeHint().width() <= 320
    results.figures["roc"].mousePressEvent(None)
    results.save(tmp_path / "report")
    wait(lambda: results.run is None)
    assert results.status.text() == "Saved report.html"
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "svg+xml" in page

    work_out(results, tmp_path / "none")
    assert "can't be read" in told.pop()
    assert results.found.isHidden()
    make_study(tmp_path / "other", 2, practice=0, controls=0)
    work_out(results, key_path(tmp_path / "other" / "study"))
    assert results.status.text() == told[-1], "why it was refused stays in the dock"
    assert "is not the answer key" in told.pop()
    record = answered(study)[0]
    record.write_text(record.read_text().replace(ANSWERED, '"confidence": 5', 1))
    work_out(results, key_path(study.folder))
    assert "tampered" in results.problems.text()
    assert not results.problems.isHidden()


def test_results_are_cancelled_at_once_and_leave_no_process(dock, tmp_path):
    study = make_study(tmp_path, 8, practice=0, controls=0)
    results = dock.results
    dock.reading.open(study.folder)
    results.work_out(study.folder, key_path(study.folder))
    assert results.show_button.text() == "Cancel"
    children = psutil.Process().children
    wait(lambda: any("study.bundle" in words(x) for x in children()))
    results.show_button.click()
    assert results.status.text() == "Stopped."
    wait(lambda: not any(x.is_running() and "study.bundle" in words(x) for x in children()))


def answered(study):
    """Records that hold answers, in no order; D has answered nothing."""
    records = [x for x in (study.folder / "readers").glob("*.jsonl") if ANSWERED in x.read_text()]
    assert len(records) == 3
    return records


def words(process):
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def work_out(results, key):
    results.work_out(results.study.currentData(), key)
    wait(lambda: results.run is None)


def name_of(study, image):
    return next(n for n in study.manifest.images if np.array_equal(study.image(n), image))


def test_a_study_goes_to_readers_elsewhere_and_their_answers_come_back(dock, tmp_path, told):
    results = dock.results
    assert not results.page.isEnabled()
    study = make_study(tmp_path, 8)
    results.open_study(study.folder)
    results.make_page(tmp_path / "page")
    assert not results.page.isEnabled()
    assert not results.take.isEnabled()
    wait(lambda: results.run is None)
    (page,) = (tmp_path / "page").glob("*.html")
    assert f"Send the folder page to the readers: they open {page.name}" in results.status.text()
    results.make_page(study.folder / "page")  # in the study's own folder
    wait(lambda: results.run is None)
    assert "the study's own folder" in results.status.text()
    file = handed_back(study, tmp_path / "anna.jsonl")
    for said in ("was taken", "was here already"):
        results.take_in([file])
        wait(lambda: results.run is None)
        assert results.status.text() == f"anna.jsonl {said}"
    assert len(answers(study)) == 6
    other = tmp_path / "other.jsonl"
    other.write_text("{}")
    results.take_in([other])
    wait(lambda: results.run is None)
    assert "is no file that a reader handed back" in results.status.text()
    assert results.take.isEnabled()

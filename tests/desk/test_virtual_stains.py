"""Virtual stains of a real kidney image, as a user comes to them; by pairs that have learnt nothing."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image
from qtpy.QtWidgets import QApplication, QFileDialog, QLabel, QPushButton

from desk import Answer, choose, plain
from napari_pathogan.colour.stain_distance import StainPool
from napari_pathogan.errors import OutputError
from napari_pathogan.plugin.shell.train_dialog import TrainDialog
from napari_pathogan.tasks.virtual_stain.trust import fit_of
from patience import PATIENCE_S

sys.path.append(str(Path(__file__).parents[1] / "virtual_stain"))
from virtual_pairs import save_pair

pytestmark = pytest.mark.gui

PAIRS = ("pas-he", "pas-masson", "pas-pasm")


@pytest.fixture
def kidney(data, tmp_path, monkeypatch):
    """A PAS image, and small pairs from PAS to the other stains that know how real ones look."""
    room = data / "kidney_stains"
    read = {
        stain: [
            np.asarray(Image.open(path).convert("RGB"))
            for path in sorted((room / folder).glob("*.png"))
        ]
        for stain, folder in (("pas", "pas"), ("masson", "tri"), ("pasm", "sil"), ("he", "he"))
    }
    pools = {stain: StainPool.of(images).written() for stain, images in read.items()}
    found = {"cycle": {"pen": 0.9}, "judge": {"pen": 0.5}}
    for seed, name in enumerate(PAIRS):
        target = name.partition("-")[2]
        save_pair(
            tmp_path / "zoo" / name,
            target=target,
            seed=seed,
            mpp=None,
            pools={end: pools[end] for end in ("pas", target)},
            trust={"pas": found},
            doubt={"pas": {"cycle": (1.0, 9.0)}},
        )
    monkeypatch.setattr("napari_pathogan.engine.models.zoo", lambda: tmp_path / "zoo")
    return room / "pas" / "3_0_tuft_im_173_0.png"


def test_a_real_image_in_four_stains(used, kidney):
    desk = used
    dock = desk.dock("Virtual stains")
    desk.open(kidney)
    desk.wait(lambda: dock.form.isVisible() and dock.form.run.isEnabled(), "the models")
    desk.wait(lambda: dock._measuring is None, "the stain")
    desk.picture("virtual-opened")
    if not dock.stain.currentData():  # PAS and H&E may look alike: then it is asked
        assert "say its stain" in dock.fits.text()
        with desk.expecting("Nobody says which stain"):
            scale(desk, dock)
            desk.press(dock.form.run)
    pick(dock.stain, "PAS")
    scale(desk, dock)
    assert [plain(box.text()) for box in dock.targets.values()] == [
        "H&E",
        "Masson trichrome",
        "PASM silver",
    ]
    desk.press(dock.form.run)
    desk.wait(lambda: dock.run is None and len(dock.shown) == 3, "the virtual stains")
    desk.wait(lambda: "All that is in view" in dock.coming.text(), "the generator's tiles")
    assert all(
        "[synthetic]" in layer.name and "virtual" in layer.name for layer in desk.viewer.layers[1:]
    )
    assert desk.cut_texts(dock) == []
    desk.picture("virtual-front")
    desk.press(dock.compare.swipe)
    desk.rest(0.3)
    desk.picture("virtual-divider")
    assert [sign.text() for sign in dock.compare.divider.signs] == [
        "as scanned",
        "virtual H&E, synthetic",
    ]
    desk.press(dock.compare.sides)
    desk.rest(0.5)
    assert desk.viewer.canvas.grid.actual_shape(desk.viewer.layers) == (2, 2)
    desk.picture("virtual-four")
    desk.press(dock.compare.sides)
    desk.press(dock.doubt)
    desk.wait(lambda: dock.run is None and dock.view.doubt is not None, "the doubt map")
    desk.picture("virtual-doubt")
    assert desk.cut_texts(dock) == []
    desk.viewer.theme = "light"
    desk.rest(0.3)
    desk.picture("virtual-light")


def test_every_row_says_why_it_is_empty(used, kidney, monkeypatch):
    desk = used
    go = threading.Event()

    def slowly(*args, **options):
        assert go.wait(PATIENCE_S)
        return fit_of(*args, **options)

    monkeypatch.setattr("napari_pathogan.tasks.virtual_stain.trust.fit_of", slowly)
    dock = desk.dock("Virtual stains")
    desk.open(kidney)
    desk.wait(lambda: dock._measuring is not None, "the measuring")
    desk.picture("virtual-measuring")
    assert "Measuring its stain" in dock.fits.text()
    (row,) = (x for x in dock.findChildren(QLabel) if "Once its stain is measured" in x.text())
    assert row.isVisible()
    assert dock.front.seen_text == "nothing is painted yet"
    assert dock.map.seen_text == "no map yet"
    assert desk.cut_texts(dock) == []
    go.set()
    desk.wait(lambda: dock._measuring is None, "the stain")


def test_an_export_is_written_and_opens_on_its_slide(used, kidney, tmp_path):
    desk = used
    dock = desk.dock("Virtual stains")
    desk.open(kidney)
    slide = desk.viewer.layers[0]
    desk.wait(lambda: dock.form.isVisible() and dock.form.run.isEnabled(), "the models")
    desk.wait(lambda: dock._measuring is None, "the stain")
    pick(dock.stain, "PAS")
    scale(desk, dock)
    desk.press(dock.form.run)
    desk.wait(lambda: dock.run is None and len(dock.shown) == 3, "the virtual stains")
    path = tmp_path / "out.ome.zarr"
    with desk.answering(choose(path)):
        desk.pick(dock.export, "Slide in this virtual stain (OME-Zarr)…")
    desk.wait(lambda: dock.run is None, "the export")
    assert "Saved out.ome.zarr" in dock.form.status.text()
    about = zarr.open_group(path).attrs["pathogan"]
    assert about["synthetic"]
    assert about["source_stain"] == "pas"
    said = "Export in the dock Virtual stains"
    desk.viewer.layers.selection = {dock.view.layer}
    desk.rest(0.1)
    with pytest.raises(OutputError, match=said):  # as File > Save Selected Layers does
        dock.view.layer.save(str(tmp_path / "saved.ome.zarr"), plugin="napari-pathogan")
    before = list(desk.viewer.layers)
    with desk.answering(choose(path)):
        desk.menu("File", "Open Folder...")
    desk.wait(lambda: len(desk.viewer.layers) > len(before), "the file")
    (again,) = (x for x in desk.viewer.layers if x not in before)
    assert again.name.startswith("virtual H&E [synthetic] (3_0_tuft")
    np.testing.assert_allclose(again.extent.world, slide.extent.world)


def test_a_run_is_cancelled_and_leaves_nothing(used, kidney):
    desk = used
    dock = desk.dock("Virtual stains")
    desk.open(kidney)
    desk.wait(lambda: dock.form.isVisible() and dock.form.run.isEnabled(), "the models")
    desk.wait(lambda: dock._measuring is None, "the stain")
    pick(dock.stain, "PAS")
    scale(desk, dock)
    desk.press(dock.form.run)
    desk.press(dock.form.run)  # Cancel
    desk.wait(lambda: dock.run is None, "the end")
    assert "as it was" in dock.form.status.text()
    desk.rest(1.0)
    assert len(desk.viewer.layers) == 1


def test_a_pair_is_trained_from_two_folders(used, kidney, monkeypatch):
    desk = used
    dock = desk.dock("Virtual stains")
    desk.open(kidney)
    desk.wait(lambda: dock.form.isVisible() and dock.form.run.isEnabled(), "the models")

    def say(dialog):
        rows = dialog.more.rows
        other = rows["Other images"].findChild(QPushButton)

        def choose(button, folder):
            monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
            button.click()

        desk.wait(lambda: "choose a folder" in dialog.about.text(), "the sentence")
        choose(dialog.choose, kidney.parent)
        choose(other, kidney.parents[1] / "tri")
        desk.wait(lambda: "say which stain" in dialog.about.text(), "the sentence")
        rows["Their stain"].setCurrentText("PAS")
        rows["Their stain is"].setCurrentText("Masson trichrome")
        desk.wait(lambda: "34 images" in dialog.about.text(), "what there is to learn from")
        assert "20 images" in dialog.about.text()
        assert dialog.go.isEnabled()
        desk.picture("virtual-training")
        assert desk.cut_texts(dialog) == []
        choose(other, kidney.parent)
        desk.wait(lambda: "34 of the 34 images" in dialog.about.text(), "the sentence")
        assert not dialog.go.isEnabled()
        dialog.reject()

    with desk.answering(Answer(TrainDialog, say)):
        desk.press(dock.training.button)


def pick(box, text):
    """Choose an entry as a hand does."""
    box.setCurrentIndex(box.findText(text))
    box.activated.emit(box.currentIndex())
    QApplication.processEvents()


def scale(desk, dock):
    """Say how large a pixel is, where that is asked."""
    if dock.form.pixel_size.isVisible():
        desk.type(dock.form.pixel_size, "0.5")


def test_patches_in_view_are_classified_by_all_stains(used):
    desk = used
    dock = desk.dock("Virtual stains")
    desk.sample("H&E phantom slide")
    desk.wait(lambda: dock.form.isVisible() and dock.form.run.isEnabled(), "the models")
    desk.wait(lambda: dock._measuring is None, "the stain")
    pick(dock.stain, "PAS")
    desk.press(dock.classes.classify)
    assert "looks at slides in H&E; this slide is PAS" in dock.classes.said.text()
    pick(dock.stain, "H&E")
    slide = dock.layer
    desk.viewer.scene.camera.zoom *= 5
    desk.rest(0.3)
    desk.press(dock.classes.classify)
    desk.wait(lambda: dock.run is None and dock.classes.found, "the classes")
    found = dock.classes.found[slide]
    assert "of" in dock.classes.said.text()
    assert len(desk.viewer.layers) == 3
    assert all("synthetic" in layer.name for layer in desk.viewer.layers[1:])
    assert dock.classes.legend.isVisible()
    assert dock.classes.legend.words == ("0 % IDC", "100 % IDC")
    assert "breast-histopathology-images" in dock.classes.about.text()
    assert "Not for images in another stain, of another organ" in dock.classes.about.text()
    row, col = found.cells[len(found.cells) // 2]
    (oy, ox), (sy, sx) = found.probability.origin, found.probability.step
    desk.click(desk.at(slide, oy + (row + 0.5) * sy, ox + (col + 0.5) * sx))
    assert "For it speak: H&E" in dock.classes.said.text()
    assert "virtual PAS" in dock.classes.said.text()
    assert desk.cut_texts(dock) == []
    desk.picture("virtual-classes")

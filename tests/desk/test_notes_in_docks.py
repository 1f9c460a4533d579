"""What one should know of an image stands in the docks that look at it; so does why a run was refused."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from napari.utils.notifications import show_info
from qtpy.QtCore import QRect
from qtpy.QtWidgets import QWidget

from napari_pathogan.engine.models import TrainingData

pytestmark = pytest.mark.gui


@pytest.fixture
def damaged(tmp_path):
    """A slide of 16 tiles, three of which can't be read, which does not say its scale."""
    path = tmp_path / "damaged.tif"
    pixels = np.full((1024, 1024, 3), 240, np.uint8)
    pixels[200:800, 200:800] = np.random.default_rng(0).integers(90, 200, (600, 600, 3))
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(256, 256), compression="jpeg")
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        places = [(page.dataoffsets[i], page.databytecounts[i]) for i in (5, 6, 9)]
    with path.open("r+b") as stream:
        for at, size in places:
            stream.seek(at)
            stream.write(bytes(size))
    return path


def test_damage_scale_and_refusals_are_seen_in_the_dock(used, damaged):
    dock = used.dock("IDC heat map")
    used.open(damaged)
    used.wait(lambda: dock.layer is not None and dock.form.run.isEnabled(), "the slide")
    used.press(dock.form.run)
    assert "has no scale" in dock.form.pixel_size_refused.text(), "it stays until one is typed"
    used.type(dock.form.pixel_size, "0.5")
    used.key("Return", dock.form.pixel_size)
    assert "scale was given by hand" in dock.form.notes.toolTip()
    with used.dismissing():
        used.press(dock.form.run)
        used.wait(lambda: dock.run is None, "the end")
    used.picture("notes-in-dock")
    assert dock.form.notes.isVisible()
    assert "more tiles can't be read" in dock.form.notes.toolTip()
    assert used.cut_texts(dock) == []
    other = used.dock("Nuclei")
    assert "more tiles can't be read" in other.form.notes.toolTip()


def test_a_model_that_has_learnt_from_an_image_of_this_name_is_told(used):
    dock = used.dock("IDC heat map")
    used.sample("H&E phantom slide")
    used.wait(dock.form.run.isEnabled, "the model")
    assert not dock.form.notes.isVisible()
    (known,) = dock.card.training_data[:1]
    name = dock.form.model.currentText()
    patients = known.model_copy(update={"patients": ("he_phantom",), "pseudonyms": False})
    folder, card = dock._models[name]
    dock._models[name] = folder, card.model_copy(update={"training_data": (patients,)})
    dock._model_chosen()
    assert f"among those that {name} has learnt from" in dock.form.notes.text()


@pytest.mark.parametrize(
    ("title", "sample"),
    [("IDC heat map", "H&E phantom slide"), ("Mammogram masses", "Mammogram phantom study")],
)
def test_a_model_that_has_learnt_from_these_pixels_is_told(used, title, sample):
    """Whatever they are called; and not where another image is chosen."""
    dock = used.dock(title)
    used.sample(sample)
    used.wait(lambda: dock.layer is not None and dock.form.run.isEnabled(), "the model")
    used.rest(0.2)
    shown = dock.layer.metadata.get("slide") or dock.layer.metadata["mammogram"]
    images = TrainingData(name="own", images=(shown.imprint.digest,))
    name = dock.form.model.currentText()
    folder, card = dock._models[name]
    dock._models[name] = folder, card.model_copy(update={"training_data": (images,)})
    dock._model_chosen()
    said = f"This image is among the images that {name} has learnt from"
    used.wait(lambda: said in dock.form.notes.toolTip(), "the note")
    used.picture(f"note-learnt-{title}")
    others = [image for image in dock.images if image is not dock.layer]
    for other in others[:1]:
        dock.form.choose(other)
        used.rest(0.5)
        assert said not in dock.form.notes.toolTip()


@pytest.mark.parametrize("sample", ["H&E phantom slide", "Mammogram phantom study"])
def test_no_notification_covers_the_scale_bar(used, sample):
    used.window.resize(1366, 738)
    used.dock("IDC heat map" if "slide" in sample else "Mammogram masses")
    used.sample(sample)
    used.rest(0.5)
    bar = used.viewer.canvas.overlays.scale_bar
    assert bar.visible
    assert str(bar.position) == "bottom_left"
    show_info(
        "A sentence that is long enough to fill all of the room that a notification has here."
    )
    used.rest(0.8)
    canvas = used.canvas()
    toasts = [
        QRect(one.mapTo(used.window, one.rect().topLeft()), one.size())
        for one in used.window.findChildren(QWidget)
        if type(one).__name__ == "NapariQtNotification" and one.isVisible()
    ]
    used.picture(f"bar-{sample}")
    assert toasts
    corner = canvas.mapTo(used.window, canvas.rect().bottomLeft())
    at = QRect(corner.x(), corner.y() - 60, 180, 60)
    assert not any(one.intersects(at) for one in toasts)

"""Everything that the manifest offers, from where a user finds it."""

from __future__ import annotations

import pytest

from desk import choose
from napari_pathogan.plugin import samples

pytestmark = pytest.mark.gui

SLIDE = samples.FOLDER / samples.PHANTOM
VIEWS = sorted((samples.FOLDER / samples.PHANTOM_STUDY / "images").iterdir())


@pytest.mark.parametrize(
    ("title", "files"),
    [
        ("IDC heat map", [SLIDE]),
        ("Nuclei", [SLIDE]),
        ("Stain transfer", [SLIDE]),
        ("Mammogram masses", VIEWS),
        ("Blending", VIEWS[:1]),
    ],
)
def test_a_dock_opens_files_by_its_button(desk, title, files):
    dock = desk.dock(title)
    assert dock.welcome.isVisible()
    with desk.answering(choose(*files)):
        desk.press(dock.welcome.open)
    desk.wait(lambda: len(desk.viewer.layers) == len(files), "the images")
    desk.wait(dock.form.run.isEnabled, "the model")
    assert not dock.welcome.isVisible()


def test_open_a_slide_by_the_menu(desk):
    with desk.answering(choose(SLIDE)):
        desk.menu("File", "IO Utilities", "Open a slide…")
    desk.wait(lambda: len(desk.viewer.layers) == 1, "the slide")

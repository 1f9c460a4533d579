"""Everything that the manifest offers, from where a user finds it."""

from __future__ import annotations

from importlib import resources

import npe2
import pytest
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QAbstractButton, QApplication, QDialog

from desk import choose, plain
from napari_pathogan.plugin.viewer import samples

pytestmark = pytest.mark.gui

OFFERED = npe2.PluginManifest.from_file(
    str(resources.files("napari_pathogan") / "napari.yaml")
).contributions
DOCKS = {one.display_name: one.command for one in OFFERED.widgets}
TITLES = {one.id: one.title for one in OFFERED.commands}
# "napari/layers/segment" is the menu Layers > Segment
ENTRIES = [
    (
        [part.replace("_", " ").title().replace("Io ", "IO ") for part in menu.split("/")[1:]],
        TITLES[item.command],
    )
    for menu, items in OFFERED.menus.items()
    for item in items
    if not TITLES[item.command].startswith("Open")
]
SLIDE = samples.FOLDER / samples.PHANTOM
VIEWS = sorted((samples.FOLDER / samples.PHANTOM_STUDY / "images").iterdir())


@pytest.mark.parametrize(
    ("title", "files"),
    [
        ("IDC heat map", [SLIDE]),
        ("Nuclei", [SLIDE]),
        ("Stain transfer", [SLIDE]),
        ("Virtual stains", [SLIDE]),
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


def test_the_file_menu_asks_for_files_and_opens_them(desk):
    for entry, files in (("Open a slide…", [SLIDE]), ("Open mammograms…", VIEWS)):
        there = len(desk.viewer.layers) + len(files)
        with desk.answering(choose(*files)):
            desk.menu("File", "IO Utilities", entry)
        desk.wait(lambda there=there: len(desk.viewer.layers) == there, "the images")


def test_every_dock_opens_by_its_key(desk):
    desk.sample("H&E phantom slide")
    for title, command in DOCKS.items():
        key = next(one.key for one in OFFERED.keybindings if command == one.command)
        desk.key(key, desk.window)
        desk.wait(lambda title=title: desk.docked(title), f"the dock {title!r} by {key}")
        desk.picture(f"key-{title}")
        desk.menu("Plugins", "PathoGAN", title)
        assert desk.docked(title) is None, f"the menu speaks of the same dock {title!r}"


@pytest.mark.parametrize("by_key", [False, True])
def test_a_dock_behind_another_comes_forward_and_one_in_front_is_closed(desk, by_key):
    """By its menu as by its key."""
    jobs, models = desk.dock("Jobs"), desk.dock("Models")
    desk.rest(0.3)
    key = next(one.key for one in OFFERED.keybindings if one.command == DOCKS["Jobs"])

    def choose_jobs():
        if by_key:
            desk.key(key, desk.window)
        else:
            desk.menu("Plugins", "PathoGAN", "Jobs")
        desk.rest(0.2)

    assert jobs.visibleRegion().isEmpty(), "it is behind"
    choose_jobs()
    assert not jobs.visibleRegion().isEmpty(), "it is in front"
    assert models.visibleRegion().isEmpty()
    choose_jobs()
    assert desk.docked("Jobs") is None, "it is closed"
    choose_jobs()
    assert not jobs.visibleRegion().isEmpty(), "it is in front again"


def test_keys_of_the_plugin_are_free_in_napari(desk):
    ours = {one.key for one in OFFERED.keybindings}
    taken = {one.shortcut().toString() for one in desk.window.findChildren(QAction)}
    assert not ours & taken


def test_every_sample_opens(desk):
    for one in OFFERED.sample_data:
        desk.sample(one.display_name)
        desk.picture(f"sample-{one.display_name}")


def test_the_report_can_be_pasted(desk):
    QApplication.clipboard().clear()
    desk.menu("File", "IO Utilities", "Copy report")
    desk.wait(QApplication.clipboard().text, "the report")
    assert "napari-pathogan" in QApplication.clipboard().text()
    assert "Models run on" in QApplication.clipboard().text()


def test_every_entry_of_the_layers_menus_works(desk):
    desk.sample("H&E phantom slide")
    for menu, title in ENTRIES:
        desk.menu(*menu, title)
        if title in DOCKS:
            desk.wait(lambda title=title: desk.docked(title), f"the dock {title!r}")
            desk.menu(*menu, title)  # and it is closed again
            assert desk.docked(title) is None


@pytest.mark.parametrize(
    ("title", "sample"),
    [
        ("IDC heat map", "H&E phantom slide"),
        ("Nuclei", "H&E phantom at 40x"),
        ("Stain transfer", "H&E phantom slide"),
        ("Virtual stains", "H&E phantom slide"),
        ("Mammogram masses", "Mammogram phantom study"),
        ("Blending", "Mammogram phantom study"),
        ("Reader study", None),
        ("Batch", None),
        ("Models", None),
        ("Jobs", None),
        ("Slides", None),
    ],
)
def test_every_button_of_a_dock_can_be_pressed(desk, title, sample):
    """Before a run, and after one; dialogs are left by Escape, and what is started comes to an end."""
    shipped = sorted(samples.FOLDER.rglob("*"))
    dock = desk.dock(title)
    assert desk.cut_texts(dock) == []
    press_all(desk, dock)
    if sample is None:
        return
    desk.sample(sample)
    run = desk.wait(lambda: dock.form.run.isVisible() and dock.form.run, "the sample")
    desk.wait(run.isEnabled, "the model")
    press_all(desk, dock, but=run)
    with desk.dismissing():
        desk.press(run)
        desk.wait(lambda: dock.run is None, "the end of the run")
    desk.picture(f"run-{title}")
    assert desk.cut_texts(dock) == []
    press_all(desk, dock, but=run)
    desk.picture(f"pressed-{title}")
    assert sorted(samples.FOLDER.rglob("*")) == shipped, "nothing is kept in the package"


def press_all(desk, dock, but=None):
    """Press all buttons that are seen, each once, leaving dialogs; wait for what they start."""
    pressed = [but]
    with desk.dismissing():
        while there := [one for one in buttons(dock) if one not in pressed]:
            desk.press(there[0])
            pressed.append(there[0])
            desk.rest(0.2)
            desk.wait(lambda: getattr(dock, "run", None) is None, "the end of it")
            for window in dock.findChildren(QDialog):
                window.close()


def buttons(dock):
    """Those that are seen and enabled, but for the ones that open something for the whole test."""
    return [
        one
        for one in dock.findChildren(QAbstractButton)
        if one.isVisible() and one.isEnabled() and plain(one.text()) != "Try the sample"
    ]

"""The bar of what lies over an image, and going round places, in docks other than the heat map's."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_pathogan.tasks.masses.review import Decision

pytestmark = pytest.mark.gui


def colours(used):
    used.rest(0.2)
    return used.viewer.screenshot(flash=False)[..., :3].astype(int)


def test_nuclei_are_gone_through_faded_and_outlined(used):
    dock = used.dock("Nuclei")
    used.sample("H&E phantom at 40x")
    used.wait(dock.form.run.isEnabled, "the model")
    assert not dock.places.next.isEnabled()
    used.press(dock.fast)
    used.press(dock.form.run)
    used.wait(lambda: dock.run is None and dock.segmentation is not None, "the nuclei")
    go_through(used, dock)
    fade(used, dock)
    assert used.cut_texts(dock) == []


def go_through(used, dock):
    """The least sure first; what is decided is not come back to."""
    table = dock.segmentation.table
    for name, count in dock.segmentation.counts().items():
        assert f"{name.replace(' ', '&nbsp;')}&nbsp;{count:,}" in dock.legend.text()

    used.press(dock.places.next)
    assert dock.form.status.text().startswith(f"Unchecked nucleus 1 of {len(table):,}: ")
    least = int(table.loc[table["class_probability"].idxmin(), "id"])
    assert dock.nucleus == least
    used.picture("bar-nuclei")
    canvas = used.canvas()
    canvas.setFocus()
    used.key("2", canvas)  # a class: on to the next
    assert dock.segmentation.nucleus(least)["corrected"]
    second = dock.nucleus
    assert second != least
    assert dock.form.status.text().startswith(f"Unchecked nucleus 1 of {len(table) - 1:,}: ")
    was = dock.segmentation.nucleus(second)["class"]
    used.key("A", canvas)  # right as it is: on to the next
    assert dock.segmentation.nucleus(second)["corrected"]
    assert dock.segmentation.nucleus(second)["class"] == was
    third = dock.nucleus
    used.key("Delete", canvas)
    assert third not in set(dock.segmentation.table["id"])
    assert dock.nucleus not in {None, least, second, third}
    for _ in range(3):
        used.key("Ctrl+Z", canvas)
    used.key("U", canvas)
    assert f" of {len(table):,}: " in dock.form.status.text()
    used.key("Shift+U", canvas)
    assert f" of {len(table):,}: " in dock.form.status.text()

    # a nucleus that was only clicked stays where it is
    dock.select(int(table["id"].iloc[0]))
    centre = used.viewer.scene.camera.center
    used.key("1", canvas)
    assert dock.nucleus == int(table["id"].iloc[0])
    assert used.viewer.scene.camera.center == centre


def fade(used, dock):
    """The tissue below, outlines alone, nothing while H is held."""
    canvas = used.canvas()
    dock.select(None)
    used.viewer.fit_to_view()
    labels = dock.shown.labels
    full = colours(used)
    dock.overlay.fade.setValue(30)
    assert labels.opacity == 0.3
    faint = colours(used)
    assert np.abs(full - faint).max() > 40
    dock.overlay.fade.setValue(90)
    used.press(dock.overlay.outline)
    assert labels.contour > 0
    QTest.keyPress(canvas, Qt.Key.Key_H)
    used.rest(0.1)
    assert not labels.visible
    QTest.keyRelease(canvas, Qt.Key.Key_H)
    used.rest(0.1)
    assert labels.visible


def test_findings_are_gone_through_counted_and_shown_without_boxes(used):
    dock = used.dock("Mammogram masses")
    used.sample("Mammogram phantom study")
    used.wait(dock.form.run.isEnabled, "the model")
    used.press(dock.form.run)
    used.wait(lambda: dock.run is None and dock.table.rows, "the masses")
    used.rest(0.2)
    count = len(dock.table.rows)
    assert count > 2
    assert f"open&nbsp;{count}" in dock.legend.text() or f"&nbsp;{count}" in dock.legend.text()
    canvas = used.canvas()
    canvas.setFocus()
    used.key("U", canvas)
    first = dock.table.rows[0]
    assert dock.form.status.text().startswith(f"Finding 1 of {count}: {first.view}, {first.score}")
    assert dock.finding == (first.image, first.number)
    used.key("U", canvas)
    assert dock.form.status.text().startswith(f"Finding 2 of {count}: ")
    used.key("Shift+U", canvas)
    used.key("Shift+U", canvas)
    assert dock.form.status.text().startswith(f"Finding {count} of {count}: ")
    used.key("A", canvas)
    assert f"{Decision.ACCEPTED}&nbsp;1" in dock.legend.text()
    for _ in range(count - 1):
        used.key("U", canvas)
    said = dock.form.status.text()
    assert said.startswith(f"Finding 1 of {count}: "), "the one that is decided is passed over"
    layers = dock.layers_of(first.image)
    used.press(dock.overlay.outline)
    assert not layers.boxes.visible
    assert layers.outlines.visible
    dock.overlay.fade.setValue(40)
    assert layers.outlines.opacity == 0.4
    used.picture("bar-masses")
    assert used.cut_texts(dock) == []

"""Several docks at once, and slides and mammograms at once: nothing is cut, nothing lies on the other."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QDockWidget

from napari_pathogan.plugin.shell.form import above
from napari_pathogan.plugin.viewer.layers import view_region

pytestmark = pytest.mark.gui

TITLES = ("IDC heat map", "Nuclei", "Mammogram masses")


def in_front(dock):
    """Whether no other dock's tab covers a dock."""
    return not dock.visibleRegion().isEmpty()


def test_docks_share_a_place_as_tabs(used):
    used.sample("H&E phantom slide")
    used.window.resize(1366, 768)
    used.rest()
    high = used.window.height()
    docks = []
    for title in TITLES:
        docks.append(used.dock(title))
        used.wait(lambda dock=docks[-1]: in_front(dock), f"{title} in front")
        assert used.cut_texts(docks[-1]) == []
        used.picture(f"together-{title}")
    used.rest()
    assert used.window.height() == high, "the window does not grow out of the screen"
    assert [in_front(dock) for dock in docks] == [False, False, True]
    used.key("Ctrl+Alt+I", used.window)
    used.wait(lambda: in_front(docks[0]), "a dock behind others comes forward by its key")
    used.key("Ctrl+Alt+I", used.window)
    used.wait(lambda: not docks[0].isVisible(), "and the one in front goes by it")


def test_a_dock_that_was_moved_stays(used):
    used.sample("H&E phantom slide")
    first, second = (used.dock(title) for title in TITLES[:2])
    used.wait(lambda: in_front(second) and not in_front(first), "two tabs")
    frame = above(first, QDockWidget)
    frame.setFloating(True)
    for _ in range(2):
        used.menu("Plugins", "PathoGAN", TITLES[0])
        used.rest()
    assert frame.isFloating()


@pytest.mark.parametrize("order", [("slide", "study"), ("study", "slide")])
def test_slides_and_mammograms_lie_apart(used, order):
    samples = {"slide": "H&E phantom slide", "study": "Mammogram phantom study"}
    for kind in order:
        used.sample(samples[kind])
    used.wait(lambda: len(used.viewer.layers) == 5, "a slide and four views")
    used.rest()
    used.picture(f"apart-{order[0]}")
    grey = [one for one in used.viewer.layers if "mammogram" in one.metadata]
    (slide,) = (one for one in used.viewer.layers if one not in grey)
    extents = [used.viewer.layers.get_extent([one]) for one in (slide, *grey)]
    ends = [np.sort(one.world[:, -1]) for one in extents]
    study = min(e[0] for e in ends[1:]), max(e[1] for e in ends[1:])
    assert ends[0][1] < study[0] or study[1] < ends[0][0], "in micrometres, all of them"
    camera, wide = used.viewer.scene.camera, used.viewer.canvas.size[1]
    seen = study if order[-1] == "study" else tuple(ends[0])
    assert camera.center[-1] == pytest.approx(sum(seen) / 2, rel=0.02), "the last one is looked at"
    assert (seen[1] - seen[0]) * camera.zoom > wide / 4


def test_masses_are_seen_and_clicked_beside_a_slide(used):
    """The mouse, the view and the width of lines mean the same as without one."""
    dock = used.dock("Mammogram masses")
    used.sample("H&E phantom slide")
    used.sample("Mammogram phantom study")
    used.wait(lambda: dock.layer is not None and dock.form.run.isEnabled(), "the model")
    used.press(dock.form.run)
    used.wait(lambda: dock.run is None and dock.reviews.review_of(dock.layer) is not None, "masses")
    image = dock.images[0]
    review = dock.reviews.shown(image)
    number = review.ids[int(np.argmax(review.found.scores))]
    dock.go_to(image, number)
    used.rest()
    used.picture("masses-beside-slide")
    x0, y0, x1, y1 = review.found.boxes[review.ids.index(number)]
    spots = [used.at(image, y, x) for y, x in ((y0, x0), (y1, x1))]
    high, wide = used.viewer.canvas.size
    for spot in spots:
        assert 0 <= spot.x() < wide
        assert 0 <= spot.y() < high
    assert max(abs(spots[0].x() - spots[1].x()), abs(spots[0].y() - spots[1].y())) > high / 20
    outlines = dock.layers_of(image).outlines
    line = outlines.edge_width[0] * abs(outlines.scale[0])
    assert 1 < line * used.viewer.scene.camera.zoom < 10, "in pixels of the screen"
    dock.finding = None
    used.click(used.at(image, (y0 + y1) / 2, (x0 + x1) / 2))
    assert dock.finding == (image, number)
    region = view_region(used.viewer, image)
    assert region.height < image.data.shape[0]

"""The gallery of a class: what it shows, and what it says where there is nothing to show."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pathogan.plugin.nuclei.gallery import DOUBTFUL, TYPICAL, Gallery, Shelf

pytestmark = pytest.mark.gui


def shelf(typical, doubtful):
    nuclei = {TYPICAL: typical, DOUBTFUL: doubtful}
    grey = np.full((48, 48, 3), 128, np.uint8)
    return Shelf("epithelial", nuclei, {kind: [grey] * len(ids) for kind, ids in nuclei.items()})


@pytest.fixture
def gallery(qtbot):
    made = Gallery()
    qtbot.addWidget(made)
    made.offer(["epithelial", "fibroblast"])
    return made


def test_a_class_without_nuclei_says_so(gallery):
    assert gallery.none.isHidden()
    gallery.show_shelf(shelf([], []))
    assert not gallery.none.isHidden()
    assert all(heading.isHidden() for heading in gallery.headings.values())
    gallery.show_shelf(shelf([3], [4]))
    assert gallery.none.isHidden()
    assert not any(heading.isHidden() for heading in gallery.headings.values())


def test_a_heading_stands_over_pictures_only(gallery):
    gallery.show_shelf(shelf([3], []))
    assert gallery.none.isHidden()
    assert not gallery.headings[TYPICAL].isHidden()
    assert gallery.headings[DOUBTFUL].isHidden()


def test_a_shelf_of_a_class_that_was_left_is_not_shown(gallery):
    gallery.choice.setCurrentText("fibroblast")
    gallery.show_shelf(shelf([], []))
    assert gallery.none.isHidden()

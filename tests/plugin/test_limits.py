"""What a dock does not look for stands in view, always: nothing found is no all-clear."""

from __future__ import annotations

import numpy as np
import pytest
from masses_standin import CARD, MassesStandin

from napari_pathogan.engine.events import Finished
from napari_pathogan.engine.report import Value
from napari_pathogan.plugin.blending import dock as blending_widget
from napari_pathogan.plugin.idc import dock as idc_widget
from napari_pathogan.plugin.idc.words import area_text
from napari_pathogan.plugin.masses import dock as masses_widget
from napari_pathogan.plugin.masses.dock import MassesDock
from napari_pathogan.plugin.nuclei import dock as nuclei_widget
from napari_pathogan.plugin.shell import dock as docks
from napari_pathogan.plugin.stain import dock as stain_widget
from napari_pathogan.plugin.virtual_stain import dock as virtual_stain_widget
from napari_pathogan.tasks.idc.heatmap import AreaResult

pytestmark = pytest.mark.gui

FINDING = {
    idc_widget.IdcDock: "invasive ductal carcinoma (IDC) of the breast only: not for carcinoma in situ",
    masses_widget.MassesDock: "masses only: not for calcifications, architectural distortion",
    nuclei_widget.NucleiDock: "nuclei only: it finds no tumour",
    blending_widget.BlendingDock: "looks for nothing",
}
MAKING = {stain_widget.StainDock, virtual_stain_widget.VirtualStainDock}
WIDTH = 320


@pytest.fixture
def standin(monkeypatch, tmp_path):
    made = MassesStandin()
    monkeypatch.setattr(masses_widget, "masses_events", made.events)
    card = CARD.model_copy(update={"blind_to": ("masses under about 7 mm",)})

    def find(tasks, folders, warm_up):
        yield docks.ModelsFound({card.name: (tmp_path, card)}, tasks[-1])
        yield Finished()

    monkeypatch.setattr(docks, "_find", find)
    return made


def in_view(dock, qtbot):
    """What is said of limits, if all of it can be read at the width of a dock."""
    label = dock.limits
    assert label.isVisible()
    assert not label.visibleRegion().isEmpty()
    qtbot.waitUntil(lambda: label.height() >= label.heightForWidth(label.width()), timeout=3000)
    return label.text()


def test_every_dock_that_finds_something_says_what_it_does_not_look_for():
    assert set(docks.Dock.__subclasses__()) == FINDING.keys() | MAKING
    for dock, words in FINDING.items():
        assert words in dock.scope


def test_no_idc_is_no_all_clear():
    none, some = (AreaResult(Value(mm2), Value(mm2 / 9), 9.0, 90, 0.5) for mm2 in (0.0, 1.2))
    assert area_text(none).endswith("<br>Other tumours were not looked for")
    assert area_text(some) == "<b>IDC 1.2 mm², 13 % of the tissue</b>"
    shifting = some._replace(share=Value(0.31, 0.26, 0.37))
    assert area_text(shifting).endswith(
        "<br>The true share may be anything from 26 to 37 %, judging by patients that the model had not seen"
    )


def test_it_stays_in_view_before_during_and_after_a_run(viewer, standin, qtbot):
    dock = MassesDock(viewer)
    frame = viewer.window.add_dock_widget(dock)
    frame.setMaximumWidth(WIDTH)
    qtbot.waitUntil(lambda: dock.card is not None)
    full = "asymmetry. Misses masses under about 7 mm."
    assert in_view(dock, qtbot).endswith(full)  # nothing is open yet
    viewer.add_image(np.zeros((240, 160), np.uint8), name="LCC")
    qtbot.waitUntil(lambda: dock.form.isVisible() and dock.width() <= WIDTH)
    assert in_view(dock, qtbot).endswith(full)
    standin.pause_s = 0.3
    dock.run_or_cancel()
    assert in_view(dock, qtbot).endswith(full)
    qtbot.waitUntil(lambda: dock.run is None, timeout=30_000)
    assert "No masses in 1 view" in dock.form.result.text()
    assert "Other findings were not looked for" in dock.form.result.text()
    assert in_view(dock, qtbot).endswith(full)

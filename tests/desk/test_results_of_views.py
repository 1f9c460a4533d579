"""A slide in another's colours, and what other docks find on it: whose it is stands everywhere."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from PIL import Image
from qtpy.QtWidgets import QPushButton

from desk import choose, plain

pytestmark = pytest.mark.gui


def test_results_of_a_view_name_its_slide_and_that_it_is_synthetic(used, tmp_path):
    used.sample("H&E phantom slide")
    (slide,) = used.viewer.layers
    height, width = slide.data[-1].shape[:2]
    other = tmp_path / "06_1.png"
    Image.fromarray(np.asarray(slide.data[-1])[: height // 2, : width // 2]).save(other)
    used.open(other)
    used.viewer.layers.selection.active = slide
    stain = used.dock("Stain transfer")
    used.wait(stain.form.run.isEnabled, "the styles")
    stain.reference.setCurrentText("06_1")
    stain.method.setCurrentText("Reinhard")
    used.press(stain.form.run)
    used.wait(lambda: stain.run is None and stain.view is not None, "the view")
    assert stain.view.name.endswith(" in the colours of 06_1.png (Reinhard) [synthetic]")
    used.rest()
    said = " ".join(used.viewer.canvas.overlays.text.text.split())
    assert stain.view.name.removesuffix(" [synthetic]") in said

    used.viewer.layers.selection.active = stain.view
    idc = used.dock("IDC heat map")
    assert idc.layer is slide
    idc.form.choose(stain.view)
    assert "Synthetic picture" in idc.form.notes.text()
    used.wait(idc.form.run.isEnabled, "the model")
    used.press(idc.form.run)
    used.wait(lambda: idc.run is None and idc.heat is not None, "the map")
    used.picture("results-of-views")
    of = f"({slide.metadata['slide'].name} in the colours of 06_1.png (Reinhard)) [synthetic]"
    assert idc.shown.images["probability"].name == f"IDC probability {of}"
    assert idc.shown.outline.name == f"IDC outline {of}"
    (button,) = (x for x in idc.findChildren(QPushButton) if plain(x.text()) == "Export")
    answer = choose(tmp_path / "map.ome.zarr")
    (entry,) = (x for x in button.menu().actions() if "Zarr" in x.text())
    with used.answering(answer):
        entry.trigger()
    used.wait(lambda: idc.run is None and (tmp_path / "map.ome.zarr").exists(), "the map's file")
    about = zarr.open_group(tmp_path / "map.ome.zarr", mode="r").attrs["pathogan"]
    assert "in the colours of 06_1.png (Reinhard)" in json.dumps(about["notes"])

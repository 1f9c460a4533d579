"""What a dock exports by its menu opens again by File > Open, and lies on its image."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtWidgets import QPushButton

from desk import choose, plain

pytestmark = pytest.mark.gui


def export_menu(dock):
    """The entries of a dock's Export button."""
    (button,) = (x for x in dock.findChildren(QPushButton) if plain(x.text()) == "Export")
    return button.menu().actions()


def open_again(desk, path):
    """File > Open; returns the layers that came."""
    before = list(desk.viewer.layers)
    if path.is_dir():
        with desk.answering(choose(path)):
            desk.menu("File", "Open Folder...")
    else:
        desk.open(path)
    desk.wait(lambda: len(desk.viewer.layers) > len(before), path.name)
    return [layer for layer in desk.viewer.layers if layer not in before]


@pytest.mark.timeout(480)
@pytest.mark.parametrize(
    ("title", "sample"),
    [
        ("IDC heat map", "H&E phantom slide"),
        ("Nuclei", "H&E phantom at 40x"),
        ("Mammogram masses", "Mammogram phantom study"),
    ],
)
def test_every_export_comes_back(used, tmp_path, title, sample):
    dock = used.dock(title)
    used.sample(sample)
    images = [layer for layer in used.viewer.layers if isinstance(layer, Image)]
    used.wait(dock.form.run.isEnabled, "the model")
    used.press(dock.form.run)
    used.wait(lambda: dock.run is None, "the run")
    for number, entry in enumerate(export_menu(dock)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with used.answering(choose(folder / "saved")):
            entry.trigger()
        used.wait(lambda: dock.run is None, entry.text())
        files = sorted(folder.iterdir())
        assert files, entry.text()
        for path in files[:1]:
            layers = open_again(used, path)
            if path.suffix == ".png":
                continue  # a page, which belongs to no place
            for layer in layers:
                assert layer.source.reader_plugin == "napari-pathogan"
                low, high = layer.extent.world[:, -2:]
                on = [lies_within(image, low, high) for image in images]
                assert any(on), f"{path.name}: {layer.name} lies beside"
        used.picture(f"again-{title}-{number}")


def lies_within(image, low, high):
    """Whether a rectangle of the world lies on an image, but for a tenth of its size."""
    ends = np.sort(image.extent.world[:, -2:], axis=0)
    margin = 0.1 * (ends[1] - ends[0])
    return bool((low >= ends[0] - margin).all() and (high <= ends[1] + margin).all())


def test_a_table_of_napari_and_one_of_ours_open_without_a_question(used, tmp_path):
    points = used.viewer.add_points([[1.0, 2.0], [3.0, 4.0]])
    path = tmp_path / "points.csv"
    points.save(str(path))
    (again,) = open_again(used, path)
    np.testing.assert_allclose(again.data, points.data)

"""What the Nuclei dock runs, without a window, with the embedded models."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_pathogan.engine.events import Finished, Tile
from napari_pathogan.engine.models import find_models, read_card, zoo
from napari_pathogan.errors import NoTissueError, OutputError, UnknownScaleError
from napari_pathogan.plugin.nuclei.annotations import keeping, reading
from napari_pathogan.plugin.nuclei.events import NucleiLaid, draw_grid, keep_names, nuclei_events
from napari_pathogan.plugin.viewer.samples import FOLDER, PHANTOM_40X
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.nuclei_classes.naming import naming

MODEL = zoo() / "nuclei-unet"
CLASS_MODELS = sorted(find_models("nuclei-classes").values())
EVERYWHERE = {"region": None, "polygons": None, "near": (300, 300)}


def known(region):
    """Centres (y, x) of the sample's nuclei inside a region, and their classes."""
    table = csv.DictReader((FOLDER / "he_phantom_40x.csv").open())
    rows = [(float(r["y"]), float(r["x"]), r["class"]) for r in table]
    held = [r for r in rows if region.y < r[0] < region.bottom and region.x < r[1] < region.right]
    return np.array([r[:2] for r in held]), [r[2] for r in held]


def test_the_sample_has_its_nuclei_found():
    region = Region(560, 600, 600, 960)  # nests, lymphocytes and stroma
    with Slide.open(FOLDER / PHANTOM_40X) as slide:
        events = list(nuclei_events(slide, MODEL, None, **{**EVERYWHERE, "region": region}))
    kinds = [type(event) for event in events]
    assert kinds.index(NucleiLaid) < kinds.index(Tile)
    assert kinds[-1] is Finished
    laid, found = events[kinds.index(NucleiLaid)], events[-1].result
    assert laid.place.affine() == found.overlay.affine()
    assert laid.place.data.shape == found.labels.shape
    assert len(laid.colours) == len(found.class_names)
    centres, classes = known(region)
    apart, which = cKDTree(found.table[["y_px", "x_px"]]).query(centres)
    hit = apart < 12  # 3 um
    assert hit.mean() > 0.9
    assert abs(len(found) - len(centres)) < 0.15 * len(centres)
    area = found.table["area_um2"].to_numpy()[which]
    medians = {
        name: np.median(area[hit & (np.array(classes) == name)])
        for name in ("epithelial", "inflammatory")
    }
    assert medians["epithelial"] > 1.4 * medians["inflammatory"]


def test_no_scale_and_no_tissue():
    blank = np.full((300, 400, 3), 243, np.uint8)
    with pytest.raises(UnknownScaleError, match="blank"):
        list(nuclei_events(Slide.from_arrays([blank], name="blank"), MODEL, None, **EVERYWHERE))
    slide = Slide.from_arrays([blank], name="blank", mpp=0.25)
    with pytest.raises(NoTissueError, match="blank"):
        list(nuclei_events(slide, MODEL, None, **EVERYWHERE))


@pytest.mark.skipif(not CLASS_MODELS, reason="no class model is embedded")
def test_names_stay_with_a_class_model(tmp_path):
    card = read_card(CLASS_MODELS[0])
    groups = naming(card)
    *_, drawn = draw_grid(CLASS_MODELS[0], groups, rows=2)
    picture, shown, _ = drawn.result
    assert shown is groups
    for column, colour in enumerate(groups.colours):
        assert picture[0, 2 + 42 * column].tolist() == list(bytes.fromhex(colour[1:]))
    own = tuple(f"kind {number}" for number in range(len(groups.names)))
    colours = tuple(f"#0000{number:02x}" for number in range(len(groups.names)))
    target = tmp_path / "models" / CLASS_MODELS[0].name
    *_, kept = keep_names(CLASS_MODELS[0], own, colours, target, validated=False)
    assert kept.result[0] == target
    assert kept.result[1].classes == card.classes
    assert find_models("nuclei-classes", tmp_path / "models")[kept.result[1].name] == target
    assert naming(read_card(target)).names == own
    *_, again = keep_names(target, own, colours, target, validated=True)
    assert again.result[1].classes == own


def test_the_sample_does_not_refute_the_model_that_is_suggested_for_it():
    """Each kind that was drawn is a group of its own, called by no name."""
    folder = zoo() / "nuclei-classes-tnbc"
    with Slide.open(FOLDER / PHANTOM_40X) as slide:
        everywhere = Region(0, 0, *slide.shape)
        *_, last = nuclei_events(
            slide, MODEL, folder, **{**EVERYWHERE, "region": everywhere}, views=1
        )
    centres, drawn = known(everywhere)
    table = last.result.table
    apart, which = cKDTree(centres).query(table[["y_px", "x_px"]])
    near = apart < 12
    kinds, groups = np.array(drawn)[which[near]], table["class"].to_numpy()[near]
    assert list(last.result.class_names) == ["group A", "group B", "group C"]
    for kind, group in zip(("epithelial", "fibroblast", "inflammatory"), "ABC", strict=True):
        assert (groups[kinds == kind] == f"group {group}").mean() > 0.95


def test_nothing_can_be_kept_with_what_is_no_file():
    slide = Slide.from_arrays([np.zeros((20, 20, 3), np.uint8)], name="array", mpp=0.25)
    *_, last = reading(slide)
    assert last.result[0] is None
    with pytest.raises(OutputError, match="array is no file"):
        list(keeping(slide, None))

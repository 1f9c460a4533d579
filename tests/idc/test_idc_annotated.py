"""Patches from whole slides: a grid of labels, and outlines with holes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_pathogan.annotations.store import AnnotationStore
from napari_pathogan.engine import verbs
from napari_pathogan.engine.config import SettingError
from napari_pathogan.errors import DataFolderError
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.idc import TASK
from napari_pathogan.tasks.idc.annotated import read_annotated, read_training_folder

RNG = np.random.default_rng(0)


def tissue(height, width):
    noise = RNG.normal(0, 18, (height, width, 3))
    return (np.array([190, 110, 170]) + noise).clip(0, 255).astype(np.uint8)


def square(x, y, side):
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def feature(name, *rings):
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": list(rings)},
        "properties": {"classification": {"name": name}},
    }


@pytest.fixture
def slide(tmp_path):
    """400 x 600 px at 2 um/px: 4 x 6 patches."""
    path = tmp_path / "case.tif"
    image = tissue(400, 600)
    resolution = (10000 / 2, 10000 / 2)
    tifffile.imwrite(
        path,
        image,
        photometric="rgb",
        tile=(128, 128),
        resolution=resolution,
        resolutionunit="CENTIMETER",
    )
    return path, image


def annotate(path, features):
    target = path.with_suffix(".geojson")
    target.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return target


def test_a_grid_of_labels_covers_what_it_says(tmp_path):
    image = tissue(51 + 150, 51 + 200)
    Image.fromarray(image).save(tmp_path / "9999.png")
    labels = RNG.integers(0, 3, (3, 4)).astype(np.uint8)
    labels[0, 0] = 1
    np.save(tmp_path / "9999_labels.npy", labels)
    patches = read_training_folder(tmp_path)
    assert len(patches) == (labels != 2).sum()
    assert patches.names == ("9999",)
    for pixels, label, (x, y) in zip(patches.images, patches.labels, patches.xy, strict=True):
        assert label == labels[(y - 51) // 50, (x - 51) // 50]
        assert np.array_equal(pixels, image[y : y + 50, x : x + 50])


def test_outlines_of_idc_alone_make_the_rest_healthy(slide):
    path, _ = slide
    annotate(path, [feature("IDC", square(0, 0, 200))])
    patches = read_training_folder(path.parent)
    assert len(patches) == 24
    idc = {tuple(p) for p in patches.xy[patches.labels == 1].tolist()}
    assert idc == {(0, 0), (50, 0), (0, 50), (50, 50)}


@pytest.mark.parametrize(
    "drawn",
    [
        [],
        [{**feature("Tumor", square(0, 0, 200)), "id": "PathDetectionObject"}],
        [feature("Ignore*", square(0, 0, 200))],
        [feature("Tumor", square(9000, 9000, 200))],
        [feature("Krebs", square(0, 0, 200))],
    ],
    ids=["nothing", "detections", "ignored", "beyond the slide", "unknown"],
)
def test_where_no_idc_is_drawn_nothing_is_healthy(slide, drawn):
    path, _ = slide
    annotate(path, drawn)
    patches = read_training_folder(path.parent)
    assert (patches.labels == -1).all()
    assert patches.notes[-1].startswith("case.tif: nothing in case.geojson says what is IDC")


@pytest.mark.parametrize("second", [square(0, 0, 300), square(100, 100, 300)])
def test_outlines_that_disagree_are_told_of(slide, second):
    path, _ = slide
    annotate(path, [feature("IDC", square(0, 0, 300)), feature("Normal", second)])
    assert (
        "say both healthy and IDC of the same place" in read_training_folder(path.parent).notes[0]
    )
    annotate(path, [feature("IDC", square(0, 0, 300)), feature("Normal", square(50, 50, 100))])
    assert not read_training_folder(path.parent).notes


def test_with_healthy_outlines_the_rest_is_unlabelled_and_holes_count(slide):
    path, image = slide
    holed = feature("Tumor", square(0, 0, 300), square(100, 100, 100))
    annotate(path, [holed, feature("Stroma", square(400, 0, 200))])
    patches = read_annotated(path, path.with_suffix(".geojson"))
    at = {(x, y): label for (x, y), label in zip(patches.xy.tolist(), patches.labels, strict=True)}
    assert at[0, 0] == 1
    assert at[50, 50] == -1  # the hole
    assert at[250, 50] == 0
    assert at[150, 0] == -1
    mean = image[:100, :100].reshape(50, 2, 50, 2, 3).mean((1, 3))
    assert abs(patches.images[0].astype(float) - mean).max() <= 1


def test_outlines_are_found_by_name_by_stem_and_elsewhere(slide):
    path, _ = slide
    store = AnnotationStore(path, ".geojson")
    store.elsewhere.parent.mkdir(parents=True)
    drawn = annotate(path, [feature("IDC", square(0, 0, 200))])
    for place in (store.beside, store.elsewhere):
        drawn = drawn.rename(place)
        assert (read_training_folder(path.parent).labels == 1).sum() == 4


@pytest.mark.parametrize("content", ["not json", '{"features": [{"geometry": 3}]}'])
def test_broken_annotations_are_named(slide, content):
    path, _ = slide
    path.with_suffix(".geojson").write_text(content)
    with pytest.raises(DataFolderError, match=r"case\.geojson"):
        read_training_folder(path.parent)


def test_real_slides_hold_the_patches_of_the_folder(real_patches):
    from napari_pathogan.tasks.idc.data import read_patches

    slides = real_patches.parent / "slides"
    if not slides.is_dir():
        pytest.skip("no slides beside the patches")
    cut = read_annotated(slides / "12933.png", slides / "12933_labels.npy")
    own = read_patches(real_patches).of(["12933"])
    label = {image.tobytes(): kind for image, kind in zip(cut.images, cut.labels, strict=True)}
    assert len(own) <= len(cut) <= len(own) + 5  # a few cells lack a patch in the folder
    for image, kind in zip(own.images, own.labels, strict=True):
        assert label[image.tobytes()] == kind


def halves(left, right):
    """Two outlines that cover the slide's halves, in which nothing else lies."""
    return [
        feature(name, [[x, 0], [x + 300, 0], [x + 300, 400], [x, 400], [x, 0]]) | more
        for (name, more), x in ((left, 0), (right, 300))
    ]


TUMOR = ("Tumor", {})


@pytest.mark.parametrize(
    ("right", "label"),
    [
        (("Non-tumor", {}), 0),
        (("Carcinoma in situ", {}), 0),
        (("Ignore*", {}), -1),
        (("Artefact*", {}), -1),
        (("Krebs", {}), -1),
        (("Tumor: In situ", {}), -1),
        ((None, {}), -1),  # unclassified
        (("Region*", {}), 0),  # looked at, and nothing drawn
        (("Stroma", {"geometry": None}), 0),
    ],
)
def test_the_other_half_counts_as_its_class_says(slide, right, label):
    path, _ = slide
    annotate(path, halves(TUMOR, right))
    patches = read_training_folder(path.parent)
    assert set(patches.labels[patches.xy[:, 0] < 150].tolist()) == {1}
    assert set(patches.labels[patches.xy[:, 0] >= 150].tolist()) == {label}


def test_derived_classes_and_the_users_own_count(slide):
    path, _ = slide
    left, right = halves(("", {}), ("Krebs", {}))
    left["properties"]["classification"] = {"names": ["Tumor", "Positive"]}
    annotate(path, [left, right])
    patches = read_training_folder(path.parent, classes={"krebs": "healthy"})
    assert patches.classes == {"Tumor: Positive": "IDC", "Krebs": "healthy"}
    assert sorted(set(patches.labels.tolist())) == [0, 1]


def test_the_innermost_outline_counts_and_cells_are_no_areas(slide):
    path, _ = slide
    around, inside = feature("Tumor", square(0, 0, 400)), feature("Ignore*", square(100, 100, 100))
    cells = [feature("Stroma", square(x, 0, 200)) for x in (200, 400)]
    for cell, kind in zip(cells, ("detection", "cell"), strict=True):
        cell["properties"]["objectType"] = kind
    annotate(path, [inside, around, *cells])
    patches = read_training_folder(path.parent)
    at = {(x, y): label for (x, y), label in zip(patches.xy.tolist(), patches.labels, strict=True)}
    assert at[0, 0] == at[150, 0] == 1
    assert at[50, 50] == -1
    assert at[250, 0] == 0
    assert "1 of kind cell, 1 of kind detection" in patches.notes[0]


def test_outside_of_what_was_looked_at_nothing_is_known(slide):
    path, _ = slide
    annotate(path, [feature("Region*", square(0, 0, 300)), feature("IDC", square(0, 0, 100))])
    patches = read_training_folder(path.parent)
    at = {(x, y): label for (x, y), label in zip(patches.xy.tolist(), patches.labels, strict=True)}
    assert (at[0, 0], at[50, 50], at[200, 0]) == (1, 0, -1)
    assert patches.classes == {"IDC": "IDC"}
    assert "of class Region* counts as healthy" in patches.notes[0]


def test_what_classes_count_as_is_said_before_training_and_kept(slide, tmp_path):
    from napari_pathogan.engine.events import Progress, Warn
    from napari_pathogan.tasks import task_of

    path, _ = slide
    idc = task_of("idc")
    annotate(path, halves(TUMOR, ("Krebs", {})))
    with pytest.raises(DataFolderError, match=r"unknown and left out .*: Krebs"):
        list(verbs.train(idc, path.parent, tmp_path / "no"))
    run = tmp_path / "run"
    options = {"epochs": 1, "method": "cnn", "holdout": 0.0, "width": 0.1, "recipe": "quick"}
    events = verbs.train(idc, path.parent, run, classes={"Krebs": "healthy"}, **options)
    said = []
    for event in events:
        if isinstance(event, Progress):
            break
        said += [event.message] if isinstance(event, Warn) else []
    with pytest.raises(SettingError, match="no patient is held out"):
        list(
            verbs.train(idc, path.parent, tmp_path / "b", classes={"Krebs": "healthy"}, patience=3)
        )
    assert said == ["classes counted as healthy: Krebs", "classes counted as IDC: Tumor"]
    assert json.loads((run / "classes.json").read_text()) == {"Tumor": "IDC", "Krebs": "healthy"}


def test_a_grid_of_something_else_is_refused(tmp_path):
    Image.fromarray(tissue(201, 251)).save(tmp_path / "9999.png")
    for wrong in (np.full((3, 4), 7), np.zeros((3, 4, 2)), np.full((3, 4), "x")):
        np.save(tmp_path / "9999_labels.npy", wrong)
        with pytest.raises(DataFolderError, match="not a grid of labels"):
            read_training_folder(tmp_path)


def test_of_two_slides_of_one_stem_neither_is_taken(slide):
    path, _ = slide
    annotate(path, [feature("IDC", square(0, 0, 200))])
    path.with_suffix(".ome.tif").write_bytes(path.read_bytes())
    with pytest.raises(
        DataFolderError, match=r"case\.geojson may be of case\.ome\.tif or case\.tif"
    ):
        read_training_folder(path.parent)


@pytest.mark.parametrize("name", ["other.geojson", "Case.geojson", "case.tif.GEOJSON"])
def test_outlines_of_no_slide_are_told_of(slide, name):
    path, _ = slide
    annotate(path, [feature("IDC", square(0, 0, 200))]).rename(path.with_name(name))
    with pytest.raises(DataFolderError, match=rf"{name}: no slide of its name lies beside it"):
        read_training_folder(path.parent)
    annotate(path, [feature("IDC", square(0, 0, 200))])
    path.with_name("case.tif.idc.geojson").write_text("{}")
    (line,) = read_training_folder(path.parent).skipped
    assert name in line


def test_where_the_format_says_what_was_scanned_outlines_count_from_there(slide, monkeypatch):
    path, _ = slide
    annotate(path, [feature("IDC", square(0, 0, 200))])
    opened = Slide.open(path)
    opened.bounds = Region(200, 300, 200, 300)
    monkeypatch.setattr(Slide, "open", lambda _: opened)
    patches = read_training_folder(path.parent)
    idc = {tuple(p) for p in patches.xy[patches.labels == 1].tolist()}
    assert idc == {(150, 100), (200, 100), (150, 150), (200, 150)}


@pytest.mark.parametrize(("beyond", "said"), [(1, "1 of 2"), (2, "2 of 3"), (0, "")])
def test_outlines_beyond_the_slide_are_said(slide, beyond, said):
    path, _ = slide
    away = [feature("Tumor", square(700 * n, 500, 100)) for n in range(1, 1 + beyond)]
    annotate(path, [feature("Tumor", square(0, 0, 200)), *away])
    notes = " ".join(read_training_folder(path.parent).notes)
    assert ("lie beyond case.tif, which has 600 x 400 px" in notes) == bool(beyond)
    assert f"{said} outlines of case.geojson" in notes or not beyond


def test_outlines_mostly_beyond_the_slide_are_said(slide):
    """As of one that was drawn on another level."""
    path, _ = slide
    annotate(path, [feature("Tumor", square(0, 0, 200)), feature("Tumor", square(100, 100, 4000))])
    notes = " ".join(read_training_folder(path.parent).notes)
    assert "1 of 2 outlines of case.geojson reach mostly beyond case.tif" in notes
    assert "lie beyond" not in notes


def test_a_corner_that_is_nowhere_names_its_file_once(slide):
    path, _ = slide
    annotate(path, [feature("Tumor", [[0, 0], [float("nan"), 5], [5, 5], [0, 0]])])
    with pytest.raises(DataFolderError, match="a corner is nowhere") as caught:
        read_training_folder(path.parent)
    assert str(caught.value).count("case.geojson") == 1


@pytest.mark.parametrize("share", [0.0, 0.2, 0.3])
def test_a_share_to_hold_out_beside_folds_is_refused(slide, tmp_path, share):
    path, _ = slide
    annotate(path, [feature("Tumor", square(0, 0, 200))])
    training = verbs.train(TASK, path.parent, tmp_path / "run", folds=2, holdout=share)
    with pytest.raises(SettingError, match="would count for nothing: folds hold out all patients"):
        list(training)
    assert not (tmp_path / "run").exists()

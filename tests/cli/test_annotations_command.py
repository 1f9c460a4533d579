"""``pathogan annotations`` and ``pathogan retrain``, as they are typed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_pathogan.annotations import geojson
from napari_pathogan.engine.models import read_card
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import OutputError
from napari_pathogan.tasks.idc import live
from napari_pathogan.tasks.nuclei import retrain as nuclei_retrain
from napari_pathogan.tasks.nuclei.config import RECIPES
from napari_pathogan.tasks.nuclei.crossval import learn
from napari_pathogan.tasks.nuclei.data import NucleiFolder, NucleiImage

SIDE = 800


@pytest.fixture
def slide(tmp_path):
    """800 px at 2 um of tissue: 8 x 8 patches, the left half dark."""
    image = np.full((SIDE, SIDE, 3), (225, 170, 200), float)
    image[:, : SIDE // 2] = (150, 90, 160)
    image += np.random.default_rng(0).normal(0, 12, (SIDE, SIDE, 1))
    path = tmp_path / "slides" / "case.tif"
    path.parent.mkdir()
    tifffile.imwrite(
        path,
        image.clip(0, 250).astype(np.uint8),
        photometric="rgb",
        tile=(128, 128),
        resolution=(5000, 5000),
        resolutionunit="CENTIMETER",
    )
    return path


def feature(name, x, y, side=200):
    corners = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "properties": {"objectType": "annotation", "classification": {"name": name}},
    }


def drawn(tmp_path, *features, name="drawn.geojson"):
    path = tmp_path / name
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


BOTH = [feature("IDC", 600, 0), feature("IDC", 600, 600), feature("Stroma", 0, 0), feature("Stroma", 0, 600)]  # fmt: skip


def test_from_outlines_of_qupath_to_a_model(typed, slide, tmp_path):
    file = drawn(tmp_path, *BOTH)
    assert "4 outlines added to 0" in typed("annotations", "import", file, slide).stdout
    again = typed("annotations", "import", file, slide)
    assert "0 outlines added to 4" in again.stdout, "what is there already comes in once"
    told = json.loads(typed("annotations", "list", slide.parent, "--json").stdout)
    assert told["slides"][0]["learnt"] == {"healthy": 8, "IDC": 8}
    assert "nothing is wrong" in typed("annotations", "check", slide).stdout
    out = tmp_path / "out.geojson"
    typed("annotations", "export", slide, "-o", out)
    back, about = geojson.read(out)
    assert [one.class_name for one in back] == ["IDC", "IDC", "Stroma", "Stroma"]
    assert about["kind"] == "idc annotations"
    run = tmp_path / "run"
    said = typed("retrain", "idc", "--slides", slide.parent, "-o", run, "--device", "cpu")
    assert "case.tif" in said.stdout
    assert "(AUC)" in said.stdout
    assert "reference_auc" not in said.stdout
    assert read_card(run / "model").recipe["parent"] == "idc-lite0"


@pytest.mark.parametrize("name", ["case.geojson", "case.tif.geojson"])
def test_outlines_beside_a_slide_that_were_not_imported_are_said(typed, slide, name):
    typed("annotations", "import", drawn(slide.parent, *BOTH[:3], name="other.txt"), slide)
    beside = drawn(slide.parent, *BOTH, name=name)
    said = typed("annotations", "check", slide, code=1).stdout
    assert f"1 outlines of {name}, which lies beside case.tif, are not used" in said
    assert f"import {name} case.tif" in typed("annotations", "list", slide).stderr
    typed("annotations", "import", beside, slide)
    assert "nothing is wrong" in typed("annotations", "check", slide).stdout


def test_what_is_missing_is_said_before_anything_starts(typed, slide, tmp_path):
    typed("annotations", "import", drawn(tmp_path, BOTH[0]), slide)
    checked = typed("annotations", "check", slide, code=1)
    assert "no healthy patches" in checked.stdout
    failed = typed("retrain", "idc", "--slides", slide, "-o", tmp_path / "run", code=2)
    assert "no healthy patches are annotated" in failed.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([feature("IDC", 5000, 5000)], "no outline lies on case.tif"),
        ([], "no outline of an area is in it"),
        ("no json", "can't be read as GeoJSON"),
        ([feature("IDC", float("nan"), 0)], "can't be read as GeoJSON"),
    ],
)
def test_files_that_won_t_do_leave_what_is_kept(typed, slide, tmp_path, content, said):
    typed("annotations", "import", drawn(tmp_path, *BOTH), slide)
    kept = live.store(slide).path.read_bytes()
    bad = drawn(tmp_path, *(content if isinstance(content, list) else ()), name="bad.geojson")
    if isinstance(content, str):
        bad.write_text(content)
    failed = typed("annotations", "import", bad, slide, code=2)
    assert said in failed.stderr
    assert "Traceback" not in failed.stderr
    assert live.store(slide).path.read_bytes() == kept


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("retrain", "blending", "--slides", "SLIDE", "-o", "RUN"),
            "nothing is retrained for 'blending'",
        ),
        (
            ("retrain", "idc", "--slides", "SLIDE", "--slides", "SLIDE", "-o", "RUN"),
            "is given twice",
        ),
        (("retrain", "idc", "--slides", "EMPTY", "-o", "RUN"), "no slide in"),
        (("annotations", "export", "SLIDE", "-o", "OUT"), "nothing is annotated on case.tif"),
        (("annotations", "list", "SLIDE", "--classes", "A=B"), "is no CLASS=KIND"),
    ],
)
def test_what_can_t_be_is_one_sentence(typed, slide, tmp_path, words, said):
    (tmp_path / "empty").mkdir()
    places = {"SLIDE": slide, "RUN": tmp_path / "run", "EMPTY": tmp_path / "empty", "OUT": tmp_path / "o.geojson"}  # fmt: skip
    failed = typed(*(places.get(word, word) for word in words), code=2)
    assert said in failed.stderr
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The smallest nucleus model."""
    pixels = np.random.default_rng(0).integers(80, 250, (64, 64, 3), np.uint8)
    mask = np.zeros((64, 64), np.int32)
    mask[20:40, 20:40] = 1
    config = replace(RECIPES["quick"], width=2, crop=32, epochs=1, batch=2)
    run = RunFolder(tmp_path_factory.mktemp("base") / "small")
    run.start(config.to_json())
    list(learn(NucleiFolder((NucleiImage("a_1", "a", pixels, mask),)), config, run, device="cpu"))
    return run.model


def test_corrected_nuclei_become_a_model_with_before_and_after(
    typed, slide, base, tmp_path, monkeypatch
):
    monkeypatch.setattr(nuclei_retrain, "EPOCHS_ON", 1)  # how well is no matter here
    nuclei = [feature("Tumor", x + 10, y + 10, 8) for x in (0, 600) for y in (0, 40, 80)]
    regions = [feature("Region*", x, 0, 120) for x in (0, 600)]
    words = ("--task", "nuclei")
    typed("annotations", "import", drawn(tmp_path, *regions, *nuclei[:3]), slide, *words)
    again = typed("annotations", "import", drawn(tmp_path, *nuclei), slide, *words)
    assert "3 outlines added to 5" in again.stdout
    told = json.loads(typed("annotations", "list", slide.parent, *words, "--json").stdout)
    assert told["slides"][0]["learnt"] == {"regions": 2, "nuclei": 6}
    assert "nothing is wrong" in typed("annotations", "check", slide, *words).stdout
    run = tmp_path / "run"
    said = typed(
        "retrain", "nuclei", "--slides", slide, "--base", base, "-o", run, "--device", "cpu"
    )
    assert "regions" in said.stdout
    assert "(Dice)" in said.stdout
    assert read_card(run / "model").training_data[-1].n_images == 2
    failed = typed(
        "retrain", "nuclei", "--slides", slide, "--classes", "A=IDC", "-o", tmp_path / "x", code=2
    )
    assert "classes of nuclei are kept with them" in " ".join(
        failed.stderr.replace("│", "").split()
    )


def test_nuclei_without_a_region_are_nothing_to_learn_from(typed, slide, base, tmp_path):
    nuclei = drawn(tmp_path, feature("Tumor", 10, 10, 8))
    typed("annotations", "import", nuclei, slide, "--task", "nuclei")
    checked = typed("annotations", "check", slide, "--task", "nuclei", code=1)
    assert "draw one around such a part" in checked.stdout
    run = tmp_path / "run"
    failed = typed("retrain", "nuclei", "--slides", slide, "--base", base, "-o", run, code=2)
    assert "no regions and no nuclei are annotated" in failed.stderr
    assert not run.exists()


def test_a_full_disk_leaves_the_annotations_as_they_were(slide, tmp_path, monkeypatch):
    from napari_pathogan.slides.slide import Slide

    with Slide.open(slide) as opened:
        outlines, _ = live.read(opened, drawn(tmp_path, *BOTH))
        live.write(opened, outlines)
        kept = live.store(slide).path.read_bytes()

        def full(*_args):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("napari_pathogan.files.os.fsync", full)
        with pytest.raises(OutputError, match="the disk is full"):
            live.write(opened, outlines[:1])
    assert live.store(slide).path.read_bytes() == kept


def test_an_outline_of_the_wrong_class_is_the_first_to_be_reviewed(typed, slide, tmp_path):
    wrong = feature("Stroma", 600, 300)  # among IDC
    file = drawn(tmp_path, *BOTH, feature("IDC", 600, 250, 40), wrong)
    typed("annotations", "import", file, slide)
    told = json.loads(typed("annotations", "review", slide, "--device", "cpu", "--json").stdout)[0]
    assert told["held_back"]
    first, *others = told["outlines"]
    assert first["place"] == [300, 600, 200, 200]
    assert (first["counts_as"], first["suggested"]) == ("healthy", "IDC")
    assert first["against"] > 0.5
    assert [one["against"] for one in others] == sorted(
        (o["against"] for o in others), reverse=True
    )
    assert sum(cell["patches"] for cell in told["confusion"]) == 20
    said = typed("annotations", "review", slide.parent, "--device", "cpu").stdout
    assert "mislabelled" in said
    assert "that knows the others alone" in said


def test_what_can_t_be_reviewed_is_one_sentence(typed, slide):
    bare = typed("annotations", "review", slide, "--device", "cpu", code=2)
    assert "none of the slides has annotations to review" in bare.stderr
    other = typed("annotations", "review", slide, "--task", "nuclei", code=2)
    assert "annotations of nuclei are not reviewed" in " ".join(other.stderr.split())


def test_nuclei_of_an_image_that_was_changed_are_refused(typed, slide, base, tmp_path):
    nuclei = [feature("Tumor", 10, y, 8) for y in (10, 40, 80)]
    file = drawn(tmp_path, feature("Region*", 0, 0, 120), *nuclei)
    typed("annotations", "import", file, slide, "--task", "nuclei")
    kept = slide.with_name("case.tif.nuclei.geojson").read_bytes()
    pixels = tifffile.imread(slide)[:, ::-1]
    tifffile.imwrite(
        slide, pixels, photometric="rgb", tile=(128, 128), resolution=(5000, 5000),
        resolutionunit="CENTIMETER",
    )  # fmt: skip
    said = typed("annotations", "check", slide, "--task", "nuclei", code=1).stdout
    assert "its own image has other pixels" in said
    run = tmp_path / "run"
    failed = typed("retrain", "nuclei", "--slides", slide, "--base", base, "-o", run, code=2)
    assert "its own image has other pixels" in failed.stderr
    assert not run.exists()
    assert slide.with_name("case.tif.nuclei.geojson").read_bytes() == kept


def test_a_folder_of_what_was_never_imported_says_how_to(typed, slide):
    drawn(slide.parent, *BOTH, name="case.geojson")
    for verb in ("check", "list"):
        said = typed("annotations", verb, slide.parent, code=2).stderr
        assert "case.geojson lies beside case.tif, and is not used before" in said
        assert "annotations import" in said


def test_an_outline_that_was_drawn_on_another_level_is_said_at_once(typed, slide, tmp_path):
    far = feature("Tumor", 0, 0, 10 * SIDE)
    said = typed("annotations", "import", drawn(tmp_path, far, *BOTH), slide).stderr
    assert "reach mostly beyond case.tif, which has 800 x 800 px" in said


def test_a_cell_counts_once_though_it_has_a_nucleus(typed, slide, tmp_path):
    cell = feature("Tumor", 0, 0)
    cell["properties"]["objectType"] = "cell"
    cell["nucleusGeometry"] = feature("", 50, 50, 20)["geometry"]
    said = typed("annotations", "import", drawn(tmp_path, cell, *BOTH), slide).stderr
    assert "since they are no areas: 1 of kind cell" in said


@pytest.mark.parametrize("name", ["[/idc] Tumor", "Tumor [idc]", "Tumor\x1b[2J"])
def test_the_name_of_a_class_is_shown_as_it_is_and_moves_no_cursor(typed, slide, tmp_path, name):
    typed("annotations", "import", drawn(tmp_path, feature(name, 0, 0), *BOTH), slide)
    said = typed("annotations", "list", slide)
    shown = name.replace("\x1b", " ")
    assert f"1 {shown}" in " ".join(said.stdout.replace("│", " ").split())
    assert shown in " ".join(said.stderr.split())
    assert "\x1b[2J" not in said.stdout + said.stderr

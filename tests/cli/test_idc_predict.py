"""``pathogan idc predict`` as it is typed: results, one line for every error, Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import zarr
from PIL import Image

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.events import Finished, Progress, from_json
from napari_pathogan.engine.models import CARD, WEIGHTS, ModelCard
from napari_pathogan.tasks.idc import model as models
from napari_pathogan.tasks.idc.calibrate import Calibration
from napari_pathogan.tasks.idc.context import Context
from napari_pathogan.tasks.idc.network import Discriminator
from patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A small network that has learned nothing, saved as a model."""
    folder = tmp_path_factory.mktemp("models") / "small"
    torch.manual_seed(0)
    calibration = Calibration(1.0, 0.0, 0.5, 0.5)
    card = ModelCard(name="small", title="Small", task="idc", architecture="discriminator")
    models.save(
        folder,
        card,
        Discriminator(0.1, spectral=False),
        width=0.1,
        reference=SlideColours(np.array([0.8, 0.6, 0.7]), np.eye(3) * 0.01),
        share=0.5,
        calibration=calibration,
        context=Context((0.0, 1.0), (0.5, 0.5), calibration),
    )
    return folder


@pytest.fixture(scope="module")
def section(tmp_path_factory) -> Path:
    """A PNG of pink tissue on glass; it does not say how large its pixels are."""
    image = np.full((700, 900, 3), 245, np.uint8)
    image[100:600, 100:800] = (215, 140, 185)
    noise = np.random.default_rng(0).integers(-9, 9, image.shape)
    path = tmp_path_factory.mktemp("slides") / "section.png"
    Image.fromarray((image + noise).clip(0, 254).astype(np.uint8)).save(path)
    return path


def test_all_that_can_be_asked_for(pathogan, model, section, tmp_path):
    files = [tmp_path / name for name in ("map.ome.zarr", "map.geojson", "map.csv", "page.png")]
    options = [
        x
        for pair in zip(("-o", "--geojson", "--csv", "--report"), files, strict=True)
        for x in pair
    ]
    code, out, _ = pathogan(
        *("idc", "predict", section, "--model", model, "--mpp", 4, "--json", "--cells"),
        *("--threshold", 0.25, *options),
    )
    assert code == 0
    summary = json.loads(out)
    assert summary["slide"] == "section.png"
    assert summary["n_cells"] == 10 * 14
    assert summary["tissue_mm2"] == pytest.approx(0.04 * 140, rel=0.02)
    assert summary["threshold"] == 0.25
    assert (summary["mpp"], summary["mpp_source"]) == ([4, 4], "user")
    assert summary["model"] == "small"
    assert summary["seconds"] > 0
    for name in ("idc_mm2", "share"):
        assert summary[name]["low"] <= summary[name]["value"] <= summary[name]["high"]
    assert summary["files"] == [str(file) for file in files]
    assert np.isfinite(zarr.open_group(files[0], mode="r")["probability/0"][:]).sum() == 140
    assert len(json.loads(files[1].read_text())["features"]) >= 140
    assert len(files[2].read_text().splitlines()) == 141
    assert files[3].stat().st_size > 10_000


def test_a_part_of_the_slide_in_plain_words(pathogan, model, section):
    code, out, err = pathogan(
        *("idc", "predict", section, "--model", model, "--mpp", 4, "--region", "100,100,200,300")
    )
    assert (code, err.strip()) == (0, "")
    assert out.startswith("section.png: IDC ")
    assert out.count("\n") == 1


def test_events_are_lines_and_the_last_says_what_was_written(pathogan, model, section, tmp_path):
    target = tmp_path / "map.csv"
    code, out, _ = pathogan(
        *("idc", "predict", section, "--model", model, "--mpp", 4, "--events", "--csv", target)
    )
    assert code == 0
    events = [from_json(line) for line in out.splitlines()]
    assert isinstance(events[0], Progress)
    assert isinstance(events[-1], Finished)
    assert events[-1].summary["files"] == [str(target)]
    assert target.exists()


def test_several_slides_and_one_that_is_none(pathogan, model, section, tmp_path):
    broken = tmp_path / "broken.svs"
    broken.write_text("this is not a slide")
    other = tmp_path / "other.png"
    other.write_bytes(section.read_bytes())
    code, out, err = pathogan(
        *("idc", "predict", section, broken, other, "--model", model, "--mpp", 4, "--json"),
        *("-o", tmp_path / "maps"),
    )
    assert code == 2
    assert [json.loads(line)["slide"] for line in out.splitlines()] == ["section.png", "other.png"]
    assert "broken.svs" in err
    assert "1 of 3 slides failed" in err.splitlines()[-1]
    maps = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert maps == ["other.ome.zarr", "section.ome.zarr"]


def spoiled(model: Path, folder: Path, what: str) -> Path:
    folder.mkdir()
    card = json.loads((model / CARD).read_text())
    if what == "task":
        card["task"] = "nuclei"
    if what == "settings":
        del card["settings"]["calibration"]
    (folder / CARD).write_text(json.dumps(card))
    weights = (model / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(weights[:-1] + b"!" if what == "hash" else weights)
    return folder


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("text", "text.svs"),
        ("empty", "empty.svs"),
        ("directory", "folder"),
        ("missing", "missing.svs"),
        ("no scale", "--mpp"),
        ("glass", "no tissue found on glass.png"),
        ("output", "part of the path is a file"),
        ("task", "is a model for 'nuclei'"),
        ("hash", "sha256 differs"),
        ("settings", "does not fit this version"),
        ("no model", "no idc model 'nothing'"),
        ("step", "a step of 70 um can't be had"),
        ("region", "no tissue found in this region"),
        ("device", "device 'abacus' can't be used"),
    ],
)
def test_every_error_is_one_line_and_leaves_nothing(  # noqa: PLR0917
    pathogan, model, section, tmp_path, case, message
):
    slides = {name: tmp_path / f"{name}.svs" for name in ("text", "empty", "missing")}
    slides["text"].write_text("this is not a slide")
    slides["empty"].touch()
    slides["directory"] = tmp_path / "folder"
    slides["directory"].mkdir()
    slides["glass"] = tmp_path / "glass.png"
    Image.new("RGB", (400, 400), (245, 245, 245)).save(slides["glass"])
    used = model
    if case in {"task", "hash", "settings"}:
        used = spoiled(model, tmp_path / "spoiled", case)
    output = tmp_path / ("empty.svs/map.ome.zarr" if case == "output" else "map.ome.zarr")
    more = {"step": ["--step", 70], "region": ["--region", "0,0,90,90"]}.get(case, [])
    more += ["--device", "abacus"] if case == "device" else []
    scale = [] if case == "no scale" else ["--mpp", 4]
    before = sorted(tmp_path.rglob("*"))
    code, out, err = pathogan(
        *("idc", "predict", slides.get(case, section), "-o", output),
        *("--model", "nothing" if case == "no model" else used, *scale, *more, "--json"),
    )
    assert (code, out) == (2, "")
    assert err.startswith("pathogan: ")
    assert err.count("\n") == 1, err
    assert message in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("region", ["1,2,3", "a,b,c,d", "0,0,0,5"])
def test_a_region_that_is_none_is_a_usage_error(pathogan, model, section, region):
    code, _, err = pathogan("idc", "predict", section, "--model", model, "--region", region)
    assert code == 2
    assert err.startswith("pathogan: Invalid value for '--region'")
    assert err.count("\n") == 1


def test_wrong_options_are_one_line_too(pathogan):
    for arguments in (["idc", "predict"], ["idc", "predict", "a", "--nothing"], ["nothing"]):
        code, _, err = pathogan(*arguments)
        assert code == 2
        assert err.startswith("pathogan: ")
        assert err.count("\n") == 1


def test_ctrl_c_in_the_middle(model, tmp_path):
    rng = np.random.default_rng(0)
    image = np.full((2000, 3000, 3), (215, 140, 185)) + rng.integers(-9, 9, (2000, 3000, 1))
    slide = tmp_path / "large.png"
    Image.fromarray(image.clip(0, 254).astype(np.uint8)).save(slide, compress_level=1)
    room = tmp_path / "results"
    room.mkdir()
    child = subprocess.Popen(
        [
            *(sys.executable, "-m", "napari_pathogan.cli", "idc", "predict", str(slide)),
            *("--mpp", "4", "--step", "40", "--views", "8", "--model", str(model)),
            *("-o", str(room / "map.ome.zarr"), "--events"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in child.stdout:
        event = from_json(line)
        if isinstance(event, Progress) and event.done:
            break
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 2
    assert err.startswith("pathogan: interrupted")
    assert err.count("\n") == 1, err
    assert list(room.iterdir()) == []

"""``pathogan nuclei segment`` as it is typed: results, one line for every error, Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from PIL import Image
from scipy import ndimage

from napari_pathogan.engine.events import Finished, Progress, from_json
from napari_pathogan.engine.models import CARD, WEIGHTS, ModelCard
from napari_pathogan.tasks.nuclei import model as models
from napari_pathogan.tasks.nuclei.network import UNet
from patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A small network by hand that calls what is dark a nucleus, saved as a model."""
    folder = tmp_path_factory.mktemp("models") / "small"
    network = UNet(2, normalised=False)
    with torch.no_grad():
        for weights in network.parameters():
            weights.zero_()
        network.down[0].conv0.weight[0, :, 1, 1] = 1 / 3  # grey, 1 for white
        network.down[0].conv0.bias[0] = 1  # above 0, so that the rectifier leaves it
        network.down[0].conv1.weight[0, 0, 1, 1] = 1
        network.mix[-1].conv0.weight[0, 0, 1, 1] = 1
        network.mix[-1].conv1.weight[0, 0, 1, 1] = 1
        network.head.weight[:, 0, 0, 0] = torch.tensor([20.0, -20.0, 0.0])
        network.head.bias[:] = torch.tensor([-24.0, 24.0, -30.0])
    card = ModelCard(name="small", title="Small", task="nuclei", architecture="unet")
    models.save(folder, card, network, threshold=0.5)
    return folder


@pytest.fixture(scope="module")
def section(tmp_path_factory) -> Path:
    """A PNG of pink tissue with nine nuclei; it does not say how large its pixels are."""
    image = np.full((300, 420, 3), (225, 180, 205))
    for y in (60, 150, 240):
        for x in (70, 210, 350):
            image[y - 12 : y + 12, x - 10 : x + 10] = (100, 60, 130)
    noise = np.random.default_rng(0).integers(-6, 7, image.shape)
    path = tmp_path_factory.mktemp("slides") / "section.png"
    Image.fromarray((image + noise).clip(0, 254).astype(np.uint8)).save(path)
    return path


def test_all_that_can_be_asked_for(pathogan, model, section, tmp_path):
    files = [tmp_path / name for name in ("n.ome.zarr", "n.geojson", "n.csv", "n.parquet")]
    options = [
        x
        for pair in zip(("-o", "--geojson", "--csv", "--parquet"), files, strict=True)
        for x in pair
    ]
    code, out, _ = pathogan(
        *("nuclei", "segment", section, "--model", model, "--mpp", 0.25, "--json", *options)
    )
    assert code == 0
    summary = json.loads(out)
    assert summary["slide"] == "section.png"
    assert summary["n_nuclei"] == 9
    assert summary["area_mm2"] == pytest.approx(300 * 420 / 16e6)
    assert summary["density_per_mm2"] == pytest.approx(9 / summary["area_mm2"])
    assert summary["classes"] == {"nucleus": {"n": 9, "per_mm2": summary["density_per_mm2"]}}
    assert (summary["mpp"], summary["mpp_source"]) == ([0.25, 0.25], "user")
    assert summary["model"] == "small"
    assert summary["seconds"] > 0
    assert summary["files"] == [str(file) for file in files]
    labels = zarr.open_group(files[0], mode="r")["nuclei/0"][:]
    assert labels.shape == (300, 420)
    assert ndimage.label(labels > 0)[1] == labels.max() == 9
    assert len(json.loads(files[1].read_text())["features"]) == 9
    table = pd.read_csv(files[2])
    assert sorted({round(x / 0.25) for x in table["x_um"]}) == [70, 210, 350]
    assert table["area_um2"].tolist() == pytest.approx([24 * 20 / 16] * 9, rel=0.1)
    assert pd.read_parquet(files[3])["id"].tolist() == table["id"].tolist()


def test_a_part_of_the_slide_in_plain_words(pathogan, model, section):
    code, out, err = pathogan(
        *("nuclei", "segment", section, "--model", model, "--mpp", 0.25),
        *("--region", "100,0,100,300"),
    )
    assert (code, err.strip()) == (0, "")
    assert out.startswith("section.png: 2 nuclei, ")
    assert out.count("\n") == 1


def test_a_higher_threshold_and_a_coarser_slide(pathogan, model, section):
    code, out, err = pathogan(
        *("nuclei", "segment", section, "--model", model, "--mpp", 0.5, "--threshold", 0.9)
    )
    assert code == 0
    assert "note: section.png has 0.5 um per pixel" in err.replace("\n", " ")
    assert out.startswith("section.png: 9 nuclei, ")


def test_events_are_lines_and_the_last_says_what_was_written(pathogan, model, section, tmp_path):
    target = tmp_path / "n.csv"
    code, out, _ = pathogan(
        *("nuclei", "segment", section, "--model", model, "--mpp", 0.25, "--events"),
        *("--csv", target),
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
        *("nuclei", "segment", section, broken, other, "--model", model, "--mpp", 0.25, "--json"),
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
        card["task"] = "idc"
    if what == "settings":
        del card["settings"]["threshold"]
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
        ("grey", "grey.png is grey"),
        ("output", "part of the path is a file"),
        ("task", "is a model for 'idc'"),
        ("hash", "sha256 differs"),
        ("settings", "does not fit this version"),
        ("no model", "no nuclei model 'nothing'"),
        ("no classes", "no nuclei-classes model 'nothing'"),
        ("no instanseg", "never downloaded"),
        ("idle tissue", "no classes are asked for"),
        ("idle threshold", "InstanSeg reads neither"),
        ("region", "lies beyond section.png"),
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
    slides["glass"], slides["grey"] = tmp_path / "glass.png", tmp_path / "grey.png"
    Image.new("RGB", (400, 400), (245, 245, 245)).save(slides["glass"])
    Image.new("L", (400, 400), 120).save(slides["grey"])
    used = (
        spoiled(model, tmp_path / "spoiled", case)
        if case in {"task", "hash", "settings"}
        else model
    )
    output = tmp_path / ("empty.svs/n.ome.zarr" if case == "output" else "n.ome.zarr")
    more = {
        "region": ["--region", "900,0,90,90"],
        "device": ["--device", "abacus"],
        "no classes": ["--classes", "nothing"],
        "idle tissue": ["--tissue", "colon"],
        "idle threshold": ["--instanseg", section, "--threshold", 0.5],
        "no instanseg": ["--instanseg", tmp_path / "instanseg.pt"],
    }.get(case, [])
    scale = [] if case == "no scale" else ["--mpp", 0.25]
    before = sorted(tmp_path.rglob("*"))
    code, out, err = pathogan(
        *("nuclei", "segment", slides.get(case, section), "-o", output),
        *("--model", "nothing" if case == "no model" else used, *scale, *more, "--json"),
    )
    assert (code, out) == (2, "")
    assert err.startswith("pathogan: ")
    assert err.count("\n") == 1, err
    assert message in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("region", ["1,2,3", "a,b,c,d", "0,0,0,5"])
def test_a_region_that_is_none_is_a_usage_error(pathogan, model, section, region):
    code, _, err = pathogan("nuclei", "segment", section, "--model", model, "--region", region)
    assert code == 2
    assert err.startswith("pathogan: Invalid value for '--region'")
    assert err.count("\n") == 1


def test_ctrl_c_in_the_middle(model, tmp_path):
    rng = np.random.default_rng(0)
    image = np.full((1300, 1700, 3), (215, 140, 185)) + rng.integers(-9, 9, (1300, 1700, 1))
    slide = tmp_path / "large.png"
    Image.fromarray(image.clip(0, 254).astype(np.uint8)).save(slide, compress_level=1)
    room = tmp_path / "results"
    room.mkdir()
    child = subprocess.Popen(
        [
            *(sys.executable, "-m", "napari_pathogan.cli", "nuclei", "segment", str(slide)),
            *("--mpp", "0.5", "--model", str(model), "-o", str(room / "n.ome.zarr"), "--events"),
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

"""What all commands on slides have in common, as they are typed: events, several slides, errors, Ctrl-C."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from napari_pathogan.engine.events import Finished, Progress, from_json
from napari_pathogan.engine.models import CARD, WEIGHTS
from patience import PATIENCE_S


@pytest.fixture(params=["idc", "nuclei"])
def command(request):
    return request.getfixturevalue(request.param)


def test_events_are_lines_and_the_last_says_what_was_written(pathogan, command, tmp_path):
    target = tmp_path / "table.csv"
    code, out, _ = pathogan(*command.on(), "--events", "--csv", target)
    assert code == 0
    events = [from_json(line) for line in out.splitlines()]
    assert isinstance(events[0], Progress)
    assert isinstance(events[-1], Finished)
    assert events[-1].summary["files"] == [str(target)]
    assert target.exists()


def test_several_slides_and_one_that_is_none(pathogan, command, tmp_path):
    broken = tmp_path / "broken.svs"
    broken.write_text("this is not a slide")
    other = shutil.copy(command.section, tmp_path / "other.png")
    slides = (command.section, broken, other)
    code, out, err = pathogan(*command.on(*slides), "--json", "-o", tmp_path / "maps")
    assert code == 2
    assert [json.loads(line)["slide"] for line in out.splitlines()] == ["section.png", "other.png"]
    assert "broken.svs" in err
    assert "1 of 3 slides failed" in err.splitlines()[-1]
    maps = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert maps == ["other.ome.zarr", "section.ome.zarr"]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("text", "text.svs"),
        ("empty", "empty.svs"),
        ("directory", "folder"),
        ("missing", "missing.svs"),
        ("glass", "no tissue found on glass.png"),
    ],
)
def test_a_slide_that_is_none(refused, command, tmp_path, case, message):
    (tmp_path / "text.svs").write_text("this is not a slide")
    (tmp_path / "empty.svs").touch()
    (tmp_path / "folder").mkdir()
    Image.new("RGB", (400, 400), (245, 245, 245)).save(tmp_path / "glass.png")
    name = {"directory": "folder", "glass": "glass.png"}.get(case, f"{case}.svs")
    refused(message, *command.on(tmp_path / name), "-o", tmp_path / "map.ome.zarr", "--json")


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("task", "is a model for 'masses'"),
        ("hash", "sha256 differs"),
        ("settings", "does not fit this version"),
    ],
)
def test_a_model_that_is_spoiled(refused, command, tmp_path, case, message):
    folder = shutil.copytree(command.model, tmp_path / "spoiled")
    card = json.loads((folder / CARD).read_text())
    if case == "task":
        card["task"] = "masses"
    if case == "settings":
        card["settings"].pop("calibration" if card["task"] == "idc" else "threshold")
    (folder / CARD).write_text(json.dumps(card))
    if case == "hash":
        (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1] + b"!")
    arguments = command.on(model=folder)
    refused(message, *arguments, "-o", tmp_path / "map.ome.zarr", "--json")


def test_a_model_of_a_name_that_is_not_there(refused, command):
    refused(f"no {command.words[0]} model 'nothing'", *command.on(model="nothing"), "--json")


def test_a_slide_without_a_scale(refused, command):
    refused("--mpp", *command.words, command.section, "--model", command.model, "--json")


def test_an_output_below_a_file(refused, command, tmp_path):
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "map.ome.zarr"
    refused("part of the path is a file", *command.on(), "-o", output, "--json")


def test_a_device_that_is_none(refused, command):
    refused("device 'abacus' can't be used", *command.on(), "--device", "abacus", "--json")


@pytest.mark.parametrize("region", ["1,2,3", "a,b,c,d", "0,0,0,5"])
def test_a_region_that_is_none_is_a_usage_error(refused, command, region):
    refused("Invalid value for '--region'", *command.on(), "--region", region)


@pytest.mark.parametrize(
    ("command", "shape", "more"),
    [
        ("idc", (2000, 3000), ["--mpp", "4", "--step", "40", "--views", "8"]),
        ("nuclei", (1300, 1700), ["--mpp", "0.5"]),
    ],
    indirect=["command"],
)
def test_ctrl_c_in_the_middle(command, tmp_path, shape, more):
    rng = np.random.default_rng(0)
    image = np.full((*shape, 3), (215, 140, 185)) + rng.integers(-9, 9, (*shape, 1))
    slide = tmp_path / "large.png"
    Image.fromarray(image.clip(0, 254).astype(np.uint8)).save(slide, compress_level=1)
    room = tmp_path / "results"
    room.mkdir()
    child = subprocess.Popen(
        [
            *(sys.executable, "-m", "napari_pathogan.cli", *command.words, str(slide), *more),
            *("--model", str(command.model), "-o", str(room / "map.ome.zarr"), "--events"),
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

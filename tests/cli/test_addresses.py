"""What commands make of a slide at an address: the same results, and nothing secret in them."""

from __future__ import annotations

import functools
import json
import shutil
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import pytest

from napari_pathogan.slides.backends import blocks

sys.path.insert(0, str(Path(__file__).parents[1] / "slides"))
from slide_server import serving

SECRET = "s3cr3t"


@pytest.fixture
def server(tmp_path):
    phantom = resources.files("napari_pathogan") / "plugin" / "sample_data" / "he_phantom.ome.tif"
    (tmp_path / "there").mkdir()
    shutil.copy(str(phantom), tmp_path / "there" / "he_phantom.ome.tif")
    with serving(tmp_path / "there") as one:
        one.query = f"X-Amz-Signature={SECRET}"
        yield one


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    """What was read is kept in a folder of the test's, by this process and by others."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(blocks, "shared", functools.cache(blocks.shared.__wrapped__))


def everything_in(folder):
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_a_heat_map_is_that_of_the_file(pathogan, tmp_path, server):
    url = f"{server.url}/he_phantom.ome.tif?{server.query}"
    tables = []
    for number, source in enumerate((tmp_path / "there" / "he_phantom.ome.tif", url)):
        out = tmp_path / f"out{number}"
        code, *said = pathogan(
            *("idc", "predict", source, "--fast", "--device", "cpu"),
            *("-o", out / "heat.ome.zarr", "--csv", out / "heat.csv"),
            *("--geojson", out / "heat.geojson", "--report", out / "page.png"),
        )
        assert code == 0, said
        assert SECRET not in "".join(said)
        assert SECRET.encode() not in everything_in(out)
        tables.append((out / "heat.csv").read_text())
    assert tables[0] == tables[1]
    assert len(tables[0].splitlines()) > 10
    kept = everything_in(tmp_path / "cache")
    assert kept
    assert SECRET.encode() not in kept


def test_a_batch_does_it_once(pathogan, tmp_path, server):
    server.query = ""  # a batch works in other processes too
    url = f"{server.url}/he_phantom.ome.tif"
    arguments = ("batch", "idc", url, "-o", tmp_path / "out", "--device", "cpu")
    for again in ((), ("--resume",)):
        server.asked.clear()
        code, _, said = pathogan(*arguments, *again)
        assert code == 0, said
        records = [json.loads(file.read_text()) for file in tmp_path.rglob("out/**/result.json")]
        assert [one["source"] for one in records] == [url]
    assert len(server.asked) == 1  # whether it is still as it was


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_does_not_wait_for_an_answer(tmp_path, server):
    server.always, server.delay = "slow", 60.0
    command = [sys.executable, "-m", "napari_pathogan.cli", "info"]
    url = f"{server.url}/he_phantom.ome.tif?{server.query}"
    with subprocess.Popen([*command, url], stderr=subprocess.PIPE, text=True) as run:
        until = time.monotonic() + 60
        while not server.asked and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.2)
        start = time.monotonic()
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    assert time.monotonic() - start < 8  # an answer is waited for 20 s
    assert run.returncode == 2
    assert said.startswith("pathogan: interrupted")

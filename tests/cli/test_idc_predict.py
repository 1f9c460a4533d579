"""``pathogan idc predict`` as it is typed: results, and what it refuses beside other commands."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr


def test_all_that_can_be_asked_for(pathogan, idc, tmp_path):
    files = [tmp_path / name for name in ("map.ome.zarr", "map.geojson", "map.csv", "page.png")]
    options = [
        x
        for pair in zip(("-o", "--geojson", "--csv", "--report"), files, strict=True)
        for x in pair
    ]
    code, out, _ = pathogan(*idc.on(), "--json", "--cells", "--threshold", 0.25, *options)
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


def test_a_part_of_the_slide_in_plain_words(pathogan, idc):
    code, out, err = pathogan(*idc.on(), "--region", "100,100,200,300")
    assert (code, err.strip()) == (0, "")
    assert out.startswith("section.png: IDC ")
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--step", 70], "a step of 70 um can't be had"),
        (["--region", "0,0,90,90"], "no tissue found in this region"),
    ],
)
def test_what_can_not_be_had_is_refused(refused, idc, more, message):
    refused(message, *idc.on(), *more, "--json")


def test_wrong_options_are_one_line_too(pathogan):
    for arguments in (["idc", "predict"], ["idc", "predict", "a", "--nothing"], ["nothing"]):
        code, _, err = pathogan(*arguments)
        assert code == 2
        assert err.startswith("pathogan: ")
        assert err.count("\n") == 1

"""``pathogan nuclei segment`` as it is typed: results, and what it refuses beside other commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import zarr
from PIL import Image
from scipy import ndimage


def test_all_that_can_be_asked_for(pathogan, nuclei, tmp_path):
    files = [tmp_path / name for name in ("n.ome.zarr", "n.geojson", "n.csv", "n.parquet")]
    options = [
        x
        for pair in zip(("-o", "--geojson", "--csv", "--parquet"), files, strict=True)
        for x in pair
    ]
    code, out, _ = pathogan(*nuclei.on(), "--json", *options)
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


def test_a_part_of_the_slide_in_plain_words(pathogan, nuclei):
    code, out, err = pathogan(*nuclei.on(), "--region", "100,0,100,300")
    assert (code, err.strip()) == (0, "")
    assert out.startswith("section.png: 2 nuclei, ")
    assert out.count("\n") == 1


def test_a_higher_threshold_and_a_coarser_slide(pathogan, nuclei):
    code, out, err = pathogan(*nuclei.on(), "--mpp", 0.5, "--threshold", 0.9)
    assert code == 0
    assert "note: section.png has 0.5 um per pixel" in err.replace("\n", " ")
    assert out.startswith("section.png: 9 nuclei, ")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--classes", "nothing"], "no nuclei-classes model 'nothing'"),
        (["--instanseg", "instanseg.pt"], "never downloaded"),
        (["--tissue", "colon"], "no classes are asked for"),
        (["--instanseg", "section.png", "--threshold", 0.5], "InstanSeg reads neither"),
        (["--region", "900,0,90,90"], "lies beyond section.png"),
    ],
)
def test_what_can_not_be_had_is_refused(refused, nuclei, tmp_path, more, message):
    shutil.copy(nuclei.section, tmp_path)
    more = [tmp_path / one if Path(str(one)).suffix in (".pt", ".png") else one for one in more]
    refused(message, *nuclei.on(), *more, "--json")


def test_a_grey_image_is_refused(refused, nuclei, tmp_path):
    Image.new("L", (400, 400), 120).save(tmp_path / "grey.png")
    refused("grey.png is grey", *nuclei.on(tmp_path / "grey.png"), "--json")

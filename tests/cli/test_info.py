"""``pathogan info``: a table, a JSON object, or one line that says what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from napari_pathogan.slides.writers.ome import write_ome_tiff


@pytest.fixture
def slide(tmp_path):
    image = np.full((1200, 2400, 3), 243, np.uint8)
    image[300:900, 400:1400] = (200, 120, 170)
    path = tmp_path / "case-17.ome.tif"
    write_ome_tiff(path, image, 2.0, compression="deflate")
    return path


def test_json(slide, exit_code, capsys):
    assert exit_code("info", slide, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["name"], facts["format"]) == ("case-17.ome.tif", "OME-TIFF")
    assert (facts["width_px"], facts["height_px"]) == (2400, 1200)
    assert (facts["width_mm"], facts["height_mm"]) == (4.8, 2.4)
    assert (facts["mpp_x"], facts["mpp_y"]) == (2.0, 2.0)
    assert facts["mpp_source"] == "OME PhysicalSize"
    assert facts["tissue_mm2"] == pytest.approx(2.4, rel=0.05)
    assert facts["tissue_share"] == pytest.approx(0.208, rel=0.05)
    assert [level["width_px"] for level in facts["levels"]] == [2400, 1200, 600, 300]
    assert facts["levels"][1]["downsample_x"] == 2.0
    assert not any(level["made_on_the_fly"] for level in facts["levels"])
    assert facts["damaged"] == []
    assert facts["icc_applied"] is False


def test_table(slide, exit_code, capsys):
    assert exit_code("info", slide) == 0
    shown = capsys.readouterr().out
    assert "2400 x 1200 px, 4.80 x 2.40 mm" in shown
    assert "2 um per pixel (OME PhysicalSize)" in shown
    assert "2.4" in shown.split("Tissue")[1]
    assert "% of the slide" in shown


def test_real_slides(data, exit_code, capsys):
    assert exit_code("info", data / "wsi" / "cmu-1-small-region.svs") == 0
    shown = capsys.readouterr().out
    assert "SVS by Aperio" in shown
    assert "made on the fly" in shown
    assert exit_code("info", data / "wsi" / "kidney-48-5.tif", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["mpp_x"] is None
    assert facts["width_mm"] is None
    assert facts["tissue_mm2"] is None


@pytest.mark.parametrize(
    ("name", "content"), [("text.svs", b"hello"), ("empty.svs", b""), ("gone.svs", None)]
)
def test_bad_files_are_one_line_and_exit_2(tmp_path, exit_code, capsys, name, content):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert exit_code("info", path, "--json") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert name in err


@pytest.mark.parametrize("compression", ["jpeg2000", "jpeg", "deflate"])
def test_damage_of_a_grey_image_is_told(tmp_path, exit_code, capsys, compression):
    path = tmp_path / "grey.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (512, 512), np.uint8)
    tifffile.imwrite(path, pixels, tile=(256, 256), compression=compression)
    with tifffile.TiffFile(path) as file:
        at, count = file.pages[0].dataoffsets[2], file.pages[0].databytecounts[2]
    whole = path.read_bytes()
    assert exit_code("info", path) == 0
    assert "can't be read" not in capsys.readouterr().out
    path.write_bytes(whole[:at] + bytes(count) + whole[at + count :])
    assert exit_code("info", path) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "note: grey.tif: tile at row 1, column 0 of level 0 can't be read" in shown


def tear(path, *tiles):
    """Make tiles of the finest level of a TIFF unreadable."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        places = [(page.dataoffsets[tile], page.databytecounts[tile]) for tile in tiles]
    torn = bytearray(path.read_bytes())
    for at, count in places:
        torn[at : at + count] = bytes(count)
    path.write_bytes(torn)


def test_damage_of_the_finest_level_is_found(tmp_path, monkeypatch, exit_code, capsys):
    """Also where the tissue is looked for in another: some of it is read, or all."""
    from napari_pathogan.cli import info

    image = np.full((4096, 4096, 3), 243, np.uint8)
    image[1000:3000, 1000:3000] = (200, 120, 170)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as out:
        for level in (image, image[::4, ::4]):
            out.write(
                level, tile=(512, 512), compression="deflate", photometric="rgb", metadata=None
            )
    tear(path, 0, 5)
    assert exit_code("info", path) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Read all of the finest level" in shown
    assert "tile at row 0, column 0 of level 0 can't be read" in shown
    monkeypatch.setattr(info, "_SOME", 2)
    assert exit_code("info", path) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "2 of 64 pieces of the finest level; --whole reads all of it" in shown
    assert exit_code("info", path, "--whole", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["pieces_read"], facts["pieces"], len(facts["damaged"])) == (64, 64, 2)

"""Files made after situations that users reported (``shared/cases``); each README says what is right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from mammogram_makers import open_study

from napari_pathogan.mammograms.study import open_mammogram


@pytest.fixture(scope="module")
def cases():
    """The folder of cases beside the checkout; skips where it is not."""
    folder = Path(__file__).parents[3] / "shared" / "cases" / "mammograms"
    if not folder.is_dir():
        pytest.skip("the cases are not here")
    return folder


@pytest.mark.parametrize(
    "name", ["big_endian_8bit_ow/be8_ow.dcm", "j2k_precision/j2k_u13_pr1_b16.dcm"]
)
def test_pixels_are_those_of_the_reference(cases, name):
    found, wanted = open_mammogram(cases / name), pydicom.dcmread(cases / name).pixel_array
    assert found.name == "LCC"
    assert np.array_equal(found.pixels, wanted)


@pytest.mark.parametrize("name", ["narrow", "wide"])
def test_a_table_reaches_white(cases, name):
    assert open_mammogram(cases / "voi_lut_bits" / f"voi_{name}.dcm").shown().max() == 1


def test_tables_of_declared_12_and_16_bits_show_the_same(cases):
    plain, odd = (
        open_mammogram(cases / "voi_lut_bits" / f"phantom_lut{bits}.dcm").shown()
        for bits in (12, 16)
    )
    assert np.array_equal(plain, odd)


def test_a_table_behind_a_rescale(cases):
    shown = open_mammogram(cases / "voi_lut_first_value" / "rescaled.dcm").shown()
    assert (shown.min(), shown.max()) == (0, 1)


def test_padding(cases):
    found = open_mammogram(cases / "padding_vr" / "pad_us.dcm")
    assert found.padded.mean() == pytest.approx(0.375, abs=0.001)
    assert (found.shown()[:, 60:] == 0).all()


def test_a_synthesised_image(cases):
    found = open_mammogram(cases / "tomo_single_frame" / "bto_single.dcm")
    assert (found.name, found.mm_per_px) == ("RCC", (0.1, 0.1))
    assert (found.voi.shape, found.voi.centre, found.voi.width) == ("SIGMOID", 600, 400)


@pytest.mark.parametrize(
    ("folder", "places", "lines"),
    [
        (
            "view_modifiers/study_mag",
            {"RCC": "IM05", "LCC": "IM02", "LCC magnification": "IM01",
             "LCC implant displaced": "IM03", "LCC spot compression": "IM04"},
            0,
        ),
        ("raw_before_presentation/study_raw", {"LCC": "IM2_pres.dcm", "LCC raw": "IM1_raw.dcm"}, 0),
        ("no_preamble/study_nopre", {"LCC": "x2.dcm", "LMLO": "x1.dcm"}, 0),
        ("duplicates/study_dup", {"RCC": "b.dcm", "LCC": "a (1).dcm"}, 1),
        ("same_names/tcia", {"RCC": "1-1.dcm", "LCC": "1-1.dcm"}, 0),
    ],
)  # fmt: skip
def test_what_hangs_where(cases, folder, places, lines):
    study = open_study(cases / folder)
    hung = study.hanging()
    assert {one.name: one.path.name for one in hung.values()} == places
    assert all(row == 0 for (row, _), one in hung.items() if one.name in {"RCC", "LCC"})
    assert len(study.skipped) == lines


def test_lengths_of_a_magnified_view(cases):
    found = open_mammogram(cases / "view_modifiers" / "study_mag" / "IM01")
    assert found.mm_per_px == pytest.approx((0.07 / 1.8, 0.07 / 1.8))
    assert found.spacing == "corrected for magnification"


def test_without_meta(cases):
    assert open_mammogram(cases / "no_preamble" / "nometa.dcm").pixels.max() > 0


def test_names_and_film(cases):
    named = open_mammogram(cases / "name_lat" / "case7_R_LAT.png")
    assert (named.laterality, named.view) == ("R", "LAT")
    taped = open_mammogram(cases / "film" / "tape_right_L_CC.png")
    assert (taped.chest_side, taped.mirrored, taped.inverted) == ("left", False, False)


@pytest.mark.parametrize("options", [["--sr", "a.dcm"], ["--gsps", "a.dcm"]])
@pytest.mark.parametrize("named", [[], ["--identifiers"]])
@pytest.mark.parametrize(
    "name",
    ["header_values/hashed_uids", "header_values/birth_date", "side_in_report/series_laterality"],
)
def test_reports_of_odd_headers(cases, tmp_path, monkeypatch, capfd, *, name, named, options):
    pytest.importorskip("highdicom")
    from napari_pathogan.cli.app import main

    monkeypatch.chdir(tmp_path)
    path = cases / f"{name}.dcm"
    monkeypatch.setattr("sys.argv", ["pathogan", "masses", "detect", str(path), *options, *named])
    with pytest.raises(SystemExit) as left:
        main()
    said = capfd.readouterr().err
    if name.endswith("hashed_uids"):
        assert (left.value.code, said.count("\n")) == (2, 1)
        assert "has no UID (nor a hash of one) as SeriesInstanceUID" in said
        assert "Zzmade" not in said
        return
    assert (left.value.code, said) == (0, "")
    made = pydicom.dcmread("a.dcm")
    assert not made.PatientBirthDate
    if name.endswith("series_laterality") and "--sr" in options:
        assert "Left" in json.dumps(made.to_json_dict())

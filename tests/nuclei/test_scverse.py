"""Nuclei as AnnData: what scverse's own programs make of it, and back."""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest
from slides_of_nuclei import ByQuadrant, DarkIsNucleus, found, paint, slide

from napari_pathogan.errors import EnvironmentMismatchError, ResultFormatError
from napari_pathogan.plugin.viewer.saved import Saved, saved_in
from napari_pathogan.tasks.nuclei import scverse


@pytest.fixture(scope="module")
def segmentation():
    image = paint((400, 500), 80, radius=(4, 7))
    return found(slide(image, (0.5, 0.4)), DarkIsNucleus(), classifier=ByQuadrant())


@pytest.fixture
def file(segmentation, tmp_path):
    pytest.importorskip("anndata")
    scverse.write(tmp_path / "nuclei.h5ad", segmentation)
    return tmp_path / "nuclei.h5ad"


def test_an_observation_a_nucleus(segmentation, file):
    import anndata

    got = anndata.read_h5ad(file)
    table = segmentation.table
    assert got.obs_names.tolist() == [str(n) for n in table["id"]]
    assert got.var_names.tolist() == [
        "area_um2",
        "eccentricity",
        "solidity",
        "haematoxylin_mean",
    ]
    np.testing.assert_allclose(got.X, table[got.var_names].to_numpy(), rtol=1e-6)
    np.testing.assert_array_equal(got.obsm["spatial"], table[["x_um", "y_um"]])
    np.testing.assert_array_equal(got.obsm["spatial_px"], table[["x_px", "y_px"]])
    assert got.obs["class"].cat.categories.tolist() == list(segmentation.class_names)
    assert list(got.uns["class_colors"]) == list(segmentation.class_colours)
    about = json.loads(got.uns["pathogan"])
    assert (about["slide"], about["n_nuclei"]) == (segmentation.slide, len(table))
    assert about["mpp"] == [0.5, 0.4]
    assert "torch" in about["versions"]


def test_it_is_read_as_it_was(segmentation, file):
    assert saved_in(file) is Saved.NUCLEI
    table, about = scverse.read(file)
    pd.testing.assert_frame_equal(
        table[segmentation.table.columns].astype({"id": int}),
        segmentation.table.astype({"id": int}),
        check_index_type=False,
        check_categorical=False,
    )
    assert (about["slide"], about["mpp"]) == (segmentation.slide, segmentation.mpp)
    assert about["class_names"] == segmentation.class_names
    assert about["imprint"] == str(segmentation.imprint)


def test_it_replaces_its_like_alone(segmentation, file, tmp_path):
    import anndata

    scverse.write(file, segmentation)
    other = tmp_path / "other.h5ad"
    anndata.AnnData(np.zeros((2, 2), np.float32)).write_h5ad(other)
    assert saved_in(other) is None
    assert scverse.ANNDATA.objection(other)
    assert not scverse.ANNDATA.objection(file)
    text = tmp_path / "text.h5ad"
    text.write_text("no HDF5")
    assert saved_in(text) is None


def test_a_damaged_one_is_said(file):
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert saved_in(file) is None
    with pytest.raises(ResultFormatError, match="does not hold whole nuclei"):
        scverse.read(file)


def test_none_found(tmp_path):
    pytest.importorskip("anndata")
    none = found(slide(paint((64, 64), 0), (0.5, 0.5)), DarkIsNucleus())
    scverse.write(tmp_path / "none.h5ad", none)
    assert len(scverse.read(tmp_path / "none.h5ad")[0]) == 0


def test_squidpy_takes_it(segmentation, file):
    squidpy = pytest.importorskip("squidpy")
    import anndata

    nuclei = anndata.read_h5ad(file)
    squidpy.gr.spatial_neighbors(nuclei, coord_type="generic", radius=30.0)
    apart = nuclei.obsp["spatial_distances"].tocoo()
    at = segmentation.table[["x_um", "y_um"]].to_numpy()
    np.testing.assert_allclose(
        apart.data, np.linalg.norm(at[apart.row] - at[apart.col], axis=1), rtol=1e-6
    )
    assert apart.data.max() <= 30
    squidpy.gr.nhood_enrichment(nuclei, cluster_key="class", seed=0, show_progress_bar=False)
    n = len(segmentation.class_names)
    assert nuclei.uns["class_nhood_enrichment"]["count"].shape == (n, n)


def test_without_anndata(segmentation, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(EnvironmentMismatchError, match="needs anndata"):
        scverse.write(tmp_path / "nuclei.h5ad", segmentation)
    assert not list(tmp_path.iterdir())

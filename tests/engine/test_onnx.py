"""Models as ONNX: what ONNX Runtime gives, sizes, metadata, and what is refused."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from napari_pathogan import library
from napari_pathogan.cli.app import app
from napari_pathogan.engine.onnx import ONNX, Graph, export
from napari_pathogan.errors import EnvironmentMismatchError, ModelError, OutputError
from napari_pathogan.tasks import registered, task_of

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")


def card(name="idc-cgan"):
    return library.find(name).card


@pytest.mark.parametrize(("name", "bound"), [("idc-cgan", 1e-5), ("idc-lite0", 1e-3)])
def test_patches_of_idc_get_the_logits_of_the_model(tmp_path, name, bound):
    path = tmp_path / "model.onnx"
    done = CliRunner().invoke(app, ["models", "export", name, "-o", str(path)])
    assert done.exit_code == 0, done.output
    assert "off idc-" in done.output
    model = task_of("idc").load(name, "cpu")
    images = np.random.default_rng(1).integers(0, 256, (5, 50, 50, 3), np.uint8)
    expected = model.network
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    (found,) = session.run(None, {"image": x})
    with torch.no_grad():
        own = expected.idc(expected.features(torch.from_numpy(x)))[:, 0].numpy()
    assert found == pytest.approx(own, abs=bound)
    kept = {one.key: one.value for one in onnx.load(path).metadata_props}
    assert json.loads(kept["card"])["sha256"] == model.card.sha256
    assert "logits of IDC" in kept["output"]


def test_nuclei_of_any_size_that_fits(tmp_path):
    path = tmp_path / "nuclei.onnx"
    library.export(library.find("nuclei-unet"), path)
    model = task_of("nuclei").load("nuclei-unet", "cpu")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    images = np.random.default_rng(2).integers(0, 256, (1, 96, 224, 3), np.uint8)
    (found,) = session.run(
        None, {"image": images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1}
    )
    assert found.shape == (1, 3, 96, 224)
    assert found.sum(1) == pytest.approx(1, abs=1e-5)
    with torch.no_grad():
        x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        own = model.network(x).softmax(1).numpy()
    assert np.abs(found - own).max() < 1e-4


def test_every_graph_that_a_task_names_is_there():
    able = {name for name, task in registered().items() if task.graph}
    assert {"idc", "nuclei"} <= able
    for name in able:
        assert callable(registered()[name].get(registered()[name].graph))


def test_a_task_without_a_graph_is_refused(tmp_path):
    done = CliRunner().invoke(
        app, ["models", "export", "stain-crc", "-o", str(tmp_path / "x.onnx")]
    )
    assert isinstance(done.exception, ModelError)
    assert "which can't be exported; idc" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


class Random(nn.Module):
    def forward(self, image):
        return image.mean((1, 2, 3)) + torch.rand(image.shape[0])


class Branching(nn.Module):
    def forward(self, image):
        return image if bool(image.mean() > 0) else -image


@pytest.mark.parametrize(
    ("network", "said"),
    [(Random(), "gives something else than the network"), (Branching(), "can't be exported")],
)
def test_what_is_not_the_same_is_not_written(tmp_path, network, said):
    path = tmp_path / "x.onnx"
    with pytest.raises(ModelError, match=said):
        export(Graph(network, "x", (8, 8)), card(), path)
    assert list(tmp_path.iterdir()) == []


def test_only_an_earlier_export_is_replaced(tmp_path):
    path = tmp_path / "x.onnx"
    graph = Graph(nn.Conv2d(3, 1, 1), "x", (8, 8), 8)
    export(graph, card(), path)
    export(graph, card(), path)
    assert ONNX.marked(path)
    path.write_bytes(b"somebody else's")
    with pytest.raises(OutputError, match="is there already"):
        export(graph, card(), path)


def test_without_onnx_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(EnvironmentMismatchError, match=r"napari-pathogan\[onnx\]"):
        export(Graph(nn.Conv2d(3, 1, 1), "x", (8, 8)), card(), tmp_path / "x.onnx")

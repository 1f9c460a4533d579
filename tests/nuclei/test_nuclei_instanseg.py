"""InstanSeg's back end, around a scripted stand-in with its doors."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from slides_of_nuclei import found, paint, slide
from torch import nn

from napari_pathogan.errors import ModelError, ModelNotFoundError
from napari_pathogan.tasks.nuclei.instanseg import InstanSegSegmenter
from napari_pathogan.tasks.nuclei.predict import segment


class StandIn(nn.Module):
    """Numbers squares of a lattice where it is dark; as InstanSeg's own file is called and answers."""

    def __init__(self, pixel_size: float = 0.5, *, cells: bool = False) -> None:
        super().__init__()
        self.pixel_size = pixel_size
        self.cells_and_nuclei = cells

    def forward(self, x: torch.Tensor, target_segmentation: torch.Tensor) -> torch.Tensor:
        assert x.shape[0] == 1
        dark = (x.mean(1, keepdim=True) < 0.5).to(torch.float32)
        labels = dark * torch.cumsum(dark.flatten(), 0).reshape(dark.shape)
        pooled = nn.functional.max_pool2d(labels, 31, 1, 15)
        for _ in range(2):
            pooled = nn.functional.max_pool2d(pooled * dark, 31, 1, 15)
        out = pooled * dark
        if self.cells_and_nuclei:
            assert int(target_segmentation.sum()) == 1
            return out
        return out


class NoLabels(StandIn):
    """Answers something else."""

    def forward(self, x: torch.Tensor, target_segmentation: torch.Tensor) -> torch.Tensor:
        return x.mean(1)


def save(path, module: nn.Module):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.jit.script(module).save(str(path))
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return save(
        tmp_path_factory.mktemp("models") / "brightfield_nuclei" / "instanseg.pt", StandIn()
    )


def test_it_finds_nuclei_on_a_slide(file):
    segmenter = InstanSegSegmenter.load(file, "cpu")
    assert (segmenter.name, segmenter.mpp) == ("brightfield_nuclei", 0.5)
    image = np.full((400, 500, 3), (222, 150, 190), np.uint8)
    image[::2, ::3] = (215, 140, 180)
    for y, x in ((60, 80), (60, 300), (300, 90), (200, 250)):
        image[y : y + 14, x : x + 14] = (120, 70, 150)
    result = found(slide(image, 0.5), segmenter)
    assert len(result) == 4
    assert result.table["area_um2"].tolist() == pytest.approx([49] * 4)
    assert result.at(66, 86) is not None
    assert result.model == "brightfield_nuclei"
    assert result.model_sha256 == segmenter.sha256
    assert "given by the user" in result.model_line


def test_all_tiles_of_a_slide_are_scaled_alike(file):
    segmenter = InstanSegSegmenter.load(file, "cpu")
    tuned = segmenter.tuned(
        lambda: np.stack([np.full((8, 8, 3), grey, np.uint8) for grey in (50, 250)])
    )
    np.testing.assert_allclose(tuned.span, [[50] * 3, [250] * 3])
    dark = np.full((40, 40, 3), 120, np.uint8)
    dark[10:20, 10:20] = 100  # all of it is dark on this slide
    assert (tuned.labels(dark) > 0).all()
    assert (segmenter.labels(dark) > 0).sum() == 100  # by itself, only the darker part


def test_nuclei_of_a_model_that_has_cells_too(tmp_path):
    segmenter = InstanSegSegmenter.load(save(tmp_path / "both.pt", StandIn(cells=True)), "cpu")
    assert segmenter.name == "both"
    image = paint((80, 90), 6)
    labels = segmenter.labels(image)
    assert (labels.shape, labels.dtype) == ((80, 90), np.int32)
    assert labels.max() > 0


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelNotFoundError, match="never downloaded"):
        InstanSegSegmenter.load(tmp_path / "instanseg.pt")
    text = tmp_path / "text.pt"
    text.write_text("no model")
    with pytest.raises(ModelError, match=r"text\.pt is no TorchScript file"):
        InstanSegSegmenter.load(text)
    nowhere = save(tmp_path / "no_scale.pt", StandIn(0.0))
    with pytest.raises(ModelError, match="um per pixel"):
        InstanSegSegmenter.load(nowhere)
    other = save(tmp_path / "other.pt", nn.Identity())
    with pytest.raises(ModelError, match=r"other\.pt is not InstanSeg's"):
        InstanSegSegmenter.load(other)


class Trap:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_a_pickle_is_never_loaded(tmp_path):
    raw = tmp_path / "raw.pt"
    raw.write_bytes(pickle.dumps(Trap()))
    zipped = tmp_path / "zipped.pt"
    torch.save({"weights": Trap()}, zipped)
    for path in (raw, zipped):
        with pytest.raises(ModelError, match="no TorchScript file"):
            InstanSegSegmenter.load(path)


def test_an_answer_of_another_shape(tmp_path):
    segmenter = InstanSegSegmenter.load(save(tmp_path / "wrong.pt", NoLabels()), "cpu")
    with pytest.raises(ModelError, match="InstanSeg wrong gave"):
        list(segment(slide(paint((200, 200), 9), 0.5), segmenter))

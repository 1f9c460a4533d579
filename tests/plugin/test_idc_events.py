"""What the dock runs, without a window: bad slides and broken models end in one clear error."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from napari_pathogan.engine.events import Finished, Tile
from napari_pathogan.engine.models import zoo
from napari_pathogan.errors import ModelError, NoTissueError, PathoganError, UnknownScaleError
from napari_pathogan.plugin.idc.dock import Laid, idc_events
from napari_pathogan.plugin.shell.running import _Failure, _guarded, _Span
from napari_pathogan.slides.slide import Slide

MODEL = zoo() / "idc-cgan"


def blank(mpp=2.0):
    return Slide.from_arrays([np.full((600, 800, 3), 243, np.uint8)], name="blank", mpp=mpp)


def test_the_empty_map_comes_before_its_tiles(slide):
    events = list(idc_events(slide, MODEL, None, None, (700, 1000)))
    kinds = [type(event) for event in events]
    assert kinds.index(Laid) < kinds.index(Tile)
    assert kinds[-1] is Finished
    laid = events[kinds.index(Laid)]
    assert laid.probability.data.shape == events[-1].result.probability.data.shape
    assert laid.probability.affine() == events[-1].result.probability.affine()


def test_no_tissue():
    with pytest.raises(NoTissueError, match="blank"):
        list(idc_events(blank(), MODEL, None, None, (0, 0)))


def test_no_scale():
    with pytest.raises(UnknownScaleError, match="blank"):
        list(idc_events(blank(mpp=None), MODEL, None, None, (0, 0)))


def test_broken_model(tmp_path):
    broken = tmp_path / "model"
    shutil.copytree(MODEL, broken)
    weights = broken / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ModelError, match="sha256"):
        list(idc_events(blank(), broken, None, None, (0, 0)))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PathoganError("one clear sentence"), "one clear sentence"),
        (RuntimeError("odd"), "Unexpected RuntimeError: odd"),
        (MemoryError(), "Out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "Out of memory"),
    ],
)
def test_errors_travel_as_the_last_item(error, said):
    from threading import Event as Flag

    def failing():
        yield Finished()
        raise error

    *_, last = _guarded(failing(), Flag(), _Span())
    assert isinstance(last, _Failure)
    assert last.sentence.startswith(said)

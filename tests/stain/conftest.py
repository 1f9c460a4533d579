from __future__ import annotations

import pytest
from stain_phantoms import TINY, make_pool

from napari_pathogan.engine.runs import RunFolder


@pytest.fixture
def pool():
    return make_pool()


@pytest.fixture
def tiny():
    return TINY


@pytest.fixture
def run(tmp_path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.start({})
    return folder

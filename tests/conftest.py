"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real images (env PATHOGAN_DATA, else ../shared/data); skips where it is not."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("PATHOGAN_DATA", default))
    if not (folder / "wsi").is_dir():
        pytest.skip("the real images are not here (set PATHOGAN_DATA to their folder)")
    return folder

"""What trunks saw, on disk: found again, bounded, and never in the way."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_pathogan.engine import features
from napari_pathogan.engine.features import Features, user_features


def some(n, width=8, first=0):
    rng = np.random.default_rng(first)
    return {
        f"{i:016}".encode(): rng.normal(size=width).astype(np.float16)
        for i in range(first, first + n)
    }


def test_they_come_back_also_after_a_restart(tmp_path):
    kept = some(1200)
    Features(tmp_path).put(kept)
    again = Features(tmp_path)
    found = again.get([*kept, b"unknown"])
    assert found.keys() == kept.keys()
    assert all((found[key] == value).all() for key, value in kept.items())
    again.put(kept)  # once more does no harm
    assert len(again.get([*kept])) == 1200
    assert again.get([]) == {}


def test_the_oldest_make_room(tmp_path):
    kept = Features(tmp_path, limit=400_000)
    for first in range(0, 2000, 50):
        kept.put(some(50, 500, first))
    left = [int(key) for key in kept.get([*some(2000)])]
    assert 100 < len(left) < 500
    assert min(left) > 1000
    assert max(left) == 1999
    assert (tmp_path / "features.sqlite").stat().st_size < 800_000


def test_threads_and_processes_share_them(tmp_path):
    one, other = Features(tmp_path), Features(tmp_path)
    threads = [
        threading.Thread(target=(one, other)[i % 2].put, args=(some(50, first=50 * i),))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(one.get([*some(400)])) == len(other.get([*some(400)])) == 400


@pytest.mark.parametrize("how", ["no base", "a folder", "a file above"])
def test_where_nothing_can_be_kept_work_goes_on(tmp_path, how, caplog):
    folder = tmp_path / "cache"
    if how == "a file above":
        folder.write_text("no folder")
    else:
        folder.mkdir()
        file = folder / "features.sqlite"
        file.mkdir() if how == "a folder" else file.write_bytes(b"no base at all" * 500)
    kept = Features(folder)
    kept.put(some(5))
    assert kept.get([*some(5)]) == {}
    assert "not kept on disk" in caplog.text


def test_the_user_may_choose(tmp_path, monkeypatch):
    for asked, files in ((str(tmp_path / "there"), True), ("off", False)):
        monkeypatch.setenv(features.VARIABLE, asked)
        user_features.cache_clear()
        user_features().put(some(3))
        assert bool(user_features().get([*some(3)])) is files
    user_features.cache_clear()
    assert (tmp_path / "there" / "features.sqlite").is_file()

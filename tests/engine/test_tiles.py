"""Work on tiles comes in order, keeps answering, and can be left at any moment."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading
import time

import pytest
import torch

from napari_pathogan.engine import tiles
from napari_pathogan.engine.tiles import work_ahead


def test_results_come_in_order():
    def work(item):
        time.sleep(0.02 * (item % 3))
        return item * item

    found = [x for x in work_ahead(work, range(12), threads=3) if x is not None]
    assert found == [(i, i * i) for i in range(12)]


def test_only_a_few_are_begun_ahead():
    begun = []
    work = work_ahead(begun.append, range(100), threads=2, ahead=3)
    while next(work) is None:
        pass
    time.sleep(0.05)
    assert len(begun) <= 1 + 2 + 3
    work.close()


def test_it_ticks_while_there_is_nothing():
    answered = threading.Event()
    work = work_ahead(lambda _: answered.wait(60), [None], threads=1)
    assert [next(work) for _ in range(3)] == [None] * 3
    answered.set()
    assert list(work)[-1] == (None, True)


def test_closing_drops_what_has_not_begun():
    begun, ended, closed = [], [], threading.Event()

    def work(item):
        begun.append(item)
        ended.append(closed.wait(60))

    running = work_ahead(work, range(50), threads=2)
    next(running)
    running.close()
    assert not ended  # what is under way is not waited for
    closed.set()
    time.sleep(0.2)
    assert len(begun) <= 4


def test_an_error_comes_where_its_item_would():
    def work(item):
        return 1 // item

    running = work_ahead(work, [1, 0, 1], threads=2)
    with pytest.raises(ZeroDivisionError):
        list(running)


def test_each_thread_computes_on_one_core_and_others_are_left_alone():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        found = [x for x in work_ahead(lambda _: torch.get_num_threads(), range(6), threads=2) if x]
        assert {cores for _, cores in found} == {1}
        assert torch.get_num_threads() == 3
        seen = []
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert seen == [3]
    finally:
        torch.set_num_threads(before)


def test_nothing_to_do():
    assert list(work_ahead(str, [], threads=2)) == []


def test_memory_that_tiles_have_freed_is_given_back(monkeypatch):
    """Without that, that of the embedded network grows by half with every hundred tiles."""
    given = []
    monkeypatch.setattr(tiles, "_trim", lambda: given.append)
    monkeypatch.setattr(tiles, "_TRIM_S", 0.0)
    list(work_ahead(lambda _: time.sleep(0.001), range(20), threads=2))
    assert len(given) >= 19
    given.clear()
    monkeypatch.setattr(tiles, "_TRIM_S", 1000.0)  # not after each of many small ones
    list(work_ahead(lambda _: None, range(20), threads=2))
    assert len(given) <= 1


FREED = """
import numpy as np
from napari_pathogan.engine import tiles

def anonymous():
    return next(int(x.split()[1]) for x in open("/proc/self/status") if x.startswith("RssAnon")) / 1024

def work(_):
    for size in (12, 20, 27, 20, 12):
        maps = [np.ones(size << 20, np.uint8) for _ in range(3)]
        kept.append(np.ones(2000, np.uint8))
        del maps

tiles._trim, kept = lambda: None, []
before = anonymous()
list(tiles.work_ahead(work, range(8), threads=4))
print(anonymous() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other systems keep none")
def test_large_pieces_of_memory_are_given_back_as_soon_as_they_are_free():
    """glibc learns to keep pieces as large as those that were freed, and every thread keeps its own."""
    said = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    assert float(said.stdout) < 50  # MB; 330 without

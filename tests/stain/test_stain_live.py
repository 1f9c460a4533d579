"""The view that shows the student's tiles first, and the network's when they are there."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from stain_phantoms import TINY, make_pool, two_stains

from napari_pathogan.engine import live as at_work
from napari_pathogan.engine.events import Finished, Progress
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.names import METHODS
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.stain.learn import learn
from napari_pathogan.tasks.stain.levels import levels_by_network, transferred
from napari_pathogan.tasks.stain.live import live
from napari_pathogan.tasks.stain.model import StyleModel
from napari_pathogan.tasks.stain.predict import Method, fit

SIDE = 1300  # 3 x 3 tiles
WHOLE, MIDDLE = Region(0, 0, SIDE, SIDE), (SIDE / 2, SIDE / 2)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A slide with two levels of the network's, one of the student's, and its way to a style."""
    run = RunFolder(tmp_path_factory.mktemp("style") / "run")
    run.start({})
    *_, _end = learn(make_pool(), TINY, run, holdout=0, mpp=0.5, name="mine")
    image = two_stains(SIDE)
    levels = [image, image[::2, ::2], image[::8, ::8]]
    slide = Slide.from_arrays(levels, name="case", mpp=0.25)
    return slide, fit(slide, StyleModel.load(run.model, "cpu"), Method.cnn)


@pytest.fixture
def view(fitted, monkeypatch):
    monkeypatch.setattr(at_work, "REST_S", 0.0)
    slide, transfer = fitted
    return live(slide, transferred(slide, transfer), transfer)


@pytest.fixture
def computed(monkeypatch):
    """Tiles that the network was asked for, in order: level 0's upper left corners."""
    seen = []
    part = at_work.Level.tile_at

    def tile_at(level, row, col):
        if METHODS["cnn"] in level.ledger.name:
            seen.append((row, col))
        return part(level, row, col)

    monkeypatch.setattr(at_work.Level, "tile_at", tile_at)
    return seen


def level(slide, number=0):
    return np.asarray(slide.levels[number])


def test_the_students_tiles_come_first_and_then_those_that_are_saved(fitted, view):
    slide, transfer = fitted
    assert levels_by_network(slide, transfer) == (True, True, False)
    student = transferred(slide, replace(transfer, method=Method.lut, model=None))
    network = transferred(slide, transfer)  # what `pathogan stain apply` writes
    for number in range(3):
        assert (level(view.slide, number) == level(student, number)).all()
    assert not (level(student) == level(network)).all()
    view.look(0, WHOLE, MIDDLE)
    assert view.coming == (9, 9)
    *steps, end = view.refine()
    assert [(s.done, s.total) for s in steps if isinstance(s, Progress)] == [
        (n, 9) for n in range(1, 10)
    ]
    assert isinstance(end, Finished)
    assert view.coming == (0, 9)
    assert (level(view.slide) == level(network)).all()
    assert (level(view.slide, 1) == level(student, 1)).all()  # was not looked at


def test_levels_far_coarser_than_the_style_stay_the_students(fitted, view):
    slide, transfer = fitted
    view.look(2, Region(0, 0, 163, 163), (80, 80))
    assert view.coming == (0, 0)
    assert [type(event) for event in view.refine()] == [Finished]
    assert (level(view.slide, 2) == level(transferred(slide, transfer), 2)).all()


def test_the_nearest_tile_comes_first_and_what_was_left_is_dropped(view, computed):
    view.look(0, WHOLE, (1200, 100))
    coming = view.refine()
    next(coming)
    assert computed == [(2, 0)]
    view.look(0, Region(0, 512, 512, SIDE - 512), (200, 1200))
    list(coming)
    assert computed == [(2, 0), (0, 2), (0, 1)]
    assert view.coming == (0, 2)


def test_a_view_that_moves_is_waited_for(view, computed, monkeypatch):
    monkeypatch.setattr(at_work, "REST_S", 0.2)
    view.look(0, Region(0, 0, 40, 40), (0, 0))
    began = time.monotonic()
    list(view.refine())
    assert time.monotonic() - began >= 0.19
    moved = view._moved
    view.look(0, Region(0, 0, 40, 40), (9, 9))  # the same tile: nothing moved, nothing to do
    assert view._moved == moved
    list(view.refine())
    assert computed == [(0, 0)]


def test_looking_away_and_closing_end_it(view, computed):
    view.look(0, WHOLE, MIDDLE)
    coming = view.refine()
    next(coming)
    view.look_away()
    assert [type(event) for event in coming] == [Finished]
    assert computed == [(1, 1)]
    assert not (level(view.slide)[512:1024, 512:1024] == student_of(view)).all()
    view.close()
    assert (level(view.slide)[512:1024, 512:1024] == student_of(view)).all()


def student_of(view):
    return view._fast[0].tile_at(1, 1)


def test_memory_is_bounded_and_a_view_beyond_it_comes_to_an_end(view, monkeypatch, computed):
    monkeypatch.setattr(at_work, "_MOST", 4)
    view._ready.budget = 5 * 3 * 512 * 512
    view.look(0, WHOLE, MIDDLE)
    list(view.refine())
    assert len(computed) == 4
    level(view.slide)
    view.look(0, WHOLE, MIDDLE)
    assert [type(event) for event in view.refine()] == [Finished]
    for corner in (0, 600, 1200):
        view.look(0, Region(corner, corner, 60, 60), (corner, corner))
        list(view.refine())
        assert view._ready.size <= 5 * 3 * 512 * 512


def test_many_threads_may_read_while_it_is_refined(view, fitted):
    slide, transfer = fitted
    network = level(transferred(slide, transfer))
    student = level(view.slide)
    view.look(0, WHOLE, MIDDLE)
    done, wrong = threading.Event(), []

    def read():
        while not done.is_set():
            seen = np.asarray(view.slide.levels[0][512:1024, 512:1024])
            part = np.s_[512:1024, 512:1024]
            if not ((seen == student[part]).all() or (seen == network[part]).all()):
                wrong.append(seen)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    list(view.refine())
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert (level(view.slide) == network).all()

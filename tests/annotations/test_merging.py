"""Two windows keep what they say of one image: nothing that either says is lost."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import shapely

from napari_pathogan.annotations import geojson, merging
from napari_pathogan.annotations.geojson import Annotation
from napari_pathogan.annotations.merging import Known
from napari_pathogan.annotations.store import ASIDE, AnnotationStore
from napari_pathogan.errors import ResultFormatError
from napari_pathogan.kinds import OURS
from napari_pathogan.slides.imprint import Imprint


def at(place, name="IDC", by="reader", decision="open"):
    """A square far enough from others."""
    square = shapely.box(place, 0, place + 9.25, 9)
    return Annotation(square, class_name=name, by=by, decision=decision)


def seen(annotations):
    return sorted((one.geometry.bounds[0], one.class_name, one.decision) for one in annotations)


@pytest.fixture
def store(tmp_path):
    return AnnotationStore(tmp_path / "a.svs", ".idc.geojson")


class Window:
    """What a window has in hand, and knows of the file."""

    def __init__(self, store):
        self.store = store
        self.known = Known.read(store.path)
        self.has = geojson.read(store.path)[0] if store.path.is_file() else []

    def keep(self, **about):
        self.store.write(lambda: self.has, about, self.known)
        return self.known


def test_what_two_windows_draw_is_kept_both(store):
    one, two = Window(store), Window(store)
    for place in range(3):
        one.has.append(at(100 * place))
        one.keep()
        two.has.append(at(100 * place + 50, "healthy"))
        two.keep()
    lies = geojson.read(store.path)[0]
    assert seen(lies) == seen([*one.has, *two.has])
    assert seen(two.known.annotations) == seen(lies)
    assert "changed by another window" in two.known.note
    assert [file.name for file in store.image.parent.iterdir()] == ["a.svs.idc.geojson"]


def test_what_one_takes_away_or_changes_is_so_for_the_other(store):
    geojson.write(store.path, [at(0), at(100), at(200), at(300)], {}, OURS)
    one, two = Window(store), Window(store)
    del one.has[0]
    one.has[1] = replace(one.has[1], class_name="healthy")
    one.keep()
    del two.has[3]
    two.keep()
    assert seen(geojson.read(store.path)[0]) == seen([at(100), at(200, "healthy")])
    two.has.append(at(400))  # without having taken in what the other has done
    two.keep()
    assert seen(geojson.read(store.path)[0]) == seen([at(100), at(200, "healthy"), at(400)])


def test_what_both_say_otherwise_is_kept_beside(store):
    geojson.write(store.path, [at(0, by="model"), at(100, by="model")], {}, OURS)
    one, two = Window(store), Window(store)
    one.has = [at(0, decision="accepted"), at(100, decision="accepted")]
    one.keep()
    two.has = [at(0, "Ignore*", decision="rejected"), two.has[1]]
    known = two.keep()
    ours = [at(0, "Ignore*", decision="rejected"), at(100, decision="accepted")]
    assert seen(geojson.read(store.path)[0]) == seen(ours)
    (beside,) = store.image.parent.glob(f"*{ASIDE}*")
    assert seen(geojson.read(beside)[0]) == seen([at(0, decision="accepted")])
    assert known.note.endswith(f"Of 1 it says something else, which is in {beside.name}")
    assert AnnotationStore.in_folder(beside.parent, ".idc.geojson") == [store]


def test_what_a_model_found_gives_way_to_what_a_reader_said(store):
    """Both windows have run the model, before either had kept anything."""
    one, two = Window(store), Window(store)
    one.has = [at(0, by="reader", decision="accepted"), at(100, by="model")]
    two.has = [at(0, by="model"), at(100, by="reader", decision="rejected")]
    one.keep(sha256="a")
    two.keep(sha256="a")
    assert seen(geojson.read(store.path)[0]) == seen([one.has[0], two.has[1]])
    assert not list(store.image.parent.glob(f"*{ASIDE}*"))


@pytest.mark.parametrize(
    ("theirs", "own", "why"),
    [
        (
            {"imprint": str(Imprint((9, 9)))},
            {"imprint": str(Imprint((9, 90)))},
            "for another image",
        ),
        ({"grid": {"shape": (4, 4)}}, {"grid": {"shape": [4, 5]}}, "after another run"),
    ],
)
def test_what_can_be_no_part_of_the_file_is_kept_beside(theirs, own, why, store):
    one, two = Window(store), Window(store)
    one.has, two.has = [at(0)], [at(100)]
    one.keep(**theirs)
    known = two.keep(**own)
    assert seen(geojson.read(store.path)[0]) == seen(two.has)
    (beside,) = store.image.parent.glob(f"*{ASIDE}*")
    assert seen(geojson.read(beside)[0]) == seen(one.has)
    assert why in known.note
    assert beside.name in known.note


def test_what_a_window_does_not_show_stays_in_the_file(store):
    point = Annotation(shapely.Point(3, 4), class_name="Mitosis")
    geojson.write(store.path, [at(0), point], {}, OURS)
    known = Known.read(store.path, shows=lambda one: bool(one.polygons))
    for place in (100, 200):
        store.write(lambda p=place: [at(0), at(p)], {}, known)
        assert seen(geojson.read(store.path)[0]) == seen([at(0), point, at(place)])
        assert not known.note


def test_a_file_that_was_touched_alone_is_no_news(store):
    window = Window(store)
    window.has = [at(0)]
    window.keep()
    store.path.touch()
    window.has.append(at(100))
    assert not window.keep().note
    assert window.known.stamp == merging.stamp(store.path)


def test_what_can_not_be_read_stays(store):
    window = Window(store)
    window.has = [at(0)]
    store.path.write_text("{")
    with pytest.raises(ResultFormatError):
        window.keep()
    assert store.path.read_text() == "{"


def test_a_file_that_was_taken_away_is_written_whole(store):
    window = Window(store)
    window.has = [at(0)]
    window.keep()
    store.path.unlink()
    window.has.append(at(100))
    window.keep()
    assert len(geojson.read(store.path)[0]) == 2


WRITER = """
import sys, shapely
from pathlib import Path
from napari_pathogan.annotations.geojson import Annotation
from napari_pathogan.annotations.merging import Known
from napari_pathogan.annotations.store import AnnotationStore
row, store, known, has = int(sys.argv[2]), AnnotationStore(Path(sys.argv[1]), ".idc.geojson"), Known(), []
print("ready", flush=True); sys.stdin.readline()
for x in range(25):
    has.append(Annotation(shapely.box(20 * x, 20 * row, 20 * x + 9, 20 * row + 9), class_name="IDC", by="reader"))
    store.write(lambda: has, {}, known)
"""


def test_two_processes_that_write_at_once_lose_nothing(store):
    both = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store.image), str(row)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for row in (0, 1)
    ]  # fmt: skip
    for one in both:
        assert one.stdout.readline() == "ready\n"
    for one in both:
        one.stdin.write("\n")
        one.stdin.flush()
    assert [one.wait(120) for one in both] == [0, 0]
    for one in both:
        one.stdin.close()
        one.stdout.close()
    assert len(geojson.read(store.path)[0]) == 50
    assert [file.name for file in store.image.parent.iterdir()] == ["a.svs.idc.geojson"]

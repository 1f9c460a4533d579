"""Many slides by one command: what fails is told, what is done is not done twice."""

from __future__ import annotations

import importlib
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner

from napari_pathogan.batch import run as batch_run
from napari_pathogan.batch.run import run
from napari_pathogan.cli.app import build
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.events import Finished, Item, Warn
from napari_pathogan.errors import ModelNotFoundError, OutputError, UnknownScaleError
from napari_pathogan.files import locked

pytestmark = pytest.mark.usefixtures("toy")


def command(*words):
    done = CliRunner().invoke(build(), ["batch", "toy", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def finished(events):
    *_, last = events
    assert isinstance(last, Finished)
    return last.summary


def begun(events):
    """Names of the slides that were looked at in a batch."""
    return {one.name for one in events if isinstance(one, Item) and one.state == "runs"}


def test_each_slide_has_a_folder_and_all_have_a_table_and_a_page(slides, model, tmp_path):
    (slides / "broken.svs").write_text("no slide")
    (slides / "a.png.idc.geojson").write_text("{}")
    out = tmp_path / "out"
    done = command(slides, "-o", out, "--model", model, "--threshold", 0.4)
    assert done.exit_code == 2
    assert "4 of 5 are done, 1 failed" in done.output
    assert "1 of 5 failed; --resume tries these again" in done.output
    assert sorted(p.name for p in (out / "slides").iterdir()) == ["a", "b", "c", "d"]
    record = json.loads((out / "slides" / "a" / "result.json").read_text())
    assert (record["task"], record["source"]) == ("toy", str(slides / "a.png"))
    assert (out / "slides" / "a" / "a.toy.txt").read_text().startswith("toy a.png")
    assert record["images"][0]["files"] == ["a.toy.txt"]
    assert len(record["content"]["sha256"]) == len(record["model_sha256"]) == 64
    table = pd.read_csv(out / "summary.csv")
    assert table["name"].tolist() == ["a", "b", "broken", "c", "d"]
    assert table["state"].tolist() == ["done", "done", "failed", "done", "done"]
    assert table["probability"].notna().sum() == 4
    assert "not a slide" in table["error"][2]
    pd.testing.assert_frame_equal(
        pd.read_parquet(out / "summary.parquet")[["name", "probability"]],
        table[["name", "probability"]],
        check_dtype=False,
    )
    page = (out / "index.html").read_text()
    assert "4 of 5 done" in page
    assert "not a slide" in page
    assert 'href="slides/a/a.toy.txt"' in page
    assert json.loads((out / "failed" / "broken.json").read_text())["trace"] == ""


def test_a_batch_is_gone_on_with_and_does_nothing_twice(slides, model, tmp_path, picture):
    out = tmp_path / "out"
    broken = slides / "e.png"
    broken.write_bytes(b"\x89PNG no more")
    assert list(finished(run_toy(slides, out, model))["failed"]) == ["e"]
    picture(broken)
    picture(slides / "f.png")
    picture(slides / "x.png").replace(slides / "b.png")  # another slide of that name
    os.utime(slides / "c.png", (1, 1))  # touched, but the same
    events = list(run_toy(slides, out, model, resume=True))
    assert begun(events) == {"b", "e", "f"}
    assert events[-1].summary | {"text": "", "page": ""} == {
        "text": "", "done": 3, "before": 3, "failed": {}, "page": ""
    }  # fmt: skip
    assert not list((out / "failed").iterdir())
    events = list(run_toy(slides, out, model, resume=True))
    assert begun(events) == set()
    assert events[-1].summary["before"] == 6
    assert len(pd.read_csv(out / "summary.csv")) == 6


def test_results_of_what_a_slide_was_before_do_not_outlive_it(slides, model, tmp_path):
    out = tmp_path / "out"
    finished(run_toy(slides, out, model))
    (slides / "a.png").write_bytes(b"\x89PNG no more")
    assert list(finished(run_toy(slides, out, model, resume=True))["failed"]) == ["a"]
    assert not (out / "slides" / "a").exists()
    assert pd.read_csv(out / "summary.csv")["state"].tolist() == ["failed", *["done"] * 3]


def run_toy(patterns, out, model, **options):
    from napari_pathogan.tasks import task_of

    patterns = patterns if isinstance(patterns, list) else [str(patterns)]
    return run(task_of("toy"), patterns, out, model=str(model), device="cpu", **options)


def test_a_batch_that_is_stopped_leaves_nothing_half_done(slides, model, tmp_path):
    out = tmp_path / "out"
    events = run_toy(slides, out, model)
    for event in events:
        if isinstance(event, Item) and event.name == "b" and event.state == "runs":
            break
    events.close()
    assert [p.name for p in (out / "slides").iterdir()] == ["a"]
    assert pd.read_csv(out / "summary.csv")["state"].tolist() == ["done", *["not done"] * 3]
    assert sorted(p.name for p in out.iterdir() if p.name.startswith(".")) == []
    assert begun(list(run_toy(slides, out, model, resume=True))) == {"b", "c", "d"}


def test_what_a_kill_left_half_done_is_swept(slides, model, tmp_path):
    out = tmp_path / "out"
    finished(run_toy([str(slides / "a.png")], out, model))
    half = out / "slides" / ".pathogan-abcdefgh"
    half.mkdir()
    (half / "part").write_text("half")
    (half / ".pathogan-lock").touch()
    list(run_toy([str(slides / "a.png")], out, model, resume=True))
    assert not half.exists()


@pytest.mark.parametrize("record", ["{ damaged", "[]", '{"kind": "notes"}', "{}"])
def test_a_folder_that_is_no_result_is_left_alone(slides, model, tmp_path, record):
    out = tmp_path / "out"
    finished(run_toy(slides, out, model))
    (out / "slides" / "a" / "result.json").write_text(record)
    summary = finished(run_toy(slides, out, model, resume=True))
    assert "no earlier output of this kind" in summary["failed"]["a"]
    assert summary["before"] == 3
    assert (out / "slides" / "a" / "result.json").read_text() == record


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({}, OutputError, "holds a batch already; go on with it"),
        ({"resume": True, "threshold": 0.9}, OutputError, "other settings: options"),
        ({"resume": True, "threshold": 0.9, "mpp": 0.5}, OutputError, "other settings: options"),
        ({"resume": True, "save": ["nonsense"]}, SettingError, "choose among toy.txt"),
        ({"resume": True, "nonsense": 1}, SettingError, "no option 'nonsense'"),
    ],
)
def test_a_batch_is_not_mixed_with_another(slides, model, tmp_path, change, error, said):  # noqa: PLR0917
    finished(run_toy([str(slides / "a.png")], tmp_path / "out", model))
    with pytest.raises(error, match=said):
        list(run_toy([str(slides / "a.png")], tmp_path / "out", model, **change))


def test_a_scale_may_be_given_when_a_batch_goes_on(slides, model, tmp_path, monkeypatch):
    """It is that of slides which say none; those that are done had their own, and so have new ones."""
    seen = {}

    def needing(slide, model, *, threshold):
        if slide.mpp is None:
            raise UnknownScaleError(f"{slide.name} does not say how large a pixel is; give --mpp")
        seen[slide.name] = slide.mpp
        return predict(slide, model, threshold=threshold)

    def save(name):
        size = dict.fromkeys(("PhysicalSizeX", "PhysicalSizeY"), 0.25)
        pixels = np.full((64, 64, 3), 90, np.uint8)
        tifffile.imwrite(slides / name, pixels, ome=True, photometric="rgb", metadata=size)

    toy = importlib.import_module("toy_task.toy")
    predict = toy.predict
    monkeypatch.setattr(toy, "predict", needing)
    save("with.ome.tif")
    out = tmp_path / "out"
    summary = finished(run_toy(slides, out, model))
    assert (summary["done"], sorted(summary["failed"])) == (1, ["a", "b", "c", "d"])
    save("another.ome.tif")
    summary = finished(run_toy(slides, out, model, resume=True, mpp=0.5))
    assert (summary["before"], summary["done"], summary["failed"]) == (1, 5, {})
    assert seen.pop("with.ome.tif") == seen.pop("another.ome.tif") == (0.25, 0.25)
    assert set(seen) == {"a.png", "b.png", "c.png", "d.png"}
    assert set(seen.values()) == {(0.5, 0.5)}
    save("third.ome.tif")  # also when it goes on once more
    assert finished(run_toy(slides, out, model, resume=True, mpp=0.5))["done"] == 1
    assert seen["third.ome.tif"] == (0.25, 0.25)
    for another in ({"mpp": 0.6}, {}, {"mpp": 0.5, "threshold": 0.9}):
        with pytest.raises(OutputError, match="other settings: options"):
            list(run_toy(slides, out, model, resume=True, **another))


def test_a_folder_of_something_else_stays_as_it_is(slides, model, tmp_path):
    with pytest.raises(OutputError, match=r"is there already|is a folder"):
        list(run_toy(slides, slides, model))
    assert sorted(p.name for p in slides.iterdir()) == ["a.png", "b.png", "c.png", "d.png"]


def test_two_processes_do_not_work_in_one_folder(slides, model, tmp_path):
    events = run_toy(slides, tmp_path / "out", model)
    next(one for one in events if isinstance(one, Item) and one.state == "runs")
    with pytest.raises(OutputError, match="is being worked on just now"):
        list(run_toy(slides, tmp_path / "out", model, resume=True))
    events.close()


def test_what_a_batch_was_asked_for_is_not_written_while_another_process_works(
    slides, model, tmp_path
):
    out = tmp_path / "out"
    finished(run_toy([str(slides / "a.png")], out, model))
    asked = (out / "batch.json").read_bytes()
    with (
        locked(out / ".batch-lock", "busy"),
        pytest.raises(OutputError, match="is being worked on"),
    ):
        list(run_toy(slides, out, model, resume=True))
    assert (out / "batch.json").read_bytes() == asked


def test_two_processes_that_begin_at_once_do_not_mix(slides, model, tmp_path, monkeypatch):
    """The other has begun and ended between our look at the folder and our lock."""
    out = tmp_path / "out"

    plain = batch_run.digest_of_model

    def digest(*args):
        monkeypatch.setattr(batch_run, "digest_of_model", plain)
        finished(run_toy([str(slides / "a.png")], out, model))
        return plain(*args)

    monkeypatch.setattr(batch_run, "digest_of_model", digest)
    with pytest.raises(OutputError, match="holds a batch already"):
        list(run_toy(slides, out, model))
    assert list(json.loads((out / "batch.json").read_text())["sources"]) == ["a"]


def test_a_process_that_was_killed_before_it_wrote_anything_is_in_nobodys_way(
    slides, model, tmp_path
):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".batch-lock").touch()
    assert finished(run_toy(slides, tmp_path / "out", model))["done"] == 4


def test_another_slide_of_the_same_name_is_refused(slides, model, tmp_path, picture):
    other = tmp_path / "other"
    other.mkdir()
    picture(other / "a.png")
    finished(run_toy([str(slides / "a.png")], tmp_path / "out", model))
    with pytest.raises(OutputError, match="has results of another slide called a"):
        list(run_toy([str(other / "a.png")], tmp_path / "out", model, resume=True))
    both = [str(slides / "a.png"), str(other / "a.png")]
    assert finished(run_toy(both, tmp_path / "both", model))["done"] == 2
    names = sorted(p.name for p in (tmp_path / "both" / "slides").iterdir())
    assert names == ["other_a", "slides_a"]


def test_a_model_that_is_not_there(slides, tmp_path):
    with pytest.raises(ModelNotFoundError):
        list(run_toy(slides, tmp_path / "out", tmp_path / "nothing"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["*.png"], "abcd"),
        (["[ab].png", "a.png"], "ab"),
        (["**/*.png"], "abcde"),
        (["."], "abcd"),
        (["deep"], "e"),
        (["*"], "abcd"),
        (["c.png", "b.png"], "bc"),
    ],
)
def test_what_patterns_mean(slides, model, tmp_path, picture, monkeypatch, patterns, names):  # noqa: PLR0917
    (slides / "deep").mkdir()
    picture(slides / "deep" / "e.png")
    (slides / "notes.txt").write_text("no slide")
    monkeypatch.chdir(slides)
    events = list(run_toy(patterns, tmp_path / "out", model))
    assert begun(events) == set(names)
    said = [one.message for one in events if isinstance(one, Warn)]
    assert said == (
        ["left out: 1 files that are no images, by their suffixes"] if patterns == ["*"] else []
    )


@pytest.mark.parametrize("patterns", [["nothing*"], ["nothing.svs"], ["empty"], ["notes.txt"]])
def test_patterns_that_match_nothing(slides, model, tmp_path, monkeypatch, patterns):
    (slides / "empty").mkdir()
    (slides / "notes.txt").write_text("no slide")
    monkeypatch.chdir(slides)
    with pytest.raises(SettingError, match=r"nothing is called|no slide lies|nothing to look at"):
        list(run_toy(patterns, tmp_path / "out", model))
    assert not (tmp_path / "out").exists()


def test_a_slide_that_changes_while_it_is_looked_at(slides, model, tmp_path, monkeypatch, toy):
    import toy_task.toy as module

    def predict(slide, model, *, threshold):
        shutil.copy(slides / "b.png", slides / "a.png")
        yield from plain(slide, model, threshold=threshold)

    plain = module.predict
    monkeypatch.setattr(module, "predict", predict)
    failed = finished(run_toy([str(slides / "a.png")], tmp_path / "out", model))["failed"]
    assert "was changed while it was looked at" in failed["a"]
    assert not (tmp_path / "out" / "slides" / "a").exists()


def test_an_error_of_ours_stops_no_other_slide_and_is_kept(slides, model, tmp_path, monkeypatch):
    import toy_task.toy as module

    def predict(slide, model, *, threshold):
        if slide.name == "b.png":
            raise ZeroDivisionError("by zero")
        yield from plain(slide, model, threshold=threshold)

    plain = module.predict
    monkeypatch.setattr(module, "predict", predict)
    summary = finished(run_toy(slides, tmp_path / "out", model))
    assert summary["failed"] == {"b": "ZeroDivisionError: by zero"}
    kept = json.loads((tmp_path / "out" / "failed" / "b.json").read_text())
    assert "in predict" in kept["trace"]

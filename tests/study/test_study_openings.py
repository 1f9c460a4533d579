"""Where and when the answer key was opened: noted, carried along, and said of who had not finished."""

from __future__ import annotations

import json
import re

import pytest
from study_makers import answer, copied, simulate

from napari_pathogan.engine.events import Finished, Warn
from napari_pathogan.errors import StudyError
from napari_pathogan.study import openings as noted
from napari_pathogan.study import record as records
from napari_pathogan.study.html import render
from napari_pathogan.study.layout import key_path
from napari_pathogan.study.merge import merge
from napari_pathogan.study.openings import opened_here, openings
from napari_pathogan.study.record import Session
from napari_pathogan.study.report import report, tampering
from napari_pathogan.study.results import results


@pytest.fixture(autouse=True)
def own_user(tmp_path, monkeypatch):
    """A user of each test's own: what was noted of one study is not of another's copy."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / "user" / name)


def computer(monkeypatch, tmp_path, name):
    """Go to another computer, with another user folder."""
    monkeypatch.setattr(records, "machine", lambda: name)
    monkeypatch.setattr(noted, "machine", lambda: name)
    monkeypatch.setattr(noted, "user_folder", lambda: tmp_path / "users" / name)


def opened(study):
    *_, last = results(study)
    assert isinstance(last, Finished)
    return last.result


def test_whoever_finished_before_is_not_spoken_of(study):
    simulate(study, "Anna", 1, 0, 0)
    assert opened_here(study.folder, study.start) is None
    found = opened(study)
    assert len(found.openings) == 1
    assert opened_here(study.folder, study.start) == found.openings[0].at
    assert found.unblinded == ()
    assert "all who answered there had finished" in render(found)
    assert opened(study).openings == found.openings  # the first time is what counts


def test_whoever_had_not_finished_is(study):
    simulate(study, "Anna", 1, 0, 0)
    with Session.open(study, "Bert") as session:
        answer(session, 20)
    (one,) = opened(study).unblinded
    assert (one.reader, one.after, one.answered, one.total) == ("Bert", 0, 20, 28)
    with Session.open(study, "Bert") as session:
        answer(session, 8)
    with Session.open(study, "Carl") as session:  # begins where the key was opened before
        answer(session, 28)
    found = report(study, rounds=50)
    said = [str(one) for one in found.unblinded]
    assert re.match(
        r"the answer key was opened on the computer of Bert on \d{4}-\d\d-\d\d at \d\d:\d\d UTC, "
        r"before Bert had finished: 8 of 28 answers were given after that$", said[0],
    )  # fmt: skip
    assert "Carl had finished: 28 of 28 answers were given after that" in said[1]
    assert all(line in found.tables()[0].caption for line in said)
    assert [x["answers_after"] for x in found.to_dict()["unblinded"]] == [8, 28]
    page = re.sub(r"\s+", " ", render(found))
    assert "before Bert had finished: 8 of 28 answers" in page
    assert "Anna had finished" not in page


def test_the_readers_own_record_says_so_too(study):
    """Though what was noted is deleted."""
    simulate(study, "Anna", 1, 0, 0)
    opened(study)
    with Session.open(study, "Bert") as session:
        answer(session, 28)
    for path in (study.folder / "openings").iterdir():
        path.unlink()
    (one,) = report(study, rounds=50).unblinded
    assert (one.reader, one.after) == ("Bert", 28)


def test_a_key_of_another_study_opens_nothing(study, templates):
    simulate(study, "Anna", 1, 0, 0)
    with pytest.raises(StudyError, match="is not the answer key"):
        list(results(study, key_path(templates["pairs"])))
    assert opened_here(study.folder, study.start) is None


def test_it_holds_for_all_copies_on_one_computer_and_for_no_other(study, tmp_path, monkeypatch):
    computer(monkeypatch, tmp_path, "aaaa")
    with Session.open(study, "Anna") as session:
        answer(session, 28)
    here = copied(study.folder, tmp_path / "here")  # of the same computer
    there = copied(study.folder, tmp_path / "there")
    opened(study)
    with Session.open(here, "Bert") as session:
        answer(session, 28)
    computer(monkeypatch, tmp_path, "bbbb")
    assert opened_here(there.folder, there.start) is None
    with Session.open(there, "Carl") as session:
        answer(session, 28)
    merge(there, here)
    assert [one.reader for one in report(there, rounds=50).unblinded] == ["Bert"]
    assert openings(there.folder, there.start) == ()  # "here" itself was not opened
    merge(there, study)
    (one,) = openings(there.folder, there.start)
    assert one.machine == "aaaa"
    assert [x.reader for x in report(there, rounds=50).unblinded] == ["Bert"]


def test_tampering_with_what_was_noted_is_found(study):
    simulate(study, "Anna", 1, 0, 0)
    opened(study)
    (path,) = (study.folder / "openings").glob("*.jsonl")
    line = json.loads(path.read_text())
    path.write_text(json.dumps(line | {"at": "2001-01-01T00:00:00.000+00:00"}) + "\n")
    assert any("what was noted of the answer key was tampered" in x for x in tampering(study))
    other = copied(study.folder, study.folder.with_name("other"))
    with pytest.raises(StudyError, match=r"tampered with.*nothing was copied"):
        merge(study, other)


def test_where_nothing_can_be_noted_results_come_all_the_same(study, monkeypatch):
    simulate(study, "Anna", 1, 0, 0)
    user = study.folder / "a file"
    user.write_text("")
    monkeypatch.setattr(noted, "user_folder", lambda: user)
    events = list(results(study))
    (warning,) = [x for x in events if isinstance(x, Warn)]
    assert "that the answer key was opened could not be noted" in warning.message
    assert events[-1].result.verdict


def test_standings(study):
    simulate(study, "Anna", 1, 0, 0)
    with Session.open(study, "bert") as session:
        answer(session, 5)
        assert study.being_read() == ("bert",)
    assert study.being_read() == ()
    anna, bert = study.standings()
    assert (anna.reader, anna.answered, anna.total, anna.finished) == ("Anna", 26, 26, True)
    assert (bert.reader, bert.answered, bert.total, bert.finished) == ("bert", 3, 26, False)
    assert study.unfinished_here() == (bert,)
    with Session.open(study, "Carl"):
        pass  # only agreed to take part
    assert [one.answered for one in study.standings()] == [26, 3, 0]
    assert study.next_place(" BERT ") == 5
    assert study.next_place("Anna") is None
    assert study.next_place("Dora") == 0

"""Sessions: order, resuming, crashes, full disks, two at once."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from study_makers import answer, lines

from napari_pathogan.errors import OutputError, SessionError, StudyError
from napari_pathogan.study.layout import order, read_key, reader_code
from napari_pathogan.study.record import Session
from napari_pathogan.study.report import tampering

# --- order


def test_each_reader_has_an_order_of_their_own_and_keeps_it(study):
    orders = {name: [x.id for x in order(study.manifest, name)] for name in ("a", "b", "c")}
    assert orders["a"] == [x.id for x in order(study.manifest, " A ")]
    assert len({tuple(own) for own in orders.values()}) == 3
    assert all(Counter(own) == Counter(orders["a"]) for own in orders.values())
    assert len(orders["a"]) == 28


def test_practice_first_blocks_balanced_repeats_far_apart(study):
    key = read_key(study.folder, None, study.manifest)
    for name in map(str, range(20)):
        shown = order(study.manifest, name)
        assert [x.item.kind == "practice" for x in shown] == [True] * 2 + [False] * 26
        for block in (0, 1):
            first = [x for x in shown if x.block == block and x.time == 1]
            own = [x for x in shown if x.block == block and x.item.kind == "study"]
            real = [key.truth[x.images[0]].real for x in own]
            assert real.count(True) == real.count(False) == 6  # 5, and a repeat of the other block
            assert sum(x.item.kind == "control" for x in first) == 1
        place = {x.id: i for i, x in enumerate(shown)}
        apart = [
            place[f"{x.item.id}.2"] - place[x.id] for x in shown if x.item.repeated and x.time == 1
        ]
        assert len(apart) == 4
        assert min(apart) >= 5


def test_sides_of_pairs_are_balanced_and_swapped_the_second_time(pairs):
    key = read_key(pairs.folder, None, pairs.manifest)
    sides = []
    for name in map(str, range(20)):
        shown = order(pairs.manifest, name)
        first = [x for x in shown if x.time == 1 and x.item.kind == "study" and not x.item.repeated]
        left = [key.truth[x.images[0]].real for x in shown if x.item.kind == "study"]
        assert abs(2 * sum(left) - len(left)) <= 2
        sides.append(tuple(x.images for x in sorted(first, key=lambda x: x.item.id)))
        for again in (x for x in shown if x.time == 2):
            (before,) = (x for x in shown if x.item == again.item and x.time == 1)
            assert again.images == before.images[::-1]
    assert len(set(sides)) > 1


def test_reader_code():
    assert reader_code("  Dr.  MU\u0308LLER ") == reader_code("dr. m\u00fcller")
    same = ("Dr. X", "Dr X", "dr.x", " DR\u00a0X. ", "\uff24r\u3002X", "Dr-X")
    assert {reader_code(one) for one in same} == {"drx"}
    assert reader_code("J.P. O\u2019Hara") == reader_code("JP O'Hara")
    assert reader_code("Stra\u00dfe") == reader_code("STRASSE")
    assert reader_code("R 1") == reader_code("r1")
    different = (
        "1 1",
        "1.11",
        "11",
        "111",
        "Dr X",
        "Dr Y",
        "\u0906\u0930",
        "\u0905\u0930",
        "\u5f20",
    )
    assert len({reader_code(one) for one in different}) == len(different)
    for bad in ("", "   ", "...", "x" * 81, "a\nb\x00"):
        with pytest.raises(StudyError, match="name or code"):
            reader_code(bad)


def test_who_types_their_name_otherwise_goes_on_and_is_called_as_before(study):
    with Session.open(study, "Dr. Ana  M\u00fcller") as session:
        answer(session, 1)
        after = session.trial.id
    with Session.open(study, "dr ana mu\u0308ller") as session:
        assert session.trial.id == after
        assert session.reader == "Dr. Ana M\u00fcller"
    assert study.readers() == ("Dr. Ana M\u00fcller",)
    assert study.next_place("DR ANA M\u00dcLLER") == 1


# --- answering


def test_a_session_shows_all_trials_once_and_ends(study):
    with Session.open(study, "Anna") as session:
        trial = session.trial
        assert trial.image.dtype == np.uint8
        assert trial.image.shape == (16, 16, 3)
        assert (trial.index, trial.total, trial.kind, trial.block) == (0, 28, "practice", -1)
        shown = answer(session, 28)
        assert session.trial is None
        assert (session.answered, session.total) == (28, 28)
        with pytest.raises(SessionError, match="has answered all 28"):
            session.answer("real", 3, 1)
        receipt = session.receipt
    assert shown == [x.id for x in order(study.manifest, "anna")]
    (record,) = study.records()
    assert [x.trial for x in record.answers] == shown
    assert record.chain.receipt == receipt
    assert (record.reader, record.problem) == ("Anna", None)
    assert study.readers() == ("Anna",)
    assert tampering(study) == ()


def test_what_is_recorded(study):
    views = [{"t": 0.0, "zoom": 4.0, "y": 8.0, "x": 8.0}, {"t": 1.25, "zoom": 8, "y": 2, "x": 3}]
    with Session.open(study, "Anna") as session:
        session.answer("generated", 5, 2.34567, zooms=views)
    first, second = (json.loads(line) for line in lines(study))
    assert (first["what"], first["reader"]) == ("opened", "Anna")
    assert len(first["consent"]) == 64
    assert second["previous"] == first["hash"]
    kept = {k: second[k] for k in ("choice", "confidence", "time_s", "zooms")}
    assert kept == {"choice": "generated", "confidence": 5, "time_s": 2.346, "zooms": views}


def test_no_zoom_comes_after_the_answer(study):
    with Session.open(study, "Anna") as session:
        session.answer("real", 1, 0.00312, zooms=[{"t": 0.00311, "zoom": 4, "y": 8, "x": 8}])
    given = json.loads(lines(study)[1])
    assert given["zooms"][0]["t"] <= given["time_s"]


def test_an_answer_is_on_disk_before_the_next_image(study, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    with Session.open(study, "Anna") as session:
        answer(session)
        size = session.path.stat().st_size
        assert synced.count(size) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("left", 3, 1.0), "'left' is no answer"),
        (("real", 0, 1.0), "0 is no confidence"),
        (("real", 6, 1.0), "6 is no confidence"),
        (("real", True, 1.0), "True is no confidence"),
        (("real", 3, -1.0), "is no time"),
        (("real", 3, float("nan")), "is no time"),
    ],
)
def test_what_is_no_answer_is_refused(study, wrong, said):
    with Session.open(study, "Anna") as session:
        with pytest.raises(SessionError, match=said):
            session.answer(*wrong)
        assert session.answered == 0
    assert len(lines(study)) == 1


def test_an_answer_cant_be_given_twice(study):
    with Session.open(study, "Anna") as session:
        (first,) = answer(session)
        with pytest.raises(SessionError, match="can't be given twice"):
            session.answer("real", 3, 1, trial=first)
        assert session.answered == 1
    with pytest.raises(SessionError, match="is closed"):
        session.answer("real", 3, 1)


def test_it_goes_on_where_it_stopped(study):
    with Session.open(study, "Anna") as session:
        done = answer(session, 9)
    with Session.open(study, "anna ") as session:
        assert session.answered == 9
        assert session.trial.index == 9
        done += answer(session, 19)
    assert done == [x.id for x in order(study.manifest, "anna")]
    assert Session.open(study, "Anna").trial is None


def test_two_sessions_of_one_reader_are_refused(study):
    with Session.open(study, "Anna"):
        with pytest.raises(SessionError, match="ANNA has a session open already"):
            Session.open(study, "ANNA")
        with Session.open(study, "Bert") as other:
            answer(other)
    with Session.open(study, "Anna") as again:
        answer(again)


SCRIPT = """
import sys
from napari_pathogan.study.record import Session, Study
with Session.open(Study.open(sys.argv[1]), "Anna") as session:
    while (trial := session.trial) is not None:
        session.answer("real", 2, 0.5, trial=trial.id)
        print(trial.id, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_after_kill_9_no_answer_is_lost_or_given_twice(study):
    confirmed = []
    for stop_after in (3, 2):
        command = [sys.executable, "-c", SCRIPT, str(study.folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            confirmed += [process.stdout.readline().strip() for _ in range(stop_after)]
            process.send_signal(signal.SIGKILL)
            confirmed += [line.strip() for line in process.stdout if line.endswith("\n")]
    with Session.open(study, "Anna") as session:  # the dead process holds no lock
        assert session.answered >= len(confirmed)
        while session.trial is not None:
            answer(session)
    given = [x.trial for record in study.records() for x in record.answers]
    assert set(confirmed) <= set(given)
    assert sorted(given) == sorted(x.id for x in order(study.manifest, "anna"))
    assert tampering(study) == ()


@pytest.mark.parametrize("rest", [b'{"n": 5, "previ', b"\x00\x00\x00", b"{}"])
def test_a_line_cut_by_a_crash_is_dropped(study, rest):
    with Session.open(study, "Anna") as session:
        done = answer(session, 4)
    with session.path.open("ab") as stream:
        stream.write(rest)
    (record,) = study.records()
    assert record.problem is None
    assert record.chain.cut
    with Session.open(study, "Anna") as session:
        assert session.answered == 4
        done += answer(session, 2)
    assert [x.trial for x in study.records()[0].answers] == done
    assert tampering(study) == ()


# --- a full disk


def test_a_full_disk_loses_nothing(study, monkeypatch):
    real_write = os.write

    def half(file: int, data) -> int:
        if len(data) > 40:
            return real_write(file, bytes(data)[:40])
        raise OSError(errno.ENOSPC, "No space left on device")

    with Session.open(study, "Anna") as session:
        done = answer(session, 3)
        trial = session.trial
        with monkeypatch.context() as full:
            full.setattr(os, "write", half)
            for _ in range(2):
                with pytest.raises(OutputError, match="the disk is full"):
                    session.answer("real", 4, 2, trial=trial.id)
        assert session.trial is trial
        assert len(lines(study)) == 4
        done += answer(session, 25)
    assert [x.trial for x in study.records()[0].answers] == done
    assert tampering(study) == ()


@pytest.mark.skipif(os.name != "posix", reason="file size limits")
def test_the_systems_own_half_written_line_is_undone(study):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Session.open(study, "Anna") as session:
        answer(session, 2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (session.path.stat().st_size + 30, before[1]))
        try:
            with pytest.raises(OutputError, match="can't write"):
                session.answer("real", 4, 2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert len(lines(study)) == 3
        answer(session, 26)
    assert tampering(study) == ()


def test_a_head_that_cant_be_written_costs_no_answer(study, monkeypatch):
    with Session.open(study, "Anna") as session:
        answer(session, 2)
        with monkeypatch.context() as broken:
            broken.setattr(
                "napari_pathogan.study.chain.write_text",
                lambda *_: (_ for _ in ()).throw(OutputError("no room")),
            )
            answer(session)
    assert tampering(study) == ()
    assert len(study.records()[0].answers) == 3

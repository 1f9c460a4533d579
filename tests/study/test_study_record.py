"""Sessions: order, resuming, crashes, full disks, two at once, tampering."""

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
from PIL import Image

from napari_pathogan.errors import OutputError, SessionError, StudyError
from napari_pathogan.study.chain import head_file, read_chain
from napari_pathogan.study.layout import key_path, order, read_key, reader_code
from napari_pathogan.study.record import Session, Study
from napari_pathogan.study.report import tampering


def answer(session: Session, times: int = 1, choice: str | None = None) -> list[str]:
    """Answer some trials; their ids."""
    done = []
    for _ in range(times):
        trial = session.trial
        assert trial is not None
        done.append(trial.id)
        session.answer(choice or session.study.choices[0], 3, 1.5, trial=trial.id)
    return done


def lines(study: Study) -> list[str]:
    (path,) = (study.folder / "readers").glob("*.jsonl")
    return path.read_text("utf-8").splitlines()


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
    for bad in ("", "   ", "x" * 81, "a\nb\x00"):
        with pytest.raises(StudyError, match="name or code"):
            reader_code(bad)


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


# --- tampering


@pytest.fixture
def answered(study) -> Study:
    with Session.open(study, "Anna") as session:
        answer(session, 6)
    return study


def rewrite(study: Study, change) -> None:
    (path,) = (study.folder / "readers").glob("*.jsonl")
    kept = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(change(kept)), "utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: [*x[:3], x[3].replace('"real"', '"generated"'), *x[4:]], "line 4 was changed"),
        (lambda x: [*x[:3], x[3].replace("1.5", "1.4"), *x[4:]], "line 4 was changed"),
        (lambda x: [*x[:3], *x[4:]], "removed, added or moved: line 5 stands as line 4"),
        (
            lambda x: [*x[:3], x[4], x[3], *x[5:]],
            "removed, added or moved: line 5 stands as line 4",
        ),
        (lambda x: [*x, x[-1]], "removed, added or moved: line 7 stands as line 8"),
        (lambda x: x[:-1], r"1 line was removed at the end \(7 had been written\)"),
        (lambda x: x[:-3], r"3 lines were removed at the end \(7 had been written\)"),
        (lambda x: [*x[:3], "nonsense\n", *x[3:]], "line 4 is not what was written"),
        (lambda x: [*x[:3], "[1]\n", *x[3:]], "line 4 is not what was written"),
    ],
)
def test_changed_removed_and_moved_answers_are_found(answered, change, said):
    rewrite(answered, change)
    (problem,) = tampering(answered)
    assert "record of Anna was tampered with" in problem
    with pytest.raises(StudyError, match=said):
        raise StudyError(problem)
    with pytest.raises(StudyError, match="was tampered with"):
        Session.open(answered, "Anna")
    with Session.open(answered, "Bert") as session:  # others can go on
        answer(session)


def test_a_record_that_was_forged_whole_does_not_fit_its_head(answered):
    (path,) = (answered.folder / "readers").glob("*.jsonl")
    head = head_file(path).read_bytes()
    path.unlink()
    head_file(path).unlink()
    with Session.open(answered, "Anna") as session:
        answer(session, 6, "generated")
    head_file(path).write_bytes(head)
    (problem,) = tampering(answered)
    assert "written anew" in problem


def test_answers_that_no_session_gives_are_found(answered):
    from napari_pathogan.study.chain import seal

    (path,) = (answered.folder / "readers").glob("*.jsonl")
    chain = read_chain(path, answered.start)
    again = {k: v for k, v in chain.entries[-1].items() if k not in ("n", "previous")}
    line, _ = seal(again, len(chain.entries), chain.head)
    path.write_bytes(path.read_bytes() + line)
    (problem,) = tampering(answered)
    assert "line 8 answers the same image a second time" in problem


def test_swapped_and_changed_images_are_found(answered):
    first, second, third, *_ = sorted((answered.folder / "images").iterdir())
    first.rename(first.with_name("x"))
    second.rename(first)
    first.with_name("x").rename(second)
    with Image.open(third) as image:
        pixels = np.array(image)
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(third, compress_level=0)
    problems = tampering(answered)
    assert len(problems) == 3
    assert all(
        f"{name.name} was changed or swapped" in said
        for name, said in zip((first, second, third), problems, strict=True)
    )


def test_a_session_does_not_show_a_changed_image(study):
    with Session.open(study, "Anna") as session:
        path = study.folder / "images" / f"{session.images[0]}.png"
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        with pytest.raises(StudyError, match="was changed or swapped"):
            _ = session.trial


def test_a_missing_image_is_said(study):
    next((study.folder / "images").iterdir()).unlink()
    with pytest.raises(StudyError, match="lacks 1 of its images"):
        Study.open(study.folder)


def test_a_changed_manifest_is_found(answered):
    path = answered.folder / "study.json"
    path.write_text(path.read_text("utf-8").replace('"margin": 0.1', '"margin": 0.3'), "utf-8")
    (problem,) = tampering(Study.open(answered.folder))
    assert "study.json was changed since" in problem


def test_a_changed_or_foreign_key_is_refused(study, templates):
    path = key_path(study.folder)
    read_key(study.folder, None, study.manifest)
    with pytest.raises(StudyError, match="not the answer key that study was made with"):
        read_key(study.folder, key_path(templates["pairs"]), study.manifest)
    path.write_text(
        path.read_text("utf-8").replace('"real":true', '"real":false', 1) + " ", "utf-8"
    )
    with pytest.raises(StudyError, match="changed since"):
        read_key(study.folder, None, study.manifest)
    path.unlink()
    with pytest.raises(StudyError, match=r"answer key is \(--key\)"):
        read_key(study.folder, None, study.manifest)


@pytest.mark.parametrize("text", ["", "{}", '{"format": 2}', "\x00"])
def test_a_damaged_study_is_refused(study, text):
    (study.folder / "study.json").write_text(text, "utf-8")
    with pytest.raises(StudyError, match="damaged or not of this kind"):
        Study.open(study.folder)


def test_what_is_no_study_is_refused(tmp_path):
    with pytest.raises(StudyError, match="pathogan study new"):
        Study.open(tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_said(study):
    (study.folder / "readers").chmod(0o500)
    with pytest.raises(OutputError, match="no permission"):
        Session.open(study, "Anna")


def test_records_say_nothing_of_the_truth(answered):
    key = read_key(answered.folder, None, answered.manifest)
    shipped = "".join(
        path.read_text("utf-8") for path in answered.folder.rglob("*.json*") if path.is_file()
    )
    assert not any(truth.origin in shipped for truth in key.truth.values())
    assert key.salt not in shipped

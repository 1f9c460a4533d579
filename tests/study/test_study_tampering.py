"""Records, images, manifests and keys that were changed: all of it is found and said."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image
from study_makers import answer

from napari_pathogan.errors import OutputError, StudyError
from napari_pathogan.files import sha256
from napari_pathogan.study.chain import head_file, read_chain
from napari_pathogan.study.layout import key_path, read_key
from napari_pathogan.study.record import Session, Study
from napari_pathogan.study.report import tampering


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


NO_ANSWERS = [
    {"choice": 7},
    {"choice": ["real"]},
    {"confidence": 9},
    {"confidence": True},
    {"confidence": [3]},
    {"time_s": "x"},
    {"time_s": None},
    {"time_s": float("nan")},
    {"time_s": -1},
    {"zooms": 5},
    {"zooms": [[1]]},
    {"zooms": None},
    {"images": 5},
    {"images": [[1]]},
    {"images": None},
    {"trial": {"a": 1}},
    {"at": "yesterday"},
    {"at": 3},
    {"what": None},
    {"key_opened": 7},
    {"key_opened": "long ago"},
    {"reader": [1]},
    {"reader": "x" * 5000},
    {"reader": "\u2028"},
    {"what": "answer "},
]


@pytest.mark.parametrize("wrong", NO_ANSWERS, ids=str)
@pytest.mark.parametrize("gone", [False, True])
def test_lines_that_were_sealed_anew_are_found_whatever_they_hold(answered, wrong, gone):
    """Without a head file the hashes fit: what remains is what the lines say."""
    from napari_pathogan.study.chain import seal

    (path,) = (answered.folder / "readers").glob("*.jsonl")
    raw, previous = b"", answered.start
    for number, entry in enumerate(read_chain(path, answered.start).entries):
        body = {k: v for k, v in entry.items() if k not in ("n", "previous")}
        if number == 2:
            body |= wrong
            body = {k: v for k, v in body.items() if not (gone and k in wrong)}
        line, previous = seal(body, number, previous)
        raw += line
    path.write_bytes(raw)
    head_file(path).unlink()
    answered.standings()
    optional = gone and {"key_opened", "reader"} & set(wrong)
    assert len(tampering(answered)) == (0 if optional else 1)


def test_a_line_that_is_nested_without_end_is_found(answered):
    rewrite(answered, lambda x: [*x[:3], "[" * 100_000 + "\n", *x[3:]])
    (problem,) = tampering(answered)
    assert "line 4 is not what was written" in problem


@pytest.mark.parametrize("half", ["\\ud800", "\\udfff"])
def test_half_a_character_is_found(answered, half):
    rewrite(answered, lambda x: [*x[:3], x[3].replace("real", half), *x[4:]])
    (problem,) = tampering(answered)
    assert "line 4 was changed" in problem


def test_a_key_that_does_not_know_all_images_is_refused(study):
    path, manifest = key_path(study.folder), study.folder / "study.json"
    key = json.loads(path.read_text("utf-8"))
    del key["truth"][study.manifest.items[0].images[0]]
    path.write_text(json.dumps(key), "utf-8")
    about = json.loads(manifest.read_text("utf-8")) | {"key_sha256": sha256(path)}
    manifest.write_text(json.dumps(about), "utf-8")
    with pytest.raises(StudyError, match="does not say of 1 images what they are"):
        read_key(study.folder, None, Study.open(study.folder).manifest)


def test_what_was_noted_of_the_key_is_checked_too(answered):
    from napari_pathogan.study.chain import seal
    from napari_pathogan.study.openings import opening_problems, openings

    folder = answered.folder / "openings"
    folder.mkdir()
    (folder / "abc.jsonl").write_bytes(seal({"what": "key opened"}, 0, answered.start)[0])
    assert openings(answered.folder, answered.start) == ()
    assert "line 1 was not written" in opening_problems(answered.folder, answered.start)[0]

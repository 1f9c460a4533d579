"""What a reader hands back from the page of a study."""

from __future__ import annotations

import json

from napari_pathogan.study.chain import seal


def handed_back(study, path, *, name="Anna", answers=6, computer="0123abcd", before=b""):
    """A file as the page writes it; with ``before``, going on from an earlier one."""
    lines, head = before.splitlines(keepends=True), study.start
    if lines:
        head = json.loads(lines[-1])["hash"]
    given = sum(json.loads(line)["what"] == "answer" for line in lines)
    at = {"at": "2026-03-01T09:30:12.123+00:00"}
    entries = [{"what": "opened", "reader": name, "computer": computer, **at}]
    for showing in study.order(name)[given : given + answers]:
        said = {"choice": study.choices[0], "confidence": 3, "time_s": 1, "zooms": []}
        entries.append(
            {"what": "answer", "trial": showing.id, "images": list(showing.images), **said, **at}
        )
    entries.append({"what": "handed back", **at})
    for entry in entries:
        line, head = seal(entry, len(lines), head)
        lines.append(line)
    path.write_bytes(b"".join(lines))
    return path

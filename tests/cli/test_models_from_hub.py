"""``pathogan models add hf-hub:...`` against a hub of our own on this machine."""

from __future__ import annotations

import hashlib
import http.server
import json
import shutil
import threading

import pytest

from napari_pathogan import library
from napari_pathogan.engine import places
from napari_pathogan.engine.models import zoo
from napari_pathogan.errors import ModelError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SOURCE = f"hf-hub:someone/model@{COMMIT}"


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "data_folder", lambda: tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder that is served as the hub serves a repository; and what was asked for."""
    folder, asked = tmp_path / "served", []
    shutil.copytree(zoo() / "idc-cgan", folder)
    (folder / "setup.py").write_text("raise SystemExit")

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            asked.append(self.path)
            files = sorted(folder.iterdir())
            if self.path.startswith("/api/models/someone/model/tree/"):
                tree = [
                    {"type": "file", "path": x.name, "size": x.stat().st_size, "oid": "0" * 40}
                    for x in files
                ]
                self._say(json.dumps(tree).encode(), "application/json")
            elif self.path.startswith("/api/models/someone/model"):
                said = {"id": "someone/model", "sha": COMMIT}
                said["siblings"] = [{"rfilename": x.name} for x in files]
                self._say(json.dumps(said).encode(), "application/json")
            elif self.path.startswith(f"/someone/model/resolve/{COMMIT}/"):
                self._say((folder / self.path.rpartition("/")[2]).read_bytes())
            else:
                self.send_error(404)

        def _say(self, body, kind="application/octet-stream"):
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    from huggingface_hub import constants

    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield folder, asked
    server.shutdown()
    server.server_close()


def test_a_model_comes_from_the_hub_at_its_commit_and_nothing_else_does(hub, data_folder):
    _, asked = hub
    own = library.find("idc-cgan").card
    one = library.add(SOURCE, "theirs", own.sha256.upper())
    assert one.place.is_relative_to(data_folder)
    assert {path.name for path in one.place.iterdir()} <= {
        "model.json",
        "weights.safetensors",
        "past.safetensors",
        "calibration.png",
    }
    assert not [path for path in asked if "setup.py" in path]
    assert one.card.recipe["fetched_from"] == SOURCE
    library.verify(one)
    assert "theirs" in library.listed("idc")


def test_other_weights_than_were_asked_for_are_refused(hub, data_folder):
    with pytest.raises(ModelError, match="has other weights than were asked for"):
        library.add(SOURCE, "theirs", "0" * 64)
    assert not data_folder.exists() or not list(data_folder.rglob("model.json"))


def test_weights_that_are_not_those_of_the_card_are_refused(hub):
    folder, _ = hub
    raw = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(ModelError, match="sha256 differs"):
        library.add(SOURCE, "theirs")


def test_a_repository_of_another_kind_is_refused(hub):
    folder, _ = hub
    (folder / "model.json").unlink()
    with pytest.raises(ModelError, match=r"holds no model\.json"):
        library.add(SOURCE, "theirs")


@pytest.mark.parametrize(
    "source",
    [
        "hf-hub:someone/model",
        "hf-hub:someone/model@main",
        f"hf-hub:model@{COMMIT}",
        f"hf-hub:../x/y@{COMMIT}",
    ],
)
def test_what_may_change_is_refused_before_anything_is_asked(hub, source):
    _, asked = hub
    with pytest.raises(ModelError, match="names no model that stays as it is"):
        library.add(source)
    assert asked == []


def test_a_hub_that_has_no_such_thing_is_one_sentence(hub):
    with pytest.raises(ModelError, match=r"can't be fetched .*check the name, the network"):
        library.add(f"hf-hub:nobody/nothing@{COMMIT}")

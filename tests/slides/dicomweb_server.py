"""A DICOMweb archive on loopback: it finds instances, gives headers and frames, and fails on demand."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pydicom
from pydicom.encaps import generate_frames

_INSTANCE = re.compile(
    r"/web/studies/([\d.]+)/series/([\d.]+)/instances/([\d.]+)/(metadata|frames/(\d+))"
)


class Archive(ThreadingHTTPServer):
    """Holds the DICOM files of a folder; what it was asked is in ``asked``.

    Attributes
    ----------
    faults
        What goes wrong with the next requests, one each: a status, or "cut", "slow"; ``always`` with all
        after them.
    login
        "user:password" that is asked for.
    """

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.held = {}
        for path in sorted(folder.glob("*.dcm")):
            one = pydicom.dcmread(path)
            self.held[str(one.SOPInstanceUID)] = one
        self.asked = []
        self.faults = []
        self.always = None
        self.login = ""
        self.delay = 5.0

    @property
    def base(self):
        return f"127.0.0.1:{self.server_port}/web"

    def address(self, series="1.2.3", login=""):
        return f"http://{login}{self.base}/studies/1.2/series/{series}"

    def handle_error(self, request, client_address):
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Archive

    def log_message(self, *args):
        """Say nothing."""

    def do_GET(self):
        server, address = self.server, urlsplit(self.path)
        server.asked.append(address.path)
        if server.login:
            wanted = "Basic " + base64.b64encode(server.login.encode()).decode()
            if self.headers.get("Authorization") != wanted:
                self.say(401)
                return
        fault = server.faults.pop(0) if server.faults else server.always
        if isinstance(fault, int):
            self.say(fault)
            return
        if address.path == "/web/studies/1.2/instances":
            self.find(parse_qs(address.query), fault)
            return
        found = _INSTANCE.fullmatch(address.path)
        one = server.held.get(found[3]) if found else None
        if one is None:
            self.say(404)
        elif found[4] == "metadata":
            header = one.to_json_dict()
            header.pop("7FE00010")
            self.give([header], fault)
        else:
            self.frame(one, int(found[5]), fault)

    def find(self, query, fault):
        series = query.get("SeriesInstanceUID", query.get("0020000E", [""]))[0]
        kind = query.get("SOPClassUID", query.get("00080016", [""]))[0]
        found = [
            {
                "00080016": {"vr": "UI", "Value": [str(one.SOPClassUID)]},
                "00080018": {"vr": "UI", "Value": [name]},
                "0020000E": {"vr": "UI", "Value": [str(one.SeriesInstanceUID)]},
                "00083002": {"vr": "UI", "Value": [str(one.file_meta.TransferSyntaxUID)]},
            }
            for name, one in self.server.held.items()
            if one.SeriesInstanceUID == series and one.SOPClassUID == kind
        ]
        self.give(found, fault)

    def frame(self, one, number, fault):
        syntax = one.file_meta.TransferSyntaxUID
        if syntax.is_compressed:
            frames = list(generate_frames(one.PixelData, number_of_frames=one.NumberOfFrames))
            data = frames[number - 1]
        else:
            size = len(one.PixelData) // one.NumberOfFrames
            data = one.PixelData[(number - 1) * size : number * size]
        kind = "image/jp2" if syntax.is_compressed else "application/octet-stream"
        head = f"--x\r\nContent-Type: {kind}; transfer-syntax={syntax}\r\n\r\n".encode()
        body = head + data + b"\r\n--x--\r\n"
        self.send(body, f'multipart/related; type="{kind}"; boundary=x', fault)

    def give(self, found, fault):
        self.send(json.dumps(found).encode(), "application/dicom+json", fault)

    def say(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send(self, body, kind, fault):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault == "slow":
            time.sleep(self.server.delay)
        self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)
        self.close_connection = fault == "cut"


@contextmanager
def archive_of(folder):
    server = Archive(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()

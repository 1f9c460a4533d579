"""A server of files in a folder, on loopback: HTTP with ranges and ETags, faulty on demand; or S3."""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path


class SlideServer(ThreadingHTTPServer):
    """Serves ``folder``; what it was asked is in ``asked``, and what goes wrong is set on it.

    Attributes
    ----------
    faults
        What goes wrong with the next requests for files, one each: a status, or "cut", "slow",
        "short".
    always
        What goes wrong with every request, after ``faults``.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.asked: list[tuple[str, str]] = []  # path with query, range
        self.heads: list[dict[str, str]] = []
        self.faults: list[int | str] = []
        self.always: int | str | None = None
        self.ranges, self.etags, self.dates = True, True, True
        self.login = self.query = self.secret = ""
        self.missing = 404
        self.claim = 0  # bytes that every file is said to have
        self.delay = 5.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SlideServer

    def log_message(self, *args):
        """Say nothing."""

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range", "")))
        server.heads.append(dict(self.headers))
        address = urlsplit(self.path)
        if server.login and self.headers.get("Authorization") != server.login:
            self.say(401)
            return
        if server.secret and not signed_by(dict(self.headers), "GET", self.path, server.secret):
            self.say(403)
            return
        if server.query and address.query != server.query:
            self.say(403)
            return
        fault = server.faults.pop(0) if server.faults else server.always
        if isinstance(fault, int):
            self.say(fault)
            return
        file = server.folder / unquote(address.path).lstrip("/")
        if not file.is_file():
            self.say(server.missing)
            return
        self.send(file, fault)

    def say(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send(self, file, fault):
        server, data = self.server, file.read_bytes()
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        if server.etags and self.headers.get("If-None-Match") == etag:
            self.say(304)
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, stop = 0, len(data)
        if asked and server.ranges:
            start, stop = int(asked[1]), min(int(asked[2]) + 1, len(data))
            if start >= len(data):
                self.say(416)
                return
            self.send_response(206)
            self.send_header(
                "Content-Range", f"bytes {start}-{stop - 1}/{server.claim or len(data)}"
            )
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(stop - start))
        if server.etags:
            self.send_header("ETag", etag)
        if server.dates:
            self.send_header("Last-Modified", self.date_time_string(int(file.stat().st_mtime)))
        self.end_headers()
        if fault == "slow":
            time.sleep(server.delay)
        self.wfile.write(data[start : (start + stop) // 2] if fault == "cut" else data[start:stop])
        self.close_connection = fault == "cut"


@contextmanager
def serving(folder):
    """A server that runs."""
    server = SlideServer(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def signed_by(head, method, target, secret):
    """Whether a request is signed as AWS has it (Signature Version 4), with this secret."""
    lower = {name.lower(): value.strip() for name, value in head.items()}
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?"
        r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})",
        lower.get("authorization", ""),
    )
    if found is None:
        return False
    _, day, region, names, signature = found.groups()
    address = urlsplit(target)
    headers = "".join(f"{name}:{lower[name]}\n" for name in names.split(";"))
    request = "\n".join(
        (method, address.path, address.query, headers, names, lower["x-amz-content-sha256"])
    )
    scope = f"{day}/{region}/s3/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join(("AWS4-HMAC-SHA256", lower["x-amz-date"], scope, digest))
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request", text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(key.hex(), signature)

"""A real Chromium, driven through its DevTools pipe: no driver and no network."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

from patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--remote-debugging-pipe", "--disable-background-networking", "--window-size=1366,768"),
)


class Browser:
    """One Chromium with a profile of its own, and one page in it.

    Parameters
    ----------
    home
        Folder of its profile and downloads.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.downloads = home / "downloads"
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        options = [
            *_OPTIONS,
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={home / 'profile'}",
        ]
        inner = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self.process = subprocess.Popen(
            ["bash", "-c", inner, "-", CHROMIUM, *options, "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._number, self._rest, self.events = 0, b"", []
        self._session: str | None = None
        targets = self.ask("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in targets if one["type"] == "page")
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")
        where = {"behavior": "allow", "downloadPath": str(self.downloads)}
        self.ask("Page.setDownloadBehavior", **where)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol."""
        self._number += 1
        said: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            said["sessionId"] = self._session
        os.write(self._out, json.dumps(said).encode() + b"\0")
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            heard = self._hear(until)
            if heard.get("id") == self._number:
                assert "error" not in heard, heard
                return heard["result"]
            self.events.append(heard)
        raise TimeoutError(method)

    def _hear(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, until - time.monotonic()))
            assert ready, "Chromium says nothing"
            chunk = os.read(self._in, 1 << 20)
            assert chunk, "Chromium is gone"
            self._rest += chunk
        one, _, self._rest = self._rest.partition(b"\0")
        return json.loads(one)

    def open(self, page: Path) -> None:
        self.ask("Page.navigate", url=page.as_uri())
        self.wait("document.readyState === 'complete'")

    def run(self, code: str) -> Any:
        """What an expression is, a promise waited for."""
        done = self.ask("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, code: str) -> Any:
        """Wait until an expression is true."""
        until = time.monotonic() + PATIENCE_S
        while not (found := self.run(code)):
            assert time.monotonic() < until, f"never: {code}; {self.run('document.body.innerText')}"
            time.sleep(0.02)
        return found

    def click(self, where: str) -> None:
        """Press the mouse in the middle of an element that can be seen, as a hand does."""
        self.wait(
            f"document.querySelector({where!r})?.offsetParent && !document.querySelector({where!r}).disabled"
        )
        x, y = self.run(
            f"(({{left, top, width, height}}) => [left + width / 2, top + height / 2])"
            f"((document.querySelector({where!r}).scrollIntoView(), document.querySelector({where!r})).getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def key(self, key: str, code: str, **more: Any) -> None:
        """Press a key: what it types, and where it lies."""
        for kind in ("rawKeyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=code, **more)

    def type(self, text: str) -> None:
        self.ask("Input.insertText", text=text)

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))

    def requested(self) -> list[str]:
        """Every address that was asked for."""
        return [
            one["params"]["request"]["url"]
            for one in self.events
            if one.get("method") == "Network.requestWillBeSent"
        ]

    def errors(self) -> list[Any]:
        return [
            one["params"]
            for one in self.events
            if one.get("method") == "Runtime.exceptionThrown"
            or (
                one.get("method") == "Log.entryAdded" and one["params"]["entry"]["level"] == "error"
            )
        ]

    def kill(self) -> None:
        """End it and all its processes at once, in the middle of whatever they do."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            os.close(self._out)
            os.close(self._in)

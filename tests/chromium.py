"""A headless Chromium to look at pages with, driven through a pipe; no port, no driver program."""

import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 60


def find_chromium():
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Chromium:
    """One tab of a browser of its own, with all that the page did.

    `failures` are uncaught errors, and all that was written to the console; `requests` the
    addresses that were asked for, the page's own among them.
    """

    def __init__(self, profile):
        self._number, self._buffer = 0, b""
        self.requests, self.failures = [], []
        own, theirs = os.pipe(), os.pipe()
        # The browser reads commands from descriptor 3 and writes answers to 4.
        command = f'exec "$0" "$@" 3<&{own[0]} 4>&{theirs[1]}'
        words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        words += ["--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run"]
        self._process = subprocess.Popen(
            ["bash", "-c", command, find_chromium(), *words],
            pass_fds=(own[0], theirs[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(own[0])
        os.close(theirs[1])
        self._write, self._read = own[1], theirs[0]
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        self._process.kill()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def open(self, path, *, width=1366, height=768):
        """Show a file, and forget what earlier ones did."""
        self.resize(width, height)
        self.requests, self.failures = [], []
        self.call("Page.navigate", url=Path(path).absolute().as_uri())
        end = time.monotonic() + SECONDS
        while (
            self.run("document.readyState") != "complete"
            or self.run("location.href") == "about:blank"
        ):
            assert time.monotonic() < end, "the page does not load"
            time.sleep(0.05)

    def resize(self, width, height):
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def run(self, script):
        """What a line of JavaScript gives."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def call(self, method, **values):
        """What a command to the tab answers."""
        return self._call(method, self._session, **values)

    def _call(self, method, session=None, **values):
        self._number += 1
        message = {"id": self._number, "method": method, "params": values}
        if session is not None:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _next(self):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], SECONDS)
            assert ready, "the browser says nothing"
            self._buffer += os.read(self._read, 1 << 16)
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)

    def _note(self, event):
        method, values = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
        elif method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self.failures.append(values)

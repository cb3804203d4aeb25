"""A server of files on loopback that answers in ranges of bytes, and fails on a plan.

It is a process of its own: GDAL is opened with Python's lock held, under which a server in a
thread of the same process would never answer.
"""

import json
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONTROL = "/-/"
STALL = 3600


class Files(BaseHTTPRequestHandler):
    """Answers with files below a folder; the n-th request for a file may be a planned failure.

    A number before the path, as in `/7/scene.tif`, makes another URL of the same file.
    """

    protocol_version = "HTTP/1.1"
    root, lock = Path(), threading.Lock()
    plan, log, served, number = {}, [], 0, 0

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        if self.path.startswith(CONTROL):
            with self.lock:
                self.send(200, json.dumps({"log": Files.log, "bytes": Files.served}).encode())
            return
        self.answer(with_body=True)

    def do_POST(self):
        """Take a plan, and forget what was."""
        with self.lock:
            Files.plan = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            Files.log, Files.served, Files.number = [], 0, 0
        self.send(200, b"{}")

    def answer(self, *, with_body):
        path = self.path.partition("?")[0]
        file = self.root / re.sub(r"^/(\d+/)?", "", path)
        fault = self.noted(path, is_there=file.is_file())
        if not file.is_file():
            self.send(404)
        elif isinstance(fault, int):
            self.send(fault)
        elif fault in {"reset", "close"}:
            self.hang_up(by_reset=fault == "reset")
        else:
            time.sleep({"delay": 0.2, "stall": STALL}.get(fault, 0))
            self.send_file(file, with_body=with_body, is_cut=fault == "cut")

    def noted(self, path, *, is_there):
        """Write down what was asked; says how it is to fail, if at all."""
        with self.lock:
            Files.log.append([self.command, path, self.headers.get("Range")])
            if not is_there:
                return None
            Files.number += 1
            first, every = self.plan.get("first", 1), self.plan.get("every", 1)
            is_due = Files.number >= first and (Files.number - first) % every == 0
            return self.plan.get("fault") if is_due else None

    def send_file(self, file, *, with_body, is_cut):
        data, total = file.read_bytes(), file.stat().st_size
        asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked is None:
            more = {"Accept-Ranges": "bytes"}
        else:
            begin, end = int(asked[1]), min(int(asked[2] or total - 1), total - 1)
            if begin >= total:
                self.send(416)
                return
            data, more = data[begin : end + 1], {"Content-Range": f"bytes {begin}-{end}/{total}"}
        sent = data[: len(data) // 2] if is_cut else data
        if with_body:
            with self.lock:
                Files.served += len(sent)
        self.close_connection = is_cut
        self.send(200 if asked is None else 206, sent if with_body else b"", len(data), more)

    def send(self, status, body=b"", length=None, more=()):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in dict(more).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self, *, by_reset):
        if by_reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RD) if not by_reset else self.connection.close()

    def handle(self):
        try:
            super().handle()
        except (OSError, ValueError):  # the reader, or a fault, has closed the connection
            self.close_connection = True

    def log_message(self, *words):
        pass


class RangeServer:
    """The server as seen from a test."""

    def __init__(self, port):
        self.url, self.number = f"http://127.0.0.1:{port}", 0

    def fresh(self, path):
        """A URL that no reader has asked for before, and knows nothing of."""
        self.number += 1
        return f"{self.url}/{self.number}/{path}"

    def plan(self, fault=None, first=1, every=1):
        """From the `first` request for a file on, each `every`-th one fails; None never does."""
        body = json.dumps({"fault": fault, "first": first, "every": every}).encode()
        urllib.request.urlopen(self.url + CONTROL, body, timeout=30).close()

    def asked(self):
        """Method, path and range of each request, and the bytes of files that were sent."""
        with urllib.request.urlopen(self.url + CONTROL, timeout=30) as answer:
            told = json.load(answer)
        return told["log"], told["bytes"]


@contextmanager
def serve(root):
    """Serve a folder for as long as the context lasts."""
    words = [sys.executable, __file__, str(root)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield RangeServer(int(process.stdout.readline()))
        finally:
            process.kill()


if __name__ == "__main__":
    Files.root = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()

"""Nothing of geoseg opens a connection unless a URL was typed."""

import http.server
import subprocess
import sys
import threading

import pytest
import rasterio
import torch
from affine import Affine
from safetensors.torch import load_file

from geoseg_cli.main import COMMANDS

GUARD = """
import sys
def forbid(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname"):
        if not (event == "socket.connect" and isinstance(args[1], (str, bytes))):
            print("OPENED", event, args, flush=True)
            import os
            os._exit(77)
sys.addaudithook(forbid)
"""
RUN = "from geoseg_cli.main import main\nsys.exit(main({words!r}))"
RUN_ALL = """
import shlex
import geoseg
for name in geoseg.__all__:
    getattr(geoseg, name)
print("imported", flush=True)
from geoseg_cli.main import main
for words in {jobs!r}:
    print(words, flush=True)
    code = main([*shlex.split(words), "-q"])
    if code:
        sys.exit(code)
"""
JOBS = (
    "info scene.tif model.safetensors tiles legend.toml",
    "tile scene.tif --labels roofs.gpkg --legend legend.toml --label-field kind --size 16 -o a",
    "train train.toml -o b",
    "mosaic scene.tif -o l.vrt",
    "predict scene.tif -m model.safetensors -o c.tif",
    "vectorize classes.tif -o d.gpkg",
    "relabel rle-encode classes.tif -o e.csv",
    "evaluate classes.tif --labels roofs.gpkg --legend legend.toml --label-field kind -o f",
    "sample classes.tif -o g.gpkg --count 100",
    "suggest scene.tif -m model.safetensors -o h.gpkg --size 16 --device cpu",
    "models",
    "import weights.pt --arch linear -o i.safetensors",
    "export model.safetensors -o j.onnx",
    "datasets list",
    "preview scene.tif -o k.png",
)
"""Every command but `demo`, which runs others of them."""


def guarded(code):
    return subprocess.run(
        [sys.executable, "-c", GUARD + code],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


@pytest.mark.slow
def test_nothing_opens_a_socket(place):
    """Imports and all jobs in one process; the last that is told is what did."""
    torch.save(load_file("model.safetensors"), "weights.pt")
    done = guarded(RUN_ALL.format(jobs=JOBS))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OPENED" not in done.stdout, "a process that was started did"
    told = done.stdout.splitlines()
    assert {"imported", *JOBS} <= set(told)


def test_no_command_is_left_out():
    assert {job.split()[0] for job in JOBS} == COMMANDS.keys() - {"demo"}


def test_the_guard_guards():
    done = guarded("import socket\nsocket.create_connection(('127.0.0.1', 9))")
    assert done.returncode == 77


@pytest.fixture
def server():
    """A server of this machine, and the paths that were asked of it."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815 - as the library calls it

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def overviews_elsewhere(path, url):
    """A scene whose overviews are said to lie at a URL."""
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "width": 900, "height": 900}
    transform = Affine(1, 0, 5e5, 0, -1, 5e6)
    with rasterio.open(path, "w", crs="EPSG:32632", transform=transform, **profile) as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"/vsicurl/{url}/a.tif")


def test_a_file_that_names_a_url_asks_nothing(place, server):
    """Not even inside of a VRT, whose sources are not opened beforehand."""
    url, asked = server
    overviews_elsewhere(place / "inner.tif", url)
    (place / "odd.vrt").write_text(
        '<VRTDataset rasterXSize="900" rasterYSize="900"><SRS>EPSG:32632</SRS>'
        "<GeoTransform>500000, 1, 0, 5000000, 0, -1</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename '
        'relativeToVRT="1">inner.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
        "</VRTRasterBand></VRTDataset>"
    )
    done = guarded(RUN.format(words=["preview", "odd.vrt", "-o", "out.png", "--size", "200"]))
    assert done.returncode == 0, done.stderr
    assert asked == []


def test_a_typed_url_is_asked(place, server):
    url, asked = server
    words = ["info", f"{url}/scene.tif"]
    code = f"from geoseg_cli.main import main\nsys.exit(main({words!r}))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "/scene.tif" in asked

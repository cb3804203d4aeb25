"""How much memory predictions take, and how much `estimate` says, each in a process of its own."""

import json
import subprocess
import sys

import numpy as np
import rasterio
from affine import Affine
from linear_models import write_bundle
from scipy import ndimage

from geoseg.nn.scaling import Scaling

RUN = """
import json, sys
from geoseg.predict import PredictOptions, estimate, predict
what, options, places = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:]
options = {key: tuple(o) if isinstance(o, list) else o for key, o in options.items()}
order, told = (places[0], places[2:], places[1], PredictOptions(overwrite=True, **options)), {}
if "estimate" in what:
    [found] = estimate(*order)
    told = {"memory": found.memory, "panels": found.panels}
if "predict" in what:
    predict(*order)
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps({"peak": peak << 10, **told}))
"""
"""VmHWM is of this process alone; getrusage would tell the memory of its parent, too."""


def told(what, options, *places):
    """What a process says of `estimate` or `predict`.

    Args:
        what: `estimate`, `predict`, or both, one after the other.
        options: Of `PredictOptions`, as JSON has them.
        places: Scene, output, bundles.

    Returns:
        `peak`, the most bytes that the process has held, and of `estimate` `memory` and `panels`.
    """
    command = [sys.executable, "-W", "ignore", "-c", RUN, what, json.dumps(options)]
    done = subprocess.run(
        [*command, *map(str, places)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def smooth_scene(path, width, height, **profile):
    """Three bands of soft blobs some pixels wide, compressed as scenes are."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).random((512, 1024)), 6)
    block = (255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)
    data = np.tile(block, (-(-height // 512), -(-width // 1024)))[:height, :width]
    place = {"crs": "EPSG:32632", "transform": Affine(0.5, 0, 5e5, 0, -0.5, 5e6)}
    shape = {"count": 3, "height": height, "width": width, "dtype": "uint8"}
    layout = {"tiled": True, "compress": "deflate"} | profile
    with rasterio.open(path, "w", driver="GTiff", **shape, **place, **layout) as dataset:
        for band in (1, 2, 3):
            dataset.write(data, band)
    return path


def thirds(path, window=512, stride=256):
    """A bundle of three classes that tells dark, middle and bright ground of such a scene."""
    weights = [[-1, 0, 0], [0, 0, 0], [1, 0, 0]]
    scaling = Scaling(kind="standardize", mean=(127.0,) * 3, std=(40.0,) * 3)
    card = {"bands": ("", "", ""), "window": window, "stride": stride, "scaling": scaling}
    return write_bundle(path, weights, **card | {"dtype": "uint8"})

"""A source that tells who reads a scene; in a module that workers can import."""

import ctypes
import os
import sys

import numpy as np
from rasterio.windows import Window

from geoseg.geo.gdal import kept_handle
from geoseg.geo.raster import Scene
from geoseg.nn.dataset import Pair


class HandleWitness:
    """Pairs of one pixel that hold the process, whether it had the scene open before, and the
    signal that it gets when the one that forked it ends.

    Args:
        path: The scene; it is opened and read at once.
        legend: Its classes.
    """

    scenes = ("scene",)

    def __init__(self, path, legend):
        self.legend = legend
        self._scene = Scene.open(path)
        self._scene.read(Window(0, 0, 1, 1))

    def __len__(self):
        return 12

    def scene(self, index):
        return 0

    def name(self, index):
        return "pixel"

    def read(self, index, rng, focus=-1):
        scene = self._scene
        kept = kept_handle(scene._key) is not None
        scene.read(Window(index, 0, 1, 1))
        image = np.array([os.getpid(), kept, death_signal()], np.int64).reshape(3, 1, 1)
        mask = np.full((1, 1), self.legend.values[0], np.uint8)
        return Pair("pixel", image, mask, np.ones((1, 1), bool))


def death_signal():
    """As prctl(2) tells it; 0 where there is none."""
    number = ctypes.c_int(0)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(2, ctypes.byref(number), 0, 0, 0)  # PR_GET_PDEATHSIG
    return number.value

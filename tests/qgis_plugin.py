"""How the QGIS plugin Deepness feeds an ONNX model and reads its answer, told by numpy alone.

Written from what is known of the plugin's contract, not from its code: values of the raster are
divided by 255 whatever their type, then standardised by the metadata if it says so; tiles lie a
tile less the overlap apart and meet in the middle of it; what is below the threshold becomes 0;
the highest channel is taken.
"""

import json

import numpy as np
import onnxruntime

TYPES_OF_METADATA = {
    "model_type": str,
    "class_names": dict,
    "resolution": (int, float),
    "tile_size": int,
    "tiles_size": int,
    "tiles_overlap": int,
    "seg_thresh": float,
    "seg_small_segment": int,
}


class Plugin:
    """A model as the plugin loads it: one file, nothing else."""

    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 3, 1
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        found = self.session.get_modelmeta().custom_metadata_map
        self.keys = {key: json.loads(found[key]) for key in TYPES_OF_METADATA if key in found}
        self.mean = np.array(json.loads(found.get("standardization_mean", "[0]")), "float32")
        self.std = np.array(json.loads(found.get("standardization_std", "[1]")), "float32")
        (taken,) = self.session.get_inputs()
        assert taken.type == "tensor(float)"
        assert isinstance(taken.shape[2], int) and taken.shape[2] == taken.shape[3]
        self.input, self.bands, self.side = taken.name, taken.shape[1], taken.shape[2]
        assert self.keys["tile_size"] == self.keys["tiles_size"] == self.side

    def run(self, block):
        """Class of each pixel of tiles (n, bands, side, side) of raw values; from 0."""
        values = block.astype("float32") * np.float32(1 / 255)
        values = (values - self.mean[:, None, None]) / self.std[:, None, None]
        (answer,) = self.session.run(None, {self.input: values})
        answer[answer < self.keys["seg_thresh"]] = 0
        if answer.shape[1] == 1:
            return (answer[:, 0] != 0).astype("uint8")
        return answer.argmax(1).astype("uint8")

    def map(self, image):
        """Classes of a whole image (bands, height, width); zeros continue it at the far edges."""
        overlap = int(self.side * self.keys["tiles_overlap"] / 100)
        step, margin = self.side - overlap, overlap // 2
        height, width = image.shape[1:]
        around = ((0, 0), (margin, self.side), (margin, self.side))
        padded = np.pad(image[: self.bands], around)
        classes = np.zeros((height + self.side, width + self.side), "uint8")
        for row in range(0, height, step):
            for col in range(0, width, step):
                tile = padded[None, :, row : row + self.side, col : col + self.side]
                own = self.run(tile)[0, margin : margin + step, margin : margin + step]
                classes[row : row + own.shape[0], col : col + own.shape[1]] = own
        return classes[:height, :width]

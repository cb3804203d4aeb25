"""What the publishers of data sets say of them, and the smallest true copies of their layouts.

Figures, colours and paths stand here as they are published (the source beside each), apart from
the descriptions that geoseg brings along, so that either checks the other.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from affine import Affine
from scipy.io import savemat

SHAPE = (10, 14)


@dataclass(frozen=True, kw_only=True)
class Published:
    """A data set as its publishers describe it."""

    name: str
    count: int
    """Classes."""
    colors: dict
    """Some of the colours, `#rrggbb` by class."""
    pairs: dict
    """Images with labels by split; None where no figure could be checked."""
    files: dict
    """Image and label files by split."""
    keys: dict
    """What stands in label files, and the class it means; None does not count. `#rrggbb` is
    written as red, green and blue."""
    truth: dict | None = None
    """Pixels of each class by split, where `keys` do not tell them."""
    unlabelled: dict = field(default_factory=dict)
    """Image files without labels by split."""
    texts: dict = field(default_factory=dict)
    """Lists and tables."""
    digest: str = ""
    """Of long lists, which would fill pages here: see `digest_of`; from the publishers' files."""
    ignore: int = 255
    bands: int = 3
    dtype: str = "uint8"
    georeferenced: bool = False
    palette: dict | None = None

    def __str__(self):
        return self.name


def write_copy(published, layout):
    """Write the layout; gives the pixels of each class by split, None for what does not count."""
    place = {"crs": "EPSG:4326", "transform": Affine(0.25, 0, 2, 0, -0.25, 49)}
    profile = place if published.georeferenced else {}
    if published.bands > 3:
        profile = profile | {
            "alpha": "unspecified"
        }  # infrared, which no reader is to take as alpha
    for path, text in published.texts.items():
        layout.text(path, text)
    images = [image for pairs in published.files.values() for image, _ in pairs]
    images += [image for paths in published.unlabelled.values() for image in paths]
    for path in dict.fromkeys(images):
        layout.image(path, (published.bands, *SHAPE), published.dtype, **profile)
    found = {split: Counter() for split in published.files | published.unlabelled}
    turn = 0
    for split, pairs in published.files.items():
        for _, path in pairs:
            labels = _labels(list(published.keys), turn)
            turn += 1
            if path not in published.texts:
                _write_labels(path, labels, published.palette, layout)
            for key in labels.ravel():
                found[split][published.keys[key]] += 1
    return found if published.truth is None else found | published.truth


def _labels(keys, turn):
    """Every key in a number of pixels of its own, and the first in the rest; turned by images."""
    flat = [key for i, key in enumerate(keys) for _ in range((i + turn) % 5 + 1)]
    flat += keys[:1] * (SHAPE[0] * SHAPE[1] - len(flat))
    return np.array(flat, object).reshape(SHAPE)


def _write_labels(path, labels, palette, layout):
    if isinstance(labels[0, 0], str):
        numbers = {color: number for number, color in enumerate(sorted(set(labels.ravel())))}
        mask = np.vectorize(numbers.get)(labels)
        layout.color(path, mask, {number: color for color, number in numbers.items()})
    elif path.endswith(".mat"):
        file = layout.text(path, "")
        # one structure with cells beside the image, as in the Semantic Boundaries Dataset
        savemat(file, {"GTcls": {"Segmentation": labels.astype(np.uint8), "Boundaries": [[0]]}})
    else:
        layout.index(path, labels.astype(np.uint8), palette)


def digest_of(legend, *, colored=True):
    """SHA-256 of lines `value name #rrggbb`, the first 16 digits."""
    lines = [f"{c.value} {c.name} {c.color}" if colored else f"{c.value} {c.name}" for c in legend]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def both(images, labels, *names):
    """Image and label paths of some names; `{}` is where the name stands."""
    return [(images.replace("{}", name), labels.replace("{}", name)) for name in names]

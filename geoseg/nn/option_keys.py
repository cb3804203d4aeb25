"""Errors about scenes and labels, told in the keys of a configuration and not as options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from geoseg.errors import InputError

_LABELS = ("labels", "label_field", "label_layer", "label_extent", "label_buffer")
_SCENES = ("bands", "resolution", "assume_crs")


def _keys(table: str, *names: str) -> dict[str, str]:
    return {f"--{name.replace('_', '-')}": f"{table}.{name}" for name in names}


_ONLY_TILES = {
    "--expand-palette": "geoseg tile --expand-palette",
    "--trust-vrt": "geoseg tile --trust-vrt",
    "--allow-remote": "geoseg tile --allow-remote",
}
"""What only tiles can be cut with."""

_KEYS = {
    "data": {
        **_keys("data", *_LABELS, *_SCENES, "legend", "block"),
        "--label-crs": "data.assume_crs",
        "--npy-axes": "data.npy_axes",
        "--size": "data.crop",
        "--split-by": "data.split",
        "--split": "data.val_share",
        **_ONLY_TILES,
    },
    "validate": {
        **_keys("validate", *_LABELS, *_SCENES, "scale", "window", "stride", "blend"),
        "--label-crs": "validate.assume_crs",
        "--npy-axes": "data.npy_axes",
        **_ONLY_TILES,
    },
}
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")


@contextmanager
def keys_for_options(table: Literal["data", "validate"] = "data") -> Iterator[None]:
    """Within it, what errors call an option becomes the key that stands for it in training.

    Args:
        table: Where the keys stand.

    Raises:
        InputError: As raised inside, of the same class.
    """
    keys = _KEYS[table]
    try:
        yield
    except InputError as error:
        subject = keys.get(error.subject, error.subject)
        cure = _OPTION.sub(lambda found: keys.get(found[0], found[0]), error.cure)
        raise type(error)(subject, error.problem, cure) from error

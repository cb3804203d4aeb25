"""Errors about scenes and labels, told in the keys of a configuration and not as options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from geoseg.errors import InputError

_KEYS = {
    **{
        f"--{key.replace('_', '-')}": f"data.{key}"
        for key in (
            *("labels", "label_field", "label_layer", "label_extent", "label_buffer", "legend"),
            *("bands", "resolution", "assume_crs", "block"),
        )
    },
    "--label-crs": "data.assume_crs",
    "--size": "data.crop",
    "--split-by": "data.split",
    "--split": "data.val_share",
    # What only tiles can be cut with.
    "--expand-palette": "geoseg tile --expand-palette",
    "--trust-vrt": "geoseg tile --trust-vrt",
}
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")


@contextmanager
def keys_for_options() -> Iterator[None]:
    """Within it, what errors call an option becomes the key that stands for it in training.

    Raises:
        InputError: As raised inside, of the same class.
    """
    try:
        yield
    except InputError as error:
        subject = _KEYS.get(error.subject, error.subject)
        raise type(error)(subject, error.problem, _with_keys(error.cure)) from error


def _with_keys(cure: str) -> str:
    return _OPTION.sub(lambda found: _KEYS.get(found[0], found[0]), cure)

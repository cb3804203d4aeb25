"""TOML of strangers, parsed in bounded memory, and values written as TOML.

The parser of the standard library keeps every beginning of a dotted key, so the memory that it
takes grows with the square of their parts (200 kB of text took 40 GB); it runs out of stack on
brackets within brackets, and out of digits on long numbers.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

MOST_BYTES = 16 << 20
"""Of a text; legends of 65535 classes stay below half of it."""

_LONG_KEY = re.compile(
    r"""(?<![\w"'-])(?:(?:"[^"\n]*+"|'[^'\n]*+'|[\w-]++)[ \t]*+\.[ \t]*+){100}""", re.ASCII
)
"""A hundred names with dots between them."""


def parse_toml(text: str) -> dict[str, Any]:
    """Read TOML.

    Args:
        text: Of a file or an option.

    Raises:
        TOMLDecodeError: If it is no TOML, or larger or more deeply nested than any of geoseg's.
    """
    if len(text) > MOST_BYTES:
        raise tomllib.TOMLDecodeError(f"it is larger than {MOST_BYTES >> 20} MiB")
    if _LONG_KEY.search(text):
        raise tomllib.TOMLDecodeError("it has a key of a hundred parts")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError as error:
        raise tomllib.TOMLDecodeError("it is nested too deeply") from error
    except ValueError as error:  # a number of thousands of digits
        raise tomllib.TOMLDecodeError(str(error).partition(";")[0]) from error


def toml_value(value: object) -> str:
    """Write text, a finite number, a truth value, or a list of such as TOML.

    JSON writes them alike, but for one character that TOML wants escaped.
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

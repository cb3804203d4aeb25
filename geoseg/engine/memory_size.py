"""Sizes of memory as people write them: "4G", "800M", "1.5GiB"."""

from __future__ import annotations

import re
from decimal import Decimal

from geoseg.errors import ConfigError

MEBIBYTE = 1 << 20

_BINARY, _DECIMAL = 1024, 1000
_PREFIXES = ("", "K", "M", "G", "T", "P")
_NUMBER = r"(?P<number>\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})"
_SIZE = re.compile(_NUMBER + r" ?(?P<prefix>[KMGTP]?)(?P<kind>|B|IB)", re.ASCII)
_EXAMPLES = "Give such as 4G, 800M or 2000000000"


def parse_size(text: str, option: str = "--max-memory") -> int:
    """Read a size of memory.

    As everywhere on POSIX, 1K is 1KiB, 1024 bytes, and so are M, G, T and P; 1KB is 1000 bytes.
    Upper and lower case are alike.

    Args:
        text: What the user wrote.
        option: What the user calls it.

    Returns:
        Bytes, 1 or more.

    Raises:
        ConfigError: If it is no size, or below 1 byte.

    Examples:
        >>> parse_size("800M")
        838860800
        >>> parse_size("1.5 KiB")
        1536
        >>> parse_size("2MB")
        2000000
    """
    found = _SIZE.fullmatch(text.strip().upper())
    if found is None or (found["kind"] == "IB" and not found["prefix"]):
        raise ConfigError(option, f'"{text}" is not a size of memory', _EXAMPLES)
    is_decimal = found["kind"] == "B" and found["prefix"]
    base = _DECIMAL if is_decimal else _BINARY
    size = int(Decimal(found["number"]) * base ** _PREFIXES.index(found["prefix"]))
    if size < 1:
        raise ConfigError(option, f'"{text}" is below 1 byte', _EXAMPLES)
    return size


def format_size(size: int) -> str:
    """Print a size for people, with two digits or more.

    Args:
        size: Bytes, 0 or more.

    Examples:
        >>> format_size(1_503_238_554)
        '1.4 GiB'
        >>> format_size(800 << 20)
        '800 MiB'
        >>> format_size(12)
        '12 B'
    """
    if size < _BINARY:
        return f"{size} B"
    number, prefix = size / _BINARY, 1
    while prefix + 1 < len(_PREFIXES) and round(number) >= _BINARY:
        number, prefix = number / _BINARY, prefix + 1
    digits = f"{number:.1f}" if round(number, 1) < 10 else f"{number:.0f}"
    return f"{digits} {_PREFIXES[prefix]}iB"


def round_size(size: int) -> str:
    """A short text that `parse_size` takes for the size, or for a little more.

    Args:
        size: Bytes, 1 or more.

    Examples:
        >>> round_size(1331 << 20)
        '1400M'
        >>> round_size(96 << 20)
        '96M'
    """
    mebibytes = -(-size // MEBIBYTE)
    step = 10 ** max(len(str(mebibytes)) - 2, 0)
    return f"{-(-mebibytes // step) * step}M"

"""How a scene is cut up: panels of columns that fit into memory, bands of rows for several GPUs.

This is arithmetic alone: who calls it knows what a column costs.
"""

from __future__ import annotations

from dataclasses import dataclass

from geoseg.engine.memory_size import format_size, round_size
from geoseg.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Need:
    """Bytes that a prediction takes."""

    fixed: int
    """Whatever the width: the network, the margins of a panel, what lies in queues."""

    per_column: int
    """For each column of a panel."""

    def of(self, columns: int) -> int:
        """Bytes for a panel of so many columns."""
        return self.fixed + self.per_column * columns


def panel_width(max_memory: int, need: Need, width: int, least: int, block: int) -> int:
    """Find the widest panels that fit into memory.

    Args:
        max_memory: Bytes that may be taken.
        need: What a panel takes.
        width: Columns of the scene.
        least: The fewest columns worth a panel of their own.
        block: Panels begin and end at multiples of it.

    Returns:
        Columns: the whole scene where that fits, or else a multiple of `block`.

    Raises:
        ConfigError: If not even the narrowest panel fits.
    """
    if need.of(width) <= max_memory:
        return width
    narrowest = min(-(-least // block) * block, width)
    if need.of(narrowest) > max_memory:
        raise _too_small(max_memory, need.of(narrowest))
    return (max_memory - need.fixed) // need.per_column // block * block


def split(length: int, part: int, block: int) -> list[tuple[int, int]]:
    """Cut an axis into as few parts of nearly equal length as are not longer than `part`.

    Args:
        length: Pixels of the axis, 1 or more.
        part: The most pixels of a part; a block or more, unless it is the whole axis.
        block: Parts begin at multiples of it.

    Returns:
        Start and stop of each part, in order; whole blocks, of which no part has more than one
        more than another, but for the end of the axis.

    Examples:
        >>> split(20_000, 6_000, 512)
        [(0, 5120), (5120, 10240), (10240, 15360), (15360, 20000)]
    """
    if length <= part:
        return [(0, length)]
    assert part >= block
    return _cut(length, -(-_blocks(length, block) // (part // block)), block)


def bands(length: int, count: int, block: int) -> list[tuple[int, int]]:
    """Cut an axis into at most `count` parts of nearly equal length.

    Args:
        length: Pixels of the axis, 1 or more.
        count: Parts wanted; there are fewer where the axis has fewer blocks.
        block: Parts begin at multiples of it.

    Returns:
        Start and stop of each part, in order.

    Examples:
        >>> bands(2000, 3, 256)
        [(0, 512), (512, 1280), (1280, 2000)]
    """
    return _cut(length, min(count, _blocks(length, block)), block)


def _blocks(length: int, block: int) -> int:
    return -(-length // block)


def _cut(length: int, count: int, block: int) -> list[tuple[int, int]]:
    """Cut into exactly `count` parts; the last, which may end within a block, has the most."""
    blocks = _blocks(length, block)
    edges = [place * blocks // count * block for place in range(count)]
    return list(zip(edges, [*edges[1:], length], strict=True))


def _too_small(max_memory: int, needed: int) -> ConfigError:
    given, wanted = format_size(max_memory), format_size(needed)
    if given == wanted:
        given, wanted = f"{max_memory} B", f"{needed} B"
    return ConfigError(
        "--max-memory",
        f"{given} is too small: the narrowest panel needs at least {wanted}",
        f"Give --max-memory {round_size(needed)}, or a smaller --window",
    )

"""Which weight of a file is which of a network, though both call them by other first names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_FLATTENED = re.compile(r"(?:^|(?<=\.))(stages|layers|blocks|features)_(\d+)(?=\.)")
"""timm joins the name and number of stages where it flattens a network."""

_COMPILED = "_orig_mod."
"""What `torch.compile` adds to every name."""

_DEEPEST = 4
"""Parts of a name that may come before the network's own."""

_COMMON = 0.1
"""Share of names that must begin in the same way for it to be a prefix."""


@dataclass(frozen=True, kw_only=True)
class KeyMatch:
    """Pairs of names, and what is left over on both sides."""

    pairs: dict[str, str]
    """Name in the file for each name of the network that has one."""

    missing: tuple[str, ...]
    """Names of the network that the file has not, below `prefix`."""

    outside: tuple[str, ...]
    """Further names of the network, not below `prefix`."""

    unexpected: tuple[str, ...]
    """Names of the file that the network has not."""

    prefix: str
    """What stands before the file's names in the network; with its dot, or empty."""


def match_keys(network: Iterable[str], file: Iterable[str]) -> KeyMatch:
    """Pair the names of a network's weights with those of a file.

    The pairs are those that one prefix on either side (`module.`, `model.`, `encoder.`, ...),
    taken away, makes the most of.

    Args:
        network: Names in the network.
        file: Names in the file.
    """
    ours = {_plain(key): key for key in network}
    theirs = {_plain(key): key for key in file}
    own_prefix, prefix = _best_prefixes(ours.keys(), theirs.keys())
    pairs = {
        key: theirs[prefix + plain.removeprefix(own_prefix)]
        for plain, key in ours.items()
        if plain.startswith(own_prefix) and prefix + plain[len(own_prefix) :] in theirs
    }
    rest = {plain: key for plain, key in ours.items() if key not in pairs}
    used = set(pairs.values())
    return KeyMatch(
        pairs=pairs,
        missing=tuple(key for plain, key in rest.items() if plain.startswith(own_prefix)),
        outside=tuple(key for plain, key in rest.items() if not plain.startswith(own_prefix)),
        unexpected=tuple(key for key in theirs.values() if key not in used),
        prefix=own_prefix,
    )


def _plain(key: str) -> str:
    return _FLATTENED.sub(r"\1.\2", key.replace(_COMPILED, ""))


def _best_prefixes(ours: Iterable[str], theirs: Iterable[str]) -> tuple[str, str]:
    """The prefixes of both sides with the most pairs; among equals the shortest."""
    own, others = list(ours), list(theirs)
    bare = {prefix: _without(others, prefix) for prefix in _prefixes(others)}
    counts = {
        (own_prefix, prefix): len(names & rest)
        for own_prefix in _prefixes(own)
        for names in [_without(own, own_prefix)]
        for prefix, rest in bare.items()
    }
    return max(counts, key=lambda pair: (counts[pair], -len(pair[0]) - len(pair[1]), pair))


def _prefixes(keys: list[str]) -> list[str]:
    counts = Counter(
        ".".join(parts[:depth]) + "."
        for parts in (key.split(".") for key in keys)
        for depth in range(1, min(len(parts), _DEEPEST + 1))
    )
    return ["", *(prefix for prefix, count in counts.items() if count >= _COMMON * len(keys))]


def _without(keys: list[str], prefix: str) -> set[str]:
    return {key[len(prefix) :] for key in keys if key.startswith(prefix)}

"""How often each pair is drawn in an epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How often each pair comes."""

    pairs: int
    """Number of pairs."""

    @classmethod
    def uniform(cls, pairs: int) -> Drawing:
        """All pairs equally often."""
        return cls(pairs=pairs)

    def draw(
        self, count: int, rng: np.random.Generator, losses: npt.NDArray[np.float32]
    ) -> tuple[Numbers, Numbers]:
        """Draw the pairs of an epoch.

        Args:
            count: How many.
            rng: The source of chance.
            losses: Last loss of each pair (pairs,), NaN where it was never seen.

        Returns:
            Numbers of the pairs (count,) in their order, and the class (count,) around which
            each sample lies, -1 where none is chosen.
        """
        del losses
        rounds = -(-count // self.pairs)
        order = np.concatenate([rng.permutation(self.pairs) for _ in range(rounds)])[:count]
        return order, np.full(count, -1)

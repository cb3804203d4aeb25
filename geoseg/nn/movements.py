"""Movements of augmentation: flips and quarter turns, and those that need resampling.

Offsets are (x, y) = (col, row) in pixels from the middle of the sample; angles turn
counterclockwise on the screen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from geoseg.nn.augment_config import AugmentConfig
from geoseg.nn.chance import Chance, send


@dataclass(frozen=True, kw_only=True)
class Turns:
    """Flips and quarter turns, each as: rows and columns swapped, then flipped along axes.

    All (n,) bool on the CPU.
    """

    swapped: Tensor
    """Rows become columns, before the flips; only for square samples."""

    flipped_cols: Tensor
    """Left and right change places."""

    flipped_rows: Tensor
    """Top and bottom change places."""

    @classmethod
    def draw(cls, config: AugmentConfig, chance: Chance, *, square: bool) -> Turns:
        """Draw flips along both axes, and then a turn."""
        cols = chance.happens("flip_cols", config.flip)
        rows = chance.happens("flip_rows", config.flip)
        turns = 1 + (chance.share("turns") * 3).long() if square else torch.full((len(chance),), 2)
        turns = turns.where(chance.happens("rotate", config.rotate), 0)
        return cls.of(cols, rows, turns)

    @classmethod
    def of(cls, cols: Tensor, rows: Tensor, turns: Tensor) -> Turns:
        """Flips along the axes (n,) bool, then counterclockwise quarter turns (n,) integer.

        A turn by 90 degrees swaps rows and columns and flips the rows; by 270, the columns.
        """
        swapped = turns % 2 == 1
        half = turns % 4 == 2
        return cls(
            swapped=swapped,
            flipped_cols=torch.where(swapped, rows ^ (turns % 4 == 3), cols ^ half),
            flipped_rows=torch.where(swapped, cols ^ (turns % 4 == 1), rows ^ half),
        )

    def matrices(self) -> Tensor:
        """(n, 3, 3) float64 that tell where each offset of the result comes from."""
        cols, rows = (1.0 - 2.0 * flag.double() for flag in (self.flipped_cols, self.flipped_rows))
        zero, one = torch.zeros_like(cols), torch.ones_like(cols)
        straight = _matrices([[cols, zero, zero], [zero, rows, zero], [zero, zero, one]])
        crossed = _matrices([[zero, rows, zero], [cols, zero, zero], [zero, zero, one]])
        return torch.where(self.swapped[:, None, None], crossed, straight)

    def index(self, shape: tuple[int, int], device: torch.device) -> Tensor:
        """Tell which pixel each pixel of the result is, counted along rows.

        Args:
            shape: Height and width of the samples.
            device: Where to compute.

        Returns:
            (n, height, width) int64.
        """
        height, width = shape
        swapped, flipped_cols, flipped_rows = (
            send(flags, device)[:, None, None]
            for flags in (self.swapped, self.flipped_cols, self.flipped_rows)
        )
        col = torch.arange(width, device=device)[None, None]
        row = torch.arange(height, device=device)[None, :, None]
        col = torch.where(flipped_cols, width - 1 - col, col)  # (n, 1, w)
        row = torch.where(flipped_rows, height - 1 - row, row)  # (n, h, 1)
        return torch.where(swapped, col * width + row, row * width + col)

    def turns(self) -> Tensor:
        """(n,) bool: True where anything turns."""
        return self.swapped | self.flipped_cols | self.flipped_rows

    def select(self, index: Tensor) -> Turns:
        """The turns of some samples."""
        return Turns(
            swapped=self.swapped[index],
            flipped_cols=self.flipped_cols[index],
            flipped_rows=self.flipped_rows[index],
        )


@dataclass(frozen=True, kw_only=True)
class Warp:
    """Movements that need resampling; all (n,) float64 on the CPU."""

    factor: Tensor
    """By which things grow."""

    angle: Tensor
    """Of rotation, radians."""

    shear: Tensor
    """Columns that things move to the right, per row downwards."""

    shift: Tensor
    """(n, 2) columns and rows that things move, pixels, after they grew and turned."""

    tilt: Tensor
    """(n, 2) share by which things are larger at the right and at the lower border than in the
    middle (and smaller at the other ones)."""

    elastic: Tensor
    """Largest elastic displacement, pixels."""

    seeds: Tensor
    """(n,) int32, of the elastic displacement."""

    spacing: float
    """Pixels between the points that are displaced."""

    @classmethod
    def draw(cls, config: AugmentConfig, chance: Chance, shape: tuple[int, int]) -> Warp:
        """Draw the movements of samples of a height and width."""

        def even(name: str, column: str, largest: float) -> Tensor:
            happens = chance.happens(f"{name}?", getattr(config.probability, name))
            return chance.between(column, -largest, largest) * happens

        sides = torch.tensor([shape[1], shape[0]], dtype=torch.float64)
        scaled = chance.happens("scale?", config.probability.scale)
        factor = chance.factor("scale", *config.scale).where(scaled, 1.0)
        # What grows is looked at anywhere, what shrinks lies anywhere in the frame.
        spare = (factor - 1).abs()[:, None] * sides / 2
        place = torch.stack([chance.between(name, -1, 1) for name in ("col", "row")], dim=1)
        shift = torch.stack(
            [even("shift", f"shift_{axis}", config.shift) for axis in ("col", "row")], dim=1
        )
        tilt = [even("perspective", f"perspective_{a}", config.perspective) for a in ("col", "row")]
        elastic = chance.happens("elastic?", config.probability.elastic)
        return cls(
            factor=factor,
            angle=even("angle", "angle", math.radians(config.angle)),
            shear=even("shear", "shear", math.radians(config.shear)).tan(),
            shift=place * spare + shift * sides,
            tilt=torch.stack(tilt, dim=1),
            elastic=elastic.double() * config.elastic,
            seeds=chance.seeds("elastic"),
            spacing=config.elastic_spacing,
        )

    def moves(self) -> Tensor:
        """(n,) bool: True where anything moves."""
        still = (self.factor == 1) & (self.angle == 0) & (self.shear == 0) & (self.elastic == 0)
        return ~(still & (self.shift == 0).all(dim=1) & (self.tilt == 0).all(dim=1))

    def matrices(self, shape: tuple[int, int]) -> Tensor:
        """Tell where each offset of the result comes from, but for the elastic displacement.

        Args:
            shape: Height and width of the samples.

        Returns:
            (n, 3, 3) float64 that turn homogeneous offsets of the result into those of the
            source: perspective is undone first, then shift, growth, rotation and shear.
        """
        zero, one = torch.zeros_like(self.factor), torch.ones_like(self.factor)
        tilt = self.tilt / (torch.tensor([shape[1], shape[0]]) / 2)
        perspective = _matrices([[one, zero, zero], [zero, one, zero], [*tilt.T, one]])
        shift = _matrices([[one, zero, -self.shift[:, 0]], [zero, one, -self.shift[:, 1]],
                           [zero, zero, one]])  # fmt: skip
        cosine, sine = self.angle.cos() / self.factor, self.angle.sin() / self.factor
        turn = _matrices([[cosine, -sine, zero], [sine, cosine, zero], [zero, zero, one]])
        shear = _matrices([[one, -self.shear, zero], [zero, one, zero], [zero, zero, one]])
        return shear @ turn @ shift @ perspective

    def select(self, index: Tensor) -> Warp:
        """The movements of some samples."""
        return Warp(
            factor=self.factor[index],
            angle=self.angle[index],
            shear=self.shear[index],
            shift=self.shift[index],
            tilt=self.tilt[index],
            elastic=self.elastic[index],
            seeds=self.seeds[index],
            spacing=self.spacing,
        )


def _matrices(rows: list[list[Tensor]]) -> Tensor:
    """(n, 3, 3) of rows of (n,) entries."""
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)

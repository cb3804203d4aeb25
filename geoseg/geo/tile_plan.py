"""Which windows become tiles of which split, before any pixel is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from geoseg.geo.footprints import Polygons, overlapping
from geoseg.geo.splits import Split, SplitPlan, find_leaks


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A window that may become a tile."""

    scene: int
    """Index of its scene."""

    window: Window
    """Its pixels in the scene."""

    split: Split
    """The split whose ground it lies in."""

    footprint: BaseGeometry
    """Its outline in pixels of the plane."""


class TilePlanner:
    """Admits windows that keep the splits apart, and counts those that do not.

    The plan alone gives each window its split. As a second line of defence every window is
    compared with all admitted before it: no train window shares ground with one of val or test.

    Args:
        plan: Says which ground belongs to which split.
    """

    def __init__(self, plan: SplitPlan) -> None:
        self.plan = plan
        self.rejected: Counter[str] = Counter(straddling=0, overlapping=0)
        self._admitted: list[Place] = []

    def admit(self, candidates: Sequence[tuple[int, Window]]) -> list[Place]:
        """Choose the candidates that may be cut.

        Args:
            candidates: Index of the scene, and window, of each; one scene's in one run.

        Returns:
            Those that lie in the ground of one split, in order.
        """
        places = self._assign(candidates)
        self.rejected["straddling"] += len(candidates) - len(places)
        apart = self._without_leaks(places)
        self.rejected["overlapping"] += len(places) - len(apart)
        self._admitted.extend(apart)
        return apart

    def _assign(self, candidates: Sequence[tuple[int, Window]]) -> list[Place]:
        places: list[Place] = []
        by_scene: dict[int, list[Window]] = {}
        for scene, window in candidates:
            by_scene.setdefault(scene, []).append(window)
        for scene, windows in by_scene.items():
            splits = self.plan.assign(scene, windows)
            polygons = self.plan.plane.polygons(scene, windows)
            for window, split, polygon in zip(windows, splits, polygons, strict=True):
                if split is not None:
                    place = Place(scene=scene, window=window, split=split, footprint=polygon)
                    places.append(place)
        return places

    def _without_leaks(self, places: list[Place]) -> list[Place]:
        polygons = _polygons(places)
        parts = [self.plan.plane.part(place.scene) for place in places]
        leaks = set(find_leaks(polygons, [place.split for place in places], parts).tolist())
        leaks |= self._against_admitted(places, polygons)
        return [place for i, place in enumerate(places) if i not in leaks]

    def _against_admitted(self, places: list[Place], polygons: Polygons) -> set[int]:
        leaks: set[int] = set()
        kinds = {(self.plan.plane.part(place.scene), place.split) for place in places}
        for part, split in sorted(kinds) if self._admitted else ():
            mine = [i for i, p in enumerate(places) if self._is_of(p, part) and p.split == split]
            others = [p for p in self._admitted if self._is_of(p, part) and p.split != split]
            found = overlapping(polygons[mine], _polygons(others))
            leaks.update(mine[i] for i in found.tolist())
        return leaks

    def _is_of(self, place: Place, part: int) -> bool:
        return self.plan.plane.part(place.scene) == part


def _polygons(places: Sequence[Place]) -> Polygons:
    polygons = np.empty(len(places), dtype=object)
    polygons[:] = [place.footprint for place in places]
    return polygons

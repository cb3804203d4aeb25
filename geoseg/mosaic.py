"""Make one scene of many: a VRT over tiles, which is then read as any other scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geoseg.errors import ConfigError
from geoseg.geo.mosaic_sources import Leave, find_tiles
from geoseg.geo.mosaic_vrt import check_mosaic_name
from geoseg.geo.outputs import check_output, publish
from geoseg.geo.raster import Scene, SceneOptions
from geoseg.geo.remote import is_remote
from geoseg.geo.scene_mosaic import compose


@dataclass(frozen=True, kw_only=True)
class MosaicOptions:
    """What a mosaic is made of."""

    assets: tuple[str, ...] = ()
    """Of STAC items: names of the assets or bands, in the order of the mosaic's bands."""

    assume_crs: str | None = None
    """CRS of tiles that have none."""

    trust_vrt: bool = False
    """Whether VRTs, tile indices and items may name files out of their own folder."""

    allow_remote: bool = False
    """Whether lists, VRTs, tile indices and items may name URLs."""

    jobs: int | None = None
    """Threads that look at the tiles; None takes some more than there are processors."""

    overwrite: bool = False
    """Whether an existing file may be replaced."""

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise ConfigError("--jobs", f"{self.jobs} threads", "Give 1 or more")


def mosaic(
    scenes: str | Path | Sequence[str | Path],
    output: str | Path,
    options: MosaicOptions | None = None,
) -> Scene:
    """Write a VRT that shows many scenes as one; no pixel is copied.

    Args:
        scenes: Files, globs, folders, URLs, `@list.txt`, tile indices (`*.gti.gpkg`, `*.gti.fgb`)
            and files of STAC items (`*.json`); where they overlap, later ones lie on top.
        output: The `.vrt`.
        options: How.

    Returns:
        The mosaic.

    Raises:
        SceneError: If a tile cannot be read, or is unlike the first one in CRS, pixels, bands,
            type or nodata value.
        LabelError: If a tile index is no vector file.
        ConfigError: If an option makes no sense.
        OutputError: If the output must not or cannot be written.
        WorkError: If the disk fails.
    """
    options = options or MosaicOptions()
    entries = [scenes] if isinstance(scenes, str | Path) else list(scenes)
    leave = Leave(trust=options.trust_vrt, allow_remote=options.allow_remote)
    path = check_mosaic_name(output)
    tiles = find_tiles(entries, options.assets, leave)
    files = [part.path for tile in tiles for part in tile.parts if not is_remote(part.path)]
    check_output(path, overwrite=options.overwrite, inputs=files)
    look = SceneOptions(
        assume_crs=options.assume_crs,
        trust_vrt=options.trust_vrt,
        allow_remote=options.allow_remote,
    )
    text = compose(tiles, path, look, options.jobs)
    with publish(path, overwrite=options.overwrite) as made:
        made.write_text(text, encoding="utf-8")
    # What the user has just named is trusted, wherever it lies.
    return Scene.open(path, SceneOptions(trust_vrt=True, allow_remote=True))

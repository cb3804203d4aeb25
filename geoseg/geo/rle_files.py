"""Jobs over files of run lengths: masks to a table, a table to masks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geoseg.errors import ConfigError, LabelError
from geoseg.geo.gdal import open_dataset
from geoseg.geo.label_images import find_label_images, open_label_image
from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.name_lists import check_stems
from geoseg.geo.output_lock import writing
from geoseg.geo.outputs import check_output, check_output_folder, publish, publish_folder
from geoseg.geo.recolor_files import LEGEND_FILE
from geoseg.geo.rle import decode_runs
from geoseg.geo.rle_masks import encode_mask, image_files, mask_names, order_names, write_mask
from geoseg.geo.rle_table import read_rle_table, rle_table_text
from geoseg.geo.workers import Workers
from geoseg.progress import Progress

_MOST_PIXELS = 1 << 30
"""Of a decoded mask, which is in memory as a whole, three bytes a pixel."""


@dataclass(frozen=True, kw_only=True)
class RleOptions:
    """How masks become run lengths, and run lengths masks."""

    value: int | None = None
    """Value of the pixels that count. Encoding: None takes whatever is not 0, of which there must
    be but one. Decoding: None writes 1."""

    suffix: str | None = None
    """Suffix of the image names in the table, such as `.jpg`; None takes that of the masks."""

    size: tuple[int, int] = (512, 512)
    """Height and width of decoded masks, where no images tell them."""

    name_column: str | None = None
    """Heading of the column of image names; None takes the first column."""

    runs_column: str | None = None
    """Heading of the column of run lengths; None takes the second column."""

    jobs: int | None = None
    """Threads, each with a mask; None takes one per processor."""

    overwrite: bool = False
    """Whether an existing output may be replaced."""


def rle_encode(
    masks: Sequence[str],
    output: str | Path,
    options: RleOptions | None = None,
    *,
    sample: str | Path | None = None,
    progress: Progress | None = None,
) -> int:
    """Write masks as a table of run lengths: `name<TAB>start length start length ...`.

    Args:
        masks: Masks, folders, globs or lists.
        output: The table to write.
        options: How to encode.
        sample: A table whose names, and their order, the new one is to have; None takes all masks
            in order of name.
        progress: Where to tell how far it is.

    Returns:
        Number of lines.

    Raises:
        SceneError: If a mask cannot be read.
        LabelError: If a mask holds several classes, is coloured, or is missing.
        OutputError: If the output cannot or must not be written there.
        WorkError: If the file system fails.
    """
    options, progress = options or RleOptions(), progress or Progress()
    paths = find_label_images(masks)
    check_stems(paths)
    inputs = [*paths, *([] if sample is None else [sample])]
    target = check_output(output, overwrite=options.overwrite, inputs=inputs)
    named = {Path(path).stem + (options.suffix or Path(path).suffix): path for path in paths}
    columns = {"name": options.name_column, "runs": options.runs_column}
    wanted = None if sample is None else list(read_rle_table(sample, **columns))
    chosen = order_names(named, wanted, sample)

    def encode(path: str) -> str:
        return encode_mask(open_label_image(path, assume_crs="none"), options.value)

    with writing(target):
        with Workers(options.jobs) as workers:
            found = progress.track(
                workers.map(encode, chosen.values()), "encode", len(chosen), "mask"
            )
            text = rle_table_text(dict(zip(chosen, found, strict=True)))
        with publish(target, overwrite=options.overwrite) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    return len(chosen)


def rle_decode(
    table: str | Path,
    output: str | Path,
    options: RleOptions | None = None,
    *,
    images: str | Path | None = None,
    progress: Progress | None = None,
) -> int:
    """Write the masks of a table of run lengths as a folder of PNGs.

    Args:
        table: The table, with a header or without, tab- or comma-separated.
        output: The folder.
        options: How to decode.
        images: Folder of the images, which tell the sizes; None takes `options.size`.
        progress: Where to tell how far it is.

    Returns:
        Number of masks.

    Raises:
        LabelError: If the table is broken, names no plain files, or its runs do not fit.
        SceneError: If an image cannot be read.
        ConfigError: If an option makes no sense.
        OutputError: If the output cannot or must not be written there.
        WorkError: If the file system fails.
    """
    options, progress = options or RleOptions(), progress or Progress()
    value = 1 if options.value is None else options.value
    if not 1 <= value <= 255:
        raise ConfigError("--value", f"{value} is not within 1 to 255", "Give such as 255")
    _check_size(options.size)
    inputs = [table, *([] if images is None else [images])]
    target = check_output_folder(
        output, overwrite=options.overwrite, inputs=inputs, marker=LEGEND_FILE
    )
    runs = read_rle_table(table, name=options.name_column, runs=options.runs_column)
    files = mask_names(runs, table)
    sources = {} if images is None else image_files(images, runs)

    with publish_folder(target) as folder, Workers(options.jobs) as workers:
        (folder / LEGEND_FILE).write_text(_legend(value).to_toml(), encoding="utf-8")

        def decode(name: str) -> None:
            shape = options.size
            if name in sources:
                with open_dataset(sources[name]) as dataset:
                    shape = dataset.shape
                if math.prod(shape) > _MOST_PIXELS:
                    raise LabelError(sources[name], _too_large(shape), "Cut it first")
            mask = decode_runs(runs[name], shape, f"{table}: {name}")
            write_mask(folder / files[name], mask, value)

        for _ in progress.track(workers.map(decode, runs), "decode", len(runs), "mask"):
            pass
    return len(runs)


def _check_size(size: tuple[int, int]) -> None:
    if min(size) < 1:
        raise ConfigError("--size", f"{size[0]},{size[1]} holds no pixel", "Give such as 512,512")
    if math.prod(size) > _MOST_PIXELS:
        raise ConfigError("--size", _too_large(size), "Give height and width of one image")


def _too_large(shape: tuple[int, int]) -> str:
    return f"{shape[0]} x {shape[1]} pixels are too many for a mask; {_MOST_PIXELS} are the most"


def _legend(value: int) -> Legend:
    """What decoded masks hold."""
    background = LegendClass(value=0, name="background", color="#000000")
    mask = LegendClass(value=value, name="mask", color="#ffffff")
    return Legend(classes=(background, mask), ignore=255 if value < 255 else 254)

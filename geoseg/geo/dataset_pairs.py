"""Finding the images of a described data set, and the labels of each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Literal

from geoseg.errors import ConfigError, LabelError
from geoseg.geo.dataset_files import ImageFile, match_files, read_lines, runs_of
from geoseg.geo.dataset_tables import Description, Encoding, Part, RleLabels, check_relative
from geoseg.geo.paths import SUFFIXES
from geoseg.geo.splits import Split

Kind = Literal[
    "missing image", "missing label", "lone label", "duplicate", "list", "image", "label",
    "size", "values",
]  # fmt: skip
"""What can be wrong with a data set; the last four are found when the pixels are read."""

_IMAGE_SUFFIXES = {*SUFFIXES, ".bmp", ".gif", ".webp", ".mat"}
"""What a line of a list may end in without being part of the name."""

_SPLIT_WORDS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with a data set."""

    kind: Kind
    """What kind of thing."""

    path: str
    """The file, relative to the data set's folder where it lies there."""

    problem: str
    """What is wrong, in words."""

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An image with its labels, not looked at yet."""

    name: str
    """What identifies it in lists."""

    image: str
    """Path of the image."""

    labels: str
    """Path of the label file, or of the table that holds the labels; empty if it has none."""

    split: Split
    """The split it belongs to."""

    encoding: Encoding
    """How the labels are encoded."""

    key: str = ""
    """What the table of run lengths calls the image."""


@dataclass(kw_only=True)
class Found:
    """What lies in the folder of a data set."""

    root: Path
    """The folder that the paths of the description begin at."""

    pairs: list[Pair] = field(default_factory=list)
    """Images with labels, by split, in order of name."""

    unlabelled: Counter[Split] = field(default_factory=Counter)
    """Images without labels, where the description allows it."""

    faults: list[Fault] = field(default_factory=list)
    """What is missing or doubled."""

    claimed: set[tuple[str, str]] = field(default_factory=set)
    """Label files, and lines of tables, that belong to an image, whatever is wrong with it."""

    def fault(self, kind: Kind, path: object, problem: str) -> None:
        """Add a fault; paths below the folder are shortened."""
        self.faults.append(Fault(kind=kind, path=self.short(path), problem=problem))

    def short(self, path: object) -> str:
        """A path as seen from the folder."""
        try:
            return Path(str(path)).relative_to(self.root).as_posix()
        except ValueError:
            return str(path)


def find_pairs(description: Description, root: str | Path) -> Found:
    """Find the images of a data set, and the labels of each; no pixel is read.

    Args:
        description: What to look for.
        root: The folder the data set was unpacked in.

    Returns:
        The pairs that are whole, and what is missing, doubled, or left over.

    Raises:
        ConfigError: If there is no such folder, or a list leads out of it.
        LabelError: If a list or a table of run lengths cannot be read.
    """
    found = Found(root=_begin(description, Path(root).expanduser()))
    for split in description.used_splits:
        for part in description.parts(split):
            encoding = description.encoding_of(part)
            if part.list_of == "pairs" and part.list_ is not None:
                _find_listed(part, encoding, split, found)
            else:
                _find_part(part, encoding, split, found)
    found.claimed.update((pair.labels, pair.key) for pair in found.pairs)
    _tell_lone(description, found)
    _refuse_shared(found)
    return found


def _begin(description: Description, root: Path) -> Path:
    if not root.is_dir():
        problem = "is a file, no folder" if root.exists() else "does not exist"
        raise ConfigError(root, problem, f"Give the folder that holds {description.title}")
    folders = [root / folder for folder in description.roots]
    return next((folder for folder in folders if folder.is_dir()), root)


def _find_part(part: Part, encoding: Encoding, split: Split, found: Found) -> None:
    everything = match_files(found.root, part.images or "")
    if not everything and part.labels is not None:
        found.fault("missing image", part.images, f"no image of {split} fits this pattern")
    images = _select([replace(i, name=i.fill(part.name)) for i in everything], part, found)
    if part.labels is None:
        found.unlabelled[split] += len(images)
        return
    if isinstance(encoding, RleLabels):
        _pair_with_table(images, part, encoding, split, found)
    else:
        _pair_with_files(images, part, encoding, split, found)


def _select(images: Sequence[ImageFile], part: Part, found: Found) -> list[ImageFile]:
    """The images of a part by its lists and patterns of names."""
    by_name: dict[str, list[ImageFile]] = {}
    for image in images:
        by_name.setdefault(image.name, []).append(image)
    if part.list_ is not None:
        by_name = {name: by_name[name] for name in _listed(found.root / part.list_, by_name, found)}
    for pattern in part.only:
        if not any(fnmatchcase(name, pattern) for name in by_name) and by_name:
            found.fault("missing image", pattern, "no image of this name, which `only` lists")
    left_out = set()
    if part.except_list is not None:
        left_out = {_known(line, by_name) for _, line in read_lines(found.root / part.except_list)}
    chosen = []
    for name, same in by_name.items():
        is_chosen = not part.only or any(fnmatchcase(name, each) for each in part.only)
        is_left_out = name in left_out or any(fnmatchcase(name, each) for each in part.leave_out)
        if is_chosen and not is_left_out:
            chosen.extend(same)
    return chosen


def _listed(path: Path, known: Mapping[str, object], found: Found) -> list[str]:
    """The names of a list that images have."""
    names: dict[str, None] = {}
    for number, line in read_lines(path):
        name = _known(line, known)
        if name in names:
            found.fault("list", path, f"line {number} lists {line} again")
        elif name not in known:
            found.fault("missing image", path, f"line {number} lists {line}, which has no image")
        else:
            names[name] = None
    return list(names)


def _known(line: str, known: Mapping[str, object]) -> str:
    """What a line of a list means: the name, or the stem of a path."""
    if line in known:
        return line
    path = PurePosixPath(line)
    # "tile.1" is a name, of which ".1" is no suffix
    return path.stem if path.suffix.lower() in _IMAGE_SUFFIXES else path.name


def _pair_with_files(
    images: Sequence[ImageFile], part: Part, encoding: Encoding, split: Split, found: Found
) -> None:
    for image in images:
        pattern = image.fill(part.labels or "")
        matches = [m.path for m in match_files(found.root, pattern, literal="*" not in pattern)]
        if not matches:
            if part.unlabelled == "skip":
                found.unlabelled[split] += 1
            else:
                found.fault("missing label", image.path, f"has no labels: no {pattern}")
        elif len(matches) > 1:
            names = ", ".join(match.name for match in matches)
            found.fault("duplicate", image.path, f"has several label files: {names}")
            found.claimed.update((str(match), "") for match in matches)
        else:
            found.pairs.append(_pair(image.name, image.path, matches[0], split, encoding))


def _pair_with_table(
    images: Sequence[ImageFile], part: Part, encoding: RleLabels, split: Split, found: Found
) -> None:
    path = found.root / (part.labels or "")
    table = runs_of(str(path), encoding)
    for image in images:
        key = image.fill(encoding.key)
        if key in table:
            pair = _pair(image.name, image.path, path, split, encoding)
            found.pairs.append(replace(pair, key=key))
        elif part.unlabelled == "skip":
            found.unlabelled[split] += 1
        else:
            found.fault("missing label", image.path, f"has no labels: no line {key} in {path.name}")


def _find_listed(part: Part, encoding: Encoding, split: Split, found: Found) -> None:
    """Pairs of a list that holds the paths of both."""
    path = found.root / (part.list_ or "")
    seen: set[str] = set()
    for number, line in read_lines(path):
        words = _SPLIT_WORDS.split(line)
        if len(words) != 2:
            raise LabelError(
                path,
                f"line {number} holds {len(words)} words",
                "Write the paths of image and label",
            )
        files = [found.root / _inside(path, number, word) for word in words]
        name = files[0].stem
        if words[0] in seen:
            found.fault("list", path, f"line {number} lists {words[0]} again")
        elif not files[0].is_file():
            found.fault(
                "missing image", path, f"line {number} lists {words[0]}, which is not there"
            )
        elif not files[1].is_file():
            found.fault(
                "missing label", path, f"line {number} lists {words[1]}, which is not there"
            )
        else:
            found.pairs.append(_pair(name, files[0], files[1], split, encoding))
        seen.add(words[0])


def _inside(path: Path, number: int, word: str) -> str:
    try:
        # some lists begin with a slash and mean the data set's folder
        return check_relative(word.lstrip("/"))
    except ValueError as error:
        problem = str(error).partition("; ")[0]
        cure = 'Write it relative to that, with no ".." in it'
        raise ConfigError(path, f"line {number}: {word} {problem}", cure) from error


def _tell_lone(description: Description, found: Found) -> None:
    """Tell labels that have no image, where no list chooses among the images."""
    for pattern, encoding in _whole_patterns(description).items():
        if isinstance(encoding, RleLabels):
            table = str(found.root / pattern)
            for key in runs_of(table, encoding):
                if (table, key) not in found.claimed:
                    found.fault("lone label", table, f"has a line {key}, which has no image")
            continue
        for match in match_files(found.root, pattern):
            is_side_file = match.path.name.endswith(".aux.xml")
            if (str(match.path), "") not in found.claimed and not is_side_file:
                found.fault("lone label", match.path, "has no image")


def _whole_patterns(description: Description) -> dict[str, Encoding]:
    """Patterns of label files, or tables, of which every one should have an image."""
    chosen: set[str] = set()
    whole: dict[str, Encoding] = {}
    for part in (part for split in description.used_splits for part in description.parts(split)):
        encoding = description.encoding_of(part)
        if part.labels is None or not (isinstance(encoding, RleLabels) or "{" in part.labels):
            continue
        pattern = re.sub(r"{\w+}", "*", part.labels)
        if part.list_ or part.only or part.leave_out or part.except_list:
            chosen.add(pattern)
        else:
            whole[pattern] = encoding
    return {pattern: encoding for pattern, encoding in whole.items() if pattern not in chosen}


def _refuse_shared(found: Found) -> None:
    """Tell images that come twice and labels that several images claim; neither is a pair."""
    by_image: dict[str, list[Pair]] = {}
    by_labels: dict[tuple[str, str], list[Pair]] = {}
    for pair in found.pairs:
        by_image.setdefault(pair.image, []).append(pair)
        by_labels.setdefault((pair.labels, pair.key), []).append(pair)
    doubled: set[str] = set()
    for image, pairs in by_image.items():
        if len(pairs) > 1:
            splits = ", ".join(pair.split for pair in pairs)
            found.fault("duplicate", image, f"comes {len(pairs)} times ({splits})")
            doubled.add(image)
    for (labels, key), pairs in by_labels.items():
        images = sorted({pair.image for pair in pairs})
        if len(images) > 1:
            names = ", ".join(map(found.short, images))
            what = f"{key} is" if key else "is"
            found.fault("duplicate", labels, f"{what} the label of several images: {names}")
            doubled.update(images)
    found.pairs = [pair for pair in found.pairs if pair.image not in doubled]


def _pair(name: str, image: Path, labels: Path, split: Split, encoding: Encoding) -> Pair:
    return Pair(name=name, image=str(image), labels=str(labels), split=split, encoding=encoding)

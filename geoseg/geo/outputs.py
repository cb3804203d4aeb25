"""How every output is written: refused early, made beside the target, checked, then renamed.

A process that is killed leaves at most a hidden temporary file, never an unfinished one under
a final name; the next run in that folder removes what dead processes left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from geoseg.errors import OutputError, WorkError
from geoseg.geo.exchange import exchange
from geoseg.geo.output_lock import make_folders, writing
from geoseg.geo.temporary import (
    remove_temporary,
    remove_temporary_folder,
    temporary_path,
    try_file,
)

__all__ = [
    "check_output",
    "check_output_folder",
    "make_folders",
    "publish",
    "publish_folder",
    "sync",
    "sync_folder",
]

_MANY_FILES = 64


def check_output(
    path: str | Path, *, overwrite: bool = False, inputs: Iterable[str | Path] = ()
) -> Path:
    """Refuse an output that must not or cannot be written, before any work is done.

    Args:
        path: The file to be written. Where it is a link, the link itself is replaced.
        overwrite: Whether an existing file may be replaced.
        inputs: Files that are read; the output must be none of them, links followed.

    Returns:
        The output's path.

    Raises:
        OutputError: If the file exists and `overwrite` is not set, is a folder, a device or an
            input, or if its folder is missing or cannot be written.
    """
    path = _usable(path)
    if not path.parent.is_dir():
        raise OutputError(path, f"folder {path.parent} does not exist", "Make it first")
    if path.is_dir():
        raise OutputError(path, "is a folder, a file is wanted", "Name a file in it")
    if path.exists() and not path.is_file():
        raise OutputError(path, "is a device or pipe, a file is wanted", "Name a file")
    _refuse_input(path, inputs)
    if os.path.lexists(path) and not overwrite:
        raise OutputError(path, "already exists", "Give --overwrite to replace it")
    _check_writable(path.parent)
    return path


def check_output_folder(
    path: str | Path,
    *,
    overwrite: bool = False,
    inputs: Iterable[str | Path] = (),
    marker: str | None = None,
) -> Path:
    """Refuse an output folder that must not or cannot be made; the folder is not made yet.

    Args:
        path: The folder to be made, with all folders above it.
        overwrite: Whether a folder with content may be replaced as a whole.
        inputs: Files that are read; the folder must hold none of them, links followed.
        marker: A file that tells a folder of the same kind: only such a one is replaced, so
            that a slip of the pen never costs a folder of other things.

    Returns:
        The folder's path.

    Raises:
        OutputError: If the folder has content and `overwrite` is not set, is a file, holds an
            input or the user's own place, or if the folder around it cannot be written.
    """
    path = _usable(path)
    if os.path.lexists(path) and not path.is_dir():
        raise OutputError(path, "is a file, a folder is wanted", "Name another folder")
    if path.is_dir():
        _check_inside(path, inputs)
        if any(path.iterdir()):
            _check_replaceable(path, overwrite=overwrite, marker=marker)
    _check_writable(_existing_parent(path))
    return path


@contextmanager
def publish(path: str | Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is synced and takes its name.

    The caller has called `check_output` before. The temporary path bears the suffix of `path`
    (many drivers go by it), and is removed, with GDAL's side files, when the block fails.

    Args:
        path: The file to be written.
        overwrite: Whether a file that appeared meanwhile is replaced.

    Yields:
        The temporary path.

    Raises:
        WorkError: If the block left no file, or the file system fails.
        OutputError: If another process is writing it, or (without `overwrite`) made it meanwhile.
    """
    path = Path(path).expanduser()
    with writing(path), _published(path, overwrite=overwrite) as temporary:
        yield temporary


@contextmanager
def _published(path: Path, *, overwrite: bool) -> Iterator[Path]:
    temporary = temporary_path(path)
    try:
        yield temporary
        if not temporary.exists():
            raise WorkError(path, "nothing was written")
        temporary.chmod(_usual_mode(path))
        sync(temporary)
        _rename(temporary, path, overwrite=overwrite)
        sync_folder(path.parent)
    except OSError as error:
        raise WorkError(path, error.strerror or str(error), "Check the disk") from error
    finally:
        remove_temporary(temporary)


@contextmanager
def publish_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; on success it takes the place of `path`.

    The caller has called `check_output_folder` before. An old folder is put back if the new
    one cannot take its place.

    Yields:
        The temporary folder, empty.

    Raises:
        WorkError: If the file system fails.
        OutputError: If another process is writing it.
    """
    named, path = Path(path), Path(path).expanduser().resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkError(named, error.strerror or str(error), "Check the disk") from error
    with writing(path), _published_folder(named, path) as temporary:
        yield temporary


@contextmanager
def _published_folder(named: Path, path: Path) -> Iterator[Path]:
    # A mount point, as of a container, and the folder one stands in cannot be renamed: filled.
    is_fixed = path.is_dir() and (path.is_mount() or path == Path.cwd())
    temporary = None
    try:
        temporary = temporary_path(path / path.name if is_fixed else path)
        temporary.mkdir()
        yield temporary
        _sync_tree(temporary)
        if is_fixed:
            _move_content(temporary, path)
        else:
            _swap(temporary, path)
    except OSError as error:
        raise WorkError(named, error.strerror or str(error), "Check the disk") from error
    finally:
        if temporary is not None:
            remove_temporary_folder(temporary)


def _usual_mode(path: Path) -> int:
    """The permissions of the file that is replaced, or of any new file in that folder.

    Some libraries, safetensors among them, make files that only their owner can read.
    """
    if path.exists():
        return stat.S_IMODE(path.stat().st_mode)
    return try_file(path.parent)


def _usable(path: str | Path) -> Path:
    """The path, refused where the file system cannot even look at it (a name too long)."""
    path = Path(path).expanduser()
    try:
        path.exists()
    except OSError as error:
        raise OutputError(path, (error.strerror or str(error)).lower(), "Choose another") from error
    return path


def _refuse_input(path: Path, inputs: Iterable[str | Path]) -> None:
    if not path.exists():
        return
    for source in map(Path, inputs):
        if source.exists() and path.samefile(source):
            raise OutputError(path, "is the input itself", "Name another output")


def _check_inside(path: Path, inputs: Iterable[str | Path]) -> None:
    folder = path.resolve()
    for source in map(Path, inputs):
        if source.exists() and source.resolve().is_relative_to(folder):
            raise OutputError(path, f"holds the input {source}", "Name another folder")


def _check_replaceable(path: Path, *, overwrite: bool, marker: str | None) -> None:
    """Whether a folder with content may be replaced."""
    if not overwrite:
        raise OutputError(path, "already exists and is not empty", "Give --overwrite to replace it")
    folder = path.resolve()
    if any(place.is_relative_to(folder) for place in (Path.cwd(), Path.home())):
        raise OutputError(path, "is or holds your own folder", "Name a new folder in it")
    if marker is not None and not (path / marker).exists():
        raise OutputError(
            path, f"holds other things, no {marker}, and is not replaced", "Name another folder"
        )


def _existing_parent(path: Path) -> Path:
    parent = path.absolute().parent
    while not parent.exists():
        parent = parent.parent
    return parent


def _check_writable(folder: Path) -> None:
    if not folder.is_dir():
        raise OutputError(folder, "is a file, a folder is wanted", "Name another folder")
    # Permissions tell too little: root has all of them in /proc and on disks that only read.
    try:
        try_file(folder)
    except OSError as error:
        problem = f"cannot be written to ({(error.strerror or str(error)).lower()})"
        raise OutputError(folder, problem, "Choose a folder you may write to") from error


def _rename(temporary: Path, path: Path, *, overwrite: bool) -> None:
    if not overwrite:
        try:
            path.hardlink_to(temporary)
        except FileExistsError as error:
            raise OutputError(
                path, "was made by another program meanwhile", "Give --overwrite to replace it"
            ) from error
        except OSError:
            pass  # A file system without hard links.
        else:
            return  # The temporary name is removed by the caller.
    temporary.replace(path)


def _swap(temporary: Path, path: Path) -> None:
    """Put a folder in the place of another, which gets its temporary name, or is removed."""
    if not path.exists():
        temporary.replace(path)
    elif not exchange(temporary, path):
        _swap_in_steps(temporary, path)
    sync_folder(path.parent)


def _swap_in_steps(temporary: Path, path: Path) -> None:
    """Put a folder in the place of another, which is put back if that fails or is interrupted."""
    old = temporary_path(path)
    try:
        path.replace(old)
        temporary.replace(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.replace(path)
        raise
    remove_temporary_folder(old)


def _move_content(temporary: Path, path: Path) -> None:
    """Put a folder's entries in the place of those of another."""
    for entry in list(path.iterdir()):
        if entry == temporary:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    for entry in list(temporary.iterdir()):
        entry.replace(path / entry.name)
    sync_folder(path)


def _sync_tree(folder: Path) -> None:
    """Bring a folder's files to the disk, many at once: one by one takes milliseconds each."""
    entries = list(folder.rglob("*"))
    if len(entries) > _MANY_FILES and hasattr(os, "sync"):
        os.sync()
        return
    for entry in [*entries, folder]:
        sync(entry)


def sync_folder(folder: Path) -> None:
    """Bring names to the disk, where the file system can: some network ones cannot."""
    with contextlib.suppress(OSError):
        sync(folder)


def sync(path: Path) -> None:
    """Bring a file's content to the disk."""
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Weights in the files of other tools: tensors by name, read without running anything."""

from __future__ import annotations

import mmap
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from geoseg.errors import BundleError

PICKLES = (".pth", ".pt", ".ckpt", ".bin", ".pkl")
"""Suffixes of files that are read as pickles of PyTorch, tensors and plain values only."""

WEIGHT_FILES = (*PICKLES, ".safetensors")
"""Suffixes of all files that may hold weights."""

_WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net", "module", "teacher")
"""Keys of checkpoints under which the weights lie."""

_BROKEN = (
    *(OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError),
    *(MemoryError, AssertionError, struct.error),
)
"""What torch raises on pickles that it did not write, or damaged ones."""

_ALONE = "Save its weights alone, by torch.save(model.state_dict(), ...) or as .safetensors"


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a file, in main memory; a file that wants to run code is refused.

    Args:
        path: A `.safetensors` file, or one that `torch.save` wrote: a state dict by itself or
            within a checkpoint, under a key such as `state_dict`.

    Returns:
        Tensors by the names that the file gives them.

    Raises:
        BundleError: If the file is missing, damaged, holds no tensors, or needs more than
            tensors and plain values to be read.
    """
    path = Path(path)
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "no such file or directory"
        raise BundleError(path, problem, "Check the path")
    if path.stat().st_size == 0:
        raise BundleError(path, "is empty", "Copy it again")
    content = _read_safetensors(path) if _is_safetensors(path) else read_pickle(path)
    state = _unwrap(content)
    if not state:
        raise BundleError(path, "holds no weights by name", _ALONE)
    size = path.stat().st_size
    for key, tensor in state.items():
        if tensor.numel() * tensor.element_size() > size:
            problem = f"is of {size} bytes, its weight {key[:100]} of {tuple(tensor.shape)}"
            raise BundleError(path, problem, _ALONE)
    return state


def safetensors_metadata(path: str | Path) -> dict[str, str]:
    """What a safetensors file says about itself; nothing for any other file."""
    path = Path(path)
    if not path.is_file() or not _is_safetensors(path):
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, ValueError, OSError):
        return {}


def _is_safetensors(path: Path) -> bool:
    """By its first bytes: the length of a header in JSON, which begins with a brace."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:9] == b"{" and not start.startswith(b"PK")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, TypeError, RuntimeError) as error:
        raise BundleError(path, f"is damaged ({_first_line(error)})", "Copy it again") from error


def read_pickle(path: Path) -> object:
    """Read what `torch.save` wrote, if it is made of tensors and plain values.

    Raises:
        BundleError: If it is anything else, damaged, or takes more memory than the file.
    """
    try:
        _check_archive(path)
        _check_calls(path)
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual pickles: they are read or refused
            # As an open file, for by a name torch would guess what it is.
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BundleError(path, _what_it_needs(str(error)), _ALONE) from error
    except _BROKEN as error:
        problem = f"is no file of weights that can be read ({_first_line(error)})"
        raise BundleError(path, problem, "Give a .safetensors, .pth, .pt, .ckpt or .bin") from error


def _check_archive(path: Path) -> None:
    """Refuse archives that `torch.save` does not write: small files may grow without end."""
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise BundleError(path, f"is damaged ({_first_line(error)})", "Copy it again") from error
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise BundleError(path, "is a TorchScript program, not weights", _ALONE)
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise BundleError(path, "holds compressed records, which torch.save never writes", _ALONE)
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise BundleError(path, "holds records that lie in one another", _ALONE)


def _check_calls(path: Path) -> None:
    """Refuse the one call that torch lets pickles make which takes memory as it likes."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(b"\nbytearray\n") >= 0:
            raise BundleError(path, "needs bytearray to be read; it was not read", _ALONE)


def _what_it_needs(message: str) -> str:
    """Name the class that a pickle asks for, out of PyTorch's long explanation."""
    found = re.search(r"GLOBAL ([\w.]+)", message)
    if found is None:
        return "is no file of weights, or needs more than tensors and plain values to be read"
    return f"needs {found[1]} to be read, which could run code; it was not read"


def _unwrap(content: object) -> dict[str, Tensor]:
    """Find the tensors by name in a checkpoint."""
    for _ in range(len(_WRAPPERS)):
        inner = _inner(content)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping):
        return {}
    return {
        key: value.detach()
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }


def _inner(content: object) -> Mapping[Any, Any] | None:
    if not isinstance(content, Mapping):
        return None
    found = (content.get(key) for key in _WRAPPERS)
    return next((value for value in found if isinstance(value, Mapping)), None)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

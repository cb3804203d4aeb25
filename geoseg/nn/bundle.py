"""One trained network in one file, with all that is needed to use it: a model bundle.

A bundle is a safetensors file with a single metadata entry, `geoseg`, which holds the card as
JSON. Nothing in it can run code. See docs/bundle.md.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from geoseg.errors import BundleError, ConfigError, LegendError, WorkError
from geoseg.geo import outputs
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Scene
from geoseg.nn import fit
from geoseg.nn.blank import Blank
from geoseg.nn.card import FORMAT_VERSION, ModelCard, parse_card
from geoseg.nn.models import ModelSpec, SegmentationModel, build_model
from geoseg.nn.scaling import Scaling
from geoseg.nn.shift import band_shifts, warn_of_shifts

__all__ = ["FORMAT_VERSION", "METADATA_KEY", "ModelBundle", "ModelCard", "Scaling", "read_card"]

METADATA_KEY = "geoseg"
"""The metadata entry of the safetensors file that holds the card."""

MAX_HEADER = 32 << 20
"""Bytes of the header, which takes ten times as much memory; a card of 65535 classes has 8 MiB."""


@dataclass(frozen=True, kw_only=True)
class ModelBundle:
    """A trained network with its card."""

    card: ModelCard
    """All but the weights."""

    state: Mapping[str, Tensor]
    """Weights and buffers by the names that `build_model(card.spec)` gives them."""

    path: str = ""
    """File it was read from, as the user wrote it; empty when it was made in memory."""

    sha256: str = ""
    """Of the file it was read from, 64 hex digits; empty when it was made in memory."""

    @classmethod
    def of(cls, network: nn.Module, card: ModelCard) -> ModelBundle:
        """Take the weights of a network, as they are now.

        Raises:
            BundleError: If they are not those of `card.spec`, or not all finite.
        """
        state = {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}
        bundle = cls(card=card, state=state)
        _check(bundle, "model")
        return bundle

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> ModelBundle:
        """Read a bundle, and check all that can be checked without a scene.

        Raises:
            BundleError: If the file is missing, damaged, no bundle (a pickle is never read),
                of a newer format, or its weights do not belong to its card.
        """
        path = os.fspath(path)
        text, tensors = _read(path)
        card = parse_card(path, text)
        if card.checksum != _checksum(text, card.checksum, tensors):
            raise BundleError(path, "is damaged: its checksum differs", "Copy it again")
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        bundle = cls(card=card, state=tensors, path=path, sha256=digest)
        _check(bundle, path)
        return bundle

    @property
    def legend(self) -> Legend:
        """The classes, one per channel of the logits."""
        return Legend.from_dict(self.card.legend)

    def build(self) -> SegmentationModel:
        """The network with its weights, in evaluation mode, on the CPU in float32."""
        with torch.random.fork_rng(devices=[]), Blank():
            network = build_model(self.card.spec)
        network.load_state_dict(self.state)
        return network.eval()

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> ModelBundle:
        """Write the bundle; an unfinished file never bears the name.

        Args:
            path: File to write, `*.safetensors`.
            overwrite: Whether an existing file may be replaced.

        Returns:
            The bundle as it is in the file, with path and hash.

        Raises:
            BundleError: If weights and card do not belong together.
            OutputError: If the file must not or cannot be written.
            WorkError: If the file system fails.
        """
        target = outputs.check_output(os.fspath(path), overwrite=overwrite)
        _check(self, os.fspath(path))
        tensors = {
            key: value.detach().cpu().contiguous().clone() for key, value in self.state.items()
        }
        card = self.card.model_copy(update={"checksum": "", "format_version": FORMAT_VERSION})
        checksum = _checksum(card.model_dump_json(), "", tensors)
        text = card.model_copy(update={"checksum": checksum}).model_dump_json()
        with outputs.publish(target) as temporary:
            written = _write(temporary, tensors, text, os.fspath(path))
        return replace(written, path=os.fspath(path))

    def match_bands(self, scene: Scene, *, bands_given: bool = False) -> tuple[int, ...]:
        """File bands of a scene in this bundle's order: by name where both sides have names.

        Raises:
            BundleError: If the counts differ, or bands are missing by name.
        """
        return fit.match_bands(scene, self.card.bands, bands_given=bands_given)

    def check(
        self,
        scene: Scene,
        *,
        bands_given: bool = False,
        resolution_given: bool = False,
        scale: float | None = None,
    ) -> None:
        """Refuse a scene that cannot be right for this network; log what is doubtful.

        Args:
            scene: The scene, opened as it will be read.
            bands_given: Whether the user chose its bands.
            resolution_given: Whether the user chose its resolution.
            scale: What its values will be multiplied by; None if the user did not say.

        Raises:
            BundleError: If its bands or the range of its values do not fit.
        """
        bands = self.match_bands(scene, bands_given=bands_given)
        stats = self.card.band_stats
        fit.check_values(scene, self.card.dtype, stats, scale=scale)
        if stats is not None:
            shifts = band_shifts(scene, bands, self.card.bands, stats, scale=scale)
            warn_of_shifts(scene.path, shifts)
        fit.check_resolution(scene, self.card.resolution, resolution_given=resolution_given)


def read_card(path: str | os.PathLike[str]) -> ModelCard:
    """Read the card of a bundle alone, without its weights.

    Raises:
        BundleError: As `ModelBundle.open`, as far as the header tells.
    """
    path = os.fspath(path)
    _check_header(path)
    with _opened(path) as file:
        return parse_card(path, _card_text(path, file.metadata()))


def _write(temporary: Path, tensors: dict[str, Tensor], text: str, path: str) -> ModelBundle:
    """Write a file and read it back."""
    try:
        save_file(tensors, temporary, metadata={METADATA_KEY: text})
        return ModelBundle.open(temporary)
    except (SafetensorError, BundleError) as error:
        raise WorkError(path, f"could not be written ({error})", "Check the disk") from error


def _read(path: str) -> tuple[str, dict[str, Tensor]]:
    """The card's text and the tensors of a file."""
    _check_header(path)
    with _opened(path) as file:
        text = _card_text(path, file.metadata())
        return text, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BundleError(path, f"is damaged ({reason})", "Copy it again") from error


def _check_header(path: str) -> None:
    """Look at the first bytes, so that nothing but safetensors is ever read further."""
    try:
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(9)
    except OSError as error:
        problem = error.strerror or str(error)
        raise BundleError(path, problem[:1].lower() + problem[1:], "Check the path") from error
    length = struct.unpack("<Q", start[:8])[0] if len(start) == 9 else 0
    if start[8:9] != b"{" or length < 2:
        raise BundleError(path, _what_else(start), "geoseg reads the .safetensors of geoseg train")
    if length > MAX_HEADER:
        raise BundleError(path, f"has a header of {length} bytes", "It is damaged; copy it again")
    if length + 8 > size:
        raise BundleError(path, f"is cut short at {size} bytes", "Copy it again")


def _what_else(start: bytes) -> str:
    if not start:
        return "is empty"
    if start.startswith(b"PK\x03\x04") or (start[0] == 0x80 and start[1:2] <= b"\x05"):
        return "is a pickle of PyTorch, which could run code when it is read; it was not read"
    return "is no model bundle"


def _card_text(path: str, metadata: dict[str, str] | None) -> str:
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        raise BundleError(
            path, "holds weights but no card of geoseg", "Take a model that geoseg train made"
        )
    return text


def _checksum(text: str, checksum: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over a card's text, its own checksum left out, and all tensors."""
    digest = hashlib.sha256(text.replace(checksum, "", 1).encode() if checksum else text.encode())
    for key in sorted(tensors):
        tensor = tensors[key]
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check(bundle: ModelBundle, subject: str) -> None:
    """Refuse weights, legend and network that do not belong together."""
    spec = bundle.card.spec
    try:
        legend = bundle.legend
    except LegendError as error:
        problem = f"its legend is wrong: {error.problem}"
        raise BundleError(subject, problem, "Train or export the model again") from error
    if legend.count != spec.classes:
        problem = f"has {legend.count} classes for {spec.classes} channels"
        raise BundleError(subject, problem, "Train or export the model again")
    try:
        expected = _template(spec)
    except ConfigError as error:
        problem = f"its network cannot be built ({error.subject}: {error.problem})"
        raise BundleError(subject, problem, "Install the geoseg that it was made with") from error
    _check_keys(subject, expected, bundle.state)
    for key, tensor in bundle.state.items():
        _check_tensor(subject, key, tensor, expected[key])


def _template(spec: ModelSpec) -> dict[str, Tensor]:
    """Names, shapes and types of a network's weights, as far as possible without memory."""
    try:
        with torch.device("meta"), Blank():
            return build_model(spec).state_dict()
    except Exception:  # noqa: BLE001 - some networks compute while they are built
        with torch.random.fork_rng(devices=[]), Blank():
            return build_model(spec).state_dict()


def _check_keys(subject: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    missing, unknown = expected.keys() - found.keys(), found.keys() - expected.keys()
    for keys, what in ((missing, "lacks"), (unknown, "has unknown")):
        if keys:
            problem = f"{what} weights ({len(keys)}, such as {min(keys)})"
            raise BundleError(subject, problem, "Card and weights do not belong together")


def _check_tensor(subject: str, key: str, found: Tensor, expected: Tensor) -> None:
    if found.shape != expected.shape:
        raise BundleError(
            subject,
            f"weight {key} is {tuple(found.shape)}, its network wants {tuple(expected.shape)}",
            "Card and weights do not belong together",
        )
    if found.is_floating_point() != expected.is_floating_point():
        raise BundleError(subject, f"weight {key} is of type {found.dtype}", "Copy it again")
    if not _is_finite(found):
        raise BundleError(
            subject, f"weight {key} is not finite", "Train again, with a lower learning rate"
        )


def _is_finite(tensor: Tensor) -> bool:
    """Whether all numbers are; their extremes tell it many times faster than each of them."""
    if tensor.numel() == 0 or not tensor.is_floating_point():
        return True
    numbers = tensor if tensor.element_size() > 1 else tensor.float()  # bytes are not compared
    return bool(torch.isfinite(torch.stack(numbers.aminmax())).all())

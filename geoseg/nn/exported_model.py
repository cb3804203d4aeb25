"""A network that was exported: its card and its graph, for run-times other than PyTorch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from geoseg.errors import BundleError
from geoseg.nn.bundle import METADATA_KEY, ModelBundle
from geoseg.nn.card import ModelCard, parse_card
from geoseg.nn.models import SegmentationModel
from geoseg.nn.scaling import Scaling

GraphFormat = Literal["onnx", "openvino"]

EXPORT_KEY = "geoseg_export"
"""The metadata entry beside the card that holds `ExportNote` as JSON."""


class ExportNote(BaseModel):
    """What one must know of an exported graph beside the card."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    """Of this note."""

    divisor: float = Field(gt=0, allow_inf_nan=False)
    """The graph takes raw values of the sensor divided by this."""

    weights: str = Field(pattern="^[0-9a-f]{64}$")
    """SHA-256 over the graph's constants."""

    graph: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """SHA-256 over what else the graph is; files of earlier versions tell none."""


@dataclass(frozen=True, kw_only=True)
class ExportedModel(ModelBundle):
    """An exported network; scaling and activation are inside its graph."""

    format: GraphFormat
    """Of the graph."""

    graph: bytes = field(repr=False)
    """The file's content."""

    constants: bytes = field(default=b"", repr=False)
    """The weights, where they are in a file of their own (OpenVINO)."""

    divisor: float
    """The graph takes raw values of the sensor divided by this."""

    @property
    def inner(self) -> ModelBundle:
        """The same with what is left to do around the graph as scaling and activation."""
        return around_graph(self.card, self.divisor)

    def build(self) -> SegmentationModel:
        """Refuse: there is no network of PyTorch in it.

        Raises:
            BundleError: Always.
        """
        self._refuse()

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> ModelBundle:
        """Refuse: it was exported from a bundle, which can be copied.

        Raises:
            BundleError: Always.
        """
        del path, overwrite
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise BundleError(self.path, "is an exported model", "Give the bundle it was made of")


def around_graph(card: ModelCard, divisor: float) -> ModelBundle:
    """What is left to do around an exported graph, as a bundle without weights.

    Missing values become the mean in raw units before the division, so the network sees what it
    sees in PyTorch.

    Args:
        card: Of the network.
        divisor: The graph takes raw values divided by this.
    """
    scaling = Scaling(kind="divide", divisor=divisor, mean=card.scaling.mean)
    inner = card.model_copy(update={"scaling": scaling, "activation": "none"})
    return ModelBundle(card=inner, state={})


def read_notes(path: str, entries: Mapping[str, str]) -> tuple[ModelCard, ExportNote]:
    """The card and the note of an exported file.

    Args:
        path: The file, for errors.
        entries: Its metadata.

    Raises:
        BundleError: If they are missing or wrong.
    """
    if METADATA_KEY not in entries or EXPORT_KEY not in entries:
        cure = "geoseg reads what geoseg export wrote"
        raise BundleError(path, "holds no card of geoseg", cure)
    card = parse_card(path, entries[METADATA_KEY])
    try:
        return card, ExportNote.model_validate_json(entries[EXPORT_KEY])
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"])) or EXPORT_KEY
        message = error.errors()[0]["msg"]
        problem = f"its note of the export is wrong: {key}: {message}"
        raise BundleError(path, problem, "Export the model again") from error


def check_interface(
    path: str, card: ModelCard, inputs: list[list[int]], outputs: list[list[int]]
) -> None:
    """Refuse a graph that is not the one its card tells of.

    Args:
        path: The file, for errors.
        card: What is told of it.
        inputs: Shape of each input; 0 for a length that is not fixed.
        outputs: Shape of each output.

    Raises:
        BundleError: If it takes or gives other arrays than windows of the card.
    """
    side = card.window
    wanted = ([card.spec.in_channels, side, side], [card.spec.classes, side, side])
    for kind, shapes, expected in zip(("input", "output"), (inputs, outputs), wanted, strict=True):
        if len(shapes) != 1 or shapes[0][1:] != expected or len(shapes[0]) != 4:
            found = ", ".join(" x ".join(map(str, shape)) for shape in shapes[:3]) or "none"
            problem = (
                f"its {kind} is {found}, its card tells of n x {' x '.join(map(str, expected))}"
            )
            raise BundleError(path, problem, "Export the model again")


def check_digests(path: str, note: ExportNote, weights: str, graph: str) -> None:
    """Refuse a graph that is not the one which was written.

    Args:
        path: The file, for errors.
        note: What it tells of itself.
        weights: SHA-256 over the constants that were found.
        graph: SHA-256 over what else was found.

    Raises:
        BundleError: If the hashes differ.
    """
    told = {"weights": (note.weights, weights), "operators": (note.graph or graph, graph)}
    for part, (written, found) in told.items():
        if written != found:
            problem = f"is damaged or was changed: the checksum of its {part} differs"
            raise BundleError(path, problem, "Copy it again, or export the model again")


def read_bytes(path: str, most: int) -> bytes:
    """A file as a whole.

    Args:
        path: The file.
        most: Bytes that it may have.

    Raises:
        BundleError: If it cannot be read, or is larger.
    """
    try:
        if not Path(path).is_file():
            missing = not Path(path).exists()
            problem = "no such file or directory" if missing else "is no file"
            raise BundleError(path, problem, "Check the path")
        size = Path(path).stat().st_size
        if size > most:
            raise BundleError(path, f"has {size} bytes, more than {most}", "It is no such model")
        return Path(path).read_bytes()
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise BundleError(path, problem, "Check the path") from error

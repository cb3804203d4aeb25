"""The job that takes a model out of geoseg: to ONNX, OpenVINO, torch.export, STAC."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from geoseg.engine.export_check import (
    LEAST,
    agreement,
    made_up_windows,
    scene_windows,
    written_graphs,
)
from geoseg.engine.graph_writer import (
    ExportFormat,
    GraphPlan,
    check_tools,
    write_onnx,
    write_openvino,
    write_program,
)
from geoseg.engine.probe import Probe
from geoseg.engine.window_network import Units
from geoseg.errors import BundleError, ConfigError, WorkError
from geoseg.geo.outputs import check_output, make_folders, publish
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.exported_model import ExportedModel
from geoseg.nn.open_model import open_model
from geoseg.nn.plugin_keys import PLUGIN_DIVISOR, plugin_keys
from geoseg.nn.stac_item import stac_item
from geoseg.progress import Progress

logger = logging.getLogger(__name__)

ExportProfile = Literal["deepness", "raw"]

_SUFFIXES: dict[ExportFormat, str] = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}

_TOOLS: dict[ExportFormat, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
    "torch": (),
}
"""Packages that a format needs; OpenVINO's own is made of ONNX."""

_OPSETS = (18, 23)
"""Versions of ONNX's operators that torch writes."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How a model is exported."""

    format: ExportFormat | None = None
    """What is written; by the suffix of the output, or ONNX, where None."""

    profile: ExportProfile | None = None
    """What the graph takes: `deepness` raw values divided by 255, as QGIS plugins feed them;
    `raw` the values of the sensor. None is `deepness` for ONNX and `raw` for the others."""

    window: int | None = None
    """Side of its windows in pixels; the model's own where None."""

    opset: int = 18
    """Version of ONNX's operators; QGIS plugins read 18."""

    stac: bool = False
    """Whether a STAC item is written beside it."""

    check: str | None = None
    """A scene on which it is compared with PyTorch; made-up windows where None."""

    overwrite: bool = False
    """Whether existing outputs may be replaced."""


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What an export made."""

    path: Path
    """The graph."""

    files: tuple[Path, ...]
    """All files, the graph first."""

    format: ExportFormat
    """Of the graph."""

    profile: ExportProfile
    """What it takes."""

    window: int
    """Side of its windows, pixels."""

    agreement: dict[str, float]
    """Share of the pixels with the class of PyTorch, by run-time."""

    windows: int
    """So many were compared."""


def export(
    bundle: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: ExportOptions | None = None,
    *,
    progress: Progress | None = None,
) -> ExportResult:
    """Write a model as a graph for other run-times, with scaling and activation inside.

    The graph is run before it gets its name; one that gives other classes than PyTorch for more
    than one pixel of a thousand is not published.

    Args:
        bundle: A model bundle, `*.safetensors`.
        output: `*.onnx`, `*.xml` or `*.pt2`; or a folder, which gets the name of the bundle.
        options: How.
        progress: Where to report.

    Returns:
        Where it is, and how far it agrees.

    Raises:
        BundleError: If the bundle cannot be read, or does not fit the scene.
        ConfigError: If an option makes no sense, or what it needs is not installed.
        SceneError: If the scene of the comparison cannot be read.
        OutputError: If an output must not or cannot be written.
        WorkError: If the network cannot be exported, or the graph gives other classes.
    """
    given, progress = options or ExportOptions(), progress or Progress()
    kind, path = _target(Path(bundle), Path(output), given)
    check_tools(_TOOLS[kind])
    files = [path, *([path.with_suffix(".bin")] if kind == "openvino" else [])]
    item = path.with_suffix(".json")
    profile: ExportProfile = given.profile or ("deepness" if kind == "onnx" else "raw")
    inputs = [os.fspath(each) for each in (bundle, given.check) if each is not None]
    with make_folders([path] if path.parent == Path(output) else []):
        for file in [*files, *([item] if given.stac else [])]:
            check_output(file, overwrite=given.overwrite, inputs=inputs)
        model = _model(bundle, given)
        probe, units = (
            made_up_windows(model) if given.check is None else scene_windows(model, given.check)
        )
        plan = _plan(model, profile, given)
        with contextlib.ExitStack() as stack:
            # In this order the graph gets its name last: whoever sees it sees the rest.
            places = [
                stack.enter_context(publish(file, overwrite=given.overwrite)) for file in files
            ]
            with progress.task("export", total=2, unit="steps") as task:
                _write(kind, plan, places)
                task.advance()
                shares = _checked(kind, plan, places, probe, units)
                task.advance()
            if given.stac:
                place = stack.enter_context(publish(item, overwrite=given.overwrite))
                place.write_text(_item(kind, plan, files, places), encoding="utf-8")
                files.append(item)
    return ExportResult(
        path=path,
        files=tuple(files),
        format=kind,
        profile=profile,
        window=plan.bundle.card.window,
        agreement=shares,
        windows=len(probe.pixels),
    )


def _target(bundle: Path, output: Path, options: ExportOptions) -> tuple[ExportFormat, Path]:
    """The format and the file of the graph."""
    low, high = _OPSETS
    if not low <= options.opset <= high:
        raise ConfigError("--opset", f"{options.opset} is not within {low} to {high}", "Give 18")
    if options.window is not None and options.window < 1:
        raise ConfigError("--window", f"{options.window} is below 1", "Give such as 512")
    suffix = output.suffix.lower()
    if not suffix or output.is_dir():
        kind: ExportFormat = options.format or "onnx"
        return kind, output / f"{bundle.stem}{_SUFFIXES[kind]}"
    by_suffix = {suffix: kind for kind, suffix in _SUFFIXES.items()}.get(suffix)
    if by_suffix is None or options.format not in (None, by_suffix):
        wanted = _SUFFIXES.values() if options.format is None else [_SUFFIXES[options.format]]
        cure = f"Name it {' or '.join('*' + each for each in wanted)}, or a folder"
        raise ConfigError("--output", f"{output} has the suffix of another format", cure)
    return by_suffix, output


def _model(path: str | os.PathLike[str], options: ExportOptions) -> ModelBundle:
    """The bundle, with the windows that were asked for."""
    model = open_model(path)
    if isinstance(model, ExportedModel):
        cure = "Give the bundle that it was made of"
        raise BundleError(os.fspath(path), "was exported already", cure)
    if options.window is None or options.window == model.card.window:
        return model
    change = {"window": options.window, "stride": max(options.window // 2, 1)}
    return replace(model, card=model.card.model_copy(update=change))


def _plan(model: ModelBundle, profile: ExportProfile, options: ExportOptions) -> GraphPlan:
    card = model.card
    is_for_plugins = profile == "deepness"
    if is_for_plugins and card.activation == "none":
        logger.warning("the network gives no probabilities; plugins take those below 0 for 0")
    if is_for_plugins and card.resolution is None:
        logger.warning("the bundle tells no resolution; set it in the plugin")
    return GraphPlan(
        bundle=model,
        divisor=PLUGIN_DIVISOR if is_for_plugins else 1.0,
        opset=options.opset,
        keys=plugin_keys(card) if is_for_plugins else {},
    )


def _write(kind: ExportFormat, plan: GraphPlan, places: list[Path]) -> None:
    match kind:
        case "onnx":
            write_onnx(plan, places[0])
        case "openvino":
            write_openvino(plan, places[0], places[1])
        case "torch":
            write_program(plan, places[0])


def _checked(
    kind: ExportFormat, plan: GraphPlan, places: list[Path], probe: Probe, units: Units
) -> dict[str, float]:
    """Read back what was written, run it, and refuse it if it gives other classes.

    Raises:
        WorkError: If it does.
    """
    runners = written_graphs(kind, plan, places, probe, units)
    shares = {
        name: agreement(plan.bundle, probe, units, scores) for name, scores in runners.items()
    }
    for name, share in shares.items():
        if share >= LEAST:
            continue
        problem = f"{name} gives the class of PyTorch for {share:.2%} of the pixels only"
        if (kind, name) != ("onnx", "openvino"):
            cure = "Nothing was written; try another format"
            raise WorkError(plan.bundle.path, problem, cure)
        # The file is right, as ONNX Runtime has shown: it is read otherwise there.
        logger.warning("%s: run this file by ONNX Runtime", problem)
    return shares


def _item(kind: ExportFormat, plan: GraphPlan, files: list[Path], places: list[Path]) -> str:
    """The STAC item as text."""
    about = {}
    for file, place in zip(files, places, strict=True):
        with place.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        about[file.name] = (place.stat().st_size, digest)
    learnt = {name for name, _ in plan.bundle.build().named_parameters()}
    item = stac_item(
        plan.bundle.card,
        files=about,
        divisor=plan.divisor,
        kind=kind,
        parameters=sum(plan.bundle.state[name].numel() for name in learnt),
    )
    return json.dumps(item, indent=2, ensure_ascii=False) + "\n"

"""The job that trains a network: from a TrainConfig to a run folder with a bundle."""

from __future__ import annotations

import json
import logging
import math
import signal
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geoseg import __version__
from geoseg.geo.outputs import publish
from geoseg.geo.sample_view import SampleView
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.checkpoints import read_checkpoint
from geoseg.nn.config import TrainConfig
from geoseg.nn.distributed import (
    Process,
    find_environment,
    joined,
    only_first_tells,
    own_device,
    this_process,
)
from geoseg.nn.dry_run import look, tell
from geoseg.nn.journal import Row
from geoseg.nn.launch import run_processes
from geoseg.nn.loop import FitResult, fit, quiet_libraries
from geoseg.nn.run_folder import (
    BUNDLE,
    FIGURES,
    LAST,
    PICTURES,
    SHEET,
    check_run,
    open_run,
    settled_config,
)
from geoseg.nn.sampling import SampleKey
from geoseg.nn.setup import TrainSetup, prepare, tell_setup
from geoseg.nn.signals import TrainingStopped
from geoseg.progress import Progress
from geoseg.reports.augmented import SampleVersions, draw_augmented
from geoseg.reports.figures import draw_confusion, draw_curves, draw_samples

logger = logging.getLogger(__name__)

_SHOWN_SAMPLES, _SAMPLE_CANDIDATES = 4, 24


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a training run made."""

    run: Path
    """The run folder."""

    bundle: Path | None
    """The trained network; None after a dry run."""

    metrics: dict[str, float]
    """The row of metrics.csv of the best epoch; empty after a dry run."""

    figures: dict[str, Any] = field(default_factory=dict)
    """What a dry run found, as in `dry_run.json`; empty after training."""


def train(
    config: TrainConfig,
    run: str | Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a network.

    Where several devices are wanted, the processes for them are started; under torchrun or SLURM
    this process joins those that are there, and the first of them alone writes and returns what
    was made.

    Args:
        config: What to train on what, and how.
        run: The run folder; `runs/<name of the config>` where not given. It gets `config.toml`,
            `model.safetensors` (of the best epoch), `metrics.csv`, pictures, checkpoints and
            TensorBoard events.
        resume: Go on from the last checkpoint in `run`; config and data must be the same.
        overwrite: Replace a run that is there.
        dry_run: Open the data, build the network and train nothing; the run folder gets
            `dry_run.png` (samples of the first batch, augmented) and `dry_run.json` (weights of
            classes, size of the network, statistics), which keep no later run from it.
        progress: Where progress is reported.

    Returns:
        Where the results are, and the figures of the best epoch.

    Raises:
        InputError: If config, data, weights or run folder cannot be right.
        WorkError: If training itself fails: a loss that is no number, a full disk.
        KeyboardInterrupt: After Ctrl-C; a checkpoint of the last batch is kept.
        SystemExit: After SIGTERM, with 143; a checkpoint of the last batch is kept.
    """
    run = Path(run) if run is not None else Path("runs") / config.name
    progress = progress or Progress()
    work = partial(_train, config, run, resume=resume, overwrite=overwrite, dry_run=dry_run)
    environment = find_environment(config.train)
    if environment is not None or config.train.devices == 1 or dry_run:
        return work(progress=progress)
    own_device(config.train, Process())  # what cannot be had is told before anything starts
    check_run(run, config, resume=resume, overwrite=overwrite)
    return run_processes(work, config.train.devices, progress)


def _train(
    config: TrainConfig,
    run: Path,
    *,
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    progress: Progress,
) -> TrainResult:
    """Train in this process: alone, or together with those that were started beside it."""
    environment = None if dry_run else find_environment(config.train)
    process = this_process(environment)
    device = own_device(config.train, process)
    told = only_first_tells(process)
    with quiet_libraries(), told, joined(environment, device), torch.random.fork_rng():
        if process.is_first:
            check_run(run, config, resume=resume, overwrite=overwrite)
        torch.manual_seed(config.seed)
        setup = prepare(settled_config(run, config) if resume else config, environment)
        tell_setup(setup)
        if dry_run:
            figures = _write_dry_run(setup, run)
            return TrainResult(run=run, bundle=None, metrics={}, figures=figures)
        checkpoint = open_run(run, setup, resume=resume)
        fitted = _fit(setup, run, checkpoint, progress if process.is_first else Progress())
        if not process.is_first:
            return TrainResult(run=run, bundle=None, metrics={})
        bundle = _save_bundle(setup, run, fitted)
        _draw(setup, run, fitted)
    return TrainResult(run=run, bundle=bundle, metrics=fitted.best)


def _write_dry_run(setup: TrainSetup, run: Path) -> dict[str, Any]:
    """Put what would be trained on what into the run folder, and tell the gist of it."""
    found = look(setup)
    tell(found.figures)
    run.mkdir(parents=True, exist_ok=True)
    with publish(run / FIGURES) as temporary:
        text = json.dumps(found.figures, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    samples = [SampleVersions(**vars(sample)) for sample in found.samples]
    draw_augmented(samples, setup.data.legend, run / SHEET, setup.data.band_names)
    logger.info("see %s and %s", run / SHEET, run / FIGURES)
    return found.figures


def _fit(setup: TrainSetup, run: Path, checkpoint: Path | None, progress: Progress) -> FitResult:
    """Train; after a signal say how to go on, and end as the signal wants."""
    try:
        return fit(setup, run, checkpoint, progress)
    except TrainingStopped as stop:
        if (run / LAST).is_file():
            logger.warning("stopped; the same command with --resume goes on from %s", run / LAST)
        else:
            logger.warning("stopped before the first step; nothing is kept")
        if stop.signal_number == signal.SIGTERM:
            raise SystemExit(128 + stop.signal_number) from None
        raise KeyboardInterrupt from None


def _save_bundle(setup: TrainSetup, run: Path, fitted: FitResult) -> Path:
    """Put the best weights into the network, and both with the card into a file."""
    state = read_checkpoint(fitted.checkpoint)["state_dict"]
    prefix = "network."
    setup.network.load_state_dict(
        {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    )
    data, crop = setup.data, setup.config.data.crop
    card = ModelCard(
        spec=setup.spec,
        activation=setup.config.loss.head,
        legend=data.legend.to_dict(),
        bands=data.band_names,
        dtype=data.dtype,
        scaling=setup.scaling,
        stats=data.stats.to_dict(),
        window=crop,
        stride=max(1, crop // 2),
        resolution=data.resolution,
        crs=data.crs,
        provenance=_provenance(setup, fitted.best),
    )
    path = run / BUNDLE
    ModelBundle.of(setup.network, card).save(path, overwrite=True)
    return path


def _provenance(setup: TrainSetup, metrics: Row) -> dict[str, Any]:
    packages = ("torch", "lightning", "segmentation-models-pytorch", "timm", "rasterio")
    config = setup.config
    return {
        "name": config.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": config.seed,
        "config": config.model_dump(mode="json"),
        "metrics": {key: value if math.isfinite(value) else None for key, value in metrics.items()},
        "versions": {"geoseg": __version__, **{name: version(name) for name in packages}},
        "data": {
            "fingerprint": setup.data.fingerprint,
            "sources": list(config.data.tiles or config.data.scenes),
        },
    }


def _draw(setup: TrainSetup, run: Path, fitted: FitResult) -> None:
    legend = setup.data.legend
    curves, confusion, samples = (run / name for name in PICTURES)
    draw_curves(fitted.history, curves)
    draw_confusion(fitted.counts["matrices"].sum(dim=0).numpy(), legend.names, confusion)
    draw_samples(_predict_samples(setup), legend, samples, setup.data.band_names)


def _predict_samples(setup: TrainSetup) -> list[SampleView]:
    """Predict the validation samples that show the most classes."""
    step = max(1, len(setup.val) // _SAMPLE_CANDIDATES)
    candidates = range(0, len(setup.val), step)
    richness = {index: len(np.unique(setup.val.pair(index).mask)) for index in candidates}
    chosen = sorted(candidates, key=lambda index: -richness[index])[:_SHOWN_SAMPLES]
    return [_predict_sample(setup, index) for index in sorted(chosen)]


@torch.inference_mode()
def _predict_sample(setup: TrainSetup, index: int) -> SampleView:
    pair = setup.val.pair(index)
    network = setup.network.to(setup.device).eval()
    sample = setup.val.sample(SampleKey(0, index, index))
    image = sample["image"][None].to(setup.device)
    logits = network(setup.scaling.apply(image))  # (1, classes, height, width)
    height, width = pair.mask.shape
    indices = logits.argmax(dim=1)[0, :height, :width].cpu().numpy()
    return SampleView(
        name=pair.name,
        image=pair.image,
        valid=pair.valid,
        reference=pair.mask,
        prediction=setup.data.legend.decode(indices),
    )

"""The job that trains a network: from a TrainConfig to a run folder with a bundle."""

from __future__ import annotations

import json
import logging
import signal
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from geoseg.engine.scene_validation import SceneValidation, warn_if_learnt
from geoseg.geo.output_lock import writing_folder
from geoseg.geo.outputs import publish
from geoseg.nn.batch_size import settle_batches
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
from geoseg.nn.observers import Observers
from geoseg.nn.pictures import CONFUSION, SAMPLES, Draw, read_picture
from geoseg.nn.run_folder import (
    BUNDLE,
    FIGURES,
    LAST,
    REPORT,
    SCENE_REPORT,
    SHEET,
    check_run,
    open_run,
    settled_config,
)
from geoseg.nn.run_log import RUN_LOG, RunLog, circumstances, plain, recorded, versions
from geoseg.nn.run_loggers import check_loggers, log_picture, open_loggers
from geoseg.nn.sample_views import SampleViews
from geoseg.nn.setup import TrainSetup, prepare, tell_setup
from geoseg.nn.signals import TrainingStopped
from geoseg.nn.stopwatch import Stopwatch
from geoseg.nn.trainer import determined
from geoseg.nn.validation import comparisons_of
from geoseg.progress import Progress
from geoseg.reports.augmented import SampleVersions, draw_augmented
from geoseg.reports.training import draw_training, report_epoch

logger = logging.getLogger(__name__)


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
    with (
        quiet_libraries(),
        told,
        recorded() as begin_log,
        joined(environment, device),
        determined(config.train),
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        ExitStack() as stack,
    ):
        if process.is_first:
            check_loggers(config.log)
            check_run(run, config, resume=resume, overwrite=overwrite)
            stack.enter_context(writing_folder(run))
            # Another process may have begun or ended a run meanwhile.
            check_run(run, config, resume=resume, overwrite=overwrite)
        torch.manual_seed(config.seed)
        config = settled_config(run, config) if resume else config
        setup = settle_batches(prepare(config, environment))
        tell_setup(setup)
        whole = _whole_scenes(setup)
        if dry_run:
            figures = _write_dry_run(setup, run)
            return TrainResult(run=run, bundle=None, metrics={}, figures=figures)
        checkpoint = open_run(run, setup, resume=resume)
        if not process.is_first:
            _fit(setup, run, checkpoint, Progress(), Observers(whole=whole))
            return TrainResult(run=run, bundle=None, metrics={})
        begin_log(run / RUN_LOG)
        return _train_and_tell(setup, run, checkpoint, progress, whole)


def _whole_scenes(setup: TrainSetup) -> SceneValidation | None:
    """The scenes that are validated whole, checked before any work."""
    config = setup.config
    if not config.validation.scenes:
        return None
    whole = SceneValidation(config, _card(setup), setup.network, setup.device, setup.precision)
    warn_if_learnt(whole.scenes, setup.data.train.scenes)
    return whole


def _train_and_tell(
    setup: TrainSetup,
    run: Path,
    checkpoint: Path | None,
    progress: Progress,
    whole: SceneValidation | None,
) -> TrainResult:
    """Train in the one process that writes."""
    config, stopwatch = setup.config, Stopwatch()
    facts = {**circumstances(setup.device), "data": _sources(setup)}
    resume = checkpoint is not None
    note = RunLog(run, {"config": config.model_dump(mode="json"), **facts}, resume=resume)
    with note.running(stopwatch), open_loggers(config, run, note.ids, facts) as loggers:
        note.write()
        draw = _draw(setup)
        observers = Observers(loggers=loggers, draw=draw, whole=whole, stopwatch=stopwatch)
        fitted = _fit(setup, run, checkpoint, progress, observers)
        bundle = _save_bundle(setup, run, fitted)
        _tell_best(setup, run, fitted, observers)
        note.tell(best=plain(fitted.best))
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


def _fit(
    setup: TrainSetup,
    run: Path,
    checkpoint: Path | None,
    progress: Progress,
    observers: Observers,
) -> FitResult:
    """Train; after a signal say how to go on, and end as the signal wants."""
    try:
        return fit(setup, run, checkpoint, progress, observers)
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
    card = _card(setup).model_copy(update={"provenance": _provenance(setup, fitted.best)})
    path = run / BUNDLE
    ModelBundle.of(setup.network, card).save(path, overwrite=True)
    return path


def _card(setup: TrainSetup) -> ModelCard:
    """What the bundle will tell of the network."""
    data, crop = setup.data, setup.config.data.crop
    return ModelCard(
        spec=setup.spec,
        activation=setup.config.loss.head,
        legend=data.legend.to_dict(),
        bands=data.band_names,
        dtype=data.dtype,
        scaling=setup.scaling,
        stats=data.stats.to_dict(),
        window=crop,
        stride=max(1, crop // 2),
        mode="resize" if setup.config.data.crop_mode == "resize" else "stride",
        resolution=data.resolution,
        crs=data.crs,
    )


def _provenance(setup: TrainSetup, metrics: Row) -> dict[str, Any]:
    config = setup.config
    return {
        "name": config.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": config.seed,
        "config": config.model_dump(mode="json"),
        "metrics": plain(metrics),
        "versions": versions(),
        "data": _sources(setup),
    }


def _sources(setup: TrainSetup) -> dict[str, Any]:
    data = setup.config.data
    return {
        "fingerprint": setup.data.fingerprint,
        "sources": list(data.tiles or data.scenes or (data.torchgeo,)),
    }


def _draw(setup: TrainSetup) -> Draw:
    data = setup.data
    return partial(draw_training, legend=data.legend, band_names=data.band_names)


def _tell_best(setup: TrainSetup, run: Path, fitted: FitResult, observers: Observers) -> None:
    """Pictures and reports of the best epoch, whose weights are in the network."""
    matrix = fitted.counts["matrices"].sum(dim=0).numpy()
    views = SampleViews(setup).of(setup.network.to(setup.device))
    _draw(setup)(run, fitted.history, matrix, views)
    for name in (CONFUSION, SAMPLES):
        pixels, step = read_picture(run / name), int(fitted.best["step"])
        log_picture(observers.loggers, f"best/{Path(name).stem}", pixels, step)
    data, legend, epoch = setup.config.data, setup.data.legend, int(fitted.best["epoch"])
    labels = ", ".join(data.tiles) or data.labels or data.torchgeo
    scenes = setup.data.val.scenes
    if len(scenes) != len(fitted.counts["pixels"]):  # too many to be counted one by one
        scenes = (labels,)
    found = comparisons_of(fitted.counts, scenes, [labels] * len(scenes))
    report_epoch(run / REPORT, found, legend, labels, epoch)
    whole = observers.whole
    if whole is None:
        return
    if fitted.whole is None:  # the best epoch was none in which they were looked at
        places = range(len(whole.scenes))
        found = [whole.compare(setup.network, place, lambda: None) for place in places]
    else:
        found = comparisons_of(fitted.whole, whole.scenes, whole.labels)
    report_epoch(run / SCENE_REPORT, found, legend, setup.config.validation.labels, epoch)

"""The job that trains a network: from a TrainConfig to a run folder with a bundle."""

from __future__ import annotations

import json
import logging
import math
import shutil
import signal
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geoseg import __version__
from geoseg.errors import ConfigError, OutputError
from geoseg.geo.outputs import check_output_folder, publish
from geoseg.geo.sample_view import SampleView
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.checkpoints import read_checkpoint
from geoseg.nn.config import TrainConfig, dump_config, load_config
from geoseg.nn.dry_run import look, tell
from geoseg.nn.journal import Journal, Row
from geoseg.nn.loop import CHECKPOINTS, EVENTS, METRICS, FitResult, fit, quiet_libraries
from geoseg.nn.sampling import SampleKey
from geoseg.nn.setup import TrainSetup, prepare, tell_setup
from geoseg.nn.signals import TrainingStopped
from geoseg.progress import Progress
from geoseg.reports.augmented import SampleVersions, draw_augmented
from geoseg.reports.figures import draw_confusion, draw_curves, draw_samples

logger = logging.getLogger(__name__)

CONFIG, BUNDLE = "config.toml", "model.safetensors"
PICTURES = ("curves.png", "confusion.png", "samples.png")
SHEET, FIGURES = "dry_run.png", "dry_run.json"
"""What a dry run leaves: samples as they are augmented, and numbers."""

LAST = f"{CHECKPOINTS}/last.ckpt"

_CHANGEABLE = ("train.workers", "train.device", "data.cache_mb")
"""What may differ when a run is resumed, because it does not change what is learnt."""

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
        KeyboardInterrupt: After Ctrl-C; the last checkpoint is kept.
        SystemExit: After SIGTERM, with 143; the last checkpoint is kept.
    """
    run = Path(run) if run is not None else Path("runs") / config.name
    _check_run(run, config, resume=resume, overwrite=overwrite)
    with quiet_libraries(), torch.random.fork_rng():
        torch.manual_seed(config.seed)
        setup = prepare(config)
        tell_setup(setup)
        if dry_run:
            figures = _write_dry_run(setup, run)
            return TrainResult(run=run, bundle=None, metrics={}, figures=figures)
        checkpoint = _open_run(run, setup, resume=resume)
        fitted = _fit(setup, run, checkpoint, progress or Progress())
        bundle = _save_bundle(setup, run, fitted)
        _draw(setup, run, fitted)
    return TrainResult(run=run, bundle=bundle, metrics=fitted.best)


def _check_run(run: Path, config: TrainConfig, *, resume: bool, overwrite: bool) -> None:
    if not resume:
        content = {path.name for path in run.iterdir()} if run.is_dir() else set()
        tried = bool(content) and content <= {SHEET, FIGURES}  # by a dry run, and nothing more
        if content and not tried and not overwrite:
            cure = "Give --resume to go on with it, --overwrite to replace it, or another folder"
            raise OutputError(run, "already exists and is not empty", cure)
        inputs = [*config.data.tiles, *config.data.scenes]
        marker = content.pop() if tried else CONFIG
        check_output_folder(run, overwrite=overwrite or tried, inputs=inputs, marker=marker)
        return
    if not (run / CONFIG).is_file():
        raise OutputError(run, "is no run that can be resumed", "Train without --resume first")
    different = _differences(load_config(run / CONFIG), config)
    if different:
        raise ConfigError(
            run / CONFIG,
            f"the run was begun with another config: {'; '.join(different)}",
            "Resume with the same, or train anew into another folder",
        )


def _differences(old: TrainConfig, new: TrainConfig) -> list[str]:
    before, after = _flatten(old.model_dump(mode="json")), _flatten(new.model_dump(mode="json"))
    keys = [key for key in {**before, **after} if key not in _CHANGEABLE]
    return [
        f"{key} was {before.get(key)!r}, is {after.get(key)!r}"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _flatten(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _open_run(run: Path, setup: TrainSetup, *, resume: bool) -> Path | None:
    """Make the run folder, or look into the one to resume; give its checkpoint, if any."""
    last = run / LAST
    if not resume:
        _clear(run)
        run.mkdir(parents=True, exist_ok=True)
        with publish(run / CONFIG) as temporary:
            temporary.write_text(dump_config(setup.config), encoding="utf-8")
        return None
    if not last.is_file():
        logger.info("%s has no checkpoint yet; training starts from the beginning", run)
        return None
    checkpoint = read_checkpoint(last)
    state, running = checkpoint["callbacks"][Journal.__qualname__], checkpoint["running"]
    if state["fingerprint"] != setup.data.fingerprint:
        raise ConfigError(run, "the data are not those of the run", "Train anew on the new data")
    epochs = len(state["history"])
    batches = len(running["losses"]) if running["epoch"] == epochs else 0
    setup.sampler.load_state_dict(checkpoint["sampler"])
    setup.sampler.set_epoch(epochs, batches * setup.batch_size)
    logger.info("goes on after epoch %d and %d batches of the next", epochs, batches)
    return last


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


def _clear(run: Path) -> None:
    """Remove what an earlier run left; files that are none of ours stay."""
    for name in (CONFIG, BUNDLE, METRICS, *PICTURES):
        (run / name).unlink(missing_ok=True)
    for name in (CHECKPOINTS, EVENTS):
        shutil.rmtree(run / name, ignore_errors=True)


def _fit(setup: TrainSetup, run: Path, checkpoint: Path | None, progress: Progress) -> FitResult:
    """Train; after a signal say how to go on, and end as the signal wants."""
    try:
        return fit(setup, run, checkpoint, progress)
    except TrainingStopped as stop:
        if (run / LAST).is_file():
            logger.warning("stopped; the same command with --resume goes on from %s", run / LAST)
        else:
            logger.warning("stopped before the first epoch ended; nothing is kept")
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

"""The folder of a training run: begun, replaced, or gone on with."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from geoseg.errors import ConfigError, OutputError
from geoseg.geo.outputs import check_output_folder, publish
from geoseg.nn.checkpoints import read_checkpoint
from geoseg.nn.config import TrainConfig, dump_config, load_config
from geoseg.nn.distributed import wait_for_all
from geoseg.nn.journal import Journal
from geoseg.nn.loop import CHECKPOINTS, METRICS
from geoseg.nn.pictures import PICTURES
from geoseg.nn.run_log import RUN_JSON, RUN_LOG
from geoseg.nn.run_loggers import EVENTS, WANDB
from geoseg.nn.setup import TrainSetup

logger = logging.getLogger(__name__)

CONFIG, BUNDLE = "config.toml", "model.safetensors"
REPORT, SCENE_REPORT = "report.json", "report_scenes.json"
"""Of the best epoch: its validation samples, and whole scenes."""

SHEET, FIGURES = "dry_run.png", "dry_run.json"
"""What a dry run leaves: samples as they are augmented, and numbers."""

LAST = f"{CHECKPOINTS}/last.ckpt"

_HIDDEN = ".geoseg-"
"""How names of unfinished files begin, and of locks."""

_CHANGEABLE = ("train.workers", "train.device", "data.cache_mb", "log")
"""What may differ when a run is resumed, because it does not change what is learnt."""


def check_run(run: Path, config: TrainConfig, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder in which the run must not begin, or cannot go on.

    Raises:
        OutputError: If it holds something else, or nothing to go on with.
        ConfigError: If its run was begun with another configuration; what differs is listed.
    """
    if not resume:
        found = {path.name for path in run.iterdir()} if run.is_dir() else set()
        # Not what a run that was killed as it began has left: it is removed when something is made.
        content = {name for name in found if not name.startswith(_HIDDEN)}
        tried = bool(content) and content <= {SHEET, FIGURES}  # by a dry run, and nothing more
        if content and not tried and not overwrite:
            cure = "Give --resume to go on with it, --overwrite to replace it, or another folder"
            raise OutputError(run, "already exists and is not empty", cure)
        inputs = [*config.data.tiles, *config.data.scenes]
        is_ours = tried or not content
        marker = None if is_ours else CONFIG
        check_output_folder(run, overwrite=overwrite or is_ours, inputs=inputs, marker=marker)
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


def settled_config(run: Path, config: TrainConfig) -> TrainConfig:
    """The configuration of the run to go on with: with the sizes that `auto` found."""
    if config.train.batch_size != "auto":
        return config
    train = load_config(run / CONFIG).train
    found = {"batch_size": train.batch_size, "accumulate": train.accumulate}
    return config.model_copy(update={"train": config.train.model_copy(update=found)})


def open_run(run: Path, setup: TrainSetup, *, resume: bool) -> Path | None:
    """Make the run folder, or look into the one to resume.

    The first process makes it while the others wait. The samples' order is set to where the run
    stopped.

    Returns:
        The checkpoint to go on from; None to begin.

    Raises:
        ConfigError: If the checkpoint cannot be read, or the data are not those of the run.
    """
    last = run / LAST
    if not resume:
        if setup.process.is_first:
            clear_run(run)
            run.mkdir(parents=True, exist_ok=True)
            with publish(run / CONFIG) as temporary:
                temporary.write_text(dump_config(setup.config), encoding="utf-8")
        wait_for_all()
        return None
    if not last.is_file():
        logger.info("%s has no checkpoint yet; training starts from the beginning", run)
        return None
    checkpoint = read_checkpoint(last)
    try:
        state, running = checkpoint["callbacks"][Journal.__qualname__], checkpoint["running"]
        if state["fingerprint"] != setup.data.fingerprint:
            problem = "the data are not those of the run"
            raise ConfigError(run, problem, "Train anew on the new data")
        epochs = len(state["history"])
        is_within = running["epoch"] == epochs
        batches = len(running["losses"]) // setup.process.world if is_within else 0
        setup.sampler.load_state_dict(checkpoint["sampler"])
        setup.sampler.set_epoch(epochs, batches * setup.batch_size)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        problem = f"lacks or garbles what a run keeps ({error!r})"
        raise ConfigError(last, problem, "Train again without --resume") from error
    within = f" and {batches} batches of the next" if batches else ""
    logger.info("goes on after epoch %d%s", epochs, within)
    return last


def clear_run(run: Path) -> None:
    """Remove what an earlier run left; files that are none of ours stay.

    Its configuration stays until the new one takes its place: by it the folder is known, should
    this process be killed.
    """
    files = (BUNDLE, METRICS, *PICTURES, REPORT, SCENE_REPORT, RUN_JSON, RUN_LOG)
    for name in files:
        (run / name).unlink(missing_ok=True)
    for name in (CHECKPOINTS, EVENTS, WANDB):
        shutil.rmtree(run / name, ignore_errors=True)


def _differences(old: TrainConfig, new: TrainConfig) -> list[str]:
    before, after = (_flatten(config.model_dump(mode="json")) for config in (old, new))
    keys = [key for key in {**before, **after} if not _is_changeable(key, new)]
    return [
        f"{key} was {before.get(key)!r}, is {after.get(key)!r}"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _is_changeable(key: str, new: TrainConfig) -> bool:
    if new.train.batch_size == "auto" and key in {"train.batch_size", "train.accumulate"}:
        return True  # the run has what `auto` found
    return any(key == free or key.startswith(f"{free}.") for free in _CHANGEABLE)


def _flatten(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat

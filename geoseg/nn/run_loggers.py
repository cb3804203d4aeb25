"""Where a run is followed beside its folder: TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from torch.utils.tensorboard.summary import hparams

from geoseg.errors import ConfigError
from geoseg.nn.config import TrainConfig, dump_config
from geoseg.nn.config_tables import LogConfig

EVENTS, WANDB = "tensorboard", "wandb"
"""Names in the run folder."""

Ids = dict[str, str]
"""By which services know a run, by name of the service: a resumed run goes on there."""

own = logging.getLogger(__name__)

_PLAIN = (str, int, float, bool)


def check_loggers(config: LogConfig) -> None:
    """Refuse services whose packages are not installed.

    Raises:
        ConfigError: If one is not.
    """
    for name in ("wandb", "mlflow"):
        if getattr(config, name) is not None and find_spec(name) is None:
            problem = f"the package {name} is not installed"
            raise ConfigError(f"log.{name}", problem, "pip install geoseg[track]")


def make_loggers(
    config: TrainConfig, run: Path, ids: Ids, facts: Mapping[str, Any]
) -> list[Logger]:
    """Make what the table [log] asks for; nothing but what it names is sent anywhere.

    Args:
        config: Tells what is wanted, and is told there.
        run: The run folder.
        ids: Of the run that is resumed; those of a new one are put in.
        facts: What is told beside the configuration: versions, state of the sources, data.

    Raises:
        ConfigError: If a service cannot be reached, or refuses.
    """
    log, loggers = config.log, list[Logger]()
    name = log.name or run.absolute().name
    parameters = {**_flatten(config.model_dump(mode="json")), **_flatten(facts)}
    if log.tensorboard:
        events = _Events(run, name="", version=EVENTS, default_hp_metric=False)
        _tell_events(events, config, parameters)
        loggers.append(events)
    if log.wandb is not None:
        with _asked_for("log.wandb"):
            loggers.append(_wandb(log.wandb, name, run, ids, parameters))
    if log.mlflow is not None:
        with _asked_for("log.mlflow"):
            loggers.append(_mlflow(log.mlflow, config.name, name, ids, parameters))
    return loggers


@contextmanager
def open_loggers(
    config: TrainConfig, run: Path, ids: Ids, facts: Mapping[str, Any]
) -> Iterator[list[Logger]]:
    """Make loggers as `make_loggers` does, and close them at the end, as it comes."""
    with _quiet_writer():
        loggers, status = make_loggers(config, run, ids, facts), "failed"
        try:
            yield loggers
            status = "success"
        finally:
            close_loggers(loggers, status)


def log_figures(loggers: Sequence[Logger], figures: Mapping[str, float], step: int) -> None:
    """Hand figures to all; one that fails is warned of, and training goes on.

    Args:
        loggers: Of the run.
        figures: By name.
        step: Of the optimizer, when they were made.
    """
    for each in loggers:
        with _forgiven(each):
            each.log_metrics(dict(figures), step=step)


def log_picture(
    loggers: Sequence[Logger], name: str, pixels: npt.NDArray[np.uint8], step: int
) -> None:
    """Hand a picture to those that take pictures.

    Args:
        loggers: Of the run.
        name: Of the picture; each step has one of that name.
        pixels: (height, width, 3).
        step: Of the optimizer, when it was made.
    """
    for each in loggers:
        with _forgiven(each):
            if isinstance(each, TensorBoardLogger):
                each.experiment.add_image(name, pixels, step, dataformats="HWC")
            elif isinstance(each, WandbLogger):
                each.log_image(key=name, images=[pixels], step=step)
            elif isinstance(each, MLFlowLogger):
                assert each.run_id is not None
                each.experiment.log_image(each.run_id, pixels, f"{name}/{step:08d}.png")


def close_loggers(loggers: Sequence[Logger], status: str) -> None:
    """End the run with all that follow it.

    Args:
        loggers: Of the run.
        status: `success`, or anything else.
    """
    for each in loggers:
        with _forgiven(each):
            each.finalize(status)
            if isinstance(each, WandbLogger):
                # Lightning leaves the run open, and the next training of the process would go
                # on with it.
                each.experiment.finish(exit_code=0 if status == "success" else 1)


@contextmanager
def _quiet_writer() -> Iterator[None]:
    """Keep back the traceback of TensorBoard's thread when the disk is full.

    The thread hands its error to whoever writes next, where it is told in one line.
    """
    before = threading.excepthook

    def tell(args: threading.ExceptHookArgs) -> None:
        if not type(args.thread).__module__.startswith("tensorboard."):
            before(args)

    threading.excepthook = tell
    try:
        yield
    finally:
        threading.excepthook = before


@contextmanager
def _asked_for(key: str) -> Iterator[None]:
    """A service that the user asked for and that refuses is told before any work."""
    try:
        yield
    except Exception as error:  # services raise whatever their networks do
        raise ConfigError(
            key, f"cannot be used ({_line(error)})", "Mend it, or leave it out"
        ) from error


@contextmanager
def _forgiven(logger: Logger) -> Iterator[None]:
    """A service that is not to be reached must not end a training."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - services raise whatever their networks do
        own.warning("%s: not told (%s)", _key(logger), _line(error))


class _Events(TensorBoardLogger):
    """TensorBoard's events alone, without Lightning's file of hyperparameters."""

    def save(self) -> None:
        """Nothing beside the events is kept."""


def _tell_events(
    events: TensorBoardLogger, config: TrainConfig, parameters: Mapping[str, Any]
) -> None:
    """The configuration as text, and as hyperparameters beside the figure that is monitored."""
    writer = events.experiment
    writer.add_text("config", f"```toml\n{dump_config(config)}```", 0)
    values = {key: value for key, value in parameters.items() if isinstance(value, _PLAIN)}
    # SummaryWriter.add_hparams would write them into a folder of its own.
    for summary in hparams(values, {config.train.monitor.split()[1]: 0}):  # type: ignore[no-untyped-call]
        writer.file_writer.add_summary(summary)


def _wandb(
    project: str, name: str, run: Path, ids: Ids, parameters: Mapping[str, Any]
) -> WandbLogger:
    logger = WandbLogger(
        name=name,
        save_dir=run,
        project=project,
        id=ids.get("wandb"),
        resume="allow",
        settings={"quiet": True},
    )
    logger.log_hyperparams(dict(parameters))
    ids["wandb"] = str(logger.experiment.id)
    return logger


def _mlflow(
    uri: str, experiment: str, name: str, ids: Ids, parameters: Mapping[str, Any]
) -> MLFlowLogger:
    known = ids.get("mlflow")
    logger = MLFlowLogger(experiment_name=experiment, run_name=name, tracking_uri=uri, run_id=known)
    if known is None:  # MLflow refuses to be told a parameter twice
        logger.log_hyperparams(dict(parameters))
    ids["mlflow"] = str(logger.run_id)
    return logger


def _flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value if isinstance(value, _PLAIN) else str(value)
    return flat


def _key(logger: Logger) -> str:
    """The key by which a user knows a logger."""
    if isinstance(logger, WandbLogger):
        return "log.wandb"
    return "log.mlflow" if isinstance(logger, MLFlowLogger) else "log.tensorboard"


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200].rstrip(".") if lines else type(error).__name__

"""The tables of a training configuration: what each may say, and what it means."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from geoseg.geo.npy import NpyAxes
from geoseg.nn.cropping import CropMode
from geoseg.nn.drawing import SamplingName
from geoseg.nn.models import architecture_choices, list_architectures
from geoseg.nn.torchgeo_weights import encoder_of

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

MOST_PIXELS = 2**16
"""Side of a window that is surely a mistake above it, and would be told as one of memory."""

MOST_SAMPLES = 10**9
"""The same of the samples of an epoch, or of a batch."""


class Table(BaseModel):
    """A table of the file: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


class DataConfig(Table):
    """Where samples come from, and how large they are."""

    tiles: tuple[str, ...] = ()
    """Tile sets; or give `scenes` and `labels`."""

    scenes: tuple[str, ...] = ()
    """Scenes from which windows are drawn while training, without tiles on the disk."""

    torchgeo: str = ""
    """Or a segmentation data set of torchgeo, by the name of its class, such as "LoveDA"."""

    torchgeo_args: dict[str, Any] = {}
    """What that class is made with: `root`, and so on; `download = true` lets torchgeo fetch it."""

    labels: str = ""
    """Labels of the scenes: a file, a folder (matched by stem) or a pattern with {stem}."""

    label_field: str | None = None
    """Attribute of vector labels that tells the class."""

    label_layer: str | None = None
    """Layer of vector labels, where the file has several."""

    label_extent: str | None = None
    """Polygons of where vector labels are complete; elsewhere is `ignore`."""

    label_buffer: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Metres around points and lines of vector labels that belong to them."""

    legend: str | None = None
    """Legend of the labels: a file, or the name of a data set; tile sets have their own."""

    bands: tuple[int | str, ...] = ()
    """Bands of the scenes, by number from 1 or by name; all where none are given."""

    resolution: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Metres per pixel at which scenes are read; their own where not given."""

    assume_crs: str | None = None
    """CRS of scenes that have none; "none" takes them as plain pixels."""

    npy_axes: NpyAxes | None = None
    """What the three axes of `.npy` scenes are: "bhw" or "hwb"; two are height and width."""

    sampling: SamplingName = "uniform"
    """How often tiles, or windows of scenes, are drawn: `uniform` all alike; `balanced` so that
    classes come equally often; `rare` more of those with rare classes; `hard` more of those with
    a high loss."""

    rare_below: float = Field(default=0.1, gt=0, le=1)
    """Share of the tiles below which a class is rare; of `rare`."""

    hard_share: Share = 0.5
    """Share of the draws that goes by the loss; of `hard`."""

    tile_weights: str | None = None
    """CSV with the columns `name` and `weight`: how often tiles come; others weigh 1."""

    ratios: tuple[Positive, ...] = ()
    """Share of the samples that each tile set gets, in proportion; by their size where none are
    given."""

    cat_max_ratio: float = Field(default=1.0, gt=0, le=1)
    """Share of its labelled pixels that one class may cover before a crop is drawn again."""

    split: str = "block"
    """How scenes are parted: `block` on the ground, whole `scene`s, or a file of polygons with
    a column `split`."""

    val_share: Share | None = None
    """Share that validates, of scenes (0.2 where not given) or of tiles without a val split."""

    block: int | None = Field(default=None, ge=1)
    """Side in pixels of the blocks by which scenes are parted; chosen where not given."""

    crop: int = Field(default=256, ge=1, le=MOST_PIXELS)
    """Side of a training sample in pixels."""

    crop_mode: CropMode = "random"
    """What becomes of an image for a sample: `random` crops, its `center`, the whole of it
    by `resize` to the side, or the whole as it is (`none`), padded."""

    samples: int = Field(default=0, ge=0, le=MOST_SAMPLES)
    """Samples of an epoch; 0 takes every tile once, or as many windows as cover the scenes."""

    scaling: Literal["auto", "weights", "standardize", "percentile", "divide", "none"] = "auto"
    """How values become numbers for the network, with statistics of the training part; `auto`
    takes the weights' own scaling where they have one, and else is `standardize`."""

    divisor: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """What `divide` divides by; by default the largest value of 8 or 16 bit."""

    cache_mb: int = Field(default=1024, ge=0)
    """Memory for decoded tiles, over all workers together."""

    @model_validator(mode="after")
    def _check_source(self) -> DataConfig:
        if sum(map(bool, (self.tiles, self.scenes, self.torchgeo))) != 1:
            raise ValueError("give either tiles, scenes or torchgeo")
        if self.torchgeo_args and not self.torchgeo:
            raise ValueError("torchgeo_args are of torchgeo, which is not given")
        if self.scenes and not self.labels:
            raise ValueError("scenes need labels")
        of_scenes = ["labels", "bands", "resolution", "npy_axes", *(["legend"] * bool(self.tiles))]
        given = [key for key in of_scenes if getattr(self, key) and not self.scenes]
        if given:
            what = "tile sets have their" if self.tiles else "torchgeo has its"
            raise ValueError(f"{', '.join(given)}: of scenes; {what} own")
        if self.crop_mode != "random" and self.cat_max_ratio < 1:
            raise ValueError(f"cat_max_ratio is of crops at random, crop_mode is {self.crop_mode}")
        if self.tile_weights is not None and not self.tiles:
            raise ValueError("tile_weights are of tiles, not of scenes")
        if self.ratios and len(self.ratios) != len(self.tiles):
            raise ValueError(f"ratios are {len(self.ratios)}, tile sets {len(self.tiles)}")
        return self


class ValidateConfig(Table):
    """How often the network is judged, and whether on whole scenes; the table [validate]."""

    every: int = Field(default=1, ge=1)
    """Epochs from one validation to the next; the last epoch is always validated."""

    scenes: tuple[str, ...] = ()
    """Scenes that are predicted whole, as `geoseg predict` does it, and compared with labels."""

    labels: str = ""
    """Labels of the scenes: a file, a folder (matched by stem) or a pattern with {stem}."""

    scene_every: int = Field(default=1, ge=1)
    """Validations from one of whole scenes to the next; the last epoch always has one."""

    label_field: str | None = None
    """Attribute of vector labels that tells the class."""

    label_layer: str | None = None
    """Layer of vector labels, where the file has several."""

    label_extent: str | None = None
    """Polygons of where vector labels are complete; elsewhere is `ignore`."""

    label_buffer: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Metres around points and lines of vector labels that belong to them."""

    bands: tuple[int | str, ...] = ()
    """Bands of the scenes in the order of training; found by name where none are given."""

    resolution: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Metres per pixel at which scenes are predicted; that of [data], else their own."""

    assume_crs: str | None = None
    """CRS of scenes that have none; "none" takes them as plain pixels."""

    scale: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Multiplied to the scenes' values gives them the units of training."""

    window: int | None = Field(default=None, ge=1, le=MOST_PIXELS)
    """Side of the windows in pixels; `data.crop` where not given."""

    stride: int | None = Field(default=None, ge=1, le=MOST_PIXELS)
    """Pixels from one window to the next; half a window where not given."""

    blend: Literal["mean", "hann", "gaussian", "crop"] = "mean"
    """How overlapping windows are averaged."""

    @model_validator(mode="after")
    def _check_labels(self) -> ValidateConfig:
        if self.scenes and not self.labels:
            raise ValueError("scenes need labels")
        return self


class LogConfig(Table):
    """Where figures and pictures go beside the run folder; the table [log]."""

    tensorboard: bool = True
    """Whether events are written for TensorBoard."""

    wandb: str | None = None
    """Project of Weights & Biases that gets the run; none is told where it is not given."""

    mlflow: str | None = None
    """Tracking URI of MLflow that gets the run: a server, or a folder as file:mlruns."""

    name: str | None = None
    """Name of the run there; that of the run folder where not given."""

    @model_validator(mode="after")
    def _keep_secrets_out(self) -> LogConfig:
        # Of the table as a whole: of a field, the error would repeat what it refuses.
        if self.mlflow is not None and urlsplit(self.mlflow).password is not None:
            raise ValueError(
                "mlflow holds a password, which run folder and bundle would tell; set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment instead"
            )
        return self


class UnfreezeStage(Table):
    """Frozen modules that train from an epoch on."""

    epoch: int = Field(ge=2)
    """The first epoch that they train in, counted from 1 as in metrics.csv."""

    modules: tuple[str, ...] = Field(min_length=1)
    """Their names, such as encoder.layer4."""


class ModelConfig(Table):
    """The network."""

    arch: str = "unet"
    """Architecture; `geoseg models` lists them."""

    encoder: str = "resnet18"
    """Encoder of the architecture; by default that of torchgeo's weights, if they are taken."""

    weights: str = "none"
    """What training starts from: none, imagenet or torchgeo:... (the encoder), or the path of an
    encoder's weights, or of a bundle of the same network, also for other bands or classes."""

    options: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the architecture."""

    freeze: Literal["none", "encoder"] | tuple[str, ...] = "none"
    """What does not train: none, the encoder, or a list of modules by their names."""

    unfreeze: tuple[UnfreezeStage, ...] = ()
    """From which epoch on which of the frozen modules train after all."""

    freeze_norm: bool = False
    """Whether batch normalisations keep the statistics that they begin with."""

    @model_validator(mode="before")
    @classmethod
    def _fill_encoder(cls, values: Any) -> Any:  # noqa: ANN401 - whatever the user gave
        if not isinstance(values, dict):
            return values
        # What follows is checked as Python's values, and a list is no tuple there.
        values = {key: v if key == "options" else _as_tuples(v) for key, v in values.items()}
        if "encoder" not in values:
            encoder = encoder_of(str(values.get("weights", "")))
            return values if encoder is None else {**values, "encoder": encoder}
        return values

    @field_validator("freeze", mode="before")
    @classmethod
    def _check_freeze(cls, freeze: Any) -> Any:  # noqa: ANN401 - whatever the user gave
        if isinstance(freeze, str) and freeze not in ("none", "encoder"):
            raise ValueError(f'give "none", "encoder" or a list of modules, such as ["{freeze}"]')
        return freeze

    @field_validator("arch")
    @classmethod
    def _check_arch(cls, arch: str) -> str:
        if arch.lower() not in list_architectures():
            raise ValueError(f"unknown architecture. {architecture_choices(arch)}")
        return arch.lower()


def _as_tuples(value: Any) -> Any:  # noqa: ANN401 - whatever the user gave
    """Turn lists, also those within, into tuples."""
    if isinstance(value, dict):
        return {key: _as_tuples(part) for key, part in value.items()}
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value

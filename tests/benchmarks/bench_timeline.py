"""Draws what the threads of a prediction do, moment by moment.

Usage: python tests/benchmarks/bench_timeline.py timeline.png [--network unet:resnet18]
       [--backend auto] [--precision auto] [--side 3072] [--window 512] [--stride 256]
       [--begin 0] [--seconds 2]

The picture has a lane for each thread: the reader, the thread of the network, the writer. Where a
lane is gray its thread has nothing to do. The thread of the network should show one colour, that
of the forward pass: all else is time that the network stands still. The picture begins `--begin`
seconds after the first row was asked for.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from material import make_bundle, make_scene
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from geoseg.engine.timings import STAGES, Span, Stage, Timings
from geoseg.predict import PredictOptions, predict

KEPT = 20_000
LANES = {"geoseg-reader": "reader", "MainThread": "network", "geoseg-writer": "writer"}
"""Threads from top to bottom, and what they are called in the picture; others come last."""

# Colours that the colour-blind can tell apart (after Okabe and Ito); waiting is pale and hatched.
COLORS: dict[Stage, str] = {
    "read": "#56b4e9",
    "wait for rows": "#cfe8f7",
    "cut": "#f0e442",
    "forward": "#0072b2",
    "add": "#d55e00",
    "encode": "#e69f00",
    "wait for writer": "#f5d3e4",
    "write": "#009e73",
    "wait for device": "#d4e9df",
    "wait for polygons": "#b3dccb",
    "finish": "#cc79a7",
}
_IDLE = "#eeeeee"
_WIDTH, _LANE, _MARGIN = 9.0, 0.62, 1.25
"""Inches: the picture, a lane, and axis and legend together."""
_DOTS_PER_INCH = 200
"""Twice the 100 at which it is looked at, so that it is sharp on fine screens."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--network", default="unet:resnet18")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--side", type=int, default=3072)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--stride", type=int, default=256)
    parser.add_argument("--begin", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    timings = run(arguments)
    seconds = ", ".join(f"{stage} {took:.2f}" for stage, took in timings.seconds.items() if took)
    print(f"bound by {timings.bound_by}; seconds: {seconds}")
    draw_timeline(timings.spans, arguments.picture, arguments.begin, arguments.seconds)


def run(arguments: argparse.Namespace) -> Timings:
    """Predict a scene of noise, and keep what was measured."""
    timings = Timings(keep_spans=KEPT)
    options = PredictOptions(backend=arguments.backend, precision=arguments.precision)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = make_scene(folder / "scene.tif", arguments.side)
        size = arguments.window, arguments.stride
        bundle = make_bundle(folder / "model.safetensors", scene, arguments.network, *size)
        with mock.patch("geoseg.engine.scene_run.Timings", return_value=timings):
            predict(scene.path, bundle, folder / "classes.tif", options)
    return timings


def draw_timeline(
    spans: Sequence[Span], output: str | Path, begin: float = 0.0, seconds: float = 2.0
) -> None:
    """Draw what threads were at, a lane each.

    Args:
        spans: In any order; those of set-up are left out.
        output: PNG file to write; it is meant to be shown 900 pixels wide.
        begin: Where the picture begins, in seconds after the first span.
        seconds: How much of the time is shown.
    """
    work = [span for span in spans if span.stage != "setup"]
    origin = min((span.start for span in work), default=0.0) + begin
    shown = [span for span in work if span.stop > origin and span.start < origin + seconds]
    threads = sorted({span.thread for span in shown}, key=_order)
    figure = Figure(figsize=(_WIDTH, _LANE * max(len(threads), 1) + _MARGIN), layout="constrained")
    axes = figure.subplots()
    for lane, thread in enumerate(threads):
        axes.broken_barh([(0, seconds)], (lane - 0.4, 0.8), color=_IDLE, zorder=0)
        _draw_lane(axes, lane, [span for span in shown if span.thread == thread], origin)
    axes.set_yticks(range(len(threads)), [LANES.get(thread, thread) for thread in threads])
    axes.set(xlim=(0, seconds), ylim=(max(len(threads), 1) - 0.5, -0.5), xlabel="seconds")
    axes.tick_params(axis="y", length=0, labelsize=11)
    axes.spines[["top", "left", "right"]].set_visible(False)
    _add_legend(figure, {span.stage for span in shown})
    figure.savefig(output, dpi=_DOTS_PER_INCH, facecolor="white")


def _order(thread: str) -> tuple[int, str]:
    names = list(LANES)
    return (names.index(thread) if thread in names else len(names)), thread


def _draw_lane(axes: Axes, lane: int, spans: Sequence[Span], origin: float) -> None:
    """Long spans first: short ones inside them or beside them stay to be seen."""
    for place, span in enumerate(sorted(spans, key=lambda span: span.start - span.stop)):
        axes.broken_barh(
            [(span.start - origin, span.stop - span.start)],
            (lane - 0.4, 0.8),
            facecolor=COLORS[span.stage],
            edgecolor="white",
            hatch="////" if _is_waiting(span.stage) else None,
            # A white line parts two forward passes, but would hide what is as short as itself.
            linewidth=0.4 if span.stop - span.start > 0.004 else 0,
            zorder=1 + place,
        )


def _add_legend(figure: Figure, stages: set[Stage]) -> None:
    handles = [
        Patch(
            facecolor=COLORS[stage],
            edgecolor="white",
            hatch="////" if _is_waiting(stage) else None,
            label=stage,
        )
        for stage in [stage for stage in COLORS if stage in stages]
    ]
    handles.append(Patch(facecolor=_IDLE, label="idle"))
    columns = min(len(handles), 6)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=10
    )


def _is_waiting(stage: Stage) -> bool:
    return stage.startswith("wait")


assert set(COLORS) == set(STAGES) - {"setup"}

if __name__ == "__main__":
    main()

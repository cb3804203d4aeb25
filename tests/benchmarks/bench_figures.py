"""The figures that geoseg means to reach, measured in one go.

Usage: python tests/benchmarks/bench_figures.py [--quick] [--skip memory,tiling]

Runs `bench_predict.py`, `bench_predict_memory.py` and `bench_tile.py` one after the other, whose
own tables pass by, and then prints what was wanted beside what was found. --quick takes small
scenes: it shows that all of it works, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

Line = tuple[str, str, str]
"""What, at least, found."""

AGREEMENT = 0.995
"""Share of pixels with the class of fp32 that a run-time must have to count."""

FULL = {
    "predict": [],
    "memory": [],
    "limit": ["--max-memory", "2G", "--width", "20000"],
    "tiling": [],
}
QUICK = {
    "predict": ["--side", "512", "--window", "128", "--stride", "64", "--repeats", "1"],
    "memory": ["--width", "600", "--heights", "500,1500", "--network", "linear"],
    "limit": ["--max-memory", "2G", "--width", "2000", "--heights", "600", "--network", "linear"],
    "tiling": ["--size", "512", "--stride", "512", "--repeats", "1"],
}


def main() -> None:
    """Run all and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--skip", default="", help="any of predict,memory,tiling")
    given = parser.parse_args()
    options, skipped = QUICK if given.quick else FULL, given.skip.split(",")
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as name:
        found = Path(name) / "figures.json"
        if "predict" not in skipped:
            run("bench_predict.py", [*options["predict"], "--markdown", "--json", str(found)])
            lines += of_predict(json.loads(found.read_text()))
        if "memory" not in skipped:
            for kind, tell in (("memory", of_memory), ("limit", of_limit)):
                run("bench_predict_memory.py", [*options[kind], "--json", str(found)])
                lines.append(tell(json.loads(found.read_text())))
        if "tiling" not in skipped:
            lines.append(of_tiling(run("bench_tile.py", options["tiling"])))
    table = [("what", "at least", "found"), ("---", "---", "---"), *lines]
    print("\n".join(f"| {' | '.join(line)} |" for line in table))


def run(script: str, options: list[str]) -> list[str]:
    """Run a benchmark; its lines pass by and are returned."""
    command = [sys.executable, str(Path(__file__).parent / script), *options]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    # 1 says that a bound was not kept, which the table tells.
    if process.returncode not in (0, 1):
        raise SystemExit(f"{script} failed")
    return lines


def of_predict(rows: list[dict[str, Any]]) -> list[Line]:
    """The networks against the bare forward pass and the peers."""
    lines: list[Line] = []
    for network in dict.fromkeys(row["network"] for row in rows):
        ours = [r for r in rows if (r["network"], r["kind"]) == (network, "geoseg")]
        best = max(
            (row for row in ours if row["same"] >= AGREEMENT),
            key=lambda row: float(row["megapixels_per_second"]),
        )
        speed = f"{best['megapixels_per_second']:.2f} ({best['name']}, {best['same']:.2%} as fp32)"
        if network == "linear":
            lines.append((f"{network}: megapixels a second", "10", speed))
            continue
        ratios = ", ".join(f"{row['ratio']:.3f} {row['name']}" for row in ours)
        lines.append((f"{network}: bare forward pass / predict", "0.95", ratios))
        lines.append((f"{network}: megapixels a second", "", speed))
        for key, least, name in (("plain", "5", "as it comes"), ("handed", "1.5", "compiled bf16")):
            times = best[f"times_{key}_peer"]
            if times is not None:
                lines.append(
                    (f"{network}: against the fastest peer, {name}", least, f"{times:.2f}x")
                )
    return lines


def of_memory(runs: list[dict[str, float]]) -> Line:
    """A low and a high scene."""
    base, low, high = (runs[place]["mebibytes"] for place in (0, 1, -1))
    heights = f"{runs[-1]['height']} / {runs[1]['height']} rows"
    found = f"{(high - base) / (low - base):.3f} ({high - base:.0f} / {low - base:.0f} MiB)"
    return f"peak memory over model and framework, {heights}", "within 1.1", found


def of_limit(runs: list[dict[str, float]]) -> Line:
    """A wide scene in bounded memory."""
    peak = max(run["mebibytes"] for run in runs)
    return f"{runs[-1]['width']} wide, --max-memory 2G", "2048 MiB at most", f"{peak:.0f} MiB"


def of_tiling(lines: list[str]) -> Line:
    """`tile` against a plain loop."""
    return "tile against a plain rasterio loop", "1.5", f"{lines[-1].split()[-1]}x"


if __name__ == "__main__":
    main()

"""QGIS where it is installed, with a home of its own; and a command that stands for geoseg."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT / "cli") not in sys.path:  # the plugin is no part of the installed package
    sys.path.append(str(ROOT / "cli"))

collect_ignore = ["headless.py"]  # run by the Python of QGIS

PLACES = "/usr/bin:/bin"
QGIS_PYTHON = Path("/usr/bin/python3")
QGIS_MODULES = Path("/usr/lib/python3/dist-packages/qgis")

STAND_IN = '''#!{python}
"""Stands for geoseg: tells what it was called with, and does what the scene's name says."""
import json, os, pathlib, shutil, signal, sys, time

room = pathlib.Path({room!r})
command, *words = sys.argv[1:]
place = words.index("--")
options = dict(word.partition("=")[::2] for word in words[:place])
called = dict(command=command, options=options, inputs=words[place + 1:], cwd=os.getcwd(),
              environ=dict(os.environ))
(room / "called.json").write_text(json.dumps(called))


def tell(**fields):
    print(json.dumps(fields), file=sys.stderr, flush=True)


def end(number, frame):
    (room / "cleaned").write_text("yes")
    sys.exit(143)


signal.signal(signal.SIGTERM, end)
(room / "pid").write_text(str(os.getpid()))
if options.get("--aoi"):
    shutil.copy(options["--aoi"], room / "area.fgb")
scene = called["inputs"][0]
for done in range(0, 101, 25):
    tell(event="progress", task="the scene", done=done, total=100, unit="rows")
if "bad" in scene:
    message = scene + ": is bad. Mend it."
    tell(event="error", type="SceneError", message=message, exit_code=2)
    print("Error: " + message, file=sys.stderr)
    sys.exit(2)
if "slow" in scene:
    time.sleep(60)
tell(event="log", level="warning", message="no such colour")
for option in ("--output", "--polygons"):
    target = pathlib.Path(options.get(option) or room / "nowhere")
    for made in (room / "made").glob("map.*"):
        if made.suffixes[0] == target.suffix or (target.suffix == ".tif" == made.suffixes[0]):
            shutil.copy(made, target.with_name(made.name.replace("map", target.stem, 1)))
        elif made.suffix == ".qml" and target.suffix == ".tif":
            shutil.copy(made, target.with_suffix(".qml"))
if command == "evaluate":
    classes = [dict(name="roof", iou=None)]
    report = dict(pixel_accuracy=0.75, mean_iou=0.5, classes=classes, boundary=None)
    if "--objects" in options:
        report["objects"] = dict(f1=0.25)
        folder = pathlib.Path(options["--output"])
        folder.mkdir()
        (folder / "report.html").write_text("<p>")
    if options.get("--sample"):
        shutil.copy(options["--sample"], room / "sample.fgb")
    print(json.dumps(report))
'''


@pytest.fixture
def room(tmp_path):
    """A folder that the stand-in knows."""
    (tmp_path / "room" / "made").mkdir(parents=True)
    return tmp_path / "room"


@pytest.fixture
def stand_in(room):
    path = room / "geoseg"
    path.write_text(STAND_IN.format(python=sys.executable, room=str(room)))
    path.chmod(0o755)
    return path


class Qgis:
    """Runs QGIS without a screen, in an environment that is nobody's."""

    def __init__(self, room, geoseg, home=None):
        """Begin with a copy of `home`, or with an empty one."""
        self.room = room
        (room / "run").mkdir(mode=0o700)
        if home is None:
            (room / "home").mkdir()
        else:
            shutil.copytree(home, room / "home")
        self.environ = {
            "PATH": PLACES,
            "HOME": str(room / "home"),
            "XDG_RUNTIME_DIR": str(room / "run"),
            "QT_QPA_PLATFORM": "offscreen",
            "QGIS_PLUGINPATH": str(ROOT / "cli"),
            "GEOSEG_EXE": str(geoseg),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
        }

    def process(self, *words, check=True):
        """What `qgis_process` tells: exit code, stdout, stderr."""
        done = subprocess.run(
            ["qgis_process.bin", *words],
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.room,
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def run(self, algorithm, check=True, **parameters):
        pairs = [
            f"{name}={each}"
            for name, value in parameters.items()
            for each in (value if isinstance(value, list) else [value])
        ]
        return self.process("--json", "run", f"geoseg:{algorithm}", "--", *pairs, check=check)

    def script(self, **job):
        """What `headless.py` tells of a job, in JSON."""
        done = subprocess.run(
            [QGIS_PYTHON, Path(__file__).with_name("headless.py"), json.dumps(job)],
            env=self.environ | {"PYTHONPATH": f"/usr/share/qgis/python/plugins:{ROOT / 'cli'}"},
            capture_output=True,
            text=True,
            check=False,
            cwd=self.room,
        )
        assert "ANSWER" in done.stdout, done.stdout + done.stderr
        return json.loads(done.stdout.rsplit("ANSWER", 1)[1])


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """One in which the plugin was enabled."""
    if shutil.which("qgis_process.bin", path=PLACES) is None or not QGIS_MODULES.is_dir():
        pytest.skip("QGIS is not installed")
    first = Qgis(tmp_path_factory.mktemp("first"), "geoseg")
    first.process("plugins", "enable", "geoseg_qgis")
    return first.room / "home"


@pytest.fixture
def qgis(room, stand_in, home):
    return Qgis(room, stand_in, home)


@pytest.fixture
def real_qgis(room, home):
    command = Path(sys.executable).with_name("geoseg")
    if not os.access(command, os.X_OK):
        pytest.skip("the command geoseg is not installed")
    real = Qgis(room, command, home)
    # What is compiled is kept there: compiling it anew for this test would take most of a minute.
    real.environ["XDG_CACHE_HOME"] = os.environ.get("XDG_CACHE_HOME") or f"{Path.home()}/.cache"
    return real

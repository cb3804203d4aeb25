"""Guards the floors of the house: who imports whom, and what loads what."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import geoseg

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "rasterio", "geopandas", "numpy", "matplotlib", "lightning"}
LEARNING = {"torch", "torchvision", "lightning", "timm", "segmentation_models_pytorch", "torchgeo"}
FLOORS = {"errors": 0, "progress": 0, "geo": 1, "reports": 1, "nn": 2, "engine": 3}
JOB_FLOOR, FACE_FLOOR, CLI_FLOOR = 4, 5, 6
FACE_OPEN_TO_ALL = {"__version__"}


def module_name(file):
    parts = file.relative_to(ROOT / "cli" if "cli" in file.parts else ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_name(file): file
    for folder in (ROOT / "geoseg", ROOT / "cli" / "geoseg_cli")
    for file in sorted(folder.rglob("*.py"))
}
TREES = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in FILES.items()}


def imported(name):
    """Full names that a module imports, inside functions and type checks too."""
    found = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name != "geoseg")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} line {node.lineno}: relative import"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "geoseg":
            found.add(f"geoseg.{node.attr}")
    return found - {f"geoseg.{name}" for name in FACE_OPEN_TO_ALL}


def owner(full_name):
    """The module of ours that a full name belongs to; None for those of others."""
    while full_name:
        if full_name in FILES:
            return full_name
        full_name = full_name.rpartition(".")[0]
    return None


def edges(name):
    if name == "geoseg":  # the face names all it offers for type checkers; it loads nothing
        return set()
    return {found for each in imported(name) if (found := owner(each)) is not None} - {name}


EDGES = {name: edges(name) for name in FILES}


def floor(name):
    package, _, rest = name.partition(".")
    if package == "geoseg_cli":
        return CLI_FLOOR
    if not rest:
        return FACE_FLOOR
    return FLOORS.get(rest.split(".")[0], JOB_FLOOR)


def reachable(name):
    found, waiting = set(), [name]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting.extend(EDGES[current])
    return found


def third_party(name):
    return {each.split(".")[0] for each in imported(name)}


@pytest.mark.parametrize("name", FILES)
def test_imports_go_down(name):
    up = {other for other in EDGES[name] if floor(other) > floor(name)}
    assert not up, f"{name} imports from a floor above: {up}"


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith("geoseg.reports")])
def test_reports_draw_from_the_ground_floors_only(name):
    allowed = ("geoseg.geo", "geoseg.errors", "geoseg.progress", "geoseg.reports")
    assert all(other.startswith(allowed) for other in EDGES[name])


@pytest.mark.parametrize("name", [n for n in FILES if floor(n) < JOB_FLOOR])
def test_only_jobs_make_reports(name):
    if not name.startswith("geoseg.reports"):
        assert not any(other.startswith("geoseg.reports") for other in EDGES[name])


@pytest.mark.parametrize("name", [n for n in FILES if floor(n) == JOB_FLOOR])
def test_jobs_meet_through_files(name):
    assert not {other for other in EDGES[name] if floor(other) == JOB_FLOOR}


def test_there_is_no_circle():
    try:
        TopologicalSorter(EDGES).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("name", [n for n in FILES if floor(n) <= 1])
def test_ground_floors_never_name_torch(name):
    assert not third_party(name) & LEARNING


@pytest.mark.parametrize(
    "job", ["geoseg.tile", "geoseg.vectorize", "geoseg.relabel", "geoseg.datasets"]
)
def test_light_jobs_never_reach_torch(job):
    if job not in FILES:
        pytest.skip(f"{job} is not built yet")
    assert not {name for name in reachable(job) if third_party(name) & LEARNING}


def loaded_by(code, names):
    """Which of `names` a fresh interpreter has loaded after running `code`."""
    code += f"\nimport sys\nprint('LOADED', *sorted({names!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.rsplit("LOADED", 1)[1].split())


@pytest.mark.parametrize("job", ["tile", "vectorize", "relabel"])
def test_importing_a_light_job_does_not_load_torch(job):
    assert loaded_by(f"import geoseg\ngeoseg.{job}", {"torch"}) == set()


def test_importing_the_face_loads_nothing_heavy():
    assert loaded_by("import geoseg\ndir(geoseg)", HEAVY) == set()


def test_help_loads_nothing_heavy():
    code = "from geoseg_cli.main import main\nassert main(['--help']) == 0"
    assert loaded_by(code, HEAVY) == set()


@pytest.mark.parametrize(
    "command",
    [
        *("tile", "train", "predict", "vectorize", "evaluate", "export", "info", "models"),
        *("datasets", "relabel"),
    ],
)
def test_help_of_a_command_loads_nothing_heavy(command):
    code = f"from geoseg_cli.main import main\nassert main([{command!r}, '--help']) == 0"
    assert loaded_by(code, HEAVY) == set()


def test_the_face_offers_what_it_promises():
    for name in geoseg.__all__:
        value = getattr(geoseg, name)
        assert value.__module__.startswith("geoseg")
        assert name in dir(geoseg)
    with pytest.raises(AttributeError, match="chips"):
        geoseg.chips  # noqa: B018 - asking is the test


def test_the_face_names_the_same_for_type_checkers():
    block = next(node for node in TREES["geoseg"].body if isinstance(node, ast.If))
    homes = {alias.asname: node.module for node in block.body for alias in node.names}
    assert homes == geoseg._HOMES


@pytest.mark.parametrize("job", ["tile", "vectorize", "evaluate", "sample"])
def test_a_job_stays_a_function_when_its_module_is_imported(job):
    code = f"""
import geoseg.{job}                       # the module first: it would take the name
from geoseg.{job} import {job} as direct
from geoseg import {job} as from_face
assert geoseg.{job} is direct and from_face is direct and callable(direct)
import sys, pickle
assert sys.modules["geoseg.{job}"].{job} is direct
assert pickle.loads(pickle.dumps(direct)) is direct
"""
    loaded_by(code, HEAVY)


@pytest.mark.parametrize("name", FILES)
def test_files_are_short(name):
    lines = FILES[name].read_text(encoding="utf-8").count("\n")
    assert lines <= 400


@pytest.mark.parametrize("name", [n for n in FILES if n != "geoseg.progress"])
def test_nothing_prints_but_the_commands(name):
    calls = [node.func for node in ast.walk(TREES[name]) if isinstance(node, ast.Call)]
    assert not [f.lineno for f in calls if isinstance(f, ast.Name) and f.id == "print"]


def test_packages_tell_that_they_are_typed():
    assert (ROOT / "geoseg" / "py.typed").exists()
    assert (ROOT / "cli" / "geoseg_cli" / "py.typed").exists()
    assert not (ROOT / "cli" / "__init__.py").exists()

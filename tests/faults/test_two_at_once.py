"""Two processes, one output: the second is refused, and told who the first is."""

import os
import re
import signal
import subprocess
import sys

import pytest
from fault_work import JOBS, OTHER_JOBS, hidden, visible

from geoseg.geo.output_lock import lock_path, writing

COMMANDS = (
    JOBS
    | OTHER_JOBS
    | {
        "predict with probabilities": JOBS["predict"],
        "predict with polygons": JOBS["predict"],
    }
)
OTHERS = {"predict with probabilities": "p.tif", "predict with polygons": "p.gpkg"}

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", COMMANDS)
def test_the_second_is_refused(server, tmp_path, name):
    output = OTHERS.get(name) or re.search(r"-o (\S+)", COMMANDS[name])[1]
    with writing(tmp_path / output):
        answer = server.run(COMMANDS[name], tmp_path)
        told = rf"Error: .*{re.escape(output)}: is being written by process {os.getpid()} since 20"
        assert answer.code == 2, answer.log
        assert re.search(told, answer.log), answer.log
        assert visible(tmp_path) == {}
        assert hidden(tmp_path) == [lock_path(tmp_path / output).name]


HOLD = """
import sys, time
from geoseg.geo.output_lock import writing_all
with writing_all(sys.argv[1:]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("name", ["tile", "relabel", "vectorize"])
def test_the_lock_of_a_dead_process_is_none(server, unbroken, tmp_path, name):
    output = re.search(r"-o (\S+)", JOBS[name])[1]
    words = [sys.executable, "-W", "ignore", "-c", HOLD, tmp_path / output, tmp_path / "another"]
    with subprocess.Popen([*map(str, words)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGKILL)
    assert len(hidden(tmp_path)) == 2
    answer = server.run(JOBS[name], tmp_path)
    assert answer.code == 0, answer.log
    assert visible(tmp_path) == unbroken(name).files
    assert hidden(tmp_path) == []

"""What is done in the process that workers are forked from is done there alone."""

import gc
import importlib
import os
import sys

from geoseg.nn import fork_server


def test_whoever_imports_everything_is_left_as_it_is():
    name = "geoseg.nn.forks_first"
    before = gc.isenabled()
    sys.modules.pop(name, None)
    importlib.import_module(name)
    assert gc.isenabled() == before


def test_the_mark_does_not_stay(monkeypatch):
    monkeypatch.delenv(fork_server.MARK, raising=False)
    with fork_server._variables({fork_server.MARK: "1"}):
        assert os.environ[fork_server.MARK] == "1"
    assert fork_server.MARK not in os.environ

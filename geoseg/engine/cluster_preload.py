"""What a worker does before its first task; Dask calls it as it starts."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings


def dask_setup(worker: object) -> None:
    """Leave signals and the terminal to the process that started the worker.

    Ctrl-C reaches all processes of a terminal: the one in front ends the others in order.

    Args:
        worker: Not looked at.
    """
    del worker
    warnings.simplefilter("ignore")  # those of other libraries; ours are log records
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("tornado", "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    torch, threads = sys.modules.get("torch"), os.environ.get("OMP_NUM_THREADS", "")
    if torch is not None and threads.isdigit():  # imported, with one thread, before the fork
        torch.set_num_threads(int(threads))

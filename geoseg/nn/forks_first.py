"""What the process imports first that workers are forked from: of a loader, or of a cluster.

It ends when the one that started it is killed, and a loader's workers with it: they keep it waiting
for them, and themselves wait for its end. Else it would hear of that only once it has imported all.

It does not look for garbage in what it imports, of which there is next to none: a quarter of the
time. Nor do workers, which share that memory as long as nobody writes to it.
"""

import gc
import os

from geoseg.nn.fork_server import MARK
from geoseg.nn.tie import die_with_parent

if os.environ.pop(MARK, None) is not None:  # who imports all of geoseg is left as it is
    die_with_parent()
    gc.disable()
    os.register_at_fork(before=gc.freeze, after_in_child=gc.enable)

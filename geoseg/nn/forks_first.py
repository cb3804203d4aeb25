"""What the process imports first that the workers of a loader are forked from.

It ends when the one that started it is killed, and its workers with it: they keep it waiting for
them, and themselves wait for its end.
"""

from geoseg.nn.tie import die_with_parent

die_with_parent()

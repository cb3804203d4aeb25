"""What the process imports first that workers of this machine are forked from.

It hears of the end of the one that started it only once it has imported all.
"""

from geoseg.nn.tie import die_with_parent

die_with_parent()

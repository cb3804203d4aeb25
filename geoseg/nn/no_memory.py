"""One error for all that run-times raise when there is no memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from geoseg.errors import is_out_of_memory


@contextmanager
def telling_no_memory() -> Iterator[None]:
    """Raise what PyTorch raises of a GPU for every failure of memory, so that it can be met.

    On a processor PyTorch raises a plain RuntimeError; so do cuDNN and cuBLAS. Others have errors
    of their own.

    Raises:
        torch.OutOfMemoryError: If the block fails for want of memory.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise torch.OutOfMemoryError(str(error)) from error
        raise

"""The libraries that networks come from, loaded without torch's compiler.

torchvision and timm load all of `torch._dynamo`, with sympy and more behind it, merely to ask
something of it later or to mark a few functions: two seconds of a processor, more than the rest
of a small prediction. Whoever does compile loads it then, as ever.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from inspect import isfunction
from types import ModuleType
from typing import Any

import torch

_COMPILER = "torch._dynamo"
_QUESTIONS = f"{_COMPILER}.utils"


class _Questions(ModuleType):
    """Stands for the module of which torchvision takes one question, to ask it much later."""

    @staticmethod
    def is_compile_supported(device_type: Any) -> Any:  # noqa: ANN401 - as torch's
        """Ask the real one."""
        return import_module(_QUESTIONS).is_compile_supported(device_type)

    def __getattr__(self, name: str) -> object:
        """Make way for the real one, if something else is asked for."""
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(_QUESTIONS) is self:
            del sys.modules[_QUESTIONS]
        return getattr(import_module(_QUESTIONS), name)


@contextmanager
def _compiler_left_out() -> Iterator[None]:
    """Let modules be imported that load the compiler without using it."""
    if _COMPILER in sys.modules:
        yield
        return
    questions, mark = _Questions(_QUESTIONS), torch.compiler.disable
    sys.modules[_QUESTIONS] = questions
    torch.compiler.disable = _mark(mark)
    try:
        yield
    finally:
        torch.compiler.disable = mark
        if sys.modules.get(_QUESTIONS) is questions:
            del sys.modules[_QUESTIONS]


def _mark(mark: Callable[..., Any]) -> Callable[..., Any]:
    """`torch.compiler.disable`, which marks a plain function when it is first called.

    So torch marks its own functions.
    """
    # There is no public one; where a later torch has none, its own mark is as good, and slower.
    lazily = getattr(getattr(torch, "_compile", None), "_disable_dynamo", mark)

    def disable(fn: Callable[..., Any] | None = None, *args: Any, **more: Any) -> Any:  # noqa: ANN401 - as torch's
        if not isfunction(fn) or args or more:  # of a class it would make a function
            return mark(fn, *args, **more)
        return lazily(fn)

    return disable


with _compiler_left_out():
    import segmentation_models_pytorch
    import timm
    import torchvision

__all__ = ["segmentation_models_pytorch", "timm", "torchvision"]

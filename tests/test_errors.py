import pickle

import pytest

from geoseg import errors
from geoseg.errors import GeosegError, InputError, SceneError, WorkError


def all_errors():
    return [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("a.tif", "is empty", "Restore the file"), "a.tif: is empty. Restore the file."),
        (("a.tif", "is empty"), "a.tif: is empty"),
        (("disk full",), "disk full"),
        (("a.tif", "is empty.", "Restore it."), "a.tif: is empty. Restore it."),
        (("a.tif", "holds\n  two\tlines"), "a.tif: holds two lines"),
        (("a\x1b[31m.tif", "is\x07 red"), "a\\x1b[31m.tif: is\\x07 red"),
        (("\udce9.tif", "é is kept, 测 too"), "\\udce9.tif: é is kept, 测 too"),
    ],
)
def test_the_text_is_one_printable_line(arguments, text):
    assert str(SceneError(*arguments)) == text


def test_exit_codes():
    codes = {error.__name__: error.exit_code for error in all_errors()}
    assert codes.pop("GeosegError") == codes.pop("WorkError") == 1
    assert set(codes.values()) == {2}


def test_the_tree_stands_in_the_docstring():
    assert all(error.__name__ in errors.__doc__ for error in all_errors())
    assert all(issubclass(error, GeosegError) for error in all_errors())
    assert issubclass(SceneError, InputError)
    assert not issubclass(WorkError, InputError)


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_errors_reach_other_processes_whole(error):
    made = error("a.tif", "is empty", "Restore it")
    back = pickle.loads(pickle.dumps(made))
    assert (type(back), str(back)) == (error, str(made))
    assert (back.subject, back.problem, back.cure) == ("a.tif", "is empty", "Restore it")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 9.00 GiB for an array"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate "
                     "memory: you tried to allocate 4 bytes"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("std::bad_alloc"),
        Exception("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer"),
        type("OutOfMemoryError", (RuntimeError,), {})(),
    ],
)  # fmt: skip
def test_failures_of_memory_are_known_by_type_or_text(error):
    assert errors.is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("shapes do not match"), OSError(28, "No space left on device"),
     WorkError("a.tif", "is out of memory")],
)  # fmt: skip
def test_other_failures_are_not_taken_for_those_of_memory(error):
    assert not errors.is_out_of_memory(error)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://e.org/a.tif?X-Amz-Signature=ab%2F1&b=c", "https://e.org/a.tif?..."),
        ("at 'https://e.org/a.tif?sig=ab', (https://e.org/b?sig=ab).",
         "at 'https://e.org/a.tif?...', (https://e.org/b?...)."),
        ("https://user:pass@word@e.org:8080/a.tif", "https://e.org:8080/a.tif"),
        ("/vsicurl/https://user@e.org/a.tif?k=v", "/vsicurl/https://e.org/a.tif?..."),
        ("/vsicurl?header.Authorization=k&url=https%3A%2F%2Fe.org", "/vsicurl?..."),
        ("az://box/a.tif?sv=1&sig=k", "az://box/a.tif?..."),
        ("vrt://https://user:k@e.org/a.tif?bands=1", "vrt://https://e.org/a.tif?..."),
        ("https://e.org/a,https://user:k@e.org/b", "https://e.org/a,https://e.org/b"),
        ("s3://box/a@2.tif of /home/me/what?.tif", "s3://box/a@2.tif of /home/me/what?.tif"),
        ("tls://127.0.0.1:8786: its scheduler is gone", None),
        ("Is https://e.org/a.tif right? Yes", None),
    ],
)  # fmt: skip
def test_keys_in_urls_are_not_shown(text, shown):
    assert errors.printable(text) == (shown or text)
    if shown:
        assert str(SceneError(text, "is gone")) == f"{shown}: is gone"


@pytest.mark.parametrize("text", ["a", "://", "a://a@", "x://?:", "/vsi", "?"])
def test_a_long_text_is_shown_at_once(text):
    """A raster may hold words of many megabytes: it must not take the square of their length."""
    assert errors.printable(text * 300_000)
    assert errors.printable(f"x://?{text * 300_000}b") == "x://?..."

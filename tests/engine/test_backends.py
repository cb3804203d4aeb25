"""PyTorch as it comes and compiled."""

import pytest
import torch
from exact_networks import (
    CPU,
    SAMPLES,
    SIZE,
    UNITS,
    agreement,
    by_torch,
    identity_bundle,
    kind,
    make_bundle,
    trained_bundle,
    windows,
)

from geoseg.engine import backends
from geoseg.engine.backends import CompiledBackend, TorchBackend, first_line
from geoseg.engine.window_network import Units
from geoseg.errors import WorkError
from geoseg.geo.raster import Scene
from geoseg.nn.device import has_bf16
from geoseg.nn.models import SegmentationModel


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
        yield


@pytest.fixture(scope="module")
def compiled():
    """One that every test shares: to compile takes long."""
    return CompiledBackend(identity_bundle(), UNITS, CPU, "fp32", size=SIZE, batch_size=2)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_identity_returns_the_raw_values(dtype):
    pixels, valid = windows(dtype)
    scores = TorchBackend(identity_bundle(), UNITS, CPU, "fp32").scores(pixels, valid)
    expected = pixels.float().where(valid[:, None], torch.tensor(0.0))  # the mean of no bands
    assert torch.equal(scores[:, :3], expected)
    assert not scores[:, 3].any()


def test_compiled_identity_returns_the_raw_values_of_every_tail(compiled):
    pixels, valid = windows()
    for count in (2, 1, 3):
        scores = compiled.scores(pixels[:count], valid[:count])
        expected = pixels[:count].float().where(valid[:count, None], torch.tensor(0.0))
        assert torch.equal(scores[:, :3], expected)


def test_compiled_forgets_what_was_not_valid_in_the_batch_before(compiled):
    pixels, valid = windows(count=2)
    compiled.scores(pixels, valid)
    assert torch.equal(compiled.scores(pixels, None)[:, :3], pixels.float())


def test_compiled_does_not_compile_again_for_strides_and_tails(compiled):
    pixels, valid = windows()
    compiled.scores(pixels[:2], valid[:2])
    with torch._dynamo.config.patch(error_on_recompile=True):
        compiled.scores(pixels[:1].contiguous(), None)
        compiled.scores(pixels[1:], valid[1:])


@pytest.mark.skipif(not has_bf16(CPU), reason="this processor has no bf16")
def test_weights_converted_once_give_the_very_scores_of_autocast(monkeypatch):
    bundle, (pixels, valid) = make_bundle(), windows()
    once = TorchBackend(bundle, UNITS, CPU, "bf16").scores(pixels, valid).clone()
    monkeypatch.setattr(backends, "_CAST", ())
    each_time = TorchBackend(bundle, UNITS, CPU, "bf16").scores(pixels, valid)
    assert torch.equal(once, each_time)


@pytest.mark.skipif(not has_bf16(CPU), reason="this processor has no bf16")
def test_bf16_gives_the_classes_of_fp32_by_a_trained_network():
    bundle = trained_bundle()
    raster = Scene.open(SAMPLES / "east.tif").read()
    pixels = torch.from_numpy(raster.data[None, :, :320, :320])
    scores = [
        TorchBackend(bundle, Units(nodata=0), CPU, precision).scores(pixels, None).clone()
        for precision in ("fp32", "bf16")
    ]
    assert agreement(*scores) > 0.995


NO_MEMORY = [
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    MemoryError("std::bad_alloc"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB"),
]


@pytest.mark.parametrize("error", NO_MEMORY)
def test_want_of_memory_is_one_error_whatever_told_it(monkeypatch, error):
    def full(self, x):
        raise error

    backend = TorchBackend(identity_bundle(), UNITS, CPU, "fp32")
    monkeypatch.setattr(SegmentationModel, "forward", full)
    with pytest.raises(torch.OutOfMemoryError):
        backend.scores(*windows())


@pytest.mark.parametrize("side", [SIZE // 2, SIZE, 96])
def test_the_network_sees_windows_of_another_side_at_its_own_size(side, monkeypatch):
    seen = []
    forward = SegmentationModel.forward
    monkeypatch.setattr(
        SegmentationModel,
        "forward",
        lambda self, x: (seen.append(x.shape[2:]), forward(self, x))[1],
    )
    pixels, valid = windows(side=side)
    scores = by_torch(make_bundle(), kind(side=side), pixels, valid)
    assert seen == [(SIZE, SIZE)]
    assert scores.shape == (3, 4, side, side)
    assert torch.allclose(scores.sum(1), torch.ones(3, side, side), atol=1e-5)


def test_what_cannot_be_compiled_is_told_in_one_line(monkeypatch):
    torch._dynamo.reset()
    backend = CompiledBackend(
        make_bundle("linear", "none"), UNITS, CPU, "fp32", size=SIZE, batch_size=2
    )
    pixels, valid = windows(count=2)
    no_compiler = torch._inductor.config.patch({"cpp.cxx": ("/no/such/compiler",)})
    with no_compiler, pytest.raises(WorkError, match=r"torch\.compile failed \(") as caught:
        backend.scores(pixels, valid)
    assert "\n" not in str(caught.value)


def test_the_first_line_of_a_failure_tells_what_was_wrong():
    message = (
        "Exception from src/inference/src/cpp/core.cpp:105:\nCheck 'a == b' failed at c:43:\nd"
    )
    assert first_line(RuntimeError(message)) == "Check 'a == b' failed at c:43"
    assert first_line(RuntimeError("\n no memory.\nmore")) == "no memory"
    assert first_line(RuntimeError()) == "RuntimeError"

import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_land import configure_land, make_land

from geoseg.errors import WorkError
from geoseg.nn import batch_size
from geoseg.nn.batch_size import find_largest, settle_batches, share_batch
from geoseg.nn.setup import prepare

GIB = 2**30


@pytest.fixture(scope="module")
def setup_of(tmp_path_factory):
    land = make_land(tmp_path_factory.mktemp("land"))

    def prepared(**train):
        config = configure_land(land, train={"batch_size": "auto", **train})
        return prepare(config)

    return prepared


@given(limit=st.integers(0, 300), most=st.integers(1, 200))
def test_the_largest_that_fits_is_found(limit, most):
    tried = []

    def fits(size):
        tried.append(size)
        return size <= limit

    found = find_largest(fits, most)
    assert found <= min(limit, most)
    if limit >= most:
        assert found == most
    elif limit:
        assert found > limit / 2  # no step is longer than to the double
        assert found >= 2 / 3 * limit or found == 1
    assert len(tried) <= 20
    assert max(tried) <= most


@given(wanted=st.integers(1, 64), largest=st.integers(1, 64))
def test_batches_share_the_samples_of_a_step_as_nearly_as_can_be(wanted, largest):
    size, batches = share_batch(wanted, largest)
    assert 1 <= size <= largest
    assert batches == -(-wanted // largest)
    best = min(abs(each * batches - wanted) for each in range(1, largest + 1))
    assert abs(size * batches - wanted) == best


@pytest.mark.parametrize(
    ("limit", "wanted", "expected"), [(99, 16, (16, 1)), (5, 16, (4, 4)), (3, 7, (2, 3))]
)
def test_auto_finds_what_fits_and_scales_accumulation(setup_of, caplog, limit, wanted, expected):
    setup = setup_of(effective_batch=wanted)
    with caplog.at_level(logging.INFO):
        settled = settle_batches(setup, lambda size: size <= limit)
    train = settled.config.train
    assert (train.batch_size, train.accumulate) == expected
    assert f"batches of {expected[0]} samples" in caplog.text
    assert settled.epoch_steps == -(-(28 // expected[0]) // expected[1])


def test_the_processor_takes_eight(setup_of):
    train = settle_batches(setup_of()).config.train
    assert (train.batch_size, train.accumulate) == (8, 2)


def test_a_number_stays(setup_of):
    setup = setup_of(batch_size=3)
    assert settle_batches(setup, lambda _: pytest.fail("not tried")) is setup


@pytest.fixture
def gpu_of(monkeypatch):
    """A GPU of 10 GiB that a step takes as many GiB of as it has samples."""
    peak = [0]

    def step(_, size):
        if size > 10:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB")
        peak[0] = size * GIB

    monkeypatch.setattr(batch_size._Trial, "_step", step)
    for name, value in {
        "mem_get_info": lambda _: (GIB, 10 * GIB), "max_memory_reserved": lambda _: peak[0],
        "reset_peak_memory_stats": lambda _: None, "synchronize": lambda _: None,
        "empty_cache": lambda: None,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, value)


@pytest.mark.usefixtures("gpu_of")
def test_a_trial_that_runs_out_of_memory_or_leaves_no_room_does_not_fit(setup_of):
    trial = batch_size._Trial(setup_of())
    assert [trial(size) for size in (1, 8, 9, 12)] == [True, True, False, False]


@pytest.mark.usefixtures("gpu_of")
def test_where_nothing_fits_the_numbers_are_told(setup_of):
    with pytest.raises(WorkError) as caught:
        settle_batches(setup_of(), lambda _: False)
    told = str(caught.value)
    assert told.startswith("train.batch_size: batches of 1 samples of 16 x 16 pixels do not fit")
    assert "10.0 GiB, 1.0 are free" in told


def test_a_trial_step_leaves_the_network_as_it_is(setup_of):
    setup = setup_of()
    before = {name: value.clone() for name, value in setup.network.state_dict().items()}
    batch_size._Trial(setup)._step(2)
    assert all(value.equal(before[name]) for name, value in setup.network.state_dict().items())

"""How far a training by time is."""

import pytest

from geoseg.nn.budget import Budget
from geoseg.nn.loop_config import LoopConfig
from geoseg.progress import Progress


@pytest.fixture
def minute():
    return Budget(LoopConfig(minutes=1), 10, Progress())


def test_before_any_time_has_gone_the_end_is_far(minute):
    assert minute.total_steps(1) > 1_000_000


def test_steps_are_guessed_from_the_time_that_is_agreed_on(minute):
    """Not from the own clock, which differs from process to process: their rates would too."""
    minute.agree(15_000)
    assert minute.total_steps(5) == 20
    minute.agree(90_000)  # over: this step is the last one
    assert minute.total_steps(7) == 8


def test_a_resumed_training_goes_on_with_its_time(minute):
    minute.load_state_dict({"seconds": 30.0})
    assert minute.total_steps(7) == 14
    assert 30 <= minute.seconds < 60

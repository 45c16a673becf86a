"""The examples of the rewards run."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import med3d_r1.rewards

MODULES = sorted(path.stem for path in Path(med3d_r1.rewards.__file__).parent.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name):
    results = doctest.testmod(import_module(f"med3d_r1.rewards.{name}"))
    assert results.failed == 0
    if name in ("accuracy", "answer_consistency", "consistency", "finding_scorer", "layout", "perception"):
        assert results.attempted > 0


def test_every_name_loads():
    for name in med3d_r1.rewards.__all__:
        assert callable(getattr(med3d_r1.rewards, name))
    with pytest.raises(AttributeError, match="no attribute 'reward'"):
        _ = med3d_r1.rewards.reward

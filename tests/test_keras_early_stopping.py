"""Keras's own tests of its EarlyStopping, with ours in its place."""

import keras
import pytest

from epochlab import EarlyStopping

theirs = pytest.importorskip(
    "keras.src.callbacks.early_stopping_test",
    reason="this Keras is shipped without its tests",
    exc_type=ImportError,
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Early stopping conditioned on metric")
class TestOurEarlyStopping(theirs.EarlyStoppingTest):
    @pytest.fixture(autouse=True)
    def in_its_place(self, monkeypatch):
        monkeypatch.setattr(theirs.callbacks, "EarlyStopping", EarlyStopping)
        keras.utils.set_random_seed(0)

"""Settings for the tests in this folder, and what several of them share."""

import pytest


def pytest_configure(config):
    # Of Keras's own tests; every backend that this package runs on is one.
    config.addinivalue_line("markers", "requires_trainable_backend: Keras's, of a backend with fit")


@pytest.fixture
def model(traced):
    """The model that a test file builds and traces once, in its `traced`: as it was at first."""
    model, weights = traced
    model.set_weights(weights)
    return model

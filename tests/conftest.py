"""Settings for the tests in this folder."""


def pytest_configure(config):
    # Of Keras's own tests; every backend that this package runs on is one.
    config.addinivalue_line("markers", "requires_trainable_backend: Keras's, of a backend with fit")

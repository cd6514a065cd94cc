"""Files that are written whole or not at all, and the first place where two contents differ."""

import os
import stat

import numpy as np
import pytest

from epochlab import _files
from epochlab._files import first_difference, write


def test_a_file_gets_the_mode_that_the_umask_asks_for(tmp_path):
    """A temporary file of Python's has mode 0600, and kept it when it was renamed."""
    old = os.umask(0o027)
    try:
        write(tmp_path / "cache", b"content")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o640
    assert (tmp_path / "cache").read_bytes() == b"content"


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(
    tmp_path, monkeypatch, call, error
):
    write(tmp_path / "state", b"old")

    def fail(*arguments):
        raise error

    monkeypatch.setattr(_files.os, call, fail)
    with pytest.raises(error):
        write(tmp_path / "state", b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["state"]
    assert (tmp_path / "state").read_bytes() == b"old"


def test_content_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            _files.os, name, lambda *a, name=name, real=real: (calls.append(name), real(*a))
        )
    write(tmp_path / "state", b"content")
    assert calls == ["fsync", "replace"]


def test_no_link_is_followed(tmp_path):
    """A link at the name of the file is replaced; what it led to stays."""
    (tmp_path / "foreign").write_bytes(b"foreign")
    (tmp_path / "state").symlink_to(tmp_path / "foreign")
    write(tmp_path / "state", b"content")
    assert (tmp_path / "foreign").read_bytes() == b"foreign"
    assert (tmp_path / "state").read_bytes() == b"content"
    assert not (tmp_path / "state").is_symlink()


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, ("a.b[1].c", 2, 3)),
        ([1, 2, 3], [1, 3, 2], ("[1]", 2, 3)),
        ({"a": 1}, {"b": 1}, ("", {"a": 1}, {"b": 1})),
        ({"a": [1]}, {"a": [1, 2]}, ("a", [1], [1, 2])),
        ({"a": 1}, {"a": True}, ("a", 1, True)),
        ({"a": np.array([1, 2])}, {"a": [1, 3]}, ("a[1]", 2, 3)),
        ([1], "1", ("", [1], "1")),
    ],
)
def test_the_first_difference_is_named(old, new, where):
    assert first_difference(old, new) == where
    assert first_difference(old, old) is None


def test_many_equal_weights_are_compared_at_once(monkeypatch):
    weights = np.ones((1_000, 1_000), "float32")
    monkeypatch.setattr(_files, "_is_row", lambda value: pytest.fail("item by item"))
    assert first_difference(weights, weights.copy()) is None

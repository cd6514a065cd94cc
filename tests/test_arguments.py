"""Argument checks: what they take, and the one sentence that they refuse with."""

import os
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers import printed

from epochlab._arguments import fraction, instance, integer, is_number, number, path

HUGE, MORE_DIGITS_THAN_PYTHON_PRINTS = 10**400, 10**5_000
ONES = [1, np.int8(1), np.uint64(1), np.array(1), tf.constant(1), tf.constant(1, "int64")]
BOOLEANS = [True, np.True_, np.array(True), tf.constant(True)]
NO_NUMBERS = [None, "1", b"1", 1j, np.array([1]), np.array(["1"]), [1], {}]


@pytest.mark.parametrize("value", ONES)
def test_integers_of_any_library(value):
    got = integer("n", value)
    assert (got, type(got)) == (1, int)
    assert integer("n", HUGE) == HUGE


@pytest.mark.parametrize(
    "value", [1.0, np.float32(1), np.array(1.0), tf.constant(1.0), Fraction(1), Decimal(1)]
)
def test_floats_are_no_integers(value):
    with pytest.raises(TypeError, match=r"^n must be an integer, at least 1; got .*\.$"):
        integer("n", value)


@pytest.mark.parametrize("value", BOOLEANS + NO_NUMBERS)
def test_booleans_and_structures_are_no_numbers(value):
    with pytest.raises(TypeError, match="n must be an integer, at least 0; got"):
        integer("n", value, minimum=0)
    with pytest.raises(TypeError, match=r"split must be a number in \[0, 1\); got"):
        fraction("split", value)
    with pytest.raises(TypeError, match="x must be a finite number; got"):
        number("x", value)
    assert not is_number(value)


@pytest.mark.parametrize(
    "value", [0.5, np.float16(0.5), np.array(0.5), tf.constant(0.5), Fraction(1, 2), Decimal("0.5")]
)
def test_fractions_become_floats(value):
    got = fraction("split", value)
    assert (got, type(got)) == (0.5, float)


@pytest.mark.parametrize(
    "value",
    [
        -0.1,
        1,
        np.nan,
        np.inf,
        pytest.param(HUGE, id="huge"),
        pytest.param(-HUGE, id="-huge"),
        tf.constant(1.5),
    ],
)
def test_fractions_out_of_range(value):
    with pytest.raises(ValueError, match=r"split must be a number in \[0, 1\); got"):
        fraction("split", value)


@pytest.mark.parametrize(
    "value",
    [
        np.nan,
        np.inf,
        -np.inf,
        pytest.param(HUGE, id="huge"),
        pytest.param(-HUGE, id="-huge"),
        np.float32("inf"),
    ],
)
def test_numbers_that_are_not_finite(value):
    with pytest.raises(ValueError, match="x must be a finite number; got"):
        number("x", value)


def test_numbers():
    got = number("x", np.float32(0.5), minimum=0)
    assert (got, type(got)) == (0.5, float)
    with pytest.raises(ValueError, match="x must be a finite number, at least 0; got -1"):
        number("x", -1, minimum=0)
    assert is_number(np.float32(1)) and is_number(np.int64(1)) and is_number(HUGE)


def test_numbers_too_long_to_print_are_refused_by_name():
    for check in (number, fraction):
        with pytest.raises(ValueError, match="^x must .*; got an integer of thousands of digits"):
            check("x", MORE_DIGITS_THAN_PYTHON_PRINTS)
    with pytest.raises(ValueError, match="^x must .*; got an integer of thousands of digits"):
        integer("x", -MORE_DIGITS_THAN_PYTHON_PRINTS)
    with pytest.raises(TypeError, match="^x must be a string; got an integer of thousands"):
        instance("x", MORE_DIGITS_THAN_PYTHON_PRINTS, str, "a string")


def test_paths(tmp_path):
    for value in ("a/b", Path("a/b")):
        assert path("cache", value, "a folder") == Path("a/b")
    for empty in ("", "  "):
        with pytest.raises(ValueError, match=f"cache must be a folder; got '{empty}'"):
            path("cache", empty, "a folder")
    (tmp_path / "file").touch()
    entry = next(os.scandir(os.fsencode(tmp_path)))
    for value in (None, 3, b"a", True, entry):
        with pytest.raises(TypeError, match="cache must be a folder; got"):
            path("cache", value, "a folder")


def test_counting_needs_no_numpy():
    assert printed("import sys, epochlab.steps; print('numpy' in sys.modules)") == "False\n"

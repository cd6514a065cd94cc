"""Seeds, intervals, claims and verdicts."""

import math
import re

import numpy as np
import pandas as pd
import pytest
import scipy
import tensorflow as tf
from helpers import printed
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version
from scipy import special, stats

from epochlab import (
    Check,
    Interval,
    _display,
    claim,
    evidence,
    interval,
    paired_difference,
    seeds,
    share,
    verdict,
)
from epochlab._statistics import smallest_share, t_quantile
from epochlab.data import datasets

YES, NO = Check(True, "4 == 4: yes", "4"), Check(False, "4 != 5: no", "4")
OPEN = Check(None, "+1 [0.5, 1.5] above 1: undecided", "1, 0.5 to 1.5; 10 seeds")
BAND = Interval(mean=1.0, low=0.5, high=1.5, n=10)
numbers = st.floats(-1e6, 1e6)
# SciPy 1.12 is good to about 1e-8. The formulas for 1, 2 and 4 degrees of freedom side with us.
EXACT = 1e-10 if Version(scipy.__version__) >= Version("1.17") else 1e-7
checks = st.sampled_from([YES, NO, OPEN])


def test_seeds_move_as_a_block_and_nothing_else(monkeypatch):
    monkeypatch.delenv("EPOCHLAB_SEED", raising=False)
    default = seeds(5)
    assert default == seeds(10)[:5] == [0, 1, 2, 3, 4]
    monkeypatch.setenv("EPOCHLAB_SEED", "7")
    assert len(set(seeds(10_000)) | set(default)) == 10_005
    monkeypatch.setenv("EPOCHLAB_SEED", "429495")
    assert seeds(10_000)[-1] < 2**32  # what keras.utils.set_random_seed takes


@pytest.mark.parametrize("text", ["-1", "1.5", "abc", "429496", "²"])
def test_a_seed_variable_that_is_no_seed(monkeypatch, text):
    monkeypatch.setenv("EPOCHLAB_SEED", text)
    with pytest.raises(ValueError, match="EPOCHLAB_SEED must be an integer from 0 to 429495; got"):
        seeds(2)


@pytest.mark.parametrize(
    ("n", "error"), [(0, ValueError), (10_001, ValueError), (3.0, TypeError), (True, TypeError)]
)
def test_numbers_of_seeds_that_cannot_be(n, error):
    with pytest.raises(error, match="n must be"):
        seeds(n)


@given(st.lists(numbers, min_size=2, max_size=30), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_intervals_agree_with_scipy(values, confidence):
    if np.ptp(values) <= 2**-22 * np.abs(values).max():
        with pytest.raises(ValueError, match="values must differ from seed to seed"):
            interval(values, confidence=confidence)
        return
    got = interval(values, confidence=confidence)
    assert (got.mean, got.n) == (pytest.approx(np.mean(values)), len(values))
    scale = stats.sem(values)
    if scale > 0:
        low, high = stats.t.interval(confidence, len(values) - 1, np.mean(values), scale)
        assert (got.low, got.high) == (
            pytest.approx(low, rel=10 * EXACT, abs=10 * EXACT * scale),
            pytest.approx(high, rel=10 * EXACT, abs=10 * EXACT * scale),
        )


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=30))
def test_paired_difference_agrees_with_scipy(pairs):
    a, b = np.array(pairs).T
    if np.ptp(a - b) > 2**-22 * np.abs(pairs).max():
        got = paired_difference(a, b)
        expected = stats.ttest_rel(a, b).confidence_interval(0.95)
        assert (got.low, got.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 10, 11, 30, 100, 999, 10_000])
@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95, 0.999])
def test_quantiles_are_those_of_scipy(n, confidence):
    tail = (1 - confidence) / 2
    assert t_quantile(n - 1, tail) == pytest.approx(stats.t.isf(tail, n - 1), rel=EXACT)
    for k in {1, 2, n // 2, n - 1, n}:
        expected = special.betaincinv(k, n - k + 1, tail)
        assert smallest_share(k, n, tail) == pytest.approx(expected, rel=EXACT)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_shares_agree_with_scipy(counts):
    got = share(*counts, confidence=0.9)
    expected = stats.binomtest(*counts).proportion_ci(0.9, "exact")
    assert got.mean == counts[0] / counts[1] and got.n == counts[1]
    # SciPy's own ends are good to about 1e-9 here.
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), rel=1e-8)
    assert got.low <= got.mean <= got.high


def test_shares_of_none_and_of_all():
    none, every = share(0, 10), share(10, 10)
    assert (none.mean, none.low, every.mean, every.high) == (0, 0, 1, 1)
    assert none.high == pytest.approx(1 - 0.025**0.1)  # where none of ten has probability 2.5 %
    assert every.low == pytest.approx(0.025**0.1)
    assert str(share(0, 10)) == "0 [0, 0.308]" and str(share(9, 10)) == "0.9 [0.555, 0.997]"
    assert share(9, 10).above(0.5).measured == "9 of 10, a share of 0.555 to 0.997"
    assert share(np.int64(9), tf.constant(10)) == share(9, 10)


@pytest.mark.parametrize(
    ("k", "n", "error", "message"),
    [
        (11, 10, ValueError, r"k must be at most n \(10\); got 11"),
        (-1, 10, ValueError, "k must be an integer, at least 0; got -1"),
        (0, 0, ValueError, "n must be an integer, at least 1; got 0"),
        (0.9, 1, TypeError, "k must be an integer"),
        (True, 1, TypeError, "k must be an integer"),
    ],
)
def test_shares_of_what_is_no_count(k, n, error, message):
    with pytest.raises(error, match=message):
        share(k, n)


@pytest.mark.parametrize("values", [[1, 1, 1], [0.1, 0.1, 0.1], [0.0, -0.0]])
def test_values_without_spread_are_refused(values):
    with pytest.raises(ValueError, match=r"values must differ .* Check.equal, .* share\(k, n\)"):
        interval(values)
    with pytest.raises(ValueError, match="a - b must differ from seed to seed"):
        paired_difference(values, values)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_the_same_gap_in_every_seed_is_no_spread_whatever_rounding_makes_of_it(kind):
    a, b = (kind([k / 4_000 for k in right]) for right in ([3_067, 3_014, 99], [3_132, 3_079, 164]))
    assert np.ptp(a - b) > 0
    for scale in (1, 100):
        with pytest.raises(ValueError, match="a - b must differ .* by more than rounding; got -"):
            paired_difference(scale * a, scale * b)
    with pytest.raises(ValueError, match=r"values must differ .*; got 0.3 2 times"):
        interval([0.1 * 3, 0.3])
    b[0] += 1 / 4_000_000  # one of four million
    assert paired_difference(a, b).low < paired_difference(a, b).high


def test_intervals_need_no_scipy():
    """The core installs without it, and without pandas and TensorFlow."""
    code = (
        "import sys\n"
        "missing = 'scipy', 'pandas', 'tensorflow', 'keras', 'matplotlib'\n"
        "sys.modules |= dict.fromkeys(missing)\n"
        "from epochlab import Check, interval, share\n"
        "print(interval([6.1, 7.9, 8.5]), share(9, 10), Check.equal([1], [1]))"
    )
    assert printed(code) == "+7.5 [4.4, 10.6] 0.9 [0.555, 0.997] [1] == [1]: yes\n"


def test_bounds_are_about_the_whole_interval():
    band = BAND
    assert band.above(0.4) and not band.above(0.5)
    assert band.below(1.6) and not band.below(1.5)
    assert band.within(1.6) and not band.within(1.5)
    assert not Interval(-1.0, -1.6, -0.5, 10).within(1.5)
    assert str(band.above(0.4)) == "+1 [0.5, 1.5] above 0.4: yes"
    assert str(band.within(1)) == "+1 [0.5, 1.5] within ±1: undecided"
    for margin in (0, -1):
        with pytest.raises(ValueError, match="margin must be above 0; got"):
            band.within(margin)
    for method in (band.above, band.below, band.within):
        with pytest.raises(ValueError, match="must be a finite number; got nan"):
            method(math.nan)
        with pytest.raises(TypeError, match="must be a finite number; got '1'"):
            method("1")


@pytest.mark.parametrize(
    ("check", "passed"),
    [
        (BAND.above(0.4), True),
        (BAND.above(0.5), None),
        (BAND.above(1.5), None),
        (BAND.above(1.6), False),
        (BAND.below(1.6), True),
        (BAND.below(1.5), None),
        (BAND.below(0.5), None),
        (BAND.below(0.4), False),
        (BAND.within(1.6), True),
        (BAND.within(1.5), None),
        (BAND.within(0.5), None),
        (BAND.within(0.4), False),
        (Interval(-1.0, -1.5, -0.5, 10).within(0.4), False),
        (Interval(-1.0, -1.5, -0.5, 10).within(1), None),
        (Interval(0.0, -2.0, 2.0, 10).within(1), None),
        (Interval(math.nan, math.nan, math.nan, 2).above(0), None),
    ],
)
def test_checks_of_intervals_have_three_outcomes(check, passed):
    assert check.passed is passed
    assert bool(check) is (passed is True)
    assert str(check).endswith({True: ": yes", False: ": no", None: ": undecided"}[passed])


@pytest.mark.parametrize("margin", [np.uint8(200), np.int8(100), np.float16(100)])
def test_bounds_of_small_types_do_not_wrap(margin):
    """-np.uint8(200) is 56."""
    assert Interval(0.0, -99.0, 99.0, 10).within(margin)
    assert Interval(0.0, -99.0, 99.0, 10).below(margin)


@pytest.mark.parametrize("bound", [pytest.param(10**400, id="huge"), np.inf])
def test_bounds_beyond_every_float(bound):
    for method in (BAND.above, BAND.below, BAND.within):
        with pytest.raises(ValueError, match="must be a finite number; got"):
            method(bound)


@pytest.mark.parametrize("bound", [True, np.zeros(()), [1], None])
def test_bounds_that_are_no_numbers(bound):
    with pytest.raises(TypeError, match="bound must be a finite number; got"):
        BAND.above(bound)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([7.51, 6.31, 8.71], "+7.51 [6.31, 8.71]"),
        ([97.83, 97.81, 97.85], "+97.83 [97.81, 97.85]"),
        ([-1234.0, -1300.0, -1100.0], "-1230 [-1300, -1100]"),
        ([0.0, -0.5, 0.5], "+0 [-0.5, 0.5]"),
        ([math.nan] * 3, "nan [nan, nan]"),
    ],
)
def test_as_many_digits_as_it_takes(values, wanted):
    assert str(Interval(*values, n=10)) == wanted


def test_units_are_written_behind_the_numbers():
    check = Interval(12.8, 10.9, 14.6, 10, unit="points").above(5)
    assert str(check) == "+12.8 [10.9, 14.6] points above 5: yes"
    assert check.measured == "12.8 points, 10.9 to 14.6; 10 seeds"


@pytest.mark.parametrize(
    "values",
    [
        np.ma.array([1.0, 2.0, 9.0], mask=[0, 0, 1]),
        {1.0, 2.0},
        frozenset([1.0, 2.0]),
        {1.0: "a", 2.0: "b"},
        {1.0: "a", 2.0: "b"}.keys(),
    ],
)
def test_masks_sets_and_mappings_make_no_interval(values):
    """The mask was ignored; sets lose duplicates and the order of the seeds."""
    with pytest.raises(TypeError, match="values must be numbers of shape .*, in their order"):
        interval(values)
    with pytest.raises(TypeError, match="b must be numbers of shape .*, in their order"):
        paired_difference([1.0, 2.0], values)


def test_any_row_of_numbers_makes_an_interval():
    expected = interval([1.0, 2.0, 4.0])
    for kind in (tuple, iter, np.array, pd.Series, tf.constant, np.float16):
        assert interval(kind([1.0, 2.0, 4.0])) == expected
    assert paired_difference(np.uint8([1, 2]), np.uint8([2, 4])).mean == -1.5  # and not 254.5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0], [2.0, 3.0]], r"values must be numbers of shape \(n,\), one per seed; got \[\[1.0"),
        ([1.0, 10**400], r"values must be numbers of shape \(n,\), one per seed; got object"),
        ([], "values must"),
        ([1.0], "values must hold at least 2 numbers, one per seed; got 1"),
        ([1.0, math.nan], "values must be finite numbers; got nan"),
        ([1.0, math.inf], "values must be finite numbers; got inf"),
        ([[1.0, 2.0], [3.0, 4.0]], r"numbers of shape \(n,\), one per seed; got float64 of shape"),
        (["1", "2"], "values must be numbers"),
        ([True, False], "values must be numbers of shape"),
        (np.zeros(()), "values must be numbers of shape"),
    ],
)
def test_values_that_make_no_interval(values, message):
    with pytest.raises(ValueError, match=message):
        interval(values)


@pytest.mark.parametrize("confidence", [0, 1, 1.0, 0.0, 95, "0.9", math.nan])
def test_confidence_out_of_range(confidence):
    with pytest.raises(ValueError, match=r"confidence must be a number inside \(0, 1\); got"):
        interval([1.0, 2.0], confidence=confidence)


def test_pairs_of_different_length():
    with pytest.raises(ValueError, match="one value per seed each; got 2 and 3"):
        paired_difference([1.0, 2.0], [1.0, 2.0, 3.0])


def test_series_are_paired_by_position_unless_their_labels_say_otherwise():
    a = pd.Series([91.0, 92.0, 95.0])
    expected = paired_difference([91.0, 92.0, 95.0], [90.0, 91.1, 93.9])
    for index in ([0, 1, 2], [3, 4, 5]):  # the same seeds, or other rows of a table
        assert paired_difference(a, pd.Series([90.0, 91.1, 93.9], index)) == expected
    for index in ([2, 1, 0], [1, 2, 3]):
        with pytest.raises(ValueError, match=r"the same index, to be paired; got \[0, 1, 2\] and"):
            paired_difference(a, pd.Series([93.9, 91.1, 90.0], index))
    assert paired_difference(a, np.array([90.0, 91.1, 93.9])) == expected


def test_checks_combine():
    assert YES & YES and not YES & NO and ~NO and not ~YES
    assert str(YES & NO) == "4 == 4: yes; 4 != 5: no"
    assert Check(np.True_, "from NumPy") and not Check(np.False_, "from NumPy")
    assert Check.equal([1, 2], (1, 2)) and not Check.equal([1, 2], [1, 3])
    assert Check.equal({"a": 1}, {"a": 1}) and not Check.equal({1}, {2})
    assert not Check.equal([1, 2], [1, 2, 3])
    assert Check(np.False_, "from NumPy").passed is False
    for value in ("yes", 1, np.array([True])):
        with pytest.raises(TypeError, match="passed must be True, False or None; got"):
            Check(value, "evidence")


@pytest.mark.parametrize(
    ("a", "b", "both"),
    [
        (YES, YES, True),
        (YES, OPEN, None),
        (YES, NO, False),
        (OPEN, OPEN, None),
        (OPEN, NO, False),  # false whatever the other will turn out to be
        (NO, NO, False),
    ],
)
def test_three_valued_and(a, b, both):
    assert (a & b).passed is (b & a).passed is both


@given(checks, checks, checks)
def test_laws_of_three_valued_logic(a, b, c):
    def either(a, b):  # De Morgan
        return ~(~a & ~b)

    def same(a, b):
        return a.passed is b.passed

    assert same(~~a, a) and same(a & a, a) and same(a & b, b & a)
    assert same((a & b) & c, a & (b & c))
    assert same(a & either(b, c), either(a & b, a & c))
    assert same(either(a, a & b), a)
    assert bool(a & b) is (bool(a) and bool(b))
    assert not (bool(a) and bool(~a))
    ranks = {False: 0, None: 1, True: 2}
    assert ranks[(a & b).passed] == min(ranks[a.passed], ranks[b.passed])
    assert ranks[either(a, b).passed] == max(ranks[a.passed], ranks[b.passed])


RAGGED = [1, [2, [3, 4]], {"a": [5]}]
FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (RAGGED, [1, [2, [3, 4]], {"a": [5]}]),
        ([1, [2]], (1, (2,))),
        ([[1], [2, 3]], [np.array([1]), np.array([2, 3])]),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.int64(3), 3.0),
        (tf.constant([1, 2]), [1, 2]),
        (pd.Series([1, 2], index=[5, 6]), [1, 2]),
        (range(3), [0, 1, 2]),
        (np.array(["a", "b"]), ["a", "b"]),
        ([np.True_], [True]),
        ({"a": {1, 2}}, {"a": {2, 1}}),
        (FRAME, FRAME.copy()),
        (np.zeros(0), []),
        ({1: [np.ones(2)]}, {1: [np.ones(2)]}),
    ],
)
def test_what_is_equal(a, b):
    assert Check.equal(a, b).passed is Check.equal(b, a).passed is True


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((1, "a"), ("1", "a")),
        (1, "1"),
        (True, 1),
        ([0, 1], [False, True]),
        (np.array([0, 1]), np.array([False, True])),
        ([1, [2]], [1, [3]]),
        ([1, [2]], [1, 2]),
        ([[1], [2, 3]], [[1, 2], [3]]),
        ([1], 1),
        ("ab", ["a", "b"]),
        (b"a", "a"),
        (None, 0),
        ([], {}),
        (FRAME, FRAME.rename(columns={"b": "c"})),
        (FRAME, FRAME.set_axis([1, 2])),
        (FRAME, FRAME.assign(b=["x", "z"])),
        (FRAME, FRAME.assign(a=["1", "2"])),
        (np.zeros((2, 1)), np.zeros((1, 2))),
        (np.ma.array([1, 2], mask=[0, 1]), [1, 2]),
        (math.nan, math.nan),
        ({"a": 1}, {"a": 1, "b": 2}),
    ],
)
def test_what_differs(a, b):
    assert Check.equal(a, b).passed is Check.equal(b, a).passed is False


@pytest.mark.parametrize(
    ("value", "measured"),
    [
        ([31, 1, 31, 1], "[31, 1, 31, 1]"),
        (np.array([31, 1]), "[31, 1]"),
        ([np.int64(31), np.float64(0.5)], "[31, 0.5]"),
        ({np.int64(4): np.float32(1)}, "{4: 1.0}"),
        (pd.Series([1, 2]), "[1, 2]"),
        (np.True_, "True"),
        ("relu", "relu"),
    ],
)
def test_exact_measures_are_written_as_people_do(value, measured):
    assert Check.equal(value, value).measured == measured


def test_measures_of_combined_checks_are_joined_once_each():
    assert (YES & OPEN & ~YES).measured == "4 · 1, 0.5 to 1.5; 10 seeds"
    assert Check(True, "evidence alone").measured == "evidence alone"


def test_one_number_is_no_sample():
    with pytest.raises(TypeError, match="values must be numbers, one per seed; got 5"):
        interval(5)


def test_a_claim_shows_its_number_in_the_second_line_only(capsys):
    claim("7", "It holds.", interval([1.2, 1.4, 1.3]).above(1))
    assert capsys.readouterr().out == "✓ It holds.\nmeasured 1.3, 1.05 to 1.55; 3 seeds\n"
    claim("7", "It\nholds.", Check.equal("two\nlines", "two\nlines"))
    assert capsys.readouterr().out == "✓ It holds.\nmeasured two lines\n"


@pytest.mark.parametrize(
    ("check", "outcome"), [(NO, "Shown false: 4 != 5: no"), (OPEN, "Undecided: ")]
)
def test_a_claim_that_is_not_shown_raises_and_says_why(check, outcome, capsys):
    with pytest.raises(AssertionError, match=f"^✗ 7 It holds.\n{outcome}"):
        claim("7", "It holds.", check)
    assert capsys.readouterr().out == ""


def test_a_claim_that_fails_raises_with_its_evidence(capsys):
    with pytest.raises(AssertionError, match=r"(?s)✗ 7 It holds.*\+1.5 \[.*above 3: no"):
        claim("7", "It holds.", interval([1.4, 1.6]).above(3))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("check", [NO, OPEN])
def test_a_claim_for_real_data_only(check, monkeypatch, capsys):
    """Reads the same everywhere, and where it is not checked the line below says so."""
    monkeypatch.setattr(datasets, "is_real", {"mnist": False, "cifar10": True}.get)
    claim("9", "It holds.", check, only_on="mnist")
    sentence, measured = capsys.readouterr().out.splitlines()
    assert sentence == "✓ It holds. (on MNIST itself)"
    assert measured.startswith(f"measured {check.measured}") and "not checked" in measured
    with pytest.raises(AssertionError, match="✗ 9 It holds. .on CIFAR-10 itself"):
        claim("9", "It holds.", check, only_on="cifar10")
    claim("9", "It holds.", YES, only_on="cifar10")
    assert capsys.readouterr().out == "✓ It holds. (on CIFAR-10 itself)\nmeasured 4\n"


@pytest.mark.parametrize("name", ["no_such_set", "", 3, ["mnist"], True])
def test_only_on_what_is_no_data_set(name):
    known = re.escape(str(list(datasets.DATA_SETS)))
    with pytest.raises(ValueError, match=f"only_on must be one of {known}; got"):
        claim("9", "It holds.", YES, only_on=name)


@pytest.mark.slow
def test_a_claim_for_real_data_only_where_nothing_was_loaded(monkeypatch, tmp_path):
    """As in a worker of an executor, which load_data of another process has told nothing."""
    monkeypatch.delenv("EPOCHLAB_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    code = "import epochlab as e; e.claim('9', 'It holds.', e.Check(False, 'no'), only_on='mnist')"
    assert "✓ It holds. (on MNIST itself)\nmeasured no; on the stand-in" in printed(code)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"a": YES, "b": YES}, "holds"),
        ({"a": NO, "b": NO}, "wrong as stated"),
        ({"a": YES, "b": NO}, "holds if a; not if b"),
        ({"a": NO, "b": YES, "c": YES, "d": NO}, "holds if b or if c; not if a or if d"),
        ({"a": YES, "b": OPEN}, "holds if a; undecided if b"),
        ({"a": OPEN, "b": NO, "c": YES}, "holds if c; not if b; undecided if a"),
        ({"a": OPEN, "b": OPEN}, "undecided"),
        ({"a": NO, "b": OPEN, "c": OPEN}, "wrong as stated; undecided if b or if c"),
    ],
)
def test_verdicts_are_computed(conditions, expected, capsys):
    assert verdict("28", conditions) == expected
    said, measured = capsys.readouterr().out.splitlines()
    assert said == f"28 {expected}"
    assert measured.startswith(f"measured if a: {conditions['a'].measured} · if b: ")


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"a": {"digits": YES, "photos": YES}}, "holds if a (digits, photos)"),
        (
            {"a": {"digits": YES, "photos": NO, "text": OPEN}, "b": {"digits": NO}},
            "holds if a (digits); not if a (photos) or if b (digits); undecided if a (text)",
        ),
        ({"a": {"digits": NO, "photos": OPEN}}, "wrong as stated; undecided if a (photos)"),
        ({"a": {"digits": OPEN}}, "undecided"),
        ({"a": {"digits": YES}, "exactly": NO}, "holds if a (digits); not if exactly"),
    ],
)
def test_verdicts_say_in_which_worlds(conditions, expected):
    assert verdict("28", conditions) == expected


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match=r"conditions\['a'\] must map at least one world"):
        verdict("7", {"a": {}})
    with pytest.raises(TypeError, match=r"conditions\['a'\] must be a Check"):
        verdict("7", {"a": {"digits": True}})
    with pytest.raises(TypeError, match="check must be a Check.* got True"):
        claim("7", "It holds.", True)
    with pytest.raises(TypeError, match=r"conditions\['a'\] must be a Check"):
        verdict("7", {"a": 1.0})
    with pytest.raises(ValueError, match="conditions must map at least one condition"):
        verdict("7", {})
    with pytest.raises(TypeError, match="conditions must be a mapping from conditions to checks"):
        verdict("7", [YES])
    with pytest.raises(TypeError, match="label must be a string; got 7"):
        claim(7, "It holds.", YES)
    with pytest.raises(ValueError, match="sentence must not be empty"):
        claim("7", " ", YES)


def test_in_jupyter_the_evidence_travels_with_the_claim(shown_in_jupyter):
    """In text/plain no number, in Markdown the number below, under our own type all."""
    source = (
        "from epochlab import claim, interval, verdict\n"
        "check = interval([1.23, 1.24, 1.25]).above(1)\n"
        "claim('7', 'It holds.', check)\n"
        "_ = verdict('7', {'measured': check, 'turned': ~check})"
    )
    outputs = [output.data for output in shown_in_jupyter(source)]
    texts = ["✓ It holds.", "7 holds if measured; not if turned"]
    assert [data["text/plain"] for data in outputs] == texts
    for data in outputs:
        first, second = data["text/markdown"].split("  \n")
        assert first.startswith(data["text/plain"][:10])
        assert second.startswith("<small>*measured ") and "1.24, 1.215 to 1.265; 3 seeds" in second
    said, judged = (data[evidence.CLAIM_MIME] for data in outputs)
    assert said == {
        "kind": "claim",
        "label": "7",
        "sentence": "It holds.",
        "measured": "1.24, 1.215 to 1.265; 3 seeds",
        "evidence": "+1.24 [1.215, 1.265] above 1: yes",
        "outcome": "yes",
        "only_on": None,
        "checked": True,
    }
    assert judged["verdict"] == "holds if measured; not if turned"
    assert judged["outcome"] == {"measured": "yes", "turned": "no"}
    assert "above 1: yes" in judged["evidence"]["measured"]


SIGNS = (
    r"1. *a* _b_ `c` <b>d</b> [e](f) | $g$ \(h\) ~~i~~ &amp; # j https://k.org www.l.org :m: 1.5"
)


def test_nothing_in_a_claim_is_taken_for_markdown():
    """What Jupyter's HTML shows is the text itself; MathJax sees no formula either."""
    from html.parser import HTMLParser

    from nbconvert.filters import markdown2html

    shown, tags = [], []
    parser = HTMLParser()
    parser.handle_data, parser.handle_starttag = shown.append, lambda tag, _: tags.append(tag)
    parser.feed(markdown2html(_display._markdown(f"✓ {SIGNS}")))
    assert "".join(shown).strip() == f"✓ {SIGNS}"
    assert set(tags) == {"p", "span"}
    assert not any("$" in part and part != "$" for part in shown)  # alone, no formula starts

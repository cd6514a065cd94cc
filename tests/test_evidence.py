"""Seeds, intervals, claims and verdicts."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from epochlab import Check, Interval, claim, evidence, interval, paired_difference, seeds, verdict

YES, NO = Check(True, "4 == 4: yes"), Check(False, "4 != 5: no")
numbers = st.floats(-1e6, 1e6)


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
    got = interval(values, confidence=confidence)
    assert (got.mean, got.n) == (pytest.approx(np.mean(values)), len(values))
    scale = stats.sem(values)
    if scale > 0:
        low, high = stats.t.interval(confidence, len(values) - 1, np.mean(values), scale)
        assert (got.low, got.high) == (
            pytest.approx(low, rel=1e-9, abs=1e-9 * scale),
            pytest.approx(high, rel=1e-9, abs=1e-9 * scale),
        )


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=30))
def test_paired_difference_agrees_with_scipy(pairs):
    a, b = np.array(pairs).T
    got = paired_difference(a, b)
    if np.std(a - b) > 1e-6:
        expected = stats.ttest_rel(a, b).confidence_interval(0.95)
        assert (got.low, got.high) == pytest.approx((expected.low, expected.high))


def test_bounds_are_about_the_whole_interval():
    band = Interval(mean=1.0, low=0.5, high=1.5, n=10)
    assert band.above(0.4) and not band.above(0.5)
    assert band.below(1.6) and not band.below(1.5)
    assert band.within(1.6) and not band.within(1.5)
    assert not Interval(-1.0, -1.6, -0.5, 10).within(1.5)
    assert str(band.above(0.4)) == "+1 [0.5, 1.5] above 0.4: yes"
    assert str(band.within(1)) == "+1 [0.5, 1.5] within ±1: no"
    for margin in (0, -1):
        with pytest.raises(ValueError, match="margin must be above 0; got"):
            band.within(margin)
    for method in (band.above, band.below, band.within):
        with pytest.raises(ValueError, match="must be a finite number; got nan"):
            method(math.nan)
        with pytest.raises(TypeError, match="must be a number; got '1'"):
            method("1")


@pytest.mark.parametrize(
    ("values", "message"),
    [
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


def test_checks_combine():
    assert YES & YES and not YES & NO and ~NO and not ~YES
    assert str(YES & NO) == "4 == 4: yes; 4 != 5: no"
    assert Check(np.True_, "from NumPy") and not Check(np.False_, "from NumPy")
    assert Check.equal([1, 2], (1, 2)) and not Check.equal([1, 2], [1, 3])
    assert Check.equal({"a": 1}, {"a": 1}) and not Check.equal({1}, {2})
    assert not Check.equal([1, 2], [1, 2, 3])
    for value in ("yes", 1, None, np.array([True])):
        with pytest.raises(TypeError, match="passed must be True or False; got"):
            Check(value, "evidence")


def test_one_number_is_no_sample():
    with pytest.raises(TypeError, match="values must be numbers, one per seed; got 5"):
        interval(5)


def test_a_claim_prints_no_number_of_its_evidence(capsys):
    claim("7", "It holds.", interval([1.23, 1.24]).above(1))
    assert capsys.readouterr().out == "✓ 7 It holds.\n"


def test_a_claim_that_fails_raises_with_its_evidence(capsys):
    with pytest.raises(AssertionError, match=r"(?s)✗ 7 It holds.*\+1.5 \[.*above 2: no"):
        claim("7", "It holds.", interval([1.4, 1.6]).above(2))
    assert capsys.readouterr().out == ""


def test_a_claim_for_real_data_only(monkeypatch, capsys):
    monkeypatch.setattr(evidence, "_real_data", {"mnist": False})
    claim("9", "It holds.", NO, only_on="mnist")  # unchecked on the stand-in, and printed alike
    assert capsys.readouterr().out == "✓ 9 It holds.\n"
    evidence._real_data["mnist"] = True
    with pytest.raises(AssertionError):
        claim("9", "It holds.", NO, only_on="mnist")
    with pytest.raises(ValueError, match=r"only_on must name data that load_data has loaded"):
        claim("9", "It holds.", YES, only_on="cifar10")


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"a": YES, "b": YES}, "holds"),
        ({"a": NO, "b": NO}, "wrong as stated"),
        ({"a": YES, "b": NO}, "holds if a; not if b"),
        ({"a": NO, "b": YES, "c": YES, "d": NO}, "holds if b or if c; not if a or if d"),
    ],
)
def test_verdicts_are_computed(conditions, expected, capsys):
    assert verdict("28", conditions) == expected
    assert capsys.readouterr().out == f"28 {expected}\n"


def test_nonsense_is_refused():
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
    """The printed text in text/plain, the evidence under our own type."""
    source = (
        "from epochlab import claim, interval, verdict\n"
        "check = interval([1.23, 1.24]).above(1)\n"
        "claim('7', 'It holds.', check)\n"
        "_ = verdict('7', {'measured': check})"
    )
    outputs = [output.data for output in shown_in_jupyter(source)]
    assert [data["text/plain"] for data in outputs] == ["✓ 7 It holds.", "7 holds"]
    said, judged = (data[evidence.CLAIM_MIME] for data in outputs)
    assert said["checked"] is True and "above 1: yes" in said["evidence"]
    assert judged["verdict"] == "holds" and "above 1: yes" in judged["evidence"]["measured"]

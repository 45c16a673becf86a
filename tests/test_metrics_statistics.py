"""Intervals and tests against published tables, closed forms and numbers by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.metrics.statistics import (
    accuracy_by_coverage,
    bootstrap_mean,
    bootstrap_sums,
    calibration,
    holm,
    incomplete_beta,
    mcnemar,
    paired_bootstrap,
    paired_t_test,
    score_of,
    t_tail,
)

answered = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans()), min_size=1)
values = st.lists(st.integers(-5, 5).map(float), min_size=2, max_size=30)


class TestScore:
    def test_of_independent_questions_is_wilsons(self):
        """40 of 100: (0.4 + z^2/200 -+ z sqrt(0.24/100 + z^2/40000)) / (1 + z^2/100) = 0.3094, 0.4980 for z = 1.96; a
        little wider, because the variance is estimated from 99 degrees of freedom."""
        score = score_of(map(str, range(100)), [index < 40 for index in range(100)])
        assert (score.low, score.high) == (pytest.approx(0.3094, abs=6e-4), pytest.approx(0.4980, abs=6e-4))
        assert str(score) == "40.0% [30.9%, 49.8%] of 100 on 100 scans"

    def test_of_questions_that_stand_or_fall_with_their_scan_counts_scans(self):
        """Ten questions on each of 40 scans, all right or all wrong: as 40 questions, less one as above."""
        clustered = score_of(
            [str(i) for i in range(40) for _ in range(10)], [i < 16 for i in range(40) for _ in range(10)]
        )
        scans = score_of(map(str, range(39)), [i < 16 for i in range(39)])
        assert clustered.high - clustered.low == pytest.approx(scans.high - scans.low, rel=0.02)

    @given(answered)
    def test_lies_in_its_interval(self, answered):
        score = score_of(*zip(*answered, strict=True))
        assert 0 <= score.low <= score.accuracy <= score.high <= 1
        assert score.low < score.high

    def test_of_nothing_is_refused(self):
        with pytest.raises(ValueError, match="no questions"):
            score_of([], [])


class TestBootstrap:
    def test_of_independent_values_is_the_normal_interval(self):
        """1,000 values, half 1 and half 0: 0.5 -+ 1.96 sqrt(0.25 / 1000) = 0.469, 0.531."""
        found = bootstrap_mean([0.0, 1.0] * 500)
        assert (found.low, found.high) == (pytest.approx(0.469, abs=2e-3), pytest.approx(0.531, abs=2e-3))
        assert (found.value, found.items, found.clusters) == (0.5, 1000, 1000)

    def test_items_that_repeat_within_their_scan_add_nothing(self):
        once = bootstrap_mean([0.0, 1.0, 1.0, 0.0, 1.0], list("abcde"))
        often = bootstrap_mean(np.repeat([0.0, 1.0, 1.0, 0.0, 1.0], 7), list("aaaaaaabbbbbbbcccccccdddddddeeeeeee"))
        assert (often.value, often.low, often.high) == pytest.approx((once.value, once.low, once.high))
        assert (often.items, often.clusters) == (35, 5)

    def test_the_same_seed_draws_the_same(self):
        rng = np.random.default_rng(1)
        sample = rng.normal(size=50)
        assert bootstrap_mean(sample, seed=3) == bootstrap_mean(sample, seed=3)
        assert bootstrap_mean(sample, seed=3) != bootstrap_mean(sample, seed=4)

    @given(values)
    def test_alike_systems_do_not_differ(self, sample):
        found = paired_bootstrap(sample, sample, resamples=100)
        assert (found.value, found.low, found.high) == (0, 0, 0)

    @given(values, st.floats(-3, 3))
    def test_a_shift_moves_the_interval_by_itself(self, sample, shift):
        plain = bootstrap_mean(sample, resamples=200)
        moved = bootstrap_mean(np.array(sample) + shift, resamples=200)
        assert (moved.low, moved.high) == pytest.approx((plain.low + shift, plain.high + shift), abs=1e-9)

    @given(values)
    def test_which_comes_first_decides_the_sign_alone(self, sample):
        turned = sample[::-1]
        one, other = (paired_bootstrap(*pair, resamples=300) for pair in ((sample, turned), (turned, sample)))
        assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low), abs=1e-9)

    def test_pairing_takes_out_what_both_systems_share(self):
        rng = np.random.default_rng(0)
        hard = rng.normal(size=200)
        first, second = hard + 0.1 + 0.01 * rng.normal(size=200), hard
        found = paired_bootstrap(first, second)
        assert 0.09 < found.low < found.value < found.high < 0.11

    def test_about_95_of_100_intervals_hold_the_truth_only_if_scans_are_drawn(self):
        """Five answers on each of 60 scans, which are right or wrong together in four of five scans."""
        rng = np.random.default_rng(5)
        held = {"scans": 0, "items": 0}
        for _ in range(200):
            together = rng.random((60, 1)) < 0.4
            right = np.where(rng.random((60, 1)) < 0.8, together, rng.random((60, 5)) < 0.4).ravel().astype(float)
            scans = np.repeat(np.arange(60), 5).tolist()
            for name, clusters in (("scans", scans), ("items", None)):
                found = bootstrap_mean(right, clusters, resamples=400)
                held[name] += found.low <= 0.4 <= found.high
        assert 180 <= held["scans"] <= 200
        assert held["items"] < 160

    def test_any_function_of_sums_can_be_estimated(self):
        """3 true and 1 false positive, 2 missed: precision 0.75, recall 0.6, F1 = 6 / 9."""
        counts = np.array([[2, 0, 1], [1, 1, 1]])
        found = bootstrap_sums(counts, lambda sums: 2 * sums[:, 0] / (2 * sums[:, 0] + sums[:, 1] + sums[:, 2]))
        assert found.value == pytest.approx(6 / 9)
        assert (found.low, found.high) == pytest.approx((2 * 1 / (2 + 2), 4 / 5))

    def test_what_is_not_defined_is_said_to_be_so(self):
        found = bootstrap_sums(np.zeros((3, 2)), lambda sums: sums[:, 0] / sums[:, 1])
        assert math.isnan(found.value)
        assert math.isnan(found.low)

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (lambda: bootstrap_mean([]), "no items"),
            (lambda: bootstrap_mean([1.0, math.nan]), "finite"),
            (lambda: bootstrap_mean([1.0, 2.0], ["a"]), "2 items and 1 clusters"),
            (lambda: paired_bootstrap([1.0], [1.0, 2.0]), "one length"),
        ],
    )
    def test_what_cannot_be_estimated_is_refused(self, call, words):
        with pytest.raises(ValueError, match=words):
            call()


class TestStudent:
    @pytest.mark.parametrize(
        ("freedom", "t", "p"),
        [
            (1, 12.706205, 0.05), (2, 4.302653, 0.05), (5, 2.570582, 0.05), (10, 2.228139, 0.05),
            (30, 2.042272, 0.05), (120, 1.979930, 0.05), (4, 4.604095, 0.01), (20, 2.845340, 0.01),
            (10, 1.372184, 0.20), (60, 3.460200, 0.001),
        ],
    )  # fmt: skip
    def test_tails_are_those_of_published_tables(self, freedom, t, p):
        assert t_tail(t, freedom) == pytest.approx(p, rel=2e-6)

    @given(st.floats(0.01, 50))
    def test_tails_with_one_and_two_degrees_have_closed_forms(self, t):
        """One degree is Cauchy's distribution: 1 - 2 atan(t) / pi; two: 1 - t / sqrt(t^2 + 2)."""
        assert t_tail(t, 1) == pytest.approx(1 - 2 * math.atan(t) / math.pi, abs=1e-12)
        assert t_tail(t, 2) == pytest.approx(1 - t / math.sqrt(t * t + 2), abs=1e-12)

    @given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
    def test_the_incomplete_beta_function_sums_a_binomial(self, a, b, x):
        """I_x(a, b) = P(at least a of a + b - 1 succeed), each with probability x."""
        n = a + b - 1
        expected = sum(math.comb(n, k) * x**k * (1 - x) ** (n - k) for k in range(a, n + 1))
        assert incomplete_beta(a, b, x) == pytest.approx(expected, abs=1e-12)

    def test_by_hand(self):
        """Differences 1, 2, 3: mean 2, deviation 1, t = 2 sqrt(3) with two degrees: p = 1 - t / sqrt(14)."""
        found = paired_t_test([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
        assert (found.difference, found.t, found.freedom, found.items) == (2, pytest.approx(2 * math.sqrt(3)), 2, 3)
        assert found.p == pytest.approx(1 - 2 * math.sqrt(3) / math.sqrt(14))

    def test_the_two_sleeping_drugs_of_students_paper(self):
        """Student 1908, hours of sleep gained by ten patients: t = 4.0621 with 9 degrees, p = 0.002833."""
        first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
        second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
        found = paired_t_test(second, first)
        assert (found.t, found.p) == (pytest.approx(4.0621, abs=1e-4), pytest.approx(0.002833, abs=1e-6))

    def test_differences_without_spread(self):
        assert paired_t_test([1.0, 2.0], [1.0, 2.0]).p == 1
        assert paired_t_test([0.3, 1.3, 2.3], [0.2, 1.2, 2.2]).p == 0

    @pytest.mark.parametrize("pair", [([1.0], [2.0]), ([1.0, math.inf], [0.0, 0.0])])
    def test_what_cannot_be_tested_is_refused(self, pair):
        with pytest.raises(ValueError, match="t-test needs"):
            paired_t_test(*pair)


class TestMcNemar:
    def test_by_hand(self):
        """Nine against one: 2 (C(10, 0) + C(10, 1)) / 2^10 = 22 / 1024."""
        found = mcnemar([True] * 9 + [False] + [True] * 5, [False] * 9 + [True] * 6)
        assert (found.only_first, found.only_second, found.items) == (9, 1, 15)
        assert found.p == pytest.approx(22 / 1024)

    def test_no_disagreement_says_nothing(self):
        assert mcnemar([True, False], [True, False]).p == 1

    def test_thousands_of_items_do_not_overflow(self):
        assert 0 < mcnemar([True] * 3000 + [False] * 2500, [False] * 3000 + [True] * 2500).p < 1e-10

    @given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
    def test_is_symmetric(self, pairs):
        first, second = zip(*pairs, strict=True)
        one, other = mcnemar(first, second), mcnemar(second, first)
        assert (one.p, one.only_first) == (other.p, other.only_second)
        assert 0 < one.p <= 1

    def test_of_nothing_is_refused(self):
        with pytest.raises(ValueError, match="no items"):
            mcnemar([], [])


class TestHolm:
    def test_by_hand(self):
        """Sorted .005, .01, .03, .04 times 4, 3, 2, 1: .02, .03, .06, then not below .06."""
        found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
        assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
        assert [*found] == [*"abcd"]

    @given(st.dictionaries(st.text(max_size=3), st.floats(0, 1)))
    def test_never_below_the_p_value_and_never_above_bonferronis(self, p_values):
        for name, corrected in holm(p_values).items():
            assert p_values[name] <= corrected <= min(1, len(p_values) * p_values[name])


class TestCalibration:
    def test_by_hand(self):
        """Two of four right at 0.9 (off by 0.4), one of one right at 0.5 (off by 0.5): (4 x 0.4 + 0.5) / 5."""
        found = calibration([0.9, 0.9, 0.9, 0.9, 0.5], [True, True, False, False, True])
        assert found.error == pytest.approx(0.42)
        assert [(one.low, one.items, one.accuracy) for one in found.bins] == [(0.4, 1, 1.0), (0.8, 4, 0.5)]

    @given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1))
    def test_bins_hold_all_items_and_the_error_is_a_share(self, items):
        found = calibration(*zip(*items, strict=True))
        assert sum(one.items for one in found.bins) == found.items == len(items)
        assert 0 <= found.error <= 1
        for one in found.bins:
            assert one.low - 1e-9 <= one.confidence <= one.high + 1e-9

    @given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.booleans()), min_size=1))
    def test_full_coverage_is_the_accuracy(self, items):
        confidence, right = zip(*items, strict=True)
        curve = accuracy_by_coverage(confidence, right)
        assert curve[-1] == (1.0, pytest.approx(sum(right) / len(right)))
        assert [coverage for coverage, _ in curve] == sorted({coverage for coverage, _ in curve})
        assert len(curve) == len(set(confidence))

    @pytest.mark.parametrize("confidence", [[1.2], [math.nan], []])
    def test_what_is_no_probability_is_refused(self, confidence):
        with pytest.raises(ValueError, match=r"probability|no items"):
            calibration(confidence, [True] * len(confidence))

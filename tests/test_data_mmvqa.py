"""Questions with four options: what stands in them, and what they give away."""

from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, concatenate_datasets, load_from_disk
from hypothesis import given, settings
from hypothesis import strategies as st

from med3d_r1.abnormalities import CHOICE_STEMS, CT_RATE_LABELS
from med3d_r1.data.balanced_options import draw_balanced
from med3d_r1.data.label_tables import PREVALENCES, invented_labels
from med3d_r1.data.mmvqa import draw_items, labels_of, mmvqa_rows, summary
from med3d_r1.data.options_prior import options_only_prior
from med3d_r1.data.rows import as_dataset
from med3d_r1.data.scans import DataWarning, Scan, Volume
from med3d_r1.metrics.statistics import score_of

MODES = [
    (distractors, draw) for distractors in ("negative", "random", "balanced") for draw in ("scan", "positive", "label")
]
TWINS = {"Arterial wall calcification", "Coronary artery wall calcification"}

label_rows = st.lists(st.integers(0, 1), min_size=18, max_size=18).map(tuple)
tables = st.lists(label_rows, max_size=12).map(lambda rows: {f"v{index}": row for index, row in enumerate(rows)})


def present(row):
    return {label for label, value in zip(CT_RATE_LABELS, row, strict=True) if value}


def scans(count=30, seed=0, dataset="CT-RATE"):
    table = invented_labels(count, seed)
    if dataset == "RAD-ChestCT":
        one, other = sorted(CT_RATE_LABELS.index(label) for label in TWINS)
        never = CT_RATE_LABELS.index("Mosaic attenuation pattern")
        table = {
            name: tuple(row[one] if index == other else 0 if index == never else row[index] for index in range(18))
            for name, row in table.items()
        }
    return [
        Scan(dataset, "train", name, name, (Volume(name, Path("/scans") / name),), labels=row, findings="Text.")
        for name, row in table.items()
    ]


class TestAnyQuestion:
    @given(
        tables, st.sampled_from([mode for mode in MODES if mode[0] != "balanced"]), st.integers(1, 3), st.integers(0, 5)
    )
    def test_has_four_options_of_which_the_answer_is_present(self, table, mode, per_scan, seed):
        for item in draw_items(table, distractors=mode[0], draw=mode[1], per_scan=per_scan, seed=seed):
            there = present(table[item["volume"]])
            assert len(set(item["options"])) == len(item["options"]) == 4
            assert item["options"]["ABCD".index(item["answer"])] == item["abnormality"]
            assert item["abnormality"] in there
            if mode[0] == "negative":
                assert len(there & set(item["options"])) == 1

    @settings(max_examples=20)
    @given(st.integers(0, 20), st.sampled_from(["scan", "positive", "label"]))
    def test_is_as_negative_when_balanced(self, seed, draw):
        table = invented_labels(60, seed)
        items = draw_items(table, distractors="balanced", draw=draw, seed=seed)
        for item in items:
            assert len(set(item["options"])) == 4
            assert present(table[item["volume"]]) & set(item["options"]) == {item["abnormality"]}
        askable = [row for row in table.values() if 0 < sum(row) < 16]
        expected = sum(map(sum, askable)) if draw == "positive" else len(askable)
        assert len(items) == expected

    @given(tables, st.sampled_from(["negative", "random"]), st.integers(1, 4), st.integers(0, 5))
    def test_letters_are_even_overall_and_for_each_label(self, table, distractors, per_scan, seed):
        items = draw_items(table, distractors=distractors, draw="positive", per_scan=per_scan, seed=seed)
        assert spread(items) <= 1
        for label in CT_RATE_LABELS:
            assert spread([item for item in items if item["abnormality"] == label]) <= 2

    @given(tables, st.sampled_from([mode for mode in MODES if mode[0] != "balanced"]), st.integers(0, 5))
    def test_is_the_same_for_the_same_seed(self, table, mode, seed):
        first, second = (draw_items(table, distractors=mode[0], draw=mode[1], seed=seed) for _ in range(2))
        assert first == second

    @pytest.mark.parametrize("mode", MODES)
    def test_is_another_for_another_seed(self, mode):
        table = invented_labels(40)
        first, second = (draw_items(table, distractors=mode[0], draw=mode[1], seed=seed) for seed in (0, 1))
        assert first != second
        assert [item["volume"] for item in first] == sorted((item["volume"] for item in first), key=list(table).index)

    @given(tables, st.integers(1, 4))
    def test_is_not_asked_twice(self, table, per_scan):
        items = draw_items(table, per_scan=per_scan)
        asked = Counter((item["volume"], item["abnormality"], frozenset(item["options"])) for item in items)
        assert not asked or max(asked.values()) == 1


def three_errors(score):
    """Three standard errors of a share; its interval is 2 x 1.96 of them wide."""
    return 3 * (score.high - score.low) / (2 * 1.96)


def spread(items):
    counts = Counter(item["answer"] for item in items)
    return max(counts[letter] for letter in "ABCD") - min(counts[letter] for letter in "ABCD")


def table_of(*numbers):
    """Scans with so many abnormalities, the first ones."""
    return {f"v{number}": tuple(int(index < number) for index in range(18)) for number in numbers}


class TestWhichScansAreAsked:
    @pytest.mark.parametrize(
        ("draw", "per_scan", "counts"),
        [("scan", 1, (1, 1)), ("scan", 4, (4, 4)), ("positive", 1, (2, 5)), ("positive", 2, (4, 10))],
    )
    def test_how_often(self, draw, per_scan, counts):
        items = draw_items(table_of(2, 5), draw=draw, per_scan=per_scan)
        volumes = Counter(item["volume"] for item in items)
        assert (volumes["v2"], volumes["v5"]) == counts

    def test_labels_in_turn_with_several_questions_a_scan(self):
        items = draw_items(table_of(3), per_scan=7)
        labels = Counter(item["abnormality"] for item in items)
        assert sorted(labels.values()) == [2, 2, 3]

    def test_by_label_all_are_equally_often_true(self):
        table = invented_labels(400)
        items = draw_items(table, draw="label", per_scan=5)
        shares = np.array(list(Counter(item["abnormality"] for item in items).values())) / len(items)
        assert len(shares) == 18
        assert abs(shares - 1 / 18).max() < 0.02

    def test_not_those_without_an_abnormality_or_with_too_many(self):
        table = table_of(0, 15, 16, 18)
        assert {item["volume"] for item in draw_items(table)} == {"v15"}
        assert {item["volume"] for item in draw_items(table, distractors="random")} == {"v15", "v16", "v18"}
        assert draw_items(table_of(0, 16)) == draw_items({}) == []


class TestRadChestCT:
    @pytest.mark.parametrize("mode", MODES)
    def test_twins_never_stand_together(self, mode):
        rows = mmvqa_rows(scans(200, dataset="RAD-ChestCT"), distractors=mode[0], draw=mode[1])
        assert not any(set(row["options"]) >= TWINS for row in rows)
        assert any(set(row["options"]) & TWINS for row in rows)

    def test_what_is_not_labelled_is_an_option_only_of_the_papers_mode(self):
        asked = {
            distractors: {
                o
                for row in mmvqa_rows(scans(100, dataset="RAD-ChestCT"), distractors=distractors)
                for o in row["options"]
            }
            for distractors in ("negative", "balanced", "random")
        }
        assert ["Mosaic attenuation pattern" in options for options in asked.values()] == [False, False, True]

    def test_a_scan_with_too_few_absent_ones_besides_a_twin_is_left_out(self):
        """Absent are both calcifications, Mosaic attenuation and one more: only two can stand beside the true label."""
        absent = {*TWINS, "Mosaic attenuation pattern", "Emphysema"}
        table = {"v": tuple(int(label not in absent) for label in CT_RATE_LABELS)}
        assert draw_items(table, dataset="RAD-ChestCT") == []
        assert len(draw_items(table, dataset="CT-RATE")) == 1


class TestBalanced:
    @pytest.mark.parametrize("draw", ["scan", "positive", "label"])
    @pytest.mark.parametrize("grouped", [0.2, 0.8])
    def test_options_give_nothing_away_on_fresh_scans(self, draw, grouped):
        """Labels of 3 % to 50 %, which hardly or strongly go together: a guesser fitted to the options of one table, on
        another. With labels balanced one by one only, it would reach 47 % where they go together."""
        train, test = (
            draw_items(
                invented_labels(2500, seed, grouped=grouped, shared=0.1), distractors="balanced", draw=draw, seed=seed
            )
            for seed in (1, 2)
        )
        score = options_only_prior(train, test)
        assert three_errors(score) < 0.05
        assert abs(score.accuracy - 0.25) < three_errors(score)

    def test_a_table_of_all_sets_gives_nothing_away(self):
        """Who knows which option was right most often for exactly these four, scores a quarter too."""
        table = invented_labels(2000, grouped=0.8, shared=0.1)
        train, test = (draw_items(table, distractors="balanced", per_scan=10, seed=seed) for seed in (0, 1))
        right = defaultdict(Counter)
        for item in train:
            right[frozenset(item["options"])][item["abnormality"]] += 1
        known = [item for item in test if right[frozenset(item["options"])]]
        assert len(known) > 10_000
        guessed = [max(sorted(counts), key=counts.get) for counts in (right[frozenset(i["options"])] for i in known)]
        score = score_of(
            (i["volume"] for i in known), (g == i["abnormality"] for g, i in zip(guessed, known, strict=True))
        )
        assert abs(score.accuracy - 0.25) < three_errors(score)

    @pytest.mark.parametrize("draw", ["scan", "positive", "label"])
    def test_every_label_is_true_in_a_quarter_of_the_questions_in_which_it_stands(self, draw):
        items = draw_items(invented_labels(1000), distractors="balanced", draw=draw, per_scan=4)
        stands, true = Counter(), Counter(item["abnormality"] for item in items)
        for item in items:
            stands.update(item["options"])
        for label in CT_RATE_LABELS:
            assert true[label] / stands[label] == pytest.approx(0.25, abs=4 * (0.1875 / stands[label]) ** 0.5)

    def test_frequencies_are_the_geometric_means(self):
        """Five labels, scans drawn with unequal weights: how often each set is asked, and each of its labels true."""
        rng = np.random.default_rng(0)
        has = rng.random((60, 5)) < (0.2, 0.3, 0.4, 0.5, 0.6)
        weights = rng.random(60)
        means = {}
        for options in combinations(range(5), 4):
            masses = [
                weights[has[:, true] & ~has[:, [o for o in options if o != true]].any(axis=1)].sum() for true in options
            ]
            means[options] = np.prod(masses) ** 0.25
        count = 40_000
        chosen, true, others = draw_balanced(has, weights, np.ones(5), count, rng)
        assert (has[chosen, true]).all()
        assert not has[chosen[:, None], others].any()
        asked = Counter((tuple(sorted((t, *o))), t) for t, o in zip(true.tolist(), others.tolist(), strict=True))
        total = sum(means.values())
        for options, mean in means.items():
            for label in options:
                expected = mean / total / 4
                assert asked[options, label] / count == pytest.approx(
                    expected, abs=4 * (expected / count) ** 0.5 + 1e-9
                )

    def test_one_scan_is_asked_the_same_only_where_too_few_fit(self):
        has = np.repeat(np.eye(4, dtype=bool), 3, axis=0)
        for count, repeated in ((4, False), (100, True)):
            chosen, _, _ = draw_balanced(has, np.ones(12), np.ones(4), count, np.random.default_rng(0))
            assert (max(Counter(chosen.tolist()).values()) > 1) == repeated

    def test_too_few_scans_are_refused(self):
        with pytest.raises(ValueError, match="no balanced question can be asked"):
            draw_items(table_of(1, 2, 3), distractors="balanced")


@pytest.fixture(scope="module")
def floors():
    """Mode -> summary of its questions on one invented table."""
    table = invented_labels(2000, seed=3)
    return {mode: summary(draw_items(table, distractors=mode[0], draw=mode[1], seed=0), table) for mode in MODES}


class TestFloors:
    """An invented table shows what the labels of 1,000 CT-RATE reports showed: the score of always choosing the most
    frequent option is 39 to 41 % (random distractors, each positive), 47 % (negative), 47 and 51 % with a scan first,
    31 % with the label first."""

    @pytest.mark.parametrize(
        ("mode", "low", "high"),
        [
            (("random", "positive"), 0.38, 0.44),
            (("negative", "positive"), 0.45, 0.54),
            (("random", "scan"), 0.41, 0.50),
            (("negative", "scan"), 0.46, 0.55),
            (("negative", "label"), 0.28, 0.36),
        ],
    )
    def test_of_the_other_modes_are_high(self, floors, mode, low, high):
        assert low < floors[mode].most_frequent.accuracy < high
        assert floors[mode].prior.accuracy > 0.27

    @pytest.mark.parametrize("draw", ["scan", "positive", "label"])
    def test_of_balanced_questions_is_a_quarter(self, floors, draw):
        for score in (floors["balanced", draw].prior, floors["balanced", draw].most_frequent):
            assert abs(score.accuracy - 0.25) < three_errors(score)

    def test_only_random_distractors_are_ambiguous(self, floors):
        for (distractors, _), found in floors.items():
            assert (found.ambiguous > 0) == (distractors == "random")
            if distractors == "random":
                assert found.ambiguous / found.items == pytest.approx(found.ambiguous_if_random, abs=0.03)


class TestSummary:
    def test_counts(self):
        """Two scans of one abnormality each, one of three, one of none, one of all but two."""
        table = {"one": 1, "other": 2, "three": 3, "none": 0, "many": 16}
        table = {name: tuple(int(index < number) for index in range(18)) for name, number in table.items()}
        table["other"] = (0, 1, *[0] * 16)
        found = summary(draw_items(table, seed=1), table)
        assert (found.items, found.volumes, found.without_positive, found.few_negatives) == (3, 3, 1, 1)
        assert found.ambiguous == 0
        assert sum(found.letters.values()) == sum(found.abnormalities.values()) == 3
        # C(17, 3) = 680 ways to choose distractors; all are clear beside one positive, C(15, 3) = 455 beside three.
        assert found.ambiguous_if_random == pytest.approx((0 + 0 + (1 - 455 / 680)) / 3)
        assert "not asked about: 1 that have no abnormality, 1 that lack fewer than 3" in str(found)

    def test_finds_what_is_ambiguous(self):
        table = table_of(2)
        items = [
            {
                "volume": "v2",
                "options": list(CT_RATE_LABELS[start : start + 4]),
                "answer": "A",
                "abnormality": CT_RATE_LABELS[start],
            }
            for start in (0, 1)
        ]
        found = summary(items, table)
        assert found.ambiguous == 1

    def test_refuses_what_it_cannot_tell(self):
        with pytest.raises(ValueError, match="two questions"):
            summary(draw_items(table_of(2)), table_of(2))
        with pytest.raises(ValueError, match="not in the table, such as v2"):
            summary(draw_items(table_of(2, 3)), table_of(3))


class TestRows:
    def test_are_what_training_and_evaluation_read(self):
        some = scans(20)
        rows = mmvqa_rows(some, seed=4)
        row = rows[0]
        assert set(row) == {"volume", "images", "prompt", "options", "answer", "abnormality", "report"}
        assert row["images"] == [str(Path("/scans") / row["volume"])]
        assert row["report"] == "Text."
        [message] = row["prompt"]
        image, text = message["content"]
        assert image == {"type": "image"}
        lines = text["text"].splitlines()
        assert lines[0] in CHOICE_STEMS
        assert lines[1:5] == [f"{letter}) {option}" for letter, option in zip("ABCD", row["options"], strict=True)]
        assert "<think>" in lines[5]
        assert {row["prompt"][0]["content"][1]["text"].splitlines()[0] for row in rows} > {CHOICE_STEMS[0]}

    def test_are_the_items_of_the_label_table(self):
        some = scans(20)
        rows = mmvqa_rows(some, distractors="random", draw="positive", seed=2)
        items = draw_items(labels_of(some), distractors="random", draw="positive", seed=2)
        assert [{key: row[key] for key in items[0]} for row in rows] == items

    def test_without_reasoning_and_elsewhere(self):
        rows = mmvqa_rows(scans(5), think=False, images=lambda volume: f"store/{volume.name}.npz")
        assert "<think>" not in str(rows[0]["prompt"])
        assert rows[0]["images"] == [f"store/{rows[0]['volume']}.npz"]

    def test_stock_datasets_save_and_load_them(self, tmp_path):
        rows = mmvqa_rows(scans(5))
        Dataset.from_list(rows).save_to_disk(tmp_path / "rows")
        loaded = load_from_disk(tmp_path / "rows")
        assert loaded["options"][:] == [row["options"] for row in rows]
        assert loaded["images"][:] == [row["images"] for row in rows]

    def test_of_scans_with_and_without_reports_can_be_put_together(self):
        bare = [
            Scan("RAD-ChestCT", "test", s.patient, s.name, s.volumes, s.labels) for s in scans(5, dataset="RAD-ChestCT")
        ]
        parts = [as_dataset(mmvqa_rows(some)) for some in (scans(5), bare)]
        together = concatenate_datasets(parts)
        assert together["report"][0] == "Text."
        assert together["report"][-1] is None

    def test_of_several_datasets_are_refused(self):
        with pytest.raises(ValueError, match="CT-RATE, RAD-ChestCT"):
            mmvqa_rows(scans(3) + scans(3, dataset="RAD-ChestCT"))

    def test_of_unlabelled_scans_are_none_with_a_warning(self):
        bare = [Scan("CT-RATE", "train", "p", f"s{i}", (Volume(f"s{i}", Path("x")),)) for i in range(2)]
        with pytest.warns(DataWarning, match="2 of 2 scans have no labels"):
            assert mmvqa_rows(bare) == []

    def test_of_volumes_that_need_more_than_a_path_are_refused(self):
        volume = Volume("v", Path("x"), {"rescale": (1, -1024)})
        with pytest.raises(ValueError, match=r"path alone \(1\): v\."):
            mmvqa_rows([Scan("CT-RATE", "train", "p", "s", (volume,), (1, *[0] * 17))])


@pytest.mark.parametrize(
    "arguments",
    [
        {"distractors": "hard"},
        {"draw": "patient"},
        {"per_scan": 0},
        {"labels": {"v": (0, 1)}},
        {"labels": {"v": (2,) * 18}},
    ],
)
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match=r"is one of|1 or more|0 or 1"):
        draw_items(**{"labels": table_of(3), **arguments})


def test_invented_tables_have_their_prevalences_and_correlations():
    table = np.array(list(invented_labels(20_000, grouped=0.6).values()))
    assert abs(table.mean(axis=0) - PREVALENCES).max() < 0.02
    correlation = np.corrcoef(table.T)
    same = [correlation[i, j] for i, j in combinations(range(18), 2) if (j - i) % 3 == 0]
    other = [correlation[i, j] for i, j in combinations(range(18), 2) if (j - i) % 3]
    assert min(same) > max(other) > 0

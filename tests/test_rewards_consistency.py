"""The consistency reward with scores from the rules: levels, calibration, rows without a report, what cannot earn."""

import pickle

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.rewards import ConsistencyReward, FindingScorer
from med3d_r1.rewards.consistency import PRESETS
from med3d_r1.rewards.findings import affirmed_findings, agreement, labelled_findings, read_findings
from thinks import as_messages, completion, label_sets, labels, option_lists, report, think


class Scores:
    """A scorer that gives the number which a reasoning is."""

    bounded = False

    def __init__(self):
        self.asked = []

    def __call__(self, reasonings, reports):
        self.asked += zip(reasonings, reports, strict=True)
        return [float(reasoning) for reasoning in reasonings]


def levels_of(reward, scores, reports=None):
    return reward([completion(str(score)) for score in scores], report=reports or ["Report."] * len(scores))


@given(label_sets, option_lists, st.data())
def test_the_layout_of_the_embedded_world_is_read_right(seen, options, data):
    """All names count: those of the list of what is seen and those of the verdicts."""
    affirmed = data.draw(st.frozensets(st.sampled_from(options)))
    assert affirmed_findings(think(seen, options, affirmed)) == seen | affirmed
    assert affirmed_findings(think(seen, options, affirmed).rstrip(".")) == seen | affirmed


@pytest.mark.parametrize(
    ("reasoning", "said", "f1", "precision", "recall"),
    [
        ("Emphysema and a nodule.", "Emphysema. A nodule.", 1, 1, 1),
        ("Emphysema.", "Emphysema. A nodule.", 2 / 3, 1, 1 / 2),
        ("Emphysema, nodule, atelectasis, cardiomegaly.", "Emphysema.", 2 / 5, 1 / 4, 1),
        ("Emphysema.", "A nodule. No emphysema.", 0, 0, 0),
        ("No emphysema. No nodule. No atelectasis.", "Emphysema. No nodule. No atelectasis.", 0, 0, 0),
        ("Nothing is seen.", "The chest is normal.", 1, 1, 1),
        ("No emphysema.", "No emphysema.", 1, 1, 1),
        ("Emphysema.", "The chest is normal.", 0, 0, 0),
        ("Possible emphysema.", "There is emphysema.", 0, 0, 0),  # doubt is no statement
        ("Emphysema and a nodule.", "Possible emphysema. A nodule.", 1, 1, 1),  # neither right nor wrong
        ("A nodule.", "Possible emphysema. A nodule.", 1, 1, 1),
        ("Emphysema.", "Possible emphysema.", 1, 1, 1),
        ("Seen emphysema.\nA emphysema absent\nB nodule absent", "Emphysema.", 1, 1, 1),  # the stronger mention
    ],
)
def test_agreement_by_hand(reasoning, said, f1, precision, recall):
    for measure, expected in (("f1", f1), ("precision", precision), ("recall", recall)):
        assert FindingScorer(measure)([reasoning], [said]) == [pytest.approx(expected)]


@given(label_sets, label_sets, label_sets, st.sampled_from(("f1", "precision", "recall")))
def test_agreement_is_bounded_and_denials_earn_nothing(said, true, denied, measure):
    scorer = FindingScorer(measure)
    denied -= said
    texts = [think(said), think(said) + " " + report([], denied)]
    score, with_denials = scorer(texts, [report(true)] * 2)
    assert 0 <= score <= 1
    assert with_denials == score


@given(label_sets, label_sets, labels, st.sampled_from(("f1", "precision", "recall")))
def test_a_wrong_affirmation_never_helps(said, true, wrong, measure):
    assume(wrong not in true)
    less, more = FindingScorer(measure)([think(said), think(said | {wrong})], [report(true)] * 2)
    assert more <= less


@given(label_sets, label_sets, labels)
def test_a_right_affirmation_never_harms(said, true, right):
    assume(right in true)
    less, more = FindingScorer()([think(said), think(said | {right})], [report(true)] * 2)
    assert more >= less


@given(label_sets, label_sets)
def test_labels_are_a_report_of_their_own(said, true):
    row = [int(label in true) for label in CT_RATE_LABELS]
    said = read_findings(think(said))
    assert agreement(said, labelled_findings(row)) == agreement(said, read_findings(report(true)))


@pytest.mark.parametrize("row", [[1], [2] * 18, []])
def test_rows_that_are_no_labels_are_refused(row):
    with pytest.raises(ValueError, match="18 times 0 or 1"):
        labelled_findings(row)


def test_the_papers_levels_round_scores_down():
    reward = ConsistencyReward(FindingScorer())
    assert (reward.levels, reward.thresholds) == ((0.0, 0.5, 0.8, 1.0), (0.5, 0.8, 1.0))
    reports = ["Emphysema. Nodule. Atelectasis. Cardiomegaly."] * 4
    said = ["Emphysema.", "Emphysema, nodule.", "Emphysema, nodule, atelectasis.", think(affirmed_findings(reports[0]))]
    # F1 by hand: 2/5, 4/6, 6/7, 8/8
    assert reward([completion(text) for text in said], report=reports) == [0.0, 0.5, 0.8, 1.0]


def test_the_releases_levels_cut_the_logit():
    reward = ConsistencyReward(Scores(), thresholds="release")
    scores = [-3, -0.01, 0, 0.19, 0.2, 0.5, 0.99, 1, 1.59, 1.6, 9]
    assert levels_of(reward, scores) == [0, 0, 0.2, 0.2, 0.4, 0.6, 0.6, 0.8, 0.8, 1, 1]
    halves = ConsistencyReward(Scores(), levels=[0, 0.1, 0.2, 0.3, 0.4, 0.5], thresholds="release")
    assert levels_of(halves, [-3, 9]) == [0, 0.5]


def test_thresholds_of_ones_own_and_the_score_itself():
    assert levels_of(ConsistencyReward(Scores(), levels=[0, 1], thresholds=[5]), [4.9, 5]) == [0, 1]
    reward = ConsistencyReward(FindingScorer(), thresholds=None)
    assert reward([completion("Emphysema.")], report=["Emphysema. Nodule."]) == [pytest.approx(2 / 3)]


def test_calibration_puts_the_levels_where_the_scores_are():
    """Scores 0 to 100: the quartiles are 25, 50 and 75."""
    reward = ConsistencyReward.calibrated(Scores(), [(str(score), "Report.") for score in range(101)])
    assert reward.thresholds == (25, 50, 75)
    assert levels_of(reward, [24, 25, 50, 76]) == [0, 0.5, 0.8, 1]
    reward = ConsistencyReward.calibrated(
        Scores(), [("0", "Report."), ("10", "Report.")], quantiles=[0.5], levels=[0, 1]
    )
    assert levels_of(reward, [4.9, 5]) == [0, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"thresholds": "paper"}, "the paper gives no thresholds for scores outside"),
        ({"thresholds": None}, "only scores in \\[0, 1\\]"),
        ({"thresholds": "fine"}, "one of paper, release; got 'fine'"),
        ({"thresholds": [1, 2]}, "each level but the lowest has its threshold"),
        ({"thresholds": [1, 1, 2]}, "thresholds ascend"),
        ({"thresholds": [1, 2, 3], "levels": [0, 0.5, 0.4, 1]}, "levels ascend"),
        ({"thresholds": [1], "levels": [0, 2]}, "levels ascend within"),
        ({"thresholds": "release", "levels": [0, 1]}, "each level but the lowest"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ConsistencyReward(Scores(), **settings)


def test_calibration_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="got none"):
        ConsistencyReward.calibrated(Scores(), [])
    with pytest.raises(ValueError, match="a level between two that are the same could not be reached"):
        ConsistencyReward.calibrated(Scores(), [("1", "Report.")] * 9)
    with pytest.raises(ValueError, match="measure is one of f1, precision, recall"):
        FindingScorer("accuracy")


def test_a_scan_without_a_report_is_not_judged_and_empty_reasoning_is():
    scores = Scores()
    reward = ConsistencyReward(scores, thresholds="release")
    said = ["7", "7", "", " "]
    completions = [*map(completion, said), "<answer>A</answer>", "7"]
    reports = [None, " ", "Report.", "Report.", "Report.", "Report."]
    assert reward(completions, report=reports) == [None, None, 0.0, 0.0, 0.0, 0.0]
    assert scores.asked == []


def test_each_pair_is_scored_once_and_the_score_is_logged():
    scores, logged = Scores(), []
    reward = ConsistencyReward(scores, thresholds="release")
    completions = as_messages(completion(text) for text in ("1", "3", "1"))
    metric = lambda name, value: logged.append((name, value))  # noqa: E731
    assert reward(prompts=None, completions=completions, report=["Report."] * 3, log_metric=metric) == [0.8, 1, 0.8]
    assert scores.asked == [("1", "Report."), ("3", "Report.")]
    assert logged == [("consistency_reward/score", 2.0)]


@pytest.mark.parametrize("answer", [[], [1.0, 1.0], [float("nan")], [float("inf")]])
def test_a_scorer_that_fails_raises(answer):
    reward = ConsistencyReward(type("Broken", (), {"bounded": True, "__call__": lambda self, *_: answer})())
    with pytest.raises(ValueError, match="the scorer gave"):
        reward([completion("Emphysema.")], report=["Emphysema."])


@given(st.permutations(range(5)))
def test_the_order_of_completions_does_not_matter(order):
    texts = ["Emphysema.", "Nodule.", "", "Emphysema and nodule.", "No emphysema."]
    reports = ["Emphysema.", None, "Emphysema.", "Emphysema and cardiomegaly.", "Emphysema."]
    reward = ConsistencyReward(FindingScorer())
    rewards = reward([completion(text) for text in texts], report=reports)
    shuffled = reward([completion(texts[place]) for place in order], report=[reports[place] for place in order])
    assert shuffled == [rewards[place] for place in order]


def test_it_has_a_name_and_travels_to_other_processes():
    reward = ConsistencyReward(FindingScorer(), thresholds=PRESETS["paper"][1])
    assert reward.__name__ == "consistency_reward"
    copy = pickle.loads(pickle.dumps(reward))
    assert copy([completion("Emphysema.")], report=["Emphysema."]) == [1.0]

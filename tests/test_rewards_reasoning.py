"""The two rewards on the reasoning beside the paper's: does it lead to the answer, and is what it sees there?"""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.answers_med3d_r1 import LETTERS
from med3d_r1.rewards import answer_consistency_reward, perception_reward
from med3d_r1.rewards.answer_consistency import _label_of
from med3d_r1.rewards.perception import perception_of
from thinks import as_messages, completion, label_sets, labels, option_lists, report, think

OPTIONS = ["Emphysema", "Lung nodule", "Atelectasis", "Cardiomegaly"]


@pytest.mark.parametrize("label", CT_RATE_LABELS)
def test_every_abnormality_is_read_as_an_option(label):
    assert _label_of(label) == _label_of(label.lower()) == label


@pytest.mark.parametrize(
    ("reasoning", "answer", "reward"),
    [
        ("Emphysema is seen. No nodule.", "A", 1.0),
        ("Emphysema is seen. No nodule.", "B", 0.0),
        ("Emphysema is seen. No nodule.", "Emphysema", 1.0),
        ("Emphysema is seen. No nodule.", "A or B", 0.0),
        ("Emphysema and a nodule.", "A", 1 / 2),
        ("Emphysema, nodule, atelectasis and cardiomegaly.", "D", 1 / 4),
        ("Emphysema and a hiatal hernia.", "A", 1.0),  # the hernia is no option
        ("A hiatal hernia.", "A", 0.0),
        ("No emphysema, no nodule, no atelectasis, no cardiomegaly.", "A", 0.0),
        ("", "A", 0.0),
        ("Likely emphysema. No nodule.", "A", 1.0),  # a suspicion is support where nothing is affirmed
        ("Possible emphysema, possible nodule.", "A", 1 / 2),
        ("Possible emphysema. There is a nodule.", "A", 0.0),
        (think(["Emphysema", "Lung nodule"], OPTIONS, ["Emphysema"]), "A", 1 / 2),  # seen, then denied: affirmed
        (think(["Emphysema"], OPTIONS, ["Emphysema"]), "A", 1.0),
        (think([], OPTIONS, ["Emphysema"]), "C", 0.0),
    ],
)
def test_support_by_hand(reasoning, answer, reward):
    said = completion(reasoning, answer)
    assert answer_consistency_reward([said], options=[OPTIONS]) == [pytest.approx(reward)]
    assert answer_consistency_reward(as_messages([said]), options=[OPTIONS]) == [pytest.approx(reward)]


def test_options_that_the_rules_cannot_read_are_not_judged_whatever_is_said():
    said = [completion("The left lung.", "A"), completion("", "B"), ""]
    options = [["Left lung", "Right lung"], ["Emphysema", "None of these"], ["Emphysema", "Emphysema or a nodule"]]
    assert answer_consistency_reward(said, options=options) == [None, None, None]


@given(label_sets, option_lists, st.integers(0, 3), st.data())
def test_support_is_bounded_and_affirming_more_options_never_helps(seen, options, chosen, data):
    affirmed = data.draw(st.frozensets(st.sampled_from(options)))
    another = data.draw(st.sampled_from([option for option in options if option != options[chosen]]))
    texts = [
        completion(think(seen, options, affirmed), LETTERS[chosen]),
        completion(think(seen, options, affirmed | {another}), LETTERS[chosen]),
        completion(think([], options), LETTERS[chosen]),
        completion(think([]), LETTERS[chosen]),
    ]
    some, more, denied, silent = answer_consistency_reward(texts, options=[options] * 4)
    assert 0 <= more <= some <= 1
    assert denied == silent == 0


@pytest.mark.parametrize(
    ("reasoning", "perception"),
    [
        ("Seen a nodule.\nA emphysema absent\nB lung nodule present", "Seen a nodule."),
        ("Seen a nodule\n  B lung nodule present.\nA emphysema absent", "Seen a nodule"),
        ("A nodule in the lingula.\nA) Emphysema: no.", "A nodule in the lingula."),
        ("There is a nodule.\n(B) fits.", "There is a nodule."),
        ("There is a nodule. Option B fits.", "There is a nodule."),
        ("There is a nodule.\n- A: no emphysema", "There is a nodule."),
        ("A nodule is seen.\nThe heart is large.", "A nodule is seen.\nThe heart is large."),
        ("A emphysema present", ""),
        ("", ""),
    ],
)
def test_what_is_seen_ends_where_the_options_begin(reasoning, perception):
    assert perception_of(reasoning) == perception


@given(label_sets, label_sets, option_lists, st.data())
def test_verdicts_on_options_earn_nothing(seen, true, options, data):
    affirmed = data.draw(st.frozensets(st.sampled_from(options)))
    texts = [completion(think(seen)), completion(think(seen, options, affirmed))]
    plain, with_verdicts = perception_reward(texts, report=[report(true)] * 2)
    assert plain == with_verdicts
    assert 0 <= plain <= 1


@given(label_sets, label_sets, labels)
def test_seeing_what_is_not_there_never_helps(seen, true, wrong):
    assume(wrong not in true)
    texts = [completion(think(seen)), completion(think(seen | {wrong}))]
    less, more = perception_reward(texts, report=[report(true)] * 2)
    assert more <= less


def test_labels_stand_in_for_a_report_and_go_before_it():
    said = [completion("Emphysema.")] * 4
    has_emphysema = [int(label == "Emphysema") for label in CT_RATE_LABELS]
    rewards = perception_reward(
        said, report=[None, "A nodule.", "A nodule.", " "], labels=[has_emphysema, has_emphysema, None, None]
    )
    assert rewards == [1.0, 1.0, 0.0, None]
    assert perception_reward(said) == [None] * 4


def test_no_reasoning_sees_nothing():
    assert perception_reward(["<answer>A</answer>", completion("")], report=["The chest is normal."] * 2) == [0.0, 0.0]


@given(st.permutations(range(4)))
def test_the_order_of_completions_does_not_matter(order):
    texts = [completion(text, "A") for text in ("Emphysema.", "", "Emphysema and a nodule.", "No nodule.")]
    options = [OPTIONS, OPTIONS[::-1], OPTIONS, ["Left lung", "Right lung"]]
    reports = ["Emphysema.", "A nodule.", "Emphysema.", None]
    columns = {"options": options, "report": reports}
    shuffled = {name: [column[place] for place in order] for name, column in columns.items()}
    for reward in (answer_consistency_reward, perception_reward):
        rewards = reward(texts, **columns)
        assert reward([texts[place] for place in order], **shuffled) == [rewards[place] for place in order]

"""MMVQA and its controls, with systems whose scores are known beforehand."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from evaluation_systems import System, by_chance, guessing, layout, present, rows_of, seeing, table
from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.data.mmvqa import draw_items
from med3d_r1.evaluation import mmvqa
from med3d_r1.evaluation.asking import Output
from med3d_r1.evaluation.comparison import compare
from med3d_r1.evaluation.mmvqa import MmvqaResult, evaluate_mmvqa, read_output
from med3d_r1.evaluation.similarity import WordSimilarity

LABELS = table(120)
ROWS = rows_of(LABELS)
TRAIN = draw_items(table(800, seed=2), distractors="balanced", per_scan=2)


def evaluate(system, rows=ROWS, **options):
    return evaluate_mmvqa(system, rows, TRAIN, **{"labels": LABELS, "resamples": 300, **options})


@pytest.fixture(scope="module")
def seen():
    return evaluate(System(seeing(LABELS)), think="both")


def test_who_sees_scores_all_with_the_scan_and_no_more_than_its_share_without(seen):
    """With a swapped scan the seeing system is right where that scan has the true label and no earlier option, and by
    chance where it has none of the options."""
    numbers = seen[True]
    assert numbers.own.accuracy == 1
    partners = {record["item"]: record["scan"] for record in seen.records if record["condition"] == "swapped"}
    expected = []
    for record in seen.records:
        if record["condition"] == "swapped" and record["think"]:
            has = present(LABELS[partners[record["item"]]])
            first = next((place for place, option in enumerate(record["options"]) if option in has), None)
            letter = record["letter"] if first is None else "ABCD"[first]
            expected.append(letter == record["answer"])
    assert numbers.swapped.accuracy == pytest.approx(np.mean(expected))
    assert 0.2 < numbers.swapped.accuracy < 0.5
    difference = numbers.own_minus_swapped
    assert difference.value == pytest.approx(1 - numbers.swapped.accuracy)
    assert 0.4 < difference.low < difference.value < difference.high
    assert (difference.items, difference.clusters) == (len(ROWS), numbers.own.volumes)


def test_the_prior_of_balanced_questions_is_a_quarter(seen):
    prior = seen[True].prior
    assert prior.low < 0.25 < prior.high
    assert seen[True].own_minus_prior.value == pytest.approx(1 - prior.accuracy)


def test_the_prior_of_negative_distractors_is_not():
    train = draw_items(table(800, seed=2))
    found = evaluate_mmvqa(System(guessing), rows_of(LABELS, distractors="negative"), train, resamples=50)
    assert found[True].prior.low > 0.3


def test_the_share_of_swapped_scans_with_the_answer_is_told(seen):
    told = [record for record in seen.records if record["condition"] == "swapped" and record["think"]]
    shares = [LABELS[r["scan"]][CT_RATE_LABELS.index(r["options"]["ABCD".index(r["answer"])])] for r in told]
    assert seen[True].swapped_has_answer == pytest.approx(np.mean(shares))
    assert evaluate(System(guessing), labels=None)[True].swapped_has_answer is None


def test_answers_shuffled_at_random_are_a_quarter_right(seen):
    """The seeing system's own letters, dealt to other questions: nothing of the scan is left in them."""
    own = [record for record in seen.records if record["condition"] == "own" and record["think"]]
    letters = np.random.default_rng(0).permutation([record["letter"] for record in own])
    dealt = dict(zip([record["item"] for record in own], letters, strict=True))
    found = evaluate(System(lambda question: layout(dealt[question.item], question.think)))[True]
    assert found.own.low < 0.25 < found.own.high
    assert found.own_minus_swapped.low <= 0 <= found.own_minus_swapped.high


class TestMutations:
    """What is wrong in the benchmark itself changes the number."""

    def test_a_wrong_parser(self, monkeypatch):
        own = mmvqa.parse_answer

        def first_letter(text, options, think):
            """Takes the first capital A to D anywhere, as of "<think>A emphysema ..."."""
            return replace(own(text, options, think), letter=next((c for c in text if c in "ABCD"), None))

        def reasoned(question):
            verdicts = "\n".join(f"{x} {option}" for x, option in zip("ABCD", question.options, strict=True))
            letter = seeing(LABELS)(question).partition("<answer>")[2][0]
            return layout(letter, question.think, verdicts)

        assert evaluate(System(reasoned))[True].own.accuracy == 1
        monkeypatch.setattr(mmvqa, "parse_answer", first_letter)
        assert evaluate(System(reasoned))[True].own.high < 0.4

    def test_a_shifted_label(self):
        shifted = [{**row, "answer": "ABCD"[("ABCD".index(row["answer"]) + 1) % 4]} for row in ROWS]
        assert evaluate(System(seeing(LABELS)), shifted)[True].own.accuracy == 0

    def test_a_swapped_option(self):
        """The options are turned by one behind the prompt's back: letters then stand for other options."""
        turned = [{**row, "options": [*row["options"][1:], row["options"][0]]} for row in ROWS]
        assert evaluate(System(seeing(LABELS)), turned)[True].own.accuracy == 0

    def test_answers_that_come_from_elsewhere_than_the_scan(self):
        """It knows the answers by heart: all right, and nothing of it is owed to the scan."""
        answers = {mmvqa.item_id(row): row["answer"] for row in ROWS}
        numbers = evaluate(System(lambda question: layout(answers[question.item], question.think)))[True]
        assert numbers.own.accuracy == 1
        assert numbers.own_minus_swapped.value == 0


def test_reasoning_is_compared_with_the_report(seen):
    """The seeing system says what the report says: precision, recall and F1 are 1 but for what `findings_in` misreads
    in "Seen a, b."; without reasoning there is nothing to compare."""
    agreement = seen[True].agreement
    assert agreement.items == len(ROWS)
    assert agreement.f1.value > 0.95
    assert seen[False].agreement is None
    assert evaluate(System(seeing(LABELS)), rows_of(LABELS, reports=False))[True].agreement is None


def test_agreement_by_hand():
    """Reasonings affirm {emphysema, lung nodule} and {emphysema}, the reports {emphysema, atelectasis} both times:
    2 of 3 right, 2 of 4 found, F1 = 4 / 7."""
    volumes = sorted({row["volume"] for row in ROWS})[:2]
    rows = [next(row for row in ROWS if row["volume"] == volume) for volume in volumes]
    rows = [{**row, "report": "There is emphysema and atelectasis. No lung nodule."} for row in rows]
    seen = {volumes[0]: "Seen emphysema, lung nodule.", volumes[1]: "Seen emphysema."}
    found = evaluate(System(lambda question: layout("A", True, seen[question.scan])), rows)[True].agreement
    assert (found.precision.value, found.recall.value, found.f1.value) == pytest.approx((2 / 3, 2 / 4, 4 / 7))
    assert found.affirmed == 1.5


def test_outputs_that_name_no_option_are_mapped_to_the_most_similar_and_counted():
    rows = [row for row in ROWS if len(row["abnormality"].split()) > 1][:60]

    def answer(question):
        true = {mmvqa.item_id(row): row["abnormality"] for row in rows}[question.item]
        return " ".join(reversed(true.lower().split())) if question.item[0] < "8" else "I cannot tell"

    numbers = evaluate(System(answer), rows)[True]
    silent = sum(mmvqa.item_id(row)[0] >= "8" for row in rows)
    assert (numbers.unanswered, numbers.fallback) == (silent, len(rows) - silent)
    assert numbers.invalid == len(rows)
    assert numbers.own.accuracy == pytest.approx(1 - silent / len(rows))


def test_reasoning_that_nobody_asked_for_is_told():
    found = evaluate(System(lambda question: layout(by_chance(question), question.item < "8")), think="both")
    unasked = sum(mmvqa.item_id(row) < "8" for row in ROWS)
    assert (found[True].unasked, found[False].unasked) == (0, unasked)
    assert f"Without think, {unasked} of {len(ROWS)} outputs reason all the same" in found.markdown()
    assert "all the same" not in evaluate(System(guessing), think="both").markdown()


def test_several_samples_vote():
    similarity = WordSimilarity(["Emphysema", "Atelectasis", "Lung nodule", "Hiatal hernia"])
    options = ["Emphysema", "Atelectasis", "Lung nodule", "Hiatal hernia"]

    def read(*letters):
        return read_output(Output(tuple(layout(x, False) for x in letters)), options, False, similarity)[0]

    assert read("A", "B", "B") == "B"
    assert read("C", "A", "A", "C") == "C"
    assert read("?", "?", "D") == "D"

    found = evaluate(System(lambda question: Output(tuple(layout(x, question.think) for x in "AABA"))))
    assert {record["confidence"] for record in found.records} == {0.75}
    assert found[True].letters["A"] == len(ROWS)


def test_answers_by_probability_stand_beside_the_written_ones():
    """It writes A throughout, and gives the true option the probability e^2 / (e^2 + 3)."""
    answers = {mmvqa.item_id(row): row["answer"] for row in ROWS}

    def answer(question):
        scores = tuple(2.0 * (x == answers[question.item]) for x in "ABCD")
        return Output((layout("A", question.think),), (3,), scores)

    numbers = evaluate(System(answer))[True]
    assert numbers.likeliest.own.accuracy == 1
    assert 0.2 < numbers.own.accuracy < 0.3
    sure, unsure = np.exp(2) / (np.exp(2) + 3), 1 / (np.exp(2) + 3)
    share = numbers.own.accuracy
    assert numbers.calibration.error == pytest.approx(share * (1 - sure) + (1 - share) * unsure, abs=1e-5)
    assert numbers.coverage[0] == (pytest.approx(share), 1.0)


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    whole = evaluate(System(guessing), think="both")
    with pytest.raises(KeyboardInterrupt):
        evaluate(System(guessing, stops_after=101), think="both", folder=tmp_path)
    with (tmp_path / "predictions.jsonl").open("a") as file:
        file.write('{"run": "torn')
    second = System(guessing)
    resumed = evaluate(second, think="both", folder=tmp_path)
    assert len(second.asked) == 4 * len(ROWS) - 101
    assert resumed.to_dict() == whole.to_dict()
    third = System(guessing)
    evaluate(third, think="both", folder=tmp_path)
    assert not third.asked
    other = System(guessing, name="another model")
    evaluate(other, folder=tmp_path)
    assert len(other.asked) == 2 * len(ROWS)


def test_questions_on_one_scan_are_asked_together():
    system = System(guessing)
    evaluate(system)
    scans = [question.scan for question in system.asked]
    changes = sum(one != other for one, other in pairwise(scans))
    assert changes == len(set(scans)) - 1


def test_a_result_is_loaded_as_it_was_saved(tmp_path, seen):
    files = seen.save(tmp_path)
    loaded = MmvqaResult.load(tmp_path)
    assert loaded.to_dict() == seen.to_dict()
    assert files[1].read_text() == seen.markdown() + "\n"
    stored = json.loads(files[0].read_text())
    assert stored["protocol"]["data"]["items"] == len(ROWS)
    assert stored["numbers"]["think"]["own"]["accuracy"] == 1
    files[0].write_text(json.dumps({**stored, "version": 0}))
    with pytest.raises(ValueError, match="version 0"):
        MmvqaResult.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"mmvqa\.json"):
        MmvqaResult.load(tmp_path / "elsewhere")


def test_the_protocol_tells_data_and_seeds_apart():
    hashes = {
        evaluate(System(guessing), **options).protocol["hash"]
        for options in ({}, {"seed": 1}, {"think": False}, {"rows": ROWS[:-1]}, {"facts": {"split": "test"}})
    }
    assert len(hashes) == 5
    assert evaluate(System(guessing)).protocol == evaluate(System(guessing)).protocol


def test_the_table_has_every_accuracy_beside_its_controls(seen):
    lines = seen.markdown().splitlines()
    header = next(line for line in lines if "own scan" in line)
    assert header == "|  | own scan | swapped scan | own - swapped | options alone |"
    row = next(line for line in lines if line.startswith("| with think |"))
    assert "100.0 [" in row
    assert row.count("[") == 4
    assert "of the swapped scans have the true abnormality too" in seen.markdown()


class TestComparison:
    def test_by_hand(self):
        """The second system is right wherever the first is, and on ten questions more."""
        first = {mmvqa.item_id(row): row["answer"] if number < 40 else "?" for number, row in enumerate(ROWS)}
        second = {mmvqa.item_id(row): row["answer"] if number < 50 else "?" for number, row in enumerate(ROWS)}
        results = [
            evaluate(System(lambda question, letters=letters: layout(letters[question.item], True)))
            for letters in (first, second)
        ]
        found = compare(*results)
        assert found.own.value == pytest.approx(10 / len(ROWS))
        assert 0 < found.own.low < found.own.high
        assert (found.mcnemar.only_first, found.mcnemar.only_second) == (10, 0)
        assert found.mcnemar.p == pytest.approx(2 / 2**10)
        assert found.own_minus_swapped.value == 0

    def test_agreement_is_compared_too(self, seen):
        found = compare(evaluate(System(guessing)), seen)
        assert found.f1.value == pytest.approx(seen[True].agreement.f1.value)

    def test_of_different_questions_is_refused(self, seen):
        with pytest.raises(ValueError, match="different questions"):
            compare(seen, evaluate(System(guessing), ROWS[:-2]))

    def test_of_different_partners_is_refused(self, seen):
        with pytest.raises(ValueError, match="seeds"):
            compare(seen, evaluate(System(guessing), seed=1))

    def test_of_what_was_not_measured_is_refused(self, seen):
        with pytest.raises(ValueError, match="second result was not measured without"):
            compare(seen, evaluate(System(guessing)), think=False)


def test_rows_that_cannot_be_measured_are_refused():
    with pytest.raises(ValueError, match="no questions"):
        evaluate(System(guessing), [])
    with pytest.raises(ValueError, match="asked twice"):
        evaluate(System(guessing), [*ROWS, ROWS[0]])
    with pytest.raises(ValueError, match="swapped between patients"):
        evaluate(System(guessing), patients=dict.fromkeys(LABELS, "one"))


def test_a_system_that_leaves_questions_out_is_refused():
    class Lazy(System):
        def predict(self, questions):
            yield from list(super().predict(questions))[1:]

    with pytest.raises(ValueError, match="left 1 of"):
        evaluate(Lazy(guessing))


def test_letters_of_chance_are_even():
    """What the other tests rest on."""
    counts = [by_chance(question) for question in _asked()]
    assert max(counts.count(x) for x in "ABCD") < 0.35 * len(counts)


def _asked():
    system = System(guessing)
    evaluate(system)
    return system.asked

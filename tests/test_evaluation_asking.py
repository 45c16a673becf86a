"""What is asked: ids, prompts with and without reasoning, whose scan stands in for whose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.evaluation.asking import content_hash, item_id, patient_of, prompt_of, swapped_scans
from med3d_r1.prompts_med3d_r1 import question_messages

OPTIONS = ["Emphysema", "Atelectasis", "Lung nodule", "Hiatal hernia"]


def row(think=True, volume="valid_1_a_1.nii.gz", answer="A", stem="Which is seen?"):
    prompt = question_messages(stem, OPTIONS, think=think)
    return {"volume": volume, "options": OPTIONS, "answer": answer, "prompt": prompt}


@pytest.mark.parametrize("made_with", [True, False])
@pytest.mark.parametrize("think", [True, False])
def test_a_prompt_asks_for_reasoning_or_not_whatever_the_row_does(made_with, think):
    assert prompt_of(row(made_with), think) == question_messages("Which is seen?", OPTIONS, think=think)


def test_an_item_is_the_same_with_and_without_reasoning():
    assert item_id(row(True)) == item_id(row(False))


@pytest.mark.parametrize("other", [{"volume": "valid_2_a_1.nii.gz"}, {"answer": "B"}, {"stem": "What is there?"}])
def test_another_question_is_another_item(other):
    assert item_id(row(**other)) != item_id(row())


def test_a_prompt_with_other_instructions_is_refused():
    strange = row()
    strange["prompt"][-1]["content"][-1]["text"] += " Thank you."
    with pytest.raises(ValueError, match="ends with"):
        prompt_of(strange, think=False)


def test_hashes_do_not_depend_on_the_order():
    assert content_hash(["b", {"x": 1, "y": 2}]) == content_hash([{"y": 2, "x": 1}, "b"])
    assert content_hash(["a"]) != content_hash(["b"])


def test_patients_of_ct_rate_stand_in_its_names():
    assert patient_of("train_7_b_2.nii.gz") == "train_7"
    assert patient_of("invented_7_a_1") == "invented_7_a_1"


@given(st.lists(st.integers(1, 4), min_size=2, max_size=30), st.integers(0, 5))
def test_everybody_gets_a_scan_of_somebody_else_and_each_scan_is_taken_once(counts, seed):
    patients = {f"p{p}s{s}": f"p{p}" for p, count in enumerate(counts) for s in range(count)}
    if 2 * max(counts) > len(patients):
        with pytest.raises(ValueError, match="half"):
            swapped_scans(patients, seed)
        return
    partners = swapped_scans(patients, seed)
    assert sorted(partners) == sorted(partners.values()) == sorted(patients)
    assert all(patients[scan] != patients[partner] for scan, partner in partners.items())
    assert partners == swapped_scans(dict(reversed(patients.items())), seed)


def test_another_seed_swaps_otherwise():
    patients = {str(number): str(number) for number in range(40)}
    assert swapped_scans(patients, 0) != swapped_scans(patients, 1)

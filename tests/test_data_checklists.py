"""Checklists and conversations of yes and no: what is asked, what is answered, and that rows are ordinary ones."""

import re
from functools import partial

import numpy as np
import pytest

from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.data.checklists import checklist_rows, draw_names, yes_no_rows
from med3d_r1.data.rows import as_dataset, report_rows
from med3d_r1.data.scans import DataWarning, Scan, Volume


def scan(name: str, *present: str, dataset: str = "CT-RATE", labelled: bool = True) -> Scan:
    volumes = tuple(Volume(f"{name}_{number}", f"/{name}_{number}") for number in (1, 2))
    labels = tuple(int(label in present) for label in CT_RATE_LABELS)
    return Scan(dataset, "train", name, name, volumes, labels if labelled else None, findings="No nodule.")


SCANS = [scan("a", "Emphysema", "Lung nodule"), scan("b"), scan("c", *CT_RATE_LABELS)]
PRESENT = {"a": {"emphysema", "lung nodule"}, "b": set(), "c": {label.lower() for label in CT_RATE_LABELS}}


def text_of(row) -> str:
    return row["prompt"][0]["content"][1]["text"]


def test_a_full_checklist_goes_through_all_findings_in_official_order():
    rows = checklist_rows(SCANS, full_share=1.0)
    assert [row["images"] for row in rows] == [[f"/{name}_{number}"] for name in "abc" for number in (1, 2)]
    for row in rows:
        answer = row["completion"][0]["content"].removeprefix("<answer>").removesuffix(".</answer>")
        verdicts = [entry.rsplit(" ", 1) for entry in answer.split(", ")]
        assert [name.lower() for name, _ in verdicts] == [label.lower() for label in CT_RATE_LABELS]
        present = {name.lower() for name, verdict in verdicts if verdict == "present"}
        assert present == PRESENT[row["images"][0][1]]
        assert row["abnormal_spans"] == []


def test_a_short_checklist_answers_what_it_asks():
    for row in checklist_rows(SCANS, full_share=0.0, per_volume=3, volumes="first"):
        asked = re.search(r"scan: (.*)\.$", text_of(row).splitlines()[0])[1].split(", ")
        answered = re.findall(r"([a-z ]+) (present|absent)", row["completion"][0]["content"].lower())
        assert [name.strip() for name, _ in answered] == asked
        assert 6 <= len(set(asked)) == len(asked) <= 12
        assert {name.strip() for name, verdict in answered if verdict == "present"} == PRESENT[
            row["images"][0][1]
        ].intersection(asked)


def test_a_conversation_of_yes_and_no():
    """Six questions: the first is the prompt, with the scan; the completion alternates and begins and ends with an
    answer, so it holds 6 answers and 5 questions, as plain text and without a scan."""
    for row in yes_no_rows(SCANS, volumes="first"):
        assert [block["type"] for block in row["prompt"][0]["content"]] == ["image", "text"]
        assert [message["role"] for message in row["completion"]] == ["assistant", "user"] * 5 + ["assistant"]
        questions = [text_of(row), *(message["content"] for message in row["completion"][1::2])]
        names = [max((label.lower() for label in CT_RATE_LABELS if label.lower() in question), key=len)
                 for question in questions]  # fmt: skip
        assert len(set(names)) == 6
        for name, answer in zip(names, row["completion"][::2], strict=True):
            assert answer["content"] == f"<answer>{'Yes' if name in PRESENT[row['images'][0][1]] else 'No'}.</answer>"


def test_names_are_half_of_each_kind_while_they_last():
    statuses = {label: index < 9 for index, label in enumerate(CT_RATE_LABELS)}
    drawn = [draw_names(statuses, 6, np.random.default_rng(seed)) for seed in range(300)]
    share = np.mean([statuses[name] for names in drawn for name in names])
    assert 0.45 < share < 0.55
    assert all(len({*names}) == 6 for names in drawn)
    few = draw_names({"Emphysema": True, "Atelectasis": False}, 6, np.random.default_rng(0))
    assert sorted(few) == ["Atelectasis", "Emphysema"]


def test_what_a_data_set_never_says_is_not_asked():
    """RAD-ChestCT has no label for the mosaic attenuation pattern: 17 verdicts."""
    (row,) = checklist_rows([scan("a", dataset="RAD-ChestCT")], full_share=1.0, volumes="first")
    assert row["completion"][0]["content"].count("absent") == 17
    assert "osaic" not in row["completion"][0]["content"]


def test_rows_are_the_same_again_and_others_with_another_seed():
    short = partial(checklist_rows, SCANS, full_share=0.5, per_volume=4)
    assert short(seed=1) == short(seed=1) != short(seed=2)
    assert yes_no_rows(SCANS, seed=1) == yes_no_rows(SCANS, seed=1) != yes_no_rows(SCANS, seed=2)


def test_rows_go_together_with_those_of_reports():
    pytest.importorskip("datasets")
    kinds = [as_dataset(make(SCANS)) for make in (report_rows, checklist_rows, yes_no_rows)]
    assert kinds[0].features == kinds[1].features == kinds[2].features


def test_unlabelled_scans_are_left_out_and_volumes_must_be_readable():
    with pytest.warns(DataWarning, match=r"1 of 2 scans have no labels"):
        rows = checklist_rows([SCANS[0], scan("d", labelled=False)], volumes="first")
    assert [row["images"] for row in rows] == [["/a_1"]]
    needy = Scan("CT-RATE", "train", "p", "s", (Volume("v", "/v", {"rescale": (1, -1024)}),), SCANS[0].labels)
    with pytest.raises(ValueError, match="cannot be read by their path alone"):
        yes_no_rows([needy])
    assert yes_no_rows([needy], images=lambda volume: "/store/v.npz")[0]["images"] == ["/store/v.npz"]

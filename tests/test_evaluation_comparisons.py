"""Several results against the first, and results in the layout of the paper's tables."""

import json

import pytest

from evaluation_systems import System, guessing, layout, rows_of, seeing, table
from med3d_r1.data.mmvqa import draw_items
from med3d_r1.evaluation.comparisons import compare_folders
from med3d_r1.evaluation.mmvqa import MmvqaResult, evaluate_mmvqa, item_id
from med3d_r1.evaluation.paper_tables import read_tables
from med3d_r1.evaluation.report import evaluate_reports
from med3d_r1.evaluation.result_folders import read_results

LABELS = table(60)
ROWS = rows_of(LABELS)
TRAIN = draw_items(table(300, seed=2), distractors="balanced", per_scan=2)
FACTS = {"dataset": "ct-rate", "split": "validation", "distractors": "balanced"}


def measured(folder, answer, name, *, rows=ROWS, think=True, dataset="ct-rate", predictor=System):
    facts = {**FACTS, "dataset": dataset}
    evaluate_mmvqa(
        predictor(answer, name), rows, TRAIN, think=think, facts=facts, labels=LABELS, resamples=100, folder=folder
    )
    return folder


def right_until(number):
    """Right on the first questions, silent on the others, whatever is shown."""
    letters = {item_id(row): row["answer"] if place < number else "?" for place, row in enumerate(ROWS)}
    return lambda question: layout(letters[question.item], question.think)


EXAMS = [
    {
        "volume": name,
        "images": [f"/scans/{name}"],
        "findings": f"There is {'a nodule' if sum(labels) % 2 else 'no effusion'}.",
        "impression": f"{sum(labels)} findings.",
        "labels": list(labels),
    }
    for name, labels in LABELS.items()
]


def reported(folder, words, name, exams=EXAMS):
    """Writes the same words for every exam."""
    text = f"<finding>{words}</finding>\n<impression>3 findings.</impression>"
    evaluate_reports(System(lambda _: text, name), exams, facts=FACTS, resamples=100, folder=folder)
    return folder


class TestComparisons:
    def test_mmvqa_by_hand(self, tmp_path):
        """Against 40 right ones: 50 and 46. McNemar on 10 : 0 is 2 / 2**10, on 6 : 0 it is 2 / 2**6. Holm takes the
        smaller one twice, and the larger one as it is."""
        folders = [measured(tmp_path / str(count), right_until(count), f"S{count}") for count in (40, 50, 46)]
        found = compare_folders(folders)
        assert found.first == "S40"
        assert [(one.second, one.think) for one in found.mmvqa] == [("S50", True), ("S46", True)]
        better, less = found.mmvqa
        assert better.comparison.own.value == pytest.approx(10 / len(ROWS))
        assert (better.comparison.mcnemar.p, better.p_holm) == pytest.approx((2 / 2**10, 4 / 2**10))
        assert (less.comparison.mcnemar.p, less.p_holm) == pytest.approx((2 / 2**6, 2 / 2**6))
        assert better.comparison.own_minus_swapped.value == 0
        text = found.markdown()
        assert f"{len(ROWS):,} questions on" in text
        assert "| S50, with think | +" in text
        assert "| 10 : 0 |" in text

    def test_both_ways_and_their_files(self, tmp_path):
        folders = [
            measured(tmp_path / name, answer, name, think="both")
            for name, answer in (("S1", guessing), ("S2", seeing(LABELS)))
        ]
        found = compare_folders(folders)
        assert [one.think for one in found.mmvqa] == [True, False]
        files = found.save(tmp_path / "out")
        stored = json.loads(files[0].read_text())
        assert stored["mmvqa"][1]["comparison"]["own"]["value"] == pytest.approx(found.mmvqa[1].comparison.own.value)
        assert {*stored["protocol"]["results"]} == {"S1", "S2"}
        assert files[1].read_text() == found.markdown() + "\n"

    def test_reports_are_tested_as_in_table_2(self, tmp_path):
        """One system and the same again: no difference, p = 1. Another: Holm over both comparisons' metrics."""
        pytest.importorskip("sacrebleu")
        words = ("There is a nodule.", "There is a nodule.", "Heart and lungs.")
        folders = [reported(tmp_path / str(number), text, f"R{number}") for number, text in enumerate(words)]
        found = compare_folders(folders)
        assert {*found.reports} == {"R1", "R2"}
        assert {(one.test.difference, one.test.p) for one in found.reports["R1"].values()} == {(0.0, 1.0)}
        worse = found.reports["R2"]["rouge_1"]
        assert worse.estimate.high < 0
        assert worse.test.p < worse.p_holm < 0.05
        assert f"Holm's correction is over {2 * len(found.reports['R1'])} tests" in found.markdown()
        assert f"{len(EXAMS)} exams" in found.markdown()

    def test_what_cannot_be_compared_is_refused(self, tmp_path):
        first = measured(tmp_path / "first", guessing, "first")
        with pytest.raises(ValueError, match="two results or more"):
            compare_folders([first])
        with pytest.raises(ValueError, match="given twice"):
            compare_folders([first, first])
        with pytest.raises(FileNotFoundError, match=r"neither mmvqa\.json nor report\.json"):
            compare_folders([first, tmp_path])
        with pytest.raises(ValueError, match="different questions"):
            compare_folders([first, measured(tmp_path / "fewer", guessing, "fewer", rows=ROWS[:-2])])
        with pytest.raises(ValueError, match="the other way round"):
            compare_folders([first, measured(tmp_path / "direct", guessing, "direct", think=False)])

    def test_results_of_another_kind_are_left_out_and_nothing_in_common_is_told(self, tmp_path):
        pytest.importorskip("sacrebleu")
        first = measured(tmp_path / "first", guessing, "first")
        other = reported(tmp_path / "reports", "Clear.", "other")
        assert [*read_results([first, other], MmvqaResult)] == [str(first)]
        with pytest.raises(ValueError, match="nothing to compare"):
            compare_folders([first, other])


class WithWeights(System):
    def describe(self):
        return {**super().describe(), "weights_sha256": f"of {self.answer.__name__}"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    return [
        measured(folder / "s1", guessing, "S1", think="both"),
        measured(folder / "s2", seeing(LABELS), "S2", think=True),
        measured(folder / "s2-direct", seeing(LABELS), "S2", think=False),
        measured(folder / "s2-rad", seeing(LABELS), "S2", think=True, dataset="rad-chestct", rows=ROWS[:80]),
    ]


class TestPaperTables:
    def test_the_layout_is_table_1_with_its_controls(self, folders):
        lines = read_tables(folders).markdown().splitlines()
        header = next(line for line in lines if line.startswith("|"))
        assert header == (
            "|  | CT-RATE, with think | CT-RATE, without think | RAD-ChestCT, with think | RAD-ChestCT, without think |"
        )
        start = next(place for place, line in enumerate(lines) if line.startswith("| **S2** |"))
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start : start + 4]]
        assert [row[0] for row in rows] == ["**S2**", "... swapped scan", "... own - swapped", "... options alone"]
        assert rows[0][1].startswith("100.0 [")
        assert all(row[4] == "-" for row in rows)
        assert all("[" in cell for row in rows for cell in row[1:4])
        assert any(
            line.startswith(f"- CT-RATE: {len(ROWS)} questions on") and "distractors balanced" in line for line in lines
        )
        assert not any("all the same" in line for line in lines)
        assert any(line.startswith("- RAD-ChestCT: 80 questions on") for line in lines)

    def test_numbers_are_those_of_the_results(self, folders, tmp_path):
        files = read_tables(folders).save(tmp_path)
        stored = json.loads(files[0].read_text())["mmvqa"]
        assert [(one["system"], one["dataset"], one["think"]) for one in stored] == [
            ("S1", "ct-rate", True),
            ("S1", "ct-rate", False),
            ("S2", "ct-rate", True),
            ("S2", "ct-rate", False),
            ("S2", "rad-chestct", True),
        ]
        assert stored[1]["own"]["accuracy"] == MmvqaResult.load(folders[0])[False].own.accuracy

    def test_reasoning_that_nobody_asked_for_is_told(self, tmp_path):
        folder = measured(tmp_path / "s", lambda _: layout("A", True), "S", think=False)
        told = f"- S, CT-RATE, without think: {len(ROWS)} of {len(ROWS)} outputs reason all the same"
        assert told in read_tables([folder]).markdown()

    def test_reports_have_a_table_too(self, tmp_path):
        pytest.importorskip("sacrebleu")
        folders = [reported(tmp_path / name, name, name) for name in ("Clear.", "A nodule.")]
        text = read_tables(folders).markdown()
        assert "# Reports: CT-RATE" in text
        assert text.count("... swapped scan") == text.count("... own - swapped") == 2
        assert "| METEOR |" in text

    def test_columns_and_cells_that_would_mislead_are_refused(self, folders, tmp_path):
        fewer = measured(tmp_path / "fewer", guessing, "S3", rows=ROWS[:-2])
        with pytest.raises(
            ValueError, match=rf"questions or exams of CT-RATE \({len(ROWS)} .*{len(ROWS) - 2} questions"
        ):
            read_tables([*folders, fewer])
        again = measured(tmp_path / "again", guessing, "S1")
        with pytest.raises(ValueError, match="the same system in the same way"):
            read_tables([*folders, again])
        one = measured(tmp_path / "one", guessing, "S", predictor=WithWeights)
        other = measured(tmp_path / "other", by_heart, "S", think=False, predictor=WithWeights)
        with pytest.raises(ValueError, match="call two models 'S'"):
            read_tables([one, other])


def by_heart(question):
    return layout("A", question.think)

"""The report benchmark, with systems whose reports are known beforehand."""

import json

import numpy as np
import pytest
from huggingface_hub import ModelCard, ModelCardData

from evaluation_systems import System, present, report_of, table
from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.evaluation import report
from med3d_r1.evaluation.model_card import card_entries
from med3d_r1.evaluation.report import ReportResult, compare_reports, evaluate_reports
from med3d_r1.evaluation.report_findings import compare_findings, findings_of
from med3d_r1.evaluation.tables import differences_markdown
from med3d_r1.metrics.crg import crg

LABELS = {name: labels for name, labels in table(60).items() if 0 < sum(labels) < 4}
ROWS = [
    {
        "volume": name,
        "images": [f"/scans/{name}"],
        "findings": report_of(labels),
        "impression": f"{sum(labels)} findings.",
        "labels": list(labels),
    }
    for name, labels in LABELS.items()
]


def written(labels, impression):
    return f"<finding>{report_of(labels)}</finding>\n<impression>{impression}</impression>"


def seeing(question):
    labels = LABELS[question.scan]
    return written(labels, f"{sum(labels)} findings.")


def same_for_all(question):
    return written(LABELS[ROWS[0]["volume"]], "3 findings.")


def half_seeing(question):
    """Leaves out every second finding."""
    kept = sorted(present(LABELS[question.scan]))[::2]
    return " ".join(f"There is {name.lower()}." for name in kept)


def evaluate(answer, rows=ROWS, **options):
    return evaluate_reports(System(answer), rows, **{"resamples": 200, **options})


@pytest.fixture(scope="module")
def seen():
    return evaluate(seeing, facts={"dataset": "ct-rate", "split": "validation"})


def test_who_sees_writes_the_reference_and_with_a_swapped_scan_another(seen):
    numbers = seen.numbers
    assert numbers.own["bleu_4"] == pytest.approx(1)
    assert numbers.own["rouge_l"] == pytest.approx(1)
    assert numbers.swapped["rouge_l"] < 0.9
    assert numbers.own_minus_swapped["rouge_l"].low > 0.1
    assert (numbers.invalid, numbers.exams) == (0, len(ROWS))
    assert numbers.findings.f1.value == pytest.approx(1)
    assert numbers.findings.crg.value == pytest.approx(1)
    assert numbers.findings_swapped.f1.high < 0.7


def test_who_never_looks_owes_nothing_to_the_scan():
    numbers = evaluate(same_for_all).numbers
    assert numbers.own["rouge_1"] > 0.3  # as all reports have words in common
    assert all(difference.value == difference.high == 0 for difference in numbers.own_minus_swapped.values())


def test_findings_are_counted_as_in_the_metrics():
    found = evaluate(half_seeing)
    said = np.array([record["said_labels"] for record in found.of("own")])
    true = np.array([record["labels"] for record in found.of("own")])
    assert found.numbers.findings.crg.value == pytest.approx(crg(said, true))
    assert found.numbers.findings.precision.value == pytest.approx(1)
    assert found.numbers.findings.recall.value == pytest.approx((said & true).sum() / true.sum())
    assert found.numbers.invalid == len(ROWS)


def test_findings_of_two_results_are_compared_exam_by_exam(seen):
    """One names half of them: recall falls by as much, precision stays, and each exam meets itself."""
    half, full = evaluate(half_seeing).of("own"), seen.of("own")
    difference = compare_findings(full, half, resamples=200)
    one, other = (findings_of(records, resamples=200) for records in (full, half))
    for name in ("precision", "recall", "f1", "crg"):
        assert getattr(difference, name).value == pytest.approx(getattr(other, name).value - getattr(one, name).value)
    assert difference.recall.high < 0
    assert difference.precision.value == difference.precision.low == 0
    assert compare_findings(half, half, resamples=200).crg.high == 0
    with pytest.raises(ValueError, match="different exams"):
        compare_findings(full[1:], half)
    bare = [{**record, "labels": None} for record in full]
    with pytest.raises(ValueError, match="no exam has labels"):
        compare_findings(bare, bare)


def test_exams_without_labels_have_no_findings():
    rows = [{**row, "labels": None} for row in ROWS]
    assert evaluate(seeing, rows).numbers.findings is None


def test_reference_reports_are_not_in_the_result(seen, tmp_path):
    """The swapped reports are other exams' here, so a system that writes something else is asked."""
    found = evaluate(lambda question: "<finding>Clear.</finding><impression>Normal.</impression>")
    files = found.save(tmp_path)
    assert all("There is" not in file.read_text() for file in files)


def test_a_result_is_loaded_as_it_was_saved(seen, tmp_path):
    files = seen.save(tmp_path)
    assert [file.name for file in files] == ["report.json", "report.md", "report-records.jsonl"]
    loaded = ReportResult.load(tmp_path)
    assert loaded.to_dict() == seen.to_dict()
    assert "| own scan | 100.00 |" in files[1].read_text()
    stored = json.loads(files[0].read_text())
    files[0].write_text(json.dumps({**stored, "version": 0}))
    with pytest.raises(ValueError, match="version 0"):
        ReportResult.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"report\.json"):
        ReportResult.load(tmp_path / "elsewhere")


def test_scores_of_models_are_further_metrics():
    class Even:
        name = "all alike"

        def __call__(self, hypotheses, references):
            return [0.5] * len(hypotheses)

    found = evaluate(seeing, scorers={"bert_score": Even(), "llm_score": Even()})
    assert found.numbers.own["bert_score"] == 0.5
    assert found.numbers.own_minus_swapped["bert_score"].value == 0
    assert found.protocol["scorers"]["bert_score"] == "all alike"
    assert "| BERTScore-F1 | LLM score |" in found.markdown()


def test_two_results_are_compared_exam_by_exam(seen):
    differences = compare_reports(evaluate(half_seeing), seen)
    rouge = differences["rouge_1"]
    assert rouge.estimate.low > 0
    assert rouge.test.p <= rouge.p_holm < 0.05
    assert rouge.test.items == len(ROWS)
    assert "| ROUGE-1 | +" in differences_markdown(differences)
    with pytest.raises(ValueError, match="different exams"):
        compare_reports(evaluate(seeing, ROWS[:-1]), seen)


def test_one_report_is_no_corpus():
    with pytest.raises(ValueError, match="two exams or more"):
        evaluate(seeing, ROWS[:1])


def test_scans_without_a_report_make_no_rows(tmp_path):
    from med3d_r1.data.ct_rate import read_ct_rate
    from med3d_r1.data.phantom import write_ct_rate_tree

    scans = read_ct_rate(write_ct_rate_tree(tmp_path / "tree", {"validation": 3}, seed=1), "validation")
    rows = report.report_rows(scans)
    assert [row["volume"] for row in rows] == [scan.volumes[0].name for scan in scans]
    assert rows[0]["labels"] == list(scans[0].labels)
    assert len(rows[0]["labels"]) == len(CT_RATE_LABELS)


def test_a_model_card_has_the_controls_too(seen):
    entries = card_entries(seen)
    names = [entry.metric_name for entry in entries]
    assert "bleu_4, own scan" in names
    assert "bleu_4, swapped scan" in names
    card = ModelCard.from_template(
        ModelCardData(model_name="a model", eval_results=entries), template_str="---\n{{ card_data }}\n---\n"
    )
    stored = card.data.to_dict()["model-index"][0]["results"][0]
    assert stored["dataset"]["name"] == "CT-RATE"
    assert stored["dataset"]["split"] == "validation"

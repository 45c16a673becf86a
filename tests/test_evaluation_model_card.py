"""Entries of a model card: never an accuracy without its controls."""

import pytest
from huggingface_hub import ModelCard, ModelCardData

from evaluation_systems import System, guessing, rows_of, table
from med3d_r1.data.mmvqa import draw_items
from med3d_r1.evaluation.mmvqa import evaluate_mmvqa
from med3d_r1.evaluation.model_card import card_entries, save_entries

LABELS = table(40)
TRAIN = draw_items(table(200, seed=2), distractors="balanced", seed=7)


@pytest.mark.parametrize("think", [True, False, "both"])
def test_mmvqa(think):
    facts = {"dataset": "ct-rate", "split": "validation", "distractors": "balanced"}
    result = evaluate_mmvqa(System(guessing), rows_of(LABELS), TRAIN, think=think, facts=facts, resamples=50)
    entries = card_entries(result)
    assert len(entries) == 3 * len(result.numbers)
    for entry, name in zip(entries, ("own scan", "swapped scan", "options alone") * 2, strict=False):
        assert name in entry.metric_name
        assert "balanced distractors" in entry.metric_name
        assert entry.dataset_args["protocol_sha256"] == result.protocol["hash"]
    first = next(iter(result.numbers.values())).own
    assert entries[0].metric_value == pytest.approx(first.accuracy, abs=1e-5)
    data = ModelCardData(model_name="a model", eval_results=entries)
    card = ModelCard.from_template(data, template_str="---\n{{ card_data }}\n---\n")
    metrics = card.data.to_dict()["model-index"][0]["results"][0]["metrics"]
    assert [metric["value"] for metric in metrics] == [entry.metric_value for entry in entries]


def test_the_entries_are_written_as_a_card_has_them(tmp_path):
    facts = {"dataset": "ct-rate", "split": "validation", "distractors": "balanced"}
    result = evaluate_mmvqa(System(guessing, "S2"), rows_of(LABELS), TRAIN, facts=facts, resamples=50)
    head = save_entries(result, tmp_path).read_text()
    card = ModelCard(f"---\n{head}---\n")
    assert card.data.model_name == "S2"
    assert [entry.metric_value for entry in card.data.eval_results] == [e.metric_value for e in card_entries(result)]

"""Results as entries of a model card: huggingface_hub's `EvalResult`, to be put under `model-index`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .mmvqa import MmvqaResult
from .protocol import write_files
from .report import ReportResult
from .result_folders import system_of

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

# The Hub takes "name" or "owner/name" here, so a data set that lies elsewhere has its own name.
_DATASETS = {
    "ct-rate": ("CT-RATE", "ibrahimhamamci/CT-RATE"),
    "rad-chestct": ("RAD-ChestCT", "rad-chestct"),
}
_SYNTHETIC = "synthetic-chests"
"""No data set of the Hub: the patients of `med3d_r1.data.phantom`, in the layout of one of the two."""


def card_entries(result: MmvqaResult | ReportResult) -> list[EvalResult]:
    """One entry for each number that papers print, and one for each of its controls, so that no card has it alone.

    `EvalResult` has no place for an interval; it stands in the name of the metric.
    """
    return _mmvqa_entries(result) if isinstance(result, MmvqaResult) else _report_entries(result)


def save_entries(result: MmvqaResult | ReportResult, folder: str | Path) -> Path:
    """Write model-index.yaml: the entries as they stand in the head of a model card, ready to be pasted there."""
    import yaml
    from huggingface_hub.repocard_data import eval_results_to_model_index

    index = {"model-index": eval_results_to_model_index(system_of(result), card_entries(result))}
    text = yaml.safe_dump(index, sort_keys=False, allow_unicode=True)
    return write_files(folder, {"model-index.yaml": text})[0]


def _mmvqa_entries(result: MmvqaResult) -> list[EvalResult]:
    data = result.protocol["data"]
    entries = []
    for think, numbers in result.numbers.items():
        way = f"MMVQA, {data.get('distractors', 'any')} distractors, {'with' if think else 'without'} think"
        for name, score in (
            ("own scan", numbers.own),
            ("swapped scan", numbers.swapped),
            ("options alone", numbers.prior),
        ):
            interval = f"{name} [{score.low:.3f}, {score.high:.3f}]"
            entries.append(
                _entry(result, "visual-question-answering", "accuracy", f"{way}: {interval}", score.accuracy)
            )
    return entries


def _report_entries(result: ReportResult) -> list[EvalResult]:
    return [
        _entry(result, "image-to-text", metric, f"{metric}, {name}", value)
        for name, scores in (("own scan", result.numbers.own), ("swapped scan", result.numbers.swapped))
        for metric, value in scores.items()
    ]


def _entry(result: MmvqaResult | ReportResult, task: str, metric: str, name: str, value: float) -> EvalResult:
    from huggingface_hub import EvalResult

    data = result.protocol["data"]
    dataset, place = _DATASETS.get(data.get("dataset"), (data.get("dataset", "unnamed"),) * 2)
    if data.get("synthetic") is not None:
        dataset, place = f"Synthetic chests in the layout of {dataset}", _SYNTHETIC
    return EvalResult(
        task_type=task,
        dataset_type=place,
        dataset_name=dataset,
        # The Hub groups entries by data set, configuration and split, and keeps the arguments of the first of a group.
        dataset_config=f"questions-{data['sha256'][:12]}",
        dataset_split=data.get("split"),
        dataset_args={"questions_sha256": data["sha256"], "protocol_sha256": result.protocol["hash"]},
        metric_type=metric,
        metric_name=name,
        metric_value=round(value, 5),
    )


__all__ = ["card_entries", "save_entries"]

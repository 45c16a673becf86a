"""The numbers of a release: each from a result file that `evaluate` wrote about these very weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.ct_rate import REPOSITORY as CT_RATE
from ..evaluation.asking import content_hash
from ..evaluation.mmvqa import MmvqaResult
from ..evaluation.model_card import card_entries
from ..evaluation.report import ReportResult
from .files import ReleaseError

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

RESULTS = {"mmvqa": MmvqaResult, "report": ReportResult}
"""Benchmark -> its results, which lie in a file of its name."""

FOLDER, EVAL_RESULTS = "evaluation", ".eval_results"
_SAME = 5e-6
"""Card entries are rounded to five digits."""


@dataclass(frozen=True)
class Evidence:
    """One measurement of the model.

    Attributes:
        name: of its folder, here and in the repository.
        benchmark: "mmvqa" or "report".
        result: with its protocol.
    """

    name: str
    benchmark: str
    result: MmvqaResult | ReportResult

    @property
    def path(self) -> str:
        """Of the result in the repository."""
        return f"{FOLDER}/{self.name}/{self.benchmark}.json"

    @property
    def data(self) -> dict[str, Any]:
        """What the numbers were measured on, from the protocol."""
        return self.result.protocol["data"]

    @property
    def entries(self) -> list[EvalResult]:
        return card_entries(self.result)

    def texts(self, owner: str) -> dict[str, str]:
        """Path in the repository -> text. What was written about single scans stays at home: names of volumes and
        findings of reports are parts of a data set, and data sets do not allow to pass them on.

        Args:
            owner: repository that is released.
        """
        return {
            self.path: json.dumps(self.result.to_dict(), indent=2) + "\n",
            self.path.replace(".json", ".md"): self.result.markdown() + "\n",
            f"{EVAL_RESULTS}/{self.name}-{self.benchmark}.yaml": self._eval_results(owner),
        }

    def _eval_results(self, owner: str) -> str:
        """The entries as the Hub reads them from `.eval_results/` (huggingface.co/docs/hub/eval-results)."""
        from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
        from huggingface_hub.utils import yaml_dump

        entries = [
            EvalResultEntry(
                dataset_id=CT_RATE if self.data.get("dataset") == "ct-rate" and not self.synthetic else owner,
                task_id=_task(self.benchmark, self.data, entry),
                value=entry.metric_value,
                source_url=f"https://huggingface.co/{owner}",
                source_name=self.path,
                notes=f"{entry.dataset_name}, {entry.dataset_split}; {entry.metric_name}",
            )
            for entry in self.entries
        ]
        return yaml_dump(eval_result_entries_to_yaml(entries), sort_keys=False)

    @property
    def synthetic(self) -> bool:
        """Whether the patients are made by `med3d_r1.data.phantom`."""
        return self.data.get("synthetic") is not None


def _task(benchmark: str, data: Mapping[str, Any], entry: EvalResult) -> str:
    words = f"{benchmark} {data.get('split', '')} {entry.metric_name}".partition("[")[0]
    return "_".join("".join(c if c.isalnum() else " " for c in words.lower()).split())


def read_evidence(
    folders: Sequence[Path], weights: Callable[[str], str], preprocessing: Mapping[str, Any]
) -> list[Evidence]:
    """The results in these folders, each made sure to be of the model that is released.

    Args:
        folders: as `med3d-r1 evaluate --out` wrote them.
        weights: dtype -> hash of the model's weights in it, as in the protocol of a result.
        preprocessing: the settings of the model's image processor.

    Raises:
        ReleaseError: a folder holds no result, or one that was changed by hand, or one of another model.
    """
    found: list[Evidence] = []
    for folder in folders:
        here = [name for name in RESULTS if (folder / f"{name}.json").is_file()]
        if not here:
            names = " or ".join(f"{name}.json" for name in RESULTS)
            raise ReleaseError(f"{folder}: no result there, it has no {names}; give the --out of `med3d-r1 evaluate`")
        if folder.resolve().name in {one.name for one in found}:
            raise ReleaseError(f"{folder}: a second folder of results with this name; rename one of the two")
        for name in here:
            file = folder / f"{name}.json"
            try:
                result = RESULTS[name].load(folder)
            except (KeyError, json.JSONDecodeError, FileNotFoundError) as error:
                raise ReleaseError(f"{file}: broken or without its records ({error}). Measure again") from error
            _require_own(file, result, weights, preprocessing)
            found.append(Evidence(folder.resolve().name, name, result))
    return found


def _require_own(
    file: Path, result: MmvqaResult | ReportResult, weights: Callable[[str], str], preprocessing: Mapping[str, Any]
) -> None:
    protocol = {key: value for key, value in result.protocol.items() if key not in ("hash", "versions")}
    if content_hash([protocol]) != result.protocol["hash"]:
        raise ReleaseError(
            f"{file}: its protocol was changed after it was measured, the hash does not fit. Measure again"
        )
    predictor = result.protocol["predictor"]
    if predictor["kind"] != "med3d-r1":
        raise ReleaseError(
            f"{file}: measured with a system of kind {predictor['kind']!r}, and not with this model. Leave it out"
        )
    own = weights(predictor["dtype"])
    if predictor["weights_sha256"] != own:
        raise ReleaseError(
            f"{file}: measured with the weights {predictor['weights_sha256'][:16]}, this model in "
            f"{predictor['dtype']} has {own[:16]}: the numbers are another model's. Measure this one"
        )
    if predictor["preprocessing"] != preprocessing:
        changed = [key for key in preprocessing if predictor["preprocessing"].get(key) != preprocessing[key]]
        raise ReleaseError(
            f"{file}: measured with another preprocessing than the folder's ({', '.join(changed)}). Measure again"
        )


def require_shown(claims: Sequence[tuple[str, float]], evidence: Sequence[Evidence]) -> None:
    """
    Args:
        claims: (file, number) of a card that somebody wrote before.

    Raises:
        ReleaseError: no result has one of the numbers.
    """
    shown = [entry.metric_value for one in evidence for entry in one.entries]
    for file, value in claims:
        if not any(abs(value - number) <= _SAME for number in shown):
            raise ReleaseError(
                f"{file}: it claims {value:g}, and no result file has that number. Give the folder of the result with "
                "--results, or remove the file: a release writes its card and its evaluation results anew"
            )


__all__ = ["EVAL_RESULTS", "FOLDER", "Evidence", "read_evidence", "require_shown"]

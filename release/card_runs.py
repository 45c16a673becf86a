"""The training on a model card: stage by stage from the records of the runs, then the time and what it ran on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .markdown import text_table
from .runs import BEGAN, MADE, PART, Run

STAGES = {
    "language": "decoder, from nothing, on notes in text",
    "clip": "vision tower: 3D CLIP on scans and reports",
    "sft": "S1: supervised fine-tuning",
    "grpo": "S2: reinforcement learning, GRPO",
}
_DATA = {"ct-rate": "CT-RATE", "rad-chestct": "RAD-ChestCT", "phantom": "synthetic patients"}
_TIES = {
    MADE: "its weights are the released ones, byte by byte",
    BEGAN: "a later stage noted the hash of its model as its beginning",
    PART: "its weights are in the model of a later stage, one by one",
}
_SAID = "**not proven**: whoever released the model says so"
_PLACES = {"data", "output_dir", "model", "volume_store", "feature_store", "vision_weights", "logging_dir", "deepspeed"}
UNKNOWN = "No records of runs were given: this card does not say how the model was trained, or on what."


@dataclass(frozen=True)
class Energy:
    """What whoever releases a model says about its power.

    Attributes:
        watts: mean draw of everything that a run ran on; None: not known.
        grams_per_kwh: CO2 equivalents of a kilowatt-hour where it ran; None: not known.
    """

    watts: float | None = None
    grams_per_kwh: float | None = None

    def kwh(self, runs: Sequence[Run]) -> float | None:
        if self.watts is None or not runs:
            return None
        return self.watts * sum(run.seconds[0] for run in runs) / 3.6e6

    def grams(self, runs: Sequence[Run]) -> float | None:
        kwh = self.kwh(runs)
        return None if kwh is None or self.grams_per_kwh is None else kwh * self.grams_per_kwh


def training_text(runs: Sequence[Run]) -> list[str]:
    if not runs:
        return [UNKNOWN]
    rows = [
        [
            STAGES[run.stage],
            _data(run),
            ", ".join(f"{name} ({count:,})" for name, count in run.facts["trains"].items() if count),
            f"{run.facts['steps']:,}",
            _duration(run),
            _TIES.get(run.tie, _SAID),
        ]
        for run in runs
    ]
    paragraphs = [
        text_table(["stage", "data", "trained (weights)", "steps", "time", "what ties it to this model"], rows),
        "From the record that each run wrote itself. Settings that a recipe leaves out have the defaults of that "
        "version (`med3d-r1 train STAGE --keys`); names of folders are left out here.",
    ]
    return paragraphs + [_details(run) for run in runs]


def hardware_text(runs: Sequence[Run], energy: Energy) -> list[str]:
    if not runs:
        return ["Not told: no records of runs were given. Energy and carbon were not measured."]
    rows = [[STAGES[run.stage], _hardware(run.facts["hardware"]), _duration(run)] for run in runs]
    return [text_table(["stage", "ran on", "time"], rows), _energy_text(runs, energy)]


def _energy_text(runs: Sequence[Run], energy: Energy) -> str:
    kwh, grams = energy.kwh(runs), energy.grams(runs)
    if kwh is None:
        return "Energy and carbon were not measured, and no estimate is given."
    text = (
        f"Energy was not measured. Estimate: {kwh:.3g} kWh, the times above added up at {energy.watts:g} W, a figure "
        "that whoever released the model gave"
    )
    if grams is None:
        return text + ". Carbon: no estimate."
    return text + f"; {grams:.3g} g of CO2 equivalents at {energy.grams_per_kwh:g} g a kWh, given likewise."


def _data(run: Run) -> str:
    if run.stage == "language":
        return "synthetic notes in text, no scans"
    facts, settings = run.facts["data"], run.facts["settings"]
    part = f", split {settings.get('split', 'train')}: {facts['scans']:,} scans, {facts['rows']:,} rows"
    return _DATA[run.dataset] + part


def _duration(run: Run) -> str:
    seconds, complete = run.seconds
    text = f"{seconds / 3600:.1f} h" if seconds >= 7200 else f"{seconds / 60:.1f} min"
    return text if complete else f"at least {text}"


def _hardware(facts: dict[str, Any]) -> str:
    processes = f"{facts['processes']} process" + ("es" if facts["processes"] > 1 else "")
    if not facts["gpus"]:
        return f"{processes}, CPU ({facts['machine']}), {facts['threads']} of {facts['cores']} cores each"
    gpus = sorted({f"{gpu['name']}, {gpu['memory_gb']:g} GB" for gpu in facts["gpus"]})
    return f"{processes}, {len(facts['gpus'])} GPU in sight: {'; '.join(gpus)}"


def _details(run: Run) -> str:
    from huggingface_hub.utils import yaml_dump

    code, facts = run.facts["code"], run.facts
    shown = {key: value for key, value in facts["settings"].items() if key not in _PLACES and not _is_place(value)}
    code_text = f"code {code['version']}, sha256 `{code['sha256'][:16]}`"
    if "revision" in code:
        code_text += f", commit `{code['revision'][:12]}`" + (" with changes" if code["changed_since"] else "")
    libraries = ", ".join(f"{name} {version}" for name, version in facts["libraries"].items())
    hashes = ", ".join(f"{name} `{value[:16]}`" for name, value in facts["data"].items() if isinstance(value, str))
    return "\n\n".join(
        [
            f"<details><summary>{STAGES[run.stage]}: settings, versions, hashes</summary>",
            f"```yaml\n{yaml_dump(shown, sort_keys=False).strip()}\n```",
            f"{code_text}. {libraries}. Data: {hashes}.",
            "</details>",
        ]
    )


def _is_place(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("/", "~", "./", "../"))


__all__ = ["UNKNOWN", "Energy", "hardware_text", "training_text"]

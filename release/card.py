"""The model card: written from the model folder, the records of its runs and its results, and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import __version__
from ..data.ct_rate import REPOSITORY as CT_RATE
from .card_numbers import calibration_is_known, evaluation_text
from .card_runs import Energy, hardware_text, training_text
from .evidence import Evidence
from .files import CODE_SUFFIX, Entry
from .licence import CODE_LICENCE, LICENCE_FILE
from .markdown import text_table
from .runs import PART, Run
from .weights import Stored

CARD = "README.md"
PAPER = "arXiv:2602.01200"
TAGS = ["medical", "radiology", "chest-ct", "3d", "vision-language-model", "reasoning", "med3d-r1", PAPER.lower()]
_CITATION = """```bibtex
@article{lai2026med3d,
  title   = {Med3D-R1: Incentivizing Clinical Reasoning in 3D Medical Vision-Language Models for Abnormality Diagnosis},
  author  = {Lai, Haoran and Jiang, Zihang and Zhang, Kun and Yao, Qingsong and Wang, Rongsheng and He, Zhiyang and
             Tao, Xiaodong and Wei, Wei and Zhou, Shaohua Kevin},
  journal = {arXiv preprint arXiv:2602.01200},
  year    = {2026}
}
```"""


@dataclass(frozen=True)
class CardFacts:
    """All that a card is written from.

    Attributes:
        repo_id: where it goes.
        tag: of the version; None: none is set.
        licence: identifier of the weights' licence.
        base_models: Hub ids of models that it began with, as said.
        config: of the model, as its config.json has it.
        preprocessing: settings of the image processor.
        image_tokens: of a scan.
        stored: the weights.
        files: of the model folder, as they are sent.
        runs, evidence, energy: what is known about training, evaluation, power.
    """

    repo_id: str
    tag: str | None
    licence: str
    base_models: Sequence[str]
    config: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    image_tokens: int
    stored: Stored
    files: Sequence[Entry]
    runs: Sequence[Run]
    evidence: Sequence[Evidence]
    energy: Energy

    @property
    def name(self) -> str:
        return self.repo_id.partition("/")[2]

    @property
    def synthetic(self) -> bool:
        """Whether all runs that are told were on synthetic patients."""
        return bool(self.runs) and all(run.synthetic for run in self.runs)

    @property
    def from_nothing(self) -> bool:
        """Whether it has learnt from nothing but these runs: its vision tower and its decoder come from two of them."""
        return {"clip", "language"} <= {run.stage for run in self.runs if run.tie == PART}


def write_card(facts: CardFacts) -> str:
    """The text of README.md, with the metadata that the Hub reads in front of it."""
    paragraphs = [
        f"---\n{_metadata(facts)}\n---",
        f"# {facts.name}",
        *_summary(facts),
        "## Load it",
        *_loading(facts),
        "## The code that `trust_remote_code` runs",
        *_code(facts),
        "## What it is for, and what not",
        *_use(facts),
        "## How it was trained",
        *training_text(facts.runs),
        "## What it sees of a scan",
        _preprocessing(facts),
        "## Evaluation",
        *evaluation_text(facts.evidence),
        "## Limits",
        _limits(facts),
        "## Hardware, time, energy",
        *hardware_text(facts.runs, facts.energy),
        "## Licence",
        _licence(facts),
        "## Citation",
        _CITATION,
    ]
    return "\n\n".join(paragraphs) + "\n"


def _metadata(facts: CardFacts) -> str:
    from huggingface_hub import ModelCardData

    real = [run.dataset for run in facts.runs if not run.synthetic]
    entries = [entry for one in facts.evidence for entry in one.entries]
    optional: dict[str, Any] = {}
    if facts.licence == "other":
        optional |= {"license_name": "see-license-file", "license_link": LICENCE_FILE}
    if (grams := facts.energy.grams(facts.runs)) is not None:
        optional["co2_eq_emissions"] = {
            "emissions": float(f"{grams:.3g}"),
            "source": "estimate: hours of training x watts x grams a kWh, the last two as stated by the publisher",
            "training_type": "fine-tuning",
        }
    data = ModelCardData(
        license=facts.licence,
        language="en",
        library_name="transformers",
        pipeline_tag="image-text-to-text",
        tags=TAGS + (["synthetic-data"] if facts.synthetic else []),
        base_model=list(facts.base_models) or None,
        datasets=[CT_RATE] if "ct-rate" in real else None,
        model_name=facts.name,
        eval_results=entries or None,
        **optional,
    )
    if not entries:
        data.pop("model_name")
    return data.to_yaml()


def _summary(facts: CardFacts) -> list[str]:
    parts = facts.stored.parts
    text, vision = facts.config["text_config"], facts.config["vision_config"]
    sizes = ", ".join(
        f"{name} {_millions(parts[key])}"
        for key, name in (("vision_tower", "vision tower"), ("bridge", "bridge"), ("language_model", "decoder"))
        if key in parts
    )
    paragraphs = [
        "**Research software, not a medical device. Nothing that it says may enter a decision about a patient.**",
        "A Med3D-R1 model: it takes a chest CT as a volume, and answers questions about it in words, with its "
        f"reasoning first where that is asked for. {_millions(facts.stored.numbers)} weights, stored as "
        f"{' and '.join(facts.stored.dtypes)} ({sizes}): a 3D vision transformer of {_layers(vision)}, a bridge that "
        f"turns a scan into {facts.image_tokens} tokens, and a {text['model_type']} decoder of {_layers(text)}. The "
        f"method is that of the paper [{PAPER}](https://arxiv.org/abs/2602.01200), the code an independent "
        f"implementation of it, med3d-r1 {__version__}."
        + (" The weights come from the runs below, and not from the paper's authors." if facts.runs else ""),
    ]
    if facts.synthetic and facts.from_nothing:
        paragraphs.insert(
            1,
            "**It knows synthetic chests alone.** Everything that it learnt from was made by a program: it was "
            "never shown a scan of a patient. It shows the method at work; what it says about a real scan means "
            "nothing.",
        )
    elif facts.synthetic:
        paragraphs.insert(
            1,
            "**It was trained on synthetic chests.** The runs that are told below were shown no scan of a patient; "
            "what its parts had learnt before is not told. It shows the method at work; what it says about a real "
            "scan means nothing.",
        )
    return paragraphs


def _loading(facts: CardFacts) -> list[str]:
    revision = facts.tag or "main"
    named = f"the tag `{facts.tag}`" if facts.tag else "the branch `main`, because this version has no tag"
    return [
        "```python\n"
        "from huggingface_hub import model_info\n"
        "from transformers import AutoModelForImageTextToText, AutoProcessor\n\n"
        f'repo = "{facts.repo_id}"\n'
        f'commit = model_info(repo, revision="{revision}").sha  # print it, and write it here in its place\n'
        "processor = AutoProcessor.from_pretrained(repo, revision=commit, trust_remote_code=True)\n"
        "model = AutoModelForImageTextToText.from_pretrained(repo, revision=commit, trust_remote_code=True)\n\n"
        'scan = {"type": "image", "path": "scan.nii.gz"}  # or a folder or .zip of DICOM\n'
        'question = {"type": "text", "text": "What is seen in this scan?"}\n'
        "inputs = processor.apply_chat_template(\n"
        '    [{"role": "user", "content": [scan, question]}],\n'
        '    add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",\n'
        ").to(model.device, model.dtype)\n"
        "written = model.generate(**inputs, max_new_tokens=256)\n"
        "print(processor.batch_decode(written, skip_special_tokens=True)[0])\n"
        "```",
        f"The revision to pin is the commit that {named} stands for. A card cannot name the commit that it is part "
        "of: the commit's name is a hash over this text too. So the card names the tag and, below, the hash of each "
        "file of code; whoever published it was told the commit. A tag can be moved, a commit cannot: load by the "
        "commit.",
        "With the package med3d-r1 installed, `med3d-r1 diagnose scan.nii.gz --model "
        f"{facts.repo_id}` asks it on the command line; the package runs its own code, not the repository's.",
    ]


def _code(facts: CardFacts) -> list[str]:
    code = [entry for entry in facts.files if entry.path.endswith(".py")]
    weights = [entry for entry in facts.files if entry.path.endswith(".safetensors")]
    revision = f" --revision {facts.tag}" if facts.tag else ""
    return [
        "`trust_remote_code=True` runs Python files of this repository with all rights of your account. They are "
        f"{len(code)} files, the same byte for byte as in med3d-r1 {__version__}; they import each other, Python's own "
        "library, torch, transformers and numpy, and for reading scans nibabel, pydicom and isal where these are "
        "installed. When this version was published, they loaded the model in a process of its own, without a network.",
        f"```bash\nhf download {facts.repo_id}{revision} --include '*.py' --local-dir code && sha256sum code/*.py\n```",
        f"<details><summary>The {len(code)} files of code and their hashes</summary>",
        _hashes(code),
        "</details>",
        "And the weights, which are no program:",
        _hashes(weights),
    ]


def _use(facts: CardFacts) -> list[str]:
    return [
        "For research on vision-language models that read volumes: comparing methods, looking at how reasoning and "
        "scan "
        "hang together, teaching.",
        "Not for diagnosis, triage, a second reading, reports that anybody relies on, or any other use in care; not "
        "for other parts of the body, other modalities, children, or scans that the image processor refuses.",
    ]


def _preprocessing(facts: CardFacts) -> str:
    seen = facts.preprocessing
    spacing, size = seen["spacing"], seen["size"]
    extent = " x ".join(f"{step * count:g}" for step, count in zip(spacing, size, strict=True))
    return (
        "NIfTI, DICOM, `.npz`, `.npy` or an array with its spacing, in Hounsfield units. Each scan is brought into one "
        f"orientation, resampled {'with' if seen['antialias'] else 'without'} anti-aliasing to "
        f"{' x '.join(f'{step:g}' for step in spacing)} mm, and cropped or padded about its middle to "
        f"{' x '.join(map(str, size))} voxels (D, H, W): {extent} mm. What lies outside is not seen, and what is "
        "smaller than a voxel hardly. HU become numbers by straight lines between "
        + ", ".join(f"{hu:g} -> {value:g}" for hu, value in seen["window"])
        + f", then (v - {seen['mean']:g}) / {seen['std']:g}. Values that cannot be Hounsfield units are refused. "
        f"Preprocessing version {seen['version']}."
    )


def _limits(facts: CardFacts) -> str:
    points = [
        "The text between `<think>` and `</think>` is written by the same model as the answer. It need not be how the "
        "answer came about, and it can be wrong where the answer is right.",
        "Probabilities of options say how sure the model is, not how often it is right"
        + (
            "; the calibration error (ECE) is in the tables above."
            if calibration_is_known(facts.evidence)
            else "; their calibration was not measured."
        ),
        "It was not measured apart by sex, age, scanner, contrast medium or hospital.",
        "It writes English.",
    ]
    if any(run.dataset == "ct-rate" and not run.synthetic for run in facts.runs):
        points.append(
            "The labels of CT-RATE come from a program that read the reports, not from people who looked at the scans."
        )
    if facts.runs and not facts.synthetic and any(run.synthetic for run in facts.runs):
        points.append("A part of its training was on synthetic patients.")
    if facts.evidence:
        points.append(
            "The questions of the evaluation are about 18 abnormalities of the chest. How it does with anything else, "
            "such as fractures or emboli, was not measured, and its silence about it means nothing."
        )
    if any(one.synthetic for one in facts.evidence):
        points.append("It was measured on synthetic patients: those numbers say nothing about patients.")
    points += _watched(facts)
    return "\n".join(f"- {point}" for point in points)


def _watched(facts: CardFacts) -> list[str]:
    """Splits that were looked at while it trained and measured afterwards."""
    measured = {one.data.get("split") for one in facts.evidence}
    watched: dict[str, int] = {}
    for run in facts.runs:
        split = run.facts["settings"].get("held_out_split", "validation")
        if split in measured and (rows := run.facts["data"].get("held_out_rows")):
            watched[split] = watched.get(split, 0) + rows
    return [
        f"While it trained, {rows:,} rows of the split {split} were looked at. Nothing was learnt from them, but the "
        "numbers on that split are not of data that nobody had seen."
        for split, rows in watched.items()
    ]


def _licence(facts: CardFacts) -> str:
    if facts.licence == CODE_LICENCE:
        return f"Weights and code: {CODE_LICENCE}, see [{LICENCE_FILE}]({LICENCE_FILE})."
    return (
        f"Weights: {facts.licence}, see [{LICENCE_FILE}]({LICENCE_FILE}). Code (`*{CODE_SUFFIX}`): {CODE_LICENCE}, see "
        "[LICENSE-code](LICENSE-code)."
    )


def _hashes(entries: Sequence[Entry]) -> str:
    return text_table(["sha256", "file", "bytes"], [[f"`{one.sha256}`", one.path, f"{one.size:,}"] for one in entries])


def _layers(config: Mapping[str, Any]) -> str:
    count = config["num_hidden_layers"]
    return f"{count} layer{'s' if count > 1 else ''} and width {config['hidden_size']}"


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f} M" if count >= 1e5 else f"{count:,}"


__all__ = ["CARD", "CardFacts", "write_card"]

"""What a finished chain leaves for a person: the model in a folder of its own, a scan to try it on, and a page that
tells what was learnt, with tables, curves and two scans looked at closely."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from ..data.phantom import make_phantom
from ..data.phantom.files import save_nifti
from ..data.volume_store import Store
from ..evaluation.mmvqa import MmvqaResult
from ..evaluation.mmvqa_numbers import OWN, Record
from ..evaluation.tables import percent, points, share, table
from ..pictures import three_planes
from .chain import Chain
from .numbers import ChainNumbers, numbers_of

PAGE = "report.md"
EXAMPLES = 2
CURVES = "curves.png"
"""What a run of training leaves beside its model."""

NOT_MEDICAL = (
    "Everything here is synthetic: patients, reports, and a language model of half a million weights that knows a few "
    "hundred words. It shows that the stages work and what they add. It says nothing about any real scan."
)


SCAN, MODEL = "synthetic-chest.nii.gz", "model"
_SCAN_SEED, _SCAN_SHAPE = 1, (110, 192, 192)


def place_model(chain: Chain) -> Path:
    """Put S2 into `model/`, as it would go to the Hub, and a synthetic scan beside it that no stage has seen."""
    target = chain.folder / MODEL
    draft = chain.folder / f".{MODEL}.part"
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(chain.model("s2"), draft)
    shutil.rmtree(target, ignore_errors=True)
    draft.replace(target)
    save_nifti(make_phantom(_SCAN_SEED, _SCAN_SHAPE, style="plain"), chain.folder / SCAN)
    return target


def write_page(chain: Chain, seconds: Mapping[str, float]) -> Path:
    """Write the page and its pictures into the chain's folder.

    Args:
        chain: at its end.
        seconds: that each stage took.
    """
    numbers = numbers_of(chain)
    folder = chain.folder
    paragraphs = [
        "# Med3D-R1 on synthetic chests",
        NOT_MEDICAL,
        f"Seed {chain.seed}. {sum(seconds.values()) / 60:.1f} minutes of work, in stages that ran side by side where "
        "they could.",
        "## What was learnt",
        f"The language model reads notes in text with {numbers.reading:.1%} right decisions; the vision tower finds "
        f"the 18 abnormalities with a mean AUROC of {numbers.auroc:.3f} without having been shown a label.",
        _table(numbers),
        "S1 is the bridge alone, trained on reports and findings; S2 is GRPO with the rewards for format, accuracy and "
        "consistency with the report. The same questions with another patient's scan, and a guesser that sees the "
        "options alone, say what an accuracy is worth. 95 % intervals, over scans.",
        "## Two scans",
        *_examples(chain),
        "## Curves",
        *_curves(chain),
        "## Time",
        table(["stage", "seconds"], [[name, f"{taken:,.0f}"] for name, taken in seconds.items()]),
        "## To go on",
        _commands(chain),
    ]
    path = folder / PAGE
    draft = path.with_suffix(".part")
    draft.write_text("\n\n".join(paragraphs) + "\n", encoding="utf-8")
    draft.replace(path)
    return path


def _table(numbers: ChainNumbers) -> str:
    header = ["", "S1", "S2", "S2 - S1"]
    return table(
        header,
        [
            ["own scan, with reasoning", percent(numbers.s1.own), percent(numbers.s2.own), points(numbers.gain.own)],
            ["another patient's scan", percent(numbers.s1.swapped), percent(numbers.s2.swapped), ""],
            [
                "own minus swapped",
                points(numbers.s1.own_minus_swapped),
                points(numbers.s2.own_minus_swapped),
                points(numbers.gain.own_minus_swapped),
            ],
            ["options alone", percent(numbers.s1.prior), percent(numbers.s2.prior), ""],
            ["own scan, without reasoning", percent(numbers.s1_direct.own), percent(numbers.s2_direct.own), ""],
            [
                "own scan, random distractors (as in the paper)",
                percent(numbers.s1_paper.own),
                percent(numbers.s2_paper.own),
                "",
            ],
            ["their options alone", percent(numbers.s1_paper.prior), percent(numbers.s2_paper.prior), ""],
            [
                "reasoning against the report, F1 of the findings",
                share(numbers.s1.agreement.f1),
                share(numbers.s2.agreement.f1),
                points(numbers.gain.f1),
            ],
            [
                "answers in the layout",
                *(f"{1 - one.invalid / one.own.items:.1%}" for one in (numbers.s1, numbers.s2)),
                "",
            ],
        ],
    )


def _examples(chain: Chain) -> list[str]:
    """One question that S2 answers rightly and one that it does not, where there are both."""
    result = MmvqaResult.load(chain.result("s2"))
    own = [record for record in result.records if record["condition"] == OWN and record["think"]]
    right = [record for record in own if record["letter"] == record["answer"]]
    wrong = [record for record in own if record["letter"] != record["answer"]]
    store = Store(chain.folder / "volumes")
    return [
        _example(chain, store, number, record)
        for number, record in enumerate((right[:1] + wrong[:1] or own)[:EXAMPLES])
    ]


def _example(chain: Chain, store: Store, number: int, record: Record) -> str:
    prepared = store[record["volume"]]
    picture = f"example-{number + 1}.png"
    three_planes(prepared.hu, prepared.spacing, caption=f"{record['volume']}, synthetic").save(chain.folder / picture)
    outcome = "right" if record["letter"] == record["answer"] else f"wrong: it is {record['answer']}"
    return "\n\n".join(
        [
            f"![{record['volume']}]({picture})",
            "\n".join(f"- {letter}: {option}" for letter, option in zip("ABCD", record["options"], strict=False)),
            f"> {' / '.join(record['text'].splitlines()).replace('<', '&lt;')}",
            f"The answer {record['letter']} is {outcome}. The report affirms: "
            f"{', '.join(record['reported'] or []) or 'nothing'}.",
        ]
    )


def _curves(chain: Chain) -> list[str]:
    pictures = []
    for name in ("language", "clip", "s1", "s2"):
        if (chain.folder / name / CURVES).exists():  # a run of very few steps logs nothing
            shutil.copyfile(chain.folder / name / CURVES, chain.folder / f"curves-{name}.png")
            pictures.append(f"![{name}](curves-{name}.png)")
    return pictures


def _commands(chain: Chain) -> str:
    model, scan = chain.folder / MODEL, chain.folder / SCAN
    lines = [
        f"med3d-r1 diagnose {scan} --model {model} --option Emphysema --option Atelectasis",
        f"med3d-r1 report {scan} --model {model}",
        f"med3d-r1 evaluate mmvqa --model {model} --data {chain.data} --distractors balanced --items 100 "
        f"--out {chain.folder / 'mmvqa'}",
        'python -c "from transformers import AutoModel\n'
        f"AutoModel.from_pretrained('{model}', trust_remote_code=True)\"",
    ]
    return "```bash\n" + "\n".join(lines) + "\n```"


__all__ = ["PAGE", "write_page"]

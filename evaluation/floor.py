"""What multiple-choice questions give away before anybody looks at a scan, for any table of labels. No model.

For each way to draw questions (`data/mmvqa.py` says what the ways are): the score of always choosing the option that is
most frequent in the table, and the score of a guesser that learned from questions alone (`data/options_prior.py`). What
a system reaches on such questions is to be read against these, not against one in four.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from ..data.mmvqa import Distractors, Draw, Labels, draw_items, options_only_prior, summary
from ..metrics.statistics import Score
from .asking import content_hash
from .protocol import TRAIN_SEED, library_versions, write_files
from .tables import percent, table

VERSION = 1


@dataclass(frozen=True)
class Floor:
    """One way to draw questions.

    Attributes:
        distractors, draw: as in `draw_items`.
        refusal: why no questions can be drawn from this table in this way; then there are no numbers.
        items, scans: questions, and scans that they are about.
        most_frequent: always the option that is most frequent in the table.
        guesser: fitted to the questions of the training table, or to one half of the questions for the other half.
        ambiguous: share of the questions of which a distractor is present in the scan too.
    """

    distractors: str
    draw: str
    refusal: str | None = None
    items: int = 0
    scans: int = 0
    most_frequent: Score | None = None
    guesser: Score | None = None
    ambiguous: float = 0.0


@dataclass(frozen=True)
class FloorResult:
    """All ways to draw questions from one table.

    Attributes:
        protocol: what was measured.
        floors: one a way.
    """

    protocol: dict
    floors: list[Floor]

    def markdown(self) -> str:
        rows = [
            [
                f"{floor.distractors}, {floor.draw}",
                *(
                    [
                        f"{floor.items:,}",
                        percent(floor.most_frequent),
                        percent(floor.guesser),
                        f"{100 * floor.ambiguous:.1f}",
                    ]
                    if floor.refusal is None
                    else ["0", floor.refusal, "", ""]
                ),
            ]
            for floor in self.floors
        ]
        header = ["distractors, draw", "questions", "most frequent option", "guesser", "ambiguous"]
        fitted = "the questions of the training table" if self.protocol["train_scans"] else "half of the questions"
        return "\n\n".join(
            (
                "# What the options alone give away",
                f"{self.protocol['scans']:,} scans, no model. Right answers in %, with 95 % intervals over scans; the "
                f"guesser was fitted to {fitted}.",
                table(header, rows),
            )
        )

    def save(self, folder: str | Path) -> list[Path]:
        """Write floor.json and floor.md."""
        whole = {"benchmark": "floor", "version": VERSION, **asdict(self)}
        return write_files(
            folder, {"floor.json": json.dumps(whole, indent=2) + "\n", "floor.md": self.markdown() + "\n"}
        )


def measure_floor(
    labels: Labels, train_labels: Labels | None = None, *, per_scan: int = 1, seed: int = 0, dataset: str = "CT-RATE"
) -> FloorResult:
    """Draw questions in each way, and let the guesser answer them.

    Args:
        labels: the table; one row a scan.
        train_labels: the training split's, to fit the guesser to; default: halves of the questions.
        per_scan, seed, dataset: as in `draw_items`.

    Raises:
        ValueError: as in `draw_items`; or there is no scan in the table.
    """
    if not labels:
        raise ValueError("the table has no scans")

    def drawn(of: Labels, distractors: Distractors, draw: Draw, more: int = 0) -> list[dict]:
        ways = {"distractors": distractors, "draw": draw, "per_scan": per_scan, "dataset": dataset}
        return draw_items(of, **ways, seed=seed + more)

    floors = []
    for distractors in get_args(Distractors):
        for draw in get_args(Draw):
            try:
                items = drawn(labels, distractors, draw)
                found = summary(items, labels)
                prior = found.prior
                if train_labels is not None:
                    prior = options_only_prior(drawn(train_labels, distractors, draw, TRAIN_SEED), items)
            except ValueError as error:  # of a small table: no balanced questions, or hardly any at all
                floors.append(Floor(distractors, draw, refusal=str(error)))
                continue
            floors.append(
                Floor(
                    distractors=distractors,
                    draw=draw,
                    items=found.items,
                    scans=found.volumes,
                    most_frequent=found.most_frequent,
                    guesser=prior,
                    ambiguous=found.ambiguous / found.items,
                )
            )
    protocol = {
        "dataset": dataset,
        "scans": len(labels),
        "labels_sha256": content_hash([name, *values] for name, values in labels.items()),
        "train_scans": len(train_labels or ()),
        "per_scan": per_scan,
        "seed": seed,
        "versions": library_versions(),
    }
    return FloorResult(protocol, floors)


__all__ = ["VERSION", "Floor", "FloorResult", "measure_floor"]

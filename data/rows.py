"""Scans -> rows that TRL's own trainers read: reports and answered questions for supervised fine-tuning.

    images           [path of the volume]
    prompt           [message, ...], see `prompts_med3d_r1`
    completion       [message]
    abnormal_spans   [[start, end), ...] in characters of the completion's text: sentences that say something abnormal

Rows hold paths, so a volume must be readable by its path alone. Those that need more (CT-RATE's originals, a patient on
the belly) go through the prepared store first, and `images` says where they are then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..answers_med3d_r1 import find_letter
from ..prompts_med3d_r1 import Messages, question_messages, report_messages
from .reports import Labeller, annotate_reports, target_of
from .scans import Scan, Volume, enumeration
from .vqa import KINDS, Conversation, split_options

if TYPE_CHECKING:
    from datasets import Dataset

Row = dict[str, Any]
Images = Callable[[Volume], str]
Which = Literal["all", "first"]


def report_rows(
    scans: Iterable[Scan], *, labeller: Labeller = "rules", volumes: Which = "all", images: Images | None = None
) -> list[Row]:
    """One row for each volume that has a report: write it.

    Args:
        scans: those without a report make no rows.
        labeller: says which sentences are abnormal, as in `label_sentences`.
        volumes: all reconstructions of a scan, or the first.
        images: the path of a volume in its row, such as `path_of` of either store; default: its own.

    Raises:
        ValueError: volumes cannot be read by their path alone, and `images` is not given.
    """
    scans = list(scans)
    annotations = annotate_reports([(scan.findings, scan.impression) for scan in scans], labeller)
    reported = [pair for pair in zip(scans, annotations, strict=True) if any(pair[1].values())]
    path_of = images or own_paths(volume for scan, _ in reported for volume in _chosen(scan, volumes))
    rows = []
    for scan, annotation in reported:
        target = target_of(annotation)
        for volume in _chosen(scan, volumes):
            rows.append(_row(path_of(volume), report_messages(), target.text, target.abnormal_spans))
    return rows


def vqa_rows(
    scans: Iterable[Scan],
    conversations: Iterable[Conversation],
    *,
    kinds: Collection[str] = tuple(kind for kind in KINDS if kind != "report_generation"),
    images: Images | None = None,
) -> list[Row]:
    """One row for each answer; what was said before it stands in its prompt.

    The answer to a question with options is its letter, any other is given in words, both between <answer> and
    </answer>. Questions on volumes that are not among the scans are left out: that is how a part of the patients is
    chosen.

    Args:
        scans: whose volumes may be asked about.
        conversations: from `read_vqa`.
        kinds: those to take. Reports are asked for by `report_rows`, which has their sentences' labels.
        images: as in `report_rows`.

    Raises:
        ValueError: as in `report_rows`, or `kinds` asks for reports.
    """
    if "report_generation" in kinds:
        raise ValueError("rows that ask for reports come from report_rows")
    volumes = {volume.name: volume for scan in scans for volume in scan.volumes}
    wanted = [talk for talk in conversations if talk.kind in kinds and talk.volume in volumes]
    path_of = images or own_paths({talk.volume: volumes[talk.volume] for talk in wanted}.values())
    return [row for talk in wanted for row in _answers(talk, path_of(volumes[talk.volume]))]


def as_dataset(rows: Sequence[Row]) -> Dataset:
    """Rows as a Hugging Face data set whose columns have the types of their kind, also where all are empty or None:
    data sets of reports, questions and other kinds of scans can then be put together.

    Raises:
        ImportError: `datasets` is not installed.
    """
    from datasets import Dataset, Features, List, Value

    text, number = Value("string"), Value("int64")
    blocks = List({"type": text, "text": text})
    types = {
        "images": List(text),
        "prompt": List({"role": text, "content": blocks}),
        "completion": List({"role": text, "content": text}),
        "abnormal_spans": List(List(number)),
        "options": List(text),
        "labels": List(number),
    }
    features = Features({column: types.get(column, text) for column in rows[0]}) if rows else None
    return Dataset.from_list(list(rows), features=features)


def own_paths(volumes: Iterable[Volume]) -> Images:
    """`Volume.path` as the path for rows, after it was made sure that it says enough.

    Raises:
        ValueError: some volumes need more than a path to be read.
    """
    needy = [volume.name for volume in volumes if volume.reading]
    if needy:
        raise ValueError(
            f"volumes that cannot be read by their path alone ({len(needy):,}): {enumeration(needy)}. They need what "
            "stands in Volume.reading, like a rescale: prepare them, and say by images= where the prepared ones are."
        )
    return lambda volume: str(volume.path)


def _chosen(scan: Scan, volumes: Which) -> tuple[Volume, ...]:
    return scan.volumes if volumes == "all" else scan.volumes[:1]


def _answers(talk: Conversation, path: str) -> Iterable[Row]:
    history: Messages = []
    for question, answer in talk.turns:
        asked, said = _exchange(question, answer, None if not history else [])
        yield _row(path, [*history, *asked], said, [])
        history += [*asked, {"role": "assistant", "content": [{"type": "text", "text": said}]}]


def _exchange(question: str, answer: str, volumes: Any) -> tuple[Messages, str]:
    parts = split_options(question)
    letter = find_letter(answer, parts[1]) if parts else None
    if letter is None:
        return question_messages(question, think=False, volumes=volumes), f"<answer>{answer}</answer>"
    return question_messages(*parts, think=False, volumes=volumes), f"<answer>{letter}</answer>"


def _row(path: str, prompt: Messages, completion: str, spans: list[list[int]]) -> Row:
    answer = {"role": "assistant", "content": completion}
    return {"images": [path], "prompt": prompt, "completion": [answer], "abnormal_spans": spans}


__all__ = ["Images", "Row", "as_dataset", "own_paths", "report_rows", "vqa_rows"]

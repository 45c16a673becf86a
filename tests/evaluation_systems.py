"""Systems for tests of the benchmarks: they know what a scan has, or nothing at all, and answer without any model."""

import hashlib
from collections.abc import Callable

from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.data.label_tables import invented_labels
from med3d_r1.data.mmvqa import draw_items
from med3d_r1.evaluation.asking import Output
from med3d_r1.prompts_med3d_r1 import question_messages

LETTERS = "ABCD"


def present(labels):
    return {name for name, value in zip(CT_RATE_LABELS, labels, strict=True) if value}


def rows_of(labels, *, per_scan=2, seed=0, reports=True, distractors="balanced"):
    """Questions on scans of a label table, as `mmvqa_rows` makes them; reports say what the labels say."""
    items = draw_items(labels, distractors=distractors, per_scan=per_scan, seed=seed)
    return [
        {
            **item,
            "images": [f"/scans/{item['volume']}"],
            "prompt": question_messages("Which is seen?", item["options"]),
            "report": report_of(labels[item["volume"]]) if reports else None,
        }
        for item in items
    ]


def report_of(labels):
    return " ".join(f"There is {name.lower()}." for name in sorted(present(labels)))


def table(scans, seed=1):
    return invented_labels(scans, seed=seed)


def layout(letter, think, reasoning="Seen nothing."):
    return (f"<think>{reasoning}</think>" if think else "") + f"<answer>{letter}</answer>"


class System:
    """Answers by a function (question) -> text or texts, and remembers what it was asked."""

    def __init__(self, answer: Callable, name: str = "system", stops_after: int | None = None):
        self.answer, self.name, self.stops_after = answer, name, stops_after
        self.asked = []

    def describe(self):
        return {"kind": "test", "name": self.name}

    def predict(self, questions):
        for place, question in reversed(list(enumerate(questions))):  # in any order
            if self.stops_after is not None and len(self.asked) >= self.stops_after:
                raise KeyboardInterrupt
            self.asked.append(question)
            said = self.answer(question)
            yield place, said if isinstance(said, Output) else Output((said,), (len(said.split()),))


def seeing(labels):
    """Chooses the first option that the shown scan has, and says what it sees; by chance where it has none."""

    def answer(question):
        has = present(labels[question.scan])
        letter = next((x for x, option in zip(LETTERS, question.options, strict=True) if option in has), None)
        seen = ", ".join(sorted(name.lower() for name in has))
        return layout(letter or by_chance(question), question.think, f"Seen {seen}.")

    return answer


def by_chance(question):
    digest = hashlib.sha256(f"{question.item} {question.scan}".encode()).digest()
    return LETTERS[digest[0] % 4]


def guessing(question):
    return layout(by_chance(question), question.think)

"""Answers for eyes: the conversation, the probabilities as bars, and where the model looked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from med3d_r1.answers_med3d_r1 import LETTERS, parse_answer
from med3d_r1.inference import Diagnosis, Report, parse_report

Message = dict
_BEGUN_TAG = re.compile(r"</?[a-z]*\Z")

EVIDENCE_CAPTION = (
    "Orange cells spoke for the answer <b>{}</b>, blue cells against it: by how much, to first order, the logarithm of "
    "its probability would fall if the image fell silent there. Cells below a tenth of the strongest are left out. "
    "This is what moved the model. It is not a finding, not an outline of one, and no proof that the answer is right. "
    "A cell is {} mm, from foot to head, front to back and side to side."
)


NEXT_TO_NOTHING = 0.01
"""A change of log P that is no change: the probability stays the same within a hundredth of itself."""

NOTHING_LEFT = (
    "Next to nothing: no cell moves log P by more than {:.2g}. What was written before the answer had decided already, "
    "or the image hardly counts. The colours show what little there is."
)


def question_text(question: str, options: Sequence[str] | None) -> str:
    """The question as it was asked, its options lettered."""
    lines = [question, *(f"{letter}) {option}" for letter, option in zip(LETTERS, options or (), strict=False))]
    return "\n".join(lines)


def user_message(text: str) -> Message:
    return {"role": "user", "content": text}


def draft_messages(text: str, think: bool) -> list[Message]:
    """What the model has written so far: the reasoning in a fold that stays open while it grows, then the answer."""
    text = _BEGUN_TAG.sub("", text)
    parsed = parse_answer(text, think=think)
    answered = "<answer>" in text or not think
    messages = [_reasoning(parsed.reasoning, done=answered)] if think and (parsed.reasoning or not answered) else []
    return [*messages, _says(parsed.answer)] if answered and parsed.answer else messages


def draft_report(text: str) -> list[Message]:
    """The report so far."""
    report = parse_report(_BEGUN_TAG.sub("", text))
    parts = [("Findings", report.findings), ("Impression", report.impression)]
    body = "\n\n".join(f"{title}\n{part}" for title, part in parts if part)
    return [_says(body or text)] if body or text else []


def diagnosis_messages(diagnosis: Diagnosis, abstain_below: float) -> list[Message]:
    """The finished answer, and what has to be said about it."""
    messages = [_reasoning(diagnosis.reasoning, done=True)] if diagnosis.reasoning else []
    if not diagnosis.probabilities:
        lines = [diagnosis.answer or "The model gave no answer."]
    else:
        share = diagnosis.probabilities[diagnosis.answer]
        lines = [f"{diagnosis.letter}) {diagnosis.answer}, {share:.0%}"]
        likeliest = max(diagnosis.probabilities, key=diagnosis.probabilities.get)
        if likeliest != diagnosis.answer:
            lines.append(f"This is what the model wrote; {likeliest} is more probable by the numbers.")
        if diagnosis.abstained:
            lines.append(f"Abstained: {share:.0%} is below {abstain_below:.0%}. Take it as no answer.")
    if not diagnosis.valid:
        lines.append("The output did not have the layout that was asked for.")
    return [*messages, _says("\n".join(lines))]


def report_messages(report: Report) -> list[Message]:
    """The finished report."""
    messages = draft_report(report.text)
    if not report.valid:
        messages.append(_says("The output did not have the layout of a report."))
    return messages


def stopped_messages(history: list[Message]) -> list[Message]:
    """The conversation after the stop button: nothing is pending any more."""
    settled = [
        {**message, "metadata": {**message["metadata"], "status": "done"}} if _pending(message) else message
        for message in history
    ]
    return [*settled, _says("Stopped.")]


def _pending(message: Message) -> bool:
    return (message.get("metadata") or {}).get("status") == "pending"


def _reasoning(text: str, done: bool) -> Message:
    metadata = {"title": "Reasoning", "status": "done" if done else "pending"}
    return {"role": "assistant", "content": text, "metadata": metadata}


def _says(text: str) -> Message:
    return {"role": "assistant", "content": text}


def bars(diagnosis: Diagnosis, abstain_below: float) -> str:
    """The probability of each option, as a bar with its number, and the line below which an answer is none."""
    if not diagnosis.probabilities:
        return ""
    line = f'<i class="line" style="left:{abstain_below:.1%}"></i>' if abstain_below else ""
    rows = [
        f'<li class="{"chosen" if option == diagnosis.answer else ""}"><span class="letter">{letter}</span>'
        f'<span class="option">{escape(option)}</span><span class="share">{share:.1%}</span>'
        f'<span class="track" aria-hidden="true"><i class="bar" style="width:{share:.1%}"></i>{line}</span></li>'
        for letter, (option, share) in zip(LETTERS, diagnosis.probabilities.items(), strict=False)
    ]
    told = f"The line marks {abstain_below:.0%}: an answer below it counts as none." if abstain_below else ""
    note = f'<p class="note">{told}</p>' if told else ""
    title = "Probability of each option" + (", given the reasoning" if diagnosis.reasoning else "")
    return f'<div class="probabilities"><h3>{title}</h3><ol>{"".join(rows)}</ol>{note}</div>'


def where_it_looked(diagnosis: Diagnosis) -> str:
    """The strongest cells as buttons that lead the crosshair there, and what the map is and is not."""
    title = "<h3>Where it looked</h3>"
    if diagnosis.evidence is None:
        return f'<div class="where">{title}<p class="note">There is no map: the model gave no answer.</p></div>'
    regions = diagnosis.regions
    buttons = [
        f'<li><button type="button" data-region="{number}">{escape(region.place)}'
        f"<small>{_relevance(region.relevance)}</small></button></li>"
        for number, region in enumerate(regions)
    ]
    size = " x ".join(f"{length:.0f}" for length in diagnosis.evidence.cell_mm)
    caption = EVIDENCE_CAPTION.format(escape(diagnosis.answer), size)
    found = f"<ol>{''.join(buttons)}</ol>" if buttons else '<p class="note">No cell spoke for the answer.</p>'
    strongest = float(abs(diagnosis.evidence.relevance).max())
    doubt = f'<p class="warning">{NOTHING_LEFT.format(strongest)}</p>' if strongest < NEXT_TO_NOTHING else ""
    return f'<div class="where">{title}{doubt}{found}<p class="note">{caption}</p></div>'


def _relevance(value: float) -> str:
    return f"+{value:.2g} log P"


__all__ = ["bars", "diagnosis_messages", "draft_messages", "draft_report", "question_text", "report_messages",
           "stopped_messages", "user_message", "where_it_looked"]  # fmt: skip

"""Completions in the layout of the embedded world, and strategies that draw them."""

from hypothesis import strategies as st

from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.answers_med3d_r1 import LETTERS

labels = st.sampled_from(CT_RATE_LABELS)
label_sets = st.frozensets(labels, max_size=6)
option_lists = st.lists(labels, min_size=4, max_size=4, unique=True)


def think(seen, options=(), affirmed=()):
    """Reasoning that lists what is seen, then goes through the options."""
    lines = [f"Seen {', '.join(label.lower() for label in sorted(seen)) or 'nothing'}."]
    for letter, option in zip(LETTERS, options, strict=False):
        lines.append(f"{letter} {option.lower()} {'present' if option in affirmed else 'absent'}")
    return "\n".join(lines)


def completion(reasoning, answer="A"):
    return f"<think>{reasoning}</think><answer>{answer}</answer>"


def report(present, absent=()):
    """Sentences, one for each label behind one that says nothing."""
    denials = [f"No {label.lower()}." for label in absent]
    return " ".join(["The airways are open.", *(f"There is {label.lower()}." for label in sorted(present)), *denials])


def as_messages(texts):
    return [[{"role": "assistant", "content": text}] for text in texts]

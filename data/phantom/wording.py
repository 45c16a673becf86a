"""From a finding to words: where it is, how large, how much of it. The slots of the templates in phrases.py."""

from __future__ import annotations

import re
from collections import defaultdict
from string import Formatter

import numpy as np

from .finding import Finding, Place

GRADES = ("mild", "moderate", "marked")
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_PLURALS = {"hilum": "hila"}
_BEFORE_VOWEL = re.compile(r"\b([Aa]) (?=8|11 |18)")


def slots_of(finding: Finding, rng: np.random.Generator) -> dict[str, str]:
    """What is known of a finding, by the name that templates have for it."""
    grade = GRADES[min(2, int(3 * finding.severity))]
    slots = {"where": whereabouts(finding.places), "grade": grade, "Grade": grade}
    if finding.side:
        slots["side"] = "bilateral" if finding.side == "both" else f"{finding.side}-sided"
    if finding.kind:
        slots["kind"] = finding.kind
        slots["thing"] = finding.kind if finding.kind.endswith("s") else f"a {finding.kind}"
    if finding.size_mm is not None:
        slots["size"] = measure(finding.size_mm, rng)
    if 1 < finding.count < len(_NUMBERS):
        slots["count"] = slots["Count"] = _NUMBERS[finding.count]
    return slots


def fill(template: str, slots: dict[str, str]) -> str:
    """A sentence from a template; begins with a capital."""
    sentence = _BEFORE_VOWEL.sub(r"\1n ", template.format(**slots))
    return sentence[0].upper() + sentence[1:]


def fitting(templates: tuple[str, ...], slots: dict[str, str]) -> list[str]:
    """The templates whose slots are all known."""
    return [
        template
        for template in templates
        if {name for _, name, _, _ in Formatter().parse(template) if name is not None} <= slots.keys()
    ]


def measure(millimetres: float, rng: np.random.Generator) -> str:
    """A length as reports write it."""
    if millimetres < 10 or rng.random() < 0.5:
        return f"{max(1, round(millimetres))} mm"
    return f"{millimetres / 10:.1f} cm"


def whereabouts(places: tuple[Place, ...]) -> str:
    """Places in words.

    >>> whereabouts((("right", "upper lobe"), ("left", "lower lobe")))
    'in the upper lobe of the right lung and the lower lobe of the left lung'
    >>> whereabouts((("right", "lower lobe"), ("left", "lower lobe")))
    'in both lower lobes'
    """
    sides: dict[str, list[str]] = defaultdict(list)
    for side, name in places:
        sides[name].append(side)
    return "in " + enumeration([_one_place(name, sorted(set(of))) for name, of in sides.items()])


def enumeration(words: list[str], conjunction: str = "and") -> str:
    """A list in words.

    >>> enumeration(["mass", "nodule", "cyst"], "or")
    'mass, nodule or cyst'
    """
    return f" {conjunction} ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _one_place(name: str, sides: list[str]) -> str:
    if len(sides) > 1:
        return f"both {_PLURALS.get(name, name + 's')}"
    if not sides[0]:
        return f"the {name}"
    return f"the {name} of the {sides[0]} lung" if name.endswith("lobe") else f"the {sides[0]} {name}"


__all__ = ["GRADES", "enumeration", "fill", "fitting", "measure", "slots_of", "whereabouts"]

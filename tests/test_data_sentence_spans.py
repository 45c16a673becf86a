"""Where sentences begin and end: forms that reports have, and properties on arbitrary text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.data.reports import split_sentences


def pieces(text):
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    "sentence",
    [
        "A lesion of 1.5 x 2 cm. in size lies in the apex.",
        "A nodule of approx. 3 mm is seen.",
        "Findings, e.g. in the left lung, are old.",
        "The nodule (series 4. image 25) is stable.",
        "Emphysema vs. air trapping.",
        "Fracture of the 6. rib.",
        "See Fig. 2 and No. 3.",
        "Discussed with Dr. J. Smith at noon.",
        "Infection with E. coli is possible.",
        "A nodule? in the lingula",
        "Opacity in the right\nupper lobe.",
        "Opacity in the lobes of the\nRight lung.",
        "Septal thickening with Kerley\nB lines in both lungs.",
        "Stable...",
        "Not given.",
        "-5 HU on average",
    ],
)
def test_one_sentence_stays_whole(sentence):
    assert pieces(sentence) == [sentence.lstrip("-") if sentence[1:2].isalpha() else sentence]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is 1.5 x 2 cm. No effusion.", ["It is 1.5 x 2 cm.", "No effusion."]),
        ("An opacity.There is none.", ["An opacity.", "There is none."]),
        ("It is 5 mm.Stable.", ["It is 5 mm.", "Stable."]),
        ("no effusion.no mass", ["no effusion.", "no mass"]),
        ("A small nodule.5 mm in size", ["A small nodule.", "5 mm in size"]),
        ("One of 5 mm. 3 mm nodule.", ["One of 5 mm.", "3 mm nodule."]),
        ("lungs are clear. no effusion.", ["lungs are clear.", "no effusion."]),
        ("Pneumothorax? No. The heart is normal!", ["Pneumothorax? No.", "The heart is normal!"]),
        ("Pneumothorax? The heart is normal!", ["Pneumothorax?", "The heart is normal!"]),
        ("Type B. The aorta is wide.", ["Type B.", "The aorta is wide."]),
        ("Fracture of T8. T9 is intact.", ["Fracture of T8.", "T9 is intact."]),
        ("Clear lungs There is a cyst", ["Clear lungs", "There is a cyst"]),
        ("The heart is normal  Bones are intact", ["The heart is normal", "Bones are intact"]),
        ("(Limited. By motion.) Normal heart.", ["(Limited. By motion.)", "Normal heart."]),
        ('He said "normal." Then left.', ['He said "normal."', "Then left."]),
        ("1. Emphysema\n2) Cyst\n(3) Stones", ["Emphysema", "Cyst", "Stones"]),
        ("1. Emphysema 2. Small cyst 3. Stones", ["Emphysema", "Small cyst", "Stones"]),
        ("Impression: 1. Cyst 2. Stone", ["Impression:", "Cyst", "Stone"]),
        ("1.Emphysema.2.No change", ["Emphysema.", "No change"]),
        ("a) cyst. b) stone", ["cyst.", "stone"]),
        ("- cyst\n- stone\n\u2022 scar\n*hernia", ["cyst", "stone", "scar", "hernia"]),
        ("FINDINGS:\nLUNGS: Clear.\nBones intact\n\nno", ["FINDINGS:", "LUNGS: Clear.", "Bones intact", "no"]),
        ("Seen a cyst\nA cyst present\nB scar absent", ["Seen a cyst", "A cyst present", "B scar absent"]),
        ("1.", []),
        (" \n ", []),
        ("", []),
    ],
)  # fmt: skip
def test_sentences_are_divided(text, expected):
    assert pieces(text) == expected


fragments = st.sampled_from(
    [
        "The lungs are clear", "no effusion", "A nodule of 1.5 x 2 cm", "approx", "Dr", "J", "e.g", "No", "There is",
        "rib", "Fig", "(im", ")", "[", "]", "1", "2", "12", "T8", "mm", "cm", "a", "A)", "-", "*", "\u2022", ".", ". ",
        "..", "?", "!", ":", ";", ",", " ", "  ", "\n", "\n\n", '"', "\u2019", "vs", "(3)", "2)", "3.", "et al",
        "\u0130", "\t",
    ]
)  # fmt: skip
texts = st.one_of(
    st.lists(fragments, max_size=25).map("".join), st.lists(fragments, max_size=15).map(" ".join), st.text()
)
MARKERS = re.compile(r"(?:[-*\u2022\u2023\u25aa\u25cf\u00b7\u2013\u2014>]+|\(?\d{1,2}[.)]+|\(?[A-Ha-h]\)|\s+)*")


@given(texts)
def test_spans_are_ordered_stripped_and_cover_all_but_the_marks_of_lists(text):
    spans = split_sentences(text)
    position = 0
    for start, end in spans:
        assert position <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        assert MARKERS.fullmatch(text[position:start])
        position = end
    assert MARKERS.fullmatch(text[position:])


@given(texts)
def test_a_sentence_is_one_sentence(text):
    for piece in pieces(text):
        assert split_sentences(piece) == [(0, len(piece))]

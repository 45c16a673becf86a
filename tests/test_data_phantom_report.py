"""Reports of synthetic chests: every sentence says what is there, and its span is where it stands."""

import re
from string import Formatter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.data.phantom.chest import draw_chest
from med3d_r1.data.phantom.findings import FINDINGS
from med3d_r1.data.phantom.phrases import DENIALS, PHRASES, PLAIN_REGIONS
from med3d_r1.data.phantom.report import write_report
from med3d_r1.data.phantom.wording import enumeration, fill, fitting, measure, whereabouts
from med3d_r1.data.reports import split_sentences

SLOTS = {"where", "side", "size", "grade", "Grade", "thing", "kind", "count", "Count"}

chests = st.integers(0, 10**6).map(lambda seed: draw_chest(seed, (300, 512, 512)))


@given(chest=chests, style=st.sampled_from(["free", "plain"]))
def test_spans_are_exact_and_sentences_make_up_the_text(chest, style):
    report = write_report(chest, style)
    for section, text in (("findings", report.findings), ("impression", report.impression)):
        sentences = [sentence for sentence in report.sentences if sentence.section == section]
        assert all(text[sentence.start : sentence.end] == sentence.text for sentence in sentences)
        rest = text
        for sentence in reversed(sentences):
            rest = rest[: sentence.start] + rest[sentence.end :]
        assert re.fullmatch(r"[\d. ]*", rest)  # numbers of a list and spaces
        abnormal = [(sentence.start, sentence.end) for sentence in sentences if sentence.abnormal]
        assert report.abnormal_spans(section) == abnormal


@given(chest=chests, style=st.sampled_from(["free", "plain"]))
def test_both_sections_tell_of_all_that_is_there_and_of_nothing_else(chest, style):
    report = write_report(chest, style)
    there = {label for label, present in chest.labels.items() if present}
    for section in ("findings", "impression"):
        told = [label for sentence in report.sentences if sentence.section == section for label in sentence.labels]
        assert set(told) == there
        assert len(told) == len(there)
    for sentence in report.sentences:
        assert sentence.abnormal or not sentence.labels
        assert sentence.text[0].isupper()
        assert sentence.text.endswith((".", "?"))
        assert not re.search(r"[{}]|  | ,|\b[Aa] (8|11|18)\b", sentence.text)


def test_a_report_is_the_same_for_the_same_chest_and_another_for_another():
    first, same, other = (write_report(draw_chest(seed)) for seed in (4, 4, 5))
    assert first == same
    assert first.findings != other.findings


def test_reports_of_equal_findings_have_many_words_for_them():
    texts = {write_report(draw_chest(seed, labels=["Emphysema"])).impression for seed in range(30)}
    assert len(texts) > 8


def test_normal_sentences_tend_to_come_first_in_free_reports():
    places = {True: [], False: []}
    for seed in range(150):
        findings = [s for s in write_report(draw_chest(seed)).sentences if s.section == "findings"]
        for place, sentence in enumerate(findings):
            places[sentence.abnormal].append(place / max(1, len(findings) - 1))
    assert np.mean(places[False]) < 0.45
    assert np.mean(places[True]) > 0.6


def test_a_plain_report_has_one_sentence_for_each_region_in_order():
    chest = draw_chest(0, labels=["Emphysema", "Interlobular septal thickening", "Cardiomegaly"])
    report = write_report(chest, "plain")
    findings = [sentence for sentence in report.sentences if sentence.section == "findings"]
    assert len(findings) == len(PLAIN_REGIONS) == 11
    assert findings[1].text == "There is cardiomegaly."
    assert findings[8].text == "There is emphysema and interlobular septal thickening."
    assert sum(sentence.abnormal for sentence in findings) == 2
    assert report.impression == "1. Cardiomegaly. 2. Emphysema. 3. Interlobular septal thickening."
    assert write_report(draw_chest(0, labels=[]), "plain").impression == "1. Normal chest."


def test_what_is_uncertain_or_incidental_counts_as_abnormal():
    report_of = {seed: write_report(draw_chest(seed, labels=[])) for seed in range(60)}
    incidental = [s for report in report_of.values() for s in report.sentences if s.abnormal]
    assert incidental
    assert all(not sentence.labels for sentence in incidental)
    seeds = [seed for seed in report_of if not draw_chest(seed).body.incidentals]
    assert all(report_of[seed].abnormal_spans("findings") == [] for seed in seeds)


def test_why_a_scan_was_made_does_not_tell_what_it_shows():
    given = {"Emphysema": set(), "Pleural effusion": set()}
    for label in given:
        given[label] = {write_report(draw_chest(seed, labels=[label])).clinical_information for seed in range(80)}
    assert given["Emphysema"] == given["Pleural effusion"]
    assert "Not given." in given["Emphysema"]


def test_the_technique_tells_of_contrast_agent_and_slices():
    for seed in range(10):
        chest = draw_chest(seed, (300, 512, 512))
        technique = write_report(chest).technique
        assert ("with intravenous contrast" in technique) == chest.body.contrast
        assert f"{chest.scanner.spacing[0]:.1f} mm" in technique


def test_sizes_in_the_text_are_those_of_the_finding():
    for seed in range(20):
        chest = draw_chest(seed, (300, 512, 512), labels=["Pleural effusion"])
        (finding,) = chest.findings
        for found in re.findall(
            r"([\d.]+) (mm|cm)", " ".join(s.text for s in write_report(chest).sentences if s.labels)
        ):
            millimetres = float(found[0]) * (10 if found[1] == "cm" else 1)
            assert millimetres == pytest.approx(finding.size_mm, abs=0.51)


def test_reports_are_cut_into_their_sentences_again():
    lost = total = 0
    for seed in range(150):
        report = write_report(draw_chest(seed, (300, 512, 512)))
        for section, text in (("findings", report.findings), ("impression", report.impression)):
            true = {(sentence.start, sentence.end) for sentence in report.sentences if sentence.section == section}
            lost += len(true - {*split_sentences(text)})
            total += len(true)
    assert lost < 0.01 * total


@pytest.mark.parametrize("label", CT_RATE_LABELS)
def test_templates_are_single_sentences_with_known_slots_and_enough_of_them_fit(label):
    phrases = PHRASES[label]
    for group in phrases:
        for template in group:
            assert {name for _, name, _, _ in Formatter().parse(template) if name} <= SLOTS
            assert template.count(".") == 1
            assert template.endswith(".")
    assert min(len(phrases.present), len(phrases.absent), len(phrases.concluded)) >= 3
    assert not any("{" in template for template in phrases.absent)


def test_every_label_has_phrases_and_a_plain_region():
    assert list(PHRASES) == list(CT_RATE_LABELS) == list(FINDINGS)
    assert sorted(label for labels, _ in PLAIN_REGIONS for label in labels) == sorted(CT_RATE_LABELS)
    assert DENIALS.keys() <= {*CT_RATE_LABELS}


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ([("", "aortic arch")], "in the aortic arch"),
        ([("left", "hilum")], "in the left hilum"),
        (
            [("right", "hilum"), ("left", "hilum"), ("", "subcarinal station")],
            "in both hila and the subcarinal station",
        ),
        ([("right", "middle lobe")], "in the middle lobe of the right lung"),
        ([("left", "lung"), ("right", "lung")], "in both lungs"),
    ],
)
def test_places_in_words(places, words):
    assert whereabouts(tuple(places)) == words


def test_words_for_lists_lengths_and_articles():
    assert enumeration(["one"]) == "one"
    assert enumeration(["one", "two", "three"]) == "one, two and three"
    lengths = {measure(14.2, np.random.default_rng(seed)) for seed in range(20)}
    assert lengths == {"14 mm", "1.4 cm"}
    assert measure(0.3, np.random.default_rng(0)) == "1 mm"
    assert fill("a {size} nodule", {"size": "8 mm"}) == "An 8 mm nodule"
    assert fill("a {size} nodule", {"size": "1.8 cm"}) == "A 1.8 cm nodule"
    assert fitting(("{size} here.", "There."), {"where": "here"}) == ["There."]


def test_an_unknown_style_is_refused():
    with pytest.raises(ValueError, match="free, plain"):
        write_report(draw_chest(0), "verbose")

"""Reports as training text: labellers, annotations, targets and their spans, and the rules on phantoms' reports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.data.phantom import make_phantom
from med3d_r1.data.reports import (
    LABELS,
    annotate_reports,
    given_text,
    label_sentences,
    report_target,
    split_sentences,
    target_of,
)

FINDINGS = "The heart is normal. There is a nodule of 5 mm.\nNo effusion."
IMPRESSION = "1. Lung nodule. 2. No change."


def abnormal_texts(target):
    return [target.text[start:end] for start, end in target.abnormal_spans]


def test_the_target_has_the_papers_layout():
    target = report_target(FINDINGS, IMPRESSION)
    assert target.text == (
        "<finding>The heart is normal. There is a nodule of 5 mm. No effusion.</finding>\n"
        "<impression>Lung nodule. No change.</impression>"
    )
    assert target.abnormal_spans == [[30, 56], [92, 104]]
    assert abnormal_texts(target) == ["There is a nodule of 5 mm.", "Lung nodule."]


def test_wrapped_sentences_become_one_line():
    text = report_target("A nodule\nin the  lingula.", "").text
    assert text.startswith("<finding>A nodule in the lingula.</finding>")


@pytest.mark.parametrize("field", ["Not given.", "not given", " Not given. ", "", None, float("nan")])
def test_a_section_that_was_not_given_is_empty(field):
    assert given_text(field) == ""
    assert report_target(field, "A nodule.").text == "<finding></finding>\n<impression>A nodule.</impression>"
    assert report_target("A nodule.", field).text == "<finding>A nodule.</finding>\n<impression></impression>"
    with pytest.raises(ValueError, match="without a single sentence"):
        report_target(field, field)


def test_the_authors_annotations_are_read():
    annotation = {
        "finding": [{"text": "Clear lungs.", "type": "normal"}, {"text": "A stent.", "type": "abnormal"}],
        "impression": [{"text": "Stent.", "type": "abnormal"}],
    }
    target = target_of(annotation)
    assert target.text == "<finding>Clear lungs. A stent.</finding>\n<impression>Stent.</impression>"
    assert abnormal_texts(target) == ["A stent.", "Stent."]


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"finding": []}, "lacks impression"),
        ({"finding": [{"text": "A stent.", "type": "bad"}], "impression": []}, "not 'bad'"),
        ({"finding": [], "impression": []}, "without a single sentence"),
    ],
)
def test_other_annotations_are_refused(annotation, message):
    with pytest.raises(ValueError, match=message):
        target_of(annotation)


sections = st.lists(
    st.tuples(st.text("abc .<>/", min_size=1).map(str.strip).filter(bool), st.sampled_from(LABELS)), max_size=5
)


@given(sections, sections)
def test_spans_hold_the_abnormal_sentences_in_order(findings, impression):
    annotation = {
        name: [{"text": text, "type": label} for text, label in section]
        for name, section in (("finding", findings), ("impression", impression))
    }
    if findings or impression:
        abnormal = [text for text, label in findings + impression if label == "abnormal"]
        assert abnormal_texts(target_of(annotation)) == abnormal


def test_many_reports_are_labelled_in_one_call():
    calls = []

    def all_abnormal(sentences):
        calls.append(sentences)
        return ["abnormal"] * len(sentences)

    annotations = annotate_reports([(FINDINGS, IMPRESSION), ("Not given.", "Cyst.")], all_abnormal)
    assert calls == [
        ["The heart is normal.", "There is a nodule of 5 mm.", "No effusion.", "Lung nodule.", "No change.", "Cyst."]
    ]
    assert annotations[1] == {"finding": [], "impression": [{"text": "Cyst.", "type": "abnormal"}]}


def test_labels_by_rules_are_the_default():
    assert label_sentences(["No effusion.", "Effusion."]) == ["normal", "abnormal"]
    assert label_sentences([]) == []


@pytest.mark.parametrize(
    ("labeller", "options", "message"),
    [
        ("magic", {}, "unknown labeller 'magic'"),
        ("rules", {"model": "m"}, r"options \(model\) are for labeller='llm'"),
        (lambda sentences: [], {}, "for each of 1 sentences"),
        (lambda sentences: ["fine"], {}, "must give one of"),
    ],
)
def test_labellers_that_cannot_be_used_are_refused(labeller, options, message):
    with pytest.raises(ValueError, match=message):
        label_sentences(["Cyst."], labeller, **options)


@pytest.mark.parametrize("style", ["free", "plain"])
def test_phantoms_reports_are_divided_and_labelled_as_they_were_written(style):
    right = total = 0
    for seed in range(60):
        report = make_phantom(seed, (4, 8, 8), style=style).report
        for section, text in (("findings", report.findings), ("impression", report.impression)):
            written = [sentence for sentence in report.sentences if sentence.section == section]
            assert split_sentences(text) == [(sentence.start, sentence.end) for sentence in written]
            labels = label_sentences([sentence.text for sentence in written])
            right += sum((label == "abnormal") == s.abnormal for label, s in zip(labels, written, strict=True))
            total += len(written)
    assert right / total >= 0.99

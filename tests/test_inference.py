"""From an encoded scan to an answer: probabilities against numbers by hand, evidence in millimetres, broken outputs."""

import itertools
import json
import math
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from med3d_r1 import inference
from med3d_r1.inference import (
    EvidenceMap,
    check_question,
    diagnose,
    encode_scan,
    parse_report,
    stream_diagnosis,
    stream_report,
    write_report,
)
from med3d_r1.prompts_med3d_r1 import question_messages
from scans import synthetic_chest
from tiny import tiny_model, tiny_processor

OPTIONS = ["Emphysema", "Atelectasis", "Pleural effusion"]
QUESTION = "Which of these is present in this scan?"


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def processor():
    return tiny_processor()


@pytest.fixture(scope="module")
def chest():
    return synthetic_chest((40, 56, 56))


@pytest.fixture(scope="module")
def scan(model, processor, chest):
    return encode_scan(model, processor, chest)


@pytest.fixture
def says(model, processor, monkeypatch):
    """Lets the model write a text of our choice."""

    def say(text):
        ids = torch.tensor([processor.tokenizer(text, add_special_tokens=False)["input_ids"]])
        monkeypatch.setattr(model, "generate", lambda input_ids, **options: torch.cat([input_ids, ids], dim=1))

    return say


def test_a_scan_is_encoded_as_the_model_would_see_it(model, processor, chest, scan):
    volume = processor.image_processor(chest, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(scan.features, model.encode_volumes(volume))


@torch.inference_mode()
def test_probabilities_are_those_of_the_letters_behind_the_models_own_words(model, processor, chest, scan, says):
    """Against one plain forward pass over the whole text, with the volume itself in place of its encoding."""
    says("<think>The lungs are clear.</think>\n<answer>B</answer>")
    found = diagnose(model, processor, scan, QUESTION, OPTIONS)

    messages = question_messages(QUESTION, OPTIONS, volumes=chest)
    inputs = processor.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    )
    opening = processor.tokenizer("<think>The lungs are clear.</think>\n<answer>", return_tensors="pt")["input_ids"]
    ids = torch.cat([inputs["input_ids"], opening], dim=1)
    logits = model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits[0, -1]
    letters = processor.tokenizer.convert_tokens_to_ids(["A", "B", "C"])
    expected = logits[letters].softmax(0).tolist()
    assert list(found.probabilities) == OPTIONS
    assert list(found.probabilities.values()) == pytest.approx(expected, rel=1e-4)
    assert (found.letter, found.answer, found.valid) == ("B", "Atelectasis", True)
    assert found.reasoning == "The lungs are clear."


def test_both_spellings_of_an_answer_count():
    """The tokenizer joins ">A" but not ">B". With P(">") = 0.5, P(">A") = 0.3, P("A" | ">") = 0.2, P("B" | ">") = 0.4:
    P(A) = 0.3 + 0.5 * 0.2 = 0.4 and P(B) = 0.5 * 0.4 = 0.2."""
    vocabulary = {"<answer": 0, ">": 1, "A": 2, "B": 3, ">A": 4}
    spelled = {"<answer>": ["<answer", ">"], "<answer>A": ["<answer", ">A"], "<answer>B": ["<answer", ">", "B"]}

    def tokenizer(text, add_special_tokens):
        return {"input_ids": [vocabulary[token] for token in spelled.get(text, [text])]}

    def model(input_ids, pixel_values, logits_to_keep, use_cache):
        assert input_ids.tolist() == [[9, 0, 1]]
        shares = torch.tensor([[0.1, 0.5, 0.05, 0.05, 0.3], [0.1, 0.2, 0.2, 0.4, 0.1]])
        return SimpleNamespace(logits=shares.log()[None])

    scan = inference.EncodedScan(None, None)
    scores = inference._option_scores(
        model, SimpleNamespace(tokenizer=tokenizer), torch.tensor([[9]]), "<answer>", scan, count=2
    )
    assert scores.exp().tolist() == pytest.approx([0.4, 0.2])


def test_an_answer_that_names_nothing_is_replaced_by_the_most_probable_option(model, processor, scan, says):
    says("<think>Nothing to see")
    found = diagnose(model, processor, scan, QUESTION, OPTIONS)
    assert found.answer == max(found.probabilities, key=found.probabilities.get)
    assert not found.valid
    assert sum(found.probabilities.values()) == pytest.approx(1)


def test_abstaining_depends_on_the_chosen_options_probability(model, processor, scan, says):
    says("<answer>A</answer>")
    share = diagnose(model, processor, scan, QUESTION, OPTIONS, think=False).probabilities["Emphysema"]
    for bound, abstained in ((share - 1e-6, False), (share + 1e-6, True)):
        found = diagnose(model, processor, scan, QUESTION, OPTIONS, think=False, abstain_below=bound)
        assert found.abstained is abstained


def test_a_free_question_has_no_letter_and_never_abstains(model, processor, scan, says):
    says("<think>Dark areas.</think><answer>Emphysema of both lungs</answer>")
    found = diagnose(model, processor, scan, "What is seen?", abstain_below=1.0)
    assert (found.letter, found.answer, found.probabilities) == (None, "Emphysema of both lungs", {})
    assert not found.abstained
    assert found.evidence is not None


def test_the_answer_of_the_untrained_model_itself_has_the_same_form(model, processor, scan):
    found = diagnose(model, processor, scan, QUESTION, OPTIONS, max_new_tokens=4)
    assert found.answer in OPTIONS
    assert json.loads(json.dumps(found.to_dict()))["probabilities"] == found.probabilities
    assert "evidence" not in found.to_dict()


def test_the_evidence_is_the_models_own_on_the_scans_millimetres(model, processor, scan, says):
    says("<answer>C</answer>")
    found = diagnose(model, processor, scan, QUESTION, OPTIONS, think=False)
    evidence = found.evidence
    assert evidence.relevance.shape == evidence.gate.shape == model.config.pooled_grid
    # The middle of the coarse grid is the middle of the prepared volume.
    middle = (np.array(evidence.relevance.shape) - 1) / 2
    middle_of_scan = (np.array(scan.prepared.hu.shape) - 1) / 2
    np.testing.assert_allclose(
        evidence.affine @ (*middle, 1), scan.prepared.affine @ (*middle_of_scan, 1), rtol=0, atol=1e-9
    )
    assert found.regions == evidence.regions(3)
    assert found.regions[0].relevance == pytest.approx(float(evidence.relevance.max()))


def test_regions_are_named_from_the_patients_point_of_view():
    """Cells of 60 mm, feet, front and the patient's right first; the affine of a canonical volume at the origin."""
    relevance = np.full((3, 3, 3), -1.0, dtype=np.float32)
    relevance[2, 0, 0], relevance[0, 2, 2] = 2.0, 1.0
    affine = np.array([[0, 0, -60, 60], [0, -60, 0, 60], [60, 0, 0, -60], [0, 0, 0, 1.0]])
    upper, lower = EvidenceMap(relevance, None, affine).regions(5)
    assert (upper.center_mm, upper.place) == ((60.0, 60.0, 60.0), "upper third, front, right side")
    assert (lower.center_mm, lower.place) == ((-60.0, -60.0, -60.0), "lower third, back, left side")
    assert upper.size_mm == (60.0, 60.0, 60.0)


def test_no_evidence_where_none_is_asked_for_or_possible(model, processor, scan, says, monkeypatch):
    says("<answer>A</answer>")
    assert diagnose(model, processor, scan, QUESTION, OPTIONS, think=False, num_regions=0).evidence is None
    monkeypatch.setattr(model, "is_loaded_in_4bit", True, raising=False)
    assert diagnose(model, processor, scan, QUESTION, OPTIONS, think=False).regions == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["A lung"], "2 to 26"),
        (["x"] * 27, "alike"),
        (["Mass", " mass "], "alike"),
        (["Mass", " "], "option B is empty"),
    ],
)
def test_options_that_cannot_be_asked(options, message):
    with pytest.raises(ValueError, match=message):
        check_question(QUESTION, options)


def test_a_letter_of_several_tokens_is_refused():
    processor = SimpleNamespace(tokenizer=lambda text, add_special_tokens: {"input_ids": [1, 2]})
    with pytest.raises(ValueError, match="letter A with 2 tokens"):
        inference._only_token(processor, "A")


def test_a_report_is_split_into_its_parts(model, processor, scan, says):
    says("<finding>The lungs are clear.</finding>\n<impression>Normal.</impression>")
    report = write_report(model, processor, scan)
    assert report.to_dict() == {
        "findings": "The lungs are clear.",
        "impression": "Normal.",
        "valid": True,
        "text": "<finding>The lungs are clear.</finding>\n<impression>Normal.</impression>",
    }


@pytest.mark.parametrize(
    ("text", "findings", "impression", "valid"),
    [
        ("<finding>Nodule < 5 mm.</finding><impression>Follow up.</impression>", "Nodule < 5 mm.", "Follow up.", True),
        ("<finding>Cut off", "Cut off", "", False),
        ("<finding>A<impression>B</impression>", "A", "B", False),
        ("<finding></finding><impression>B</impression>", "", "B", False),
        ("Sure! <finding>A</finding><impression>B</impression>", "A", "B", False),
        ("no tags", "", "", False),
    ],
)
def test_reports_in_broken_layouts(text, findings, impression, valid):
    report = parse_report(text)
    assert (report.findings, report.impression, report.valid) == (findings, impression, valid)


def test_generation_options_reach_the_model(model, processor, scan, monkeypatch):
    seen = {}

    def generate(input_ids, **options):
        seen.update(options)
        return input_ids

    monkeypatch.setattr(model, "generate", generate)
    write_report(model, processor, scan, max_new_tokens=7, do_sample=True)
    assert (seen["max_new_tokens"], seen["do_sample"]) == (7, True)
    write_report(model, processor, scan)
    assert (seen["max_new_tokens"], seen["do_sample"]) == (inference.MAX_NEW_TOKENS, False)
    assert not math.isnan(seen["pixel_values"].sum())


def test_a_streamed_answer_is_the_answer(model, processor, scan):
    """The untrained model's greedy output, token by token: the texts grow, and the end is equal."""
    *texts, streamed = stream_diagnosis(model, processor, scan, QUESTION, OPTIONS, max_new_tokens=12)
    whole = diagnose(model, processor, scan, QUESTION, OPTIONS, max_new_tokens=12)
    assert streamed.to_dict() == whole.to_dict()
    np.testing.assert_array_equal(streamed.evidence.relevance, whole.evidence.relevance)
    assert texts
    assert all(len(later) > len(earlier) for earlier, later in itertools.pairwise(texts))
    assert whole.text.startswith(texts[-1])


def test_a_streamed_report_is_the_report(model, processor, scan):
    *texts, streamed = stream_report(model, processor, scan, max_new_tokens=6)
    assert texts
    assert streamed == write_report(model, processor, scan, max_new_tokens=6)


def test_characters_of_several_tokens_are_shown_when_they_are_whole(model, processor, scan, monkeypatch):
    """The tiny tokenizer spells the e acute of "fin\u00e9" with two tokens, bytes C3 and A9."""
    ids = processor.tokenizer("fin\u00e9", add_special_tokens=False)["input_ids"]

    def generate(input_ids, streamer, **options):
        streamer.put(input_ids)
        for token in ids:
            streamer.put(torch.tensor([token]))
            while not streamer.news.empty():
                time.sleep(0.001)  # until the reader has taken it, so that each one can be shown
        return torch.cat([input_ids, torch.tensor([ids])], dim=1)

    monkeypatch.setattr(model, "generate", generate)
    *texts, report = stream_report(model, processor, scan)
    assert report.text == "fin\u00e9"
    assert not any("\N{REPLACEMENT CHARACTER}" in text for text in texts)


def test_leaving_a_stream_ends_the_writing(model, processor, scan):
    threads = threading.active_count()
    started = time.monotonic()
    for _ in stream_report(model, processor, scan, max_new_tokens=100_000, eos_token_id=None):
        break
    assert threading.active_count() == threads
    assert time.monotonic() - started < 30  # 100,000 tokens would take hours


def test_an_error_while_writing_reaches_the_reader(model, processor, scan, monkeypatch):
    def generate(input_ids, **options):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(model, "generate", generate)
    with pytest.raises(RuntimeError, match="out of memory"):
        next(stream_report(model, processor, scan))
    with pytest.raises(ValueError, match="2 to 26"):
        next(stream_diagnosis(model, processor, scan, QUESTION, ["Mass"]))

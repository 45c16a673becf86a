"""Our model as a predictor: many questions at a time are answered as one at a time."""

import pytest
import torch

from med3d_r1.answers_med3d_r1 import parse_answer
from med3d_r1.evaluation.asking import Question
from med3d_r1.evaluation.predictors import ModelPredictor, weights_hash
from med3d_r1.inference import EncodedScan, answer_opening, diagnose, encode_scan
from med3d_r1.inference import _option_scores as plain_scores
from med3d_r1.prompts_med3d_r1 import question_messages
from scans import synthetic_chest, write_nifti
from tiny import tiny_model, tiny_processor

OPTIONS = ("Emphysema", "Atelectasis", "Lung nodule", "Hiatal hernia")
STEM = "Which of these is present in this scan?"


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def processor():
    return tiny_processor()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    chests = {f"scan{seed}": synthetic_chest((40, 56, 56), seed=seed) for seed in range(2)}
    return {name: str(write_nifti(folder / f"{name}.nii.gz", chest)) for name, chest in chests.items()}


def questions_on(images, ways=(True, False)):
    """Prompts of several lengths, about two scans."""
    return [
        Question(
            f"{scan}-{count}",
            scan,
            image,
            question_messages(f"{STEM} " * count, OPTIONS, think=think),
            OPTIONS,
            think,
        )
        for think in ways
        for count in (1, 3)
        for scan, image in images.items()
    ]


def predicted(predictor, questions):
    outputs = dict(predictor.predict(questions))
    return [outputs[place] for place in range(len(questions))]


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_answers_are_those_of_diagnose(model, processor, images, batch_size):
    questions = questions_on(images)
    found = predicted(ModelPredictor(model, processor, batch_size=batch_size, max_new_tokens=12), questions)
    for question, output in zip(questions, found, strict=True):
        scan = encode_scan(model, processor, question.image)
        stem = question.text.splitlines()[0]
        alone = diagnose(model, processor, scan, stem, OPTIONS, think=question.think, num_regions=0, max_new_tokens=12)
        assert output.texts == (alone.text,)
        shares = torch.tensor(output.scores).softmax(0).tolist()
        assert shares == pytest.approx(list(alone.probabilities.values()), abs=1e-4)


def test_scores_come_behind_the_models_own_words(model, processor, images, monkeypatch):
    """The layout holds, so the letters are scored behind what was written; against a plain pass over all of it."""
    written = "<think>Seen emphysema.</think><answer>B</answer><|im_end|>"
    force(monkeypatch, model, processor, written)
    question = questions_on(images)[0]
    (output,) = predicted(ModelPredictor(model, processor, max_new_tokens=40), [question])
    assert output.texts == ("<think>Seen emphysema.</think><answer>B</answer>",)
    scan = encode_scan(model, processor, question.image)
    rendered = processor.apply_chat_template(question.prompt, tokenize=False, add_generation_prompt=True)
    prompt = processor(text=rendered, expand_image_tokens=True, return_tensors="pt")["input_ids"]
    opening = answer_opening(output.texts[0], parse_answer(output.texts[0], OPTIONS), think=True)
    expected = plain_scores(model, processor, prompt, opening, EncodedScan(None, scan.features), len(OPTIONS))
    assert output.scores == pytest.approx(expected.tolist(), abs=1e-4)


def force(monkeypatch, model, processor, text):
    """Let generation write a text of our choice, through its own loop and cache."""
    ids = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    own = model.generate

    def generate(input_ids, **options):
        length = input_ids.shape[1]
        return own(
            input_ids=input_ids,
            prefix_allowed_tokens_fn=lambda _, so_far: [ids[min(len(so_far) - length, len(ids) - 1)]],
            **options,
        )

    monkeypatch.setattr(model, "generate", generate)


def test_lengths_end_with_the_turn(model, processor, images, monkeypatch):
    force(monkeypatch, model, processor, "<answer>B</answer><|im_end|>")
    questions = questions_on(images, ways=[False])
    for output in predicted(ModelPredictor(model, processor, max_new_tokens=9), questions):
        assert output.tokens == (4,)


def test_a_scan_is_encoded_once_for_all_its_questions(model, processor, images, monkeypatch):
    read, own = [], model.encode_volumes
    monkeypatch.setattr(model, "encode_volumes", lambda volumes: read.append(len(volumes)) or own(volumes))
    questions = questions_on(images)
    predicted(ModelPredictor(model, processor, batch_size=2, max_new_tokens=2), questions)
    assert read == [len(images)]


def test_scans_that_do_not_fit_into_the_cache_are_read_again(model, processor, images):
    questions = questions_on(images)
    roomy = ModelPredictor(model, processor, batch_size=2, max_new_tokens=4)
    tight = ModelPredictor(model, processor, batch_size=2, max_new_tokens=4, cache_bytes=0)
    assert predicted(tight, questions) == predicted(roomy, questions)
    assert not tight._encoded


def test_several_samples(model, processor, images):
    questions = questions_on(images)
    predictor = ModelPredictor(model, processor, samples=3, max_new_tokens=8)
    found = predicted(predictor, questions)
    assert all(len(output.texts) == len(output.tokens) == 3 for output in found)
    assert len({text for output in found for text in output.texts}) > len(questions)
    assert found == predicted(predictor, questions)
    assert found != predicted(ModelPredictor(model, processor, samples=3, max_new_tokens=8, seed=1), questions)


def test_no_questions_no_answers(model, processor):
    assert list(ModelPredictor(model, processor).predict([])) == []


def test_the_description_tells_models_apart(model, processor):
    described = ModelPredictor(model, processor, name="S1").describe()
    assert described["weights_sha256"] == weights_hash(model)
    assert "revision" not in described  # it came from no Hub
    other = tiny_model(seed=1)
    assert ModelPredictor(other, processor, name="S1").describe() != described
    assert ModelPredictor(model, processor, name="S1", batch_size=2).describe() == described
    assert ModelPredictor(model, processor, name="S1", max_new_tokens=9).describe() != described


def test_nothing_can_be_done_with_no_batch(model, processor):
    with pytest.raises(ValueError, match="1 or more"):
        ModelPredictor(model, processor, batch_size=0)

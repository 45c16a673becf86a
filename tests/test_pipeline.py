"""transformers' own pipeline on a saved checkpoint, with the code that travels in the folder."""

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, pipeline

from med3d_r1.prompts_med3d_r1 import question_messages
from scans import synthetic_chest, write_nifti
from tiny import tiny_checkpoint

OPTIONS = ["Emphysema", "Lung nodule"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(tiny_checkpoint(tmp_path_factory.mktemp("pipeline") / "model"))


@pytest.fixture(scope="module")
def pipe(checkpoint):
    return pipeline("image-text-to-text", model=checkpoint, trust_remote_code=True, device="cpu")


@pytest.fixture(scope="module")
def volume():
    return synthetic_chest((36, 48, 48))


@pytest.fixture(scope="module")
def scan(volume, tmp_path_factory):
    return str(write_nifti(tmp_path_factory.mktemp("scans") / "scan.nii.gz", volume))


@pytest.fixture(scope="module")
def expected(checkpoint, scan):
    """What the model itself says to the scan, greedily."""
    processor = AutoProcessor.from_pretrained(checkpoint, trust_remote_code=True)
    model = AutoModelForImageTextToText.from_pretrained(checkpoint, trust_remote_code=True)
    inputs = processor.apply_chat_template(
        question_messages("Which is present?", OPTIONS, volumes=scan),
        add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
    )  # fmt: skip
    with torch.inference_mode():
        ids = model.generate(**inputs, do_sample=False, max_new_tokens=8)
    return processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def ask(pipe, chats, **kwargs):
    return pipe(text=chats, max_new_tokens=8, generate_kwargs={"do_sample": False}, return_full_text=False, **kwargs)


def test_a_chat_with_a_path_is_answered(pipe, scan, expected):
    (answer,) = ask(pipe, question_messages("Which is present?", OPTIONS, volumes=scan))
    assert answer["generated_text"] == expected


def test_a_chat_with_an_array_is_answered_alike(pipe, volume, expected):
    array = {"array": volume.voxels(), "spacing": volume.spacing}
    (answer,) = ask(pipe, question_messages("Which is present?", OPTIONS, volumes=array))
    assert answer["generated_text"] == expected


def test_the_spacing_of_an_array_may_be_an_argument(pipe, volume, expected):
    chat = question_messages("Which is present?", OPTIONS, volumes=volume.voxels())
    (answer,) = ask(pipe, chat, processor_kwargs={"spacing": volume.spacing})
    assert answer["generated_text"] == expected


def test_several_chats_are_answered_one_by_one(pipe, scan, expected):
    chats = [
        question_messages("Which is present?", OPTIONS, volumes=scan),
        question_messages("What is a lung?", volumes=[]),
    ]
    (first,), (second,) = ask(pipe, chats)
    assert first["generated_text"] == expected
    assert isinstance(second["generated_text"], str)


def test_a_started_answer_is_continued(pipe, scan):
    start = "<think>"
    chat = [
        *question_messages("Which is present?", OPTIONS, volumes=scan),
        {"role": "assistant", "content": [{"type": "text", "text": start}]},
    ]
    (answer,) = pipe(text=chat, max_new_tokens=4, generate_kwargs={"do_sample": False})
    assert answer["generated_text"][-1]["content"][0]["text"].startswith(start)

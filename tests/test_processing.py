"""The processor: layout of prompts, placeholders against volumes, what reaches the image processor, saving."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoProcessor, AutoTokenizer, PreTrainedTokenizerFast

from med3d_r1 import Med3DR1ImageProcessor, Med3DR1Processor
from med3d_r1.prompts_med3d_r1 import SYSTEM_PROMPT, question_messages, report_messages
from med3d_r1.tiny import tiny_tokenizer
from scans import synthetic_chest, write_nifti
from tiny import tiny_processor

REAL_DATA = os.environ.get("MED3D_R1_REAL_DATA")
IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
TOKENS = 32  # image tokens of the tiny preset


@pytest.fixture(scope="module")
def processor():
    return tiny_processor()


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    return write_nifti(tmp_path_factory.mktemp("scans") / "scan.nii.gz", synthetic_chest((36, 48, 48)))


@pytest.fixture(scope="module")
def array() -> dict:
    """Another body."""
    volume = synthetic_chest((36, 48, 48), seed=1)
    return {"array": volume.voxels(), "spacing": volume.spacing}


def image_tokens(processor, inputs) -> list[int]:
    """Image tokens of each row."""
    return [list(row).count(processor.image_token_id) for row in inputs["input_ids"]]


class Recorder(Med3DR1ImageProcessor):
    """Remembers what it was asked to read, and reads nothing."""

    def __call__(self, images, **kwargs):
        self.asked = images, kwargs
        return {"pixel_values": torch.zeros(len(images), 1, 1, 1, 1)}


@pytest.fixture
def recording():
    return Med3DR1Processor(Recorder(), tiny_tokenizer(), num_image_tokens=2)


# -- the chat template --


def test_turns_are_laid_out_as_in_qwen2_5(processor):
    chat = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Seen?"}]},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": " Sure?\n"},
    ]
    assert processor.apply_chat_template(chat, add_generation_prompt=True) == (
        f"<|im_start|>system\n{SYSTEM_PROMPT}<|im_end|>\n"
        f"<|im_start|>user\n{IMAGE}Seen?<|im_end|>\n"
        "<|im_start|>assistant\nYes.<|im_end|>\n"
        "<|im_start|>user\n Sure?\n<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_a_system_message_replaces_the_default(processor):
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Seen?"}]
    rendered = processor.apply_chat_template(chat)
    assert rendered == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nSeen?<|im_end|>\n"


def test_a_started_answer_is_continued(processor):
    chat = [{"role": "user", "content": "Seen?"}, {"role": "assistant", "content": "<think>"}]
    rendered = processor.apply_chat_template(chat, continue_final_message=True)
    assert rendered.endswith("<|im_start|>assistant\n<think>")


def test_an_image_token_that_a_user_types_is_text_when_sanitized(recording):
    chat = question_messages("What does <|image_pad|> mean?", volumes="a")
    inputs = recording.apply_chat_template(chat, tokenize=True, return_dict=True, sanitize_control_tokens=True)
    assert image_tokens(recording, inputs) == [2]
    assert "<|image_pad|> mean?" in recording.decode(inputs["input_ids"][0])
    with pytest.raises(ValueError, match="2 placeholder"):
        recording.apply_chat_template(chat, tokenize=True, return_dict=True)


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ({"role": "tool", "content": "x"}, "tool"),
        ({"role": "user", "content": [{"type": "video", "video": "x"}]}, "video"),
    ],
)
def test_unknown_roles_and_contents_are_refused(processor, message, found):
    with pytest.raises(Exception, match=found):
        processor.apply_chat_template([message])


def test_the_mask_of_assistant_tokens_holds_answers_and_ends_of_turn(processor, array):
    chat = [
        *question_messages("Seen?", volumes=array),
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Sure?"},
        {"role": "assistant", "content": [{"type": "text", "text": "No."}]},
    ]
    inputs = processor.apply_chat_template(chat, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    said = [token for token, mask in zip(inputs["input_ids"][0], inputs["assistant_masks"][0], strict=True) if mask]
    assert processor.decode(said) == "Yes.<|im_end|>No.<|im_end|>"


# -- prompts --


def test_a_question_lists_its_options_and_asks_for_the_layout(processor):
    (message,) = processor.build_prompt("Which is present?", ["Emphysema", "Lung nodule"])
    image, text = message["content"]
    assert image == {"type": "image"}
    assert text["text"].splitlines()[:3] == ["Which is present?", "A) Emphysema", "B) Lung nodule"]
    assert all(tag in text["text"] for tag in ("<think>", "</think>", "<answer>", "</answer>"))


def test_without_reasoning_none_is_asked_for(processor):
    for options in (None, ["Emphysema", "Lung nodule"]):
        text = processor.build_prompt("Seen?", options, think=False)[0]["content"][1]["text"]
        assert "<think>" not in text
        assert "<answer>" in text


def test_the_report_prompt_asks_for_both_sections(processor):
    assert processor.build_report_prompt() == report_messages()
    text = report_messages()[0]["content"][1]["text"]
    assert all(tag in text for tag in ("<finding>", "</finding>", "<impression>", "</impression>"))


@pytest.mark.parametrize(
    ("volumes", "blocks"),
    [
        (None, [{"type": "image"}]),
        ("a.nii", [{"type": "image", "image": "a.nii"}]),
        (["a.nii", None], [{"type": "image", "image": "a.nii"}, {"type": "image"}]),
        ([], []),
    ],
)
def test_scans_stand_before_the_question(volumes, blocks):
    assert question_messages("Seen?", volumes=volumes)[0]["content"][:-1] == blocks


@pytest.mark.parametrize("options", [[], ["one"], ["x"] * 27, ["Emphysema", " "]])
def test_options_that_no_letter_can_name_are_refused(options):
    with pytest.raises(ValueError, match="option"):
        question_messages("Which?", options)


# -- volumes --


def test_a_path_an_array_and_a_prepared_volume_give_one_volume_each(processor, scan, array):
    prepared = processor.image_processor.prepare(str(scan))
    text = [IMAGE + "Seen?"] * 4
    inputs = processor(images=[str(scan), scan, prepared, array], text=text, padding=True, return_tensors="pt")
    assert set(inputs) == {"input_ids", "attention_mask", "pixel_values"}
    assert inputs["pixel_values"].shape == (4, 1, 32, 64, 64)
    assert inputs["pixel_values"].dtype == torch.float32
    assert torch.equal(inputs["pixel_values"][0], inputs["pixel_values"][1])
    assert torch.equal(inputs["pixel_values"][0], inputs["pixel_values"][2])
    assert not torch.equal(inputs["pixel_values"][0], inputs["pixel_values"][3])  # another body
    assert image_tokens(processor, inputs) == [TOKENS] * 4


def test_messages_carry_their_scans(processor, scan, array):
    chat = question_messages("Compare.", volumes=[str(scan), array])
    inputs = processor.apply_chat_template(chat, tokenize=True, return_dict=True, return_tensors="pt")
    direct = processor.image_processor([str(scan), array], return_tensors="pt")["pixel_values"]
    assert torch.equal(inputs["pixel_values"], direct)
    assert image_tokens(processor, inputs) == [2 * TOKENS]


@pytest.mark.parametrize(
    ("block", "read"),
    [
        ({"image": "a.nii"}, "a.nii"),
        ({"path": "a.nii"}, "a.nii"),
        ({"path": "a.nii", "image": None, "text": None}, "a.nii"),  # as a column of a dataset gives it back
        ({"image": ["a1", "a2"]}, {"path": ["a1", "a2"]}),
        ({"path": "a.nii", "orientation": "RAS"}, {"image": "a.nii", "orientation": "RAS"}),
    ],
)
def test_a_message_names_its_scan_and_geometry(recording, block, read):
    chat = [{"role": "user", "content": [{"type": "image", **block}, {"type": "text", "text": "Seen?", "image": None}]}]
    recording.apply_chat_template(chat, tokenize=True, return_dict=True)
    assert recording.image_processor.asked[0] == [read]


def test_prompts_with_and_without_scans_share_a_batch(processor, array):
    chats = [question_messages("Seen?", volumes=array), question_messages("What is a lung?", volumes=[])]
    inputs = processor.apply_chat_template(
        chats, tokenize=True, return_dict=True, return_tensors="pt", processor_kwargs={"padding": True}
    )
    assert image_tokens(processor, inputs) == [TOKENS, 0]
    assert len(inputs["pixel_values"]) == 1


def test_text_alone_has_no_pixel_values(processor):
    for images in (None, [], [[], []]):
        assert set(processor(images=images, text=["one", "two"])) == {"input_ids", "attention_mask"}


def test_volumes_alone_have_no_text(processor, array):
    assert set(processor(images=array)) == {"pixel_values"}


@pytest.mark.parametrize(
    ("images", "read"),
    [
        ("a", ["a"]),
        (["a", "b", "c"], ["a", "b", "c"]),
        ([["a"], [], ["b", "c"]], ["a", "b", "c"]),
        ([["a"], None, ("b", "c")], ["a", "b", "c"]),
        ([[["a1", "a2"]], [], ["b", {"path": "c"}]], [{"path": ["a1", "a2"]}, "b", {"path": "c"}]),  # slices of one
    ],
)
def test_flat_and_nested_volumes_fill_the_prompts_in_order(recording, images, read):
    text = [IMAGE, "", IMAGE * 2] if isinstance(images, list) else IMAGE
    recording(images=images, text=text)
    assert recording.image_processor.asked[0] == read


@pytest.mark.parametrize("nested", [True, False])
def test_geometry_reaches_the_image_processor(recording, nested):
    geometry = {"spacing": (3.0, 1.5, 1.5), "affine": np.eye(4), "orientation": "SPL"}
    recording(images="a", text=IMAGE, **({"images_kwargs": geometry} if nested else geometry))
    asked = recording.image_processor.asked[1]
    assert (asked["spacing"], asked["orientation"]) == ((3.0, 1.5, 1.5), "SPL")
    assert np.array_equal(asked["affine"], np.eye(4))


def test_already_encoded_volumes_take_their_place_and_are_not_read(recording):
    chats = [question_messages("Seen?", volumes=volumes) for volumes in ("missing.nii", None, [])]
    for chat, tokens in zip(chats, (2, 2, 0), strict=True):
        inputs = recording.apply_chat_template(
            chat, tokenize=True, return_dict=True, processor_kwargs={"expand_image_tokens": True}
        )
        assert set(inputs) == {"input_ids", "attention_mask"}
        assert image_tokens(recording, inputs) == [tokens]
    assert not hasattr(recording.image_processor, "asked")


def test_encoded_and_read_volumes_give_the_same_text(processor, array):
    read = processor(images=array, text=IMAGE + "Seen?")
    assert read["input_ids"] == processor(text=IMAGE + "Seen?", expand_image_tokens=True)["input_ids"]


@pytest.mark.parametrize(
    ("images", "text", "message"),
    [
        (None, [IMAGE], r"prompt 1 of 1 has 1 placeholder.* 0 volume"),
        (["a", "b"], [IMAGE, IMAGE * 2], r"prompt 2 of 2 has 2 placeholder.* 1 volume"),
        (["a", "b"], ["", IMAGE], r"prompt 2 of 2 has 1 placeholder.* 2 volume"),
        ([["a"], ["b", "c"]], [IMAGE * 2, IMAGE], r"prompt 1 of 2 has 2 placeholder.* 1 volume"),
        ([["a"]], [IMAGE, ""], r"1 list.* 2 prompts"),
    ],
)
def test_a_prompt_whose_volumes_and_placeholders_differ_is_refused(recording, images, text, message):
    with pytest.raises(ValueError, match=message):
        recording(images=images, text=text)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [({}, "nothing"), ({"text": [1]}, "string"), ({"text": "x", "videos": ["v"]}, "videos")],
)
def test_what_the_model_cannot_take_is_refused(recording, inputs, message):
    with pytest.raises(ValueError, match=message):
        recording(**inputs)


def test_a_truncation_through_a_volume_is_refused(recording):
    with pytest.raises(ValueError, match="truncation"):
        recording(images="a", text="Seen? " + IMAGE, truncation=True, max_length=3)


# -- padding, decoding, saving --


@pytest.mark.parametrize("side", ["left", "right", None])
def test_batches_are_padded_on_either_side(recording, side):
    """On the left unless asked: batches are for generation."""
    asked = {"padding_side": side} if side else {}
    inputs = recording(images=["a"], text=["one", IMAGE + "two"], padding=True, return_tensors="pt", **asked)
    short, long = inputs["attention_mask"].tolist()
    padding = len(long) - sum(short)
    assert all(long)
    assert short == ([1] * sum(short) + [0] * padding if side == "right" else [0] * padding + [1] * sum(short))


def test_decoding_drops_special_tokens_and_keeps_the_layout(processor):
    completion = "<think>Seen.</think><answer>B</answer>"
    ids = processor.tokenizer(completion + "<|im_end|>", return_tensors="pt")["input_ids"]
    assert processor.batch_decode(ids, skip_special_tokens=True) == [completion]
    assert processor.post_process_image_text_to_text(ids) == [completion]
    assert processor.parse(completion).valid


def test_parse_is_the_shared_parser(processor):
    parsed = processor.parse("<think>Airways.</think><answer>Bronchiectasis</answer>", ["Emphysema", "Bronchiectasis"])
    assert (parsed.reasoning, parsed.letter, parsed.valid) == ("Airways.", "B", True)
    assert processor.parse("<answer>A</answer>", think=False).valid


def test_the_number_of_tokens_is_known_without_reading(processor):
    assert processor._get_num_multimodal_tokens(image_sizes=[(512, 512), (1, 1)]).num_image_tokens == [TOKENS] * 2
    assert processor.image_token_ids == [processor.image_token_id]


def test_a_tokenizer_without_the_image_token_is_refused():
    stranger = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"?": 0}, unk_token="?")), unk_token="?")
    with pytest.raises(ValueError, match="image_pad"):
        Med3DR1Processor(Med3DR1ImageProcessor(), stranger)


def test_a_saved_processor_brings_its_code_and_settings(processor, array, tmp_path):
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path, trust_remote_code=True)
    assert type(loaded) is not Med3DR1Processor  # the folder's own code
    assert loaded.num_image_tokens == TOKENS
    assert loaded.chat_template == processor.chat_template == loaded.tokenizer.chat_template
    prepared = processor.image_processor.prepare(array)
    chat = question_messages("Compare.", volumes=[array, prepared])
    ours, theirs = (
        which.apply_chat_template(chat, tokenize=True, return_dict=True, return_tensors="pt")
        for which in (processor, loaded)
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    settings = json.loads((tmp_path / "processor_config.json").read_text())
    assert settings["auto_map"] == {"AutoProcessor": "processing_med3d_r1.Med3DR1Processor"}


def test_settings_outlive_two_generations_of_saving(processor, tmp_path):
    processor.save_pretrained(tmp_path / "first")
    AutoProcessor.from_pretrained(tmp_path / "first", trust_remote_code=True).save_pretrained(tmp_path / "second")
    files = {file.name for file in (tmp_path / "first").iterdir()}
    assert files == {file.name for file in (tmp_path / "second").iterdir()}
    for name in files - {"tokenizer_config.json"}:  # transformers notes there where a tokenizer was loaded from
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


# -- against the real tokenizer --


@pytest.fixture(scope="module")
def qwen():
    return AutoTokenizer.from_pretrained(Path(REAL_DATA) / "tokenizer" / "qwen2_5")


@pytest.mark.skipif(REAL_DATA is None, reason="MED3D_R1_REAL_DATA is not set")
@pytest.mark.parametrize("add_generation_prompt", [True, False])
def test_text_chats_get_the_ids_of_qwen2_5s_own_template(qwen, add_generation_prompt):
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": " Nodule, 3333 mm?\n"},
        {"role": "assistant", "content": "<think>é 🚀</think>\n<answer>B</answer>"},
        {"role": "user", "content": "Sure?\n\n"},
    ]
    options = {"add_generation_prompt": add_generation_prompt, "tokenize": True, "return_dict": True}
    expected = qwen.apply_chat_template(chat, **options)["input_ids"]
    processor = Med3DR1Processor(Med3DR1ImageProcessor(), qwen)
    assert processor.apply_chat_template(chat, **options)["input_ids"] == [expected]


@pytest.mark.skipif(REAL_DATA is None, reason="MED3D_R1_REAL_DATA is not set")
def test_golden_ids_of_qwen2_5(qwen):
    processor = Med3DR1Processor(Med3DR1ImageProcessor(), qwen)
    for golden in json.loads((Path(REAL_DATA) / "tokenizer" / "qwen2_golden_ids.json").read_text()):
        assert processor(text=golden["text"])["input_ids"] == [golden["ids"]]


@pytest.mark.skipif(REAL_DATA is None, reason="MED3D_R1_REAL_DATA is not set")
def test_a_volume_takes_343_tokens_at_full_size(qwen):
    processor = Med3DR1Processor(Med3DR1ImageProcessor(), qwen)
    ids = processor(text=IMAGE, expand_image_tokens=True)["input_ids"][0]
    assert ids == [151652, *[151655] * 343, 151653]

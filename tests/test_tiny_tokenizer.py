"""The tokenizer of the tiny preset."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.abnormalities import CHOICE_STEMS, CT_RATE_LABELS, YES_NO_STEMS
from med3d_r1.configuration_med3d_r1 import TINY_QWEN2
from med3d_r1.processing_med3d_r1 import CHAT_TEMPLATE
from med3d_r1.prompts_med3d_r1 import question_messages, report_messages
from med3d_r1.tiny import BASE_VOCABULARY, LAYOUT_TAGS, SPECIAL_TOKENS, phrases, tiny_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def test_it_has_the_entries_it_says(tokenizer):
    entries = BASE_VOCABULARY + 3 * len(CT_RATE_LABELS) + len(LAYOUT_TAGS) + len(phrases())
    assert len(tokenizer) == entries == 570 <= TINY_QWEN2["vocab_size"]


def test_every_call_gives_the_same_in_an_object_of_its_own(tokenizer):
    other = tiny_tokenizer()
    assert other.get_vocab() == tokenizer.get_vocab()
    other.add_tokens(["extra"])
    assert len(other) == len(tokenizer) + 1


@given(text=st.text())
def test_any_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.parametrize("label", CT_RATE_LABELS)
def test_a_verdict_follows_its_name_directly(tokenizer, label):
    ids = tokenizer(f"A {label.lower()} absent\nB) {label}")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids)[1] == f" {label.lower()}"
    assert tokenizer.convert_ids_to_tokens(ids)[-2:] == ["\nB)", f" {label}"]
    assert len(tokenizer(label)["input_ids"]) == 1


def test_what_is_said_over_and_over_is_one_token_each(tokenizer):
    """A question with four options is 34 tokens: by hand, around the image 9 (three of a turn's beginning, the system's
    text and the end of its turn, three more, the image with its brackets not counted), the stem, four options of two
    tokens, a line break, two instructions with a space between, the end of the turn and the answer's beginning."""
    options = CT_RATE_LABELS[:4]
    for stem in CHOICE_STEMS:
        text = tokenizer.apply_chat_template(
            question_messages(stem, options), chat_template=CHAT_TEMPLATE, tokenize=False, add_generation_prompt=True
        )
        before, after = text.split("<|vision_start|><|image_pad|><|vision_end|>")
        assert len(tokenizer(before)["input_ids"]) == 7
        assert len(tokenizer(after)["input_ids"]) == 1 + 4 * 2 + 1 + 3 + 2 + 2
    for stem in YES_NO_STEMS:
        assert len(tokenizer(stem.format(finding="lung nodule"))["input_ids"]) <= 3
    report = report_messages()[0]["content"][1]["text"]
    assert len(tokenizer(report)["input_ids"]) == 1


def test_tags_are_single_tokens_that_decoding_keeps(tokenizer):
    text = "".join(LAYOUT_TAGS)
    ids = tokenizer(text)["input_ids"]
    assert len(ids) == len(LAYOUT_TAGS)
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_special_tokens_are_single_and_dropped_in_decoding(tokenizer):
    ids = tokenizer("".join(SPECIAL_TOKENS))["input_ids"]
    assert len(ids) == len(SPECIAL_TOKENS)
    assert tokenizer.decode(ids, skip_special_tokens=True) == ""
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")


def test_option_letters_are_single_tokens(tokenizer):
    """Options are scored by the log-probability of one token."""
    assert all(len(tokenizer(letter)["input_ids"]) == 1 for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")

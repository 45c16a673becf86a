"""The tokenizer of the tiny preset."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.tiny import BASE_VOCABULARY, LAYOUT_TAGS, SPECIAL_TOKENS, tiny_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def test_it_has_the_entries_it_says(tokenizer):
    assert len(tokenizer) == BASE_VOCABULARY + 2 * len(CT_RATE_LABELS) + len(LAYOUT_TAGS) == 444


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
    assert tokenizer.convert_ids_to_tokens(ids)[-1] == f" {label}"


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

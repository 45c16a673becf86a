"""Which option a text is most like, by words and by an encoder."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertConfig, BertModel

from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.evaluation.similarity import EncoderSimilarity, WordSimilarity, nearest_option
from med3d_r1.tiny import tiny_tokenizer

WORDS = WordSimilarity(CT_RATE_LABELS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Most likely a hernia at the hiatus", "A"),
        ("calcifications of the coronary walls", "B"),
        ("NODULES!", "D"),
        ("I cannot tell.", None),
        ("", None),
    ],
)
def test_by_words(text, expected):
    options = ["Hiatal hernia", "Coronary artery wall calcification", "Pleural effusion", "Lung nodule"]
    assert nearest_option(text, options, WORDS) == expected


def test_words_in_many_options_weigh_less():
    """ "Calcification" stands in two of three options and "wall" in both, "aorta" in one: by hand with rarities
    log(4 / 3) + 1 for both, log(4 / 2) + 1 for "aorta", and text = option 2 but for "heart"."""
    options = ["wall calcification heart", "wall calcification aorta", "nodule"]
    found = WordSimilarity(options).cosines("calcification aorta", options)
    common, rare = np.log(4 / 3) + 1, np.log(4 / 2) + 1
    text, option = np.hypot(common, rare), np.sqrt(2 * common**2 + rare**2)
    assert found == pytest.approx([common**2 / (text * option), (common**2 + rare**2) / (text * option), 0])


def test_a_tie_is_no_answer():
    assert nearest_option("effusion", ["Pleural effusion", "Pleural effusion"], WORDS) is None


@given(st.text(max_size=60))
def test_no_text_breaks_it(text):
    cosines = WORDS.cosines(text, CT_RATE_LABELS)
    assert ((cosines >= 0) & (cosines <= 1 + 1e-9)).all()


@given(st.sampled_from(CT_RATE_LABELS))
def test_an_option_is_most_like_itself(label):
    assert CT_RATE_LABELS["ABCDEFGHIJKLMNOPQR".index(nearest_option(label, CT_RATE_LABELS, WORDS))] == label


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = tiny_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return EncoderSimilarity(str(folder))


def test_by_an_encoder(encoder):
    options = ["Emphysema", "Pleural effusion", "A small nodule is seen in the upper lobe of the right lung."]
    cosines = encoder.cosines(options[2], options)
    assert cosines[2] == pytest.approx(1, abs=1e-5)
    assert cosines.argmax() == 2
    assert (np.abs(cosines) <= 1 + 1e-5).all()
    assert encoder.name.startswith("encoder ")


def test_padding_does_not_count(encoder):
    """The same two texts, alone and beside a longer one."""
    alone = encoder.cosines("Emphysema", ["Atelectasis"])
    beside = encoder.cosines("Emphysema", ["Atelectasis", "word " * 60])
    assert beside[0] == pytest.approx(alone[0], abs=1e-5)


def test_a_folder_without_an_encoder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no text encoder"):
        EncoderSimilarity(str(tmp_path))

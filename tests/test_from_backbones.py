"""Assembling a model from a decoder's folder: Qwen2, Qwen3 and the text tower of a Qwen2.5-VL."""

import pytest
import torch
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from med3d_r1 import Med3DR1ForConditionalGeneration
from med3d_r1.configuration_med3d_r1 import TINY_VISION
from med3d_r1.language_model_med3d_r1 import load_language_model
from med3d_r1.tiny import tiny_tokenizer

SIZE = {"vocab_size": 576, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2}  # fmt: skip


def qwen2(**options):
    return Qwen2ForCausalLM(Qwen2Config(**SIZE, **options))


def qwen3(**options):
    return Qwen3ForCausalLM(Qwen3Config(**SIZE, head_dim=8, **options))


def save(decoder, folder):
    decoder.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def assemble(folder, **options):
    image = tiny_tokenizer().convert_tokens_to_ids("<|image_pad|>")
    return Med3DR1ForConditionalGeneration.from_backbones(
        folder, vision_config=TINY_VISION, image_token_id=image, **options
    ).eval()


@pytest.mark.parametrize("make", [qwen2, qwen3])
@pytest.mark.parametrize("tied", [True, False])
def test_text_goes_through_the_decoder_unchanged(make, tied, tmp_path):
    torch.manual_seed(0)
    decoder = make(tie_word_embeddings=tied).eval()
    model = assemble(save(decoder, tmp_path / "decoder"))
    ids = torch.randint(0, 400, (2, 7))
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=ids).logits, decoder(input_ids=ids).logits)
    assert (model.lm_head.weight is model.get_input_embeddings().weight) == tied
    model.save_pretrained(tmp_path / "model")
    again = Med3DR1ForConditionalGeneration.from_pretrained(tmp_path / "model")
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())


def test_anchor_leaves_out_the_padding_rows(tmp_path):
    """The tokenizer has fewer words than the matrix has rows; the rest is padding, here of an absurd size."""
    decoder = qwen2()
    words = len(tiny_tokenizer())
    decoder.get_input_embeddings().weight.data[words:] = 1e6
    model = assemble(save(decoder, tmp_path))
    expected = decoder.get_input_embeddings().weight[:words].mean(0)
    torch.testing.assert_close(model.model.bridge.text_anchor, expected)
    assert model.config.vocabulary_size == words < SIZE["vocab_size"]


def test_vision_weights_and_dtype(tmp_path):
    folder = save(qwen2(), tmp_path / "decoder")
    other = assemble(folder)
    torch.save(other.model.vision_tower.state_dict(), tmp_path / "vision.pt")
    model = assemble(folder, vision_weights=tmp_path / "vision.pt", dtype=torch.bfloat16, gate="channel")
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.bfloat16}
    for key, value in other.model.vision_tower.state_dict().items():
        assert torch.equal(model.model.vision_tower.state_dict()[key], value.bfloat16())
    assert model.model.bridge.gate[2].out_features == 32


def test_all_parameters_are_real_and_initialised(tmp_path):
    model = assemble(save(qwen2(), tmp_path))
    for name, tensor in model.state_dict().items():
        assert tensor.device.type == "cpu", name
        assert tensor.isfinite().all(), name
    assert 0.015 < model.model.bridge.projection.weight.std() < 0.025
    assert model.model.vision_tower.embeddings.position_embedding.std() > 0.1


def test_text_tower_of_qwen2_5_vl(tmp_path):
    """Its rotary positions have three parts; in text all three are equal and the plain Qwen2 says the same."""
    config = Qwen2_5_VLConfig(
        text_config=SIZE
        | {"rope_parameters": {"rope_type": "default", "rope_theta": 5000.0, "mrope_section": [1, 1, 2]}},
        vision_config={"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 32},
        image_token_id=425, video_token_id=424, vision_start_token_id=423, vision_end_token_id=422,
        tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    vision_language_model = Qwen2_5_VLForConditionalGeneration(config).eval()
    decoder = load_language_model(save(vision_language_model, tmp_path / "vl")).eval()
    assert decoder.config.model_type == "qwen2"
    ids = torch.randint(0, 400, (2, 7))
    with torch.no_grad():
        expected = vision_language_model(input_ids=ids).logits
        torch.testing.assert_close(decoder(input_ids=ids).logits, expected)
        torch.testing.assert_close(assemble(str(tmp_path / "vl"))(input_ids=ids).logits, expected)

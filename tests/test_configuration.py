"""Sizes of the presets against the published ones, and what a configuration refuses."""

import pytest
import torch

from med3d_r1 import Med3DR1Config, Med3DR1ForConditionalGeneration, Med3DR1VisionConfig


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_3b_preset_has_the_published_sizes():
    """Vision 88.7 M (paper 4.2, release), projector 30.08 M with the release's options, decoder 3.09 B (Qwen2.5-3B).

    By hand, vision: a layer is 12 * 768^2 + 13 * 768 = 7,087,872; twelve of them, a patch kernel of 768 * 2048 + 768,
    2745 * 768 positions, 768 of the class token and 2 * 768 of the last norm give 88,738,560.
    """
    config = Med3DR1Config.preset("3b", gate="channel", output_position_embedding=True)
    with torch.device("meta"):
        model = Med3DR1ForConditionalGeneration(config)
    by_hand = 12 * (12 * 768**2 + 13 * 768) + 768 * 2049 + 2745 * 768 + 768 + 2 * 768
    assert count(model.model.vision_tower) == by_hand == 88_738_560
    assert round(count(model.model.bridge) / 1e6, 2) == 30.08
    assert round(count(model.model.language_model) / 1e9, 2) == 3.09
    assert count(model) == count(model.model)  # the head is tied


def test_3b_preset_makes_343_tokens_of_2048():
    config = Med3DR1Config.preset("3b")
    assert config.vision_config.grid == (14, 14, 14)
    assert config.vision_config.num_tokens == 2744
    assert config.pooled_grid == (7, 7, 7)
    assert config.num_image_tokens == 343
    assert config.text_config.hidden_size == 2048
    assert (config.gate, config.residual_alignment) == ("token", True)  # the paper's, not the release's


def test_round_trip_and_auto_map(tmp_path):
    config = Med3DR1Config.preset("tiny", gate="channel", pool_size=(1, 2, 2))
    config.save_pretrained(tmp_path)
    again = Med3DR1Config.from_pretrained(tmp_path)
    assert again.to_dict() == config.to_dict()
    assert set(again.auto_map) >= {"AutoConfig", "AutoModel", "AutoModelForImageTextToText", "AutoModelForCausalLM"}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Med3DR1Config.preset("7b"), "3b, tiny"),
        (lambda: Med3DR1Config.preset("tiny", gate="scalar"), "'scalar'"),
        (lambda: Med3DR1Config.preset("tiny", pool_size=(3, 2, 2)), r"\(4, 8, 8\) is not a multiple of pool_size"),
        (lambda: Med3DR1Config.preset("tiny", vocabulary_size=577), "577 does not fit the 576 rows"),
        (lambda: Med3DR1VisionConfig(image_size=(112, 224, 225)), "not a multiple of patch_size"),
        (lambda: Med3DR1VisionConfig(stem_channels=[4] * 4), r"patch_size \[8, 16, 16\] is not a multiple of 16"),
        (lambda: Med3DR1VisionConfig(num_attention_heads=5), "not a multiple of num_attention_heads"),
    ],
)
def test_refusals_name_both_values(build, message):
    with pytest.raises(ValueError, match=message):
        build()

"""Quantised loading and LoRA touch the decoder alone."""

import pytest
import torch

from med3d_r1 import Med3DR1Config, Med3DR1ForConditionalGeneration
from med3d_r1.lora import lora_config
from med3d_r1.quantization import quantization_config

IDS = torch.cat([torch.arange(5), torch.full((32,), 500), torch.arange(9)])[None]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Med3DR1ForConditionalGeneration(Med3DR1Config.preset("tiny", image_token_id=500)).eval()


@pytest.fixture(scope="module")
def volume():
    return torch.randn(1, 1, 32, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("bits", [8, 4])
def test_only_the_decoder_is_quantised(model, volume, bits, tmp_path):
    bitsandbytes = pytest.importorskip("bitsandbytes")
    model.save_pretrained(tmp_path)
    quantised = Med3DR1ForConditionalGeneration.from_pretrained(
        tmp_path, quantization_config=quantization_config(bits), dtype=torch.float32, device_map="cpu"
    ).eval()
    kind = {8: bitsandbytes.nn.Linear8bitLt, 4: bitsandbytes.nn.Linear4bit}[bits]
    names = [name for name, module in quantised.named_modules() if isinstance(module, kind)]
    assert len(names) == 2 * 7
    assert all(".language_model.layers." in name for name in names)
    with torch.no_grad():
        exact = model(input_ids=IDS, pixel_values=volume).logits
        rounded = quantised(input_ids=IDS, pixel_values=volume).logits
    assert torch.nn.functional.cosine_similarity(exact, rounded, dim=-1).min() > 0.9


def test_other_widths_are_refused():
    with pytest.raises(ValueError, match="8 or 4, not 3"):
        quantization_config(3)


def test_lora_adapts_the_decoder_and_trains_the_bridge(model, volume):
    peft = pytest.importorskip("peft")
    fresh = Med3DR1ForConditionalGeneration(model.config).eval()
    fresh.load_state_dict(model.state_dict())
    adapted = peft.get_peft_model(fresh, lora_config(r=4))
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    adapters = {name for name in trained if "lora" in name}
    assert len(adapters) == 2 * 2 * 7
    assert all(".language_model.layers." in name for name in adapters)
    rest = trained - adapters
    assert rest
    assert all(".bridge.modules_to_save." in name for name in rest)
    with torch.no_grad():
        expected = model(input_ids=IDS, pixel_values=volume).logits
        torch.testing.assert_close(adapted(input_ids=IDS, pixel_values=volume).logits, expected)

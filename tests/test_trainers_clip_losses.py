"""The losses of stage 0 against numbers derived by hand and against their plain definition."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clip_rows import tower
from med3d_r1.trainers.clip_losses import KnowledgeBank, gathered, info_nce
from med3d_r1.trainers.clip_model import ClipModel
from med3d_r1.trainers.clip_text import BagOfTokens


def plain_info_nce(image, text, scale):
    """Sum over pairs of -log of the share that the own partner has, both ways."""
    total = 0.0
    for this, other in ((image, text), (text, image)):
        for row in range(len(this)):
            agreements = [
                scale * torch.dot(this[row], other[place]) / (this[row].norm() * other[place].norm())
                for place in range(len(other))
            ]
            total -= math.log(math.exp(agreements[row]) / sum(map(math.exp, agreements)))
    return total / (2 * len(image))


def test_info_nce_of_two_pairs_by_hand():
    """Images (1, 0), (0, 1); texts (2, 0), (3, 4), whose cosines with the images are 1, 0.6 and 0, 0.8; scale 10.
    Images: -log of 1 / (1 + e^-4) and 1 / (1 + e^-8). Texts: 1 / (1 + e^-10) and 1 / (1 + e^-2)."""
    image, text = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[2.0, 0.0], [3.0, 4.0]])
    by_hand = sum(math.log1p(math.exp(-gap)) for gap in (4, 8, 10, 2)) / 4
    assert info_nce(image, text, 10.0).item() == pytest.approx(by_hand, rel=1e-5)


@given(st.integers(1, 5), st.integers(1, 6), st.floats(0, 20))
def test_info_nce_is_its_definition(pairs, width, scale):
    image, text = torch.randn(2, pairs, width, generator=torch.Generator().manual_seed(pairs), dtype=torch.float64)
    assert info_nce(image, text, scale).item() == pytest.approx(plain_info_nce(image, text, scale), abs=1e-9)
    assert info_nce(image, text, scale).item() == pytest.approx(info_nce(text, image, scale).item(), abs=1e-12)


def test_without_any_agreement_it_is_chance():
    image, text = torch.eye(8)[:4], torch.eye(8)[4:]
    assert info_nce(image, text, 10.0).item() == pytest.approx(math.log(4))


@pytest.mark.parametrize(("entries", "width"), [(16, 4), (4, 16)])
def test_the_bank_starts_orthogonal(entries, width):
    bank = KnowledgeBank(entries, width).entries.weight
    smaller = bank.T @ bank if entries > width else bank @ bank.T
    torch.testing.assert_close(smaller, torch.eye(min(entries, width)))


def test_a_reconstruction_by_hand():
    """Bank rows (ln 3, 0), (0, 0): (1, 5) weighs them by e^(ln 3) : e^0 = 3/4 : 1/4, which gives (3/4 ln 3, 0)."""
    bank = KnowledgeBank(2, 2)
    with torch.no_grad():
        bank.entries.weight.copy_(torch.tensor([[math.log(3), 0.0], [0.0, 0.0]]))
    torch.testing.assert_close(bank(torch.tensor([[1.0, 5.0]])), torch.tensor([[0.75 * math.log(3), 0.0]]))


def test_alone_nothing_is_gathered():
    rows = torch.randn(3, 2)
    assert gathered(rows) is rows


def batch():
    generator = torch.Generator().manual_seed(1)
    return {
        "pixel_values": torch.randn(4, 1, 32, 64, 64, generator=generator),
        "input_ids": torch.randint(0, 50, (4, 6), generator=generator),
        "attention_mask": torch.tensor([[1] * length + [0] * (6 - length) for length in (6, 1, 3, 5)]),
    }


def model_of(**settings):
    torch.manual_seed(0)
    return ClipModel(tower(), BagOfTokens(50, 10), width=8, pooling="mean_max", **{"bank_entries": 16, **settings})


def test_the_loss_is_the_sum_of_its_terms_with_brgsas_weights():
    model, inputs = model_of(), batch()
    output = model(**inputs)
    image, text = output.image_embeds, output.text_embeds
    again = [model.bank(image), model.bank(text)]
    mse = (again[0] - image).square().mean() + (again[1] - text).square().mean()
    whole = info_nce(image, text, 10.0) + 0.5 * mse + 1.0 * info_nce(*again, 10.0)
    torch.testing.assert_close(output.loss, whole)
    torch.testing.assert_close(
        output.loss, output.contrastive + 0.5 * output.reconstruction + output.reconstructed_contrastive
    )


def test_each_term_can_be_switched_off():
    inputs = batch()
    plain = model_of(bank_entries=0)
    assert plain.bank is None
    torch.testing.assert_close(plain(**inputs).loss, plain(**inputs).contrastive)
    without_mse = model_of(reconstruction_weight=0)(**inputs)
    assert without_mse.reconstruction is None
    torch.testing.assert_close(without_mse.loss, without_mse.contrastive + without_mse.reconstructed_contrastive)
    without_second = model_of(reconstructed_contrastive_weight=0)(**inputs)
    assert without_second.reconstructed_contrastive is None
    torch.testing.assert_close(without_second.loss, without_second.contrastive + 0.5 * without_second.reconstruction)
    assert model_of(reconstruction_weight=0, reconstructed_contrastive_weight=0).bank is None


@pytest.mark.parametrize("learn", [False, True])
def test_the_scale_trains_only_when_asked_to(learn):
    model = model_of(learn_scale=learn, scale=7.0)
    model(**batch()).loss.backward()
    trained = dict(model.named_parameters())
    assert ("log_scale" in trained) == learn
    assert model.log_scale.exp().item() == pytest.approx(7.0)
    if learn:
        assert trained["log_scale"].grad.abs() > 0


def test_what_pads_a_text_changes_nothing():
    model, inputs = model_of().eval(), batch()
    wider = {
        "input_ids": torch.nn.functional.pad(inputs["input_ids"], (2, 1), value=7),
        "attention_mask": torch.nn.functional.pad(inputs["attention_mask"], (2, 1)),
    }
    narrow = {name: inputs[name] for name in wider}
    torch.testing.assert_close(model.embed_texts(**wider), model.embed_texts(**narrow))


def test_the_similarity_is_a_cosine_and_with_a_bank_the_mean_of_two():
    plain, banked = model_of(bank_entries=0), model_of()
    image, text = torch.tensor([[3.0, 4.0] + [0.0] * 6]), torch.tensor([[1.0] + [0.0] * 7, [0.0, -2.0] + [0.0] * 6])
    torch.testing.assert_close(plain.similarity(image, text), torch.tensor([[0.6, -0.8]]))
    again = plain.similarity(banked.bank(image), text)
    torch.testing.assert_close(banked.similarity(image, text), (torch.tensor([[0.6, -0.8]]) + again) / 2)


@pytest.mark.parametrize("pooling", ["class", "mean", "mean_max"])
def test_scans_are_pooled_as_asked(pooling):
    torch.manual_seed(0)
    model = ClipModel(tower(), BagOfTokens(50, 10), width=8, pooling=pooling, bank_entries=0).eval()
    volumes = batch()["pixel_values"]
    output = model.vision_tower(volumes)
    tokens = output.last_hidden_state
    pooled = {
        "class": output.pooler_output,
        "mean": tokens.mean(1),
        "mean_max": torch.cat([tokens.mean(1), tokens.max(1).values], 1),
    }[pooling]
    torch.testing.assert_close(model.embed_images(volumes), model.image_head(pooled))


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="class, mean, mean_max; got 'max'"):
        ClipModel(tower(), BagOfTokens(50, 10), pooling="max")

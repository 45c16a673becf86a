"""The bridge: residual alignment by hand, its options, its gradients, its tables."""

import math

import pytest
import torch

from med3d_r1 import Med3DR1Config
from med3d_r1.bridge_med3d_r1 import WHITENING_FLOOR, Med3DR1Bridge
from med3d_r1.modeling_med3d_r1 import Med3DR1Model


def make_bridge(**options) -> Med3DR1Bridge:
    torch.manual_seed(0)
    bridge = Med3DR1Bridge(Med3DR1Config.preset("tiny", **options)).eval()
    bridge.initialize_tables()
    bridge.text_anchor.normal_()
    return bridge


@pytest.fixture
def features():
    return torch.randn(2, 256, 64, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_token_gate_by_hand(features):
    """Paper eq. 2-3 with a gate that only listens to its last bias b: s = sigmoid(b) for every token.

    b = ln 3 makes s = 3/4, so z = 3/4 t + 1/4 x, and x is what the bridge gives without alignment.
    """
    bridge, plain = make_bridge(), make_bridge(residual_alignment=False)
    plain.load_state_dict({key: value for key, value in bridge.state_dict().items() if "gate" not in key})
    bridge.gate[2].weight.zero_()
    bridge.gate[2].bias.fill_(math.log(3))
    tokens, gate = bridge(features)
    unaligned, no_gate = plain(features)
    torch.testing.assert_close(gate, torch.full((2, 32, 1), 0.75))
    torch.testing.assert_close(tokens, 0.75 * bridge.text_anchor + 0.25 * unaligned)
    assert no_gate is None


@torch.no_grad()
def test_gate_reads_token_then_anchor(features):
    """The gate's input is [x; t]: written out with the first layer's weight split in two."""
    bridge = make_bridge(gate="channel")
    plain = make_bridge(residual_alignment=False)
    plain.load_state_dict({key: value for key, value in bridge.state_dict().items() if "gate" not in key})
    x, _ = plain(features)
    token_weight, anchor_weight = bridge.gate[0].weight.split(128, dim=1)
    hidden = (x @ token_weight.T + bridge.text_anchor @ anchor_weight.T + bridge.gate[0].bias).relu()
    expected = torch.sigmoid(hidden @ bridge.gate[2].weight.T + bridge.gate[2].bias)
    tokens, gate = bridge(features)
    torch.testing.assert_close(gate, expected)
    torch.testing.assert_close(tokens, gate * bridge.text_anchor + (1 - gate) * x)


@pytest.mark.parametrize(("gate", "width"), [("token", 1), ("channel", 128)])
def test_gradients_reach_all_but_the_anchor(features, gate, width):
    bridge = make_bridge(gate=gate, output_position_embedding=True)
    tokens, values = bridge(features)
    assert values.shape == (2, 32, width)
    tokens.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in bridge.parameters())
    assert "text_anchor" in dict(bridge.named_buffers())


@torch.no_grad()
def test_pooling_is_the_strided_convolution(features):
    """The tokens of a 2 x 2 x 2 block of the (4, 8, 8) grid, and only they, make one pooled token."""
    bridge = make_bridge()
    moved = features.clone()
    moved.unflatten(1, (4, 8, 8))[:, 2, 5, 7] += 1.0
    change = (bridge(moved)[0] - bridge(features)[0]).abs().sum(-1).unflatten(1, (2, 4, 4))
    assert (change[0] > 0).nonzero().tolist() == [[1, 2, 3]]


@torch.no_grad()
def test_standardisation_starts_as_the_identity_and_is_saved(features):
    bridge, plain = make_bridge(feature_standardization=True), make_bridge(feature_standardization=False)
    torch.testing.assert_close(bridge(features * 100)[0], plain(features * 100)[0], rtol=0, atol=0)
    mean, covariance = features.flatten(0, 1).mean(0), features.flatten(0, 1).T.cov()
    bridge.set_feature_statistics(mean, covariance, limit=0.5)
    standardised = ((features - mean) @ bridge.feature_whitening).clamp(-0.5, 0.5)
    torch.testing.assert_close(bridge(features)[0], plain(standardised)[0])
    again = make_bridge(feature_standardization=True)
    again.load_state_dict(bridge.state_dict())
    torch.testing.assert_close(again(features)[0], bridge(features)[0], rtol=0, atol=0)


def test_whitening_by_hand():
    """Two channels of the deviations 2 and 3 with the correlation .48: R + .02 has the eigenvalues 1.5 and .54, with
    the vectors (1, 1) and (1, -1) over sqrt(2). All others have the deviation 1, and correlate with none."""
    bridge = make_bridge(feature_standardization=True)
    covariance = torch.eye(64, dtype=torch.float64)
    covariance[:2, :2] = torch.tensor([[4.0, 0.48 * 6], [0.48 * 6, 9.0]])
    bridge.set_feature_statistics(torch.zeros(64), covariance)
    same, other = (1.5**-0.5 + 0.54**-0.5) / 2, (1.5**-0.5 - 0.54**-0.5) / 2
    expected = torch.eye(64) / 1.02**0.5
    expected[:2, :2] = torch.tensor([[same / 2, other / 2], [other / 3, same / 3]])
    torch.testing.assert_close(bridge.feature_whitening, expected)


@torch.no_grad()
@pytest.mark.parametrize("volumes", [2, 7])
def test_statistics_are_taken_one_volume_at_a_time(volumes):
    """Equal to those of all tokens at once, far from zero too. What comes out has no mean and hardly a correlation; a
    channel that never changes becomes 0 and not infinite."""
    generator = torch.Generator().manual_seed(2)
    mixed = torch.randn(volumes, 256, 64, generator=generator) @ torch.randn(64, 64, generator=generator)
    features = 100 + mixed
    features[:, :, 3] = 5.0
    bridge, at_once = make_bridge(feature_standardization=True), make_bridge(feature_standardization=True)
    assert bridge.standardize_features(iter(features)) == volumes
    tokens = features.flatten(0, 1).double()
    at_once.set_feature_statistics(tokens.mean(0), tokens.T.cov(correction=0))
    torch.testing.assert_close(bridge.feature_mean, at_once.feature_mean)
    torch.testing.assert_close(bridge.feature_whitening, at_once.feature_whitening, rtol=1e-4, atol=1e-5)
    white = (tokens - tokens.mean(0)) @ bridge.feature_whitening.double()
    changing = [channel for channel in range(64) if channel != 3]
    values = torch.linalg.eigvalsh(tokens[:, changing].T.corrcoef())
    found = torch.linalg.eigvalsh(white[:, changing].T.cov(correction=0))
    torch.testing.assert_close(found, values / (values + WHITENING_FLOOR), rtol=1e-4, atol=1e-5)
    assert white[:, 3].abs().max() < 1e-6
    assert bridge(features)[0].isfinite().all()


def test_statistics_need_volumes(features):
    with pytest.raises(ValueError, match="two volumes or more, not of 1"):
        make_bridge(feature_standardization=True).standardize_features(features[:1])
    unread = iter(features)
    with pytest.raises(ValueError, match="feature_standardization=True"):
        make_bridge(feature_standardization=False).standardize_features(unread)
    assert len(list(unread)) == len(features)


def test_standardisation_refusals():
    with pytest.raises(ValueError, match="feature_standardization=True"):
        make_bridge(feature_standardization=False).set_feature_statistics(torch.zeros(64), torch.eye(64))
    with pytest.raises(ValueError, match="never change"):
        make_bridge(feature_standardization=True).set_feature_statistics(torch.zeros(64), torch.zeros(64, 64))


def test_wrong_features_are_refused_with_both_shapes(features):
    with pytest.raises(ValueError, match=r"\(2, 255, 64\); this model takes \(N, 256, 64\)"):
        make_bridge()(features[:, 1:])


@torch.no_grad()
@pytest.mark.parametrize("output_position_embedding", [False, True])
def test_blank_tokens_are_those_of_a_closed_gate(features, output_position_embedding):
    bridge = make_bridge(output_position_embedding=output_position_embedding)
    bridge.gate[2].bias.fill_(100.0)
    torch.testing.assert_close(bridge(features)[0], bridge.blank_tokens().expand(2, -1, -1))


def test_anchor_is_the_mean_of_the_real_words():
    """Six words, two padding rows. The mean over the words; padding rows of any size change nothing."""
    config = Med3DR1Config.preset("tiny", vocabulary_size=6)
    config.text_config.vocab_size = 8
    model = Med3DR1Model(config)
    words = model.get_input_embeddings().weight.data
    torch.testing.assert_close(model.bridge.text_anchor, words[:6].mean(0))
    words[:6] = torch.arange(6.0)[:, None]
    words[6:] = 1e6
    model.set_text_anchor()
    assert model.bridge.text_anchor.tolist() == [2.5] * 128

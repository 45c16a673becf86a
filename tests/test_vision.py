"""The vision tower and its blocks against plain versions, forward and backward."""

import pytest
import torch
from torch import nn

from med3d_r1.blocks3d_med3d_r1 import conv3d_of_blocks, sincos_position_embedding
from med3d_r1.configuration_med3d_r1 import TINY_VISION, Med3DR1VisionConfig
from med3d_r1.vision_med3d_r1 import Med3DR1VisionModel


@pytest.fixture(scope="module", params=[{"num_hidden_layers": 2, "stem_channels": []}, {"stem_channels": [4, 6]}])
def config(request):
    """The paper's kind, and one with a stem."""
    return Med3DR1VisionConfig(**{**TINY_VISION, **request.param})


@pytest.fixture(scope="module")
def tower(config):
    torch.manual_seed(0)
    return Med3DR1VisionModel(config).eval()


@pytest.fixture(scope="module")
def volumes(config):
    return torch.randn(2, 1, *config.image_size, generator=torch.Generator().manual_seed(1))


def plain_tower(tower: Med3DR1VisionModel) -> nn.ModuleList:
    """torch's own pre-norm encoder layers with the tower's weights."""
    config = tower.config
    layers = nn.ModuleList()
    for ours in tower.layers:
        layer = nn.TransformerEncoderLayer(
            config.hidden_size,
            config.num_attention_heads,
            config.intermediate_size,
            dropout=0.0,
            activation="gelu",
            layer_norm_eps=config.layer_norm_eps,
            batch_first=True,
            norm_first=True,
        )
        layer.self_attn.in_proj_weight.data = ours.attention.qkv.weight.data
        layer.self_attn.in_proj_bias.data = ours.attention.qkv.bias.data
        layer.self_attn.out_proj.load_state_dict(ours.attention.proj.state_dict())
        layer.linear1.load_state_dict(ours.mlp.fc1.state_dict())
        layer.linear2.load_state_dict(ours.mlp.fc2.state_dict())
        layer.norm1.load_state_dict(ours.norm1.state_dict())
        layer.norm2.load_state_dict(ours.norm2.state_dict())
        layers.append(layer)
    return layers


def plain_forward(tower: Med3DR1VisionModel, volumes: torch.Tensor) -> torch.Tensor:
    embeddings = tower.embeddings
    if embeddings.stem is not None:
        for convolution in embeddings.stem.convolutions:
            volumes = nn.functional.gelu(convolution(volumes))
    tokens = embeddings.patch_embedding(volumes).flatten(2).transpose(1, 2)
    tokens = torch.cat([embeddings.cls_token.expand(len(tokens), -1, -1), tokens], 1) + embeddings.position_embedding
    for layer in plain_tower(tower).train():
        tokens = layer(tokens)
    return tower.norm(tokens)[:, 1:]


def test_tower_equals_torch_encoder_layers(tower, volumes):
    with torch.no_grad():
        ours, plain = tower(volumes).last_hidden_state, plain_forward(tower, volumes)
    torch.testing.assert_close(ours, plain, atol=2e-5, rtol=1e-4)


def test_attention_implementations_agree(config, tower, volumes):
    eager = Med3DR1VisionModel._from_config(config, attn_implementation="eager").eval()
    eager.load_state_dict(tower.state_dict())
    with torch.no_grad():
        expected = eager(volumes).last_hidden_state
        torch.testing.assert_close(tower(volumes).last_hidden_state, expected, atol=2e-5, rtol=1e-4)


def test_gradient_checkpointing_changes_no_gradient(config, tower, volumes):
    gradients = []
    for checkpointing in (False, True):
        model = Med3DR1VisionModel(config).train()
        model.load_state_dict(tower.state_dict())
        if checkpointing:
            model.activation_checkpointing_enable()
        model(volumes).last_hidden_state.square().mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(checkpointed, plain)


def test_tokens_follow_the_grid(tower, config):
    """A bright spot at grid position (d, h, w) moves the patch embedding of token (d * gh + h) * gw + w alone.

    Through two convolutions of a stem a token sees the 8 voxels of its patch and 3 before them, along each axis: only
    the first 5 of a patch are its own.
    """
    d, h, w = 2, 5, 3
    volume = torch.zeros(1, 1, *config.image_size)
    (pd, ph, pw), (_, gh, gw) = config.patch_size, config.grid
    volume[..., d * pd : d * pd + 5, h * ph : h * ph + 5, w * pw : w * pw + 5] = 1.0
    with torch.no_grad():
        change = tower.embeddings(volume) - tower.embeddings(torch.zeros_like(volume))
    moved = change[0].abs().sum(-1).nonzero().flatten()
    assert moved.tolist() == [1 + (d * gh + h) * gw + w]  # 1: the class token stands first


def test_wrong_volume_is_refused_with_both_shapes(tower):
    with pytest.raises(ValueError, match=r"\(1, 1, 16, 64, 64\); this model takes volumes \(N, 1, 32, 64, 64\)"):
        tower(torch.zeros(1, 1, 16, 64, 64))


@pytest.mark.parametrize("kernel", [(1, 1, 1), (2, 3, 1), (2, 2, 2), (4, 2, 3)])
def test_conv3d_of_blocks_equals_the_convolution(kernel):
    conv = nn.Conv3d(3, 7, kernel, stride=kernel).double()
    volumes = torch.randn(2, 3, 8, 6, 6, dtype=torch.float64, requires_grad=True)
    blocks, plain = conv3d_of_blocks(volumes, conv), conv(volumes).flatten(2).transpose(1, 2)
    torch.testing.assert_close(blocks, plain)
    weight = torch.randn_like(plain)
    for ours, expected in zip(
        torch.autograd.grad((blocks * weight).sum(), (volumes, conv.weight)),
        torch.autograd.grad((plain * weight).sum(), (volumes, conv.weight)),
        strict=True,
    ):
        torch.testing.assert_close(ours, expected)


def test_sincos_positions_by_hand():
    """dim 14 is two bands an axis: frequencies 1 and 1/100. Token 7 of a (2, 2, 3) grid is (1, 0, 1); channels are
    sin and cos of d, of h, of w, and two zeros."""
    table = sincos_position_embedding((2, 2, 3), 14)
    one, zero = torch.tensor([1.0, 0.01]), torch.zeros(2)
    expected = torch.cat([one.sin(), one.cos(), zero.sin(), zero.cos(), one.sin(), one.cos(), zero])
    torch.testing.assert_close(table[7], expected)
    assert len(table.unique(dim=0)) == 12


def test_a_stem_keeps_up_the_spread_of_what_goes_through_it(config, tower):
    """A stem starts with weights for its own widths: noise of spread 1 comes out neither faint nor loud."""
    noise = torch.randn(2, 1, *config.image_size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        patches = tower.embeddings(noise)[:, 1:] - tower.embeddings.position_embedding[:, 1:]
    spread = patches.std().item()
    assert 0.3 < spread < 3

"""Checkpoints in the release's key layout, written at random, give the same outputs on the permuted volume."""

import pytest
import torch
from torch import nn

from med3d_r1 import Med3DR1Config, Med3DR1ForConditionalGeneration
from med3d_r1.weights_med3d_r1 import convert_release, load_vision_weights, read_checkpoint

GRID = (4, 2, 6)  # (D, H, W), all different, so that a swapped axis shows
PATCH = (2, 4, 3)
VISION = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 48,
    "image_size": [g * p for g, p in zip(GRID, PATCH, strict=True)],
    "patch_size": list(PATCH),
}


class ReleaseAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        n, length, width = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(n, length, width))


class ReleaseBlock(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = ReleaseAttention(width, heads)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["fc2"](nn.functional.gelu(self.mlp["fc1"](self.norm2(x))))


class ReleaseEncoder(nn.Module):
    """A 3D ViT with the release's keys, on volumes (N, 1, x, y, z)."""

    def __init__(self):
        super().__init__()
        width, tokens = VISION["hidden_size"], GRID[0] * GRID[1] * GRID[2]
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + tokens, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv3d(1, width, PATCH[::-1], stride=PATCH[::-1])})
        self.blocks = nn.ModuleList(ReleaseBlock(width, 3, VISION["intermediate_size"]) for _ in range(2))
        self.norm = nn.LayerNorm(width)

    def forward(self, volume):
        patches = self.patch_embed["proj"](volume).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(volume), -1, -1), patches], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 1:]


class ReleaseProjector(nn.Module):
    """The release's bridge, on tokens of the grid (x, y, z)."""

    def __init__(self, width=16):
        super().__init__()
        self.mean_prompt_template = nn.Parameter(torch.randn(1, width))
        self.reduce = nn.Conv3d(VISION["hidden_size"], width, 2, stride=2)
        self.projector = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))
        self.gate_mlp = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, width))
        self.pos_embed = nn.Parameter(torch.randn(1, GRID[0] * GRID[1] * GRID[2] // 8, width))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens):
        grid = tokens.transpose(1, 2).unflatten(2, GRID[::-1])
        x = self.projector(self.reduce(grid).flatten(2).transpose(1, 2))
        anchor = self.mean_prompt_template.expand_as(x)
        gate = torch.sigmoid(self.gate_mlp(torch.cat([x, anchor], -1)))
        return self.norm(gate * anchor + (1 - gate) * x + self.pos_embed)


@pytest.fixture
def release():
    torch.manual_seed(0)
    return ReleaseEncoder().eval(), ReleaseProjector().eval()


@pytest.fixture
def model():
    decoder = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
               "num_attention_heads": 2, "num_key_value_heads": 2}  # fmt: skip
    config = Med3DR1Config(
        vision_config=VISION, text_config=decoder, gate="channel", output_position_embedding=True, image_token_id=31
    )
    return Med3DR1ForConditionalGeneration(config).eval()


@pytest.fixture
def volume():
    return torch.randn(2, 1, *VISION["image_size"], generator=torch.Generator().manual_seed(1))


def in_our_order(tokens: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
    """(N, x * y * z, C), z fastest -> (N, D * H * W, C), W fastest."""
    return tokens.unflatten(1, grid[::-1]).permute(0, 3, 2, 1, 4).flatten(1, 3)


@torch.no_grad()
@pytest.mark.parametrize("name", ["encoder.pth", "encoder.safetensors"])
def test_vision_encoder(release, model, volume, tmp_path, name):
    encoder, _ = release
    if name.endswith("safetensors"):
        from safetensors.torch import save_file

        save_file(encoder.state_dict(), tmp_path / name)
    else:
        torch.save({"state_dict": encoder.state_dict()}, tmp_path / name)
    load_vision_weights(model.model.vision_tower, tmp_path / name)
    expected = in_our_order(encoder(volume.permute(0, 1, 4, 3, 2)), GRID)
    torch.testing.assert_close(model.encode_volumes(volume), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_projector(release, model):
    _, projector = release
    model.load_state_dict(convert_release(projector.state_dict(), model.config), strict=False)
    features = torch.randn(2, 48, 24)
    grid = tuple(n // 2 for n in GRID)
    theirs = projector(features.unflatten(1, GRID).permute(0, 3, 2, 1, 4).flatten(1, 3))
    torch.testing.assert_close(model.model.bridge(features)[0], in_our_order(theirs, grid), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_merged_checkpoint(release, model, volume):
    encoder, projector = release
    decoder = {key: torch.randn_like(value) for key, value in model.model.language_model.state_dict().items()}
    merged = {f"model.{key}": value for key, value in decoder.items()}
    merged |= {f"model.vision_tower.vision_tower.{key}": value for key, value in encoder.state_dict().items()}
    merged |= {f"model.mm_projector.{key}": value for key, value in projector.state_dict().items()}
    merged["lm_head.weight"] = decoder["embed_tokens.weight"]
    model.load_state_dict(convert_release(merged, model.config), strict=True)
    theirs = projector(encoder(volume.permute(0, 1, 4, 3, 2)))
    ours = model.get_image_features(volume, return_dict=True).pooler_output
    torch.testing.assert_close(ours, in_our_order(theirs, tuple(n // 2 for n in GRID)), atol=1e-5, rtol=1e-5)
    for key, value in model.model.language_model.state_dict().items():
        assert torch.equal(value, decoder[key])


@torch.no_grad()
@pytest.mark.parametrize("prefix", ["", "vision_tower.", "model.vision_tower."])
def test_our_own_files_load_with_and_without_prefix(model, volume, tmp_path, prefix):
    torch.manual_seed(5)
    other = Med3DR1ForConditionalGeneration(model.config).eval()
    state = {prefix + key: value for key, value in other.model.vision_tower.state_dict().items()}
    if prefix == "model.vision_tower.":
        state["lm_head.weight"] = other.lm_head.weight
    torch.save(state, tmp_path / "ours.pt")
    load_vision_weights(model.model.vision_tower, tmp_path / "ours.pt")
    assert torch.equal(model.encode_volumes(volume), other.encode_volumes(volume))


def test_shards_of_a_folder_are_read_together(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({"b": torch.zeros(1)}, tmp_path / "model-00002-of-00002.safetensors")
    assert set(read_checkpoint(tmp_path)) == {"a", "b"}


class Payload:
    def __reduce__(self):
        return (print, ("code ran",))


def test_refusals(model, release, tmp_path, capsys):
    encoder, _ = release
    with pytest.raises(FileNotFoundError, match="no checkpoint here"):
        read_checkpoint(tmp_path)
    torch.save({"weights": [1, 2]}, tmp_path / "list.pt")
    with pytest.raises(ValueError, match="other than named tensors"):
        read_checkpoint(tmp_path / "list.pt")
    torch.save({"a": Payload()}, tmp_path / "code.pt")
    with pytest.raises(ValueError, match=r"code.pt: cannot be read as a checkpoint of tensors alone"):
        read_checkpoint(tmp_path / "code.pt")
    assert "code ran" not in capsys.readouterr().out
    (tmp_path / "damaged.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match=r"damaged.safetensors: cannot be read"):
        read_checkpoint(tmp_path / "damaged.safetensors")
    with pytest.raises(ValueError, match="not keys of the release"):
        convert_release({"foo": torch.ones(1)}, model.config)
    torch.save({"cls_token": torch.ones(1, 1, 24)}, tmp_path / "half.pt")
    with pytest.raises(ValueError, match="do not fit the vision tower"):
        load_vision_weights(model.model.vision_tower, tmp_path / "half.pt")
    with pytest.raises(ValueError, match="'head' is not a key of the release"):
        convert_release(encoder.state_dict() | {"head": torch.ones(1)}, model.config)

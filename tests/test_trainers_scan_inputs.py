"""Numbers of scans in place of volumes: what is read and encoded, how often, and that gradients are those of copies."""

from contextlib import nullcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from med3d_r1.trainers.scan_inputs import (
    FrozenTower,
    NumberedScans,
    ReferenceTower,
    TrainedTower,
    numbers_for_volumes,
)

VOLUME, TOKENS, WIDTH = (1, 2, 2, 2), 3, 4


class Features(dict):
    """Stands for a ModelOutput."""

    __getattr__ = dict.__getitem__


class Reader:
    """Stands for the image processor: the volume of scan "7" is drawn with seed 7. Counts what it reads."""

    def __init__(self, encoded=False):
        self.read, self.encoded = [], encoded

    def __call__(self, images, return_tensors):
        self.read += images
        shape = (TOKENS, WIDTH) if self.encoded else VOLUME
        drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(int(image))) for image in images]
        return {"pixel_values": torch.stack(drawn).double()}


class Model(nn.Module):
    """Stands for Med3DR1Model: a tower that is not linear, a bridge, and a count of the encoded volumes."""

    device = torch.device("cpu")

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.vision_tower = nn.Sequential(nn.Flatten(), nn.Linear(8, TOKENS * WIDTH), nn.GELU(), nn.Dropout(0.5))
        self.bridge = nn.Linear(WIDTH, 2)
        self.encoded = []
        self.double()

    def encode_volumes(self, volumes):
        if volumes.ndim == 3:
            return volumes
        self.encoded.append(len(volumes))
        return self.vision_tower(volumes).unflatten(1, (TOKENS, WIDTH))

    def get_image_features(self, pixel_values, **kwargs):
        return Features(pooler_output=self.bridge(self.encode_volumes(pixel_values)))


@pytest.fixture
def model():
    return Model().eval()


def frozen(model, cache_bytes=1e6, **more):
    return FrozenTower(model, cache_bytes, nullcontext, **more)


def tokens_of(model, scans, tower, numbers):
    with numbers_for_volumes(model, scans, tower):
        return model.get_image_features(pixel_values=torch.tensor(numbers)).pooler_output


def test_scans_are_numbered_in_the_order_of_their_first_appearance_and_not_read():
    scans = NumberedScans(reader := Reader())
    assert scans(["5", "3", "5"])["pixel_values"].tolist() == [0, 1, 0]
    assert scans(["3", "8"])["pixel_values"].tolist() == [1, 2]
    assert scans.sources == ["5", "3", "8"]
    assert reader.read == []


def test_a_table_is_made_again_from_its_sources():
    scans = NumberedScans(Reader(), ["5", "3"])
    assert scans(["3", "5"])["pixel_values"].tolist() == [1, 0]


def test_volumes_are_kept_once_for_each_scan():
    scans = NumberedScans(reader := Reader())
    scans(["5", "3", "5", "5"])
    assert scans.volumes().shape == (2, *VOLUME)
    assert scans.volumes() is scans.volumes()
    assert reader.read == ["5", "3"]


def test_tokens_are_those_of_the_copies(model):
    scans = NumberedScans(reader := Reader())
    numbers = scans(["5", "3", "5"])["pixel_values"].tolist()
    # One by one: of one row and of three a processor may add up the products in another order.
    encoded = torch.cat([model.encode_volumes(Reader()([scan], "pt")["pixel_values"]) for scan in ("5", "3", "5")])
    expected = model.get_image_features(encoded).pooler_output
    assert torch.equal(tokens_of(model, scans, frozen(model), numbers), expected)
    assert reader.read == ["5", "3"]


def test_a_model_takes_volumes_too_within_the_context_and_nothing_else_behind_it(model):
    volumes = Reader()(["5"], "pt")["pixel_values"]
    expected = model.get_image_features(volumes).pooler_output
    with numbers_for_volumes(model, NumberedScans(Reader()), frozen(model)):
        assert torch.equal(model.get_image_features(volumes).pooler_output, expected)
    assert "get_image_features" not in vars(model)


def test_a_frozen_tower_encodes_each_scan_once_and_without_dropout(model):
    tower = frozen(model.train())
    for _ in range(3):
        scans = NumberedScans(Reader())
        numbers = scans(["5", "3", "5"])["pixel_values"].tolist()
        tokens_of(model, scans, tower, numbers)
        found = tokens_of(model, scans, tower, numbers)
    assert model.encoded == [1, 1]
    assert model.vision_tower.training
    model.eval()
    expected = model.get_image_features(Reader()(["5", "3", "5"], "pt")["pixel_values"]).pooler_output
    torch.testing.assert_close(found, expected)


def test_the_cache_keeps_what_was_needed_last_and_stays_within_its_bound(model):
    """A scan's features are 3 x 4 doubles, 96 bytes: 200 bytes are room for two."""
    tower = frozen(model, cache_bytes=200)

    def need(*names):
        scans = NumberedScans(reader := Reader())
        tokens_of(model, scans, tower, scans(names)["pixel_values"].tolist())
        return reader.read

    assert need("1", "2") == ["1", "2"]
    assert need("1") == []
    assert need("3") == ["3"]  # and "2" goes
    assert need("1", "3") == []
    assert need("2") == ["2"]


def test_without_a_cache_a_scan_is_still_encoded_once_a_batch(model):
    tower, scans = frozen(model, cache_bytes=0), NumberedScans(Reader())
    for _ in range(2):
        tokens_of(model, scans, tower, scans(["1", "1"])["pixel_values"].tolist())
    assert model.encoded == [1]


def test_encoded_scans_are_taken_as_they_are(model):
    scans = NumberedScans(reader := Reader(encoded=True))
    numbers = scans(["5", "3", "5"])["pixel_values"].tolist()
    found = tokens_of(model, scans, frozen(model, sharded=True), numbers)
    assert torch.equal(found, model.bridge(Reader(encoded=True)(["5", "3", "5"], "pt")["pixel_values"]))
    assert model.encoded == []
    assert reader.read == ["5", "3"]


def test_a_tower_that_trains_refuses_encoded_scans(model):
    scans = NumberedScans(Reader(encoded=True))
    numbers = scans(["5"])["pixel_values"].tolist()
    with pytest.raises(ValueError, match="5 is encoded already"):
        tokens_of(model, scans, TrainedTower(model, int, bool, nullcontext), numbers)


def test_a_frozen_tower_in_parts_refuses_to_encode(model):
    scans = NumberedScans(Reader())
    numbers = scans(["5"])["pixel_values"].tolist()
    with pytest.raises(ValueError, match="give encoded scans"):
        tokens_of(model, scans, frozen(model, sharded=True), numbers)


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5), min_size=1, max_size=4))
def test_gradients_are_those_of_copies_however_the_copies_are_divided(batches):
    """Several batches between two steps of the optimizer, each a list of scans, with a loss that is not linear."""

    def loss(tokens, weight):
        return weight * (tokens * torch.arange(1.0, 1 + tokens.numel()).view_as(tokens)).square().sum()

    copied = Model().eval()
    for weight, batch in enumerate(batches, start=1):
        volumes = Reader()([str(number) for number in batch], "pt")["pixel_values"]
        loss(copied.get_image_features(volumes).pooler_output, weight).backward()

    model = Model().eval()
    scans, last = NumberedScans(reader := Reader(), ["0", "1", "2", "3"]), []
    tower = TrainedTower(model, lambda: 0, lambda: bool(last), nullcontext)
    for weight, batch in enumerate(batches, start=1):
        last += [True] * (weight == len(batches))
        loss(tokens_of(model, scans, tower, batch), weight).backward()

    for ours, theirs in zip(model.parameters(), copied.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-9)
    used = len({number for batch in batches for number in batch})
    assert model.encoded == [4] * (len(batches) > 1) + [used]  # without, then with gradient
    assert len(reader.read) == 4


def test_a_tower_that_trains_follows_its_weights(model):
    step = 0
    scans = NumberedScans(Reader(), ["1", "2"])
    tower = TrainedTower(model, lambda: step, lambda: True, nullcontext)
    with torch.no_grad():
        tokens_of(model, scans, tower, [0, 0])
        before = tokens_of(model, scans, tower, [1, 0])
        assert model.encoded == [2]
        model.vision_tower[1].weight.add_(1.0)
        step = 1
        after = tokens_of(model, scans, tower, [1, 0])
    assert model.encoded == [2, 2]
    assert not torch.equal(before, after)


def test_a_reference_encodes_a_batch_once(model):
    tower = ReferenceTower(model)
    for _ in range(2):
        scans = NumberedScans(Reader(), ["1", "2"])
        for numbers in ([0, 0], [1]):
            tokens_of(model, scans, tower, numbers)
    assert model.encoded == [2, 2]

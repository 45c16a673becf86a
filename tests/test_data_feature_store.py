"""The feature store: whose tokens it holds, and that it says so."""

import hashlib
from pathlib import Path

import pytest
import torch

from med3d_r1 import Med3DR1ImageProcessor, VolumeError
from med3d_r1.checkpoints import initialize
from med3d_r1.data.feature_store import (
    FEATURES,
    Encoded,
    FeatureStore,
    checksum,
    encoding,
    weights_fingerprint,
)
from med3d_r1.data.manifest import ManifestPart, StoreError
from med3d_r1.data.scans import Scan, Volume
from med3d_r1.encoded_med3d_r1 import save_encoded
from med3d_r1.lora import lora_config
from store_rows import entry
from store_rows import fill as fill_volume_store
from tiny import tiny_model


@pytest.fixture(scope="module")
def tiny():
    model, processor = initialize("tiny")
    return model, processor.image_processor


def tokens(seed=0) -> torch.Tensor:
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(seed)).bfloat16()


def store_of(folder: Path, preprocessing: dict, **features: torch.Tensor) -> FeatureStore:
    """A store with these tokens, whose volumes get the suffix of a NIfTI file."""
    with ManifestPart(folder, FEATURES, (1, 1), preprocessing) as part:
        for name, scan in features.items():
            path = FEATURES.path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_encoded(path, scan, {})
            common = {key: vars(entry())[key] for key in ("dataset", "split", "patient", "scan", "bytes")}
            common |= {"source_bytes": None, "seconds": 0.1, "prepared_at": 1.0}
            part.add(
                Encoded(f"{name}.nii.gz", **common, sha256=checksum(scan), tokens=[3, 4], source_sha256="00")
            )  # fmt: skip
    return FeatureStore(folder)


class TestTheStore:
    def test_what_is_stored_comes_back(self, tmp_path):
        store = store_of(tmp_path, {}, a_1=tokens(0), c_1=tokens(1))
        assert list(store) == ["a_1.nii.gz", "c_1.nii.gz"]
        assert len(store) == 2
        assert "c_1.nii.gz" in store
        assert torch.equal(store["c_1.nii.gz"], tokens(1))
        assert store["c_1.nii.gz"].dtype == torch.bfloat16
        with pytest.raises(KeyError, match=r"z_1\.nii\.gz is not in "):
            store["z_1.nii.gz"]

    def test_rows_get_paths(self, tmp_path):
        store = store_of(tmp_path, {}, a_1=tokens())
        volumes = tuple(Volume(f"{name}.nii.gz", Path("source")) for name in ("a_1", "b_1"))
        (kept,) = store.stored([Scan("CT-RATE", "train", "a", "a_1", volumes)])
        assert [volume.name for volume in kept.volumes] == ["a_1.nii.gz"]
        path = store.path_of(kept.volumes[0])
        assert path == store.path("a_1.nii.gz") == str(FEATURES.path(tmp_path, "a_1"))
        assert path.endswith("a_1.safetensors")

    def test_broken_files_are_found(self, tmp_path):
        store = store_of(tmp_path, {}, a_1=tokens(0), b_1=tokens(1), c_1=tokens(2))
        save_encoded(store.path("b_1.nii.gz"), tokens(7), {})
        Path(store.path("c_1.nii.gz")).write_bytes(b"torn")
        faults = dict(store.faults())
        assert faults["a_1.nii.gz"] is None
        assert faults["b_1.nii.gz"] == "its content is not what was stored"
        assert "Encode the scan again" in faults["c_1.nii.gz"]
        with pytest.raises(VolumeError):
            store["c_1.nii.gz"]

    def test_its_fingerprint_is_that_of_tokens_and_settings(self, tmp_path):
        one = store_of(tmp_path / "one", {"weights": "w"}, a_1=tokens(0), b_1=tokens(1)).fingerprint
        assert store_of(tmp_path / "two", {"weights": "w"}, b_1=tokens(1), a_1=tokens(0)).fingerprint == one
        assert store_of(tmp_path / "three", {"weights": "w"}, a_1=tokens(0), b_1=tokens(2)).fingerprint != one
        assert store_of(tmp_path / "four", {"weights": "v"}, a_1=tokens(0), b_1=tokens(1)).fingerprint != one

    def test_the_checksum_is_that_of_the_bits(self):
        """1 in bfloat16 has the bits 0x3F80, -2 0xC000."""
        features = torch.tensor([[1.0, -2.0]], dtype=torch.bfloat16)
        assert checksum(features) == hashlib.sha256(bytes([0x80, 0x3F, 0x00, 0xC0])).hexdigest()

    def test_another_folder_is_no_feature_store(self, tmp_path):
        with pytest.raises(StoreError, match="no store of features; `med3d-r1 encode` makes one"):
            FeatureStore(tmp_path)
        fill_volume_store(tmp_path, entry())
        with pytest.raises(StoreError, match="is of a store of volumes, where one of features is wanted"):
            FeatureStore(tmp_path)


class TestWhoseItIs:
    def test_its_own_model_is_let_in_however_it_was_loaded_or_wrapped(self, tiny, tmp_path):
        from peft import get_peft_model

        model, image_processor = tiny
        store = store_of(tmp_path, encoding(model, image_processor), a_1=tokens())
        store.require(model, image_processor)
        store.require(tiny_model().bfloat16(), image_processor)
        store.require(get_peft_model(tiny_model(), lora_config()), image_processor)

    def test_other_weights_are_refused_and_the_rest_of_the_model_does_not_matter(self, tiny, tmp_path):
        model, image_processor = tiny
        store = store_of(tmp_path, encoding(model, image_processor), a_1=tokens())
        other = tiny_model()
        with torch.no_grad():
            other.lm_head.weight.add_(1.0)
            other.model.bridge.projection.weight.add_(1.0)
        store.require(other, image_processor)
        with torch.no_grad():
            other.model.vision_tower.layers[-1].mlp.fc2.bias[3] += 0.1
        with pytest.raises(StoreError, match=r"was encoded with weights \w{64}, and weights \w{64} is asked for: .*"):
            store.require(other, image_processor)

    @pytest.mark.parametrize(
        ("setting", "value"), [("window", ((-1000, 0), (1000, 1))), ("mean", 0.4), ("std", 0.3), ("antialias", False)]
    )
    def test_other_preprocessing_is_refused(self, tiny, tmp_path, setting, value):
        model, image_processor = tiny
        store = store_of(tmp_path, encoding(model, image_processor), a_1=tokens())
        other = Med3DR1ImageProcessor.from_dict({**image_processor.to_dict(), setting: value})
        with pytest.raises(StoreError, match=rf"was encoded with {setting} .* or encode another store"):
            store.require(model, other)


class TestTheFingerprint:
    def test_every_tensor_counts(self, tiny):
        tower = tiny_model().model.vision_tower
        seen = {weights_fingerprint(tower)}
        assert seen == {weights_fingerprint(tiny[0].model.vision_tower)}
        for tensor in tower.state_dict().values():
            with torch.no_grad():
                tensor.flatten()[-1] += 0.5
            seen.add(weights_fingerprint(tower))
        assert len(seen) == 1 + len(tower.state_dict())

    @pytest.mark.parametrize(
        ("setting", "value", "same"),
        [("num_attention_heads", 4, False), ("layer_norm_eps", 1e-3, False), ("attention_dropout", 0.1, True)],
    )
    def test_settings_count_if_they_act(self, setting, value, same):
        tower = tiny_model().model.vision_tower
        before = weights_fingerprint(tower)
        setattr(tower.config, setting, value)
        assert (weights_fingerprint(tower) == before) is same

    def test_gradients_and_modes_do_not_count(self):
        tower = tiny_model().model.vision_tower
        before = weights_fingerprint(tower)
        tower.train().requires_grad_(False)
        assert weights_fingerprint(tower) == before

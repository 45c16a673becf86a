"""Encoded scans: whole on disk, mapped into memory, and as good as the scan itself wherever a scan is taken."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from med3d_r1 import VolumeError, encoded_med3d_r1
from med3d_r1.checkpoints import initialize, save_checkpoint
from med3d_r1.encoded_med3d_r1 import is_encoded, load_encoded, open_encoded, save_encoded
from med3d_r1.prompts_med3d_r1 import question_messages
from scans import synthetic_chest

TOKENS = torch.arange(6.0).view(2, 3) / 3

COMMON = {
    "max_steps": 1, "learning_rate": 1e-3, "bf16": False, "activation_checkpointing": False, "use_cpu": True,
    "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "logging_steps": 1,
}  # fmt: skip
"""Settings of every trainer here."""


@pytest.fixture(scope="module")
def tiny():
    return initialize("tiny")


@pytest.fixture(scope="module")
def model(tiny):
    return tiny[0]


@pytest.fixture(scope="module")
def processor(tiny):
    return tiny[1]


@pytest.fixture(scope="module")
def volumes(processor):
    """(2, 1, 32, 64, 64), what the model sees of two scans."""
    return processor.image_processor(chests(), return_tensors="pt")["pixel_values"]


@pytest.fixture(scope="module")
def features(model, volumes):
    """(2, L, C) float32."""
    with torch.no_grad():
        return model.encode_volumes(volumes)


@pytest.fixture
def files(processor, features, tmp_path):
    """The same two scans, encoded, on disk."""
    record = {"preprocessing": processor.image_processor.tensor_preprocessing}
    paths = [tmp_path / f"scan_{number}.safetensors" for number in range(2)]
    for path, tokens in zip(paths, features, strict=True):
        save_encoded(path, tokens, record)
    return [str(path) for path in paths]


def chests():
    return [synthetic_chest((36, 48, 48), seed=seed) for seed in (0, 1)]


class TestTheFile:
    @given(st.integers(1, 5), st.integers(1, 7), st.integers(0, 9))
    def test_it_gives_back_what_bfloat16_keeps(self, tmp_path_factory, length, width, seed):
        tokens = torch.randn(length, width, generator=torch.Generator().manual_seed(seed)) * 10.0**seed
        path = tmp_path_factory.mktemp("encoded") / "scan.safetensors"
        save_encoded(path, tokens, {"seed": seed})
        kept, record = open_encoded(path)
        assert torch.equal(kept, tokens.bfloat16())
        assert record == {"seed": seed}

    def test_it_is_plain_safetensors_and_alone_in_its_folder(self, tmp_path):
        path = tmp_path / "scan.safetensors"
        save_encoded(path, torch.zeros(1, 1), {})
        save_encoded(path, TOKENS, {"volume": "a"})
        assert [file.name for file in tmp_path.iterdir()] == [path.name]
        ((name, tokens),) = load_file(path).items()
        assert (name, tokens.dtype) == ("features", torch.bfloat16)
        assert torch.equal(tokens, TOKENS.bfloat16())

    def test_a_scan_of_a_batch_does_not_bring_the_batch_along(self, tmp_path):
        batch = torch.zeros(100, 50, 8, dtype=torch.bfloat16)
        save_encoded(tmp_path / "scan.safetensors", batch[3], {})
        assert (tmp_path / "scan.safetensors").stat().st_size < 2 * 50 * 8 + 200

    @pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not say what is mapped")
    def test_it_is_mapped_into_memory_and_only_its_reader_sees_what_he_writes(self, tmp_path):
        path = tmp_path / "scan.safetensors"
        save_encoded(path, TOKENS, {})
        before = path.read_bytes()
        tokens = load_encoded(path)
        assert str(path) in Path("/proc/self/maps").read_text()
        tokens += 1
        assert path.read_bytes() == before
        del tokens
        assert str(path) not in Path("/proc/self/maps").read_text()

    def test_what_could_not_be_written_leaves_nothing(self, tmp_path, monkeypatch):
        def full(path, *_):
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")

        class Library:
            def save_file(self, tensors, path, metadata):
                full(path)

        monkeypatch.setattr(encoded_med3d_r1, "import_module", lambda name: Library())
        with pytest.raises(OSError, match="No space left"):
            save_encoded(tmp_path / "scan.safetensors", TOKENS, {})
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("path", "tokens", "message"),
        [
            ("scan.safetensors", torch.zeros(2, 3, 4), r"features of a scan are \(L, C\); got \(2, 3, 4\)"),
            ("scan.pt", TOKENS, r"ends in \.safetensors; got scan\.pt"),
        ],
        ids=["batch", "suffix"],
    )
    def test_nothing_else_is_written(self, tmp_path, path, tokens, message):
        with pytest.raises(ValueError, match=message):
            save_encoded(tmp_path / path, tokens, {})

    @pytest.mark.parametrize(
        ("tensors", "metadata", "found"),
        [
            ({"features": TOKENS.bfloat16()}, None, "a record that is a NoneType"),
            ({"features": TOKENS}, {"record": "{}"}, r"float32 \(2, 3\)"),
            ({"features": TOKENS.bfloat16()[None]}, {"record": "{}"}, r"bfloat16 \(1, 2, 3\)"),
            ({"features": TOKENS.bfloat16()}, {"record": "{"}, "Expecting property name"),
            ({"weight": TOKENS, "bias": TOKENS[0].clone()}, None, "the tensors bias, weight"),
        ],
        ids=["no record", "float32", "three axes", "torn record", "a model"],
    )
    def test_other_files_of_the_format_are_not_taken_for_one(self, tmp_path, tensors, metadata, found):
        save_file(tensors, tmp_path / "scan.safetensors", metadata)
        with pytest.raises(VolumeError, match=rf"^scan\.safetensors: .*; found .*{found}.* Encode the scan again\.$"):
            load_encoded(tmp_path / "scan.safetensors")

    @pytest.mark.parametrize("cut", [0, 5, 40, -1])
    def test_a_torn_file_is_refused(self, tmp_path, cut):
        path = tmp_path / "scan.safetensors"
        save_encoded(path, TOKENS, {})
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(VolumeError, match="Encode the scan again"):
            load_encoded(path)

    def test_a_missing_file_is_a_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="nothing"):
            load_encoded(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize(
    ("source", "encoded"),
    [
        ("a/scan.safetensors", True),
        (Path("scan.SAFETENSORS"), True),
        (torch.zeros(2, 3), True),
        (torch.zeros(1, 2, 3), False),
        (np.zeros((2, 3)), False),
        ("scan.nii.gz", False),
        (["scan.safetensors"], False),
    ],
    ids=["path", "capitals", "tensor", "voxels", "slice", "scan", "list"],
)
def test_what_counts_as_encoded(source, encoded):
    assert is_encoded(source) is encoded


class TestTheImageProcessor:
    def test_paths_and_tensors_become_one_batch(self, processor, features, files):
        image_processor, expected = processor.image_processor, features.bfloat16()
        for images in (files, [Path(file) for file in files], [[file] for file in files], list(expected)):
            found = image_processor(images, return_tensors="pt")["pixel_values"]
            assert found.dtype == torch.bfloat16
            assert torch.equal(found, expected)
        assert torch.equal(image_processor(files[1], return_tensors="pt")["pixel_values"], expected[1:])
        assert torch.equal(image_processor(list(features), return_tensors="pt")["pixel_values"], features)

    def test_lists_and_arrays(self, processor, features, files):
        unstacked = processor.image_processor(files)["pixel_values"]
        assert [tuple(tokens.shape) for tokens in unstacked] == [features.shape[1:]] * 2
        array = processor.image_processor(files, return_tensors="np")["pixel_values"]
        assert np.array_equal(array, features.bfloat16().float().numpy())

    def test_a_mixture_is_refused(self, processor, files):
        with pytest.raises(ValueError, match=r"all encoded .* or none is: 1 of 3 are not, the first a CTVolume"):
            processor.image_processor([files[0], synthetic_chest((36, 48, 48)), files[1]])

    def test_how_to_read_a_scan_is_not_asked_any_more(self, processor, files):
        with pytest.raises(ValueError, match=r"spacing, rescale say how to read a scan"):
            processor.image_processor(files, spacing=(1, 1, 1), rescale=(1, -1024))

    def test_scans_encoded_with_other_settings_are_refused(self, processor, files, tmp_path):
        _, record = open_encoded(files[0])
        record["preprocessing"]["window"][0] = [-1000, 0.08]
        save_encoded(tmp_path / "other.safetensors", TOKENS, record)
        with pytest.raises(VolumeError, match=r"this processor's settings.*-960\.0.*; found .*-1000.* Encode the scan"):
            processor.image_processor([files[0], tmp_path / "other.safetensors"])

    def test_their_settings_survive_being_saved(self, processor, files, tmp_path):
        processor.image_processor.save_pretrained(tmp_path)
        again = type(processor.image_processor).from_pretrained(tmp_path)
        assert again.tensor_preprocessing == processor.image_processor.tensor_preprocessing
        assert json.loads(json.dumps(again.tensor_preprocessing)) == again.tensor_preprocessing
        assert again(files, return_tensors="pt")["pixel_values"].shape[0] == 2

    @pytest.mark.parametrize("source", ["scan.safetensors", torch.zeros(2, 3)], ids=["path", "tensor"])
    def test_there_are_no_voxels_to_prepare(self, processor, source):
        with pytest.raises(VolumeError, match="a scan that is encoded already"):
            processor.image_processor.prepare(source)


class TestTheModel:
    def inputs(self, processor, images):
        questions = [question_messages(question, ["Emphysema", "Lung nodule"]) for question in ("Which?", "What now?")]
        texts = [processor.apply_chat_template(messages, tokenize=False) for messages in questions]
        inputs = processor(images=images, text=texts, return_tensors="pt", padding=True)
        return {**inputs, "labels": inputs["input_ids"]}

    def gradient(self, model, inputs):
        """(loss, gradient of the bridge)."""
        model.zero_grad()
        loss = model(**inputs).loss
        loss.backward()
        return loss.detach(), torch.cat([p.grad.flatten() for p in model.model.bridge.parameters()])

    def test_tokens_that_were_not_rounded_change_nothing(self, model, processor, features):
        """Forward and gradient; the vision tower is frozen, so the bridge is all that the two ways share."""
        loss, gradient = self.gradient(model, self.inputs(processor, chests()))
        encoded_loss, encoded_gradient = self.gradient(model, self.inputs(processor, list(features)))
        assert torch.equal(encoded_loss, loss)
        assert torch.equal(encoded_gradient, gradient)

    def test_stored_tokens_are_within_what_bfloat16_rounds(self, model, processor, files):
        loss, gradient = self.gradient(model, self.inputs(processor, chests()))
        encoded_loss, encoded_gradient = self.gradient(model, self.inputs(processor, files))
        assert encoded_loss == pytest.approx(loss.item(), rel=1e-3)
        assert torch.cosine_similarity(encoded_gradient, gradient, dim=0) > 0.999
        assert not torch.equal(encoded_gradient, gradient)

    def test_messages_name_them_as_they_name_scans(self, model, processor, files, features):
        message = question_messages("Which?", ["Emphysema", "Lung nodule"], volumes=files[0])
        inputs = processor.apply_chat_template(message, tokenize=True, return_dict=True, return_tensors="pt")
        assert torch.equal(inputs["pixel_values"], features[:1].bfloat16())
        assert inputs["input_ids"].eq(model.config.image_token_id).sum() == model.config.num_image_tokens

    def test_tokens_of_another_model_are_refused_by_this_one(self, model, processor):
        inputs = self.inputs(processor, [torch.zeros(7, 64)] * 2)
        with pytest.raises(ValueError, match=r"encoded tokens are \(2, 7, 64\); this model takes \(N, 256, 64\)"):
            model(**inputs)


class TestStockTrainers:
    """TRL's own trainers, unchanged, on a checkpoint that brings its code along."""

    @pytest.fixture
    def loaded(self, tiny, tmp_path):
        folder = str(save_checkpoint(*tiny, tmp_path / "model"))
        model = AutoModelForImageTextToText.from_pretrained(folder, trust_remote_code=True)
        model.model.vision_tower = None  # whoever calls it, fails
        return model, AutoProcessor.from_pretrained(folder, trust_remote_code=True)

    def rows(self, files, **columns):
        prompt = question_messages("Which?", ["Emphysema", "Lung nodule"])
        return Dataset.from_list([{"images": [file], "prompt": prompt, **columns} for file in files])

    def test_sft(self, loaded, files, tmp_path):
        model, processor = loaded
        completion = [{"role": "assistant", "content": "<answer>A</answer>"}]
        trainer = SFTTrainer(
            model=model,
            processing_class=processor,
            train_dataset=self.rows(files, completion=completion),
            args=SFTConfig(tmp_path / "run", per_device_train_batch_size=2, max_length=None, **COMMON),
        )
        assert math.isfinite(trainer.train().training_loss)
        assert trainer.state.log_history[0]["grad_norm"] > 0

    def test_grpo(self, loaded, files, tmp_path):
        model, processor = loaded
        trainer = GRPOTrainer(
            model=model,
            processing_class=processor,
            reward_funcs=lambda completions, **_: [float(index % 2) for index in range(len(completions))],
            train_dataset=self.rows(files),
            args=GRPOConfig(
                tmp_path / "run", per_device_train_batch_size=4, num_generations=2, max_completion_length=6,
                log_multimodal=False, **COMMON,
            ),
        )  # fmt: skip
        assert math.isfinite(trainer.train().training_loss)
        assert trainer.state.log_history[0]["grad_norm"] > 0

"""What is never published: scans under any name, secrets, leftovers of training, and anything that is not known."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from med3d_r1.release.files import (
    ReleaseError,
    entries_of,
    files_below,
    former_claims,
    model_files,
    refuse_private,
    weight_files,
)
from med3d_r1.release.model import require_own_code
from med3d_r1.release.weights import require_finite
from scans import synthetic_chest, write_nifti
from tiny import tiny_checkpoint

TOKEN = "hf_" + "Ab3" * 11


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("files") / "model")


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A copy that a test may spoil; links will do for what it does not touch."""
    copy = tmp_path / "model"
    copy.mkdir()
    for path in checkpoint.iterdir():
        (copy / path.name).symlink_to(path)
    return copy


def rewrite(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def test_a_model_folder_passes_with_all_its_files(checkpoint):
    files = model_files(checkpoint)
    assert files.keys() == {path.name for path in checkpoint.iterdir()}
    assert [path.name for path in weight_files(checkpoint)] == ["model.safetensors"]
    require_own_code(files)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("optimizer.pt", "left over from training"),
        ("training_args.bin", "left over from training"),
        ("checkpoint-20/trainer_state.json", "left over from training"),
        (".cache/huggingface/download/x.lock", "left over from training"),
        ("pickle.pkl", "left over from training"),
        ("run.json", "left over from training"),
        ("notes.txt", "no file of a model folder"),
        ("patient.png", "no file of a model folder"),
        ("other.safetensors", "no file of a model folder"),
        ("chest.nii.gz", "scan"),
        ("slices/1.DCM", "scan"),
        ("manifest/all.parquet", "store of scans"),
        ("volume.npz", "scan"),
        (".env", "secrets"),
        ("id_rsa", "secrets"),
    ],
)
def test_what_is_no_file_of_a_model_is_refused_by_name(folder, name, word):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("anything")
    with pytest.raises(ReleaseError, match=word) as refusal:
        model_files(folder)
    assert name in str(refusal.value)


def as_dicom() -> bytes:
    return bytes(128) + b"DICM" + bytes(64)


def as_numpy() -> bytes:
    return b"\x93NUMPY" + bytes(600)


@pytest.mark.parametrize("name", ["tokenizer.json", "merges.txt", "model-00001-of-00002.safetensors"])
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (as_dicom(), "DICOM"),
        (bytes(344) + b"n+1\0" + bytes(100), "NIfTI"),
        (gzip.compress(bytes(344) + b"n+1\0" + bytes(100)), "NIfTI"),
        (b"NRRD0005\n" + bytes(600), "NRRD"),
        (as_numpy(), "NumPy"),
        (b"PK\x03\x04" + bytes(600), "archive"),
    ],
    ids=["dicom", "nifti", "nifti.gz", "nrrd", "npy", "zip"],
)
def test_a_scan_is_known_by_its_first_bytes_whatever_it_is_called(folder, name, content, kind):
    (folder / name).unlink(missing_ok=True)
    (folder / name).write_bytes(content)
    with pytest.raises(ReleaseError, match=f"{kind}.*first bytes"):
        model_files(folder)


def test_a_real_nifti_file_and_a_real_array_are_known(tmp_path):
    write_nifti(tmp_path / "chest.nii.gz", synthetic_chest((8, 16, 16)))
    np.save(tmp_path / "chest.npy", np.zeros((4, 4, 4), np.int16))
    for source, name in (("chest.nii.gz", "vocab.json"), ("chest.npy", "merges.txt")):
        (tmp_path / source).rename(tmp_path / name)
        with pytest.raises(ReleaseError, match="by its first bytes"):
            refuse_private(tmp_path / name, name)


@pytest.mark.parametrize(
    "text",
    [
        TOKEN,
        f'{{"a": 1,\n "token": "{TOKEN}"}}',
        "ghp_" + "a1B2" * 9,
        "AKIA" + "ABCDEFGH12345678",
        "-----BEGIN RSA PRIVATE KEY-----",
        'api_key = "verysecretvalue"',
        '{"hub_token": "x", "HF_TOKEN": "abcdefgh123"}',
    ],
)
def test_a_secret_is_refused_and_not_repeated(tmp_path, text):
    path = tmp_path / "tokenizer_config.json"
    path.write_text(text)
    with pytest.raises(ReleaseError, match=r"line \d+: .*how it is written") as refusal:
        refuse_private(path, path.name)
    assert text.strip('{}"') not in str(refusal.value)
    assert TOKEN not in str(refusal.value)


@pytest.mark.parametrize(
    "text", ["hf_hub_download", '{"secret": 17, "password": 18}', "sha256 " + "ab" * 32, "sk-learn"]
)
def test_words_that_look_a_little_like_secrets_pass(tmp_path, text):
    (tmp_path / "vocab.json").write_text(text)
    refuse_private(tmp_path / "vocab.json", "vocab.json")


@pytest.mark.parametrize("name", ["generation_config.json", "chat_template.jinja", "processor_config.json"])
def test_a_missing_setting_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ReleaseError, match=f"{name} missing"):
        model_files(folder)


def test_weights_must_be_there_as_the_index_says_and_no_others(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(ReleaseError, match=r"weights model.safetensors are missing"):
        weight_files(folder)
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": dict(zip("ab", shards, strict=True))})
    )
    save_file({"a": torch.zeros(1)}, folder / shards[0])
    with pytest.raises(ReleaseError, match=f"weights {shards[1]} are missing"):
        weight_files(folder)
    save_file({"b": torch.zeros(1)}, folder / shards[1])
    assert [path.name for path in weight_files(folder)] == shards
    save_file({"c": torch.zeros(1)}, folder / "model-00003-of-00003.safetensors")
    with pytest.raises(ReleaseError, match="does not name"):
        weight_files(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_single_number_that_is_none_is_found(checkpoint, tmp_path, value):
    state = load_file(checkpoint / "model.safetensors")
    whole = require_finite([checkpoint / "model.safetensors"])
    assert whole.numbers == sum(tensor.numel() for tensor in state.values())
    assert whole.dtypes == ("float32",)
    state["model.bridge.pool.weight"][1, 2, 0, 1, 0] = value
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ReleaseError, match=r"1 of .* numbers of model.bridge.pool.weight are NaN or infinite"):
        require_finite([tmp_path / "model.safetensors"])


def test_no_limit_of_features_is_infinite_and_right(checkpoint, tmp_path):
    state = load_file(checkpoint / "model.safetensors")
    assert state["model.bridge.feature_limit"].isinf()
    state["model.bridge.feature_limit"].fill_(float("nan"))
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ReleaseError, match="feature_limit"):
        require_finite([tmp_path / "model.safetensors"])


def test_damaged_weights_are_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{not json at all")
    with pytest.raises(ReleaseError, match="damaged"):
        require_finite([tmp_path / "model.safetensors"])


def test_other_code_than_the_packages_is_refused(folder):
    path = folder / "modeling_med3d_r1.py"
    rewrite(path, path.read_bytes() + b"\n")
    with pytest.raises(ReleaseError, match=r"modeling_med3d_r1.py: not the same"):
        require_own_code(model_files(folder))
    path.unlink()
    with pytest.raises(ReleaseError, match=r"modeling_med3d_r1.py: not the same"):
        require_own_code(model_files(folder))


def test_numbers_of_a_former_card_and_former_results_are_found(folder):
    assert former_claims(folder) == []
    (folder / "README.md").write_text(
        "---\nmodel-index:\n- name: m\n  results:\n  - task: {type: t}\n    dataset: {type: d, name: d}\n"
        "    metrics:\n    - {type: accuracy, value: 0.75}\n---\n# m\n"
    )
    (folder / ".eval_results").mkdir()
    (folder / ".eval_results" / "x.yaml").write_text("- dataset: {id: a/b, task_id: c}\n  value: 0.5\n")
    assert former_claims(folder) == [("README.md", 0.75), (".eval_results/x.yaml", 0.5)]
    assert "README.md" not in model_files(folder)
    (folder / ".eval_results" / "x.yaml").write_text("- value: [\n")
    with pytest.raises(ReleaseError, match="cannot be read"):
        former_claims(folder)


def test_entries_tell_paths_sizes_and_hashes(tmp_path):
    (tmp_path / ".eval_results").mkdir()
    (tmp_path / ".eval_results" / "a.yaml").write_bytes(b"abc")
    (entry,) = entries_of(tmp_path)
    assert (entry.path, entry.size) == (".eval_results/a.yaml", 3)
    assert entry.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert [name for name, _ in files_below(tmp_path)] == [".eval_results/a.yaml"]

"""Making, saving and loading model folders."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save

from med3d_r1 import checkpoints
from med3d_r1.checkpoints import (
    fast_dtype,
    initialize,
    load_checkpoint,
    load_model,
    load_processor,
    replace_weights,
    save_checkpoint,
    save_weights,
)


@pytest.fixture(scope="module")
def assembled():
    return initialize("tiny")


def test_the_same_seed_gives_the_same_model(assembled):
    model, _ = assembled
    state = model.state_dict()
    again, other = initialize("tiny")[0].state_dict(), initialize("tiny", seed=1)[0].state_dict()
    assert all(torch.equal(again[key], value) for key, value in state.items())
    assert not torch.equal(other["lm_head.weight"], state["lm_head.weight"])


def test_model_and_processor_fit_each_other(assembled):
    model, processor = assembled
    assert processor.num_image_tokens == model.config.num_image_tokens
    assert list(processor.image_processor.size) == model.config.vision_config.image_size
    assert processor.image_token_id == model.config.image_token_id
    assert model.config.vocabulary_size == len(processor.tokenizer)
    assert model.generation_config.eos_token_id == processor.tokenizer.eos_token_id


def test_folder_goes_round(assembled, tmp_path):
    model, processor = assembled
    folder = save_checkpoint(model, processor, tmp_path / "model")
    again, processor_again = load_checkpoint(folder, device="cpu", dtype=torch.float32)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())
    assert processor_again.image_processor.to_dict() == processor.image_processor.to_dict()
    assert type(again).__module__ == "med3d_r1.modeling_med3d_r1"  # this package's code, not the folder's
    assert (folder / "modeling_med3d_r1.py").is_file()


def test_a_full_folder_is_never_written_over(assembled, tmp_path):
    (tmp_path / "notes.txt").write_text("keep me")
    with pytest.raises(FileExistsError, match="exists already"):
        save_checkpoint(*assembled, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_failed_save_leaves_nothing(assembled, tmp_path, monkeypatch):
    model, processor = assembled

    def full_disk(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(type(processor), "save_pretrained", full_disk)
    with pytest.raises(OSError, match="no space left"):
        save_checkpoint(model, processor, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_bridge_options_and_vision_weights(assembled, tmp_path):
    model, _ = assembled
    torch.save(model.model.vision_tower.state_dict(), tmp_path / "vision.pt")
    other, _ = initialize("tiny", vision_weights=tmp_path / "vision.pt", seed=1, gate="channel")
    for key, value in model.model.vision_tower.state_dict().items():
        assert torch.equal(other.model.vision_tower.state_dict()[key], value)
    assert other.config.gate == "channel"


def test_unknown_preset_and_unfit_tokenizer(assembled, tmp_path):
    with pytest.raises(ValueError, match="'7b'; there are 3b, tiny"):
        initialize("7b")
    tokenizer = assembled[1].tokenizer
    with pytest.raises(ValueError, match="has no '<|nothing|>'".replace("|", r"\|")):
        checkpoints._token_id(tokenizer, "<|nothing|>")


def test_dtype_of_the_machine(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert fast_dtype("cpu") == torch.float32
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert fast_dtype("cpu") == torch.bfloat16
    assert fast_dtype("cuda") == torch.bfloat16


@pytest.fixture(scope="module")
def saved(assembled, tmp_path_factory):
    return save_checkpoint(*assembled, tmp_path_factory.mktemp("saved") / "model")


def damaged(saved, folder, name, content):
    """A copy of the saved folder in which one file has another content, or is gone."""
    shutil.copytree(saved, folder / "model")
    if content is None:
        (folder / "model" / name).unlink()
    else:
        (folder / "model" / name).write_bytes(content)
    return folder / "model"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "no config.json"),
        ("config.json", b"{", "config.json cannot be read"),
        ("config.json", b'{"model_type": "qwen2"}', "not a Med3D-R1 model; .* 'qwen2'"),
        ("model.safetensors", None, "weights are missing or damaged"),
        ("model.safetensors", b"junk" * 9, "weights are missing or damaged"),
    ],
)
def test_a_damaged_folder_is_refused_by_name(saved, tmp_path, name, content, message):
    folder = damaged(saved, tmp_path, name, content)
    with pytest.raises(ValueError, match=f"{folder}: .*{message}"):
        load_model(folder, device="cpu")


def test_weights_that_are_missing_are_not_made_up(saved, tmp_path):
    weights = load_file(saved / "model.safetensors")
    del weights["model.bridge.projection.weight"]
    folder = damaged(saved, tmp_path, "model.safetensors", save(weights, {"format": "pt"}))
    with pytest.raises(ValueError, match=r"1 weights are missing .* model\.bridge\.projection\.weight"):
        load_model(folder, device="cpu")


def test_a_processor_without_its_parts_and_a_place_with_nothing(saved, tmp_path):
    folder = damaged(saved, tmp_path, "processor_config.json", None)
    with pytest.raises(ValueError, match="processor is missing or incomplete"):
        load_processor(folder)
    with pytest.raises(FileNotFoundError, match="no such folder, and no repository"):
        load_checkpoint(tmp_path / "nothing")


@pytest.mark.parametrize(("device", "message"), [("gpu9", "not one of cpu"), ("cuda", "torch sees no GPU")])
def test_a_device_that_is_not_there(device, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=message):
        checkpoints.require_device(device)
    checkpoints.require_device("auto")


def test_dtype_of_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert checkpoints.default_device() == "cuda"
    for native, dtype in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, native=native: native)
        assert fast_dtype("cuda:0") == dtype


def test_whole_parts_are_replaced(assembled):
    model, _ = initialize("tiny", seed=1)
    weights = {key: value for key, value in assembled[0].state_dict().items() if key.startswith("model.bridge.")}
    replace_weights(model, weights, "theirs")
    state = model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in weights.items())
    assert not torch.equal(state["lm_head.weight"], assembled[0].state_dict()["lm_head.weight"])


def test_parts_that_do_not_fit_are_refused_whole(assembled):
    model, _ = initialize("tiny", gate="channel", output_position_embedding=True)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    weights = {key: value for key, value in assembled[0].state_dict().items() if key.startswith("model.bridge.")}
    with pytest.raises(ValueError, match=r"theirs: .* 3 missing .*; 2 of another shape .*--gate channel"):
        replace_weights(model, weights, "theirs")
    with pytest.raises(ValueError, match="1 unknown to the model"):
        replace_weights(model, {"model.tail.weight": torch.zeros(1)}, "theirs")
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())


def test_weights_go_to_a_file_of_their_own(tmp_path):
    shared = torch.arange(6.0).reshape(2, 3)
    save_weights({"a": shared, "b": shared.T}, tmp_path / "new" / "w.safetensors")
    again = load_file(tmp_path / "new" / "w.safetensors")
    assert torch.equal(again["a"], shared)
    assert torch.equal(again["b"], shared.T)
    with pytest.raises(FileExistsError):
        save_weights({}, tmp_path / "new" / "w.safetensors")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["w.safetensors"]


def test_a_language_model_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="no language model with a tokenizer"):
        initialize("tiny", language_model=str(tmp_path))

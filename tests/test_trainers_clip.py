"""ClipTrainer: what goes in, that it learns, that it goes on where it stopped, and what comes out."""

import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import BertConfig, BertModel, EvalPrediction

from clip_rows import config, image_processor, rows, save_noise, tower, trainer_of
from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.checkpoints import initialize
from med3d_r1.prepared_med3d_r1 import PreparedVolume
from med3d_r1.tiny import tiny_tokenizer
from med3d_r1.trainers.checkpointing import last_whole_checkpoint
from med3d_r1.trainers.clip_data import ClipCollator, EpochSampler, ShiftedRows, shifted
from med3d_r1.trainers.clip_text import load_text_encoder
from med3d_r1.volume_med3d_r1 import VolumeError
from med3d_r1.weights_med3d_r1 import load_vision_weights, read_checkpoint


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return save_noise(tmp_path_factory.mktemp("scans"), 8)


def losses(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


# Rows and batches


def test_a_batch_is_what_the_image_processor_and_the_tokenizer_make_of_its_rows(scans):
    processor, tokenizer = image_processor(), tiny_tokenizer()
    batch = ClipCollator(processor, tokenizer)(rows(scans[:3]))
    torch.testing.assert_close(batch["pixel_values"], processor(scans[:3], return_tensors="pt")["pixel_values"])
    texts = tokenizer([row["text"] for row in rows(scans[:3])], padding=True, return_tensors="pt")
    assert torch.equal(batch["input_ids"], texts["input_ids"])
    assert torch.equal(batch["attention_mask"], texts["attention_mask"])
    assert batch["labels"].tolist() == [row["labels"] for row in rows(scans[:3])]


def test_texts_are_cut_and_made_small_when_asked_to():
    collator = ClipCollator(image_processor(), tiny_tokenizer(), max_text_tokens=5, lowercase=True)
    cut = collator.texts(["There is Emphysema. And more of it."])
    assert cut["input_ids"].shape == (1, 5)
    assert torch.equal(cut["input_ids"], collator.texts(["there is emphysema. and MORE of it."])["input_ids"])


def test_rows_without_labels_have_unknown_ones(scans):
    batch = ClipCollator(image_processor(), tiny_tokenizer())(rows(scans[:1], labelled=False))
    assert batch["labels"].tolist() == [[-1] * 18]


@pytest.mark.parametrize(
    ("change", "words"), [({"labels": [1, 0]}, "18 times 0 or 1"), ({"images": ["a.npz", "b.npz"]}, "has 2")]
)
def test_rows_of_another_form_are_refused(change, words, scans):
    with pytest.raises(ValueError, match=words):
        ClipCollator(image_processor(), tiny_tokenizer())([rows(scans)[0] | change])


def test_so_many_scans_stay_in_memory(scans, tmp_path):
    paths = save_noise(tmp_path, 2)
    collator = ClipCollator(image_processor(), tiny_tokenizer(), keep_scans=1)
    before = collator(rows(paths))["pixel_values"]
    (tmp_path / "0.npz").unlink()
    torch.testing.assert_close(collator(rows(paths))["pixel_values"], before)
    (tmp_path / "1.npz").unlink()
    with pytest.raises(VolumeError, match="must exist"):
        collator(rows(paths))


@pytest.mark.parametrize("margin", [(0, 0, 0), (2, 2, 2), (1, 0, 3)])
def test_a_shift_reads_from_the_margin_and_repeats_the_border_beyond_it(margin):
    """Against numpy: the whole prepared volume with its border repeated, and cut out of that."""
    size, shift = (32, 64, 64), (2, -1, 3)
    field = tuple(length + 2 * more for length, more in zip(size, margin, strict=True))
    processor = image_processor(margin=margin, field_size=field)
    hu = np.random.default_rng(0).integers(-1000, 1000, field).astype(np.int16)
    prepared = PreparedVolume(hu, np.eye(4), {"preprocessing": processor.preprocessing})
    wide = np.pad(hu, 3, mode="edge")
    places = tuple(
        slice(3 + more + step, 3 + more + step + n) for n, more, step in zip(size, margin, shift, strict=True)
    )
    plain = image_processor()
    cut = PreparedVolume(np.ascontiguousarray(wide[places]), np.eye(4), {"preprocessing": plain.preprocessing})
    torch.testing.assert_close(shifted(processor, prepared, shift), plain.to_tensor(cut), rtol=0, atol=0)


def test_shifts_follow_from_seed_epoch_and_row_alone(scans):
    drawn = ShiftedRows(rows(scans), (1, 2, 3), seed=5)
    shifts = [drawn[key]["shift"] for key in range(3 * len(scans))]
    assert [drawn[key]["shift"] for key in reversed(range(3 * len(scans)))] == shifts[::-1]
    assert shifts[0] != shifts[len(scans)]
    assert drawn[len(scans) + 2]["text"] == rows(scans)[2]["text"]
    assert np.abs(shifts).max(axis=0).tolist() == [1, 2, 3]
    assert [ShiftedRows(rows(scans), (1, 2, 3), seed=6)[key]["shift"] for key in range(8)] != shifts[:8]


def test_epochs_are_whole_batches_in_new_orders():
    sampler = EpochSampler(rows=11, batch=4, seed=0)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert len(first) == len(second) == len(sampler) == 8
    assert len({*first}) == 8
    assert {key // 11 for key in second} == {1}
    assert [key % 11 for key in second] != first
    assert {*range(11)} >= {*first}


def test_fewer_rows_than_a_batch_are_refused(scans, tmp_path):
    with pytest.raises(ValueError, match="8 pairs are fewer than the 16"):
        trainer_of(config(tmp_path, per_device_train_batch_size=16), rows(scans)).train()


# Training


def test_it_learns_which_text_belongs_to_which_scan(scans, tmp_path):
    trainer = trainer_of(config(tmp_path, max_steps=40, per_device_train_batch_size=8), rows(scans))
    trainer.train()
    terms = [entry["contrastive"] for entry in trainer.state.log_history if "contrastive" in entry]
    assert terms[0] > 0.5 * np.log(8)
    assert terms[-1] < 0.1
    last = trainer.state.log_history[-2]
    assert last["loss"] == pytest.approx(
        last["contrastive"] + 0.5 * last["reconstruction"] + last["reconstructed_contrastive"], rel=1e-4
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_that_goes_on_is_one_that_never_stopped(workers, scans, tmp_path):
    """Six steps of two batches an epoch, or three, and then three more: the same losses and weights to the last bit."""
    data = Dataset.from_list(rows(scans))
    settings = {"random_shift": [1, 2, 2], "dataloader_num_workers": workers, "max_steps": 6}
    whole = trainer_of(config(tmp_path / "whole", **settings), data)
    whole.train()
    stopped = config(tmp_path / "parts", **settings, save_strategy="steps", save_steps=3)
    first = trainer_of(stopped, data)
    first.train()
    (tmp_path / "parts" / "checkpoint-6").rename(tmp_path / "later")
    second = trainer_of(stopped, data)
    with torch.no_grad():
        for weight in second.model.parameters():
            weight.add_(1.0)
    second.train(resume_from_checkpoint=last_whole_checkpoint(tmp_path / "parts"))
    assert losses(second) == losses(whole) == losses(first)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], value), name


def test_shifts_change_what_is_learnt_from(scans, tmp_path):
    still = trainer_of(config(tmp_path / "still", max_steps=2), rows(scans))
    moved = trainer_of(config(tmp_path / "moved", max_steps=2, random_shift=[2, 2, 2]), rows(scans))
    still.train()
    moved.train()
    assert losses(still) != losses(moved)


def test_gradient_accumulation_takes_the_mean_of_its_batches(scans, tmp_path):
    """Without batch statistics, two batches of 4 accumulated give the mean of both losses, each by itself."""
    args = config(tmp_path, max_steps=1, batch_norm=False, gradient_accumulation_steps=2, learning_rate=0.0)
    trainer = trainer_of(args, rows(scans))
    trainer.train()
    order = list(EpochSampler(8, 4, args.seed))
    halves = [trainer.data_collator([rows(scans)[key] for key in order[part : part + 4]]) for part in (0, 4)]
    trainer.model.train()
    alone = [trainer.compute_loss(trainer.model, half).item() for half in halves]
    assert losses(trainer)[0] == pytest.approx(np.mean(alone), rel=1e-5)


def test_activations_computed_twice_change_nothing(scans, tmp_path):
    plain = trainer_of(config(tmp_path / "plain", max_steps=2), rows(scans))
    again = trainer_of(config(tmp_path / "again", max_steps=2, activation_checkpointing=True), rows(scans))
    plain.train()
    again.train()
    assert again.model.vision_tower.is_gradient_checkpointing
    np.testing.assert_allclose(losses(again), losses(plain), rtol=1e-6)


def test_a_locked_text_tower_stays_as_it_was(scans, tmp_path):
    trainer = trainer_of(config(tmp_path, lock_text=True), rows(scans))
    before = {name: weight.clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    moved = {name.split(".")[0] for name, weight in trainer.model.named_parameters() if not weight.equal(before[name])}
    assert moved == {"vision_tower", "image_head", "bank"}
    assert trainer.model.text_head[0].num_batches_tracked == 4
    trainer.model.train()
    assert not trainer.model.text_encoder.training
    assert trainer.model.text_head.training


# Zero-shot


def test_evaluation_gives_the_area_of_each_abnormality(scans, tmp_path):
    """8 scans in batches of 3, so that the last is smaller. Against cosines by hand."""
    trainer = trainer_of(config(tmp_path, bank_entries=0), rows(scans), rows(scans))
    found = trainer.evaluate()
    model = trainer.model.eval()
    with torch.no_grad():
        images = model.embed_images(image_processor()(scans, return_tensors="pt")["pixel_values"])
        for place, label in enumerate(CT_RATE_LABELS):
            prompt = trainer.data_collator.texts([f"There is {label}"])
            scores = torch.cosine_similarity(images, model.embed_texts(**prompt))
            truth = np.array([row["labels"][place] for row in rows(scans)]) == 1
            pairs = (scores[truth][:, None] - scores[~truth][None]).sign()
            name = f"eval_auroc_{label.lower().replace(' ', '_')}"
            assert found[name] == pytest.approx((pairs.mean().item() + 1) / 2), label
    each = [value for name, value in found.items() if name.startswith("eval_auroc_")]
    assert len(each) == 18
    assert found["eval_auroc"] == pytest.approx(np.mean(each))
    assert json.dumps(trainer.state.log_history)


def test_contrasts_subtract_what_they_say(scans, tmp_path):
    """Scores against the absence of a finding, or against the other prompts' mean, from those that stand alone."""
    trainer = trainer_of(config(tmp_path))
    model = trainer.model.eval()
    images = torch.randn(5, 8)
    alone = trainer.agreement(images)
    trainer.args.contrast = "others"
    torch.testing.assert_close(trainer.agreement(images), alone - alone.mean(1, keepdim=True))
    trainer.args.contrast = "absence"
    trainer.args.absence_prompt = "No {label} here"
    absent = trainer.data_collator.texts([f"No {label} here" for label in CT_RATE_LABELS])
    with torch.no_grad():
        expected = alone - model.similarity(images, model.embed_texts(**absent))
    torch.testing.assert_close(trainer.agreement(images), expected)


def test_labels_that_nobody_or_everybody_has_are_left_out(scans, tmp_path):
    trainer = trainer_of(config(tmp_path))
    truth = np.full((4, 18), -1)
    truth[:, 3], truth[:, 5], truth[:, 7] = [0, 1, 0, 1], 1, [0, 1, -1, -1]
    scores = np.tile(np.arange(4.0)[:, None], (1, 18))
    found = trainer._zero_shot_metrics(EvalPrediction(predictions=scores, label_ids=truth))
    assert found == {"auroc": 0.875, "auroc_pericardial_effusion": 0.75, "auroc_emphysema": 1.0}


def test_without_labels_there_is_a_loss_and_no_area(scans, tmp_path):
    trainer = trainer_of(config(tmp_path), rows(scans), rows(scans, labelled=False))
    found = trainer.evaluate()
    assert found["eval_loss"] > 0
    assert not [name for name in found if "auroc" in name]


# What comes out


def test_the_vision_tower_starts_a_model_of_the_next_stage(scans, tmp_path):
    """The way of `med3d-r1 init --vision-weights`, and the tower says of a scan what it said in training."""
    torch.manual_seed(3)
    args = config(tmp_path, max_steps=2)
    trainer = trainer_of(args, rows(scans), tower_of=lambda: initialize("tiny")[0].model.vision_tower)
    trainer.train()
    file = tmp_path / "out" / "vision_tower.safetensors"
    trainer.save_vision_tower(file)
    model, processor = initialize("tiny", vision_weights=str(file))
    volume = processor.image_processor(scans[:1], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        trained = trainer.model.vision_tower.eval()(volume).last_hidden_state
        torch.testing.assert_close(model.model.vision_tower(volume).last_hidden_state, trained, rtol=0, atol=0)
    started = initialize("tiny")[0].model.vision_tower(volume).last_hidden_state
    assert (started - trained).abs().max() > 1e-3
    assert all(key.startswith("vision_tower.") for key in read_checkpoint(file))
    with pytest.raises(FileExistsError):
        trainer.save_vision_tower(file)


def test_a_tower_of_another_shape_is_refused(scans, tmp_path):
    trainer = trainer_of(config(tmp_path))
    trainer.save_vision_tower(tmp_path / "small.safetensors")
    with pytest.raises(ValueError, match="do not fit the vision tower"):
        load_vision_weights(tower(hidden_size=24), tmp_path / "small.safetensors")


# Text encoders


@pytest.fixture
def bert(tmp_path):
    """A folder with a BERT of two layers and a tokenizer."""
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(tiny_tokenizer()), **shape)).save_pretrained(tmp_path / "bert")
    tiny_tokenizer().save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


@pytest.mark.parametrize("layers", [1, 2])
def test_any_text_encoder_of_transformers_will_do(layers, bert):
    encoder, tokenizer = load_text_encoder(bert, layers)
    texts = tokenizer(["There is a nodule", "No"], padding=True, return_tensors="pt")
    texts = {name: texts[name] for name in ("input_ids", "attention_mask")}
    plain = BertModel.from_pretrained(bert, add_pooling_layer=False).eval()
    hidden = sum(plain(**texts, output_hidden_states=True).hidden_states[-layers:])
    by_hand = torch.stack([row[mask.bool()].mean(0) for row, mask in zip(hidden, texts["attention_mask"], strict=True)])
    torch.testing.assert_close(encoder.eval()(**texts), by_hand)
    assert encoder.width == 16


def test_a_text_encoder_trains_whole(bert, scans, tmp_path):
    """No weight is left without a gradient, which DDP would not forgive."""
    args = config(tmp_path / "run", max_steps=1)
    encoder, tokenizer = load_text_encoder(bert)
    model = args.model(tower(), encoder)
    batch = ClipCollator(image_processor(), tokenizer)(rows(scans))
    batch.pop("labels")
    model(**batch).loss.backward()
    used = {"vision_tower", "text_encoder", "image_head", "text_head", "bank"}
    without = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert without == []
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == used


def test_more_layers_than_there_are_are_refused(bert):
    with pytest.raises(ValueError, match="text_layers is 1 to 2"):
        load_text_encoder(bert, 3)


def test_a_text_encoder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no text encoder"):
        load_text_encoder(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"contrast": "all"}, "nothing, absence, others; got 'all'"),
        ({"random_shift": [1, 2]}, "three voxel counts"),
        ({"random_shift": [1, -2, 0]}, "three voxel counts"),
        ({"prompt": "There is something"}, "by {label}"),
    ],
)
def test_settings_that_mean_nothing_are_refused(setting, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        config(tmp_path, **setting)

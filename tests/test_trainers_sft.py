"""SFT with re-weighting on the tiny model: its loss and gradient are those of the formula, however a step is divided.

Models are in double precision; TRL's head gives log-probabilities in float32 whatever the model is.
"""

import copy
import math

import pytest
import torch
from datasets import Dataset
from torch.nn.functional import cross_entropy
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from children import in_processes
from med3d_r1.data.rows import as_dataset
from med3d_r1.encoded_med3d_r1 import save_encoded
from med3d_r1.trainers import ARWSFTConfig, ARWSFTTrainer
from med3d_r1.trainers.parts import PARTS, choose_parts
from scans import synthetic_chest, write_nifti
from sft_rows import sft_dataset, sft_rows, write_scans
from tiny import tiny_checkpoint, tiny_model, tiny_processor

NORMALIZERS = ["sum_weights", "tokens"]


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return write_scans(tmp_path_factory.mktemp("scans"))


@pytest.fixture(scope="module")
def start():
    return tiny_model().double()


@pytest.fixture
def model(start):
    return copy.deepcopy(start)


def settings(folder, **more):
    """One step of all eight rows at a constant rate."""
    return {
        "output_dir": str(folder), "max_steps": 1, "per_device_train_batch_size": 8, "lr_scheduler_type": "constant",
        "warmup_steps": 0, "max_grad_norm": 0, "use_cpu": True, "save_strategy": "no", "disable_tqdm": True,
        "logging_steps": 1, "report_to": "none",
    } | more  # fmt: skip


def trainer_of(model, rows, folder, **more):
    keys = ("peft_config", "callbacks", "eval_dataset")
    arguments = {key: more.pop(key) for key in keys if key in more}
    return ARWSFTTrainer(
        model, ARWSFTConfig(**settings(folder, **more)), rows, processing_class=tiny_processor(), **arguments
    )


class Gradients(TrainerCallback):
    """Keeps the gradient of the last step: name -> tensor."""

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.found = gradients_of(model)


def gradients_of(model):
    return {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


def step_of(trainer):
    """(loss that is logged, gradient) of the last step of a run."""
    gradients = Gradients()
    trainer.add_callback(gradients)
    trainer.train()
    return trainer.state.log_history[-2]["loss"], gradients.found


def batch_of(trainer):
    """All rows of the training set as one batch."""
    return dict(trainer.data_collator([trainer.train_dataset[index] for index in range(len(trainer.train_dataset))]))


def by_formula(model, batch, divisor):
    """(loss, gradient) of eq. 4 as it stands, on the logits of all positions."""
    weights, labels = batch["token_weights"][:, 1:].double(), batch["labels"][:, 1:]
    logits = model(batch["input_ids"], batch["pixel_values"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="none")
    loss = (losses.view(labels.shape) * weights).sum() / divisor
    loss.backward()
    return loss.item(), gradients_of(model)


def assert_same(found, expected, tolerance=1e-5):
    """Loss and gradients, these in relation to the largest one."""
    assert found[0] == pytest.approx(expected[0], rel=tolerance)
    assert found[1].keys() == expected[1].keys()
    assert any("bridge.pool" in name for name in found[1])
    largest = max(float(gradient.abs().max()) for gradient in expected[1].values())
    assert largest > 0
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=tolerance, atol=tolerance * largest)


@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_loss_and_gradient_are_those_of_the_formula(model, scans, normalizer, tmp_path):
    """Reports and answers of uneven length in one batch; lambda 3, so that a mistake shows."""
    trainer = trainer_of(model, sft_dataset(scans), tmp_path, normalizer=normalizer, abnormal_weight=3.0)
    batch = batch_of(trainer)
    assert len(set((batch["labels"] != -100).sum(1).tolist())) > 3
    tokens = (batch["labels"] != -100).sum()
    expected = by_formula(model, batch, {"sum_weights": batch["token_weights"].sum(), "tokens": tokens}[normalizer])
    assert_same(step_of(trainer), expected)


@pytest.mark.parametrize(("normalizer", "expected"), [("sum_weights", 1.0), ("tokens", 6.1 / 6)])
def test_a_decoder_that_knows_nothing_by_hand(model, scans, normalizer, expected, tmp_path):
    """With a last norm of zeros each of V words has probability 1 / V wherever it stands, so L is ln V times the sum of
    the a_t over the normaliser. The completion is <finding>, " emphysema" (abnormal), " cardiomegaly", </finding>, the
    end of its turn and a line's end: five tokens with a_t = 1 and one with 1.1, so 6.1 / 6.1 or 6.1 / 6."""
    model.model.language_model.norm.weight.data.zero_()
    row = sft_rows(scans, 1)[0]
    row["completion"][0]["content"] = "<finding> emphysema cardiomegaly</finding>"
    row["abnormal_spans"] = [[10, 19]]
    trainer = trainer_of(model, as_dataset([row]), tmp_path, normalizer=normalizer)
    assert step_of(trainer)[0] == pytest.approx(expected * math.log(model.config.text_config.vocab_size), rel=1e-6)


def test_weights_of_one_are_trl(model, start, scans, tmp_path):
    """The same step by TRL's own trainer."""
    trainer = trainer_of(model, sft_dataset(scans), tmp_path, abnormal_weight=1.0)
    plain = copy.deepcopy(start)
    choose_parts(plain, ["bridge"])
    config = SFTConfig(**settings(tmp_path, max_length=None, bf16=False, activation_checkpointing=False))
    config.learning_rate = trainer.args.learning_rate
    stock = SFTTrainer(plain, config, train_dataset=sft_dataset(scans), processing_class=tiny_processor())
    assert_same(step_of(trainer), step_of(stock), tolerance=1e-6)


@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_a_step_may_be_divided(model, start, scans, normalizer, tmp_path):
    """8 rows at once, 8 times one row, 4 times two rows. Were each batch divided by a count of its own, a long report
    would weigh as much as a short answer."""
    whole = step_of(trainer_of(model, sft_dataset(scans), tmp_path, normalizer=normalizer, abnormal_weight=3.0))
    for size in (1, 2):
        divided = trainer_of(
            copy.deepcopy(start), sft_dataset(scans), tmp_path, normalizer=normalizer, abnormal_weight=3.0,
            per_device_train_batch_size=size, gradient_accumulation_steps=8 // size,
        )  # fmt: skip
        assert_same(step_of(divided), whole)


@pytest.mark.parametrize(("normalizer", "ratio"), [("sum_weights", 1.0), ("tokens", 0.5)])
def test_halved_weights(model, start, scans, normalizer, ratio, tmp_path):
    """Sum(a_t / 2) / tokens is half of it; sum(a_t / 2) / sum(a_t / 2) is not."""
    whole = step_of(trainer_of(model, sft_dataset(scans), tmp_path, normalizer=normalizer))
    trainer = trainer_of(copy.deepcopy(start), sft_dataset(scans), tmp_path, normalizer=normalizer)
    collate = trainer.data_collator

    def halved(examples):
        batch = collate(examples)
        return {**batch, "token_weights": batch["token_weights"] / 2}

    trainer.data_collator = halved
    expected = whole[0] * ratio, {name: gradient * ratio for name, gradient in whole[1].items()}
    assert_same(step_of(trainer), expected)


@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_two_processes_are_one(model, start, scans, normalizer, tmp_path):
    """Two steps of 4 rows on each of two processes, against two steps of 8 rows on one."""
    more = {"normalizer": normalizer, "abnormal_weight": 3.0, "max_steps": 2, "num_train_epochs": 2}
    whole = trainer_of(model, sft_dataset(scans), tmp_path, **more)
    expected = step_of(whole)

    def half():
        torch.set_num_threads(1)
        trainer = trainer_of(
            copy.deepcopy(start),
            sft_dataset(scans),
            tmp_path,
            per_device_train_batch_size=4,
            ddp_backend="gloo",
            **more,
        )
        assert trainer.accelerator.num_processes == 2
        found = step_of(trainer)
        torch.save((found, trainer.state.log_history), tmp_path / f"{trainer.args.process_index}.pt")

    assert in_processes(2, half) == [0, 0]
    (found, history), (other, _) = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in (0, 1))
    named = {name.removeprefix("module."): gradient for name, gradient in found[1].items()}
    assert_same((found[0], named), expected)
    assert all(torch.equal(gradient, other[1][name]) for name, gradient in found[1].items())
    for ours, theirs in zip(history[:2], whole.state.log_history[:2], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert ours["mean_token_accuracy"] == pytest.approx(theirs["mean_token_accuracy"], rel=1e-5)


@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_evaluation_is_the_formula_too(model, scans, normalizer, tmp_path):
    trainer = trainer_of(
        model, sft_dataset(scans), tmp_path, normalizer=normalizer, abnormal_weight=3.0,
        eval_dataset=sft_dataset(scans), per_device_eval_batch_size=8,
    )  # fmt: skip
    batch = batch_of(trainer)
    tokens = (batch["labels"] != -100).sum()
    divisor = {"sum_weights": batch["token_weights"].sum(), "tokens": tokens}[normalizer]
    assert trainer.evaluate()["eval_loss"] == pytest.approx(by_formula(model, batch, divisor)[0], rel=1e-5)


class Towers:
    """Notes whether a vision tower was in training mode, and whether what it gave asks for gradients."""

    def __init__(self, model):
        self.seen = set()
        model.model.vision_tower.register_forward_hook(self._note)

    def _note(self, tower, args, output):
        self.seen.add((tower.training, output.last_hidden_state.requires_grad))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_frozen_tower_keeps_no_activations(model, scans, checkpointing, tmp_path):
    """Activation checkpointing makes embeddings ask for gradients: those of words, and not the tower's."""
    trainer = trainer_of(model, sft_dataset(scans), tmp_path, activation_checkpointing=checkpointing)
    towers = Towers(model)
    trainer.train()
    assert towers.seen == {(False, False)}
    assert model.model.language_model.training


def test_activation_checkpointing_changes_no_gradient(model, start, scans, tmp_path):
    expected = step_of(trainer_of(model, sft_dataset(scans), tmp_path))
    again = trainer_of(copy.deepcopy(start), sft_dataset(scans), tmp_path, activation_checkpointing=True)
    assert_same(step_of(again), expected, tolerance=1e-10)


@pytest.mark.parametrize("train", [["bridge"], ["vision_tower"], ["bridge", "language_model"], list(PARTS)])
def test_what_is_named_trains_and_nothing_else(model, start, scans, train, tmp_path, capsys):
    trainer = trainer_of(model, sft_dataset(scans), tmp_path, train=train)
    towers = Towers(model)
    trainer.train()
    for part in PARTS:
        moved = [
            not torch.equal(value, start.state_dict()[name])
            for name, value in model.state_dict().items()
            if name.startswith(f"model.{part}.") and "text_anchor" not in name
        ]
        assert any(moved) == (part in train), part
    assert towers.seen == {("vision_tower" in train,) * 2}
    table = capsys.readouterr().out.splitlines()[:4]
    assert [line.split()[0] for line in table] == ["part", *PARTS]
    assert [line.split()[2] != "0" for line in table[1:]] == [part in train for part in PARTS]


def test_scans_may_be_raw_prepared_or_encoded(model, start, scans, tmp_path):
    """The same scan three ways: the same loss, that of the encoded one within what bfloat16 rounds."""
    processor = tiny_processor()
    raw = str(write_nifti(tmp_path / "chest.nii.gz", synthetic_chest((36, 48, 48))))
    volume = processor.image_processor([raw], return_tensors="pt")["pixel_values"]
    prepared = tmp_path / "chest.npz"
    processor.image_processor.prepare(raw).save(prepared)
    encoded = tmp_path / "chest.safetensors"
    record = {"preprocessing": processor.image_processor.tensor_preprocessing}
    save_encoded(encoded, start.encode_volumes(volume.double())[0], record)
    losses = [
        step_of(trainer_of(copy.deepcopy(start), sft_dataset([str(path)]), tmp_path / "run"))[0]
        for path in (raw, prepared, encoded)
    ]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]
    assert losses[2] == pytest.approx(losses[0], rel=1e-4)


def test_scans_and_encoded_scans_do_not_mix_in_a_batch(model, scans, tmp_path):
    encoded = tmp_path / "chest.safetensors"
    record = {"preprocessing": tiny_processor().image_processor.tensor_preprocessing}
    save_encoded(encoded, torch.zeros(model.config.vision_config.num_tokens, 64), record)
    trainer = trainer_of(model, sft_dataset([scans[0], str(encoded)]), tmp_path)
    with pytest.raises(ValueError, match="encoded"):
        trainer.train()


def test_a_tower_that_trains_needs_scans(model, tmp_path):
    encoded = tmp_path / "chest.safetensors"
    record = {"preprocessing": tiny_processor().image_processor.tensor_preprocessing}
    save_encoded(encoded, torch.zeros(model.config.vision_config.num_tokens, 64), record)
    trainer = trainer_of(model, sft_dataset([str(encoded)]), tmp_path, train=list(PARTS))
    with pytest.raises(ValueError, match="the vision tower trains, so `images` must hold scans"):
        trainer.train()


def test_a_model_is_loaded_by_its_name(scans, tmp_path):
    folder = tiny_checkpoint(tmp_path / "model")
    trainer = ARWSFTTrainer(str(folder), ARWSFTConfig(**settings(tmp_path)), sft_dataset(scans))
    assert trainer.model.dtype == torch.float32
    assert trainer.processing_class.num_image_tokens == 32


def test_weights_that_train_are_float32(scans, tmp_path):
    """A step of 1e-4 on a weight of 0.1 is nothing to bfloat16."""
    model = tiny_model().bfloat16()
    trainer_of(model, sft_dataset(scans), tmp_path).train()
    dtypes = {name: weights.dtype for name, weights in model.named_parameters()}
    assert {dtype for name, dtype in dtypes.items() if ".bridge." in name} == {torch.float32}
    assert {dtype for name, dtype in dtypes.items() if ".bridge." not in name} == {torch.bfloat16}


def test_the_defaults_are_those_of_the_release(tmp_path):
    found = ARWSFTConfig(str(tmp_path), use_cpu=True)
    expected = {
        "learning_rate": 1e-4, "lr_scheduler_type": "cosine", "warmup_steps": 0.03, "weight_decay": 0.01,
        "per_device_train_batch_size": 2, "num_train_epochs": 1.0, "abnormal_weight": 1.10,
        "normalizer": "sum_weights", "train": ["bridge"], "max_length": None, "bf16": False,
        "activation_checkpointing": False,
    }  # fmt: skip
    assert {name: getattr(found, name) for name in expected} == expected


# What is refused


def columns_without(scans, *names):
    return Dataset.from_list([{key: row[key] for key in row if key not in names} for row in sft_rows(scans)])


def test_rows_without_scans_are_refused(model, scans, tmp_path):
    with pytest.raises(ValueError, match=r"no column 'images'.*text alone.*prompt, completion"):
        trainer_of(model, columns_without(scans, "images"), tmp_path)
    by_volume = columns_without(scans, "images").add_column("volume", ["valid_1_a_1"] * 8)
    with pytest.raises(ValueError, match=r"they have prompt, completion, abnormal_spans, volume"):
        trainer_of(model, by_volume, tmp_path)
    with pytest.raises(ValueError, match="no column 'images'"):
        trainer_of(model, sft_dataset(scans), tmp_path, eval_dataset={"held out": by_volume})
    rows = sft_rows(scans)
    rows[5] = rows[5] | {"images": []}
    with pytest.raises(ValueError, match="a row has no scan in `images`"):
        trainer_of(model, Dataset.from_list(rows), tmp_path).train()


def test_rows_that_lack_a_column_are_refused(model, scans, tmp_path):
    with pytest.raises(ValueError, match="'completion' is missing among"):
        trainer_of(model, columns_without(scans, "completion"), tmp_path)
    unmarked = columns_without(scans, "abnormal_spans")
    with pytest.raises(ValueError, match=r"abnormal_weight is 1\.1.*no column 'abnormal_spans'"):
        trainer_of(model, unmarked, tmp_path)
    assert math.isfinite(step_of(trainer_of(model, unmarked, tmp_path, abnormal_weight=1.0))[0])


def test_a_prompt_is_never_cut(model, scans, tmp_path):
    """Nor does one go through that is as long as max_length: nothing would be learnt from its row. Completions may be
    cut."""
    whole = batch_of(trainer_of(model, sft_dataset(scans), tmp_path))
    longest = int((whole["labels"] != -100).int().argmax(1).max())
    trainer = trainer_of(model, sft_dataset(scans), tmp_path, max_length=longest)
    with pytest.raises(ValueError, match=f"max_length {longest} cuts a prompt: its volume's tokens may be lost"):
        trainer.train()
    assert whole["input_ids"].shape[1] > longest + 20
    cut = batch_of(trainer_of(model, sft_dataset(scans), tmp_path, max_length=longest + 20))
    for name in ("input_ids", "labels", "token_weights"):
        assert torch.equal(cut[name], whole[name][:, : longest + 20]), name


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"packing": True}, "packing=True does not go with ARW"),
        ({"padding_free": True}, "padding_free=True does not go with ARW"),
        ({"loss_type": "dft"}, "loss_type='dft' does not go with ARW"),
        ({"label_smoothing_factor": 0.1}, "the fused head gives no smoothed loss"),
        ({"use_liger_kernel": True}, "use_liger_kernel=True does not go with ARW"),
        ({"completion_only_loss": False}, "prompts carry no weight"),
        ({"assistant_only_loss": True}, "rows are prompts and completions"),
        ({"normalizer": "rows"}, "normalizer is sum_weights or tokens, not 'rows'"),
        ({"abnormal_weight": 0.0}, "abnormal_weight is a positive number, not 0.0"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_that_do_not_go_with_arw_are_refused(setting, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        ARWSFTConfig(str(tmp_path), use_cpu=True, **setting)


def test_another_collator_is_refused(model, scans, tmp_path):
    with pytest.raises(ValueError, match="data_collator would go around the re-weighting"):
        ARWSFTTrainer(
            model, ARWSFTConfig(**settings(tmp_path)), sft_dataset(scans), processing_class=tiny_processor(),
            data_collator=lambda examples: {},
        )  # fmt: skip

"""GRPO on the tiny model: equal to TRL's own trainer, but each scan is read and encoded once; stops, processes, limits.

Most runs are in double precision, where what is equal in exact arithmetic is equal to ten digits.
"""

import math
import os
import signal

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForImageTextToText, AutoProcessor, TrainerCallback
from trl import GRPOTrainer

from children import in_child, in_processes
from med3d_r1.checkpoints import load_model
from med3d_r1.encoded_med3d_r1 import save_encoded
from med3d_r1.lora import lora_config
from med3d_r1.prompts_med3d_r1 import question_messages
from med3d_r1.trainers import Med3DR1GRPOConfig, Med3DR1GRPOTrainer
from med3d_r1.trainers.fused_head import only_labelled_positions
from med3d_r1.trainers.parts import PARTS, choose_parts
from scans import synthetic_chest, write_nifti
from tiny import tiny_checkpoint, tiny_model, tiny_processor

OPTIONS = ["Emphysema", "Lung nodule"]
FROZEN = ["bridge", "language_model"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(tiny_checkpoint(tmp_path_factory.mktemp("grpo") / "model"))


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    return [str(write_nifti(folder / f"{seed}.nii.gz", synthetic_chest((36, 48, 48), seed=seed))) for seed in range(3)]


@pytest.fixture
def model(checkpoint):
    return load_model(checkpoint, "cpu", torch.float64)


def rows(scans, count=6):
    """Questions, each scan in turn."""
    return [
        {
            "images": [scans[index % len(scans)]],
            "prompt": question_messages(f"Which of these is present, number {index}?", OPTIONS),
            "options": OPTIONS,
            "answer": "AB"[index % 2],
        }
        for index in range(count)
    ]


def letters_reward(completions, **kwargs):
    """Differs between completions, and depends on nothing but them."""
    return [sum(map(ord, completion[0]["content"])) % 7 / 7 for completion in completions]


def config(folder, **more):
    settings = {
        "num_generations": 4, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "max_steps": 2,
        "max_completion_length": 5, "learning_rate": 1e-3, "temperature": 1.0, "held_out_every": 0, "logging_steps": 1,
        "bf16": False, "activation_checkpointing": False, "use_cpu": True, "report_to": "none", "save_strategy": "no",
        "disable_tqdm": True, "trust_remote_code": True,
    }  # fmt: skip
    return Med3DR1GRPOConfig(str(folder), **settings | more)


def trainer_of(model, rows, folder, *, cls=Med3DR1GRPOTrainer, reward=letters_reward, **more):
    keys = ("peft_config", "callbacks", "eval_dataset", "processing_class")
    arguments = {"processing_class": tiny_processor()} | {key: more.pop(key) for key in keys if key in more}
    return cls(model, reward, config(folder, **more), Dataset.from_list(rows), **arguments)


def numbers(history):
    """What a run has logged of each step, without times."""
    return [
        {name: value for name, value in line.items() if "time" not in name and "per_second" not in name}
        for line in history
        if "loss" in line
    ]


def assert_same_history(found, expected, **tolerance):
    assert len(found) == len(expected) > 0
    for ours, theirs in zip(found, expected, strict=True):
        for name, value in theirs.items():
            assert ours[name] == pytest.approx(value, **tolerance), name


class Counter:
    """Counts the volumes that a vision tower encodes, with gradient and without, and the scans that are read."""

    def __init__(self, trainer):
        self.with_gradient, self.without, self.read = 0, 0, 0
        towers = {
            id(model.model.vision_tower): model.model.vision_tower for model in (trainer.model, trainer.ref_model)
        }
        for tower in towers.values():
            tower.register_forward_pre_hook(self._encodes, with_kwargs=True)
        self._process = trainer.processing_class.image_processor
        trainer.processing_class.image_processor = self

    def _encodes(self, tower, args, kwargs):
        volumes = (args or tuple(kwargs.values()))[0]
        if torch.is_grad_enabled():
            self.with_gradient += len(volumes)
        else:
            self.without += len(volumes)

    def __call__(self, images, **kwargs):
        self.read += len(images)
        return self._process(images, **kwargs)


@pytest.mark.parametrize("train", [FROZEN, PARTS], ids=["frozen tower", "all parts"])
def test_training_equals_trl(checkpoint, scans, train, tmp_path):
    """Two steps of two batches each: groups are torn apart by TRL's shuffling, and two questions share a scan."""

    def run(cls):
        model = load_model(checkpoint, "cpu", torch.float64)
        choose_parts(model, train)
        trainer = trainer_of(model, rows(scans), tmp_path, cls=cls, train=list(train), beta=0.1)
        with only_labelled_positions(torch.device("cpu")):  # the head computes in float32: other tiles, other roundings
            trainer.train()
        return numbers(trainer.state.log_history), model.state_dict()

    history, weights = run(Med3DR1GRPOTrainer)
    expected_history, expected_weights = run(GRPOTrainer)
    assert expected_history[1]["kl"] > 0
    assert_same_history(history, expected_history, rel=1e-8, abs=1e-10)
    start = load_model(checkpoint, "cpu", torch.float64).state_dict()
    for part in PARTS:
        moved = [not torch.equal(weights[name], start[name]) for name in weights if name.startswith(f"model.{part}")]
        assert any(moved) == (part in train)
    for name, value in expected_weights.items():
        torch.testing.assert_close(
            weights[name], value, rtol=1e-7, atol=1e-8, msg=lambda text, of=name: f"{of}: {text}"
        )


@pytest.mark.parametrize("group", [2, 8])
def test_a_frozen_tower_reads_and_encodes_each_scan_once(model, scans, group, tmp_path):
    """Of three scans, in three steps, whatever the size of the group. One reference model shares the tower."""
    trainer = trainer_of(
        model, rows(scans), tmp_path, train=FROZEN, num_generations=group, per_device_train_batch_size=2 * group,
        max_steps=3, gradient_accumulation_steps=1,
    )  # fmt: skip
    counter = Counter(trainer)
    trainer.train()
    assert (counter.read, counter.without, counter.with_gradient) == (3, 3, 0)


def test_encoded_scans_stand_in_for_scans(checkpoint, scans, tmp_path):
    """The same to the last bit as a tower whose tokens are rounded as they are in the file; and nothing is encoded."""

    def run(images, rounded):
        model = load_model(checkpoint, "cpu", torch.float64)
        if rounded:
            tower = model.model.vision_tower
            tower.register_forward_hook(
                lambda tower, inputs, out: type(out)(last_hidden_state=out.last_hidden_state.bfloat16())
            )
        trainer = trainer_of(model, rows(images), tmp_path, train=FROZEN)
        counter = Counter(trainer)
        trainer.train()
        return numbers(trainer.state.log_history), counter

    model, processor = load_model(checkpoint, "cpu", torch.float64), tiny_processor()
    encoded = []
    for place, scan in enumerate(scans):
        volume = processor.image_processor(images=[scan], return_tensors="pt")["pixel_values"]
        record = {"preprocessing": processor.image_processor.tensor_preprocessing}
        encoded.append(str(tmp_path / f"{place}.safetensors"))
        save_encoded(encoded[-1], model.encode_volumes(volume)[0], record)
    history, counter = run(encoded, rounded=False)
    assert (counter.without, counter.with_gradient) == (0, 0)
    assert_same_history(history, run(scans, rounded=True)[0], rel=0, abs=0)


def test_a_tower_that_trains_reads_and_encodes_each_scan_once_a_step(model, scans, tmp_path):
    """One scan a step: read once, and encoded once for generation, once by the reference, and once with gradient."""
    trainer = trainer_of(model, rows(scans[:1]), tmp_path, max_steps=3)
    counter = Counter(trainer)
    trainer.train()
    assert (counter.read, counter.without, counter.with_gradient) == (3, 2 * 3, 3)


def test_memory_holds_each_volume_once(model, scans, tmp_path):
    """What is kept for the update are numbers, one a completion, of the volumes of the scans."""
    trainer = trainer_of(model, rows(scans[:2]), tmp_path, max_steps=1)
    trainer.train()
    kept = [inputs["pixel_values"] for inputs in trainer._buffered_inputs]
    assert [(values.dtype, values.shape) for values in kept] == [(torch.int64, (4,))] * 2
    assert trainer._scans["train"].volumes().shape == (2, 1, 32, 64, 64)


def test_several_steps_from_one_generation_equal_trl(checkpoint, scans, tmp_path):
    """steps_per_generation 4 with 2 batches a step, and each generation used twice."""

    def run(cls):
        trainer = trainer_of(
            load_model(checkpoint, "cpu", torch.float64), rows(scans), tmp_path, cls=cls, max_steps=4,
            steps_per_generation=4, num_iterations=2,
        )  # fmt: skip
        with only_labelled_positions(torch.device("cpu")):
            trainer.train()
        return numbers(trainer.state.log_history)

    assert_same_history(run(Med3DR1GRPOTrainer), run(GRPOTrainer), rel=1e-7, abs=1e-10)


def test_the_defaults_are_those_of_the_paper_and_the_release(tmp_path):
    found = Med3DR1GRPOConfig(str(tmp_path), use_cpu=True, bf16=False, activation_checkpointing=True)
    expected = {
        "num_generations": 4, "learning_rate": 1e-6, "beta": 0.04, "epsilon": 0.2, "num_iterations": 1,
        "temperature": 0.6, "top_p": 0.95, "top_k": 30, "max_prompt_length": 1024, "max_completion_length": 512,
        "loss_type": "grpo", "scale_rewards": "group", "train": list(PARTS),
    }  # fmt: skip
    assert {name: getattr(found, name) for name in expected} == expected


def test_advantages_and_loss_by_hand(model, scans, tmp_path):
    """Rewards 1, 0, 0, 0 in a group: mean 1/4, standard deviation (n - 1) 1/2, so advantages 1.5 and -0.5, each over
    1 + 2e-4. At the first step the ratio is 1 and the KL 0, so the loss is minus their mean, 0, whatever the lengths of
    the completions; summed over tokens it would not be."""

    def first_reward(completions, **kwargs):
        return [float(index % 4 == 0) for index in range(len(completions))]

    trainer = trainer_of(
        model, rows(scans[:1]), tmp_path, reward=first_reward, max_steps=1, gradient_accumulation_steps=1
    )
    generate = trainer._generate_single_turn

    def of_several_lengths(*args, **kwargs):
        completions, nothing = generate(*args, **kwargs)
        return [ids[: 1 + index] for index, ids in enumerate(completions)], nothing

    trainer._generate_single_turn = of_several_lengths
    trainer.train()
    inputs = trainer._buffered_inputs[0]
    lengths = inputs["completion_mask"].sum(1)
    assert sorted(lengths.tolist()) == [1, 2, 3, 4]
    for advantage, length in zip(inputs["advantages"].tolist(), lengths.tolist(), strict=True):
        assert advantage == pytest.approx((1.5 if length == 1 else -0.5) / (1 + 2e-4), rel=1e-5)
    assert trainer.state.log_history[0]["loss"] == pytest.approx(0, abs=1e-6)


def test_the_bridge_has_a_learning_rate_of_its_own(model, scans, tmp_path):
    trainer = trainer_of(model, rows(scans), tmp_path, train=FROZEN, bridge_learning_rate_scale=4.0, weight_decay=0.1)
    bridge = {id(weights) for weights in model.model.bridge.parameters()}
    rates = {
        id(weights): group["lr"] for group in trainer.create_optimizer().param_groups for weights in group["params"]
    }
    assert {rates[key] for key in bridge} == {4e-3}
    assert {rate for key, rate in rates.items() if key not in bridge} == {1e-3}
    assert rates.keys() == {id(weights) for weights in model.parameters() if weights.requires_grad}
    decayed = {id(weights) for group in trainer.optimizer.param_groups for weights in group["params"]
               if group["weight_decay"]}  # fmt: skip
    assert id(model.model.bridge.projection.weight) in decayed
    assert id(model.model.bridge.projection.bias) not in decayed


def test_a_reference_shares_what_does_not_train(scans, tmp_path, capsys):
    """A model that was assembled in memory, as it is never saved: TRL's own trainer would look for it by its name."""
    model = tiny_model()
    trainer = trainer_of(model, rows(scans), tmp_path, train=["bridge"])
    assert trainer.ref_model.model.vision_tower.norm.weight is model.model.vision_tower.norm.weight
    assert trainer.ref_model.lm_head.weight is model.lm_head.weight
    bridges = [one.model.bridge.projection.weight for one in (model, trainer.ref_model)]
    assert bridges[0] is not bridges[1]
    assert torch.equal(*bridges)
    assert [weights.requires_grad for weights in bridges] == [True, False]
    size = sum(weights.numel() for weights in model.model.bridge.parameters())
    assert f"a copy of {size:,} weights" in capsys.readouterr().out


def test_without_beta_there_is_no_reference(model, scans, tmp_path, capsys):
    assert trainer_of(model, rows(scans), tmp_path, beta=0.0).ref_model is None
    assert "none (beta is 0)" in capsys.readouterr().out


def test_adapters_are_their_own_reference(model, scans, tmp_path, capsys):
    """At the first step the policy is the reference; after it, with adapters switched off, it still is."""
    trainer = trainer_of(model, rows(scans), tmp_path, train=FROZEN, peft_config=lora_config(r=4), max_steps=3)
    assert "takes no memory of its own" in capsys.readouterr().out
    trainer.train()
    kl = [line["kl"] for line in trainer.state.log_history if "kl" in line]
    assert kl[0] == pytest.approx(0, abs=1e-9)
    assert kl[-1] > 1e-6
    assert trainer._policy is trainer.model.get_base_model().model


def test_adapters_on_the_vision_tower_are_refused(model, scans, tmp_path):
    settings = lora_config(r=4)
    settings.modules_to_save = ["bridge", "vision_tower"]
    with pytest.raises(ValueError, match="vision tower cannot train"):
        trainer_of(model, rows(scans), tmp_path, peft_config=settings)


def test_a_model_is_loaded_by_its_name(checkpoint, scans, tmp_path):
    trainer = Med3DR1GRPOTrainer(checkpoint, letters_reward, config(tmp_path), Dataset.from_list(rows(scans)))
    assert trainer.model.dtype == torch.float32
    assert trainer.processing_class.num_image_tokens == 32


def test_rows_without_scans_are_refused(model, scans, tmp_path):
    plain = [{"prompt": row["prompt"], "volume": row["images"][0]} for row in rows(scans)]
    with pytest.raises(ValueError, match=r"no column 'images'.*prompt, volume"):
        trainer_of(model, plain, tmp_path)
    with pytest.raises(ValueError, match="no column 'images'"):
        trainer_of(model, rows(scans), tmp_path, eval_dataset=Dataset.from_list(plain))
    empty = [{**row, "images": row["images"] if index else []} for index, row in enumerate(rows(scans))]
    trainer = trainer_of(model, empty, tmp_path, max_steps=3)
    with pytest.raises(ValueError, match="a row has no scan in `images`"):
        trainer.train()


def test_prompts_that_are_too_long_are_refused_and_not_cut(model, scans, tmp_path):
    trainer = trainer_of(model, rows(scans), tmp_path, max_prompt_length=50)
    with pytest.raises(ValueError, match="max_prompt_length allows 50"):
        trainer.train()


def test_an_evaluation_between_two_batches_of_a_generation_changes_nothing(checkpoint, scans, tmp_path):
    """TRL evaluates with generations of its own, on other scans: the training batch must keep its numbers."""

    def run(folder, **more):
        trainer = trainer_of(
            load_model(checkpoint, "cpu", torch.float64), rows(scans[:2]), tmp_path / folder, steps_per_generation=4,
            **more,
        )  # fmt: skip
        sources = []
        trainer.add_callback(OnStepEnd(lambda: sources.append(list(trainer._scans["train"].sources))))
        trainer.train()
        return sources, trainer.state.log_history

    held_out = Dataset.from_list(rows(scans[2:], 1))
    quiet, _ = run("quiet")
    evaluated, history = run("evaluated", eval_dataset=held_out, eval_strategy="steps", eval_steps=1,
                             per_device_eval_batch_size=4)  # fmt: skip
    assert evaluated == quiet
    assert all(math.isfinite(line["eval_loss"]) for line in history if "eval_loss" in line)
    assert sum("eval_reward" in line for line in history) == 2


class OnStepEnd(TrainerCallback):
    def __init__(self, work):
        self.work = work

    def on_step_end(self, args, state, control, **kwargs):
        self.work()


def test_what_is_watched_is_logged_with_what_trl_logs(model, scans, tmp_path):
    trainer = trainer_of(
        model, rows(scans), tmp_path, train=FROZEN, held_out_every=2, held_out_items=4, max_steps=3,
        eval_dataset=Dataset.from_list(rows(scans)),
    )  # fmt: skip
    trainer.train()
    lines = [line for line in trainer.state.log_history if "loss" in line]
    each_step = {
        "reward", "rewards/letters_reward/mean", "entropy", "kl", "completions/mean_length", "frac_reward_zero_std",
        "completions/invalid", "completions/no_letter", "findings/affirmed",
    }  # fmt: skip
    assert all(each_step <= line.keys() for line in lines)
    assert all(line["completions/invalid"] == 1 for line in lines)  # five tokens are no layout
    held_out = {"held_out/accuracy", "held_out/accuracy_swapped", "held_out/invalid"}
    assert [held_out <= line.keys() for line in lines] == [True, True, True]  # before the first, second, last
    assert all(0 <= line[name] <= 1 for line in lines for name in held_out)


def test_held_out_questions_draw_no_random_numbers(checkpoint, scans, tmp_path):
    def run(**more):
        trainer = trainer_of(load_model(checkpoint, "cpu", torch.float64), rows(scans), tmp_path, **more)
        trainer.train()
        return numbers(trainer.state.log_history)

    watched = run(held_out_every=1, held_out_items=3, eval_dataset=Dataset.from_list(rows(scans)))
    assert_same_history(watched, run(), rel=0, abs=0)


def test_greedy_answers_are_those_of_generate(model, scans, tmp_path):
    """In batches of two, with the scan of each; the same as one by one from its volume."""
    trainer = trainer_of(model, rows(scans), tmp_path, per_device_eval_batch_size=2)
    asked = rows(scans)[:3]
    found = trainer.answer_greedily([row["prompt"] for row in asked], [row["images"] for row in asked])
    processor = tiny_processor()
    for text, row in zip(found, asked, strict=True):
        prompt = processor.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
        inputs = processor(images=row["images"], text=prompt, return_tensors="pt")
        ids = model.generate(**inputs, do_sample=False, max_new_tokens=5)[0, inputs["input_ids"].shape[1] :]
        assert text == processor.tokenizer.decode(ids, skip_special_tokens=True)


def test_answers_between_steps_are_without_dropout(model, scans, tmp_path):
    """Adapters that change the answers, and drop out nine times in ten while they train."""
    trainer = trainer_of(model, rows(scans), tmp_path, train=["bridge"], peft_config=lora_config(r=4, lora_dropout=0.9))
    for name, weights in trainer.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, generator=torch.Generator().manual_seed(0))
    asked = [[row[key] for row in rows(scans)[:3]] for key in ("prompt", "images")]
    trainer.model.eval()
    expected = trainer.answer_greedily(*asked)
    trainer.model.train()
    state = torch.get_rng_state()
    assert trainer.answer_greedily(*asked) == expected
    assert trainer.answer_by_chance(*asked, seed=3) == trainer.answer_by_chance(*asked, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert trainer.model.training


def test_answers_by_chance_are_drawn_as_in_training(model, scans, tmp_path):
    """At a temperature of next to nothing they are the greedy ones; at 1 another seed gives others."""
    asked = [[row[key] for row in rows(scans)[:3]] for key in ("prompt", "images")]
    cold = trainer_of(model, rows(scans), tmp_path, temperature=1e-4)
    assert cold.answer_by_chance(*asked, seed=1) == cold.answer_greedily(*asked)
    warm = trainer_of(model, rows(scans), tmp_path)
    assert warm.answer_by_chance(*asked, seed=1) != warm.answer_by_chance(*asked, seed=2)


def test_a_checkpoint_is_a_model_folder(checkpoint, scans, tmp_path):
    """Trained in a child process: this one must not know the package's classes when it loads."""

    def train():
        trainer = trainer_of(
            load_model(checkpoint, "cpu", torch.float32), rows(scans), tmp_path, save_strategy="steps", save_steps=2
        )
        trainer.train()
        torch.save(trainer.model.state_dict(), tmp_path / "weights.pt")

    assert in_child(train) == 0
    folder = str(tmp_path / "checkpoint-2")
    loaded = AutoModelForImageTextToText.from_pretrained(folder, trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    assert type(loaded).__module__.startswith("transformers_modules.")
    assert processor.num_image_tokens == 32
    for name, weights in torch.load(tmp_path / "weights.pt").items():
        assert torch.equal(loaded.state_dict()[name], weights), name


# Steps from one generation batch: 2. One epoch: 3 generation batches, 6 steps, so that a run resumes within a batch,
# at its border, and in another epoch.
RESUMABLE = {
    "gradient_accumulation_steps": 1, "steps_per_generation": 2, "max_steps": 8, "save_strategy": "steps",
    "save_steps": 1, "per_device_train_batch_size": 4, "train": FROZEN,
}  # fmt: skip


class Killed(TrainerCallback):
    """SIGKILL, after the step's checkpoint was written."""

    def __init__(self, step):
        self.step = step

    def on_save(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(("train", "steps"), [(FROZEN, (1, 2, 7)), (PARTS, (1,))], ids=["frozen tower", "all parts"])
def test_a_killed_run_goes_on_as_if_it_had_not_been(checkpoint, scans, train, steps, tmp_path):
    def trainer(folder, callbacks=()):
        settings = RESUMABLE | {"train": list(train)}
        model = load_model(checkpoint, "cpu", torch.float32)
        return trainer_of(model, rows(scans), tmp_path / folder, callbacks=list(callbacks), **settings)

    whole = trainer("whole")
    whole.train()
    expected = numbers(whole.state.log_history)
    for step in steps:
        folder = f"killed-{step}"
        assert in_child(lambda at=step, to=folder: trainer(to, [Killed(at)]).train()) == -signal.SIGKILL
        resumed = trainer(folder)
        resumed.train(resume_from_checkpoint=str(tmp_path / folder / f"checkpoint-{step}"))
        assert_same_history(numbers(resumed.state.log_history), expected, rel=0, abs=0)
        for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("train", [FROZEN, PARTS], ids=["frozen tower", "all parts"])
def test_two_processes_are_one(checkpoint, scans, train, tmp_path):
    """Two groups of 4 in two batches. Of two processes each has one group, which TRL's shuffling tears apart."""

    def run(batch):
        trainer = trainer_of(
            load_model(checkpoint, "cpu", torch.float64), rows(scans, 4), tmp_path, train=list(train), beta=0.1,
            per_device_train_batch_size=batch, max_steps=3, shuffle_dataset=False, optim="sgd", learning_rate=0.1,
        )  # fmt: skip

        def told(prompt_ids, *args, **kwargs):
            """In place of sampling, for which each process draws random numbers of its own: by the place in a group."""
            texts = ["abcdefg"[: 2 + index % 4] for index in range(len(prompt_ids))]
            return [trainer.processing_class.tokenizer(text)["input_ids"] for text in texts], None

        trainer._generate_single_turn = told
        trainer.train()
        if trainer.accelerator.is_main_process:
            torch.save((numbers(trainer.state.log_history), trainer.model.state_dict()), tmp_path / "found.pt")

    assert in_child(lambda: run(4)) == 0
    expected_history, expected_weights = torch.load(tmp_path / "found.pt")
    assert in_processes(2, lambda: run(2)) == [0, 0]
    history, weights = torch.load(tmp_path / "found.pt")
    assert expected_history[-1]["kl"] > 1e-3
    # KL and entropy are logged as means of the batches' means, and the batches differ.
    same = ["loss", "grad_norm", "reward", "reward_std", "completions/invalid", "completions/mean_length"]
    for ours, theirs in zip(history, expected_history, strict=True):
        assert [ours[name] for name in same] == pytest.approx([theirs[name] for name in same], rel=1e-6, abs=1e-6)
    for name, value in expected_weights.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-6, atol=1e-8)

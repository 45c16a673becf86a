"""All rewards in one step of TRL's own trainer, unchanged."""

import math

import pytest
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from med3d_r1.answers_med3d_r1 import parse_answer
from med3d_r1.prompts_med3d_r1 import question_messages
from med3d_r1.rewards import (
    ConsistencyReward,
    FindingScorer,
    accuracy_reward,
    answer_consistency_reward,
    format_reward,
    perception_reward,
)
from scans import synthetic_chest, write_nifti
from tiny import tiny_model, tiny_processor

REWARDS = (format_reward, accuracy_reward, answer_consistency_reward, perception_reward)
OPTIONS = ["Emphysema", "Lung nodule", "Atelectasis", "Cardiomegaly"]


@pytest.mark.parametrize("conversational", [True, False])
def test_a_step_with_every_reward(conversational, tmp_path, monkeypatch):
    """Random weights write nonsense, so what the policy "wrote" is put in its place where rewards look."""
    scan = str(write_nifti(tmp_path / "scan.nii.gz", synthetic_chest((36, 48, 48), seed=0)))
    processor = tiny_processor()
    row = {"options": OPTIONS, "answer": "A"}
    if conversational:
        row |= {"images": [scan], "prompt": question_messages("Which?", OPTIONS)}
    else:  # TRL has volumes in conversations only
        row |= {"prompt": "Which?"}
    consistency = ConsistencyReward(FindingScorer())
    trainer = GRPOTrainer(
        model=tiny_model(),
        processing_class=processor if conversational else processor.tokenizer,
        reward_funcs=[*REWARDS, consistency],
        train_dataset=Dataset.from_list(
            [{**row, "report": text} for text in ("There is emphysema. No nodule.", None)]
        ),
        args=GRPOConfig(
            tmp_path, per_device_train_batch_size=4, num_generations=2, max_completion_length=4, max_steps=1,
            bf16=False, activation_checkpointing=False, use_cpu=True, report_to="none", save_strategy="no",
            disable_tqdm=True, log_multimodal=False, logging_steps=1, beta=0.0, trust_remote_code=True,
            shuffle_dataset=False,
        ),
    )  # fmt: skip
    said = ["<think>Emphysema.</think><answer>A</answer>", "<think>A nodule.</think><answer>A</answer>"] * 2
    calculate = trainer._calculate_rewards

    def with_words(inputs, prompts, completions, ids):
        assert type(completions[0]) is (list if conversational else str)
        texts = [[{"role": "assistant", "content": text}] for text in said] if conversational else said
        return calculate(inputs, prompts, texts, ids)

    monkeypatch.setattr(trainer, "_calculate_rewards", with_words)
    assert math.isfinite(trainer.train().training_loss)
    logged = next(entry for entry in trainer.state.log_history if "reward" in entry)
    assert all(parse_answer(text).valid for text in said)
    expected = {
        "format_reward": 1.0,
        "accuracy_reward": 1.0,
        "answer_consistency_reward": 0.5,
        "perception_reward": 0.5,  # of the scan that has a report
        "consistency_reward": 0.5,
    }
    assert {name: logged[f"rewards/{name}/mean"] for name in expected} == pytest.approx(expected)
    assert logged["consistency_reward/score"] == pytest.approx(0.5)

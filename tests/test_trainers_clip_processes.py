"""CLIP in two processes, over gloo on the CPU, is CLIP in one with the whole batch."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from clip_rows import save_noise

SCRIPT = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
folder, batch = sys.argv[2], int(sys.argv[3])
import torch
from transformers import TrainerCallback
from clip_rows import config, rows, trainer_of
from med3d_r1.trainers.clip_losses import gathered

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
scans = [f"{folder}/{number}.npz" for number in range(9)]
args = config(
    f"{folder}/out", per_device_train_batch_size=batch, max_steps=3, random_shift=[1, 2, 2], learn_scale=True,
    optim="sgd", learning_rate=0.1,
)
trainer = trainer_of(args, rows(scans), rows(scans))
gradients = []

class Look(TrainerCallback):
    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        gradients.append({name: weight.grad.clone() for name, weight in model.named_parameters()})

trainer.add_callback(Look())
trainer.train()
found = trainer.evaluate()
trainer.save_vision_tower(f"{folder}/tower-{batch}.safetensors")
uneven = ""
if args.world_size == 2:
    try:
        gathered(torch.zeros(1 + args.process_index, 2))
    except ValueError as error:
        uneven = str(error)
if trainer.accelerator.is_main_process:
    state = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    areas = {name: value for name, value in found.items() if "auroc" in name}
    torch.save((losses, gradients, state, areas, uneven), f"{folder}/found.pt")
"""


def run(folder, processes, *arguments):
    """The script as torchrun starts it, without the seconds that torchrun takes itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-c", SCRIPT, json.dumps([str(Path(__file__).parent), *sys.path])]
    environment = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(processes)}
    started = [
        subprocess.Popen(
            [*command, str(folder), *map(str, arguments)],
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else os.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(processes)
    ]
    for process in started:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    return torch.load(folder / "found.pt", weights_only=False)


@pytest.mark.slow
def test_two_processes_are_one_with_the_whole_batch(tmp_path):
    """Batches of 4 in each of two processes against one of 8, with shifts, BatchNorm, a trained scale, bank and both of
    its losses: losses, gradients, weights and running statistics. Nine scans, so that evaluation is uneven."""
    save_noise(tmp_path, 9)
    losses, gradients, state, areas, _ = run(tmp_path, 1, 8)
    divided_losses, divided_gradients, divided_state, divided_areas, uneven = run(tmp_path, 2, 4)
    assert divided_losses == pytest.approx(losses, rel=1e-9)
    assert len(gradients) == len(divided_gradients) == 3
    for ours, theirs in zip(divided_gradients, gradients, strict=True):
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name], value, rtol=1e-7, atol=1e-10, msg=name)
    for name, value in state.items():
        torch.testing.assert_close(divided_state[name], value, rtol=1e-7, atol=1e-10)
    assert divided_areas == pytest.approx(areas)
    assert "the same number of pairs" in uneven
    assert (tmp_path / "tower-4.safetensors").exists()

"""Checkpoints that are there whole or not at all, so that a run can be killed at any moment and go on.

transformers writes `checkpoint-N` file by file and goes on from the highest N: from half a folder, where the run was
killed while it wrote. A trainer that is also a `WholeCheckpoints` writes beside it and renames at the end:

    class MyTrainer(WholeCheckpoints, Trainer): ...

    trainer.train(resume_from_checkpoint=last_whole_checkpoint(args.output_dir))  # None: from the start
    step_of(last_whole_checkpoint(args.output_dir))                               # 0 where there is none
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from transformers.trainer_callback import TrainerState
from transformers.trainer_utils import rotate_checkpoints

_STATE = "trainer_state.json"
_NAME = re.compile(r"checkpoint-(\d+)")


class WholeCheckpoints:
    """Mixin for a `Trainer`, before it in the list of bases.

    All files of a checkpoint, those of a subclass included, must be written by methods that `_save_checkpoint` of the
    bases calls (`_save_rng_state` is a good place). A draft that a killed run left is removed by the next save.
    """

    _draft: str | None = None

    def _get_output_dir(self, trial: Any) -> str:
        return self._draft or super()._get_output_dir(trial)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        if self._draft is None:  # else the folder would be renamed while it is uploaded
            super()._push_from_checkpoint(checkpoint_folder)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        run = Path(super()._get_output_dir(trial))
        final = run / f"checkpoint-{self.state.global_step}"
        draft = run / ".checkpoint.part" / final.name
        if self.args.should_save:
            shutil.rmtree(draft.parent, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self._draft = str(draft.parent)
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self._draft = None
        self._name_the_best(run, final)
        self.accelerator.wait_for_everyone()  # the other processes have written their part
        if self.args.should_save:
            self.state.save_to_json(str(draft / _STATE))
            _replace(draft, final)
            draft.parent.rmdir()
            rotate_checkpoints(str(run), self.args.save_total_limit, self.state.best_model_checkpoint, use_mtime=True)
        self.accelerator.wait_for_everyone()
        if self.args.push_to_hub:
            self._push_from_checkpoint(str(final))

    def _name_the_best(self, run: Path, final: Path) -> None:
        """transformers looks for the best checkpoint beside the one that it writes, and that is a draft."""
        if self.state.best_global_step:
            best = run / f"checkpoint-{self.state.best_global_step}"
            if best == final or best.is_dir():
                self.state.best_model_checkpoint = str(best)


def _replace(draft: Path, final: Path) -> None:
    """Give the draft its name, also where a run that went on from an earlier step meets a checkpoint of its own."""
    former = final.with_name(f".{final.name}.former")
    shutil.rmtree(former, ignore_errors=True)
    if final.exists():
        final.rename(former)
    draft.rename(final)
    shutil.rmtree(former, ignore_errors=True)


def last_whole_checkpoint(folder: str | os.PathLike[str]) -> str | None:
    """The checkpoint with the highest step in the folder of a run; None where there is none, or no such folder.

    Folders that a trainer without `WholeCheckpoints` left unfinished are passed over: the state of the trainer is
    written last.
    """
    steps = {int(found[1]): path for path in Path(folder).glob("checkpoint-*") if (found := _NAME.fullmatch(path.name))}
    for step, path in sorted(steps.items(), reverse=True):
        try:
            if TrainerState.load_from_json(str(path / _STATE)).global_step == step:
                return str(path)
        except (OSError, json.JSONDecodeError, TypeError):
            continue
    return None


def step_of(checkpoint: str | os.PathLike[str] | None) -> int:
    """The step after which a checkpoint was written; 0 for None, the start.

    >>> step_of("runs/sft/checkpoint-250")
    250
    """
    return 0 if checkpoint is None else int(_NAME.fullmatch(Path(checkpoint).name)[1])


__all__ = ["WholeCheckpoints", "last_whole_checkpoint", "step_of"]

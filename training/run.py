"""A recipe -> a run: trained, saved and written down.

What a run leaves in its `output_dir` stands in `record`. It goes on by itself where a former one stopped, does
nothing where that one is complete, and refuses a folder that holds a run with another recipe.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoints import save_checkpoint
from ..terminal import say
from .recipe import make_plan
from .record import ADAPTER, CURVES, MODEL, VISION_WEIGHTS, Record

if TYPE_CHECKING:
    from accelerate import PartialState

    from .stages import Setup


def run(stage: str, recipe: str | Path, overrides: Sequence[str] = (), *, restart: bool = False) -> Path:
    """Train one stage, from where a former run of the same recipe stopped.

    Args:
        stage: "clip", "language", "sft" or "grpo".
        recipe: a YAML file, see recipes/README.md.
        overrides: keys that win over the recipe: `["--learning_rate", "5e-5", ...]`.
        restart: remove what a former run left in the recipe's `output_dir` first.

    Returns:
        the folder of the trained model.

    Raises:
        ValueError: a key is unknown, missing or of another kind; the data makes no rows; parts do not go together.
        RunError: `output_dir` holds another run.
        StoreError: a store was made with other weights or another preprocessing.
        FileNotFoundError: there is no such recipe, model or data set.
        ImportError: the libraries of training are not installed.
    """
    plan = make_plan(stage, recipe, overrides)
    from accelerate import PartialState
    from transformers import set_seed

    from ..trainers.checkpointing import last_whole_checkpoint, step_of
    from . import stages

    state = PartialState(cpu=plan.config.use_cpu)
    folder = Path(plan.config.output_dir)
    record = on_main(state, lambda: Record.begin(plan, state.num_processes, restart))
    if record.complete:
        _tell(state, f"{folder}: this run is complete")
        return folder / MODEL
    set_seed(plan.config.seed)
    setup = stages.build(plan)
    trainer = setup.trainer
    on_main(state, lambda: record.note(data=setup.data, start=setup.start, trains=setup.trains))
    if setup.calibration is not None:
        known = on_main(state, lambda: record.facts.get("calibration"))
        trainer.add_callback(setup.calibration(known, lambda find: _settle(state, record, find)))
    checkpoint = on_main(state, lambda: last_whole_checkpoint(folder))
    if checkpoint is not None:
        _tell(state, f"going on from {checkpoint}")
    on_main(state, lambda: record.note_step(step_of(checkpoint)))
    trainer.train(resume_from_checkpoint=checkpoint)
    if trainer.eval_dataset is not None and not setup.examined:
        trainer.evaluate()
    save_model(setup, state, folder)
    history = trainer.state.log_history
    on_main(state, lambda: _draw(history, folder / CURVES))
    on_main(state, lambda: record.finish(steps=trainer.state.global_step, log=history))
    _tell(state, f"the model is in {folder / MODEL}")
    return folder / MODEL


def save_model(setup: Setup, state: PartialState, folder: Path) -> None:
    """Write the trained model, which appears whole or not at all. All processes call it: shards are gathered.

    Adapters are kept beside it, and added to the weights that they were trained on, in the precision in which these
    were before they were quantised.
    """
    draft = folder / f".{MODEL}.part"
    on_main(state, lambda: shutil.rmtree(draft, ignore_errors=True))
    setup.trainer.save_model(str(draft))
    if setup.beside is not None:
        on_main(state, lambda: (folder / VISION_WEIGHTS).unlink(missing_ok=True))
        setup.beside(folder / VISION_WEIGHTS)
    state.wait_for_everyone()
    on_main(state, lambda: _place_model(setup, draft, folder))


def _place_model(setup: Setup, draft: Path, folder: Path) -> None:
    (draft / "training_args.bin").unlink(missing_ok=True)  # a pickle; what it holds stands in the record
    for place in (folder / MODEL, folder / ADAPTER):
        shutil.rmtree(place, ignore_errors=True)  # of a run that ended before its record said so
    if setup.adapted is None:
        setup.processor.save_pretrained(draft)
        draft.replace(folder / MODEL)
        return
    from peft import PeftModel

    draft.replace(folder / ADAPTER)
    whole = PeftModel.from_pretrained(setup.adapted(), folder / ADAPTER).merge_and_unload()
    save_checkpoint(whole, setup.processor, folder / MODEL)


def _settle(state: PartialState, record: Record, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the main process finds, written down and known to all."""

    def found() -> dict[str, Any]:
        facts = find()
        record.note(calibration=facts)
        return facts

    return on_main(state, found)


def _draw(history: list[dict[str, Any]], path: Path) -> None:
    """Draw what was logged, if it makes a line: a run of a few steps may have logged once, or never."""
    from ..trainers.curves import PANELS, draw_curves, lines_of

    if any(lines_of(panel, history) for panel in PANELS):
        draw_curves(history, path, title=path.parent.name)


def on_main(state: PartialState, work: Callable[[], Any]) -> Any:
    """What `work` gives in the main process, in all of them; an error of it is raised in all of them."""
    from accelerate.utils import broadcast_object_list

    outcome: list[Any] = [None, None]
    if state.is_main_process:
        try:
            outcome[0] = work()
        except Exception as error:  # raised below, or the other processes would wait for ever
            outcome[1] = error
    if state.num_processes > 1:
        broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def leave_processes() -> None:
    """Take leave of the other processes of a run, where there are any: the last thing that a program does."""
    from accelerate import PartialState

    PartialState().destroy_process_group()


def _tell(state: PartialState, text: str) -> None:
    if state.is_main_process:
        say(text)


__all__ = ["leave_processes", "on_main", "run", "save_model"]

"""What `med3d-r1 train` does: the recipe's keys, the run, and where its results are."""

from __future__ import annotations

import argparse

from .terminal import print_text, quiet_libraries


def run_train(args: argparse.Namespace) -> None:
    """Train one stage as its recipe says."""
    if args.keys:
        print_text(_keys_text(args.stage))
        return
    if args.config is None:
        raise ValueError("--config is missing: the recipe to train by, such as recipes/paper/sft.yaml")
    from .training.run import leave_processes, run

    quiet_libraries(args.verbose)
    run(args.stage, args.config, args.overrides, restart=args.restart)
    leave_processes()


def _keys_text(stage: str) -> str:
    from .training.recipe import keys_of

    lines = ["base = null\n    another recipe, whose keys this one takes over; a path relative to it (recipes only)"]
    for name, (default, meaning) in keys_of(stage).items():
        lines.append(f"{name} = {default}" + (f"\n    {meaning}" if meaning else ""))
    return "\n".join(lines)

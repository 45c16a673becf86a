"""What the verbs `demo` and `study` do: the whole paper on synthetic chests, once or for several seeds."""

from __future__ import annotations

import argparse

from .data.workers import usable_cores
from .terminal import print_text, say


def run_demo(args: argparse.Namespace) -> None:
    """From nothing to an evaluated model and a page about it."""
    from .demo.chain import FULL, MICRO, Chain
    from .demo.page import place_model, write_page
    from .demo.stages import run_stages

    size = MICRO if args.micro else FULL
    chain = Chain(args.out, args.seed, size, usable_cores())
    say(f"synthetic patients, a tiny model, all stages of the paper; what each stage says is in {args.out / 'logs'}")
    seconds = run_stages(chain.stages(), args.out, chain.cores)
    place_model(chain)
    page = write_page(chain, seconds)
    print_text(page.read_text(encoding="utf-8"))
    print_text(f"This page with its pictures: {page}")


def run_study(args: argparse.Namespace) -> None:
    """The same for several seeds, and one table; or S1's ablations for several seeds, and theirs."""
    from .demo.ablations import run_ablations
    from .demo.chain import FULL, MICRO
    from .demo.study import run_study

    run, page = (run_ablations, "ablations.md") if args.ablations else (run_study, "study.md")
    tables = run(args.out, args.seeds, MICRO if args.micro else FULL, usable_cores())
    (args.out / page).write_text(tables + "\n", encoding="utf-8")
    print_text(tables)

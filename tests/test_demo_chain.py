"""The chain is made of command lines that the program understands, with recipes that are there."""

import pytest

from med3d_r1.cli import build_parser
from med3d_r1.demo.chain import FULL, MICRO, Chain
from med3d_r1.demo.study import chain_with_control
from med3d_r1.training.recipe import make_plan


def stages(tmp_path, size=FULL):
    return chain_with_control(Chain(tmp_path, 5, size))


def test_every_stage_needs_only_what_comes_before(tmp_path):
    known = set()
    for stage in stages(tmp_path):
        assert {*stage.needs} <= known
        known.add(stage.name)


@pytest.mark.parametrize("size", [FULL, MICRO], ids=["full", "micro"])
def test_every_stage_is_a_command_that_can_be_parsed(tmp_path, size):
    parser = build_parser()
    for stage in stages(tmp_path, size):
        args, rest = parser.parse_known_args(stage.arguments)
        if args.verb == "train":
            plan = make_plan(args.stage, args.config, rest)
            assert plan.config.seed == 5
            assert plan.config.output_dir == str(tmp_path / stage.name)
        else:
            assert rest == []


def test_the_control_differs_from_s2_in_the_rewards_alone(tmp_path):
    by_name = {stage.name: stage for stage in stages(tmp_path)}
    plans = []
    for name in ("s2", "s2-without-consistency"):
        args, rest = build_parser().parse_known_args(by_name[name].arguments)
        plans.append(make_plan(args.stage, args.config, rest).settings)
    differing = {key for key in {*plans[0], *plans[1]} if plans[0].get(key) != plans[1].get(key)}
    assert differing <= {"output_dir", "rewards", "reward_weights", "consistency"}
    assert "consistency" not in plans[1]["rewards"]

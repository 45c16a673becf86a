"""The chain is made of command lines that the program understands, with recipes that are there."""

import shlex

import pytest
from transformers import AutoModel, AutoProcessor

from med3d_r1.cli import build_parser, main
from med3d_r1.demo.ablations import ABLATIONS, chain_with_ablations
from med3d_r1.demo.chain import FULL, MICRO, Chain
from med3d_r1.demo.study import chain_with_control
from med3d_r1.training.recipe import make_plan

ALL_OF_IT = pytest.mark.parametrize("whole", [chain_with_control, chain_with_ablations], ids=["study", "ablations"])


@ALL_OF_IT
def test_every_stage_needs_only_what_comes_before(tmp_path, whole):
    known = set()
    for stage in whole(Chain(tmp_path, 5)):
        assert {*stage.needs} <= known
        known.add(stage.name)


@ALL_OF_IT
@pytest.mark.parametrize("size", [FULL, MICRO], ids=["full", "micro"])
def test_every_stage_is_a_command_that_can_be_parsed(tmp_path, size, whole):
    parser = build_parser()
    for stage in whole(Chain(tmp_path, 5, size)):
        args, rest = parser.parse_known_args(stage.arguments)
        if args.verb == "train":
            plan = make_plan(args.stage, args.config, rest)
            assert plan.config.seed == 5
            assert plan.config.output_dir == str(tmp_path / stage.name)
        else:
            assert rest == []


def differing(chain, whole, first, second):
    """Keys of the recipes of two stages that are not the same."""
    by_name = {stage.name: stage for stage in whole(chain)}
    plans = []
    for name in (first, second):
        args, rest = build_parser().parse_known_args(by_name[name].arguments)
        plans.append(make_plan(args.stage, args.config, rest).settings)
    return {key: plans[1].get(key) for key in {*plans[0], *plans[1]} if plans[0].get(key) != plans[1].get(key)}


def test_the_control_differs_from_s2_in_the_rewards_alone(tmp_path):
    keys = differing(Chain(tmp_path, 5), chain_with_control, "s2", "s2-without-consistency")
    assert keys.pop("output_dir") == str(tmp_path / "s2-without-consistency")
    assert keys == {"rewards": ["format", "accuracy"], "consistency": None}


def test_an_ablation_differs_from_s1_in_what_it_is_about(tmp_path):
    keys = [differing(Chain(tmp_path, 5), chain_with_ablations, "s1", one.name) for one in ABLATIONS]
    assert [one.pop("output_dir") for one in keys] == [str(tmp_path / one.name) for one in ABLATIONS]
    assert keys == [
        {"model": str(tmp_path / "start-no-ram")},
        {"abnormal_weight": 1.0},
        {"lora_r": 8, "lora_alpha": 16},
    ]


def test_the_ablations_take_the_s1_of_a_study(tmp_path):
    """The same commands: their notes are there, and nothing is trained again."""
    chain = Chain(tmp_path, 5)
    study = {stage.name: stage for stage in chain_with_control(chain)}
    shared = [stage for stage in chain_with_ablations(chain) if stage.name in study]
    assert [stage.name for stage in shared][-2:] == ["s1", "evaluate-s1-balanced"]
    assert all(study[stage.name] == stage for stage in shared)


def test_the_whole_chain_in_small_from_nothing_to_a_model_and_a_page(tmp_path, capsys):
    """Every stage with its own recipe, a few steps each; nothing is learnt. Run again, nothing is done again."""
    folder = tmp_path / "demo"
    assert main(["demo", "--micro", "--out", str(folder)]) == 0
    page = (folder / "report.md").read_text(encoding="utf-8")
    for words in (
        "| own scan, with reasoning |",
        "| options alone |",
        "The answer",
        "curves-clip.png",
        "example-1.png",
    ):
        assert words in page
    assert all((folder / name).exists() for name in ("example-1.png", "synthetic-chest.nii.gz"))
    commands = [shlex.split(line)[1:] for line in page.splitlines() if line.startswith("med3d-r1 ")]
    assert [build_parser().parse_args(command).verb for command in commands] == ["diagnose", "report", "evaluate"]
    assert build_parser().parse_args(commands[2]).out == folder / "mmvqa"
    model = AutoModel.from_pretrained(folder / "model", trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(folder / "model", trust_remote_code=True)
    assert processor.num_image_tokens == model.config.num_image_tokens
    notes = {path: path.stat().st_mtime_ns for path in (folder / "stages").iterdir()}
    assert main(["demo", "--micro", "--out", str(folder)]) == 0
    assert notes == {path: path.stat().st_mtime_ns for path in (folder / "stages").iterdir()}
    assert capsys.readouterr().out.count("# Med3D-R1 on synthetic chests") == 2


@pytest.mark.parametrize(
    ("name", "stage", "needed"), [("clip", "clip", ["--data", "d"]), ("s2", "grpo", ["--data", "d", "--model", "m"])]
)
def test_processes_share_the_batch_of_the_recipe(tmp_path, name, stage, needed):
    batch = make_plan(stage, f"tiny/{stage}.yaml", needed).settings["per_device_train_batch_size"]
    for cores, processes in ((1, 1), (2, 2), (8, 2)):
        (own,) = (one for one in Chain(tmp_path, 5, FULL, cores).stages() if one.name == name)
        args, rest = build_parser().parse_known_args(own.arguments)
        share = make_plan(args.stage, args.config, rest).settings["per_device_train_batch_size"]
        assert (own.processes, share * processes) == (processes, batch)

"""Every recipe of the repository can be read, its sources stand beside its values, and accelerate reads its own."""

import re
from itertools import takewhile
from pathlib import Path

import pytest

from med3d_r1.training.recipe import STAGES, make_plan, read_recipe

RECIPES = Path(__file__).parents[1] / "recipes"
NAMES = sorted(path.relative_to(RECIPES).as_posix() for path in RECIPES.glob("*/*.yaml"))
LAUNCHERS = [name for name in NAMES if name.startswith("accelerate/")]
RUNS = [name for name in NAMES if name not in LAUNCHERS]
KEY = re.compile(r"^(\w+):(.*)$")
OURS = {"base", "output_dir", "logging_steps", "save_steps", "save_total_limit", "seed", "log_completions"}
"""Keys that say how a run is looked after. They change nothing that is learnt, and have no source."""


def stage_of(name):
    """The stage that a recipe's file name names."""
    (stage,) = STAGES.keys() & re.split(r"[-/.]", name)
    return stage


@pytest.mark.parametrize("name", RUNS)
def test_a_recipe_says_all_that_its_stage_needs_but_places(name):
    """Models and data lie where the user has them; everything else stands in the recipe."""
    places = ["--model", "start"] if "model" in STAGES[stage_of(name)].needs else []
    typed = [*places, "--data", "data", "--output_dir", "out", "--use_cpu", "true", "--bf16", "false"]
    plan = make_plan(stage_of(name), RECIPES / name, typed)
    assert plan.settings.keys() >= read_recipe(RECIPES / name).keys()


@pytest.mark.parametrize("name", [name for name in RUNS if name.startswith("paper/")])
def test_each_value_of_the_paper_has_its_source_beside_it(name):
    """Beside it, above it or, of a nested one, within it."""
    lines = ["", *(RECIPES / name).read_text().splitlines()]
    bare = []
    for place, line in enumerate(lines):
        nested = takewhile(lambda below: below.startswith(" "), lines[place + 1 :])
        if (key := KEY.match(line)) and key[1] not in OURS and "#" not in "".join([lines[place - 1], line, *nested]):
            bare.append(key[1])
    assert bare == []


@pytest.mark.parametrize("name", [name for name in RUNS if name.startswith("ablations/")])
def test_an_ablation_is_as_long_as_its_difference(name):
    text = (RECIPES / name).read_text()
    base = re.search(r"(?m)^base: (\S+)", text)
    assert base, "an ablation names its base"
    changed = read_recipe(RECIPES / name)
    former = read_recipe((RECIPES / name).parent / base[1])
    own = [found[1] for line in text.splitlines() if (found := KEY.match(line)) and found[1] != "base"]
    assert [key for key in own if changed[key] == former.get(key)] == []


def test_the_readme_names_every_key_of_a_run():
    readme = (RECIPES / "README.md").read_text()
    named = set(re.findall(r"`(\w+)`", readme))
    keys = {key for stage in STAGES.values() for key in stage.arguments.__dataclass_fields__}
    assert keys <= named


@pytest.mark.parametrize("name", LAUNCHERS)
def test_accelerate_reads_its_configurations(name):
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    config = load_config_from_file(str(RECIPES / name))
    assert config.mixed_precision == "bf16"
    words = ["--config_file", str(RECIPES / name), "-m", "med3d_r1.cli", "train", "sft", "--config", "recipe.yaml"]
    parsed = launch_command_parser().parse_args(words)
    assert parsed.training_script == "med3d_r1.cli"
    assert parsed.training_script_args == ["train", "sft", "--config", "recipe.yaml"]


def test_sharding_divides_the_layers_that_the_model_has():
    """The names in fsdp2.yaml are classes of the model, or nothing would be divided."""
    import torch
    from accelerate.commands.config.config_args import load_config_from_file

    from med3d_r1 import Med3DR1Config, Med3DR1ForConditionalGeneration

    settings = load_config_from_file(str(RECIPES / "accelerate" / "fsdp2.yaml")).fsdp_config
    with torch.device("meta"):
        model = Med3DR1ForConditionalGeneration(Med3DR1Config.preset("tiny"))
    classes = {type(module).__name__ for module in model.modules()}
    assert set(settings["fsdp_transformer_layer_cls_to_wrap"].split(",")) <= classes

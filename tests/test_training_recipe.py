"""Recipes are read key by key: what they say arrives, and what they cannot say is refused in a sentence."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.training import arguments
from med3d_r1.training.recipe import STAGES, find_recipe, keys_of, make_plan, read_recipe

NEEDED = "model: start\ndata: CT-RATE\noutput_dir: out\nuse_cpu: true\nbf16: false\n"


@pytest.fixture
def write(tmp_path):
    def write(text, name="recipe.yaml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def recipe(write):
    return write(NEEDED + "learning_rate: 1e-4\nmixture: {report: 0.5, vqa: 0.5}\n")


def test_a_recipe_fills_both_dataclasses(recipe):
    plan = make_plan("sft", recipe)
    assert (plan.run.model, plan.run.mixture, plan.run.split) == ("start", {"report": 0.5, "vqa": 0.5}, "train")
    assert (plan.config.learning_rate, plan.config.output_dir, plan.config.bf16) == (1e-4, "out", False)
    assert plan.settings["learning_rate"] == 1e-4  # YAML 1.1 reads it as text
    assert set(plan.settings) == {"model", "data", "output_dir", "use_cpu", "bf16", "learning_rate", "mixture"}


def test_curves_go_to_what_is_installed_and_stays_on_this_machine(recipe, monkeypatch):
    from transformers import integrations

    def report_to(tensorboard, trackio, *typed):
        monkeypatch.setattr(integrations, "is_tensorboard_available", lambda: tensorboard)
        monkeypatch.setattr(integrations, "is_trackio_available", lambda: trackio)
        return make_plan("sft", recipe, typed).config.report_to

    assert report_to(False, False) == []
    assert report_to(True, False) == ["tensorboard"]
    assert report_to(True, True) == ["tensorboard", "trackio"]
    assert report_to(True, True, "--report_to", "none") == []


def test_the_command_line_wins(recipe):
    typed = ["--learning-rate", "5e-5", "--mixture", '{"report": 1}', "--patient_share=0.05", "--bf16", "false"]
    plan = make_plan("sft", recipe, typed)
    assert plan.config.learning_rate == plan.settings["learning_rate"] == 5e-5
    assert (plan.run.mixture, plan.run.patient_share) == ({"report": 1}, 0.05)
    assert plan.overrides == tuple(typed)
    assert not plan.config.disable_tqdm


def test_a_switch_that_is_on_is_turned_off_by_no(write):
    plan = make_plan("grpo", write(NEEDED), ["--no_think"])
    assert plan.run.think is False
    assert plan.settings["think"] is False


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lerning_rate: 1", "there is no key lerning_rate; did you mean learning_rate?"),
        ("volume: 1", "there is no key volume; did you mean volumes?"),
        ("distractors: random", "there is no key distractors"),  # of another stage
        ("qqqqqqqq: 1", "there is no key qqqqqqqq; `med3d-r1 train STAGE --keys` lists all of them"),
        ("bits: four", "bits is a whole number or null, not 'four'"),
        ("bits: true", "bits is a whole number or null, not True"),
        ("learning_rate: [1]", r"learning_rate is a number, not \[1\]"),
        ("learning_rate: fast", "learning_rate is a number, not 'fast'"),
        ("standardize: 1", "standardize is true or false, not 1"),
        ("volumes: both", "volumes is fixed, original, not 'both'"),
        ("vqa_kinds: description", r"vqa_kinds is a list \(text each\) or null, not 'description'"),
        ("split: 3", "split is text, not 3"),
        ("split: a\nsplit: b", "split stands twice"),
        ("base: nowhere.yaml", "its base 'nowhere.yaml' is not there"),
        ("base: recipe.yaml", "its own base, through recipe.yaml"),
        ("3: 1", "mapping of keys"),
        ("a: [", "is not YAML"),
    ],
)
def test_what_a_recipe_cannot_say_is_refused(write, line, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make_plan("sft", write(f"{NEEDED}{line}\n"))


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["--lerning-rate", "1"], "there is no key --lerning_rate; did you mean --learning_rate?"),
        (["--learning_rate", "fast"], "argument --learning_rate/--learning-rate: invalid float value: 'fast'"),
        (["--volumes", "both"], "invalid choice: 'both'"),
        (["--mixture", "report"], "--mixture is JSON, such as '{\"report\": 1}'; got 'report'"),
        (["--mixture", "3"], "--mixture is a mapping; got '3'"),
        (["fast"], "'fast' belongs to no key"),
        (["--learn", "1"], "there is no key --learn"),  # no beginnings of keys
    ],
)
def test_what_cannot_be_typed_is_refused(recipe, typed, message):
    with pytest.raises(ValueError, match=message):
        make_plan("sft", recipe, typed)


@pytest.mark.parametrize("key", ["model", "data", "output_dir"])
def test_a_missing_key_is_named_with_its_meaning(write, key):
    lines = [line for line in NEEDED.splitlines() if not line.startswith(key)]
    with pytest.raises(ValueError, match=rf"{key} is missing \(.+\): add it to the recipe, or type --{key}"):
        make_plan("sft", write("\n".join(lines)))


def test_no_such_recipe_and_no_such_stage(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.yaml: no such recipe. The package itself has recipes/"):
        make_plan("sft", tmp_path / "nowhere.yaml")
    with pytest.raises(ValueError, match="no stage 'ppo'; there are clip, language, sft, grpo"):
        make_plan("ppo", "any.yaml")


def test_a_base_is_relative_to_its_recipe_and_gives_way(write):
    write("learning_rate: 1\nsplit: base\nweight_decay: 1\n", "base.yaml")
    write("base: base.yaml\nsplit: middle\nlearning_rate: 2\n", "middle.yaml")
    top = write("base: ../middle.yaml\nlearning_rate: 3\n", "deeper/top.yaml")
    assert read_recipe(top) == {"learning_rate": 3, "split": "middle", "weight_decay": 1}


def test_a_recipe_of_the_package_is_found_from_anywhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    own = find_recipe("recipes/accelerate/ddp.yaml")
    assert own.is_file()
    assert find_recipe("accelerate/ddp.yaml") == own


def test_the_missing_library_is_named(monkeypatch, recipe):
    def missing(name, package):
        raise ImportError("GRPO needs TRL: pip install 'med3d-r1[train]'")

    monkeypatch.setattr(arguments, "import_module", missing)
    with pytest.raises(ImportError, match=r"pip install 'med3d-r1\[train\]'"):
        make_plan("grpo", recipe)


@pytest.mark.parametrize("stage", STAGES)
def test_no_key_of_a_run_is_also_one_of_the_configuration(stage):
    home = STAGES[stage]
    ours = home.arguments.__dataclass_fields__.keys()
    theirs = home.config_class().__dataclass_fields__.keys()
    assert not ours & theirs
    assert {"base", "config"}.isdisjoint(ours | theirs)
    assert set(keys_of(stage)) >= ours
    assert all(keys_of(stage)[name][1] for name in ours)


numbers = st.integers(-(10**6), 10**6)


@given(number=numbers)
def test_a_number_means_the_same_in_a_recipe_and_on_the_command_line(tmp_path_factory, number):
    path = tmp_path_factory.mktemp("recipes") / "recipe.yaml"
    path.write_text(f"{NEEDED}rows_seed: {number}\nlora_dropout: {number}e-3\n")
    bare = path.with_name("bare.yaml")
    bare.write_text(NEEDED)
    in_recipe = make_plan("sft", path)
    typed = make_plan("sft", bare, [f"--rows_seed={number}", f"--lora_dropout={number}e-3"])
    assert in_recipe.settings == typed.settings
    assert in_recipe.run == typed.run


def test_a_plan_is_not_changed_by_another_one(recipe):
    first = make_plan("sft", recipe, ["--patient_seed", "3"])
    assert make_plan("sft", recipe).run == replace(first.run, patient_seed=0)

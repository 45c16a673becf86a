"""From a plan to its parts: rewards by name, feature statistics, and what does not go together."""

from types import SimpleNamespace

import pytest
import torch

from med3d_r1 import checkpoints, rewards
from med3d_r1.encoded_med3d_r1 import save_encoded
from med3d_r1.training.arguments import GRPOArguments, SFTArguments
from med3d_r1.training.rewards import reward_functions
from med3d_r1.training.stages import adapters, require_compatible, standardize, start_of
from tiny import tiny_checkpoint, tiny_model


def test_rewards_come_in_the_order_of_the_recipe():
    functions = reward_functions(GRPOArguments(rewards=["accuracy", "consistency", "format"]))
    assert functions[0] is rewards.accuracy_reward
    assert isinstance(functions[1], rewards.ConsistencyReward)
    assert isinstance(functions[1].scorer, rewards.FindingScorer)
    assert functions[2] is rewards.format_reward


def test_the_consistency_reward_has_the_settings_of_the_recipe():
    settings = {"scorer": "findings", "options": {"measure": "recall"}, "levels": [0, 1], "thresholds": [0.25]}
    (reward,) = reward_functions(GRPOArguments(rewards=["consistency"], consistency=settings))
    assert (reward.scorer.measure, reward.levels, reward.thresholds) == ("recall", (0.0, 1.0), (0.25,))
    assert settings["scorer"] == "findings"  # the recipe is not used up


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rewards": ["length"]}, "no reward 'length'; there are format, accuracy, consistency"),
        ({"rewards": []}, "rewards is empty"),
        ({"consistency": {"scorer": "coin"}}, "consistency: no scorer 'coin'; there are findings"),
        (
            {"consistency": {"level": [0, 1]}},
            "consistency: there is no 'level'; its settings are scorer, options, levels",
        ),
        ({"consistency": {"options": {"metric": "f1"}}}, "the options do not fit the scorer 'findings': .*'metric'"),
        ({"consistency": {"levels": [1, 0]}}, "levels ascend"),
    ],
)
def test_rewards_that_do_not_exist_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        reward_functions(GRPOArguments(**{"rewards": ["consistency"], **changed}))


def test_thresholds_are_quantiles_of_what_the_start_model_writes():
    """Five lengths 2, 4, ... 10, scored by their length: the median is 6, and from 6 on the upper level is reached."""
    settings = {"levels": [0, 1], "thresholds": {"quantiles": [0.5], "rows": 5}}
    (reward,) = reward_functions(GRPOArguments(rewards=["consistency"], consistency=settings))
    assert reward.__name__ == "consistency_reward"
    reward.scorer = lambda said, reports: [float(len(text)) for text in said]
    with pytest.raises(RuntimeError, match="before its thresholds were found"):
        reward(["<think>ab</think><answer>A</answer>"], report=["Report."])
    texts = [f"<think>{'x' * length}</think><answer>A</answer>" for length in (2, 4, 6, 8, 10)]
    facts = reward.calibrate([*texts, "no reasoning"], ["Report."] * 6)
    assert facts == {"answers": 6, "scored": 5, "quantiles": [0.5], "thresholds": [6.0]}
    assert reward(texts, report=["Report."] * 5) == [0, 0, 1, 1, 1]
    (again,) = reward_functions(GRPOArguments(rewards=["consistency"], consistency=settings))
    again.scorer = reward.scorer
    again.restore(facts)
    assert again(texts, report=["Report."] * 5) == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"quantiles": [0.5, 0.5, 0.9]}, "quantiles ascend between 0 and 1"),
        ({"quantiles": []}, "quantiles ascend between 0 and 1"),
        ({"quantiles": [0.2, 0.5]}, "each level but the lowest has its threshold"),
        ({"rows": 0}, "rows are the questions of the calibration, 1 or more; got 0"),
        ({"quantile": [0.5]}, "a mapping of quantiles and rows; got {'quantile'"),
    ],
)
def test_a_calibration_that_cannot_be_is_refused_before_anything_is_loaded(thresholds, message):
    with pytest.raises(ValueError, match=message):
        reward_functions(GRPOArguments(rewards=["consistency"], consistency={"thresholds": thresholds}))


def test_a_model_that_does_not_reason_gives_no_thresholds():
    (reward,) = reward_functions(GRPOArguments(rewards=["consistency"], consistency={"thresholds": {"rows": 2}}))
    with pytest.raises(ValueError, match="none of the 2 answers of the calibration has any reasoning"):
        reward.calibrate(["A", "<answer>B</answer>"], ["Report."] * 2)
    same = ["<think>Emphysema.</think><answer>A</answer>"] * 2
    with pytest.raises(ValueError, match="take fewer levels"):
        reward.calibrate(same, ["Emphysema."] * 2)


def encoded(folder, name, tokens):
    path = folder / f"{name}.safetensors"
    save_encoded(path, tokens, {})
    return str(path)


def test_statistics_are_those_of_the_scans_each_counted_once(tmp_path):
    """Two scans that are d - 1 and d + 1 throughout have the mean d, also if one is in many rows. Their channels all
    say the same: of 64, the one component that varies has an eigenvalue of 64, and becomes 8 / sqrt(64.02) in each."""
    model = tiny_model(feature_standardization=True)
    shape = model.config.vision_config.num_tokens, model.config.vision_config.hidden_size
    shift = torch.arange(shape[1]).expand(shape) / 64  # exact in bfloat16
    paths = [encoded(tmp_path, "low", shift - 1), encoded(tmp_path, "high", shift + 1)]
    standardize(model, [*paths, paths[0], paths[0]])
    bridge = model.model.bridge
    torch.testing.assert_close(bridge.feature_mean, shift[0])
    whitened = torch.ones(shape[1]) @ bridge.feature_whitening
    torch.testing.assert_close(whitened, torch.full(shape[1:], 1 / 64.02**0.5))


def test_statistics_need_encoded_scans_and_a_bridge_that_takes_them(tmp_path):
    with pytest.raises(ValueError, match=r"standardize needs encoded scans, and .* is none: set `feature_store`"):
        standardize(tiny_model(feature_standardization=True), ["scan.npz"])
    plain = tiny_model(feature_standardization=False)
    shape = plain.config.vision_config.num_tokens, plain.config.vision_config.hidden_size
    with pytest.raises(ValueError, match="does not standardise"):
        standardize(plain, [encoded(tmp_path, "a", torch.zeros(shape)), encoded(tmp_path, "b", torch.ones(shape))])


@pytest.mark.parametrize(
    ("run", "train", "message"),
    [
        ({"feature_store": "f"}, ["vision_tower", "bridge"], "leave vision_tower out of `train`"),
        ({"bits": 4}, ["bridge", "language_model"], "a decoder in 4 bits cannot train itself: set `lora_r`"),
        ({"standardize": True, "lora_r": 2}, ["language_model"], "only parts that train are saved: add bridge"),
    ],
)
def test_what_does_not_go_together_is_refused(run, train, message):
    with pytest.raises(ValueError, match=message):
        require_compatible(SFTArguments(**run), SimpleNamespace(train=train))


def test_what_goes_together_is_not_refused():
    require_compatible(SFTArguments(feature_store="f", bits=4), SimpleNamespace(train=["bridge"]))
    require_compatible(SFTArguments(bits=8, lora_r=4), SimpleNamespace(train=["bridge", "language_model"]))


def test_adapters_leave_the_other_parts_that_train_whole():
    assert adapters(SFTArguments(), SimpleNamespace(train=["bridge"])) is None
    made = adapters(SFTArguments(lora_r=4, lora_alpha=8), SimpleNamespace(train=["bridge", "language_model"]))
    assert (made.r, made.lora_alpha, made.modules_to_save) == (4, 8, ["bridge"])
    assert adapters(SFTArguments(lora_r=4), SimpleNamespace(train=["language_model"])).modules_to_save is None


def test_deepspeed_places_the_weights_that_it_divides(monkeypatch, tmp_path):
    """transformers refuses a device_map there."""
    folder, given = tiny_checkpoint(tmp_path / "model"), []
    load = checkpoints.Med3DR1ForConditionalGeneration.from_pretrained

    def loaded(name, device_map, **options):
        given.append(device_map)
        return load(name, device_map=device_map, **options)

    monkeypatch.setattr(checkpoints.Med3DR1ForConditionalGeneration, "from_pretrained", loaded)
    checkpoints.load_model(folder, "cpu")
    monkeypatch.setattr(checkpoints, "is_deepspeed_zero3_enabled", lambda: True)
    checkpoints.load_model(folder, "cpu")
    assert given == ["cpu", None]


def test_a_start_is_known_by_its_weights(tmp_path):
    first = tiny_checkpoint(tmp_path / "first")
    again = tiny_checkpoint(tmp_path / "again")
    other = tiny_checkpoint(tmp_path / "other", seed=1)
    assert start_of(str(first))["model"] == str(first)
    assert start_of(str(first))["sha256"] == start_of(str(again))["sha256"] != start_of(str(other))["sha256"]

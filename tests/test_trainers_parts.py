"""Which parts of a model train, and how they are told."""

import pytest

from med3d_r1.lora import lora_config
from med3d_r1.quantization import quantization_config
from med3d_r1.trainers.parts import PARTS, choose_parts, table_of_parts, trainable
from tiny import tiny_checkpoint, tiny_model


@pytest.fixture
def model():
    return tiny_model()


def adapted(model, modules_to_save):
    peft = pytest.importorskip("peft")
    settings = lora_config(r=4)
    settings.modules_to_save = modules_to_save
    return peft.get_peft_model(model, settings)


def sizes(model):
    """Weights of each part, each counted once; the head is the embedding."""
    inner = model.model
    return {part: sum(weights.numel() for weights in getattr(inner, part).parameters()) for part in PARTS}


@pytest.mark.parametrize("parts", [["bridge"], ["language_model", "vision_tower"], list(PARTS)])
def test_the_chosen_parts_train(model, parts):
    choose_parts(model, PARTS)
    choose_parts(model, parts)
    for part in PARTS:
        trains = {weights.requires_grad for weights in getattr(model.model, part).parameters()}
        assert trains == {part in parts}
    assert model.lm_head.weight.requires_grad == ("language_model" in parts)
    assert trainable(model) == {part: count if part in parts else 0 for part, count in sizes(model).items()}


def test_a_head_of_its_own_belongs_to_the_decoder(model):
    from torch import nn

    model.lm_head = nn.Linear(model.lm_head.in_features, model.lm_head.out_features, bias=False)
    choose_parts(model, ["language_model"])
    assert model.lm_head.weight.requires_grad
    choose_parts(model, ["bridge"])
    assert not model.lm_head.weight.requires_grad


def test_the_table(model):
    table = choose_parts(model.bfloat16(), ["bridge"])
    counts = sizes(model)
    assert [line.split() for line in table.splitlines()] == [
        ["part", "weights", "that", "train", "dtype"],
        ["vision_tower", f"{counts['vision_tower']:,}", "0", "bfloat16"],
        ["bridge", f"{counts['bridge']:,}", f"{counts['bridge']:,}", "bfloat16"],
        ["language_model", f"{counts['language_model']:,}", "0", "bfloat16"],
    ]


def test_adapters_always_train_and_what_they_adapt_never(model):
    counts = sizes(model)
    peft_model = adapted(model, ["bridge"])
    table = choose_parts(peft_model, ["bridge", "language_model"])
    adapters = sum(weights.numel() for name, weights in peft_model.named_parameters() if ".lora_" in name)
    expected = {"vision_tower": 0, "bridge": counts["bridge"], "language_model": adapters}
    assert trainable(peft_model) == expected
    choose_parts(peft_model, ["bridge"])
    assert trainable(peft_model) == expected
    choose_parts(peft_model, ["language_model"])
    assert trainable(peft_model) == expected | {"bridge": 0}
    rows = {line.split()[0]: line.split() for line in table.splitlines()}
    assert rows["bridge"][1] == f"{counts['bridge']:,}"  # the copy that trains, and not what it stands in for
    assert rows["language_model"][1] == f"{counts['language_model'] + adapters:,}"
    assert "float32 (frozen), float32 (trains)" in table


def test_a_part_that_peft_would_not_save_is_refused(model):
    peft_model = adapted(model, ["bridge"])
    with pytest.raises(ValueError, match=r"train has vision_tower, but PEFT would not save it.*modules_to_save"):
        choose_parts(peft_model, ["vision_tower", "bridge"])


@pytest.mark.parametrize("bits", [4, 8])
def test_quantised_weights_cannot_train_but_their_adapters_can(bits, tmp_path):
    pytest.importorskip("bitsandbytes")
    from med3d_r1.checkpoints import load_model

    folder = tiny_checkpoint(tmp_path / "model")
    whole = sizes(load_model(folder, "cpu"))
    model = load_model(folder, "cpu", "float32", quantization_config(bits))
    with pytest.raises(ValueError, match=r"train has language_model, but its weights are quantised \((nf4|int8)\)"):
        choose_parts(model, ["language_model"])
    table = choose_parts(model, ["bridge"])
    row = table.splitlines()[3].split()
    assert row[:3] == ["language_model", f"{whole['language_model']:,}", "0"]
    assert {"nf4", "int8"} & {word.strip(",") for word in row[3:]}
    peft_model = adapted(model, ["bridge"])
    choose_parts(peft_model, ["bridge", "language_model"])
    assert trainable(peft_model)["language_model"] > 0
    assert table_of_parts(peft_model).count("(trains)") == 1


def test_other_names_and_none_at_all_are_refused(model):
    with pytest.raises(ValueError, match="vision_tower, bridge, language_model; 'projector' is none of them"):
        choose_parts(model, ["bridge", "projector"])
    with pytest.raises(ValueError, match="nothing would train"):
        choose_parts(model, [])

"""What the options give away, of tables whose answer is known."""

import json

import pytest

from evaluation_systems import table
from med3d_r1.data.label_tables import invented_labels
from med3d_r1.evaluation.floor import measure_floor
from med3d_r1.evaluation.plots import write_floor_plot

LABELS = table(200)


@pytest.fixture(scope="module")
def floor():
    return measure_floor(LABELS, table(400, seed=2))


def by_way(result):
    return {(floor.distractors, floor.draw): floor for floor in result.floors}


def test_only_balanced_questions_give_nothing_away(floor):
    found = by_way(floor)
    assert found["negative", "scan"].guesser.low > 0.4
    assert found["random", "positive"].guesser.low > 0.3
    for draw in ("scan", "positive", "label"):
        score = found["balanced", draw].guesser
        assert score.low < 0.25 < score.high + 0.02
        assert found["balanced", draw].ambiguous == 0
    assert found["random", "scan"].ambiguous > 0.3
    assert found["random", "label"].guesser.low < 0.25


def test_labels_that_are_all_alike_give_nothing_away():
    """Every label in a third of the scans, independently: the options of any mode are worthless but for ambiguity."""
    even, train = (invented_labels(500, seed=seed, prevalences=[1 / 3] * 18, shared=0, grouped=0) for seed in (3, 4))
    score = by_way(measure_floor(even, train))["negative", "scan"].guesser
    assert score.low < 0.25


def test_without_a_training_table_one_half_teaches_the_other():
    own = by_way(measure_floor(LABELS))
    assert own["negative", "scan"].guesser.items < own["negative", "scan"].items
    assert own["negative", "scan"].guesser.low > 0.35


def test_a_table_that_is_too_small_says_so():
    result = measure_floor({"one": next(labels for labels in LABELS.values() if sum(labels) == 3)})
    assert "two questions or more" in by_way(result)["negative", "scan"].refusal
    assert "two questions or more" in result.markdown()
    with pytest.raises(ValueError, match="no scans"):
        measure_floor({})


def test_what_is_written(floor, tmp_path):
    files = [*floor.save(tmp_path), *write_floor_plot(floor, tmp_path)]
    assert [file.name for file in files] == ["floor.json", "floor.md", "floor.png", "floor.svg"]
    stored = json.loads(files[0].read_text())
    assert stored["protocol"]["scans"] == 200
    assert stored["floors"][0]["guesser"]["items"] == stored["floors"][0]["items"]
    assert files[1].read_text().count("\n| ") == 1 + 1 + 9 - 1 + 1
    assert files[2].read_bytes().startswith(b"\x89PNG")


def test_the_same_table_gives_the_same(floor):
    assert measure_floor(LABELS, table(400, seed=2)) == floor
    assert measure_floor(LABELS, table(400, seed=2), seed=1) != floor

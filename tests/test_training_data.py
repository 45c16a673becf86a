"""What a run learns from: the right patients, the right paths, and a fingerprint of the data, not of the machine."""

import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

from dataset_trees import CTRateTree
from med3d_r1.data.scans import DataWarning
from med3d_r1.training.arguments import GRPOArguments
from med3d_r1.training.data import (
    Places,
    material,
    question_rows,
    read_scans,
    require_reports,
    rows_sha256,
    spread,
)

LABELS = ("Emphysema", "Lung nodule", "Atelectasis", "Cardiomegaly")


@pytest.fixture
def tree(tmp_path):
    """Twelve patients to train on, four to validate; each has one abnormality."""
    for split, short, count in (("train", "train", 12), ("validation", "valid", 4)):
        made = CTRateTree(tmp_path, split)
        for number in range(1, count + 1):
            name = f"{short}_{number}_a_1"
            made.volume(name)
            made.add(name, LABELS[number % 4], findings=f"There is {LABELS[number % 4].lower()}.")
        made.write()
    return tmp_path


def arguments(tree, **changed):
    return GRPOArguments(model="any", data=str(tree), **{"rows_seed": 0, **changed})


def names(scans):
    return [scan.name for scan in scans]


def test_patients_are_chosen_and_the_others_are_the_rest(tree):
    everyone = names(read_scans(arguments(tree), "train"))
    chosen = names(read_scans(arguments(tree, patient_count=3), "train"))
    others = names(read_scans(arguments(tree, patient_count=3, patient_part="others"), "train"))
    assert len(chosen) == 3
    assert sorted(chosen + others) == sorted(everyone)
    assert names(read_scans(arguments(tree, patient_share=0.25), "train")) == chosen
    assert names(read_scans(arguments(tree, patient_count=3, patient_seed=1), "train")) != chosen


def test_the_patients_of_the_held_out_split_are_not_thinned(tree):
    assert len(read_scans(arguments(tree, patient_count=1), "validation")) == 4


def make(run, places=None):
    places = places or Places()
    return material(run, places, question_rows(run, places))


def test_questions_with_some_held_out(tree):
    run = arguments(tree, held_out=2, think=False)
    made = make(run)
    assert (made.train.num_rows, made.held_out.num_rows) == (12, 2)
    row = made.train[0]
    assert Path(row["images"][0]).name == row["volume"]
    assert row["options"][ord(row["answer"]) - ord("A")] == row["abnormality"]
    assert "<think>" not in row["prompt"][0]["content"][-1]["text"]
    assert {Path(images[0]).name for images in made.held_out["images"]} <= {
        f"valid_{n}_a_1.nii.gz" for n in range(1, 5)
    }
    assert made.facts["rows"] == made.facts["scans"] == 12
    assert made.facts["held_out_rows"] == 2


def test_the_same_recipe_makes_the_same_rows_and_another_seed_others(tree):
    first, again, other = (make(arguments(tree, rows_seed=seed)).facts["rows_sha256"] for seed in (0, 0, 1))
    assert first == again != other


def test_a_fingerprint_of_rows_is_not_of_the_machine():
    rows = [{"images": ["/here/a.npz"], "prompt": "What?"}]
    assert rows_sha256(rows) == rows_sha256([{"images": ["/there/a.npz"], "prompt": "What?"}])
    assert rows_sha256(rows) != rows_sha256([{"images": ["/here/b.npz"], "prompt": "What?"}])
    assert rows_sha256(rows) != rows_sha256(rows * 2)
    assert rows_sha256([{"text": "a"}]) != rows_sha256([{"text": "b"}])


def test_a_store_says_where_scans_are_and_what_it_lacks_is_told(tree):
    stored = {f"train_{number}_a_1.nii.gz" for number in range(1, 10)}
    places = Places(lambda volume: f"store/{volume.name}", stored.__contains__, {"volume_store": "abc"})
    run = arguments(tree, volume_store="store")
    with pytest.warns(DataWarning, match="store: 3 of 12 scans are not in it and left out"):
        made = make(run, places)
    assert {path for images in made.train["images"] for path in images} == {f"store/{name}" for name in stored}
    assert made.facts["volume_store"] == "abc"


def test_a_store_without_any_of_the_scans_is_refused(tree):
    places = Places(has=lambda name: False)
    with pytest.raises(ValueError, match="store: holds none of the 12 scans of this run, such as train_1_a"):
        make(arguments(tree, volume_store="store"), places)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"held_out": 1, "held_out_split": "train"}, "held_out_split is 'train' as split is"),
        ({"held_out": 9}, "held_out is 9; split 'validation' makes 4 rows"),
        ({"split": "test"}, "split is one of train, validation"),
        ({"patient_count": 99}, "99 patients were asked for, and there are 12"),
        ({"patient_count": 0}, "make no rows for this recipe"),
    ],
)
def test_what_cannot_be_is_refused(tree, changed, message):
    with pytest.raises(ValueError, match=message):
        make(arguments(tree, **changed))


def test_the_consistency_reward_needs_reports():
    with_report, without = {"report": "A nodule."}, {"report": None}
    require_reports([without], ["format"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        require_reports([with_report], ["consistency"])
    with pytest.warns(DataWarning, match="1 of 2 questions are on scans without a report"):
        require_reports([with_report, without], ["consistency"])
    with pytest.raises(ValueError, match="no scan of this data set has one: take consistency out of `rewards`"):
        require_reports([without, without], ["format", "consistency"])


def test_rows_are_spread_evenly():
    assert spread(range(10), 4) == [0, 2, 5, 7]
    assert spread(range(3), 3) == [0, 1, 2]


def test_places_keep_the_volumes_that_are_there():
    volumes = [SimpleNamespace(name="a"), SimpleNamespace(name="b")]
    from med3d_r1.data.scans import Scan

    scan = Scan("CT-RATE", "train", "p", "s", tuple(volumes))
    assert [v.name for v in Places(has="b".__eq__).kept([scan], "store")[0].volumes] == ["b"]

"""Where normal and abnormal sentences stand, in numbers derived by hand, and the files that show it."""

import csv
import importlib
import math
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dataset_trees import CTRateTree
from med3d_r1 import figures
from med3d_r1.data.phantom import make_phantom
from med3d_r1.data.scans import DatasetError, DataWarning
from med3d_r1.figures import BINS, count_sentences, read_reports, write_figures
from med3d_r1.tiny import tiny_tokenizer
from volume_files import forbid

FIRST = ("Heart is normal. Lungs are clear. There is a small nodule here.", "Nodule.")
SECOND = ("Effusion.", "")


def by_word(sentences):
    """A labeller for hand-made reports."""
    words = ("nodule", "effusion")
    return ["abnormal" if any(word in text.lower() for word in words) else "normal" for text in sentences]


def plain(sentences):
    return ["normal"] * len(sentences)


@pytest.fixture
def numbers():
    return count_sentences([FIRST, SECOND], labeller=by_word)


def test_sentences_and_words_are_counted_by_section(numbers):
    assert numbers.reports == 2
    assert numbers.sentences == {
        "finding": {"normal": 2, "abnormal": 2}, "impression": {"normal": 0, "abnormal": 1},
    }  # fmt: skip
    assert numbers.tokens == {"finding": {"normal": 6, "abnormal": 7}, "impression": {"normal": 0, "abnormal": 1}}
    assert numbers.abnormal_share("finding", "sentences") == 0.5
    assert numbers.abnormal_share("finding", "tokens") == 7 / 13
    assert numbers.token == "words between spaces"


def test_positions_derived_by_hand(numbers):
    """The first report has four sentences: normal at 0..1/4 and 1/4..1/2, abnormal at 1/2..3/4 and 3/4..1. The second
    has one, abnormal, over the whole length. Of 20 bins a quarter covers five, with a fifth of a sentence in each."""
    normal, abnormal = (numbers.positions["report"][label] for label in ("normal", "abnormal"))
    assert normal == pytest.approx([0.2] * 10 + [0.0] * 10)
    assert abnormal == pytest.approx([0.05] * 10 + [0.25] * 10)
    assert numbers.density("report", "normal") == pytest.approx([2.0] * 10 + [0.0] * 10)
    assert numbers.mean_positions["report"]["normal"] == pytest.approx((1 / 8 + 3 / 8) / 2)
    assert numbers.mean_positions["report"]["abnormal"] == pytest.approx((5 / 8 + 7 / 8 + 1 / 2) / 3)
    assert numbers.mean_positions["finding"]["normal"] == pytest.approx((1 / 6 + 3 / 6) / 2)
    assert numbers.mean_positions["finding"]["abnormal"] == pytest.approx((5 / 6 + 1 / 2) / 2)


@given(st.integers(1, 60))
def test_each_sentence_counts_once_however_it_falls_on_the_bins(sentences):
    stretches = figures._stretches(sentences)
    assert stretches.shape == (sentences, BINS)
    assert stretches.sum(axis=1) == pytest.approx(np.ones(sentences))
    assert stretches.sum(axis=0) == pytest.approx(np.full(BINS, sentences / BINS))


def test_reports_without_a_label_have_no_mean_and_no_density():
    numbers = count_sentences([FIRST], labeller=plain)
    assert math.isnan(numbers.mean_positions["report"]["abnormal"])
    assert not numbers.density("report", "abnormal").any()
    assert numbers.abnormal_share("impression", "tokens") == 0


def test_tokens_are_those_of_a_tokenizer():
    tokenizer = tiny_tokenizer()
    tokenizer.name_or_path = "/somewhere/tiny"
    numbers = count_sentences([SECOND], labeller=by_word, tokenizer=tokenizer)
    ids = tokenizer("Effusion.", add_special_tokens=False)["input_ids"]
    assert numbers.tokens["finding"]["abnormal"] == len(ids)
    assert numbers.token == "those of tiny"


def test_synthetic_reports_show_the_order_that_they_were_given():
    """Reports in the free style put normal sentences first, those in the plain style go by region alone. The offline
    rules find nearly what the generator knows."""
    gaps = {}
    for style in ("free", "plain"):
        reports = [make_phantom(seed, (8, 16, 16), style=style).report for seed in range(60)]
        numbers = count_sentences([(report.findings, report.impression) for report in reports])
        means = numbers.mean_positions["finding"]
        gaps[style] = means["abnormal"] - means["normal"]
        known = [_means(report) for report in reports]
        assert means["normal"] == pytest.approx(np.mean(np.concatenate([of["normal"] for of in known])), abs=0.01)
        assert means["abnormal"] == pytest.approx(np.mean(np.concatenate([of["abnormal"] for of in known])), abs=0.01)
        counted = numbers.sentences["finding"]["abnormal"] + numbers.sentences["impression"]["abnormal"]
        assert counted == pytest.approx(sum(s.abnormal for report in reports for s in report.sentences), rel=0.02)
    assert gaps["free"] > 0.3
    assert gaps["plain"] < 0.2


def _means(report) -> dict[str, list[float]]:
    """Positions of the sentences in the findings, by what the generator knows of them."""
    sentences = [sentence for sentence in report.sentences if sentence.section == "findings"]
    places = [(place + 0.5) / len(sentences) for place in range(len(sentences))]
    return {
        label: [place for place, s in zip(places, sentences, strict=True) if s.abnormal == (label == "abnormal")]
        for label in ("normal", "abnormal")
    }


class TestFiles:
    def test_pictures_and_numbers(self, numbers, tmp_path):
        files = write_figures(numbers, tmp_path / "new")
        assert [file.name for file in files] == [
            f"sentence-{name}{suffix}" for name in ("positions", "shares") for suffix in (".png", ".svg", ".csv")
        ]
        for file in files[::3]:
            with Image.open(file) as picture:
                assert picture.width > 1000
        for file in files[1::3]:
            text = " ".join("".join(node.itertext()) for node in ElementTree.parse(file).iter())
            assert "n = 2 reports with 2 normal and 3 abnormal sentences" in text
            assert "normal" in text

    def test_the_tables_say_what_is_drawn(self, numbers, tmp_path):
        positions, shares = (list(csv.DictReader(file.open())) for file in write_figures(numbers, tmp_path)[2::3])
        assert len(positions) == 2 * BINS
        assert sum(float(row["abnormal_sentences"]) for row in positions if row["part"] == "report") == pytest.approx(3)
        assert np.mean([float(row["normal_density"]) for row in positions[:BINS]]) == pytest.approx(1, abs=1e-3)
        assert (positions[0]["from"], positions[0]["to"], positions[BINS - 1]["to"]) == ("0.0", "0.05", "1.0")
        assert shares[1] == {
            "section": "finding", "unit": "tokens", "normal": "6", "abnormal": "7", "abnormal_share": "0.5385",
        }  # fmt: skip

    def test_the_same_numbers_give_the_same_bytes(self, numbers, tmp_path):
        first, second = (write_figures(numbers, tmp_path / turn) for turn in ("1", "2"))
        assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]

    def test_a_label_that_never_occurs_is_drawn_as_nothing(self, tmp_path):
        assert len(write_figures(count_sentences([FIRST], labeller=plain), tmp_path)) == 6

    def test_nothing_to_draw(self, tmp_path):
        with pytest.raises(ValueError, match="not a single sentence"):
            write_figures(count_sentences([]), tmp_path)

    def test_without_matplotlib_the_error_says_what_to_install(self, numbers, tmp_path, monkeypatch):
        forbid(monkeypatch, "matplotlib")
        monkeypatch.setattr(figures, "import_module", importlib.import_module)
        with pytest.raises(ImportError, match=r"pip install 'med3d-r1\[data\]'"):
            write_figures(numbers, tmp_path)


class TestReading:
    @pytest.fixture
    def tree(self, tmp_path):
        for split in ("train", "validation"):
            tree = CTRateTree(tmp_path, split)
            short = tree.short
            for reconstruction in (1, 2):
                tree.add(f"{short}_1_a_{reconstruction}", findings=f"One of {split}.", impression="Not given.")
            tree.add(f"{short}_1_b_1", findings="Not given.", impression="Not given.")
            tree.write()
        return tree

    def test_a_scan_counts_once_and_what_was_not_given_not_at_all(self, tree):
        assert read_reports(tree.reports_path) == [("One of validation.", "")]

    @pytest.mark.parametrize("inside", ["", "dataset"])
    def test_of_a_folder_those_splits_that_are_there(self, tree, inside):
        folder = tree.folder / inside
        assert read_reports(folder) == [("One of train.", ""), ("One of validation.", "")]
        assert read_reports(folder, "train") == [("One of train.", "")]
        tree.reports_path.unlink()
        assert read_reports(folder) == [("One of train.", "")]
        with pytest.raises(DatasetError, match=r"validation_reports\.csv"):
            read_reports(folder, "validation")

    def test_broken_rows_are_told(self, tree):
        with tree.reports_path.open("a") as file:
            file.write("valid_2_a_1.nii.gz,too,short\n")
        with pytest.warns(DataWarning, match=r"broken \(1\): valid_2_a_1\.nii\.gz"):
            assert len(read_reports(tree.reports_path)) == 1

"""Scans and CT-RATE's questions become rows that stock libraries save, load and train on."""

import json

import pytest
from datasets import Dataset, concatenate_datasets, load_from_disk
from hypothesis import given
from hypothesis import strategies as st

from dataset_trees import CTRateTree
from med3d_r1.data.ct_rate import questions_file, read_ct_rate
from med3d_r1.data.rows import as_dataset, report_rows, vqa_rows
from med3d_r1.data.scans import DatasetError, DataWarning
from med3d_r1.data.vqa import Conversation, read_vqa, split_options


def entry(*turns, kind=None, tag="", image="valid_1_a_1.nii.gz", **more):
    said = []
    for index, (question, answer) in enumerate(turns):
        first = {"from": "human", "value": f"{'<image>' + chr(10) if not index else ''}{question}{tag}"}
        said += [first | ({"type": kind} if kind else {}), {"from": "gpt", "value": answer}]
    return {"image": image, "conversations": said, **more}


@pytest.fixture
def tree(tmp_path):
    tree = CTRateTree(tmp_path)
    for name in ("valid_1_a_1", "valid_1_a_2"):
        tree.add(name, "Lung nodule", findings="The heart is normal. There is a nodule.", impression="Lung nodule.")
    tree.add("valid_2_a_1", findings="Not given.", impression="Not given.")
    tree.write()
    return tree


@pytest.fixture
def scans(tree):
    with pytest.warns(DataWarning, match="no report"):
        return read_ct_rate(tree.folder, "validation")


class TestReports:
    def test_make_a_row_for_each_reconstruction(self, scans):
        rows = report_rows(scans)
        assert [row["images"] for row in rows] == [[str(volume.path)] for volume in scans[0].volumes]
        assert len(report_rows(scans, volumes="first")) == 1

    def test_mark_their_abnormal_sentences(self, scans):
        row = report_rows(scans)[0]
        [answer] = row["completion"]
        assert answer["content"] == (
            "<finding>The heart is normal. There is a nodule.</finding>\n<impression>Lung nodule.</impression>"
        )
        assert [answer["content"][start:end] for start, end in row["abnormal_spans"]] == [
            "There is a nodule.",
            "Lung nodule.",
        ]
        [asked] = row["prompt"]
        assert asked["content"][0] == {"type": "image"}

    def test_ask_the_labeller_once(self, scans):
        calls = []

        def labeller(sentences):
            calls.append(sentences)
            return ["normal"] * len(sentences)

        assert all(row["abnormal_spans"] == [] for row in report_rows(scans, labeller=labeller))
        assert len(calls) == 1

    def test_of_originals_need_prepared_volumes(self, tree):
        tree = CTRateTree(tree.folder, volumes="")
        for name in ("valid_1_a_1", "valid_1_a_2", "valid_2_a_1"):
            tree.add(name, findings="A nodule.")
        originals = read_ct_rate(tree.write(), "validation", volumes="original")
        with pytest.raises(ValueError, match=r"path alone \(3\): valid_1_a_1.*prepare them"):
            report_rows(originals)
        rows = report_rows(originals, images=lambda volume: f"store/{volume.name}.npz")
        assert rows[0]["images"] == ["store/valid_1_a_1.nii.gz.npz"]


class TestQuestions:
    def test_of_both_generations(self, tree):
        path = tree.write_vqa(
            [
                entry(("Newer?", "Yes."), kind="free_response"),
                entry(("Older?", "No."), tag="<short_answer>", image="valid_1_a_1.npz"),
                entry(("Oldest?", "Maybe."), id="long_answer_17"),
                entry(("Write.", "Report."), kind="report_generation", tag="<report_generation>"),
                entry(("What is CT?", "Physics."), kind="text_only", image=None),
            ]
        )
        assert path == questions_file(tree.folder, "validation")
        assert read_vqa(path) == [
            Conversation("valid_1_a_1.nii.gz", "free_response", (("Newer?", "Yes."),)),
            Conversation("valid_1_a_1.nii.gz", "short_answer", (("Older?", "No."),)),
            Conversation("valid_1_a_1.nii.gz", "long_answer", (("Oldest?", "Maybe."),)),
            Conversation("valid_1_a_1.nii.gz", "report_generation", (("Write.", "Report."),)),
        ]

    def test_that_are_broken_are_told(self, tree):
        good = entry(("A?", "B."), kind="conversation")
        odd = entry(("A?", "B."), kind="conversation")
        del odd["conversations"][1]
        swapped = entry(("A?", "B."), kind="conversation")
        swapped["conversations"].reverse()
        empty = entry(("A?", ""), kind="conversation")
        path = tree.write_vqa([good, odd, swapped, empty, {"image": "x"}, "text"])
        with pytest.raises(DatasetError, match=r"entries are broken \(5\): number 1, number 2, number 3"):
            read_vqa(path)
        with pytest.warns(DataWarning, match="broken"):
            assert len(read_vqa(path, on_fault="skip")) == 1

    @pytest.mark.parametrize("content", ['{"a": 1}', "[1, 2"])
    def test_in_a_file_that_is_no_list(self, tmp_path, content):
        (tmp_path / "vqa.json").write_text(content)
        with pytest.raises(DatasetError, match=r"no list|no JSON"):
            read_vqa(tmp_path / "vqa.json")

    def test_answered_in_words(self, scans):
        [row] = vqa_rows(scans, [Conversation("valid_1_a_2.nii.gz", "free_response", (("Where?", "On the left."),))])
        assert row["images"] == [str(scans[0].volumes[1].path)]
        assert row["prompt"][0]["content"][1]["text"].startswith("Where?\n")
        assert row["completion"] == [{"role": "assistant", "content": "<answer>On the left.</answer>"}]
        assert row["abnormal_spans"] == []

    def test_answered_by_a_letter(self, scans):
        talk = Conversation("valid_1_a_1.nii.gz", "multiple_choice", (("Which? (a) Left (b) Right", "(b) Right"),))
        [row] = vqa_rows(scans, [talk])
        assert row["prompt"][0]["content"][1]["text"].splitlines()[:3] == ["Which?", "A) Left", "B) Right"]
        assert row["completion"][0]["content"] == "<answer>B</answer>"

    def test_without_a_clear_letter_are_answered_in_words(self, scans):
        talk = Conversation("valid_1_a_1.nii.gz", "multiple_choice", (("Which? (a) Left (b) Right", "Both of them"),))
        [row] = vqa_rows(scans, [talk])
        assert row["completion"][0]["content"] == "<answer>Both of them</answer>"

    def test_of_a_conversation_carry_what_was_said(self, scans):
        talk = Conversation("valid_1_a_1.nii.gz", "conversation", (("One?", "First."), ("Two?", "Second.")))
        one, two = vqa_rows(scans, [talk])
        assert one["prompt"] == two["prompt"][:1]
        assert [message["role"] for message in two["prompt"]] == ["user", "assistant", "user"]
        blocks = [block["type"] for message in two["prompt"] for block in message["content"]]
        assert blocks == ["image", "text", "text", "text"]
        assert two["completion"][0]["content"] == "<answer>Second.</answer>"

    def test_on_other_volumes_and_of_other_kinds_are_left_out(self, scans):
        talks = [
            Conversation("valid_9_a_1.nii.gz", "description", (("A?", "B."),)),
            Conversation("valid_1_a_1.nii.gz", "report_generation", (("A?", "B."),)),
            Conversation("valid_1_a_1.nii.gz", "description", (("A?", "B."),)),
        ]
        assert len(vqa_rows(scans, talks)) == 1
        assert vqa_rows(scans, talks, kinds=["free_response"]) == []
        with pytest.raises(ValueError, match="report_rows"):
            vqa_rows(scans, talks, kinds=["report_generation"])


class TestOptions:
    @pytest.mark.parametrize(
        ("question", "options"),
        [
            ("Which lobe? (a) Upper (b) Middle (c) Lower", ["Upper", "Middle", "Lower"]),
            ("Which lobe? Choices: (A) Upper, (B) Middle, (C) Lower.", ["Upper", "Middle", "Lower."]),
            ("Which lobe?\nA) Upper\nB) Middle", ["Upper", "Middle"]),
            ("Which lobe?\nA. Upper lobe\nB. Type B lesion\n", ["Upper lobe", "Type B lesion"]),
            ("Which lobe? Options:(a)Upper (b)Middle", ["Upper", "Middle"]),
        ],
    )
    def test_are_found(self, question, options):
        assert split_options(question) == ("Which lobe?", options)

    @pytest.mark.parametrize(
        "question", ["Is it a nodule?", "Is (a) the aorta seen?", "(a) One (b) Two", "A? (b) x (c) y"]
    )
    def test_are_not_made_up(self, question):
        assert split_options(question) is None

    @given(st.lists(st.from_regex(r"[a-z]{2,9}( [a-z]{2,9}){0,3}", fullmatch=True), min_size=2, max_size=8))
    def test_come_back_from_a_list(self, options):
        listed = " ".join(f"({letter}) {option}" for letter, option in zip("abcdefgh", options, strict=False))
        assert split_options(f"What is seen? {listed}") == ("What is seen?", options)


class TestStockDatasets:
    def test_save_and_load_rows(self, scans, tmp_path):
        talk = Conversation("valid_1_a_1.nii.gz", "conversation", (("One?", "First."), ("Two?", "Second.")))
        rows = report_rows(scans) + vqa_rows(scans, [talk])
        Dataset.from_list(rows).save_to_disk(tmp_path / "rows")
        loaded = load_from_disk(tmp_path / "rows")
        assert loaded["images"][0] == [str(scans[0].volumes[0].path)]
        assert loaded["abnormal_spans"][:] == [row["abnormal_spans"] for row in rows]
        assert json.dumps(loaded[0]["completion"]) == json.dumps(rows[0]["completion"])

    def test_kinds_of_rows_can_be_put_together(self, scans):
        talk = Conversation("valid_1_a_1.nii.gz", "description", (("One?", "First."),))
        parts = [as_dataset(report_rows(scans)), as_dataset(vqa_rows(scans, [talk]))]
        assert len(concatenate_datasets(parts)) == 3
        assert len(as_dataset([])) == 0

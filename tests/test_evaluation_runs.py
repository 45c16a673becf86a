"""Runs over several processes, files of predictions, and the figures of a result."""

import json
import os
import signal

import pytest

from children import in_child, in_processes
from evaluation_systems import Output, System, guessing, layout, present, rows_of, seeing, table
from med3d_r1.data.mmvqa import draw_items
from med3d_r1.evaluation.mmvqa import MmvqaResult, evaluate_mmvqa, mmvqa_questions
from med3d_r1.evaluation.plots import write_plots
from med3d_r1.evaluation.predictors import FilePredictor, write_questions

LABELS = table(60)
ROWS = rows_of(LABELS)
TRAIN = draw_items(table(300, seed=2), distractors="balanced", per_scan=2)


def evaluate(system, **options):
    return evaluate_mmvqa(system, ROWS, TRAIN, **{"labels": LABELS, "resamples": 100, **options})


def test_two_processes_find_what_one_finds(tmp_path):
    """As `accelerate launch` and `torchrun` start them, over gloo; each takes a part of the scans."""
    results = tmp_path / "results"

    def work():
        system = System(guessing)
        found = evaluate(system, folder=results, think="both")
        told = {"asked": len(system.asked), "numbers": found.to_dict()}
        (tmp_path / f"{os.environ['RANK']}.json").write_text(json.dumps(told))

    assert in_processes(2, work) == [0, 0]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    alone = evaluate(System(guessing), think="both")
    assert first["numbers"] == second["numbers"] == json.loads(json.dumps(alone.to_dict()))
    assert 0 < first["asked"] < first["asked"] + second["asked"] == 4 * len(ROWS)
    assert MmvqaResult.load(results).to_dict() == alone.to_dict()
    again = System(guessing)
    evaluate(again, think="both", folder=results)
    assert not again.asked


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path):
    """Without any chance to clean up: what had been answered until then is there, and only the rest is asked."""

    def work():
        system = System(guessing)
        own = system.predict

        def predict(questions):
            for number, answered in enumerate(own(questions)):
                if number == 57:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield answered

        system.predict = predict
        evaluate(system, folder=tmp_path, think="both")

    assert in_child(work) == -signal.SIGKILL
    assert not (tmp_path / "mmvqa.json").exists()
    rest = System(guessing)
    resumed = evaluate(rest, folder=tmp_path, think="both")
    assert len(rest.asked) == 4 * len(ROWS) - 57
    assert resumed.to_dict() == evaluate(System(guessing), think="both").to_dict()


def test_several_processes_need_a_folder(monkeypatch):
    monkeypatch.setattr("med3d_r1.evaluation.runs._processes", lambda: (0, 2, lambda: None))
    with pytest.raises(ValueError, match="2 processes"):
        evaluate(System(guessing))


class TestFile:
    @pytest.fixture
    def questions(self, tmp_path):
        path = tmp_path / "questions.jsonl"
        write_questions(mmvqa_questions(ROWS, think="both"), path)
        return [json.loads(line) for line in path.read_text().splitlines()]

    def test_what_another_system_wrote_is_measured_as_if_it_ran_here(self, questions, tmp_path):
        """It reads the file of questions alone, and sees: the labels of the scan that each question names."""
        answers = tmp_path / "answers.jsonl"
        with answers.open("w") as file:
            for asked in questions:
                has = present(LABELS[asked["scan"]])
                letter = next((x for x, option in zip("ABCD", asked["options"], strict=True) if option in has), "A")
                said = {"text": f"The answer is {letter}.", "seconds": 1.5}
                file.write(json.dumps({key: asked[key] for key in ("item", "scan", "think")} | said) + "\n")
        found = evaluate(FilePredictor(answers, name="elsewhere"), think="both")
        assert found[True].own.accuracy == found[False].own.accuracy == 1
        assert found[True].tokens is None
        assert found.protocol["predictor"]["name"] == "elsewhere"
        assert found[True].own_minus_swapped.low > 0.3

    def test_the_questions_do_not_tell_which_scans_are_swapped(self, questions):
        assert len(questions) == 4 * len(ROWS)
        assert set(questions[0]) == {"item", "scan", "think", "image", "prompt", "options"}
        assert questions[0]["image"] == f"/scans/{questions[0]['scan']}"
        assert "A) " in questions[0]["prompt"]

    def test_answers_that_are_missing_are_told(self, questions, tmp_path):
        answers = tmp_path / "answers.jsonl"
        answers.write_text("".join(json.dumps({**asked, "text": "A"}) + "\n" for asked in questions[2:]))
        with pytest.raises(ValueError, match=r"have no answer, such as item .*Swapped scans are asked about"):
            evaluate(FilePredictor(answers), think="both")

    @pytest.mark.parametrize("line", ["no JSON", '{"item": "x", "scan": "y", "think": true}', "[1]"])
    def test_a_line_that_is_no_prediction_is_told(self, line, tmp_path):
        path = tmp_path / "answers.jsonl"
        path.write_text('{"item": "x", "scan": "y", "think": true, "text": "A"}\n' + line + "\n")
        with pytest.raises(ValueError, match="line 2"):
            FilePredictor(path)


def test_figures_are_the_same_bytes_for_the_same_numbers(tmp_path):
    def sure(question):
        return Output((seeing(LABELS)(question),), (3,), (1.0, 0.5, 0.0, 0.0))

    numbers = evaluate(System(sure))[True]
    first, second = (write_plots(numbers, "a system", tmp_path / name) for name in ("one", "other"))
    assert [file.name for file in first] == ["confusion.png", "confusion.svg", "reliability.png", "reliability.svg"]
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(first, second, strict=True))
    assert "Interlobular septal thickening" in first[1].read_text()


def test_a_system_without_probabilities_has_no_reliability(tmp_path):
    numbers = evaluate(System(lambda question: layout("A", question.think) if question.item < "8" else "?"))[True]
    assert [file.name for file in write_plots(numbers, "a system", tmp_path)] == ["confusion.png", "confusion.svg"]
    assert "no answer" in (tmp_path / "confusion.svg").read_text()

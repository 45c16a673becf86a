"""The table of the study, from chains whose answers are known beforehand."""

import json
import re

import pytest

from evaluation_systems import System, guessing, layout, present, report_of, rows_of, seeing, table
from med3d_r1.cli import main
from med3d_r1.data.mmvqa import draw_items
from med3d_r1.demo import ablations, study
from med3d_r1.demo.ablations import ABLATIONS, ablations_markdown
from med3d_r1.demo.chain import REPORTS, Chain
from med3d_r1.demo.numbers import last_logged, numbers_of, pooled
from med3d_r1.demo.study import BARS, WITHOUT_CONSISTENCY, study_markdown
from med3d_r1.evaluation.mmvqa import MmvqaResult, evaluate_mmvqa
from med3d_r1.evaluation.report import evaluate_reports

LABELS = table(60)
ROWS = {name: rows_of(LABELS, distractors=name) for name in ("balanced", "random")}
TRAIN = {name: draw_items(table(300, seed=2), distractors=name, per_scan=2) for name in ROWS}


def seeing_but_silent(question):
    """Answers as well as one who sees, and names none of what it has seen."""
    letter = re.search(r"<answer>(.)</answer>", seeing(LABELS)(question))[1]
    return layout(letter, question.think, "Seen nothing.")


def evaluate(chain, name, answer, distractors="balanced", think="both"):
    return evaluate_mmvqa(
        System(answer, name), ROWS[distractors], TRAIN[distractors], think=think, labels=LABELS, resamples=200,
        folder=chain.result(name, distractors),
    )  # fmt: skip


def write_reports(chain, name, named):
    """A model whose reports name so many of the findings of the scan that it is shown."""
    rows = [
        {"volume": volume, "images": [f"/scans/{volume}"], "findings": report_of(labels), "impression": "As above.",
         "labels": labels}
        for volume, labels in LABELS.items()
    ]  # fmt: skip

    def answer(question):
        seen = sorted(present(LABELS[question.scan]))
        told = " ".join(f"There is {name.lower()}." for name in seen[: round(named * len(seen))])
        return f"<finding>{told or 'Nothing is seen.'}</finding>\n<impression>As above.</impression>"

    evaluate_reports(System(answer, name), rows, resamples=200, folder=chain.result(name, REPORTS))


def log(run, **values):
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"log": [{"loss": 1.0}, *({key: x} for key, x in values.items())]}))


@pytest.fixture(scope="module")
def chains(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    chains = [Chain(root / f"seed-{seed}", seed) for seed in (1, 2)]
    for chain in chains:
        log(chain.folder / "language", eval_reading=0.99)
        log(chain.folder / "clip", eval_auroc=0.86 if chain.seed == 1 else 0.9)
        evaluate(chain, "s1", guessing)
        evaluate(chain, "s2", seeing(LABELS))
        evaluate(chain, WITHOUT_CONSISTENCY, seeing_but_silent)
        for name in ("s1", "s2"):
            evaluate(chain, name, seeing(LABELS), "random", think=True)
    return chains


def test_numbers_are_those_of_the_results(chains):
    numbers = numbers_of(chains[0])
    assert (numbers.reading, numbers.auroc) == (0.99, 0.86)
    assert numbers.s2.own.accuracy == numbers.s2_direct.own.accuracy == 1
    assert numbers.gain.own.value == pytest.approx(1 - numbers.s1.own.accuracy)


def test_what_was_never_logged_is_said(tmp_path):
    log(tmp_path / "clip", other=1)
    with pytest.raises(ValueError, match="never logged eval_auroc"):
        last_logged(tmp_path / "clip", "eval_auroc")


def test_a_seed_that_misses_a_bar_is_counted(chains):
    every = [numbers_of(chain) for chain in chains]
    reached = {bar.quantity: sum(map(bar.reached, every)) for bar in BARS}
    assert reached["CLIP, mean AUROC"] == 1
    assert reached["language model reading text"] == 2
    assert reached["S1 with think, own scan; minus swapped"] == 0
    assert reached["S2 with think, own scan; minus swapped"] == reached["S2 - S1, paired"] == 2
    text = study_markdown(chains)
    assert "| CLIP, mean AUROC | .87 | 0.860 | 0.900 | 1 of 2 |" in text


def test_seeds_are_pooled_as_different_patients(chains):
    results = [MmvqaResult.load(chain.result("s2")) for chain in chains]
    both = pooled(results)[True]
    assert both.own.items == 2 * results[0][True].own.items
    assert both.own.volumes == 2 * results[0][True].own.volumes


def test_the_consistency_reward_is_judged_by_what_reasoning_and_report_share(chains):
    """Both answer alike; the one without the reward names nothing, so all of its F1 is missing."""
    line = next(line for line in study_markdown(chains).splitlines() if "with minus without" in line)
    assert "| +0.0 [+0.0, +0.0] |" in line
    assert any(present(labels) for labels in LABELS.values())
    assert "+100.0" in line


def test_the_verb_runs_every_chain_and_keeps_the_table(chains, monkeypatch, capsys):
    """With chains that are at their end already; that they run is the matter of the micro chain's test."""
    ran = []
    monkeypatch.setattr(study, "run_stages", lambda stages, folder, cores: ran.append((folder, stages[-1].name)))
    root = chains[0].folder.parent
    assert main(["study", "--out", str(root), "--seeds", "1", "2"]) == 0
    assert ran == [(chain.folder, f"evaluate-{WITHOUT_CONSISTENCY}-balanced") for chain in chains]
    assert (root / "study.md").read_text(encoding="utf-8") == study_markdown(chains) + "\n"
    assert "| CLIP, mean AUROC |" in capsys.readouterr().out


@pytest.fixture(scope="module")
def ablated(chains):
    """S1 guesses and names all findings in its reports; without ARW it names none, and with LoRA it sees."""
    for chain in chains:
        write_reports(chain, "s1", 1)
        for ablation, answer, named in zip(ABLATIONS, (guessing, guessing, seeing(LABELS)), (1, 0, 1), strict=True):
            evaluate(chain, ablation.name, answer, think=True)
            write_reports(chain, ablation.name, named)
    return chains


@pytest.fixture(scope="module")
def ablations_text(ablated):
    return ablations_markdown(ablated)


def cells(text, title):
    """Of each table, the row that has this title."""
    return [line.split(" | ")[1:] for line in text.splitlines() if line.startswith(f"| {title} |")]


def test_ablations_are_compared_with_s1_seed_by_seed_and_over_all(ablated, ablations_text):
    text = ablations_text
    assert [line for line in text.splitlines() if line.startswith("**")] == [
        "**All 2 seeds together**", "**Seed 1**", "**Seed 2**",
    ]  # fmt: skip
    nothing = "+0.0 [+0.0, +0.0]"
    for row in cells(text, "without RAM, minus S1"):
        assert (row[0], row[2], row[4]) == (nothing, nothing, nothing)
    for row in cells(text, "without ARW, minus S1"):
        assert row[0] == nothing
        assert row[2] == "-100.0 [-100.0, -100.0]"  # recall: all of the findings are missing
    accuracy = MmvqaResult.load(ablated[0].result("s1"))[True].own.accuracy
    pooled_row, *seeds = cells(text, "with LoRA on the decoder, minus S1")
    assert [row[0].split()[0] for row in seeds] == [f"{100 * (1 - accuracy):+.1f}"] * 2
    assert pooled_row[0].split()[0] == seeds[0][0].split()[0]
    assert pooled_row[0] != seeds[0][0]  # twice as many scans, a narrower interval
    exams = len(LABELS)
    assert f"{2 * exams:,} reports." in text
    assert text.count(f" {exams:,} reports.") == 2


def test_a_report_that_fits_any_scan_has_no_recall_of_its_own(ablations_text):
    """The control of the reports: what they name of the scan minus what they name with another patient's."""
    seen, silent = (cells(ablations_text, title)[0] for title in ("S1", "without ARW"))
    assert seen[2] == "1.000 [1.000, 1.000]"
    assert float(seen[3].split()[0]) > 30
    assert silent[3] == "+0.0 [+0.0, +0.0]"


def test_the_verb_runs_the_ablations_and_keeps_their_table(ablated, ablations_text, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(ablations, "run_stages", lambda stages, folder, cores: ran.append((folder, stages[-1].name)))
    root = ablated[0].folder.parent
    assert main(["study", "--ablations", "--out", str(root), "--seeds", "1", "2"]) == 0
    assert ran == [(chain.folder, "evaluate-s1-lora-reports") for chain in ablated]
    assert (root / "ablations.md").read_text(encoding="utf-8") == ablations_text + "\n"
    assert "| without ARW, minus S1 |" in capsys.readouterr().out


@pytest.mark.slow
def test_the_ablations_in_small_from_nothing_to_their_table(tmp_path):
    """Every stage with its own recipe, a few steps each; nothing is learnt. Of a chain that is there S1 is taken."""
    assert main(["study", "--ablations", "--micro", "--seeds", "7", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "ablations.md").read_text(encoding="utf-8")
    assert all(len(cells(text, f"{one.title}, minus S1")) == 1 for one in ABLATIONS)
    notes = {path: path.stat().st_mtime_ns for path in (tmp_path / "seed-7" / "stages").iterdir()}
    assert main(["study", "--micro", "--seeds", "7", "--out", str(tmp_path)]) == 0
    assert notes == {path: path.stat().st_mtime_ns for path in notes}

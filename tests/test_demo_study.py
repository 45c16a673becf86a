"""The table of the study, from chains whose answers are known beforehand."""

import json
import re

import pytest

from evaluation_systems import System, guessing, layout, present, rows_of, seeing, table
from med3d_r1.cli import main
from med3d_r1.data.mmvqa import draw_items
from med3d_r1.demo import study
from med3d_r1.demo.chain import Chain
from med3d_r1.demo.numbers import last_logged, numbers_of, pooled
from med3d_r1.demo.study import BARS, WITHOUT_CONSISTENCY, study_markdown
from med3d_r1.evaluation.mmvqa import MmvqaResult, evaluate_mmvqa

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

"""The command line, `med3d-r1 <verb>`: what can be said. What is done stands in verbs.py and its neighbours
(verbs_data.py and so on), which load on first use.

Results go to stdout, progress, warnings and errors to stderr. Exit status: 0 done, 2 wrong arguments or files,
3 the scan, or one of many, was refused, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

PROGRAM = "med3d-r1"
WRONG_INPUT, REFUSED_SCAN, INTERRUPTED = 2, 3, 130
MODULES = {
    "prepare": "verbs_data",
    "figures": "verbs_data",
    "encode": "verbs_data",
    "train": "verbs_training",
    "evaluate": "verbs_evaluation",
    "demo": "verbs_demo",
    "study": "verbs_demo",
    "release": "verbs_release",
    "release-space": "verbs_release",
    "space": "verbs_space",
}
"""Verb -> the module that does it, where that is not verbs.py."""

DESCRIPTION = """Med3D-R1: reads a chest CT, reasons about it in words, and answers.
Research software, not a medical device."""


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows the defaults that say something, and keeps the examples as they are typed."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False) else super()._get_help_string(action)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all verbs. `args.verb` names a function `run_<verb>` of the module in `MODULES`,
    with _ for -."""
    parser = argparse.ArgumentParser(PROGRAM, description=DESCRIPTION, formatter_class=_HelpFormatter)
    parser.add_argument("--version", action="store_true", help="print the version and leave")
    verbs = parser.add_subparsers(dest="verb", metavar="verb")

    def verb(name: str, summary: str, example: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=f"example:\n  {PROGRAM} {name} {example}",
            formatter_class=_HelpFormatter,
        )
        added.add_argument("--verbose", action="store_true", help="show what the libraries say, and where errors arise")
        return added

    _add_init(verb("init", "make a model folder from a preset", "--preset tiny --out tiny-model"))
    _add_inspect(verb("inspect", "show what the model sees of a scan", "scan.nii.gz --png planes.png"))
    _add_diagnose(
        verb(
            "diagnose",
            "answer a question on a scan",
            'scan.nii.gz --model tiny-model --question "What is seen?" --option Emphysema --option Atelectasis',
        )
    )
    _add_report(verb("report", "write the report of a scan", "scan.nii.gz --model tiny-model"))
    _add_convert(
        verb("convert", "turn a checkpoint of the authors' release into ours", "projector.pth --out bridge.safetensors")
    )
    _add_prepare(
        verb(
            "prepare", "bring the scans of a data set onto the model's grid", "ct-rate CT-RATE --out store --shard 1/4"
        )
    )
    _add_encode(
        verb("encode", "let a model's vision tower see the scans of a store once", "store --model model --out features")
    )
    _add_figures(verb("figures", "draw what the reports of a data set are like", "CT-RATE --out figures"))
    _add_train(
        verb("train", "train one stage as its recipe says", "sft --config recipes/paper/sft.yaml --learning_rate 5e-5")
    )
    _add_evaluate(
        verb(
            "evaluate",
            "measure a system beside its controls, compare results, put them into tables",
            "mmvqa --model model --data CT-RATE --think both --out results\n"
            f"  {PROGRAM} evaluate floor --labels valid_predicted_labels.csv",
        )
    )
    _add_demo(
        verb("demo", "train and measure a tiny model on synthetic patients, from nothing, in minutes", "--out demo")
    )
    _add_study(verb("study", "run the demo for several seeds and make one table", "--out study --seeds 401 402 403"))
    _add_release(
        verb(
            "release",
            "publish a model on the Hub: checked, with card, licence and results, one commit and a tag",
            "runs/grpo/model --repo-id owner/name --tag v1 --results results --runs runs/* --dry-run",
        )
    )
    _add_release_space(
        verb(
            "release-space",
            "publish the Space that shows a model of the Hub",
            "--repo-id owner/space --model owner/name --revision v1 --dry-run",
        )
    )
    _add_space(verb("space", "open the Space in a browser: look at scans, ask, see the answers", "--model model"))
    return parser


def _add_init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--preset", choices=("tiny", "3b"), required=True, help="tiny: for two CPU cores; 3b: the paper's"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new folder")
    parser.add_argument(
        "--language-model", metavar="ID|DIR", help="decoder to start from; 3b: Qwen/Qwen2.5-3B-Instruct"
    )
    parser.add_argument("--vision-weights", metavar="FILE", help="pretrained vision tower, ours or the release's")
    parser.add_argument("--gate", choices=("token", "channel"), default="token", help="token: paper; channel: release")
    parser.add_argument("--no-residual-alignment", action="store_true", help="the paper's ablation")
    parser.add_argument(
        "--output-position-embedding", action="store_true", help="position embedding and norm behind the gate (release)"
    )
    parser.add_argument(
        "--feature-standardization",
        action="store_true",
        help="standardise the vision tower's tokens by stored statistics",
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything that starts random")


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "scan",
        nargs="+",
        metavar="SCAN",
        help="NIfTI, DICOM (folder, .zip or file), .npz, .npy; or the slices of one scan",
    )
    reading = parser.add_argument_group("reading", "for what the file does not say itself; see docs/reading.md")
    reading.add_argument("--spacing", type=float, nargs=3, metavar="MM", help="along the stored axes")
    reading.add_argument("--orientation", metavar="CODE", help="directions in which the stored axes grow, such as SPL")
    reading.add_argument("--series", help="of DICOM: description, number or SeriesInstanceUID of the series")
    reading.add_argument("--modality", help="of DICOM: the modality to read; default: CT, else what there is")
    reading.add_argument(
        "--rescale", type=float, nargs=2, metavar=("SLOPE", "INTERCEPT"), help="HU = SLOPE x stored value + INTERCEPT"
    )
    reading.add_argument("--hu-guard", choices=("refuse", "warn", "off"), help="for values that cannot be HU")
    reading.add_argument("--max-bytes", type=int, metavar="N", help="voxel bytes that the scan may claim")


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    _add_reading(parser)
    parser.add_argument("--png", type=Path, metavar="FILE", help="write a picture of the three middle planes")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--model", metavar="DIR|ID", help="take this model's preprocessing instead of the paper's")
    _add_revision(parser)


def _add_model(parser: argparse.ArgumentParser) -> None:
    _add_reading(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model", required=True, metavar="DIR|ID", help="model folder or Hub id; its own code is not run"
    )
    _add_revision(model)
    _add_device(model)
    model.add_argument("--bits", type=int, choices=(4, 8), help="load the decoder in so many bits (bitsandbytes)")
    model.add_argument("--max-new-tokens", type=int, default=512, metavar="N", help="at most so much is written")


def _add_revision(group: argparse._ActionsContainer) -> None:
    group.add_argument("--revision", metavar="REV", help="of --model on the Hub: a commit, a tag or a branch")


def _add_device(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--device", help="cpu, cuda, cuda:1, auto (spread); default: the first GPU, else the CPU")
    group.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="auto: what is fast on the device",
    )


def _add_diagnose(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    asked = parser.add_argument_group("question", "without any: which of the 18 abnormalities of CT-RATE is present")
    asked.add_argument("--question", help="without options, it is answered in words")
    asked.add_argument("--option", action="append", metavar="TEXT", help="an answer to choose from; 2 to 26 times")
    asked.add_argument("--no-think", action="store_true", help="answer without reasoning first")
    asked.add_argument(
        "--abstain-below", type=float, default=0.0, metavar="P", help="abstain where the answer is less probable"
    )
    asked.add_argument("--evidence-png", type=Path, metavar="FILE", help="write a picture of where it looked")


def _add_report(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="vision encoder, projector or merged model")
    parser.add_argument("--out", type=Path, required=True, help="a .safetensors file; with --into a model folder")
    parser.add_argument(
        "--into", metavar="DIR|ID", help="write this model with the checkpoint's weights in their place"
    )
    parser.add_argument("--preset", choices=("tiny", "3b"), default="3b", help="shapes, where there is no --into")


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", choices=("ct-rate", "rad-chestct", "phantom"), help="phantom: synthetic patients")
    parser.add_argument("source", type=Path, metavar="SRC", help="the data set's folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the store; what is in it is kept")
    _add_choice_of_volumes(parser)
    grid = parser.add_mutually_exclusive_group()
    grid.add_argument("--preset", choices=("tiny", "3b"), help="whose grid; default: 3b, for phantom tiny")
    grid.add_argument("--model", metavar="DIR|ID", help="take this model's preprocessing")
    _add_revision(parser)
    parser.add_argument(
        "--margin",
        type=int,
        nargs=3,
        metavar="N",
        help="voxels (D, H, W) more at each side, for the random crops of CLIP",
    )
    work = _add_work(parser, "processes; default: one a core; 0: in this one")
    work.add_argument("--compress", action="store_true", help="smaller files, slower to write and to read")
    phantom = parser.add_argument_group("phantom", "to write synthetic patients into SRC first")
    phantom.add_argument("--patients", type=int, metavar="N", help="how many, every tenth for validation")
    phantom.add_argument("--seed", type=int, default=0, help="of everything about them")
    phantom.add_argument("--shape", type=int, nargs=3, default=(32, 64, 64), metavar="N", help="voxels along D, H, W")
    phantom.add_argument("--style", choices=("free", "plain"), default="free", help="of their reports")


def _add_encode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", type=Path, metavar="SRC", help="a volume store, or with --dataset the data set's folder"
    )
    parser.add_argument("--model", required=True, metavar="DIR|ID", help="whose vision tower and preprocessing")
    _add_revision(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the store; what is in it is kept")
    parser.add_argument(
        "--dataset", choices=("store", "ct-rate", "rad-chestct", "phantom"), default="store", help="what SRC is"
    )
    _add_choice_of_volumes(parser)
    work = _add_work(parser, "processes that read; default: for a store a thread (0), else one a core")
    work.add_argument("--batch-size", type=int, default=8, metavar="N", help="scans that are encoded together")
    _add_device(work)


def _add_choice_of_volumes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split", default="all", help="train, validation, test (RAD-ChestCT) or all")
    parser.add_argument(
        "--volumes",
        choices=("fixed", "original"),
        default="fixed",
        help="which of CT-RATE's two releases of the voxels",
    )
    parser.add_argument(
        "--on-fault", choices=("error", "skip"), default="error", help="for volumes and rows that the data set lacks"
    )


def _add_work(parser: argparse.ArgumentParser, workers: str) -> argparse._ArgumentGroup:
    work = parser.add_argument_group("work", "run the same command again to go on after anything")
    work.add_argument("--workers", type=int, metavar="N", help=workers)
    work.add_argument("--shard", default="1/1", metavar="I/N", help="do the I-th of N parts, the others elsewhere")
    work.add_argument("--limit", type=int, metavar="N", help="take only the first N volumes")
    work.add_argument("--verify", action="store_true", help="compare what is stored with its checksums, and repair it")
    return work


def _add_figures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "reports", type=Path, metavar="REPORTS", help="CT-RATE's report table, or the data set's folder"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for .png, .svg and .csv")
    parser.add_argument(
        "--split", choices=("train", "validation", "all"), default="all", help="where REPORTS is a folder"
    )
    parser.add_argument("--tokenizer", metavar="DIR|ID", help="says what a token is; default: words between spaces")


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stage", choices=("clip", "language", "sft", "grpo"), help="see docs/training.md")
    parser.add_argument(
        "--config", metavar="RECIPE", help="a YAML file, see recipes/README.md; any --KEY VALUE beside it wins"
    )
    parser.add_argument("--restart", action="store_true", help="remove what a former run left in output_dir first")
    parser.add_argument("--keys", action="store_true", help="only list the keys of this stage, with their defaults")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    benchmarks = parser.add_subparsers(dest="benchmark", metavar="benchmark", required=True)

    def benchmark(name: str, summary: str, example: str) -> argparse.ArgumentParser:
        added = benchmarks.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=f"example:\n  {PROGRAM} evaluate {name} {example}",
            formatter_class=_HelpFormatter,
        )
        added.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        return added

    _add_mmvqa(
        benchmark(
            "mmvqa",
            "which of four abnormalities does a scan have? With own scans, swapped scans and the options alone",
            "--model model --data CT-RATE --features features --distractors balanced --think both --out results",
        )
    )
    _add_reports(
        benchmark(
            "report",
            "write the reports of scans, score words and findings, with own scans and with swapped ones",
            "--model model --data CT-RATE --features features --out results",
        )
    )
    floor = benchmark(
        "floor",
        "what the options of such questions give away, for any table of the 18 labels, without a model",
        "--labels valid_predicted_labels.csv --train-labels train_predicted_labels.csv --out floor",
    )
    floor.add_argument("--labels", type=Path, required=True, metavar="CSV", help="in CT-RATE's layout")
    floor.add_argument(
        "--train-labels", type=Path, metavar="CSV", help="to fit the guesser to; default: half of the questions"
    )
    floor.add_argument("--per-scan", type=int, metavar="N", help="questions a scan; default: 1")
    floor.add_argument("--seed", type=int, default=0, help="of the questions")
    floor.add_argument("--out", type=Path, metavar="DIR", help="write floor.json, floor.md and a figure there")
    compare = benchmark(
        "compare",
        "results against the first of them: paired intervals and tests, for MMVQA and for reports",
        "results/s1 results/s2 --out comparison",
    )
    _add_results(compare, "of the same questions or exams; each is compared with the first")
    tables = benchmark(
        "table",
        "put results of several systems and data sets into the layout of the paper's tables, controls included",
        "results/s1-ct-rate results/s1-rad-chestct results/s2-ct-rate --out tables",
    )
    _add_results(tables, "of MMVQA, of reports, or both")
    _add_reasoning(
        benchmark(
            "reasoning",
            "let a chat model judge the reasonings of a result of MMVQA on four scales",
            "results/s2 --data CT-RATE --judge NAME --judge-url http://localhost:8000/v1 --send-reports",
        )
    )


def _add_results(parser: argparse.ArgumentParser, which: str) -> None:
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULT", help=f"folders with results {which}")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write it there as JSON and Markdown")


def _add_reasoning(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("result", type=Path, metavar="RESULT", help="folder with a result of MMVQA, with think")
    _add_judge(parser.add_argument_group("judge"), required=True)
    parser.add_argument("--data", type=Path, metavar="DIR", help="CT-RATE's folder: show the judge the reports, too")
    parser.add_argument("--split", help="of --data; default: that of the result")
    parser.add_argument("--items", type=int, metavar="N", help="judge N of the questions; default: all")
    parser.add_argument("--out", type=Path, metavar="DIR", help="results and the judge's answers; default: RESULT")


def _add_judge(group: argparse._ArgumentGroup, required: bool = False) -> None:
    group.add_argument("--judge", metavar="NAME", required=required, help="a chat model that gives the scores")
    group.add_argument("--judge-url", metavar="URL", help="its server, up to /v1; the key stands in MED3D_R1_JUDGE_KEY")
    group.add_argument("--send-reports", action="store_true", help="yes, reports and reasonings may be sent there")


def _add_measured(parser: argparse.ArgumentParser) -> None:
    """Who is measured, and on which scans."""
    system = parser.add_argument_group("system", "one of --model, --pictures-model and --predictions")
    system.add_argument("--model", metavar="DIR|ID", help="Med3D-R1: model folder or Hub id")
    _add_revision(system)
    system.add_argument(
        "--pictures-model",
        metavar="DIR|ID",
        help="any image-text-to-text model of transformers; with --model it sees that model's preprocessing",
    )
    system.add_argument(
        "--predictions", type=Path, metavar="FILE", help="what another system wrote about --write-questions"
    )
    system.add_argument("--name", default="", help="how the results call it; default: the folder's name")
    system.add_argument("--batch-size", type=int, metavar="N", help="questions answered together; default: 64, else 8")
    system.add_argument("--max-new-tokens", type=int, default=512, metavar="N", help="of each answer")
    system.add_argument(
        "--samples", type=int, default=1, metavar="N", help="draw so many answers and take the majority; 1: greedy"
    )
    _add_device(system)
    shown = parser.add_argument_group("pictures", "how a model for pictures is shown a scan")
    shown.add_argument("--strategy", choices=("montage", "drr", "video"), default="montage", help="as in the paper")
    shown.add_argument("--slices", type=int, default=16, metavar="N", help="of the montage or the video")
    shown.add_argument("--pixels", type=int, default=224, metavar="N", help="side of a slice, radiograph or frame")
    data = parser.add_argument_group("data")
    data.add_argument("--data", type=Path, required=True, metavar="DIR", help="the data set's folder")
    data.add_argument(
        "--dataset", choices=("ct-rate", "rad-chestct"), default="ct-rate", help="synthetic patients are ct-rate"
    )
    data.add_argument("--split", help="default: validation of CT-RATE, test of RAD-ChestCT")
    stored = data.add_mutually_exclusive_group()
    stored.add_argument("--features", type=Path, metavar="STORE", help="take encoded scans, see `med3d-r1 encode`")
    stored.add_argument("--volumes", type=Path, metavar="STORE", help="take prepared scans, see `med3d-r1 prepare`")
    data.add_argument(
        "--volumes-release", choices=("fixed", "original"), default="fixed", help="which of CT-RATE's two releases"
    )
    data.add_argument(
        "--train-labels", type=Path, metavar="CSV", help="of the training split, for the prior; default: of --data"
    )
    data.add_argument("--on-fault", choices=("error", "skip"), default="error", help="for what the data set lacks")
    parser.add_argument("--out", type=Path, metavar="DIR", help="results, and answers as they come: run again to go on")
    parser.add_argument(
        "--write-questions",
        type=Path,
        metavar="FILE",
        help="only write what is asked, for systems that run elsewhere",
    )


def _add_mmvqa(parser: argparse.ArgumentParser) -> None:
    _add_measured(parser)
    asked = parser.add_argument_group("questions", "see docs/data.md; a number says how its questions were drawn")
    asked.add_argument("--distractors", choices=("balanced", "negative", "random"), default="balanced")
    asked.add_argument("--draw", choices=("scan", "positive", "label"), default="scan")
    asked.add_argument("--per-scan", type=int, metavar="N", help="questions a scan; default: 1, or what --items needs")
    asked.add_argument("--items", type=int, metavar="N", help="take so many questions")
    asked.add_argument("--think", choices=("both", "yes", "no"), default="both", help="ask for reasoning first")
    asked.add_argument(
        "--fallback", metavar="DIR|ID", help="text encoder for answers that name no option; default: shared words"
    )
    _add_seed(asked)
    parser.add_argument("--plots", action="store_true", help="draw reliability and confusion, too")


def _add_reports(parser: argparse.ArgumentParser) -> None:
    _add_measured(parser)
    scored = parser.add_argument_group("scores", "BLEU, METEOR, ROUGE, CIDEr, and the findings; and if asked for:")
    scored.add_argument("--bert-score", metavar="DIR|ID", help="BERTScore-F1 with this encoder")
    scored.add_argument("--bert-score-layer", type=int, metavar="N", help="of the encoder; default: the last")
    _add_judge(scored)
    scored.add_argument("--items", type=int, metavar="N", help="take the first N exams")
    _add_seed(scored)


def _add_seed(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--seed", type=int, default=0, help="of questions, swapped scans, samples and intervals")


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("med3d-r1-demo"), metavar="DIR", help="for all that is made")
    parser.add_argument("--seed", type=int, default=1, help="of the patients and of all training")
    _add_micro(parser)


def _add_study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for all that is made")
    parser.add_argument("--seeds", type=int, nargs="+", default=[401, 402, 403], metavar="N", help="one chain each")
    parser.add_argument(
        "--ablations", action="store_true", help="in place of S2: S1 without RAM, without ARW, and with LoRA"
    )
    _add_micro(parser)


def _add_micro(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--micro", action="store_true", help="a few patients and steps: goes through everything and learns nothing"
    )


def _add_release(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="the model folder")
    _add_repository(parser)
    parser.add_argument("--tag", default="v1", help="of this version; '' sets none")
    parser.add_argument("--card", type=Path, metavar="FILE", help="with --dry-run: write the card there, to be read")
    told = parser.add_argument_group("what the card tells, see docs/release.md")
    told.add_argument(
        "--results", type=Path, nargs="+", default=[], metavar="DIR", help="of `med3d-r1 evaluate`: all its numbers"
    )
    told.add_argument("--runs", type=Path, nargs="+", default=[], metavar="DIR", help="of `med3d-r1 train`: its stages")
    told.add_argument("--license", metavar="ID", help="of the weights; default: apache-2.0, if no data forbid it")
    told.add_argument("--license-file", type=Path, metavar="FILE", help="its text, if it is another")
    told.add_argument("--base-model", nargs="+", default=[], metavar="ID", help="Hub ids of models it began with")
    told.add_argument("--watts", type=float, metavar="W", help="mean power of what it was trained on, for an estimate")
    told.add_argument("--grams-per-kwh", type=float, metavar="G", help="CO2 equivalents of a kWh there")


def _add_release_space(parser: argparse.ArgumentParser) -> None:
    _add_repository(parser)
    parser.add_argument("--model", required=True, metavar="ID", help="Hub id of the model that the Space loads")
    parser.add_argument("--revision", help="tag or commit of the model; default: its main; the Space pins the commit")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="of the Space; default: the package's own")


def _add_repository(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repo-id", required=True, metavar="OWNER/NAME", help="where it goes; made if it is not there")
    parser.add_argument("--private", action="store_true", help="only you see it")
    parser.add_argument("--dry-run", action="store_true", help="show what would be sent, and send nothing")


def _add_space(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="DIR|ID", help="model folder or Hub id")
    _add_revision(parser)
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0: open to everyone who can reach this machine")
    parser.add_argument("--port", type=int, default=7860, help="or the next that is free")
    parser.add_argument(
        "--share", action="store_true", help="ask gradio for a public address; scans then pass its server"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status. `--help` and wrong arguments leave by SystemExit, as argparse does."""
    parser = build_parser()
    args, args.overrides = parser.parse_known_args(argv)
    if args.overrides and args.verb != "train":  # whose recipes have keys that only its libraries know
        parser.error(f"unrecognized arguments: {' '.join(args.overrides)}")
    if getattr(args, "revision", None) and args.model is None:
        parser.error("--revision is that of --model, which was not given")
    if args.version:
        from . import __version__

        print(PROGRAM, __version__)
        return 0
    if args.verb is None:
        parser.print_help()
        return WRONG_INPUT
    from .volume_med3d_r1 import VolumeError

    try:
        with _warnings_in_one_line(args.verbose):
            status = _run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ImportError) as error:
        if args.verbose:
            raise
        print(f"{PROGRAM}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return REFUSED_SCAN if isinstance(error, VolumeError) else WRONG_INPUT
    return status


def _run(args: argparse.Namespace) -> int:
    """Do what a verb says, and return its exit status."""
    module = import_module(f".{MODULES.get(args.verb, 'verbs')}", __package__)
    return getattr(module, f"run_{args.verb.replace('-', '_')}")(args) or 0


@contextmanager
def _warnings_in_one_line(verbose: bool) -> Iterator[None]:
    """What is to be said about scans and data sets, in a line each; what libraries warn of only with --verbose."""
    from .data.scans import DataWarning
    from .volume_med3d_r1 import VolumeWarning

    def show(message, category, filename, lineno, file=None, line=None):
        print(f"{PROGRAM}: warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("default" if verbose else "ignore")
        for kind in (VolumeWarning, DataWarning):
            warnings.simplefilter("always", kind)
        warnings.showwarning = show
        yield


if __name__ == "__main__":
    sys.exit(main())

"""How often the rules of data/sentence_rules.py label a sentence as people did, and how fast they are.

    python benchmarks/sentence_labels.py FOLDER [--wrong]

FOLDER (default: the environment variable MED3D_R1_REAL_DATA) or its sub-folder `sentences` holds

    cxr_sentences.csv                  sentence, abnormal (0 or 1): of github.com/rachellea/sarle-labeler
    chest_ct_abnormal_sentences.csv    sentence: nearly all abnormal, so that only the recall counts

Without them only the project's own sentences are measured: the invented ones of tests/ct_sentences.py and the reports
of phantoms. cxr_sentences.csv is parted by a hash of the sentence: the rules were developed on one half and checked on
the other. `--wrong` lists the sentences that were labelled otherwise. Prints a table and a JSON line.
"""

import argparse
import csv
import hashlib
import importlib
import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.data.phantom import make_phantom
from med3d_r1.data.phantom.report import Report
from med3d_r1.data.report_findings import findings_in
from med3d_r1.data.reports import label_sentences

Rows = list[tuple[str, bool]]


def is_development(sentence: str) -> bool:
    """Which half a sentence is in: the first byte of the sha256 of its words in lower case, even or odd."""
    return hashlib.sha256(" ".join(sentence.lower().split()).encode()).digest()[0] % 2 == 0


def cxr_sentences(file: Path) -> dict[str, Rows]:
    with file.open(newline="", encoding="utf-8") as lines:
        rows = [(row["sentence"], row["abnormal"] == "1") for row in csv.DictReader(lines)]
    return {
        "chest X-ray, development half": [row for row in rows if is_development(row[0])],
        "chest X-ray, other half": [row for row in rows if not is_development(row[0])],
        "chest X-ray, whole": rows,
    }


def ct_sentences(file: Path) -> dict[str, Rows]:
    with file.open(newline="", encoding="utf-8") as lines:
        return {"chest CT, abnormal only": [(row["sentence"], True) for row in csv.DictReader(lines)]}


def invented_sentences() -> dict[str, Rows]:
    own = _of_the_tests("ct_sentences")
    return {
        "invented CT, first set": _labelled(own.NORMAL, own.ABNORMAL),
        "invented CT, second set": _labelled(own.HARD_NORMAL, own.HARD_ABNORMAL),
        "invented CT, third set": _labelled(own.FRESH_NORMAL, own.FRESH_ABNORMAL),
        "invented CT, fourth set": _labelled(own.LAST_NORMAL, own.LAST_ABNORMAL),
        "invented CT, fifth set": _labelled(own.WIDE_NORMAL, own.WIDE_ABNORMAL),
        "invented CT, sixth set": _labelled(own.DIFFERENT_NORMAL, own.DIFFERENT_ABNORMAL),
    }


def _of_the_tests(module: str) -> ModuleType:
    folder = str(Path(__file__).resolve().parent.parent / "tests")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(module)


def _labelled(normal: Iterable[str], abnormal: Iterable[str]) -> Rows:
    return [(sentence, False) for sentence in normal] + [(sentence, True) for sentence in abnormal]


def phantom_sentences(reports: list[Report]) -> dict[str, Rows]:
    rows = [(sentence.text, sentence.abnormal) for report in reports for sentence in report.sentences]
    return {f"reports of {len(reports)} phantoms": rows}


def label_agreement(reports: list[Report]) -> float:
    """Share of the 18 labels of each report in which `findings_in` reads what the report was written to say."""
    right = 0
    for report in reports:
        found = findings_in(f"{report.findings}\n{report.impression}")
        said = {label for sentence in report.sentences for label in sentence.labels}
        right += sum((found.get(label, "absent") != "absent") == (label in said) for label in CT_RATE_LABELS)
    return right / (len(reports) * len(CT_RATE_LABELS))


def invented_agreement() -> float:
    """Share of the sentences of tests/finding_sentences.py that `findings_in` reads entirely as a person does."""
    own = _of_the_tests("finding_sentences")
    read = own.SENTENCES | own.ARGUED | own.ARGUED_FRESH | own.OFFERED | own.OFFERED_FRESH
    sentences = read | own.STILL_WRONG
    return sum(findings_in(text) == said for text, said in sentences.items()) / len(sentences)


def measure(rows: Rows) -> dict[str, float]:
    """Accuracy, and precision, recall and F1 of "abnormal"."""
    start = time.perf_counter()
    told = [label == "abnormal" for label in label_sentences([sentence for sentence, _ in rows])]
    seconds = time.perf_counter() - start
    truth = [abnormal for _, abnormal in rows]
    hits = sum(a and b for a, b in zip(told, truth, strict=True))
    return {
        "sentences": len(rows),
        "accuracy": round(sum(a == b for a, b in zip(told, truth, strict=True)) / len(rows), 4),
        "precision": round(hits / max(1, sum(told)), 4),
        "recall": round(hits / max(1, sum(truth)), 4),
        "f1": round(2 * hits / max(1, sum(told) + sum(truth)), 4),
        "us_per_sentence": round(1e6 * seconds / len(rows), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=os.environ.get("MED3D_R1_REAL_DATA"))
    parser.add_argument("--wrong", action="store_true")
    arguments = parser.parse_args()

    sets = {}
    for name, read in (("cxr_sentences.csv", cxr_sentences), ("chest_ct_abnormal_sentences.csv", ct_sentences)):
        folders = () if arguments.folder is None else (Path(arguments.folder), Path(arguments.folder) / "sentences")
        for file in (folder / name for folder in folders if (folder / name).exists()):
            sets |= read(file)
    reports = [make_phantom(seed, (4, 8, 8)).report for seed in range(300)]
    sets |= invented_sentences() | phantom_sentences(reports)

    results = {}
    print(f"{'set':<32}{'sentences':>10}{'accuracy':>10}{'precision':>10}{'recall':>8}{'F1':>8}{'us each':>9}")
    for name, rows in sets.items():
        results[name] = result = measure(rows)
        print(
            f"{name:<32}{result['sentences']:>10}{result['accuracy']:>10.3f}{result['precision']:>10.3f}"
            f"{result['recall']:>8.3f}{result['f1']:>8.3f}{result['us_per_sentence']:>9.0f}"
        )
        if arguments.wrong and "whole" not in name:
            labels = label_sentences([sentence for sentence, _ in rows])
            for (sentence, abnormal), label in zip(rows, labels, strict=True):
                if (label == "abnormal") != abnormal:
                    print(f"    said {label}: {sentence}")
    agreement = round(label_agreement(reports), 4)
    print(f"labels read by findings_in from the phantoms' reports: {agreement:.4f} right")
    invented = round(invented_agreement(), 4)
    print(f"invented sentences read entirely right by findings_in: {invented:.4f}")
    results |= {"findings_in_phantoms": agreement, "findings_in_invented": invented}
    print(json.dumps({"benchmark": "sentence_labels", **results}))


if __name__ == "__main__":
    main()

"""What `med3d-r1 evaluate` does: benchmarks of models, the floor below which no number says anything, and what is made
of results: comparisons, the paper's tables, a judge's opinion of reasonings."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from .terminal import print_text, quiet_libraries, say

JUDGE_KEY = "MED3D_R1_JUDGE_KEY"
"""Environment variable with the key for --judge-url."""

_THINK = {"both": "both", "yes": True, "no": False}


def run_evaluate(args: argparse.Namespace) -> None:
    """Measure a system, or what can be had without one."""
    {
        "mmvqa": _mmvqa,
        "report": _reports,
        "floor": _floor,
        "reasoning": _reasoning,
        "compare": _compare,
        "table": _table,
    }[args.benchmark](args)


def _mmvqa(args: argparse.Namespace) -> None:
    from .evaluation.material import mmvqa_material
    from .evaluation.mmvqa import evaluate_mmvqa, mmvqa_questions
    from .evaluation.predictors import write_questions

    quiet_libraries(args.verbose)
    if args.items is not None and args.items < 1:
        raise ValueError(f"--items is 1 or more; got {args.items}")
    think = _THINK[args.think]
    predictor, store = (None, None) if args.write_questions else _predictor_and_store(args)
    material = _material(args, store)
    rows, train_items, facts = mmvqa_material(
        material,
        distractors=args.distractors,
        draw=args.draw,
        per_scan=args.per_scan,
        items=args.items,
        seed=args.seed,
    )
    if args.write_questions:
        questions = mmvqa_questions(rows, think=think, patients=material.patients, seed=args.seed)
        write_questions(questions, args.write_questions)
        say(f"{len(questions):,} questions in {args.write_questions}")
        return
    _require_out(args)
    scans = len({row["volume"] for row in rows})
    say(f"asking {len(rows):,} questions on {scans:,} scans, each with its own scan and with another patient's")
    result = evaluate_mmvqa(
        predictor,
        rows,
        train_items,
        think=think,
        facts=facts,
        patients=material.patients,
        labels=material.labels,
        similarity=_similarity(args),
        seed=args.seed,
        folder=args.out,
        progress=True,
    )
    if args.plots:
        _draw(args, result)
    _print_result(args, result)


def _reports(args: argparse.Namespace) -> None:
    from .data.chat import ChatError
    from .evaluation.predictors import write_questions
    from .evaluation.report import evaluate_reports, report_questions, report_rows

    quiet_libraries(args.verbose)
    if args.judge is not None:
        _require_consent(args, "reports")
    predictor, store = (None, None) if args.write_questions else _predictor_and_store(args)
    material = _material(args, store)
    rows = report_rows(material.scans, material.images)[: args.items]
    if args.write_questions:
        questions = report_questions(rows, material.patients, args.seed)
        write_questions(questions, args.write_questions)
        say(f"{len(questions):,} questions in {args.write_questions}")
        return
    _require_out(args)
    say(f"asking for {len(rows):,} reports, each with its own scan and with another patient's")
    try:
        result = evaluate_reports(
            predictor,
            rows,
            facts=material.facts,
            patients=material.patients,
            scorers=_scorers(args),
            seed=args.seed,
            folder=args.out,
            progress=True,
        )
    except ChatError as error:
        raise ValueError(f"--judge: {error}. What was written and judged is kept: run again to go on") from error
    _print_result(args, result)


def _require_consent(args: argparse.Namespace, what: str) -> None:
    if not args.send_reports:
        raise ValueError(
            f"--judge sends {what} to {args.judge_url or 'Hugging Face inference providers'}; say --send-reports if "
            "they may go there. Nothing was sent"
        )


def _reasoning(args: argparse.Namespace) -> None:
    from .data.chat import ChatError
    from .evaluation.judge import ReasoningJudge
    from .evaluation.mmvqa import MmvqaResult
    from .evaluation.reasoning import judge_reasoning

    _require_consent(args, "reasonings and reports")
    result = MmvqaResult.load(args.result)
    reports = None
    if args.data is not None:
        from .data.ct_rate import read_ct_rate

        scans = read_ct_rate(args.data, args.split or result.protocol["data"].get("split", "validation"))
        reports = {volume.name: scan.report for scan in scans for volume in scan.volumes}
    out = args.out or args.result
    judge = ReasoningJudge(args.judge, cache=out / "judge.parquet", **_judge_options(args))
    try:
        judged = judge_reasoning(result, judge, reports=reports, items=args.items)
    except ChatError as error:
        raise ValueError(f"--judge: {error}. What was judged is kept: run again to go on") from error
    judged.save(out)
    print_text(judged.markdown())
    say(f"results in {out}; {judge.usage.requests:,} requests")


def _judge_options(args: argparse.Namespace) -> dict[str, Any]:
    return {"base_url": args.judge_url, "api_key": os.environ.get(JUDGE_KEY), "confirm": args.send_reports}


def _compare(args: argparse.Namespace) -> None:
    from .evaluation.comparisons import compare_folders

    _print_and_save(args, compare_folders(args.results))


def _table(args: argparse.Namespace) -> None:
    from .evaluation.paper_tables import read_tables

    _print_and_save(args, read_tables(args.results))


def _print_and_save(args: argparse.Namespace, found: Any) -> None:
    print_text(found.markdown())
    if args.out is not None:
        found.save(args.out)
        say(f"results in {args.out}")


def _material(args: argparse.Namespace, store: Any) -> Any:
    from .evaluation.material import read_material

    return read_material(
        args.data,
        dataset=args.dataset,
        split=args.split,
        volumes=args.volumes_release,
        store=store,
        train_labels=args.train_labels,
        on_fault=args.on_fault,
    )


def _require_out(args: argparse.Namespace) -> None:
    if args.out is None:
        raise ValueError("--out is missing: the folder for the results")


def _scorers(args: argparse.Namespace) -> dict[str, Any]:
    """The metrics that need a model."""
    scorers = {}
    if args.bert_score is not None:
        from .evaluation.report import BertScore

        scorers["bert_score"] = BertScore(args.bert_score, args.bert_score_layer)
    if args.judge is not None:
        from .evaluation.judge import ReportJudge

        scorers["llm_score"] = ReportJudge(args.judge, cache=args.out / "judge.parquet", **_judge_options(args))
    return scorers


def _print_result(args: argparse.Namespace, result: Any) -> None:
    """Print the table, and write what a model card takes from it, in one process of several."""
    from .evaluation.model_card import save_entries
    from .evaluation.runs import is_main_process

    if is_main_process():
        save_entries(result, args.out)
        print_text(result.markdown())
        say(f"results in {args.out}")


def _draw(args: argparse.Namespace, result: Any) -> None:
    """Draw the figures, in one process of several."""
    from .evaluation.plots import write_plots
    from .evaluation.runs import is_main_process

    for think, numbers in result.numbers.items() if is_main_process() else ():
        way = "think" if think else "no-think"
        name = result.protocol["predictor"]["name"]
        write_plots(numbers, f"{name}, {'with' if think else 'without'} think", args.out / way)


def _predictor_and_store(args: argparse.Namespace) -> tuple[Any, Any]:
    from .evaluation.predictors import FilePredictor, ModelPredictor

    if args.predictions is not None:
        return FilePredictor(args.predictions, args.name), None
    if args.model is None and args.pictures_model is None:
        raise ValueError("nothing to measure: give --model, --pictures-model or --predictions")
    device, dtype = _device_and_dtype(args)
    if args.pictures_model is not None:
        return _pictures_predictor(args, device, dtype)
    from .checkpoints import load_checkpoint

    say(f"loading {args.model}")
    model, processor = load_checkpoint(args.model, device, dtype, revision=args.revision)
    predictor = ModelPredictor(
        model,
        processor,
        batch_size=args.batch_size or 64,
        max_new_tokens=args.max_new_tokens,
        samples=args.samples,
        seed=args.seed,
        name=args.name or Path(args.model).name,
        revision=args.revision,
    )
    return predictor, _store(args, model, processor.image_processor)


def _device_and_dtype(args: argparse.Namespace) -> tuple[str, Any]:
    import torch

    from .checkpoints import choose_dtype, default_device, require_device

    device = args.device or default_device()
    require_device(device)
    return device, choose_dtype(device)[0] if args.dtype == "auto" else getattr(torch, args.dtype)


def _pictures_predictor(args: argparse.Namespace, device: str, dtype: Any) -> tuple[Any, Any]:
    from .evaluation.pictures_model import PicturesModelPredictor, load_pictures_model
    from .evaluation.views import ViewSettings
    from .image_processing_med3d_r1 import Med3DR1ImageProcessor

    if args.features is not None:
        raise ValueError("--features are tokens of our vision tower; a model for pictures needs --volumes or the scans")
    if args.samples > 1:
        raise ValueError("--samples is for --model; a model for pictures answers greedily")
    settings = ViewSettings(args.strategy, slices=args.slices, pixels=args.pixels)
    image_processor = Med3DR1ImageProcessor()
    if args.model is not None:
        from .checkpoints import load_processor

        image_processor = load_processor(args.model, revision=args.revision).image_processor
    say(f"loading {args.pictures_model}")
    model, processor = load_pictures_model(args.pictures_model, device, dtype)
    predictor = PicturesModelPredictor(
        model,
        processor,
        image_processor,
        settings,
        batch_size=args.batch_size or 8,
        max_new_tokens=args.max_new_tokens,
        name=args.name or f"{Path(args.pictures_model).name}, {args.strategy}",
        pictures=args.out / "pictures" if args.out else None,
    )
    return predictor, _store(args, None, image_processor)


def _store(args: argparse.Namespace, model: Any, image_processor: Any) -> Any:
    if args.features is not None:
        from .data.feature_store import FeatureStore

        store = FeatureStore(args.features)
        store.require(model, image_processor)
        return store
    if args.volumes is not None:
        from .data.volume_store import Store

        return Store(args.volumes, image_processor)
    return None


def _similarity(args: argparse.Namespace) -> Any:
    if args.fallback is None:
        return None
    from .evaluation.similarity import EncoderSimilarity

    return EncoderSimilarity(args.fallback)


def _floor(args: argparse.Namespace) -> None:
    from .data.ct_rate import read_labels
    from .evaluation.floor import measure_floor

    labels = read_labels(args.labels, one_per_scan=True)
    train = read_labels(args.train_labels, one_per_scan=True) if args.train_labels else None
    result = measure_floor(labels, train, per_scan=args.per_scan or 1, seed=args.seed)
    print_text(result.markdown())
    if args.out is not None:
        from .evaluation.plots import write_floor_plot

        result.save(args.out)
        write_floor_plot(result, args.out)
        say(f"results in {args.out}")

"""What the verbs about data sets do: `prepare` fills a volume store, `encode` a feature store, and `figures` draws what
reports are like."""

from __future__ import annotations

import argparse
import math
import re
import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from .terminal import print_text, quiet_libraries, say

REFUSED_SCANS = 3
"""Exit status where scans were refused and all others are stored."""

_VALIDATION_SHARE = 10
"""One in so many synthetic patients is for validation."""


def run_prepare(args: argparse.Namespace) -> int:
    """Bring the scans of a data set onto the model's grid, once and for all."""
    from .data.prepare import prepare_scans
    from .data.workers import usable_cores

    quiet_libraries(args.verbose)
    workers = usable_cores() if args.workers is None else args.workers
    shard = _shard(args.shard)
    image_processor = _image_processor(args)
    if args.dataset == "phantom" and args.patients is not None:
        _write_phantoms(args, max(1, workers))
    scans = _scans(args)
    args.out.mkdir(parents=True, exist_ok=True)
    grid = [size + 2 * margin for size, margin in zip(image_processor.size, image_processor.margin, strict=True)]
    say(
        f"{sum(len(scan.volumes) for scan in scans):,} volumes of {len(scans):,} scans; stored, each takes "
        f"{2 * math.prod(grid) / 1e6:.1f} MB, and {shutil.disk_usage(args.out).free / 1e9:,.0f} GB are free"
    )
    summary = prepare_scans(
        scans,
        args.out,
        image_processor,
        workers=workers,
        shard=shard,
        limit=args.limit,
        verify=args.verify,
        compress=args.compress,
        progress=True,
    )
    print_text(_summary_text(summary, args.out, workers, "prepared"))
    return REFUSED_SCANS if summary.refused else 0


def run_encode(args: argparse.Namespace) -> int:
    """Let a frozen vision tower see every scan once, and keep what it makes of them."""
    import torch

    from .checkpoints import load_model, load_processor
    from .data.encode import encode_scans, encode_store
    from .data.volume_store import Store
    from .data.workers import usable_cores

    quiet_libraries(args.verbose)
    shard = _shard(args.shard)
    image_processor = load_processor(args.model, revision=args.revision).image_processor
    if args.dataset == "store":
        split = None if args.split == "all" else args.split
        encode = partial(encode_store, Store(args.source, image_processor), split=split)
        workers = args.workers or 0
    else:
        encode = partial(encode_scans, _scans(args))
        workers = usable_cores() if args.workers is None else args.workers
    model = load_model(
        args.model,
        args.device,
        None if args.dtype == "auto" else getattr(torch, args.dtype),
        revision=args.revision,
    )
    config = model.config.vision_config
    args.out.mkdir(parents=True, exist_ok=True)
    say(
        f"stored, each scan takes {2 * config.num_tokens * config.hidden_size / 1e6:.2g} MB, and "
        f"{shutil.disk_usage(args.out).free / 1e9:,.0f} GB are free"
    )
    summary = encode(
        args.out,
        model,
        image_processor,
        batch_size=args.batch_size,
        workers=workers,
        shard=shard,
        limit=args.limit,
        verify=args.verify,
        progress=True,
    )
    print_text(_summary_text(summary, args.out, workers, "encoded"))
    return REFUSED_SCANS if summary.refused else 0


def run_figures(args: argparse.Namespace) -> None:
    """Draw where normal and abnormal sentences stand in reports, and how many there are of each."""
    from .figures import count_sentences, read_reports, require_matplotlib, write_figures

    require_matplotlib()
    quiet_libraries(args.verbose)
    reports = read_reports(args.reports, None if args.split == "all" else args.split)
    say(f"dividing and labelling the sentences of {len(reports):,} reports")
    numbers = count_sentences(reports, tokenizer=_tokenizer(args.tokenizer))
    files = write_figures(numbers, args.out)
    print_text(str(numbers))
    print_text("\n".join(f"written       {file}" for file in files))


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None:
        raise ValueError(f"--shard is i/n, such as 2/4 for the second of four parts; got {text!r}")
    return int(match[1]), int(match[2])


def _image_processor(args: argparse.Namespace):
    from .image_processing_med3d_r1 import Med3DR1ImageProcessor

    if args.model:
        from .checkpoints import load_processor

        settings = load_processor(args.model, revision=args.revision).image_processor.to_dict()
    else:
        from .checkpoints import IMAGE_PROCESSORS

        settings = IMAGE_PROCESSORS[args.preset or ("tiny" if args.dataset == "phantom" else "3b")]
    margin = {} if args.margin is None else {"margin": args.margin}
    return Med3DR1ImageProcessor.from_dict({**settings, **margin})


def _write_phantoms(args: argparse.Namespace, workers: int) -> None:
    """Write synthetic patients in CT-RATE's layout, or what is missing of them."""
    from .data.phantom import write_ct_rate_tree

    if args.patients < 2:
        raise ValueError(f"--patients is 2 or more, as some are for validation; got {args.patients}")
    validation = max(1, args.patients // _VALIDATION_SHARE)
    patients = {"train": args.patients - validation, "validation": validation}
    write_ct_rate_tree(
        args.source,
        patients,
        shape=args.shape,
        seed=args.seed,
        style=args.style,
        original=args.volumes == "original",
        workers=workers,
    )


def _scans(args: argparse.Namespace) -> list[Any]:
    from .data import ct_rate, rad_chestct

    if args.dataset == "phantom" and not args.source.exists():
        raise FileNotFoundError(f"{args.source}: no such folder; --patients N writes synthetic patients there")
    if args.dataset == "rad-chestct":
        if args.volumes == "original":
            raise ValueError("--volumes original is for CT-RATE; RAD-ChestCT has one release of its voxels")
        offered, read, options = rad_chestct.SPLITS, rad_chestct.read_rad_chestct, {}
    else:
        offered, read, options = ct_rate.SPLITS, ct_rate.read_ct_rate, {"volumes": args.volumes}
    if args.split != "all" and args.split not in offered:
        raise ValueError(f"--split is one of {', '.join(offered)} and all; got {args.split!r}")
    splits = offered if args.split == "all" else [args.split]
    return [scan for split in splits for scan in read(args.source, split, on_fault=args.on_fault, **options)]


def _summary_text(summary, folder: Path, workers: int, done: str) -> str:
    before = summary.present + summary.found
    lines = [
        f"{done:<14}{summary.made:,} of {summary.wanted:,} volumes, {before:,} were there before",
        f"store         {folder}, {summary.bytes / 1e9:,.2f} GB of these volumes",
        f"time          {summary.seconds:,.1f} s with {workers} worker{'s' * (workers != 1)}, "
        f"{summary.scans_per_second:,.1f} {done} a second",
    ]
    if summary.repaired:
        lines.insert(1, f"repaired      {summary.repaired:,} whose files were broken")
    if summary.refused:
        lines.append(f"refused       {len(summary.refused):,}, each with its reason in {summary.report}")
        rules = Counter(refusal.rule for refusal in summary.refused)
        lines += [f"  {count:>7,} x  {rule}" for rule, count in rules.most_common()]
    return "\n".join(lines)


def _tokenizer(folder: str | None):
    if folder is None:
        return None
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder}: no tokenizer that can be loaded. {error}") from error

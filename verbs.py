"""What the verbs of the command line do. Each function takes the parsed arguments and imports what it needs itself."""

from __future__ import annotations

import argparse
import json
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .answers_med3d_r1 import LETTERS
from .terminal import print_text, quiet_libraries, say
from .wording import DEFAULT_QUESTION, DISCLAIMER

_BAR_WIDTH = 24


def run_init(args: argparse.Namespace) -> None:
    """Make a model folder."""
    from .checkpoints import initialize, require_new, save_checkpoint

    require_new(args.out)
    quiet_libraries(args.verbose)
    say(f"making a model from the preset {args.preset}")
    model, processor = initialize(
        args.preset,
        language_model=args.language_model,
        vision_weights=args.vision_weights,
        seed=args.seed,
        **_bridge_options(args),
    )
    save_checkpoint(model, processor, args.out)
    core = model.model
    for name, part in (("vision tower", core.vision_tower), ("bridge", core.bridge), ("decoder", core.language_model)):
        print(f"{name:<13}{sum(weight.numel() for weight in part.parameters()) / 1e6:10.2f} M parameters")
    size = _times(processor.image_processor.size)
    print(f"image tokens {model.config.num_image_tokens:10d}    for a scan on {size} voxels (D, H, W)")
    print(f"saved in     {args.out}")


def _bridge_options(args: argparse.Namespace) -> dict[str, Any]:
    """What was said about the bridge; the rest is the preset's."""
    switches = {name: True for name in ("output_position_embedding", "feature_standardization") if getattr(args, name)}
    if args.no_residual_alignment:
        switches["residual_alignment"] = False
    return {"gate": args.gate, **switches}


def run_inspect(args: argparse.Namespace) -> None:
    """Show what the model sees of a scan."""
    from .image_processing_med3d_r1 import Med3DR1ImageProcessor
    from .pictures import three_planes
    from .prepared_med3d_r1 import describe

    quiet_libraries(args.verbose)
    image_processor = Med3DR1ImageProcessor()
    if args.model:
        from .checkpoints import load_processor

        image_processor = load_processor(args.model, revision=args.revision).image_processor
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they stand in the record, which is printed
        prepared = _prepare(image_processor, args)
    if args.png:
        _save_picture(three_planes(prepared.hu, prepared.spacing, position=prepared.middle), args.png)
    if args.json:
        facts = {"shape": prepared.hu.shape, "affine": prepared.affine.tolist(), **prepared.record}
        print(json.dumps(facts, indent=2))
    else:
        print_text(describe(prepared))


def run_diagnose(args: argparse.Namespace) -> None:
    """Answer a question on a scan."""
    from .abnormalities import CT_RATE_LABELS
    from .inference import check_question, diagnose

    options = args.option or (None if args.question else list(CT_RATE_LABELS))
    question = args.question or DEFAULT_QUESTION
    if not 0 <= args.abstain_below <= 1 or (args.abstain_below and options is None):
        raise ValueError("--abstain-below is a probability from 0 to 1, and needs options to choose from")
    check_question(question, options)
    model, processor, scan, runs_as = _load_and_encode(args)
    say("answering")
    diagnosis = diagnose(
        model,
        processor,
        scan,
        question,
        options,
        think=not args.no_think,
        abstain_below=args.abstain_below,
        max_new_tokens=args.max_new_tokens,
    )
    if args.json:
        _print_json(args, scan, runs_as, {"question": question, "options": options, **diagnosis.to_dict()})
    else:
        print_text(_diagnosis_text(question, diagnosis, args.abstain_below), f"ran in {runs_as}\n{DISCLAIMER}")
    if args.evidence_png:
        _save_evidence(scan.prepared, diagnosis, args.evidence_png)


def run_report(args: argparse.Namespace) -> None:
    """Write the report of a scan."""
    from .inference import write_report

    model, processor, scan, runs_as = _load_and_encode(args)
    say("writing")
    report = write_report(model, processor, scan, max_new_tokens=args.max_new_tokens)
    if args.json:
        _print_json(args, scan, runs_as, report.to_dict())
        return
    parts = [("findings", report.findings), ("impression", report.impression)]
    if not report.valid:
        parts = [("output, not in the layout of a report", report.text)]
    print_text(*(_paragraph(title, text) for title, text in parts), f"ran in {runs_as}\n{DISCLAIMER}")


def run_convert(args: argparse.Namespace) -> None:
    """Turn a checkpoint of the release into ours."""
    from .checkpoints import load_checkpoint, replace_weights, require_new, save_checkpoint, save_weights
    from .configuration_med3d_r1 import Med3DR1Config
    from .weights_med3d_r1 import convert_release, read_checkpoint

    require_new(args.out)
    quiet_libraries(args.verbose)
    state = read_checkpoint(args.checkpoint)
    if args.into is None:
        config = Med3DR1Config.preset(args.preset)
    else:
        model, processor = load_checkpoint(args.into, device="cpu", dtype="auto")
        config = model.config
    try:
        weights = convert_release(state, config)
    except RuntimeError as error:  # torch's word for shapes that do not match
        raise ValueError(f"{args.checkpoint}: not of the size of {args.into or args.preset}. {error}") from error
    if args.into is None:
        save_weights(weights, args.out)
    else:
        replace_weights(model, weights, args.checkpoint)
        save_checkpoint(model, processor, args.out)
    print(f"{len(weights)} tensors of {args.checkpoint} are in {args.out}")


def _load_and_encode(args: argparse.Namespace):
    """(model, processor, encoded scan, dtype and device in words). The scan is read first: it may be refused."""
    import torch

    from .checkpoints import choose_dtype, default_device, load_model, load_processor, require_device
    from .inference import encode_scan
    from .quantization import quantization_config

    quiet_libraries(args.verbose)
    if args.max_new_tokens < 1:
        raise ValueError("--max-new-tokens is at least 1")
    device = args.device or default_device()
    require_device(device)
    dtype, reason = choose_dtype(device) if args.dtype == "auto" else (getattr(torch, args.dtype), "as asked for")
    processor = load_processor(args.model, revision=args.revision)
    say(f"reading {args.scan[0]}" + (f" and {len(args.scan) - 1} more" if len(args.scan) > 1 else ""))
    prepared = _prepare(processor.image_processor, args)
    say(f"loading {args.model}")
    quantization = quantization_config(args.bits, dtype) if args.bits else None
    model = load_model(args.model, device, dtype, quantization, revision=args.revision)
    say("encoding the scan")
    bits = f", decoder in {args.bits} bits" if args.bits else ""
    runs_as = f"{str(dtype).removeprefix('torch.')}{bits} on {device}: {reason}"
    return model, processor, encode_scan(model, processor, prepared), runs_as


def _prepare(image_processor, args: argparse.Namespace):
    """The scan of the command line as a PreparedVolume."""
    if args.max_bytes:
        image_processor.max_bytes = args.max_bytes
    source = args.scan[0] if len(args.scan) == 1 else args.scan
    names = ("spacing", "orientation", "series", "modality", "rescale", "hu_guard")
    return image_processor.prepare(source, **{name: getattr(args, name) for name in names})


def _save_picture(picture, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, format="PNG", optimize=True)
    say(f"picture in {path}")


def _save_evidence(prepared, diagnosis, path: Path) -> None:
    import numpy as np

    from .pictures import three_planes

    if diagnosis.evidence is None:
        raise ValueError("--evidence-png: no answer, or a decoder in 4 bits on the CPU: then there is no map")
    relevance = diagnosis.evidence.relevance
    cell = np.unravel_index(relevance.argmax(), relevance.shape)
    position = [
        int((index + 0.5) * n / cells) for index, n, cells in zip(cell, prepared.hu.shape, relevance.shape, strict=True)
    ]
    caption = f"orange cells spoke for this model's answer {diagnosis.answer!r}, blue cells against it"
    _save_picture(
        three_planes(prepared.hu, prepared.spacing, position=position, relevance=relevance, caption=caption), path
    )


def _print_json(args: argparse.Namespace, scan, runs_as: str, result: dict[str, Any]) -> None:
    facts = {"scan": scan.prepared.name, "warnings": scan.prepared.record["warnings"]}
    asked = {"model": args.model, "revision": args.revision}
    print(json.dumps({**facts, **asked, "ran_in": runs_as, **result, "disclaimer": DISCLAIMER}, indent=2))


def _diagnosis_text(question: str, diagnosis, abstain_below: float) -> str:
    letter = f"{diagnosis.letter}) " if diagnosis.letter and diagnosis.probabilities else ""
    lines = [f"question   {question}"]
    if diagnosis.reasoning:
        lines += ["", _paragraph("reasoning", diagnosis.reasoning), ""]
    lines.append(f"answer     {letter}{diagnosis.answer or '(none)'}")
    likeliest = max(diagnosis.probabilities, key=diagnosis.probabilities.get, default=diagnosis.answer)
    if likeliest != diagnosis.answer:
        lines.append(f"           it is what the model wrote; {likeliest!r} is more probable by the numbers below")
    if diagnosis.abstained:
        lines.append(f"abstained  the answer's probability is below {abstain_below:g}: take it as no answer")
    if not diagnosis.valid:
        lines.append(f"layout     not the one that was asked for; the output begins: {diagnosis.text[:60]!r}")
    if diagnosis.probabilities:
        lines += ["", "probability of each option", *_bars(diagnosis.probabilities)]
    if diagnosis.regions:
        size = _times(diagnosis.regions[0].size_mm)
        lines += ["", f"where it looked: cells of {size} mm (D, H, W), centres in mm (R, A, S) of the scan's world"]
        lines += [
            f"  ({', '.join(f'{x:.0f}' for x in region.center_mm)})".ljust(24) + region.place
            for region in diagnosis.regions
        ]
    return "\n".join(lines)


def _bars(probabilities: dict[str, float]) -> list[str]:
    """One line an option; the longest bar is the most probable one's."""
    width, highest = max(map(len, probabilities)), max(probabilities.values())
    lines = []
    for letter, (option, share) in zip(LETTERS, probabilities.items(), strict=False):
        bar = "#" * round(_BAR_WIDTH * share / highest)
        lines.append(f"  {letter}) {option:<{width}} {share:6.1%}  {bar}".rstrip())
    return lines


def _paragraph(title: str, text: str) -> str:
    return f"{title}\n{textwrap.fill(text, 100, initial_indent='  ', subsequent_indent='  ')}"


def _times(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)

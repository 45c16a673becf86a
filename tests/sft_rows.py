"""Rows for tests of supervised fine-tuning: scans on the tiny model's grid, and completions of uneven length."""

from __future__ import annotations

from pathlib import Path

from med3d_r1.data.rows import as_dataset
from med3d_r1.prompts_med3d_r1 import question_messages, report_messages
from scans import synthetic_chest
from tiny import tiny_processor

REPORT = "<finding>The heart is normal. A nodule is seen.</finding>\n<impression>Emphysema.</impression>"
ABNORMAL = [[REPORT.index(said), REPORT.index(said) + len(said)] for said in ("A nodule is seen.", "Emphysema.")]


def write_scans(folder: Path, count: int = 3) -> list[str]:
    """Synthetic chests, prepared for the tiny model."""
    image_processor, paths = tiny_processor().image_processor, []
    for seed in range(count):
        path = folder / f"{seed}.npz"
        image_processor.prepare(synthetic_chest((36, 48, 48), seed=seed)).save(path)
        paths.append(str(path))
    return paths


def sft_rows(scans: list[str], count: int = 8) -> list[dict]:
    """Reports and questions in turn, on the scans in turn; each report longer than the one before."""
    rows = []
    for index in range(count):
        prompt, text, spans = (
            question_messages(f"Is it present, number {index}?", think=False),
            "<answer>no</answer>",
            [],
        )
        if index % 2 == 0:
            prompt, text, spans = report_messages(), REPORT + " It is stable." * index, ABNORMAL
        rows.append(
            {
                "images": [scans[index % len(scans)]],
                "prompt": prompt,
                "completion": [{"role": "assistant", "content": text}],
                "abnormal_spans": spans,
            }
        )
    return rows


def sft_dataset(scans: list[str], count: int = 8):
    return as_dataset(sft_rows(scans, count))

"""The Space for programs: /inspect, /diagnose and /report, for gradio_client and as tools for language models (MCP).

Each call brings its scan along and leaves nothing behind. The docstrings here are what clients and tools are shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from engine import Engine
from med3d_r1 import PreparedVolume, VolumeError
from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.inference import check_question
from med3d_r1.wording import DEFAULT_QUESTION, DISCLAIMER
from patients import read_upload, refusal


class Endpoints:
    """The three calls. All of them raise `gr.Error`, which reaches the caller as a sentence."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def inspect(self, scan: str) -> dict[str, Any]:
        """Say how a chest CT is stored, what the model would see of it, and what to look at before trusting an answer.

        Args:
            scan: the scan, .nii, .nii.gz or a .zip of one DICOM series. It is deleted when it has been read.
        """
        prepared = self._read(scan)
        facts = {key: value for key, value in prepared.record.items() if key != "source"}
        return {"shape": list(prepared.hu.shape), "affine": prepared.affine.tolist(), **facts, "disclaimer": DISCLAIMER}

    def diagnose(
        self,
        scan: str,
        question: str = DEFAULT_QUESTION,
        options: str = "",
        think: bool = True,
        abstain_below: float = 0.0,
    ) -> dict[str, Any]:
        """Answer a multiple-choice question on a chest CT: answer, reasoning, probability of each option, and the
        regions of the scan that moved the model. Research only, not a medical device.

        Args:
            scan: the scan, .nii, .nii.gz or a .zip of one DICOM series. It is deleted when it has been read.
            question: what is asked.
            options: 2 to 26 answers to choose from, one a line. Empty: the 18 abnormalities of CT-RATE. "-": no
                options, the answer comes in words.
            think: let the model reason first.
            abstain_below: mark answers whose probability (0 to 1) is lower as abstained.
        """
        choices = parse_options(options)
        checked(question, choices)
        prepared = self._read(scan)
        diagnosis = last(self._engine.diagnose(prepared, question, choices, think, abstain_below))
        return self._result(prepared, {"question": question, "options": choices, **diagnosis.to_dict()})

    def report(self, scan: str) -> dict[str, Any]:
        """Write the radiology report of a chest CT, findings and impression. Research only, not a medical device.

        Args:
            scan: the scan, .nii, .nii.gz or a .zip of one DICOM series. It is deleted when it has been read.
        """
        prepared = self._read(scan)
        return self._result(prepared, last(self._engine.report(prepared)).to_dict())

    def _read(self, upload: str | None) -> PreparedVolume:
        if not upload:
            raise gr.Error("No scan was given.", print_exception=False)
        try:
            return read_upload(upload, self._engine.image_processor).seen
        except VolumeError as error:
            raise gr.Error(f"Refused. {refusal(error)}", print_exception=False) from None

    def _result(self, prepared: PreparedVolume, result: dict[str, Any]) -> dict[str, Any]:
        facts = {"warnings": prepared.record["warnings"], "model": self._engine.name}
        return {**facts, **result, "disclaimer": DISCLAIMER}


def parse_options(text: str) -> list[str] | None:
    """Options from lines; the 18 abnormalities where there are none, and None for "-", an answer in words."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines == ["-"]:
        return None
    return lines or list(CT_RATE_LABELS)


def checked(question: str, options: list[str] | None) -> None:
    """
    Raises:
        gr.Error: the question cannot be asked; see `check_question`.
    """
    if not question.strip():
        raise gr.Error("The question is empty.", print_exception=False)
    try:
        check_question(question, options)
    except ValueError as error:
        raise gr.Error(f"This cannot be asked: {error}.", print_exception=False) from None


def last(stream: Iterator[Any]) -> Any:
    """What a stream ends with."""
    *_, end = stream
    return end


def add_endpoints(engine: Engine) -> None:
    """Put the calls into the page that is being built. What they take and give stands on it unseen."""
    endpoints = Endpoints(engine)
    with gr.Row(visible=False):
        scan = gr.File(label="scan")
        question = gr.Textbox(DEFAULT_QUESTION, label="question")
        options = gr.Textbox("", label="options", lines=4)
        think = gr.Checkbox(True, label="think")
        abstain_below = gr.Slider(0, 1, 0, label="abstain_below")
        result = gr.JSON(label="result")
        model_turn = {"concurrency_id": "model", "concurrency_limit": 1}
        gr.Button().click(endpoints.inspect, [scan], result, api_name="inspect", concurrency_id="reading")
        asked = [scan, question, options, think, abstain_below]
        gr.Button().click(endpoints.diagnose, asked, result, api_name="diagnose", **model_turn)
        gr.Button().click(endpoints.report, [scan], result, api_name="report", **model_turn)


__all__ = ["Endpoints", "add_endpoints", "checked", "last", "parse_options"]

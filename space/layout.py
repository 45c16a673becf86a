"""What stands where on the page."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

import limits
import viewer
from med3d_r1 import Med3DR1ImageProcessor
from med3d_r1.pictures import VIEWS, WINDOWS
from med3d_r1.wording import DEFAULT_QUESTION, DISCLAIMER
from patients import SYNTHETIC, WELCOME
from uploads import SUFFIXES

ALL_18, OWN, FREE, REPORT = KINDS = ("18 abnormalities", "Own options", "Free question", "Report")
"""What can be asked for."""

OWN_OPTIONS = "Emphysema\nPleural effusion\nLung nodule\nCardiomegaly"

MASTHEAD = f"""<header class="masthead">
<h1>Med3D-R1 <span>reads a chest CT, reasons in words, and answers</span></h1>
<p class="disclaimer" role="note">{DISCLAIMER}</p>
</header>"""

COLOPHON = """<footer class="colophon"><p>Your file loses its name on the way in and is deleted as soon as it has been
read. The scan stays in this server's memory until you leave, one hour at most. Nothing about it is logged. Do not
upload what you may not share: a scan that shows a face identifies a person without any name.</p></footer>"""

CHAT_PLACEHOLDER = "Ask about the scan. The reasoning folds away when the answer comes."

_LEAD_TO_REGION = """element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-region]");
  if (button) trigger("select", { region: Number(button.dataset.region) });
});"""


@dataclass
class Parts:
    """The components that events read and write. Planes and sliders follow `VIEWS`."""

    upload: gr.File
    synthetic: gr.Radio
    window: gr.Radio
    overlay: gr.Checkbox
    as_seen: gr.Checkbox
    readout: gr.HTML
    planes: list[gr.HTML]
    sliders: list[gr.Slider]
    facts: gr.HTML
    kind: gr.Radio
    question: gr.Textbox
    options: gr.Textbox
    think: gr.Checkbox
    abstain: gr.Slider
    ask: gr.Button
    stop: gr.Button
    chat: gr.Chatbot
    bars: gr.HTML
    where: gr.HTML


def lay_out() -> Parts:
    """Put everything on the page that is being built: at the left the scan, at the right the questions."""
    gr.HTML(MASTHEAD)
    with gr.Row(elem_id="desk"):
        with gr.Column(scale=7, min_width=340, elem_id="light-box"):
            scan = {**_intake(), **_tools(), **_planes()}
        with gr.Column(scale=4, min_width=340, elem_id="talk"):
            talk = {**_questions(), **_answers()}
    gr.HTML(COLOPHON)
    return Parts(**scan, **talk)


def _intake() -> dict:
    with gr.Row(elem_id="intake"):
        upload = gr.File(
            label=f"Chest CT: .nii, .nii.gz or a .zip of one DICOM series, up to {limits.MAX_FILE_BYTES >> 20} MiB",
            file_types=list(SUFFIXES),
            height=92,
            elem_id="upload",
        )
        synthetic = gr.Radio(
            list(SYNTHETIC), value=WELCOME, label="or a synthetic chest, nobody's", elem_id="synthetic"
        )
    return {"upload": upload, "synthetic": synthetic}


def _tools() -> dict:
    with gr.Row(elem_id="tools"):
        window = gr.Radio(list(WINDOWS), value="lung", label="Window", elem_id="window")
        with gr.Column(min_width=160, elem_id="overlays"):
            overlay = gr.Checkbox(True, label="Show where it looked")
            as_seen = gr.Checkbox(False, label="As the model sees it")
        readout = gr.HTML("", elem_id="readout")
    return {"window": window, "overlay": overlay, "as_seen": as_seen, "readout": readout}


def _planes() -> dict:
    planes, sliders = [], []
    with gr.Row(elem_id="viewer"):
        with gr.Row(elem_id="planes"):
            for view, length in zip(VIEWS, Med3DR1ImageProcessor().size, strict=True):
                with gr.Column(min_width=240, elem_classes="plane-column"):
                    planes.append(viewer.plane_component(view))
                    sliders.append(_slice_slider(view.name, length))
        facts = gr.HTML(viewer.NO_FACTS, elem_id="facts")
    return {"planes": planes, "sliders": sliders, "facts": facts}


def _slice_slider(name: str, length: int) -> gr.Slider:
    """People count slices from 1."""
    label = f"{name.capitalize()} slice"
    return gr.Slider(1, length, value=length // 2, step=1, label=label, buttons=[], elem_id=f"{name}-slice")


def _questions() -> dict:
    kind = gr.Radio(list(KINDS), value=ALL_18, label="Ask", elem_id="kind")
    question = gr.Textbox(DEFAULT_QUESTION, label="Question", max_lines=3, elem_id="question")
    options = gr.Textbox(OWN_OPTIONS, label="Options, one a line", lines=4, visible=False, elem_id="options")
    with gr.Row(elem_id="settings"):
        think = gr.Checkbox(True, label="Reason first", min_width=120, elem_id="think")
        abstain = gr.Slider(0, 1, 0, step=0.05, label="Abstain below", buttons=[], min_width=160, elem_id="abstain")
    with gr.Row(elem_id="buttons"):
        ask = gr.Button("Ask", variant="primary", min_width=120, elem_id="ask")
        stop = gr.Button("Stop", interactive=False, min_width=120, elem_id="stop")
    return {
        **{"kind": kind, "question": question, "options": options, "think": think, "abstain": abstain},
        **{"ask": ask, "stop": stop},
    }


def _answers() -> dict:
    chat = gr.Chatbot(
        label="Answer",
        height=340,
        placeholder=CHAT_PLACEHOLDER,
        render_markdown=False,
        buttons=["copy_all"],
        feedback_options=None,
        latex_delimiters=[],
        elem_id="chat",
    )
    bars = gr.HTML("", elem_id="bars")
    where = gr.HTML("", elem_id="where", js_on_load=_LEAD_TO_REGION)
    return {"chat": chat, "bars": bars, "where": where}


def fields(kind: str) -> tuple[bool, bool, bool, bool]:
    """Whether a kind of question has a question, options, reasoning, and probabilities to abstain by."""
    return kind != REPORT, kind == OWN, kind != REPORT, kind in (ALL_18, OWN)


__all__ = ["ALL_18", "FREE", "KINDS", "OWN", "REPORT", "Parts", "fields", "lay_out"]

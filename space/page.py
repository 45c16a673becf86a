"""The page: what stands where, and what follows from which click."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import answers
import gradio as gr
import limits
import viewer
from endpoints import add_endpoints, checked, parse_options
from engine import Engine
from patients import SYNTHETIC, Scan, read_upload, refusal, synthetic_scan
from sessions import Session, Sessions
from uploads import SUFFIXES

from med3d_r1 import Med3DR1ImageProcessor, VolumeError
from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.inference import Diagnosis, EncodedScan, Report
from med3d_r1.pictures import VIEWS, WINDOWS
from med3d_r1.verbs import DEFAULT_QUESTION, DISCLAIMER

ALL_18, OWN, FREE, REPORT = "18 abnormalities", "Own options", "Free question", "Report"
KINDS = (ALL_18, OWN, FREE, REPORT)
OWN_OPTIONS = "Emphysema\nPleural effusion\nLung nodule\nCardiomegaly"
SHAPE = Med3DR1ImageProcessor().size

HEADER = f"""
<header class="masthead">
  <h1>Med3D-R1 <span>reads a chest CT, reasons in words, and answers</span></h1>
  <p class="disclaimer" role="note">{DISCLAIMER}</p>
</header>"""
PRIVACY = (
    "Your file loses its name on the way in and is deleted as soon as it has been read. The scan stays in this "
    "server's memory until you leave, one hour at most. Nothing about it is logged. Do not upload what you may not "
    "share: a scan of the head or face identifies a person without any name."
)
CHAT_PLACEHOLDER = "Load a scan, then ask. The reasoning folds away when the answer begins."


def build(engine: Engine) -> gr.Blocks:
    """The whole Space for one model; `launch` of launching.py starts it."""
    page = gr.Blocks(
        title="Med3D-R1", analytics_enabled=False, fill_width=True, delete_cache=limits.CACHE_SECONDS
    )
    with page:
        _Page(engine).lay_out(page)
        add_endpoints(engine)
    page.queue(max_size=limits.MAX_WAITING, default_concurrency_limit=limits.READERS)
    return page


class _Page:
    """The components that events touch, and the events."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.sessions = Sessions()

    # What stands where

    def lay_out(self, page: gr.Blocks) -> None:
        gr.HTML(HEADER)
        with gr.Row(elem_id="desk"):
            with gr.Column(scale=7, min_width=340, elem_id="light-box"):
                self._lay_out_scan()
            with gr.Column(scale=4, min_width=340, elem_id="talk"):
                self._lay_out_questions()
        gr.HTML(f'<footer class="colophon"><p>{PRIVACY}</p></footer>')
        self._connect(page)

    def _lay_out_scan(self) -> None:
        with gr.Row(elem_id="intake"):
            self.upload = gr.File(
                label=f"Chest CT: .nii, .nii.gz, or a .zip of one DICOM series, up to {limits.MAX_FILE_BYTES >> 20} MiB",
                file_types=list(SUFFIXES),
                height=112,
                elem_id="upload",
            )
            self.synthetic = gr.Radio(list(SYNTHETIC), label="or a synthetic chest, nobody's", elem_id="synthetic")
        with gr.Row(elem_id="viewing"):
            self.window = gr.Radio(list(WINDOWS), value="lung", label="Window", elem_id="window")
            with gr.Column(min_width=160, elem_id="overlays"):
                self.overlay = gr.Checkbox(True, label="Show where it looked", elem_id="overlay")
                self.as_seen = gr.Checkbox(False, label="As the model sees it", elem_id="as-seen")
            self.readout = gr.HTML("", elem_id="readout")
        self.planes, self.sliders = [], []
        with gr.Row(elem_id="planes"):
            for view, length in zip(VIEWS, SHAPE, strict=True):
                with gr.Column(min_width=240, elem_classes="plane-column"):
                    self.planes.append(viewer.plane_component(view))
                    self.sliders.append(
                        gr.Slider(1, length, value=length // 2, step=1, label=f"{view.name} slice",
                                  elem_id=f"{view.name}-slice", buttons=[])
                    )  # fmt: skip
            with gr.Column(min_width=240, elem_classes="plane-column", elem_id="facts-column"):
                self.facts = gr.HTML('<div class="facts"><p class="note">No scan yet.</p></div>', elem_id="facts")

    def _lay_out_questions(self) -> None:
        self.kind = gr.Radio(list(KINDS), value=ALL_18, label="Ask", elem_id="kind")
        self.question = gr.Textbox(DEFAULT_QUESTION, label="Question", max_lines=3, elem_id="question")
        self.options = gr.Textbox(
            OWN_OPTIONS, label="Options, one a line", lines=4, max_lines=8, visible=False, elem_id="options"
        )
        with gr.Row(elem_id="settings"):
            self.think = gr.Checkbox(True, label="Reason first", elem_id="think", min_width=120)
            self.abstain = gr.Slider(
                0, 1, 0, step=0.05, label="Abstain below", elem_id="abstain", buttons=[], min_width=160
            )
        with gr.Row(elem_id="buttons"):
            self.ask = gr.Button("Ask", variant="primary", elem_id="ask", min_width=120)
            self.stop = gr.Button("Stop", interactive=False, elem_id="stop", min_width=120)
        self.chat = gr.Chatbot(
            label="Answer",
            height=340,
            placeholder=CHAT_PLACEHOLDER,
            render_markdown=False,
            buttons=["copy_all"],
            feedback_options=None,
            latex_delimiters=[],
            elem_id="chat",
        )
        self.bars = gr.HTML("", elem_id="bars")
        self.where = gr.HTML(
            "",
            elem_id="where",
            js_on_load="element.addEventListener('click', (event) => {"
            " const button = event.target.closest('[data-region]');"
            " if (button) trigger('select', {index: Number(button.dataset.region)}); });",
        )

    # What follows from which click

    def _connect(self, page: gr.Blocks) -> None:
        view = [*self.planes, self.readout]
        position = [*self.sliders, self.window, self.overlay, self.as_seen]
        loaded = [self.facts, *view, *self.sliders, self.chat, self.bars, self.where]
        unseen = {"api_visibility": "private"}
        reading = {**unseen, "concurrency_id": "reading", "concurrency_limit": limits.READERS}
        self.upload.upload(self._load_upload, [self.upload, self.window], [*loaded, self.upload, self.synthetic], **reading)
        self.synthetic.input(self._load_synthetic, [self.synthetic, self.window], loaded, **reading)
        gr.on(
            [*(slider.input for slider in self.sliders), self.window.input, self.overlay.input, self.as_seen.input],
            self._draw,
            position,
            view,
            queue=False,
            show_progress="hidden",
            trigger_mode="always_last",
            **unseen,
        )
        shape = [self.question, self.options, self.think, self.abstain]
        self.kind.input(_fields, self.kind, shape, queue=False, show_progress="hidden", **unseen)
        asked = [self.kind, *shape, self.chat, self.window, self.as_seen]
        buttons = [self.ask, self.stop]
        asking = gr.on(
            [self.ask.click, self.question.submit],
            self._answer,
            asked,
            [self.chat, self.bars, self.where, *view, *self.sliders, self.overlay, *buttons],
            concurrency_id="model",
            concurrency_limit=1,
            show_progress_on=self.chat,
            trigger_mode="once",
            **unseen,
        )
        asking.then(_at_rest, None, buttons, queue=False, show_progress="hidden", **unseen)
        stopping = self.stop.click(None, None, None, cancels=[asking], **unseen)
        stopping.then(_stopped, self.chat, [self.chat, *buttons], queue=False, show_progress="hidden", **unseen)
        self.where.select(
            self._look_at, [self.window, self.overlay, self.as_seen], [*view, *self.sliders],
            queue=False, show_progress="hidden", **unseen,
        )  # fmt: skip
        page.unload(self._leave)

    def _load_upload(self, upload: str | None, window: str, request: gr.Request) -> list[Any]:
        loaded = self._load(lambda: read_upload(upload, self.engine.image_processor), window, request)
        return [*loaded, None, None]

    def _load_synthetic(self, name: str, window: str, request: gr.Request) -> list[Any]:
        return self._load(lambda: synthetic_scan(name, self.engine.image_processor), window, request)

    def _load(self, read, window: str, request: gr.Request) -> list[Any]:
        """Everything on the page that depends on the scan alone."""
        self.sessions.close(request.session_hash)
        try:
            scan = read()
        except VolumeError as error:
            empty = [viewer.EMPTY_PLANE.format(view.name) for view in VIEWS]
            return [viewer.refused(refusal(error)), *empty, "", *[gr.skip()] * len(VIEWS), [], "", ""]
        self.sessions.open(request.session_hash, scan)
        position = scan.shown.middle
        return [viewer.facts(scan), *_view(scan, position, window), *_slices(position), [], "", ""]

    def _draw(self, axial, coronal, sagittal, window, overlay, as_seen, request: gr.Request) -> list[Any]:
        session = self.sessions.get(request.session_hash)
        if session is None:
            return [gr.skip()] * 4
        position = (int(axial) - 1, int(coronal) - 1, int(sagittal) - 1)
        return _view(session.scan, position, window, session.diagnosis if overlay else None, as_seen)

    def _look_at(self, window, overlay, as_seen, event: gr.EventData, request: gr.Request) -> list[Any]:
        """Bring the crosshair to a cell that spoke for the answer."""
        session = self.sessions.get(request.session_hash)
        if session is None or session.diagnosis is None:
            return [gr.skip()] * 7
        position = _place(session, event.index)
        diagnosis = session.diagnosis if overlay else None
        return [*_view(session.scan, position, window, diagnosis, as_seen), *_slices(position)]

    def _answer(
        self, kind, question, options, think, abstain, history, window, as_seen, request: gr.Request
    ) -> Iterator[list[Any]]:
        """The conversation as it grows; at its end what the answer means."""
        session = self.sessions.get(request.session_hash)
        if session is None:
            raise gr.Error("Load a scan first, or choose a synthetic chest.", title="No scan", print_exception=False)
        scan = session.encoded or session.scan.seen
        if kind == REPORT:
            asked, stream, think = "Write the report.", self.engine.report(scan), False
        else:
            choices = {ALL_18: list(CT_RATE_LABELS), OWN: parse_options(options), FREE: None}[kind]
            checked(question, choices)
            asked = answers.question_text(question, None if kind == ALL_18 else choices)
            stream = self.engine.diagnose(scan, question, choices, think, abstain if choices else 0.0)
        history = [*history, answers.user_message(asked)]
        draft = answers.draft_report if kind == REPORT else lambda text: answers.draft_messages(text, think)
        for news in stream:
            if isinstance(news, EncodedScan):
                session.encoded = news
            elif isinstance(news, str):
                yield self._conversation([*history, *draft(news)], running=True)
            elif isinstance(news, Report):
                yield self._conversation([*history, *answers.report_messages(news)], running=False)
            else:
                yield self._answered(session, history, news, abstain, window, as_seen)

    def _conversation(self, messages: list[answers.Message], running: bool) -> list[Any]:
        rest = [gr.skip()] * (2 + len(self.planes) + 1 + len(self.sliders) + 1)
        return [messages, *rest, *_buttons(running)]

    def _answered(
        self, session: Session, history, diagnosis: Diagnosis, abstain: float, window: str, as_seen: bool
    ) -> list[Any]:
        session.diagnosis = diagnosis
        messages = [*history, *answers.diagnosis_messages(diagnosis, abstain)]
        told = [messages, answers.bars(diagnosis, abstain), answers.where_it_looked(diagnosis)]
        if not diagnosis.regions:
            return [*told, *[gr.skip()] * 7, True, *_buttons(running=False)]
        position = _place(session, 0)
        view = _view(session.scan, position, window, diagnosis, as_seen)
        return [*told, *view, *_slices(position), True, *_buttons(running=False)]

    def _leave(self, request: gr.Request) -> None:
        self.sessions.close(request.session_hash)


def _view(
    scan: Scan, position: viewer.Position, window: str, diagnosis: Diagnosis | None = None, as_seen: bool = False
) -> list[str]:
    """The three planes and the readout."""
    evidence = diagnosis.evidence if diagnosis else None
    return [*viewer.planes(scan, position, window, evidence, as_seen), viewer.readout(scan, position)]


def _slices(position: viewer.Position) -> list[int]:
    """A position as people count: from 1."""
    return [index + 1 for index in position]


def _place(session: Session, number: int) -> viewer.Position:
    return viewer.nearest_voxel(session.scan.shown, session.diagnosis.regions[number].center_mm)


def _fields(kind: str) -> list[Any]:
    """Which fields a kind of question has."""
    shown = (kind != REPORT, kind == OWN, kind != REPORT, kind in (ALL_18, OWN))
    return [gr.update(visible=visible) for visible in shown]


def _buttons(running: bool) -> list[Any]:
    return [gr.update(interactive=not running), gr.update(interactive=running)]


def _at_rest() -> list[Any]:
    return _buttons(running=False)


def _stopped(history: list[answers.Message]) -> list[Any]:
    return [answers.stopped_messages(history), *_buttons(running=False)]


__all__ = ["build"]

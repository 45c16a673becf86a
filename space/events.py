"""What follows from which click. Handlers return what changes, by component; all else stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

import answers
import limits
import viewer
from endpoints import checked, parse_options
from engine import Engine
from layout import ALL_18, FREE, OWN, REPORT, Parts, fields
from med3d_r1 import VolumeError
from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.inference import Diagnosis, EncodedScan, Report
from patients import WELCOME, Scan, read_upload, refusal, synthetic_scan
from sessions import Session, Sessions

Changes = dict[Any, Any]


class Events:
    """
    Args:
        engine: who answers.
        parts: what is on the page.
        sessions: who looks at what.
    """

    def __init__(self, engine: Engine, parts: Parts, sessions: Sessions) -> None:
        self.engine, self.parts, self.sessions = engine, parts, sessions

    def connect(self, page: gr.Blocks) -> None:
        """Listen. None of these events is part of the API: those are in endpoints.py."""
        parts = self.parts
        seen = [*parts.sliders, parts.window, parts.overlay, parts.as_seen]
        planes = [*parts.planes, parts.readout]
        answer = [parts.chat, parts.bars, parts.where]
        buttons = [parts.ask, parts.stop]
        loaded = [parts.facts, *planes, *parts.sliders, *answer, parts.upload, parts.synthetic]
        reading = {"concurrency_id": "reading", "concurrency_limit": limits.READERS, "api_visibility": "private"}
        at_once = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

        page.load(self.welcome, parts.window, loaded, **reading)
        parts.upload.upload(self.load_upload, [parts.upload, parts.window], loaded, **reading)
        parts.synthetic.input(self.load_synthetic, [parts.synthetic, parts.window], loaded, **reading)
        moved = [part.input for part in seen]
        gr.on(moved, self.draw, seen, planes, trigger_mode="always_last", **at_once)

        asked = [parts.kind, parts.question, parts.options, parts.think, parts.abstain]
        parts.kind.input(self.show_fields, parts.kind, asked[1:], **at_once)
        asking = gr.on(
            [parts.ask.click, parts.question.submit],
            self.answer,
            [*asked, parts.chat, parts.window, parts.as_seen],
            [*answer, *planes, *parts.sliders, parts.overlay, *buttons],
            concurrency_id="model",
            concurrency_limit=1,
            show_progress_on=parts.chat,
            api_visibility="private",
        )
        asking.then(lambda: self.buttons(running=False), None, buttons, **at_once)
        stopping = parts.stop.click(None, None, None, cancels=[asking], api_visibility="private")
        stopping.then(self.stopped, parts.chat, [parts.chat, *buttons], **at_once)
        parts.where.select(self.look_at, seen[len(parts.sliders) :], [*planes, *parts.sliders], **at_once)
        page.unload(self.leave)

    # Scans

    def welcome(self, window: str, request: gr.Request) -> Changes:
        """Something to look at, unless the visitor was quicker."""
        scan = synthetic_scan(WELCOME, self.engine.image_processor)
        if self.sessions.get(request.session_hash) is not None:
            return {}
        return self._load(lambda: scan, window, request)

    def load_upload(self, upload: str, window: str, request: gr.Request) -> Changes:
        changes = self._load(lambda: read_upload(upload, self.engine.image_processor), window, request)
        return {**changes, self.parts.upload: None, self.parts.synthetic: None}

    def load_synthetic(self, name: str, window: str, request: gr.Request) -> Changes:
        return self._load(lambda: synthetic_scan(name, self.engine.image_processor), window, request)

    def _load(self, read: Callable[[], Scan], window: str, request: gr.Request) -> Changes:
        """Read a scan, or say why it was refused. What was on the page of the former one is gone in either case."""
        parts = self.parts
        self.sessions.close(request.session_hash)
        cleared = {parts.chat: [], parts.bars: "", parts.where: ""}
        try:
            scan = read()
        except VolumeError as error:
            empty = dict.fromkeys(parts.planes, viewer.NO_PLANE)
            return {**cleared, **empty, parts.readout: "", parts.facts: viewer.refused(refusal(error))}
        session = self.sessions.open(request.session_hash, scan)
        return {**cleared, parts.facts: viewer.facts(scan), **self._view(session, scan.shown.middle, window)}

    def leave(self, request: gr.Request) -> None:
        """The visitor closed the page."""
        self.sessions.close(request.session_hash)

    # Planes

    def draw(self, axial, coronal, sagittal, window, overlay, as_seen, request: gr.Request) -> Changes:
        session = self.sessions.get(request.session_hash)
        if session is None:
            return {}
        position = (int(axial) - 1, int(coronal) - 1, int(sagittal) - 1)
        return self._planes(session, position, window, overlay, as_seen)

    def look_at(self, window, overlay, as_seen, event: gr.EventData, request: gr.Request) -> Changes:
        """Bring the crosshair to a cell that spoke for the answer."""
        session = self.sessions.get(request.session_hash)
        if session is None or session.diagnosis is None:
            return {}
        return self._view(session, _place(session, event.region), window, overlay, as_seen)

    def _view(self, session: Session, position: viewer.Position, window, overlay=True, as_seen=False) -> Changes:
        """The planes at a position, and the sliders there too."""
        slices = [index + 1 for index in position]
        sliders = dict(zip(self.parts.sliders, slices, strict=True))
        return {**self._planes(session, position, window, overlay, as_seen), **sliders}

    def _planes(self, session: Session, position: viewer.Position, window, overlay, as_seen) -> Changes:
        evidence = session.diagnosis.evidence if overlay and session.diagnosis else None
        drawn = viewer.planes(session.scan, position, window, evidence, as_seen)
        readout = viewer.readout(session.scan, position)
        return {**dict(zip(self.parts.planes, drawn, strict=True)), self.parts.readout: readout}

    # Questions

    def show_fields(self, kind: str) -> Changes:
        parts = self.parts
        asked = (parts.question, parts.options, parts.think, parts.abstain)
        return {part: gr.update(visible=shown) for part, shown in zip(asked, fields(kind), strict=True)}

    def answer(
        self, kind, question, options, think, abstain, history, window, as_seen, request: gr.Request
    ) -> Iterator[Changes]:
        """The conversation as it grows, and at its end what the answer means."""
        session = self.sessions.get(request.session_hash)
        if session is None:
            raise gr.Error("Load a scan first, or choose a synthetic chest.", title="No scan", print_exception=False)
        stream, asked = self._ask(session, kind, question, options, think, abstain)
        history = [*history, answers.user_message(asked)]
        yield self._said(history, running=True)
        for news in stream:
            if isinstance(news, EncodedScan):
                session.encoded = news
            elif isinstance(news, str):
                draft = answers.draft_report(news) if kind == REPORT else answers.draft_messages(news, think)
                yield self._said([*history, *draft], running=True)
            elif isinstance(news, Report):
                yield self._said([*history, *answers.report_messages(news)], running=False)
            else:
                said = self._said([*history, *answers.diagnosis_messages(news, abstain)], running=False)
                yield {**said, **self._explained(session, news, abstain, window, as_seen)}

    def _ask(self, session: Session, kind, question, options, think, abstain) -> tuple[Iterator[Any], str]:
        """What the engine yields, and the question in words."""
        scan = session.encoded or session.scan.seen
        if kind == REPORT:
            return self.engine.report(scan), "Write the report."
        choices = {ALL_18: list(CT_RATE_LABELS), OWN: parse_options(options), FREE: None}[kind]
        checked(question, choices)
        stream = self.engine.diagnose(scan, question, choices, think, abstain if choices else 0.0)
        return stream, answers.question_text(question, choices if kind == OWN else None)

    def _said(self, messages: list[answers.Message], running: bool) -> Changes:
        return {self.parts.chat: messages, **self.buttons(running)}

    def _explained(self, session: Session, diagnosis: Diagnosis, abstain, window, as_seen) -> Changes:
        """Probabilities, regions, and the map over the planes, the crosshair in its strongest cell."""
        parts = self.parts
        session.diagnosis = diagnosis
        shown = self._view(session, _place(session, 0), window, True, as_seen) if diagnosis.regions else {}
        told = {parts.bars: answers.bars(diagnosis, abstain), parts.where: answers.where_it_looked(diagnosis)}
        return {**told, **shown, parts.overlay: True}

    def stopped(self, history: list[answers.Message]) -> Changes:
        return self._said(answers.stopped_messages(history), running=False)

    def buttons(self, running: bool) -> Changes:
        """While an answer is written it can be stopped, and no other asked for."""
        return {self.parts.ask: gr.update(interactive=not running), self.parts.stop: gr.update(interactive=running)}


def _place(session: Session, region: int) -> viewer.Position:
    return viewer.nearest_voxel(session.scan.shown, session.diagnosis.regions[region].center_mm)


__all__ = ["Events"]

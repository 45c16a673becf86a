"""A scan and a question in, a reasoned answer out: what the command line and the Space call."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from queue import SimpleQueue
from threading import Thread

import numpy as np
import torch
from transformers.generation.streamers import BaseStreamer

from .answers_med3d_r1 import LETTERS, ParsedAnswer, Report, parse_report
from .modeling_med3d_r1 import Med3DR1ForConditionalGeneration
from .prepared_med3d_r1 import PreparedVolume
from .processing_med3d_r1 import Med3DR1Processor
from .prompts_med3d_r1 import Messages, question_messages, report_messages
from .volume_med3d_r1 import coarse_affine

MAX_NEW_TOKENS = 512
"""The release's completion length."""

_THIRDS = (("lower", "middle", "upper"), ("front", "centre", "back"), ("right side", "midline", "left side"))


@dataclass(frozen=True, eq=False)
class EncodedScan:
    """A scan that went through the vision tower once, for as many questions as one likes.

    Attributes:
        prepared: the scan on the model's grid, in HU, with its affine.
        features: (1, L, C), the vision tower's tokens, which stand in for the volume in `pixel_values`.
    """

    prepared: PreparedVolume
    features: torch.Tensor

    def to(self, device: str | torch.device) -> EncodedScan:
        """The same scan with its features on a device."""
        return replace(self, features=self.features.to(device))


@dataclass(frozen=True)
class Region:
    """A cell of the evidence map.

    Attributes:
        center_mm: its centre in the scan's own world, RAS+.
        size_mm: its extent along (D, H, W).
        relevance: by how much log P(answer) would fall if the image fell silent there; see `Med3DR1Evidence`.
        place: the third of the model's field of view in which it lies, in words, from the patient's point of view.
    """

    center_mm: tuple[float, float, float]
    size_mm: tuple[float, float, float]
    relevance: float
    place: str


@dataclass(frozen=True, eq=False)
class EvidenceMap:
    """Where on the scan an answer came from.

    Attributes:
        relevance: float32 (d, h, w), a coarse grid over the model's field of view; see `Med3DR1Evidence`.
        gate: float32 (d, h, w), or None without residual alignment.
        affine: (4, 4), maps cell (d, h, w, 1) to millimetres, RAS+, in the scan's own world.
    """

    relevance: np.ndarray
    gate: np.ndarray | None
    affine: np.ndarray

    @property
    def cell_mm(self) -> tuple[float, float, float]:
        """Extent of a cell along (D, H, W)."""
        return tuple(round(float(length), 1) for length in np.linalg.norm(self.affine[:3, :3], axis=0))

    def regions(self, count: int) -> tuple[Region, ...]:
        """The `count` cells that speak most for the answer, strongest first; fewer where fewer speak for it."""
        strongest = np.argsort(self.relevance, axis=None)[::-1][:count]
        cells = zip(*np.unravel_index(strongest, self.relevance.shape), strict=True)
        return tuple(
            Region(
                center_mm=tuple(round(float(x), 1) for x in (self.affine @ (*cell, 1.0))[:3]),
                size_mm=self.cell_mm,
                relevance=float(self.relevance[cell]),
                place=self._place(cell),
            )
            for cell in cells
            if self.relevance[cell] > 0
        )

    def _place(self, cell: tuple[int, ...]) -> str:
        height, depth, side = (
            names[int(3 * (index + 0.5) / length)]
            for names, index, length in zip(_THIRDS, cell, self.relevance.shape, strict=True)
        )
        return f"{height} third, {depth}, {side}"


@dataclass(frozen=True)
class Diagnosis:
    """An answer to a question on a scan.

    Attributes:
        reasoning: what the model wrote between the think tags; "" without.
        letter, answer: the chosen option; letter is None for a free question.
        probabilities: option text -> probability, normalised over the options, given the reasoning; {} without options.
        abstained: the chosen option's probability lies below the bound that was asked for.
        valid: the output had the layout that was asked for. If it named no option, the most probable one was taken.
        regions: the cells of the scan on which the answer rests most, strongest first.
        text: the model's output as it is.
        evidence: the whole map behind `regions`; None if it was not asked for or there was no answer.
    """

    reasoning: str
    letter: str | None
    answer: str
    probabilities: dict[str, float]
    abstained: bool
    valid: bool
    regions: tuple[Region, ...]
    text: str
    evidence: EvidenceMap | None = None

    def to_dict(self) -> dict:
        """Plain types, for JSON. The evidence map is left out; its strongest cells stand under "regions"."""
        plain = asdict(replace(self, evidence=None))
        del plain["evidence"]
        return plain


@torch.inference_mode()
def encode_scan(
    model: Med3DR1ForConditionalGeneration, processor: Med3DR1Processor, source, **reading_options
) -> EncodedScan:
    """Read, prepare and encode a scan.

    Args:
        source: anything that `Med3DR1ImageProcessor` reads.
        reading_options: spacing, affine, orientation, series, rescale, hu_guard: see `Med3DR1ImageProcessor.prepare`.

    Raises:
        VolumeError: the scan was refused.
    """
    prepared = processor.image_processor.prepare(source, **reading_options)
    volume = processor.image_processor.to_tensor(prepared)[None]
    return EncodedScan(prepared, model.encode_volumes(volume.to(model.device, model.dtype)))


def diagnose(
    model: Med3DR1ForConditionalGeneration,
    processor: Med3DR1Processor,
    scan: EncodedScan,
    question: str,
    options: Sequence[str] | None = None,
    think: bool = True,
    abstain_below: float = 0.0,
    num_regions: int = 3,
    **generation_options,
) -> Diagnosis:
    """Answer a question on a scan.

    Args:
        scan: as `encode_scan` returns it.
        options: 2 to 26 answers to choose from; None for an answer in words.
        think: let the model reason first.
        abstain_below: mark answers whose probability is lower as abstained.
        num_regions: so many cells of the evidence map are reported; 0 saves its backward pass. A decoder in 4 bits
            on the CPU gives no map: bitsandbytes has no backward pass for it.
        generation_options: of `generate`; default: greedy, at most `MAX_NEW_TOKENS`.

    Raises:
        ValueError: fewer than 2 or more than 26 options, an empty one, or two alike.
    """
    prompt = _tokenize(processor, model, check_question(question, options, think))
    text = _generate(model, processor, prompt, scan, **generation_options)
    return _diagnosis(model, processor, scan, prompt, text, options, think, abstain_below, num_regions)


def stream_diagnosis(
    model: Med3DR1ForConditionalGeneration,
    processor: Med3DR1Processor,
    scan: EncodedScan,
    question: str,
    options: Sequence[str] | None = None,
    think: bool = True,
    abstain_below: float = 0.0,
    num_regions: int = 3,
    **generation_options,
) -> Iterator[str | Diagnosis]:
    """`diagnose` to look on: yields the text so far each time it has grown, and at last the Diagnosis.

    To close the iterator (which leaving a loop over it does) ends the writing at the next token.

    Args, Raises: as of `diagnose`; the errors come with the first `next`.
    """
    prompt = _tokenize(processor, model, check_question(question, options, think))
    text = yield from _stream(model, processor, prompt, scan, **generation_options)
    yield _diagnosis(model, processor, scan, prompt, text, options, think, abstain_below, num_regions)


def _diagnosis(
    model, processor, scan: EncodedScan, prompt: torch.Tensor, text: str, options, think, abstain_below, num_regions
) -> Diagnosis:
    """What follows from the text that the model wrote."""
    parsed = processor.parse(text, options, think)
    letter, answer, probabilities = parsed.letter, parsed.answer, {}
    opening = answer_opening(text, parsed, think)
    if options is not None:
        shares = _option_scores(model, processor, prompt, opening, scan, len(options)).softmax(0).tolist()
        probabilities = dict(zip(options, shares, strict=True))
        letter = letter or LETTERS[int(np.argmax(shares))]
        answer = options[LETTERS.index(letter)]
    evidence = None
    if num_regions > 0 and (letter or answer) and _differentiable(model):
        evidence = _evidence(model, processor, prompt, opening, letter or answer, scan)
    return Diagnosis(
        reasoning=parsed.reasoning,
        letter=letter,
        answer=answer,
        probabilities=probabilities,
        abstained=probabilities.get(answer, math.inf) < abstain_below,
        valid=parsed.valid,
        regions=evidence.regions(num_regions) if evidence else (),
        text=text,
        evidence=evidence,
    )


def check_question(question: str, options: Sequence[str] | None, think: bool = True) -> Messages:
    """The messages of a question; a way to know that it can be asked before a scan is read.

    Raises:
        ValueError: fewer than 2 or more than 26 options, an empty one, or two alike.
    """
    if options is not None and len({option.strip().casefold() for option in options}) < len(options):
        raise ValueError(f"two of the options are alike: {', '.join(options)}")
    return question_messages(question, options, think=think)


def _differentiable(model: Med3DR1ForConditionalGeneration) -> bool:
    return not (getattr(model, "is_loaded_in_4bit", False) and model.device.type == "cpu")


def write_report(
    model: Med3DR1ForConditionalGeneration, processor: Med3DR1Processor, scan: EncodedScan, **generation_options
) -> Report:
    """The scan's radiology report.

    Args:
        generation_options: of `generate`; default: greedy, at most `MAX_NEW_TOKENS`.
    """
    prompt = _tokenize(processor, model, report_messages())
    return parse_report(_generate(model, processor, prompt, scan, **generation_options))


def stream_report(
    model: Med3DR1ForConditionalGeneration, processor: Med3DR1Processor, scan: EncodedScan, **generation_options
) -> Iterator[str | Report]:
    """`write_report` to look on: yields the text so far, and at last the Report; see `stream_diagnosis`."""
    prompt = _tokenize(processor, model, report_messages())
    yield parse_report((yield from _stream(model, processor, prompt, scan, **generation_options)))


def _tokenize(processor: Med3DR1Processor, model: Med3DR1ForConditionalGeneration, messages: Messages) -> torch.Tensor:
    """(1, S) token ids of a prompt with one volume, whose tokens come from an encoded scan."""
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return processor(text=text, expand_image_tokens=True, return_tensors="pt")["input_ids"].to(model.device)


@torch.inference_mode()
def _generate(model, processor, prompt: torch.Tensor, scan: EncodedScan, **options) -> str:
    completion = model.generate(
        input_ids=prompt,
        attention_mask=torch.ones_like(prompt),
        pixel_values=scan.features,
        **{"do_sample": False, "max_new_tokens": MAX_NEW_TOKENS, **options},
    )[0, prompt.shape[1] :]
    return processor.tokenizer.decode(completion, skip_special_tokens=True).strip()


class _Abandoned(Exception):
    """Nobody reads any more what is being written."""


class _Tokens(BaseStreamer):
    """Hands tokens from the thread that writes to the one that reads.

    Attributes:
        news: token ids one by one, then the whole text, or the error that ended the writing.
        abandoned: set by the reader: write no more.
    """

    def __init__(self) -> None:
        self.news: SimpleQueue[int | str | Exception] = SimpleQueue()
        self.abandoned = False
        self._prompt_seen = False

    def put(self, value: torch.Tensor) -> None:
        """Called by `generate`, first with the prompt (1, S), then with each token (1,)."""
        if self.abandoned:
            raise _Abandoned
        if self._prompt_seen:
            self.news.put(value.item())
        self._prompt_seen = True

    def end(self) -> None:
        """Called by `generate`; the whole text, which follows, says the same."""


def _stream(model, processor, prompt: torch.Tensor, scan: EncodedScan, **options) -> Generator[str, None, str]:
    """`_generate` in a thread of its own: yields the text so far and returns what `_generate` returns."""
    tokens = _Tokens()

    def write() -> None:
        try:
            tokens.news.put(_generate(model, processor, prompt, scan, streamer=tokens, **options))
        except Exception as error:  # it belongs to whoever reads
            tokens.news.put(error)

    writer = Thread(target=write, daemon=True)
    writer.start()
    ids, shown = [], ""
    try:
        while True:
            news = tokens.news.get()
            if isinstance(news, str):
                return news
            if isinstance(news, Exception):
                raise news
            ids.append(news)
            text = processor.tokenizer.decode(ids, skip_special_tokens=True).strip()
            # A character may take several tokens: its first ones alone decode to a replacement.
            if tokens.news.empty() and text != shown and not text.endswith("\N{REPLACEMENT CHARACTER}"):
                shown = text
                yield text
    finally:
        tokens.abandoned = True
        writer.join()


def answer_opening(text: str, parsed: ParsedAnswer, think: bool) -> str:
    """What stands before the answer: the model's own words where their layout holds, else its reasoning set right."""
    if parsed.valid:
        return text[: text.index("<answer>")] + "<answer>"
    return f"<think>{parsed.reasoning}</think><answer>" if think else "<answer>"


def _ids(processor, text: str) -> list[int]:
    return processor.tokenizer(text, add_special_tokens=False)["input_ids"]


def _after(prompt: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
    """(1, S + n): a prompt (1, S) with further tokens."""
    return torch.cat([prompt, torch.tensor([ids], device=prompt.device, dtype=prompt.dtype)], dim=1)


@torch.inference_mode()
def _option_scores(model, processor, prompt: torch.Tensor, opening: str, scan: EncodedScan, count: int) -> torch.Tensor:
    """(count,) log P(letter | prompt, opening), up to a constant; see `letter_scores`."""
    opened = _ids(processor, opening)
    last_two = model(
        input_ids=_after(prompt, opened), pixel_values=scan.features, logits_to_keep=2, use_cache=False
    ).logits[0]
    return letter_scores(processor, opening, last_two, count)


def letter_scores(processor, opening: str, last_two: torch.Tensor, count: int) -> torch.Tensor:
    """(count,) log P(letter | opening), up to a constant.

    Byte-level tokenizers have two spellings of an answer's beginning: ">" and "B", or one token ">B" (Qwen2.5 has it
    for 22 of the 26 letters, and it is the one that training texts are made of). The probabilities of both are added.

    Args:
        opening: what stands before the letter, as `answer_opening` gives it.
        last_two: (2, vocabulary), logits at the opening's last two tokens.
    """
    opened = _ids(processor, opening)
    after_word, after_tag = last_two.float().log_softmax(-1)
    scores = []
    for letter in LETTERS[:count]:
        score = after_word[opened[-1]] + after_tag[_only_token(processor, letter)]
        joined = _ids(processor, opening + letter)
        if len(joined) == len(opened) and joined[:-1] == opened[:-1]:
            score = torch.logaddexp(score, after_word[joined[-1]])
        scores.append(score)
    return torch.stack(scores)


def _only_token(processor, letter: str) -> int:
    ids = _ids(processor, letter)
    if len(ids) != 1:
        raise ValueError(f"this tokenizer spells the option letter {letter} with {len(ids)} tokens; one is needed")
    return ids[0]


@torch.inference_mode(False)  # it needs gradients, whatever mode the caller is in
def _evidence(model, processor, prompt: torch.Tensor, opening: str, answer: str, scan: EncodedScan) -> EvidenceMap:
    opened, whole = _ids(processor, opening), _ids(processor, opening + answer)
    shared = next((i for i, pair in enumerate(zip(opened, whole, strict=False)) if pair[0] != pair[1]), len(opened))
    answer_ids = torch.tensor([whole[shared:]], device=prompt.device)
    found = model.evidence(_after(prompt, whole[:shared]), scan.features.clone(), answer_ids)
    relevance = found.relevance[0].cpu().numpy()
    return EvidenceMap(
        relevance=relevance,
        gate=None if found.gate is None else found.gate[0].cpu().numpy(),
        affine=coarse_affine(scan.prepared.affine, scan.prepared.hu.shape, relevance.shape),
    )


__all__ = ["MAX_NEW_TOKENS", "Diagnosis", "EncodedScan", "EvidenceMap", "Region", "Report", "answer_opening",
           "check_question", "diagnose", "encode_scan", "letter_scores", "parse_report", "stream_diagnosis",
           "stream_report", "write_report"]  # fmt: skip

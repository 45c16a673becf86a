"""Any image-text-to-text model of transformers as a predictor: it is shown a chest CT as pictures or as a video.

Proven on small random models of the architectures that the paper compares with: Qwen2-VL (Med-R1, MedVLM-R1),
Qwen2.5-VL (Lingshu, Qwen2.5-VL-3B and its RL variant), Qwen3-VL and Gemma 3 (MedGemma). A model whose processor knows
no videos gets the frames as pictures, in their order.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..image_processing_med3d_r1 import Med3DR1ImageProcessor
from ..inference import MAX_NEW_TOKENS
from .asking import Output, Question
from .predictors import hub_revision, text_lengths, weights_hash
from .views import ViewSettings, show, stitch

_KEPT_SCANS = 256
_INTRODUCTIONS = {
    "montage": "The picture shows {slices} axial slices of one chest CT scan, row by row from the feet to the head.",
    "drr": "The pictures show one chest CT scan projected along three axes, as radiographs from the front, from the "
    "left side and from the feet.",
    "video": "The {slices} frames are axial slices of one chest CT scan, from the feet to the head.",
}


class PicturesModelPredictor:
    """A model that is shown pictures of the scan, then asked the same question as all others.

    Args:
        model, processor: as `load_pictures_model` returns them.
        image_processor: reads and lays out the scans.
        settings: how they are shown.
        batch_size, max_new_tokens: as in `ModelPredictor`.
        name: how results call the model.
        pictures: folder to write what is shown into, once a scan; None: nowhere.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        image_processor: Med3DR1ImageProcessor,
        settings: ViewSettings = ViewSettings(),  # noqa: B008 (it is frozen)
        *,
        batch_size: int = 8,
        max_new_tokens: int = MAX_NEW_TOKENS,
        name: str = "",
        pictures: str | Path | None = None,
    ):
        self.model, self.processor, self.image_processor = model.eval(), processor, image_processor
        self.settings, self.batch_size, self.max_new_tokens = settings, batch_size, max_new_tokens
        self.name, self.pictures = name, Path(pictures) if pictures is not None else None
        self.takes_videos = getattr(processor, "video_processor", None) is not None
        self._shown: OrderedDict[str, list[Image.Image]] = OrderedDict()
        self._origin, self._sha256 = hub_revision(model), weights_hash(model)

    def describe(self) -> dict[str, Any]:
        return {
            "kind": f"pictures for {self.model.config.model_type}",
            "name": self.name,
            **self._origin,
            "weights_sha256": self._sha256,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "preprocessing": self.image_processor.preprocessing,
            "views": {**asdict(self.settings), "window": list(self.settings.window), "as_video": self._as_video},
            "generation": {"max_new_tokens": self.max_new_tokens, "do_sample": False},
        }

    @property
    def _as_video(self) -> bool:
        return self.settings.strategy == "video" and self.takes_videos

    def predict(self, questions: Sequence[Question]) -> Iterator[tuple[int, Output]]:
        order = sorted(range(len(questions)), key=lambda place: questions[place].think)  # longer answers together
        for start in range(0, len(order), self.batch_size):
            places = order[start : start + self.batch_size]
            outputs = self._answer([questions[place] for place in places])
            yield from zip(places, outputs, strict=True)

    @torch.inference_mode()
    def _answer(self, questions: Sequence[Question]) -> list[Output]:
        shown = [self._pictures(question) for question in questions]
        texts = [self._rendered(question, len(own)) for question, own in zip(questions, shown, strict=True)]
        inputs = self.processor(
            text=texts,
            **(_as_videos(shown) if self._as_video else {"images": shown}),
            padding=True,
            padding_side="left",
            return_tensors="pt",
        ).to(self.model.device, self.model.dtype)
        written = self.model.generate(**inputs, do_sample=False, max_new_tokens=self.max_new_tokens)
        written = written[:, inputs["input_ids"].shape[1] :]
        answers = self.processor.tokenizer.batch_decode(written, skip_special_tokens=True)
        lengths = text_lengths(self.model, written)
        return [Output((answer.strip(),), (length,)) for answer, length in zip(answers, lengths, strict=True)]

    def _pictures(self, question: Question) -> list[Image.Image]:
        if question.image not in self._shown:
            prepared = self.image_processor.prepare(question.image)
            self._shown[question.image] = show(prepared, self.settings)
            self._write(question.scan, self._shown[question.image])
        self._shown.move_to_end(question.image)
        while len(self._shown) > _KEPT_SCANS:
            self._shown.popitem(last=False)
        return self._shown[question.image]

    def _write(self, scan: str, shown: list[Image.Image]) -> None:
        """What a person may look at: the montage, the radiographs, or the frames on one sheet."""
        if self.pictures is None:
            return
        self.pictures.mkdir(parents=True, exist_ok=True)
        sheets = [stitch(shown, self.settings.columns)] if self.settings.strategy == "video" else shown
        for number, sheet in enumerate(sheets):
            sheet.save(self.pictures / f"{scan}-{self.settings.strategy}-{number}.png")

    def _rendered(self, question: Question, pictures: int) -> str:
        blocks = [{"type": "video"}] if self._as_video else [{"type": "image"}] * pictures
        introduction = _INTRODUCTIONS[self.settings.strategy].format(slices=self.settings.slices)
        text = {"type": "text", "text": f"{introduction}\n{question.text}"}
        messages = [{"role": "user", "content": [*blocks, text]}]
        return self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def _as_videos(shown: Sequence[Sequence[Image.Image]]) -> dict[str, Any]:
    """Frames as they are, one a second: none is left out."""
    videos = [np.stack([np.asarray(frame) for frame in frames]) for frames in shown]
    metadata = [
        {"total_num_frames": len(video), "fps": 1.0, "frames_indices": list(range(len(video)))} for video in videos
    ]
    return {"videos": videos, "do_sample_frames": False, "video_metadata": metadata}


def load_pictures_model(name: str, device: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """(model, processor) of a folder or Hub id; its own code is not run.

    Raises:
        ValueError: it is no image-text-to-text model of this version of transformers, or parts are missing.
        ImportError: its processor needs torchvision, which is not installed.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(name)
    except ImportError as error:
        raise ImportError(
            f"{name}: its processor needs a library that is not here. Processors of Qwen-VL models need torchvision, "
            f"also where only pictures are shown: install the one that fits this torch. {error}"
        ) from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: no processor for pictures and text that can be loaded. {error}") from error
    try:
        model = AutoModelForImageTextToText.from_pretrained(name, dtype=dtype, device_map=device)
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: no model for pictures and text that can be loaded. {error}") from error
    return model.eval(), processor


__all__ = ["PicturesModelPredictor", "load_pictures_model"]

"""Systems that can be measured: our own model, and files of predictions from anywhere.

Models for pictures and videos are in `pictures_model`, because they need more explanation.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ..answers_med3d_r1 import parse_answer
from ..checkpoints import hub_commit
from ..inference import MAX_NEW_TOKENS, answer_opening, letter_scores
from ..modeling_med3d_r1 import Med3DR1ForConditionalGeneration
from ..processing_med3d_r1 import Med3DR1Processor
from .asking import Output, Question

SAMPLING = {"do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 30}
"""How several answers are drawn: the release's settings for its rollouts."""

CACHE_BYTES = 2 << 30
_ENCODED_AT_ONCE = 8


class ModelPredictor:
    """Med3D-R1, many questions at a time. A scan is read and encoded once for all questions that stand near each other.

    Args:
        model, processor: as `load_checkpoint` returns them.
        batch_size: questions that are answered together.
        max_new_tokens: of each answer.
        samples: answers to each question. One is greedy; several are drawn with `SAMPLING`, and the benchmark takes
            the majority.
        seed: of what is drawn. Samples depend on the batch in which they are drawn, so on `batch_size` too.
        option_scores: compute the probability of each option, too, behind the model's own reasoning.
        name: how results call the model.
        revision: that was asked for where the model was loaded from the Hub, as `load_checkpoint` takes it.
        cache_bytes: encoded scans that are kept.
    """

    def __init__(
        self,
        model: Med3DR1ForConditionalGeneration,
        processor: Med3DR1Processor,
        *,
        batch_size: int = 64,
        max_new_tokens: int = MAX_NEW_TOKENS,
        samples: int = 1,
        seed: int = 0,
        option_scores: bool = True,
        name: str = "",
        revision: str | None = None,
        cache_bytes: int = CACHE_BYTES,
    ):
        if min(batch_size, max_new_tokens, samples) < 1:
            raise ValueError("batch_size, max_new_tokens and samples are 1 or more")
        self.model, self.processor = model.eval(), processor
        self.batch_size, self.max_new_tokens, self.samples, self.seed = batch_size, max_new_tokens, samples, seed
        self.option_scores, self.name = option_scores, name
        self.cache_bytes = cache_bytes
        self._encoded: OrderedDict[str, torch.Tensor] = OrderedDict()
        self._origin, self._sha256 = hub_revision(model, revision), weights_hash(model)

    def describe(self) -> dict[str, Any]:
        sampled = {"samples": self.samples, "seed": self.seed, **SAMPLING} if self.samples > 1 else {"samples": 1}
        return {
            "kind": "med3d-r1",
            "name": self.name,
            **self._origin,
            "weights_sha256": self._sha256,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "preprocessing": self.processor.image_processor.preprocessing,
            "generation": {"max_new_tokens": self.max_new_tokens, **sampled, **self._own_generation_settings()},
            "option_scores": self.option_scores,
        }

    def _own_generation_settings(self) -> dict[str, Any]:
        """What the checkpoint's generation config asks for beyond sampling (Qwen2.5 has a repetition penalty)."""
        set_by_checkpoint = self.model.generation_config.to_diff_dict()
        ours = {"transformers_version", "max_new_tokens", "max_length", *SAMPLING}
        return {f"checkpoint_{key}": value for key, value in set_by_checkpoint.items() if key not in ours}

    def predict(self, questions: Sequence[Question]) -> Iterator[tuple[int, Output]]:
        prompts = [self._rendered(question) for question in questions]
        ids = self.processor(text=prompts, expand_image_tokens=True)["input_ids"] if prompts else []
        # Answers with and without reasoning differ in length most, then come prompts; scans stay together.
        order = sorted(range(len(ids)), key=lambda place: (questions[place].think, len(ids[place]), place))
        for start in range(0, len(order), self.batch_size):
            places = order[start : start + self.batch_size]
            outputs = self._answer([questions[place] for place in places], [ids[place] for place in places])
            yield from zip(places, outputs, strict=True)

    def _rendered(self, question: Question) -> str:
        return self.processor.apply_chat_template(question.prompt, tokenize=False, add_generation_prompt=True)

    @torch.inference_mode()
    def _answer(self, questions: Sequence[Question], prompts: Sequence[list[int]]) -> list[Output]:
        features = self._features([question.image for question in questions])
        input_ids, attention_mask = self._padded(prompts)
        options: dict[str, Any] = {"do_sample": False}
        if self.samples > 1:
            torch.manual_seed(_seed_of(self.seed, questions))
            options = {**SAMPLING, "num_return_sequences": self.samples}
        generated = self.model.generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            pixel_values=features,
            max_new_tokens=self.max_new_tokens,
            return_dict_in_generate=True,
            **options,
        )
        written = generated.sequences[:, input_ids.shape[1] :]
        texts = self.processor.tokenizer.batch_decode(written, skip_special_tokens=True)
        lengths = text_lengths(self.model, written)
        by_question = [slice(place, place + self.samples) for place in range(0, len(texts), self.samples)]
        answers = [tuple(text.strip() for text in texts[own]) for own in by_question]
        scores = self._scores(questions, [own[0] for own in answers], input_ids, attention_mask, generated)
        return [
            Output(own, tuple(lengths[place]), score)
            for own, place, score in zip(answers, by_question, scores, strict=True)
        ]

    def _features(self, images: Sequence[str]) -> torch.Tensor:
        """(B, L, C): the vision tower's tokens of each question's scan."""
        wanted = list(dict.fromkeys(images))
        missing = [image for image in wanted if image not in self._encoded]
        for image in wanted:
            if image in self._encoded:
                self._encoded.move_to_end(image)
        for start in range(0, len(missing), _ENCODED_AT_ONCE):
            some = missing[start : start + _ENCODED_AT_ONCE]
            volumes = self.processor.image_processor(some, return_tensors="pt")["pixel_values"]
            encoded = self.model.encode_volumes(volumes.to(self.model.device, self.model.dtype))
            self._encoded.update(zip(some, encoded.cpu(), strict=True))
        batch = torch.stack([self._encoded[image] for image in images]).to(self.model.device)
        while sum(tokens.nbytes for tokens in self._encoded.values()) > self.cache_bytes:
            self._encoded.popitem(last=False)
        return batch

    def _padded(self, rows: Sequence[list[int]], side: str = "left") -> tuple[torch.Tensor, torch.Tensor]:
        """(B, S) token ids and their mask."""
        padded = self.processor.tokenizer.pad({"input_ids": list(rows)}, padding_side=side, return_tensors="pt")
        return padded["input_ids"].to(self.model.device), padded["attention_mask"].to(self.model.device)

    def _scores(
        self,
        questions: Sequence[Question],
        texts: Sequence[str],
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        generated: Any,
    ) -> list[tuple[float, ...] | None]:
        """Log-probability of each option, behind what the model wrote itself.

        What generation has computed for the prompts (B, S) is used again, all but their last token: it is fed once
        more, because the letter may be a part of the token behind it.
        """
        if not self.option_scores or not all(question.options for question in questions):
            return [None] * len(questions)
        openings = [
            answer_opening(text, parse_answer(text, question.options, question.think), question.think)
            for text, question in zip(texts, questions, strict=True)
        ]
        cache = generated.past_key_values
        if self.samples > 1:
            cache.batch_select_indices(torch.arange(0, len(texts) * self.samples, self.samples))
        cache.crop(input_ids.shape[1] - 1 - cache.get_seq_length())
        opened, opened_mask = self._padded(self._ids(openings), side="right")
        mask = torch.cat([attention_mask, opened_mask], dim=1)
        fed = torch.cat([input_ids[:, -1:], opened], dim=1)
        states = self.model.model(
            input_ids=fed,
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0)[:, -fed.shape[1] :],
            past_key_values=cache,
        ).last_hidden_state
        last = opened_mask.sum(dim=1)[:, None] + torch.tensor([-1, 0], device=states.device)
        logits = self.model.lm_head(states.gather(1, last[..., None].expand(-1, -1, states.shape[-1])))
        scored = [
            letter_scores(self.processor, opening, last_two, len(question.options)).tolist()
            for question, opening, last_two in zip(questions, openings, logits, strict=True)
        ]
        return [tuple(round(score, 5) for score in scores) for scores in scored]

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return self.processor.tokenizer(texts, add_special_tokens=False)["input_ids"]


class FilePredictor:
    """What another system wrote, in a file of lines {"item", "scan", "think", "text"}: for those with a runtime of
    their own. `write_questions` makes the questions that such a file answers.

    Args:
        path: the file. Further keys are not looked at; of several lines for one question the last counts.
        name: how results call the system.

    Raises:
        ValueError: a line is not as it should be.
    """

    def __init__(self, path: str | Path, name: str = ""):
        self.path, self.name = Path(path), name or Path(path).stem
        self._texts: dict[tuple[str, str, bool], str] = {}
        content = self.path.read_bytes()
        self._sha256 = hashlib.sha256(content).hexdigest()
        for number, line in enumerate(content.decode("utf-8").splitlines(), start=1):
            try:
                said = json.loads(line)
                self._texts[said["item"], said["scan"], bool(said["think"])] = str(said["text"])
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise ValueError(
                    f'{self.path}, line {number}: a prediction is {{"item", "scan", "think", "text"}}; {error!r}'
                ) from error

    def describe(self) -> dict[str, Any]:
        return {"kind": "file", "name": self.name, "sha256": self._sha256}

    def predict(self, questions: Sequence[Question]) -> Iterator[tuple[int, Output]]:
        keys = [(question.item, question.scan, question.think) for question in questions]
        missing = [question for question, key in zip(questions, keys, strict=True) if key not in self._texts]
        if missing:
            raise ValueError(
                f"{self.path}: {len(missing):,} questions have no answer, such as item {missing[0].item} with scan "
                f"{missing[0].scan}, think {json.dumps(missing[0].think)}. Swapped scans are asked about, too: answer "
                "all lines that --write-questions gives"
            )
        for place, key in enumerate(keys):
            yield place, Output((self._texts[key],))


def write_questions(questions: Sequence[Question], path: str | Path) -> None:
    """All questions as JSON lines, each to be answered by a line of `FilePredictor`.

    "image" is where the scan lies, "prompt" the words of the question. Which scans are swapped is not told: a system
    has no business knowing.
    """
    lines = [
        json.dumps(
            {
                "item": question.item,
                "scan": question.scan,
                "think": question.think,
                "image": question.image,
                "prompt": question.text,
                "options": list(question.options),
            }
        )
        for question in questions
    ]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def text_lengths(model: Any, written: torch.Tensor) -> list[int]:
    """Tokens of each text (B, T) up to and with its end of turn."""
    ends = model.generation_config.eos_token_id
    if ends is None:
        return [written.shape[1]] * len(written)
    ended = torch.isin(written, torch.tensor(ends, device=written.device))
    return [int(row.int().argmax()) + 1 if row.any() else len(row) for row in ended]


def hub_revision(model: Any, revision: str | None = None) -> dict[str, str]:
    """Repository and commit of a model that came from the Hub; nothing of one that came from a folder, of which the
    hash of its weights tells all. `revision` as of `hub_commit`.
    """
    name = model.name_or_path
    if not name or Path(name).exists():
        return {}
    commit = hub_commit(name, revision)
    return {"repository": name, "revision": commit} if commit else {}


def weights_hash(model: torch.nn.Module) -> str:
    """sha256 of a model's weights and their names: the same for the same model in the same dtype."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _seed_of(seed: int, questions: Sequence[Question]) -> int:
    said = " ".join(f"{question.item}:{question.scan}" for question in questions)
    return int.from_bytes(hashlib.sha256(f"{seed} {said}".encode()).digest()[:4], "big")


__all__ = [
    "CACHE_BYTES",
    "SAMPLING",
    "FilePredictor",
    "ModelPredictor",
    "hub_revision",
    "text_lengths",
    "weights_hash",
    "write_questions",
]

"""A tiny language model from nothing, on notes in place of scans (the lessons of `data.phantom.lessons`).

A frozen decoder can only be taught to see if it can read already, and none that is ready-made is small enough for two
cores. This one learns nothing but the project's own prompts and answers. Where a scan's tokens will stand, in the image
positions of the prompt, there stand the word embeddings of the findings that are present.

    copying    questions with options alone, until the names of the options are repeated behind the right letters
    reading    checklists too, until nearly every verdict is right
    lessons    all kinds of questions. Most notes are soft now, a word's embedding made weaker, mixed with another and
               with noise: what a bridge says is never quite a word

Copying and reading are learnt suddenly, and apart from the rest: lessons of all kinds before that moment teach the
frequencies of words instead. Both end by a criterion, because seeds differ in how long they take. The steps of the
lessons are fixed. A run ends in an error where the model does not read: everything that is built on it would fail, and
less clearly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2Config,
    Qwen2ForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_callback import ExportableState

from ..configuration_med3d_r1 import TINY_QWEN2
from ..processing_med3d_r1 import CHAT_TEMPLATE, IMAGE_TOKEN
from ..tiny import tiny_tokenizer

Lesson = dict[str, Any]

DRILLS = ("copying", "reading")
WINDOW = 20
"""Steps over which the accuracy of a drill is taken."""

_DRILL_WEIGHT = 0.05
"""In the drills, of tokens that are neither decided nor copied."""

_TURN = "<|im_start|>assistant\n"


@dataclass
class LanguageConfig(TrainingArguments):
    """Settings, beside those of transformers. All values were found by trial at this size; the learning rate is the one
    that matters: with 3e-3 reading is learnt sooner, and copying hardly at all.

    Steps of the lessons are counted from the end of the drills. `max_steps` follows from the others.
    """

    learning_rate: float = 1e-3
    adam_beta2: float = 0.98
    per_device_train_batch_size: int = 8
    per_device_eval_batch_size: int = 32
    logging_steps: float = 50
    save_strategy: str = "no"
    report_to: None | str | list[str] = "none"  # noqa: RUF036, in this order, or TrlParser cannot read it
    lesson_steps: int = field(
        default=1000, metadata={"help": "steps after the drills; the second half decays linearly"}
    )
    drill_steps: int = field(default=800, metadata={"help": "both drills together have at most so many steps"})
    drill_questions: int = field(default=16, metadata={"help": "questions with options a step of the drills"})
    drill_checklists: int = field(default=6, metadata={"help": "checklists a step, when copying has been learnt"})
    copying_accuracy: float = field(default=0.9, metadata={"help": "of the last 20 steps: goes on to reading"})
    reading_accuracy: float = field(default=0.97, metadata={"help": "of the last 20 steps: goes on to lessons"})
    decision_weight: float = field(
        default=3.0, metadata={"help": "of tokens that are decided or copied; others have 1"}
    )
    soft_share: float = field(default=0.8, metadata={"help": "of the lessons whose notes are soft"})
    image_tokens: int = field(default=32, metadata={"help": "places for notes: image tokens of the later model"})
    required_accuracy: float = field(default=0.95, metadata={"help": "of held-out decisions, or the run is an error"})

    def __post_init__(self):
        self.max_steps = self.drill_steps + self.lesson_steps  # at most; the trainer stops earlier
        self.remove_unused_columns = False
        super().__post_init__()


def tiny_language_model(seed: int = 0) -> tuple[Qwen2ForCausalLM, PreTrainedTokenizerBase]:
    """The decoder of the tiny preset with random weights, and its tokenizer.

    One head of the first layer starts out looking at the token before, on which all copying rests; left to chance, that
    alone takes longer to be learnt than everything else together.
    """
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(Qwen2Config(**{key: value for key, value in TINY_QWEN2.items() if key != "model_type"}))
    look_back(model)
    for config in (model.config, model.generation_config):
        config.pad_token_id, config.eos_token_id = tokenizer.pad_token_id, tokenizer.eos_token_id
    return model, tokenizer


@torch.no_grad()
def look_back(model: Qwen2ForCausalLM, strength: float = 40.0) -> None:
    """Let the first head of the first layer attend to the token before, by its biases.

    Rotary positions turn the pair i of a query at place m by m * w_i, and of a key at n by n * w_i. With a constant
    query c and a constant key that is c turned by w_i, their product is the sum over i of strength * cos((n + 1 - m)
    w_i): largest where n = m - 1.
    """
    attention = model.model.layers[0].self_attn
    width, angles = attention.head_dim, model.model.rotary_emb.inv_freq
    for projection, turned in ((attention.q_proj, torch.zeros_like(angles)), (attention.k_proj, angles)):
        projection.bias[:width] = strength**0.5 * torch.cat([turned.cos(), turned.sin()])
        projection.weight[:width] *= 0.1


@dataclass
class EncodedLesson:
    """A lesson in tokens; all but the notes (S,).

    Attributes:
        input_ids: with a row of image tokens where the notes will stand.
        answered: what is answered, ends of turns included.
        decided, copied: tokens of the answers that rest on the notes, and on the question.
        notes: (K,), numbers of the names that stand in the notes.
    """

    input_ids: torch.Tensor
    answered: torch.Tensor
    decided: torch.Tensor
    copied: torch.Tensor
    notes: torch.Tensor


def encode_lesson(
    lesson: Lesson, tokenizer: PreTrainedTokenizerBase, names: Sequence[str], image_tokens: int
) -> EncodedLesson:
    """A row of `data.phantom.lessons` -> tokens. A token that touches a span of characters belongs to it."""
    text = tokenizer.apply_chat_template(lesson["messages"], chat_template=CHAT_TEMPLATE, tokenize=False)
    text = text.replace(IMAGE_TOKEN, IMAGE_TOKEN * image_tokens)
    tokens = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    start, end = torch.tensor(tokens["offset_mapping"]).T
    answered, decided, copied = torch.zeros(3, len(start), dtype=torch.bool)
    answers = [message["content"][0]["text"] for message in lesson["messages"] if message["role"] == "assistant"]
    place = 0
    for answer, *spans in zip(answers, lesson["decisions"], lesson["copies"], strict=True):
        place = text.index(_TURN, place) + len(_TURN)
        answered |= (start >= place) & (start <= place + len(answer))  # and the token that ends the turn
        for mask, of_mask in zip((decided, copied), spans, strict=True):
            for first, last in of_mask:
                mask |= (end > place + first) & (start < place + last)
    notes = torch.tensor([names.index(name) for name in lesson["notes"]], dtype=torch.long)
    return EncodedLesson(torch.tensor(tokens["input_ids"]), answered, decided, copied, notes)


class DrillProgress(TrainerCallback, ExportableState):
    """How far a run is, kept in its checkpoints: ends the drills, and later the run.

    Attributes:
        drill: the one of `DRILLS` that is on, or None.
        ended: the step after which the lessons began, or None.
        recent: of the last steps of this drill, the share of right tokens (copied, decided).
    """

    def __init__(self, drill: str | None = DRILLS[0], ended: int | None = None, recent: Sequence[Sequence[float]] = ()):
        self.drill, self.ended = drill, ended
        self.recent = deque((tuple(shares) for shares in recent), maxlen=WINDOW)

    def add(self, copied: float, decided: float) -> None:
        self.recent.append((copied, decided))

    @property
    def accuracy(self) -> tuple[float, float]:
        """(copied, decided), over the last steps; nothing before there are enough."""
        if len(self.recent) < WINDOW:
            return 0.0, 0.0
        copied, decided = (sum(shares) / WINDOW for shares in zip(*self.recent, strict=True))
        return copied, decided

    def on_step_end(self, args, state, control, **kwargs):
        copied, decided = self.accuracy
        if self.drill is None:
            control.should_training_stop |= state.global_step >= self.ended + args.lesson_steps
        elif self.drill == "copying" and copied > args.copying_accuracy:
            self.drill = "reading"
            self.recent.clear()
        elif self.drill == "reading" and min(copied, decided) > args.reading_accuracy:
            self.drill, self.ended = None, state.global_step
        elif state.global_step >= args.drill_steps:
            raise ValueError(
                f"after {args.drill_steps} steps the language model is still {self.drill}: {copied:.1%} of the names "
                f"are copied right and {decided:.1%} of the verdicts are, and {args.reading_accuracy:.0%} are needed. "
                "Take another seed, or give it more drill_steps"
            )

    def state(self) -> dict[str, Any]:
        return {
            "args": {"drill": self.drill, "ended": self.ended, "recent": [list(shares) for shares in self.recent]},
            "attributes": {},
        }


class LanguageTrainer(Trainer):
    """Drills, lessons, examination.

    Args:
        model: a decoder that starts random, such as `tiny_language_model` gives.
        args: LanguageConfig.
        question_dataset, checklist_dataset: lessons of one question with options, and of one checklist: the drills.
        train_dataset: lessons of all kinds.
        eval_dataset: held-out lessons: the examination.
        processing_class: the decoder's tokenizer.

    `train` raises:
        ValueError: the model has not learnt to read.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: LanguageConfig,
        question_dataset: Sequence[Lesson],
        checklist_dataset: Sequence[Lesson],
        train_dataset: Sequence[Lesson],
        eval_dataset: Sequence[Lesson],
        processing_class: PreTrainedTokenizerBase,
        callbacks: list[TrainerCallback] | None = None,
    ):
        datasets = (question_dataset, checklist_dataset, train_dataset, eval_dataset)
        self.names = sorted({name for rows in datasets for row in rows for name in row["notes"]})
        self._name_ids = [processing_class(f" {name.lower()}")["input_ids"] for name in self.names]
        forms = [form for name in self.names for form in (f" {name.lower()}", f" {name}", name)]
        named = {token for form in forms for token in processing_class(form)["input_ids"]}
        self._plain_words = torch.tensor([word for word in range(len(processing_class)) if word not in named])
        self._image_token = processing_class.convert_tokens_to_ids(IMAGE_TOKEN)
        questions, checklists, lessons, examination = (
            [encode_lesson(row, processing_class, self.names, args.image_tokens) for row in rows] for rows in datasets
        )
        self.questions, self.checklists = questions, checklists
        self.progress = DrillProgress()
        super().__init__(
            model=model,
            args=args,
            data_collator=lambda rows: {"lessons": rows},
            train_dataset=lessons,
            eval_dataset=examination,
            processing_class=processing_class,
            callbacks=[*(callbacks or ()), self.progress],
        )

    def create_scheduler(self, num_training_steps: int, optimizer=None):
        """Constant for the drills and half of the lessons, then linearly down to nothing."""

        def factor(step: int) -> float:
            done = 0 if self.progress.ended is None else step - self.progress.ended
            return max(0.0, min(1.0, 2 * (1 - done / self.args.lesson_steps)))

        self.lr_scheduler = LambdaLR(optimizer or self.optimizer, factor)
        return self.lr_scheduler

    def train(self, *args, **kwargs):
        result = super().train(*args, **kwargs)
        if self.progress.ended is not None:
            self._require_reading(self.evaluate()["eval_reading"])
        return result

    def _require_reading(self, accuracy: float) -> None:
        if accuracy < self.args.required_accuracy:
            raise ValueError(
                f"the language model reads {accuracy:.1%} of what its notes say, and {self.args.required_accuracy:.0%} "
                "is needed before anything can be built on it: give it more lesson_steps, or another seed"
            )

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Weighted cross-entropy of the answers, over the sum of the weights."""
        drill, settings = self.progress.drill, self.args
        if drill is None:
            lessons, softness, weight = inputs["lessons"], settings.soft_share, settings.decision_weight
        else:
            lessons, softness, weight = self._drill_batch(drill), 0.0, 1 / _DRILL_WEIGHT
        logits, targets, decided, copied = self._read(model, lessons, softness)
        weights = torch.where(decided | copied, weight, 1.0)
        loss = (functional.cross_entropy(logits, targets, reduction="none") * weights).sum() / weights.sum()
        if drill is not None:
            right = (logits.argmax(-1) == targets).float()
            self.progress.add(right[copied].mean().item(), right[decided].mean().item())
        return (loss, {"logits": logits}) if return_outputs else loss

    def _drill_batch(self, drill: str) -> list[EncodedLesson]:
        """The next questions, and in the second drill the next checklists, round and round."""
        step, settings = self.state.global_step, self.args
        parts = [(self.questions, settings.drill_questions)]
        if drill == "reading":
            parts.append((self.checklists, settings.drill_checklists))
        return [rows[(step * count + place) % len(rows)] for rows, count in parts for place in range(count)]

    def _read(self, model, lessons: Sequence[EncodedLesson], softness: float) -> tuple[torch.Tensor, ...]:
        """Of each token that is answered, (K, ...): logits over the words, the word itself, and whether it is decided
        and copied."""

        def padded(name: str) -> torch.Tensor:
            rows = [getattr(lesson, name) for lesson in lessons]
            return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(model.device)

        input_ids, answered = padded("input_ids"), padded("answered")[:, 1:]
        lengths = torch.tensor([len(lesson.input_ids) for lesson in lessons], device=model.device)
        attention_mask = torch.arange(input_ids.shape[1], device=model.device) < lengths[:, None]
        words = model.get_input_embeddings().weight
        notes = torch.stack([self._notes(words, lesson.notes, softness) for lesson in lessons])
        embeds = functional.embedding(input_ids, words)
        embeds = embeds.masked_scatter((input_ids == self._image_token)[..., None], notes)
        logits = model(inputs_embeds=embeds, attention_mask=attention_mask.long()).logits[:, :-1]
        of_answers = (input_ids[:, 1:], padded("decided")[:, 1:], padded("copied")[:, 1:])
        return logits[answered], *(values[answered] for values in of_answers)

    def _notes(self, words: torch.Tensor, present: torch.Tensor, softness: float) -> torch.Tensor:
        """What stands in the image positions, (T, E).

        Each name stands in a place of its own, some in several. Hard notes are the names' word embeddings, and the
        image token's where no name stands. Soft notes are a * name + b * another word + noise, up to twice as large,
        with a in [.3, 1] and b in [0, .7]; the other word may be another name that is present, never one that is not.
        """
        count = self.args.image_tokens
        names = torch.stack([words[ids].mean(0) for ids in self._name_ids])
        if len(present):
            more = int(torch.randint(min(count - len(present), 2 * len(present)) + 1, ()))
            present = torch.cat([present, present[torch.randint(len(present), (more,))]])
        places = torch.randperm(count)[: len(present)]
        if torch.rand(()) >= softness:
            return words[self._image_token].repeat(count, 1).index_copy(0, places, names[present])
        strength = torch.empty(len(present), 1).uniform_(0.3, 1.0)
        notes = words.new_zeros(count, words.shape[1]).index_copy(0, places, strength * names[present])
        others = words[self._plain_words[torch.randint(len(self._plain_words), (count,))]]
        if len(present):
            of_notes = names[present[torch.randint(len(present), (count,))]]
            others = torch.where(torch.rand(count, 1) < 0.25, of_notes, others)
        noise = torch.randn(count, words.shape[1]) * words.detach().std() * torch.rand(()) * 0.5
        return (1 + torch.rand(())) * (notes + 0.7 * torch.rand(count, 1) * others + noise)

    @torch.no_grad()
    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """The examination, notes as hard as words: `eval_reading`, the share of the held-out lessons' decided and
        copied tokens that are right, each behind the right tokens before it."""
        training, size = self.model.training, self.args.per_device_eval_batch_size
        self.model.eval()
        right: list[torch.Tensor] = []
        for start in range(0, len(self.eval_dataset), size):
            logits, targets, decided, copied = self._read(self.model, self.eval_dataset[start : start + size], 0.0)
            right.append((logits.argmax(-1) == targets)[decided | copied])
        self.model.train(training)
        metrics = {f"{metric_key_prefix}_reading": torch.cat(right).float().mean().item()}
        self.log(metrics)
        return metrics


__all__ = [
    "DRILLS",
    "DrillProgress",
    "EncodedLesson",
    "LanguageConfig",
    "LanguageTrainer",
    "encode_lesson",
    "look_back",
    "tiny_language_model",
]

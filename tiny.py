"""A small tokenizer for the tiny preset, trained in-process: real ones are too large for it and cannot ship.

It is laid out like Qwen2.5's (byte-level BPE, the same special tokens), so the tiny model goes through the same
processor and chat template as the full one. What this project says over and over, its instructions and the stems of its
questions, is one token each: the text of a prompt is then 30 tokens instead of 130, and every step that much cheaper.
All sentences are invented.
"""

from __future__ import annotations

from functools import cache

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from .abnormalities import (
    CHECKLIST_STEM,
    CHOICE_STEMS,
    CT_RATE_LABELS,
    FULL_CHECKLIST_STEM,
    LIST_STEM,
    YES_NO_STEMS,
)
from .prompts_med3d_r1 import (
    ANSWER_INSTRUCTION,
    LETTER_INSTRUCTION,
    REPORT_INSTRUCTION,
    SYSTEM_PROMPT,
    THINK_INSTRUCTION,
)

SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
)  # fmt: skip
"""Those of Qwen2.5 that this project uses."""

LAYOUT_TAGS = (
    "<think>", "</think>", "<answer>", "</answer>", "<finding>", "</finding>", "<impression>", "</impression>",
)  # fmt: skip
"""One token each, but not special: decoding drops special tokens, and with them the layout that rewards read."""

TRAINING_TEXT = (
    "The heart is of normal size. The heart is enlarged. No fluid is seen in the pericardium.",
    "The trachea and both main bronchi are open. The walls of the bronchi are thickened. The bronchi are widened.",
    "Both lungs are clear. A small nodule is seen in the upper lobe of the right lung.",
    "The density of the lower lobe of the left lung is increased. Air spaces are enlarged in both upper lobes.",
    "A band is seen at the base of the lung. Patchy areas of low and high density are seen in both lungs.",
    "No fluid is seen in the pleural space. Fluid is seen on the left side. Fluid is seen on both sides.",
    "No enlarged lymph nodes are seen in the mediastinum. Enlarged lymph nodes are seen at the hilum.",
    "Calcified plaques are seen in the wall of the aorta and in the coronary arteries.",
    "A part of the stomach lies above the diaphragm. The esophagus is normal.",
    "A catheter ends in the superior vena cava. The bones are normal. The upper abdomen is normal.",
    "No devices are seen. The pericardium is normal. The coronary arteries are normal. The lymph nodes are normal.",
    "The airways are normal. The lung tissue is normal. No lesion is seen in the lungs. The pleura is normal.",
    "There is no lesion. There is no device. The aorta is normal. Normal chest. Seen nothing.",
    "Which of these is present in this scan? Is it present or absent? What is seen in this scan?",
    "A present, B absent, C absent, D absent. A) B) C) D) Yes. No. Seen: none.",
)
"""Short sentences with the words and the letters that reports, questions and verdicts are made of."""

BASE_VOCABULARY = 480
"""Bytes, special tokens and merges. With names, tags and phrases it makes `len(tiny_tokenizer())` entries."""


def phrases() -> list[str]:
    """What is said over and over: roles, instructions, stems, the letters of the options."""
    roles = [f"{role}\n" for role in ("system", "user", "assistant")]
    instructions = [THINK_INSTRUCTION, LETTER_INSTRUCTION, ANSWER_INSTRUCTION, REPORT_INSTRUCTION]
    stems = [*CHOICE_STEMS, CHECKLIST_STEM, FULL_CHECKLIST_STEM, LIST_STEM]
    # The names of findings are tokens of their own, so of these stems what stands around them is one.
    around = [part for stem in YES_NO_STEMS for part in stem.split("{finding}")]
    around = [part.removesuffix(" ") for part in around if len(part) > 3]
    letters = [f"\n{letter})" for letter in "ABCD"]
    return [*dict.fromkeys([*roles, SYSTEM_PROMPT, *instructions, *stems, *around, *letters])]


# Qwen2.5's split before merging: contractions, words with their space, single digits, punctuation, white space.
_QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of 570 entries with Qwen2.5's special tokens; the same at every call. It pads on the left.

    >>> tokenizer = tiny_tokenizer()
    >>> tokenizer.convert_ids_to_tokens(tokenizer("<think>A emphysema")["input_ids"])
    ['<think>', 'A', ' emphysema']
    """
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained()),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS[3:]),
        model_input_names=["input_ids", "attention_mask"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


@cache
def _trained() -> str:
    """The trained tokenizer as JSON, so that each caller has one of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_QWEN_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        TRAINING_TEXT,
        trainers.BpeTrainer(
            vocab_size=BASE_VOCABULARY,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    # One token a name, its leading space included: a verdict then follows its name directly.
    names = [name for label in CT_RATE_LABELS for name in (f" {label.lower()}", f" {label}", label)]
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in (*names, *LAYOUT_TAGS, *phrases())])
    return tokenizer.to_str()

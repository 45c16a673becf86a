"""Tiny random models that read text, built on the spot, with a tokenizer of whole words."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    MistralConfig,
    MistralForSequenceClassification,
    PreTrainedTokenizerFast,
)

WORDS = ("no", "a", "nodule", "emphysema", "heart", "is", "large", "small", ".", ",", "[INST]", "[/INST]", "report")
MISTRAL_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}{{ '[INST] ' + message.content + "
    "' [/INST] ' }}{% else %}{{ message.content + eos_token }}{% endif %}{% endfor %}"
)


def word_tokenizer(special_tokens, first, last, **names):
    """A tokenizer that puts `first` before each text and `last`, if any, behind it."""
    vocabulary = {token: number for number, token in enumerate((*special_tokens, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=names["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    single = f"{first} $A {last}" if last else f"{first} $A"
    around = [(token, vocabulary[token]) for token in (first, last) if token]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=around)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def reward_model(folder, outputs=1, template=MISTRAL_TEMPLATE, spread=0.5):
    """A classifier like RM-Mistral-7B: no padding token, and texts that end with the end token."""
    tokenizer = word_tokenizer(
        ("<unk>", "<s>", "</s>"), "<s>", None, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    tokenizer.chat_template = template
    config = MistralConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, num_labels=outputs, initializer_range=spread,
        bos_token_id=1, eos_token_id=2, pad_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    MistralForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def encoder(folder, layers=2):
    """A BERT with room for 64 tokens."""
    specials = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = word_tokenizer(specials, "[CLS]", "[SEP]", **names)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=layers,
        num_attention_heads=4, max_position_embeddings=64, initializer_range=0.5,
    )  # fmt: skip
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)

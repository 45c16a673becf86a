"""Med3DR1Processor: messages and chest CT volumes -> model inputs; the model's text -> reasoning and answer.

Conversations are laid out as Qwen2.5's. A volume stands in them as `{"type": "image", "path" | "image": scan}`, where
scan is anything that the image processor reads (with `spacing`, `affine` or `orientation` beside it, if the scan does
not tell them itself), and is rendered as

    <|vision_start|><|image_pad|><|vision_end|>     with <|image_pad|> once for each image token (343 at full size)
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

from transformers.processing_utils import MultiModalData, ProcessingKwargs, ProcessorMixin

from .answers_med3d_r1 import ParsedAnswer, parse_answer
from .image_processing_med3d_r1 import Med3DR1ImagesKwargs
from .prompts_med3d_r1 import SYSTEM_PROMPT, Messages, question_messages, report_messages

IMAGE_TOKEN = "<|image_pad|>"
"""Qwen2.5's own; its embedding is replaced by that of a volume's token."""

CHAT_TEMPLATE = r"""
{%- macro show(content) %}
    {%- if content is string %}
        {{- content }}
    {%- else %}
        {%- for block in content %}
            {%- if block.type == 'image' %}
                {{- '<|vision_start|><|image_pad|><|vision_end|>' }}
            {%- elif block.type == 'text' %}
                {{- block.text }}
            {%- else %}
                {{- raise_exception("content is of type 'text' or 'image', not '" ~ block.type ~ "'") }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
{%- endmacro %}
{%- if messages[0].role != 'system' %}
    {{- '<|im_start|>system\nSYSTEM_PROMPT<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role not in ('system', 'user', 'assistant') %}
        {{- raise_exception("a message's role is system, user or assistant, not " ~ message.role) }}
    {%- endif %}
    {{- '<|im_start|>' ~ message.role ~ '\n' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}
            {{- show(message.content) ~ '<|im_end|>' }}
        {%- endgeneration %}
    {%- else %}
        {{- show(message.content) ~ '<|im_end|>' }}
    {%- endif %}
    {{- '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
""".strip().replace("SYSTEM_PROMPT", SYSTEM_PROMPT)
"""Qwen2.5's layout without tools. What the assistant says, its end of turn included, is marked for loss masks."""

_VOLUME_KEYS = ("image", "path", "url")
_GEOMETRY_KEYS = ("spacing", "affine", "orientation")

_ENCODED = object()
"""Stands for a volume that the caller has encoded already: it takes its place in the text and is not read."""


# No postponed annotations in this file: ProcessorMixin looks into this class's annotations as they stand.
class Med3DR1ProcessorKwargs(ProcessingKwargs, total=False):
    """Arguments of `Med3DR1Processor.__call__` beside `images` and `text`."""

    images_kwargs: Med3DR1ImagesKwargs
    expand_image_tokens: bool


class Med3DR1Processor(ProcessorMixin):
    """Chat messages and volumes in, `input_ids`, `attention_mask` and `pixel_values` (N, 1, D, H, W) out.

    `processor(images, text, **kwargs)` takes rendered prompts, `processor.apply_chat_template(messages,
    tokenize=True, return_dict=True, ...)` messages. `images` is one volume, a list of volumes that fill the
    placeholders in order, or a list with one list of volumes a prompt; inside such a list, a further list holds the
    files of one volume. `expand_image_tokens=True` lays out the text and reads no volume, not even one that a message
    names: for volumes that were encoded before and go to the model as `pixel_values` (N, L, C), so that a scan is
    read once, however many questions there are.

    Args:
        image_processor: a Med3DR1ImageProcessor.
        tokenizer: of the language model; it must know `<|image_pad|>`.
        num_image_tokens: tokens that stand for one volume, `config.num_image_tokens` of the model.
        chat_template: default: `CHAT_TEMPLATE`.

    Raises:
        ValueError: the tokenizer does not know the image token; or on a call, a prompt has more or fewer placeholders
            than volumes, or a truncation would cut a volume's tokens.
    """

    valid_processor_kwargs = Med3DR1ProcessorKwargs
    text_kwargs: ClassVar[dict[str, Any]] = {"padding_side": "left"}  # batches are for generation; trainers say theirs
    images_kwargs: ClassVar[dict[str, Any]] = {"return_tensors": "pt"}
    expand_image_tokens = False

    def __init__(self, image_processor=None, tokenizer=None, num_image_tokens: int = 343, chat_template=None):
        super().__init__(image_processor, tokenizer, chat_template=chat_template or CHAT_TEMPLATE)
        self.num_image_tokens = num_image_tokens
        self.image_token = IMAGE_TOKEN
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        if self.image_token_id in (None, tokenizer.unk_token_id):
            raise ValueError(f"the tokenizer has no {IMAGE_TOKEN!r}, the token that stands for a volume")

    def prepare_inputs_layout(self, images=None, text=None, videos=None, audio=None, **kwargs):
        """Prompts as a list of strings, volumes as one list a prompt. Paths stay paths: the image processor opens them.

        Images are not fetched here as in other processors, because those would be decoded as pictures.
        """
        text = [text] if isinstance(text, str) else text if text is None else list(text)
        placeholders = [] if text is None else [str(prompt).count(self.image_token) for prompt in text]
        if kwargs.get("expand_image_tokens", self.expand_image_tokens):
            images = [[_ENCODED] * count for count in placeholders]
        elif images is not None:
            images = [_as_list(images)] if text is None else _volumes_by_prompt(images, placeholders)
        return images if images and any(images) else None, text, videos, audio

    def validate_inputs(self, images=None, text=None, videos=None, audio=None, **kwargs):
        """Refuse prompts whose placeholders and volumes differ in number, and what this model cannot take.

        Raises:
            ValueError: names the prompt and both numbers.
        """
        if videos is not None or audio is not None:
            raise ValueError("Med3D-R1 takes text and CT volumes (`images`), no videos and no audio")
        if images is None and text is None:
            raise ValueError("nothing to process: give `text`, `images` or both")
        if text is None:
            return
        if not all(isinstance(prompt, str) for prompt in text):
            raise ValueError("`text` must be a string or a list of strings")
        volumes_by_prompt = [[]] * len(text) if images is None else images
        if len(volumes_by_prompt) != len(text):
            raise ValueError(
                f"`images` has one list of volumes a prompt: {len(volumes_by_prompt)} lists for {len(text)} prompts"
            )
        for number, (prompt, volumes) in enumerate(zip(text, volumes_by_prompt, strict=True), start=1):
            placeholders = prompt.count(self.image_token)
            if placeholders != len(volumes):
                raise ValueError(
                    f"prompt {number} of {len(text)} has {placeholders} placeholder(s) {self.image_token} for volumes, "
                    f"but {len(volumes)} volume(s) were given for it. Volumes come in `images` or in the messages; for "
                    "those that were encoded before, say expand_image_tokens=True"
                )

    def _multimodal_inputs_from_conversations(self, conversations, *args, **kwargs):
        """Volumes of the messages, one list a conversation. What a block says of its geometry stays with its volume."""
        images = [
            [
                _volume_of(block)
                for message in conversation
                for block in _blocks(message)
                if block["type"] == "image" and any(block.get(key) is not None for key in _VOLUME_KEYS)
            ]
            for conversation in conversations
        ]
        return images, [[] for _ in conversations], [], {}

    def _process_images(self, images: list[list[Any]], **kwargs):
        volumes = [volume for of_prompt in images for volume in of_prompt]
        encoded = volumes[0] is _ENCODED
        processed = {} if encoded else self.image_processor(volumes, **kwargs)
        return processed, [self.replace_image_token(processed, index) for index in range(len(volumes))]

    def replace_image_token(self, image_inputs: dict, image_idx: int, **kwargs) -> str:
        """What a placeholder becomes in the text: as many image tokens for every volume."""
        return self.image_token * self.num_image_tokens

    def _get_num_multimodal_tokens(self, image_sizes=None, **kwargs) -> MultiModalData:
        """How many tokens volumes of these sizes take; serving engines plan with it. The size does not matter."""
        count = len(image_sizes or ())
        return MultiModalData(num_image_tokens=[self.num_image_tokens] * count, num_image_patches=[1] * count)

    def build_prompt(
        self, question: str, options: Sequence[str] | None = None, think: bool = True, volumes: Any = None
    ) -> Messages:
        """The messages of a question on a scan; see `question_messages`."""
        return question_messages(question, options, think=think, volumes=volumes)

    def build_report_prompt(self, volumes: Any = None) -> Messages:
        """The messages of the report task; see `report_messages`."""
        return report_messages(volumes=volumes)

    def parse(self, text: str, options: Sequence[str] | None = None, think: bool = True) -> ParsedAnswer:
        """Reasoning, answer, letter and validity of the layout of a decoded completion; see `parse_answer`."""
        return parse_answer(text, options, think)


def _blocks(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    content = message.get("content")
    return [] if content is None or isinstance(content, str) else content


def _volume_of(block: Mapping[str, Any]) -> Any:
    """What the image processor reads for an image block: the scan, with its geometry if the block tells one."""
    volume = next(block[key] for key in _VOLUME_KEYS if block.get(key) is not None)
    geometry = {key: block[key] for key in _GEOMETRY_KEYS if block.get(key) is not None}
    return {"image": volume, **geometry} if geometry else volume


def _volumes_by_prompt(images: Any, placeholders: list[int]) -> list[list[Any]]:
    """One list of volumes a prompt. A flat list fills the placeholders in order; the last prompt gets the surplus."""
    images = _as_list(images)
    if any(entry is None or isinstance(entry, (list, tuple)) for entry in images):
        return [[_one_volume(entry) for entry in _as_list(of_prompt)] for of_prompt in images]
    volumes = iter(images)
    by_prompt = [list(islice(volumes, count)) for count in placeholders]
    by_prompt[-1] += volumes
    return by_prompt


def _as_list(images: Any) -> list[Any]:
    if images is None:
        return []
    return list(images) if isinstance(images, (list, tuple)) else [images]


def _one_volume(source: Any) -> Any:
    """Keep the files of one volume together where lists are flattened."""
    return {"path": list(source)} if isinstance(source, (list, tuple)) else source


Med3DR1Processor.register_for_auto_class()

__all__ = ["CHAT_TEMPLATE", "IMAGE_TOKEN", "Med3DR1Processor", "Med3DR1ProcessorKwargs"]

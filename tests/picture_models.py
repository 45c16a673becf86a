"""Small random models of the architectures that read pictures, built from configurations, with processors that need no
torchvision: pictures go through Pillow, and videos through a stand-in that is as simple as can be."""

import numpy as np
import torch
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3Processor,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
)
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.video_utils import VideoMetadata

from med3d_r1.tiny import tiny_tokenizer

ARCHITECTURES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "gemma3")

QWEN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for block in message.content %}"
    "{% if block.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif block.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ block.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
GEMMA_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for block in message.content %}"
    "{% if block.type == 'image' %}<start_of_image>{% else %}{{ block.text }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 4096,
}
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}


class PlainVideos:
    """Frames at 56 x 56, two and two, in patches of 14 (or 16) by reading order: random models see no difference."""

    merge_size, temporal_patch_size = 2, 2

    def __init__(self, patch):
        self.patch, self.seen = patch, []

    def __call__(self, videos, do_sample_frames=True, video_metadata=None, **_):
        assert not do_sample_frames
        self.seen += [len(video) for video in videos]
        side = 4 * self.patch
        pixels, grids = [], []
        for video in videos:
            frames = np.stack([frame[:: -(-len(frame) // side)][:side] for frame in video])
            still = np.resize(frames, (len(frames) // 2, 16, 3 * 2 * self.patch**2)).astype(np.float32) / 255
            pixels.append(torch.tensor(still).flatten(0, 1))
            grids.append([len(frames) // 2, 4, 4])
        return {
            "pixel_values_videos": torch.cat(pixels),
            "video_grid_thw": torch.tensor(grids),
            "video_metadata": [VideoMetadata(**one) for one in video_metadata],
        }


def picture_model(architecture):
    """(model, processor) of random weights; "qwen2_vl", "qwen2_5_vl", "qwen3_vl" or "gemma3"."""
    torch.manual_seed(0)
    return _gemma() if architecture == "gemma3" else _qwen(architecture)


def _qwen(architecture):
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|video_pad|>"]}, replace_extra_special_tokens=False)
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(token)
        for name, token in (
            ("image", "<|image_pad|>"),
            ("video", "<|video_pad|>"),
            ("vision_start", "<|vision_start|>"),
            ("vision_end", "<|vision_end|>"),
        )
    }
    text = {**TEXT, "vocab_size": len(tokenizer), "rope_parameters": ROPE}
    patch = 14
    if architecture == "qwen2_vl":
        vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2}
        config, kind, shell = Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLProcessor
    elif architecture == "qwen2_5_vl":
        vision = {"depth": 2, "hidden_size": 32, "out_hidden_size": 32, "num_heads": 2, "intermediate_size": 48}
        vision |= {"fullatt_block_indexes": [1], "window_size": 56}
        config, kind, shell = Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor
    else:
        patch = 16
        vision = {"depth": 2, "hidden_size": 32, "out_hidden_size": 32, "num_heads": 2, "intermediate_size": 48}
        vision |= {"deepstack_visual_indexes": [0], "num_position_embeddings": 64, "patch_size": 16}
        text["rope_parameters"] = {**ROPE, "mrope_interleaved": True}
        config, kind, shell = Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLProcessor
    model = kind(config(text_config=text, vision_config=vision, **ids)).eval()
    image_processor = Qwen2VLImageProcessorPil(
        patch_size=patch, size={"shortest_edge": 16 * patch**2, "longest_edge": 16 * patch**2}
    )
    # The class check of processors wants the real video processor, which needs torchvision.
    lenient = type(shell.__name__, (shell,), {"check_argument_for_proper_class": lambda *_: None})
    processor = lenient(image_processor, tokenizer, PlainVideos(patch), chat_template=QWEN_TEMPLATE)
    return _ending(model, tokenizer), processor


def _gemma():
    tokenizer = tiny_tokenizer()
    tokens = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    tokenizer.add_special_tokens({"additional_special_tokens": [*tokens.values()]}, replace_extra_special_tokens=False)
    for name, token in tokens.items():
        setattr(tokenizer, name, token)
        setattr(tokenizer, f"{name}_id", tokenizer.convert_tokens_to_ids(token))
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Gemma3Config(
        text_config={**TEXT, "vocab_size": len(tokenizer), "sliding_window": 64},
        vision_config={**vision, "image_size": 56, "patch_size": 14},
        mm_tokens_per_image=4,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
        image_token_index=tokenizer.image_token_id,
    )
    model = Gemma3ForConditionalGeneration(config).eval()
    image_processor = Gemma3ImageProcessorPil(size={"height": 56, "width": 56})
    processor = Gemma3Processor(image_processor, tokenizer, chat_template=GEMMA_TEMPLATE, image_seq_length=4)
    return _ending(model, tokenizer), processor


def save_gemma(folder):
    """A folder as `load_pictures_model` reads it, with all that Gemma's processor wants from its tokenizer."""
    model, processor = picture_model("gemma3")
    model.save_pretrained(folder)
    names = ("boi_token", "eoi_token", "image_token")
    processor.tokenizer.init_kwargs["model_specific_special_tokens"] = {
        name: getattr(processor.tokenizer, name) for name in names
    }
    processor.save_pretrained(folder)
    return folder


def _ending(model, tokenizer):
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model

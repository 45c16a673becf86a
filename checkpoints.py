"""Model folders: made from a preset, saved whole, loaded in the dtype that is fast on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers import AutoTokenizer
from transformers.integrations import is_deepspeed_zero3_enabled

from . import register
from .configuration_med3d_r1 import PRESETS, Med3DR1Config
from .image_processing_med3d_r1 import Med3DR1ImageProcessor
from .modeling_med3d_r1 import Med3DR1ForConditionalGeneration
from .processing_med3d_r1 import Med3DR1Processor
from .tiny import tiny_tokenizer
from .weights_med3d_r1 import load_vision_weights

LANGUAGE_MODELS = {"3b": "Qwen/Qwen2.5-3B-Instruct", "tiny": None}
"""Decoder of each preset (paper 4.2). The tiny one has none to load: it starts random, with a tokenizer of its own."""

IMAGE_PROCESSORS = {
    "3b": {},
    # The same 336 mm cube on a grid that two cores can afford. The knots keep lung, soft tissue, contrast and
    # calcium apart, which one linear window does not at this depth.
    "tiny": {
        "spacing": (10.5, 5.25, 5.25),
        "field_size": (32, 64, 64),
        "size": (32, 64, 64),
        "window": (
            *((-960, 0.08), (-780, 0.28), (-450, 0.46), (-120, 0.52), (0, 0.60)),
            *((80, 0.68), (220, 0.76), (700, 0.88), (1100, 0.95), (3000, 1.0)),
        ),
        "mean": 0.5,
        "std": 0.25,
    },
}
"""Settings of the image processor of each preset."""


def initialize(
    preset: str,
    language_model: str | None = None,
    vision_weights: str | None = None,
    seed: int = 0,
    **bridge_options,
) -> tuple[Med3DR1ForConditionalGeneration, Med3DR1Processor]:
    """A model that no CT was shown yet, and its processor.

    Args:
        preset: "3b" or "tiny".
        language_model: Hub id or folder of the decoder; default: the preset's.
        vision_weights: file of a pretrained vision tower, ours or the release's; default: random.
        seed: of everything that starts random.
        bridge_options: fields of `Med3DR1Config` (gate, residual_alignment, ...).

    Raises:
        ValueError: no preset has this name, or the weights do not fit it.
    """
    if preset not in PRESETS:
        raise ValueError(f"no preset {preset!r}; there are {', '.join(PRESETS)}")
    torch.manual_seed(seed)
    language_model = language_model or LANGUAGE_MODELS[preset]
    tokenizer = _load_tokenizer(language_model) if language_model else tiny_tokenizer()
    tokens = ("image", "<|image_pad|>"), ("vision_start", "<|vision_start|>"), ("vision_end", "<|vision_end|>")
    towers = ("text_config", "vision_config", "vocabulary_size")
    bridge = {name: value for name, value in PRESETS[preset].items() if name not in towers}
    options = {f"{name}_token_id": _token_id(tokenizer, token) for name, token in tokens} | bridge | bridge_options
    if language_model:
        vision_config = PRESETS[preset]["vision_config"]
        model = Med3DR1ForConditionalGeneration.from_backbones(
            language_model, vision_weights, vision_config, vocabulary_size=len(tokenizer), **options
        )
    else:
        config = Med3DR1Config.preset(preset, vocabulary_size=len(tokenizer), **options)
        model = Med3DR1ForConditionalGeneration(config)
        if vision_weights:
            load_vision_weights(model.model.vision_tower, vision_weights)
        model.generation_config.pad_token_id = tokenizer.pad_token_id
        model.generation_config.eos_token_id = tokenizer.eos_token_id
    processor = Med3DR1Processor(
        image_processor=Med3DR1ImageProcessor(**IMAGE_PROCESSORS[preset]),
        tokenizer=tokenizer,
        num_image_tokens=model.config.num_image_tokens,
    )
    return model.eval(), processor


def _load_tokenizer(language_model: str):
    try:
        return AutoTokenizer.from_pretrained(language_model)
    except (OSError, ValueError) as error:
        raise ValueError(f"{language_model}: no language model with a tokenizer that can be loaded. {error}") from error


def _token_id(tokenizer, token: str) -> int:
    token_id = tokenizer.convert_tokens_to_ids(token)
    if token_id is None or token_id == tokenizer.unk_token_id:
        raise ValueError(
            f"the tokenizer of this language model has no {token!r}, which marks a volume in the prompt: take one of "
            "the Qwen2.5 or Qwen3 family, or add the token (and a row to the word embedding) first"
        )
    return token_id


def save_checkpoint(model: Med3DR1ForConditionalGeneration, processor: Med3DR1Processor, folder: str | Path) -> Path:
    """Write a folder that every auto class loads: weights, configurations, tokenizer and the code itself.

    The folder appears whole or not at all.

    Raises:
        FileExistsError: there is something at this place already.
    """
    folder = Path(folder)
    require_new(folder)
    draft = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        model.save_pretrained(draft)
        processor.save_pretrained(draft)
        if folder.exists():
            folder.rmdir()
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def require_new(path: Path) -> None:
    """
    Raises:
        FileExistsError: there is something at this place already, other than an empty folder.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path}: exists already; name another place, or remove it first")


def save_weights(weights: Mapping[str, torch.Tensor], path: str | Path) -> None:
    """Write named tensors to a .safetensors file, which appears whole or not at all.

    Raises:
        FileExistsError: there is such a file already.
    """
    path = Path(path)
    require_new(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    try:
        # Own memory for each: the format has no way to say that two tensors share theirs.
        save_file({key: value.clone().contiguous() for key, value in weights.items()}, draft, {"format": "pt"})
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def replace_weights(model: Med3DR1ForConditionalGeneration, weights: Mapping[str, torch.Tensor], name: str) -> None:
    """Put other weights in the place of whole parts of a model: vision tower, bridge, decoder.

    Args:
        weights: with this model's names, such as `convert_release` returns; the dtype follows the model's.
        name: how messages call them.

    Raises:
        ValueError: a name or a shape is not the model's, or a part would be replaced by halves.
    """
    own = model.state_dict()
    parts = tuple({".".join(key.split(".")[:2]) + "." for key in weights if key.startswith("model.")})
    misfits = {
        "unknown to the model": [key for key in weights if key not in own],
        "missing": [key for key in own if key.startswith(parts) and key not in weights],
        "of another shape": [key for key, value in weights.items() if key in own and own[key].shape != value.shape],
    }
    found = [f"{len(keys)} {what} ({keys[0]}, ...)" for what, keys in misfits.items() if keys]
    if found:
        raise ValueError(
            f"{name}: these weights do not fit the model: {'; '.join(found)}. The release's projector needs "
            'a model with gate="channel" and output_position_embedding=True (med3d-r1 init --gate channel '
            "--output-position-embedding)"
        )
    model.load_state_dict(dict(weights), strict=False)


def load_checkpoint(
    name: str | Path,
    device: str | None = None,
    dtype: torch.dtype | str | None = None,
    quantization_config=None,
    *,
    revision: str | None = None,
) -> tuple[Med3DR1ForConditionalGeneration, Med3DR1Processor]:
    """A model folder or Hub id, with the code of this package (never that of the folder).

    Args:
        device: "cpu", "cuda", "auto" (spread over what there is), ...; default: see `default_device`.
        dtype: default: the fast one of the device, see `fast_dtype`. "auto": as stored.
        quantization_config: as `quantization_config()` of quantization.py makes it.
        revision: of the Hub repository: a commit, a tag or a branch; default: its main branch.

    Raises:
        FileNotFoundError: no such folder, or no such repository or revision within reach.
        ValueError: something else lies there, its weights do not fill the model, or a folder was to have a revision.
    """
    processor = load_processor(name, revision=revision)
    return load_model(name, device, dtype, quantization_config, revision=revision), processor


def load_processor(name: str | Path, *, revision: str | None = None) -> Med3DR1Processor:
    """The processor of a model folder or Hub id alone: to look at a scan before gigabytes of weights are read.

    `revision` and errors: as of `load_checkpoint`.
    """
    _require_ours(name, revision)
    try:
        return Med3DR1Processor.from_pretrained(name, revision=revision)
    except OSError as error:
        raise ValueError(f"{name}: the processor is missing or incomplete. {error}") from error


def load_model(
    name: str | Path,
    device: str | None = None,
    dtype: torch.dtype | str | None = None,
    quantization_config=None,
    *,
    revision: str | None = None,
) -> Med3DR1ForConditionalGeneration:
    """The model alone; arguments and errors as of `load_checkpoint`."""
    _require_ours(name, revision)
    device = device or default_device()
    require_device(device)
    try:
        model, found = Med3DR1ForConditionalGeneration.from_pretrained(
            name,
            dtype=dtype or fast_dtype(device),
            # DeepSpeed's third stage divides weights while they are loaded, and places them itself.
            device_map=None if is_deepspeed_zero3_enabled() else device,
            quantization_config=quantization_config,
            revision=revision,
            output_loading_info=True,
        )
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{name}: the weights are missing or damaged. {error}") from error
    # transformers would go on with random numbers in their place.
    if found["missing_keys"] or found["mismatched_keys"]:
        absent = sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]]))
        raise ValueError(f"{name}: {len(absent)} weights are missing or of another shape, such as {absent[0]}")
    return model.eval()


def _require_ours(name: str | Path, revision: str | None) -> None:
    register()
    require_no_folder(name, revision)
    try:
        settings, _ = Med3DR1Config.get_config_dict(name, revision=revision)
    except OSError as error:
        if Path(name).exists():
            raise ValueError(f"{name}: not a model folder, its config.json cannot be read") from error
        raise no_such_model(name, revision) from error
    if not settings:
        raise ValueError(f"{name}: not a model folder, it has no config.json")
    if settings.get("model_type") != Med3DR1Config.model_type:
        raise ValueError(f"{name}: not a Med3D-R1 model; its config.json has model_type {settings.get('model_type')!r}")


def require_no_folder(name: str | Path, revision: str | None) -> None:
    """
    Raises:
        ValueError: a revision is asked for of a folder.
    """
    if revision is not None and Path(name).exists():
        raise ValueError(
            f"{name}: a folder has no revision {revision}; only a repository on the Hub has commits and tags"
        )


def no_such_model(name: str | Path, revision: str | None) -> FileNotFoundError:
    """The error that says that neither a folder nor a repository has this name, or that it lacks the revision."""
    at = f" with the revision {revision}" if revision else ""
    return FileNotFoundError(f"{name}: no such folder, and no repository{at} on the Hub within reach")


def hub_commit(name: str, revision: str | None = None) -> str | None:
    """The commit of a Hub repository from which a model was loaded; None if none was.

    transformers does not keep the commit, but the Hub's cache does: files lie in a folder of its name.

    Args:
        revision: the commit, tag or branch that was asked for; default: the main branch.
    """
    config = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(config).parent.name if isinstance(config, str) else None


def require_device(device: str) -> None:
    """
    Raises:
        ValueError: torch knows no such device, or sees none here.
    """
    try:
        kind = "cpu" if device == "auto" else torch.device(device).type
    except RuntimeError as error:
        raise ValueError(f"device {device!r} is not one of cpu, cuda, cuda:1, auto, ...") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r}: torch sees no GPU here")


def default_device() -> str:
    """The first GPU, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def fast_dtype(device: str) -> torch.dtype:
    """The dtype that is fast on this device and exact enough for inference; see `choose_dtype`."""
    return choose_dtype(device)[0]


def choose_dtype(device: str) -> tuple[torch.dtype, str]:
    """The dtype that is fast on this device and exact enough for inference, and the reason in words.

    bfloat16 on GPUs and on processors that multiply in it (AMX, AVX512-BF16: measured in docs/benchmarks.md), float32
    on other processors, where bfloat16 is emulated and slower, float16 on GPUs that are too old for bfloat16.
    """
    if device.startswith("cpu") or (device == "auto" and not torch.cuda.is_available()):
        native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
        if native:
            return torch.bfloat16, "this processor multiplies in bfloat16"
        return torch.float32, "this processor has no fast bfloat16"
    if torch.cuda.is_available() and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16, "this GPU has no bfloat16"
    return torch.bfloat16, "this device multiplies in bfloat16"


__all__ = ["IMAGE_PROCESSORS", "LANGUAGE_MODELS", "choose_dtype", "default_device", "fast_dtype", "hub_commit",
           "initialize", "load_checkpoint", "load_model", "load_processor", "no_such_model", "replace_weights",
           "require_device", "require_new", "require_no_folder", "save_checkpoint", "save_weights"]  # fmt: skip

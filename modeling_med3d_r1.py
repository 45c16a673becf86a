"""Med3D-R1: a chest CT goes through a 3D vision transformer and a bridge into the prompt of a decoder.

    volume (N, 1, D, H, W) -> vision tower (N, L, C) -> bridge (N, T, E) -> at `<|image_pad|>` -> decoder -> text
           (N, 1, 112, 224, 224)       (N, 2744, 768)       (N, 343, 2048)                              full size

Tokens are in the order of their grid (D, H, W), W fastest; the grid's directions are those of the volume.
Equations are those of the paper (arXiv 2602.01200); "release" is the authors' code (laihaoran/Med3D-R1, 17ea522).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer, PreTrainedModel
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.utils import ModelOutput, can_return_tuple

from .bridge_med3d_r1 import Med3DR1Bridge
from .configuration_med3d_r1 import Med3DR1Config, Med3DR1VisionConfig
from .language_model_med3d_r1 import load_language_model
from .vision_med3d_r1 import Med3DR1VisionModel
from .weights_med3d_r1 import load_vision_weights


class Med3DR1PreTrainedModel(PreTrainedModel):
    config: Med3DR1Config
    config_class = Med3DR1Config
    base_model_prefix = "model"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _no_split_modules = ["Med3DR1Bridge"]  # noqa: RUF012
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        super()._init_weights(module)
        if isinstance(module, Med3DR1Bridge):
            module.initialize_tables()


@dataclass
class Med3DR1ImageFeatures(ModelOutput):
    """
    Args:
        last_hidden_state: (N, L, C), tokens of the vision tower (or those that were handed in).
        pooler_output: (N, T, E), the bridge's tokens: what stands at the image positions of the prompt.
        gate: (N, T, 1) or (N, T, E), share of the text anchor in each token; None without residual alignment.
    """

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None
    gate: torch.Tensor | None = None


@dataclass
class Med3DR1ModelOutput(BaseModelOutputWithPast):
    """Adds `image_hidden_states` (N, T, E), the bridge's tokens, where volumes were given."""

    image_hidden_states: torch.Tensor | None = None


@dataclass
class Med3DR1CausalLMOutput(ModelOutput):
    """
    Args:
        loss: mean cross entropy over the labels that are not -100.
        logits: (B, S, vocabulary).
        image_hidden_states: (N, T, E), the bridge's tokens, where volumes were given.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    past_key_values: object | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    image_hidden_states: torch.Tensor | None = None


@dataclass
class Med3DR1Evidence(ModelOutput):
    """Where on the scan an answer came from, on the grid of pooled tokens (7, 7, 7 at full size).

    Args:
        gate: (N, d, h, w) in [0, 1]: how far each token was pulled to the text anchor (channels averaged). High means
            that little of the image went through. None without residual alignment.
        relevance: (N, d, h, w): by how much, to first order, log P(answer) would fall if the token were replaced by
            the text anchor. Negative: the token spoke against the answer.
        log_probability: (B,), log P(answer) itself.

    `coarse_affine` of volume_med3d_r1 takes grid positions to the scan's millimetres.
    """

    gate: torch.Tensor | None = None
    relevance: torch.Tensor | None = None
    log_probability: torch.Tensor | None = None


class Med3DR1Model(Med3DR1PreTrainedModel):
    """Vision tower, bridge and decoder, without the language-modelling head."""

    def __init__(self, config: Med3DR1Config):
        super().__init__(config)
        self.vision_tower = Med3DR1VisionModel._from_config(config.vision_config)
        self.bridge = Med3DR1Bridge(config)
        self.language_model = AutoModel.from_config(config.text_config)
        self.post_init()
        self.set_text_anchor()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module):
        self.language_model.set_input_embeddings(value)

    @torch.no_grad()
    def set_text_anchor(self):
        """Take the text anchor of paper eq. 1, the mean over the vocabulary of the word-embedding rows.

        Padding rows of an enlarged matrix (see `config.vocabulary_size`) are left out; summed in float32. Called when
        a model is assembled and never in training: the anchor is fixed and saved with the weights.
        """
        words = self.get_input_embeddings().weight[: self.config.vocabulary_size]
        self.bridge.text_anchor.copy_(words.mean(dim=0, dtype=torch.float32))

    def encode_volumes(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Volumes (N, 1, D, H, W) -> tokens (N, L, C) that may stand in for them in `pixel_values`.

        Encode a scan once and ask many questions. Tokens (N, L, C) are returned as they are.
        """
        if pixel_values.ndim == 3:
            return pixel_values
        if pixel_values.ndim != 5:
            raise ValueError(
                f"pixel_values is {tuple(pixel_values.shape)}; it takes volumes (N, 1, D, H, W) or tokens (N, L, C)"
            )
        return self.vision_tower(pixel_values).last_hidden_state

    @can_return_tuple
    def get_image_features(self, pixel_values: torch.Tensor, **kwargs) -> Med3DR1ImageFeatures:
        """What stands at the image positions of the prompt.

        Args:
            pixel_values: (N, 1, D, H, W) volumes or (N, L, C) encoded tokens.
        """
        features = self.encode_volumes(pixel_values)
        tokens, gate = self.bridge(features.to(self.bridge.pool.weight.dtype))
        return Med3DR1ImageFeatures(last_hidden_state=features, pooler_output=tokens, gate=gate)

    def _splice(
        self, input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor, image_tokens: torch.Tensor
    ) -> torch.Tensor:
        """The prompt's embeddings (B, S, E) with image tokens (N, T, E) at its image positions, in order."""
        if input_ids is None:
            placeholder = torch.tensor(self.config.image_token_id, device=inputs_embeds.device)
            positions = (inputs_embeds == self.get_input_embeddings()(placeholder)).all(-1)
        else:
            positions = input_ids == self.config.image_token_id
        count, expected = int(positions.sum()), image_tokens.shape[0] * image_tokens.shape[1]
        if count != expected:
            # Libraries look for the first sentence and turn it into a hint about truncated prompts.
            raise ValueError(
                f"Image features and image tokens do not match: tokens: {count}, features: {expected} "
                f"({image_tokens.shape[0]} volumes of {image_tokens.shape[1]} tokens each)"
            )
        image_tokens = image_tokens.to(inputs_embeds.device, inputs_embeds.dtype)
        return inputs_embeds.masked_scatter(positions[..., None], image_tokens)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: object | None = None,
        inputs_embeds: torch.Tensor | None = None,
        mm_encoder_outputs: dict | None = None,
        **kwargs,
    ) -> Med3DR1ModelOutput:
        """
        Args:
            input_ids: (B, S), each volume as `config.num_image_tokens` image tokens in a row.
            pixel_values: (N, 1, D, H, W) volumes or (N, L, C) encoded tokens, in the order of their prompts. N counts
                the volumes of the whole batch; a prompt may have none or several.
            mm_encoder_outputs: {"image": Med3DR1ImageFeatures} in place of pixel_values, as `generate` passes it.

        Raises:
            ValueError: volumes and image tokens of the prompts do not match.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        image_tokens = None
        if mm_encoder_outputs and mm_encoder_outputs.get("image") is not None:
            if pixel_values is not None:
                raise ValueError("give pixel_values or mm_encoder_outputs, not both")
            image_tokens = mm_encoder_outputs["image"].pooler_output
        elif pixel_values is not None:
            image_tokens = self.get_image_features(pixel_values, return_dict=True).pooler_output
        if image_tokens is not None:
            inputs_embeds = self._splice(input_ids, inputs_embeds, image_tokens)
        outputs = self.language_model(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            **kwargs,
        )
        return Med3DR1ModelOutput(
            last_hidden_state=outputs.last_hidden_state,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=image_tokens,
        )


class Med3DR1ForConditionalGeneration(Med3DR1PreTrainedModel, GenerationMixin):
    """Med3D-R1 with its language-modelling head: what `AutoModel`, `AutoModelForImageTextToText` and
    `AutoModelForCausalLM` return."""

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}  # noqa: RUF012

    def __init__(self, config: Med3DR1Config):
        super().__init__(config)
        self.model = Med3DR1Model(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.generation_config.suppress_tokens = self._never_generated
        self.post_init()

    @property
    def _never_generated(self) -> list[int]:
        """A sampled image token would ask for a volume that is not there."""
        config = self.config
        return [config.image_token_id, config.vision_start_token_id, config.vision_end_token_id]

    @classmethod
    def from_backbones(
        cls,
        language_model: str,
        vision_weights: str | None = None,
        vision_config: Med3DR1VisionConfig | dict | None = None,
        vocabulary_size: int | None = None,
        dtype: torch.dtype | None = None,
        **bridge_options,
    ) -> Med3DR1ForConditionalGeneration:
        """Assemble a model from a pretrained decoder and a pretrained encoder; the bridge starts random.

        Args:
            language_model: Hub id or folder of a decoder (Qwen2.5, Qwen3, ...) or of a Qwen2.5-VL, of which only the
                text tower is taken (as the release does).
            vision_weights: .safetensors, .pth or .pt of a vision tower, ours or the release's. None: random.
            vision_config: the encoder's shape. Default: the paper's ViT-Base.
            vocabulary_size: see `Med3DR1Config`. Default: that of the decoder's tokenizer.
            dtype: of the assembled model. Default: that of the decoder.
            bridge_options: further fields of `Med3DR1Config` (gate, residual_alignment, ...).
        """
        decoder = load_language_model(language_model, dtype)
        text_config = decoder.config.get_text_config()
        if vocabulary_size is None:
            vocabulary_size = min(len(AutoTokenizer.from_pretrained(language_model)), text_config.vocab_size)
        config = Med3DR1Config(
            text_config=text_config.to_dict(),
            vision_config=vision_config,
            vocabulary_size=vocabulary_size,
            tie_word_embeddings=text_config.tie_word_embeddings,
            **bridge_options,
        )
        # On the meta device, so that a decoder of gigabytes is not made twice.
        with torch.device("meta"):
            model = cls(config)
        model.generation_config = decoder.generation_config
        model.generation_config.suppress_tokens = model._never_generated
        model.model.language_model = decoder.base_model
        model.lm_head = decoder.get_output_embeddings()
        model.model.vision_tower = Med3DR1VisionModel._from_config(config.vision_config)
        model.model.bridge = Med3DR1Bridge(config)
        model.model.bridge.apply(model.model._initialize_weights)
        if vision_weights is not None:
            load_vision_weights(model.model.vision_tower, vision_weights)
        model.model.set_text_anchor()
        model.tie_weights()
        return model.to(decoder.dtype)

    def get_input_embeddings(self) -> nn.Module:
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module):
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module):
        self.lm_head = value

    def get_image_features(self, pixel_values: torch.Tensor, **kwargs) -> Med3DR1ImageFeatures:
        return self.model.get_image_features(pixel_values, **kwargs)

    def encode_volumes(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.model.encode_volumes(pixel_values)

    encode_volumes.__doc__ = Med3DR1Model.encode_volumes.__doc__

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: object | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        mm_encoder_outputs: dict | None = None,
        **kwargs,
    ) -> Med3DR1CausalLMOutput:
        """
        Args:
            labels: (B, S), -100 where no loss is wanted; shifted inside.
            logits_to_keep: compute the logits of the last so many positions only, 0 for all.

        The others are those of `Med3DR1Model.forward`.
        """
        outputs = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            mm_encoder_outputs=mm_encoder_outputs,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.text_config.vocab_size, **kwargs
            )
        return Med3DR1CausalLMOutput(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=outputs.image_hidden_states,
        )

    @torch.enable_grad()
    def evidence(
        self,
        input_ids: torch.Tensor,
        pixel_values: torch.Tensor,
        answer_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
    ) -> Med3DR1Evidence:
        """Which parts of the scan an answer rests on.

        The relevance of a token z is g . (z - z0), g the gradient of log P(answer | prompt) by z and z0 the token that
        the text anchor alone would have become: the first-order loss in log-probability if the image fell silent
        there. It says what moved this model, not what is wrong with the patient.

        Args:
            input_ids: (B, S), padded on the left if at all; attention_mask as there.
            pixel_values: (N, 1, D, H, W) or (N, L, C).
            answer_ids: (B, A), the tokens of the answer that follows the prompt.
        """
        with torch.no_grad():
            features = self.get_image_features(pixel_values, return_dict=True)
            blank = self.model.bridge.blank_tokens()
        tokens = features.pooler_output.detach().requires_grad_()
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        outputs = self(
            input_ids=torch.cat([input_ids, answer_ids[:, :-1]], dim=1),
            attention_mask=torch.cat([attention_mask, torch.ones_like(answer_ids[:, :-1])], dim=1),
            mm_encoder_outputs={"image": Med3DR1ImageFeatures(pooler_output=tokens)},
            logits_to_keep=answer_ids.shape[1],
            use_cache=False,
            return_dict=True,
        )
        log_probabilities = outputs.logits.float().log_softmax(-1).gather(2, answer_ids[..., None])[..., 0].sum(1)
        (gradient,) = torch.autograd.grad(log_probabilities.sum(), tokens)
        relevance = (gradient.float() * (tokens.detach() - blank).float()).sum(-1)
        grid = self.config.pooled_grid
        gate = None if features.gate is None else features.gate.float().mean(-1).unflatten(1, grid)
        return Med3DR1Evidence(
            gate=gate, relevance=relevance.unflatten(1, grid), log_probability=log_probabilities.detach()
        )


Med3DR1ForConditionalGeneration.register_for_auto_class("AutoModel")

__all__ = [
    "Med3DR1CausalLMOutput",
    "Med3DR1Evidence",
    "Med3DR1ForConditionalGeneration",
    "Med3DR1ImageFeatures",
    "Med3DR1Model",
    "Med3DR1PreTrainedModel",
]

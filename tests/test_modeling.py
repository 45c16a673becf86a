"""The whole model on random weights: every way of batching and generating equals one example at a time."""

import pytest
import torch

from med3d_r1 import Med3DR1Config, Med3DR1ForConditionalGeneration

IMAGE, PAD = 500, 501
TOKENS = 32


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = Med3DR1Config.preset("tiny", image_token_id=IMAGE, vision_start_token_id=502, vision_end_token_id=503)
    model = Med3DR1ForConditionalGeneration(config).eval()
    model.generation_config.pad_token_id = PAD
    model.generation_config.eos_token_id = None
    return model


@pytest.fixture(scope="module")
def volumes(model):
    return torch.randn(3, 1, *model.config.vision_config.image_size, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def prompts():
    """One prompt with one volume, one with none, one with two."""
    text = torch.randint(0, 400, (3, 9), generator=torch.Generator().manual_seed(2))
    image = torch.full((TOKENS,), IMAGE)
    return [
        torch.cat([text[0, :4], image, text[0, 4:]]),
        text[1],
        torch.cat([text[2, :2], image, text[2, 2:5], image, text[2, 5:]]),
    ]


VOLUMES_OF_PROMPT = [slice(0, 1), slice(0, 0), slice(1, 3)]


def pad(prompts, side):
    length = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), length), PAD)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        where = slice(length - len(prompt), length) if side == "left" else slice(0, len(prompt))
        ids[row, where], mask[row, where] = prompt, 1
    return {"input_ids": ids, "attention_mask": mask}


def alone(prompts, volumes, row):
    """The inputs of one prompt by itself."""
    pixel_values = volumes[VOLUMES_OF_PROMPT[row]]
    inputs = {"input_ids": prompts[row][None], "attention_mask": torch.ones(1, len(prompts[row]), dtype=torch.long)}
    return inputs | ({"pixel_values": pixel_values} if len(pixel_values) else {})


@torch.no_grad()
@pytest.mark.parametrize("side", ["left", "right"])
def test_batch_equals_single_examples(model, prompts, volumes, side):
    batch = pad(prompts, side)
    logits = model(**batch, pixel_values=volumes).logits
    for row in range(len(prompts)):
        single = model(**alone(prompts, volumes, row)).logits[0]
        torch.testing.assert_close(logits[row][batch["attention_mask"][row] == 1], single, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_encoded_tokens_stand_in_for_volumes(model, prompts, volumes):
    features = model.encode_volumes(volumes)
    assert features.shape == (3, 256, 64)
    batch = pad(prompts, "left")
    expected = model(**batch, pixel_values=volumes)
    again = model(**batch, pixel_values=features)
    assert torch.equal(again.logits, expected.logits)
    assert torch.equal(model.encode_volumes(features), features)
    assert again.image_hidden_states.shape == (3, TOKENS, 128)


@torch.no_grad()
def test_image_tokens_stand_at_their_places(model, prompts, volumes):
    """The spliced prompt, written out: word embeddings with the bridge's tokens in the rows of the placeholder."""
    ids = prompts[2][None]
    tokens = model.get_image_features(volumes[1:], return_dict=True).pooler_output
    embeddings = model.get_input_embeddings()(ids)
    embeddings[0, ids[0] == IMAGE] = tokens.flatten(0, 1)
    expected = model(inputs_embeds=embeddings).logits
    assert torch.equal(model(input_ids=ids, pixel_values=volumes[1:]).logits, expected)
    placeholders = model.get_input_embeddings()(ids)
    assert torch.equal(model(inputs_embeds=placeholders, pixel_values=volumes[1:]).logits, expected)


GENERATION = {
    "greedy": {"do_sample": False},
    "beams": {"do_sample": False, "num_beams": 3},
    "beams, two returned": {"do_sample": False, "num_beams": 3, "num_return_sequences": 2},
    "static cache": {"do_sample": False, "cache_implementation": "static", "disable_compile": True},
    "no cache": {"do_sample": False, "use_cache": False},
}


@pytest.mark.parametrize("options", GENERATION.values(), ids=GENERATION.keys())
def test_generation_in_a_batch_equals_single_examples(model, prompts, volumes, options):
    batch = pad(prompts, "left")
    settings = {"max_new_tokens": 6, **options}
    length = batch["input_ids"].shape[1]
    together = model.generate(**batch, pixel_values=volumes, **settings)[:, length:]
    singles = [
        model.generate(**inputs, **settings)[:, inputs["input_ids"].shape[1] :]
        for inputs in (alone(prompts, volumes, row) for row in range(len(prompts)))
    ]
    assert torch.equal(together, torch.cat(singles))


def test_sampled_group_shares_its_own_volumes(model, prompts, volumes):
    """Four samples a prompt, as in GRPO. With the volumes of a group mixed up, their log-probabilities would differ."""
    batch = pad(prompts, "left")
    torch.manual_seed(3)
    output = model.generate(
        **batch, pixel_values=volumes, do_sample=True, num_return_sequences=4, max_new_tokens=5, top_k=0,
        output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    with torch.no_grad():
        for row in range(len(prompts)):
            first = model(**alone(prompts, volumes, row)).logits[0, -1]
            for sample in range(4):
                torch.testing.assert_close(output.logits[0][4 * row + sample], first, atol=1e-4, rtol=1e-4)


def test_image_tokens_are_never_generated(model, prompts, volumes):
    """The head is turned so that the image token is by far the likeliest; generation must not yield it."""
    head = model.lm_head.weight.data.clone()
    try:
        hidden = model.model(prompts[0][None], pixel_values=volumes[:1], return_dict=True).last_hidden_state[0, -1]
        model.lm_head.weight.data[IMAGE] = 100 * hidden.detach()
        sequences = model.generate(**alone(prompts, volumes, 0), max_new_tokens=4, do_sample=False)
        assert IMAGE not in sequences[0, len(prompts[0]) :]
    finally:
        model.lm_head.weight.data.copy_(head)


def test_vision_tower_runs_once_per_generation(model, prompts, volumes, monkeypatch):
    calls = []
    forward = model.model.vision_tower.forward
    monkeypatch.setattr(model.model.vision_tower, "forward", lambda *a, **k: calls.append(1) or forward(*a, **k))
    batch = pad(prompts, "left")
    model.generate(**batch, pixel_values=volumes, num_return_sequences=4, max_new_tokens=6, do_sample=True)
    assert len(calls) == 1


def test_counts_must_match(model, prompts, volumes):
    with pytest.raises(ValueError, match="Image features and image tokens do not match: tokens: 32, features: 64"):
        model(input_ids=prompts[0][None], pixel_values=volumes[:2])
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model(pixel_values=volumes)
    with pytest.raises(ValueError, match=r"volumes \(N, 1, D, H, W\) or tokens \(N, L, C\)"):
        model(input_ids=prompts[0][None], pixel_values=volumes[0])


def test_loss_is_the_mean_cross_entropy_of_the_next_token(model, prompts, volumes):
    ids = prompts[0][None]
    labels = ids.clone()
    labels[0, :-4] = -100
    output = model(input_ids=ids, pixel_values=volumes[:1], labels=labels)
    log_probabilities = output.logits[0, -5:-1].log_softmax(-1)
    expected = -log_probabilities[torch.arange(4), ids[0, -4:]].mean()
    torch.testing.assert_close(output.loss, expected)


@torch.no_grad()
def test_logits_to_keep(model, prompts, volumes):
    inputs = alone(prompts, volumes, 0)
    logits = model(**inputs).logits
    torch.testing.assert_close(model(**inputs, logits_to_keep=2).logits, logits[:, -2:])
    positions = torch.tensor([0, 3])
    torch.testing.assert_close(model(**inputs, logits_to_keep=positions).logits, logits[:, positions])


def test_gradients_reach_every_trained_part(prompts, volumes):
    torch.manual_seed(0)
    config = Med3DR1Config.preset("tiny", image_token_id=IMAGE, output_position_embedding=True)
    model = Med3DR1ForConditionalGeneration(config).train()
    labels = torch.where(prompts[0] == IMAGE, -100, prompts[0])[None]
    model(input_ids=prompts[0][None], pixel_values=volumes[:1], labels=labels).loss.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []


class TestEvidence:
    def test_gate_and_log_probability_are_those_of_the_forward_pass(self, model, prompts, volumes):
        answer = torch.tensor([[7, 8]])
        evidence = model.evidence(prompts[0][None], volumes[:1], answer)
        with torch.no_grad():
            gate = model.get_image_features(volumes[:1], return_dict=True).gate
            ids = torch.cat([prompts[0], answer[0]])[None]
            log_probabilities = model(input_ids=ids, pixel_values=volumes[:1]).logits[0].log_softmax(-1)
        assert torch.equal(evidence.gate.flatten(), gate.flatten())
        assert evidence.relevance.shape == (1, 2, 4, 4)
        expected = log_probabilities[-3, 7] + log_probabilities[-2, 8]
        torch.testing.assert_close(evidence.log_probability[0], expected)

    def test_relevance_is_the_first_order_effect_of_silencing_a_token(self, model, prompts, volumes):
        """Moving every token a small step e towards the text anchor changes log P by - e * sum of the relevances."""
        answer = torch.tensor([[7]])
        evidence = model.evidence(prompts[0][None], volumes[:1], answer)
        step = 1e-3
        with torch.no_grad():
            features = model.get_image_features(volumes[:1], return_dict=True)
            blank = model.model.bridge.blank_tokens()

            def log_probability(silence):
                features.pooler_output = tokens + silence * (blank - tokens)
                logits = model(prompts[0][None], mm_encoder_outputs={"image": features}).logits
                return logits[0, -1].double().log_softmax(-1)[7]

            tokens = features.pooler_output
            slope = (log_probability(step) - log_probability(-step)) / (2 * step)
        torch.testing.assert_close(-evidence.relevance.sum().double(), slope, rtol=0.02, atol=1e-4)

    def test_left_padding_and_several_volumes(self, model, prompts, volumes):
        answers = torch.tensor([[7], [8], [9]])
        batch = pad(prompts, "left")
        evidence = model.evidence(batch["input_ids"], volumes, answers, batch["attention_mask"])
        single = model.evidence(prompts[2][None], volumes[1:], answers[2:])
        torch.testing.assert_close(evidence.relevance[1:], single.relevance, atol=1e-4, rtol=1e-3)

    def test_leaves_no_gradients_behind(self, model, prompts, volumes):
        model.evidence(prompts[0][None], volumes[:1], torch.tensor([[7]]))
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_without_alignment_there_is_no_gate(self, prompts, volumes):
        config = Med3DR1Config.preset("tiny", image_token_id=IMAGE, residual_alignment=False)
        evidence = Med3DR1ForConditionalGeneration(config).evidence(prompts[0][None], volumes[:1], torch.tensor([[7]]))
        assert evidence.gate is None
        assert evidence.relevance.shape == (1, 2, 4, 4)


class TestSaving:
    def test_anchor_and_all_weights_are_reloaded_bit_equal(self, model, tmp_path):
        model.save_pretrained(tmp_path)
        again = Med3DR1ForConditionalGeneration.from_pretrained(tmp_path)
        state, loaded = model.state_dict(), again.state_dict()
        assert state.keys() == loaded.keys()
        assert "model.bridge.text_anchor" in state
        assert all(torch.equal(state[key], loaded[key]) for key in state)
        assert again.generation_config.suppress_tokens == [IMAGE, 502, 503]
        assert again.lm_head.weight is again.get_input_embeddings().weight

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
    def test_loads_in_each_dtype_and_answers(self, model, prompts, volumes, tmp_path, dtype):
        model.save_pretrained(tmp_path)
        again = Med3DR1ForConditionalGeneration.from_pretrained(tmp_path, dtype=dtype, device_map="auto").eval()
        assert {tensor.dtype for tensor in again.state_dict().values()} == {dtype}
        with torch.no_grad():
            exact = model(**alone(prompts, volumes, 0)).logits
            logits = again(**alone(prompts, volumes, 0)).logits
        assert logits.dtype == dtype
        assert torch.nn.functional.cosine_similarity(logits.float(), exact, dim=-1).min() > 0.99

    def test_layers_and_bridge_stay_whole_when_spread_over_devices(self, model):
        """`device_map="auto"` may cut between these modules, never inside one."""
        assert {"Med3DR1Bridge", "Med3DR1VisionLayer", "Qwen2DecoderLayer"} <= set(model._no_split_modules)

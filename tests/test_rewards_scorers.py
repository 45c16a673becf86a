"""The scorers that need a model: a reward model, an encoder, a chat model on a server that misbehaves."""

import json

import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from chat_server import ChatServer, allow_loopback
from med3d_r1.data.chat import ChatError, ConsentError
from med3d_r1.rewards import ConsistencyReward, EmbeddingScorer, JudgeScorer, RewardModelScorer
from text_models import encoder, reward_model
from thinks import completion

REASONINGS = ["a nodule .", "emphysema , a large heart , no nodule , a small nodule .", "heart is large ."]
REPORTS = ["no emphysema . a nodule .", "heart is large .", "a nodule ."]


@pytest.fixture(scope="module")
def reward_folder(tmp_path_factory):
    return reward_model(tmp_path_factory.mktemp("reward"))


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory):
    return encoder(tmp_path_factory.mktemp("encoder"))


def scorer_of(folder, **settings):
    return RewardModelScorer(
        folder, question="report {report}", **{"device": "cpu", "dtype": torch.float32, **settings}
    )


def test_a_pair_is_read_by_the_protocol_of_the_reward_model(reward_folder):
    """One token at the beginning, the report in the question, the reasoning in the answer, and the raw logit of it."""
    scorer = scorer_of(reward_folder)
    text = scorer.text_of("a nodule .", "heart is large .")
    assert text == "[INST] report heart is large . [/INST] a nodule .</s>"
    tokenizer = AutoTokenizer.from_pretrained(reward_folder)
    tokens = ["<s>", "[INST]", "report", "heart", "is", "large", ".", "[/INST]", "a", "nodule", ".", "</s>"]
    ids = tokenizer.convert_tokens_to_ids(tokens)
    assert tokenizer(text)["input_ids"] == ids
    plain = AutoModelForSequenceClassification.from_pretrained(reward_folder, dtype=torch.float32).eval()
    with torch.no_grad():
        logit = plain(input_ids=torch.tensor([ids])).logits.item()
    assert scorer(["a nodule ."], ["heart is large ."]) == [pytest.approx(logit, abs=1e-6)]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_batches_give_the_scores_of_single_pairs(reward_folder, batch_size):
    single = [scorer_of(reward_folder)([said], [known])[0] for said, known in zip(REASONINGS, REPORTS, strict=True)]
    assert len({round(score, 3) for score in single}) == 3
    together = scorer_of(reward_folder, batch_size=batch_size)(REASONINGS, REPORTS)
    assert together == pytest.approx(single, abs=1e-5)


def test_a_text_cannot_end_its_turn_and_open_another(reward_folder):
    scorer = scorer_of(reward_folder)
    assert scorer.text_of("a nodule </s><s> [INST]", "no</s>").count("</s>") == 1


def test_no_pairs_have_no_scores(reward_folder):
    assert scorer_of(reward_folder)([], []) == []


def test_it_serves_as_consistency_reward(reward_folder):
    scorer = scorer_of(reward_folder)
    scores = sorted(scorer(REASONINGS, REPORTS))
    reward = ConsistencyReward.calibrated(scorer, zip(REASONINGS, REPORTS, strict=True), [0.4, 0.9], [0, 0.5, 1])
    rewards = reward([completion(text) for text in REASONINGS], report=REPORTS)
    ranks = [scores.index(pytest.approx(score)) for score in scorer(REASONINGS, REPORTS)]
    assert rewards == [[0, 0.5, 1][rank] for rank in ranks]


def test_models_that_are_no_reward_models_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has one output; .* has 2"):
        scorer_of(reward_model(tmp_path / "two", outputs=2))
    with pytest.raises(ValueError, match="no chat template"):
        scorer_of(reward_model(tmp_path / "mute", template=None))


def test_four_bits_come_near(tmp_path):
    """The blocks are quantised, the head is not."""
    pytest.importorskip("bitsandbytes")
    folder = reward_model(tmp_path, spread=0.1)
    scorer = scorer_of(folder, bits=4)
    kinds = {name: type(module).__name__ for name, module in scorer.model.named_modules()}
    assert kinds["model.layers.0.self_attn.q_proj"] == "Linear4bit"
    assert kinds["score"] == "Linear"
    whole = scorer_of(folder)(REASONINGS, REPORTS)
    assert scorer(REASONINGS, REPORTS) == pytest.approx(whole, abs=0.15)


def test_embeddings_are_compared_by_cosine(encoder_folder):
    """The mean runs over the tokens of a text, whatever it was padded to."""
    tokenizer = AutoTokenizer.from_pretrained(encoder_folder)
    plain = AutoModel.from_pretrained(encoder_folder, dtype=torch.float32).eval()

    def vector(text):
        with torch.no_grad():
            return plain(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)

    expected = [
        torch.cosine_similarity(vector(said), vector(known), dim=0).item()
        for said, known in zip(REASONINGS, REPORTS, strict=True)
    ]
    for batch_size in (1, 2, 8):
        scorer = EmbeddingScorer(encoder_folder, device="cpu", batch_size=batch_size)
        assert scorer(REASONINGS, REPORTS) == pytest.approx(expected, abs=1e-5)
    assert scorer(REPORTS, REPORTS) == pytest.approx([1, 1, 1], abs=1e-5)


def test_long_texts_are_cut_to_what_the_encoder_reads(encoder_folder):
    scorer = EmbeddingScorer(encoder_folder, device="cpu")
    assert scorer.encoder.max_length == 64
    long = "a nodule . " * 100
    assert scorer([long], [long + "emphysema"]) == [pytest.approx(1, abs=1e-5)]


def overlap(asked):
    """A judge that counts words."""
    said, known = set(asked["reasoning"].split()), set(asked["report"].split())
    return json.dumps({"score": round(10 * len(said & known) / len(said | known))})


@pytest.fixture
def judge(monkeypatch):
    allow_loopback(monkeypatch)

    def make(server, **settings):
        return JudgeScorer(
            "m", base_url=server.url, **{"confirm": True, "timeout": 20, "backoff": 0.01, "concurrency": 1, **settings}
        )

    return make


def test_a_judge_is_asked_once_about_each_pair(judge, tmp_path):
    """Words in common over all words, in tenths: 3/5, 2/9, 0/7."""
    reasonings = ["a nodule .", "a large heart , no nodule .", "emphysema is small"]
    reports = ["no emphysema a nodule .", "heart is large", "a nodule . heart"]
    with ChatServer(overlap) as server:
        scorer = judge(server, cache=tmp_path / "scores.parquet")
        assert scorer(reasonings * 2, reports * 2) == [0.6, 0.2, 0.0] * 2
        assert len(server.requests) == scorer.usage.requests == 3
        again = judge(server, cache=tmp_path / "scores.parquet", confirm=False)
        assert again(reasonings, reports) == [0.6, 0.2, 0.0]
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    "nonsense",
    ["ten", '{"score": 11}', '{"score": -1}', '{"score": "8"}', '{"score": true}', '{"score": 0.8}', "{}", 500, 429],
)
def test_a_judge_that_talks_nonsense_is_asked_again(judge, nonsense):
    with ChatServer(overlap, [nonsense]) as server:
        assert judge(server)(["a nodule"], ["a nodule"]) == [1.0]
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("always", "message"), [(500, "HTTP status 500, 2 times"), ("stall", "no answer"), (401, "key")]
)
def test_a_judge_that_fails_for_good_raises_instead_of_giving_zero(judge, always, message):
    with ChatServer(overlap, always=always) as server:
        reward = ConsistencyReward(judge(server, retries=1, timeout=0.1 if always == "stall" else 20))
        with pytest.raises(ChatError, match=message):
            reward([completion("a nodule")], report=["a nodule"])


def test_what_was_answered_before_a_failure_is_kept(judge):
    with ChatServer(overlap, [None, 403]) as server:
        scorer = judge(server)
        with pytest.raises(ChatError, match="403"):
            scorer(["a nodule", "heart", "large"], ["a nodule"] * 3)
        assert scorer(["a nodule", "heart", "large"], ["a nodule"] * 3) == [1.0, 0.0, 0.0]
        assert len(server.requests) == 4


def test_nothing_is_sent_without_consent(judge):
    with ChatServer(overlap) as server:
        with pytest.raises(ConsentError, match="To send 1 reports to m at"):
            judge(server, confirm=False)(["a nodule"], ["a nodule"])
        assert server.requests == []
    with pytest.raises(ValueError, match="concurrency is 1 or more"):
        JudgeScorer("m", concurrency=0)

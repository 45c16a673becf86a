"""Spans of characters become weights of tokens, on the ids that are trained on."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.prompts_med3d_r1 import report_messages
from med3d_r1.trainers.arw import ARWCollator, completion_text, touches
from sft_rows import ABNORMAL, REPORT, sft_rows, write_scans
from tiny import tiny_processor


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scans(tmp_path_factory.mktemp("scans"), 1)[0]


@pytest.fixture(scope="module")
def processor():
    return tiny_processor()


def collator(processor, **more):
    return ARWCollator(processor, completion_only_loss=True, abnormal_weight=2.0, **more)


def row(scan, text, spans):
    answer = {"role": "assistant", "content": text}
    return {"images": [scan], "prompt": report_messages(), "completion": [answer], "abnormal_spans": spans}


def weighed(processor, scan, text, spans):
    """[(token, its weight), ...] of what is learnt of one row."""
    batch = collator(processor)([row(scan, text, spans)])
    learnt = batch["labels"][0] != -100
    assert (batch["token_weights"][0, ~learnt] == 0).all()
    tokens = [processor.tokenizer.decode(token) for token in batch["labels"][0, learnt]]
    return list(zip(tokens, batch["token_weights"][0, learnt].tolist(), strict=True))


# Names of findings and tags are one token each in the tiny tokenizer, the space before a name included.
TEXT = "<finding> emphysema lung nodule</finding>"


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], [1, 1, 1, 1]),
        ([[0, len(TEXT)]], [2, 2, 2, 2]),
        ([[10, 19]], [1, 2, 1, 1]),  # "emphysema", of the token " emphysema"
        ([[18, 19]], [1, 2, 1, 1]),  # its last letter
        ([[18, 20]], [1, 2, 2, 1]),  # and the space of " lung nodule"
        ([[31, 32]], [1, 1, 1, 2]),  # the "<" of "</finding>"
        ([[0, 1], [20, 21]], [2, 1, 2, 1]),
    ],
)
def test_a_token_that_touches_an_abnormal_character_is_abnormal(processor, scan, spans, expected):
    found = weighed(processor, scan, TEXT, spans)
    assert [token for token, _ in found] == [
        "<finding>", " emphysema", " lung nodule", "</finding>", "<|im_end|>", "\n",
    ]  # fmt: skip
    assert [weight for _, weight in found] == [*expected, 1, 1]


@given(data=st.data())
def test_each_token_is_weighed_by_the_characters_that_it_covers(processor, scan, data):
    """Any text, letters of several bytes included: a token is abnormal if and only if one of its characters is."""
    text = data.draw(st.text(st.characters(codec="utf-8", exclude_characters="<\x00"), min_size=1, max_size=40))
    ends = st.lists(st.integers(0, len(text)), min_size=2, max_size=2, unique=True).map(sorted)
    spans = data.draw(st.lists(ends, max_size=3))
    encoded = processor.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    marked = {place for start, end in spans for place in range(start, end)}
    expected = [2.0 if marked & set(range(*offset)) else 1.0 for offset in encoded["offset_mapping"]]
    assert [weight for _, weight in weighed(processor, scan, text, spans)] == [*expected, 1, 1]


def test_rows_of_a_batch_keep_their_own_weights(processor, scan):
    """As alone, whatever stands beside them; prompt and padding weigh nothing."""
    rows = sft_rows([scan])
    together = collator(processor)([dict(row) for row in rows])
    assert together["token_weights"].shape == together["input_ids"].shape
    assert ((together["token_weights"] > 0) == (together["labels"] != -100)).all()
    for index, one in enumerate(rows):
        alone = collator(processor)([dict(one)])
        length = alone["input_ids"].shape[1]
        assert torch.equal(together["input_ids"][index, :length], alone["input_ids"][0])
        assert torch.equal(together["token_weights"][index, :length], alone["token_weights"][0])
        assert not together["token_weights"][index, length:].any()


def test_what_is_abnormal_in_a_report(processor, scan):
    """The two abnormal sentences, put together again from the tokens that weigh more."""
    heavy = "".join(token for token, weight in weighed(processor, scan, REPORT, ABNORMAL) if weight == 2)
    assert heavy.replace(" ", "") == "Anoduleisseen.Emphysema."


def test_nothing_else_changes_in_the_batch(processor, scan):
    """What TRL's own collator gives, and the weights."""
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    plain = DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)(sft_rows([scan]))
    found = collator(processor)(sft_rows([scan]))
    assert found.keys() == plain.keys() | {"token_weights"}
    for name in plain:
        assert torch.equal(found[name], plain[name]), name


@pytest.mark.parametrize("span", [[-1, 3], [3, 3], [5, 2], [0, len(TEXT) + 1]])
def test_spans_outside_of_the_text_are_refused(processor, scan, span):
    with pytest.raises(ValueError, match=rf"of which there are {len(TEXT)}; got \[\[{span[0]}, {span[1]}\]\]"):
        weighed(processor, scan, TEXT, [span])


def test_a_template_that_changes_the_text_is_refused(scan):
    """Its spans would lie elsewhere."""
    loud = tiny_processor()
    loud.chat_template = loud.chat_template.replace("{{- block.text }}", "{{- block.text | upper }}")
    with pytest.raises(ValueError, match="the chat template changes the text"):
        weighed(loud, scan, "a nodule", [[0, 1]])
    assert {weight for _, weight in weighed(loud, scan, "a nodule", [])} == {1.0}


def conversation(scan):
    """A row whose completion goes on after the first answer."""
    turns = [
        ("assistant", "<answer>Yes.</answer>"),
        ("user", "Is there emphysema?"),
        ("assistant", "<answer>No.</answer>"),
    ]
    answers = [{"role": role, "content": content} for role, content in turns]
    return {"images": [scan], "prompt": report_messages(), "completion": answers, "abnormal_spans": []}


def test_questions_within_a_completion_are_not_learnt(processor, scan):
    """The assistant's words and the ends of its turns are, beside a row that is not a conversation."""
    rows = [conversation(scan), row(scan, TEXT, [[10, 19]])]
    batch = collator(processor)([dict(one) for one in rows])
    learnt = batch["labels"] != -100
    assert processor.tokenizer.decode(batch["labels"][0, learnt[0]]) == (
        "<answer>Yes.</answer><|im_end|><answer>No.</answer><|im_end|>"
    )
    assert torch.equal(batch["token_weights"][0], learnt[0].float())
    alone = collator(processor)([dict(rows[1])])
    length = alone["input_ids"].shape[1]
    assert torch.equal(batch["token_weights"][1, :length], alone["token_weights"][0])
    whole = processor.tokenizer.decode(batch["input_ids"][0, batch["attention_mask"][0] == 1])
    assert "user\nIs there emphysema?" in whole


def test_a_conversation_may_be_cut(processor, scan):
    whole = collator(processor)([conversation(scan)])
    length = whole["input_ids"].shape[1] - 3
    cut = collator(processor, max_length=length)([conversation(scan)])
    for name in ("labels", "token_weights"):
        assert torch.equal(cut[name], whole[name][:, :length])


def test_spans_are_of_one_message(processor, scan):
    blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert completion_text([{"role": "assistant", "content": blocks}]) == "ab"
    with pytest.raises(ValueError, match="in the text of one message, and the completion has 3"):
        collator(processor)([conversation(scan) | {"abnormal_spans": [[0, 3]]}])


def test_touching():
    """[start, end) and [start, end): neighbours do not touch."""
    assert [touches(3, 5, [span]) for span in ([0, 3], [0, 4], [4, 5], [5, 9], [0, 9])] == [
        False, True, True, False, True,
    ]  # fmt: skip

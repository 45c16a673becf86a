"""BERTScore with a tiny random encoder, against sums written out."""

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from med3d_r1.evaluation.bertscore import bertscore
from text_models import encoder

SAID = ["a nodule .", "emphysema , a large heart , no nodule .", "heart is large ."]
KNOWN = [["no emphysema . a nodule ."], ["heart is large .", "a large heart ."], ["a nodule ."]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return encoder(tmp_path_factory.mktemp("encoder"), layers=3)


def f1_by_hand(folder, said, known, layer):
    """Cosines one by one; the first and the last token of a text may be matched but do not count."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()

    def vectors(text):
        with torch.no_grad():
            return model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[layer][0]

    def mean_of_best(tokens, others):
        best = [max(torch.cosine_similarity(one, other, dim=0).item() for other in others) for one in tokens[1:-1]]
        return sum(best) / len(best)

    one, other = vectors(said), vectors(known)
    precision, recall = mean_of_best(one, other), mean_of_best(other, one)
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("layers", [None, 0, 2])
@pytest.mark.parametrize("batch_size", [1, 8])
def test_each_token_finds_its_most_similar_one(folder, layers, batch_size):
    layer = -1 if layers is None else layers
    expected = [
        max(f1_by_hand(folder, said, text, layer) for text in known) for said, known in zip(SAID, KNOWN, strict=True)
    ]
    scores = bertscore(SAID, KNOWN, folder, layers=layers, device="cpu", batch_size=batch_size)
    assert scores == pytest.approx(expected, abs=1e-5)


def test_equal_texts_have_one_and_empty_texts_nothing(folder):
    assert bertscore([SAID[0], ""], [[SAID[0]], ["a nodule ."]], folder, device="cpu") == pytest.approx(
        [1, 0], abs=1e-5
    )


@pytest.mark.parametrize("references", [[["a"]], [["a"], []]])
def test_references_that_do_not_fit_are_refused(folder, references):
    with pytest.raises(ValueError, match="one list of references, none empty"):
        bertscore(["a", "b"], references, folder)

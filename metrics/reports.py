"""Scores of reports against reference reports, as papers print them. No torch, no Java, no network.

BLEU, METEOR, ROUGE-L and CIDEr are coco-caption's, on the words that its tokenizer finds; METEOR in the variant that
`metrics.meteor` states. ROUGE-1 and ROUGE-2 are rouge-score's. All of them are fractions of 1 but CIDEr, which is on
its own scale. BERTScore needs a model and lives in `evaluation.bertscore`.
"""

from __future__ import annotations

from collections.abc import Sequence

from .bleu import bleu
from .cider import cider
from .crg import crg
from .meteor import meteor
from .rouge import rouge_l, rouge_n
from .tokenization import tokenize


def score_reports(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Scores of a corpus: bleu_1 to bleu_4, meteor, rouge_1, rouge_2, rouge_l, cider.

    Args:
        hypotheses: one text for each exam.
        references: one or more texts for each exam.

    Raises:
        ValueError: there is no text, not one list of references for each, or a list without a text.
        ImportError: the libraries of the extra `eval` are not installed.

    >>> scores = score_reports(["A small nodule.", "No effusion."], [["A nodule."], ["No effusion.", "Clear."]])
    >>> {name: round(score, 3) for name, score in scores.items() if name.startswith("rouge")}
    {'rouge_1': 0.9, 'rouge_2': 0.5, 'rouge_l': 0.915}
    """
    return score_exams(hypotheses, references)[0]


def score_exams(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """(scores of the corpus, scores of each exam by itself), arguments and errors as of `score_reports`.

    BLEU and METEOR of a corpus are no means: they count over all texts before they divide.
    """
    _check(hypotheses, references)
    said = [tokenize(text) for text in hypotheses]
    known = [[tokenize(text) for text in given] for given in references]
    pairs = list(zip(said, known, strict=True))
    ngrams = [rouge_n(text, given) for text, given in zip(hypotheses, references, strict=True)]
    bleus = [bleu([words], [given]) for words, given in pairs]
    corpus = {f"bleu_{order}": score for order, score in enumerate(bleu(said, known), start=1)}
    each = {f"bleu_{order}": [scores[order - 1] for scores in bleus] for order in range(1, 5)}
    corpus["meteor"], each["meteor"] = meteor(said, known)
    each["rouge_1"], each["rouge_2"] = ([scores[place] for scores in ngrams] for place in (0, 1))
    each["rouge_l"] = [rouge_l(words, given) for words, given in pairs]
    each["cider"] = cider(said, known)
    return corpus | {name: _mean(scores) for name, scores in each.items() if name not in corpus}, each


def _check(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if not hypotheses or len(hypotheses) != len(references):
        raise ValueError(
            f"one list of references for each of the texts; got {len(hypotheses)} texts and {len(references)} lists"
        )
    for number, given in enumerate(references):
        if isinstance(given, str) or not given:
            raise ValueError(f"references[{number}] is a list of one or more texts; got {given!r:.60}")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


__all__ = ["crg", "score_exams", "score_reports"]

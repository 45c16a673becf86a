"""Scores of reports: numbers derived by hand, properties, and the reference implementation's own published ones."""

import doctest
import math
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.metrics import meteor as meteor_module
from med3d_r1.metrics._libraries import require
from med3d_r1.metrics.bleu import bleu
from med3d_r1.metrics.cider import cider
from med3d_r1.metrics.meteor import meteor
from med3d_r1.metrics.reports import score_reports
from med3d_r1.metrics.rouge import rouge_l, rouge_n
from med3d_r1.metrics.tokenization import PUNCTUATION, tokenize

REAL = os.environ.get("MED3D_R1_REAL_DATA")
NAMES = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_1", "rouge_2", "rouge_l", "cider")

words = st.lists(
    st.sampled_from(["a", "no", "nodule", "nodules", "effusion", "is", "was", "been", "has", "seen"]), max_size=12
)
texts = words.filter(bool)


@pytest.mark.parametrize(
    "name", ["bleu", "cider", "crg", "labels", "meteor", "reports", "rouge", "statistics", "tokenization"]
)
def test_the_examples_run(name):
    assert doctest.testmod(import_module(f"med3d_r1.metrics.{name}")).failed == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No change in the patient's chest.", "no change in the patient 's chest"),
        ("It isn't, it can't and it cannot.", "it is n't it ca n't and it can not"),
        ("Patients' hearts; they're large!", "patients hearts they 're large"),
        ("Ground-glass and/or non-calcified (left/right)", "ground-glass and/or non-calcified -lrb- left/right -rrb-"),
        ("1.5 x 2 cm. It is 10.5mm or 5mm.", "1.5 x 2 cm it is 10.5 mm or 5mm"),
        ("3-4 mm, -5 HU, 50%, T8/T9, 12/05/2020", "3-4 mm -5 hu 50 % t8/t9 12/05/2020"),
        ("A nodule.There is one", "a nodule.there is one"),  # as the original: the stop lacks its space
        ("2.No effusion", "2 no effusion"),
        ("Dr. Smith saw Fig. 2, e.g. vs. the prior CT.", "dr. smith saw fig. 2 e.g. vs. the prior ct."),
        ("E. coli. Type A. There is", "e. coli type a there is"),
        ('"Halo" -- or ... \u2026', "halo or"),
        ("it\u2019s \u201cclear\u201d \u2013 don\u2019t, 3\u20134 mm", "it 's clear do n't 3 4 mm"),
        ("\u00bd of it, 2 cm\u00b2; 37 \u00b0C \U0001f600", "1/2 of it 2 cm \u00b2 37 \u00b0 c"),
        ("non\u2011small, 2.5-cm, size:5mm, No.5", "non\u2011small 2.5-cm size :5 mm no. 5"),
        ("DON'T! At 3 o'clock?!", "do n't at 3 o'clock ?!"),
        ("", ""),
    ],
)
def test_words_as_in_the_penn_treebank(text, expected):
    assert tokenize(text) == expected.split()


@given(st.text())
def test_no_text_has_punctuation_or_space_for_words(text):
    for token in tokenize(text):
        assert token not in PUNCTUATION
        assert token.strip() == token != ""


def test_bleu_by_hand():
    """Two texts: "a b c d" against "a b c e", "x y" against "x z y" or "x y w".

    Unigrams 3/4 and 2/2, together 5/6; bigrams 2/3 and 1/1, 3/4; trigrams 1/2 of the first alone; no 4-gram.
    Lengths 4 + 2 against 4 + 3 (the second's references both have 3): brevity exp(1 - 7/6).
    """
    said = [list("abcd"), list("xy")]
    known = [[list("abce")], [list("xzy"), list("xyw")]]
    brevity = math.exp(1 - 7 / 6)
    expected = [
        brevity * 5 / 6,
        brevity * math.sqrt(5 / 6 * 3 / 4),
        brevity * (5 / 6 * 3 / 4 * 1 / 2) ** (1 / 3),
        brevity * (5 / 6 * 3 / 4 * 1 / 2 * 1e-15 / 1) ** (1 / 4),
    ]
    assert bleu(said, known) == pytest.approx(expected)


def test_orders_that_a_short_text_has_not_got_are_not_quite_nothing():
    """Two right words: 1/1 for words and for the pair; then 0 of 0, which coco-caption takes for 1e-15 / 1e-9."""
    assert bleu([["no", "nodule"]], [[["no", "nodule"]]]) == pytest.approx([1, 1, 1e-6 ** (1 / 3), 1e-12 ** (1 / 4)])


GOLDEN = {
    "several references": (
        ["A small nodule is seen in the right upper lobe.", "There is no pleural effusion."],
        [
            ["A nodule is seen in the right lobe.", "One small nodule, right upper lobe.", "Small nodule."],
            ["No pleural effusion is seen.", "There is no effusion"],
        ],
        (1.0, 0.960769, 0.837493, 0.665205, 0.467675, 0.907063, 3.852320),
    ),
    "one alone": (
        ["The heart is large."],
        [["The heart is enlarged.", "A large heart is seen."]],
        (1.0, 0.816497, 0.693361, 0.000135, 0.323972, 0.75, 0.0),
    ),
    "short": (
        ["Emphysema", "clear lungs"],
        [["Emphysema"], ["Both lungs are clear."]],
        (0.513417, 0.0, 0.0, 0.0, 0.324243, 0.657216, 2.086118),
    ),
    "many": (
        [
            "A nodule of 5 mm.",
            "Effusion on the left; atelectasis beside it.",
            "Clear lungs, normal heart.",
            "Calcified nodes (hilum).",
        ],
        [
            ["A nodule of 6 mm."],
            ["A left effusion with atelectasis."],
            ["Lungs are clear. Heart is normal."],
            ["Calcified hilar nodes."],
        ],
        (0.619048, 0.269869, 0.177604, 0.000028, 0.322150, 0.513336, 2.111999),
    ),
}
"""Texts of our own, and what coco-caption gives for them: BLEU-1 to 4, METEOR, ROUGE-L and CIDEr of the package
pycocoevalcap 1.2, with its Java programs."""


@pytest.mark.parametrize("name", GOLDEN)
def test_scores_are_those_of_coco_caption(name):
    hypotheses, references, expected = GOLDEN[name]
    scores = score_reports(hypotheses, references)
    columns = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "cider")
    assert [scores[column] for column in columns] == pytest.approx(expected, abs=1e-4)


def test_the_closest_reference_counts_for_the_length_and_the_shorter_of_two():
    """Of references with 2 and 4 words the text of 3 takes the one with 2: no penalty."""
    assert bleu([["a", "b", "c"]], [[["a", "b", "c", "d"], ["a", "b"]]])[0] == pytest.approx(1)
    assert bleu([["a", "b", "c"]], [[["a", "b", "c", "d"], ["a"]]])[0] == pytest.approx(math.exp(1 - 4 / 3))


def test_rouge_l_takes_the_best_precision_and_the_best_recall():
    """ "a b c" against "a x b y" (common 2: 2/3, 2/4) and "c" (common 1: 1/3, 1/1): P = 2/3, R = 1, beta = 1.2."""
    expected = (1 + 1.44) * 2 / 3 / (1 + 1.44 * 2 / 3)
    assert rouge_l(["a", "b", "c"], [["a", "x", "b", "y"], ["c"]]) == pytest.approx(expected)
    assert rouge_l(["a"], [["b"], []]) == rouge_l([], [["a"]]) == 0


def longest_by_trying(one, other):
    if not one or not other:
        return 0
    if one[0] == other[0]:
        return 1 + longest_by_trying(one[1:], other[1:])
    return max(longest_by_trying(one[1:], other), longest_by_trying(one, other[1:]))


@given(st.lists(st.sampled_from("abc"), max_size=7), st.lists(st.sampled_from("abc"), max_size=7))
def test_the_longest_common_subsequence_is_the_one_found_by_trying(one, other):
    common = longest_by_trying(one, other)
    precision, recall = common / max(len(one), 1), common / max(len(other), 1)
    expected = (1 + 1.44) * precision * recall / (recall + 1.44 * precision) if common else 0
    assert rouge_l(one, [other]) == pytest.approx(expected)


def test_rouge_n_is_the_best_f1_over_references():
    """ "a small nodule" against "a nodule": 2 of 3 and 2 of 2 words, no bigram; against "small nodule": one bigram."""
    assert rouge_n("A small nodule.", ["a nodule"]) == pytest.approx((4 / 5, 0))
    assert rouge_n("A small nodule.", ["a nodule", "small, nodule"]) == pytest.approx((4 / 5, 2 / 3))


def test_cider_by_hand():
    """Three exams, unigrams alone shared. "a" stands in the references of all three: weight log(3/3) = 0; "b" in one
    and "x" in none (counted as one): log 3 each. "b x" against "b": cosine 1 / sqrt 2 for unigrams; the bigram has no
    partner. One bigram against none: exp(-1 / 72). Mean over four orders, times 10.
    """
    said = [["b", "x"], ["a"], ["c"]]
    known = [[["b"], ["a"]], [["a"]], [["a", "c"]]]
    close = 1 / math.sqrt(2) * math.exp(-1 / 72)
    scores = cider(said, known)
    assert scores[0] == pytest.approx(10 * close / 4 / 2)  # the mean over two references, of which "a" weighs nothing
    assert scores[1] == 0
    # "c" against "a c": the unigram "a" weighs nothing, so cosine 1; one bigram less
    assert scores[2] == pytest.approx(10 * math.exp(-1 / 72) / 4)


def test_one_text_alone_has_no_rare_words():
    assert cider([["a", "b"]], [[["a", "b"]]]) == [0]


def test_meteor_by_hand():
    """ "nodules seen there" against "a nodule there": stem .6 x .75, exact function word .25.

    P: (.45 + .25) / (.75 + .75 + .25), R: the same over (.25 + .75 + .25); two words in two pieces: the penalty is
    .6 x (2/2) ** .2.
    """
    precision, recall = 0.7 / 1.75, 0.7 / 1.25
    expected = 0.4 * precision * recall / (0.85 * precision + 0.15 * recall)
    assert meteor([["nodules", "seen", "there"]], [[["a", "nodule", "there"]]])[0] == pytest.approx(expected)


def test_meteor_takes_the_alignment_with_the_fewest_pieces():
    """ "no" may go to either "no" of the reference; beside "effusion" it makes one piece of two words."""
    said, known = ["no", "effusion"], ["no", "nodule", "no", "effusion"]
    precision, recall = 1, 1.0 / 2.0
    mean = precision * recall / (0.85 * precision + 0.15 * recall)
    assert meteor([said], [[known]])[0] == pytest.approx((1 - 0.6 * (1 / 2) ** 0.2) * mean)


def test_meteor_matches_forms_of_to_be():
    same = meteor([["nodules", "have", "been", "seen"]], [[["nodules", "were", "seen"]]])[0]
    other = meteor([["nodules", "have", "been", "seen"]], [[["nodules", "are", "seen"]]])[0]
    assert same > other > 0


def test_meteor_of_a_corpus_sums_before_it_divides():
    """One text that is right and one with nothing: half of the words match. A text that is all right has no pieces.
    "heart effusion" against "effusion nodule": one word of two on both sides, in one piece.
    """
    corpus, each = meteor([["effusion"], ["nodule"]], [[["effusion"]], [["heart"]]])
    assert each == [1, 0]
    assert corpus == pytest.approx(0.5)
    corpus, each = meteor([["effusion"], ["heart", "effusion"]], [[["effusion"]], [["effusion", "nodule"]]])
    assert each == pytest.approx([1, (1 - 0.6) * 0.5])
    assert corpus == pytest.approx((1 - 0.6 * (1 / 2) ** 0.2) * 2 / 3)


@given(texts, texts)
def test_meteor_is_bounded_and_full_for_equal_texts(said, known):
    corpus, (score,) = meteor([said], [[known]])
    assert 0 <= score <= 1
    assert corpus == score
    assert meteor([said], [[said]])[0] == pytest.approx(1)


@given(texts, texts, texts)
def test_meteor_takes_the_best_reference(said, one, other):
    single = [meteor([said], [[known]])[0] for known in (one, other)]
    assert meteor([said], [[one, other]])[0] == pytest.approx(max(single))


def best_by_trying(said, known):
    """(matched words, -pieces) of the best alignment of exact and stem matches, of all alignments."""
    stems = [meteor_module._stem(word) for word in known]

    def options(at, used, end):
        if at == len(said):
            return [(0, 0)]
        found = options(at + 1, used, -1)
        for to, stem in enumerate(stems):
            if to not in used and stem == meteor_module._stem(said[at]):
                found = found + [
                    (words + 1, pieces - (to != end)) for words, pieces in options(at + 1, used | {to}, to + 1)
                ]
        return [max(found)]

    return options(0, frozenset(), -1)[0]


@given(
    st.lists(st.sampled_from(["a", "no", "nodule", "nodules"]), max_size=5),
    st.lists(st.sampled_from(["a", "no", "nodule", "nodules"]), max_size=5),
)
def test_the_alignment_is_the_best_of_all(said, known):
    counts = meteor_module._count(tuple(said), tuple(known))
    pieces = counts.chunks or int(bool(counts.matched))  # one piece of everything is counted as none
    assert (counts.matched, -pieces) == best_by_trying(said, known)


def test_equal_reports_have_full_marks():
    reports = [
        "The heart is large. No pleural effusion was seen.",
        "A nodule of 5 mm lies in the left upper lobe.",
        "Emphysema of both upper lobes with bullae.",
    ]
    scores = score_reports(reports, [[report] for report in reports])
    assert list(scores) == list(NAMES)
    assert scores.pop("cider") == pytest.approx(10)
    assert scores == pytest.approx(dict.fromkeys(scores, 1))


@given(st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_scores_are_bounded(pairs):
    scores = score_reports([" ".join(said) for said, _ in pairs], [[" ".join(t) for t in known] for _, known in pairs])
    for name, score in scores.items():
        assert 0 <= score <= (10 if name == "cider" else 1) + 1e-9, name


def test_a_text_of_nothing_scores_nothing():
    scores = score_reports(["", "..."], [["A nodule."], ["No effusion."]])
    assert set(scores.values()) == {0.0}


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ([], [], "got 0 texts and 0 lists"),
        (["a"], [["a"], ["b"]], "got 1 texts and 2 lists"),
        (["a", "b"], ["a", "b"], r"references\[0\] is a list of one or more texts; got 'a'"),
        (["a", "b"], [["a"], []], r"references\[1\] is a list"),
    ],
)
def test_texts_and_references_that_do_not_fit_are_refused(hypotheses, references, message):
    with pytest.raises(ValueError, match=message):
        score_reports(hypotheses, references)


def test_a_missing_library_is_named():
    with pytest.raises(ImportError, match=r"report metrics need no_such_library: pip install 'med3d-r1\[eval\]'"):
        require("no_such_library.part")


def test_nothing_heavy_is_imported():
    code = "import sys, med3d_r1.metrics.reports as r; print({'torch', 'sacrebleu', 'nltk'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.skipif(not REAL, reason="MED3D_R1_REAL_DATA is not set")
def test_the_reference_implementations_numbers():
    """nlg-eval's, which runs coco-caption; and rouge-score's test pair."""
    folder = Path(REAL) / "metrics"

    def lines(name):
        return (folder / name).read_text(encoding="utf-8").splitlines()

    references = list(zip(lines("nlgeval_ref1.txt"), lines("nlgeval_ref2.txt"), strict=True))
    scores = score_reports(lines("nlgeval_hyp.txt"), references)
    published = {
        "bleu_1": 0.55,
        "bleu_2": 0.428174,
        "bleu_3": 0.284043,
        "bleu_4": 0.201143,
        "meteor": 0.295797,
        "rouge_l": 0.522104,
        "cider": 1.242192,
    }
    assert {name: scores[name] for name in published} == pytest.approx(published, abs=1e-6)
    target, prediction = ((folder / f"rouge_{name}.txt").read_text() for name in ("target", "prediction"))
    assert rouge_n(prediction, [target]) == pytest.approx((0.51163, 0.39024), abs=1e-5)

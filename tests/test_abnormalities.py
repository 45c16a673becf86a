"""The vocabulary of findings is consistent with itself."""

from collections import Counter

import pytest

from med3d_r1.abnormalities import (
    ALIASES,
    CHOICE_STEMS,
    CT_RATE_LABELS,
    CT_RATE_TO_RAD_CHESTCT,
    RAD_CHESTCT_TO_CT_RATE,
    SYNONYMS,
    TWINS,
    UNLABELLED,
    YES_NO_STEMS,
)


def test_there_are_18_labels():
    assert len(CT_RATE_LABELS) == len(set(CT_RATE_LABELS)) == 18
    assert (CT_RATE_LABELS[0], CT_RATE_LABELS[-1]) == ("Medical material", "Interlobular septal thickening")


def test_other_names_lead_to_labels():
    assert ALIASES["External medical device"] == "Medical material"
    assert set(ALIASES.values()) <= set(CT_RATE_LABELS)
    assert not set(ALIASES) & set(CT_RATE_LABELS)


def test_every_label_has_phrases_its_own_name_among_them():
    assert list(SYNONYMS) == list(CT_RATE_LABELS)
    assert all(label.lower() in SYNONYMS[label] for label in CT_RATE_LABELS)


def test_a_phrase_stands_for_one_label_and_is_literal():
    phrases = Counter(phrase for some in SYNONYMS.values() for phrase in some)
    assert [phrase for phrase, count in phrases.items() if count > 1] == []
    assert all(phrase == " ".join(phrase.lower().split()) for phrase in phrases)
    assert all(letter.isalnum() or letter in " -" for phrase in phrases for letter in phrase)


def test_27_columns_of_rad_chestct_make_17_labels():
    assert len(RAD_CHESTCT_TO_CT_RATE) == 27
    assert {label for labels in RAD_CHESTCT_TO_CT_RATE.values() for label in labels} == (
        set(CT_RATE_LABELS) - {"Mosaic attenuation pattern"}
    )
    assert Counter(len(columns) for columns in CT_RATE_TO_RAD_CHESTCT.values()) == {0: 1, 1: 15, 2: 1, 11: 1}


def test_both_ways_of_the_map_agree():
    assert {(column, label) for column, labels in RAD_CHESTCT_TO_CT_RATE.items() for label in labels} == {
        (column, label) for label, columns in CT_RATE_TO_RAD_CHESTCT.items() for column in columns
    }


@pytest.mark.parametrize("column", ["groundglass", "fibrosis", "airspace_disease", "air_trapping", "atherosclerosis"])
def test_columns_that_only_come_near_are_left_out(column):
    assert column not in RAD_CHESTCT_TO_CT_RATE


def test_twins_are_those_labels_that_share_all_their_columns():
    shared = [
        (one, other)
        for index, one in enumerate(CT_RATE_LABELS)
        for other in CT_RATE_LABELS[index + 1 :]
        if CT_RATE_TO_RAD_CHESTCT[one] and CT_RATE_TO_RAD_CHESTCT[one] == CT_RATE_TO_RAD_CHESTCT[other]
    ]
    assert dict(TWINS) == {"RAD-ChestCT": tuple(shared)}
    assert dict(UNLABELLED) == {"RAD-ChestCT": ("Mosaic attenuation pattern",)}


def test_stems_are_questions():
    for stem in (*CHOICE_STEMS, *(stem.format(finding="emphysema") for stem in YES_NO_STEMS)):
        assert stem.endswith("?")
        assert "{" not in stem
    assert len(set(CHOICE_STEMS)) >= 5
    assert all(stem.count("{finding}") == 1 for stem in YES_NO_STEMS)

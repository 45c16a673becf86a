"""The 18 labels read from free text: how they are named, denied and doubted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finding_sentences import ARGUED, ARGUED_FRESH, OFFERED, OFFERED_FRESH, SENTENCES
from med3d_r1.abnormalities import CT_RATE_LABELS, SYNONYMS
from med3d_r1.data.phantom.devices import KINDS
from med3d_r1.data.report_findings import findings_in

labels = st.sampled_from(CT_RATE_LABELS)


@given(labels, st.data())
def test_a_synonym_names_its_label(label, data):
    synonym = data.draw(st.sampled_from(SYNONYMS[label]))
    assert findings_in(f"There is {synonym}.")[label] == "present"
    assert findings_in(f"No {synonym}.")[label] == "absent"
    assert findings_in(f"Possible {synonym}.")[label] == "uncertain"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Small pleural effusion.", {"Pleural effusion": "present"}),
        ("No pleural or pericardial effusion.", {"Pericardial effusion": "absent", "Pleural effusion": "absent"}),
        ("Pleural thickening or effusion was not seen.", {"Pleural effusion": "absent"}),
        ("Pleural thickening and pericardial effusion.", {"Pericardial effusion": "present"}),
        ("Pleural effusion has resolved.", {"Pleural effusion": "absent"}),
        ("No effusion in the pleura, but emphysema.", {"Emphysema": "present", "Pleural effusion": "absent"}),
        ("Subcutaneous emphysema.", {}),
        ("Nodule in the left thyroid lobe.", {}),
        ("Nodule in the left upper lobe.", {"Lung nodule": "present"}),
        ("Nodular opacity in the lung.", {"Lung nodule": "present"}),
        ("The walls of the bronchi are thickened.", {"Peribronchial thickening": "present"}),
        ("Pleural thickening beside the bronchus.", {}),
        ("Interlobular septa are not thickened.", {"Interlobular septal thickening": "absent"}),
        ("Calcified plaques are seen in the coronary arteries.", {"Coronary artery wall calcification": "present"}),
        (
            "Plaques are seen in the aorta and in the coronary arteries.",
            {"Arterial wall calcification": "present", "Coronary artery wall calcification": "present"},
        ),
        ("Aortic valve calcification.", {}),
        ("Calcified lymph nodes.", {}),
        ("Lymph nodes are not enlarged.", {"Lymphadenopathy": "absent"}),
        ("Consolidation cannot be excluded.", {"Consolidation": "uncertain"}),
        ("A nodule, likely a granuloma.", {"Lung nodule": "present"}),
        ("Atelectasis is possible.", {"Atelectasis": "uncertain"}),
        ("No nodule. A nodule is seen in the lingula.", {"Lung nodule": "present"}),
        ("Atelectasis may be present. No atelectasis on the left.", {"Atelectasis": "uncertain"}),
        ("A nodule present\nB emphysema absent", {"Emphysema": "absent", "Lung nodule": "present"}),
        ("Seen nothing.\nB nodule absent\nC emphysema present", {"Emphysema": "present", "Lung nodule": "absent"}),
        ("The heart is mildly enlarged.", {"Cardiomegaly": "present"}),
        ("Mild enlargement of the cardiac silhouette.", {"Cardiomegaly": "present"}),
        ("The heart does not appear enlarged.", {"Cardiomegaly": "absent"}),
        ("The heart is normal, the aorta enlarged.", {}),
        ("Small effusion on the left.", {"Pleural effusion": "present"}),
        ("Effusion of the shoulder joint.", {}),
        ("Fluid in the left pleural space.", {"Pleural effusion": "present"}),
        ("Consolidative opacities.", {"Consolidation": "present"}),
        ("Collapse of the right middle lobe.", {"Atelectasis": "present"}),
        ("GGOs on both sides.", {"Lung opacity": "present"}),
        ("The ETT ends above the carina.", {"Medical material": "present"}),
        ("A para-oesophageal hernia.", {"Hiatal hernia": "present"}),
        (
            "Atelectasis versus scarring.",
            {"Atelectasis": "uncertain", "Pulmonary fibrotic sequela": "uncertain"},
        ),
        ("CT to exclude emphysema.", {"Emphysema": "uncertain"}),
        ("Emphysema should be ruled out.", {"Emphysema": "uncertain"}),
        ("Emphysema does not apply, the lungs are dense.", {"Emphysema": "absent"}),
        ("Emphysema - none.", {"Emphysema": "absent"}),
        ("Nodules: No new nodules.", {"Lung nodule": "absent"}),
        ("No effusion, 5 mm nodule at the apex.", {"Lung nodule": "present", "Pleural effusion": "absent"}),
        ("The chest is normal.", {}),
        ("", {}),
    ],
)
def test_what_a_text_says(text, expected):
    assert findings_in(text) == expected


@pytest.mark.parametrize(("text", "expected"), (SENTENCES | ARGUED | ARGUED_FRESH | OFFERED | OFFERED_FRESH).items())
def test_what_invented_sentences_say(text, expected):
    assert findings_in(text) == expected


@pytest.mark.parametrize("device", KINDS)
def test_every_device_of_a_synthetic_chest_is_medical_material(device):
    assert findings_in(f"There is a {device}.") == {"Medical material": "present"}
    assert findings_in(f"No {device}.") == {"Medical material": "absent"}


@given(st.lists(labels, unique=True, min_size=1, max_size=4))
def test_labels_come_in_their_official_order(chosen):
    found = findings_in(" ".join(f"There is {SYNONYMS[label][0]}." for label in chosen))
    assert set(chosen) <= found.keys()
    assert list(found) == sorted(found, key=CT_RATE_LABELS.index)

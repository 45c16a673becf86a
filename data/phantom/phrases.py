"""What a report may say about each abnormality, as pure data. All sentences are invented for this project.

Each template is one sentence. In braces stand, where the finding knows them: {where} ("in the right upper lobe"),
{side} ("right", "bilateral"), {size} ("14 mm"), {grade} ("mild"), {Grade}, {thing}, {kind}, {count} ("three").
"""

from __future__ import annotations

from typing import NamedTuple


class Phrases(NamedTuple):
    """Sentences about one abnormality.

    Attributes:
        present: it is there; several: it is there more than once; uncertain: it is probably there.
        absent: it is not there, and nothing else is wrong either.
        concluded: as an item of an impression.
    """

    present: tuple[str, ...]
    uncertain: tuple[str, ...]
    absent: tuple[str, ...]
    concluded: tuple[str, ...]
    several: tuple[str, ...] = ()


PHRASES: dict[str, Phrases] = {
    "Medical material": Phrases(
        present=(
            "{thing} is seen {where}.",
            "{thing} is in place {where}.",
            "The patient has {thing}.",
            "{thing} is noted {where}, without signs of a complication.",
            "There is {thing} {where}.",
        ),
        uncertain=("A dense structure {where} probably belongs to {thing}.",),
        absent=(
            "No catheter, tube or implanted device is seen.",
            "There are no devices or surgical clips.",
            "No foreign material is visible.",
        ),
        concluded=("{thing} in situ.", "{thing}.", "Status with {thing}."),
    ),
    "Arterial wall calcification": Phrases(
        present=(
            "{Grade} wall calcification is seen {where}.",
            "Calcified atherosclerotic plaques are present {where}.",
            "There are {grade} atheromatous calcifications {where}.",
            "The wall shows {grade} calcification {where}.",
            "Calcific plaques are noted {where}.",
            "{Grade} vascular calcifications are observed {where}.",
        ),
        uncertain=("Dense foci {where} are suggestive of wall calcification.",),
        absent=(
            "The thoracic aorta is of normal caliber and without plaques.",
            "The great vessels are unremarkable.",
            "Aorta and pulmonary arteries have a normal diameter and smooth walls.",
            "No calcified plaque is seen in the thoracic aorta.",
        ),
        concluded=("{Grade} aortic wall calcification.", "Atherosclerosis of the aorta.", "Calcified aortic plaques."),
    ),
    "Cardiomegaly": Phrases(
        present=(
            "The heart is {grade}ly enlarged.",
            "There is {grade} cardiomegaly.",
            "Heart size is increased.",
            "The cardiothoracic ratio is increased in favor of the heart.",
            "{Grade} enlargement of the cardiac silhouette is noted.",
            "The heart is larger than normal.",
        ),
        uncertain=(
            "The heart size is at the upper limit or slightly above it.",
            "The heart appears slightly enlarged.",
        ),
        absent=(
            "The heart is normal in size.",
            "Heart size is within normal limits.",
            "Heart contours and size are normal.",
            "The cardiac chambers are not enlarged.",
            "Cardiac size and configuration are normal.",
            "There is no cardiomegaly.",
        ),
        concluded=("Cardiomegaly.", "{Grade} cardiomegaly.", "Enlarged heart."),
    ),
    "Pericardial effusion": Phrases(
        present=(
            "There is a {grade} pericardial effusion with a thickness of {size}.",
            "Pericardial fluid measuring up to {size} is seen.",
            "A pericardial effusion surrounds the heart.",
            "Fluid with a depth of {size} is present in the pericardial space.",
            "{Grade} effusion is observed in the pericardium.",
        ),
        uncertain=("There may be a small pericardial effusion.",),
        absent=(
            "No pericardial effusion or thickening is seen.",
            "There is no pericardial effusion.",
            "The pericardium is normal.",
            "No fluid is detected in the pericardial space.",
            "Pericardial thickness is normal and there is no effusion.",
        ),
        concluded=("Pericardial effusion.", "{Grade} pericardial effusion.", "Pericardial effusion of {size}."),
    ),
    "Coronary artery wall calcification": Phrases(
        present=(
            "Calcified plaques are seen {where}.",
            "There is {grade} coronary artery calcification {where}.",
            "Wall calcifications are present {where}.",
            "{Grade} calcific atherosclerosis is noted {where}.",
            "Coronary calcifications are observed {where}.",
        ),
        uncertain=("Punctate densities {where} may correspond to coronary calcification.",),
        absent=(
            "No coronary calcification is seen.",
            "The coronary arteries show no calcified plaque.",
            "There are no calcifications along the coronary arteries.",
            "The course of the coronary arteries is unremarkable on this non-gated study.",
        ),
        concluded=(
            "Coronary artery calcification.",
            "{Grade} coronary artery calcification.",
            "Coronary atherosclerosis.",
        ),
    ),
    "Hiatal hernia": Phrases(
        present=(
            "A hiatal hernia measuring {size} is seen.",
            "There is a {grade} sliding hiatal hernia.",
            "A part of the stomach has herniated into the chest through the hiatus.",
            "{Grade} herniation of the stomach is observed at the esophageal hiatus.",
            "The gastric fundus protrudes above the diaphragm behind the heart.",
        ),
        uncertain=("The distal esophagus is prominent, possibly due to a small hiatal hernia.",),
        absent=(
            "The esophagus is unremarkable.",
            "There is no hiatal hernia.",
            "The esophagus has a normal course and wall thickness.",
            "No pathological wall thickening of the esophagus is seen.",
        ),
        concluded=("Hiatal hernia.", "{Grade} hiatal hernia.", "Sliding hiatal hernia of {size}."),
    ),
    "Lymphadenopathy": Phrases(
        present=(
            "Enlarged lymph nodes are seen {where}, with a short axis of up to {size}.",
            "Lymph nodes {where} are enlarged and measure up to {size}.",
            "There is lymphadenopathy {where}.",
            "Pathologically enlarged nodes are present {where}, the largest measuring {size}.",
            "Several nodes {where} exceed normal size; the largest has a short axis of {size}.",
        ),
        uncertain=("Prominent lymph nodes {where} are suspicious for lymphadenopathy.",),
        absent=(
            "No enlarged lymph nodes are seen in the mediastinum or the hila.",
            "There is no mediastinal, hilar or axillary lymphadenopathy.",
            "No lymph node in pathological size or appearance is detected.",
            "Mediastinal lymph nodes are not enlarged.",
            "A few small lymph nodes with a short axis below 8 mm are within normal limits.",
        ),
        concluded=("Lymphadenopathy {where}.", "Enlarged lymph nodes {where}.", "Lymphadenopathy, up to {size}."),
    ),
    "Emphysema": Phrases(
        present=(
            "{Grade} {kind} emphysema is seen {where}.",
            "There are {grade} {kind} emphysematous changes {where}.",
            "Emphysematous areas are observed {where}.",
            "The lungs show {grade} emphysema, {kind} in type.",
            "Low-density areas without walls {where} are consistent with {kind} emphysema.",
        ),
        uncertain=("Slightly reduced density {where} is suggestive of early emphysema.",),
        absent=(
            "There is no emphysema.",
            "No emphysematous change, bulla or cyst is seen.",
            "No bulla or air cyst is observed.",
        ),
        concluded=("{Grade} emphysema.", "Emphysema {where}.", "{kind} emphysema."),
    ),
    "Atelectasis": Phrases(
        present=(
            "{kind} atelectasis is seen {where}.",
            "There is {grade} {kind} atelectasis {where}.",
            "Atelectatic changes are present {where}.",
            "An atelectatic area with a thickness of {size} is observed {where}.",
            "Volume loss with {kind} atelectasis is noted {where}.",
        ),
        uncertain=("A density {where} most likely represents atelectasis.",),
        absent=(
            "No atelectasis is seen.",
            "There is no collapse or volume loss in either lung.",
            "Both lungs are fully expanded.",
        ),
        concluded=("Atelectasis {where}.", "{Grade} {kind} atelectasis.", "{kind} atelectasis {where}."),
        several=("{kind} atelectatic bands are seen {where}.", "Atelectatic bands are present {where}."),
    ),
    "Lung nodule": Phrases(
        present=(
            "A {kind} nodule measuring {size} is seen {where}.",
            "There is a {size} {kind} pulmonary nodule {where}.",
            "A {kind} nodule with a diameter of {size} is present {where}.",
            "{where}, a {kind} nodule of {size} is observed.",
            "A {size} {kind} nodular lesion is noted {where}.",
        ),
        uncertain=(
            "A {size} nodular density {where} is suspicious and follow-up is recommended.",
            "A {size} lesion {where} could represent a nodule.",
        ),
        absent=(
            "No nodule or mass is seen in either lung.",
            "There is no suspicious pulmonary nodule.",
            "No mass or nodular lesion is detected in the lungs.",
        ),
        concluded=("Pulmonary nodule {where}.", "{kind} nodule {where}, {size}.", "Lung nodule, {size}."),
        several=(
            "{Count} {kind} nodules are seen {where}, the largest measuring {size}.",
            "There are {count} {kind} pulmonary nodules {where}, up to {size} in diameter.",
            "Multiple {kind} nodules are present {where}; the largest is {size}.",
        ),
    ),
    "Lung opacity": Phrases(
        present=(
            "Ground-glass opacity is seen {where}.",
            "There is a {grade} hazy opacity {where}.",
            "A ground-glass density of {size} is present {where}.",
            "An area of increased density in which vessels remain visible is observed {where}.",
        ),
        uncertain=("A faint opacity {where} may be infectious.",),
        absent=(
            "No ground-glass opacity is seen.",
            "No ground-glass density is detected in either lung.",
            "There is no hazy opacity in the lung parenchyma.",
            "A slight density gradient towards the back of both lungs is position-dependent and normal.",
        ),
        concluded=("Ground-glass opacity {where}.", "Lung opacity {where}.", "{Grade} ground-glass opacity."),
        several=(
            "Patchy ground-glass opacities are seen {where}.",
            "There are {count} areas of ground-glass density {where}.",
            "Multifocal hazy opacities are present {where}.",
        ),
    ),
    "Pulmonary fibrotic sequela": Phrases(
        present=(
            "Fibrotic sequela changes are seen {where}.",
            "There are {grade} fibrotic bands {where}.",
            "Pleuroparenchymal sequelae are present {where}.",
            "{Grade} scarring with thickening of the adjacent pleura is observed {where}.",
            "Linear fibrotic densities are noted {where}.",
        ),
        uncertain=("Irregular lines {where} probably represent old fibrotic sequelae.",),
        absent=(
            "No fibrotic change or scar is seen.",
            "There is no fibrosis or architectural distortion.",
            "No sequela change is observed in the lung parenchyma.",
        ),
        concluded=("Fibrotic sequelae {where}.", "{Grade} fibrotic sequela changes.", "Scarring {where}."),
    ),
    "Pleural effusion": Phrases(
        present=(
            "There is a {grade} {side} pleural effusion.",
            "{Grade} {side} pleural effusion with a thickness of {size} is seen.",
            "{side} pleural fluid reaches a thickness of {size}.",
            "Pleural effusion is present {where}, measuring up to {size}.",
            "Fluid with a depth of {size} is observed {where}.",
        ),
        uncertain=("A thin stripe {where} may represent a small pleural effusion.",),
        absent=(
            "No pleural effusion or thickening is seen.",
            "There is no pleural effusion or pneumothorax.",
            "The pleural spaces are free.",
            "Both costophrenic angles are clear.",
            "No fluid is detected in either pleural cavity.",
        ),
        concluded=("{side} pleural effusion.", "{Grade} {side} pleural effusion.", "Pleural effusion, {size}."),
    ),
    "Mosaic attenuation pattern": Phrases(
        present=(
            "A {grade} mosaic attenuation pattern is seen {where}.",
            "Both lungs show mosaic attenuation.",
            "Areas of different density give both lungs a mosaic appearance.",
            "There is {grade} mosaic attenuation {where}, possibly due to small airway disease.",
            "Mosaic density differences are present {where}.",
        ),
        uncertain=("A faint mosaic attenuation pattern {where} cannot be excluded.",),
        absent=(
            "There is no mosaic attenuation or air trapping.",
            "No mosaic attenuation is seen.",
            "No area of air trapping is observed.",
        ),
        concluded=("Mosaic attenuation pattern.", "{Grade} mosaic attenuation.", "Mosaic attenuation in both lungs."),
    ),
    "Peribronchial thickening": Phrases(
        present=(
            "{Grade} peribronchial thickening is seen in both lungs.",
            "The bronchial walls are {grade}ly thickened on both sides.",
            "There is {grade} bronchial wall thickening, more evident near the hila.",
            "Peribronchial cuffing is present in both hilar regions.",
            "Thickened walls of the central bronchi are observed.",
        ),
        uncertain=("The walls of the central bronchi appear slightly thickened.",),
        absent=(
            "The bronchial walls are of normal thickness.",
            "No bronchial wall thickening is seen.",
            "The trachea and both main bronchi are open.",
            "Trachea and main bronchi are patent and of normal caliber.",
        ),
        concluded=("Peribronchial thickening.", "{Grade} bronchial wall thickening.", "Thickened bronchial walls."),
    ),
    "Consolidation": Phrases(
        present=(
            "{kind} consolidation is seen {where}.",
            "There is a consolidation of {size} with air bronchograms {where}.",
            "An airspace consolidation is present {where}.",
            "A {kind} consolidative area is observed {where}.",
            "Dense consolidation measuring {size} is noted {where}.",
        ),
        uncertain=("An airspace density {where} is suspicious for pneumonic consolidation.",),
        absent=(
            "No consolidation is seen in either lung.",
            "There is no airspace consolidation.",
            "No pneumonic consolidation is detected.",
        ),
        concluded=("Consolidation {where}.", "{kind} consolidation {where}.", "Findings of pneumonia {where}."),
        several=("Consolidations are seen {where}.", "Patchy areas of consolidation are present {where}."),
    ),
    "Bronchiectasis": Phrases(
        present=(
            "{Grade} {kind} bronchiectasis is seen {where}.",
            "There are bronchiectatic changes {where}.",
            "Dilated bronchi with a lumen of up to {size} are present {where}.",
            "The bronchi {where} are {grade}ly widened.",
            "{kind} bronchiectasis is observed {where}.",
        ),
        uncertain=("Bronchi {where} appear slightly dilated, suggestive of bronchiectasis.",),
        absent=(
            "No bronchiectasis is seen.",
            "The bronchi taper normally towards the periphery.",
            "There is no dilatation of the bronchi.",
        ),
        concluded=("Bronchiectasis {where}.", "{Grade} {kind} bronchiectasis.", "Bronchiectatic changes {where}."),
    ),
    "Interlobular septal thickening": Phrases(
        present=(
            "{Grade} interlobular septal thickening is seen {where}.",
            "The interlobular septa are {grade}ly thickened {where}.",
            "Smooth thickening of the interlobular septa is present {where}.",
            "There are thickened septal lines {where}.",
            "A reticular pattern caused by thickened interlobular septa is noted {where}.",
        ),
        uncertain=("Fine lines {where} raise the suspicion of septal thickening.",),
        absent=(
            "The interlobular septa are not thickened.",
            "No septal thickening is seen.",
            "There is no reticular pattern in either lung.",
        ),
        concluded=(
            "Interlobular septal thickening.",
            "{Grade} interlobular septal thickening.",
            "Septal thickening {where}.",
        ),
    ),
}

BOTH_CALCIFICATIONS = (
    "Calcified plaques are seen in the walls of the aorta and the coronary arteries.",
    "There are atherosclerotic wall calcifications in the thoracic aorta and in the coronary arteries.",
    "Aortic and coronary artery calcifications are present.",
)
"""One sentence for two abnormalities."""

DENIALS = {
    "Lung nodule": "nodule", "Lung opacity": "ground-glass opacity", "Consolidation": "consolidation",
    "Atelectasis": "atelectasis", "Emphysema": "emphysema", "Bronchiectasis": "bronchiectasis",
    "Pulmonary fibrotic sequela": "fibrotic change", "Interlobular septal thickening": "septal thickening",
    "Pleural effusion": "pleural effusion",
}  # fmt: skip
"""What a list of things that are not there may name, when the abnormality is not there."""

HARMLESS_DENIALS = ("mass", "cavity", "pneumothorax", "cyst")
DENIAL_LISTS = (
    "No {list} is seen in either lung.",
    "There is no {list}.",
    "No {list} is detected.",
    "The lungs show no {list}.",
    "Both lungs are free of {list}.",
)
CLEAR_LUNGS = (
    "Both lungs are clear.",
    "Aeration of both lungs is normal.",
    "The lung parenchyma is unremarkable.",
    "No active infiltration or mass lesion is detected in either lung.",
)
"""When no abnormality of the lungs is there."""

INCIDENTAL = {
    "vertebral osteophytes": (
        "Degenerative osteophytes are seen at the corners of the thoracic vertebrae.",
        "There are degenerative changes with bridging osteophytes in the spine.",
    ),
    "hepatic cyst": (
        "A cyst of {size} is seen in the right lobe of the liver.",
        "There is a hypodense hepatic lesion of {size}, consistent with a cyst.",
    ),
    "thyroid nodule": (
        "A hypodense lesion of {size} is seen in the right lobe of the thyroid.",
        "The right thyroid lobe contains a hypodense nodule of {size}.",
    ),
}
"""Findings that are none of the 18; their sentences are abnormal all the same."""

NORMAL_SURROUNDINGS = {
    "vertebral osteophytes": (
        "The bones are unremarkable.",
        "No lytic or sclerotic bone lesion is seen.",
        "Vertebral body heights are preserved.",
    ),
    "hepatic cyst": (
        "The included part of the liver is normal.",
        "The visualized part of the liver and the spleen is unremarkable.",
        "No mass is seen in the included upper abdomen.",
    ),
    "thyroid nodule": (
        "The thyroid gland is of normal size and density.",
        "No lesion is seen in the included part of the neck.",
    ),
}

NORMAL_IMPRESSIONS = (
    "No acute cardiopulmonary abnormality.",
    "Normal chest CT.",
    "No pathological finding in the chest.",
    "Findings within normal limits.",
    "There is no evidence of an active lung disease.",
)

REASSURANCES = {
    "Consolidation": "No evidence of pneumonia.",
    "Lung nodule": "No suspicious pulmonary nodule.",
    "Pleural effusion": "No pleural effusion.",
    "Lymphadenopathy": "No pathological lymph nodes.",
}
"""Normal items that an impression may end with, when the abnormality is not there."""

CLINICAL_INFORMATION = (
    "Cough and fever.", "Shortness of breath for two weeks.", "Chest pain.", "Follow-up.", "Preoperative evaluation.",
    "Weight loss, malignancy?", "Suspected infection.", "Control examination.", "Dyspnea on exertion.", "Check-up.",
    "Not given.", "Not given.", "Not given.",
)  # fmt: skip
"""Drawn whatever the disease: the reason for a scan would otherwise tell its result."""

PLAIN_REGIONS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("Medical material",), "No devices are seen."),
    (("Cardiomegaly",), "The heart is of normal size."),
    (("Pericardial effusion",), "The pericardium is normal."),
    (("Arterial wall calcification",), "The aorta is normal."),
    (("Coronary artery wall calcification",), "The coronary arteries are normal."),
    (("Hiatal hernia",), "The esophagus is normal."),
    (("Lymphadenopathy",), "The lymph nodes are normal."),
    (("Peribronchial thickening", "Bronchiectasis"), "The airways are normal."),
    (("Emphysema", "Mosaic attenuation pattern", "Interlobular septal thickening"), "The lung tissue is normal."),
    (
        ("Lung nodule", "Lung opacity", "Consolidation", "Atelectasis", "Pulmonary fibrotic sequela"),
        "No lesion is seen in the lungs.",
    ),
    (("Pleural effusion",), "The pleura is normal."),
)
"""(abnormalities, sentence when there is none of them) of each region, in the order in which a report names them."""

__all__ = ["BOTH_CALCIFICATIONS", "CLEAR_LUNGS", "CLINICAL_INFORMATION", "DENIALS", "DENIAL_LISTS", "HARMLESS_DENIALS",
           "INCIDENTAL", "NORMAL_IMPRESSIONS", "NORMAL_SURROUNDINGS", "PHRASES", "PLAIN_REGIONS", "REASSURANCES",
           "Phrases"]  # fmt: skip

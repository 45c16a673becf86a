"""The vocabulary of findings, as pure data: CT-RATE's 18 abnormalities, their words in reports, RAD-ChestCT's names.

Labels are always written as in CT-RATE ("Lung nodule"), and always in its order.
"""

CT_RATE_LABELS = (
    "Medical material",
    "Arterial wall calcification",
    "Cardiomegaly",
    "Pericardial effusion",
    "Coronary artery wall calcification",
    "Hiatal hernia",
    "Lymphadenopathy",
    "Emphysema",
    "Atelectasis",
    "Lung nodule",
    "Lung opacity",
    "Pulmonary fibrotic sequela",
    "Pleural effusion",
    "Mosaic attenuation pattern",
    "Peribronchial thickening",
    "Consolidation",
    "Bronchiectasis",
    "Interlobular septal thickening",
)
"""CT-RATE's 18 abnormalities in the order of its label files (huggingface.co/datasets/ibrahimhamamci/CT-RATE)."""

ALIASES = {
    "External medical device": "Medical material",
    "Lung nodules": "Lung nodule",
    "Pulmonary nodule": "Lung nodule",
    "Pulmonary opacity": "Lung opacity",
    "Mosaic attenuation": "Mosaic attenuation pattern",
    "Peribronchial wall thickening": "Peribronchial thickening",
}
"""Names under which other tables and papers give the same labels -> the label."""

SYNONYMS = {
    "Medical material": (
        "medical material", "medical device", "external device", "external material", "foreign material",
        "support device", "foreign body", "catheter", "central line", "central venous line", "port chamber",
        "port-a-cath", "portacath",
        "picc", "picc line", "chest port", "venous port", "pacemaker", "pacing lead", "pacemaker lead", "icd lead",
        "defibrillator", "cardiac device", "pacer", "cardioverter", "loop recorder", "ecg lead", "ekg lead", "stent",
        "endotracheal tube", "tracheostomy", "tracheal cannula",
        "tracheostomy cannula", "nasogastric tube", "feeding tube", "gastrostomy tube", "orogastric tube",
        "gastric tube", "enteric tube", "ett", "et tube", "ng tube", "og tube", "tube", "chest tube", "thorax tube",
        "pleural drain", "drainage tube", "drain", "surgical clip", "clip",
        "suture", "suture material",
        "staple", "staple line", "sternal wire", "sternotomy wire", "cerclage", "sternotomy suture", "prosthesis",
        "prosthetic", "prosthetic valve", "valve prosthesis", "valve replacement", "mechanical valve", "graft",
        "bypass graft",
        "breast implant", "implant", "screw", "plate and screw", "fixation material", "hardware", "osteosynthesis",
        "coil", "ivc filter", "vena cava filter", "metallic density", "operation material", "surgical material",
        "monitoring electrode", "ventricular shunt", "shunt catheter",
    ),
    "Arterial wall calcification": (
        "arterial wall calcification", "arterial calcification", "arterial wall calcified plaque",
        "vascular calcification", "vascular wall calcification", "aortic calcification", "aortic wall calcification",
        "calcification of the aorta", "calcification in the aorta", "calcifications of the aorta",
        "calcifications in the aorta", "calcified aorta", "calcified aortic plaque", "aortic plaque",
        "aortic arch calcification", "calcified plaque in the aorta", "calcified plaques in the aorta",
        "calcified atheroma", "calcified atheromatous plaque", "calcific atheromatous plaque",
        "atheromatous calcification", "atherosclerotic calcification", "atherosclerotic plaque", "atheromatous plaque",
        "atheroma plaque", "atherosclerosis", "atherosclerotic change", "atherosclerotic wall calcification",
        "calcific atherosclerosis", "calcified atherosclerosis", "calcification of the arterial wall",
        "calcifications of the arterial walls", "calcification of the supraaortic branches",
    ),
    "Cardiomegaly": (
        "cardiomegaly", "enlarged heart", "heart is enlarged", "heart size is enlarged", "heart size is increased",
        "heart size increased", "heart size has increased", "increased heart size", "increase in heart size",
        "large heart", "cardiac enlargement", "enlargement of the heart", "enlarged cardiac silhouette",
        "cardiac silhouette is enlarged", "heart shadow is enlarged", "increased cardiothoracic ratio",
        "cardiothoracic ratio is increased", "cardiothoracic index increased", "cardiothoracic index is increased",
        "cardiothoracic ratio increased", "increased cardiothoracic index", "dilated heart", "heart is dilated",
        "cardiac dilatation", "dilatation of the heart chambers", "heart chambers are dilated", "biatrial enlargement",
        "left ventricular enlargement", "heart dimensions are increased", "heart sizes are increased",
    ),
    "Pericardial effusion": (
        "pericardial effusion", "pericardial fluid", "fluid in the pericardium", "fluid in the pericardial space",
        "fluid in the pericardial sac", "effusion in the pericardium", "effusion in the pericardial space",
        "effusion in the pericardial area", "pericardial collection", "pericardial fluid collection",
        "fluid around the heart", "hemopericardium", "haemopericardium", "pericardial tamponade",
        "pericardial smear-like effusion", "fluid in the pericardial recess",
    ),
    "Coronary artery wall calcification": (
        "coronary artery wall calcification", "coronary artery calcification", "coronary arterial calcification",
        "coronary calcification", "coronary wall calcification", "calcified coronary artery",
        "calcified coronary plaque", "coronary artery plaque", "coronary plaque", "coronary calcific plaque",
        "calcification of the coronary artery", "calcification of the coronary arteries",
        "calcification in the coronary artery", "calcification in the coronary arteries",
        "calcifications of the coronary arteries", "calcifications in the coronary arteries",
        "calcified plaque in the coronary artery", "calcified plaques in the coronary arteries",
        "calcific plaque in the coronary artery", "calcific plaques in the coronary arteries",
        "calcified atheroma plaque in the coronary artery", "calcified atheroma plaques in the coronary arteries",
        "coronary atherosclerosis", "coronary artery atherosclerosis", "coronary atherosclerotic calcification",
        "coronary artery atheroma", "atheroma plaques in the coronary arteries", "coronary atheromatous plaque",
        "lad calcification", "calcification of the lad", "calcification in the lad",
    ),
    "Hiatal hernia": (
        "hiatal hernia", "hiatus hernia", "hiatal herniation", "sliding hernia", "sliding-type hernia",
        "sliding type hernia", "paraesophageal hernia", "paraoesophageal hernia", "para-esophageal hernia",
        "para-oesophageal hernia", "gastric hernia",
        "gastric herniation", "herniation of the stomach", "stomach herniation", "intrathoracic stomach",
        "stomach above the diaphragm", "diaphragmatic hernia", "herniation through the hiatus",
        "herniation through the esophageal hiatus", "hernia at the esophageal hiatus", "widened esophageal hiatus",
        "esophageal hiatus is widened", "enlarged esophageal hiatus",
    ),
    "Lymphadenopathy": (
        "lymphadenopathy", "lymphadenopathies", "adenopathy", "adenopathies", "lymphadenomegaly", "enlarged lymph node",
        "enlarged node", "enlarged mediastinal lymph node", "enlarged hilar lymph node", "enlarged axillary lymph node",
        "enlarged mediastinal node", "enlarged hilar node", "lymph node enlargement", "nodal enlargement",
        "lymph nodes are enlarged", "lymph node is enlarged", "pathological lymph node", "pathologic lymph node",
        "pathologically enlarged lymph node", "pathologically sized lymph node", "lymph node in pathological size",
        "lymph nodes in pathological size", "increased lymph node size", "prominent lymph node", "bulky lymph node",
        "conglomerate lymph node", "lymph node conglomerate", "nodal mass", "hilar mass of lymph nodes",
        "metastatic lymph node", "nodal metastasis", "necrotic lymph node", "suspicious lymph node",
    ),
    "Emphysema": (
        "emphysema", "emphysematous", "emphysematous change", "emphysematous area", "centrilobular emphysema",
        "centriacinar emphysema", "paraseptal emphysema", "panlobular emphysema", "panacinar emphysema",
        "bullous emphysema", "bulla", "bullae", "bullous change", "bleb", "emphysematous bulla", "emphysematous lung",
        "parenchymal destruction",
    ),
    "Atelectasis": (
        "atelectasis", "atelectases", "atelectatic", "atelectatic change", "atelectatic band", "atelectatic area",
        "linear atelectasis", "subsegmental atelectasis", "segmental atelectasis", "lobar atelectasis",
        "plate-like atelectasis", "platelike atelectasis", "discoid atelectasis", "band atelectasis",
        "band-like atelectasis", "compression atelectasis", "compressive atelectasis", "passive atelectasis",
        "round atelectasis", "rounded atelectasis", "dependent atelectasis", "basal atelectasis",
        "bibasilar atelectasis", "collapse of the lung", "collapse of the lobe", "lobar collapse", "lung collapse",
        "collapse of the upper lobe", "collapse of the middle lobe", "collapse of the lower lobe",
        "upper lobe collapse",
        "middle lobe collapse", "lower lobe collapse", "lung is collapsed", "lobe is collapsed", "collapsed lung",
        "collapsed lobe", "collapsed segment", "volume loss", "loss of volume", "loss of aeration",
    ),
    "Lung nodule": (
        "lung nodule", "pulmonary nodule", "nodule", "nodular lesion", "nodular density", "nodular opacity",
        "nodular lesion in the lung", "parenchymal nodule", "micronodule", "pulmonary micronodule", "noduli", "nodulus",
        "nodular", "millimetric nodule", "nonspecific nodule", "subpleural nodule", "solid nodule", "subsolid nodule",
        "part-solid nodule", "semisolid nodule", "semi-solid nodule", "ground glass nodule", "ground-glass nodule",
        "calcified nodule", "calcific nodule", "perifissural nodule", "fissural nodule", "intrapulmonary lymph node",
        "centrilobular nodule", "centriacinar nodule", "granuloma", "calcified granuloma", "pulmonary metastasis",
        "pulmonary metastases", "lung metastasis", "lung metastases", "metastatic nodule", "coin lesion",
    ),
    "Lung opacity": (
        "lung opacity", "pulmonary opacity", "lung opacities", "pulmonary opacities", "opacity", "opacities",
        "parenchymal opacity", "airspace opacity", "air space opacity", "ground glass", "ground-glass", "groundglass",
        "ground glass opacity", "ground-glass opacity", "ground glass density", "ground-glass density", "ggo",
        "ground glass densities", "ground glass area", "frosted glass", "frosted-glass", "frosted glass density",
        "density increase", "increase in density", "increased density", "increased attenuation", "infiltrate",
        "infiltration", "infiltrative change", "infiltrative area", "hazy density", "haziness", "patchy density",
        "patchy opacity", "crazy paving", "crazy-paving", "tree-in-bud pattern", "tree-in-bud appearance",
        "pneumonic infiltration", "opacification",
    ),
    "Pulmonary fibrotic sequela": (
        "pulmonary fibrotic sequela", "fibrotic sequela", "fibrotic sequelae", "sequela", "sequelae", "sequelae change",
        "sequela change", "sequel change", "sequelae fibrotic change", "sequela fibrotic change", "fibrotic change",
        "fibrotic band", "fibrotic density", "fibrotic density increase", "fibrotic recession", "fibrotic retraction",
        "fibrotic streak", "fibroatelectatic", "fibroatelectatic change", "fibroatelectatic sequela", "fibrosis",
        "pulmonary fibrosis", "fibrotic", "fibrous band", "fibrotic scar", "scar", "scarring", "cicatricial change",
        "cicatrix", "apical scarring", "pleuroparenchymal sequela", "pleuroparenchymal sequelae",
        "pleuroparenchymal band", "pleuroparenchymal fibrotic change", "pleuroparenchymal sequelae density",
        "parenchymal band", "honeycombing", "honeycomb appearance", "honeycomb", "fibronodular", "fibrocalcific",
        "fibrotic reticulation", "architectural distortion", "structural distortion",
    ),
    "Pleural effusion": (
        "pleural effusion", "effusion", "effusion in the pleural space", "effusion in the pleural cavity",
        "pleural fluid",
        "fluid in the pleural space", "fluid in the pleural cavity", "pleural fluid collection", "pleural collection",
        "fluid in the fissure", "fissural effusion", "loculated effusion", "layering effusion", "bilateral effusion",
        "hydrothorax", "hemothorax", "haemothorax", "empyema", "hydropneumothorax", "chylothorax",
        "free pleural effusion", "subpulmonic effusion", "pleural effusion in the hemithorax",
    ),
    "Mosaic attenuation pattern": (
        "mosaic attenuation pattern", "mosaic attenuation", "mosaic pattern", "mosaic perfusion", "mosaic density",
        "mosaic density pattern", "mosaic density difference", "mosaic appearance", "mosaic lung attenuation",
        "mosaic lung pattern", "mosaic type density", "mosaic ventilation", "mosaic oligemia", "mosaic lung",
        "air trapping", "air-trapping", "inhomogeneous lung attenuation", "heterogeneous lung attenuation",
        "patchy areas of low and high density", "alternating areas of low and high attenuation",
    ),
    "Peribronchial thickening": (
        "peribronchial thickening", "peribronchial wall thickening", "peribronchial cuffing", "bronchial cuffing",
        "bronchial wall thickening", "bronchial thickening", "bronchial wall thickness increase",
        "bronchial wall thickness is increased", "increased bronchial wall thickness", "thickened bronchial wall",
        "thickened bronchus", "thickened bronchi", "thick-walled bronchi", "thickening of the bronchial wall",
        "thickening of the bronchial walls", "thickening of the bronchi", "thickening in the bronchial wall",
        "thickening in the bronchial walls", "bronchial walls are thickened", "bronchial wall is thickened",
        "walls of the bronchi are thickened", "airway wall thickening", "airway thickening", "thickened airway",
        "peribronchovascular thickening", "peribronchial interstitial thickening", "peribronchial sheathing",
        "bronchovascular thickening", "minimal peribronchial thickness", "peribronchial thickness increase",
    ),
    "Consolidation": (
        "consolidation", "consolidative", "consolidated", "consolidative area", "consolidative opacity",
        "consolidative change", "airspace consolidation", "air space consolidation", "alveolar consolidation",
        "lobar consolidation", "consolidated lung", "consolidated area", "consolidated lobe", "consolidation area",
        "pneumonic consolidation", "air bronchogram", "lobar pneumonia", "bronchopneumonia", "airspace disease",
        "alveolar filling", "hepatization",
    ),
    "Bronchiectasis": (
        "bronchiectasis", "bronchiectases", "bronchiectatic", "bronchiectatic change", "bronchiectatic airway",
        "bronchiolectasis", "bronchiolectases", "traction bronchiectasis", "cystic bronchiectasis",
        "cylindrical bronchiectasis", "tubular bronchiectasis", "varicose bronchiectasis", "saccular bronchiectasis",
        "dilated bronchus", "dilated bronchi", "dilated airway", "bronchial dilatation", "bronchial dilation",
        "dilatation of the bronchi", "dilation of the bronchi", "bronchial ectasia", "widened bronchi",
        "widening of the bronchi", "bronchi are widened", "bronchi are dilated", "ectatic bronchus", "ectatic bronchi",
        "signet ring", "signet-ring", "bronchial enlargement", "luminal enlargement of the bronchi",
    ),
    "Interlobular septal thickening": (
        "interlobular septal thickening", "interlobular septa thickening", "interlobular septum thickening",
        "thickened interlobular septum", "thickened interlobular septa", "interlobular septa are thickened",
        "thickening of the interlobular septum", "thickening of the interlobular septa",
        "thickening in the interlobular septa", "interlobular thickening",
        "interlobular and intralobular septal thickening", "interseptal thickening", "interlobar septal thickening",
        "septal thickening", "smooth septal thickening", "nodular septal thickening", "septal line", "thickened septa",
        "thickened septum", "septal prominence", "prominent interlobular septa", "kerley line", "kerley b line",
        "interstitial thickening", "thickening of the interstitium", "inter-intralobular septal thickening",
        "reticular thickening of the septa",
    ),
}  # fmt: skip
"""Label -> phrases that stand for it in reports: lower case, literal, most in the singular, the common ones first.

They are broad and written from general radiological usage, not taken from any data set. Three limits are known: they
say nothing about negation, some are shared in part ("nodular opacity" names a nodule and holds the word "opacity", so
that the longest phrase at a place should win), and a few are also used for other organs ("nodule" of the thyroid).
"""

RAD_CHESTCT_TO_CT_RATE = {
    "catheter_or_port": ("Medical material",),
    "hardware": ("Medical material",),
    "breast_implant": ("Medical material",),
    "chest_tube": ("Medical material",),
    "tracheal_tube": ("Medical material",),
    "gi_tube": ("Medical material",),
    "staple": ("Medical material",),
    "pacemaker_or_defib": ("Medical material",),
    "clip": ("Medical material",),
    "suture": ("Medical material",),
    "stent": ("Medical material",),
    "calcification": ("Arterial wall calcification", "Coronary artery wall calcification"),
    "cardiomegaly": ("Cardiomegaly",),
    "pericardial_effusion": ("Pericardial effusion",),
    "hernia": ("Hiatal hernia",),
    "lymphadenopathy": ("Lymphadenopathy",),
    "emphysema": ("Emphysema",),
    "atelectasis": ("Atelectasis",),
    "nodule": ("Lung nodule",),
    "nodulegr1cm": ("Lung nodule",),
    "opacity": ("Lung opacity",),
    "scarring": ("Pulmonary fibrotic sequela",),
    "pleural_effusion": ("Pleural effusion",),
    "bronchial_wall_thickening": ("Peribronchial thickening",),
    "consolidation": ("Consolidation",),
    "bronchiectasis": ("Bronchiectasis",),
    "septal_thickening": ("Interlobular septal thickening",),
}
"""RAD-ChestCT's column (before the `*`) -> the CT-RATE labels that it makes true: 27 of its 84 columns.

The Med3D-R1 paper maps 27 of the 84 to the 18 after BrgSA (arXiv 2501.03565); no repository states the table. This one
is reconstructed: set arithmetic gives exactly 27, and 8 of 8 checked rows of BrgSA's own label file agree. Left out
although they come near: groundglass (opacity), fibrosis (scarring), airspace_disease, air_trapping, atherosclerosis.
"""

CT_RATE_TO_RAD_CHESTCT = {
    label: tuple(column for column, labels in RAD_CHESTCT_TO_CT_RATE.items() if label in labels)
    for label in CT_RATE_LABELS
}
"""CT-RATE label -> the RAD-ChestCT columns of which any makes it true; () for one that RAD-ChestCT does not label."""

TWINS = {"RAD-ChestCT": (("Arterial wall calcification", "Coronary artery wall calcification"),)}
"""Data set -> pairs of labels that are equal in every scan, because both come from the same column."""

UNLABELLED = {"RAD-ChestCT": tuple(label for label, columns in CT_RATE_TO_RAD_CHESTCT.items() if not columns)}
"""Data set -> labels that it never says, present or not: Mosaic attenuation pattern in RAD-ChestCT."""

CHOICE_STEMS = (
    "Which of these abnormalities is present in this scan?",
    "Which of the following findings does this chest CT show?",
    "One of these findings can be seen in this scan. Which one?",
    "Look at the whole volume. Which finding applies to it?",
    "Which abnormality do you see in this chest CT?",
    "Which of the findings below would you report for this scan?",
)
"""Questions with options of which one is right, without the options."""

YES_NO_STEMS = (
    "Is {finding} present in this scan?",
    "Does this chest CT show {finding}?",
    "Do you see {finding} in this volume?",
    "Would you report {finding} for this scan?",
    "Is there {finding}?",
)
"""Questions that are answered with yes or no; `{finding}` is a label in small letters."""

CHECKLIST_STEM = "Say of each of these findings whether it is present in this scan:"
FULL_CHECKLIST_STEM = "Go through all findings and say whether they are present in this scan."
LIST_STEM = "Which findings are present in this scan?"
"""Questions about several labels: one that goes on with them, in small letters, one about all of them, and one that is
answered with those that are there."""

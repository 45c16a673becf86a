"""Invented sentences of chest CT reports with their labels, in several reporting styles. No real report is quoted.

They are for measuring, and each set was written down before the rules had seen any of it: docs/sentence-labels.md gives
the accuracy of the first run and of today's.
"""


def _lines(text: str) -> tuple[str, ...]:
    return tuple(text.strip().splitlines())


NORMAL = (
    # airways and lungs
    "Both main bronchi and the trachea are open.",
    "The trachea lies in the midline and no obstructive pathology is seen in its lumen.",
    "Aeration of both lungs is normal.",
    "No mass, nodule or infiltration was detected in either lung.",
    "In the parenchymal window both lungs are ventilated normally, without an infiltrative or nodular lesion.",
    "No focus of active infection is present in the lung parenchyma.",
    "A finding in favour of pneumonia was not detected.",
    "Lung parenchyma shows no ground-glass opacity or consolidation.",
    "The central airways are patent to the subsegmental level.",
    "There is neither bronchiectasis nor bronchial wall thickening.",
    "Lungs: clear.",
    "Pleural effusion: none.",
    "Pleura: no effusion, no thickening.",
    "Pleural effusion or thickening was not observed on either side.",
    "Bilateral pleural effusion-thickening was not observed.",
    "No air is seen in the pleural space.",
    "No suspicious pulmonary nodule.",
    "Nothing to suggest interstitial lung disease.",
    "There are no signs of pulmonary embolism down to the segmental branches.",
    "The previously described ground-glass opacities have completely resolved.",
    "The nodule in the left lower lobe seen previously is no longer visible.",
    "Complete resolution of the right-sided pneumonia.",
    "Costophrenic sinuses are free on both sides.",
    # heart, vessels, mediastinum
    "Heart contour and size are natural.",
    "Heart size is within normal limits, and no pericardial effusion was observed.",
    "The cardiothoracic index is in the normal range.",
    "Calibration of the mediastinal great vessels is normal.",
    "The widths of the aorta and of the pulmonary arteries are normal.",
    "The pulmonary trunk measures 24 mm and is of normal calibre.",
    "No thickening or effusion was detected in the pericardium.",
    "No lymph node of pathological size or appearance was detected in the mediastinum, the hila or the axillae.",
    "Mediastinal and hilar lymph nodes are not enlarged.",
    "Lymph nodes in the axillary regions are normal in size and keep their fatty hila.",
    "The calibre of the oesophagus is normal and its wall is not thickened.",
    "No pathological wall thickening is seen in the thoracic esophagus.",
    "The thyroid gland is homogeneous and of normal size.",
    "The coronary arteries are free of calcification.",
    "The chambers of the heart are not dilated.",
    "No cardiomegaly.",
    "Great vessels: unremarkable.",
    "The thoracic aorta has a regular contour without aneurysm or dissection.",
    "No hiatal hernia was seen.",
    # abdomen, bones, soft tissue
    "Included parts of the upper abdominal organs are unremarkable.",
    "The liver, spleen and both adrenal glands are normal in the sections that pass through the upper abdomen.",
    "No space-occupying lesion is seen in the part of the liver that is covered.",
    "Density and size of the liver are natural.",
    "No upper abdominal free fluid or collection was detected.",
    "Both kidneys are in their usual location and show no dilatation of the collecting system.",
    "Vertebral body heights are preserved.",
    "Bone structures within the field of view are intact.",
    "No lytic or destructive lesion was detected in the bones.",
    "The alignment of the thoracic spine is normal and the intervertebral disc spaces are maintained.",
    "Thoracic kyphosis is preserved.",
    "No fracture line was seen in the ribs.",
    "Soft tissues of the chest wall are normal.",
    "Breast tissue shows no mass on either side.",
    # whole exams and comparisons
    "Normal chest CT.",
    "Findings within normal limits.",
    "No acute cardiopulmonary pathology.",
    "No significant change since the previous examination.",
    "The appearance of the mediastinum is unchanged from the earlier scan.",
    "Chest CT without pathological finding.",
    "The examination reveals nothing abnormal.",
    "No evidence of metastatic disease in the chest.",
    "The chest tube that was present on the former examination has been removed.",
    # how the scan was made
    "Axial sections of 1.5 mm thickness were obtained without contrast agent.",
    "The scan was performed after injection of 80 ml of intravenous contrast material.",
    "Non-contrast chest CT.",
    "Images were acquired in the supine position at full inspiration.",
    # not nearly, not only: harder ones
    "The heart is neither enlarged nor displaced.",
    "Neither pericardial nor pleural fluid is present.",
    "Apart from respiratory artefacts, which do not hinder the reading, there is no abnormality.",
    "Tracheal calibre is regular, and no luminal mass is distinguished.",
    "Pulmonary nodules cannot be identified in either lung.",
    "A pneumothorax could not be demonstrated.",
    "Pneumonic consolidation is absent.",
    "Absence of pleural or pericardial effusion.",
    "Bilateral adrenal glands were normal and no space-occupying lesion was detected in them.",
    "Mediastinum without enlarged nodes, heart of ordinary size.",
)
"""Sentences that report nothing abnormal."""

ABNORMAL = (
    # airways and lungs
    "Several nodules of a few millimetres are seen in both lungs, the largest 5 mm in the right upper lobe.",
    "A 7 x 5 mm solid nodule is located in the lateral segment of the middle lobe.",
    "Nonspecific millimetric nodule in the lingula.",
    "Patchy ground-glass densities are present in the peripheral parts of both lower lobes.",
    "The appearance is compatible with Covid-19 pneumonia.",
    "Crazy paving pattern accompanies the consolidation in the posterior segments.",
    "Linear atelectasis is observed in the basal segments.",
    "Emphysematous changes are seen in both lungs, more marked in the upper lobes.",
    "Paraseptal air cysts in the apices.",
    "A bulla of 3 cm is noted in the left apex.",
    "Bronchial walls are diffusely thickened.",
    "Tubular bronchiectasis and peribronchial thickening in the lower lobes.",
    "Tree-in-bud opacities point to an infection of the small airways.",
    "Mosaic attenuation, which may reflect small airway or small vessel disease.",
    "Interlobular septa are thickened at both bases.",
    "Fibrotic sequela bands extend to the pleura in the left upper lobe.",
    "Honeycombing and traction bronchiectasis suggest a UIP pattern.",
    "Pleuroparenchymal sequelae in both apices.",
    "Calcified granuloma of 4 mm in the right lower lobe.",
    "There is a cavity with thick walls in the right upper lobe.",
    "Right-sided pleural effusion reaching 3 cm in its thickest place.",
    "Minimal effusion between the pleural leaves on the left.",
    "A thin pneumothorax is seen anteriorly on the right.",
    "The left main bronchus is obstructed by a soft tissue mass.",
    "Mucus plugs fill the segmental bronchi of the left lower lobe.",
    "The volume of the right upper lobe is diminished.",
    "The diaphragm stands higher on the right side.",
    "A diverticulum is seen at the right posterolateral wall of the trachea.",
    # heart, vessels, mediastinum
    "The heart is larger than normal.",
    "Cardiothoracic ratio has increased in favour of the heart.",
    "Calcific plaques in the coronary arteries and in the aortic arch.",
    "Calcified atheromatous plaques are observed along the wall of the aorta.",
    "The ascending aorta is ectatic with a diameter of 43 mm.",
    "The pulmonary trunk measures 34 mm and is wider than normal.",
    "Pericardial effusion of 12 mm is present.",
    "A filling defect is seen in the right lower lobe pulmonary artery.",
    "Lymphadenopathies are present in the paratracheal and subcarinal areas, the largest with a short axis of 16 mm.",
    "Lymph nodes in the mediastinum, the biggest of which is 9 mm in short diameter.",
    "Sliding type hiatal hernia.",
    "There is a hypodense nodule of 12 mm in the left thyroid lobe.",
    "The thyroid gland is enlarged and of heterogeneous density.",
    "A pacemaker with its leads in the right chambers is present.",
    "Central venous catheter ending in the superior vena cava.",
    "Sternotomy wires and signs of bypass surgery.",
    "Stent in the left anterior descending artery.",
    # abdomen, bones, soft tissue
    "The density of the liver has decreased, in keeping with steatosis.",
    "Hypodense lesion of 15 mm in segment 7 of the liver, possibly a cyst.",
    "The gallbladder was not observed (operated).",
    "A stone is seen in the gallbladder.",
    "A 20 mm adenoma in the left adrenal gland.",
    "The spleen is larger than usual.",
    "Cortical cyst in the upper pole of the left kidney.",
    "Degenerative changes of the vertebrae with bridging osteophytes.",
    "Height of the T8 vertebra is reduced.",
    "A sclerotic focus is noted in the left third rib, which may be a bone island.",
    "Old fractures of the right sixth and seventh ribs.",
    "Scoliosis with its convexity to the left.",
    "Bilateral gynecomastia.",
    "The left breast is absent after mastectomy.",
    "Fat-containing hernia of the anterior abdominal wall.",
    # comparisons and doubt
    "The nodule in the left lower lobe is stable.",
    "Consolidation in the right lower lobe has regressed but not cleared.",
    "Pleural effusion persists with no significant change.",
    "The mass has grown since the previous examination.",
    "Ground-glass opacities have partially resolved.",
    "Early infection cannot be excluded.",
    "Metastasis is not ruled out.",
    "Findings may be consistent with viral pneumonia.",
    "It was evaluated in favour of sequelae.",
    "Follow-up with CT in six months is recommended.",
    "Suspicious thickening of the oesophageal wall, endoscopy is advised.",
    # normal words beside a finding
    "Heart size is normal, but calcific plaques are seen in the coronary arteries.",
    "No pleural effusion, minimal pericardial fluid is present.",
    "The trachea is open, and a few small diverticula are seen on its right side.",
    "No consolidation was detected, there are linear atelectases at the bases.",
    "Apart from a small hiatal hernia no abnormality was detected.",
    "No active infiltration except for sequelae in the apex.",
    "The lungs are clear although emphysema is present in the upper zones.",
    "Vertebral heights are preserved with osteophytes at the corners.",
    "A nodule without calcification, 8 mm in size, is seen in the right lower lobe.",
    "Aeration of both lungs is normal except for a subpleural nodule of 4 mm.",
    "Nodule with regular margins in the lingula.",
    "Lymph nodes that do not reach pathological size are seen in the mediastinum.",
    "A new nodule, not present on the earlier CT, is seen in the left upper lobe.",
    "Not only the upper but also the lower lobes show emphysema.",
)
"""Sentences that report something abnormal."""

HARD_NORMAL = (
    "No evidence of pulmonary thromboembolism was found in the main, lobar or segmental pulmonary arteries.",
    "Pulmonary arteries fill homogeneously and no filling defect is discernible.",
    "The lung bases, as far as they are included, are clear.",
    "There is no thickening of the interlobular septa, no honeycombing and no reticulation.",
    "No air trapping on the expiratory scan.",
    "Mediastinal fat planes are preserved.",
    "Thymus is age-appropriate.",
    "The azygo-oesophageal recess is free.",
    "Right heart chambers are not enlarged and the interventricular septum is straight.",
    "Left ventricle of normal width.",
    "Aortic valve without calcification.",
    "The diameter of the ascending aorta is 32 mm, which is normal for age.",
    "Supraclavicular fossae are empty of enlarged nodes.",
    "No pathologically enlarged lymph nodes by size criteria.",
    "Lymph nodes are not pathologically enlarged.",
    "Both hila are of normal configuration.",
    "Both hemidiaphragms have a smooth contour and are in their normal position.",
    "Pleural surfaces are smooth.",
    "Pleural spaces are dry on both sides.",
    "The fissures are thin and in place.",
    "No pneumothorax or pneumomediastinum is present.",
    "Spleen homogeneous, not enlarged.",
    "Gallbladder without stones, bile ducts not dilated.",
    "The adrenals are slender on both sides.",
    "Pancreas unremarkable as far as visible.",
    "The visualised portion of the stomach has a normal wall thickness.",
    "No free intra-abdominal air.",
    "No acute fracture.",
    "No osteodestruction.",
    "Degenerative changes are absent.",
    "The vertebral bodies have a normal height and their posterior walls are aligned.",
    "Sternum, clavicles and scapulae show no abnormality.",
    "Skin and subcutaneous tissue are without finding.",
    "Axillary regions are unremarkable on both sides.",
    "Compared with the earlier study there is no new lesion.",
    "Formerly seen effusion no longer detectable.",
    "Interval resolution of the pneumothorax.",
    "Pneumonia has resolved.",
    "The drains have been removed.",
    "In summary a normal study.",
    "No CT correlate for the cough.",
    "Nothing focal.",
    "No follow-up needed.",
    "The bronchial system opens freely down to the subsegments.",
    "The tracheobronchial tree is unobstructed.",
    "Calibre and course of the trachea are normal.",
    "Esophagus not dilated.",
    "The esophagus has a normal course and calibre, without a hiatal hernia.",
    "Neither a mass nor an enlarged lymph node was found in the mediastinum, and the great vessels are of normal size.",
    "Ventilation of the lung parenchyma is natural and there is no space-occupying lesion.",
)
"""Normal sentences in less usual words: a second set, written after the rules had met the first."""

HARD_ABNORMAL = (
    "Trachea and main bronchi are open; however, the wall of the right main bronchus is irregular.",
    "Heart size is normal with left atrial dilatation.",
    "No pericardial effusion, coronary calcium score is high.",
    "The lungs are well aerated with a few peripheral blebs.",
    "Aeration is normal, accompanied by dependent densities at the bases.",
    "No consolidation is seen and there is an area of ground glass in the lingula.",
    "No lymphadenopathy was detected, but a 12 mm subcarinal node is seen.",
    "The thyroid is unremarkable save for a hypodense nodule.",
    "Normal heart, azygos lobe.",
    "No fracture, haemangioma in T9.",
    "The visualised liver is normal except for a hypodensity in segment 4.",
    "Adrenal glands are normal on the right and thickened on the left.",
    "Without contrast the known hilar mass is hard to delineate.",
    "No significant change in the pulmonary nodules.",
    "No change in the size of the aneurysm.",
    "No interval growth of the 6 mm nodule.",
    "Unchanged emphysema, no new nodule.",
    "Resolving pneumonia in the left lower lobe.",
    "Decreased but not completely resolved effusion.",
    "Near complete resolution of the consolidation.",
    "The effusion has not resolved.",
    "The nodule was not seen on the previous scan.",
    "Pulmonary embolism cannot be ruled out because of motion.",
    "No definite embolus, although a small subsegmental clot is possible.",
    "The lungs are clear apart from bibasal scarring.",
    "No effusion on the left, small effusion on the right.",
    "Right lung clear, left lung with reticular pattern.",
    "Left hemithorax is opacified and the mediastinum is displaced to the right.",
    "The tracheal cannula ends above the carina.",
    "Port system on the right side in situ.",
    "Status after lobectomy of the right upper lobe without local recurrence.",
    "The patient has had a mastectomy, and no recurrence is seen.",
    "Surgical clips in the axilla, no enlarged nodes.",
    "Kyphosis is increased.",
    "Vertebral compression at L1, posterior wall intact.",
    "Flattened diaphragms.",
    "Barrel-shaped thorax.",
    "Old granulomatous disease, no active process.",
    "Bones are demineralised.",
    "Increased interstitial markings without consolidation.",
    "Fluid-filled oesophagus.",
    "Dilated bronchi without mucus plugging.",
    "The main pulmonary artery is 33 mm wide, raising the question of pulmonary hypertension.",
    "Lung cancer with no sign of distant metastases.",
    "Elevation of the right hemidiaphragm with no effusion.",
    "Cardiac enlargement, no congestion.",
    "Well-defined round lesion in segment 6 with smooth margins.",
    "Mediastinal lymph nodes, all below 10 mm in short axis.",
    "Thickened left adrenal gland with preserved shape.",
    "Lesion in the liver with homogeneous enhancement.",
)
"""Abnormal sentences with a normal word or a denial in most of them: the second set's other half."""

FRESH_NORMAL = (
    "Mediastinal structures can be assessed only in part because the scan was made without contrast.",
    "Heart dimensions and contours are natural, the pericardial leaves are not thickened.",
    "Calibres of the great arteries are in the physiological range.",
    "In the evaluation of both lungs no parenchymal lesion was distinguished.",
    "Both hila are free of enlarged lymph nodes.",
    "No mediastinal lymph node with a short axis above 10 mm was measured.",
    "Right paratracheal lymph nodes are within normal limits in number and size.",
    "The oesophageal wall shows no increase in thickness.",
    "Bilateral main bronchi and lobar bronchi are open, their walls are of normal thickness.",
    "There is no finding compatible with bronchiectasis or emphysema.",
    "No area of consolidation, no ground glass and no crazy paving.",
    "Parenchymal attenuation of the lungs is uniform.",
    "Subpleural areas are free of reticular changes.",
    "The interlobar fissures show no thickening.",
    "No pleural collection on either side.",
    "The thoracic wall is unremarkable, and the ribs are intact.",
    "Corpus heights and intervertebral spaces are natural.",
    "No bone lesion suspicious for metastasis was identified.",
    "Liver contours are regular, its parenchyma is homogeneous.",
    "No stone was seen in the gallbladder or in the visualised upper poles of the kidneys.",
    "Adrenal gland calibrations are natural bilaterally and no mass was detected.",
    "Pancreas and spleen have a natural appearance.",
    "No pathologically enlarged node along the abdominal aorta.",
    "Coronary arteries without calcified plaque.",
    "The pulmonary veins drain normally.",
    "No intracardiac thrombus is suspected.",
    "No radiological finding of tuberculosis.",
    "Compared with the former scan the chest is unchanged and normal.",
    "The former consolidation has disappeared entirely.",
    "Regression of the former infiltrates is complete.",
    "The scan covers the chest from the apices to the adrenals.",
    "The dose-length product was 180 mGy cm.",
    "Lung apices without lesion.",
    "Airways: open. Pleura: no effusion.",
    "Tracheostoma closed, the trachea is of normal width now.",
    "There was no evidence of a space-occupying process.",
    "No abnormal enhancement after contrast.",
    "Inspiration depth is sufficient.",
    "Cardiac silhouette: not enlarged.",
    "Diaphragm domes are regular and of equal height.",
)
"""A third set, after the rules had met the second."""

FRESH_ABNORMAL = (
    "Two nodules in the right lung, each with a diameter of 4 mm.",
    "A 6 mm ground-glass nodule that has not been there before.",
    "Centriacinar nodules with a branching pattern in the right middle lobe.",
    "Pleural-based density of 12 mm, most probably fibrotic.",
    "Both lower lobes show subpleural curvilinear lines.",
    "The air content of the left lung is diminished.",
    "Air cyst of 14 mm in the posterobasal segment.",
    "Secretions are seen in the lumen of the trachea.",
    "The walls of the segmental bronchi are thick.",
    "Post-infectious band formation in the lingula.",
    "Apical pleural caps on both sides.",
    "Loculated fluid in the major fissure.",
    "Pleural plaques with calcification after asbestos exposure.",
    "Fluid reaching 9 mm is seen in the superior pericardial recess.",
    "The left atrium is prominent.",
    "LAD calcification.",
    "A valve prosthesis is seen in mitral position.",
    "The arch gives off an aberrant right subclavian artery.",
    "Ascending aorta 40 mm, descending aorta 31 mm: ectasia.",
    "Several prevascular nodes, the largest 11 x 8 mm.",
    "Conglomerate of nodes at the left hilum.",
    "The distal oesophagus is thick-walled.",
    "Part of the gastric fundus lies above the diaphragm.",
    "Retrosternal goitre pushing the trachea to the right.",
    "Hyperdense material in the gallbladder lumen, which may be sludge.",
    "The left kidney is smaller than the right one.",
    "Accessory spleen of 10 mm at the splenic hilum.",
    "Parenchymal calcification in segment 8 of the liver.",
    "Haemangioma in the body of T11.",
    "Narrowing of the intervertebral spaces with end plate irregularities.",
    "Fracture of the left clavicle fixed with a plate.",
    "Breast implant on the right, intact.",
    "The heart is of normal size, the left ventricular wall is thick.",
    "No effusion; linear scars in both bases.",
    "Trachea and main bronchi are patent, and mucus is seen in the right lower lobe bronchus.",
    "No lymph node enlargement; a calcified hilar node is noted.",
    "No sign of embolism with mild dilatation of the pulmonary trunk.",
    "Lungs well aerated, a single nodule of 3 mm.",
    "The nodules are unchanged in number and size.",
    "Residual opacity after pneumonia, clearly smaller than before.",
)
"""The third set's other half."""

LAST_NORMAL = (
    "Thoracic inlet: unremarkable.",
    "The parenchyma of both lungs is well ventilated, vascular structures taper normally.",
    "No lesion with the features of a malignancy.",
    "Lung parenchyma is free of nodules larger than 3 mm.",
    "A pulmonary infiltrate could not be discerned.",
    "No evidence for an infectious focus.",
    "Neither ground-glass opacities nor nodules are recognisable in the lungs.",
    "The pleura is tender and free of effusion.",
    "Sharp costophrenic angles on both sides.",
    "Carina and main bronchi show their usual course.",
    "Within the limits of a native scan the mediastinum is unremarkable.",
    "The mediastinum lies in the middle.",
    "Normal opacification of the pulmonary arteries after contrast.",
    "No right heart strain.",
    "Contrast passage through the heart chambers is regular.",
    "Pericardium is thin and without fluid.",
    "Lymph nodes: none enlarged.",
    "A few lymph nodes of normal size.",
    "Thyroid lobes are symmetrical and not enlarged.",
    "No mass in the breasts.",
    "The gastric wall is not thickened as far as can be judged.",
    "Upper abdomen: no pathological findings.",
    "No hydronephrosis, no stones.",
    "Aligned vertebrae with normal height.",
    "No suspicious bone lesion, no fracture.",
    "The ribs show no sign of a fracture.",
    "There is no difference from the previous CT.",
    "Effusions seen on the last scan are no longer present.",
    "Conclusion: no pathology in the chest.",
    "Overall normal findings for the patient's age.",
)
"""A fourth set, after the rules had met the third."""

LAST_ABNORMAL = (
    "Chest CT findings of moderate severity in line with viral pneumonia.",
    "Multilobar peripheral ground-glass areas, some of them round.",
    "Nodule of 9 mm with a spiculated edge in the right apex.",
    "A few nodules, all smaller than 5 mm and without change.",
    "Partly solid lesion of 18 mm, suspicious for adenocarcinoma.",
    "Old pleural thickening on the left.",
    "Bilateral lower lobe subsegmental collapse.",
    "Increased lung volumes and flattening of the diaphragm.",
    "The bronchi of the lower lobes are wider than the accompanying arteries.",
    "Air trapping in the expiratory images.",
    "Right upper lobectomy, the stump is unremarkable.",
    "Small hernia of the hiatus.",
    "Calcified plaque along the coronaries.",
    "A pericardial recess contains some fluid.",
    "Pacemaker on the left with intact electrodes.",
    "Left ventricle enlarged, otherwise the heart is normal.",
    "Aneurysmal widening of the descending aorta to 45 mm.",
    "Chronic embolus in the lower lobe artery with recanalisation.",
    "Mediastinal nodes are normal in number but up to 14 mm large.",
    "Thyroid nodules on both sides, the trachea is not narrowed.",
    "Hepatic cyst, unchanged.",
    "No liver metastases, two simple cysts.",
    "Cholecystectomy.",
    "Nephrolithiasis without obstruction.",
    "Mild thoracic scoliosis, vertebrae intact.",
    "Osteoporotic vertebra with loss of height.",
    "Healed rib fractures.",
    "Further evaluation by PET-CT is suggested.",
    "A pneumonic infiltrate at an early stage is conceivable.",
    "The known tumour has become smaller.",
)
"""The fourth set's other half."""

# the fifth set: how findings are denied, doubted, listed and headed, in many forms

WIDE_NORMAL = _lines("""
Trachea and both main bronchi are open.
Trachea, both main bronchi are open and no occlusive pathology was detected in the lumen.
No pathologically enlarged lymph node was observed in the mediastinum.
Mediastinal main vascular structures are of natural calibration.
Heart contour and size are normal.
Thoracic aorta diameter is normal.
Pericardial effusion-thickening was not observed.
Thoracic esophagus calibration was normal and no significant tumoral wall thickening was detected.
Both hemidiaphragms are in their normal position.
Aeration of both lung parenchyma is normal and no nodular or infiltrative lesion is detected in the lung parenchyma.
Pleural effusion-thickening was not detected.
Upper abdominal organs included in the sections are normal.
No space-occupying lesion was detected in the liver that entered the cross-sectional area.
Bilateral adrenal glands were normal and no space-occupying lesion was detected.
Bone structures in the study area are natural.
Vertebral corpus heights are preserved.
No lytic-destructive lesion was detected in bone structures.
The cardiothoracic ratio is within normal limits.
No focal consolidation, pneumothorax, or pleural effusion.
Lungs are clear bilaterally.
There is no evidence of pulmonary embolism.
The previously described nodule in the right upper lobe has resolved.
Previously seen pleural effusion is no longer seen.
Interval removal of the right chest tube.
No acute cardiopulmonary abnormality.
Cardiomediastinal silhouette is unremarkable.
The hilar contours are within normal limits.
No interval change.
Unremarkable appearance of the visualized upper abdomen.
The airways are patent to the subsegmental level.
Negative for pneumothorax.
The thyroid gland is unremarkable.
No suspicious osseous lesions.
No enlarged axillary, mediastinal or hilar lymph nodes by size criteria.
The main pulmonary artery is not dilated.
Heart size normal without pericardial effusion.
CT of the chest was performed without intravenous contrast.
Multidetector axial images were obtained from the thoracic inlet to the upper abdomen.
Comparison: CT dated 12.03.2019.
Coronal and sagittal reformats were reviewed.
The pulmonary vasculature is normal.
The pleural spaces are clear.
Neither pleural effusion nor pneumothorax is present.
Resolution of the previously noted left lower lobe consolidation.
There are no findings to suggest pneumonia.
Nothing to suggest active infection.
The esophagus is normal in course and caliber.
Lung volumes are normal.
No abnormal enhancement.
The great vessels are normal in caliber and course.
Soft tissues of the chest wall are unremarkable.
Gallbladder is present without stones.
There is no mediastinal shift.
No free air beneath the diaphragm.
Mediastinum is midline.
No axillary adenopathy is identified.
No discrete nodule, mass or infiltrate identified.
Both lungs are well aerated and free of consolidation.
The lungs remain clear.
The bronchovascular structures are normal.
Lymph nodes with short axis under 1 cm are not considered enlarged.
Ascending aorta measures 32 mm, within normal limits.
No pathological increase in wall thickness was observed in the esophagus within the sections.
In the upper abdominal sections within the image, no free fluid or loculated collection was detected.
When examined in the lung parenchyma window; no active infiltration or mass lesion was detected.
There was no pneumonic infiltration or consolidation area in both lungs.
Evaluation of the lung parenchyma reveals no mass, nodule or infiltration.
The left adrenal gland is normal in size and configuration.
No fracture or dislocation.
Visualized bony thorax is intact.
Ventilation of both lungs is natural.
No upper abdominal free fluid-collection was observed.
Pleura is normal bilaterally.
Nonspecific lymph nodes that do not reach pathological dimensions are not seen.
The interlobar fissures are thin and regular.
CTA shows no filling defect to the level of the segmental arteries.
Cardiac chambers are of normal size.
Examination within normal limits.
Normal chest CT.
Essentially negative examination.
Findings within normal limits for age.
Calibration of the vascular structures is natural.
No coronary calcification is appreciated.
The lungs are otherwise clear.
Study is negative for acute intrathoracic disease.
No hiatal hernia.
Absent pleural effusion.
The patient denies chest pain.
Pneumothorax: none.
Effusion - absent.
Airways: Patent.
HEART: Normal in size.
Lungs: No consolidation.
Mediastinal structures cannot be evaluated optimally because contrast material is not given.
The examination is unenhanced.
Clinical information: cough.
Indication: shortness of breath, rule out pneumonia.
No appreciable lymphadenopathy by CT size criteria.
No pneumothorax following removal of the chest drain.
There has been interval clearing of the right basilar opacity.
Previously noted effusions have completely resolved.
The nodule previously described is not identified on today's examination.
No CT evidence of interstitial lung disease.
Lungs appear hyperlucent? No.
No rib fractures are evident.
Spleen size is normal, parenchyma homogeneous.
There is no discernible endobronchial lesion.
The costophrenic angles are sharp.
The right kidney, left kidney and pancreas are normal.
No obvious bone destruction.
There is no significant pleural abnormality.
The diaphragm is normal.
Both costophrenic sinuses are open.
No evidence of acute infiltrate.
Bilateral lung apices are clear.
Mediastinal fat planes are preserved.
No significant atherosclerotic calcification.
Pericardium is of normal thickness.
There are no suspicious pulmonary nodules.
Pulmonary trunk caliber 26 mm, normal.
No pleural or pericardial effusion.
The heart is not enlarged.
The trachea and central airways are widely patent.
No endobronchial lesions.
There is no axillary, supraclavicular, mediastinal, or hilar lymphadenopathy.
The lungs are well-expanded and clear without focal airspace disease.
No pneumothorax is seen on either side.
Cardiac silhouette and mediastinal contours are within normal limits.
There is no evidence for acute osseous abnormality.
Osseous structures are intact.
No displaced rib fractures identified.
There are no acute bony findings.
The previously noted right pleural effusion has cleared.
The right IJ catheter has been removed.
Interval extubation.
Previously seen ground-glass opacities are no longer visualized.
No new nodules.
No new or enlarging pulmonary nodules.
No growing nodules are seen.
No residual or recurrent disease.
No evidence of recurrent or metastatic disease in the chest.
No evidence of local recurrence.
No signs of pulmonary edema.
The thoracic aorta is normal in caliber without dissection or aneurysm.
No pulmonary emboli.
No filling defects within the pulmonary arterial tree to suggest embolism.
Adequate opacification of the pulmonary arteries.
Bones: No suspicious lytic or blastic lesion.
Lymph nodes: No pathologically enlarged nodes.
Chest wall: Unremarkable.
Upper abdomen: No acute findings.
Thyroid: Normal.
The imaged portion of the thyroid gland appears normal.
The visualised liver, spleen and adrenals are unremarkable.
Adrenals are normal.
Limited evaluation of the upper abdomen is unremarkable.
Limited views of the upper abdomen demonstrate no acute abnormality.
Visualized portions of the upper abdomen are within normal limits.
There are no pleural plaques.
There is no honeycombing, reticulation, or traction bronchiectasis.
No air trapping on expiratory imaging.
Central airways are clear.
No bronchial wall thickening or mucus plugging.
No bullae, blebs, or cysts.
No thoracic lymphadenopathy by CT size criteria.
No CT findings of pneumonia.
No radiographic evidence of active tuberculosis.
Vascular structures show normal enhancement.
Contrast was administered intravenously.
100 ml of nonionic contrast material was injected.
Images were acquired at full inspiration.
Technique: 1.5 mm thick axial slices.
Slice thickness is 1.5 mm.
Comparison is made with the CT of 5 March 2018.
None.
Findings: None.
Impression: Normal examination.
No comparison studies available.
Comparison: None available.
History: 54-year-old man with dyspnea.
Reason for exam: fever and cough.
The pleural surfaces are smooth.
Lung parenchyma is unremarkable.
Right and left ventricles are of normal size and wall thickness.
The interventricular septum is straight.
Aortic arch branches are normal in course.
The coronary arteries are free of calcification.
Gastric fundus is in its normal position below the diaphragm.
No sliding hernia of the stomach.
The bronchi taper normally to the periphery.
Lung attenuation is homogeneous on inspiration and expiration.
Interlobular septa are not thickened.
Bronchial calibre is normal throughout.
Arterial walls show no calcification.
No device is seen.
No central venous catheter is present.
Chest tube has been removed, without pneumothorax.
No evidence of pacemaker or other hardware.
No finding consistent with Covid-19 pneumonia was detected.
No finding in favor of pneumonia was observed.
CT scan within normal limits in the early phase of Covid-19 infection.
There is no obvious pathology in the sections passing through the upper part of the abdomen.
No significant pathological lymph node was detected in both axillae.
Bilateral hilar structures are normal.
Bilateral lung ventilation is normal.
No mass, nodule-infiltration was detected in both lungs.
No signs of heart failure.
The remaining lungs are clear.
The remainder of the lungs is clear.
Remaining bony structures are intact.
The rest of the examination is unremarkable.
Otherwise unremarkable.
Otherwise normal study.
Other than that, no abnormality.
No other abnormality is identified.
No additional nodules.
No further lesions were found.
Nothing acute.
Stable examination without acute process.
Stable normal chest.
No significant abnormality seen.
Chest is normal.
Normal.
Clear lungs.
Normal heart size, mediastinal contours and pulmonary vascularity.
There is no consolidation, collapse, or effusion.
Lungs demonstrate no focal abnormality, and heart size is normal.
No fluid collections in the chest wall.
Heart is normal and lungs are clear without pleural effusion, pneumothorax or nodules.
The esophagus is not distended.
The azygos vein is not enlarged.
The mediastinal vessels enhance normally.
The diaphragm is smooth and well defined.
Soft tissues are normal.
There is no evidence of thoracic aortic aneurysm, mediastinal hematoma or active contrast extravasation.
Without evidence of pneumothorax.
Aside from this, the lungs are clear.
No interval development of effusion.
No interval change in the normal appearance of the heart.
The lungs are now clear.
The opacity seen on the earlier radiograph is not confirmed on CT.
The nodule seen on radiography corresponds to a nipple shadow.
No corresponding abnormality is seen on CT.
There is no longer any pleural effusion.
Complete resolution of the ground glass opacities.
Pneumothorax has resolved.
Pleural effusion is not seen.
Neither lung shows a nodule.
Air passages are open.
Lung apices unremarkable.
No lymphadenopathy; no effusion.
No pericardial thickening.
Great vessels: normal.
CT is recommended only if symptoms persist? No.
The lungs are clear, without effusion, consolidation, mass, or pneumothorax.
No focal consolidation, effusion, edema, or pneumothorax is identified on this examination.
There is no pneumothorax or pleural effusion, and the lungs are clear.
There is no effusion and no pneumothorax, and cardiac size is normal.
No lymphadenopathy in the mediastinum, hila or axillae.
No pleural effusion, pneumothorax, or consolidation, bilaterally.
No mass or nodule, and no adenopathy.
No evidence of mediastinal, hilar, or axillary adenopathy.
There is no evidence of nodule, mass, consolidation, or interstitial lung disease in either lung.
Pneumothorax and effusion are absent.
Effusions or pneumothoraces are not demonstrated.
No consolidation, no effusion, no pneumothorax.
No pericardial or pleural fluid collection is present.
Consolidation, ground glass, and nodules are not seen.
There was no evidence of interstitial thickening, honeycombing or ground-glass opacity, and the airways were patent.
Free of nodules.
Both lungs are free of nodules and infiltrates.
The lungs show neither nodules nor consolidation.
Lungs: Clear. No nodules.
No hilar mass or adenopathy was found; the heart is of normal size.
Nonenlarged lymph nodes.
Non-enlarged mediastinal lymph nodes.
The heart is normal in size, with no pericardial effusion or coronary calcification.
The heart size is normal; no coronary calcifications are noted.
Aorta is of normal caliber, without calcification, aneurysm or dissection.
No cardiomegaly, effusion or edema.
Negative for effusion or consolidation.
No lung nodule larger than 4 mm.
No nodules or masses greater than 3 mm.
Normal-sized heart.
Lack of pleural effusion.
No overt pulmonary edema.
No definite pneumothorax.
No gross abnormality.
No convincing evidence of pneumonia.
No focal lung lesion.
Unlikely to represent pneumonia.
Pneumonia is unlikely.
Pulmonary embolism has been excluded.
Pulmonary embolism is excluded.
PE was ruled out.
The study excludes pulmonary embolism.
Nodules were not detected in the right or left lung.
Mass lesion with discernible borders was not observed.
No pathological wall thickness increase was observed.
In both lungs, no mass-nodule-infiltrative lesion was detected.
No occlusive pathology was detected in the lumen.
No active infiltration is observed in the parenchyma.
Liver, spleen, pancreas, both kidneys and both adrenal glands are normal.
The contours of the liver are smooth and its parenchyma is homogeneous.
No lymph node in pathological size and appearance was observed.
Lymph nodes of pathological size are not seen in the mediastinum.
The widths of the mediastinal main vascular structures are normal.
No pathology was detected in the sections.
Costophrenic angles are clear.
Pulmonary arteries are patent.
Pulmonary veins drain normally.
The azygoesophageal recess is preserved.
Main bronchi, lobar bronchi are of normal width.
Apart from that, everything is normal.
No abnormal lymph nodes.
No cardiopulmonary process.
No intrathoracic process.
Heart and mediastinum: normal.
Heart: Not enlarged.
Pleura: No effusion, no thickening.
Devices: None.
Lines and tubes: None.
Lymph nodes: None enlarged.
Lung nodules: None.
Pulmonary nodules: No new nodules.
Vessels: Normal calibre.
Abdomen: Unremarkable.
Musculoskeletal: No aggressive osseous lesion.
Skeleton unremarkable.
Chest wall and lower neck: no abnormality.
Coronary arteries: no calcification.
Nodules: absent.
Emphysema - none.
No emphysema or fibrosis.
No interlobular septal thickening, bronchiectasis, or mosaic attenuation.
Nothing abnormal.
Nothing of note.
The previously seen consolidation in the left lower lobe is no longer present.
The nodule has disappeared.
Interval resolution of effusion.
Effusion resolved.
There are no effusions any more.
Clearance of the infiltrates.
Pneumonia has fully resolved.
Infiltrates have cleared completely.
""")

WIDE_ABNORMAL = _lines("""
There is a 6 mm nodule in the right upper lobe.
Emphysematous changes are observed in both lungs.
Linear atelectasis in the left lower lobe.
Calcific atheroma plaques are observed in the aorta and coronary arteries.
Pneumonia cannot be excluded.
An underlying mass cannot be excluded.
No significant change in the size of the right upper lobe nodule.
Stable 4 mm nodule in the left lower lobe.
Unchanged cardiomegaly.
Status post median sternotomy.
Status post left upper lobectomy.
Right-sided PICC terminates in the mid SVC.
Endotracheal tube tip 3 cm above the carina.
The nasogastric tube is in satisfactory position.
Left pacemaker with leads in the right atrium and ventricle.
Mild bibasilar atelectasis, otherwise clear lungs.
Lungs are otherwise clear aside from a calcified granuloma.
Interval increase in size of left pleural effusion.
Interval decrease in the right pleural effusion.
Cannot rule out early pneumonia.
Mild cardiomegaly without pulmonary edema.
Heart size is mildly enlarged.
The heart is at the upper limits of normal, slightly enlarged.
Findings consistent with congestive heart failure.
Patchy ground glass opacities in both lungs, predominantly peripheral.
Tree-in-bud nodularity in the right middle lobe.
Mosaic attenuation is seen in both lungs.
Hiatal hernia is observed.
A hiatal hernia is noted at the lower end of the esophagus.
Sequela fibrotic changes in both apices.
Pleuroparenchymal sequelae density increases are observed in bilateral apical areas.
Millimetric nonspecific nodules in both lungs.
Several millimetric nodules, the largest of which is 4 mm in diameter, are observed in both lungs.
Lymph nodes with a short axis of up to 8 mm are observed in the mediastinum.
Diffuse degenerative changes in bone structures.
Hemangioma in T8 vertebra.
Cortical cyst in the left kidney.
Hepatic steatosis.
The liver parenchyma density has decreased in accordance with fatty liver.
Gallstone is present in the gallbladder.
Peribronchial thickening and bronchiectasis in the lower lobes.
Interlobular septal thickening is seen at both bases.
Minimal pericardial effusion measuring 5 mm.
Thickening of the pleura at the left base.
Air bronchograms within the consolidation.
Bullae are noted at both apices.
Blunting of the left costophrenic angle.
Ascending aorta is 45 mm and aneurysmatic.
Pulmonary trunk is 34 mm, wider than normal.
Follow-up CT in 6 months is recommended.
Evaluation is limited by respiratory motion.
Trace bilateral pleural effusions.
Small residual left apical pneumothorax.
Pneumothorax has decreased but is not resolved.
Improved but persistent right lower lobe consolidation.
Right lower lobe opacity, most likely atelectasis, but pneumonia is not excluded.
Possible small nodule at the left apex.
Questionable opacity in the lingula.
Surgical clips project over the right axilla.
Cholecystectomy clips.
Old healed left rib fractures.
Scoliosis of the thoracic spine.
Elevated right hemidiaphragm.
Prominent pulmonary arteries.
The nodule is not seen on the prior study.
New right upper lobe mass measuring 3.2 x 2.4 cm.
There is no pneumothorax but a small effusion persists.
Except for a small calcified granuloma, the lungs are clear.
Lungs are hyperinflated with flattened diaphragms.
No change in bilateral pleural effusions.
The previously described 5 mm nodule is unchanged.
Left-sided aortic arch with aberrant right subclavian artery.
Breast implants are present.
The gallbladder is surgically absent.
Coronary artery stent is in place.
Findings suggestive of viral pneumonia; Covid-19 is primarily considered.
Nodular opacities in the right upper lobe, cannot exclude malignancy.
Density increase in the lung parenchyma due to aspiration.
Consolidative areas in the right lower lobe with air bronchogram.
Esophageal wall is thickened.
Loculated fluid in the right hemithorax.
Reticular opacities with honeycombing consistent with UIP.
The left kidney is not seen (nephrectomized).
Gynecomastia on the right.
Thyroid gland is enlarged and heterogeneous with multiple nodules.
Hypodense nodule in the left thyroid lobe.
Osteophytes at the corners of the vertebrae.
Heart size increased.
Cardiothoracic index increased in favor of the heart.
Calcified lymph nodes in the right hilum.
Diffuse calcified atheromatous plaques are seen in the wall of the thoracic aorta.
Bilateral crazy paving pattern.
Low lung volumes with bronchovascular crowding.
There are linear densities at the bases.
Consolidation has progressed since the prior examination.
Pneumonia vs. atelectasis at the left base.
Underlying pneumonia is not entirely excluded.
Metastatic disease is of concern.
Port catheter is seen on the right and its tip ends at the superior vena cava.
There is a tracheostomy cannula.
Postoperative changes are present in the left hemithorax.
Widespread bronchial wall thickening.
Dilatation in the main bronchi.
A few scattered punctate granulomas are identified.
Subsegmental atelectasis at the bases, unchanged.
No pneumothorax; small left effusion.
Without significant interval change in the large right hydropneumothorax.
Mild emphysema is again demonstrated.
Mediastinal lipomatosis.
Accessory spleen with a diameter of 12 mm.
Lesion in the liver dome, 14 mm, compatible with a cyst.
Azygos fissure, an anatomical variation.
Mild wedging of T12.
The right hemidiaphragm is slightly higher than the left.
Air trapping on the expiratory images.
Fluid in the fissure.
Large hiatus hernia containing most of the stomach.
Occlusion of the left main bronchus by mucus.
Filling defects in the right lower lobe pulmonary arteries.
Findings in favor of infection.
Halo sign around the nodule.
Right middle lobe collapse.
Left lung volume is reduced.
Diffuse increase in interstitial markings.
Right hilar fullness.
Widened mediastinum.
Thickening of the interventricular septum.
Mild dependent atelectasis.
Calcified mediastinal lymph nodes consistent with prior granulomatous disease.
Postsurgical changes of right upper lobectomy without evidence of recurrence.
Right upper lobe nodule is stable, without new nodules.
No new nodules, with stable 3 mm nodule in the left upper lobe.
There are coronary artery calcifications.
The heart is enlarged but there is no pericardial effusion.
Heart is enlarged, no pericardial effusion.
No effusion, heart is enlarged.
No pneumothorax, ET tube in good position.
Lines and tubes in unchanged position.
Support devices are unchanged.
Tracheostomy tube in standard position.
Left chest tube in place with no pneumothorax.
Trace effusion, no pneumothorax.
There is diffuse bronchial wall thickening without bronchiectasis.
Centrilobular emphysema, upper lobe predominant.
A 4-mm subpleural nodule along the minor fissure likely represents an intrapulmonary lymph node.
Multilevel degenerative disc disease.
Incidental note is made of a 2 cm hypoattenuating hepatic lesion, too small to characterize.
Too small to characterize hypodensity in the right kidney.
Nonobstructing left renal calculus.
Status post CABG.
Status post bilateral lung transplant.
S/p right mastectomy.
Patient is intubated.
Interval placement of a left subclavian line with tip in the SVC.
Interval development of a moderate right effusion.
Interval enlargement of the mass.
Slight interval increase in the mediastinal adenopathy.
Again seen is a large hiatal hernia.
Again noted are bilateral pulmonary nodules.
Redemonstration of biapical scarring.
No significant interval change in biapical pleuroparenchymal scarring.
Unchanged appearance of multiple pulmonary nodules.
Findings may represent infection or aspiration.
This could reflect atelectasis or early infiltrate.
Differential includes pneumonia and hemorrhage.
Neoplasm is not excluded.
Small pericardial effusion is difficult to exclude.
Malignancy should be excluded.
Please correlate clinically.
Clinical correlation is recommended.
Recommend follow-up in 3 months to document resolution.
Attention on follow-up.
Further evaluation with PET-CT is recommended.
Evaluation for nodules is limited due to motion artifact.
Mild motion artifact.
Streak artifact from the left shoulder prosthesis.
The lungs are clear apart from mild lingular scarring.
Apart from minimal scarring, no abnormality.
Other than mild emphysema, the lungs are clear.
With the exception of a small calcified granuloma, the lungs are clear.
Besides sequelae of old infection the lungs are unremarkable.
Normal heart size with mild coronary calcification.
Patent airways with mild bronchial thickening.
Clear lungs; calcified hilar nodes.
Aortic valve calcification.
Mitral annular calcification is noted.
Aorta is ectatic.
The main pulmonary artery is dilated at 3.4 cm, suggesting pulmonary hypertension.
Cardiac chambers are dilated.
Left atrial enlargement.
Thickened interlobular septa.
Smooth thickening of the interlobular septa at the bases.
Subpleural reticulation.
Volume loss in the right lower lobe.
Right lower lobe is collapsed.
Complete opacification of the left hemithorax.
Opacified left maxillary sinus.
Bronchi are dilated in the middle lobe.
Fatty infiltration of the liver.
Small amount of pericardial fluid.
Pleural fluid reaching 2 cm in thickness.
Lymph nodes reaching 12 mm in short axis.
A few mediastinal lymph nodes are present, not enlarged by size criteria.
Subcentimeter mediastinal lymph nodes, likely reactive.
Prevascular node measures 1.3 cm.
Mosaic pattern of attenuation suggests small airways disease.
Inhomogeneous attenuation of the lung parenchyma.
A cavitary lesion in the left upper lobe with an air-fluid level.
The cavity has increased in size.
Debris in the trachea.
Retained secretions are seen in the trachea.
Old granulomatous disease.
Degenerative spurring of the thoracic spine.
Compression deformity of T11, age indeterminate.
Sclerotic focus in the sternum, unchanged.
Bones are diffusely osteopenic.
Elevation of the left hemidiaphragm with basilar atelectasis.
Left breast mass.
Right mastectomy with implant reconstruction.
Axillary surgical clips.
Subcutaneous emphysema along the right chest wall.
Pneumomediastinum.
Air in the mediastinum around the esophagus.
The stomach is herniated into the thorax.
Part of the stomach lies above the diaphragm.
Esophagus is patulous and fluid-filled.
Left ventricle is hypertrophic.
Mild splenomegaly.
Prior cholecystectomy.
Gallbladder has been removed.
The patient has undergone right pneumonectomy.
Sternal wires are intact.
The port is accessed; its tip lies at the cavoatrial junction.
IVC filter in situ.
Vertebroplasty material at L1.
Hemidiaphragm is obscured.
Left base is obscured by overlying soft tissue.
The finding was not present previously.
This has progressed from the prior.
Findings are worse than before.
The mass now measures 4 cm, previously 3 cm.
Measures 4 x 3 cm (previously 5 x 4 cm).
Two nodules, 5 and 7 mm.
A solid nodule with spiculated margins.
Part-solid nodule in the apex.
Subsolid lesion.
Ill-defined opacities.
Pulmonary infiltrates are improving.
Partial clearing of the opacities.
The pneumothorax is smaller.
Effusion has nearly resolved.
Residual scarring after resolution of pneumonia.
No acute findings, chronic changes only.
Chronic lung disease without acute infiltrate.
COPD.
No acute disease, old healed rib fractures.
No acute fracture; chronic T12 compression.
There is no change from prior with persistent bibasilar opacities.
Nodule or vessel on end in the left upper lobe.
Suspicion of metastasis in the right fourth rib.
Findings compatible with Covid-19 pneumonia.
It was evaluated in favor of sequelae.
The right lung is smaller than the left.
Bronchovascular markings are increased.
Sequelae changes in the left lower lobe.
Peripheral consolidations showing reversed halo.
Bandlike densities in the middle lobe.
Fibroatelectatic sequelae changes.
Nodule with ground glass density.
Tubular bronchiectasis and cystic changes are present.
Ectatic appearance of the ascending aorta.
Right heart chambers are prominent.
Pectus excavatum deformity.
Kyphosis has increased.
Left-facing scoliosis.
Diverticulum of the trachea.
Right aortic arch.
Dextrocardia.
A tiny calcific focus in the spleen.
Hyperdense material in the esophagus.
Post-CABG changes.
Left renal agenesis.
Perihepatic free fluid.
No effusion; small nodule.
No effusion, but a small nodule.
No effusion, a 5 mm nodule in the lingula.
No effusion, 5 mm nodule in the lingula.
No effusion and mild cardiomegaly.
No pneumothorax, with small effusion.
No pneumothorax with a small effusion on the left.
The lungs are clear with the exception of atelectasis at the bases.
The lungs are clear, the heart is enlarged.
Heart is normal, lungs show emphysema.
Lungs without nodules but with emphysema.
Without effusion, with consolidation in the left lower lobe.
There is a nodule, without calcification.
A non-calcified nodule is present.
Noncalcified 5 mm nodule.
Non-specific nodules.
Nonspecific ground glass area.
Non-displaced rib fracture.
Nodule without cavitation.
Mass not invading the chest wall.
Consolidation without air bronchogram.
Not only nodules but also consolidation.
Not all of the nodules have resolved.
The effusion has not resolved.
Effusion has not significantly changed.
The infiltrate has not cleared.
No improvement in the consolidation.
No regression of the mass.
No decrease in the size of the effusion.
Nodules do not show growth.
Nodule does not show significant change.
The nodule shows no growth.
The mass shows no change in size.
The size of the nodule has not changed.
There is no significant increase in the size of the nodule.
Emphysema, no nodules.
Emphysema is noted, there are no nodules.
Emphysema: moderate.
Atelectasis: mild, both bases.
Lymph nodes: 14 mm right paratracheal node.
Heart: Enlarged.
Coronary arteries: moderate calcification.
Pleura: small right effusion, no pneumothorax.
Devices: Left chest port, tip in the right atrium.
Lines/tubes: ETT 4 cm above carina.
Aorta: calcified, normal caliber.
Bones: degenerative changes, no fracture.
Lungs: Clear except for a granuloma.
Cannot exclude a nodule.
A small nodule cannot be ruled out.
Tuberculosis could not be excluded.
Superimposed infection is not excluded.
Malignancy must be ruled out.
PET-CT is advised to rule out malignancy.
CT recommended to exclude a mass.
Further imaging to exclude malignancy.
Infection should be considered.
Rule out pneumonia.
Possible pneumonia.
Pneumonia is possible.
Concern for malignancy.
Suspicious for metastasis.
Atelectasis versus infiltrate.
Atelectasis and/or infiltrate.
Probably benign nodule.
A benign-appearing nodule.
Nodule of benign appearance.
Calcified granuloma, benign.
Normal variant azygos lobe.
Mildly enlarged heart, otherwise normal.
Otherwise normal except mild cardiomegaly.
Upper normal sized lymph nodes.
Borderline heart size.
Borderline enlarged lymph nodes.
Heart at the upper limit of normal with prominent left ventricle.
Small lymph nodes not pathologically enlarged.
Small lymph nodes are seen in the mediastinum, none of which are enlarged.
No enlarged lymph nodes; small ones are present.
There are few lymph nodes in the mediastinum with a short diameter less than 1 cm.
There are millimetric lymph nodes.
Improved aeration of the left lung with residual atelectasis.
The catheter has been removed, a small pneumothorax remains.
Chest tube removed, with small apical pneumothorax.
Right chest tube removed; left chest tube remains.
ETT has been removed, nasogastric tube remains.
No residual pneumothorax after placement of the chest tube.
Stent without occlusion.
Pacemaker leads without fracture.
Sternotomy wires without dehiscence.
Lobectomy, no recurrence.
Atelectasis rather than pneumonia.
Findings favor atelectasis over pneumonia.
Scar, not a nodule.
This is likely scarring and not a nodule.
Opacity which does not represent a nodule.
Consolidation is not as dense as before.
The effusion is less than before.
Less effusion than before.
Effusion again seen, not changed.
Emphysema more than expected.
The nodule was not present on the prior CT.
A nodule not seen on the previous CT is now visible.
A nodule, not previously seen, in the right lower lobe.
Not previously seen nodule.
Unclear opacity.
Not clear whether this is a nodule.
Lungs are not clear.
Aorta not normal.
Trachea is not midline.
The left hilum is not normal.
The right costophrenic angle is not sharp.
Lungs are not well expanded.
The esophagus is not normal in caliber.
Fluid-filled esophagus.
No longer collapsed, the lobe shows residual opacity.
""")

# the sixth set: other ways of writing

DIFFERENT_NORMAL = _lines("""
The tracheobronchial tree is unremarkable down to the lobar level.
Neck base structures are without abnormality.
The heart and great vessels have a normal appearance.
The size of the heart is not increased.
No hilar enlargement.
Hila are not enlarged.
Hilar regions bilaterally inconspicuous.
No fluid is seen in either pleural cavity.
No pleural effusion on either side.
Lungs free of acute disease.
Lungs show no active lesion.
No parenchymal abnormality of note.
There is no bronchial dilatation.
Bronchial walls are of normal thickness.
Pulmonary parenchyma is normally aerated throughout.
The left atrium is not dilated.
Ventricles and atria are of normal dimensions.
The pulmonary artery measures 25 mm and is normal.
Diameter of the ascending aorta is 34 mm.
The descending aorta is 24 mm in diameter and within normal limits.
No thoracic aortic dilatation or dissection flap.
No mediastinal mass or fluid collection.
Thymus is not enlarged.
Physiologic amount of pericardial fluid.
Axillae are clear.
No supraclavicular nodes.
No lymph node enlargement at any station.
No measurable lymphadenopathy.
Lymph node stations are free.
The esophagus runs normally and its wall is not thickened.
The stomach lies below the diaphragm as expected.
Visualized liver shows homogeneous density without focal lesion.
No gallstones.
No hydronephrosis.
Kidneys without stones.
Adrenals not enlarged.
The spleen is homogeneous and not enlarged.
No ascites.
Vertebral alignment is normal and disc spaces are preserved.
No vertebral compression.
No osteolytic lesion in the imaged skeleton.
Ribs, sternum and clavicles are intact.
Chest wall soft tissues show no mass.
Mammary tissue is symmetric.
There is no foreign body in the airways.
No indwelling devices.
No catheters, tubes, or drains.
The drain has been withdrawn.
Drain removed in the meantime.
Previously visible consolidations no longer demonstrable.
Earlier ground glass has vanished completely.
Infiltrates no longer present.
The effusion described in the previous report is gone.
Findings have completely regressed.
The scan is negative.
A normal examination for age.
Age-appropriate findings.
Normal thoracic CT examination.
Lung windows show clear lungs.
Soft tissue windows show no adenopathy.
Bone windows show no fracture.
No sign of a space-occupying process.
No suspicious focal lesion in the parts of the abdomen that are covered.
No pathological enhancement after contrast injection.
The examination was carried out with a low-dose protocol.
Thin-section reconstructions were made in three planes.
The scan extends from the lung apices to the adrenal glands.
No previous examination is available for comparison.
Compared with the scan of March, nothing has changed.
No relevant change since the previous normal scan.
No emphysematous or fibrotic changes.
There is neither ground glass nor reticulation.
Interstitium is not thickened.
Septa and fissures are delicate.
No crazy paving, honeycombing or cysts.
Attenuation of both lungs is homogeneous, without mosaic pattern.
No air trapping.
No cavitating lesions.
Fissures are in their usual place.
The lung bases are clear.
Bases are well ventilated.
No basal atelectasis.
No plate-like atelectasis or scarring.
No rounded opacity in either lung.
No lesion suspicious for malignancy.
No sign of metastasis in the lungs, liver or skeleton.
No thrombus in the central pulmonary arteries.
Pulmonary arteries well opacified without filling defects.
Contrast filling of the pulmonary arteries is good, with no embolus.
Right heart strain is not present.
No coronary plaque.
No calcified plaque in the aorta.
Valves are not calcified.
The pericardium is thin and without effusion.
Diaphragmatic contours are smooth.
Diaphragm intact, no hernia.
""")

DIFFERENT_ABNORMAL = _lines("""
A soft-tissue nodule of 11 mm lies in the anterior segment of the right upper lobe.
Lung cancer screening: nodule of 5 mm in the lingula, Lung-RADS 2.
Two calcified granulomas on the left.
Small calcified focus in the left lower lobe.
Mixed-density nodule with a solid core of 4 mm.
There are numerous randomly distributed micronodules.
Ground glass around a central nodule.
Confluent alveolar shadowing in the right lung.
Right perihilar shadowing.
Reticular shadowing at both bases.
Peripheral and basal predominant reticulation with traction bronchiolectasis.
Cylindrical bronchiectases with thick walls.
Ectatic bronchi filled with mucus.
Bronchial lumen is obstructed by a polypoid structure.
Saber-sheath trachea.
Tracheal diverticulum on the right.
Right upper lobe tracheal bronchus.
Expiratory scan shows lobular areas of trapped air.
Patchy low attenuation alternates with areas of higher attenuation.
Lungs emphysematous.
Giant bulla in the right apex.
Biapical blebs.
Dystelectasis at both bases.
Dependent densities in both lower lobes.
Poor ventilation of the left base.
Left-sided volume loss with mediastinal shift.
Effusion on both sides, right more than left.
Pleural effusion up to 3 cm wide.
Fluid along the major fissure.
Pleural plaques with calcification.
Pleura thickened at the apex.
Rim of fluid in the pericardium.
Pericardial effusion has increased from 5 to 12 mm.
Heart enlarged in all chambers.
Heart transversely widened.
Enlarged left ventricle.
Sclerosis of the aorta.
Aortosclerosis.
Marked vascular sclerosis.
Coronary sclerosis.
Coronaries heavily calcified.
Stents in the LAD.
Aortic root replaced by a prosthesis.
Bioprosthetic aortic valve.
Dual-chamber pacemaker on the left.
Central venous line from the right jugular vein.
Metal clips in the mediastinum after thymectomy.
Orogastric tube reaches the stomach.
Axial hiatal hernia of moderate size.
Gastric fundus above the diaphragm.
Enlarged nodes in the aortopulmonary window.
Right hilar node of 15 mm.
Nodal conglomerate in the mediastinum.
Prominent axillary nodes with fatty hila.
Thickened septa give a polygonal pattern.
Kerley lines.
Interstitial oedema.
Signs of pulmonary venous congestion.
Dilated pulmonary trunk.
Central embolus in the right main pulmonary artery.
Struma nodosa.
Hypodense lesion in segment VII of the liver, probably a cyst.
Liver hypodense in keeping with steatosis.
Cholecystolithiasis.
Parapelvic cysts on the left.
Left adrenal adenoma.
Thickened left adrenal.
Osteochondrosis of the thoracic spine.
Spondylosis deformans.
Sintered T12 vertebra.
Height reduction of T7.
Rib fractures 5 to 8 on the left, partly consolidated.
Sclerotic island in T4.
Condition after right lower lobectomy.
State after radiotherapy of the left breast.
Mastectomy on the left.
Suspected pneumonia in the left lower lobe.
Inflammatory infiltrate not ruled out.
A malignant process is to be considered.
Most likely post-inflammatory.
Probably reactive.
Histological confirmation is recommended.
Control in three months.
Bronchoscopy is advised.
Assessment of the lung bases is impaired by breathing.
Size unchanged at 8 mm.
Compared to the previous scan the nodule has grown from 6 to 9 mm.
The mass has shrunk.
Consolidation partly regressed.
Infiltrates clearly regressing.
Effusion slightly less than previously.
No new nodules, the known ones unchanged.
Known granuloma unchanged.
Known emphysema.
Otherwise only age-related degenerative changes.
Lungs clear except for a scar in the middle lobe.
Apart from a hiatal hernia no pathology.
No pneumonia, but marked emphysema.
No effusion on the right, small effusion on the left.
No effusion on the left; on the right, 2 cm of fluid.
Neither effusion nor pneumothorax, however dystelectasis.
Hernia without incarceration.
Nodule showing no enhancement.
Calcification not clearly distinguishable from a stent.
The trachea is displaced to the right by an enlarged thyroid lobe.
Mediastinal shift to the left.
Free intraperitoneal air.
""")

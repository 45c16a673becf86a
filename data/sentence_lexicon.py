"""The words of radiology reports that decide whether a sentence is normal or abnormal. Pure data and its compiler.

General vocabulary of chest CT and chest X-ray reports, sorted by what a word does to a sentence; not a list of
sentences. The notation of an entry: `*` stands for the rest of a word (`calcif*`, `*ectasis`), `_` for a run of spaces
and hyphens, and an entry without `*` also means its plural in -s or -es.
"""

from __future__ import annotations

import re

LUNGS = """
    opaci* opaque consolida* infiltrat* atelecta* collaps* nodul* micronodul* reticulonodul* fibronodul* mass masslike
    lesion granulom* emphysem* bulla bullae bullous bleb cyst cystic cavit* cavern* fibro* scar* bronchiecta*
    bronchiolecta* thicken* ground_glass groundglass ggo ggn reticul* honeycomb* crazy_paving mosaic air_trapping
    tree_in_bud edema oedema congest* pneumon* pneumoth* pneumomed* pneumatocele* pneumoperi* effusion hemothora*
    hydropneumo* hydrothora* empyem* volume_loss loss_of_volume hyper* hypo* underinflat* underexpan* overinflat*
    overexpan* overaerat* low_volume low_lung low_inspirat* shallow_inspirat* poor_inspirat* volumes_low volumes_are_low
    reduc* lucent lucenc* radiolucen* streak* patch* haze hazy haziness strand* band_like bandlike platelike plate_like
    discoid* infection infectious infected aspirat* mucus mucous_plug* mucoid plugg* plug secretion impact* clogg*
    occlu* obstruct* obliterat* copd tubercul* silico* asbest* crowd* cuffing halo_sign septal_line kerley sequel*
    lymphangit* trapped blunt* loculat* infarct* paraseptal centriacin* panacin* centrilobular panlobular bronchocele
    broncholith* endobronchial destroyed destruct* destruction *othorax *othoraces miliary perilymphatic air_crescent
    signet_ring tram_track finger_in_glove eosinophil* satellite_nodule feeding_vessel poorly
"""

HEART_AND_VESSELS = """
    cardiomegal* enlarg* dilat* hypertroph* tortu* tortor* ectasi* ectatic unfold* uncoil* aneurysm* dissect* atheroscl*
    atheroma* arterioscl* calcif* calcium plaque stenos* stenot* narrow* thromb* embol* clot filling_defect failure chf
    decompensat* engorg* redistribut* cephaliz* ischemi* *megaly widened widening wider widen globular *cardial_fluid
    hemopericard* varic* collateral regurgitat* dextrocard* situs_inversus aberrant coarctat* ulcer* patent_foramen
    patent_ductus shunt pseudoaneurysm intramural endoleak leak leakage ruptur* perforat* fistul* varix bovine
"""

MEDIASTINUM_AND_PLEURA = """
    lymphadeno* adenopath* hernia herniat* eventrat* goiter goitre shift* deviat* displac* elevat* flatten* hump tenting
    fat_pad fluid free_air free_gas pleural_air intraperitoneal_air extraluminal_air air_fluid subcutaneous_air
    soft_tissue_air gas_in air_in air_bubble
    air_collection pneumobilia lipomat*
"""

BONES = """
    degenerat* osteophyt* enthesophyt* syndesmophyt* spur spurring bridging spondyl* fractur* sclero* lytic osteoly*
    osteopen* osteopor* deminerali* arthr* arthritic osteoarthr* wedging wedged wedge_deform* compress* *listhesis dish
    schmorl* deform* dextrocurv* levocurv* dextroconv* levoconv* *scolio* kyphot* callus disloc* sublux* pectus
    carinatum height_loss loss_of_height erosi* erod* straighten* metasta* limbus bone_island enosto* exosto*
    osteochondr* cervical_rib fused fusion spina_bifida vacuum_phenomen* discopath* protru* bulging gynecomast*
    hemivertebra* block_vertebra butterfly_vertebra sacraliz* nonunion lipping bone_marrow_edema agenesis aplas* bifid
    atresia
"""

DEVICES = """
    catheter tube tubing pacemaker pacer pacing defibrillator icd aicd ekg_lead ecg_lead lead_tip lead_terminat*
    lead_wire leads picc central_line venous_line arterial_line subclavian_line jugular_line lines port portacath
    mediport clip wire sternotom* cerclage suture staple stapl* prosthe* implant* arthroplast* hardware screw rod stent
    coil chest_drain pleural_drain surgical_drain drainage pigtail bullet shrapnel foreign_bod* metallic metal device
    electrode stimulator loop_recorder balloon cannula intubat* tracheostom* endotracheal nasogastric gastrostom* filter
    graft piercing nipple_ring necklace marker fiducial tips generator pump mesh cement* iabp ecmo lvad swan_ganz
    dobhoff thoracostom* osteosynthes* fixation instrumentation seed occluder tavi tavr impella expander conduit pledget
    nail
"""

OPERATIONS = """
    postop* post_op* postsurg* post_surg* surg* operat* *ectomy *ectomies *ostomy *ostomies *plasty *pexy cabg bypass
    resect* transplant* status_post s_p post_procedur* postprocedur* amputat* anastomo* interposition gastric_pull*
    radiother* radiation_change postradiation posttreatment post_treatment post_radiation post_radiother* chemotherap*
    biopsy replacement repair excis*
"""

ABDOMEN = """
    steato* hepatosteato* fatty hydroneph* pelviectas* nephrolith* cholelith* *lithiasis stone gallstone calcul* ascites
    disten* ileus diverticul* splenunc* accessory cirrho* *cele atroph* sludge polyp lobulat* cortical_thin* ptosis
    ptotic horseshoe duplicat* malrotat* collection wall_edema
"""

GENERAL = """
    abnormal* disease disorder patholog* anomal* malformation malign* tumor tumour tumoral neopla* cancer *sarcoma
    leukem* sarcoid* inflamm* abscess* phlegmon hemorrhag* haemorrhag* bleed* contusion lacerat* trauma* injur* injury
    *itis *osis *oses *oma *omas *omata *ectasis *ectasia *pathy *pathies *malacia *penia chronic senescen* involution*
    prominen* fullness accentuat* exaggerat* bulky asymmetr* irregular* heterogen* inhomogen* increas* decreas* coarse*
    distort* retract* tethering indistinct ill_defined obscur* borderline indeterminate suspicious suspect* worrisome
    concerning metaboli* progress* worsen* swelling swollen mottled spicul* encas* invad* invasion invasive recurren*
    residual stigma* variation deficien* defect diffuse* scattered foci focus multiple several numerous redemonstrat*
    persist* covid* coronavirus viral bacterial fungal aspergill* thinned thinning thinner effac* attenuated necro*
    gangren* healed healing possib* probab* questionabl* likely equivocal conceivabl* azygos_lobe azygos_fissure ectop*
    vasculit* sequestr* dysplas* cachex* obese overweight
"""

BEYOND_NORMAL = """
    larger_than greater_than_normal greater_than_expected wider_than higher_than_normal more_than_normal
    more_than_expected lower_than_normal less_than_normal smaller_than_normal smaller_than_usual thicker_than
    above_normal below_normal above_the_normal below_the_normal above_the_upper exceeds outside_normal beyond_normal
    not_normal not_sharp not_clear not_intact not_midline not_patent not_preserved not_homogeneous not_open
    not_fully_expanded
    not_well_expanded incompletely_expanded
"""

WEAK = """
    density densities marking large larger largest lymph_node node ln lordosis kyphosis curvature changes convexity
    millimetric millimeter millimetre subcentimeter thick lucency attenuation apical_cap capping
"""
"""Findings unless the same clause calls them normal: the density of the liver, the kyphosis of the spine, a node."""

EXEMPT = """
    diagnos prognos kyphos lordos hypopharyn hypochond hyperpnea hypothen
"""
"""Beginnings of words that look like a finding only by the ending or the beginning that they share with one."""

NORMAL = """
    normal normally unremarkable within_limits within_physiolog* limits_of_normal top_normal upper_normal clear intact
    midline patent preserved maintained natural open symmetric symmetrical* homogeneous homogeneously regular
    nonenlarged nondilated negative satisfactory physiolog* usual expected_position well_expanded well_aerated
    well_inflated well_ventilated fully_expanded normoinflat* age_appropriate appropriate_for_age are_free is_free
    improved_aerat* improved_lung_volume improved_inspirat* improved_expansion better_aerat* better_expan*
    good_inspirat* good_expan* good_aerat* none nil benign_appearing proportionate smooth smoothly slender unobstructed
    undisplaced undilated unthickened in_place dry straight aligned ordinary uniform sufficient adequate free sharp
    healthy unaffected uninvolved unimpaired delicate inconspicuous unsuspicious equal are_expanded
    symmetrically_expanded non_dilated non_enlarged non_distended nondistended non_thickened unenlarged correct
    as_expected
"""

STABLE = """
    stable unchanged similar unaltered constant same extubat*
"""

TECHNIQUE = """
    technique were_performed was_performed been_performed performed_with performed_without were_obtained was_obtained
    obtained_with were_acquired was_acquired acquired_with were_taken was_taken slice_thickness section_thickness
    non_contrast noncontrast unenhanced contrast_agent contrast_material contrast_medium intravenous_contrast
    iv_contrast reconstruct* reformat* multidetector multislice axial_plane axial_sections window low_dose
    diagnostic_quality comparison_none comparison_is_made comparison_was_made
    was_administered were_administered was_injected slices scan_extends dated covers dose_length dlp ctdi*
"""
"""How the scan was made: nothing abnormal in a sentence that says no more."""

ASSERTIVE = """
    mild mildly moderate moderately severe severely minimal minimally slight slightly marked markedly stable stably
    unchanged persistent persisting chronic old prior previous healed healing residual degenerative postoperative
    postsurgical multilevel scattered multiple several numerous few some unfolded tortuous subtle small tiny trace again
    redemonstrated increased decreased enlarged improved improving worsening worsened low borderline incidental
    incidentally partial partially two three four five single calcified atherosclerotic hyperinflated hyperexpanded
    sequelae
"""
"""Words that open an assertion: nobody denies the mild, the old or the persistent ("no effusion, mild scoliosis")."""

SEEN = (
    "seen|identified|confirmed|noted|present|visuali[sz]ed|evident|demonstrated|detected|observed|appreciated|found"
    "|apparent|visible|detectable|discernible|identifiable|distinguishable|demonstrable|recogni[sz]ed|encountered|discerned|depicted"
    "|distinguished|revealed|shown|suggested"
)
"""What is done with a finding in a report, as a pattern."""

NO = r"(?:no|nope|none|nil|absent|negative|false|wrong|incorrect|not(?: at all| (?:seen|present|visible|found|there))?)"
YES = r"(?:yes|present|positive|true|correct|seen)"
VERDICT_ENDS = r"(?=\s*(?:[,;.!)\]]|$))"
"""Verdicts on a finding ("emphysema: no", "nodule - positive"), as patterns, and what follows one."""

_JOINT = r"[\s\-\u2010-\u2015/_]+"
_EXEMPT = "(?!" + "|".join(EXEMPT.split()) + ")"


def word_pattern(*entries: str) -> str:
    """The regular expression of entries in the notation above, for lower-case text.

    >>> re.findall(word_pattern("calcif* free_air cyst"), "calcified cysts, free air, cystitis")
    ['calcified', 'cysts', 'free air']
    """
    return rf"\b{_EXEMPT}(?:" + "|".join(map(_entry_pattern, " ".join(entries).split())) + r")\b"


def _entry_pattern(entry: str) -> str:
    plural = "" if entry.endswith("*") else "(?:e?s)?"
    return re.escape(entry).replace(r"\*", r"\w*").replace("_", _JOINT) + plural

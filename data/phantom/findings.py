"""The 18 abnormalities of a synthetic chest, by label and in official order."""

from __future__ import annotations

from ...abnormalities import CT_RATE_LABELS
from .bronchi import Bronchiectasis, PeribronchialThickening
from .calcifications import ArterialCalcification, CoronaryCalcification
from .devices import MedicalMaterial
from .diffuse import Emphysema, MosaicAttenuation, SeptalThickening
from .finding import Finding
from .fluids import PericardialEffusion, PleuralEffusion
from .focal import Atelectasis, Consolidation, FibroticSequela, LungNodule, LungOpacity
from .mediastinum import Cardiomegaly, HiatalHernia, Lymphadenopathy

_KINDS: tuple[type[Finding], ...] = (
    MedicalMaterial, ArterialCalcification, Cardiomegaly, PericardialEffusion, CoronaryCalcification, HiatalHernia,
    Lymphadenopathy, Emphysema, Atelectasis, LungNodule, LungOpacity, FibroticSequela, PleuralEffusion,
    MosaicAttenuation, PeribronchialThickening, Consolidation, Bronchiectasis, SeptalThickening,
)  # fmt: skip

FINDINGS = {kind.label: kind for kind in sorted(_KINDS, key=lambda kind: CT_RATE_LABELS.index(kind.label))}

__all__ = ["FINDINGS", "Finding"]

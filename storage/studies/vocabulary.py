"""Words a description may keep when a study is de-identified (PS3.15 Clean Descriptors): anatomy, direction, technique.

Everything that is not in this list goes, so a name typed into a series description cannot survive.
"""

from __future__ import annotations

import re

_LIST = """
abd ab pel cap thor lt rt bilat
abdomen abdominal adrenal ankle aorta apical arm arterial axial axillary bilateral bladder body bone brain breast
bronchial cardiac carotid cavity cerebral cervical chest clavicle coccyx colon contrast cord coronal coronary cranial
delayed dental diaphragm diffusion dixon dynamic elbow enhanced expiration extremity face facial femur finger foot
forearm frontal gallbladder hand head heart heel hip humerus inspiration knee kidney kidneys larynx lateral left leg
limb liver localizer lordotic lower lumbar lung lungs mandible maxilla mediastinum nasal neck oblique obl orbit orbits
ovary pancreas patella pelvis perfusion phase plain portable portal post postcontrast pre precontrast prostate pulmonary
rib ribs right sacrum sagittal scapula scout sella shoulder sinus sinuses skull soft spine spleen standing sternum
stomach supine prone erect upright thigh thoracic thorax throat thumb tibia tissue toe tooth trachea upper urinary
uterus vascular vein venous vertebra whole wrist window ap pa lat lao rao cc mlo ml lm xcc ax axi cor sag tra trans 2d
3d t1 t2 t1w t2w flair pd stir dwi adc swi swan tof mprage space vibe haste tse fse se gre epi bold asl dti ir fs fat
sat fatsat suppressed c- c+ ce gd gad w wo with without and of the ct mr mri cr dx us xa mg pet pt nm spect rf cta mra
cxr kub hrct ldct angio angiography mammogram mammography radiograph ultrasound scan series study follow followup up
prior previous current baseline initial control screening routine protocol thin thick slices slice mpr mip recon
reformat kernel sharp smooth low dose high resolution isotropic volume single first second third baby adult paediatric
pediatric image view views film digital synthetic phantom demo demonstration test case pair effusion opacity nodule
pneumonia cardiomegaly pneumothorax consolidation tumour tumor lesion normal
"""
WORDS = frozenset(_LIST.split())
_TOKEN = re.compile(r"\d+(?:\.\d+)?(?:mm)?(?![A-Za-z0-9])|[A-Za-z0-9+\-]+")
_MEASURE = re.compile(r"^(?:\d{1,2}(\.\d{1,3})?(mm)?|[a-c]\d{1,2}[a-z]?)$")


# How a projection was taken: defined terms of View Position (PS3.3 C.8.1.1, C.8.11.7) and names radiography goes by.
_VIEW_LIST = """
AP PA LAT LL RL LLD RLD LLO RLO RAO LAO RPO LPO OBL AX CC FB MLO LMO ML LM XCCL XCCM SIO ISO CV AT TAN FRONTAL LORDOTIC SUNRISE
SKYLINE TUNNEL NOTCH SWIMMERS MORTISE FROGLEG WATERS TOWNE CALDWELL OUTLET INLET JUDET STRYKER AXILLARY SCAPULAY ODONTOID SUBMENTO
"""
VIEWS = frozenset(_VIEW_LIST.split())
# Other words for them: code values (SNOMED CT) and meanings of View Code Sequence (PS3.16 CID 4010, 4014), letters and digits only.
_SAME = {
    "LATERAL": "LAT", "LATERALPROJECTION": "LAT", "399067008": "LAT", "LEFTLATERAL": "LL", "399173006": "LL", "RIGHTLATERAL": "RL",
    "399198007": "RL", "LLAT": "LL", "RLAT": "RL", "OBLIQUE": "OBL", "399182000": "OBL", "AXIAL": "AX", "399061009": "AX",
    "ANTEROPOSTERIOR": "AP", "399348003": "AP", "POSTEROANTERIOR": "PA", "272479007": "PA", "399033003": "FRONTAL",
    "CRANIOCAUDAL": "CC", "399162004": "CC", "CAUDOCRANIAL": "FB", "399196006": "FB", "MEDIOLATERALOBLIQUE": "MLO", "399368009": "MLO",
    "LATEROMEDIALOBLIQUE": "LMO", "399099002": "LMO", "MEDIOLATERAL": "ML", "MEDIALLATERAL": "ML", "399260004": "ML",
    "LATEROMEDIAL": "LM", "LATERALMEDIAL": "LM", "399352003": "LM", "CRANIOCAUDALEXAGGERATEDLATERALLY": "XCCL", "399192008": "XCCL",
    "CRANIOCAUDALEXAGGERATEDMEDIALLY": "XCCM", "399101009": "XCCM", "399188001": "SIO", "SUPEROLATERALTOINFEROMEDIALOBLIQUE": "SIO",
    "441555000": "ISO", "INFEROMEDIALTOSUPEROLATERALOBLIQUE": "ISO", "RIGHTANTERIOROBLIQUE": "RAO", "399356000": "RAO",
    "LEFTANTERIOROBLIQUE": "LAO", "399135007": "LAO", "RIGHTPOSTERIOROBLIQUE": "RPO", "399038007": "RPO",
    "LEFTPOSTERIOROBLIQUE": "LPO", "399006002": "LPO", "TANGENTIAL": "TAN", "399110001": "TAN",
}  # fmt: skip


def view(said: str) -> str:
    """A projection under its short name (`PA`, `MLO`); '' for anything that is none, so that no free text becomes an image's role."""
    word = re.sub(r"[^A-Z0-9]", "", said.upper())
    return _SAME.get(word, word if word in VIEWS else "")


def clean(description: str) -> str:
    """Only the words of a description that cannot name anyone, in their order; '' when none is left.

    Numbers of up to two digits stay when a known word does (`CT CHEST 5 mm`).
    """
    tokens = _TOKEN.findall(description)
    known = [token.lower().strip("-") in WORDS or token.lower() in WORDS for token in tokens]
    if not any(known):
        return ""
    return " ".join(token for token, keep in zip(tokens, known, strict=True) if keep or _MEASURE.match(token.lower()))[:64]

"""Short English sentences of clinical notes with their parts of speech, written for this course (chapter 11).

155 sentences, 1,128 tokens: enough to see a tagger learn, far too few for one to rely on. The tags are the universal
ones, by the habits of the English treebanks of Universal Dependencies: *no* is a determiner, *not* a particle, *is* an
auxiliary also where it stands alone, *his* a pronoun, a unit a noun. No sentence is of a real person or from a corpus.

References:
    Nivre et al., Universal Dependencies v2, LREC 2020.
"""

import functools
from typing import NamedTuple


class Tagged(NamedTuple):
    """A word and its part of speech. For chapter 11.

    Attributes:
        word: as it stands in the text.
        tag: its part of speech, such as ``"NOUN"``.
    """

    word: str
    tag: str


_NAMES = {
    "n": "NOUN", "e": "PROPN", "v": "VERB", "x": "AUX", "a": "ADJ", "r": "ADV", "o": "PRON", "d": "DET", "p": "ADP",
    "c": "CCONJ", "s": "SCONJ", "t": "PART", "m": "NUM", "y": "SYM", ".": "PUNCT",
}  # fmt: skip

_SENTENCES = """
The/d patient/n denies/v chest/n pain/n ./.
She/o has/v no/d fever/n and/c no/d cough/n ./.
He/o was/x admitted/v with/p severe/a abdominal/a pain/n ./.
The/d cough/n is/x worse/a at/p night/n ./.
They/o cough/v more/r at/p night/n ./.
The/d pain/n started/v two/m days/n ago/r ./.
He/o takes/v aspirin/n 100/m mg/n daily/r ./.
There/o is/x no/d evidence/n of/p pneumonia/n ./.
Blood/n pressure/n was/x 150/90/m mmHg/n on/p admission/n ./.
The/d chest/n X-ray/n shows/v a/d small/a effusion/n on/p the/d left/a ./.
She/o left/v the/d hospital/n on/p Monday/e ./.
He/o does/x not/t smoke/v and/c drinks/v rarely/r ./.
The/d wound/n is/x clean/a and/c dry/a ./.
We/o will/x repeat/v the/d test/n tomorrow/n ./.
The/d repeat/a test/n was/x negative/a ./.
Her/o mother/n died/v of/p breast/n cancer/n ./.
The/d patient/n reports/v nausea/n but/c no/d vomiting/n ./.
Two/m reports/n from/p the/d clinic/n were/x lost/v ./.
The/d rash/n itches/v and/c spreads/v slowly/r ./.
His/o right/a knee/n is/x swollen/a and/c tender/a ./.
Please/r return/v if/s the/d fever/n returns/v ./.
He/o can/x walk/v without/p help/n ./.
The/d walk/n to/p the/d bathroom/n makes/v her/o breathless/a ./.
Metformin/n was/x stopped/v because/s of/p renal/a failure/n ./.
The/d heart/n failed/v despite/p full/a treatment/n ./.
Treatment/n with/p antibiotics/n was/x started/v yesterday/n ./.
She/o complains/v of/p dizziness/n when/s she/o stands/v up/r ./.
The/d lungs/n are/x clear/a to/p auscultation/n ./.
He/o wants/v to/t go/v home/r ./.
The/d dose/n was/x increased/v to/p 20/m mg/n twice/r a/d day/n ./.
An/d increase/n in/p weight/n was/x noted/v ./.
The/d headaches/n increase/v with/p stress/n ./.
No/d murmur/n was/x heard/v over/p the/d heart/n ./.
The/d abdomen/n is/x soft/a ,/. flat/a and/c not/t tender/a ./.
The/d CT/n scan/n showed/v a/d large/a mass/n in/p the/d liver/n ./.
We/o scan/v the/d abdomen/n every/d year/n ./.
Dr./e Smith/e saw/v the/d patient/n in/p the/d clinic/n ./.
The/d patient/n was/x seen/v by/p Dr./e Jones/e ./.
Her/o diabetes/n has/x been/x well/r controlled/v ./.
She/o feels/v well/a today/n ./.
The/d child/n cries/v when/s the/d ear/n is/x touched/v ./.
The/d left/a ear/n is/x red/a ./.
He/o has/x had/v this/d pain/n since/p March/e ./.
Since/s she/o stopped/v the/d drug/n ,/. the/d rash/n has/x faded/v ./.
This/o is/x a/d known/a problem/n ./.
That/o was/x his/o third/a stroke/n ./.
The/d doctor/n thinks/v that/s the/d tumor/n is/x benign/a ./.
The/d tumor/n that/o was/x removed/v was/x benign/a ./.
Who/o gave/v her/o the/d tablets/n ?/.
Is/x the/d pain/n sharp/a or/c dull/a ?/.
Did/x the/d fever/n respond/v to/p paracetamol/n ?/.
The/d plan/n is/x to/t discharge/v him/o on/p Friday/e ./.
We/o plan/v a/d biopsy/n next/a week/n ./.
After/p discharge/n he/o should/x rest/v for/p two/m weeks/n ./.
After/s he/o was/x discharged/v ,/. the/d pain/n came/v back/r ./.
Her/o back/n hurts/v when/s she/o bends/v ./.
The/d rest/n of/p the/d examination/n was/x normal/a ./.
The/d pulse/n is/x regular/a at/p 72/m beats/n per/p minute/n ./.
The/d heart/n beats/v irregularly/r ./.
Sodium/n was/x low/a at/p 128/m mmol/L/n ./.
White/a cells/n were/x 12.5/m and/c hemoglobin/n was/x 9.8/m ./.
Oxygen/n saturation/n fell/v to/p 88/m %/y ./.
He/o had/v a/d fall/n at/p home/n last/a week/n ./.
Symptoms/n may/x last/v for/p several/a months/n ./.
The/d patient/n is/x a/d 65-year-old/a man/n with/p diabetes/n ./.
A/d young/a woman/n presented/v with/p acute/a dyspnea/n ./.
She/o presents/v today/n for/p follow-up/n ./.
At/p present/n she/o has/v no/d symptoms/n ./.
There/o were/x no/d signs/n of/p infection/n ./.
He/o signs/v the/d form/n himself/o ./.
The/d nurse/n changed/v the/d dressing/n ./.
No/d change/n was/x seen/v on/p the/d ECG/n ./.
Her/o vision/n has/x become/v blurred/a ./.
The/d kidneys/n function/v poorly/r ./.
Liver/n function/n was/x normal/a ./.
He/o lives/v alone/r and/c works/v as/p a/d driver/n ./.
Both/d lungs/n were/x affected/v ./.
Both/c pain/n and/c swelling/n have/x improved/v ./.
All/d cultures/n remained/v sterile/a ./.
Neither/d leg/n is/x swollen/a ./.
The/d swelling/n in/p her/o ankles/n is/x mild/a ./.
She/o could/x not/t sleep/v because/s her/o leg/n hurt/v ./.
Sleep/n is/x poor/a ./.
He/o sleeps/v poorly/r and/c eats/v little/a ./.
Appetite/n is/x good/a ./.
The/d stool/n was/x black/a but/c without/p blood/n ./.
Without/p treatment/n ,/. the/d infection/n would/x spread/v ./.
The/d infection/n has/x spread/v to/p the/d bone/n ./.
If/s the/d pain/n gets/v worse/a ,/. call/v us/o ./.
The/d call/n came/v at/p 10:30/m ./.
Mild/a scoliosis/n was/x found/v by/p chance/n ./.
We/o found/v two/m small/a stones/n in/p the/d gallbladder/n ./.
The/d stones/n were/x removed/v last/a year/n ./.
His/o father/n and/c his/o brother/n have/v asthma/n ./.
She/o is/x allergic/a to/p penicillin/n ./.
Allergies/n :/. none/n ./.
Temperature/n 38.5/m °C/n ,/. pulse/n 110/m ./.
He/o looks/v pale/a and/c tired/a ./.
The/d skin/n looks/v yellow/a ./.
Her/o skin/n was/x warm/a and/c moist/a ./.
The/d doctor/n ordered/v an/d MRI/n of/p the/d brain/n ./.
An/d order/n for/p blood/n tests/n was/x written/v ./.
The/d nurse/n tests/v his/o urine/n every/d morning/n ./.
Urine/n was/x dark/a and/c cloudy/a ./.
In/p order/n to/t avoid/v bleeding/n ,/. warfarin/n was/x stopped/v ./.
The/d bleeding/n stopped/v quickly/r ./.
She/o is/x bleeding/v from/p the/d nose/n ./.
Her/o nose/n bleeds/v often/r ./.
He/o often/r forgets/v to/t take/v his/o tablets/n ./.
Only/r one/m dose/n was/x missed/v ./.
One/m should/x also/r exclude/v a/d fracture/n ./.
A/d fracture/n was/x excluded/v by/p X-ray/n ./.
It/o hurts/v to/t swallow/v ./.
It/o is/x not/t clear/a why/r he/o fainted/v ./.
These/d symptoms/n suggest/v heart/n failure/n ./.
Those/d results/n were/x normal/a ./.
The/d result/n suggests/v an/d old/a infarction/n ./.
The/d drug/n results/v in/p lower/a pressure/n ./.
Lower/a doses/n are/x safer/a ./.
We/o lower/v the/d dose/n if/s the/d patient/n feels/v weak/a ./.
Weakness/n of/p the/d left/a arm/n lasted/v an/d hour/n ./.
The/d arm/n moves/v freely/r ./.
No/d movement/n of/p the/d toes/n was/x possible/a ./.
He/o moved/v to/p London/e in/p 2015/m ./.
The/d patient/n from/p Berlin/e speaks/v no/d English/e ./.
Surgery/n is/x planned/v for/p June/e 5/m ./.
The/d surgeon/n advised/v against/p surgery/n ./.
She/o must/x fast/v before/p the/d operation/n ./.
A/d fast/a rhythm/n was/x seen/v before/s he/o collapsed/v ./.
He/o collapsed/v while/s he/o was/x walking/v ./.
Walking/n is/x painful/a ./.
The/d pain/n is/x relieved/v by/p rest/n ./.
Rest/n relieves/v the/d pain/n ./.
Mr./e Brown/e has/x smoked/v for/p thirty/m years/n ./.
The/d smoker/n refuses/v all/d help/n ./.
Tablets/n help/v only/r a/d little/a ./.
Does/x she/o need/v oxygen/n ?/.
There/o is/x no/d need/n for/p surgery/n ./.
She/o needs/v a/d new/a hip/n ./.
The/d very/r small/a lesion/n was/x not/t biopsied/v ./.
Lesions/n of/p this/d kind/n heal/v quite/r slowly/r ./.
The/d ulcer/n healed/v within/p six/m weeks/n ./.
During/p the/d night/n ,/. he/o became/v confused/a ./.
The/d confused/a patient/n pulled/v out/p his/o line/n ./.
Although/s he/o felt/v better/a ,/. the/d fever/n persisted/v ./.
The/d persistent/a cough/n produces/v yellow/a sputum/n ./.
Sputum/n culture/n grew/v no/d bacteria/n ./.
Which/d drug/n does/x he/o take/v ?/.
The/d drug/n which/o she/o took/v was/x effective/a ./.
Today/n the/d patient/n has/v less/a pain/n and/c can/x eat/v ./.
The/d can/n was/x empty/a ,/. so/r he/o drank/v water/n ./.
Her/o hands/n shake/v ,/. and/c her/o speech/n is/x slow/a ./.
The/d speech/n therapist/n visits/v her/o twice/r a/d week/n ./.
His/o visits/n to/p the/d emergency/n room/n are/x frequent/a ./.
Frequent/a stools/n and/c weight/n loss/n suggest/v colitis/n ./.
"""


@functools.cache
def _sentences() -> tuple[tuple[Tagged, ...], ...]:
    lines = (line.split() for line in _SENTENCES.strip().splitlines())
    pairs = ((token.rpartition("/") for token in line) for line in lines)
    return tuple(tuple(Tagged(word, _NAMES[tag]) for word, _, tag in sentence) for sentence in pairs)


def tagged_sentences() -> list[list[Tagged]]:
    """The sentences of this file, each a list of :class:`Tagged` words. For chapter 11.

    Returns:
        A list a sentence; a new one each time, so that it may be changed.

    >>> tagged_sentences()[0][:3]
    [Tagged(word='The', tag='DET'), Tagged(word='patient', tag='NOUN'), Tagged(word='denies', tag='VERB')]
    """
    return [list(sentence) for sentence in _sentences()]

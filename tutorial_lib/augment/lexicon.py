"""The word tables that augmentation works with: small ones of our own writing, and readers for larger ones.

A table is a mapping from a word to the words that may stand for it, in a fixed order. The built-in tables are small on
purpose: enough to teach with, and to run everything without a download. For work, read a larger one with
:func:`read_synonyms`, or take WordNet's through :func:`wordnet_synonyms`.

====================  =============================================================================================
table                 word -> words
====================  =============================================================================================
SYNONYMS              English and Chinese, general and clinical, about 650 words in sets of two to five
MISSPELLINGS          correct -> common slips
HOMOPHONES            Chinese character -> characters that sound like it
CONTRACTIONS          two words -> one: ("do", "not") -> "don't"
EXPANSIONS            one word -> two, only where there is one reading: "don't" -> ("do", "not"), but not "she's"
KEYBOARD              letter -> its neighbours on a QWERTY keyboard
====================  =============================================================================================
"""

import gzip
import re
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

from tutorial_lib import _arguments as check

__all__ = [
    "CONTRACTIONS",
    "EXPANSIONS",
    "HOMOPHONES",
    "KEYBOARD",
    "MISSPELLINGS",
    "NEGATIONS",
    "SYNONYMS",
    "UNITS",
    "WordNetSynonyms",
    "has_number",
    "read_homophones",
    "read_synonyms",
    "synonym_table",
    "wordnet_synonyms",
]


def synonym_table(groups: Iterable[Iterable[str]]) -> dict[str, list[str]]:
    """Turn sets of words that mean the same into a table: each word gets the others of its sets, in their order.

    Args:
        groups: any iterables of words; a word may be in several. Sets are sorted first, so that the table does not
            depend on the order in which Python happens to hash strings.

    Returns:
        Word, in lower case -> list of the others, as written, without repeats.

    >>> synonym_table([["fever", "pyrexia"], ["fever", "temperature"]])
    {'fever': ['pyrexia', 'temperature'], 'pyrexia': ['fever'], 'temperature': ['fever']}
    """
    table: dict[str, list[str]] = {}
    for group in groups:
        words = sorted(group) if isinstance(group, set | frozenset) else check.strings(group, "groups")
        for word in words:
            others = table.setdefault(word.lower(), [])
            others.extend(other for other in words if other.lower() != word.lower() and other not in others)
    return {word: others for word, others in table.items() if others}


def _lines(text: str) -> list[list[str]]:
    return [line.split("|") for line in text.split("\n") if line]


SYNONYMS = synonym_table(
    _lines(
        """\
patient|case
patients|cases
doctor|physician|clinician
doctors|physicians|clinicians
illness|disease|sickness|disorder
illnesses|diseases|disorders
fever|pyrexia|high temperature
feverish|febrile
pain|ache|soreness|discomfort
painful|sore|aching
tired|fatigued|weary|exhausted
tiredness|fatigue|lethargy
dizzy|lightheaded|giddy
dizziness|lightheadedness|giddiness
nausea|queasiness
vomiting|emesis
itching|pruritus
itchy|pruritic
swelling|oedema|edema
swollen|oedematous|puffy
breathless|dyspnoeic
breathlessness|dyspnoea|dyspnea
wheeze|whistling breath
numb|insensible
numbness|loss of feeling
bleeding|haemorrhage|hemorrhage
bruise|contusion
bruises|contusions
rash|eruption
tumour|tumor|neoplasm|growth
tumours|tumors|neoplasms|growths
cancer|malignancy
cancerous|malignant
stroke|cerebrovascular accident
hypertension|high blood pressure
hypotension|low blood pressure
anaemia|anemia
jaundice|icterus
seizure|convulsion|fit
seizures|convulsions|fits
heartbeat|pulse
stomach|belly|abdomen
abdominal|ventral
kidney|renal organ
renal|nephric
cardiac|heart
pulmonary|lung
hepatic|liver
skull|cranium
throat|pharynx
drug|medicine|medication
drugs|medicines|medications
tablet|pill
tablets|pills
injection|shot|jab
dose|dosage
doses|dosages
therapy|treatment
surgery|operation
surgical|operative
examination|check-up|inspection
examined|inspected|assessed
diagnosis|finding
diagnosed|identified
symptom|complaint|sign
symptoms|complaints|signs
infection|contagion
infected|contaminated
inflamed|irritated
chronic|persistent|long-lasting
acute|sudden
severe|serious|grave|intense
mild|slight|light
moderate|medium
worse|poorer
worsened|deteriorated|declined
worsening|deterioration
improved|recovered|got better
improvement|recovery
stable|steady|unchanged
normal|regular|usual
abnormal|irregular|unusual
elevated|raised|increased|high
reduced|decreased|lowered|diminished
increase|rise|growth
increases|rises
decrease|decline|reduction|fall
decreases|declines
reports|states|describes
reported|stated|described
complains|reports
complained|reported
denies|disclaims
denied|disclaimed
shows|reveals|displays|demonstrates
showed|revealed|displayed|demonstrated
show|reveal|display|demonstrate
suggests|indicates|implies
suggested|indicated|implied
noted|observed|seen
treated|managed
treat|manage
takes|uses
received|got|was given
began|started|commenced
begin|start|commence
stopped|ceased|discontinued
stop|cease|discontinue
needs|requires
needed|required
helps|aids|assists
helped|aided|assisted
caused|produced|provoked
causes|produces|provokes
study|trial|investigation
studies|trials|investigations
results|findings|outcomes
result|finding|outcome
method|approach|technique
methods|approaches|techniques
risk|hazard|danger
risks|hazards|dangers
death|demise
died|passed away|deceased
child|infant|kid
children|infants|kids
mother|mum
father|dad
brother|male sibling
sister|female sibling
elderly|aged|old
young|juvenile
adult|grown-up
adults|grown-ups
weak|feeble|frail
weakness|feebleness|frailty
strong|powerful|robust
thin|lean|slim
pale|pallid|wan
quick|fast|rapid|swift
quickly|fast|rapidly|swiftly
slow|gradual
slowly|gradually
often|frequently|repeatedly
frequent|common|repeated
rare|uncommon|infrequent
rarely|seldom
always|constantly
sometimes|occasionally|at times
daily|every day
recently|lately
previous|earlier|prior|former
previously|earlier|formerly
following|subsequent|later
early|initial
final|last|ultimate
beginning|start|onset
end|finish|close
big|large|great
small|little|tiny
long|lengthy|prolonged
short|brief
good|fine|favourable
bad|poor|unfavourable
important|significant|major
main|chief|principal
entire|whole|complete
completely|entirely|fully|totally
nearly|almost
about|around|roughly|approximately
very|extremely|highly
several|various|numerous
many|numerous
enough|sufficient|adequate
correct|right|accurate
wrong|incorrect|mistaken
difficult|hard|tough
difficulty|trouble
easy|simple|straightforward
happy|glad|cheerful|pleased
sad|unhappy|gloomy|sorrowful
afraid|scared|frightened
worried|anxious|concerned
anxiety|worry|unease
angry|cross|annoyed
calm|quiet|peaceful
beautiful|lovely|pretty
awful|dreadful|terrible
excellent|superb|outstanding
boring|dull|tedious
interesting|engaging|absorbing
clever|smart|bright
strange|odd|peculiar
clear|plain|evident
clearly|plainly|evidently
hidden|concealed
near|close to
house|home|dwelling
job|work|occupation
film|movie|picture
road|street
car|automobile|vehicle
money|cash|funds
meal|dish
story|tale
idea|notion|thought
problem|issue|difficulty
answer|reply|response
help|aid|assistance
change|alteration|shift
changes|alterations|shifts
part|portion|section
kind|sort|type
amount|quantity
place|spot|location
say|state
says|states
said|stated
think|believe|suppose
thinks|believes|supposes
see|notice|observe
look|glance
find|discover|detect
found|discovered|detected
get|obtain|acquire
give|provide|supply
gives|provides|supplies
gave|provided|supplied
keep|retain|maintain
make|create|produce
made|created|produced
buy|purchase
bought|purchased
walk|stroll
walks|strolls
eat|consume
eats|consumes
sleeps|slumbers
lives|resides|dwells
tell|inform
told|informed
ask|inquire
asked|inquired
choose|select|pick
chosen|selected|picked
allow|permit|let
allowed|permitted
prevent|avert|forestall
患者|病人|病患
医生|大夫|医师
医院|医疗机构
疾病|病症|病
发热|发烧|体温升高
疼痛|痛|疼
头痛|头疼
腹痛|肚子痛|肚子疼
胸痛|胸口疼|胸疼
腰痛|腰疼
头晕|眩晕|头昏
恶心|反胃|想吐
呕吐|吐
咳嗽|咳
乏力|疲乏|无力|疲劳
气短|气促|呼吸困难
胸闷|憋气
心慌|心悸
水肿|浮肿
腹泻|拉肚子
便秘|大便困难
瘙痒|发痒
出血|流血
消瘦|体重下降
口渴|口干
失眠|睡不着|入睡困难
耳鸣|耳朵响
麻木|发麻
高血压|血压高|血压偏高
糖尿病|血糖高
贫血|血红蛋白低
感冒|上呼吸道感染
肿瘤|肿块
感染|染病
炎症|发炎
中风|脑卒中
心衰|心力衰竭
药物|药|药品
药片|片剂
剂量|用量
治疗|诊治|医治
手术|开刀
检查|查体|检验
诊断|确诊
症状|表现
病史|既往史
服用|口服|吃
注射|打针
严重|重|厉害
轻微|轻度|轻
加重|恶化|加剧
好转|改善|缓解
正常|未见异常
异常|不正常
升高|增高|上升
降低|下降|减少
增加|增多
突然|忽然
经常|常常|时常
有时|偶尔
每天|每日|天天
最近|近来|近期
以前|从前|过去
目前|现在|当前
立即|马上|立刻
开始|起初
停止|停用
担心|担忧|忧虑
害怕|恐惧|畏惧
需要|须要
建议|提议
认为|觉得|以为
发现|察觉
告诉|告知
说明|表明|显示
询问|问
帮助|帮忙|协助
重要|要紧|关键
主要|首要
非常|十分|很|特别
大约|大概|约
全部|所有|一切
许多|很多|好多
快速|迅速|很快
缓慢|慢
高兴|开心|快乐|愉快
难过|伤心|悲伤
漂亮|美丽|好看
聪明|机灵
困难|艰难
容易|简单
原因|缘故
结果|结局
方法|办法
问题|疑问
孩子|小孩|儿童
母亲|妈妈|妈
父亲|爸爸|爸
老人|老年人
家里|家中
工作|上班
睡眠|睡觉
饮食|吃饭
喜欢|喜爱|爱"""
    )
)

MISSPELLINGS = {
    right: wrong.split()
    for right, *wrongs in _lines(
        """\
abdominal|abdomnal abdominel
absence|absense abscence
accommodate|accomodate acommodate
achieve|acheive
address|adress
allergies|alergies allergys
allergy|alergy
anaemia|anemea aneamia
apparent|apparant
appearance|appearence
appetite|apetite appitite
argument|arguement
asthma|asma astma asthama
because|becuase becasue
beginning|begining
believe|beleive belive
breath|breth
breathing|breatheing brething
business|buisness
calendar|calender
capsule|capsul
chronic|cronic chronick
committee|commitee
completely|completly
cough|couph cogh
definitely|definately definitly
diabetes|diabetis diabeties
diagnosis|diagnosys diagnossis
diarrhoea|diarhoea diarreah
different|diffrent
disease|desease diesease
dizziness|dizzyness diziness
doctor|docter
embarrass|embarass
environment|enviroment
especially|expecially
examination|examanation examnation
existence|existance
experience|experiance
familiar|familar
fatigue|fatige fatique
fever|feaver
finally|finaly
foreign|foriegn
friend|freind
government|goverment
grateful|greatful
haemoglobin|hemaglobin haemoglobine
haemorrhage|hemmorhage haemorhage
happened|happend
headache|headacke headach
height|hieght
hospital|hospitol hosptal
hypertension|hypertention hypertenson
immediately|immediatly
independent|independant
infection|infecton
inhaler|inhailer
injection|injecton
intelligent|inteligent
interesting|intresting
kidney|kidny
knowledge|knowlege
length|lenght
library|libary
medicine|medecine medcine
medication|medicaton
migraine|migrane migrain
nausea|nausia nausea nausious
necessary|neccessary necesary
noticeable|noticable
occasion|occassion
occurred|occured
occurrence|occurence
operation|opperation
particularly|particulary
patient|patiant pateint
patients|patiants pateints
people|poeple
pneumonia|pnumonia neumonia pneumonea
possible|posible
preferred|prefered
prescription|perscription
pressure|presure
probably|probaly
pulse|pluse
really|realy
receive|recieve
recommend|recomend reccommend
referred|refered
rhythm|rythm rhythym
schedule|schedual
seizure|siezure seizeure
separate|seperate
shortness|shortnes
similar|similer
sincerely|sincerly
stomach|stomache stomack
successful|succesful
surgery|surgury
surprise|suprise
swollen|swolen
symptom|symtom symptem
symptoms|symtoms symptems
tablets|tabelts
temperature|temperture tempreture
their|thier
tomorrow|tommorow
tongue|tounge
treatment|treatement
truly|truely
ultrasound|ultrasond
until|untill
urine|urin
usually|usualy
vomiting|vommiting vomitting
weight|wieght
weird|wierd
which|wich
without|witout
writing|writting"""
    )
    for wrong in wrongs
}
for _right, _wrongs in MISSPELLINGS.items():
    MISSPELLINGS[_right] = [word for word in _wrongs if word != _right]

_HOMOPHONES = """\
的地得
在再
做作坐座
他她它
是事式市试视室
已以椅
和合河何
有又右友
那哪
象像向项
带戴待代
期其七齐
历厉力立利
长常肠
要药
烧稍
疼腾
腹副付复父
炎言严盐
症正证政
同痛桶
心新辛欣
肝干甘
肺费废
胃位为味
肾甚慎
脑恼
血雪
压鸭押
糖堂唐
尿鸟
病并
医一衣依
生声升
院愿远
患换唤
者这
热惹
咳科颗
嗽搜
晕云
呕偶
吐土
泻谢
气汽
喘传
检捡简减
查茶察
治制质
疗聊
服福伏
用永
天添
年念
月越
时十石食
间见建件
近进尽
前钱
后候厚
没每美
不部步布
无五午物
很恨
就救旧
会汇
能嫩
来赖
去趣
到道倒
说硕
看刊
想响享
知之支
己几
情请晴
经精睛
成程城
工公功
关官观
吃痴
睡税
手首守
脚角
眼演
耳尔
口扣
鼻比笔
头投
发法
轻清青
重中种
高告
低滴
多朵
少绍
大打
小晓
快块
慢漫
好号
坏怀
红洪
白百
黄皇
水睡
火伙
门们
风封
节结
级急集
决觉绝
须需虚
必毕"""
HOMOPHONES: dict[str, str] = {}
for _group in _HOMOPHONES.split("\n"):
    for _char in _group:
        HOMOPHONES[_char] = HOMOPHONES.get(_char, "") + _group.replace(_char, "")

CONTRACTIONS = {
    tuple(words.split()): short
    for words, short in _lines(
        """\
are not|aren't
cannot|can't
could not|couldn't
did not|didn't
does not|doesn't
do not|don't
had not|hadn't
has not|hasn't
have not|haven't
is not|isn't
must not|mustn't
need not|needn't
should not|shouldn't
was not|wasn't
were not|weren't
will not|won't
would not|wouldn't
i am|I'm
you are|you're
we are|we're
they are|they're
i have|I've
you have|you've
we have|we've
they have|they've
i will|I'll
you will|you'll
he will|he'll
she will|she'll
it will|it'll
we will|we'll
they will|they'll
let us|let's
he is|he's
she is|she's
it is|it's
that is|that's
there is|there's
what is|what's
who is|who's
where is|where's
he has|he's
she has|she's
it has|it's
that has|that's
there has|there's
who has|who's
i had|I'd
you had|you'd
he had|he'd
she had|she'd
we had|we'd
they had|they'd
i would|I'd
you would|you'd
he would|he'd
she would|she'd
we would|we'd
they would|they'd"""
    )
}
# Written out, but not made: "could have" is as good as "could've" in a text.
_WRITTEN_OUT = {
    "".join(words.replace(" have", "'ve").replace(" will", "'ll").split()): tuple(words.split())
    for words in (
        "could have|would have|should have|might have|must have|may have|who have|who will|what have|there have|"
        "that will|there will|this will|these have|those have"
    ).split("|")
}
_WRITTEN_OUT |= {
    "mightn't": ("might", "not"), "oughtn't": ("ought", "not"), "shan't": ("shall", "not"), "daren't": ("dare", "not"),
    "couldn't've": ("could", "not", "have"), "wouldn't've": ("would", "not", "have"),
    "shouldn't've": ("should", "not", "have"), "mightn't've": ("might", "not", "have"),
    "mustn't've": ("must", "not", "have"),
}  # fmt: skip
_WRITTEN_OUT |= {f"{who}'d've": (who, "would", "have") for who in "i you he she it we they who there that".split()}
# One reading only. he's is "he is" or "he has"; I'd is "I had" or "I would": they stay as they are.
_readings: dict[str, list[tuple[str, ...]]] = {}
for _words, _short in CONTRACTIONS.items():
    _readings.setdefault(_short.lower(), []).append(_words)
EXPANSIONS = {
    short: readings[0]
    for short, readings in _readings.items()
    if len(readings) == 1 and (not short.endswith("'s") or short == "let's")
} | _WRITTEN_OUT

_ROWS = (("qwertyuiop", 0.0), ("asdfghjkl", 0.25), ("zxcvbnm", 0.75))
_KEYS = {key: (column + shift, row) for row, (keys, shift) in enumerate(_ROWS) for column, key in enumerate(keys)}
# Keys whose middles are less than 1.3 key widths apart.
KEYBOARD = {
    key: "".join(other for other, (u, v) in _KEYS.items() if other != key and (u - x) ** 2 + (v - y) ** 2 < 1.69)
    for key, (x, y) in _KEYS.items()
}

UNITS = frozenset(
    "% ‰ ℃ °C °F bpm cal cm cmH2O C d dL dl F fL g g/dL g/L h hr hrs IU IU/L kcal kg kg/m2 kPa L l lb lbs m "
    "mcg mEq mEq/L mg mg/dL mg/kg mg/L min mL ml mm mmHg mmol mmol/L mol mol/L mU/L ng ng/mL oz pg pg/mL s "
    "sec U U/L ug ug/L um µg μg µg/L μg/L µmol/L μmol/L umol/L "
    "day days hour hours minute minutes month months week weeks year years "
    "片 粒 支 次 克 毫克 微克 千克 公斤 斤 升 毫升 米 厘米 毫米 天 日 周 月 年 岁 小时 分钟 度 毫米汞柱 单位".split()
)
NEGATIONS = frozenset(
    "no not never none neither nor without cannot can't don't doesn't didn't isn't aren't wasn't weren't "
    "hasn't haven't hadn't won't wouldn't couldn't shouldn't mightn't mustn't needn't oughtn't shan't daren't "
    "denies denied deny denying absent absence "
    "negative excluded 不 没 没有 无 未 未见 否 否认 非 别 勿 排除 阴性 不是 不能 不会 并无 未曾 从未 暂无".split()
)


# ---------------------------------------------------------------------------------------- larger tables


def _open(path: str | PathLike):
    return gzip.open(path, "rt", encoding="utf-8") if Path(path).suffix == ".gz" else open(path, encoding="utf-8")


def read_synonyms(path: str | PathLike, *, parts: Iterable[str] | None = None) -> dict[str, list[str]]:
    r"""Read a table of synonym sets: a line is a part of speech, a tab, and words joined by ``|``.

    Args:
        path: text in UTF-8; compressed where its name ends in ``.gz``. ``_`` in a word stands for a blank. A line
            without a tab is a set without a part of speech; empty lines do not count.
        parts: the parts of speech to take, as the file writes them; ``None`` takes all.

    Returns:
        The table, as :func:`synonym_table` makes it.

    Raises:
        ValueError: if the file holds no set of two or more words, or none of the parts that were asked for.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "synonyms.txt")
    ...     _ = path.write_text("n\tfever|pyrexia\nv\tdeny|rule_out\n", encoding="utf-8")
    ...     read_synonyms(path, parts=["n"])
    {'fever': ['pyrexia'], 'pyrexia': ['fever']}
    """
    wanted = None if parts is None else set(check.strings(parts, "parts"))
    groups, seen = [], set()
    with _open(path) as file:
        for line in file:
            part, tab, words = line.rstrip("\r\n").partition("\t")
            if not tab:
                part, words = "", part
            seen.add(part)
            if wanted is None or part in wanted:
                groups.append([word.replace("_", " ").strip() for word in words.split("|") if word.strip("_ ")])
    table = synonym_table(groups)
    if not table:
        raise ValueError(f"{path} holds no synonyms for parts={parts}; its parts of speech are {sorted(seen)}")
    return table


def read_homophones(path: str | PathLike) -> dict[str, str]:
    r"""Read a table of characters that sound alike: a line is a sound (pinyin), then characters, all between tabs.

    Args:
        path: text in UTF-8; compressed where its name ends in ``.gz``.

    Returns:
        Character -> the other characters of its line (of its lines, where it has several sounds), in their order.

    Raises:
        ValueError: if no line holds a sound and two characters.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "sounds.txt")
    ...     _ = path.write_text("tong\t痛\t通\t同\n", encoding="utf-8")
    ...     read_homophones(path)
    {'痛': '通同', '通': '痛同', '同': '痛通'}
    """
    table: dict[str, str] = {}
    with _open(path) as file:
        for line in file:
            chars = [char for char in line.rstrip("\r\n").split("\t")[1:] if len(char) == 1]
            for char in chars if len(chars) > 1 else ():
                known = table.get(char, "")
                table[char] = known + "".join(other for other in chars if other != char and other not in known)
    if not table:
        raise ValueError(f"{path} holds no line of a sound and two or more characters, with tabs between")
    return table


class WordNetSynonyms(Mapping[str, list[str]]):
    """WordNet's synonyms, through NLTK: a table that looks a word up when it is first asked for.

    A word's synonyms are the lemma names of all its senses, in WordNet's own order (the most frequent sense first),
    without the word itself. It is a mapping only to look words up in: it cannot be counted or gone through.

    Args:
        part: ``"n"``, ``"v"``, ``"a"``, ``"r"``, or ``None`` for all parts of speech.
        max_senses: how many senses to take, the most frequent first; ``None`` takes all. The words of rare senses are
            often no synonyms at all in the sentence at hand ("patient" -> "affected role").

    Raises:
        ImportError: if NLTK is not there.
        LookupError: if NLTK finds no WordNet.
    """

    def __init__(self, *, part: str | None = None, max_senses: int | None = None):
        self.part = check.choice(part, "part", (None, "n", "v", "a", "r"))
        self.max_senses = None if max_senses is None else check.whole(max_senses, "max_senses", low=1)
        self._known: dict[str, list[str]] = {}
        self._wordnet().ensure_loaded()

    @staticmethod
    def _wordnet():
        try:
            from nltk.corpus import wordnet
        except ImportError as error:
            raise ImportError("WordNet comes through NLTK: pip install 'tutorial-lib[text]'") from error
        return wordnet

    def get(self, word: str, default=None):
        found = self._known.get(word)
        if found is None:
            names: dict[str, None] = {}  # a dict keeps the order, a set would not
            for sense in self._wordnet().synsets(word.replace(" ", "_"), pos=self.part)[: self.max_senses]:
                for name in sense.lemma_names():
                    names.setdefault(name.replace("_", " "))
            found = self._known[word] = [name for name in names if name.lower() != word.lower()]
        return found or default

    def __getitem__(self, word: str) -> list[str]:
        found = self.get(word)
        if found is None:
            raise KeyError(word)
        return found

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and self.get(word) is not None

    def __iter__(self):
        raise TypeError("WordNetSynonyms only looks words up; it cannot be gone through")

    def __len__(self):
        raise TypeError("WordNetSynonyms only looks words up; it cannot be counted")

    def __bool__(self) -> bool:
        return True


def wordnet_synonyms(*, part: str | None = None, max_senses: int | None = None) -> WordNetSynonyms:
    """WordNet's synonyms through NLTK, as a table; see :class:`WordNetSynonyms`.

    Args:
        part: as in :class:`WordNetSynonyms`.
        max_senses: as in :class:`WordNetSynonyms`.

    Returns:
        The table.
    """
    return WordNetSynonyms(part=part, max_senses=max_senses)


_CHINESE_NUMERAL = re.compile("[零〇一二两三四五六七八九十百千万亿半]+")


def has_number(token: str) -> bool:
    """Whether a token holds a digit (``5``, ``168/98``, ``500mg``, ``B12``), or is a number in Chinese numerals.

    Args:
        token: one token.

    Returns:
        True or False: a rule that ``keep=`` takes.

    >>> [has_number(token) for token in ("2.5", "B12", "三", "mg", "三叉")]
    [True, True, True, False, False]
    """
    return any(char.isdigit() or char in "½¼¾⅓⅔" for char in token) or _CHINESE_NUMERAL.fullmatch(token) is not None

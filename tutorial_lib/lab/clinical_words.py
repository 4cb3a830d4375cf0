"""The words and sentences of which clinical notes are made, in English and Chinese."""

from typing import NamedTuple


class Condition(NamedTuple):
    """One condition, and the ways in which a note asserts it."""

    share: float  # how often it is there
    names: tuple[str, ...]
    symptoms: tuple[str, ...]
    drugs: tuple[str, ...]
    findings: tuple[str, ...]


class Language(NamedTuple):
    """A language's conditions and its sentences, with gaps for what a condition fills in."""

    conditions: dict[str, Condition]
    asserts: tuple[str, ...]
    denies: tuple[str, ...]
    filler: tuple[str, ...]
    times: tuple[str, ...]
    joint: str


# The shares fall from 40 % to 5 %: a long tail, as in any ward.
_ENGLISH = Language(
    conditions={
        "hypertension": Condition(
            0.40,
            ("hypertension", "high blood pressure", "raised blood pressure"),
            ("morning headache", "dizziness", "blurred vision", "pounding in the ears"),
            ("amlodipine 5 mg", "lisinopril 10 mg", "losartan 50 mg"),
            ("blood pressure 168/98 mmHg", "blood pressure 154/96 mmHg", "a loud second heart sound"),
        ),
        "diabetes": Condition(
            0.30,
            ("diabetes", "type 2 diabetes", "diabetes mellitus"),
            ("thirst", "frequent urination", "blurred vision", "numb feet", "weight loss"),
            ("metformin 500 mg", "insulin glargine", "gliclazide 80 mg"),
            ("fasting glucose 9.8 mmol/L", "HbA1c 8.4 %", "sugar in the urine"),
        ),
        "pneumonia": Condition(
            0.22,
            ("pneumonia", "a chest infection", "lobar pneumonia"),
            ("cough with yellow sputum", "fever", "chills", "shortness of breath", "pain on breathing in"),
            ("amoxicillin 500 mg", "azithromycin 250 mg", "ceftriaxone 1 g"),
            ("crackles at the right base", "consolidation on chest film", "temperature 38.9 C"),
        ),
        "asthma": Condition(
            0.18,
            ("asthma", "bronchial asthma", "reactive airways"),
            ("wheezing", "night cough", "tight chest", "shortness of breath"),
            ("salbutamol inhaler", "budesonide inhaler", "montelukast 10 mg"),
            ("wheeze on both sides", "reduced peak flow", "long expiration"),
        ),
        "heart failure": Condition(
            0.14,
            ("heart failure", "congestive heart failure", "a weak heart"),
            ("swollen ankles", "shortness of breath", "waking up breathless", "tiredness", "weight gain"),
            ("furosemide 40 mg", "bisoprolol 2.5 mg", "spironolactone 25 mg"),
            ("raised neck veins", "ejection fraction 30 %", "fluid in both lungs"),
        ),
        "anaemia": Condition(
            0.11,
            ("anaemia", "iron deficiency", "a low blood count"),
            ("tiredness", "dizziness", "pale skin", "a racing heart"),
            ("ferrous sulfate 200 mg", "iron tablets", "vitamin B12"),
            ("haemoglobin 8.2 g/dL", "pale conjunctivae", "ferritin 6 ug/L"),
        ),
        "kidney stones": Condition(
            0.08,
            ("kidney stones", "renal calculi", "a ureteric stone"),
            ("flank pain", "blood in the urine", "nausea", "pain that moves to the groin"),
            ("tamsulosin 0.4 mg", "diclofenac 75 mg", "potassium citrate"),
            ("a 5 mm stone on ultrasound", "tenderness over the kidney", "red cells in the urine"),
        ),
        "migraine": Condition(
            0.05,
            ("migraine", "migraine with aura", "sick headaches"),
            ("throbbing headache", "flashing lights", "nausea", "pain behind one eye"),
            ("sumatriptan 50 mg", "propranolol 40 mg", "topiramate 25 mg"),
            ("a normal neurological examination", "a normal head scan", "neck stiffness absent"),
        ),
    },
    asserts=(
        "Patient reports {symptom} for {time}.",
        "Complains of {symptom}, worse over the last {time}.",
        "Came in with {symptom} and {symptom2}.",
        "Known {name} for {time}.",
        "Has {name}, takes {drug}.",
        "On {drug} every day for {time}.",
        "Examination shows {finding}.",
        "{finding} noted today.",
        "Impression: {name}.",
        "Treated for {name} {time} ago.",
    ),
    denies=(
        "Denies {symptom} and {symptom2}.",
        "No {symptom}, no {symptom2}.",
        "No history of {name}.",
        "Mother had {name}, treated with {drug}.",
        "Brother takes {drug} for {name}.",
        "{name} was ruled out {time} ago.",
        "{drug} was stopped, {name} not confirmed.",
        "Worried about {name}, but tests were normal.",
        "There is no evidence of {name}.",
    ),
    filler=(
        "Sleeps well and eats normally.",
        "Lives alone, walks every day.",
        "Stopped smoking {time} ago.",
        "Retired teacher, does not drink.",
        "No known drug allergies.",
        "Vaccines are up to date.",
        "Asked to come back in {time}.",
        "Works nights in a bakery.",
        "Appendix taken out as a child.",
        "Plan was explained and agreed.",
    ),
    times=("two days", "three days", "a week", "ten days", "two weeks", "a month", "six months", "a year", "5 years"),
    joint=" ",
)
_CHINESE = Language(
    conditions={
        "高血压": Condition(
            0.40,
            ("高血压", "血压偏高", "原发性高血压"),
            ("晨起头痛", "头晕", "视物模糊", "耳鸣"),
            ("氨氯地平5mg", "赖诺普利10mg", "氯沙坦50mg"),
            ("血压168/98mmHg", "血压154/96mmHg", "第二心音亢进"),
        ),
        "糖尿病": Condition(
            0.30,
            ("糖尿病", "2型糖尿病", "血糖高"),
            ("口渴", "多尿", "视物模糊", "双脚麻木", "消瘦"),
            ("二甲双胍500mg", "甘精胰岛素", "格列齐特80mg"),
            ("空腹血糖9.8mmol/L", "糖化血红蛋白8.4%", "尿糖阳性"),
        ),
        "肺炎": Condition(
            0.22,
            ("肺炎", "肺部感染", "大叶性肺炎"),
            ("咳黄痰", "发热", "寒战", "气短", "吸气时胸痛"),
            ("阿莫西林500mg", "阿奇霉素250mg", "头孢曲松1g"),
            ("右肺底湿啰音", "胸片见实变影", "体温38.9℃"),
        ),
        "哮喘": Condition(
            0.18,
            ("哮喘", "支气管哮喘", "气道高反应"),
            ("喘息", "夜间咳嗽", "胸闷", "气短"),
            ("沙丁胺醇气雾剂", "布地奈德吸入剂", "孟鲁司特10mg"),
            ("双肺哮鸣音", "呼气峰流速下降", "呼气延长"),
        ),
        "心力衰竭": Condition(
            0.14,
            ("心力衰竭", "心衰", "心功能不全"),
            ("脚踝水肿", "气短", "夜间憋醒", "乏力", "体重增加"),
            ("呋塞米40mg", "比索洛尔2.5mg", "螺内酯25mg"),
            ("颈静脉怒张", "射血分数30%", "双肺积液"),
        ),
        "贫血": Condition(
            0.11,
            ("贫血", "缺铁性贫血", "血红蛋白低"),
            ("乏力", "头晕", "面色苍白", "心慌"),
            ("硫酸亚铁200mg", "铁剂", "维生素B12"),
            ("血红蛋白82g/L", "结膜苍白", "铁蛋白6ug/L"),
        ),
        "肾结石": Condition(
            0.08,
            ("肾结石", "输尿管结石", "泌尿系结石"),
            ("腰痛", "血尿", "恶心", "腹股沟放射痛"),
            ("坦索罗辛0.4mg", "双氯芬酸75mg", "枸橼酸钾"),
            ("超声见5mm结石", "肾区叩痛", "尿中红细胞增多"),
        ),
        "偏头痛": Condition(
            0.05,
            ("偏头痛", "先兆性偏头痛", "血管性头痛"),
            ("搏动性头痛", "眼前闪光", "恶心", "一侧眼眶痛"),
            ("舒马普坦50mg", "普萘洛尔40mg", "托吡酯25mg"),
            ("神经系统查体正常", "头颅CT正常", "颈软"),
        ),
    },
    asserts=(
        "患者{symptom}{time}。",
        "主诉{symptom}，近{time}加重。",
        "因{symptom}、{symptom2}来院。",
        "{name}病史{time}。",
        "患有{name}，服用{drug}。",
        "每日服{drug}已{time}。",
        "查体：{finding}。",
        "今日检查{finding}。",
        "初步诊断：{name}。",
        "{time}前因{name}治疗。",
    ),
    denies=(
        "否认{symptom}、{symptom2}。",
        "无{symptom}，无{symptom2}。",
        "既往无{name}病史。",
        "母亲患{name}，用{drug}治疗。",
        "哥哥因{name}服用{drug}。",
        "{time}前已排除{name}。",
        "已停{drug}，{name}未证实。",
        "担心{name}，检查正常。",
        "目前无{name}证据。",
    ),
    filler=(
        "睡眠、饮食可。",
        "独居，每天散步。",
        "{time}前戒烟。",
        "退休教师，不饮酒。",
        "无药物过敏史。",
        "预防接种齐全。",
        "嘱{time}后复诊。",
        "面包房夜班工作。",
        "幼时行阑尾切除术。",
        "已告知治疗方案并同意。",
    ),
    times=("2天", "3天", "一周", "10天", "两周", "一个月", "半年", "一年", "5年"),
    joint="",
)
LANGUAGES = {"en": _ENGLISH, "zh": _CHINESE}

SHORT = {  # what hurried writers write
    "Patient": "Pt",
    "history": "hx",
    "shortness of breath": "SOB",
    "blood pressure": "BP",
    "treated": "tx",
    "with": "w/",
    "Complains of": "c/o",
    "every day": "qd",
    "Examination": "O/E",
    "No evidence of": "NEO",
}

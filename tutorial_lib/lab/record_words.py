"""The diagnoses, and the words and sentences, of which electronic records are made, in English and Chinese."""

from typing import NamedTuple


class Diagnosis(NamedTuple):
    """One diagnosis: how often its picture is there, and what decides between it and another of the same picture."""

    key: str
    share: float  # of the records have its picture; those who share a finding have it together
    finding: str  # the finding that says so; a key of ``Words.findings``
    symptoms: tuple[str, str]  # keys of ``Words.symptoms``
    sex: str = ""  # "male" or "female": only theirs
    ages: tuple[int, int] = (0, 200)  # from, and up to but not including
    decider: str = ""  # a sentence among the tests, without which the finding does not count; a key of Words.deciders
    parent: str = ""  # often written down beside this other diagnosis, without words of its own


#: The most frequent first. The shares fall from a quarter to about a hundredth: a long tail, as in any hospital.
DIAGNOSES = (
    Diagnosis("hypertension", 0.26, "pressure", ("headache", "dizziness")),
    Diagnosis("diabetes", 0.20, "glucose", ("thirst", "urination")),
    Diagnosis("coronary", 0.16, "artery", ("tightness", "palpitations")),
    Diagnosis("pneumonia", 0.11, "consolidation", ("cough", "fever")),
    Diagnosis("fatty_liver", 0.09, "bright_liver", ("tiredness", "fullness")),
    Diagnosis("gastritis", 0.08, "mucosa", ("upper_pain", "nausea")),
    Diagnosis("lipids", 0.06, "cholesterol", ("tiredness", "dizziness"), parent="coronary"),
    Diagnosis("copd", 0.09, "wheeze", ("breathless", "cough"), ages=(45, 200)),
    Diagnosis("infarct", 0.08, "weakness", ("slurred", "dizziness"), decider="scan_clear"),
    Diagnosis("anaemia", 0.06, "haemoglobin", ("tiredness", "pale")),
    Diagnosis("heart_failure", 0.05, "neck_veins", ("swollen", "breathless"), parent="coronary"),
    Diagnosis("fibrillation", 0.05, "irregular", ("palpitations", "breathless")),
    Diagnosis("angina", 0.07, "st_changes", ("tightness", "sweating"), decider="troponin_normal"),
    Diagnosis("prostate", 0.07, "residual", ("urination", "weak_stream"), sex="male"),
    Diagnosis("disc", 0.07, "lumbar", ("back_pain", "numb_leg"), ages=(0, 55)),
    Diagnosis("kidney_stone", 0.04, "ureter_stone", ("flank_pain", "red_urine")),
    Diagnosis("gallstones", 0.04, "gall_stones", ("upper_pain", "fullness")),
    Diagnosis("urinary", 0.035, "white_cells", ("burning", "fever")),
    Diagnosis("thyroid", 0.03, "tsh", ("tiredness", "weight_gain")),
    Diagnosis("gout", 0.03, "uric", ("joint_pain", "swollen_toe")),
    Diagnosis("asthma", 0.09, "wheeze", ("breathless", "cough"), ages=(0, 45)),
    Diagnosis("osteoporosis", 0.07, "lumbar", ("back_pain", "numb_leg"), ages=(55, 200)),
    Diagnosis("prolapse", 0.07, "residual", ("urination", "weak_stream"), sex="female"),
    Diagnosis("myocardial", 0.07, "st_changes", ("tightness", "sweating"), decider="troponin_raised"),
    Diagnosis("haemorrhage", 0.08, "weakness", ("slurred", "dizziness"), decider="scan_bleeding"),
    Diagnosis("kidney_disease", 0.02, "creatinine", ("swollen", "tiredness"), parent="diabetes"),
    Diagnosis("migraine", 0.022, "aura", ("headache", "nausea")),
    Diagnosis("rheumatoid", 0.02, "factor", ("joint_pain", "stiffness")),
    Diagnosis("endometriosis", 0.04, "pelvic", ("lower_pain", "back_pain"), sex="female"),
    Diagnosis("prostatitis", 0.04, "pelvic", ("lower_pain", "back_pain"), sex="male"),
    Diagnosis("tuberculosis", 0.016, "acid_fast", ("cough", "night_sweats")),
    Diagnosis("appendicitis", 0.014, "mcburney", ("lower_pain", "fever")),
)
#: Of two that share a finding and wait for a test: the finding, and for each its decider with the share that has it.
DECIDED = {
    "st_changes": (("troponin_normal", 0.65), ("troponin_raised", 0.35)),
    "weakness": (("scan_clear", 0.65), ("scan_bleeding", 0.35)),
}
#: Heart, vessels and metabolism: the older, the more often.
AGEING = ("hypertension", "diabetes", "coronary", "lipids", "heart_failure", "fibrillation", "kidney_disease")
#: Deciding sentences that also stand in records without the finding, as routine.
ROUTINE = (("troponin_normal", 0.2), ("scan_clear", 0.12))
#: Labels that the training data carries and nobody need diagnose: no word of the record speaks for them.
NOISE = ("hydrocele", "cervicitis", "mouth_ulcer", "head_bruise")
#: Where a finding stands: on examination, or else among the tests.
EXAMINED = ("pressure", "neck_veins", "irregular", "weakness", "lumbar", "mcburney", "pelvic", "wheeze", "aura")


class Words(NamedTuple):
    """A language: names for all keys above, and sentences with gaps."""

    names: dict[str, str]
    findings: dict[str, tuple[str, str]]
    symptoms: dict[str, str]
    deciders: dict[str, str]
    sexes: dict[str, str]
    fields: tuple[str, str, str, str, str, str, str]
    age: str
    sentence: str  # how a sentence ends and the next begins
    comma: str
    last: str  # before the last of a list
    complains: tuple[str, ...]
    reports: tuple[str, ...]
    known: tuple[str, ...]
    shows: tuple[str, ...]
    denies: tuple[str, ...]
    no_finding: tuple[str, ...]
    no_name: tuple[str, ...]
    family: tuple[str, ...]
    not_said: tuple[str, ...]  # what begins or ends a sentence that does not count
    story: tuple[str, ...]
    past: tuple[str, ...]
    examined: tuple[str, ...]
    tested: tuple[str, ...]


_ENGLISH = Words(
    names={
        "hypertension": "hypertension", "diabetes": "type 2 diabetes", "coronary": "coronary heart disease",
        "pneumonia": "pneumonia", "fatty_liver": "fatty liver", "gastritis": "chronic gastritis",
        "lipids": "hyperlipidaemia", "copd": "COPD", "infarct": "cerebral infarction", "anaemia": "anaemia",
        "heart_failure": "heart failure", "fibrillation": "atrial fibrillation", "angina": "unstable angina",
        "prostate": "prostatic hyperplasia", "disc": "disc herniation", "kidney_stone": "ureteric stone",
        "gallstones": "gallstones", "urinary": "urinary infection", "thyroid": "hypothyroidism", "gout": "gout",
        "asthma": "asthma", "osteoporosis": "osteoporosis", "prolapse": "uterine prolapse",
        "myocardial": "myocardial infarction", "haemorrhage": "cerebral haemorrhage",
        "kidney_disease": "chronic kidney disease", "migraine": "migraine", "rheumatoid": "rheumatoid arthritis",
        "endometriosis": "endometriosis", "prostatitis": "prostatitis", "tuberculosis": "tuberculosis",
        "appendicitis": "appendicitis", "hydrocele": "hydrocele", "cervicitis": "cervicitis",
        "mouth_ulcer": "mouth ulcers", "head_bruise": "bruise of the head",
    },
    findings={
        "pressure": ("blood pressure high at 168/98 mmHg", "blood pressure high at 175/102 mmHg"),
        "glucose": ("fasting glucose high at 9.8 mmol/L", "glycated haemoglobin of 8.4 %"),
        "artery": ("narrowing of a coronary artery", "plaque in the anterior descending artery"),
        "consolidation": ("consolidation of the right lower lobe", "patchy shadows in the left lung"),
        "bright_liver": ("a bright echo of the liver", "fat deposits in the liver"),
        "mucosa": ("red gastric mucosa", "a swollen mucosa of the antrum"),
        "cholesterol": ("cholesterol high at 7.1 mmol/L", "triglycerides high at 4.2 mmol/L"),
        "wheeze": ("wheeze over both lungs", "long expiration with whistling sounds"),
        "weakness": ("weakness of the left arm and leg", "weakness of the right arm and leg"),
        "haemoglobin": ("haemoglobin low at 82 g/L", "red cells small and pale"),
        "neck_veins": ("distended neck veins", "a third heart sound"),
        "irregular": ("an irregular pulse of unequal strength", "a heart rhythm without P waves"),
        "st_changes": ("ST depression in the chest leads", "ST changes on the electrocardiogram"),
        "residual": ("a large residual urine volume", "a bladder that does not empty"),
        "lumbar": ("tenderness over the lumbar spine", "a narrow lumbar space with bent posture"),
        "ureter_stone": ("a stone in the left ureter", "a dilated renal pelvis above a stone"),
        "gall_stones": ("shadowing stones in the gall bladder", "a thick gall bladder wall with stones"),
        "white_cells": ("many white cells in the urine", "nitrite in the urine"),
        "tsh": ("thyrotropin high at 18 mIU/L", "free thyroxine low at 6 pmol/L"),
        "uric": ("uric acid high at 560 umol/L", "urate crystals in the joint fluid"),
        "creatinine": ("creatinine high at 240 umol/L", "small kidneys with a thin cortex"),
        "aura": ("flashing lights before each attack", "a zigzag aura before each attack"),
        "factor": ("rheumatoid factor at 120 IU/mL", "antibodies against citrullinated peptide"),
        "pelvic": ("deep tenderness of the pelvis", "a tender mass deep in the pelvis"),
        "acid_fast": ("acid-fast rods in the sputum", "a cavity in the upper lobe"),
        "mcburney": ("rebound tenderness at McBurney's point", "guarding of the right lower abdomen"),
    },
    symptoms={
        "headache": "headache", "dizziness": "dizziness", "thirst": "thirst", "urination": "frequent urination",
        "tightness": "chest tightness", "palpitations": "palpitations", "cough": "cough", "fever": "fever",
        "tiredness": "tiredness", "fullness": "fullness after meals", "upper_pain": "upper abdominal pain",
        "nausea": "nausea", "breathless": "shortness of breath", "slurred": "slurred speech", "pale": "pale skin",
        "swollen": "swollen ankles", "sweating": "cold sweat", "weak_stream": "a weak stream", "back_pain": "back pain",
        "numb_leg": "a numb leg", "flank_pain": "flank pain",
        "red_urine": "red urine", "burning": "burning on urination",
        "weight_gain": "weight gain", "joint_pain": "joint pain", "swollen_toe": "a swollen big toe",
        "stiffness": "morning stiffness", "lower_pain": "lower abdominal pain", "night_sweats": "night sweats",
    },
    deciders={
        "troponin_normal": "Troponin within limits", "troponin_raised": "Troponin raised tenfold",
        "scan_clear": "Head scan without bleeding", "scan_bleeding": "Head scan with bleeding",
    },
    sexes={"male": "male", "female": "female"},
    fields=("Sex", "Age", "Chief complaint", "Present illness", "Past history", "Examination", "Tests"),
    age="{} years",
    sentence=". ",
    comma=", ",
    last=" and ",
    complains=("{} for {} days", "{} for {} weeks", "Repeated {} for {} months"),
    reports=("The patient reports {}", "Complains of {}", "There is {}", "{} came on {} days ago"),
    known=("Known {} for {} years", "{} diagnosed {} years ago", "Treated for {} since {} years"),
    shows=("There is {}", "Shows {}", "Found: {}", "{} seen again on day {}"),
    denies=("Denies {}", "No {}", "Reports no {}"),
    no_finding=("No {}", "Without {}"),
    no_name=("No history of {}", "{} was ruled out {} years ago", "Denies a history of {}"),
    family=("Mother had {}", "Father had {}", "A brother has {}"),
    not_said=("Denies", "No ", "Reports no", "Without", "was ruled out", "Mother had", "Father had", "A brother has"),
    story=(
        "The complaint came on slowly and was first ignored", "It is worse in the evening and better after rest",
        "The patient rested for {} days at home", "A doctor near home was seen {} days ago",
        "Pills from the pharmacy were taken for {} days, names not known", "The complaint returned {} days later",
        "Appetite and sleep have been fair", "Weight has changed little in {} months",
        "For further care the patient came to our clinic", "Bowel movements once a day, stools formed",
        "The patient is alert and in fair spirits", "Work was given up {} days ago because of the complaint",
        "Infusions were given elsewhere for {} days", "Details of that treatment are not at hand",
        "The family brought the patient by car", "The course was without a clear cause",
    ),
    past=(
        "Appendix taken out {} years ago", "Vaccines are up to date", "Smokes {} cigarettes a day",
        "Drinks {} glasses of wine a week", "Blood transfusion {} years ago without trouble",
        "Born and raised here, no long stay elsewhere", "Married, {} children, all in good health",
        "Allergies to drugs or food are not known", "A broken wrist {} years ago, healed well",
        "Retired {} years ago, lives with a partner", "Cataract operation {} years ago", "Walks {} km a day",
    ),
    examined=(
        "Temperature 36.{} C", "Pulse 7{} per minute and regular", "Respiration 1{} per minute", "Weight 6{} kg",
        "Pupils equal, round, and reactive to light", "Lymph nodes of the neck not enlarged", "Skin warm and dry",
        "Thorax symmetric, both sides move alike", "Heart sounds clear, rate 7{} per minute", "Abdomen flat and soft",
        "Liver and spleen not felt below the ribs", "Bowel sounds {} per minute", "Limbs move freely",
        "Reflexes equal on both sides", "Tongue in the midline", "Gait steady over {} metres",
        "Kidneys not tender on tapping", "Nutrition fair, posture free",
    ),
    tested=(
        "White cells 6.{} x 10^9/L", "Platelets 2{}0 x 10^9/L", "Sodium 13{} mmol/L", "Potassium 4.{} mmol/L",
        "Chloride 10{} mmol/L", "Alanine transaminase 2{} U/L", "Albumin 4{} g/L", "Bilirubin 1{} umol/L",
        "Clotting time 1{} s", "C-reactive protein {} mg/L", "Urine of specific gravity 1.01{}",
        "Stool without occult blood", "Hepatitis B surface antigen negative", "Lung function at 9{} % of the norm",
        "Ultrasound of spleen and pancreas as usual", "Calcium 2.{} mmol/L", "Magnesium 0.8{} mmol/L",
        "Blood group O, Rh positive", "D-dimer 0.2{} mg/L", "Lipase 3{} U/L",
    ),
)  # fmt: skip

_CHINESE = Words(
    names={
        "hypertension": "高血压", "diabetes": "2型糖尿病", "coronary": "冠心病", "pneumonia": "肺炎",
        "fatty_liver": "脂肪肝", "gastritis": "慢性胃炎", "lipids": "高脂血症", "copd": "慢性阻塞性肺疾病",
        "infarct": "脑梗死", "anaemia": "贫血", "heart_failure": "心力衰竭", "fibrillation": "心房颤动",
        "angina": "不稳定型心绞痛", "prostate": "前列腺增生", "disc": "腰椎间盘突出", "kidney_stone": "输尿管结石",
        "gallstones": "胆囊结石", "urinary": "尿路感染",
        "thyroid": "甲状腺功能减退", "gout": "痛风", "asthma": "支气管哮喘",
        "osteoporosis": "骨质疏松", "prolapse": "子宫脱垂", "myocardial": "急性心肌梗死", "haemorrhage": "脑出血",
        "kidney_disease": "慢性肾脏病", "migraine": "偏头痛", "rheumatoid": "类风湿关节炎",
        "endometriosis": "子宫内膜异位症", "prostatitis": "前列腺炎", "tuberculosis": "肺结核",
        "appendicitis": "急性阑尾炎", "hydrocele": "睾丸鞘膜积液", "cervicitis": "宫颈炎性疾病",
        "mouth_ulcer": "口腔粘膜溃疡", "head_bruise": "头部外伤",
    },
    findings={
        "pressure": ("血压升高168/98mmHg", "血压升高175/102mmHg"),
        "glucose": ("空腹血糖升高9.8mmol/L", "糖化血红蛋白升高8.4%"),
        "artery": ("冠状动脉狭窄", "左前降支斑块形成"),
        "consolidation": ("右下肺实变影", "左肺片状高密度影"),
        "bright_liver": ("肝脏回声增强", "肝内脂肪沉积"),
        "mucosa": ("胃黏膜充血", "胃窦黏膜水肿"),
        "cholesterol": ("胆固醇升高7.1mmol/L", "甘油三酯升高4.2mmol/L"),
        "wheeze": ("双肺哮鸣音", "呼气相延长伴鸣音"),
        "weakness": ("左侧肢体肌力下降", "右侧肢体肌力下降"),
        "haemoglobin": ("血红蛋白降低82g/L", "红细胞体积偏小"),
        "neck_veins": ("颈静脉怒张", "第三心音奔马律"),
        "irregular": ("脉搏短绌、强弱不等", "P波消失、心律绝对不齐"),
        "st_changes": ("胸导联ST段压低", "心电图ST段改变"),
        "residual": ("残余尿量明显增多", "膀胱排空不全"),
        "lumbar": ("腰椎棘突压痛", "腰椎间隙变窄"),
        "ureter_stone": ("左输尿管强回声团", "肾盂扩张伴结石影"),
        "gall_stones": ("胆囊内强回声伴声影", "胆囊壁增厚伴结石影"),
        "white_cells": ("尿中大量白细胞", "尿亚硝酸盐阳性"),
        "tsh": ("促甲状腺素升高18mIU/L", "游离甲状腺素降低6pmol/L"),
        "uric": ("尿酸升高560umol/L", "关节液尿酸盐结晶"),
        "creatinine": ("肌酐升高240umol/L", "双肾缩小皮质变薄"),
        "aura": ("发作前闪光感", "发作前锯齿样视觉先兆"),
        "factor": ("类风湿因子升高120IU/mL", "抗环瓜氨酸肽抗体阳性"),
        "pelvic": ("盆腔深部压痛", "盆腔触痛性包块"),
        "acid_fast": ("痰涂片抗酸杆菌", "上叶空洞影"),
        "mcburney": ("麦氏点反跳痛", "右下腹肌紧张"),
    },
    symptoms={
        "headache": "头痛", "dizziness": "头晕", "thirst": "口渴", "urination": "尿频", "tightness": "胸闷",
        "palpitations": "心悸", "cough": "咳嗽", "fever": "发热", "tiredness": "乏力", "fullness": "餐后饱胀",
        "upper_pain": "上腹痛", "nausea": "恶心", "breathless": "气促", "slurred": "言语不清", "pale": "面色苍白",
        "swollen": "双踝水肿", "sweating": "冷汗", "weak_stream": "尿线变细", "back_pain": "腰背痛",
        "numb_leg": "下肢麻木", "flank_pain": "腰部绞痛", "red_urine": "肉眼血尿", "burning": "尿痛",
        "weight_gain": "体重增加", "joint_pain": "关节痛", "swollen_toe": "足趾红肿", "stiffness": "晨僵",
        "lower_pain": "下腹痛", "night_sweats": "盗汗",
    },
    deciders={
        "troponin_normal": "肌钙蛋白正常", "troponin_raised": "肌钙蛋白升高十倍",
        "scan_clear": "头颅CT示颅内密度正常", "scan_bleeding": "头颅CT示颅内高密度影",
    },
    sexes={"male": "男", "female": "女"},
    fields=("性别", "年龄", "主诉", "现病史", "既往史", "体格检查", "辅助检查"),
    age="{}岁",
    sentence="。",
    comma="、",
    last="、",
    complains=("{}{}天", "{}{}周", "反复{}{}个月"),
    reports=("患者出现{}", "诉{}", "伴{}", "{}加重{}天"),
    known=("患{}{}年", "{}病史{}年", "{}治疗{}年"),
    shows=("可见{}", "提示{}", "查及{}", "{}，第{}天复查同前"),
    denies=("否认{}", "无{}", "未诉{}"),
    no_finding=("未见{}", "无{}"),
    no_name=("否认{}病史", "{}于{}年前已排除", "无{}病史"),
    family=("母亲患{}", "父亲患{}", "其兄患{}"),
    not_said=("否认", "无", "未诉", "未见", "已排除", "母亲患", "父亲患", "其兄患"),
    story=(
        "起病缓慢，当时未予重视", "夜间明显，休息后好转",
        "在家休息{}天", "{}天前就诊于当地诊所", "自服药物{}天，具体不详",
        "{}天后症状反复", "病来食欲睡眠尚可", "近{}个月体重变化不大", "为进一步诊治来我院", "大便每日一次，成形",
        "患者神志清楚，精神尚可", "因不适停止工作{}天", "在外院输液{}天",
        "具体治疗经过不详", "由家属陪同来院", "病程中诱因不明",
    ),
    past=(
        "{}年前行阑尾切除术", "预防接种按计划进行", "吸烟每日{}支",
        "饮酒每周{}次", "{}年前有输血史", "生于本地，久居本地",
        "已婚，育有{}子，均体健", "药物及食物过敏史不详",
        "{}年前腕部骨折，已愈", "退休{}年，与配偶同住", "{}年前行白内障手术",
        "每日步行{}公里",
    ),
    examined=(
        "体温36.{}℃", "脉搏7{}次/分，律齐", "呼吸1{}次/分",
        "体重6{}kg", "双侧瞳孔等大等圆，对光反射灵敏", "颈部淋巴结大小正常",
        "皮肤温暖干燥", "胸廓对称，呼吸动度一致", "心音有力，心率7{}次/分",
        "腹部平坦柔软", "肝脾肋下大小正常", "肠鸣音{}次/分",
        "四肢活动自如", "双侧反射对称", "伸舌居中", "步态平稳", "双肾区叩诊正常", "营养中等，自动体位",
    ),
    tested=(
        "白细胞6.{}×10^9/L", "血小板2{}0×10^9/L", "钠13{}mmol/L", "钾4.{}mmol/L", "氯10{}mmol/L", "谷丙转氨酶2{}U/L",
        "白蛋白4{}g/L", "胆红素1{}umol/L", "凝血时间1{}s", "C反应蛋白{}mg/L", "尿比重1.01{}", "大便潜血阴性",
        "乙肝表面抗原阴性", "肺功能为预计值9{}%", "脾胰超声大致正常",
        "钙2.{}mmol/L", "镁0.8{}mmol/L", "血型O型，Rh阳性",
        "D二聚体0.2{}mg/L", "脂肪酶3{}U/L",
    ),
)  # fmt: skip

RECORD_LANGUAGES = {"en": _ENGLISH, "zh": _CHINESE}

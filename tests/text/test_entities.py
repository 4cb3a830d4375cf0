"""Terms of a dictionary, and negations: every sentence here has one right answer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutorial_lib.text import JIEBA_NAMES, NEGATION_CUES, Entity, Piece, find_entities, negated


def found(text, dictionary, **settings) -> list[str]:
    entities = find_entities(text, dictionary, **settings)
    assert all(text[entity.start : entity.end] == entity.content for entity in entities)
    return [entity.content for entity in entities]


# --- terms ---


def test_the_longest_term_from_the_left():
    assert found("慢性乙型肝炎", ["肝炎", "乙型肝炎"]) == ["乙型肝炎"]
    assert found("慢性乙型肝炎", ["肝炎", "乙型肝炎"], nested=True) == ["乙型肝炎", "肝炎"]
    assert found("heart failure", ["heart", "heart failure", "failure"]) == ["heart failure"]
    # Of two that overlap, the one that begins first, even where the other is longer.
    assert found("acute heart failure syndrome", ["acute heart", "heart failure syndrome"]) == ["acute heart"]
    assert found("heart failures", ["heart failures x", "heart"]) == ["heart"]
    assert find_entities("COPD; copd", {"COPD": "lung"})[1] == Entity("copd", "lung", 6, 10)
    assert found("COPD; copd", {"COPD": "lung"}, ignore_case=False) == ["COPD"]
    assert found("type\n 2  diabetes", ["type 2 diabetes"]) == ["type\n 2  diabetes"]
    assert found("", ["a"]) == found("no fever", []) == []


def test_a_term_is_no_part_of_a_word():
    assert found("painful pain spain pains PAIN-free", ["pain"]) == ["pain", "PAIN"]
    assert found("12型糖尿病 2型糖尿病", ["2型糖尿病"]) == ["2型糖尿病"]
    assert found("行CT检查", ["CT"]) == ["CT"]  # a Chinese character beside it is another word
    assert found("cafe\u0301", ["cafe"]) == [] and found("İ stanbul", ["stanbul"]) == ["stanbul"]


@settings(max_examples=100)
@given(
    text=st.text("ab 痛", max_size=12),
    terms=st.lists(st.sampled_from(["a", "ab", "痛", "a 痛", "痛痛", "b"]), max_size=4),
)
def test_terms_are_those_of_a_plain_search(text, terms):
    def bound(i):
        return 0 < i < len(text) and text[i] in "ab" and text[i - 1] in "ab"

    plain, place = [], 0
    every = [(i, j) for i in range(len(text)) for j in range(len(text), i, -1)
             if not bound(i) and not bound(j) and not text[i].isspace() and not text[j - 1].isspace()
             and " ".join(text[i:j].split()) in terms]  # fmt: skip
    for i, j in every:
        if i >= place:
            plain.append((i, j))
            place = j
    assert [(e.start, e.end) for e in find_entities(text, terms)] == plain
    assert [(e.start, e.end) for e in find_entities(text, terms, nested=True)] == every


def test_names_of_jieba():
    pytest.importorskip("jieba")
    text = "张伟在北京协和医院就诊，患糖尿病"
    entities = find_entities(text, {"糖尿病": "disease"}, names=JIEBA_NAMES)
    assert [(e.content, e.label) for e in entities] == [("张伟", "nr"), ("北京协和医院", "nt"), ("糖尿病", "disease")]
    assert found(text, {"协和医院": "place"}, names=["nt"]) == ["协和医院"]  # the dictionary goes before
    assert found(text, {"协和医院": "place"}, names=["nt"], nested=True) == ["北京协和医院", "协和医院"]


# --- negations ---

NEGATED = {
    "The patient denies chest pain.": "chest pain",
    "no evidence of pneumonia": "pneumonia",
    "Without fever or cough": "cough",
    "neither pain nor fever": "fever",
    "No pain, temperature 36.5, fever": "fever",  # the point in a number ends nothing
    "ROS: no fever": "fever",
    "absent breath sounds": "breath sounds",
    "CT ruled out embolism": "embolism",
    "无胸痛": "胸痛",
    "否认胸痛": "胸痛",
    "否认高血压、糖尿病、冠心病病史": "冠心病",
    "否认无力": "无力",
    "已排除肺炎": "肺炎",
    "咳嗽未见发热": "发热",
    # behind the finding
    "Pulmonary embolism was ruled out.": "pulmonary embolism",
    "Embolism ruled out by CT": "embolism",
    "troponin was negative": "troponin",
    "Breath sounds absent": "breath sounds",
    "He is pain-free.": "pain",
    "Fever: no. Cough: yes": "fever",
    "肺炎已排除。": "肺炎",
    "HBsAg阴性": "HBsAg",
    "双肺啰音未闻及，咳嗽": "啰音",
}
NOT_NEGATED = {
    "He has chest pain": "chest pain",
    # the reach has ended
    "Denies fever but has a cough": "cough",
    "否认胸痛，但有咳嗽": "咳嗽",
    "否认胸痛但有咳嗽": "咳嗽",
    "否认胸痛，发热3天": "发热",
    "否认胸痛,发热3天": "发热",
    "No fever. Cough present": "cough",
    "No fever\nCough": "cough",
    "MI was ruled out, chest pain persists": "chest pain",
    "Fever: no. Cough: yes": "cough",
    "双肺啰音未闻及，咳嗽": "咳嗽",
    "咳嗽未见发热": "咳嗽",
    # negations of negations
    "She does not deny chest pain": "chest pain",
    "cannot rule out pneumonia": "pneumonia",
    "Pneumonia was not ruled out": "pneumonia",
    "there is not no pain": "pain",
    "not without pain": "pain",
    "不能排除肺炎": "肺炎",
    "肺炎不能除外": "肺炎",
    "并非没有胸痛": "胸痛",
    # what only looks like one
    "gram negative sepsis": "sepsis",
    "No increase in pain": "pain",
    "四肢无力": "无力",
    "胸痛无缓解": "胸痛",
    "上腹不适伴胸痛": "胸痛",
}


@pytest.mark.parametrize("text", NEGATED)
def test_negated(text):
    assert negated(text, find_entities(text, [NEGATED[text]])[-1])


@pytest.mark.parametrize("text", NOT_NEGATED)
def test_not_negated(text):
    assert not negated(text, find_entities(text, [NOT_NEGATED[text]])[-1])


def test_the_window_counts_words_and_half_chinese_characters():
    text = "no a b c d e fever"
    fever = find_entities(text, ["fever"])[0]
    assert negated(text, fever) and not negated(text, fever, window=4) and negated(text, fever, window=None)
    text = "无一二三四痛"
    pain = find_entities(text, ["痛"])[0]
    assert negated(text, pain, window=2) and not negated(text, pain, window=1)


def test_cues_and_stops_of_ones_own():
    text = "lacks fever plus cough"
    fever, cough = find_entities(text, ["fever", "cough"])
    assert not negated(text, fever) and negated(text, cough, cues=["lacks"])
    assert not negated(text, cough, cues=["lacks"], stops=["plus"]) and negated(text, fever, cues=["LACKS"])
    assert not negated("no fever", Piece("fever", 3, 8), cues=[])
    wrapped = "no\nfever"
    assert not negated(wrapped, Piece("fever", 3, 8)) and negated(wrapped, Piece("fever", 3, 8), stops=["."])
    assert not negated("no real fever", Piece("fever", 8, 13), false_cues=["no real"])


def test_what_is_said_not_to_be_understood_is_not():
    """The docstring says so; should it ever work, the docstring should change."""
    text = "I doubt that she has no pain"
    assert negated(text, find_entities(text, ["pain"])[0])


@pytest.mark.parametrize("window", [5, None])
def test_a_text_full_of_cues_takes_no_quadratic_time(window):
    text = "no " * 20_001 + "pain"  # a second or less; it was half a minute when every cue was measured
    assert negated(text, find_entities(text, ["pain"])[0], window=window) == (window is None)


def test_a_wrong_argument_is_named():
    for entity in ("fever", Piece("cough", 3, 8), Piece("fever", 3, 99), (3, 8)):
        with pytest.raises(ValueError, match="entity must lie in the text, .*got"):
            negated("no fever", entity)
    with pytest.raises(ValueError, match="cues must hold words, got ' '"):
        negated("no fever", Piece("fever", 3, 8), cues=[*NEGATION_CUES, " "])
    with pytest.raises(ValueError, match="window must be a whole number of at least 0, got -1"):
        negated("no fever", Piece("fever", 3, 8), window=-1)
    with pytest.raises(ValueError, match="dictionary must hold words, got ''"):
        find_entities("a", [""])

"""Tokens and where they lie; and a text put together from them again."""

import os
import subprocess
import sys
from pathlib import Path

import jieba
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from notes import texts

from tutorial_lib.text import (
    detokenize,
    forms,
    lemmatize,
    stem,
    token_pieces,
    tokenize,
)
from tutorial_lib.text import tokens as cutting

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("3.5 mg", "3.5|mg"),
        ("3.5mg tid", "3.5|mg|tid"),
        ("BP 120/80 mmHg", "BP|120/80|mmHg"),
        ("120/80mmHg", "120/80|mmHg"),
        ("don't, patient’s; O'Neil", "don't|,|patient’s|;|O'Neil"),
        ("COVID-19 5-HT 12-lead 2-year-old T2 H1N1", "COVID-19|5-HT|12-lead|2-year-old|T2|H1N1"),
        ("5 mg/dL, 3 mg/kg/day, fever/cough", "5|mg/dL|,|3|mg/kg/day|,|fever|/|cough"),
        ("IL-6/mL mm2/m2 bacteria/mL", "IL-6/mL|mm2/m2|bacteria|/|mL"),
        ("i.v. e.g. U.S.A. end.", "i.v.|e.g.|U.S.A.|end|."),
        ("1,200 and 1,2 and 10:30 2024-01-05", "1,200|and|1|,|2|and|10:30|2024-01-05"),
        ("p=.05 p<0.001 -2.5 3 -5 3-5 ±2", "p|=|.05|p|<|0.001|-2.5|3|-5|3-5|±2"),
        ("98% 37.5℃ +++ ... ?!", "98|%|37.5|℃|+++|...|?|!"),
        ("1st 2nd", "1st|2nd"),
        ("[PHONE] [X] a_b", "[PHONE]|[|X|]|a|_|b"),
        ("naïve café cafe\u0301 μg Ärzte", "naïve|café|cafe\u0301|μg|Ärzte"),
        ("患者发热，BP 120/80mmHg。", "患者|发热|，|BP|120/80|mmHg|。"),
        ("查CT示COVID-19感染3天", "查|CT|示|COVID-19|感染|3|天"),
        ("한국어 שלום Привет", "한국어|שלום|Привет"),
    ],
)
def test_tokens(text, tokens):
    assert tokenize(text) == tokens.split("|")


def test_chinese_by_character_needs_no_dictionary(monkeypatch):
    monkeypatch.setattr(cutting, "segmenter", None)
    assert tokenize("发热3天，CT", characters=True) == ["发", "热", "3", "天", "，", "CT"]
    assert tokenize("糖尿病 DM", language="en") == ["糖", "尿", "病", "DM"]
    assert tokenize("no Chinese here") == ["no", "Chinese", "here"]


def test_terms_are_kept_whole_and_only_where_they_are_asked_for():
    text = "考虑急性冠脉综合征可能"
    term = "急性冠脉综合征"
    assert term not in tokenize(text)
    assert term in tokenize(text, terms=[term])
    assert term not in tokenize(text)
    pieces = token_pieces(text, terms=[term])
    assert [piece.content for piece in pieces] == tokenize(text, terms=[term])


def test_chinese_words_are_jiebas(tmp_path):
    tokenizer = jieba.Tokenizer()
    tokenizer.tmp_dir = str(tmp_path)
    jieba.setLogLevel("ERROR")
    for text in ("患者三天前无明显诱因出现发热咳嗽", "幽门螺杆菌感染浅表性胃炎怎么办", "乙肝大三阳母乳"):
        assert tokenize(text) == tokenizer.lcut(text)


@given(text=texts, characters=st.booleans())
@settings(max_examples=400, deadline=None)
def test_tokens_lie_where_they_say_and_between_them_is_only_space(text, characters):
    pieces, place = token_pieces(text, characters=characters), 0
    for piece in pieces:
        assert text[piece.start : piece.end] == piece.content != ""
        assert not text[place : piece.start].strip()
        place = piece.end
    assert not text[place:].strip()
    assert [piece.content for piece in pieces] == tokenize(text, characters=characters)


QUIET = """
import logging, sys, warnings
import numpy  # has filters of its own
warnings.simplefilter("error")
filters, handlers = list(warnings.filters), list(logging.root.handlers)
from tutorial_lib.text import tokenize
assert "jieba" not in sys.modules and "nltk" not in sys.modules
assert tokenize("患者发热") == ["患者", "发热"]
import jieba
assert not jieba.dt.initialized and jieba.dt.FREQ == {}
assert warnings.filters == filters and logging.root.handlers == handlers
print("done")
"""


def test_jieba_says_nothing_writes_nothing_and_changes_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", QUIET],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("library", "function"),
    [
        ("jieba", lambda: tokenize("患者")),
        ("nltk.stem.snowball", lambda: stem(["a"])),
        ("simplemma", lambda: lemmatize(["a"])),
    ],
)
def test_a_missing_library_is_named_with_the_way_to_get_it(monkeypatch, library, function):
    for cached in (cutting.segmenter, forms._stemmer, forms._lemmatizer):
        cached.cache_clear()
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=r"is needed to .*pip install 'tutorial-lib\[text\]'"):
        function()


@pytest.mark.parametrize(
    "text",
    [
        "The patient's BP was 120/80 mmHg (left arm), i.e. normal; no fever.",
        'He said: "no pain" (twice), and left... Why?',
        "患者，男，68岁。反复胸闷3.5天，BP 160/95 mmHg，诊断为“高血压”（2级）。",
        "Metformin (二甲双胍) was given twice a day.",
        "The patients' lungs: 98% SpO2 at 37.5℃, and/or 5 mg/dL.",
    ],
)
def test_what_was_cut_is_put_together(text):
    assert detokenize(tokenize(text)) == text


def test_language_decides_what_stands_between_chinese_and_other_words():
    tokens = ["服用", "aspirin", "治疗"]
    assert detokenize(tokens, language="en") == "服用 aspirin 治疗"
    assert detokenize(tokens, language="zh") == detokenize(tokens) == "服用aspirin治疗"
    with pytest.raises(ValueError, match="language must be 'auto', 'en' or 'zh', got 'fr'"):
        detokenize(tokens, language="fr")
    with pytest.raises(ValueError, match="language must be 'auto', 'en' or 'zh', got 'fr'"):
        tokenize("x", language="fr")
    with pytest.raises(ValueError, match="tokens must be several strings"):
        detokenize("x y")


_WORDS = "fever cough don't BP 120/80 3.5 mg mmHg COVID-19 i.v. no and 患者 发热 糖尿病 , . ; ( ) % 。 ，".split()


@given(tokens=st.lists(st.sampled_from(_WORDS), max_size=12), language=st.sampled_from(["auto", "en", "zh"]))
@settings(max_examples=200, deadline=None)
def test_no_character_is_lost_when_tokens_are_put_together(tokens, language):
    assert "".join(detokenize(tokens, language=language).split()) == "".join(tokens)


# --- terms ---


@pytest.mark.parametrize(
    ("text", "terms", "tokens"),
    [
        ("患者2型糖尿病史", ["2型糖尿病"], "患者|2型糖尿病|史"),
        ("诊断:1.2型糖尿病", ["2型糖尿病"], "诊断|:|1|.|2型糖尿病"),
        ("12型糖尿病", ["2型糖尿病"], "12|型|糖尿病"),  # another number
        ("考虑急性冠脉综合征可能", ["急性冠脉综合征", "冠脉", "急性"], "考虑|急性冠脉综合征|可能"),
        ("急性冠脉病变", ["急性冠脉综合征", "冠脉", "急性"], "急性|冠脉|病变"),
        ("糖尿病肾病与糖尿病", ["糖尿病", "糖尿病肾病"], "糖尿病肾病|与|糖尿病"),
        ("has type 2\ndiabetes, Type 2", ["type 2 diabetes"], "has|type 2\ndiabetes|,|Type|2"),
        ("in the USA and the US.", ["US"], "in|the|USA|and|the|US|."),
        ("HER-2/neu 阳性，HER2阳性", ["HER-2/neu", "HER2阳性"], "HER-2/neu|阳性|，|HER2阳性"),
        ("CD4+T细胞 (CD4+) CD45", ["CD4+", "CD4"], "CD4+|T细胞|(|CD4+|)|CD45"),
        ("p<0.05*(a.b)", ["(a.b)", "<"], "p|<|0.05|*|(a.b)"),
        ("α-干扰素2b", ["α-干扰素"], "α-干扰素|2|b"),
        ("मधुमेह है", ["मधुमे"], "मधुमेह|है"),  # a mark behind it makes another word
        ("मधुमेह है", ["मधुमेह है"], "मधुमेह है"),
        ("a", [" a "], "a"),
    ],
)
def test_terms_of_any_script(text, terms, tokens):
    found = token_pieces(text, terms=terms)
    assert [piece.content for piece in found] == tokens.split("|") == tokenize(text, terms=terms)
    assert all(text[piece.start : piece.end] == piece.content for piece in found)
    assert tokenize(text, terms=tuple(reversed(terms))) == tokens.split("|")


def test_terms_are_kept_where_chinese_is_cut_into_characters():
    for options in ({"characters": True}, {"language": "en"}):
        assert tokenize("患者糖尿病史", terms=["糖尿病"], **options) == ["患", "者", "糖尿病", "史"]


def test_many_terms():
    terms = [f"{a}{b}{c}病" for a in "甲乙丙丁戊己庚辛" for b in "甲乙丙丁戊己庚辛" for c in "甲乙丙丁戊己庚辛"]
    text = "有".join(terms[::3]) * 5
    assert [token for token in tokenize(text, terms=terms, characters=True) if len(token) > 1] == terms[::3] * 5


@pytest.mark.parametrize("terms", ["2型糖尿病", b"ab", 3, None, ["a", 3], [""], [" "]])
def test_wrong_terms_are_named(terms):
    for function in (tokenize, token_pieces):
        with pytest.raises(ValueError, match="terms must be .*, got"):
            function("a", terms=terms)


@given(
    text=texts,
    terms=st.lists(
        st.sampled_from(["患者", "热无", "3.5", "mg 3", "mm", ".", "<b>", "e\u0301", "2024年1月"]), max_size=4
    ),
)
@settings(max_examples=200, deadline=None)
def test_terms_change_no_character(text, terms):
    pieces, place = token_pieces(text, terms=terms, characters=True), 0
    for piece in pieces:
        assert text[piece.start : piece.end] == piece.content != "" and not text[place : piece.start].strip()
        place = piece.end
    assert not text[place:].strip()


# --- words of two scripts ---


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("做B超、X光片和X线检查", "做|B超|、|X光片|和|X线|检查"),
        ("穿T恤", "穿|T恤"),
        ("学C++和C#", "学|C++|和|C#"),
        ("CT检查，T细胞、γ刀", "CT|检查|，|T细胞|、|γ刀"),
        ("C++ c++; C+++ vitamin C, C#", "C++|c++|;|C|+++|vitamin|C|,|C#"),
        ("pH值7.4，QRS波宽", "pH值|7.4|，|QRS波|宽"),
        ("查CT示3天，行B超声检查", "查|CT|示|3|天|，|行|B|超声|检查"),
    ],
)
def test_words_of_two_scripts_stay_whole(text, tokens):
    assert tokenize(text) == tokens.split("|")
    assert [piece.content for piece in token_pieces(text)] == tokens.split("|")

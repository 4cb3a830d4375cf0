"""Text: every cleaning step against what Unicode and HTML say; nothing lost, nothing shifted, in both languages."""

import csv
import gzip
import html.entities
import itertools
import json
import os
import pickle
import re
import string
import subprocess
import sys
import unicodedata
from collections import Counter
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import jieba
import nltk
import numpy as np
import pytest
import simplemma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from tutorial_lib.text import (
    BOS,
    DEFAULT_STEPS,
    EOS,
    PAD,
    STOP_WORDS,
    UNK,
    Vocabulary,
    add_boundaries,
    audit,
    chinese_punctuation,
    clean,
    cleaning,
    collapse_repeats,
    compose,
    conflicting_labels,
    detect_language,
    detokenize,
    duplicates,
    find_duplicates,
    forms,
    head,
    head_tail,
    jaccard,
    lemmatize,
    length_statistics,
    lowercase,
    mask_personal_data,
    ngrams,
    normalize_unicode,
    normalize_whitespace,
    remove_control,
    remove_punctuation,
    remove_stop_words,
    sentence_pieces,
    split_sentences,
    stem,
    strip_tags,
    to_halfwidth,
    token_pieces,
    tokenize,
    unescape_html,
    windows,
)
from tutorial_lib.text import tokens as cutting

ROOT = Path(__file__).resolve().parents[1]

STEPS = [
    *DEFAULT_STEPS,
    chinese_punctuation,
    lowercase,
    remove_punctuation,
    mask_personal_data,
    partial(normalize_unicode, form="NFKC"),
    partial(to_halfwidth, punctuation=True),
    partial(normalize_whitespace, newlines=False),
    partial(lowercase, keep=("mmHg", "CT")),
]


def step_name(step):
    return cleaning._step_name(step)


# What breaks cleaners: what they were written for, cut into pieces that also join in unforeseen ways.
_PARTS = (
    "<b>", "</p>", "<br/>", "<!--", "-->", "<script>", "</script>", "<", ">", "&amp;", "&lt;", "&#38;", "&", "amp;",
    "#60;", "38", ".", "..", "…", "—", "-", "+", "3.5", "120/80", "!", "?", "！", "？", "。", "，", "、", "“", "”",
    "'", '"', "(", ")", "Dr", "et al", "mg", "mmHg", "i.v.", "[PHONE]", "[ID]", "[PAD]", "@", "a@b.cn",
    "13812345678", "110101199003070011", "2024-01-05", "2024年1月5日", "Jan 5, 2024", "患者", "发热", "无",
    "糖尿病", "ＣＴ", "３", "．", "％", "　", " ", "\n", "\r\n", "\t", "\x00", "\x1c", "\x85", "\u2028", "\u200b",
    "\u200d", "\ufeff", "\ud800", "\udfff", "e", "\u0301", "é", "ß", "İ", "Σ", "①", "½", "㎎", "℃", "²", "👨",
    "\ufe0f", "😀", "א", "ب", "한", "あ", "𠀀", "_", "%", "/", "$",
)  # fmt: skip
texts = st.one_of(
    st.text(st.characters(), max_size=40),  # with surrogates
    st.lists(st.sampled_from(_PARTS), max_size=16).map("".join),
)


def is_han(character: str) -> bool:
    return unicodedata.name(character, "").startswith("CJK UNIFIED IDEOGRAPH")


def han(text: str) -> str:
    return "".join(character for character in text if is_han(character))


# --- cleaning: known answers ---


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        (unescape_html, "p&lt;0.05&nbsp;and&#x4E2D;&#20013;", "p<0.05\xa0and中中"),
        (unescape_html, "&amp;amp;lt;", "<"),
        (unescape_html, "R&D, AT&T, S&parameter, &unknown; &;", "R&D, AT&T, S&parameter, &unknown; &;"),
        (unescape_html, "&#0;&#xD800;&#x110000;", "\ufffd\ufffd\ufffd"),
        (strip_tags, "fever<br>cough<br/>rash", "fever\ncough\nrash"),
        (strip_tags, 'see <a href="x>y">this</a>', "see this"),
        (strip_tags, "a<!-- <b> -->c", "a c"),
        (strip_tags, "x<script>if (a<b) alert('发热')</script>y", "x y"),
        (strip_tags, "if a<b and c>d, p<0.05, <PHONE>, <3", "if a<b and c>d, p<0.05, <PHONE>, <3"),
        (strip_tags, "<td nowrap>x</td><TD CLASS=a nowrap>y< b>", "\nx\n\ny< b>"),
        (strip_tags, "<<b>b>x", "x"),
        (remove_control, "\ufeff发\u200b热\x07\u202e!\x1fok\r\nx\ry\u2029z\tt", "发热! ok\nx\ny\nz\tt"),
        (remove_control, "soft\u00adware \ud83d 👍\ufe0f", "software  👍"),
        (to_halfwidth, "ＡＢｃ１２．５％＋－＝（？），。：", "ABc12.5%+-=（？），。："),
        (to_halfwidth, "全\u3000角", "全 角"),
        (partial(to_halfwidth, punctuation=True), "（发热），“３℃”。【注】：；！？、", '(发热),"3℃".[注]:;!?,'),
        (chinese_punctuation, "诊断:贫血,3天,CT;正常?是.", "诊断：贫血，3天，CT；正常？是。"),
        (chinese_punctuation, "无. BP 1,200: 见www.who.int, 嗯...", "无。 BP 1,200: 见www.who.int, 嗯..."),
        (normalize_unicode, "e\u0301 ① ㎎ ½ ℃ ３ ，", "é ① ㎎ ½ ℃ ３ ，"),
        (collapse_repeats, "痛！！！为什么？？?!?!，，，。。。", "痛！为什么？?!，。"),
        (collapse_repeats, "尿蛋白+++ http://a.b", "尿蛋白+++ http://a.b"),
        (collapse_repeats, "wait..... 嗯……… —————— ======", "wait... 嗯…… —— ="),
        (normalize_whitespace, "\n\n a\xa0\t b \r\n\n\n 　c\n", "a b\nc"),
        (lowercase, "CT of the CHEST, 血压 mmHg ÉCOLE", "ct of the chest, 血压 mmhg école"),
        (partial(lowercase, keep=["CT", "mmHg"]), "CT CTA 查CT示 mmHg Hg", "CT cta 查CT示 mmHg hg"),
        (remove_punctuation, "Well-known: 3.5 mg, 120/80 (i.v.)?", "Well-known  3.5 mg  120/80  i.v.  "),
        (remove_punctuation, "体温38.5℃，p<0.05；98%。", "体温38.5℃ p<0.05 98% "),
        (partial(remove_punctuation, keep="，"), "发热，咳嗽。", "发热，咳嗽 "),
        (mask_personal_data, "tel 010-12345678, +86 138-1234-5678, (555) 123-4567", "tel [PHONE], [PHONE], [PHONE]"),
        (mask_personal_data, "身份证11010119900307001X，li@x.com.cn", "身份证[ID]，[EMAIL]"),
        (mask_personal_data, "2024-01-05 2024/1/5 05/01/2024", "[DATE] [DATE] [DATE]"),
        (mask_personal_data, "Jan 5, 2024; 5 March 2023; 3月5日", "[DATE]; [DATE]; [DATE]"),
        (mask_personal_data, "BP 120/80, 3.5 mg, 1-2 days, n = 12345678", "BP 120/80, 3.5 mg, 1-2 days, n = 12345678"),
        (partial(mask_personal_data, kinds=["date"]), "2024年3月 13812345678", "[DATE] 13812345678"),
    ],
)  # fmt: skip
def test_a_step_does_what_it_says(step, before, after):
    assert step(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("①", "1"), ("㎎", "mg"), ("½", "1⁄2"), ("5½", "51⁄2"), ("10³", "103"), ("m²", "m2"), ("℃", "°C"),
        ("３", "3"), ("Ⅲ度", "III度"), ("ﬁbrosis", "fibrosis"), ("µg", "μg"), ("，：", ",:"), ("。", "。"),
        ("…", "..."), ("™", "TM"),
    ],
)  # fmt: skip
def test_what_nfkc_does_to_medical_text_and_nfc_does_not(before, after):
    assert normalize_unicode(before, form="NFKC") == after == unicodedata.normalize("NFKC", before)
    assert normalize_unicode(before) == before


def test_empty_text_is_text():
    for step in STEPS:
        assert step("") == ""
    assert clean("") == "" and tokenize("") == [] and split_sentences("") == [] and detokenize([]) == ""
    assert detokenize(["", "a"]) == "a"


@pytest.mark.parametrize("value", [None, float("nan"), 3, b"text", ["text"]])
def test_what_pandas_puts_for_a_missing_text_is_named(value):
    functions = [*STEPS, clean, audit, tokenize, token_pieces, split_sentences, sentence_pieces, detect_language]
    for function in functions:
        with pytest.raises(ValueError, match=f"text must be a string, not .*{type(value).__name__}"):
            function(value)


# --- cleaning: outside oracles ---


def test_control_characters_are_those_of_unicode():
    """All of categories Cc, Cf, Cs; of the rest only fillers and selectors that have no ink."""
    arabic = [*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2]
    with_ink = {chr(code) for code in [*arabic, 0x110BD, 0x110CD, *range(0x13430, 0x13440)]}  # and Kaithi, hieroglyphs
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        kept = remove_control(character) == character
        category = unicodedata.category(character)
        if category in ("Cc", "Cs"):
            assert not kept or character in "\t\n", hex(code)
        elif category == "Cf":
            assert kept == (character in with_ink), hex(code)
        elif category[0] in "LNPS":
            assert kept or unicodedata.name(character).endswith(("FILLER", "CHOSEONG FILLER")), hex(code)


def test_halfwidth_is_the_compatible_form_of_unicode():
    for code in range(0xFF01, 0xFF5F):
        wide = chr(code)
        assert to_halfwidth(wide, punctuation=True) == unicodedata.normalize("NFKC", wide)
        assert to_halfwidth(wide) in (wide, unicodedata.normalize("NFKC", wide))
    kept = {chr(code) for code in range(0xFF01, 0xFF5F) if to_halfwidth(chr(code)) == chr(code)}
    assert kept == set("，：；！？（）～")


def test_entities_are_those_of_html():
    for name, value in html.entities.html5.items():
        if name.endswith(";") and name not in ("amp;", "AMP;"):
            assert unescape_html(f"a&{name}b") == f"a{value}b"


def test_without_tags_there_is_left_what_an_html_parser_reads():
    page = (
        "<html><head><title>记录</title></head><body class=\"x\" data-a='1'><h1>History</h1><p>发热 <b>3</b> days,"
        '<br/>p &lt; 0.05</p><table><tr><td>a</td><td width=3>b</td></tr></table><img src="a.png"/></body></html>'
    )
    found = []
    parser = HTMLParser()
    parser.handle_data = found.append
    parser.feed(page)
    assert strip_tags(page).split() == " ".join(found).replace("<", "&lt;").split()
    assert clean(page) == "记录\nHistory\n发热 3 days,\np < 0.05\na\nb"


# --- cleaning: the trap of popular cleaners ---


def only_letters(line):
    """How popular augmentation code cleans: it keeps the letters a to z (a restatement)."""
    line = line.lower().replace("’", "").replace("'", "").replace("-", " ").replace("\t", " ").replace("\n", " ")
    line = "".join(character if character in string.ascii_lowercase + " " else "" for character in line)
    return re.sub(" +", " ", line).strip()


def test_a_popular_cleaner_deletes_every_chinese_character_and_every_number_and_ours_does_not():
    record = "患者，男，68岁。反复胸闷3.5天，BP 160/95 mmHg。"
    assert only_letters(record) == "bp mmhg"
    assert only_letters("体温三十八度") == ""
    assert clean(record) == record
    assert tokenize(clean(record))[-3:] == ["160/95", "mmHg", "。"] and "胸闷" in tokenize(clean(record))


@pytest.mark.parametrize("step", STEPS, ids=step_name)
def test_no_step_loses_a_chinese_character_or_a_digit(step):
    everything = "".join(chr(code) for code in range(sys.maxunicode + 1) if is_han(chr(code))) + string.digits
    assert step(everything) == everything


# --- cleaning: properties ---


@pytest.mark.parametrize("step", STEPS, ids=step_name)
@given(text=texts)
@settings(max_examples=200, deadline=None)
def test_a_second_time_changes_nothing(step, text):
    once = step(text)
    assert isinstance(once, str)
    assert step(once) == once


@given(text=texts)
@settings(max_examples=300, deadline=None)
def test_default_steps_lose_no_chinese_character_outside_of_tags_and_no_tidy_text_changes(text):
    safe = text.replace("<", " ").replace("&", " ")
    assert han(clean(safe)) == han(unicodedata.normalize("NFC", safe))
    tidy = "".join(character for character in text if character.isascii() and character.isalnum() or is_han(character))
    assert clean(tidy) == tidy


@given(text=texts)
@settings(max_examples=200, deadline=None)
def test_an_audit_is_the_whole_story(text):
    changes = audit(text)
    assert [change.step for change in changes] == [step_name(step) for step in DEFAULT_STEPS]
    assert changes[0].before == text and changes[-1].after == clean(text)
    assert all(one.after == two.before for one, two in itertools.pairwise(changes))


@pytest.mark.parametrize(
    "text",
    ["<" * 50_000, "<a " * 20_000, "<a x=" * 20_000, "<!--" * 5_000, "<script>" * 5_000, "&" * 50_000,
     "&amp;#38;" * 10_000, "&amp;" + "amp;" * 10_000, "." * 50_000, "a. " * 20_000, "no. " * 20_000, " " * 50_000,
     "\n " * 20_000, "1-" * 20_000, "a-" * 20_000, "a." * 20_000, "!?" * 20_000, "13812345678" * 5_000,
     "a@" * 20_000, "(" * 50_000, "患" * 20_000],
    ids=lambda text: repr(text[:9]),
)  # fmt: skip
def test_hostile_text_does_not_hang(text):
    for step in STEPS:
        step(text)
    sentence_pieces(text)
    detokenize(tokenize(text, characters=True))


def test_composed_steps_travel_to_other_processes_and_an_audit_sees_inside():
    step = compose(compose(remove_control, partial(normalize_unicode, form="NFKC")), lowercase)
    assert pickle.loads(pickle.dumps(step))("Ａ\u200b①") == "a1" == step("Ａ\u200b①")
    changes = audit("Ａ\u200b①", steps=[step])
    assert [change.step for change in changes] == ["remove_control", "normalize_unicode(form='NFKC')", "lowercase"]
    assert [change.changed for change in changes] == [True, True, True]
    assert compose()("x ") == "x "
    assert [change.step for change in audit("x", steps=[str.upper, lambda text: text])] == ["upper", "<lambda>"]
    with pytest.raises(ValueError, match="steps must be functions"):
        compose("lowercase")


@pytest.mark.parametrize("step", [partial(normalize_unicode, form="NFD"), partial(mask_personal_data, kinds=["name"])])
def test_a_wrong_option_is_named(step):
    with pytest.raises(ValueError, match=r"form must be|kinds must be among .* not \['name'\]"):
        step("x")


# --- sentences ---


@pytest.mark.parametrize(
    "sentences",
    [
        ["发热3天。", "咳嗽？", "无！", "结束"],
        ["他说：“不痛。”", "医生走了。"],
        ["“好！”，他说。", "再见。"],
        ["体温38.5℃。", "血压120/80mmHg。"],
        ["1.高血压 2.糖尿病。", "无过敏史。"],
        ["患者发热.", "给予退热."],
        ["痛……", "很痛。"],
        ["太痛了！！！", "怎么办？？"],
        ["（昨日呕吐。）", "今日好转。"],
        ["He took 3.5 mg.", "It helped."],
        ["Dr. Wu and Prof. Li saw Mr. Smith vs. nobody.", "Then they left."],
        ["Smith et al. found it in Fig. 3 and No. 5.", "We did not."],
        ["We asked Smith et al.", "They agreed."],
        ["Give 5 mg i.v. or p.o. b.i.d. for days.", "Stop."],
        ["She has hepatitis B.", "She is well."],
        ["Dr. J. R. Smith came.", "He left."],
        ["1. Hypertension.", "The dose was 5.", "Then 10."],
        ['"Why?" he asked.', "Nobody knew!", "Right?"],
        ["Well... maybe.", "Wait...", "What?"],
        ["See www.who.int for p<.05 and v2.0.", "Done."],
        ["(It was high.)", "It fell."],
        ["BP was 120/80.", "患者无不适。", "He left."],
    ],
    ids=lambda sentences: sentences[0],
)
def test_sentences(sentences):
    joiner = "" if sum(map(is_han, "".join(sentences))) and "BP" not in sentences[0] else " "
    assert split_sentences(joiner.join(sentences)) == sentences


def test_a_line_end_ends_a_sentence_unless_the_text_was_wrapped():
    assert split_sentences("主诉：发热\n现病史：咳嗽") == ["主诉：发热", "现病史：咳嗽"]
    assert split_sentences("No fever or\ncough. Rash.", newlines=False) == ["No fever or\ncough.", "Rash."]


def test_abbreviations_of_ones_own():
    assert split_sentences("Hx. Asthma. None.") == ["Hx.", "Asthma.", "None."]
    assert split_sentences("Hx. Asthma. None.", abbreviations=["Hx."]) == ["Hx. Asthma.", "None."]


@given(text=texts)
@settings(max_examples=300, deadline=None)
def test_sentences_lie_where_they_say_and_between_them_is_only_space(text):
    pieces, place = sentence_pieces(text), 0
    for piece in pieces:
        assert text[piece.start : piece.end] == piece.content == piece.content.strip() != ""
        assert not text[place : piece.start].strip()
        place = piece.end
    assert not text[place:].strip()


# --- tokens ---


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
    monkeypatch.setattr(cutting, "_segmenter", None)
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
    for cached in (cutting._segmenter, forms._stemmer, forms._lemmatizer):
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
    with pytest.raises(ValueError, match="language must be one of"):
        detokenize(tokens, language="fr")
    with pytest.raises(ValueError, match="language must be one of"):
        tokenize("x", language="fr")
    with pytest.raises(ValueError, match="not one string"):
        detokenize("x y")


_WORDS = "fever cough don't BP 120/80 3.5 mg mmHg COVID-19 i.v. no and 患者 发热 糖尿病 , . ; ( ) % 。 ，".split()


@given(tokens=st.lists(st.sampled_from(_WORDS), max_size=12), language=st.sampled_from(["auto", "en", "zh"]))
@settings(max_examples=200, deadline=None)
def test_no_character_is_lost_when_tokens_are_put_together(tokens, language):
    assert "".join(detokenize(tokens, language=language).split()) == "".join(tokens)


# --- words ---


def test_stop_words_hold_no_negation_and_nothing_that_cannot_be_a_token():
    negations = "no not never none nor neither without cannot n't 不 没 没有 无 未 否 非 否认 别 勿 不是".split()
    assert not set(negations) & (STOP_WORDS["en"] | STOP_WORDS["zh"])
    assert all(word == word.lower() and word.isalpha() for word in STOP_WORDS["en"] | STOP_WORDS["zh"])
    assert len(STOP_WORDS["en"]) > 100 and len(STOP_WORDS["zh"]) > 100
    assert all(all(map(is_han, word)) for word in STOP_WORDS["zh"])


def test_stop_words_of_both_languages_and_of_ones_own():
    tokens = tokenize("The patient has NO fever") + tokenize("患者的体温正常，无发热")
    assert remove_stop_words(tokens) == ["patient", "NO", "fever", "患者", "体温", "正常", "，", "无", "发热"]
    assert remove_stop_words(["The", "dose"], words={"dose"}) == ["The"]
    assert remove_stop_words(["the", "THE"]) == []


def test_stems_and_lemmas_are_the_libraries_and_chinese_is_left_alone():
    words = tokenize("Studies of diabetic patients showed repeatedly elevated pressures in the kidneys")
    stemmer = nltk.stem.SnowballStemmer("english")
    assert stem(words) == [stemmer.stem(word) for word in words]
    assert lemmatize(words) == [simplemma.lemmatize(word, lang="en") for word in words]
    others = ["糖尿病", "3.5", "120/80", "，", "", "👍"]
    assert stem(others) == lemmatize(others) == others
    assert stem(["Häuser"], language="german") == ["haus"]
    with pytest.raises(ValueError, match="language must be one of .*english.* not 'klingon'"):
        stem(["a"], language="klingon")
    with pytest.raises(ValueError, match="language must be one of .* not 'klingon'"):
        lemmatize(["a"], language="klingon")


# --- n-grams ---


@given(tokens=st.lists(st.sampled_from("abc"), max_size=8), n=st.integers(1, 4))
def test_ngrams_are_those_of_nltk_also_with_boundaries(tokens, n):
    assert ngrams(tokens, n) == list(nltk.ngrams(tokens, n))
    padded = add_boundaries(tokens, bos=n - 1, eos=n - 1)
    sides = {"pad_left": True, "pad_right": True, "left_pad_symbol": BOS, "right_pad_symbol": EOS}
    assert ngrams(padded, n) == list(nltk.ngrams(tokens, n, **sides))


def test_ngrams_are_those_of_scikit_learn():
    records = ["no fever no cough", "发热 三 天 ， 无 发热"]
    for n in (1, 2, 3):
        counter = CountVectorizer(analyzer="word", tokenizer=str.split, token_pattern=None, ngram_range=(n, n))
        theirs = counter.fit_transform(records).toarray()
        names = counter.get_feature_names_out()
        for row, record in zip(theirs, records, strict=True):
            ours = Counter(" ".join(gram) for gram in ngrams(record.split(), n))
            assert ours == {name: count for name, count in zip(names, row, strict=True) if count}


@pytest.mark.parametrize(
    "call",
    [lambda: ngrams(["a"], 0), lambda: ngrams(["a"], 1.5), lambda: add_boundaries([], bos=-1), lambda: head("a", 0),
     lambda: windows("a", True), lambda: windows("a", 3, stride=0), lambda: head_tail("a", 2, head=-1),
     lambda: Vocabulary.build([], min_freq=0), lambda: Vocabulary.build([], max_size=1),
     lambda: jaccard("a", "b", shingle=0), lambda: length_statistics(["a"], limit=0)],
)  # fmt: skip
def test_a_count_that_cannot_be_is_named(call):
    with pytest.raises(ValueError, match=r"[a-z_]+ must be a whole number of at least [0-2], not "):
        call()


# --- vocabulary ---

token_lists = st.lists(st.lists(st.text(st.characters(), min_size=1, max_size=3), max_size=6), max_size=6)


@given(records=token_lists)
def test_what_is_encoded_is_decoded(records):
    vocabulary = Vocabulary.build(records)
    for record in records:
        known = [UNK if token in (PAD, UNK) else token for token in record]
        assert vocabulary.decode(vocabulary.encode(record)) == known
    assert vocabulary.encode(["no such token"]) == [1]
    assert vocabulary.tokens[:2] == (PAD, UNK) and len(vocabulary) == len(set(vocabulary.tokens))


@given(records=token_lists, seed=st.randoms(use_true_random=False))
def test_the_order_of_texts_does_not_change_the_numbers(records, seed):
    shuffled = list(records)
    seed.shuffle(shuffled)
    assert Vocabulary.build(records) == Vocabulary.build(shuffled)


def test_order_frequency_and_size():
    records = [["b", "a", "发热"], ["b", "c", "发热", "b"]]
    vocabulary = Vocabulary.build(records)
    assert vocabulary.tokens == (PAD, UNK, "b", "发热", "a", "c")
    assert vocabulary.counts == (0, 0, 3, 2, 1, 1)
    assert Vocabulary.build(records, min_freq=2).tokens == (PAD, UNK, "b", "发热")
    assert Vocabulary.build(records, max_size=3).tokens == (PAD, UNK, "b")
    assert Vocabulary.build(records, max_size=2).encode(["b"]) == [1]
    special = Vocabulary.build(records, min_freq=3, specials=[BOS, EOS, "c"])
    assert special.tokens == (PAD, UNK, BOS, EOS, "c", "b") and special.counts == (0, 0, 0, 0, 1, 3)
    assert "b" in vocabulary and PAD in vocabulary and "z" not in vocabulary
    assert vocabulary != Vocabulary.build(records, min_freq=2) and vocabulary != 3
    assert Vocabulary.build([]).tokens == (PAD, UNK)
    assert repr(vocabulary) == "Vocabulary(6 entries: [PAD], [UNK], b, 发热, a, c)"


def test_the_same_numbers_in_every_process():
    code = "from tutorial_lib.text import Vocabulary; print(Vocabulary.build([list('the quick brown fox')]).tokens)"
    outputs = set()
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        outputs.add(done.stdout)
    assert len(outputs) == 1 and "'o'" in outputs.pop()


def test_padding_and_its_mask():
    vocabulary = Vocabulary(["no", "fever", "cough"])
    ids, mask = vocabulary.pad([["no", "fever"], [], ["rash", PAD, "cough"]])
    assert ids.tolist() == [[2, 3, 0], [0, 0, 0], [1, 1, 4]] and ids.dtype == torch.int64
    assert mask.tolist() == [[True, True, False], [False, False, False], [True, True, True]]
    assert vocabulary.pad([["no", "fever"]], length=1).ids.tolist() == [[2]]
    assert vocabulary.pad([["no"]], length=3).mask.tolist() == [[True, False, False]]
    assert vocabulary.pad([]).ids.shape == (0, 0) and vocabulary.pad([[]]).mask.shape == (1, 0)
    assert vocabulary.decode(ids[0]) == ["no", "fever"]


def test_a_vocabulary_is_saved_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "vocabulary.json"
    vocabulary = Vocabulary.build([["发热", "a\nb", "\ud800", '"'], ["发热"]])
    vocabulary.save(path)
    assert Vocabulary.load(path) == vocabulary == pickle.loads(pickle.dumps(vocabulary))
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            Vocabulary(["other"]).save(path)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["vocabulary.json"]
    for wrong in ("[]", "{}", "no json", json.dumps({"tokens": ["a", "a"], "counts": [1, 1]})):
        path.write_text(wrong)
        with pytest.raises(ValueError, match="does not hold a vocabulary"):
            Vocabulary.load(path)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Vocabulary(["a", "b", "a"]), r"\['a'\] come twice"),
        (lambda: Vocabulary([PAD]), r"without \['\[PAD\]'\]"),
        (lambda: Vocabulary(["a"], [1, 2]), "one number for each of 1 tokens, not 2"),
        (lambda: Vocabulary.build(["a text"]), "not strings"),
        (lambda: Vocabulary([]).encode("a text"), "not one string"),
        (lambda: Vocabulary([]).decode([2]), "ids must be from 0 to 1, not 2"),
        (lambda: Vocabulary([]).decode([-1]), "ids must be from 0 to 1, not -1"),
    ],
)
def test_a_wrong_vocabulary_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- long texts ---

sequences = st.one_of(st.text(max_size=30), st.lists(st.text(max_size=3), max_size=30))


@given(sequence=sequences, size=st.integers(1, 12), data=st.data())
def test_windows_cover_everything_and_none_lies_inside_another(sequence, size, data):
    stride = data.draw(st.integers(1, size))
    pieces = windows(sequence, size, stride=stride)
    assert all(piece.content == sequence[piece.start : piece.end] for piece in pieces)
    assert {i for piece in pieces for i in range(piece.start, piece.end)} == set(range(len(sequence)))
    assert all(two.start - one.start == stride and one.end < two.end for one, two in itertools.pairwise(pieces))
    assert all(len(piece.content) == size for piece in pieces[:-1]) and len(pieces) >= 1


@given(sequence=sequences, size=st.integers(1, 12), data=st.data())
def test_head_and_tail_are_the_ends(sequence, size, data):
    first = data.draw(st.none() | st.integers(0, size))
    pieces = head_tail(sequence, size, head=first)
    assert all(piece.content == sequence[piece.start : piece.end] for piece in pieces)
    assert sum(len(piece.content) for piece in pieces) == min(size, len(sequence))
    if len(sequence) > size:
        lengths = [len(sequence[: first if first is not None else max(1, size // 4)])]
        wanted = [*sequence[: lengths[0]], *sequence[len(sequence) - (size - lengths[0]) :]]
        assert [part for piece in pieces for part in piece.content] == wanted
    assert head(sequence, size) == [(sequence[:size], 0, min(size, len(sequence)))]


def test_windows_of_tokens_lead_back_to_the_characters():
    text = "患者发热3.5天，BP 120/80 mmHg。"
    tokens = token_pieces(text)
    for window in windows(tokens, 4, stride=2):
        part = text[window.content[0].start : window.content[-1].end]
        assert tokenize(part) == [piece.content for piece in window.content]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: windows("abc", 2, stride=3), "stride must be at most size = 2, not 3"),
        (lambda: head_tail("abc", 2, head=3), "head must be at most size = 2, not 3"),
    ],
)
def test_windows_that_lose_elements_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_length_statistics():
    lengths = [5, 1, 100, 20, 3]
    found = length_statistics([["x"] * n for n in lengths], limit=10)
    assert (found["count"], found["mean"], found["min"], found["median"], found["max"]) == (5, 25.8, 1, 5, 100)
    assert found["p90"] == np.percentile(lengths, 90) and found["over"] == 0.4 and found["lost"] == 100 / 129
    empty = length_statistics([], limit=3)
    assert empty.pop("count") == 0 and all(np.isnan(value) for value in empty.values())
    assert length_statistics([""], limit=3)["over"] == 0


# --- duplicates ---


def groups_by_comparing_all(records, threshold, shingle):
    group = list(range(len(records)))
    for i, j in itertools.combinations(range(len(records)), 2):
        one, two = duplicates._units(records[i]), duplicates._units(records[j])
        same = one == two if one or two else records[i].strip() == records[j].strip()
        if same or (threshold < 1 and one and two and jaccard(records[i], records[j], shingle=shingle) >= threshold):
            group = [group[i] if number == group[j] else number for number in group]
    found = [[i for i, number in enumerate(group) if number == wanted] for wanted in dict.fromkeys(group)]
    return [members for members in found if len(members) > 1]


@given(
    records=st.lists(st.lists(st.sampled_from(["a", "b", "C", "发", ",", "，"]), max_size=9).map(" ".join), max_size=9),
    threshold=st.sampled_from([0.1, 0.25, 1 / 3, 0.5, 0.6, 2 / 3, 0.75, 0.8, 1.0]),
    shingle=st.integers(1, 4),
)
@settings(max_examples=400, deadline=None)
def test_duplicates_are_those_found_by_comparing_all_with_all(records, threshold, shingle):
    assert find_duplicates(records, threshold=threshold, shingle=shingle) == groups_by_comparing_all(
        records, threshold, shingle
    )


def test_duplicates_of_edited_texts():
    """Texts of 60 words, some of them copies with a few words changed: again all with all."""
    rng = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(300)])
    records = [" ".join(rng.choice(words, 60)) for _ in range(30)]
    for i in range(30):
        parts = records[i].split()
        for place in rng.integers(0, 60, i % 9):
            parts[place] = "changed"
        records.append(" ".join(parts))
    for threshold in (0.3, 0.5, 0.7, 0.9):
        found = find_duplicates(records, threshold=threshold)
        assert found == groups_by_comparing_all(records, threshold, 3)
        assert 0 < len(found) <= 30
    assert len(find_duplicates(records, threshold=0.3)) > len(find_duplicates(records, threshold=0.9))


def test_similarity_is_that_of_sets():
    assert jaccard("a b c d", "a b c e") == 1 / 3
    assert jaccard("a b", "a b") == 1 and jaccard("a b", "a c") == 0
    assert jaccard("", "!") == 1 and jaccard("", "a") == 0
    assert jaccard("发热 三天", "发热三天。") == 1
    assert jaccard("3.5 mg daily", "35 mg daily") == 0  # a lost point is no small matter


def test_texts_without_a_word_are_compared_as_they_stand():
    assert find_duplicates(["", "😀", "!", " 😀 ", "", "?"]) == [[0, 4], [1, 3]]
    assert find_duplicates([]) == [] and find_duplicates(["a"]) == []


def test_conflicting_labels_of_any_kind():
    records = ["No fever.", "no fever", "cough", "Cough!"]
    assert conflicting_labels(records, ["a", "a", "b", "c"]) == [([2, 3], ["b", "c"])]
    assert conflicting_labels(records, torch.tensor([0, 1, 2, 2])) == [([0, 1], [0, 1])]
    assert conflicting_labels(records, np.array([[0, 1], [0, 1], [1, 0], [1, 1]])) == [([2, 3], [(1, 0), (1, 1)])]
    near = ["the patient has had no fever today", "the patient has had no fever yesterday"]
    assert conflicting_labels(near, [0, 1]) == [] and len(conflicting_labels(near, [0, 1], threshold=0.6)) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: find_duplicates(["a", None]), r"texts\[1\] must be a string, not None"),
        (lambda: find_duplicates("ab"), "not one string"),
        (lambda: find_duplicates(["a"], threshold=0), "threshold must be above 0 and at most 1, not 0"),
        (lambda: find_duplicates(["a"], threshold=1.1), "threshold"),
        (lambda: conflicting_labels(["a"], [1, 2]), "labels must be one for each of 1 texts, not 2"),
    ],
)
def test_wrong_duplicates_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- real text ---


def rows(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_real_abstracts_repeat_118_texts_under_other_labels(shared_data):
    records = rows(shared_data / "text/medical_abstracts_5class_en.csv.gz")
    texts, labels = [row["text"] for row in records], [row["label"] for row in records]
    groups = find_duplicates(texts)
    assert sum(len(group) - 1 for group in groups) == 118
    conflicts = conflicting_labels(texts, labels)
    assert [conflict.indices for conflict in conflicts] == groups  # every repeat has another label
    exact = Counter(text.strip() for text in texts)
    assert sum(count - 1 for count in exact.values()) == 118


def test_real_texts_survive_cleaning_and_cutting(shared_data):
    english = [row["text"] for row in rows(shared_data / "text/medical_abstracts_5class_en.csv.gz")[::40]]
    chinese = [row["question"] for row in rows(shared_data / "text/departments_longtail_zh.csv.gz")[::40]]
    for text in english + chinese:
        cleaned = clean(text)
        assert han(cleaned) == han(text)
        tokens = tokenize(cleaned)
        assert tokenize(detokenize(tokens)) == tokens
        assert "".join(tokens) == "".join(cleaned.split())
    cut = [split_sentences(text) for text in english]
    assert all(len(sentences) >= 2 for sentences in cut)  # a title, and an abstract
    ends = Counter(sentence[-1] in ".?!" for sentences in cut for sentence in sentences)
    assert ends[True] > 0.97 * ends.total()

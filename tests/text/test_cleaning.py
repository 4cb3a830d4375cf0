"""Every cleaning step against what Unicode and HTML say: nothing lost, nothing shifted, in both languages."""

import csv
import gzip
import html.entities
import itertools
import pickle
import re
import string
import sys
import unicodedata
from collections import Counter
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from notes import STEPS, han, is_han, step_name, texts

from tutorial_lib.text import (
    DEFAULT_STEPS,
    audit,
    chinese_punctuation,
    clean,
    collapse_repeats,
    compose,
    conflicting_labels,
    detect_language,
    detokenize,
    find_duplicates,
    lowercase,
    mask_personal_data,
    normalize_unicode,
    normalize_whitespace,
    remove_control,
    remove_punctuation,
    sentence_pieces,
    split_sentences,
    strip_tags,
    to_halfwidth,
    token_pieces,
    tokenize,
    unescape_html,
)

ROOT = Path(__file__).resolve().parents[2]


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
        (remove_control, "a\ud83d\ude00b\ud83d\u200b\ude00 \ude00\ud83d", "a😀b "),  # a pair, and what is none
        (remove_control, "\ud840\udc00\ud83d\udc69\u200d", "𠀀👩"),
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
        with pytest.raises(ValueError, match=f"text must be a string, got .*{type(value).__name__}"):
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
     "a@" * 20_000, "1a@b.co" * 10_000, "<p" * 10_000 + ">" * 10_000, '<a x="' * 10_000 + "<p " + "a=1 " * 20_000,
     "<![CDATA[" * 9_000 + "]]>" * 9_000, "&am" * 9_000 + "&#112;;" + "#112;;" * 9_000, ". " * 20_000, "1. " * 20_000,
     "• " * 20_000, "《。" * 20_000, "a.'" * 20_000, "C." * 20_000, "कि" * 20_000, "\u0301" * 50_000,
     "e\u0301" * 20_000, "\u200d" * 20_000, "a\u200d" * 20_000, "/mg" * 20_000, "mg/L" * 20_000, "B" * 50_000,
     "[PAD" * 20_000, "1 @ " * 20_000, "Jan " * 20_000, "2024年" * 20_000, "+86 " * 20_000, "\ud83d" * 50_000,
     "(" * 50_000, "患" * 20_000],
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
    with pytest.raises(ValueError, match=r"form must be|kinds must be .*, got 'name'"):
        step("x")


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

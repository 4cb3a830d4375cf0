"""Texts that break cleaners, and every cleaning step: what the tests of texts have in common."""

import unicodedata
from functools import partial

from hypothesis import strategies as st

from tutorial_lib.text import (
    DEFAULT_STEPS,
    chinese_punctuation,
    cleaning,
    lowercase,
    mask_personal_data,
    normalize_unicode,
    normalize_whitespace,
    remove_punctuation,
    to_halfwidth,
)

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

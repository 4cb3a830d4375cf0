r"""Text, English and Chinese alike: cleaning step by step, sentences, tokens, vocabularies, duplicates, long texts.

Every cleaning step takes a string and gives a string, so that steps compose, and :func:`audit` shows what each one did.
Whatever cuts a text (:func:`token_pieces`, :func:`sentence_pieces`, :func:`windows`, ...) gives :class:`Piece` records:
``text[piece.start:piece.end] == piece.content``, so that nothing loses its place in the original.

=====================  =================================================================================
step                   does, and what to know before using it
=====================  =================================================================================
unescape_html          ``&lt;`` to ``<``; entities without a semicolon stay (``R&amplitude``)
strip_tags             known HTML tags only, so that ``p<0.05`` stays; ``<br>`` becomes a line end
remove_control         control, zero-width, direction and unpaired surrogate characters
to_halfwidth           ``３．５％`` to ``3.5%``; Chinese ``，。：`` stay unless asked
normalize_unicode      NFC; NFKC on request: it also turns ``10³`` into ``103`` and ``5½`` into ``51⁄2``
collapse_repeats       ``！！！`` to ``！``; ``+++`` stays: it is a finding, not excitement
normalize_whitespace   one space, one line end
chinese_punctuation    on request; ``发热,咳嗽`` to ``发热，咳嗽``, so that all records write one comma
lowercase              on request; ``keep=`` protects words whose case carries meaning
remove_punctuation     on request; never inside ``3.5``, ``120/80``, ``5-HT``
mask_personal_data     on request; e-mail, ID, phone, date to ``[PHONE]`` and so on
=====================  =================================================================================

The Chinese dictionary, the stemmer and the lemmatiser come from jieba, NLTK and simplemma, imported on first use:
``pip install 'tutorial-lib[text]'``. Importing this module loads neither them nor torch.
"""

import functools
import html
import json
import os
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "BOS",
    "DEFAULT_STEPS",
    "EOS",
    "PAD",
    "STOP_WORDS",
    "UNK",
    "Change",
    "Conflict",
    "Padded",
    "Piece",
    "Vocabulary",
    "add_boundaries",
    "audit",
    "chinese_punctuation",
    "clean",
    "collapse_repeats",
    "compose",
    "conflicting_labels",
    "detect_language",
    "detokenize",
    "find_duplicates",
    "head",
    "head_tail",
    "jaccard",
    "lemmatize",
    "length_statistics",
    "lowercase",
    "mask_personal_data",
    "ngrams",
    "normalize_unicode",
    "normalize_whitespace",
    "remove_control",
    "remove_punctuation",
    "remove_stop_words",
    "sentence_pieces",
    "split_sentences",
    "stem",
    "strip_tags",
    "to_halfwidth",
    "token_pieces",
    "tokenize",
    "unescape_html",
    "windows",
]

PAD, UNK, BOS, EOS = "[PAD]", "[UNK]", "[BOS]", "[EOS]"

# What counts as a Chinese character: ideographs with all extensions, the iteration mark and the zero 〇.
_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_HAN_RUN = re.compile(f"[{_HAN}]+")

Step = Callable[[str], str]


class Piece(NamedTuple):
    """A part of a sequence and where it lies: ``sequence[start:end] == content``."""

    content: Any
    start: int
    end: int


# --- cleaning: one string to one string ---


def unescape_html(text: str) -> str:
    """Replace HTML entities by the characters they stand for, also where they were escaped twice.

    Only entities that end with a semicolon: browsers also read ``S&parameter`` as ``S¶meter``, which in text that was
    never HTML destroys words.

    >>> unescape_html("p &lt; 0.05 &amp;amp; 37&#8451;; S&parameter")
    'p < 0.05 & 37℃; S&parameter'
    """
    text, before = _AMPERSANDS.sub("&", _string(text)), None
    while text != before and "&" in text:
        before = text
        text = _AMPERSANDS.sub("&", _ENTITY.sub(lambda match: html.unescape(match[0]), text))
    return text


_AMPERSANDS = re.compile(r"&(?:(?:amp|AMP|#0*38|#[xX]0*26);)+")
_ENTITY = re.compile(r"&(?:#[0-9]{1,8}|#[xX][0-9a-fA-F]{1,7}|[A-Za-z][A-Za-z0-9]{1,31});")


def strip_tags(text: str) -> str:
    """Remove HTML tags, comments, scripts and style sheets; tags that break a line become a line end.

    A tag is a known HTML name with ``name=value`` pairs or nothing, so that ``if a<b and c>d``, ``p<0.05`` and
    ``<PHONE>`` are left alone; and ``fever<br>cough`` does not become one word.

    >>> strip_tags('<p class="x">p<0.05<br>BMI <b>27</b></p>')
    '\\np<0.05\\nBMI 27\\n'
    """
    text, before = _string(text), None
    while text != before and "<" in text:
        before = text
        text = _INVISIBLE.sub(" ", text)
        text = _TAG.sub(lambda match: "\n" if match["block"] else "", text)
    return text


_BLOCKS = (
    "address article aside blockquote body br caption center dd div dl dt fieldset figcaption figure footer form h1 "
    "h2 h3 h4 h5 h6 head header hr html li main nav ol option p pre section select table tbody td tfoot th thead "
    "title tr ul"
)
_INLINES = (
    "a abbr b big button cite code del dfn em font i iframe img input ins kbd label link mark meta object q s samp "
    "small span strike strong sub sup svg tt u var video"
)
_TAG = re.compile(
    rf"</?(?:(?P<block>{'|'.join(_BLOCKS.split())})|{'|'.join(_INLINES.split())})"
    r"""(?:\s+(?:[\w:-]+\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>]+)|nowrap|noshade|checked|selected|disabled|hidden))*\s*/?>""",
    re.IGNORECASE,
)
_INVISIBLE = re.compile(r"<!--.*?-->|<(script|style)\b[^<>]*>.*?</\1\s*>", re.IGNORECASE | re.DOTALL)


def remove_control(text: str) -> str:
    r"""Remove what cannot be seen: control, zero-width, direction and unpaired surrogate characters.

    Every kind of line end becomes ``\n``, separators become a space, tabs stay. The joiner inside a family emoji is
    invisible too: the emoji falls into its parts.

    >>> remove_control("发\u200b热\x00 38\xad.5\r\n")
    '发热 38.5\n'
    """
    text = _LINE_END.sub("\n", _string(text))
    return _UNSEEN.sub("", _SEPARATOR.sub(" ", text))


_LINE_END = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_SEPARATOR = re.compile("[\x1c-\x1f]")
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)


def to_halfwidth(text: str, *, punctuation: bool = False) -> str:
    """Replace full-width letters, digits and signs by their usual forms.

    Chinese punctuation is full-width by right, and a sentence splitter needs it. It stays unless ``punctuation``.

    Args:
        text: any string.
        punctuation: also turn ``，。：；！？（）【】、`` and Chinese quotes into their ASCII counterparts.

    >>> to_halfwidth("ＢＭＩ２７．５％，体温３８℃。"), to_halfwidth("发热，３天。", punctuation=True)
    ('BMI27.5%，体温38℃。', '发热,3天.')
    """
    return _string(text).translate(_HALF_WITH_PUNCTUATION if punctuation else _HALF)


_CHINESE_PUNCTUATION = dict(zip("，。：；！？（）【】、“”‘’～．", ",.:;!?()[],\"\"''~.", strict=True))
_HALF_WITH_PUNCTUATION = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: " "}
_HALF_WITH_PUNCTUATION |= {ord(full): ascii_ for full, ascii_ in _CHINESE_PUNCTUATION.items()}
_HALF = {
    code: half
    for code, half in _HALF_WITH_PUNCTUATION.items()
    if chr(code) == "．" or code not in {ord(character) for character in _CHINESE_PUNCTUATION}
}


def chinese_punctuation(text: str) -> str:
    """Replace the ASCII marks ``, ; : ! ?`` beside a Chinese character, and a full stop after one, by the Chinese ones.

    The other way round is ``to_halfwidth(text, punctuation=True)``: choose one of the two for all your texts.

    >>> chinese_punctuation("发热,体温38.5℃,无咳嗽. BP 1,200")
    '发热，体温38.5℃，无咳嗽。 BP 1,200'
    """
    return _ASCII_MARK.sub(lambda match: _CHINESE_MARKS[match[0]], _string(text))


_CHINESE_MARKS = dict(zip(",;:!?.", "，；：！？。", strict=True))
_ASCII_MARK = re.compile(rf"(?<=[{_HAN}])[,;:!?]|[,;:!?](?=[{_HAN}])|(?<=[{_HAN}])\.(?![.\w])")


def normalize_unicode(text: str, *, form: str = "NFC") -> str:
    """Write each character in one way: ``e`` + accent and ``é`` become the same.

    NFC keeps every character's meaning. NFKC also replaces "compatible" characters, and some of these carry the
    meaning: ``10³`` becomes ``103``, ``5½`` becomes ``51⁄2``, ``①`` becomes ``1``; ``㎎`` and ``℃`` become ``mg``
    and ``°C``, the Chinese ``，：`` become ASCII while ``。`` stays, and the micro sign becomes a Greek letter. Look at
    your units first.

    Args:
        text: any string.
        form: ``"NFC"`` or ``"NFKC"``.

    References:
        Unicode Standard Annex 15.

    >>> normalize_unicode("10³/㎕ ½"), normalize_unicode("10³/㎕ ½", form="NFKC")
    ('10³/㎕ ½', '103/μl 1⁄2')
    """
    if form not in ("NFC", "NFKC"):
        raise ValueError(f"form must be 'NFC' or 'NFKC', not {form!r}")
    return unicodedata.normalize(form, _string(text))


def collapse_repeats(text: str) -> str:
    """Reduce repeated punctuation to one: ``！！！`` to ``！``, ``?!?!`` to ``?!``, a drawn line to one sign.

    ``...``, ``……`` and ``——`` are signs of their own. ``+++`` stays, it grades a finding; so does ``//`` of an address.

    >>> collapse_repeats("痛！！！！ why?!?!?! 尿蛋白+++ ----- so.....")
    '痛！ why?! 尿蛋白+++ - so...'
    """
    text = _EXCITEMENT.sub(lambda match: "".join(dict.fromkeys(match[0])), _string(text))
    text = _TWICE.sub(r"\1", text)
    text = _DRAWN.sub(r"\1", text)
    return _DOTS.sub(lambda match: _SHORTEST[match[0][0]] if len(match[0]) > 2 or match[0][0] != "." else ".", text)


_EXCITEMENT = re.compile("[!?！？]{2,}")
_TWICE = re.compile(r"([,;:，。；：、～~&])\1+")
_DRAWN = re.compile(r"([-=*_#])\1{2,}")
_DOTS = re.compile(r"\.{2,}|…{2,}|—{2,}")
_SHORTEST = {".": "...", "…": "……", "—": "——"}


def normalize_whitespace(text: str, *, newlines: bool = True) -> str:
    r"""One space between words, one line end between lines, none at either end.

    Args:
        text: any string.
        newlines: keep the line ends; without them the text becomes one line.

    >>> normalize_whitespace(" 发热\u3000 3 天 \n\n  cough "), normalize_whitespace("a\nb", newlines=False)
    ('发热 3 天\ncough', 'a b')
    """
    if not newlines:
        return " ".join(_string(text).split())
    return "\n".join(line for line in (" ".join(line.split()) for line in _string(text).splitlines()) if line)


def lowercase(text: str, *, keep: Collection[str] = ()) -> str:
    """Lower-case letters, except in whole words that are listed.

    Case can carry the meaning: ``US`` and ``us``, ``mmHg``, ``MS`` and ``ms``.

    >>> lowercase("BP in mmHg, CT of the Chest", keep=["mmHg", "CT"])
    'bp in mmHg, CT of the chest'
    """
    if not keep:
        return _string(text).lower()
    listed = "|".join(re.escape(word) for word in sorted(keep, key=len, reverse=True))
    pattern = rf"(?<![^\W{_HAN}])({listed})(?![^\W{_HAN}])"
    return "".join(part if i % 2 else part.lower() for i, part in enumerate(re.split(pattern, _string(text))))


def remove_punctuation(text: str, *, keep: str = "%‰") -> str:
    """Replace punctuation by a space, except inside numbers and words (``3.5``, ``120/80``, ``5-HT``, ``don't``).

    Mathematical signs, degrees and currencies are symbols, not punctuation: they stay. Letters of no script are lost.

    Args:
        text: any string.
        keep: characters to leave as they are.

    >>> remove_punctuation("患者，男，血压120/80；SpO2 98%。(don't panic!)")
    "患者 男 血压120/80 SpO2 98%  don't panic  "
    """
    return _WITH_PUNCTUATION.sub(
        lambda match: " " if len(match[0]) == 1 and match[0] not in keep and _is_punctuation(match[0]) else match[0],
        _string(text),
    )


def mask_personal_data(text: str, *, kinds: Sequence[str] = ("email", "id", "phone", "date")) -> str:
    """Replace what looks like an e-mail address, a Chinese ID number, a phone number or a date by its kind.

    A help for examples and for counting, not a de-identification: names, addresses and rare diseases stay.

    Args:
        text: any string.
        kinds: which of ``"email"``, ``"id"`` (18 places), ``"phone"`` (mainland China, North America), ``"date"``.

    >>> mask_personal_data("2024年3月5日入院，电话13812345678，血压120/80")
    '[DATE]入院，电话[PHONE]，血压120/80'
    """
    unknown = set(kinds) - set(_PERSONAL)
    if unknown:
        raise ValueError(f"kinds must be among {list(_PERSONAL)}, not {sorted(unknown)}")
    text, before = _string(text), None
    while text != before:  # what is masked may uncover what stood beside it
        before = text
        for kind, pattern in _PERSONAL.items():
            if kind in kinds:
                text = pattern.sub(f"[{kind.upper()}]", text)
    return text


_MONTH = r"(?:Jan|Feb|Mar|Apr|May|June?|July?|Aug|Sept?|Oct|Nov|Dec)[a-z]{0,6}\.?"
_PERSONAL = {
    "email": re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}"),
    "id": re.compile(r"(?<![0-9A-Za-z])[1-9][0-9]{16}[0-9Xx](?![0-9A-Za-z])"),
    "phone": re.compile(
        r"(?<![0-9A-Za-z.])(?:(?:\+?86[- ]?)?1[3-9][0-9](?:[- ]?[0-9]{4}){2}|0[0-9]{2,3}[- ][0-9]{7,8}"
        r"|(?:\+?1[-. ])?(?:\([0-9]{3}\) ?|[0-9]{3}[-. ])[0-9]{3}[-. ][0-9]{4})(?![0-9A-Za-z]|\.[0-9])"
    ),
    "date": re.compile(
        r"(?<![0-9./-])(?:(?:19|20)[0-9]{2} ?年 ?(?:[01]?[0-9] ?月(?: ?[0-3]?[0-9] ?[日号])?)?"
        r"|[01]?[0-9] ?月 ?[0-3]?[0-9] ?[日号]"
        r"|(?:19|20)[0-9]{2}([-/.])[01]?[0-9]\1[0-3]?[0-9](?![0-9])|[0-3]?[0-9]([-/.])[0-3]?[0-9]\2(?:19|20)[0-9]{2}(?![0-9]))"
        rf"|\b(?:[0-3]?[0-9] )?{_MONTH} (?:[0-3]?[0-9](?:st|nd|rd|th)?,? )?(?:19|20)[0-9]{{2}}\b"
    ),
}


# --- composition ---


class Change(NamedTuple):
    """What one step made of a text: one row of :func:`audit`."""

    step: str
    before: str
    after: str

    @property
    def changed(self) -> bool:
        return self.before != self.after


# Direction matters: entities hide tags; what is invisible hides what would compose; width before form.
DEFAULT_STEPS: tuple[Step, ...] = (
    unescape_html,
    strip_tags,
    remove_control,
    to_halfwidth,
    normalize_unicode,
    collapse_repeats,
    normalize_whitespace,
)


def clean(text: str, *, steps: Iterable[Step] = DEFAULT_STEPS) -> str:
    """Apply cleaning steps one after the other.

    The default steps lose no letter of any script and change no case: they are safe before anything else.

    Args:
        text: the raw text.
        steps: functions from string to string; ``functools.partial`` sets their options.

    >>> clean("<p>体温３８.５℃！！！</p>&nbsp;BP&lt;120/80 ")
    '体温38.5℃！\\nBP<120/80'
    """
    text = _string(text)
    for step in steps:
        text = step(text)
    return text


def compose(*steps: Step) -> Step:
    """Make one step of several; the result can be pickled where its steps can, and :func:`audit` sees inside.

    >>> compose(normalize_whitespace, lowercase)("  A  B ")
    'a b'
    """
    for step in steps:
        if not callable(step):
            raise ValueError(f"steps must be functions from str to str, not {step!r}")
    return functools.partial(clean, steps=steps)


def audit(text: str, *, steps: Iterable[Step] = DEFAULT_STEPS) -> list[Change]:
    """Clean, and keep what every step saw and made.

    Args:
        text: the raw text.
        steps: as for :func:`clean`; composed steps are shown one by one.

    Returns:
        One ``Change(step, before, after)`` for each step, in order. The last ``after`` is ``clean(text, steps=steps)``.

    >>> [change.step for change in audit("ＣＴ  ok", steps=DEFAULT_STEPS) if change.changed]
    ['to_halfwidth', 'normalize_whitespace']
    """
    text, changes = _string(text), []
    for step in _flat(steps):
        after = step(text)
        changes.append(Change(_step_name(step), text, after))
        text = after
    return changes


def _flat(steps: Iterable[Step]) -> Iterable[Step]:
    for step in steps:
        inside = isinstance(step, functools.partial) and step.func is clean
        yield from _flat(step.keywords.get("steps", DEFAULT_STEPS)) if inside else [step]


def _step_name(step: Step) -> str:
    if isinstance(step, functools.partial):
        options = ", ".join(f"{name}={value!r}" for name, value in step.keywords.items())
        return f"{_step_name(step.func)}({options})"
    return getattr(step, "__name__", type(step).__name__)


# --- sentences ---

# Never the end of a sentence, whatever follows.
_TITLES = frozenset("dr mr mrs ms prof st rev vs e.g i.e cf viz approx".split())
# The end of a sentence where a capital or a Chinese character follows: "Smith et al. found" against "et al. We found".
_ABBREVIATIONS = frozenset(
    "al etc no nos fig figs eq eqs ref refs sec sect vol pp p ch ed eds min max avg wt ht hr hrs yr yrs mo wk dept "
    "univ inc ltd co jan feb mar apr jun jul aug sep sept oct nov dec tab tabs inj cap sol ca jr sr".split()
)
_CLOSERS = "\"'”’」』）)\\]】》〉"
_END = re.compile(rf"[.。｡．!！?？…]+[{_CLOSERS}]*|\n+")
_LAST_WORD = re.compile(r"[^\s(（\[,，;；:：、。！？!?\"“”]*$")
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_NEXT = re.compile(r"\s*(\S?)")


def sentence_pieces(text: str, *, newlines: bool = True, abbreviations: Collection[str] = ()) -> list[Piece]:
    """Cut a text into sentences, English or Chinese or mixed, and say where each one lies.

    A sentence ends at ``。！？``, at ``! ?`` and at a full stop, with the closing quotes and brackets behind it. A full
    stop does not end it inside ``3.5``, after a title (``Dr.``), after a list number (``1. 高血压``), and after an
    abbreviation (``et al.``, ``i.v.``) unless a capital or a Chinese character follows.

    A limit of such rules: ``John F. Kennedy`` is cut after the initial, because ``hepatitis B. She`` must be.

    Args:
        text: any string.
        newlines: a line end ends a sentence. Turn it off for text that was wrapped at a width.
        abbreviations: more words, without their last full stop, that never end a sentence.

    Returns:
        Pieces without the white space around them; every other character lies in exactly one.

    >>> [piece.content for piece in sentence_pieces("Dr. Wu gave 3.5 mg i.v. daily. 他说：“不痛。”医生走了。")]
    ['Dr. Wu gave 3.5 mg i.v. daily.', '他说：“不痛。”', '医生走了。']
    """
    text, extra = _string(text), {word.lower().rstrip(".") for word in abbreviations}
    pieces, start = [], 0
    for match in _END.finditer(text):
        if match[0][0] == "\n":
            ends = newlines
        else:
            ends = _ends_sentence(text, start, match, extra)
        if ends:
            _add_piece(pieces, text, start, match.end())
            start = match.end()
    _add_piece(pieces, text, start, len(text))
    return pieces


def _ends_sentence(text: str, start: int, match: re.Match, extra: Collection[str]) -> bool:
    end = match.end()
    following = _NEXT.match(text, end)[1]  # the next character that is not white space
    touching = text[end : end + 1]
    if touching and touching in "，,、；;：:":
        return False  # “好！”，他说
    if any(mark in "。｡．！？" for mark in match[0]):
        return not (match[0] == "．" and touching.isdigit())
    if touching and not touching.isspace() and not _HAN_RUN.match(touching) and touching not in "“‘「『（《【":
        return False  # 3.5, www.who.int, a?b
    marks = match[0].rstrip(_CLOSERS.replace("\\", ""))
    if "!" in marks or "?" in marks:
        return marks == match[0] or not following.islower()  # "Why?" he asked
    if "…" in marks or len(marks) > 1:
        return not following.islower()
    word = _LAST_WORD.search(text[max(start, match.start() - 30) : match.start()])[0]
    before = text[max(start, match.start() - 40) : match.start() - len(word)].strip()
    if word.lower() in _TITLES or word.lower() in extra:
        return False
    if word.isdigit() and len(word) <= 3 and not before:
        return False  # the number of a list item
    if word.isdigit() and len(word) <= 2 and _HAN_RUN.match(following):
        return False  # 诊断：1.高血压 2.糖尿病
    if len(word) == 1 and word.isupper() and not _HAN_RUN.match(word):
        previous = before.rsplit(None, 1)[-1].rstrip(".") if before else ""
        return bool(before) and previous.lower() not in _TITLES and not (len(previous) == 1 and previous.isupper())
    if word.lower() in _ABBREVIATIONS or _DOTTED.fullmatch(word):
        return not following or following.isupper() or bool(_HAN_RUN.match(following))
    return True


def _add_piece(pieces: list[Piece], text: str, start: int, end: int) -> None:
    raw = text[start:end]
    content = raw.strip()
    if content:
        start += len(raw) - len(raw.lstrip())
        pieces.append(Piece(content, start, start + len(content)))


def split_sentences(text: str, *, newlines: bool = True, abbreviations: Collection[str] = ()) -> list[str]:
    """The sentences of a text: the contents of :func:`sentence_pieces`.

    >>> split_sentences("发热3天。咳嗽？无。")
    ['发热3天。', '咳嗽？', '无。']
    """
    return [piece.content for piece in sentence_pieces(text, newlines=newlines, abbreviations=abbreviations)]


# --- tokens ---

_L = rf"[^\W\d_{_HAN}]"  # a letter of any script but Chinese; also ² and ½
_C = rf"[^\W_{_HAN}]"  # goes on inside a word: letters and digits
_END_OF_WORD = rf"{_C}*+(?:[\u0300-\u036f]++{_C}*+)*+"  # and accents that are characters of their own
_PER = "dL|mL|μL|µL|uL|dl|ml|ul|L|l|kg|g|mg|m2|m²|mm3|mm³|min|h|hr|d|day|wk|s|sec|HPF|LPF"
_RULES = (
    r"\[(?:PAD|UNK|BOS|EOS|MASK|CLS|SEP|EMAIL|ID|PHONE|DATE)\]",
    r"(?:[A-Za-z]\.){2,}",  # i.v., U.S.
    # Words (COVID-19, don't, mmHg), with what a short one is counted per: mg/dL, mg/kg/day; not fever/cough.
    rf"{_L}{_END_OF_WORD}(?:['’\-‐‑]{_C}{_END_OF_WORD})*+(?:(?=/)(?<!{_L}{{6}})(?:/(?:{_PER})(?!{_C}))+)?",
    rf"[0-9]++(?:-{_L}{_END_OF_WORD})++",  # 5-HT, 12-lead, 2-year-old
    r"[0-9]+(?:st|nd|rd|th)\b",
    r"(?<![\w)\]）.,%])[-−+±]?\d+(?:(?:[./:\-]|,(?=\d{3}(?!\d)))\d+)*",  # 3.5, 120/80, 1,200, 10:30, -2.5
    r"\d+(?:(?:[./:\-]|,(?=\d{3}(?!\d)))\d+)*",
    r"(?<![\w.])\.\d+",  # .05
    rf"[{_HAN}]+",
    "|".join(re.escape(mark) + "{2,}" for mark in ".…—-+*=~!?！？。"),
    r"\S",
)
_TOKEN = re.compile("|".join(_RULES))
_WITH_PUNCTUATION = re.compile("|".join(_RULES[:-2] + _RULES[-1:]))
_LANGUAGES = ("auto", "en", "zh")


def token_pieces(
    text: str, *, language: str = "auto", characters: bool = False, terms: Sequence[str] = ()
) -> list[Piece]:
    """Cut a text into tokens, English or Chinese or mixed, and say where each one lies.

    Chinese runs are cut into words by jieba, everything else by one rule. In this order, a token is:

    1. an abbreviation with dots (``i.v.``), a unit with a slash (``mg/dL``), a mask (``[PHONE]``);
    2. a word of any script with its digits, hyphens and apostrophes (``COVID-19``, ``don't``, ``mmHg``, ``5-HT``);
    3. a number with its inner points, slashes, colons, hyphens and thousands (``3.5``, ``120/80``, ``10:30``,
       ``1,200``), with a sign where nothing stands before it; a unit behind it is a token of its own (``3.5 mg``);
    4. a run of one punctuation mark (``...``, ``+++``), or any other single character that is not white space.

    Args:
        text: any string.
        language: ``"en"`` cuts Chinese runs into characters and so needs no jieba; ``"auto"`` and ``"zh"`` into words.
        characters: cut Chinese runs into characters.
        terms: Chinese words to add to jieba's dictionary, such as names of diseases.

    Returns:
        Pieces; between them there is only white space.

    Raises:
        ImportError: if there is Chinese to be cut into words and jieba is not installed.

    >>> [piece.content for piece in token_pieces("BP 120/80 mmHg; don't give 3.5mg i.v.")]
    ['BP', '120/80', 'mmHg', ';', "don't", 'give', '3.5', 'mg', 'i.v.']
    >>> token_pieces("糖尿病", characters=True)[1]
    Piece(content='尿', start=1, end=2)
    """
    _check_language(language)
    single, pieces = characters or language == "en", []
    for match in _TOKEN.finditer(_string(text)):
        content, start = match[0], match.start()
        if not _HAN_RUN.match(content):
            pieces.append(Piece(content, start, match.end()))
            continue
        for word in content if single else _segmenter(tuple(terms)).cut(content):
            pieces.append(Piece(word, start, start + len(word)))
            start += len(word)
    return pieces


def tokenize(text: str, *, language: str = "auto", characters: bool = False, terms: Sequence[str] = ()) -> list[str]:
    """The tokens of a text: the contents of :func:`token_pieces`, by the same rule.

    >>> tokenize("患者发热3.5天，BP 120/80 mmHg。")
    ['患者', '发热', '3.5', '天', '，', 'BP', '120/80', 'mmHg', '。']
    """
    _check_language(language)
    tokens = _TOKEN.findall(_string(text))
    if not _HAN_RUN.search(text):
        return tokens
    single, found = characters or language == "en", []
    for token in tokens:
        if not _HAN_RUN.match(token):
            found.append(token)
        else:
            found += token if single else _segmenter(tuple(terms)).cut(token)
    return found


_OPENERS = frozenset("([{“‘（《【「『〈$¥￥€£#@")
_TIGHT_LEFT = frozenset(",.;:!?%‰°℃℉″′)]}”’）》】」』〉，。；：！？、…")
_TIGHT_BOTH = frozenset("/~～·^_—、，。；：！？（）《》【】「」『』〈〉“”‘’…")


def detokenize(tokens: Sequence[str], *, language: str = "auto") -> str:
    """Write tokens as a text again: no space between Chinese words and before punctuation, one between others.

    White space of the original is not known any more; the tokens of the result are the tokens given, but for rare
    cases where two touch.

    Args:
        tokens: what :func:`tokenize` gave, perhaps changed since.
        language: between a Chinese word and one that is not, ``"en"`` puts a space and ``"zh"`` none; ``"auto"`` goes
            by the majority.

    >>> detokenize(["患者", "发热", "3", "天", "，", "BP", "120/80", "mmHg", "。"])
    '患者发热3天，BP 120/80 mmHg。'
    >>> detokenize(["He", "said", ":", '"', "no", '"', "(", "twice", ")", "."])
    'He said: "no" (twice).'
    """
    _check_language(language)
    if isinstance(tokens, str):
        raise ValueError("tokens must be a sequence of strings, not one string")
    tokens = [token for token in tokens if token]
    if language == "auto":
        language = detect_language(" ".join(tokens))
    parts, previous, quotes, opened = [], "", {'"': False, "'": False}, False
    for token in tokens:
        opens = False
        if token in quotes:
            opens = not quotes[token] and not (token == "'" and previous.endswith("s"))
            quotes[token] = opens
        tight = (
            not previous
            or opened
            or previous in _OPENERS
            or token in _TIGHT_LEFT
            or token[0] in "…—！？。"
            and len(set(token)) == 1
            or previous[-1] in _TIGHT_BOTH
            or token[0] in _TIGHT_BOTH
            or (token in quotes and not opens)
            or (token[:3] == "..." and set(token) == {"."})
            or _touches(previous[-1], token[0], language)
        )
        parts.append(token if tight else " " + token)
        previous, opened = token, opens
    return "".join(parts)


def _touches(left: str, right: str, language: str) -> bool:
    han = bool(_HAN_RUN.match(left)) + bool(_HAN_RUN.match(right))
    return han == 2 or (han == 1 and language == "zh")


def detect_language(text: str) -> str:
    """``"zh"`` where Chinese characters are at least as many as words of other scripts, else ``"en"``.

    >>> detect_language("患者BP 120/80 mmHg"), detect_language("Metformin (二甲双胍) was given twice a day")
    ('zh', 'en')
    """
    han = sum(map(len, _HAN_RUN.findall(_string(text))))
    return "zh" if han and han >= len(_OTHER_WORD.findall(text)) else "en"


_OTHER_WORD = re.compile(rf"{_L}+")


@functools.lru_cache(maxsize=4)
def _segmenter(terms: tuple[str, ...] = ()):
    """A jieba tokenizer of our own: no output, no file in the temporary folder, the user's own jieba untouched.

    jieba would log to stderr and keep its dictionary in a file of a known name in a folder that everybody can write,
    read again unchecked by the next process. Building the dictionary takes about a second instead.
    """
    with warnings.catch_warnings():  # pkg_resources of old setuptools, and escapes that new Pythons complain about
        warnings.simplefilter("ignore")
        jieba = _library("jieba", "to cut Chinese into words (or pass characters=True)")
    tokenizer = jieba.Tokenizer()
    if terms:
        base = _segmenter()
        tokenizer.FREQ, tokenizer.total = dict(base.FREQ), base.total
    else:
        tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    for term in terms:
        tokenizer.add_word(term)
    return tokenizer


def _library(name: str, purpose: str):
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{name.split('.')[0]} is needed {purpose}: pip install 'tutorial-lib[text]'") from error


# --- words ---

#: Words that say little about a topic, by language: of our own choice. Negations are not among them: "no fever" and
#: "fever", 无发热 and 发热 must not become the same.
STOP_WORDS: dict[str, frozenset[str]] = {
    "en": frozenset(
        """
        a about above after again all also although am an and any are around as at be because been before being
        between both but by can could did do does doing done down during each either else ever every few for from
        further had has have having he her here hers herself him himself his how i if in into is it its itself just
        many may me might more most much must my myself of off often on once only onto or other our ours ourselves
        out over own per quite rather really same shall she should since so some still such than that the their
        theirs them themselves then there therefore these they this those though through thus to too toward towards
        under until up upon us very was we were what when where whether which while who whom whose why will with
        within would yet you your yours yourself yourselves
        """.split()
    ),
    "zh": frozenset(
        """
        的 了 着 过 地 得 和 与 及 以及 或 或者 还是 并 并且 而 而且 但 但是 然而 因为 所以 因此 由于 于是 如果 若
        虽然 尽管 即 即使 则 就 才 都 也 还 又 再 很 太 更 最 较 比较 非常 十分 特别 是 为 有 在 于 从 自 自从 到 至
        向 往 对 对于 关于 把 被 让 给 用 以 按 按照 根据 通过 随着 等 等等 其 其中 其他 其它 之 之一 者 所 这 那
        这个 那个 这些 那些 这样 那样 这里 那里 此 该 各 每 某 我 你 您 他 她 它 我们 你们 他们 她们 它们 自己 大家
        谁 什么 怎么 怎样 怎么样 如何 为什么 哪 哪个 哪些 哪里 多少 几 吗 呢 吧 啊 呀 哦 嗯 啦 嘛 哈 请问 谢谢 您好
        你好 可以 能 能够 会 要 想 应该 应 可 可能 一个 一种 一些 一下 有点 有些 时 时候 后 前 中 上 下 里 内 现在
        已 已经 曾 正在 将 便 只 仅 来 去 说
        """.split()
    ),
}


def remove_stop_words(tokens: Sequence[str], *, words: Collection[str] | None = None) -> list[str]:
    """Drop the tokens that are in a list of words, whatever their case. May leave nothing.

    Args:
        tokens: the tokens of a text.
        words: the list, in lower case; by default :data:`STOP_WORDS` of both languages. Add your own with ``|``.

    >>> remove_stop_words(tokenize("The patient has no fever"))
    ['patient', 'no', 'fever']
    """
    words = _ALL_STOP_WORDS if words is None else frozenset(words)
    return [token for token in tokens if token.lower() not in words]


_ALL_STOP_WORDS = STOP_WORDS["en"] | STOP_WORDS["zh"]


def stem(tokens: Sequence[str], *, language: str = "english") -> list[str]:
    """Cut each word down to its stem, with NLTK's Snowball stemmer: fast, lower-case, not always a word.

    Chinese words have no endings: they come back as they are, and so does all that is not letters.

    Args:
        tokens: the tokens of a text.
        language: a language of Snowball, such as ``"english"``, ``"german"``.

    Raises:
        ImportError: if NLTK is not installed.

    References:
        Porter, An algorithm for suffix stripping, 1980; Snowball's "English" (Porter 2).

    >>> stem(["Diagnoses", "were", "repeatedly", "糖尿病", "3.5"])
    ['diagnos', 'were', 'repeat', '糖尿病', '3.5']
    """
    stemmer = _stemmer(language)
    return [stemmer(token) if _OTHER_WORD.match(token) else token for token in tokens]


@functools.cache
def _stemmer(language: str) -> Callable[[str], str]:
    module = _library("nltk.stem.snowball", "to stem")
    if language not in module.SnowballStemmer.languages:
        raise ValueError(f"language must be one of {', '.join(module.SnowballStemmer.languages)}, not {language!r}")
    return functools.lru_cache(maxsize=1 << 17)(module.SnowballStemmer(language).stem)


def lemmatize(tokens: Sequence[str], *, language: str = "en") -> list[str]:
    """Replace each word by its dictionary form, with simplemma, by the word alone.

    It knows no context: ``diagnoses`` becomes the verb ``diagnose``. Chinese words come back as they are.

    Args:
        tokens: the tokens of a text.
        language: a language of simplemma, by its code.

    Raises:
        ImportError: if simplemma is not installed.

    >>> lemmatize(["studies", "were", "better", "糖尿病"])
    ['study', 'be', 'good', '糖尿病']
    """
    lemma = _lemmatizer(language)
    return [lemma(token) if _OTHER_WORD.match(token) else token for token in tokens]


@functools.cache
def _lemmatizer(language: str) -> Callable[[str], str]:
    simplemma = _library("simplemma", "to lemmatise")
    try:
        simplemma.lemmatize("a", lang=language)
    except ValueError as error:
        raise ValueError(f"language must be one of simplemma's codes, such as 'en', not {language!r}") from error
    return functools.lru_cache(maxsize=1 << 17)(functools.partial(simplemma.lemmatize, lang=language))


def add_boundaries(tokens: Sequence[str], *, bos: int = 1, eos: int = 1) -> list[str]:
    """Put ``[BOS]`` before and ``[EOS]`` behind a sentence, so that n-grams see what stands at its ends.

    Args:
        tokens: the tokens of one sentence.
        bos: how many at the beginning; n - 1 for the n-grams of a language model.
        eos: how many at the end.

    >>> add_boundaries(["no", "fever"])
    ['[BOS]', 'no', 'fever', '[EOS]']
    """
    _check_count("bos", bos, least=0)
    _check_count("eos", eos, least=0)
    return [BOS] * bos + list(tokens) + [EOS] * eos


def ngrams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All runs of n tokens, in order; none where there are fewer than n tokens.

    >>> ngrams(add_boundaries(["no", "fever"]), 2)
    [('[BOS]', 'no'), ('no', 'fever'), ('fever', '[EOS]')]
    """
    _check_count("n", n, least=1)
    return list(zip(*(tokens[i:] for i in range(n)), strict=False))


# --- vocabulary ---


class Padded(NamedTuple):
    """A batch of texts as numbers: ``ids`` (B, L) int64 and ``mask`` (B, L), True where there is a token."""

    ids: "Tensor"
    mask: "Tensor"


class Vocabulary:
    """Tokens as numbers: 0 is ``[PAD]``, 1 is ``[UNK]``, then the tokens by falling frequency.

    Ties are broken by the token itself, so that the same texts give the same numbers on every machine.

    Args:
        tokens: the tokens from number 2 on, each once, without ``[PAD]`` and ``[UNK]``.
        counts: how often each was seen, for the same tokens; 0 where not given.

    Raises:
        ValueError: if a token comes twice or is reserved, or if the lengths differ.

    >>> vocabulary = Vocabulary.build([["no", "fever"], ["no", "cough"]])
    >>> vocabulary.tokens, vocabulary.encode(["no", "rash"])
    (('[PAD]', '[UNK]', 'no', 'cough', 'fever'), [2, 1])
    >>> vocabulary.decode([2, 4, 0, 0])
    ['no', 'fever']
    """

    def __init__(self, tokens: Iterable[str], counts: Iterable[int] | None = None):
        tokens = tuple(tokens)
        counts = (0,) * len(tokens) if counts is None else tuple(counts)
        if len(counts) != len(tokens):
            raise ValueError(f"counts must have one number for each of {len(tokens)} tokens, not {len(counts)}")
        reserved = {PAD, UNK} & set(tokens)
        if reserved:
            raise ValueError(
                f"tokens must be without {sorted(reserved)}: these are numbers 0 and 1 of every vocabulary"
            )
        self.tokens = (PAD, UNK, *tokens)
        self.counts = (0, 0, *counts)
        self._ids = {token: i for i, token in enumerate(tokens, start=2)}
        if len(self._ids) < len(tokens):
            twice = [token for token, count in Counter(tokens).items() if count > 1]
            raise ValueError(f"tokens must be different from each other, but {twice[:5]} come twice")

    @classmethod
    def build(
        cls,
        texts: Iterable[Sequence[str]],
        *,
        min_freq: int = 1,
        max_size: int | None = None,
        specials: Sequence[str] = (),
    ) -> "Vocabulary":
        """Count the tokens of texts and keep the frequent ones. Build it from the training texts only.

        Args:
            texts: one sequence of tokens for each text.
            min_freq: leave out tokens seen less often.
            max_size: at most so many entries, ``[PAD]`` and ``[UNK]`` included; at least 2.
            specials: tokens that come first, seen or not, such as ``[BOS]``.
        """
        _check_count("min_freq", min_freq, least=1)
        counts: Counter[str] = Counter()
        for text in texts:
            if isinstance(text, str):
                raise ValueError(f"texts must be sequences of tokens, not strings ({text[:30]!r}): tokenize them first")
            counts.update(text)
        for token in (PAD, UNK):
            del counts[token]
        specials = [token for token in specials if token not in (PAD, UNK)]
        special = set(specials)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        kept = specials + [token for token, count in ranked if count >= min_freq and token not in special]
        if max_size is not None:
            _check_count("max_size", max_size, least=2 + len(specials))
            kept = kept[: max_size - 2]
        return cls(kept, [counts[token] for token in kept])

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids or token in (PAD, UNK)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and (self.tokens, self.counts) == (other.tokens, other.counts)

    __hash__ = None

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} entries: {', '.join(self.tokens[:6])}{', ...' if len(self) > 6 else ''})"

    def encode(self, tokens: Sequence[str]) -> list[int]:
        """The number of each token; 1, unknown, for what is not in the vocabulary (also for ``[PAD]`` in a text)."""
        if isinstance(tokens, str):
            raise ValueError("tokens must be a sequence of strings, not one string: tokenize it first")
        ids = self._ids
        return [ids.get(token, 1) for token in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The token of each number, without padding."""
        ids = [int(i) for i in ids]
        wrong = [i for i in ids if not 0 <= i < len(self.tokens)]
        if wrong:
            raise ValueError(f"ids must be from 0 to {len(self.tokens) - 1}, not {wrong[0]}")
        return [self.tokens[i] for i in ids if i]

    def pad(self, texts: Sequence[Sequence[str]], *, length: int | None = None) -> Padded:
        """Encode a batch into one rectangle, filled with 0 on the right.

        The mask comes from the lengths, not from the numbers.

        Args:
            texts: B sequences of tokens.
            length: L; longer texts lose their end (see :func:`head_tail` and :func:`windows` for other ways), by
                default the length of the longest.

        Returns:
            ``Padded(ids, mask)``, both (B, L).
        """
        import torch  # here, so that cleaning in many processes does not pay for it in each

        rows = [self.encode(text) for text in texts]
        if length is None:
            length = max(map(len, rows), default=0)
        _check_count("length", length, least=0)
        rows = [row[:length] for row in rows]
        ids = torch.zeros(len(rows), length, dtype=torch.int64)
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        mask = torch.arange(length) < lengths[:, None]
        ids[mask] = torch.tensor([i for row in rows for i in row], dtype=torch.int64)
        return Padded(ids, mask)

    def save(self, path: str | os.PathLike) -> None:
        """Write it as JSON: into a temporary file first, so that an older one is replaced wholly or not at all."""
        path = Path(path)
        content = json.dumps({"tokens": self.tokens[2:], "counts": self.counts[2:]}, indent=0)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            temporary.write_text(content, encoding="utf-8")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Vocabulary":
        """Read what :meth:`save` wrote."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(content["tokens"], content["counts"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} does not hold a vocabulary: {error}") from error


# --- long texts ---


def head(sequence: Sequence, size: int) -> list[Piece]:
    """The first ``size`` elements of a text or of its tokens, as one piece.

    >>> head("abcdef", 4)
    [Piece(content='abcd', start=0, end=4)]
    """
    _check_count("size", size, least=1)
    end = min(size, len(sequence))
    return [Piece(sequence[:end], 0, end)]


def head_tail(sequence: Sequence, size: int, *, head: int | None = None) -> list[Piece]:
    """The beginning and the end: together ``size`` elements; one piece where all fits.

    Args:
        sequence: a string or a list of tokens.
        size: elements to keep.
        head: how many of them from the beginning; by default a quarter.

    References:
        Sun et al., How to Fine-Tune BERT for Text Classification?, 2019, section 5.3.1 (128 + 382 of 510).

    >>> head_tail("abcdefgh", 4, head=1)
    [Piece(content='a', start=0, end=1), Piece(content='fgh', start=5, end=8)]
    """
    _check_count("size", size, least=1)
    first = max(1, size // 4) if head is None else head
    _check_count("head", first, least=0)
    if first > size:
        raise ValueError(f"head must be at most size = {size}, not {first}")
    if len(sequence) <= size:
        return [Piece(sequence[:], 0, len(sequence))]
    cuts = [(0, first), (len(sequence) - (size - first), len(sequence))]
    return [Piece(sequence[start:end], start, end) for start, end in cuts if start < end]


def windows(sequence: Sequence, size: int, *, stride: int | None = None) -> list[Piece]:
    """Cut into windows of ``size`` elements, a new one every ``stride``; the last may be shorter.

    Every element lies in at least one window, and no window lies inside another.

    Args:
        sequence: a string or a list of tokens.
        size: elements of a window.
        stride: from the start of one to the start of the next, 1 to ``size``; by default ``size``: no overlap.

    >>> [piece.content for piece in windows("abcdefg", 4, stride=2)]
    ['abcd', 'cdef', 'efg']
    """
    _check_count("size", size, least=1)
    stride = size if stride is None else stride
    _check_count("stride", stride, least=1)
    if stride > size:
        raise ValueError(f"stride must be at most size = {size}, not {stride}: elements would be lost between windows")
    last = max(0, -(-(len(sequence) - size) // stride))
    cuts = [(i * stride, min(i * stride + size, len(sequence))) for i in range(last + 1)]
    return [Piece(sequence[start:end], start, end) for start, end in cuts]


def length_statistics(texts: Iterable[Sequence], *, limit: int | None = None) -> dict[str, float]:
    """How long texts are: characters of strings, or tokens of lists of tokens.

    Args:
        texts: strings, or sequences of tokens.
        limit: a model's longest input; adds the share of texts above it, and the share of all elements cut off there.

    Returns:
        ``count``, ``mean``, ``min``, ``median``, ``p90``, ``p95``, ``p99``, ``max``; with ``limit`` also ``over`` and
        ``lost``, both from 0 to 1. All but ``count`` are nan where there is no text.

    >>> statistics = length_statistics(["abcd", "ab", "abcdefgh"], limit=4)
    >>> statistics["median"], round(statistics["over"], 2), round(statistics["lost"], 2)
    (4.0, 0.33, 0.29)
    """
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    names = ["min", "median", "p90", "p95", "p99", "max"]
    values = np.percentile(lengths, [0, 50, 90, 95, 99, 100]) if len(lengths) else np.full(6, np.nan)
    mean = float(lengths.mean()) if len(lengths) else float("nan")
    found = {"count": len(lengths), "mean": mean} | dict(zip(names, values.tolist(), strict=True))
    if limit is not None:
        _check_count("limit", limit, least=1)
        total = lengths.sum()
        found["over"] = float((lengths > limit).mean()) if len(lengths) else float("nan")
        found["lost"] = float(np.maximum(lengths - limit, 0).sum() / total) if total else float("nan")
    return found


# --- duplicates ---


class Conflict(NamedTuple):
    """Texts that are the same under different labels: their positions and their labels, in the same order."""

    indices: list[int]
    labels: list


_UNIT = re.compile(rf"[{_HAN}]|[^\W_{_HAN}]+")


def _units(text: str) -> list[str]:
    """What two texts are compared by: words and numbers in lower case, Chinese character by character."""
    return _UNIT.findall(unicodedata.normalize("NFC", to_halfwidth(remove_control(text))).lower())


def jaccard(first: str, second: str, *, shingle: int = 3) -> float:
    r"""How alike two texts are: the share of common runs of words, or of Chinese characters.

    .. math:: J = |S_1 \cap S_2| / |S_1 \cup S_2|

    with :math:`S` the set of all runs of ``shingle`` words; of the whole text where it is shorter. Case, punctuation,
    white space and width do not count. 1 for two texts without any word.

    References:
        Broder, On the resemblance and containment of documents, 1997.

    >>> jaccard("No fever, no cough.", "no fever no COUGH"), jaccard("腹痛三天伴发热", "腹痛三天伴呕吐")
    (1.0, 0.42857142857142855)
    """
    _check_count("shingle", shingle, least=1)
    one, two = ({*ngrams(units, min(shingle, max(1, len(units))))} for units in (_units(first), _units(second)))
    return len(one & two) / len(one | two) if one | two else 1.0


def find_duplicates(texts: Sequence[str], *, threshold: float = 0.8, shingle: int = 3) -> list[list[int]]:
    """Groups of texts that are the same, or nearly: linked by pairs whose :func:`jaccard` reaches the threshold.

    Exact, not a sketch: a text's rarest runs must hold one that it shares with any text so similar, so that only
    few pairs need to be compared (Chaudhuri et al. 2006; Bayardo et al. 2007). Groups are chains: their two ends may
    be less alike than the threshold. Give train and test texts together to find what leaks from one to the other.

    Args:
        texts: N strings.
        threshold: above 0, at most 1. 1: the same words in the same order, whatever case, punctuation and width.
        shingle: words, or Chinese characters, in a run.

    Returns:
        Lists of at least two positions, each in order; the groups in the order of their first position.

    References:
        Chaudhuri, Ganti and Kaushik, A primitive operator for similarity joins in data cleaning, ICDE 2006.
        Bayardo, Ma and Srikant, Scaling up all pairs similarity search, WWW 2007.

    >>> find_duplicates(["No fever.", "cough", "no  FEVER!", "发热，三天", "发热三天。"])
    [[0, 2], [3, 4]]
    """
    if isinstance(texts, str):
        raise ValueError("texts must be a sequence of strings, not one string")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, not {threshold}")
    _check_count("shingle", shingle, least=1)
    units = [_units(_string(text, f"texts[{i}]")) for i, text in enumerate(texts)]
    # Texts without any word are compared as they stand.
    first_of: dict[tuple, int] = {}
    keys = [tuple(found) or (texts[i].strip(), None) for i, found in enumerate(units)]
    representative = [first_of.setdefault(key, i) for i, key in enumerate(keys)]
    parent = np.array(representative, dtype=np.int64)
    if threshold < 1:
        unique = sorted(i for i in first_of.values() if units[i])
        for left, right in _similar_pairs([units[i] for i in unique], threshold, shingle):
            _join(parent, unique[left], unique[right])
    groups: dict[int, list[int]] = {}
    for i in range(len(parent)):
        groups.setdefault(_root(parent, i), []).append(i)
    return sorted((group for group in groups.values() if len(group) > 1), key=lambda group: group[0])


def _root(parent: np.ndarray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = int(parent[i])
    return i


def _join(parent: np.ndarray, first: int, second: int) -> None:
    first, second = sorted((_root(parent, first), _root(parent, second)))
    parent[second] = first


def _similar_pairs(units: list[list[str]], threshold: float, shingle: int) -> Iterable[tuple[int, int]]:
    """All pairs whose sets of shingles have a Jaccard similarity of at least the threshold."""
    from scipy import sparse

    rows, codes, number = _shingle_codes(units, shingle)
    if not number:
        return
    # Rarest first: a shingle's new code is its rank by the number of texts that have it.
    frequency = np.bincount(codes, minlength=number)
    rank = np.empty(number, dtype=np.int64)
    rank[np.argsort(frequency, kind="stable")] = np.arange(number)
    order = np.argsort(rows * number + rank[codes])
    rows, codes = rows[order], rank[codes][order]
    sizes = np.bincount(rows, minlength=len(units))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    # Two sets with J >= t share at least t |x| elements: one of them is among the |x| - ceil(t |x|) + 1 rarest of x.
    prefix = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
    used = np.arange(len(codes)) - starts[rows] < prefix[rows]
    shape = (len(units), number)
    rare = sparse.csr_array((np.ones(used.sum(), dtype=np.int32), (rows[used], codes[used])), shape=shape)
    full = sparse.csr_array((np.ones(len(codes), dtype=np.int32), (rows, codes)), shape=shape)
    turned = rare.T.tocsr()
    # Rows in chunks, so that candidates fit into memory also where many texts share a template.
    work = rare @ np.bincount(codes[used], minlength=number)
    chunks = np.split(np.arange(len(units)), np.flatnonzero(np.diff(np.cumsum(work) // 4_000_000)) + 1)
    for chunk in chunks:
        candidates = (rare[chunk] @ turned).tocoo()
        left, right = chunk[candidates.row], candidates.col
        smaller, larger = np.minimum(sizes[left], sizes[right]), np.maximum(sizes[left], sizes[right])
        possible = (left < right) & (smaller >= threshold * larger - 1e-9)
        left, right = left[possible], right[possible]
        for part in range(0, len(left), 20_000):
            i, j = left[part : part + 20_000], right[part : part + 20_000]
            common = np.asarray(full[i].multiply(full[j]).sum(axis=1)).ravel()
            alike = common / (sizes[i] + sizes[j] - common) >= threshold
            yield from zip(i[alike].tolist(), j[alike].tolist(), strict=True)


def _shingle_codes(units: list[list[str]], shingle: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The distinct shingles of each text: row of the text, number of the shingle; and how many shingles there are."""
    numbers: dict[str, int] = {}
    lengths = np.array([len(found) for found in units], dtype=np.int64)
    flat = np.array([numbers.setdefault(unit, len(numbers)) for found in units for unit in found], dtype=np.int64)
    if not len(flat):
        return flat, flat, 0
    # A text shorter than a shingle is one shingle: filled up with a number that no unit has.
    short = np.maximum(shingle - lengths, 0)
    rows = np.repeat(np.arange(len(units)), lengths + short)
    filled = np.full(len(rows), len(numbers), dtype=np.int64)
    starts = np.cumsum(lengths + short) - (lengths + short)
    within = np.arange(len(rows)) - starts[rows]
    filled[within < lengths[rows]] = flat
    codes, number = filled, len(numbers) + 1
    for i in range(1, shingle):  # pair by pair, renumbered each time: no collisions, no overflow
        codes = codes[:-1] * (len(numbers) + 1) + filled[i:]
        found, codes = np.unique(codes, return_inverse=True)
        number = len(found)
    whole = within[: len(codes)] + shingle <= (lengths + short)[rows[: len(codes)]]
    keys = np.sort(rows[: len(codes)][whole] * number + codes[whole])
    keys = keys[np.diff(keys, prepend=-1) != 0]
    return keys // number, keys % number, number


def conflicting_labels(
    texts: Sequence[str], labels: Sequence, *, threshold: float = 1.0, shingle: int = 3
) -> list[Conflict]:
    """Groups of the same text under different labels: the examples no model can get right.

    Args:
        texts: N strings.
        labels: N labels: anything with equality; rows of a multi-label array too.
        threshold: as in :func:`find_duplicates`; by default only texts that are the same after normalising.
        shingle: as in :func:`find_duplicates`.

    >>> conflicting_labels(["No fever.", "cough", "no fever"], [0, 1, 2])
    [Conflict(indices=[0, 2], labels=[0, 2])]
    """
    if len(texts) != len(labels):
        raise ValueError(f"labels must be one for each of {len(texts)} texts, not {len(labels)}")
    found = []
    for group in find_duplicates(texts, threshold=threshold, shingle=shingle):
        own = [_plain(labels[i]) for i in group]
        if len(set(own)) > 1:
            found.append(Conflict(group, own))
    return found


def _plain(label: Any) -> Hashable:
    label = label.tolist() if hasattr(label, "tolist") else label
    return tuple(_plain(part) for part in label) if isinstance(label, list | tuple) else label


# --- arguments ---


def _string(text: str, name: str = "text") -> str:
    if not isinstance(text, str):
        raise ValueError(f"{name} must be a string, not {text!r} ({type(text).__name__})")
    return text


def _check_language(language: str) -> None:
    if language not in _LANGUAGES:
        raise ValueError(f"language must be one of {_LANGUAGES}, not {language!r}")


def _check_count(name: str, value: int, *, least: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] == "P" or character == "_"

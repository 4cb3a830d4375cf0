"""Sentences: where one ends, in English, in Chinese, and in clinical notes."""

import re
from collections.abc import Collection

from tutorial_lib.text.characters import HAN_RUN
from tutorial_lib.text.checks import string
from tutorial_lib.text.pieces import Piece

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
    text, extra = string(text), {word.lower().rstrip(".") for word in abbreviations}
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
    if touching and not touching.isspace() and not HAN_RUN.match(touching) and touching not in "“‘「『（《【":
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
    if word.isdigit() and len(word) <= 2 and HAN_RUN.match(following):
        return False  # 诊断：1.高血压 2.糖尿病
    if len(word) == 1 and word.isupper() and not HAN_RUN.match(word):
        previous = before.rsplit(None, 1)[-1].rstrip(".") if before else ""
        return bool(before) and previous.lower() not in _TITLES and not (len(previous) == 1 and previous.isupper())
    if word.lower() in _ABBREVIATIONS or _DOTTED.fullmatch(word):
        return not following or following.isupper() or bool(HAN_RUN.match(following))
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

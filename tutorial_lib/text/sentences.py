"""Sentences: where one ends, in English, in Chinese, and in clinical notes.

Rules, in the order in which they are asked: what touches the mark; what stands before it (an abbreviation, a number, an
initial); what follows (a capital, a word that often begins a sentence). Of the 51 golden rules for English 49 hold,
and both for Chinese; tests/text/test_sentences.py names the two that do not.

References:
    The golden rules of Pragmatic Segmenter, and of pySBD (Sadvilkar and Neumann, PySBD: Pragmatic Sentence Boundary
    Disambiguation, NLP-OSS 2020).
"""

import re
from collections.abc import Collection, Iterator

from tutorial_lib import _arguments as check
from tutorial_lib.text.characters import HAN_RUN, MARK, without_marks
from tutorial_lib.text.pieces import Piece

# Never the end of a sentence, whatever follows.
_TITLES = frozenset(
    "dr mr mrs ms mx prof st rev mt hon capt col gen gov lt maj sgt vs e.g i.e cf viz approx messrs mme".split()
)
# What they shorten, or name, follows: the end only where a word follows that often begins a sentence.
_LABELS = frozenset("pt pts temp resp vit ph.d m.d m.sc b.sc m.phil d.phil ed.d pharm.d psy.d d.sc dr.med".split())
# The end of a sentence where a capital or a Chinese character follows: "Smith et al. found" against "et al. We found".
_ABBREVIATIONS = frozenset(
    "al etc no nos n° nº fig figs eq eqs ref refs sec sect vol pp p ch ed eds art para min max avg wt ht hr hrs yr yrs "
    "mo wk dept univ inc ltd co jan feb mar apr jun jul aug sep sept oct nov dec tab tabs inj cap caps sol susp supp "
    "ca jr sr hx dx rx tx sx fx bx px ft lb lbs oz mg mcg kg cm mm ml bpm abd neuro cont diff incl excl esp resp freq "
    "neg pos bilat prev hosp lab labs med meds appt assoc bros corp est sq tbsp tsp sp spp var subsp".split()
)
# Kinds that are told apart by letters: "hepatitis B. She" ends, "Jonas E. Smith" and "saw J. Smith" do not.
_KINDS = frozenset(
    "vitamin vit hepatitis type types subtype serotype genotype group groups grade stage class category influenza plan "
    "option appendix figure fig table part section step factor haemophilia hemophilia protein panel arm cohort phase "
    "level lead blood ward unit room site sample strain variant antigen virus drug compound treatment condition "
    "version model schedule exhibit zone block lot batch coenzyme toxin chain haemoglobin hemoglobin".split()
)
# Words that often begin a sentence, and seldom a name.
_STARTERS = frozenset(
    "A After All Although An And Another Any Are As At Because Before Being Both But By Can Continue Could Denies Did "
    "Discharged Do Does During Each Either Finally First Following For From Give Given Had Has Have He Her Here His "
    "How However I If In Is It Its Last Later Let Many Most My Neither Never No None Nor Not Now Of On Once One Only "
    "Or Other Our Patient Patients Please Prior Second She Should Since So Some Start Started Still Stop Such That "
    "The Their Then There These They This Those Though Thus To Today Under Until Was We Were What When Where Whether "
    "Which While Who Why Will With Without Would Yes Yesterday Yet You Your".split()
)
# Before a number, the number is no item of a list: "the dose was 2. Then".
_BEFORE_NUMBERS = _KINDS | frozenset(
    "a an and are as at be but by for from had has have in including into is like of on or per than the this to under "
    "versus via was were when where with without about least most no over below above score dose day days week weeks "
    "month months year years age aged times chapter page p number line bed".split()
)
_CLOSERS = "\"'”’」』）)\\]】》〉"
_OPENERS = "“‘「『（《【"
_CLOSER = re.compile(rf"[{_CLOSERS}]")
# A mark or several, dots with a space between them, marks that combine; then what closes a quote or a bracket.
_END = re.compile(rf"(?:\.(?:[ \u00a0]\.)+|[.。｡．!！?？…]+){MARK}*(?:(?:[{_CLOSERS}]{MARK}*)+(?<!'(?=\w)))?|\n+")
_LAST_WORD = re.compile(r"[^\s(（\[,，;；:：、。！？!?\"“”•⁃‣◦▪●■]*$")
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_NEXT = re.compile(r"\s*(\S?)")
_NEXT_WORD = re.compile(r"\s*[\"'“‘(\[]*((?:[^\W\d_]|[’'])*)")
_NUMBERED = re.compile(r"\s*#?[A-Z]?\d")
_TITLE = re.compile(r"《[^《》\n]{1,200}》")
_BULLET = r"[•⁃‣◦▪●■]"
_ITEM = re.compile(rf"(?<!\S)(?:({_BULLET})|(\d{{1,2}})(\.\)|\)|\.(?=\s))|([a-z])\.(?=\s+[A-Z]))")


def sentence_pieces(text: str, *, newlines: bool = True, abbreviations: Collection[str] = ()) -> list[Piece]:
    """Cut a text into sentences, English or Chinese or mixed, and say where each one lies.

    A sentence ends at ``。！？``, at ``! ?`` and at a full stop, with the closing quotes and brackets behind it. A full
    stop does not end it inside ``3.5``, after a title (``Dr.``, ``Pt.``) or an initial (``H. pylori``), after a list
    number (``1. 高血压``), before a small letter that follows a quote (``"No." she said``), and after an abbreviation
    (``et al.``, ``i.v.``) unless a capital or a Chinese character follows. Each item of a list is one
    (``1. Hypertension 2. Diabetes``), and nothing is cut inside ``《》``.

    A limit of such rules: only what is meant tells ``6 P.M. Mr. Smith`` from ``At 5 a.m. Mr. Smith``.

    Args:
        text: any string.
        newlines: a line end ends a sentence. Turn it off for text that was wrapped at a width.
        abbreviations: more words, without their last full stop, that never end a sentence.

    Returns:
        Pieces without the white space around them; every other character lies in exactly one.

    >>> [piece.content for piece in sentence_pieces("Dr. Wu gave 3.5 mg i.v. daily. 他说：“不痛。”医生走了。")]
    ['Dr. Wu gave 3.5 mg i.v. daily.', '他说：“不痛。”', '医生走了。']
    """
    text = check.string(text)
    extra = {word.lower().rstrip(".") for word in check.strings(abbreviations, "abbreviations")}
    items, titles = _items(text), _TITLE.finditer(text)
    item, title = next(items, len(text)), next(titles, None)
    pieces: list[Piece] = []
    start = 0
    for match in _END.finditer(text):
        while item < match.start():
            _add_piece(pieces, text, start, item)
            start, item = max(start, item), next(items, len(text))
        while title and title.end() <= match.start():
            title = next(titles, None)
        if match[0][0] == "\n":
            end = match.end() if newlines else None
        elif title and title.start() < match.start():
            end = None
        else:
            end = _end(text, start, match, extra)
        if end is not None:
            _add_piece(pieces, text, start, end)
            start = end
    while item < len(text):
        _add_piece(pieces, text, start, item)
        start, item = max(start, item), next(items, len(text))
    _add_piece(pieces, text, start, len(text))
    return pieces


def split_sentences(text: str, *, newlines: bool = True, abbreviations: Collection[str] = ()) -> list[str]:
    """The sentences of a text: the contents of :func:`sentence_pieces`.

    Args:
        text: any string.
        newlines: as in :func:`sentence_pieces`.
        abbreviations: as in :func:`sentence_pieces`.

    Returns:
        The sentences, in their order.

    >>> split_sentences("发热3天。咳嗽？无。")
    ['发热3天。', '咳嗽？', '无。']
    """
    return [piece.content for piece in sentence_pieces(text, newlines=newlines, abbreviations=abbreviations)]


def _items(text: str) -> Iterator[int]:
    """Where items of lists begin: bullets; numbers and letters that go on counting from one that began a sentence."""
    awaited: dict[str, int | None] = {}  # by style: the next number of the list, if there is one
    for match in _ITEM.finditer(text):
        bullet, number, style, letter = match.groups()
        before = text[max(0, match.start() - 40) : match.start()].rstrip(" \t\u00a0\u3000")
        first = not before or before[-1] in ".。!！?？:：\n•⁃‣◦▪●■;；"
        if bullet:
            yield match.start()
            continue
        style, value = style or "letter", int(number) if number else ord(letter)
        if value == awaited.get(style):
            awaited[style] = value + 1
            if first or before.rsplit(None, 1)[-1].lower() not in _BEFORE_NUMBERS and before[-1] not in ",，":
                yield match.start()
        elif first:
            awaited[style] = value + 1 if value in (0, 1, ord("a")) else None


def _end(text: str, start: int, match: re.Match, extra: Collection[str]) -> int | None:
    """Where the sentence ends that began at ``start``, if it does at this mark."""
    end, marks = match.end(), without_marks(_CLOSER.split(match[0])[0])
    following = next(_NEXT.finditer(text, end))[1]  # the next character that is not white space
    touching, closed = text[end : end + 1], _CLOSER.search(match[0])
    if touching and touching in "，,、；;：:":
        return None  # “好！”，他说
    if any(mark in "。｡．！？" for mark in marks):
        return None if marks == "．" and touching.isdigit() else end
    if touching and not touching.isspace() and not HAN_RUN.match(touching) and touching not in _OPENERS:
        return None  # 3.5, www.who.int, a?b, Jr.'s
    if closed and following.islower():
        return None  # "Why?" he asked
    before = text[max(start, match.start() - 40) : match.start()]
    word = next(_LAST_WORD.finditer(before[-30:]))[0]
    before = before[: len(before) - len(word)].strip()
    if "!" in marks or "?" in marks:
        # Yahoo! in the
        named = marks == "!" and word[:1].isupper() and before and following.islower()
        return None if named else end
    if "…" in marks or len(marks) > 1:
        return _end_at_dots(text, match, marks, word, before, following)
    next_word = next(_NEXT_WORD.finditer(text, end))[1]
    return end if _full_stop(text, end, word, before, following, next_word, extra) else None


def _end_at_dots(text: str, match: re.Match, marks: str, word: str, before: str, following: str) -> int | None:
    if following.islower() or before.endswith("[") and not word:
        return None  # see . . . what; [...]
    spaced = " " in marks or "\u00a0" in marks
    count = marks.count(".")
    if spaced and count == 4 and word and following:
        return match.start() + 1  # the first dot ended the sentence: compounds. . . . The
    pronoun = re.match(r"\s*I\b", text[match.end() : match.end() + 40])
    return None if count == 3 and pronoun and spaced else match.end()


def _full_stop(
    text: str, end: int, word: str, before: str, following: str, next_word: str, extra: Collection[str]
) -> bool:
    small, han = word.lower(), bool(HAN_RUN.match(following))
    if small in _TITLES or small in extra:
        return False
    if not before.strip(" •⁃‣◦▪●■") and (word.isdigit() and len(word) <= 3 or len(word) == 1 and word.isascii()):
        return not following  # the number of a list item, or an initial: H. pylori
    if word == "1" and before[-1:] in (":", "："):
        return not following  # Plan: 1. Hypertension
    if word.isdigit() and len(word) <= 2 and han:
        return False  # 诊断：1.高血压 2.糖尿病
    if len(word) == 1 and word.isupper() and not HAN_RUN.match(word):
        return not following.islower() and (han or _no_initial(word, before, next_word))
    if small in _LABELS:
        return not following or han or next_word in _STARTERS
    if small in _ABBREVIATIONS or _DOTTED.fullmatch(word):
        if _NUMBERED.match(text, end):
            return False  # p. 55, Fig. S1
        dotted_name = "." in word and word.isupper()  # U.S. Government
        return not following or han or following.isupper() and (not dotted_name or next_word in _STARTERS)
    return True


def _no_initial(letter: str, before: str, next_word: str) -> bool:
    """Whether a single capital before a full stop is the letter of a kind, or "I", and no part of a name."""
    previous = before.rsplit(None, 1)[-1].strip("\"'“‘([") if before else ""
    bare = previous.rstrip(".")
    if previous.endswith(".") and (bare.lower() in _TITLES or len(bare) == 1 and bare.isupper()):
        return False  # Dr. J. R. Smith
    if bare.lower() in _KINDS or next_word in _STARTERS:
        return True
    named = not previous[-1:].isdigit() and (previous[:1].isupper() or letter != "I")
    return not (named and next_word[:1].isupper())


def _add_piece(pieces: list[Piece], text: str, start: int, end: int) -> None:
    raw = text[start:end]
    content = raw.strip()
    if content:
        start += len(raw) - len(raw.lstrip())
        pieces.append(Piece(content, start, start + len(content)))

"""Named entities by dictionary, and whether a text says that they are absent. For chapter 11."""

import functools
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from tutorial_lib import _arguments as check
from tutorial_lib.text.characters import HAN, HAN_RUN, MARK, OTHER_WORD, WORD_CHARACTER
from tutorial_lib.text.pieces import Piece
from tutorial_lib.text.tags import chinese_tags

#: The tags of jieba that are names: of a person, of a place, of an organisation. For chapter 11.
JIEBA_NAMES = ("nr", "ns", "nt")


class Entity(NamedTuple):
    """A term found in a text: ``text[start:end] == content``, and the label that the dictionary gives it.

    Attributes:
        content: the term, as it stands in the text.
        label: what the dictionary calls it.
        start: its first character's place.
        end: the place behind its last.
    """

    content: str
    label: str
    start: int
    end: int


def find_entities(
    text: str,
    dictionary: Mapping[str, str] | Collection[str],
    *,
    nested: bool = False,
    ignore_case: bool = True,
    names: Sequence[str] = (),
) -> list[Entity]:
    """The terms of a dictionary in a text, English or Chinese: the longest that begins at each place, from the left.

    For chapter 11. Where terms overlap, the one that begins first wins, among those the longest, and the search goes on
    behind it: with 肝炎 and 乙型肝炎, only the longer is found in 慢性乙型肝炎. A term that begins or ends with a
    letter or a digit of another script than Chinese must not be part of a longer word: ``pain`` is not found in
    ``painful``. Chinese has no such boundaries, so that a term is also found inside a word that the dictionary lacks.
    Endings are not cut off: put ``pains`` in as well.

    Args:
        text: any string.
        dictionary: terms and their labels, or terms alone, whose label is then ``""``. Spaces inside a term stand for
            white space of any kind and length.
        nested: give every term that stands anywhere, also inside others and across them.
        ignore_case: ``copd`` is found as ``COPD``.
        names: tags of jieba, of :data:`JIEBA_NAMES` or others: words that it tags so are found too, labelled with the
            tag, where no term of the dictionary is.

    Returns:
        :class:`Entity` records, by their start; of those with one start, the longest first.

    Raises:
        ImportError: if names are asked for and jieba is not installed.

    >>> find_entities("Type 2 diabetes, painful", {"type 2 diabetes": "disease", "diabetes": "disease", "pain": ""})
    [Entity(content='Type 2 diabetes', label='disease', start=0, end=15)]
    >>> [entity.content for entity in find_entities("慢性乙型肝炎", ["肝炎", "乙型肝炎"], nested=True)]
    ['乙型肝炎', '肝炎']
    """
    text, names = check.string(text), check.strings(names, "names")
    terms = check.strings(dictionary.keys() if isinstance(dictionary, Mapping) else dictionary, "dictionary")
    labels = check.strings(dictionary.values(), "dictionary") if isinstance(dictionary, Mapping) else [""] * len(terms)
    found = [
        Entity(text[start:end], label, start, end)
        for start, end, label in _matches(text, _tree(terms, tuple(labels), ignore_case), ignore_case, nested)
    ]
    if names:
        taken, place = {i for entity in found for i in range(entity.start, entity.end)}, 0
        for word, tag in chinese_tags(text):
            place = text.index(word, place) + len(word)
            start = place - len(word)
            if tag in names and (nested or taken.isdisjoint(range(start, place))):
                found.append(Entity(word, tag, start, place))
    return sorted(found, key=lambda entity: (entity.start, -entity.end))


_BOUND = re.compile(WORD_CHARACTER)
_MARK = re.compile(MARK)
_LABEL = ""  # the key of a tree under which the label of a term that ends there stands: no character is empty


@functools.lru_cache(maxsize=16)
def _tree(terms: tuple[str, ...], labels: tuple[str, ...], ignore_case: bool) -> dict[str, Any]:
    """The terms as a tree of characters: each node leads from a character to the next node."""
    root: dict[str, Any] = {}
    for term, label in zip(terms, labels):
        if not term.split():
            raise ValueError(f"dictionary must hold words, got {term!r}")
        node = root
        for character in " ".join(term.split()):
            node = node.setdefault(_folded(character) if ignore_case else character, {})
        node.setdefault(_LABEL, label)
    return root


def _folded(character: str) -> str:
    lower = character.lower()
    return lower if len(lower) == 1 else character  # İ would become two


def _matches(text: str, tree: dict[str, Any], ignore_case: bool, nested: bool) -> list[tuple[int, int, str]]:
    folded = "".join(map(_folded, text)) if ignore_case else text
    found, start = [], 0
    while start < len(text):
        here = [] if folded[start] not in tree or _inside(text, start) else _from(folded, text, tree, start)
        found += here if nested else here[:1]
        start = here[0][1] if here and not nested else start + 1
    return found


def _from(folded: str, text: str, node: dict[str, Any], start: int) -> list[tuple[int, int, str]]:
    """The terms that begin at a place, the longest first."""
    found, i = [], start
    while i < len(folded):
        character = " " if folded[i].isspace() else folded[i]
        if character not in node:
            break
        node = node[character]
        i += 1
        while character == " " and i < len(folded) and folded[i].isspace():
            i += 1
        if _LABEL in node and not _inside(text, i):
            found.append((start, i, node[_LABEL]))
    return found[::-1]


def _inside(text: str, i: int) -> bool:
    """Whether a place lies inside a word, or between a letter and its mark."""
    if not 0 < i < len(text):
        return False
    if _MARK.match(text[i]):
        return True
    return bool(_BOUND.match(text[i])) and bool(_BOUND.match(text[i - 1]) or unicodedata.combining(text[i - 1]))


#: Words before a finding that say it is absent. All of these lists are short and our own: read yours over them.
#: For chapter 11.
NEGATION_CUES: tuple[str, ...] = tuple(
    "no|not|without|denies|denied|deny|denying|negative for|absence of|absent|free of|no evidence of|no sign of|"
    "no signs of|"
    "no history of|no complaints of|no new|never had|never|neither|nor|fails to reveal|ruled out|rules out|"
    ": no|: denies|: denied|rather than|declines|none of|"
    "无|否认|没有|没|并无|未见|未见明显|未诉|未出现|未发现|未闻及|未触及|未及|未查及|未伴|"
    "不伴|不存在|无明显|无明确|已排除|排除了".split("|")
)
#: Words behind a finding that say so.
NEGATION_CUES_AFTER: tuple[str, ...] = tuple(
    "ruled out|ruled out by|ruled out with|ruled out on|is ruled out|was ruled out|were ruled out|been ruled out|"
    "is excluded|was excluded|were excluded|"
    "been excluded|is absent|was absent|are absent|were absent|absent|is negative|was negative|were negative|negative|"
    "not seen|not present|not found|not detected|not noted|not observed|is unlikely|was unlikely|unlikely|-free|: no|"
    ": none|: denies|: denied|阴性|已排除|被排除|可排除|未见|未闻及|未触及|未及|未查及|未发现|未引出|不存在|已消失|"
    "（-）|(-)".split("|")
)
#: What looks like a negation and is none; also a negation of a negation, which leaves the finding open or present.
FALSE_NEGATIONS: tuple[str, ...] = tuple(
    "no increase|no decrease|no change|no significant change|no improvement|not improved|not improving|not only|"
    "not certain|not sure|no doubt|without difficulty|without relief|not relieved|not resolved|not drain|not cause|"
    "gram negative|gram-negative|not deny|not denied|not rule out|not ruled out|not been ruled out|cannot rule out|"
    "cannot be ruled out|could not be ruled out|not exclude|not excluded|cannot exclude|cannot be excluded|"
    "could not be excluded|not without|never without|no absence of|no denial of|"
    "无法|无力|无名|无菌|无痛性|无症状|无好转|无缓解|无改善|无变化|无加重|无明显好转|无明显缓解|无明显变化|未见好转|"
    "未见缓解|未见明显好转|不除外|不能除外|不排除|不能排除|无法排除|无法除外|未排除|未除外|未能排除|不能否认|并不否认|"
    "没有否认|未否认|并非没有|不是没有|不无|没法|没有好转|没有缓解".split("|")
)
#: What ends the reach of a negation. The comma of English does not, nor 、: both divide lists. (Between two Chinese
#: characters, a comma of ASCII counts as ，.)
NEGATION_STOPS: tuple[str, ...] = tuple(
    "but|however|nevertheless|yet|though|although|still|except|except for|aside from|apart from|other than|which|who|"
    "because|secondary to|due to|reports|reported|complains of|presents with|presented with|admits|endorses|.|;|?|!|\n|"
    "但|但是|但有|却|然而|不过|仅|只有|除了|因|。|；|？|！|，|．".split("|")
)

_BEFORE, _AFTER, _FALSE, _STOP = 1, 2, 4, 8
_BREAK, _COMMA = re.compile("\n"), re.compile(rf"(?<=[{HAN}]),(?=\s*[{HAN}])")
_WORD = re.compile(rf"[{HAN}]|{OTHER_WORD.pattern}|\d+(?:[./]\d+)*")


def negated(
    text: str,
    entity: Entity | Piece,
    *,
    cues: Sequence[str] = NEGATION_CUES,
    after: Sequence[str] = NEGATION_CUES_AFTER,
    false_cues: Sequence[str] = FALSE_NEGATIONS,
    stops: Sequence[str] = NEGATION_STOPS,
    window: int | None = 5,
) -> bool:
    """Whether the text says of an entity that it is absent: a cue stands near, and nothing between ends its reach.

    For chapter 11. This is NegEx's rule: *denies chest pain*, 无胸痛; the cue may also stand behind, *embolism was
    ruled out*. In *denies fever but has a cough*, the word *but* ends the reach of *denies*. The longest phrase at a
    place counts, so that *not ruled out* and 不能排除 are no negations. Two cues that touch, *not no*, cancel each
    other; a negation of a negation in other words is **not** understood: *I doubt that she has no pain* counts as a
    negation of pain. Nor is uncertainty (*possible*), other people (*her mother had*), or the past: for these see
    ConText. A cue that is in both lists, such as 未见, counts behind an entity only where its clause ends with it,
    which it does not in 咳嗽未见发热.

    Args:
        text: any string.
        entity: where the entity lies: of :func:`find_entities`, or any :class:`Piece`.
        cues: words before an entity.
        after: words behind it.
        false_cues: phrases that hold a cue and are none.
        stops: words and marks that end the reach. A mark between two digits is none, nor a point before a letter. A
            line break is one of them: join lines that are only wrapped with :func:`normalize_whitespace` first.
        window: at most so many words between; two Chinese characters count as one. Five, as in NegEx, is short for long
            lists (*denies a, b, c, d*): ``None`` goes as far as the next stop.

    Returns:
        True where it is negated. False says only that no cue was found.

    References:
        Chapman et al., A simple algorithm for identifying negated findings and diseases in discharge summaries, Journal
        of Biomedical Informatics, 2001.
        Harkema et al., ConText, Journal of Biomedical Informatics, 2009.

    >>> text = "Denies chest pain but reports nausea. 无胸痛，有咳嗽。"
    >>> found = find_entities(text, ["chest pain", "nausea", "胸痛", "咳嗽"])
    >>> [(entity.content, negated(text, entity)) for entity in found]
    [('chest pain', True), ('nausea', False), ('胸痛', True), ('咳嗽', False)]
    """
    text, (start, end) = check.string(text), _span(entity, text)
    window = None if window is None else check.whole(window, "window", low=0)
    lists = (("cues", cues), ("after", after), ("false_cues", false_cues), ("stops", stops))
    signs = _signs(text, tuple((name, check.strings(values, name)) for name, values in lists))
    before, behind = [s for s in signs if s[1] <= start], [s for s in signs if s[0] >= end]
    negations: list[tuple[int, int]] = []
    for left, right, kinds in reversed(before):
        if kinds & _STOP:
            break
        if kinds & _BEFORE:
            if not _near(text[right:start], window):
                break  # the others are farther away
            negations.append((left, right))
    # Cues that touch cancel each other; what is left decides.
    groups: list[list[tuple[int, int]]] = []
    for left, right in negations[::-1]:
        if groups and not text[groups[-1][-1][1] : left].strip():
            groups[-1].append((left, right))
        else:
            groups.append([(left, right)])
    if any(len(group) % 2 for group in groups):
        return True
    for place, (left, right, kinds) in enumerate(behind):
        if kinds & _STOP:
            break
        if kinds & _AFTER:
            if not _near(text[end:left], window):
                break
            following = text[right : behind[place + 1][0] if place + 1 < len(behind) else None]
            ends = place + 1 == len(behind) or behind[place + 1][2] & _STOP
            if not kinds & _BEFORE or (ends and not _WORD.search(following)):
                return True
    return False


def _near(between: str, window: int | None) -> bool:
    if window is None:
        return True
    words = _WORD.findall(between)
    han = sum(bool(HAN_RUN.match(word)) for word in words)
    return len(words) - han + (han + 1) // 2 <= window


@functools.lru_cache(maxsize=4)  # a text has many entities
def _signs(text: str, lists: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[tuple[int, int, int], ...]:
    """The phrases of all lists in a text, the longest at each place: start, end, and the kinds of phrase it is."""
    stops, found = lists[-1][1], []
    marks = [_BREAK] * ("\n" in stops) + [_COMMA] * ("，" in stops)
    for mark in marks:
        found += [(match.start(), match.end(), _STOP) for match in mark.finditer(text)]
    for start, end, kinds in _matches(text, _phrases(lists), True, False):
        digits = text[start - 1 : start].isdigit() and text[end : end + 1].isdigit()
        letters = text[start:end] == "." and text[end : end + 1].isalnum()  # i.v.
        false = int(kinds) & _FALSE
        if not digits and not letters and not false:
            found.append((start, end, int(kinds)))
    return tuple(sorted(found))


@functools.lru_cache(maxsize=16)
def _phrases(lists: tuple[tuple[str, tuple[str, ...]], ...]) -> dict[str, Any]:
    kinds: dict[str, int] = {}
    for kind, (name, phrases) in zip((_BEFORE, _AFTER, _FALSE, _STOP), lists):
        for phrase in phrases:
            if phrase != "\n":
                if not phrase.split():
                    raise ValueError(f"{name} must hold words, got {phrase!r}")
                phrase = "".join(map(_folded, " ".join(phrase.split())))
                kinds[phrase] = kinds.get(phrase, 0) | kind
    return _tree(tuple(kinds), tuple(map(str, kinds.values())), True)


def _span(entity: Any, text: str) -> tuple[int, int]:
    start, end = getattr(entity, "start", None), getattr(entity, "end", None)
    if isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(text):
        if getattr(entity, "content", text[start:end]) == text[start:end]:
            return start, end
    raise ValueError(f"entity must lie in the text, as find_entities gives it, got {check.what(entity)}")

"""Tokens: a text cut into words, numbers and marks, and put together again."""

import functools
import re
import warnings
from collections.abc import Iterator, Sequence

from tutorial_lib import _arguments as check
from tutorial_lib.text.characters import (
    HAN,
    HAN_RUN,
    LETTER,
    MARK,
    MARKS,
    OTHER_WORD,
    REST_OF_WORD,
    WORD_CHARACTER,
    letters,
    without_marks,
)
from tutorial_lib.text.pieces import Piece, library

LANGUAGES = ("auto", "en", "zh")

# Words of Latin letters and Chinese characters: one word each, which no dictionary can put together again once cut.
_MIXED = (
    "AA制 AB型 A型 B型 O型 A股 B股 H股 B超(?!声) C反应蛋白 C语言 C盘 D盘 D二聚体 G蛋白 IC卡 IP地址 IP电话 IP卡 K歌 "
    "K线 M蛋白 NK细胞 B细胞 T细胞 PC机 pH值 PH值 P波 Q波 T波 U波 QRS波 Q版 QQ号 SIM卡 ST段 S波 T台 T型台 T恤衫 T恤 T管 "
    "U盘 X光片 X光线 X光机 X光 X射线 X线片 X线 X染色体 Y染色体 α波 β波 α受体 β受体 α粒子 γ刀 γ射线 γ球蛋白"
).split()
_PER = "dL|mL|μL|µL|uL|dl|ml|ul|L|l|kg|g|mg|m2|m²|mm3|mm³|min|h|hr|d|day|wk|s|sec|HPF|LPF"
_RULES = (
    r"\[(?:PAD|UNK|BOS|EOS|MASK|CLS|SEP|EMAIL|ID|PHONE|DATE)\]",
    r"(?:[A-Za-z]\.){2,}",  # i.v., U.S.
    rf"(?=[A-Zpαβγ][A-Z]{{0,2}}[{HAN}])(?:{'|'.join(_MIXED)})",
    rf"[Cc](?:\+\+(?!\+)|#)(?!{WORD_CHARACTER})",
    # Words (COVID-19, don't, mmHg), with what a short one is counted per: mg/dL, mg/kg/day; not fever/cough.
    rf"{LETTER}{REST_OF_WORD}(?:['’\-‐‑]{WORD_CHARACTER}{REST_OF_WORD})*+"
    rf"(?:(?=/)(?<!{LETTER}{{6}})(?:/(?:{_PER})(?!{WORD_CHARACTER}|{MARK}))+)?",
    rf"[0-9]++(?:-{LETTER}{REST_OF_WORD})++",  # 5-HT, 12-lead, 2-year-old
    r"[0-9]+(?:st|nd|rd|th)\b",
    r"(?<![\w)\]）.,%])[-−+±]?\d+(?:(?:[./:\-]|,(?=\d{3}(?!\d)))\d+)*",  # 3.5, 120/80, 1,200, 10:30, -2.5
    r"\d+(?:(?:[./:\-]|,(?=\d{3}(?!\d)))\d+)*",
    r"(?<![\w.])\.\d+",  # .05
    HAN_RUN.pattern,
    "|".join(re.escape(mark) + "{2,}" for mark in ".…—-+*=~!?！？。"),
    r"\S",
)
# Whatever a token is, the marks behind it belong to it.
_TOKEN = re.compile(f"(?:{'|'.join(_RULES)}){MARK}*+")
WITH_PUNCTUATION = re.compile(f"(?:{'|'.join(_RULES[:-2] + _RULES[-1:])}){MARK}*+")


def token_pieces(
    text: str, *, language: str = "auto", characters: bool = False, terms: Sequence[str] = ()
) -> list[Piece]:
    """Cut a text into tokens, English or Chinese or mixed, and say where each one lies.

    Chinese runs are cut into words by jieba, everything else by one rule. In this order, a token is:

    1. one of your ``terms``, the longest that begins at a place;
    2. an abbreviation with dots (``i.v.``), a unit with a slash (``mg/dL``), a mask (``[PHONE]``);
    3. a word of any script with its digits, hyphens and apostrophes (``COVID-19``, ``don't``, ``mmHg``, ``5-HT``), or
       of two scripts (``B超``, ``T恤``);
    4. a number with its inner points, slashes, colons, hyphens and thousands (``3.5``, ``120/80``, ``10:30``,
       ``1,200``), with a sign where nothing stands before it; a unit behind it is a token of its own (``3.5 mg``);
    5. a run of one punctuation mark (``...``, ``+++``), or any other single character that is not white space.

    Combining marks of every script belong to the character before them.

    Args:
        text: any string.
        language: ``"en"`` cuts Chinese runs into characters and so needs no jieba; ``"auto"`` and ``"zh"`` into words.
        characters: cut Chinese runs into characters.
        terms: words to keep whole, such as names of diseases: of any script or of several, with digits and spaces
            (``2型糖尿病``, ``type 2 diabetes``). Letters and digits beside them would make another word: ``US`` is not
            found in ``USA``.

    Returns:
        Pieces; between them there is only white space.

    Raises:
        ImportError: if there is Chinese to be cut into words and jieba is not installed.

    >>> [piece.content for piece in token_pieces("BP 120/80 mmHg; don't give 3.5mg i.v.")]
    ['BP', '120/80', 'mmHg', ';', "don't", 'give', '3.5', 'mg', 'i.v.']
    >>> token_pieces("糖尿病", characters=True)[1]
    Piece(content='尿', start=1, end=2)
    """
    text, terms = check.string(text), check.strings(terms, "terms")
    check.choice(language, "language", LANGUAGES)
    single, pieces = characters or language == "en", []
    for content, start, whole in _cut(text, terms):
        for word in [content] if whole or not HAN_RUN.match(content) else _chinese_words(content, single):
            pieces.append(Piece(word, start, start + len(word)))
            start += len(word)
    return pieces


def tokenize(text: str, *, language: str = "auto", characters: bool = False, terms: Sequence[str] = ()) -> list[str]:
    """The tokens of a text: the contents of :func:`token_pieces`, by the same rule.

    Args:
        text: any string.
        language: as in :func:`token_pieces`.
        characters: as in :func:`token_pieces`.
        terms: as in :func:`token_pieces`.

    Returns:
        The tokens, in their order.

    >>> tokenize("患者发热3.5天，BP 120/80 mmHg。")
    ['患者', '发热', '3.5', '天', '，', 'BP', '120/80', 'mmHg', '。']
    >>> tokenize("患者2型糖尿病史", terms=["2型糖尿病"])
    ['患者', '2型糖尿病', '史']
    """
    text, terms = check.string(text), check.strings(terms, "terms")
    check.choice(language, "language", LANGUAGES)
    if not terms and not HAN_RUN.search(text):
        return _TOKEN.findall(text)
    single, found = characters or language == "en", []
    for content, _, whole in _cut(text, terms):
        if whole or not HAN_RUN.match(content):
            found.append(content)
        else:
            found += _chinese_words(content, single)
    return found


def _cut(text: str, terms: tuple[str, ...]) -> Iterator[tuple[str, int, bool]]:
    """Tokens, where they start, and whether they are terms; Chinese runs are not cut yet."""
    place = 0
    for term in _any_of(terms).finditer(text) if terms else ():
        for match in _TOKEN.finditer(text, place, term.start()):
            yield match[0], match.start(), False
        yield term[0], term.start(), True
        place = term.end()
    for match in _TOKEN.finditer(text, place):
        yield match[0], match.start(), False


@functools.lru_cache(maxsize=16)
def _any_of(terms: tuple[str, ...]) -> re.Pattern[str]:
    """A pattern of all terms, by their first character, the longest first: ten thousand do not slow it down much."""
    endings: dict[str, list[str]] = {}
    for term in sorted(terms, key=len, reverse=True):
        parts = term.split()
        if not parts:
            raise ValueError(f"terms must be words, got {term!r}")
        pattern = r"\s+".join(map(re.escape, parts)).removeprefix(re.escape(term.strip()[0]))
        after = rf"(?!{WORD_CHARACTER})" if re.match(WORD_CHARACTER, letters(parts[-1])[-1]) else ""
        endings.setdefault(parts[0][0], []).append(f"{pattern}{after}(?!{MARK})")
    words = [
        (rf"(?<!{WORD_CHARACTER})(?<![{MARKS}])" if re.match(WORD_CHARACTER, first) else "")
        + f"{re.escape(first)}(?:{'|'.join(found)})"
        for first, found in endings.items()
    ]
    return re.compile(f"(?=[{''.join(map(re.escape, endings))}])(?:{'|'.join(words)})")


def _chinese_words(run: str, single: bool) -> list[str]:
    """A run of Chinese characters, cut into words; each character keeps its marks (variation selectors)."""
    bare = without_marks(run)
    words = list(bare if single else segmenter().cut(bare))
    if len(bare) == len(run):
        return words
    characters = iter(letters(run))
    return ["".join(next(characters) for _ in word) for word in words]


@functools.cache
def segmenter():
    """A jieba tokenizer of our own: no output, no file in the temporary folder, the user's own jieba untouched.

    jieba would log to stderr and keep its dictionary in a file of a known name in a folder that everybody can write,
    read again unchecked by the next process. Building the dictionary takes about a second instead.
    """
    with warnings.catch_warnings():  # pkg_resources of old setuptools, and escapes that new Pythons complain about
        warnings.simplefilter("ignore")
        jieba = library("jieba", "to cut Chinese into words (or pass characters=True)")
    tokenizer = jieba.Tokenizer()
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer


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

    Returns:
        The text.

    >>> detokenize(["患者", "发热", "3", "天", "，", "BP", "120/80", "mmHg", "。"])
    '患者发热3天，BP 120/80 mmHg。'
    >>> detokenize(["He", "said", ":", '"', "no", '"', "(", "twice", ")", "."])
    'He said: "no" (twice).'
    """
    check.choice(language, "language", LANGUAGES)
    tokens = [token for token in check.strings(tokens, "tokens") if token]
    if language == "auto":
        language = detect_language(" ".join(tokens))
    parts, previous, quotes, opened = [], "", {'"': False, "'": False}, False
    for token in tokens:
        opens = False
        last = previous[-1:] if previous[-1:] < "\u0300" else letters(previous)[-1][0]  # a mark is no character
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
            or last in _TIGHT_BOTH
            or token[0] in _TIGHT_BOTH
            or (token in quotes and not opens)
            or (token[:3] == "..." and set(token) == {"."})
            or _touches(last, token, language)
        )
        parts.append(token if tight else " " + token)
        previous, opened = token, opens
    return "".join(parts)


def _touches(left: str, right: str, language: str) -> bool:
    han = bool(HAN_RUN.match(left)) + bool(HAN_RUN.match(right))
    return han == 2 or (han == 1 and language == "zh")


def detect_language(text: str) -> str:
    """``"zh"`` where Chinese characters are at least as many as words of other scripts, else ``"en"``.

    Args:
        text: any string.

    Returns:
        ``"zh"`` or ``"en"``.

    >>> detect_language("患者BP 120/80 mmHg"), detect_language("Metformin (二甲双胍) was given twice a day")
    ('zh', 'en')
    """
    han = sum(map(len, HAN_RUN.findall(check.string(text))))
    return "zh" if han and han >= len(OTHER_WORD.findall(text)) else "en"

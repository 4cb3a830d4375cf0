r"""Cleaning, step by step: one string to one string.

Every step takes a string and gives a string, so that steps compose, and :func:`audit` shows what each one did.

=====================  =================================================================================
step                   does, and what to know before using it
=====================  =================================================================================
unescape_html          ``&lt;`` to ``<``; entities without a semicolon stay (``R&amplitude``)
strip_tags             tags that are known, so that ``p<0.05`` stays; ``<br>`` becomes a line end
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
"""

import functools
import html.entities
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from tutorial_lib import _arguments as check
from tutorial_lib.text.characters import HAN, MARK, MARKS, WORD_CHARACTER
from tutorial_lib.text.markup import remove_markup
from tutorial_lib.text.tokens import WITH_PUNCTUATION

Step = Callable[[str], str]


def unescape_html(text: str) -> str:
    """Replace HTML entities by the characters they stand for, also where they were escaped twice.

    Only entities that end with a semicolon: browsers also read ``S&parameter`` as ``S¶meter``, which in text that was
    never HTML destroys words. One pass, however deeply entities are nested.

    Args:
        text: any string.

    Returns:
        The text with the characters in place of their entities.

    >>> unescape_html("p &lt; 0.05 &amp;amp; 37&#8451;; S&parameter")
    'p < 0.05 & 37℃; S&parameter'
    """
    parts = _AMPERSAND.split(check.string(text))[::-1]
    kept: list[str] = []
    begun: list[str] = []  # what follows each "&" that may still begin an entity, from the outermost to the innermost
    while parts:
        part = parts.pop()
        if part == "&":
            begun.append("")
        elif part == ";" and begun and (character := _entity(begun[-1])) is not None:
            begun.pop()  # what it stands for is read like the rest: it may be part of an entity itself
            parts += _AMPERSAND.split(character)[::-1]
        elif begun and part != ";" and len(begun[-1] + part) < 33 and _NAME.fullmatch(part):
            begun[-1] += part
        elif part:
            kept += (f"&{name}" for name in begun)
            kept.append(part)
            begun.clear()
    return "".join([*kept, *(f"&{name}" for name in begun)])


def _entity(name: str) -> str | None:
    """What an entity stands for; None where there is no such entity."""
    return html.unescape(f"&{name};") if _NUMBER.fullmatch(name) else html.entities.html5.get(f"{name};")


_AMPERSAND = re.compile("([&;])")
_NAME = re.compile("[A-Za-z0-9#]+")
_NUMBER = re.compile(r"#[0-9]{1,8}|#[xX][0-9a-fA-F]{1,7}")


def strip_tags(text: str) -> str:
    """Remove HTML and XML: tags, comments, declarations, scripts and style sheets; ``<br>`` becomes a line end.

    A tag is the name of an HTML element, of a namespace's (``<o:p>``) or of one's own (``<my-part>``), with
    ``name=value`` pairs and attributes that need no value, so that ``if a<b and c>d``, ``p<0.05`` and ``<PHONE>`` are
    left alone; and ``fever<br>cough`` does not become one word. The content of ``<![CDATA[...]]>`` is text. One pass,
    however deeply tags are nested.

    Args:
        text: any string.

    Returns:
        The text between the tags.

    >>> strip_tags('<p class="x">p<0.05<br>BMI <b>27</b></p>')
    '\\np<0.05\\nBMI 27\\n'
    """
    return remove_markup(text) if "<" in check.string(text) else text


def remove_control(text: str) -> str:
    r"""Remove what cannot be seen: control, zero-width, direction and unpaired surrogate characters.

    Two surrogates that are a pair become the character that they spell: so JSON and JavaScript write an emoji.

    Every kind of line end becomes ``\n``, separators become a space, tabs stay. The joiner inside a family emoji is
    invisible too: the emoji falls into its parts.

    Args:
        text: any string.

    Returns:
        The text without these characters.

    >>> remove_control("发\u200b热\x00 38\xad.5\r\n"), remove_control("\ud83d\ude00")
    ('发热 38.5\n', '😀')
    """
    text = _PAIR.sub(lambda match: match[0].encode("utf-16", "surrogatepass").decode("utf-16"), check.string(text))
    text = _LINE_END.sub("\n", text)
    return _UNSEEN.sub("", _SEPARATOR.sub(" ", text))


_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
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

    Returns:
        The text in half-width forms.

    >>> to_halfwidth("ＢＭＩ２７．５％，体温３８℃。"), to_halfwidth("发热，３天。", punctuation=True)
    ('BMI27.5%，体温38℃。', '发热,3天.')
    """
    return check.string(text).translate(_HALF_WITH_PUNCTUATION if punctuation else _HALF)


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

    Args:
        text: any string.

    Returns:
        The text with Chinese marks where Chinese stands; nothing else is changed.

    >>> chinese_punctuation("发热,体温38.5℃,无咳嗽. BP 1,200")
    '发热，体温38.5℃，无咳嗽。 BP 1,200'
    """
    return _ASCII_MARK.sub(lambda match: _CHINESE_MARKS[match[0]], check.string(text))


_CHINESE_MARKS = dict(zip(",;:!?.", "，；：！？。", strict=True))
_AFTER_HAN = rf"(?:(?<=[{HAN}])|(?<=[{HAN}][{MARKS}]))"
_ASCII_MARK = re.compile(rf"{_AFTER_HAN}[,;:!?]|[,;:!?](?=[{HAN}])|{_AFTER_HAN}\.(?![.\w])")


def normalize_unicode(text: str, *, form: str = "NFC") -> str:
    """Write each character in one way: ``e`` + accent and ``é`` become the same.

    NFC keeps every character's meaning. NFKC also replaces "compatible" characters, and some of these carry the
    meaning: ``10³`` becomes ``103``, ``5½`` becomes ``51⁄2``, ``①`` becomes ``1``; ``㎎`` and ``℃`` become ``mg``
    and ``°C``, the Chinese ``，：`` become ASCII while ``。`` stays, and the micro sign becomes a Greek letter. Look at
    your units first.

    Args:
        text: any string.
        form: ``"NFC"`` or ``"NFKC"``.

    Returns:
        The text in that form.

    References:
        Unicode Standard Annex 15.

    >>> normalize_unicode("10³/㎕ ½"), normalize_unicode("10³/㎕ ½", form="NFKC")
    ('10³/㎕ ½', '103/μl 1⁄2')
    """
    return unicodedata.normalize(check.choice(form, "form", ("NFC", "NFKC")), check.string(text))


def collapse_repeats(text: str) -> str:
    """Reduce repeated punctuation to one: ``！！！`` to ``！``, ``?!?!`` to ``?!``, a drawn line to one sign.

    ``...``, ``……`` and ``——`` are signs of their own. ``+++`` stays, it grades a finding; so does ``//`` of an address.

    Args:
        text: any string.

    Returns:
        The text with one mark for each run of them.

    >>> collapse_repeats("痛！！！！ why?!?!?! 尿蛋白+++ ----- so.....")
    '痛！ why?! 尿蛋白+++ - so...'
    """
    text = _EXCITEMENT.sub(lambda match: "".join(dict.fromkeys(match[0])), check.string(text))
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

    Returns:
        The text with no white space but single spaces and line ends.

    >>> normalize_whitespace(" 发热\u3000 3 天 \n\n  cough "), normalize_whitespace("a\nb", newlines=False)
    ('发热 3 天\ncough', 'a b')
    """
    if not newlines:
        return " ".join(check.string(text).split())
    return "\n".join(line for line in (" ".join(line.split()) for line in check.string(text).splitlines()) if line)


def lowercase(text: str, *, keep: Collection[str] = ()) -> str:
    """Lower-case letters, except in whole words that are listed.

    Case can carry the meaning: ``US`` and ``us``, ``mmHg``, ``MS`` and ``ms``.

    Args:
        text: any string.
        keep: words that stay as they are, written as they stand in the text.

    Returns:
        The text in lower case, but for these words.

    >>> lowercase("BP in mmHg, CT of the Chest", keep=["mmHg", "CT"])
    'bp in mmHg, CT of the chest'
    """
    text, keep = check.string(text), check.strings(keep, "keep")
    if not keep:
        return text.lower()
    listed = "|".join(re.escape(word) for word in sorted(keep, key=len, reverse=True))
    pattern = rf"(?<!{WORD_CHARACTER})(?<![{MARKS}])({listed})(?!{WORD_CHARACTER}|{MARK})"
    return "".join(part if i % 2 else part.lower() for i, part in enumerate(re.split(pattern, text)))


def remove_punctuation(text: str, *, keep: str = "%‰") -> str:
    """Replace punctuation by a space, except inside numbers and words (``3.5``, ``120/80``, ``5-HT``, ``don't``).

    Mathematical signs, degrees and currencies are symbols, not punctuation: they stay. Letters of no script are lost.

    Args:
        text: any string.
        keep: characters to leave as they are.

    Returns:
        The text with a space for each mark.

    >>> remove_punctuation("患者，男，血压120/80；SpO2 98%。(don't panic!)")
    "患者 男 血压120/80 SpO2 98%  don't panic  "
    """
    check.string(keep, "keep")

    def replaced(match: re.Match) -> str:
        mark = _LONE.fullmatch(match[0])
        return " " if mark and mark[0][0] not in keep and _is_punctuation(mark[0][0]) else match[0]

    return WITH_PUNCTUATION.sub(replaced, check.string(text))


_LONE = re.compile(rf"[\W_]{MARK}*+")


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] == "P" or character == "_"


def mask_personal_data(text: str, *, kinds: Sequence[str] = ("email", "id", "phone", "date")) -> str:
    """Replace what looks like an e-mail address, a Chinese ID number, a phone number or a date by its kind.

    A help for examples and for counting, not a de-identification: names, addresses and rare diseases stay.

    Args:
        text: any string.
        kinds: which of ``"email"``, ``"id"`` (18 places), ``"phone"`` (mainland China, North America), ``"date"``.

    Returns:
        The text with ``[EMAIL]``, ``[ID]``, ``[PHONE]`` or ``[DATE]`` in place of what was found.

    >>> mask_personal_data("2024年3月5日入院，电话13812345678，血压120/80")
    '[DATE]入院，电话[PHONE]，血压120/80'
    """
    for kind in check.strings(kinds, "kinds"):
        check.choice(kind, "kinds", tuple(_PERSONAL))
    text, before = check.string(text), None
    while text != before:  # what is masked may uncover what stood beside it
        before = text
        for kind, pattern in _PERSONAL.items():
            if kind in kinds:
                text = pattern.sub(functools.partial(_masked, kind), text)
    return text


def _masked(kind: str, match: re.Match) -> str:
    return f"[{kind.upper()}]" * (len(re.findall(_EMAIL, match[0])) if kind == "email" else 1)


_MONTH = r"(?:Jan|Feb|Mar|Apr|May|June?|July?|Aug|Sept?|Oct|Nov|Dec)[a-z]{0,6}\.?"
_EMAIL = r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}"
_PERSONAL = {
    "email": re.compile(rf"(?<![A-Za-z0-9._%+-])(?:{_EMAIL})+"),  # several in a row at once
    "id": re.compile(r"(?<![0-9A-Za-z])[1-9][0-9]{16}[0-9Xx](?![0-9A-Za-z])"),
    "phone": re.compile(
        r"(?<![0-9A-Za-z.])(?:(?:\+?86[- ]?)?1[3-9][0-9](?:[- ]?[0-9]{4}){2}|0[0-9]{2,3}[- ][0-9]{7,8}"
        r"|(?:\+?1[-. ])?(?:\([0-9]{3}\) ?|[0-9]{3}[-. ])[0-9]{3}[-. ][0-9]{4})(?![0-9A-Za-z]|\.[0-9])"
    ),
    "date": re.compile(
        r"(?<![0-9./-])(?:(?:19|20)[0-9]{2} ?年 ?(?:[01]?[0-9] ?月(?: ?[0-3]?[0-9] ?[日号])?)?"
        r"|[01]?[0-9] ?月 ?[0-3]?[0-9] ?[日号]"
        r"|(?:19|20)[0-9]{2}([-/.])[01]?[0-9]\1[0-3]?[0-9](?![0-9])|[0-3]?[0-9]([-/.])[0-3]?[0-9]\2(?:19|20)[0-9]{2}(?![0-9]))"
        rf"|(?<![\w{MARKS}])(?:[0-3]?[0-9] )?{_MONTH} (?:[0-3]?[0-9](?:st|nd|rd|th)?,? )?"
        rf"(?:19|20)[0-9]{{2}}(?!\w|{MARK})"
    ),
}


class Change(NamedTuple):
    """What one step made of a text: one row of :func:`audit`.

    Attributes:
        step: its name.
        before: the text that went in.
        after: the text that came out.
    """

    step: str
    before: str
    after: str

    @property
    def changed(self) -> bool:
        """Whether the step changed anything."""
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

    Returns:
        What the last step gives; without steps the text as it is.

    Raises:
        ValueError: if a step is no function, or gives no string.

    >>> clean("<p>体温３８.５℃！！！</p>&nbsp;BP&lt;120/80 ")
    '体温38.5℃！\\nBP<120/80'
    """
    text = check.string(text)
    for step in _steps(steps):
        text = step(text)
    return text


def compose(*steps: Step) -> Step:
    """Make one step of several; the result can be pickled where its steps can, and :func:`audit` sees inside.

    Args:
        steps: functions from string to string, in the order in which they are applied.

    Returns:
        A function from string to string.

    >>> compose(normalize_whitespace, lowercase)("  A  B ")
    'a b'
    """
    return functools.partial(clean, steps=_steps(steps))


def _steps(steps: Iterable[Step]) -> tuple[Step, ...]:
    found = (steps,) if isinstance(steps, str) or not isinstance(steps, Iterable) else tuple(steps)
    for step in found:
        if not callable(step) or step is steps:
            raise ValueError(f"steps must be functions from str to str, got {check.what(step)}")
    return found


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
    text, changes = check.string(text), []
    for step in _flat(steps):
        after = step(text)
        changes.append(Change(_step_name(step), text, after))
        text = after
    return changes


def _flat(steps: Iterable[Step]) -> Iterable[Step]:
    for step in _steps(steps):
        if isinstance(step, functools.partial) and step.func is clean:
            yield from _flat(step.keywords.get("steps", DEFAULT_STEPS))
        else:
            yield step


def _step_name(step: Step) -> str:
    if isinstance(step, functools.partial):
        options = ", ".join(f"{name}={value!r}" for name, value in step.keywords.items())
        return f"{_step_name(step.func)}({options})"
    return getattr(step, "__name__", type(step).__name__)

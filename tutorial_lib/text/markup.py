"""HTML and XML taken out of a text in one pass, from left to right: no input takes more than linear time.

What looks like markup and is none stays as it is: ``p<0.05``, ``if a<b and c>d``, ``<PHONE>``. What is removed may
bring together what then is a tag (``<<b>b>``): that goes too, in the same pass, so that a second pass finds nothing.
"""

import re

# Tags that break a line, and those that do not: all elements of HTML, old ones and MathML's too.
_BLOCKS = frozenset(
    "address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset figcaption "
    "figure footer form frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li listing main menu nav "
    "noframes noscript ol optgroup option p pre search section select summary table tbody td tfoot th thead title tr "
    "ul xmp".split()
)
_INLINES = frozenset(
    "a abbr acronym applet area audio b base basefont bdi bdo bgsound big blink button canvas cite code col colgroup "
    "data datalist del dfn em embed font frame i iframe img input ins kbd keygen label link map mark marquee meta "
    "meter nobr noembed object output param picture plaintext portal progress q rb rp rt rtc ruby s samp script slot "
    "small source spacer span strike strong style sub sup svg template textarea time track tt u var video wbr "
    "math menclose mfrac mfenced mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow ms mspace msqrt "
    "mstyle msub msubsup msup mtable mtd mtext mtr munder munderover none semantics annotation".split()
)
# <o:p>, <mml:math>, <my-element>; but no address.
_OWN = re.compile(
    r"(?!(?:https?|ftp|mailto|tel|doi|urn|isbn):)[A-Za-z][\w.]*:[A-Za-z_][\w.-]*"  # of a namespace
    r"|[a-z][a-z0-9._]*-[a-z0-9._-]*",  # of one's own: in small letters, with a hyphen
    re.ASCII,
)
# Attributes that need no value; of others a name alone could be any word.
_ALONE = frozenset(
    "allowfullscreen async autofocus autoplay checked compact contenteditable controls crossorigin declare default "
    "defer disabled download draggable formnovalidate hidden inert ismap itemscope loop multiple muted nohref "
    "nomodule noresize noshade novalidate nowrap open playsinline popover readonly required reversed selected "
    "shadowrootclonable spellcheck translate truespeed".split()
)
_ATTRIBUTE = re.compile(r"[\w:@.-]+", re.ASCII)
_DECLARATION = re.compile(r"!(?:doctype|element|attlist|entity|notation|\[(?:if|endif|else).*)", re.IGNORECASE)
_START, _START_OR_END = re.compile("<"), re.compile(r"<|\]\]>")
_PART = re.compile(r"""[<>"'=/]|\s+|[^<>"'=/\s]+""")

# Where a piece of markup stands, from its "<" on.
_NAME, _BETWEEN, _IN_ATTRIBUTE, _AFTER_ATTRIBUTE, _EQUALS, _BARE, _QUOTED, _CLOSING, _RAW, _DECLARED = range(10)


class _Open:
    """A "<" that may begin markup: where it stands in what is kept, and how far it has come."""

    __slots__ = ("attribute", "ending", "name", "quotes", "start", "state")

    def __init__(self, start: int):
        self.start, self.state = start, _NAME
        self.name, self.attribute, self.ending = "", "", ""  # ending: the quote, or the element, that it waits for
        self.quotes: set[str] = set()  # those that were seen since


def remove_markup(text: str) -> str:
    """The text without tags, comments, declarations, scripts and style sheets; see `strip_tags`."""
    kept: list[str] = []  # all parts that are not removed, also those of markup that is still open
    opened: list[_Open] = []  # from the outermost to the innermost
    waiting: dict[str, list[int]] = {"comment": [], "script": [], "style": []}  # which of these are raw
    sections = 0  # <![CDATA[ without their ]]>

    def drop(depth: int, instead: str) -> None:
        """Remove from a "<" to here."""
        del kept[opened[depth].start :]
        forget(depth)
        add(instead)

    def forget(depth: int) -> None:
        del opened[depth:]
        for depths in waiting.values():
            while depths and depths[-1] >= depth:
                depths.pop()

    def add(part: str) -> None:
        """Keep a part, once what is open has been told of it: markup that cannot go on is plain text from now on."""
        while part and opened:
            quotes = frozenset(opened[-1].quotes)
            if _goes_on(opened[-1], part):
                break
            forget(len(opened) - 1)
            # What lies around it now has it in its own content: a value between quotes may, unless that ended them.
            while opened and opened[-1].state != _RAW:
                outer = opened[-1]
                inside = outer.state == _QUOTED and outer.ending not in quotes
                outer.quotes |= quotes
                quotes = frozenset(outer.quotes)
                if inside:
                    break
                forget(len(opened) - 1)
        if part:
            kept.append(part)

    place = 0
    while place < len(text):
        if not opened:  # on to the next "<"
            found = (_START_OR_END if sections else _START).search(text, place)
            end = found.start() if found else len(text)
            if end > place:
                kept.append(text[place:end])
                place = end
                continue
        if sections and text.startswith("]]>", place):
            sections, place = sections - 1, place + 3
            continue
        part = next(_PART.finditer(text, place))[0]
        end = text.find("]]>", place, place + len(part) + 1) if sections else -1
        if end > place:  # the end of a section is a part of its own
            part = text[place:end]
        place += len(part)
        if part == "<":
            opened.append(_Open(len(kept)))
            kept.append(part)
            continue
        if part == ">":
            if waiting["comment"] and (kept[-2][-2:] + kept[-1][-2:]).endswith("--"):
                drop(waiting["comment"][0], " ")
                continue
            top = opened[-1]
            name = _ended(top, kept[-1])
            if name is not None:
                bare = name.lstrip("/")
                if bare in ("script", "style") and name == bare and top.state != _CLOSING:
                    top.state = _RAW
                    waiting[bare].append(len(opened) - 1)
                    kept.append(part)
                elif bare in ("script", "style") and waiting[bare]:
                    drop(waiting[bare][0], " ")
                else:
                    drop(len(opened) - 1, "\n" if bare in _BLOCKS else "")
                continue
        add(part)
        if opened and opened[-1].state == _NAME:
            top = opened[-1]
            if top.name.startswith("!--"):
                top.state = _RAW
                waiting["comment"].append(len(opened) - 1)
            elif top.name.startswith("![CDATA["):
                rest = top.name[len("![CDATA[") :]
                sections += 1
                drop(len(opened) - 1, "")
                place -= len(rest)  # its content is text
    return "".join(kept)


def _goes_on(markup: _Open, part: str) -> bool:
    """Take the next part of what may be markup; whether it still may be."""
    state = markup.state
    if state == _RAW:
        return True
    if part in ('"', "'"):
        markup.quotes.add(part)
    if state == _QUOTED:
        if part == markup.ending:
            markup.state = _BETWEEN
        return True
    if state == _DECLARED:
        return part != ">"
    space = part.isspace()
    if state == _NAME:
        if space or part == "/" and markup.name not in ("", "/"):
            markup.state = _BETWEEN if space else _CLOSING
            if markup.name[:1] in ("!", "?"):
                markup.state = _DECLARED
                return _is_declaration(markup.name)
            return _is_element(markup.name)
        markup.name += part
        long = len(markup.name) > 200 and not markup.name.startswith(("!--", "![CDATA["))
        return part not in ("'", '"', "=", ">") and not long
    if state == _EQUALS:
        if part in ('"', "'"):
            markup.state, markup.ending = _QUOTED, part
        elif not space:
            markup.state = _BARE
        return part != ">"
    if state == _BARE:
        if space:
            markup.state = _BETWEEN
        return part not in ('"', "'", ">")
    if state in (_IN_ATTRIBUTE, _AFTER_ATTRIBUTE) and part == "=":
        markup.state = _EQUALS
        return True
    if state == _IN_ATTRIBUTE and not space and part not in "/>\"'":
        markup.attribute += part
        return _ATTRIBUTE.fullmatch(part) is not None and len(markup.attribute) < 200
    if state == _IN_ATTRIBUTE and space:
        markup.state = _AFTER_ATTRIBUTE
        return True
    if space:
        return True
    if not _may_end(markup):
        return False  # the attribute before had no value
    if part == "/":
        markup.state = _CLOSING
        return True
    markup.state, markup.attribute = _IN_ATTRIBUTE, part
    return state != _CLOSING and _ATTRIBUTE.fullmatch(part) is not None


def _may_end(markup: _Open) -> bool:
    return markup.state not in (_IN_ATTRIBUTE, _AFTER_ATTRIBUTE) or markup.attribute.lower() in _ALONE


def _ended(markup: _Open, last: str) -> str | None:
    """The name of the tag that a ">" ends; None where it ends none."""
    name, state = markup.name.lower(), markup.state
    if state in (_RAW, _QUOTED, _EQUALS):
        return None
    if name[:1] == "!":
        return name if state in (_NAME, _DECLARED) and _is_declaration(name) else None
    if name[:1] == "?":
        right = _is_declaration(name) and (name.startswith("?xml") or last.endswith(("?", "/")))
        return name if state in (_NAME, _DECLARED) and right else None
    return name if _may_end(markup) and _is_element(markup.name) else None


def _is_element(name: str) -> bool:
    name = name.removeprefix("/")
    return name.lower() in _BLOCKS or name.lower() in _INLINES or _OWN.fullmatch(name) is not None


def _is_declaration(name: str) -> bool:
    return _DECLARATION.fullmatch(name) is not None or (name[:1] == "?" and name[1:2].isalpha())

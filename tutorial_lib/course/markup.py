"""What every page of ours does to HTML that it did not write: harmless tags only; and to formulas: MathML."""

import html
import re
import warnings

_MATH_TAGS = """math mrow mi mn mo ms mtext mspace msub msup msubsup munder mover munderover mfrac msqrt mroot mtable
 mtr mtd mlabeledtr mpadded mphantom menclose mstyle merror mmultiscripts mprescripts none""".split()
_TAGS = """a abbr b blockquote br caption center cite code col colgroup dd del details div dl dt em figcaption figure
 h1 h2 h3 h4 h5 h6 hr i img input ins kbd li mark ol p pre q rp rt ruby s samp small span strong sub summary sup table
 tbody td tfoot th thead tr u ul var""".split()
_MATH_ATTRIBUTES = """display displaystyle scriptlevel mathvariant stretchy fence separator form lspace rspace accent
 accentunder linethickness columnalign rowalign columnspacing rowspacing columnlines rowlines width height depth
 minsize maxsize largeop movablelimits symmetric notation mathcolor""".split()
_STYLES = """background-color border border-bottom border-collapse border-left border-right border-top
 color display font-family font-size font-style font-weight height line-height margin margin-bottom margin-left
 margin-right margin-top max-width min-width padding padding-bottom padding-left padding-right padding-top
 text-align text-decoration vertical-align white-space width""".split()
_INVISIBLE = re.compile(r"<(style|script|noscript|template|iframe|object)\b.*?(</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_LOST_PICTURE = re.compile(r'<img(?![^>]*\ssrc=)(?:[^>]*?\salt="([^"]*)")?[^>]*>')


def sanitise(source: str) -> str:
    """Return HTML with only harmless tags, attributes and styles; the rest is shown as text or dropped.

    Args:
        source: any HTML, also broken: what is left open is closed.

    >>> sanitise("<b onclick='x()'>bold<script>alert(1)</script>")
    '<b>bold</b>'
    """
    import bleach
    from bleach.css_sanitizer import CSSSanitizer

    def allowed(tag: str, name: str, value: str) -> bool:
        if name in ("class", "id", "style", "title", "lang"):
            return True
        if tag == "img":
            return name in ("alt", "width", "height") or (name == "src" and value.startswith("data:image/"))
        if tag == "a":
            return name == "href" and not value.strip().lower().startswith("data:")
        if tag == "input":
            return (name, value) == ("type", "checkbox") or name in ("checked", "disabled")
        if tag in ("td", "th", "col", "colgroup"):
            return name in ("colspan", "rowspan", "span", "align", "scope")
        if tag == "ol":
            return name in ("start", "type")
        return tag == "details" and name == "open" or tag in _MATH_TAGS and name in _MATH_ATTRIBUTES

    with warnings.catch_warnings():
        # bleach warns of a style attribute inside MathML and SVG; ours go through the same allow-list.
        warnings.simplefilter("ignore")
        clean = bleach.clean(
            _INVISIBLE.sub("", str(source)),
            tags={*_TAGS, *_MATH_TAGS},
            attributes=allowed,
            protocols={"http", "https", "mailto", "data"},
            css_sanitizer=CSSSanitizer(allowed_css_properties=_STYLES),
        )
    # A picture from the network (a badge) is not loaded; its words stand in for it.
    return _LOST_PICTURE.sub(lambda match: match[1] or "", clean)


def mathml(formula: str, display: str = "inline") -> str:
    """Return a LaTeX formula as MathML; one that cannot be read is shown as it was written.

    Args:
        formula: LaTeX without its dollar signs.
        display: ``inline`` or ``block``.

    >>> mathml("x^2").startswith("<math")
    True
    """
    # What the converter draws unlike a notebook does: a raised tilde, a stray star, the word arg, numbered lines.
    source = re.sub(r"\\sim(?![a-zA-Z])", "∼ ", formula.strip()).replace("\\operatorname*", "\\operatorname")
    source = re.sub(r"\\arg(?![a-zA-Z])", r"\\operatorname{arg}\\,", source)
    source = re.sub(r"\\(begin|end)\{(align|equation|gather)\}", r"\\\1{\2*}", source)
    try:
        from latex2mathml.converter import convert

        drawn = convert(source, display=display)
        # An unknown command comes back as it was: better the whole source than half a formula.
        if "<merror" not in drawn and "<mi>\\" not in drawn:
            return drawn.replace("<mi>∼</mi>", "<mo>∼</mo>")
    except Exception:
        pass
    tag = "pre" if display == "block" else "code"
    return f"<{tag}>{html.escape(formula.strip())}</{tag}>"

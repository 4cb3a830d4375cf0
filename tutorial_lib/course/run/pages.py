"""The HTML pages: an executed chapter, and the look that it shares with the report.

Every page stands alone: no network, no script. Formulas are turned into MathML, which browsers draw themselves.
What a notebook put out is cleaned by an allow-list, and a content policy in the page's head forbids scripts and
foreign addresses whatever is left.
"""

import html
import re
import warnings
from pathlib import Path

CONTENT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:"

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #fff; --shade: #f6f8fa;
  --accent: #0550ae; --good: #0b5394; --bad: #a8480b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa4af; --line: #3b434c; --paper: #0d1117;
  --shade: #161b22; --accent: #79b8ff; --good: #79b8ff; --bad: #ffa657; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", sans-serif; }
h1, h2, h3 { line-height: 1.25; margin: 1.6em 0 .5em; } h1 { margin-top: .4em; }
a { color: var(--accent); }
table { border-collapse: collapse; } th, td { padding: .4rem .7rem; text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--line); }
td { border-bottom: 1px solid var(--line); }
pre, code { font: 13.5px/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
pre { overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; }
img, svg { max-width: 100%; } img { background: #fff; }
.soft { color: var(--soft); } .number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.status { white-space: nowrap; font-weight: 600; } .good { color: var(--good); } .bad { color: var(--bad); }
.failure { border-left: 4px solid var(--bad); background: var(--shade); padding: .8rem 1rem; margin: 1rem 0; }
.failure pre { margin: .6rem 0; } .failure h3 { margin-top: 0; }
nav { margin-bottom: 1.5rem; }
.scroll { overflow-x: auto; }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --shade: #f4f4f4;
    --accent: #000; --good: #000; --bad: #000; }
  body { max-width: none; padding: 0; font-size: 11pt; } nav { display: none; }
  pre, .input_area pre { white-space: pre-wrap !important; }
  tr, figure, .failure, .output_area, .output_png { break-inside: avoid; } h1, h2, h3 { break-after: avoid; } }
"""

NOTEBOOK_STYLE = """
.cell { margin: 1rem 0; } .prompt { display: none; }
.rendered_html table { font-size: .93em; margin: .8rem 0; display: block; overflow-x: auto; border: 0; }
.rendered_html blockquote { margin: 1rem 0; padding: .1rem 1rem; border-left: 4px solid var(--line);
  color: var(--soft); }
.rendered_html :not(pre) > code { background: var(--shade); padding: .1em .3em; border-radius: 4px; }
.rendered_html pre { background: var(--shade); padding: .7rem .9rem; border-radius: 6px; }
.input_area { background: var(--shade); border: 1px solid var(--line); border-radius: 6px; padding: .6rem .9rem; }
.input_area pre { white-space: pre; }
.output_area { margin: .5rem 0 .5rem .9rem; }
.output_stderr { color: var(--soft); border-left: 3px solid var(--line); padding-left: .7rem; }
.output_error { border-left: 4px solid var(--bad); background: var(--shade); padding: .6rem .9rem; }
.output_png img { display: block; }
.output_html { overflow-x: auto; }
math { font-size: 1.08em; } math[display="block"] { margin: .9rem 0; overflow-x: auto; overflow-y: hidden; }
.highlight .k, .highlight .kn, .highlight .kc, .highlight .ow { color: #8250df; }
.highlight .s1, .highlight .s2, .highlight .sa, .highlight .si, .highlight .sd { color: #0a5a32; }
.highlight .c1, .highlight .cm { color: var(--soft); font-style: italic; }
.highlight .mi, .highlight .mf { color: #0550ae; } .highlight .nf, .highlight .nc { color: #953800; }
.ansi-red-fg { color: var(--bad); } .ansi-green-fg { color: var(--good); } .ansi-bold { font-weight: 700; }
@media (prefers-color-scheme: dark) { .highlight .k, .highlight .kn, .highlight .kc, .highlight .ow { color: #d2a8ff; }
  .highlight .s1, .highlight .s2, .highlight .sa, .highlight .si, .highlight .sd { color: #7ee2a8; }
  .highlight .mi, .highlight .mf { color: #79b8ff; } .highlight .nf, .highlight .nc { color: #ffa657; } }
"""

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
_NOTEBOOK_LINK = re.compile(r'(<a [^>]*href=")(?!\w+:|/)([\w.-]+)\.ipynb((?:#[^"]*)?")')

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head><body>
{body}
</body></html>
"""


def page(title: str, body: str, style: str = "") -> str:
    """Return a whole HTML page that needs no network and runs no script.

    Args:
        title: plain text.
        body: HTML that is already safe.
        style: further CSS.

    >>> "<title>a &lt; b</title>" in page("a < b", "")
    True
    """
    return _PAGE.format(policy=CONTENT_POLICY, title=html.escape(title), style=STYLE + style, body=body)


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
    # Three things the converter draws unlike a notebook does: a raised tilde, a stray star, numbered lines.
    source = re.sub(r"\\sim(?![a-zA-Z])", "∼ ", formula.strip()).replace("\\operatorname*", "\\operatorname")
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


def _exporter(folder: Path):
    from jinja2 import pass_context
    from nbconvert.exporters.html import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def block_math(self, body):
            return mathml(body, "block")

        def inline_math(self, body):
            return mathml(body)

        def latex_environment(self, name, body):
            return mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", "block")

    @pass_context
    def markdown2html(context, source):
        attachments = context.get("cell", {}).get("attachments", {})
        renderer = Renderer(
            escape=False, attachments=attachments, embed_images=True, path=str(folder), exclude_anchor_links=True
        )
        return MarkdownWithMath(renderer=renderer).render(source)

    exporter = HTMLExporter(template_name="basic", sanitize_html=True, embed_images=True)
    exporter.register_filter("markdown2html", markdown2html)
    exporter.register_filter("clean_html", sanitise)
    return exporter


def chapter_page(notebook: dict, record: dict, *, folder: str | Path) -> str:
    """Return an executed notebook as one HTML page.

    Args:
        notebook: an ``nbformat`` node; it is not changed.
        record: the chapter's record: ``name``, ``title``, ``status``, ``seconds``, ``error``.
        folder: where the notebook lies; pictures named in its text are taken from there into the page.
    """
    import copy

    notebook = copy.deepcopy(notebook)
    figure, anchor = 0, ""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for position, cell in enumerate(code, 1):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                figure += 1
                picture = output.metadata.setdefault("image/png", {})
                if "alt" not in picture:
                    picture["alt"] = f"Figure {figure} of this chapter, drawn by code cell {position}"
    error = record.get("error")
    if error and error["cell"]:
        broken = code[error["cell"] - 1]
        anchor = f'<a href="#cell-id={html.escape(broken.get("id", ""))}">code cell {error["cell"]}</a>'
    body, _ = _exporter(Path(folder)).from_notebook_node(notebook)
    head = '<nav><a href="../index.html">← the report</a></nav>'
    if error:
        where = f" in {anchor}" if anchor else ""
        head += (
            f'<div class="failure"><strong class="bad">✗ This run ended early{where}:</strong> '
            f"<pre>{html.escape(error['message'])}</pre></div>"
        )
    body = _NOTEBOOK_LINK.sub(r"\1\2.html\3", body)
    return page(record["title"], f"{head}<main>{body}</main>", NOTEBOOK_STYLE)


def warm_up() -> None:
    """Load what ``chapter_page`` needs, so that a later call does not wait for it."""
    import bleach.css_sanitizer  # noqa: F401
    import latex2mathml.converter  # noqa: F401

    _exporter(Path())

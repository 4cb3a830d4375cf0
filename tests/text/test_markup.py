"""Markup: all of HTML's is taken out, what only looks like it stays, and no input takes more than linear time."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutorial_lib.text import clean, mask_personal_data, strip_tags, unescape_html
from tutorial_lib.text import markup as module

ELEMENTS = (
    "a abbr acronym address applet area article aside audio b base bdi bdo big blockquote body br button canvas "
    "caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed fieldset "
    "figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img "
    "input ins kbd label legend li link main map mark marquee menu meta meter nav nobr noframes noscript object ol "
    "optgroup option output p param picture pre progress q rp rt ruby s samp search section select slot small "
    "source span strike strong sub summary sup svg table tbody td template textarea tfoot th thead time title tr "
    "track tt u ul var video wbr xmp "
).split()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<video controls>x", "x"),
        ('<input type=checkbox checked disabled value="a > b">x', "x"),
        ("<!DOCTYPE html><p>x", "\nx"),
        ('<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN" "http://www.w3.org/x.dtd">x', "x"),
        ('<?xml version="1.0" encoding="utf-8"?>x', "x"),
        ('<?xml:namespace prefix = o ns = "urn:x" />x<?php echo 1 ?>', "x"),
        ("<time>3 pm</time> <details open><summary>a</summary>b</details>", "3 pm \n\na\nb\n"),
        ('<o:p>x</o:p><v:shape id="y"/><mml:math>z</mml:math>', "xz"),
        ('<my-card data-x="1">x</my-card>', "x"),
        ("a<![CDATA[p < 0.05 & <b>x</b>]]>b ]]>", "ap < 0.05 & xb ]]>"),
        ("<![if !IE]>x<![endif]><!--[if mso]><p>y</p><![endif]-->", "x "),
        ("a<!-- <b> -- > -->b<!-->c<!---->d", "a b c d"),
        ('<img alt="p < 0.05" title=\'<b>"x"</b>\'>x', "x"),
        ("<p class=\"a\"id='b'>x</p\n>", "\nx\n"),
        ("<script>if (a<b && c>d) { x = '<p>' }</script >y<style>p > a {}</style>z", " y z"),
        ('<script src="x"/>y', "y"),
        ("<<b>b>x <p<p>> <scr<i>ipt>a</script>b", "x \n  b"),
        ("<a <b>x", "<a x"),
        ("<b\n>x</b\t> < b> </ b> <b / x> <>", "x < b> </ b> <b / x> <>"),
    ],
)
def test_markup_goes(before, after):
    assert strip_tags(before) == after


@pytest.mark.parametrize("name", ELEMENTS)
def test_every_element_of_html(name):
    for tag in (name, name.upper(), f"{name} class='x' hidden", f"{name}/", f"{name} id=x /"):
        if name not in ("script", "style"):
            assert strip_tags(f"a<{tag}>b</{name}>c").replace("\n", "") == "abc"


@pytest.mark.parametrize(
    "text",
    [
        "if a<b and c>d", "p<0.05 and n>3", "<PHONE> <PATIENT-NAME> <IL-6> <3 :> <->", "<john@x.org> <http://x.org/a>",
        "x<y>z <foo bar> <b and c> <a href> <p=1>", "5 < 6 > 4", "<!important> <!> <?> <? b>", "Na<sup K", "<b",
        "a <!-- b",
        '<a title="x', "<![CDAT", "]]>", "</>", "<-- x -->", "<10:30>", "<script>open", "<b'>", '<b">', "<a ='x'>",
    ],
)  # fmt: skip
def test_what_is_no_markup_stays(text):
    assert strip_tags(text) == text


PARTS = (
    "<", ">", "/", "=", "'", '"', " ", "\n", "!", "?", "-", "--", "-->", "<!--", "b", "p", "br", "a", "x", "1", "href",
    "checked", "<b>", "</b>", "<p ", "script", "<script>", "</script>", "style", "<style>", "</style>", "<![CDATA[",
    "]]>", "]", "]]", "<!DOCTYPE", "<?xml", "?>", "<o:p>", "o:p", "x-y", "<b", "=\"", "='", "a=1", "患", "&lt;", "&",
    ";", "amp", "#38", "#59",
)  # fmt: skip


@given(text=st.lists(st.sampled_from(PARTS), max_size=24).map("".join))
@settings(max_examples=1500, deadline=None)
def test_a_second_pass_finds_nothing(text):
    for step in (strip_tags, unescape_html, clean):
        once = step(text)
        assert step(once) == once


@given(text=st.lists(st.sampled_from(PARTS), max_size=24).map("".join))
@settings(max_examples=500, deadline=None)
def test_nothing_is_made_up(text):
    """What is left is a part of the text, but for the spaces and line ends that stand for what is gone."""
    rest = iter(text)
    assert all(character in rest for character in strip_tags(text) if character not in " \n")


# --- entities ---


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("&am&#112;;lt;", "<"),
        ("&&#35;38;amp;", "&"),
        ("&lt&#59; &#38&semi;", "< &"),
        ("&notit; &parameter; &ampere;", "&notit; &parameter; &ampere;"),  # no entities, though they begin like some
        ("&" * 5 + "lt;", "&&&&<"),
        ("&#1234567890; &" + "a" * 40 + ";", "&#1234567890; &" + "a" * 40 + ";"),
        ("&NotEqualTilde;&#0;", "≂̸\ufffd"),
    ],
)
def test_entities(before, after):
    assert unescape_html(before) == after


# --- time ---


def steps_taken(function, text: str) -> int:
    """How many lines of the module's own code run: a count, which no busy machine changes."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        if "tutorial_lib" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(text)
    finally:
        sys.settrace(before)
    return count


HOSTILE = {
    "scripts": lambda n: "<script>" * n,
    "closed scripts": lambda n: "<script>" * n + "</script>" * n,
    "nested": lambda n: "<p" * n + ">" * n,
    "nested values": lambda n: '<a x="' * n + 'z">' * n,
    "both quotes": lambda n: "<a x='<a y=\"" * n,
    "comments": lambda n: "<!--" * n,
    "closed comments": lambda n: "<!--" * n + "-->" * n,
    "sections": lambda n: "<![CDATA[" * n + "]]>" * n,
    "an open section": lambda n: "<![CDATA[" + "<3 ]" * n,
    "angles": lambda n: "<" * n + ">" * n,
    "attributes": lambda n: "<p " + "a=1 " * n + "<b>" * n,
    "a long name": lambda n: "<" + "b" * n,
    "a tag in its name": lambda n: "<p x" + "<b>x" * n,
    "deeper and deeper": lambda n: "<a x=1 " + "".join("<b" * k + ">" * k for k in range(int((2 * n) ** 0.5))),
    "ampersands": lambda n: "&" * n,
    "nested entities": lambda n: "&am" * n + "&#112;;" + "#112;;" * n,
    "escaped again": lambda n: "&" + "amp;" * n,
    "semicolons": lambda n: "&a" * n + ";" * n,
    "addresses": lambda n: "1a@b.co" * n,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_twice_the_text_takes_twice_the_steps(name):
    for step in (strip_tags, unescape_html, mask_personal_data):
        one, two = (steps_taken(step, HOSTILE[name](n)) for n in (400, 800))
        assert two <= 2.2 * one + 100
    assert module.remove_markup(HOSTILE[name](20)) == strip_tags(HOSTILE[name](20))

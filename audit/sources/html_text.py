"""The text of a web page."""

from __future__ import annotations

import re
from typing import Final

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from audit.sources.values import Refusal

# Work is the sum of the depths of all elements. Main-content extraction takes about 15 ns, parsing at
# worst (unclosed links around blocks) about 0.1 ns for each: half a second, and a second.
_MAIN_CONTENT_WORK: Final = 50_000_000
_PARSING_WORK: Final = 10_000_000_000
_FEW_TAGS: Final = 10_000  # cannot reach the first limit
_LONG_TAG = re.compile(r"<[a-zA-Z][^>]{50000,}")
_ATTRIBUTES: Final = 5_000  # of one tag: parsing takes time by their square
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
# Elements without content, or that the next of their kind closes.
_FLAT: Final = frozenset(
    [
        *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source"),
        *("track", "wbr", "p", "li", "dt", "dd", "tr", "td", "th", "option"),
    ]
)


def main_text(page: str) -> str | Refusal:
    """Main content of an HTML page, or all its visible text where that is nothing.

    Work is bounded by what the page is made of, not by the clock: of a page nested too deep for the
    main-content rules all visible text is taken, and one that would stall the parser is refused
    (``too_complex``).

    Args:
        page: HTML, decoded.
    """
    if any(len(tag.group().split()) > _ATTRIBUTES for tag in _LONG_TAG.finditer(page)):
        return Refusal("too_complex", f"a tag has more than {_ATTRIBUTES} attributes")
    work = nesting_work(page)
    if work > _PARSING_WORK:
        return Refusal("too_complex", "elements are nested too deep")
    tree = HTMLTree.parse(page)
    if work <= _MAIN_CONTENT_WORK:
        main: str = extract_plain_text(tree, main_content=True, alt_texts=False)
        if main.strip():
            return main
    return str(extract_plain_text(tree, alt_texts=False))


def nesting_work(page: str) -> int:
    """About the sum of the depths of all elements; 0 for pages of few tags, whose sum is small anyway."""
    if page.count("<") < _FEW_TAGS:
        return 0
    depth = work = 0
    for tag in _TAG.finditer(page):
        closing, name = tag.groups()
        if name.lower() in _FLAT:
            continue
        depth = max(0, depth - 1) if closing else depth + 1
        work += depth
        if work > _PARSING_WORK:
            break
    return work

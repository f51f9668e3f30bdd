from __future__ import annotations

from time import process_time

import pytest

from audit.sources.html_text import main_text, nesting_work
from audit.sources.values import Refusal


def test_main_content_without_menu_and_script():
    page = "<body><nav><a href=/>Home</a></nav><main><p>One</p><script>x</script><p>Two</p></main></body>"
    assert main_text(page) == "One\n\nTwo"


def test_all_text_where_there_is_no_main_content():
    assert main_text("<body><nav>Only a menu</nav></body>") == "Only a menu"


@pytest.mark.parametrize(
    "page", ["<div>" * 50_000 + "deep", "<p>deep " * 100_000, "<table>" * 30_000 + "deep"]
)
def test_odd_pages_keep_their_text_and_take_no_time(page):
    start = process_time()
    assert "deep" in main_text(page)
    assert process_time() - start < 5


@pytest.mark.parametrize(
    "page", ["<a href=x><div>" * 200_000, "<a " + " ".join(f"x{n}=1" for n in range(100_000)) + ">y"]
)
def test_pages_that_would_stall_the_parser_are_refused(page):
    start = process_time()
    found = main_text(page)
    assert isinstance(found, Refusal)
    assert found.reason == "too_complex"
    assert process_time() - start < 5


def test_work_counts_depth():
    assert nesting_work("<div></div>" * 20_000) == 20_000
    assert nesting_work("<p><br>" * 20_000) == 0
    assert nesting_work("<i>" * 20_000) == 20_000 * 20_001 // 2

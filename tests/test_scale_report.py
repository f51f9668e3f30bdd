"""The page on scale says what the committed results say."""

from benchmarks import scale_report


def test_the_page_is_what_the_results_render():
    rendered = scale_report.render(scale_report.load(scale_report.RESULTS))
    assert scale_report.PAGE.read_text(encoding="utf-8") == rendered


def test_a_study_that_was_not_run_is_named():
    page = scale_report.render({})
    assert "Not measured yet:** `benchmarks.whole_pass`" in page
    assert "core-hours per TB**" not in page


def test_the_arithmetic_follows_from_the_rates():
    studies = scale_report.load(scale_report.RESULTS)
    rate = studies["whole_pass"]["pass"]["pass_core_hours_per_tb"]
    assert f"| screens | {10 * rate:,.0f} core-hours |" in scale_report.render(studies)

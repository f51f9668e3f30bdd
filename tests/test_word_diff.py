from hypothesis import given
from hypothesis import strategies as st

from audit.word_diff import Words, difference, hunks

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=30)


def compare(left, right, most=12):
    return hunks(Words.of(left), Words.of(right), most)


@given(WORDS, WORDS)
def test_applying_the_changes_gives_the_other_text(left, right):
    built, at = [], 0
    for change in difference(left, right).changes:
        built += left[at : change.start] + right[change.other_start : change.other_stop]
        at = change.stop
    assert built + left[at:] == right


def test_a_changed_word_stands_between_the_words_around_it():
    shown, left_out, complete = compare("one two three four five", "one two 3 four five")
    assert [(h.before, h.removed, h.added, h.after) for h in shown] == [
        ("one two", "three", "3", "four five")
    ]
    assert (left_out, complete) == (0, True)


def test_what_one_text_only_has_is_removed_or_added():
    shown, _, _ = compare("alpha beta gamma", "alpha beta gamma delta")
    assert (shown[0].removed, shown[0].added) == ("", "delta")


def test_changes_close_to_each_other_are_one_hunk():
    assert len(compare("a x b c y d", "a 1 b c 2 d")[0]) == 1
    assert len(compare("a x b c d e y f", "a 1 b c d e 2 f")[0]) == 2


def test_more_changes_than_are_shown_are_counted():
    left = " ".join(f"w{n} same{n} equal{n} like{n} as{n}" for n in range(30))
    shown, left_out, _ = compare(left, left.replace("w", "v"), most=12)
    assert (len(shown), left_out) == (12, 18)


def test_characters_are_words_in_scripts_without_spaces():
    shown, _, _ = compare("今日は天気がいい", "今日は気分がいい")
    assert "天気" in shown[0].removed + shown[0].before
    assert len(shown[0].removed) <= 3


def test_long_texts_are_compared_in_part_and_say_so():
    left = [f"l{n}" for n in range(5000)]
    right = [f"r{n}" for n in range(5000)]
    found = difference(["same", *left], ["same", *right])
    assert not found.complete
    assert found.changes == ()


def test_a_long_text_with_one_change_is_compared_to_its_end():
    left = [f"w{n}" for n in range(50_000)]
    right = [*left[:40_000], "other", *left[40_001:]]
    found = difference(left, right)
    assert found.complete
    assert [(c.start, c.stop) for c in found.changes] == [(40_000, 40_001)]


def test_changes_far_apart_in_long_texts_are_all_found():
    left = [f"w{n}" for n in range(12_000)]
    right = ["x" if n % 1000 == 3 else word for n, word in enumerate(left)]
    found = difference(left, right)
    assert found.complete
    assert [change.start for change in found.changes] == list(range(3, 12_000, 1000))


def test_excerpts_are_bounded():
    shown, _, _ = compare("start " + "x" * 100_000, "start y")
    assert len(shown[0].removed) <= 240

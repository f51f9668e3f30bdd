"""Templates are told from copies, on families whose nature is known."""

import random

import pytest

from audit.cluster_nature import COPIES, TEMPLATE, UNKNOWN, Document, judge

CITIES = ("Aston", "Bilton", "Corby", "Dalby", "Elton", "Fenby", "Girton", "Haxby")


NOUNS = ("river", "stone", "market", "bread", "letter", "window", "garden", "winter")


def prose(seed, words=400):
    draw = random.Random(seed)
    return " ".join(f"{draw.choice(NOUNS)}{draw.randrange(40)}" for _ in range(words))


def template(count, fields=3):
    """Pages of one frame, each with values of its own in the same places."""
    frame = prose("frame").split()
    return [
        " ".join(
            word if at % 40 != 20 or at // 40 >= fields else f"{CITIES[number]}{at}"
            for at, word in enumerate(frame)
        )
        for number in range(count)
    ]


def copies(count, edits=3):
    """Copies of one text, each edited in places of its own."""
    text = prose("text").split()
    made = []
    for number in range(count):
        draw = random.Random(number)
        own = list(text)
        for place in draw.sample(range(len(own)), edits):
            own[place] = f"edit{number}x{place}"
        made.append(" ".join(own))
    return made


def nature(texts, urls=None):
    documents = [Document(text, url) for text, url in zip(texts, urls or [None] * len(texts), strict=True)]
    return judge(documents[0], documents[1:]).value


@pytest.mark.parametrize("count", [3, 5, 8])
@pytest.mark.parametrize("fields", [1, 3])
def test_pages_that_differ_in_the_same_places_are_a_template(count, fields):
    assert nature(template(count, fields)) == TEMPLATE


@pytest.mark.parametrize("count", [4, 8])
@pytest.mark.parametrize("edits", [1, 4])
def test_texts_edited_in_places_of_their_own_are_copies(count, edits):
    assert nature([prose("text"), *copies(count - 1, edits)]) == COPIES


def test_two_versions_of_one_place_are_copies():
    text = prose("text").split()
    other = [*text[:50], "revised", *text[51:]]
    assert nature([" ".join(v) for v in (text, other, other, text, other, text)]) == COPIES


def test_the_same_words_in_another_case_are_copies():
    assert nature(["One and the same page", "one AND  the same\npage"]) == COPIES


def test_the_same_words_with_other_punctuation_are_copies():
    assert (
        nature(["One page, this.", "One page *** this", "One -- page (this) !", "> One page; this"]) == COPIES
    )


def test_two_documents_that_differ_cannot_be_told_by_their_words():
    assert nature(template(2)) == UNKNOWN
    assert nature(copies(2)) == UNKNOWN


def test_two_pages_of_one_address_but_for_its_digits_are_a_template():
    urls = ["https://shop.example.com/item/17?page=1", "https://shop.example.com/item/2048?page=1"]
    assert nature(template(2), urls) == TEMPLATE
    assert nature(template(2), [urls[0], "https://mirror.example.org/item/2048?page=1"]) == UNKNOWN
    longer = [template(2)[0], template(2)[1] + " with a long paragraph that only this one of the two has"]
    assert nature(longer, urls) == UNKNOWN


def test_members_that_were_not_read_leave_it_unknown():
    assert judge(Document("a text"), []).value == UNKNOWN


def test_texts_that_cannot_be_compared_in_full_leave_it_unknown():
    texts = [" ".join(f"{letter}{n}" for n in range(4000)) for letter in "abc"]
    assert nature(texts) == UNKNOWN

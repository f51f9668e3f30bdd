"""No personal value and no secret stands in any byte of a run folder, whatever it came in with."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.conftest import page
from tests.test_pii_secrets import CASES

#: One of each kind; obviously fictional.
PLANTED = {
    "EMAIL_ADDRESS": "quentin.leakcheck@example.com",
    "PHONE_NUMBER": "(202) 555-0187",
    "CREDIT_CARD": "4111 1111 1111 1111",
    "IBAN_CODE": "GB82 WEST 1234 5698 7654 32",
    "US_SSN": "219-09-9999",
    "UK_NINO": "AA 12 34 56 A",
    "IP_ADDRESS": "203.0.113.77",
    "MAC_ADDRESS": "00-00-5E-00-53-9B",
    "CRYPTO": "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    "DATE_OF_BIRTH": "date of birth: 07/08/1961",
    "MEDICAL_RECORD_NUMBER": "MRN: 77341209",
    "DISGUISED": "walter.leakcheck [at] example [dot] org",
}
#: What is looked for of a value: the value, and its telling part where a label or disguise surrounds it.
TELLING = {
    "DATE_OF_BIRTH": ["07/08/1961"],
    "MEDICAL_RECORD_NUMBER": ["77341209"],
    "DISGUISED": ["walter.leakcheck", "walter.leakcheck@example.org"],
    "EMAIL_ADDRESS": ["quentin.leakcheck"],
}

CORPUS = {"name": "leaks", "columns": {"text": "text", "metadata": ["extra"]}}
SCREENS = {
    "language": {},
    "exact_duplicates": {},
    "near_duplicates": {},
    "repeated_paragraphs": {},
    "pii": {},
}


def needles() -> list[str]:
    found = [needle for kind, value in PLANTED.items() for needle in TELLING.get(kind, [value])]
    return found + [value for _, _, value in CASES]


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    rows = [{"id": f"p{n}", "text": page(n), "url": f"https://www.example.com/{n}"} for n in range(10)]
    for n, value in enumerate([*PLANTED.values(), *(around.format(value) for _, around, value in CASES)]):
        rows.append({"id": f"v{n}", "text": f"{page(100 + n)}\n{value} and so on.", "extra": value})
    rows += rows[-3:]  # copies, which are compared and shown
    lines = [json.dumps(row) for row in rows]
    lines += ['{"id": "broken", "text": "' + PLANTED["EMAIL_ADDRESS"], json.dumps({"id": "n", "text": 5})]
    (folder / "pages.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Bytes of every file, and values of those that are compressed."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        yield name, name.encode()
        yield name, path.read_bytes()
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            yield name, repr(table.to_pylist()).encode()
            yield name, repr(table.schema.metadata).encode()
        if path.suffix == ".gz":
            yield name, zlib.decompress(path.read_bytes(), 31)
        if path.suffix == ".duckdb":
            yield name, _dump(path, folder)


def _dump(path: Path, folder: Path) -> bytes:
    with duckdb.connect(str(path), read_only=True, config={"file_search_path": str(folder)}) as db:
        names = db.execute('SELECT "schema", name FROM (SHOW ALL TABLES)').fetchall()
        tables = [f'"{schema}"."{name}"' for schema, name in names]
        return "".join(repr(db.execute(f"SELECT * FROM {table}").fetchall()) for table in tables).encode()


def leaks(folder: Path) -> set[tuple[str, int]]:
    """File and index of what stands in it: never the value, for reports are files too."""
    wanted = [needle.encode() for needle in needles()]
    return {(name, i) for name, data in contents(folder) for i, needle in enumerate(wanted) if needle in data}


def holders(folder: Path, wanted: list[str]) -> set[str]:
    return {name for name, data in contents(folder) if any(value.encode() in data for value in wanted)}


def test_texts_metadata_and_rejects_leave_nothing(planted: Path, run_audit: Callable) -> None:
    audit = run_audit(planted, corpus=CORPUS, screens=SCREENS)
    with audit.run.connect() as db:
        kinds = {
            row[0] for row in db.execute("SELECT DISTINCT kind FROM findings WHERE screen = 'pii'").fetchall()
        }
        subjects = db.execute(
            "SELECT kind, documents, findings FROM subjects WHERE screen = 'pii'"
        ).fetchall()
    assert kinds >= set(PLANTED) - {"DISGUISED"}
    assert kinds >= {kind for kind, _, _ in CASES}
    assert all(1 <= documents <= findings for _, documents, findings in subjects)
    assert max(documents for _, documents, _ in subjects) >= 2  # the copies
    assert leaks(audit.run.folder) == set()


def test_the_search_itself_finds_a_leak(planted: Path, run_audit: Callable) -> None:
    audit = run_audit(planted, screens={"pii": {}})
    (audit.run.folder / "note.txt").write_text(PLANTED["EMAIL_ADDRESS"], encoding="utf-8")
    assert {name for name, _ in leaks(audit.run.folder)} == {"note.txt"}


def test_ids_addresses_and_labels_leave_nothing(tmp_path: Path, run_audit: Callable) -> None:
    email, phone = PLANTED["EMAIL_ADDRESS"], PLANTED["PHONE_NUMBER"]
    folder = tmp_path / "corpus"
    folder.mkdir()
    rows = [
        {"id": email, "text": page(1), "url": f"https://example.com/u?mail={email}", "source": email},
        {"id": phone, "text": page(2), "url": f"https://example.com/tel:{phone.replace(' ', '-')}"},
        {"id": "u", "text": page(3), "url": "https://bob:s3cr3tpw@example.com/", "source": f"by {email}"},
        {"id": "t", "text": page(4) + email, "url": f"https://example.com/?m={email.replace('@', '%40')}"},
    ]
    text = "\n".join(json.dumps(row) for row in rows)
    (folder / "pages.jsonl").write_text(text + "\n", encoding="utf-8")
    audit = run_audit(folder, screens=SCREENS)
    wanted = [email, email.split("@")[0], phone, phone[1:4] + ")-555", "555-0187", "s3cr3tpw"]
    assert holders(audit.run.folder, wanted) == set()


def test_numbers_and_tokens_in_ids_and_addresses_leave_nothing(tmp_path: Path, run_audit: Callable) -> None:
    card, iban = PLANTED["CREDIT_CARD"].replace(" ", ""), PLANTED["IBAN_CODE"].replace(" ", "")
    token = "gh" + "p_" + "a1B2c3" * 6
    folder = tmp_path / "corpus"
    folder.mkdir()
    rows = [
        {"id": f"order-{card}", "text": page(1), "url": f"https://example.com/pay?card={card}"},
        {"id": iban, "text": page(2), "url": f"https://example.com/{iban}/statement", "source": iban},
        {"id": token, "text": page(3), "url": f"https://example.com/r?access_token={token}"},
        {"id": "wärter.leakcheck@exämple.org", "text": page(4), "source": PLANTED["CREDIT_CARD"]},
    ]
    lines = [json.dumps(row) for row in rows]
    (folder / "pages.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    audit = run_audit(folder, screens=SCREENS)
    wanted = [card, iban, token, "wärter.leakcheck", PLANTED["CREDIT_CARD"]]
    assert holders(audit.run.folder, wanted) == set()


def test_a_file_name_stands_only_where_sources_are_read_again_from(
    tmp_path: Path, run_audit: Callable
) -> None:
    email = PLANTED["EMAIL_ADDRESS"]
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / f"mail-{email}.jsonl").write_text(json.dumps({"text": page(1)}) + "\n", encoding="utf-8")
    audit = run_audit(folder, screens={"pii": {}})
    assert holders(audit.run.folder, [email]) <= {"parts/shards.jsonl", "cache/inputs.jsonl"}

"""Secrets: formats are right, values are made up at run time so that no scanner takes them for real."""

from __future__ import annotations

import base64
import json
import time

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.pii.pii_budget import Budget
from audit.pii.pii_checks import letters_and_digits, luhn, mod97, not_placeholder, verhoeff
from audit.pii.pii_patterns import search_patterns
from audit.pii.pii_recognisers import built_in

SECRETS = built_in("secrets").recognisers
IDENTIFIERS = built_in("identifiers").recognisers
EVERYTHING = Budget(max_bytes=10**9, max_pattern_steps=10**18)
A1 = "a1B2c3D4e5"


def random_like(n: int) -> str:
    return (A1 * (n // 10 + 1))[:n]


def encoded(data: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")


JWT = ".".join([encoded({"alg": "HS256", "typ": "JWT"}), encoded({"sub": "nobody"}), random_like(43)])
BODY = "\n".join([random_like(64)] * 3)


def pem(label: str) -> str:
    return f"-----BEGIN {label}-----\n{BODY}\n-----END {label}-----"


#: Kind, text around, value.
CASES = [
    ("SECRET_PRIVATE_KEY", "{}", pem("RSA PRIVATE " + "KEY")),
    ("SECRET_PRIVATE_KEY", "{}", pem("OPENSSH PRIVATE " + "KEY")),
    ("SECRET_PRIVATE_KEY", "{}", pem("PGP PRIVATE " + "KEY BLOCK")),
    ("SECRET_AWS", "id {} ok", "AK" + "IA" + "Q2W3E4R5T6Y7U2I3"),
    ("SECRET_AWS", "aws_secret_access_key = {}\n", random_like(40)),
    *(("SECRET_GITHUB", "token {}.", f"gh{c}" + "_" + random_like(36)) for c in "pousr"),
    ("SECRET_GITHUB", "({})", "github" + "_pat_" + random_like(22) + "_" + random_like(59)),
    ("SECRET_GITLAB", "{}", "gl" + "pat-" + random_like(20)),
    ("SECRET_SLACK", "{}", "xo" + "xb-" + "123456789012-" + random_like(24)),
    ("SECRET_SLACK", "https://hooks.slack.com/services/{} ", "T0AAAAAAA/B0AAAAAAA/" + random_like(24)),
    ("SECRET_GOOGLE", "key={}&", "AI" + "za" + random_like(35)),
    ("SECRET_STRIPE", "'{}'", "sk" + "_live_" + random_like(24)),
    ("SECRET_NPM", "{}", "np" + "m_" + random_like(36)),
    ("SECRET_PYPI", "{}", "py" + "pi-AgE" + random_like(60)),
    ("SECRET_TWILIO", "twilio: {}", "S" + "K" + "0a1b" * 8),
    ("SECRET_SENDGRID", "{}", "S" + "G." + random_like(22) + "." + random_like(43)),
    ("SECRET_OPENAI", "{}", "s" + "k-" + random_like(20) + "T3Blbk" + "FJ" + random_like(20)),
    ("SECRET_OPENAI", "{}", "s" + "k-proj-" + random_like(48)),
    ("SECRET_ANTHROPIC", "{}", "s" + "k-ant-" + "api03-" + random_like(40)),
    ("SECRET_HUGGINGFACE", "{}", "h" + "f_" + "AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh"),
    ("SECRET_AZURE", "AccountKey={};", (random_like(86)) + "=="),
    ("SECRET_DISCORD", "discord {}", "M" + random_like(24) + ".AbCdEf." + random_like(27)),
    ("SECRET_TELEGRAM", "bot {} ", "123456789" + ":A" + "A" + random_like(33)),
    ("SECRET_JWT", "Bearer {}", JWT),
    ("SECRET_URL_PASSWORD", "{}/base", "postgres://" + "bob:s3cr3tpw" + "@db.example.com"),
    ("SECRET_PASSWORD", 'password = "{}"', "correcthorsebattery"),
    ("SECRET_PASSWORD", "DB_PASSWORD={}\n", "hunter2" + "zz"),
    ("SECRET_PASSWORD", '"passwd": "{}",', "tr0ub4dor" + "&3"),
    ("SECRET_PASSWORD", "contraseña: {}", "gato" + "1234"),
]


def found(text: str, recognisers: tuple = SECRETS) -> list[tuple[str, str]]:
    hits, over = search_patterns(pa.array([text]), recognisers, Budget())
    assert not any(flags.any() for flags in over.values())
    for hit in hits:
        assert text[hit.span.start : hit.span.end] == hit.value
        assert text[: hit.span.start].endswith(hit.before)
    return [(hit.span.kind, hit.value) for hit in hits]


@pytest.mark.parametrize(("kind", "around", "value"), CASES)
def test_secrets_are_found_where_they_stand(kind: str, around: str, value: str) -> None:
    for before in ("", "«Größe» 😀 "):
        assert (kind, value) in found(before + around.format(value))


@pytest.mark.parametrize(
    "text",
    [
        *("password = changeme", "password: <password>", "PASSWORD=${DB_PASSWORD}", "password = xxxx"),
        *("password: ****", "password=your_password_here", 'password = "{{ secret }}"', "Password: required"),
        *(
            "pwd = getpass.getpass()",
            "password=None",
            "passwords are 12 characters",
            "api_key = os.environ[1]",
        ),
        *(
            "https://example.com:8080/a@b",
            "http://user:${PASS}@example.com",
            "ftp://user:password@example.com",
        ),
        *("a task-force for risk-averse", "eyJ alone", "Asia and Asiatic", "-----BEGIN PRIVATE KEY-----"),
        "AK" + "IAIOSFODNN7EXAMPLE",
        "eyJhbGdv.eyJhbGdv." + random_like(20),
    ],
)
def test_placeholders_and_prose_are_clean(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("Date of birth: 01/02/1980.", "DATE_OF_BIRTH", "01/02/1980"),
        ("DOB 1980-02-01", "DATE_OF_BIRTH", "1980-02-01"),
        ("Fecha de nacimiento: 12/05/1970", "DATE_OF_BIRTH", "12/05/1970"),
        ("née le 3/4/1975", "DATE_OF_BIRTH", "3/4/1975"),
        ("Geburtsdatum: 3. Mai 1975", "DATE_OF_BIRTH", "3. Mai 1975"),
        ("born on 03/04/1975", "DATE_OF_BIRTH", "03/04/1975"),
        ("birthday: March 3, 1975", "DATE_OF_BIRTH", "March 3, 1975"),
        ("MRN: 00123456", "MEDICAL_RECORD_NUMBER", "00123456"),
        ("NHC: 1234567.", "MEDICAL_RECORD_NUMBER", "1234567"),
        ("Patientennummer 4711-0815", "MEDICAL_RECORD_NUMBER", "4711-0815"),
        ("dossier médical n° 123456", "MEDICAL_RECORD_NUMBER", "123456"),
        ("NASS: 12 34567890 12", "HEALTH_PLAN_NUMBER", "12 34567890 12"),
        ("NºCol: 28 28 12345", "PROFESSIONAL_LICENSE", "28 28 12345"),
        ("send to 0x" + "ab12" * 10, "CRYPTO", "0x" + "ab12" * 10),
    ],
)
def test_labels_tell_identifiers(text: str, kind: str, value: str) -> None:
    assert (kind, value) in found(text, IDENTIFIERS)


@pytest.mark.parametrize(
    "text", ["born in 1975", "dated 01/02/1980", "historia clínica del hospital", "0xab12"]
)
def test_without_label_or_number_there_is_nothing(text: str) -> None:
    assert found(text, IDENTIFIERS) == []


def test_a_label_does_not_reach_into_the_next_text() -> None:
    hits, _ = search_patterns(pa.array(["DOB:", "01/02/1980 DOB", "DOB"]), IDENTIFIERS, Budget())
    assert hits == []


def test_over_budget_is_said() -> None:
    hits, over = search_patterns(
        pa.array(["password " * 1000, "DOB: 01/02/1980"]), (*SECRETS, *IDENTIFIERS), Budget(max_bytes=500)
    )
    assert {kind for kind, flags in over.items() if flags.any()} == {"SECRET_PASSWORD"}
    assert over["SECRET_PASSWORD"].tolist() == [True, False]
    assert [hit.row for hit in hits] == [1]


@pytest.mark.parametrize(
    "unit", ["eyJ", "password=", "://a:", "-----BEGIN PRIVATE KEY-----\n", "dob 1", "AKIA"]
)
def test_work_is_linear_on_odd_text(unit: str) -> None:
    began = time.process_time()
    search_patterns(pa.array([unit * (400_000 // len(unit))]), (*SECRETS, *IDENTIFIERS), EVERYTHING)
    assert time.process_time() - began < 10


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(
            st.sampled_from([c[1].format(c[2]) for c in CASES] + [" ", "é", "😀", "x", "\n", "dob: 1/2/1980"])
        ).map("".join),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 2),
)
def test_offsets_are_code_points_in_any_slice(texts: list[str], skip: int) -> None:
    array = pa.array(["skipped é"] * skip + texts).slice(skip)
    hits, _ = search_patterns(array, (*SECRETS, *IDENTIFIERS), EVERYTHING)
    for hit in hits:
        assert texts[hit.row][hit.span.start : hit.span.end] == hit.value


def test_check_digits() -> None:
    assert luhn("4111 1111 1111 1111")
    assert not luhn("4111 1111 1111 1112")
    assert mod97("GB82 WEST 1234 5698 7654 32")
    assert not mod97("GB82 WEST 1234 5698 7654 33")
    assert verhoeff("2363")  # 236 with check digit 3, the usual example
    assert not verhoeff("2364")
    assert letters_and_digits("a1")
    assert not letters_and_digits("ab")
    assert not not_placeholder("changeme")
    assert not_placeholder("hunter2")

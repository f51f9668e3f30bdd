"""Texts made to stall the pii screen: what each costs, and what is said of it.

    python -m benchmarks.pii_hostile [--megabytes 10] [--only NAME…]

Prints a Markdown table: CPU seconds of the whole screen on one document, findings, and the kinds that it was
not evaluated for. Budgets count work, so the last columns are the same on every machine.
"""

from __future__ import annotations

import argparse
import time

import pyarrow as pa

from audit.screens import ScreenContext
from audit.screens.pii import Pii

_KEY = bytes(range(32))
#: What is repeated; see ``text_of`` for those that are not repetitions.
UNITS = {
    "digits": "7",
    "zeros": "0",
    "digits and spaces": "1 ",
    "1-1-1": "1-",
    "digits and dots": "12.",
    "digits and slashes": "12/",
    "digits and brackets": "(1",
    "plus signs": "+",
    "+1+1+1": "+1",
    "full-width digits": "\uff11",
    "Arabic digits": "\u0661\u0661\u0661 ",
    "marks of extensions": "1x2 ",
    "extensions": "123 ext 4 ",
    "broken numbers": "1 2 3 4 5 6 7 8 9 ",
    "valid phone numbers": "212-555-0123, ",
    "foreign phone numbers": "+33 1 23 45 67 89, ",
    "valid cards": "4111 1111 1111 1111, ",
    "valid IBANs": "GB82 WEST 1234 5698 7654 32, ",
    "social security numbers": "219-09-9999, ",
    "e-mail addresses": "jane@example.com, ",
    "signs": "@",
    "a.a.a.@": "a.a.a.a@",
    "IP addresses": "192.0.2.17, ",
    "colons": "a:",
    "double colons": "::1 ",
    "MAC addresses": "aa:bb:cc:dd:ee:ff, ",
    "wallets": "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa ",
    "long words": "a",
    "emoji": "\U0001f600",
    "(at)": "(at)",
    "nested disguises": "&amp;#64;[at](at)",
    "spoken addresses": "a at b dot c ",
    "entities": "&#49;",
    "percent signs": "%40",
    "no width": "a\u200b",
    "passwords": "password=hunter2zz ",
    "private keys": "-----BEGIN PRIVATE KEY-----\n",
    "birthdays": "dob 1/2/1980 ",
    "tokens": "eyJhbGci.eyJhbGci.",
    "line ends": "\n",
}
_FRAMED = {"one mark, repeated": ("2125551", "x", "2125551"), "a long local part": ("", "a.", "@example.com")}


def text_of(name: str, size: int) -> str:
    """Return a hostile text of about ``size`` bytes."""
    if name in _FRAMED:
        before, unit, after = _FRAMED[name]
        return before + unit * (size // len(unit)) + after
    unit = UNITS[name]
    return unit * (size // len(unit.encode()))


def names() -> list[str]:
    """Return the names of the texts."""
    return [*UNITS, *_FRAMED]


def measured(screen: Pii, text: str) -> tuple[float, int | None, list[str]]:
    """Return CPU seconds, findings and the kinds that were not evaluated."""
    batch = pa.record_batch({"text": pa.array([text], pa.large_string())})
    begin = time.process_time()
    result = screen.measure(batch, ScreenContext({}, _KEY))
    seconds = time.process_time() - begin
    columns = result.measurements
    return seconds, columns["findings"][0].as_py(), columns["not_evaluated"][0].as_py() or []


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, default=10)
    parser.add_argument("--only", nargs="*", choices=names(), default=names())
    options = parser.parse_args()
    screen = Pii()
    for name in names():
        measured(screen, text_of(name, 1000))  # compiles the kernels
    print("| text | CPU seconds | findings | not evaluated for |")
    print("| --- | ---: | ---: | --- |")
    for name in options.only:
        seconds, findings, kinds = measured(screen, text_of(name, int(options.megabytes * 1e6)))
        shown = "none made" if findings is None else f"{findings:,}"
        print(f"| {name} | {seconds:.2f} | {shown} | {', '.join(kinds)} |", flush=True)


if __name__ == "__main__":
    main()

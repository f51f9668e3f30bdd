"""Personal values in what a source calls a document: ids, addresses and labels, masked before they are kept.

An id may be an e-mail address, and the query of a URL may hold one, or a phone number. What looks like one
is replaced by its masked preview; the rest of the identifier stays, so that it can still be told from others.
Where two become the same, documents keep their place by shard and position.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from audit.masking import mask

#: A user name and password before the host.
_USER = r"://[^/?#\s@]+@"
#: Also percent-encoded, as in the query of a URL.
_EMAIL = r"[A-Za-z0-9.!#$%&'*+_\-]*[A-Za-z0-9](?:@|%40)[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)+"
#: Only in a spelling that means a phone: bare digits are the commonest kind of id.
_PHONE = (
    r"(?:\+|%2[Bb])[1-9](?:[ ().\-]|%20)?(?:[0-9][ ().\-]{0,2}){6,13}[0-9]"
    r"|\(?\b[2-9][0-9]{2}\)?[ .\-][2-9][0-9]{2}[ .\-][0-9]{4}\b"
    r"|\b(?i:tel|phone|mobile|fax|whatsapp|msisdn)[=:/]/?[0-9][0-9 ().\-]{5,}[0-9]"
)
_ANY = f"(?:{_USER})|(?:{_EMAIL})|(?:{_PHONE})"
_VALUE = re.compile(f"(?P<user>{_USER})|(?P<email>{_EMAIL})|(?P<phone>{_PHONE})", re.ASCII)


def mask_identifiers(column: pa.Array) -> pa.Array:
    """Mask what looks like an e-mail address or a phone number; drop the user name of a URL.

    Args:
        column: n strings, nulls allowed.

    Returns:
        n strings; the same array where nothing had to be masked.
    """
    suspect = pc.fill_null(pc.match_substring_regex(column, _ANY), False)
    if not pc.any(suspect).as_py():
        return column
    masked = [mask_identifier(value) for value in column.filter(suspect).to_pylist()]
    return pc.replace_with_mask(column, suspect, pa.array(masked, column.type))


def mask_identifier(text: str) -> str:
    """The same for one text, such as the name of a file."""
    return _VALUE.sub(_masked, text)


def _masked(match: re.Match[str]) -> str:
    if match["user"]:
        return "://"
    if match["email"]:
        return mask(match["email"].replace("%40", "@"), "EMAIL_ADDRESS")
    return mask(match["phone"], "PHONE_NUMBER")

"""SipHash against its authors' vectors and a plain reference."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.kernels.hashing import PUBLIC_KEY, hex128, siphash64, siphash128

#: Key 00..0f; message 00, 01 … of the length (github.com/veorq/SipHash, vectors.h).
KEY = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
VECTORS_64 = {
    0: "310e0edd47db6f72",
    1: "fd67dc93c539f874",
    7: "37d1018bf50002ab",
    8: "6224939a79f5f593",
    15: "e545be4961ca29a1",
    63: "724506eb4c328a95",
}
VECTORS_128 = {
    0: "a3817f04ba25a8e66df67214c7550293",
    1: "da87c1d86b99af44347659119b22fc45",
    7: "a1f1ebbed8dbc153c0b84aa61ff08239",
    8: "3b62a9ba6258f5610f83e264f31497b4",
    63: "5150d1772f50834a503e069a973fbd7c",
}
MASK = 2**64 - 1


def reference(message: bytes, key: tuple[int, int], wide: bool) -> bytes:
    v = [
        key[0] ^ 0x736F6D6570736575,
        key[1] ^ 0x646F72616E646F6D ^ (0xEE if wide else 0),
        key[0] ^ 0x6C7967656E657261,
        key[1] ^ 0x7465646279746573,
    ]

    def rotate(x: int, by: int) -> int:
        return (x << by | x >> (64 - by)) & MASK

    def rounds(count: int) -> None:
        for _ in range(count):
            for a, b, first in ((0, 1, 13), (2, 3, 16)):
                v[a] = (v[a] + v[b]) & MASK
                v[b] = rotate(v[b], first) ^ v[a]
            v[0] = rotate(v[0], 32)
            for a, b, second in ((2, 1, 17), (0, 3, 21)):
                v[a] = (v[a] + v[b]) & MASK
                v[b] = rotate(v[b], second) ^ v[a]
            v[2] = rotate(v[2], 32)

    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) & 255])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xEE if wide else 0xFF
    rounds(4)
    out = (v[0] ^ v[1] ^ v[2] ^ v[3]).to_bytes(8, "little")
    if wide:
        v[1] ^= 0xDD
        rounds(4)
        out += (v[0] ^ v[1] ^ v[2] ^ v[3]).to_bytes(8, "little")
    return out


def test_authors_vectors():
    messages = pa.array([bytes(range(n)) for n in VECTORS_64], pa.binary())
    assert [h.tobytes().hex() for h in siphash64(messages, KEY)] == list(VECTORS_64.values())
    messages = pa.array([bytes(range(n)) for n in VECTORS_128], pa.binary())
    assert hex128(siphash128(messages, KEY)).to_pylist() == list(VECTORS_128.values())


@given(st.lists(st.binary(max_size=40)), st.tuples(*[st.integers(0, MASK)] * 2))
def test_any_bytes_match_the_reference(values, key):
    array = pa.array(values, pa.binary())
    assert [h.tobytes() for h in siphash128(array, key)] == [reference(v, key, True) for v in values]
    assert [h.tobytes() for h in siphash64(array, key)] == [reference(v, key, False) for v in values]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_slices_nulls_and_types_do_not_matter(kind):
    array = pa.array(["one", None, "", "three", "four"], kind)
    whole = siphash128(array, PUBLIC_KEY)
    assert (whole[1] == whole[2]).all()
    assert (siphash128(array.slice(2, 2), PUBLIC_KEY) == whole[2:4]).all()
    assert siphash128(array.slice(5), PUBLIC_KEY).shape == (0, 2)


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="int64"):
        siphash64(pa.array([1]), KEY)


def test_hex_of_nothing():
    assert hex128(np.empty((0, 2), np.uint64)).to_pylist() == []

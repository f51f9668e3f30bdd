"""64 bytes of text at a time, as bit masks: what a kernel must know of each byte before it walks them.

NumPy and Numba have no word for "which of these bytes", so these are written for LLVM, which makes vector
instructions of them on any machine. All read exactly ``BLOCK`` bytes (``four_bytes``: 4) from any place:
``at + BLOCK`` must not lie beyond the array, which nothing checks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

from audit.kernels.buffers import Bytes

U = np.uint64

#: Bytes in a block: one bit of a mask each, the first byte the lowest.
BLOCK = 64

_ALL = U(0xFFFFFFFFFFFFFFFF)
_BYTE, _MASK = ir.IntType(8), ir.IntType(64)
_VECTOR = ir.VectorType(_BYTE, BLOCK)
_SIGNED = types.int64


def _pointer(
    context: Any, builder: ir.IRBuilder, array: Any, value: ir.Value, at: ir.Value, kind: ir.Type
) -> Any:
    data = context.make_array(array)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [at]), kind.as_pointer())


def _same(value: int) -> ir.Constant:
    return ir.Constant(_VECTOR, [ir.Constant(_BYTE, value)] * BLOCK)


def _load(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
    place = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], _VECTOR)
    return builder.load(place, align=1)


def _within(builder: ir.IRBuilder, block: ir.Value, low: int, high: int) -> ir.Value:
    return builder.icmp_unsigned("<=", builder.sub(block, _same(low)), _same(high - low))


def _to_mask(builder: ir.IRBuilder, flags: ir.Value) -> ir.Value:
    return builder.bitcast(flags, _MASK)


def _mask_of(test: Callable[[ir.IRBuilder, ir.Value], ir.Value]) -> Callable[[Bytes, int], U]:
    """An intrinsic (data, at) -> mask of the bytes that pass a test."""

    def typed(_context: Any, data: Any, _at: Any) -> tuple[Any, Callable[..., Any]]:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            return _to_mask(builder, test(builder, _load(context, builder, signature, arguments)))

        return types.uint64(data, _SIGNED), generate

    return cast(Callable[[Bytes, int], U], intrinsic(typed))


def _is_letter(builder: ir.IRBuilder, block: ir.Value) -> ir.Value:
    return _within(builder, builder.or_(block, _same(0x20)), 0x61, 0x7A)


def _is_digit(builder: ir.IRBuilder, block: ir.Value) -> ir.Value:
    return _within(builder, block, 0x30, 0x39)


def _is_space(builder: ir.IRBuilder, block: ir.Value) -> ir.Value:
    return builder.or_(_within(builder, block, 0x09, 0x0D), _within(builder, block, 0x1C, 0x20))


def _is_line_break(builder: ir.IRBuilder, block: ir.Value) -> ir.Value:
    feed = builder.icmp_unsigned("==", block, _same(0x0A))
    return builder.or_(feed, builder.icmp_unsigned("==", block, _same(0x0D)))


def _is_high(builder: ir.IRBuilder, block: ir.Value) -> ir.Value:
    return builder.icmp_signed("<", block, _same(0))


#: Bytes beyond ASCII.
high_bytes = _mask_of(_is_high)
#: ASCII letters, digits, and white space as ``unicode_tables`` has it (with the four information separators).
ascii_letters = _mask_of(_is_letter)
ascii_digits = _mask_of(_is_digit)
ascii_spaces = _mask_of(_is_space)
#: Line feeds and carriage returns.
line_breaks = _mask_of(_is_line_break)


def _write_lower(_context: Any, data: Any, _at: Any, out: Any, _end: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        block = _load(context, builder, signature, arguments)
        capital = _within(builder, block, 0x41, 0x5A)
        lower = builder.select(capital, builder.or_(block, _same(0x20)), block)
        found = builder.select(_is_space(builder, block), _same(0x20), lower)
        place = _pointer(context, builder, signature.args[2], arguments[2], arguments[3], _VECTOR)
        builder.store(found, place, align=1)
        return context.get_dummy_value()

    return types.void(data, _SIGNED, out, _SIGNED), generate


#: (data, at, out, end): write a block in lower case, and a space for each white space, to ``out[end:]``.
write_lower = cast(Callable[[Bytes, int, Bytes, int], None], intrinsic(_write_lower))


def _word(bits: int) -> Callable[[Bytes, int], U]:
    """An intrinsic (data, at) -> so many bits as an integer, the first byte the lowest."""
    kind = ir.IntType(bits)

    def typed(_context: Any, data: Any, _at: Any) -> tuple[Any, Callable[..., Any]]:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            place = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], kind)
            return builder.zext(builder.load(place, align=1), _MASK)

        return types.uint64(data, _SIGNED), generate

    return cast(Callable[[Bytes, int], U], intrinsic(typed))


#: 4 bytes as an integer, on the little-endian machines that Arrow's buffers are made for.
four_bytes = _word(32)


def _bit_count(name: str) -> Callable[[U], U]:
    def typed(_context: Any, _value: Any) -> tuple[Any, Callable[..., Any]]:
        def generate(_: Any, builder: ir.IRBuilder, __: Any, arguments: Sequence[ir.Value]) -> Any:
            if name == "cttz":
                return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))
            return builder.ctpop(arguments[0])

        return types.uint64(types.uint64), generate

    return cast(Callable[[U], U], intrinsic(typed))


#: Number of zero bits under the lowest one bit; 64 for 0.
zeros_below = _bit_count("cttz")
#: Number of one bits.
ones = _bit_count("ctpop")


@njit(nogil=True, cache=True, inline="always")
def lowest(n: U) -> U:
    """The n lowest bits, n from 0 to 64."""
    return _ALL if n > U(63) else (U(1) << n) - U(1)

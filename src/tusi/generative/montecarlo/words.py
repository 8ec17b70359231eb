"""Eight 64-bit words as one value inside compiled loops: the compiler need not guess what lies side by side.

On processors whose registers are shorter the compiler splits the value.
"""

# ruff: noqa: ARG001, ARG005, PLW0108 (Numba asks for these signatures)

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.extending import models, overload, register_model

intrinsic: Any = extending.intrinsic

N_WORDS = 8
"""64-bit words in one value: the longest vector registers."""


class WordsType(types.Type):
    """Numba's name for the value."""

    def __init__(self) -> None:
        super().__init__(name="Words")


WORDS = WordsType()
_VECTOR = ir.VectorType(ir.IntType(64), N_WORDS)


@register_model(WordsType)
class _WordsModel(models.PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, _VECTOR)


def _place(context, builder, array, values):
    """Return a pointer to a row of a contiguous array of eight columns."""
    data = context.make_array(array)(context, builder, values[0]).data
    start = builder.mul(values[1], ir.Constant(values[1].type, N_WORDS))
    return builder.bitcast(builder.gep(data, [start]), _VECTOR.as_pointer())


def _spread(builder, value):
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    same = ir.Constant(ir.VectorType(ir.IntType(32), N_WORDS), None)
    return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), same)


@intrinsic
def load(_context, array, row):
    """Read a row."""

    def generate(context, builder, signature, values):
        words = builder.load(_place(context, builder, signature.args[0], values))
        words.align = 8
        return words

    return WORDS(array, types.intp), generate


@intrinsic
def store(_context, array, row, words):
    """Write a row."""

    def generate(context, builder, signature, values):
        builder.store(values[2], _place(context, builder, signature.args[0], values), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, WORDS), generate


@intrinsic
def spread(_context, word):
    """Return the same word eight times."""
    return WORDS(types.uint64), lambda context, builder, signature, values: _spread(builder, values[0])


@intrinsic
def shift_left(_context, words, places):
    """Move the bits of every word."""

    def generate(context, builder, signature, values):
        return builder.shl(values[0], _spread(builder, values[1]))

    return WORDS(WORDS, types.uint64), generate


@intrinsic
def shift_right(_context, words, places):
    """Move the bits of every word."""

    def generate(context, builder, signature, values):
        return builder.lshr(values[0], _spread(builder, values[1]))

    return WORDS(WORDS, types.uint64), generate


@intrinsic
def any_bit(_context, words):
    """Return whether some bit is set."""

    def generate(context, builder, signature, values):
        lanes = builder.icmp_unsigned("!=", values[0], ir.Constant(_VECTOR, None))
        return builder.icmp_unsigned("!=", builder.bitcast(lanes, ir.IntType(N_WORDS)), ir.IntType(N_WORDS)(0))

    return types.boolean(WORDS), generate


def _define(operation: Callable, instruction: str) -> None:
    """Let an operator act on all words."""

    @intrinsic
    def act(_context, first, second):
        def generate(context, builder, signature, values):
            return getattr(builder, instruction)(*values)

        return WORDS(WORDS, WORDS), generate

    @overload(operation)
    def act_on_words(first, second):
        if first == second == WORDS:
            return lambda first, second: act(first, second)
        return None


_define(operator.and_, "and_")
_define(operator.or_, "or_")
_define(operator.xor, "xor")
_define(operator.add, "add")

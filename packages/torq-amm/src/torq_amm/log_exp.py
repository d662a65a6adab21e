"""Powers of 18-decimal fixed-point numbers, digit for digit as Balancer V2 computes them.

Source: ``LogExpMath.sol`` and ``FixedPoint.sol`` of Balancer V2. Every division there truncates
towards zero, so intermediate logarithms below zero need :func:`_div`.
"""

from __future__ import annotations

from torq_types import SwapError

__all__ = ["ONE", "complement", "div_down", "div_up", "mul_down", "mul_up", "pow_down", "pow_up"]

ONE = 10**18
_ONE_20 = 10**20
_ONE_36 = 10**36
_MAX_POW_RELATIVE_ERROR = 10000
_MAX_NATURAL_EXPONENT = 130 * ONE
_MIN_NATURAL_EXPONENT = -41 * ONE
_LN_36_LOWER = ONE - 10**17
_LN_36_UPPER = ONE + 10**17
_MILD_EXPONENT_BOUND = 2**254 // _ONE_20

_LARGE = (
    (128 * ONE, 38877084059945950922200000000000000000000000000000000000),
    (64 * ONE, 6235149080811616882910000000),
)
"""``x`` and ``e**x`` without decimals."""
_SMALL = (
    (32 * _ONE_20, 7896296018268069516100000000000000),
    (16 * _ONE_20, 888611052050787263676000000),
    (8 * _ONE_20, 298095798704172827474000),
    (4 * _ONE_20, 5459815003314423907810),
    (2 * _ONE_20, 738905609893065022723),
    (1 * _ONE_20, 271828182845904523536),
    (_ONE_20 // 2, 164872127070012814685),
    (_ONE_20 // 4, 128402541668774148407),
    (_ONE_20 // 8, 113314845306682631683),
    (_ONE_20 // 16, 106449445891785942956),
)
"""``x`` and ``e**x`` with 20 decimals. The exponential stops after the eighth."""
_EXP_TERMS = 8
_TAYLOR_ORDER = 12


def mul_down(a: int, b: int) -> int:
    """``a * b``, rounded down."""
    return a * b // ONE


def mul_up(a: int, b: int) -> int:
    """``a * b``, rounded up."""
    return -(-a * b // ONE)


def div_down(a: int, b: int) -> int:
    """``a / b``, rounded down."""
    return a * ONE // b


def div_up(a: int, b: int) -> int:
    """``a / b``, rounded up."""
    return -(-a * ONE // b)


def complement(x: int) -> int:
    """``1 - x``, 0 for anything above 1."""
    return max(0, ONE - x)


def pow_down(x: int, y: int) -> int:
    """``x ** y`` less the largest error that the computation may have.

    Raises :class:`SwapError` where the contract reverts. Source: ``FixedPoint.powDown``.
    """
    raw = _pow(x, y)
    return max(0, raw - mul_up(raw, _MAX_POW_RELATIVE_ERROR) - 1)


def pow_up(x: int, y: int) -> int:
    """``x ** y`` plus the largest error that the computation may have.

    Raises :class:`SwapError` where the contract reverts. Source: ``FixedPoint.powUp``.
    """
    raw = _pow(x, y)
    return raw + mul_up(raw, _MAX_POW_RELATIVE_ERROR) + 1


def _pow(x: int, y: int) -> int:
    """``LogExpMath.pow``: ``exp(y * ln(x))``."""
    if y == 0:
        return ONE
    if x == 0:
        return 0
    if x >> 255 or y >= _MILD_EXPONENT_BOUND:
        raise SwapError("a power's base or exponent is out of bounds: the contract reverts")
    if _LN_36_LOWER < x < _LN_36_UPPER:
        logarithm = _ln_36(x)
        whole = _div(logarithm, ONE)
        product = whole * y + _div((logarithm - whole * ONE) * y, ONE)
    else:
        product = _ln(x) * y
    product = _div(product, ONE)
    if not _MIN_NATURAL_EXPONENT <= product <= _MAX_NATURAL_EXPONENT:
        raise SwapError("a power's result is out of bounds: the contract reverts")
    return _exp(product)


def _exp(x: int) -> int:
    """``LogExpMath.exp``: the large powers of e by table, the rest by its Taylor series."""
    if x < 0:
        return _ONE_36 // _exp(-x)
    first = 1
    for exponent, power in _LARGE:
        if x >= exponent:
            x -= exponent
            first = power
            break
    x *= 100
    product = _ONE_20
    for exponent, power in _SMALL[:_EXP_TERMS]:
        if x >= exponent:
            x -= exponent
            product = product * power // _ONE_20
    series = _ONE_20 + x
    term = x
    for order in range(2, _TAYLOR_ORDER + 1):
        term = term * x // _ONE_20 // order
        series += term
    return product * series // _ONE_20 * first // 100


def _ln(a: int) -> int:
    """``LogExpMath._ln``: divide the large powers of e out, then the series of artanh."""
    if a < ONE:
        return -_ln(_ONE_36 // a)
    total = 0
    for exponent, power in _LARGE:
        if a >= power * ONE:
            a //= power
            total += exponent
    total *= 100
    a *= 100
    for exponent, power in _SMALL:
        if a >= power:
            a = a * _ONE_20 // power
            total += exponent
    z = (a - _ONE_20) * _ONE_20 // (a + _ONE_20)
    return (total + 2 * _artanh(z, _ONE_20, 11)) // 100


def _ln_36(x: int) -> int:
    """``LogExpMath._ln_36``: 36 decimals for arguments close to one."""
    x *= ONE
    z = _div((x - _ONE_36) * _ONE_36, x + _ONE_36)
    return 2 * _artanh(z, _ONE_36, 15)


def _artanh(z: int, one: int, last: int) -> int:
    """``z + z**3/3 + ... + z**last/last``."""
    square = _div(z * z, one)
    number = series = z
    for order in range(3, last + 1, 2):
        number = _div(number * square, one)
        series += _div(number, order)
    return series


def _div(a: int, b: int) -> int:
    """Division that truncates towards zero, as Solidity's signed one; ``b`` is above 0."""
    return a // b if a >= 0 else -(-a // b)

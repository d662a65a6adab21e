"""Exact decimals: an exchange's digits, kept as they came."""

from __future__ import annotations

import re
from decimal import Decimal

import msgspec

from torq_types.errors import PrecisionError

__all__ = ["I64_MAX", "I64_MIN", "Decimal64"]

I64_MAX = 2**63 - 1
I64_MIN = -(2**63)

_PLAIN = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?", re.ASCII)


class Decimal64(msgspec.Struct, frozen=True, gc=False):
    """``mantissa * 10**exponent`` with every digit of its source, trailing zeros included.

    ``Decimal64.parse("0.04317000")`` is 4317000 x 10^-8 and prints as it came. Equality is that of
    the digits (``"1.0"`` is not ``"1.00"``); compare values with :meth:`to_decimal` or
    :meth:`scaled`.
    """

    mantissa: int
    """Signed 64-bit."""
    exponent: int
    """Signed 8-bit power of ten."""

    @classmethod
    def parse(cls, text: str) -> Decimal64:
        """Read plain decimal notation, digit by digit.

        Raises :class:`PrecisionError` when the text is in a form that could not be printed back
        the same (an exponent, a plus sign, padding zeros in front, a negative zero) or when its
        digits do not fit 64 bits. Nothing is ever rounded.
        """
        whole, point, fraction = text.partition(".")
        digits = whole + fraction
        if (
            # What nearly every number looks like, told without a regular expression.
            len(digits) < 19 and digits.isdecimal() and digits.isascii()
            and (whole == "0" or whole[:1] not in ("0", "")) and (fraction or not point)
        ):  # fmt: skip
            return cls(int(digits), -len(fraction))
        return cls._parse(text)

    @classmethod
    def _parse(cls, text: str) -> Decimal64:
        """The whole grammar, with what to say when a text does not follow it."""
        match = _PLAIN.fullmatch(text)
        if match is None:
            raise PrecisionError(
                f"found {text[:80]!r} for a decimal; expected plain digits such as '0.04317000' "
                "(no exponent, no plus sign, no leading zeros), so that it prints back unchanged"
            )
        sign, whole, fraction = match.groups()
        digits = (whole if fraction is None else whole + fraction).lstrip("0")
        # int() of a hostile megabyte of digits would take seconds: 20 are too many already.
        mantissa = int(digits or "0") if len(digits) < 20 else I64_MAX + 1
        exponent = 0 if fraction is None else -len(fraction)
        if sign:
            if not digits:
                raise PrecisionError(
                    f"found {text[:80]!r}; a negative zero has no exact form, expected '0' digits"
                )
            mantissa = -mantissa
        if not I64_MIN <= mantissa <= I64_MAX or len(digits) >= 20 or exponent < -128:
            raise PrecisionError(
                f"{text[:80]!r} does not fit a 64-bit mantissa with an exponent down to -128; "
                "it is reported with its text instead of being rounded"
            )
        return cls(mantissa, exponent)

    def __str__(self) -> str:
        if self.exponent >= 0:
            return str(self.mantissa * 10**self.exponent)
        digits = str(abs(self.mantissa)).rjust(1 - self.exponent, "0")
        sign = "-" if self.mantissa < 0 else ""
        return f"{sign}{digits[: self.exponent]}.{digits[self.exponent :]}"

    def to_decimal(self) -> Decimal:
        """The same value as a :class:`decimal.Decimal`, with the same digits."""
        sign = 1 if self.mantissa < 0 else 0
        digits = tuple(int(digit) for digit in str(abs(self.mantissa)))
        return Decimal((sign, digits, self.exponent))

    def scaled(self, exponent: int) -> int:
        """The value as an integer count of ``10**exponent``.

        Raises :class:`PrecisionError` when ``exponent`` is too coarse to hold every digit.
        """
        shift = self.exponent - exponent
        if shift >= 0:
            return int(self.mantissa * 10**shift)
        quotient, remainder = divmod(self.mantissa, 10**-shift)
        if remainder:
            raise PrecisionError(f"{self} is not a whole number of 10^{exponent}")
        return int(quotient)

    @classmethod
    def from_scaled(cls, amount: int, exponent: int) -> Decimal64:
        """``amount * 10**exponent``, shedding trailing zeros only when 64 bits require it."""
        while not I64_MIN <= amount <= I64_MAX:
            amount, remainder = divmod(amount, 10)
            if remainder:
                raise PrecisionError("an amount needs more than 64 bits of significant digits")
            exponent += 1
        if not -128 <= exponent <= 127:
            raise PrecisionError(f"exponent {exponent} is outside -128..127")
        return cls(amount, exponent)

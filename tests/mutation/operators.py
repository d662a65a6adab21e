"""What a mutant changes: cosmic-ray's operators, and those that trading code needs beside them.

cosmic-ray changes operators, comparisons, constants, branches and loops. It knows neither rounding
(``//`` the other way), nor which of two things is the larger, nor calls that are left out, nor
arguments that are swapped: a trade's side, a price and a size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import parso
from cosmic_ray.operators.operator import Operator
from cosmic_ray.operators.provider import OperatorProvider

__all__ = ["OPERATORS"]

Position = tuple[tuple[int, int], tuple[int, int]]

_CORE: Final = (
    "ReplaceBinaryOperator_Add_Sub",
    "ReplaceBinaryOperator_Sub_Add",
    "ReplaceBinaryOperator_Mul_FloorDiv",
    "ReplaceBinaryOperator_FloorDiv_Mul",
    "ReplaceBinaryOperator_Mod_FloorDiv",
    "ReplaceBinaryOperator_Pow_Mul",
    "ReplaceBinaryOperator_LShift_RShift",
    "ReplaceBinaryOperator_RShift_LShift",
    "ReplaceBinaryOperator_BitAnd_BitOr",
    "ReplaceBinaryOperator_BitOr_BitAnd",
    "ReplaceBinaryOperator_BitXor_BitOr",
    "ReplaceComparisonOperator_Eq_NotEq",
    "ReplaceComparisonOperator_NotEq_Eq",
    "ReplaceComparisonOperator_Lt_LtE",
    "ReplaceComparisonOperator_LtE_Lt",
    "ReplaceComparisonOperator_Gt_GtE",
    "ReplaceComparisonOperator_GtE_Gt",
    "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_IsNot_Is",
    "ReplaceUnaryOperator_USub_UAdd",
    "ReplaceUnaryOperator_Delete_Not",
    "AddNot",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "NumberReplacer",
    "ZeroIterationForLoop",
)


class _Rewrite(Operator):  # type: ignore[misc]  # cosmic-ray has no types
    """Writes one node anew, from its code."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        """Where it can."""
        if self.rewritten(node) is not None:
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """Do it."""
        new: Any = parso.parse(self.rewritten(node))  # type: ignore[no-untyped-call,unused-ignore]
        new.get_first_leaf().prefix = node.get_first_leaf().prefix
        return new

    def rewritten(self, node: Any) -> str | None:
        """The new code of ``node``, or None for a node that is none of its own."""
        raise NotImplementedError

    @classmethod
    def examples(cls) -> tuple[()]:
        """None: :mod:`test_mutation` has them."""
        return ()


class RoundTheOtherWay(_Rewrite):
    """``a // b`` becomes ``-(-(a) // b)``: a division that rounds up."""

    def rewritten(self, node: Any) -> str | None:
        """See :class:`_Rewrite`."""
        if node.type != "term" or len(node.children) != 3 or node.children[1].value != "//":
            return None
        left, _, right = (child.get_code(include_prefix=False) for child in node.children)
        return f"(-(-({left}) // {right}))"


class SwapExtremes(_Rewrite):
    """``min`` becomes ``max``, and the other way round."""

    def rewritten(self, node: Any) -> str | None:
        """See :class:`_Rewrite`."""
        if node.type != "name" or node.parent.type not in ("atom_expr", "power"):
            return None
        return {"min": "max", "max": "min"}.get(node.value)


class DropCall(_Rewrite):
    """A call whose result nobody wants is left out."""

    def rewritten(self, node: Any) -> str | None:
        """See :class:`_Rewrite`."""
        if node.type not in ("atom_expr", "power") or node.parent.type != "simple_stmt":
            return None
        last = node.children[-1]
        is_call = last.type == "trailer" and last.children[0].value == "("
        return "..." if is_call else None


class SwapArguments(_Rewrite):
    """The first two positional arguments of a call change places."""

    def rewritten(self, node: Any) -> str | None:
        """See :class:`_Rewrite`."""
        if node.type != "arglist" or node.parent.type != "trailer":
            return None
        if node.parent.get_previous_leaf().value in ("min", "max"):
            return None  # the same in either order
        given = [child for child in node.children if child.type != "operator"]
        if len(given) < 2 or any(
            child.type in ("argument", "star_expr") or child.get_code().lstrip().startswith("*")
            for child in given[:2]
        ):
            return None
        codes = [child.get_code(include_prefix=False) for child in given]
        return ", ".join([codes[1], codes[0], *codes[2:]])


_provider = OperatorProvider()
OPERATORS: Final[tuple[Operator, ...]] = (
    *(_provider[name]() for name in _CORE),
    RoundTheOtherWay(),
    SwapExtremes(),
    DropCall(),
    SwapArguments(),
)

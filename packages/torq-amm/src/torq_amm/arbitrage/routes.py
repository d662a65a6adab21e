"""Cycles of tokens, before it is said which pool makes each step.

Most pools share their tokens with others: cycles are kept by pairs of tokens, so that a hundred
pools of one pair are one entry. A pair is directed: ``pair ^ 1`` is its reverse.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["Routes"]

Rows = dict[tuple[int, ...], None]
"""In the order of finding; each the pairs that lead back from a pair's end to its beginning."""


class Routes:
    """Simple cycles of three and more pairs through each pair, found when first asked for.

    From then on they are kept up to date: a new pair adds the cycles that it closes, a pair that
    goes takes its own along.
    """

    def __init__(self, max_hops: int) -> None:
        if not 2 <= max_hops <= 4:
            raise ValueError(f"cycles have 2 to 4 hops; found max_hops={max_hops}")
        self.max_hops = max_hops
        self._ends: list[tuple[int, int]] = []
        self._numbers: dict[tuple[int, int], int] = {}
        self._leaving: dict[int, dict[int, int]] = {}
        """By token: the tokens next to it, and the pairs that lead there."""
        self._rows: dict[int, dict[int, Rows]] = {}
        """By pair and number of hops."""
        self._arrays: dict[tuple[int, int], npt.NDArray[np.intp]] = {}

    def pair(self, token_in: int, token_out: int) -> int | None:
        """The number of a pair, if there is one."""
        return self._leaving.get(token_in, {}).get(token_out)

    def neighbours(self, token: int) -> list[int]:
        """The tokens that a pair joins to ``token``."""
        return list(self._leaving.get(token, ()))

    def add(self, token_in: int, token_out: int) -> int:
        """The number of a pair, new, known or back again; numbers count up from 0."""
        known = self._numbers.get((token_in, token_out))
        if known is not None:
            self.connect(known)
            return known
        number = len(self._ends)
        self._numbers[token_in, token_out] = number
        self._numbers[token_out, token_in] = number + 1
        self._ends += (token_in, token_out), (token_out, token_in)
        self._connect(number)
        return number

    def connect(self, pair: int) -> None:
        """Take a pair back in that was disconnected."""
        token_in, token_out = self._ends[pair]
        if token_out not in self._leaving.get(token_in, {}):
            self._connect(pair)

    def disconnect(self, pair: int) -> None:
        """No pool trades the pair any more."""
        for direction in (pair, pair ^ 1):
            for row in list(self._found(direction)):
                self._note(direction, row, is_gone=True)
            self._rows.pop(direction, None)
            for hops in (3, 4):
                self._arrays.pop((direction, hops), None)
        token_in, token_out = self._ends[pair]
        del self._leaving[token_in][token_out]
        del self._leaving[token_out][token_in]

    def through(self, pair: int, hops: int) -> npt.NDArray[np.intp]:
        """One row a cycle of ``hops`` pairs through ``pair``: the other pairs, in order."""
        array = self._arrays.get((pair, hops))
        if array is None:
            rows = self._known(pair)[hops]
            array = np.array(list(rows), dtype=np.intp).reshape(len(rows), hops - 1)
            self._arrays[pair, hops] = array
        return array

    def _connect(self, pair: int) -> None:
        for direction in (pair, pair ^ 1):
            token_in, token_out = self._ends[direction]
            self._leaving.setdefault(token_in, {})[token_out] = direction
        if self._rows:
            for direction in (pair, pair ^ 1):
                for row in self._found(direction):
                    self._note(direction, row)

    def _known(self, pair: int) -> dict[int, Rows]:
        rows = self._rows.get(pair)
        if rows is None:
            rows = self._rows[pair] = {hops: {} for hops in range(3, self.max_hops + 1)}
            for row in self._found(pair):
                rows[len(row) + 1][row] = None
        return rows

    def _note(self, pair: int, row: tuple[int, ...], *, is_gone: bool = False) -> None:
        """Tell every other pair of a cycle that it is there, or gone."""
        cycle = (pair, *row)
        for place in range(1, len(cycle)):
            rows = self._rows.get(cycle[place])
            if rows is None:
                continue
            rest = cycle[place + 1 :] + cycle[:place]
            if is_gone:
                rows[len(cycle)].pop(rest, None)
            else:
                rows[len(cycle)][rest] = None
            self._arrays.pop((cycle[place], len(cycle)), None)

    def _found(self, pair: int) -> Iterator[tuple[int, ...]]:
        """All ways back from the pair's end to its beginning that pass no token twice."""
        start, end = self._ends[pair]
        back = self._leaving.get(start, {})
        for token, first in self._leaving.get(end, {}).items():
            if token == start:
                continue
            last = back.get(token)
            if last is not None:
                yield first, last ^ 1
            if self.max_hops < 4:
                continue
            onwards = self._leaving[token]
            # The smaller side is walked, the other one asked.
            if len(onwards) <= len(back):
                for other, second in onwards.items():
                    third = back.get(other)
                    if third is not None and other not in (start, end):
                        yield first, second, third ^ 1
            else:
                for other, third in back.items():
                    step = onwards.get(other)
                    if step is not None and other not in (start, end):
                        yield first, step, third ^ 1

"""Cycles of token pairs, kept up to date, against all of them found anew."""

from __future__ import annotations

import random
from itertools import pairwise, permutations

import pytest

from torq_amm.arbitrage.routes import Routes


def found_anew(ends: dict[int, tuple[int, int]], pair: int, hops: int) -> set[tuple[int, ...]]:
    """All other pairs in all orders that lead from the pair's end back, past no token twice."""
    if pair not in ends:
        return set()
    start, end = ends[pair]
    by_ends = {tokens: number for number, tokens in ends.items()}
    others = {token for tokens in ends.values() for token in tokens} - {start, end}
    found = set()
    for between in permutations(others, hops - 2):
        path = (end, *between, start)
        steps = [by_ends.get(step) for step in pairwise(path)]
        if all(step is not None for step in steps):
            found.add(tuple(step for step in steps if step is not None))
    return found


@pytest.mark.parametrize("max_hops", [2, 3, 4])
@pytest.mark.parametrize("seed", range(6))
def test_every_pair_knows_its_cycles_at_every_moment(max_hops: int, seed: int) -> None:
    draw = random.Random(f"{max_hops} {seed}")
    routes = Routes(max_hops)
    numbers: dict[tuple[int, int], int] = {}
    present: dict[int, tuple[int, int]] = {}
    for _ in range(40):
        first, second = sorted(draw.sample(range(5), 2))
        if draw.randrange(2):
            first, second = second, first
        known = numbers.get((first, second))
        if known is not None and known in present:
            routes.disconnect(known)
            del present[known], present[known ^ 1]
        elif known is not None:
            if draw.randrange(2):
                routes.connect(known)
            assert routes.add(first, second) == known
            present[known], present[known ^ 1] = (first, second), (second, first)
            routes.connect(known)  # once more changes nothing
        else:
            known = routes.add(first, second)
            assert routes.add(first, second) == known
            numbers[first, second], numbers[second, first] = known, known ^ 1
            present[known], present[known ^ 1] = (first, second), (second, first)
        for token in range(5):
            next_to = {end for start, end in present.values() if start == token}
            assert set(routes.neighbours(token)) == next_to
        asked = [pair for pair in present if draw.randrange(3)]
        for pair in asked:
            for hops in range(3, max_hops + 1):
                rows = routes.through(pair, hops)
                assert rows.shape[1] == hops - 1
                rows_found = [tuple(row) for row in rows.tolist()]
                assert len(set(rows_found)) == len(rows_found)
                assert set(rows_found) == found_anew(present, pair, hops)


def test_numbers_are_directed() -> None:
    routes = Routes(3)
    assert routes.add(7, 9) == 0
    assert routes.pair(7, 9) == 0
    assert routes.pair(9, 7) == 1
    assert routes.add(9, 7) == 1
    assert routes.add(1, 9) == 2
    assert routes.pair(1, 7) is None
    assert routes.pair(5, 7) is None
    routes.disconnect(0)
    assert (routes.pair(7, 9), routes.pair(9, 7)) == (None, None)
    assert routes.neighbours(9) == [1]
    assert routes.neighbours(5) == []
    routes.connect(0)
    assert (routes.pair(7, 9), routes.pair(9, 7)) == (0, 1)


def test_cycles_have_two_to_four_hops() -> None:
    for max_hops in (2, 3, 4):
        assert Routes(max_hops).max_hops == max_hops
    for max_hops in (1, 5, 0):
        with pytest.raises(ValueError, match="2 to 4"):
            Routes(max_hops)


def test_the_longer_side_of_a_hub_is_not_missed() -> None:
    """A hub on either side of the pair: whichever side is walked, all is found."""
    for hub in (0, 1):
        routes = Routes(4)
        pair = routes.add(0, 1)
        present = {pair: (0, 1), pair ^ 1: (1, 0)}
        for token in range(2, 8):
            number = routes.add(hub, token)
            present[number], present[number ^ 1] = (hub, token), (token, hub)
        for start, end in ((1 - hub, 2), (2, 3), (3, 4), (1 - hub, 5)):
            number = routes.add(start, end)
            present[number], present[number ^ 1] = (start, end), (end, start)
        for each in present:
            for hops in (3, 4):
                rows = {tuple(row) for row in routes.through(each, hops).tolist()}
                assert rows == found_anew(present, each, hops)

"""Record what contracts answered, for the unit tests of a machine that has none of them.

    npm ci --prefix tests/evm
    uv run python scripts/lib/python/record_contract_amounts.py

Writes packages/torq-amm/tests/contract_amounts.json: swaps, mints and burns with the amounts of
Uniswap V2 and V3's and Balancer V2's published bytecode and of tests/evm/contracts/StableSwap.vy.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from balancer import BalancerV2  # noqa: E402
from compiled import named_token, stable_swap  # noqa: E402
from evm import Chain, RevertedError, any_chain  # noqa: E402
from uniswap import (  # noqa: E402
    FOREVER,
    SUPPLY,
    UniswapV2,
    UniswapV3,
    events,
    tokens,
    v2_pool,
    v3_pool,
)

from torq_amm.concentrated import get_sqrt_ratio_at_tick  # noqa: E402
from torq_codec.dex import decode_event, parse_log  # noqa: E402
from torq_types import InstrumentId, PoolBurn, PoolMint, PoolSwap, Venue  # noqa: E402

OUT = ROOT / "packages/torq-amm/tests/contract_amounts.json"
E18 = 10**18
PERCENT = 10**16
UINT112 = (1 << 112) - 1
DRAW = random.Random(7)
Steps = list[list[Any]]


def near(bits: int) -> int:
    """A number of about so many bits."""
    return DRAW.randrange(1 << bits - 1, 1 << bits)


def uniswap_v2(chain: Chain) -> list[dict[str, Any]]:
    """[kind, side paid in, amount; amounts in and out, reserves after], nothing after a revert."""
    uniswap = UniswapV2(chain)
    found = []
    for bits in ((20, 30), (70, 90), (111, 80)):
        pair_tokens = tokens(chain)
        pair = uniswap.pair(*pair_tokens)
        for token, size in zip(pair_tokens, bits, strict=True):
            token.send("approve(address,uint256)", uniswap.router.address, SUPPLY)
            token.send("transfer(address,uint256)", pair.address, near(size))
        pair.send("mint(address)", chain.sender)
        pool = v2_pool(pair, *pair_tokens)
        steps: Steps = []
        for _ in range(14):
            side, kind = DRAW.randrange(2), DRAW.choice(["in", "out"])
            amount = near(DRAW.randrange(1, bits[side if kind == "in" else 1 - side] + 2))
            name = {"in": "swapExactTokensForTokens", "out": "swapTokensForExactTokens"}[kind]
            path = [pair_tokens[side].address, pair_tokens[1 - side].address]
            step: list[Any] = [kind, side, amount]
            try:
                receipt = uniswap.router.send(
                    f"{name}(uint256,uint256,address[],address,uint256)",
                    amount, 0 if kind == "in" else SUPPLY, path, chain.sender, FOREVER,
                )  # fmt: skip
            except RevertedError:
                steps.append(step)
                continue
            written = events(receipt, pool.instrument)
            swap = next(event for event in written if isinstance(event, PoolSwap))
            paid = sorted((swap.amount0, swap.amount1), reverse=True)
            after = v2_pool(pair, *pair_tokens)
            steps.append([*step, paid[0], -paid[1], after.reserve0, after.reserve1])
        found.append({"reserves": [pool.reserve0, pool.reserve1], "steps": steps})
    return found


def uniswap_v3(chain: Chain) -> list[dict[str, Any]]:
    """What mints, swaps and burns moved, and where they left the pool."""
    uniswap = UniswapV3(chain)
    found = []
    for fee, spacing, tick, protocol in (
        (100, 1, 27, (0, 0)), (500, 10, -200_000, (4, 10)), (3000, 60, 5, (6, 5)),
        (10_000, 200, 300_000, (0, 7)),
    ):  # fmt: skip
        price = get_sqrt_ratio_at_tick(tick)
        price += (get_sqrt_ratio_at_tick(tick + 1) - price) // 3
        contract, *pair = uniswap.create(fee, price)
        pool = v3_pool(contract, pair[0], pair[1], fee, spacing)
        contract.send("setFeeProtocol(uint8,uint8)", *protocol)
        steps: Steps = []
        positions: list[tuple[int, int, int, int]] = []
        centre = tick // spacing
        for low, high in ((-30, 30), (-3, 2), (0, 1), (5, 40), (-60, -7), (-400, 300)):
            lower, upper = (centre + low) * spacing, (centre + high) * spacing
            offered = near(60), near(60)
            receipt = uniswap.mint((pair[0], pair[1]), fee, lower, upper, *offered)
            mint = next(e for e in events(receipt, pool.instrument) if isinstance(e, PoolMint))
            steps.append(["mint", lower, upper, *offered, mint.liquidity,
                          mint.amount0, mint.amount1])  # fmt: skip
            positions.append((len(positions) + 1, lower, upper, mint.liquidity))
        for number in range(16):
            side, kind = DRAW.randrange(2), DRAW.choice(["in", "out"])
            amount = near(DRAW.choice([1, 5, 20, 50, 55, 58, 59, 60, 61]))
            reach = DRAW.choice([1, 4, 30, 250]) * spacing
            now = contract.call("slot0()", "uint160,int24,uint16,uint16,uint16,uint8,bool")[1]
            limit = get_sqrt_ratio_at_tick(now + (-reach if side == 0 else reach))
            if number == 3:
                limit = get_sqrt_ratio_at_tick(now + (reach if side == 0 else -reach))
            step = [kind, side, amount, limit]
            try:
                receipt = uniswap.swap(
                    pair[side], pair[1 - side], fee, amount, limit, kind == "out"
                )
            except RevertedError:
                steps.append(step)
                continue
            swap = next(e for e in events(receipt, pool.instrument) if isinstance(e, PoolSwap))
            amounts = (swap.amount0, swap.amount1) if side == 0 else (swap.amount1, swap.amount0)
            taken = contract.call("protocolFees()", "uint128,uint128")
            steps.append([*step, amounts[0], -amounts[1], swap.sqrt_price_x96, swap.tick,
                          swap.liquidity, *taken])  # fmt: skip
        first = uniswap.positions.call("totalSupply()", "uint256") - len(positions)
        for number, lower, upper, liquidity in positions:
            part = liquidity if number % 2 else liquidity // 3
            receipt = uniswap.burn(first + number, part)
            burn = next(e for e in events(receipt, pool.instrument) if isinstance(e, PoolBurn))
            liquidity_left = contract.call("liquidity()", "uint128")
            steps.append(["burn", lower, upper, part, burn.amount0, burn.amount1, liquidity_left])
        found.append({
            "fee": fee, "spacing": spacing, "price": price, "tick": tick,
            "protocol": list(protocol), "steps": steps,
        })  # fmt: skip
    return found


def balancer_v2(chain: Chain) -> list[dict[str, Any]]:
    """[kind, token in, token out, amount; amounts in and out], nothing after a revert."""
    balancer = BalancerV2(chain)
    found = []
    for places, weights, fee, balances in (
        ((18, 18), (60, 40), 3 * 10**15, (3 * 10**32, 10**33)),
        ((18, 18), (1, 99), 10**12, (10**14, 10**33)),
        ((18, 18), (50, 50), 10**17, (10**33, 10**32)),
        ((6, 18, 8), (20, 33, 47), 10**15, (10**13, 7 * 10**24, 10**16)),
        ((18, 18), (99, 1), 10**13, (UINT112 - 10**30, 10**33)),
    ):
        contracts = sorted((named_token(chain, "T", p) for p in places), key=lambda c: c.raw)
        kept = [contract.call("decimals()", "uint8") for contract in contracts]
        shares = [weight * PERCENT for weight in weights]
        pool, identifier = balancer.create(contracts, shares, fee)
        start = [b * 10**k // 10**p for b, k, p in zip(balances, kept, places, strict=True)]
        balancer.join(identifier, contracts, start, first=True)
        instrument = InstrumentId.pool(Venue.BALANCER_V2, 31337, identifier)
        steps: Steps = []
        held = start
        for number in range(16):
            first, second = DRAW.sample(range(len(contracts)), 2)
            kind = "in" if number % 2 else "out"
            side = first if kind == "in" else second
            amount = held[side] * DRAW.choice([1, 10**5, 10**8, 11 * 10**8, 2 * 10**9, 3 * 10**9])
            amount = amount // 10**10 + DRAW.choice([0, 0, 1])
            if number == 4:
                amount = held[side] // 9
            if number in (5, 6):
                amount = 1
            step: list[Any] = [kind, first, second, amount]
            try:
                receipt = balancer.swap(
                    identifier, contracts[first], contracts[second], amount,
                    exact_out=kind == "out",
                )  # fmt: skip
            except RevertedError:
                steps.append(step)
                continue
            event: Any = next(
                decode_event(log, instrument)
                for log in map(parse_log, receipt["logs"])
                if log.address == balancer.vault.raw and log.topics[1:2] == (identifier,)
            )
            moved = sorted((change.amount for change in event.changes), reverse=True)
            steps.append([*step, moved[0], -moved[1]])
            held = list(
                balancer.vault.call(
                    "getPoolTokens(bytes32)", "address[],uint256[],uint256", identifier
                )[1]
            )
        found.append({
            "decimals": kept, "weights": list(pool.call("getNormalizedWeights()", "uint256[]")),
            "fee": fee, "balances": start, "steps": steps, "left": held,
        })  # fmt: skip
    return found


def curve(chain: Chain) -> list[dict[str, Any]]:
    """[side paid in, amount; amount out, balances and D after], nothing after a revert; a D that
    does not settle is null."""
    found = []
    for places, amplification, fee, admin_fee, depths in (
        ((18, 18), 85, 4_000_000, 5 * 10**9, (10**25, 3 * 10**25)),
        ((18, 6), 2000, 1_000_003, 3_333_333_333, (10**24, 2 * 10**12)),
        ((6, 8), 3, 10**8, 10**10, (10**7, 10**11)),
        ((18, 18), 1, 0, 0, (10**12, 10**14)),
        ((18, 18), 3, 0, 0, (88, 81)),
    ):
        coins = named_token(chain, "A", places[0]), named_token(chain, "B", places[1])
        pool = stable_swap(chain, coins, amplification, fee, admin_fee)
        pool.send("add_liquidity(uint256[2])", list(depths))
        first = pool.call("get_D()", "uint256")
        steps: Steps = []
        for number in range(14):
            held = [pool.call("balances(uint256)", "uint256", index) for index in range(2)]
            side = DRAW.randrange(2)
            amount = held[side] * DRAW.choice([1, 10**4, 10**6, 2 * 10**6]) // 10**6 + 7
            if number in (3, 4):
                amount = 1
            if number == 0 and depths == (88, 81):
                side, amount = 0, 121  # the last but one step towards y is one of two units
            step: list[Any] = [side, amount]
            try:
                receipt = pool.send(
                    "exchange(int128,int128,uint256,uint256)", side, 1 - side, amount, 0
                )
            except RevertedError:
                steps.append(step)
                continue
            (event,) = events(receipt, InstrumentId.pool(Venue.CURVE, 31337, pool.raw))
            bought = next(change.amount for change in event.changes if change.amount <= 0)  # type: ignore[attr-defined]
            held = [pool.call("balances(uint256)", "uint256", index) for index in range(2)]
            try:
                invariant = pool.call("get_D()", "uint256")
            except RevertedError:
                invariant = None
            steps.append([*step, -bought, *held, invariant])
        found.append({
            "decimals": list(places), "amplification": amplification * 100, "fee": fee,
            "admin_fee": admin_fee, "balances": list(depths), "D": first, "steps": steps,
        })  # fmt: skip
    return found


def main() -> int:
    """Ask every contract."""
    with any_chain() as chain:
        recorded = {
            "UniswapV2Pair and UniswapV2Router02 (@uniswap/v2-periphery)": uniswap_v2(chain),
            "UniswapV3Pool (@uniswap/v3-core)": uniswap_v3(chain),
            "Vault and WeightedPool2Tokens (@balancer-labs/v2-deployments)": balancer_v2(chain),
            "StableSwap.vy (tests/evm/contracts)": curve(chain),
        }
    lines = []
    for contract, pools in recorded.items():
        rows = []
        for pool in pools:
            steps = ",\n".join(f"    {json.dumps(step)}" for step in pool.pop("steps"))
            rows.append(f'  {json.dumps(pool)[:-1]}, "steps": [\n{steps}]}}')
        lines.append(f"{json.dumps(contract)}: [\n" + ",\n".join(rows) + "]")
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

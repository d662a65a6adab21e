# pragma version ~=0.4.0
"""
A StableSwap pool of two coins, after the whitepaper (Egorov, 2019) and with the roundings of
Curve's plain pools: what the pool mathematics is compared with, where no registry carries the
published bytecode. Amplification is fixed, shares are a balance inside the pool.
"""

interface Coin:
    def transfer(receiver: address, amount: uint256) -> bool: nonpayable
    def transferFrom(sender: address, receiver: address, amount: uint256) -> bool: nonpayable
    def decimals() -> uint8: view

event TokenExchange:
    buyer: indexed(address)
    sold_id: int128
    tokens_sold: uint256
    bought_id: int128
    tokens_bought: uint256

event AddLiquidity:
    provider: indexed(address)
    token_amounts: uint256[2]
    fees: uint256[2]
    invariant: uint256
    token_supply: uint256

event RemoveLiquidity:
    provider: indexed(address)
    token_amounts: uint256[2]
    fees: uint256[2]
    token_supply: uint256

event RemoveLiquidityImbalance:
    provider: indexed(address)
    token_amounts: uint256[2]
    fees: uint256[2]
    invariant: uint256
    token_supply: uint256

N: constant(uint256) = 2
A_PRECISION: constant(uint256) = 100
FEE_DENOMINATOR: constant(uint256) = 10**10
PRECISION: constant(uint256) = 10**18

coins: public(address[N])
balances: public(uint256[N])
A_precise: public(uint256)
fee: public(uint256)
admin_fee: public(uint256)
shares: public(HashMap[address, uint256])
supply: public(uint256)
rates: uint256[N]


@deploy
def __init__(coins: address[N], amplification: uint256, fee: uint256, admin_fee: uint256):
    self.coins = coins
    self.A_precise = amplification * A_PRECISION
    self.fee = fee
    self.admin_fee = admin_fee
    for i: uint256 in range(N):
        places: uint256 = convert(staticcall Coin(coins[i]).decimals(), uint256)
        self.rates[i] = 10 ** (36 - places)


@external
def exchange(i: int128, j: int128, dx: uint256, min_dy: uint256) -> uint256:
    sold: uint256 = convert(i, uint256)
    bought: uint256 = convert(j, uint256)
    assert sold != bought
    xp: uint256[N] = self._scaled(self.balances)
    x: uint256 = xp[sold] + dx * self.rates[sold] // PRECISION
    y: uint256 = self._y(sold, bought, x, xp)
    gross: uint256 = xp[bought] - y - 1
    fee: uint256 = gross * self.fee // FEE_DENOMINATOR
    dy: uint256 = (gross - fee) * PRECISION // self.rates[bought]
    assert dy >= min_dy
    admin: uint256 = (fee * self.admin_fee // FEE_DENOMINATOR) * PRECISION // self.rates[bought]
    self.balances[sold] += dx
    self.balances[bought] = self.balances[bought] - dy - admin
    extcall Coin(self.coins[sold]).transferFrom(msg.sender, self, dx)
    extcall Coin(self.coins[bought]).transfer(msg.sender, dy)
    log TokenExchange(
        buyer=msg.sender, sold_id=i, tokens_sold=dx, bought_id=j, tokens_bought=dy
    )
    return dy


@external
def add_liquidity(amounts: uint256[N]):
    before: uint256[N] = self.balances
    d0: uint256 = self._D(self._scaled(before))
    after: uint256[N] = before
    for i: uint256 in range(N):
        assert self.supply > 0 or amounts[i] > 0
        after[i] += amounts[i]
    d1: uint256 = self._D(self._scaled(after))
    assert d1 > d0
    fees: uint256[N] = empty(uint256[N])
    minted: uint256 = d1
    if self.supply > 0:
        fees = self._imbalance_fees(before, after, d0, d1)
        charged: uint256[N] = after
        for i: uint256 in range(N):
            self.balances[i] = after[i] - fees[i] * self.admin_fee // FEE_DENOMINATOR
            charged[i] -= fees[i]
        minted = self.supply * (self._D(self._scaled(charged)) - d0) // d0
    else:
        self.balances = after
    for i: uint256 in range(N):
        extcall Coin(self.coins[i]).transferFrom(msg.sender, self, amounts[i])
    self.supply += minted
    self.shares[msg.sender] += minted
    log AddLiquidity(
        provider=msg.sender, token_amounts=amounts, fees=fees, invariant=d1,
        token_supply=self.supply
    )


@external
def remove_liquidity(amount: uint256):
    given: uint256[N] = empty(uint256[N])
    for i: uint256 in range(N):
        given[i] = self.balances[i] * amount // self.supply
        self.balances[i] -= given[i]
        extcall Coin(self.coins[i]).transfer(msg.sender, given[i])
    self.supply -= amount
    self.shares[msg.sender] -= amount
    log RemoveLiquidity(
        provider=msg.sender, token_amounts=given, fees=empty(uint256[N]),
        token_supply=self.supply
    )


@external
def remove_liquidity_imbalance(amounts: uint256[N]):
    before: uint256[N] = self.balances
    after: uint256[N] = before
    d0: uint256 = self._D(self._scaled(before))
    for i: uint256 in range(N):
        after[i] -= amounts[i]
    d1: uint256 = self._D(self._scaled(after))
    fees: uint256[N] = self._imbalance_fees(before, after, d0, d1)
    charged: uint256[N] = after
    for i: uint256 in range(N):
        self.balances[i] = after[i] - fees[i] * self.admin_fee // FEE_DENOMINATOR
        charged[i] -= fees[i]
    burned: uint256 = (d0 - self._D(self._scaled(charged))) * self.supply // d0 + 1
    self.supply -= burned
    self.shares[msg.sender] -= burned
    for i: uint256 in range(N):
        extcall Coin(self.coins[i]).transfer(msg.sender, amounts[i])
    log RemoveLiquidityImbalance(
        provider=msg.sender, token_amounts=amounts, fees=fees, invariant=d1,
        token_supply=self.supply
    )


@external
@view
def get_D() -> uint256:
    return self._D(self._scaled(self.balances))


@internal
@view
def _imbalance_fees(
    before: uint256[N], after: uint256[N], d0: uint256, d1: uint256
) -> uint256[N]:
    rate: uint256 = self.fee * N // (4 * (N - 1))
    fees: uint256[N] = empty(uint256[N])
    for i: uint256 in range(N):
        ideal: uint256 = d1 * before[i] // d0
        distance: uint256 = max(ideal, after[i]) - min(ideal, after[i])
        fees[i] = rate * distance // FEE_DENOMINATOR
    return fees


@internal
@view
def _scaled(balances: uint256[N]) -> uint256[N]:
    result: uint256[N] = empty(uint256[N])
    for i: uint256 in range(N):
        result[i] = balances[i] * self.rates[i] // PRECISION
    return result


@internal
@view
def _D(xp: uint256[N]) -> uint256:
    total: uint256 = 0
    for x: uint256 in xp:
        total += x
    if total == 0:
        return 0
    invariant: uint256 = total
    ann: uint256 = self.A_precise * N
    for _round: uint256 in range(255):
        product: uint256 = invariant
        for x: uint256 in xp:
            product = product * invariant // (x * N)
        previous: uint256 = invariant
        invariant = (ann * total // A_PRECISION + product * N) * invariant // (
            (ann - A_PRECISION) * invariant // A_PRECISION + (N + 1) * product
        )
        if max(invariant, previous) - min(invariant, previous) <= 1:
            return invariant
    raise "D does not settle"


@internal
@view
def _y(sold: uint256, bought: uint256, x: uint256, xp: uint256[N]) -> uint256:
    invariant: uint256 = self._D(xp)
    ann: uint256 = self.A_precise * N
    c: uint256 = invariant
    total: uint256 = 0
    for k: uint256 in range(N):
        if k == bought:
            continue
        part: uint256 = xp[k]
        if k == sold:
            part = x
        total += part
        c = c * invariant // (part * N)
    c = c * invariant * A_PRECISION // (ann * N)
    b: uint256 = total + invariant * A_PRECISION // ann
    y: uint256 = invariant
    for _round: uint256 in range(255):
        previous: uint256 = y
        y = (y * y + c) // (2 * y + b - invariant)
        if max(y, previous) - min(y, previous) <= 1:
            return y
    raise "y does not settle"

from __future__ import annotations

import pytest

from torq_types import REGISTRY, TLV, Domain, is_defined_type, is_type_allowed, tlv_type

NUMBERS = {
    "Trade": 1, "Quote": 2, "InstrumentMeta": 4, "L2Snapshot": 5, "L2Delta": 6, "L2Reset": 7,
    "PoolLiquidity": 10, "PoolSwap": 11, "PoolMint": 12, "PoolBurn": 13, "PoolTick": 14,
    "PoolState": 15, "PoolSync": 16, "GasPrice": 18, "StateInvalidation": 19,
    "SignalIdentity": 20, "Economics": 22, "StateReference": 25, "ExecutionControl": 26,
    "MEVBundle": 28, "RiskParameters": 30, "ArbitrageSignal": 32, "OrderRequest": 40,
    "OrderStatus": 41, "Fill": 42, "OrderCancel": 43, "OrderModify": 44, "ExecutionReport": 45,
    "Position": 47, "Balance": 48, "RiskDecision": 60, "RiskAlert": 62, "FlashLoanResult": 67,
    "CircuitBreaker": 71, "Heartbeat": 100, "Error": 102, "ConfigUpdate": 103,
    "ServiceHello": 104, "ResourceUsage": 105, "SystemHealth": 107, "TraceContext": 108,
    "RecoveryRequest": 110, "RecoveryResponse": 111, "SequenceGap": 112,
}  # fmt: skip


def test_every_number_of_the_protocol_is_declared() -> None:
    declared = {cls.__name__: number for number, cls in REGISTRY.items()}
    between_relay_and_client = {"Acknowledgement": 101, "LogPosition": 109, "LogRegion": 113}
    of_pools = {"PoolInitialize": 3, "PoolBalanceChange": 8, "PoolPayment": 9, "PoolFee": 17}
    of_pools["SwapPath"] = 33
    assert declared == NUMBERS | between_relay_and_client | of_pools


def test_a_number_cannot_be_declared_twice_or_outside_the_ranges() -> None:
    class Other(TLV, frozen=True):
        pass

    with pytest.raises(ValueError, match="Trade"):
        tlv_type(1)(Other)
    with pytest.raises(ValueError, match="range"):
        tlv_type(150)(Other)


@pytest.mark.parametrize("number", [0, 120, 199, 255, 1000])
def test_types_outside_the_ranges_are_legal_nowhere(number: int) -> None:
    assert not is_defined_type(number)
    assert not any(is_type_allowed(domain, number) for domain in Domain)


def test_domains_carry_their_own_types_and_the_systems() -> None:
    assert is_type_allowed(Domain.MARKET_DATA, 1)
    assert not is_type_allowed(Domain.SIGNAL, 1)
    assert all(is_type_allowed(domain, 25) for domain in Domain)
    assert all(is_type_allowed(domain, 100) for domain in Domain)
    assert is_type_allowed(Domain.EXECUTION, 85)

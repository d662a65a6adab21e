from __future__ import annotations

import pytest

from torq_types import TLV, Domain, is_defined_type, is_type_allowed, tlv_type


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

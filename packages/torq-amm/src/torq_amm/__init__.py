"""Pool mathematics on exact integers: a place in the layers, empty until the EVM adapters."""

"""DEX events to TLVs, one file per protocol."""

"""EVM chains: blocks and logs become pool events, or the pools are in doubt.

Nothing is imported here: web3 takes a second, and only a chain's own process pays for it.
"""

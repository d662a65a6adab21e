"""The append-only log: a ring in memory or segment files, what readers see of it, what it recalls.

Knows nothing of sockets, connections or clients.
"""

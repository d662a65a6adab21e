"""The bytes of a message to its header and TLVs.

The work is the kernel's; see ``kernel/_pure/messages.py`` for how it is done.
"""

from __future__ import annotations

from torq_codec.faults import DEFAULT_MAX_PAYLOAD, error_for, message_size
from torq_codec.kernel import Message, iter_messages, parse_message, walk_messages

__all__ = [
    "DEFAULT_MAX_PAYLOAD",
    "Message",
    "error_for",
    "iter_messages",
    "message_size",
    "parse_message",
    "walk_messages",
]

"""Torq messages to bytes and back."""

from __future__ import annotations

from torq_codec import kernel
from torq_codec.builder import MessageBuilder
from torq_codec.framing import Break, Fault, Framer, Run
from torq_codec.identifiers import (
    checksum_address,
    format_instrument,
    pack_instrument,
    parse_instrument,
    unpack_instrument,
)
from torq_codec.kernel import BookSide, decimal, levels, sides
from torq_codec.layout import Layout, layout_of
from torq_codec.parser import (
    DEFAULT_MAX_PAYLOAD,
    Message,
    iter_messages,
    message_size,
    parse_message,
    walk_messages,
)

__all__ = [
    "DEFAULT_MAX_PAYLOAD",
    "BookSide",
    "Break",
    "Fault",
    "Framer",
    "Layout",
    "Message",
    "MessageBuilder",
    "Run",
    "checksum_address",
    "decimal",
    "format_instrument",
    "iter_messages",
    "kernel",
    "layout_of",
    "levels",
    "message_size",
    "pack_instrument",
    "parse_instrument",
    "parse_message",
    "sides",
    "unpack_instrument",
    "walk_messages",
]

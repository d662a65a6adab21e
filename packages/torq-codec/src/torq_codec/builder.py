"""TLVs to the bytes of a message.

The work is the kernel's; see ``kernel/_pure/messages.py`` for how it is done.
"""

from __future__ import annotations

from torq_codec.kernel import MessageBuilder

__all__ = ["MessageBuilder"]

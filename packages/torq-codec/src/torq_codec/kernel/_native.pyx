# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled kernel: the ``_pure`` package in Cython, with the same names and results.

``_plans.pxi`` has TLVs to bytes and back, ``_messages.pxi`` whole messages, ``_streams.pxi`` what
a relay and its readers do with runs of them, ``_levels.pxi`` what books are made of; ``crc32.h`` and ``atomics.h`` are C.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cpython.tuple cimport (
    PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM,
)
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memset

import sys
from types import MemberDescriptorType

from msgspec import Raw, Struct

from torq_codec.identifiers import pack_instrument, unpack_instrument
from torq_codec.layout import layout_of
from torq_types import (
    REGISTRY,
    TLV,
    Decimal64,
    Domain,
    ErrorCode,
    FieldError,
    Header,
    InstrumentId,
    Level,
    TlvTypeError,
    TruncatedError,
    is_type_allowed,
)

__all__ = [
    "BookSide",
    "Filter",
    "Message",
    "MessageBuilder",
    "Plan",
    "SequenceTracker",
    "advance",
    "build",
    "count",
    "crc32",
    "decimal",
    "fence",
    "find_magic",
    "gather",
    "implementation",
    "iter_messages",
    "levels",
    "load_u64",
    "parse_message",
    "plan_for",
    "scan",
    "sides",
    "spin_while",
    "store_u64",
    "walk_messages",
]

implementation = "compiled"

# The wire is little-endian; every machine that Torq runs on is, too. On another one the import
# fails and the pure kernel, which does not care, serves instead.
if sys.byteorder != "little":
    raise ImportError("the compiled kernel is for little-endian machines")

cdef extern from "crc32.h":
    void torq_crc_prepare() nogil
    uint32_t torq_crc32(const uint8_t* p, size_t n) nogil

cdef extern from "atomics.h":
    uint64_t torq_load(const void* p) nogil
    void torq_store(void* p, uint64_t value) nogil
    void torq_fence() nogil
    void torq_pause() nogil

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    ctypedef struct PyTypeObject:
        object (*tp_alloc)(PyTypeObject*, Py_ssize_t)
    PyTypeObject* Py_TYPE(object value)

cdef extern from "structmember.h":
    ctypedef struct PyMemberDef:
        int type
        Py_ssize_t offset
    ctypedef struct PyMemberDescrObject:
        PyMemberDef* d_member
    int T_OBJECT_EX

cdef enum:
    HEADER = 32

cdef int E_BAD_MAGIC = ErrorCode.BAD_MAGIC
cdef int E_BAD_LENGTH = ErrorCode.BAD_LENGTH
cdef int E_BAD_CHECKSUM = ErrorCode.BAD_CHECKSUM
cdef int E_BAD_VERSION = ErrorCode.BAD_VERSION
cdef int E_WRONG_DOMAIN = ErrorCode.WRONG_DOMAIN
cdef int E_BAD_TLV = ErrorCode.BAD_TLV
cdef int E_INCOMPLETE = ErrorCode.INCOMPLETE
cdef int E_WRONG_SOURCE = ErrorCode.WRONG_SOURCE
cdef int E_SEQUENCE = ErrorCode.SEQUENCE

cdef uint8_t[4][65536] _legal


cdef void _prepare():
    cdef int i, j
    torq_crc_prepare()
    memset(_legal, 0, sizeof(_legal))
    for j in range(1, 4):
        for i in range(256):
            _legal[j][i] = 1 if is_type_allowed(j, i) else 0


_prepare()


def crc32(buffer, Py_ssize_t start, Py_ssize_t end):
    """CRC-32 (zlib's) of ``buffer[start:end]``."""
    cdef Py_buffer view
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    try:
        start = min(max(start, 0), view.len)
        end = min(max(end, start), view.len)
        return torq_crc32(<const uint8_t*>view.buf + start, end - start)
    finally:
        PyBuffer_Release(&view)


def find_magic(buffer, Py_ssize_t start, Py_ssize_t end):
    """Where the next ``TORQ`` begins at or after ``start``.

    -1 when none begins before ``end`` (one that is cut off by ``end`` does not count).
    """
    cdef Py_buffer view
    cdef const uint8_t* base
    cdef const uint8_t* found
    cdef Py_ssize_t at
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    try:
        base = <const uint8_t*>view.buf
        at = max(start, 0)
        end = min(end, view.len)
        while at + 4 <= end:
            found = <const uint8_t*>memchr(base + at, 84, end - at - 3)
            if found == NULL:
                return -1
            at = found - base
            if memcmp(found, b"TORQ", 4) == 0:
                return at
            at += 1
        return -1
    finally:
        PyBuffer_Release(&view)


cdef inline int _verify(
    const uint8_t* p, Py_ssize_t available, int domain, uint64_t max_payload, Py_ssize_t* size
) noexcept nogil:
    cdef uint32_t magic, checksum, length, tlv_length
    cdef uint16_t tlv_type
    cdef Py_ssize_t at, end
    cdef int found_domain
    size[0] = 0
    if available < HEADER:
        if available == 0:
            return 0
        return E_BAD_MAGIC if memcmp(p, b"TORQ", min(available, 4)) else E_INCOMPLETE
    memcpy(&magic, p, 4)
    if magic != 0x51524F54:
        return E_BAD_MAGIC
    if p[12] != 2:
        return E_BAD_VERSION
    memcpy(&length, p + 8, 4)
    if length % 8 or length > max_payload:
        return E_BAD_LENGTH
    end = HEADER + <Py_ssize_t>length
    if available < end:
        return E_INCOMPLETE
    memcpy(&checksum, p + 4, 4)
    if torq_crc32(p + 8, end - 8) != checksum:
        return E_BAD_CHECKSUM
    found_domain = p[13]
    if found_domain < 1 or found_domain > 3 or (domain and found_domain != domain):
        return E_WRONG_DOMAIN
    at = HEADER
    while at < end:
        memcpy(&tlv_type, p + at, 2)
        memcpy(&tlv_length, p + at + 4, 4)
        if not _legal[found_domain][tlv_type] or p[at + 2] == 0 or p[at + 3]:
            return E_BAD_TLV
        at += 8 + ((<Py_ssize_t>tlv_length + 7) & ~7)
        if at > end:
            return E_BAD_TLV
    size[0] = end
    return 0


def scan(buffer, Py_ssize_t start, Py_ssize_t end, int domain, max_payload):
    """Verify messages from ``start`` on, and stop at the first that is not whole and sound.

    ``domain`` 0 accepts any. Returns where it stopped, how many messages it passed, and why it
    stopped: 0 at ``end`` exactly, or a value of :class:`torq_types.ErrorCode` (``INCOMPLETE``
    when the bytes so far are a message's beginning).
    """
    cdef Py_buffer view
    cdef Py_ssize_t size = 0, count = 0
    cdef int code
    cdef uint64_t limit = max_payload
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    try:
        end = min(end, view.len)
        start = max(start, 0)
        if start > end:
            return start, 0, 0
        with nogil:
            while True:
                code = _verify(<const uint8_t*>view.buf + start, end - start, domain, limit, &size)
                if code or size == 0:
                    break
                start += size
                count += 1
        return start, count, code
    finally:
        PyBuffer_Release(&view)


include "_plans.pxi"
include "_messages.pxi"
include "_streams.pxi"
include "_levels.pxi"

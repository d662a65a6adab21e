# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled kernel: ``_pure.py`` in Cython, with the same names and results."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memset

from torq_codec.identifiers import pack_instrument, unpack_instrument
from torq_types import (
    Decimal64,
    ErrorCode,
    FieldError,
    TruncatedError,
    is_type_allowed,
)

__all__ = ["Plan", "build", "crc32", "find_magic", "implementation", "scan"]

implementation = "compiled"

cdef extern from "Python.h":
    object PyObject_CallObject(object callable, object args)

# The wire is little-endian; every machine that Torq runs on is, too. On another one the import
# fails and the pure kernel, which does not care, serves instead.
import sys
if sys.byteorder != "little":
    raise ImportError("the compiled kernel is for little-endian machines")

cdef enum:
    HEADER = 32

cdef enum Kind:
    K_U8, K_U16, K_U32, K_U64, K_I8, K_I32, K_I64, K_WIDE_U, K_WIDE_I, K_BYTES, K_INSTRUMENT, K_DECIMAL

_KINDS = {
    "u8": K_U8, "u16": K_U16, "u32": K_U32, "u64": K_U64, "i8": K_I8, "i32": K_I32, "i64": K_I64,
    "u128": K_WIDE_U, "u160": K_WIDE_U, "u256": K_WIDE_U, "i256": K_WIDE_I,
    "bytes8": K_BYTES, "bytes16": K_BYTES, "bytes20": K_BYTES, "bytes32": K_BYTES,
    "instrument": K_INSTRUMENT,
}

cdef object _Decimal64 = Decimal64
cdef object _FieldError = FieldError
cdef object _TruncatedError = TruncatedError
cdef object _pack_instrument = pack_instrument
cdef object _unpack_instrument = unpack_instrument

cdef int E_BAD_MAGIC = ErrorCode.BAD_MAGIC
cdef int E_BAD_LENGTH = ErrorCode.BAD_LENGTH
cdef int E_BAD_CHECKSUM = ErrorCode.BAD_CHECKSUM
cdef int E_BAD_VERSION = ErrorCode.BAD_VERSION
cdef int E_WRONG_DOMAIN = ErrorCode.WRONG_DOMAIN
cdef int E_BAD_TLV = ErrorCode.BAD_TLV
cdef int E_INCOMPLETE = ErrorCode.INCOMPLETE

cdef uint32_t[8][256] _crc
cdef uint8_t[4][65536] _legal


cdef void _make_tables():
    cdef uint32_t value
    cdef int i, j
    for i in range(256):
        value = i
        for j in range(8):
            value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
        _crc[0][i] = value
    for i in range(256):
        for j in range(1, 8):
            _crc[j][i] = (_crc[j - 1][i] >> 8) ^ _crc[0][_crc[j - 1][i] & 0xFF]
    memset(_legal, 0, sizeof(_legal))
    for j in range(1, 4):
        for i in range(256):
            _legal[j][i] = 1 if is_type_allowed(j, i) else 0


_make_tables()


cdef inline uint32_t _crc_of(const uint8_t* p, Py_ssize_t n, uint32_t seed) noexcept nogil:
    # Eight bytes a step through eight tables (slicing-by-8).
    cdef uint32_t crc = ~seed
    cdef uint64_t word
    while n >= 8:
        memcpy(&word, p, 8)
        word ^= crc
        crc = (
            _crc[7][word & 0xFF] ^ _crc[6][(word >> 8) & 0xFF]
            ^ _crc[5][(word >> 16) & 0xFF] ^ _crc[4][(word >> 24) & 0xFF]
            ^ _crc[3][(word >> 32) & 0xFF] ^ _crc[2][(word >> 40) & 0xFF]
            ^ _crc[1][(word >> 48) & 0xFF] ^ _crc[0][word >> 56]
        )
        p += 8
        n -= 8
    while n > 0:
        crc = (crc >> 8) ^ _crc[0][(crc ^ p[0]) & 0xFF]
        p += 1
        n -= 1
    return ~crc


def crc32(buffer, Py_ssize_t start, Py_ssize_t end):
    """CRC-32 (zlib's) of ``buffer[start:end]``."""
    cdef Py_buffer view
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    try:
        start = min(max(start, 0), view.len)
        end = min(max(end, start), view.len)
        return _crc_of(<const uint8_t*>view.buf + start, end - start, 0)
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


def build(int domain, source, sequence, timestamp_ns, bytes payload):
    """A whole message around ``payload`` (encoded TLVs), header and checksum in place."""
    cdef Py_ssize_t length = PyBytes_GET_SIZE(payload)
    cdef uint16_t source16
    cdef uint64_t sequence64, timestamp64
    try:
        source16 = source
        sequence64 = sequence
        timestamp64 = timestamp_ns
    except (OverflowError, TypeError) as error:
        raise _FieldError(
            f"header: source {source}, sequence {sequence}, timestamp {timestamp_ns}: {error}"
        ) from error
    cdef bytes message = PyBytes_FromStringAndSize(NULL, HEADER + length)
    cdef uint8_t* p = <uint8_t*>PyBytes_AS_STRING(message)
    cdef uint32_t length32 = <uint32_t>length
    cdef uint32_t crc
    memcpy(p, b"TORQ", 4)
    memcpy(p + 8, &length32, 4)
    p[12] = 2
    p[13] = <uint8_t>domain
    memcpy(p + 14, &source16, 2)
    memcpy(p + 16, &sequence64, 8)
    memcpy(p + 24, &timestamp64, 8)
    memcpy(p + HEADER, PyBytes_AS_STRING(payload), length)
    crc = _crc_of(p + 8, HEADER - 8 + length, 0)
    memcpy(p + 4, &crc, 4)
    return message


cdef int _verify(
    const uint8_t* p, Py_ssize_t available, int domain, uint64_t max_payload, Py_ssize_t* size
) noexcept nogil:
    cdef uint32_t checksum, length, tlv_length
    cdef uint16_t tlv_type
    cdef Py_ssize_t at, step
    cdef int found_domain
    size[0] = 0
    if available < HEADER:
        if available == 0:
            return 0
        return E_BAD_MAGIC if memcmp(p, b"TORQ", min(available, 4)) else E_INCOMPLETE
    if memcmp(p, b"TORQ", 4):
        return E_BAD_MAGIC
    if p[12] != 2:
        return E_BAD_VERSION
    memcpy(&length, p + 8, 4)
    if length % 8 or length > max_payload:
        return E_BAD_LENGTH
    if available < HEADER + <Py_ssize_t>length:
        return E_INCOMPLETE
    memcpy(&checksum, p + 4, 4)
    if _crc_of(p + 8, HEADER - 8 + <Py_ssize_t>length, 0) != checksum:
        return E_BAD_CHECKSUM
    found_domain = p[13]
    if found_domain < 1 or found_domain > 3 or (domain and found_domain != domain):
        return E_WRONG_DOMAIN
    at = HEADER
    while at < HEADER + <Py_ssize_t>length:
        memcpy(&tlv_type, p + at, 2)
        memcpy(&tlv_length, p + at + 4, 4)
        step = 8 + ((<Py_ssize_t>tlv_length + 7) & ~7)
        if not _legal[found_domain][tlv_type] or p[at + 2] == 0 or p[at + 3]:
            return E_BAD_TLV
        at += step
        if at > HEADER + <Py_ssize_t>length:
            return E_BAD_TLV
    size[0] = HEADER + <Py_ssize_t>length
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


cdef class _Op:
    """One field of a fixed block."""

    cdef int kind
    cdef Py_ssize_t offset, second, size
    cdef str name
    cdef Py_ssize_t index
    cdef object enum_values
    cdef object enum


cdef class _BlockPlan:
    cdef readonly Py_ssize_t size
    cdef list ops
    cdef Py_ssize_t count

    def __init__(self, block, fields):
        self.size = block.size
        self.ops = []
        by_field = {}
        for part in block.parts:
            by_field.setdefault(part.field, []).append(part)
        for field in block.fields:
            parts = by_field[field]
            op = _Op()
            op.name = field
            op.index = fields.index(field)
            op.offset = parts[0].offset
            op.size = parts[0].size
            op.kind = K_DECIMAL if len(parts) == 2 else _KINDS[parts[0].wire]
            op.second = parts[1].offset if len(parts) == 2 else 0
            op.enum = parts[0].enum
            op.enum_values = None if op.enum is None else {int(value): value for value in op.enum}
            self.ops.append(op)
        self.count = len(self.ops)

    cdef int pack(self, object owner, uint8_t* p) except -1:
        cdef _Op op
        cdef Py_ssize_t i
        cdef object value
        cdef uint16_t u16
        cdef uint32_t u32
        cdef uint64_t u64
        cdef int32_t i32
        cdef int64_t i64
        cdef bytes raw
        for i in range(self.count):
            op = <_Op>self.ops[i]
            value = getattr(owner, op.name)
            if op.kind == K_DECIMAL:
                i64 = value.mantissa
                memcpy(p + op.offset, &i64, 8)
                (<int8_t*>p)[op.second] = value.exponent
            elif op.kind == K_INSTRUMENT:
                raw = _pack_instrument(value)
                memcpy(p + op.offset, PyBytes_AS_STRING(raw), 40)
            elif op.kind == K_U64:
                u64 = value
                memcpy(p + op.offset, &u64, 8)
            elif op.kind == K_I64:
                i64 = value
                memcpy(p + op.offset, &i64, 8)
            elif op.kind == K_U8:
                p[op.offset] = value
            elif op.kind == K_I8:
                (<int8_t*>p)[op.offset] = value
            elif op.kind == K_U16:
                u16 = value
                memcpy(p + op.offset, &u16, 2)
            elif op.kind == K_U32:
                u32 = value
                memcpy(p + op.offset, &u32, 4)
            elif op.kind == K_I32:
                i32 = value
                memcpy(p + op.offset, &i32, 4)
            else:
                if op.kind == K_BYTES:
                    raw = bytes(value)
                    if PyBytes_GET_SIZE(raw) != op.size:
                        raise ValueError(f"{len(raw)} bytes where {op.size} belong")
                else:
                    raw = int.to_bytes(value, op.size, "little", signed=op.kind == K_WIDE_I)
                memcpy(p + op.offset, PyBytes_AS_STRING(raw), op.size)
        return 0

    cdef int unpack(self, const uint8_t* p, object values) except -1:
        """Fill the slots of ``values`` (a new tuple) that belong to this block's fields."""
        cdef _Op op
        cdef Py_ssize_t i
        cdef object value
        cdef uint16_t u16
        cdef uint32_t u32
        cdef uint64_t u64
        cdef int32_t i32
        cdef int64_t i64
        for i in range(self.count):
            op = <_Op>self.ops[i]
            if op.kind == K_DECIMAL:
                memcpy(&i64, p + op.offset, 8)
                value = _Decimal64(i64, <int>(<const int8_t*>p)[op.second])
            elif op.kind == K_INSTRUMENT:
                value = _unpack_instrument(PyBytes_FromStringAndSize(<const char*>p + op.offset, 40))
            elif op.kind == K_U64:
                memcpy(&u64, p + op.offset, 8)
                value = u64
            elif op.kind == K_I64:
                memcpy(&i64, p + op.offset, 8)
                value = i64
            elif op.kind == K_U8:
                value = <int>p[op.offset]
            elif op.kind == K_I8:
                value = <int>(<const int8_t*>p)[op.offset]
            elif op.kind == K_U16:
                memcpy(&u16, p + op.offset, 2)
                value = <int>u16
            elif op.kind == K_U32:
                memcpy(&u32, p + op.offset, 4)
                value = u32
            elif op.kind == K_I32:
                memcpy(&i32, p + op.offset, 4)
                value = i32
            else:
                value = PyBytes_FromStringAndSize(<const char*>p + op.offset, op.size)
                if op.kind != K_BYTES:
                    value = int.from_bytes(value, "little", signed=op.kind == K_WIDE_I)
            if op.enum_values is not None:
                try:
                    value = op.enum_values[value]
                except KeyError:
                    raise ValueError(f"{value} is not a valid {op.enum.__name__}") from None
            Py_INCREF(value)
            PyTuple_SET_ITEM(values, op.index, value)
        return 0


cdef class _VariablePlan:
    cdef str field
    cdef Py_ssize_t index
    cdef object entry
    cdef list blocks
    cdef Py_ssize_t entry_size, entry_fields

    def __init__(self, variable, fields):
        self.field = variable.field
        self.index = fields.index(variable.field)
        self.entry = variable.entry
        self.entry_fields = 0 if self.entry is None else len(self.entry.__struct_fields__)
        self.blocks = [
            _BlockPlan(block, list(self.entry.__struct_fields__)) for block in variable.blocks
        ]
        self.entry_size = sum([(<_BlockPlan>block).size for block in self.blocks])

    cdef object unpack(self, const uint8_t* base, Py_ssize_t* position, Py_ssize_t end):
        cdef Py_ssize_t at = position[0]
        cdef uint32_t count, entry_size
        cdef Py_ssize_t known = 0, size = 0, offset, i, j
        cdef _BlockPlan block
        cdef list entries
        cdef object values
        if self.entry is None:
            if at + 4 > end:
                raise _TruncatedError(f"{self.field}: the value ends before its text")
            memcpy(&count, base + at, 4)
            if at + 4 + <Py_ssize_t>count > end:
                raise _TruncatedError(
                    f"{self.field}: a text of {count} bytes passes the value's end"
                )
            text = PyUnicode_DecodeUTF8(<char*>base + at + 4, count, NULL)
            position[0] = at + ((4 + <Py_ssize_t>count + 7) & ~7)
            return text
        if at + 8 > end:
            raise _TruncatedError(f"{self.field}: the value ends before its array")
        memcpy(&count, base + at, 4)
        memcpy(&entry_size, base + at + 4, 4)
        at += 8
        if <uint64_t>count * entry_size > <uint64_t>(end - at):
            raise _TruncatedError(f"{self.field}: {count} x {entry_size} bytes pass the value's end")
        for block in self.blocks:
            if size + block.size > <Py_ssize_t>entry_size:
                break
            size += block.size
            known += 1
        if (known < len(self.blocks) and size != <Py_ssize_t>entry_size) or entry_size == 0:
            raise _FieldError(f"{self.field}: entries of {entry_size} bytes fit no known version")
        entries = [None] * count
        for i in range(count):
            if known == 1 and len(self.blocks) == 1:
                values = PyTuple_New(self.entry_fields)
                (<_BlockPlan>self.blocks[0]).unpack(base + at, values)
                entries[i] = PyObject_CallObject(self.entry, values)
            else:
                entries[i] = self._older_or_newer(base + at, known)
            at += entry_size
        position[0] = at
        return tuple(entries)

    cdef object _older_or_newer(self, const uint8_t* p, Py_ssize_t known):
        cdef dict keywords = {}
        cdef Py_ssize_t offset = 0, i
        cdef _BlockPlan block
        cdef _Op op
        cdef object values
        for i in range(known):
            block = <_BlockPlan>self.blocks[i]
            values = PyTuple_New(self.entry_fields)
            block.unpack(p + offset, values)
            for op in block.ops:
                keywords[op.name] = values[op.index]
            offset += block.size
        return self.entry(**keywords)


cdef class Plan:
    """Encodes and decodes one TLV type; made once per type from its layout."""

    cdef readonly object tlv
    cdef readonly tuple fields
    cdef readonly dict defaults
    cdef list segments
    cdef uint16_t tlv_type
    cdef uint8_t version

    def __init__(self, layout):
        self.tlv = layout.tlv
        self.fields = layout.fields
        self.defaults = layout.defaults
        self.tlv_type = layout.tlv.TYPE
        self.version = layout.tlv.SCHEMA_VERSION
        self.segments = [
            (
                _BlockPlan(segment.block, list(layout.fields)),
                [_VariablePlan(variable, list(layout.fields)) for variable in segment.variables],
            )
            for segment in layout.segments
        ]

    def encode(self, tlv):
        """Header, value and filling of ``tlv``. Raises :class:`FieldError`."""
        try:
            return self._encode(tlv)
        except (OverflowError, ValueError, TypeError, AttributeError) as error:
            raise _FieldError(f"{self.tlv.__name__}: a field does not fit: {error}") from error

    cdef bytes _encode(self, tlv):
        cdef Py_ssize_t total = 0, at, i, j
        cdef uint32_t length, count, entry_size
        cdef _BlockPlan block
        cdef _VariablePlan variable
        cdef list values = []
        cdef object value
        cdef bytes raw
        for segment in self.segments:
            block = <_BlockPlan>(<tuple>segment)[0]
            total += block.size
            for variable in <list>(<tuple>segment)[1]:
                value = getattr(tlv, variable.field)
                if variable.entry is None:
                    value = (<str?>value).encode()
                    total += (4 + PyBytes_GET_SIZE(value) + 7) & ~7
                else:
                    value = tuple(value)
                    total += 8 + len(value) * variable.entry_size
                values.append(value)
        raw = PyBytes_FromStringAndSize(NULL, 8 + total)
        cdef uint8_t* p = <uint8_t*>PyBytes_AS_STRING(raw)
        memset(p, 0, 8 + total)
        length = <uint32_t>total
        memcpy(p, &self.tlv_type, 2)
        p[2] = self.version
        memcpy(p + 4, &length, 4)
        at = 8
        i = 0
        for segment in self.segments:
            block = <_BlockPlan>(<tuple>segment)[0]
            block.pack(tlv, p + at)
            at += block.size
            for variable in <list>(<tuple>segment)[1]:
                value = values[i]
                i += 1
                if variable.entry is None:
                    count = <uint32_t>PyBytes_GET_SIZE(value)
                    memcpy(p + at, &count, 4)
                    memcpy(p + at + 4, PyBytes_AS_STRING(value), count)
                    at += (4 + <Py_ssize_t>count + 7) & ~7
                    continue
                count = <uint32_t>len(value)
                entry_size = <uint32_t>variable.entry_size
                memcpy(p + at, &count, 4)
                memcpy(p + at + 4, &entry_size, 4)
                at += 8
                for entry in <tuple>value:
                    for block in variable.blocks:
                        block.pack(entry, p + at)
                        at += block.size
        return raw

    def decode(self, buffer, Py_ssize_t start, Py_ssize_t length, int schema_version):
        """The TLV whose value is ``buffer[start:start + length]``. Raises a ProtocolError."""
        cdef Py_buffer view
        PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
        try:
            if start < 0 or length < 0 or start + length > view.len:
                raise _TruncatedError(f"{self.tlv.__name__}: the buffer ends before the value")
            return self._decode(<const uint8_t*>view.buf + start, length, schema_version)
        except (ValueError, TypeError, OverflowError) as error:
            raise _FieldError(f"{self.tlv.__name__}: a field has no legal value: {error}") from error
        finally:
            PyBuffer_Release(&view)

    cdef object _decode(self, const uint8_t* base, Py_ssize_t end, int schema_version):
        cdef Py_ssize_t at = 0, i
        cdef _BlockPlan block
        cdef _VariablePlan variable
        cdef object values = PyTuple_New(len(self.fields))
        cdef object value
        cdef int version = 0
        for segment in self.segments:
            if version == schema_version:
                break
            version += 1
            block = <_BlockPlan>(<tuple>segment)[0]
            if at + block.size > end:
                raise _TruncatedError(
                    f"{self.tlv.__name__}: {end} bytes, too few for version {schema_version}"
                )
            block.unpack(base + at, values)
            at += block.size
            for variable in <list>(<tuple>segment)[1]:
                value = variable.unpack(base, &at, end)
                Py_INCREF(value)
                PyTuple_SET_ITEM(values, variable.index, value)
        if version < len(self.segments):
            return self._with_defaults(values, version)
        return PyObject_CallObject(self.tlv, values)

    cdef object _with_defaults(self, object values, int known):
        cdef dict keywords = {}
        cdef _BlockPlan block
        cdef _VariablePlan variable
        cdef _Op op
        cdef Py_ssize_t i
        for i in range(known):
            block = <_BlockPlan>(<tuple>self.segments[i])[0]
            for op in block.ops:
                keywords[op.name] = values[op.index]
            for variable in <list>(<tuple>self.segments[i])[1]:
                keywords[variable.field] = values[variable.index]
        return self.tlv(**keywords)

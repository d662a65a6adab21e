# TLVs to bytes and back. Fields are read from and written to the slots of their structs directly:
# msgspec keeps each in a member slot whose offset its descriptor tells.

cdef enum Kind:
    K_U8, K_U16, K_U32, K_U64, K_I8, K_I32, K_I64, K_WIDE_U, K_WIDE_I, K_BYTES, K_INSTRUMENT, K_DECIMAL

_KINDS = {
    "u8": K_U8, "u16": K_U16, "u32": K_U32, "u64": K_U64, "i8": K_I8, "i32": K_I32, "i64": K_I64,
    "u128": K_WIDE_U, "u160": K_WIDE_U, "u256": K_WIDE_U, "i256": K_WIDE_I,
    "bytes8": K_BYTES, "bytes16": K_BYTES, "bytes20": K_BYTES, "bytes32": K_BYTES,
    "instrument": K_INSTRUMENT,
}

cdef object _Decimal64 = Decimal64
cdef object _InstrumentId = InstrumentId
cdef object _FieldError = FieldError
cdef object _TruncatedError = TruncatedError
cdef object _TlvTypeError = TlvTypeError
cdef object _pack_instrument = pack_instrument
cdef object _unpack_instrument = unpack_instrument

ctypedef struct Op:
    int kind
    Py_ssize_t slot
    Py_ssize_t offset
    Py_ssize_t second
    Py_ssize_t size
    PyObject** enum_table


cdef Py_ssize_t _slot(object cls, str name) except -1:
    """Where in an instance of ``cls`` the pointer to its field ``name`` stands."""
    for base in cls.__mro__:
        descriptor = base.__dict__.get(name)
        if descriptor is None:
            continue
        if (
            type(descriptor) is MemberDescriptorType
            and (<PyMemberDescrObject*><PyObject*>descriptor).d_member.type == T_OBJECT_EX
        ):
            return (<PyMemberDescrObject*><PyObject*>descriptor).d_member.offset
        break
    raise TypeError(f"{cls.__name__}.{name} is no struct field")


cdef Py_ssize_t _MANTISSA = _slot(Decimal64, "mantissa")
cdef Py_ssize_t _EXPONENT = _slot(Decimal64, "exponent")


cdef inline object _get(object owner, Py_ssize_t slot):
    cdef PyObject* value = (<PyObject**>(<char*><PyObject*>owner + slot))[0]
    if value == NULL:
        raise AttributeError("a field was never set")
    return <object>value


cdef inline void _set(object owner, Py_ssize_t slot, object value):
    Py_INCREF(value)
    (<PyObject**>(<char*><PyObject*>owner + slot))[0] = <PyObject*>value


cdef inline object _new(object cls):
    """A struct whose slots are all empty; whoever asks fills every one."""
    return (<PyTypeObject*><PyObject*>cls).tp_alloc(<PyTypeObject*><PyObject*>cls, 0)


cdef list _EXPONENTS = [exponent if exponent < 128 else exponent - 256 for exponent in range(256)]


# The instruments seen last, by object and by bytes: a feed names the same few over and over.

ctypedef struct Known:
    PyObject* instrument
    uint8_t[40] packed

cdef enum:
    SETS = 2048

# Two places for each hash: the one that was used last stands first.
cdef Known[2 * SETS] _known_objects
cdef Known[2 * SETS] _known_bytes


cdef int _remember(Known* known, object instrument, const uint8_t* packed) except -1:
    """Put an instrument first, the first one second; the second is forgotten."""
    Py_INCREF(instrument)
    Py_XDECREF(known[1].instrument)
    known[1] = known[0]
    known[0].instrument = <PyObject*>instrument
    memcpy(known[0].packed, packed, 40)
    return 0


cdef inline int _write_instrument(object value, uint8_t* p) except -1:
    cdef Known* known = &_known_objects[2 * ((<size_t><PyObject*>value >> 6) % SETS)]
    cdef bytes raw
    if known[0].instrument == <PyObject*>value:
        memcpy(p, known[0].packed, 40)
        return 0
    if known[1].instrument == <PyObject*>value:
        memcpy(p, known[1].packed, 40)
        return 0
    if type(value) is not _InstrumentId:
        raise TypeError(f"expected an InstrumentId, found {type(value).__name__}")
    raw = _pack_instrument(value)
    memcpy(p, PyBytes_AS_STRING(raw), 40)
    _remember(known, value, p)
    return 0


cdef inline size_t _hash_of(const uint8_t* p) noexcept nogil:
    cdef uint64_t[5] w
    cdef uint64_t h
    memcpy(w, p, 40)
    h = (w[0] ^ (w[1] * <uint64_t>0x9E3779B97F4A7C15)) * <uint64_t>0xC2B2AE3D27D4EB4F
    h = (h ^ (h >> 29) ^ w[2] ^ (w[3] << 1) ^ (w[4] << 2)) * <uint64_t>0x9E3779B97F4A7C15
    return h >> 40


cdef inline object _read_instrument(const uint8_t* p):
    cdef Known* known = &_known_bytes[2 * (_hash_of(p) % SETS)]
    if known[0].instrument != NULL and memcmp(known[0].packed, p, 40) == 0:
        return <object>known[0].instrument
    if known[1].instrument != NULL and memcmp(known[1].packed, p, 40) == 0:
        return <object>known[1].instrument
    value = _unpack_instrument(PyBytes_FromStringAndSize(<const char*>p, 40))
    _remember(known, value, p)
    return value


cdef class _BlockPlan:
    """One fixed block of the struct ``owner``."""

    cdef readonly Py_ssize_t size
    cdef Py_ssize_t count
    cdef Op* ops
    cdef list enums
    cdef list references

    def __cinit__(self, block, owner):
        cdef Py_ssize_t i
        cdef Op* op
        by_field = {}
        for part in block.parts:
            by_field.setdefault(part.field, []).append(part)
        self.size = block.size
        self.count = len(by_field)
        self.enums = [None] * self.count
        self.references = []
        self.ops = <Op*>PyMem_Calloc(max(self.count, 1), sizeof(Op))
        if self.ops == NULL:
            raise MemoryError()
        for i, field in enumerate(block.fields):
            parts = by_field[field]
            op = &self.ops[i]
            op.slot = _slot(owner, field)
            op.offset = parts[0].offset
            op.size = parts[0].size
            op.kind = K_DECIMAL if len(parts) == 2 else _KINDS[parts[0].wire]
            op.second = parts[1].offset if len(parts) == 2 else 0
            if parts[0].enum is not None:
                self.enums[i] = parts[0].enum
                self._tabulate(op, parts[0].enum)

    def __dealloc__(self):
        cdef Py_ssize_t i
        if self.ops != NULL:
            for i in range(self.count):
                PyMem_Free(self.ops[i].enum_table)
            PyMem_Free(self.ops)

    cdef int _tabulate(self, Op* op, object enum) except -1:
        """Members of ``enum`` by value, so that a member is found with one load."""
        if not all(0 <= int(member) < 256 for member in enum):
            return 0
        op.enum_table = <PyObject**>PyMem_Calloc(256, sizeof(void*))
        if op.enum_table == NULL:
            raise MemoryError()
        for member in enum:
            self.references.append(member)
            op.enum_table[<int>member] = <PyObject*>member
        return 0

    cdef int pack(self, object owner, uint8_t* p) except -1:
        cdef Py_ssize_t i
        cdef Op* op
        cdef object value
        cdef uint16_t u16
        cdef uint32_t u32
        cdef uint64_t u64
        cdef int32_t i32
        cdef int64_t i64
        cdef bytes raw
        for i in range(self.count):
            op = &self.ops[i]
            value = _get(owner, op.slot)
            if op.kind == K_DECIMAL:
                if type(value) is not _Decimal64:
                    raise TypeError(f"expected a Decimal64, found {type(value).__name__}")
                i64 = _get(value, _MANTISSA)
                memcpy(p + op.offset, &i64, 8)
                (<int8_t*>p)[op.second] = _get(value, _EXPONENT)
            elif op.kind == K_INSTRUMENT:
                _write_instrument(value, p + op.offset)
            elif op.kind == K_U64:
                u64 = value
                memcpy(p + op.offset, &u64, 8)
            elif op.kind == K_U8:
                p[op.offset] = value
            elif op.kind == K_I64:
                i64 = value
                memcpy(p + op.offset, &i64, 8)
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

    cdef int unpack(self, const uint8_t* p, object owner) except -1:
        """Fill the slots of ``owner`` (a new struct) that belong to this block's fields."""
        cdef Py_ssize_t i
        cdef Op* op
        cdef object value
        cdef uint16_t u16
        cdef uint32_t u32
        cdef uint64_t u64
        cdef int32_t i32
        cdef int64_t i64
        for i in range(self.count):
            op = &self.ops[i]
            if op.kind == K_DECIMAL:
                memcpy(&i64, p + op.offset, 8)
                value = _new(_Decimal64)
                _set(value, _MANTISSA, i64)
                _set(value, _EXPONENT, <object>PyList_GET_ITEM(_EXPONENTS, p[op.second]))
            elif op.kind == K_INSTRUMENT:
                value = _read_instrument(p + op.offset)
            elif op.kind == K_U64:
                memcpy(&u64, p + op.offset, 8)
                value = u64
            elif op.kind == K_U8:
                if op.enum_table != NULL and op.enum_table[p[op.offset]] != NULL:
                    _set(owner, op.slot, <object>op.enum_table[p[op.offset]])
                    continue
                value = <long>p[op.offset]
            elif op.kind == K_I64:
                memcpy(&i64, p + op.offset, 8)
                value = i64
            elif op.kind == K_I8:
                value = <long>(<const int8_t*>p)[op.offset]
            elif op.kind == K_U16:
                memcpy(&u16, p + op.offset, 2)
                value = <long>u16
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
            if self.enums[i] is not None:
                value = self.enums[i](value)
            _set(owner, op.slot, value)
        return 0


cdef class _VariablePlan:
    """One text or array of the struct ``owner``."""

    cdef str field
    cdef Py_ssize_t slot
    cdef object entry
    cdef list blocks
    cdef Py_ssize_t entry_size
    cdef dict entry_defaults

    def __init__(self, variable, owner):
        self.field = variable.field
        self.slot = _slot(owner, variable.field)
        self.entry = variable.entry
        self.blocks = [_BlockPlan(block, self.entry) for block in variable.blocks]
        self.entry_size = sum([(<_BlockPlan>block).size for block in self.blocks])
        self.entry_defaults = dict(variable.defaults)

    cdef Py_ssize_t measure(self, object value) except -1:
        """Bytes of ``value`` with its filling."""
        cdef Py_ssize_t size
        if self.entry is None:
            if not isinstance(value, str):
                raise TypeError(f"{self.field}: expected str, found {type(value).__name__}")
            PyUnicode_AsUTF8AndSize(value, &size)
            return (4 + size + 7) & ~7
        if type(value) is not tuple:
            raise TypeError(f"{self.field}: expected a tuple, found {type(value).__name__}")
        return 8 + len(<tuple>value) * self.entry_size

    cdef Py_ssize_t pack(self, object value, uint8_t* p) except -1:
        """Write what :meth:`measure` measured (into zeroed bytes); the bytes written."""
        cdef Py_ssize_t size, at
        cdef uint32_t count, entry_size
        cdef const char* text
        cdef _BlockPlan block
        if self.entry is None:
            text = PyUnicode_AsUTF8AndSize(value, &size)
            count = <uint32_t>size
            memcpy(p, &count, 4)
            memcpy(p + 4, text, size)
            return (4 + size + 7) & ~7
        count = <uint32_t>len(<tuple>value)
        entry_size = <uint32_t>self.entry_size
        memcpy(p, &count, 4)
        memcpy(p + 4, &entry_size, 4)
        at = 8
        for entry in <tuple>value:
            if type(entry) is not self.entry:
                raise TypeError(
                    f"{self.field}: expected {self.entry.__name__}, found {type(entry).__name__}"
                )
            for block in self.blocks:
                block.pack(entry, p + at)
                at += block.size
        return at

    cdef object unpack(self, const uint8_t* base, Py_ssize_t* position, Py_ssize_t end):
        cdef Py_ssize_t at = position[0]
        cdef uint32_t count, entry_size
        cdef Py_ssize_t known = 0, size = 0, i
        cdef _BlockPlan block
        cdef object entries, entry
        if at + 4 > end:
            raise _TruncatedError(f"{self.field}: the value ends before it")
        memcpy(&count, base + at, 4)
        if self.entry is None:
            if at + 4 + <Py_ssize_t>count > end:
                raise _TruncatedError(
                    f"{self.field}: a text of {count} bytes passes the value's end"
                )
            text = PyUnicode_DecodeUTF8(<char*>base + at + 4, count, NULL)
            position[0] = at + ((4 + <Py_ssize_t>count + 7) & ~7)
            return text
        if at + 8 > end:
            raise _TruncatedError(f"{self.field}: the value ends before its array")
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
        entries = PyTuple_New(count)
        for i in range(count):
            entry = self._entry(base + at, known)
            Py_INCREF(entry)
            PyTuple_SET_ITEM(entries, i, entry)
            at += entry_size
        position[0] = at
        return entries

    cdef object _entry(self, const uint8_t* p, Py_ssize_t known):
        cdef object entry = _new(self.entry)
        cdef _BlockPlan block
        cdef Py_ssize_t i
        for i in range(known):
            block = <_BlockPlan>self.blocks[i]
            block.unpack(p, entry)
            p += block.size
        if known < len(self.blocks):
            _fill_defaults(entry, self.entry_defaults)
        return entry


cdef int _fill_defaults(object owner, dict defaults) except -1:
    """Set the fields that an older message lacks."""
    cdef Py_ssize_t slot
    for name, value in defaults.items():
        slot = _slot(type(owner), name)
        if (<PyObject**>(<char*><PyObject*>owner + slot))[0] == NULL:
            _set(owner, slot, value)
    return 0


cdef class Plan:
    """Encodes and decodes one TLV type; made once per type from its layout."""

    cdef readonly object tlv
    cdef readonly tuple fields
    cdef readonly dict defaults
    cdef list blocks
    cdef list variables
    cdef uint16_t tlv_type
    cdef uint8_t version
    cdef bint checks_itself

    def __init__(self, layout):
        self.tlv = layout.tlv
        self.fields = layout.fields
        self.defaults = layout.defaults
        self.tlv_type = layout.tlv.TYPE
        self.version = layout.tlv.SCHEMA_VERSION
        self.checks_itself = hasattr(layout.tlv, "__post_init__")
        self.blocks = [_BlockPlan(segment.block, self.tlv) for segment in layout.segments]
        self.variables = [
            [_VariablePlan(variable, self.tlv) for variable in segment.variables]
            for segment in layout.segments
        ]

    def encode(self, tlv):
        """Header, value and filling of ``tlv``. Raises :class:`FieldError`."""
        cdef Py_ssize_t size
        cdef bytes raw
        try:
            size = self.measure(tlv)
            raw = PyBytes_FromStringAndSize(NULL, size)
            self.write(tlv, <uint8_t*>PyBytes_AS_STRING(raw), size)
        except (OverflowError, ValueError, TypeError, AttributeError) as error:
            raise self.refusal(error) from error
        return raw

    cdef object refusal(self, object error):
        return _FieldError(f"{self.tlv.__name__}: a field does not fit: {error}")

    cdef Py_ssize_t measure(self, object tlv) except -1:
        """Bytes of ``tlv`` with its header and filling."""
        cdef Py_ssize_t total = 8, i
        cdef _VariablePlan variable
        if type(tlv) is not self.tlv:
            raise TypeError(f"expected {self.tlv.__name__}, found {type(tlv).__name__}")
        for i in range(len(self.blocks)):
            total += (<_BlockPlan>self.blocks[i]).size
            for variable in <list>self.variables[i]:
                total += variable.measure(_get(tlv, variable.slot))
        return total

    cdef int write(self, object tlv, uint8_t* p, Py_ssize_t size) except -1:
        """Write ``size`` bytes, as :meth:`measure` measured them."""
        cdef uint32_t length = <uint32_t>(size - 8)
        cdef Py_ssize_t i
        cdef _BlockPlan block
        cdef _VariablePlan variable
        memset(p, 0, size)
        memcpy(p, &self.tlv_type, 2)
        p[2] = self.version
        memcpy(p + 4, &length, 4)
        p += 8
        for i in range(len(self.blocks)):
            block = <_BlockPlan>self.blocks[i]
            block.pack(tlv, p)
            p += block.size
            for variable in <list>self.variables[i]:
                p += variable.pack(_get(tlv, variable.slot), p)
        return 0

    def decode(self, buffer, Py_ssize_t start, Py_ssize_t length, int schema_version):
        """The TLV whose value is ``buffer[start:start + length]``. Raises a ProtocolError."""
        cdef Py_buffer view
        PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
        try:
            if start < 0 or length < 0 or start + length > view.len:
                raise _TruncatedError(f"{self.tlv.__name__}: the buffer ends before the value")
            return self.read(<const uint8_t*>view.buf + start, length, schema_version)
        finally:
            PyBuffer_Release(&view)

    cdef object read(self, const uint8_t* base, Py_ssize_t end, int schema_version):
        try:
            return self._read(base, end, schema_version)
        except (ValueError, TypeError, OverflowError) as error:
            raise _FieldError(f"{self.tlv.__name__}: a field has no legal value: {error}") from error

    cdef object _read(self, const uint8_t* base, Py_ssize_t end, int schema_version):
        cdef Py_ssize_t at = 0, i, known = min(schema_version, <int>len(self.blocks))
        cdef _BlockPlan block
        cdef _VariablePlan variable
        cdef object tlv = _new(self.tlv)
        for i in range(known):
            block = <_BlockPlan>self.blocks[i]
            if at + block.size > end:
                raise _TruncatedError(
                    f"{self.tlv.__name__}: {end} bytes, too few for version {schema_version}"
                )
            block.unpack(base + at, tlv)
            at += block.size
            for variable in <list>self.variables[i]:
                _set(tlv, variable.slot, variable.unpack(base, &at, end))
        if known < len(self.blocks):
            _fill_defaults(tlv, self.defaults)
        if self.checks_itself:
            tlv.__post_init__()
        return tlv


cdef dict _plans = {}


cpdef Plan plan_for(cls):
    """The plan of a TLV type, made once."""
    plan = _plans.get(cls)
    if plan is None:
        plan = _plans[cls] = Plan(layout_of(cls))
    return plan

# Whole messages: built in one buffer, read where they lie.

from torq_codec.faults import DEFAULT_MAX_PAYLOAD, error_for, several_messages

cdef object _Header = Header
cdef Py_ssize_t[7] _HEADER_SLOTS
cdef list _DOMAINS = [None, Domain(1), Domain(2), Domain(3)]
cdef object _REGISTRY = REGISTRY


cdef void _find_header_slots():
    names = ("checksum", "length", "version", "domain", "source", "sequence", "timestamp_ns")
    for i, name in enumerate(names):
        _HEADER_SLOTS[i] = _slot(Header, name)


_find_header_slots()


# The plans of registered types by number, so that the usual registry costs one load.
cdef void* _registered[256]


cdef inline Plan _plan_of(object registry, uint16_t tlv_type):
    """The plan that ``registry`` has for a type, or None."""
    if registry is _REGISTRY and tlv_type < 256 and _registered[tlv_type] != NULL:
        return <Plan>_registered[tlv_type]
    cls = registry.get(<long>tlv_type)
    if cls is None:
        return None
    plan = plan_for(cls)  # lives as long as the kernel
    if registry is _REGISTRY and tlv_type < 256:
        _registered[tlv_type] = <void*>plan
    return plan


cdef int _seal(
    uint8_t* p, Py_ssize_t length, int domain, uint16_t source, uint64_t sequence, uint64_t timestamp
) except -1:
    """Write the header of the message at ``p``, whose payload of ``length`` bytes is in place."""
    if length > 0xFFFFFFFF:
        raise _FieldError(f"header: a payload of {length} bytes does not fit 32 bits")
    cdef uint32_t length32 = <uint32_t>length
    cdef uint32_t crc
    memcpy(p, b"TORQ", 4)
    memcpy(p + 8, &length32, 4)
    p[12] = 2
    p[13] = <uint8_t>domain
    memcpy(p + 14, &source, 2)
    memcpy(p + 16, &sequence, 8)
    memcpy(p + 24, &timestamp, 8)
    crc = torq_crc32(p + 8, HEADER - 8 + length)
    memcpy(p + 4, &crc, 4)
    return 0


cdef object _header_refusal(object source, object sequence, object timestamp_ns, object error):
    return _FieldError(
        f"header: source {source}, sequence {sequence}, timestamp {timestamp_ns}: {error}"
    )


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
        raise _header_refusal(source, sequence, timestamp_ns, error) from error
    cdef bytes message = PyBytes_FromStringAndSize(NULL, HEADER + length)
    cdef uint8_t* p = <uint8_t*>PyBytes_AS_STRING(message)
    memcpy(p + HEADER, PyBytes_AS_STRING(payload), length)
    _seal(p, length, domain, source16, sequence64, timestamp64)
    return message


cdef class MessageBuilder:
    """Collects the TLVs of one message.

    .. code-block:: python

        message = MessageBuilder(Domain.MARKET_DATA, source=7).add(trade).build(
            sequence=1, timestamp_ns=now
        )

    ``build`` leaves the builder empty, ready for the next message.
    """

    cdef readonly object domain
    cdef readonly object source
    cdef int _domain
    cdef uint8_t* _bytes
    cdef Py_ssize_t _used, _capacity
    cdef object _last_type
    cdef Plan _last_plan

    def __cinit__(self, domain, source):
        self.domain = domain
        self.source = source
        self._domain = domain
        if not 1 <= self._domain <= 3:
            raise _FieldError(f"header: domain {domain}; expected 1, 2 or 3")
        self._used = HEADER
        self._capacity = 1024
        self._bytes = <uint8_t*>PyMem_Malloc(self._capacity)
        if self._bytes == NULL:
            raise MemoryError()

    def __dealloc__(self):
        PyMem_Free(self._bytes)

    cdef int _reserve(self, Py_ssize_t size) except -1:
        cdef Py_ssize_t capacity = self._capacity
        cdef uint8_t* grown
        if self._used + size <= capacity:
            return 0
        while capacity < self._used + size:
            capacity *= 2
        grown = <uint8_t*>PyMem_Realloc(self._bytes, capacity)
        if grown == NULL:
            raise MemoryError()
        self._bytes = grown
        self._capacity = capacity
        return 0

    cdef int _add(self, object tlv) except -1:
        cdef Plan plan
        cdef Py_ssize_t size
        cls = type(tlv)
        if cls is self._last_type:
            plan = self._last_plan
        else:
            plan = plan_for(cls)
            if not _legal[self._domain][plan.tlv_type]:
                raise _TlvTypeError(
                    f"{cls.__name__} (type {plan.tlv_type}) does not belong in"
                    f" {self.domain.slug}"
                )
            self._last_type = cls
            self._last_plan = plan
        try:
            size = plan.measure(tlv)
            self._reserve(size)
            plan.write(tlv, self._bytes + self._used, size)
        except (OverflowError, ValueError, TypeError, AttributeError) as error:
            raise plan.refusal(error) from error
        self._used += size
        return 0

    def add(self, tlv):
        """Append ``tlv``.

        Raises :class:`TlvTypeError` when its type is not legal in this domain, and
        :class:`FieldError` when a field does not fit its place.
        """
        self._add(tlv)
        return self

    def clear(self):
        """Forget what was added."""
        self._used = HEADER

    def build(self, *, sequence, timestamp_ns):
        """The message with what was added so far; the builder is empty afterwards.

        ``sequence`` counts per source and domain from 1; ``timestamp_ns`` is UTC nanoseconds.
        """
        cdef Py_ssize_t used = self._used
        self._used = HEADER
        return self._finish(used, sequence, timestamp_ns)

    cdef bytes _finish(self, Py_ssize_t used, object sequence, object timestamp_ns):
        cdef uint16_t source
        cdef uint64_t sequence64, timestamp64
        try:
            source = self.source
            sequence64 = sequence
            timestamp64 = timestamp_ns
        except (OverflowError, TypeError) as error:
            raise _header_refusal(self.source, sequence, timestamp_ns, error) from error
        _seal(self._bytes, used - HEADER, self._domain, source, sequence64, timestamp64)
        return PyBytes_FromStringAndSize(<char*>self._bytes, used)

    def build_one(self, tlvs, *, sequence, timestamp_ns):
        """The message with ``tlvs`` and nothing else; an error leaves the builder empty."""
        cdef Py_ssize_t used
        self._used = HEADER
        try:
            for tlv in tlvs:
                self._add(tlv)
            used = self._used
        finally:
            self._used = HEADER
        return self._finish(used, sequence, timestamp_ns)

    def build_each(self, tlvs, *, sequence, timestamp_ns):
        """One message for each of ``tlvs``, one behind the other, and how many there are.

        The first gets ``sequence``, the others follow it. All or none: an error in one TLV
        builds nothing.
        """
        cdef uint16_t source
        cdef uint64_t next_sequence, timestamp64
        cdef Py_ssize_t start, count = 0
        try:
            source = self.source
            next_sequence = sequence
            timestamp64 = timestamp_ns
        except (OverflowError, TypeError) as error:
            raise _header_refusal(self.source, sequence, timestamp_ns, error) from error
        self._used = 0
        try:
            for tlv in tlvs:
                self._reserve(HEADER)
                start = self._used
                self._used += HEADER
                self._add(tlv)
                _seal(
                    self._bytes + start, self._used - start - HEADER,
                    self._domain, source, next_sequence, timestamp64,
                )
                next_sequence += 1
                count += 1
            return PyBytes_FromStringAndSize(<char*>self._bytes, self._used), count
        finally:
            self._used = HEADER


cdef class _Lent:
    """Bytes that do not move while this object lives."""

    cdef Py_buffer view

    def __cinit__(self, buffer):
        PyObject_GetBuffer(buffer, &self.view, PyBUF_SIMPLE)

    def __dealloc__(self):
        PyBuffer_Release(&self.view)


cdef class Message:
    """A verified message in a buffer. Header and TLVs are read when asked for.

    The message borrows the buffer: keep :meth:`tobytes` if the buffer will be overwritten.
    """

    cdef object _owner
    cdef const uint8_t* _bytes
    cdef Py_ssize_t _size
    cdef object _registry
    cdef object _header
    cdef tuple _tlvs

    def __init__(self, buffer, Py_ssize_t start, Py_ssize_t end, registry=_REGISTRY):
        cdef _Lent lent = _Lent(buffer)
        if start < 0 or end > lent.view.len or end - start < HEADER:
            raise ValueError(f"no message in bytes {start} to {end} of {lent.view.len}")
        self._owner = lent
        self._bytes = <const uint8_t*>lent.view.buf + start
        self._size = end - start
        self._registry = registry

    @property
    def header(self):
        """The message's header."""
        if self._header is None:
            self._header = self._read_header()
        return self._header

    cdef object _read_header(self):
        cdef uint32_t checksum, length
        cdef uint16_t source
        cdef uint64_t sequence, timestamp
        cdef const uint8_t* p = self._bytes
        cdef object header = _new(_Header)
        memcpy(&checksum, p + 4, 4)
        memcpy(&length, p + 8, 4)
        memcpy(&source, p + 14, 2)
        memcpy(&sequence, p + 16, 8)
        memcpy(&timestamp, p + 24, 8)
        _set(header, _HEADER_SLOTS[0], <long>checksum)
        _set(header, _HEADER_SLOTS[1], <long>length)
        _set(header, _HEADER_SLOTS[2], <long>p[12])
        _set(header, _HEADER_SLOTS[3], _DOMAINS[p[13]])
        _set(header, _HEADER_SLOTS[4], <long>source)
        _set(header, _HEADER_SLOTS[5], sequence)
        _set(header, _HEADER_SLOTS[6], timestamp)
        return header

    @property
    def tlvs(self):
        """Every TLV of a type that this reader knows, in order; the others are skipped.

        Raises :class:`ProtocolError` when a known type's value makes no sense.
        """
        if self._tlvs is None:
            self._tlvs = self._read_tlvs()
        return self._tlvs

    cdef tuple _read_tlvs(self):
        cdef Py_ssize_t at = HEADER
        cdef uint16_t tlv_type
        cdef uint32_t length
        cdef list found = None
        cdef object tlv = None
        cdef Plan plan
        while at < self._size:
            memcpy(&tlv_type, self._bytes + at, 2)
            memcpy(&length, self._bytes + at + 4, 4)
            plan = _plan_of(self._registry, tlv_type)
            if plan is not None:
                if tlv is not None:
                    found = [tlv] if found is None else found
                tlv = plan.read(self._bytes + at + 8, length, self._bytes[at + 2])
                if found is not None:
                    found.append(tlv)
            at += 8 + ((<Py_ssize_t>length + 7) & ~7)
        if found is not None:
            return tuple(found)
        return () if tlv is None else (tlv,)

    @property
    def types(self):
        """The numbers of all its TLV types, known or not, without decoding any."""
        cdef Py_ssize_t at = HEADER
        cdef uint16_t tlv_type
        cdef uint32_t length
        cdef list found = []
        while at < self._size:
            memcpy(&tlv_type, self._bytes + at, 2)
            memcpy(&length, self._bytes + at + 4, 4)
            found.append(<long>tlv_type)
            at += 8 + ((<Py_ssize_t>length + 7) & ~7)
        return tuple(found)

    def get(self, cls):
        """The first TLV of type ``cls``, or None."""
        return self._find(cls)

    cdef object _find(self, object cls):
        if self._tlvs is None:
            self._tlvs = self._read_tlvs()
        for tlv in self._tlvs:
            if type(tlv) is cls or isinstance(tlv, cls):
                return tlv
        return None

    def __getitem__(self, cls):
        tlv = self._find(cls)
        if tlv is None:
            found = ", ".join([type(tlv).__name__ for tlv in self.tlvs]) or "nothing known"
            raise KeyError(f"no {cls.__name__} in this message; it has {found}")
        return tlv

    def __contains__(self, cls):
        return cls.TYPE in self.types

    def __len__(self):
        """Bytes of the whole message."""
        return self._size

    def tobytes(self):
        """A copy of the message's bytes."""
        return PyBytes_FromStringAndSize(<const char*>self._bytes, self._size)

    def __repr__(self):
        header = self.header
        names = ", ".join([
            self._registry[t].__name__ if t in self._registry else f"type {t}" for t in self.types
        ])
        return f"<Message {header.domain.slug} {header.source}:{header.sequence} [{names}]>"


cdef inline Message _message(
    object owner, const uint8_t* p, Py_ssize_t size, object registry
):
    cdef Message message = Message.__new__(Message)
    message._owner = owner
    message._bytes = p
    message._size = size
    message._registry = registry
    return message


cdef inline object _lend(object buffer, const uint8_t** p, Py_ssize_t* size):
    """An owner that keeps the bytes of ``buffer`` in place."""
    cdef _Lent lent
    if PyBytes_CheckExact(buffer):
        p[0] = <const uint8_t*>PyBytes_AS_STRING(buffer)
        size[0] = PyBytes_GET_SIZE(buffer)
        return buffer
    lent = _Lent(buffer)
    p[0] = <const uint8_t*>lent.view.buf
    size[0] = lent.view.len
    return lent


def parse_message(buffer, *, registry=_REGISTRY, max_payload=DEFAULT_MAX_PAYLOAD):
    """Verify ``buffer`` as exactly one message: magic, version, length, checksum, TLV types.

    Raises a subclass of :class:`ProtocolError` that names what is wrong.
    """
    cdef const uint8_t* p
    cdef Py_ssize_t available, size
    cdef object owner = _lend(buffer, &p, &available)
    cdef int code = _verify(p, available, 0, max_payload, &size)
    if code or available == 0:
        raise error_for(code or E_INCOMPLETE, buffer, 0)
    if size != available:
        raise several_messages(available, size)
    return _message(owner, p, size, registry)


cdef class _Messages:
    """Iterates over messages, verified here or before."""

    cdef object owner
    cdef object buffer
    cdef const uint8_t* bytes
    cdef Py_ssize_t at, end
    cdef uint64_t max_payload
    cdef object registry
    cdef bint verified

    def __iter__(self):
        return self

    def __next__(self):
        cdef Py_ssize_t size
        cdef uint32_t length
        cdef int code
        if self.at >= self.end:
            raise StopIteration
        cdef const uint8_t* p = self.bytes + self.at
        if self.verified:
            memcpy(&length, p + 8, 4)
            size = HEADER + <Py_ssize_t>length
            if self.at + size > self.end:
                raise StopIteration
        else:
            code = _verify(p, self.end - self.at, 0, self.max_payload, &size)
            if code:
                raise error_for(code, self.buffer, self.at)
        self.at += size
        return _message(self.owner, p, size, self.registry)


cdef _Messages _iterate(object buffer, object registry, object max_payload, bint verified):
    cdef _Messages messages = _Messages.__new__(_Messages)
    messages.owner = _lend(buffer, &messages.bytes, &messages.end)
    messages.buffer = buffer
    messages.at = 0
    messages.max_payload = max_payload
    messages.registry = registry
    messages.verified = verified
    if verified and messages.end % 8:
        raise ValueError(f"{messages.end} bytes are no verified messages")
    return messages


def iter_messages(buffer, *, registry=_REGISTRY, max_payload=DEFAULT_MAX_PAYLOAD):
    """Every message in ``buffer``, one behind the other.

    Raises a subclass of :class:`ProtocolError` at the first byte that belongs to no sound message;
    for a stream with damage use :class:`torq_codec.Framer`, which finds its way back.
    """
    return _iterate(buffer, registry, max_payload, False)


def walk_messages(buffer, *, registry=_REGISTRY):
    """The messages in ``buffer``, which were all verified already."""
    return _iterate(buffer, registry, 0, True)

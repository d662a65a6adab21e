# What a relay and its readers do with runs of messages, without making an object for each.


cdef class SequenceTracker:
    """The last sequence and timestamp of every source in a stream."""

    cdef uint64_t* _sequences
    cdef uint64_t* _timestamps

    def __cinit__(self):
        self._sequences = <uint64_t*>PyMem_Calloc(65536, 8)
        self._timestamps = <uint64_t*>PyMem_Calloc(65536, 8)
        if self._sequences == NULL or self._timestamps == NULL:
            raise MemoryError()

    def __dealloc__(self):
        PyMem_Free(self._sequences)
        PyMem_Free(self._timestamps)

    def last(self, uint16_t source):
        """The last sequence of ``source``; 0 when it is unknown."""
        return self._sequences[source]

    def last_timestamp_ns(self, uint16_t source):
        """The timestamp of the last message of ``source``; 0 when it is unknown."""
        return self._timestamps[source]

    def set(self, uint16_t source, uint64_t sequence, uint64_t timestamp_ns):
        """Go on behind ``sequence``."""
        self._sequences[source] = sequence
        self._timestamps[source] = timestamp_ns

    def sources(self):
        """The sources that are known, in order."""
        cdef int source
        return [source for source in range(65536) if self._sequences[source]]

    def clear(self):
        """Know no source any more."""
        memset(self._sequences, 0, 65536 * 8)
        memset(self._timestamps, 0, 65536 * 8)

    def scan(
        self, buffer, Py_ssize_t start, Py_ssize_t end, int domain, max_payload, int source=0
    ):
        """:func:`scan`, and each message must be the next one of its source.

        With ``source``, only messages of that one pass, from the sequence behind its last (even
        0) on. Without, any source but 0 may begin anywhere. Stops before a message that breaks
        the rule, with ``WRONG_SOURCE`` or ``SEQUENCE`` as the code.
        """
        cdef Py_buffer view
        cdef Py_ssize_t size = 0, count = 0
        cdef int code
        cdef uint64_t limit = max_payload, sequence
        cdef uint16_t found
        cdef const uint8_t* p
        PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
        try:
            end = min(end, view.len)
            start = max(start, 0)
            if start > end:
                return start, 0, 0
            with nogil:
                while True:
                    p = <const uint8_t*>view.buf + start
                    code = _verify(p, end - start, domain, limit, &size)
                    if code or size == 0:
                        break
                    memcpy(&found, p + 14, 2)
                    memcpy(&sequence, p + 16, 8)
                    if found == 0 or (source and found != source):
                        code = E_WRONG_SOURCE
                        break
                    if sequence != self._sequences[found] + 1 and (
                        source or self._sequences[found]
                    ):
                        code = E_SEQUENCE
                        break
                    self._sequences[found] = sequence
                    memcpy(&self._timestamps[found], p + 24, 8)
                    start += size
                    count += 1
            return start, count, code
        finally:
            PyBuffer_Release(&view)


cdef class Filter:
    """Passes a message when one of its TLVs has a wanted type and a wanted instrument.

    An empty set wants everything. ``offsets`` tells for each type where its instruments stand in
    its value; a TLV that names none is not held back by the instruments: a heartbeat concerns
    every reader.
    """

    cdef readonly bint passes_all
    cdef bint _any_type
    cdef uint8_t[65536] _types
    cdef uint32_t[256][4] _offsets
    cdef uint8_t[256] _offset_counts
    cdef uint8_t* _table
    cdef size_t _mask
    cdef Py_ssize_t _wanted

    def __cinit__(self, types, instruments, offsets):
        cdef size_t slot
        cdef bytes packed
        self._any_type = not types
        for tlv_type in types:
            self._types[<uint16_t>tlv_type] = 1
        for tlv_type, places in offsets.items():
            for place in places[:4]:
                self._offsets[<uint8_t>tlv_type][self._offset_counts[<uint8_t>tlv_type]] = place
                self._offset_counts[<uint8_t>tlv_type] += 1
        self._wanted = len(instruments)
        self._mask = 15
        while <Py_ssize_t>self._mask < self._wanted * 4:
            self._mask = self._mask * 2 + 1
        # An identifier's first byte is its kind, never 0: a zero marks an empty place.
        self._table = <uint8_t*>PyMem_Calloc(self._mask + 1, 40)
        if self._table == NULL:
            raise MemoryError()
        for packed in instruments:
            if PyBytes_GET_SIZE(packed) != 40:
                raise ValueError(f"an identifier has 40 bytes; found {len(packed)}")
            slot = _hash_of(<const uint8_t*>PyBytes_AS_STRING(packed)) & self._mask
            while self._table[slot * 40]:
                slot = (slot + 1) & self._mask
            memcpy(self._table + slot * 40, PyBytes_AS_STRING(packed), 40)
        self.passes_all = self._any_type and not self._wanted

    def __dealloc__(self):
        PyMem_Free(self._table)

    cdef bint _names(self, const uint8_t* p) noexcept nogil:
        cdef size_t slot = _hash_of(p) & self._mask
        while self._table[slot * 40]:
            if memcmp(self._table + slot * 40, p, 40) == 0:
                return True
            slot = (slot + 1) & self._mask
        return False

    cdef bint _wants(self, const uint8_t* p, Py_ssize_t size) noexcept nogil:
        cdef Py_ssize_t at = HEADER, i
        cdef uint16_t tlv_type
        cdef uint32_t length
        while at + 8 <= size:
            memcpy(&tlv_type, p + at, 2)
            memcpy(&length, p + at + 4, 4)
            if self._any_type or self._types[tlv_type]:
                if not self._wanted or tlv_type > 255 or not self._offset_counts[tlv_type]:
                    return True
                for i in range(self._offset_counts[tlv_type]):
                    if (
                        self._offsets[tlv_type][i] + 40 <= length
                        and at + 8 + <Py_ssize_t>length <= size
                        and self._names(p + at + 8 + self._offsets[tlv_type][i])
                    ):
                        return True
            at += 8 + ((<Py_ssize_t>length + 7) & ~7)
        return False

    def runs(self, buffer, Py_ssize_t start, Py_ssize_t end):
        """The wanted stretches of verified messages, neighbours joined, as (start, end)."""
        cdef Py_buffer view
        cdef Py_ssize_t at = start, opened = -1
        cdef uint32_t length
        cdef const uint8_t* base
        cdef bint wanted
        cdef list runs = []
        PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
        try:
            base = <const uint8_t*>view.buf
            end = min(end, view.len)
            while at + HEADER <= end:
                memcpy(&length, base + at + 8, 4)
                if at + HEADER + <Py_ssize_t>length > end:
                    break
                wanted = self._wants(base + at, HEADER + <Py_ssize_t>length)
                if wanted and opened < 0:
                    opened = at
                elif not wanted and opened >= 0:
                    runs.append((opened, at))
                    opened = -1
                at += HEADER + <Py_ssize_t>length
            if opened >= 0:
                runs.append((opened, at))
            return runs
        finally:
            PyBuffer_Release(&view)


def count(buffer):
    """How many verified messages ``buffer`` holds."""
    cdef const uint8_t* base
    cdef Py_ssize_t at = 0, end, found = 0
    cdef uint32_t length
    owner = _lend(buffer, &base, &end)
    while at + HEADER <= end:
        memcpy(&length, base + at + 8, 4)
        at += HEADER + <Py_ssize_t>length
        found += 1
    return found


def advance(ring, uint64_t head, uint64_t target):
    """The first message boundary at or behind ``target`` in a ring whose oldest is at ``head``.

    Positions count from the first byte ever written; ``ring`` is as long as its capacity, a
    multiple of 8, so that no header word is cut in two.
    """
    cdef Py_buffer view
    cdef uint32_t length
    PyObject_GetBuffer(ring, &view, PyBUF_SIMPLE)
    try:
        while head < target:
            memcpy(&length, <const uint8_t*>view.buf + (head + 8) % <uint64_t>view.len, 4)
            head += HEADER + length
        return head
    finally:
        PyBuffer_Release(&view)


def gather(buffer, int tlv_type, Py_ssize_t block_size):
    """A row for every ``tlv_type`` in verified messages: what a structured array is made of.

    A row is u16 source, u64 sequence, u64 timestamp, then the first ``block_size`` bytes of the
    value; a shorter value is left out.
    """
    cdef const uint8_t* base
    cdef const uint8_t* p
    cdef Py_ssize_t at = 0, end, inner, size, rows = 0, passes
    cdef uint32_t length
    cdef uint16_t found
    cdef uint8_t* out = NULL
    cdef bytes table = b""
    owner = _lend(buffer, &base, &end)
    for passes in range(2):
        at = 0
        while at + HEADER <= end:
            p = base + at
            memcpy(&length, p + 8, 4)
            size = HEADER + <Py_ssize_t>length
            if at + size > end:
                break
            inner = HEADER
            while inner + 8 <= size:
                memcpy(&found, p + inner, 2)
                memcpy(&length, p + inner + 4, 4)
                if found == tlv_type and <Py_ssize_t>length >= block_size:
                    if passes == 0:
                        rows += 1
                    else:
                        memcpy(out, p + 14, 18)
                        memcpy(out + 18, p + inner + 8, block_size)
                        out += 18 + block_size
                inner += 8 + ((<Py_ssize_t>length + 7) & ~7)
            at += size
        if passes == 0:
            table = PyBytes_FromStringAndSize(NULL, rows * (18 + block_size))
            out = <uint8_t*>PyBytes_AS_STRING(table)
    return table


def load_u64(buffer, Py_ssize_t offset):
    """The word at ``offset``, which another process may be writing; an acquiring load."""
    cdef Py_buffer view
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    try:
        _check_word(&view, offset)
        return torq_load(<const uint8_t*>view.buf + offset)
    finally:
        PyBuffer_Release(&view)


def store_u64(buffer, Py_ssize_t offset, uint64_t value):
    """Write the word at ``offset`` with one releasing store."""
    cdef Py_buffer view
    PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
    try:
        _check_word(&view, offset)
        torq_store(<uint8_t*>view.buf + offset, value)
    finally:
        PyBuffer_Release(&view)


cdef int _check_word(Py_buffer* view, Py_ssize_t offset) except -1:
    if offset < 0 or offset % 8 or offset + 8 > view.len:
        raise ValueError(f"no aligned word at offset {offset} of {view.len} bytes")
    return 0


def fence():
    """What was stored before is seen by others before what is loaded after."""
    torq_fence()


def spin_while(buffer, Py_ssize_t offset, uint64_t seen, uint64_t rounds):
    """Load the word at ``offset`` until it is not ``seen``, at most ``rounds`` times; its value."""
    cdef Py_buffer view
    cdef uint64_t value = seen
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    try:
        _check_word(&view, offset)
        with nogil:
            while rounds:
                value = torq_load(<const uint8_t*>view.buf + offset)
                if value != seen:
                    break
                torq_pause()
                rounds -= 1
        return value
    finally:
        PyBuffer_Release(&view)

# Levels of books: from exchanges' texts, and kept in order. Keys are Python's integers: a price
# with many digits beside one with few may need more than 64 bits.

cdef object _Level = Level
cdef object _Raw = Raw
cdef Py_ssize_t _PRICE = _slot(Level, "price")
cdef Py_ssize_t _QUANTITY = _slot(Level, "quantity")
cdef int _FIRST_EXPONENT = -8

cdef extern from "Python.h":
    bint PyUnicode_CheckExact(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    const char* PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1

cdef extern from *:
    """
    static int torq_times(int64_t a, int64_t b, int64_t* product)
    { return __builtin_mul_overflow(a, b, product); }
    """
    int torq_times(int64_t a, int64_t b, int64_t* product) nogil

cdef int64_t[19] _POWERS


cdef object _power_of_ten(object exponent):
    """Of Python's integers: a power of two C integers would be a float."""
    return _TEN ** exponent


cdef object _TEN = 10
for _power in range(19):
    _POWERS[_power] = _power_of_ten(_power)


cdef object _plain_decimal(const char* p, Py_ssize_t n):
    """Up to 18 digits in plain notation; None for anything that needs a second look."""
    cdef Py_ssize_t i, point = -1
    cdef int64_t mantissa = 0
    cdef unsigned char c
    if not 0 < n <= 19 or p[0] == b"." or (p[0] == b"0" and n > 1 and p[1] != b"."):
        return None
    for i in range(n):
        c = <unsigned char>p[i] - <unsigned char>48
        if c <= 9:
            mantissa = mantissa * 10 + c
        elif p[i] == b"." and point < 0 and i < n - 1:
            point = i
        else:
            return None
    if point < 0 and n > 18:
        return None
    cdef object value = _new(_Decimal64)
    _set(value, _MANTISSA, mantissa)
    _set(value, _EXPONENT, 0 if point < 0 else
         <object>PyList_GET_ITEM(_EXPONENTS, (256 - (n - 1 - point)) & 255))
    return value


cpdef object decimal(object number):
    """See ``_pure/levels.py``."""
    cdef object value = None
    cdef Py_buffer view
    if PyUnicode_CheckExact(number):
        if PyUnicode_IS_COMPACT_ASCII(number):
            value = _plain_decimal(PyUnicode_DATA(number), PyUnicode_GET_LENGTH(number))
        return _Decimal64.parse(number) if value is None else value
    PyObject_GetBuffer(number, &view, PyBUF_SIMPLE)
    try:
        value = _plain_decimal(<const char*>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
    return _Decimal64.parse(str(number, "ascii", "replace")) if value is None else value


cdef object _Struct = Struct
# Where the first fields of the struct seen last stand: a feed's entries are all of one kind.
cdef PyObject* _entry_type = NULL
cdef Py_ssize_t[3] _entry_slots


cdef int _learn_entry(object cls) except -1:
    global _entry_type
    cdef Py_ssize_t i
    if not issubclass(cls, _Struct):
        raise TypeError(f"expected a tuple, list or struct, found {cls.__name__}")
    for i in range(min(3, len(cls.__struct_fields__))):
        _entry_slots[i] = _slot(cls, cls.__struct_fields__[i])
    for i in range(len(cls.__struct_fields__), 3):
        _entry_slots[i] = 0
    Py_INCREF(cls)
    Py_XDECREF(_entry_type)
    _entry_type = <PyObject*>cls
    return 0


cdef object _field(object entry, Py_ssize_t place):
    """The field that stands at ``place`` in a tuple, a list or a struct."""
    cdef Py_ssize_t count
    if PyTuple_CheckExact(entry):
        count = PyTuple_GET_SIZE(entry)
        if place < count:
            return <object>PyTuple_GET_ITEM(entry, place)
    elif PyList_CheckExact(entry):
        count = PyList_GET_SIZE(entry)
        if place < count:
            return <object>PyList_GET_ITEM(entry, place)
    else:
        if <PyObject*>Py_TYPE(entry) != _entry_type:
            _learn_entry(type(entry))
        if _entry_slots[place]:
            return _get(entry, _entry_slots[place])
        count = len(entry.__struct_fields__)
    raise TypeError(f"expected at least {place + 1} fields, found {count}")


cdef object _level(object price, object quantity):
    cdef object level = _new(_Level)
    _set(level, _PRICE, price)
    _set(level, _QUANTITY, quantity)
    return level


def levels(entries):
    """See ``_pure/levels.py``."""
    cdef list found = []
    for entry in entries:
        found.append(_level(decimal(_field(entry, 0)), decimal(_field(entry, 1))))
    return tuple(found)


def sides(entries, str bid):
    """See ``_pure/levels.py``."""
    cdef list bids = [], asks = []
    cdef object level, side
    for entry in entries:
        side = _field(entry, 0)
        level = _level(decimal(_field(entry, 1)), decimal(_field(entry, 2)))
        if side == bid:
            bids.append(level)
        else:
            asks.append(level)
    return tuple(bids), tuple(asks)


cdef inline int _exponent(object number) except? -999:
    return <int>_get(number, _EXPONENT)


cdef class BookSide:
    """See ``_pure/levels.py``."""

    cdef readonly int sign
    cdef readonly int exponent
    cdef readonly int quantity_exponent
    cdef dict _levels
    cdef list _order

    def __init__(self, int sign, levels=(), int exponent=_FIRST_EXPONENT):
        self.sign = sign
        self.exponent = exponent
        self.quantity_exponent = _FIRST_EXPONENT
        self._levels = {}
        self._order = []
        cdef object level, key
        for level in levels:
            key = self._key(level)
            if _get(_get(level, _QUANTITY), _MANTISSA):
                self._levels[key] = level
        self._order = sorted(self._levels)

    def __len__(self):
        return len(self._order)

    cpdef int put_all(self, levels) except -1:
        cdef object level, key
        cdef dict known = self._levels
        for level in levels:
            key = self._key(level)
            known = self._levels
            if _get(_get(level, _QUANTITY), _MANTISSA):
                if key not in known:
                    self._order.insert(self._place(key), key)
                known[key] = level
            elif key in known:
                del known[key]
                del self._order[self._place(key)]
        return 0

    def get(self, level):
        cdef object key = self._key(level)
        return self._levels.get(key)

    @property
    def best_price(self):
        if not self._order:
            raise IndexError("no level on this side")
        return self._order[len(self._order) - 1] * self.sign

    @property
    def best(self):
        if not self._order:
            return None
        return self._levels[self._order[len(self._order) - 1]]

    def crosses(self, BookSide other):
        cdef Py_ssize_t n = len(self._order), m = len(other._order)
        if not n or not m:
            return False
        return self._order[n - 1] * self.sign >= other._order[m - 1] * other.sign

    cpdef list top(self, Py_ssize_t count):
        cdef Py_ssize_t i, n = len(self._order)
        cdef list found = []
        for i in range(min(count, n)):
            found.append(self._levels[self._order[n - 1 - i]])
        return found

    def top_digits(self, Py_ssize_t count):
        cdef char[2048] text
        cdef Py_ssize_t i, size = 0, n = len(self._order)
        cdef object level
        cdef list order = self._order
        cdef dict known = self._levels
        if count > 50:
            return b"".join([b"%d%d" % (each.price.mantissa, each.quantity.mantissa)
                             for each in self.top(count)])
        for i in range(min(count, n)):
            level = known[<object>PyList_GET_ITEM(order, n - 1 - i)]
            size += _write_digits(_get(_get(level, _PRICE), _MANTISSA), text + size)
            size += _write_digits(_get(_get(level, _QUANTITY), _MANTISSA), text + size)
        return PyBytes_FromStringAndSize(text, size)

    def items(self):
        return iter([(key * self.sign, self._levels[key]) for key in reversed(self._order)])

    cpdef list evict(self, Py_ssize_t depth):
        cdef Py_ssize_t surplus = len(self._order) - depth
        if surplus <= 0:
            return []
        cdef list dropped = self._order[:surplus]
        del self._order[:surplus]
        return [self._levels.pop(key) for key in dropped]

    cpdef int rescale(self, int exponent) except -1:
        if exponent == self.exponent:
            return 0
        cdef object factor = _power_of_ten(self.exponent - exponent)
        self._levels = {key * factor: level for key, level in self._levels.items()}
        self._order = [key * factor for key in self._order]
        self.exponent = exponent
        return 0

    cdef object _key(self, object level):
        """The level's place in the order; makes room for finer digits than seen so far."""
        if type(level) is not _Level:
            raise TypeError(f"expected a Level, found {type(level).__name__}")
        cdef object price = _get(level, _PRICE)
        cdef int of_price = _exponent(price)
        cdef int of_quantity = _exponent(_get(level, _QUANTITY))
        cdef int64_t product
        cdef int overflow = 0
        if of_price < self.exponent:
            self.rescale(of_price)
        if of_quantity < self.quantity_exponent:
            self.quantity_exponent = of_quantity
        cdef object mantissa = _get(price, _MANTISSA)
        cdef int finer = of_price - self.exponent
        cdef int64_t value = PyLong_AsLongLongAndOverflow(mantissa, &overflow)
        if overflow or finer > 18 or torq_times(value, _POWERS[finer] * self.sign, &product):
            return mantissa * _power_of_ten(finer) * self.sign
        return product

    cdef Py_ssize_t _place(self, object key) except -1:
        """Where ``key`` stands in the order, or would: looked for from the end, the best price,
        in steps that double, since nearly every change is near it."""
        cdef list order = self._order
        cdef Py_ssize_t high = len(order), low = high, step = 1, middle
        cdef int overflow = 0
        cdef int64_t wanted = PyLong_AsLongLongAndOverflow(key, &overflow)
        while low > 0:
            low = max(0, high - step)
            if _is_below(order, low, key, wanted, overflow):
                low += 1
                break
            high = low
            step *= 2
        while low < high:
            middle = (low + high) >> 1
            if _is_below(order, middle, key, wanted, overflow):
                low = middle + 1
            else:
                high = middle
        return low


cdef inline int _is_below(
    list order, Py_ssize_t place, object key, int64_t wanted, int overflow
) except -1:
    """Whether what stands at ``place`` is less than ``key``, of which ``wanted`` is the value
    unless it did overflow."""
    cdef object found = <object>PyList_GET_ITEM(order, place)
    cdef int too_long = overflow
    cdef int64_t value
    if not too_long:
        value = PyLong_AsLongLongAndOverflow(found, &too_long)
        if not too_long:
            return value < wanted
    return found < key


cdef Py_ssize_t _write_digits(object number, char* target) except -1:
    """A mantissa in decimal, at most 20 characters; returns how many."""
    cdef char[24] text
    cdef Py_ssize_t size = 0
    cdef int overflow = 0
    cdef int64_t value = PyLong_AsLongLongAndOverflow(number, &overflow)
    cdef uint64_t left = <uint64_t>value if value >= 0 else 0 - <uint64_t>value
    if overflow:
        raise OverflowError(f"a mantissa of {number} does not fit 64 bits")
    while True:
        size += 1
        text[24 - size] = <char>(48 + left % 10)
        left //= 10
        if not left:
            break
    if value < 0:
        size += 1
        text[24 - size] = b"-"
    memcpy(target, text + 24 - size, size)
    return size

# SPDX-License-Identifier: Apache-2.0
"""What a Python program inside a Cloister machine can ask of the host: libcloister-guest through ctypes.

    import cloister_guest
    if cloister_guest.is_here():
        print(cloister_guest.condition().level)

Outside Cloister everything but discover() and is_here() raises NotHere. See cloister-guest(3) for what the parts do.
"""
import ctypes
import ctypes.util
import os

AMPLE, SOFT, HARD, CRITICAL = range(4)
MET, WORKING, PRESSURE, LIMIT, REFUSED = range(5)

_OK, _NOT_HERE, _SYSTEM, _NOTHING, _NO_ROOM = 0, 64, 65, 66, 67


class GuestError(Exception):
    """A call failed; .status is the library's."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class NotHere(GuestError):
    """This is no Cloister machine, or one without this part."""


class Condition(ctypes.Structure):
    """The memory condition; sizes in bytes, times in ticks of 10 MHz."""

    _fields_ = [("sequence", ctypes.c_uint64), ("version", ctypes.c_uint32), ("level", ctypes.c_uint32)] + [
        (name, ctypes.c_uint64)
        for name in ("changes", "time", "configured", "entitlement", "target", "held", "balloon", "gap", "swapped",
                     "swap_in_rate", "page_out_rate", "available", "release", "deadline")
    ]


class Order(ctypes.Structure):
    """What a balloon is to hold."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("serial", "target", "rate", "deadline")]


def _load():
    last = "no library of that name"
    names = [os.environ.get("CLOISTER_GUEST_LIBRARY"), "libcloister-guest.so.1", ctypes.util.find_library("cloister-guest")]
    for name in filter(None, names):
        try:
            return ctypes.CDLL(name, use_errno=True)
        except OSError as error:
            last = error
    raise ImportError(f"libcloister-guest.so.1 is not installed: {last}")


_library = _load()
_library.cloister_status_text.restype = ctypes.c_char_p
for _name in ("size", "most", "shrink"):
    getattr(_library, f"cloister_balloon_{_name}").restype = ctypes.c_uint64


def _check(status):
    if status == _OK:
        return
    text = _library.cloister_status_text(status).decode()
    if status == _SYSTEM:
        text += f": {os.strerror(ctypes.get_errno())}"
    raise (NotHere if status == _NOT_HERE else GuestError)(status, text)


def discover():
    """(version, features), or None outside Cloister."""
    version, features = ctypes.c_uint32(), ctypes.c_uint64()
    status = _library.cloister_discover(ctypes.byref(version), ctypes.byref(features))
    if status == _NOT_HERE:
        return None
    _check(status)
    return version.value, features.value


def is_here():
    return discover() is not None


def condition():
    """The condition, asked anew."""
    out = Condition()
    _check(_library.cloister_condition_read(ctypes.byref(out)))
    return out


class _Handle:
    """Something opened that closes itself; may be used in `with`."""

    def __init__(self, kind, *arguments):
        self._close = getattr(_library, f"cloister_{kind}_close")
        self._handle = ctypes.c_void_p()
        _check(getattr(_library, f"cloister_{kind}_open")(*arguments, ctypes.byref(self._handle)))

    def close(self):
        self._close(self._handle)
        self._handle = ctypes.c_void_p()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if getattr(self, "_handle", None):
            self.close()


class Watch(_Handle):
    """The condition from a page that the host keeps up to date."""

    def __init__(self):
        super().__init__("watch")

    def read(self):
        out = Condition()
        _check(_library.cloister_watch_read(self._handle, ctypes.byref(out)))
        return out


class Waiter(_Handle):
    """Changes of the condition. fileno() is for select, poll and asyncio."""

    def __init__(self):
        super().__init__("waiter")

    def fileno(self):
        return _library.cloister_waiter_fd(self._handle)

    def take(self):
        """The next record, or None."""
        out = Condition()
        status = _library.cloister_waiter_take(self._handle, ctypes.byref(out))
        if status == _NOTHING:
            return None
        _check(status)
        return out


class Balloon(_Handle):
    """Memory of this program that the host may use."""

    def __init__(self, most):
        super().__init__("balloon", ctypes.c_uint64(most))

    @property
    def size(self):
        return _library.cloister_balloon_size(self._handle)

    @property
    def most(self):
        return _library.cloister_balloon_most(self._handle)

    def grow(self, size):
        """Returns how far it got; less than asked when the program may have no more. Raises when the host refuses."""
        grown = ctypes.c_uint64()
        status = _library.cloister_balloon_grow(self._handle, ctypes.c_uint64(size), ctypes.byref(grown))
        if status != _NO_ROOM:
            _check(status)
        return grown.value

    def shrink(self, size):
        return _library.cloister_balloon_shrink(self._handle, ctypes.c_uint64(size))


class Orders(_Handle):
    """Orders of the host to a program that can give up memory. fileno() as that of Waiter."""

    def __init__(self, name, most):
        super().__init__("orders", name.encode(), ctypes.c_uint64(most))

    def fileno(self):
        return _library.cloister_orders_fd(self._handle)

    def next(self):
        """The next order, or None."""
        out = Order()
        status = _library.cloister_orders_next(self._handle, ctypes.byref(out))
        if status == _NOTHING:
            return None
        _check(status)
        return out

    def report(self, held, reason):
        _check(_library.cloister_orders_report(self._handle, ctypes.c_uint64(held), ctypes.c_uint32(reason)))

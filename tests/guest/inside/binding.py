# SPDX-License-Identifier: Apache-2.0
"""What a Python program inside a machine does with the binding: all of it, then it waits for the level to rise."""
import select
import sys

import cloister_guest as guest

MIB = 1 << 20

version, features = guest.discover()
assert guest.is_here() and version >= 1 and features & 15 == 15, (version, features)
now = guest.condition()
assert now.configured == int(sys.argv[1]) * MIB and now.level == guest.AMPLE, now.configured
with guest.Watch() as watch:
    seen = watch.read()
    assert seen.configured == now.configured and seen.time >= now.time
with guest.Balloon(64 * MIB) as balloon:
    assert (balloon.most, balloon.size) == (64 * MIB, 0)
    assert balloon.grow(40 * MIB) == 40 * MIB == balloon.size
    assert balloon.shrink(15 * MIB) == 15 * MIB and balloon.size == 25 * MIB
    assert balloon.grow(50 * MIB) == 39 * MIB, "its bound"
    with guest.Orders("binding", 64 * MIB) as orders:
        poll = select.poll()
        poll.register(orders, select.POLLIN)
        order = None
        while order is None:
            assert poll.poll(30_000), "no order comes"
            order = orders.next()
        orders.report(balloon.size, guest.LIMIT)
with guest.Waiter() as waiter:
    poll = select.epoll()
    poll.register(waiter, select.EPOLLIN)
    level, said = guest.AMPLE, False
    while level < guest.HARD:
        assert poll.poll(300), "nothing is told"
        while (told := waiter.take()) is not None:
            level = told.level
        if not said:
            print("waits", flush=True)
        said = True
print("all is as it should be")

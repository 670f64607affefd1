"""Work that may hang for ever - reading a dead network mount - done so that it can be given up.

A thread that hangs in the kernel can't be ended. It is a daemon here: the caller goes on, and it dies with the process.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

I = TypeVar("I")  # noqa: E741 - the item that goes in
O = TypeVar("O")  # noqa: E741 - what comes out


class Hung(Exception):
    """Nothing came back within the time limit."""


@dataclass(frozen=True)
class _Done(Generic[O]):
    value: O


def each_within(stall_s: float, workers: int, items: Iterable[I], work: Callable[[I], O]) -> Iterator[O]:
    """`work(item)` for all items in a few daemon threads, in the order in which they end.

    Raises Hung when no result came for stall_s seconds, or what `work` raised.
    """
    todo: queue.SimpleQueue[I] = queue.SimpleQueue()
    done: queue.SimpleQueue[_Done[O] | BaseException] = queue.SimpleQueue()
    count = 0
    for item in items:
        todo.put(item)
        count += 1
    given_up = threading.Event()

    def run() -> None:
        while not given_up.is_set():
            try:
                item = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put(_Done(work(item)))
            except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
                done.put(error)

    for _ in range(min(workers, count)):
        threading.Thread(target=run, daemon=True).start()
    try:
        for _ in range(count):
            try:
                one = done.get(timeout=stall_s)
            except queue.Empty:
                raise Hung from None
            if isinstance(one, BaseException):
                raise one
            yield one.value
    finally:
        given_up.set()


def within(stall_s: float, work: Callable[[Callable[[], None]], O]) -> O:
    """The result of `work(alive)`, which calls alive() while it gets on.

    Raises Hung when neither a result nor a sign of life came for stall_s seconds, or what `work` raised.
    """
    signs: queue.SimpleQueue[_Done[O] | BaseException | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            signs.put(_Done(work(lambda: signs.put(None))))
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            signs.put(error)

    threading.Thread(target=run, daemon=True).start()
    while True:
        try:
            sign = signs.get(timeout=stall_s)
        except queue.Empty:
            raise Hung from None
        if sign is None:
            continue
        if isinstance(sign, BaseException):
            raise sign
        return sign.value

"""What a browser sends in the body of a request: never read further than a limit, whatever it says of its length."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.requests import Request

_LARGEST_FORM = 4096
_MOST_FIELDS = 10


@dataclass(eq=False)  # not frozen: a context manager that it passes through notes where it came from
class BadForm(Exception):
    """It is too large, or no form: the HTTP status that says so."""

    status: int


async def body(request: Request, most: int) -> bytes:
    """All of it. Raises BadForm when it is more than so many bytes."""
    read = b""
    async for chunk in request.stream():
        read += chunk
        if len(read) > most:
            raise BadForm(413)
    return read


async def fields(request: Request) -> dict[str, str]:
    """The fields of a small form, each once. Raises BadForm."""
    text = await body(request, _LARGEST_FORM)
    try:
        return {name: values[0] for name, values in parse_qs(text.decode(), max_num_fields=_MOST_FIELDS).items()}
    except ValueError:
        raise BadForm(400) from None

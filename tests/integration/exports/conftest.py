"""Two sites with footage, whose exports are made without waiting; who orders one, and who asks for it over HTTP."""

from export_world import client, order, world

__all__ = ["client", "order", "world"]

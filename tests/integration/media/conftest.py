"""Footage in a store, a person who may see it, and a client that asks for it."""

from media_world import client, link_to, person, row, world

__all__ = ["client", "link_to", "person", "row", "world"]

"""The batch that tests of single steps work on."""

from upload_world import clips, compressed, ground

__all__ = ["clips", "compressed", "ground"]

"""The batch that tests of single steps work on, and the branch that puts one without looking."""

from unseen_world import branch
from upload_world import clips, compressed, ground

__all__ = ["branch", "clips", "compressed", "ground"]

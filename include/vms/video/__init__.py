"""Everything that touches FFmpeg: finding it, running it, probing a source, making and checking a rendition."""

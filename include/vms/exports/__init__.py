"""Exports: footage of a range, taken out of the stores into a folder that proves itself. By command or by order."""

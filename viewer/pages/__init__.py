"""The pages: each draws itself from the address and the catalogue."""

"""The catalogue: the Postgres database of sites, cameras, recordings, copies, batches and lineage.

It answers two questions for everybody else: what may be done next with a file (`planning`, `custody`), and what is
there (`reads`). All SQL of the product lies in this package; callers pass and get frozen dataclasses.
"""

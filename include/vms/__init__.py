"""CCTV custody: footage that landed is compressed, shipped, proven, found and expired.

Free of Airflow and Streamlit: `dags/`, `plugins/` and `viewer/` import from here, never the other way round.
"""

from pathlib import Path

from vms.build import commit

_COMMIT = commit(Path(__file__).resolve().parents[2])

__version__ = f"0.1.0+{_COMMIT}" if _COMMIT else "0.1.0"
"""With the commit that this is of: two installations that differ say so, and a figure leads to its source."""

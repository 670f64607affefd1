"""CCTV custody: footage that landed is compressed, shipped, proven, found and expired.

Free of Airflow and Streamlit: `dags/`, `plugins/` and `viewer/` import from here, never the other way round.
"""

__version__ = "0.1.0"

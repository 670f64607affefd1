"""Share 7 of the sites' Airflow DAGs, see footage.py."""

from footage import footage_dags

footage_dags(shard=7)

"""The local stack: Postgres, Airflow and the viewer as supervised children of one launcher."""

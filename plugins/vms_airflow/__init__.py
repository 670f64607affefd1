"""Airflow's side of the product: timetable, sensor, tasks and links. Thin: the work itself is in `vms`."""

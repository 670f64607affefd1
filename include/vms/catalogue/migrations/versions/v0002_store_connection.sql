-- How a store is reached and what its new objects get: tasks and the viewer learn both from here, as they do its URL.
-- conn_id names a connection (AIRFLOW_CONN_<ID> in the environment); '' means none is needed. Never a secret.
-- storage_class is the store's own word (STANDARD_IA, NEARLINE, ...); '' means the bucket's default.

ALTER TABLE store
    ADD COLUMN conn_id        text NOT NULL DEFAULT '',
    ADD COLUMN storage_class  text NOT NULL DEFAULT '';

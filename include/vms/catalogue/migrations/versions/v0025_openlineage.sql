-- How far the batches of the custody ledger have been told to somebody else's lineage service: one row, once it is asked
-- for. Recorded batches are told in this order.
CREATE TABLE lineage_told (
    only_one     boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    recorded_at  timestamptz NOT NULL,
    batch_id     bigint NOT NULL
);
CREATE INDEX batch_recorded ON batch (recorded_at, batch_id) WHERE recorded_at IS NOT NULL;

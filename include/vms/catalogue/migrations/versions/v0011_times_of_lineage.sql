-- On which days did anything happen? From that, purging sees a clock that has jumped: the first and the last event of
-- each day are looked up one by one. With the coarse index of before, all events of 45 days had to be read for it.
DROP INDEX lineage_at;
CREATE INDEX lineage_at ON lineage (at);

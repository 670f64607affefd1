-- Backfills: periods of footage that a person asked to have gone through again, and how far that is.

-- mode: missing, verify, reupload or recompress (vms.backfill). profile: '' is each site's own. cap: bytes per second that
-- its uploads may take of the line; null: no cap of its own.
CREATE TABLE backfill (
    backfill_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    made_at      timestamptz NOT NULL,
    who          text NOT NULL,
    mode         text NOT NULL CHECK (mode IN ('missing', 'verify', 'reupload', 'recompress')),
    profile      text NOT NULL DEFAULT '',
    cap          double precision CHECK (cap > 0)
);

-- Its part at one site: footage of these cameras (none named: of all) that starts in [from_at, to_at).
-- round: each resume, and each further piece of a long period, is a run of its own; dag_run: of the last one.
CREATE TABLE backfill_site (
    backfill_id  bigint NOT NULL REFERENCES backfill,
    site_id      int NOT NULL REFERENCES site,
    from_at      timestamptz NOT NULL,
    to_at        timestamptz NOT NULL CHECK (to_at > from_at),
    cameras      text[] NOT NULL DEFAULT '{}',
    state        text NOT NULL CHECK (state IN ('running', 'done', 'failed', 'cancelled')),
    round        int NOT NULL DEFAULT 1,
    dag_run      text NOT NULL,
    message      text NOT NULL DEFAULT '',
    changed_at   timestamptz NOT NULL,
    PRIMARY KEY (backfill_id, site_id)
);

-- Which backfills of a site are not over?
CREATE INDEX backfill_site_open ON backfill_site (site_id) WHERE state = 'running';

-- What it did that is no footage batch, one row for each recording and store: looked at, made good, made anew, or why not.
-- The outcome of its footage batches is in batch_item, like that of any run. store_id 0: no store in particular.
CREATE TABLE backfill_item (
    backfill_id   bigint NOT NULL REFERENCES backfill,
    site_id       int NOT NULL REFERENCES site,
    recording_id  bigint NOT NULL,
    start_at      timestamptz NOT NULL,
    store_id      smallint NOT NULL,
    outcome       text NOT NULL,
    message       text NOT NULL DEFAULT '',
    bytes         bigint NOT NULL DEFAULT 0,
    seconds       real NOT NULL DEFAULT 0,
    at            timestamptz NOT NULL,
    PRIMARY KEY (backfill_id, recording_id, store_id)
);

-- Runs of a backfill.
ALTER TABLE run ADD COLUMN backfill_id bigint REFERENCES backfill;
CREATE INDEX run_backfill ON run (backfill_id) WHERE backfill_id IS NOT NULL;

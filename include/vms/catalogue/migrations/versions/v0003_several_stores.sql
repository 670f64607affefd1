-- Several stores for one site: what they get, which copies are still missing, which store is out and since when.

-- Everything a store's new objects get (vms.model.StoreOptions), so that a new kind of option needs no new column.
ALTER TABLE store ADD COLUMN options jsonb NOT NULL DEFAULT '{}';
UPDATE store SET options = jsonb_build_object('storage_class', storage_class) WHERE storage_class <> '';
ALTER TABLE store DROP COLUMN storage_class;

-- min_copies: in how many of its stores a recording must be proven to be archived.
-- wanted_ids: where it shall lie in the end, also where a fallback takes a store's place for now.
-- kind copies: its items are archived recordings, of any camera, that its one store lacks.
-- recorded_at: when its receipts were last recorded; how fast a site works is read from it.
ALTER TABLE batch
    ADD COLUMN kind         text NOT NULL DEFAULT 'footage' CHECK (kind IN ('footage', 'copies')),
    ADD COLUMN min_copies   smallint,
    ADD COLUMN wanted_ids   smallint[] NOT NULL DEFAULT '{}',
    ADD COLUMN recorded_at  timestamptz,
    ALTER COLUMN camera_id  DROP NOT NULL;
UPDATE batch SET min_copies = cardinality(store_ids), wanted_ids = store_ids;
ALTER TABLE batch ALTER COLUMN min_copies SET NOT NULL;

-- Copies that an archived recording should have and has not: each goes when its copy is proven.
-- since: when it was first missing; tried_at: the last try, and reason and message what came of it.
CREATE TABLE copy_wanted (
    recording_id  bigint NOT NULL,
    start_at      timestamptz NOT NULL,
    store_id      smallint NOT NULL REFERENCES store,
    site_id       int NOT NULL REFERENCES site,
    since         timestamptz NOT NULL,
    tried_at      timestamptz,
    reason        text NOT NULL DEFAULT '',
    message       text NOT NULL DEFAULT '',
    PRIMARY KEY (recording_id, store_id, start_at)
);

-- What a site's next run copies: what was never tried first, newest footage first.
CREATE INDEX copy_wanted_next ON copy_wanted (site_id, store_id, tried_at NULLS FIRST, start_at DESC);

-- How each store last answered to each site: sites reach it by lines of their own.
-- state ok: it took what it was given. since: when it began to be ok, or out; seen_at: when that was last seen.
CREATE TABLE store_state (
    site_id   int NOT NULL REFERENCES site,
    store_id  smallint NOT NULL REFERENCES store,
    state     text NOT NULL CHECK (state IN ('ok', 'unreachable', 'full', 'denied')),
    message   text NOT NULL DEFAULT '',
    remedy    text NOT NULL DEFAULT '',
    since     timestamptz NOT NULL,
    seen_at   timestamptz NOT NULL,
    PRIMARY KEY (site_id, store_id)
);

-- What the last day's runs of a site did, to know its pace.
CREATE INDEX run_site ON run (site_id, planned_at);

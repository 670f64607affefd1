-- Coverage (what should be there against what is) and integrity (is what is there still good?).

-- ---------------------------------------------------------------------------------------------------------------------
-- Coverage
-- ---------------------------------------------------------------------------------------------------------------------

-- As sites.yaml says, written at each look. schedule: vms.schedule, '' is always. gap_tolerance_s: a shorter hole
-- between two files is no gap. every_s: how often the site is looked at.
ALTER TABLE camera ADD COLUMN schedule text NOT NULL DEFAULT '';
ALTER TABLE site
    ADD COLUMN gap_tolerance_s  real NOT NULL DEFAULT 5,
    ADD COLUMN every_s          real NOT NULL DEFAULT 600;

-- A recording that was archived and of which no store has a good copy any more; null again once one is back.
ALTER TABLE recording ADD COLUMN lost_at timestamptz;

-- Which recordings are lost?
CREATE INDEX recording_lost ON recording (site_id, start_at) WHERE lost_at IS NOT NULL;

-- Which footage came in under an impossible time while a camera seemed silent?
CREATE INDEX recording_suspect ON recording (site_id, archived_at) WHERE time_marks && '{future,before_2000}';

-- Where in its day a camera has footage: seconds since the day's beginning (a day has 23 to 25 hours), holes of up to
-- two seconds closed. kept_spans: what can be watched; purged_spans: what has been purged.
-- A day of five-minute files without holes is one span; so gaps are read from here, never from recording.
ALTER TABLE camera_day
    ADD COLUMN kept_spans    int4multirange NOT NULL DEFAULT '{}',
    ADD COLUMN purged_spans  int4multirange NOT NULL DEFAULT '{}';

UPDATE camera_day d
SET kept_spans = coalesce(f.kept, '{}'), purged_spans = coalesce(f.purged, '{}')
FROM (
    SELECT d.camera_id, d.day,
           range_agg(int4range(r.from_s, r.to_s)) FILTER (WHERE r.custody IN (1, 2)) AS kept,
           range_agg(int4range(r.from_s, r.to_s)) FILTER (WHERE r.custody = 3) AS purged
    FROM camera_day d
    JOIN camera c USING (camera_id)
    JOIN site s USING (site_id)
    CROSS JOIN LATERAL (
        SELECT d.day::timestamp AT TIME ZONE s.tz AS begin_at, (d.day + 1)::timestamp AT TIME ZONE s.tz AS end_at
    ) AS b
    CROSS JOIN LATERAL (
        SELECT custody,
               round(extract(epoch FROM greatest(start_at, b.begin_at) - b.begin_at))::int AS from_s,
               round(extract(epoch FROM least(end_at, b.end_at) - b.begin_at))::int AS to_s
        FROM recording
        WHERE recording.camera_id = d.camera_id AND custody IN (1, 2, 3) AND end_at > start_at
          AND start_at >= b.begin_at - interval '25 hours' AND start_at < b.end_at AND end_at > b.begin_at
    ) AS r
    GROUP BY d.camera_id, d.day
) AS f
WHERE f.camera_id = d.camera_id AND f.day = d.day;

-- When a site was looked at: one row for each stretch of looks that followed each other as they should.
CREATE TABLE site_watch (
    site_id  int NOT NULL REFERENCES site,
    from_at  timestamptz NOT NULL,
    to_at    timestamptz NOT NULL CHECK (to_at >= from_at),
    PRIMARY KEY (site_id, from_at)
);

-- What people found out about a gap. A note is never changed; a wrong one is withdrawn and another written.
CREATE TABLE gap_note (
    note_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    camera_id     int NOT NULL REFERENCES camera,
    from_at       timestamptz NOT NULL,
    to_at         timestamptz NOT NULL CHECK (to_at > from_at),
    note          text NOT NULL CHECK (note <> ''),
    who           text NOT NULL CHECK (who <> ''),
    made_at       timestamptz NOT NULL,
    withdrawn_at  timestamptz,
    withdrawn_by  text
);

-- The notes of a camera.
CREATE INDEX gap_note_camera ON gap_note (camera_id, to_at) WHERE withdrawn_at IS NULL;


-- ---------------------------------------------------------------------------------------------------------------------
-- Integrity
-- ---------------------------------------------------------------------------------------------------------------------

-- copy.state 3: lost (the object is gone) or damaged (its bytes are others); a copy that is proven anew is 0 again.
-- proven_at: when the object was last fetched whole, found to be these bytes, and decoded.
ALTER TABLE copy
    ADD COLUMN proven_at timestamptz,
    DROP CONSTRAINT IF EXISTS copy_state_check,
    ADD CONSTRAINT copy_state_check CHECK (state BETWEEN 0 AND 3);

-- The deep check of a store: what was never proven first, then what was proven the longest ago.
CREATE INDEX copy_proof ON copy (store_id, proven_at NULLS FIRST, stored_at) WHERE part = 0 AND state = 0;

-- Copies that are lost or damaged, to be repaired.
CREATE INDEX copy_broken ON copy (store_id, recording_id) WHERE state = 3;

-- Which recording does this object of a store belong to?
CREATE INDEX copy_key ON copy (store_id, key COLLATE "C");

-- How far the reconciliation of a store got: the last key it has seen; null at the end of a round.
CREATE TABLE store_round (
    store_id     smallint PRIMARY KEY REFERENCES store,
    round        int NOT NULL,
    begun_at     timestamptz NOT NULL,
    after_key    text,
    finished_at  timestamptz
);

-- Objects in a store that no row of copy tells of. kind foreign: not ours, or of a recording that is not known; damaged:
-- a copy once, since replaced by a good one under another key. None is ever deleted by the product's checks.
CREATE TABLE stray_object (
    store_id    smallint NOT NULL REFERENCES store,
    key         text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('foreign', 'damaged')),
    size_bytes  bigint NOT NULL,
    detail      text NOT NULL,
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    PRIMARY KEY (store_id, key)
);

-- The catalogue: what footage there is, where its copies lie, what happened to it.
--
-- Built for 10^8 recordings: the big tables are partitioned by the month in which the footage starts (UTC), so every
-- key of theirs carries start_at, and a link to a recording is always the pair (recording_id, start_at).
-- Partitions are made when a month is first needed (vms.catalogue.partitions).
-- Between big tables there are no foreign keys: they are written together, in one transaction, by one module
-- (vms.catalogue.custody and planning), and a month must be droppable without checking another.


-- ---------------------------------------------------------------------------------------------------------------------
-- Where footage comes from and where it goes
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE site (
    site_id      int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug         text NOT NULL UNIQUE,      -- the id in sites.yaml
    name         text NOT NULL,
    tz           text NOT NULL,             -- IANA name; only for reading names and for people, times are UTC
    last_sensed  timestamptz                -- when its footage folder was last looked at
);

-- A camera that moves to another site is a new camera: camera_id implies the site.
CREATE TABLE camera (
    camera_id  int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id    int NOT NULL REFERENCES site,
    slug       text NOT NULL,
    name       text NOT NULL,
    UNIQUE (site_id, slug)
);

-- identity: what the store's own identity file says; set at the first proven copy and never changed silently, so that
-- a wrong or empty mount is not taken for the store.
CREATE TABLE store (
    store_id  smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name      text NOT NULL UNIQUE,
    url       text NOT NULL,
    identity  text
);


-- ---------------------------------------------------------------------------------------------------------------------
-- Recordings
-- ---------------------------------------------------------------------------------------------------------------------

-- custody: 0 planned, 1 archived, 2 released, 3 purged, 4 quarantined (vms.catalogue.rows.CUSTODY).
-- end_at is start_at + duration_s, but at most 25 hours later: with that bound, "overlaps [from, to)" is answered
-- exactly by start_at >= from - 25 h. duration_s keeps the truth.
-- fingerprint: first 128 bits of a SHA-256 over size, head and tail of the source file.
CREATE TABLE recording (
    recording_id      bigint GENERATED ALWAYS AS IDENTITY,
    start_at          timestamptz NOT NULL,
    end_at            timestamptz NOT NULL,
    fingerprint       uuid NOT NULL,
    source_bytes      bigint NOT NULL,
    rendition_bytes   bigint,
    archived_at       timestamptz,
    release_tried_at  timestamptz,          -- last time its sources could not all be removed
    site_id           int NOT NULL REFERENCES site,
    camera_id         int NOT NULL REFERENCES camera,
    duration_s        real NOT NULL,
    fps               real,
    custody           smallint NOT NULL CHECK (custody BETWEEN 0 AND 4),
    width             smallint,
    height            smallint,
    codec             text,                 -- of the source until archived, then of the rendition
    audio_codec       text,
    kind              text CHECK (kind IN ('encoded', 'remuxed', 'original')),
    profile           text,
    time_basis        text NOT NULL CHECK (time_basis IN ('name', 'name_end', 'container', 'mtime')),
    time_marks        text[] NOT NULL DEFAULT '{}',
    source_name       text NOT NULL,        -- the first name seen, below the footage folder, as vms.paths writes it
    source_sha256     bytea CHECK (length(source_sha256) = 32),
    rendition_sha256  bytea CHECK (length(rendition_sha256) = 32),
    damaged           text,                 -- what is wrong with the footage itself
    sprite            jsonb,                -- geometry of the sprite sheet: tile_width, tile_height, columns, tiles, interval_s
    PRIMARY KEY (recording_id, start_at),
    CHECK (end_at >= start_at AND end_at <= start_at + interval '25 hours'),
    CHECK (custody NOT IN (1, 2) OR (archived_at IS NOT NULL AND rendition_sha256 IS NOT NULL AND source_sha256 IS NOT NULL))
) PARTITION BY RANGE (start_at);

-- Identity. The fingerprint stands before start_at so that the same index also answers "is this content known for this
-- camera under another start?", which has to be asked when a start was only guessed.
CREATE UNIQUE INDEX recording_identity ON recording (camera_id, fingerprint, start_at);

-- Timeline and gaps of a camera, from the index alone: rows of one camera lie scattered by arrival.
CREATE INDEX recording_timeline ON recording (camera_id, start_at) INCLUDE (end_at, custody);

-- Search, newest first, per site (LATERAL) with a keyset.
CREATE INDEX recording_site ON recording (site_id, start_at DESC, recording_id DESC);

-- Work list of a site: what is planned but not archived, what is quarantined.
CREATE INDEX recording_open ON recording (site_id, start_at DESC, recording_id DESC) WHERE custody IN (0, 4);

-- Archived recordings whose sources may be due for release, those that failed last tried again last.
CREATE INDEX recording_due ON recording (site_id, release_tried_at NULLS FIRST, archived_at) WHERE custody = 1;


-- Every name under which the content of a recording was seen in the footage folder.
-- released_at: the file was removed after archiving. replaced_at: the name has held other content since.
-- Names may be longer than an index entry can be, hence path_hash.
CREATE TABLE recording_source (
    recording_id  bigint NOT NULL,
    start_at      timestamptz NOT NULL,
    site_id       int NOT NULL,
    path          text NOT NULL,
    path_hash     bigint NOT NULL GENERATED ALWAYS AS (hashtextextended(path, 0)) STORED,
    size_bytes    bigint NOT NULL,
    mtime_ns      bigint NOT NULL,
    first_seen    timestamptz NOT NULL,
    released_at   timestamptz,
    replaced_at   timestamptz,
    PRIMARY KEY (recording_id, path_hash, start_at)
) PARTITION BY RANGE (start_at);

-- What does the catalogue know about this name of this site?
CREATE INDEX recording_source_name ON recording_source (site_id, path_hash);


-- One object in one store: rendition (part 0), poster (1) or sprite sheet (2). Only proven copies have a row.
-- state: 0 live. (Others come with purging.)
CREATE TABLE copy (
    recording_id  bigint NOT NULL,
    start_at      timestamptz NOT NULL,
    size_bytes    bigint NOT NULL,
    stored_at     timestamptz NOT NULL,
    verified_at   timestamptz NOT NULL,
    store_id      smallint NOT NULL REFERENCES store,
    part          smallint NOT NULL CHECK (part BETWEEN 0 AND 2),
    state         smallint NOT NULL DEFAULT 0,
    sha256        bytea NOT NULL CHECK (length(sha256) = 32),
    key           text NOT NULL,
    checksum      text NOT NULL CHECK (checksum <> ''),  -- what the store itself confirmed
    PRIMARY KEY (recording_id, store_id, part, start_at)
) PARTITION BY RANGE (start_at);


-- Why a source file could not become a recording and what to do; the recording is in custody "quarantined", or planned
-- again after somebody asked for a retry. stage: sense (refused when looked at) or work (failed in a batch).
CREATE TABLE quarantine (
    recording_id    bigint NOT NULL,
    start_at        timestamptz NOT NULL,
    stage           text NOT NULL CHECK (stage IN ('sense', 'work')),
    reason          text NOT NULL,
    message         text NOT NULL,
    remedy          text NOT NULL,
    path            text NOT NULL,
    first_at        timestamptz NOT NULL,
    last_at         timestamptz NOT NULL,
    retry_asked_at  timestamptz,
    PRIMARY KEY (recording_id, start_at)
);

-- What somebody asked to have tried again.
CREATE INDEX quarantine_retry ON quarantine (recording_id, start_at) WHERE retry_asked_at IS NOT NULL;


-- ---------------------------------------------------------------------------------------------------------------------
-- Runs and batches
-- ---------------------------------------------------------------------------------------------------------------------

-- A run that has been planned. Its row says that the batches below it are final, even when there are none.
CREATE TABLE run (
    run_no      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dag_id      text NOT NULL,
    run_id      text NOT NULL,
    site_id     int NOT NULL REFERENCES site,
    planned_at  timestamptz NOT NULL,
    UNIQUE (dag_id, run_id)
);

-- Batch n of a run means the same files on every rerun of any task.
CREATE TABLE batch (
    batch_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_no     bigint NOT NULL REFERENCES run,
    position   int NOT NULL,
    camera_id  int NOT NULL REFERENCES camera,
    title      text NOT NULL,
    store_ids  smallint[] NOT NULL,
    made_at    timestamptz NOT NULL,
    UNIQUE (run_no, position)
);

-- outcome: archived, quarantined, withdrawn or failed; null until its receipt came.
-- receipt: digest of the receipt that led to it, so that the same receipt again changes nothing.
CREATE TABLE batch_item (
    batch_id      bigint NOT NULL REFERENCES batch,
    position      int NOT NULL,
    recording_id  bigint NOT NULL,
    start_at      timestamptz NOT NULL,
    outcome       text CHECK (outcome IN ('archived', 'quarantined', 'withdrawn', 'failed')),
    reason        text NOT NULL DEFAULT '',
    message       text NOT NULL DEFAULT '',
    remedy        text NOT NULL DEFAULT '',
    receipt       uuid,
    PRIMARY KEY (batch_id, position)
);

-- Which batches held this recording, and how did the last one end?
CREATE INDEX batch_item_recording ON batch_item (recording_id, batch_id DESC);


-- ---------------------------------------------------------------------------------------------------------------------
-- What happened, for good
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

-- One row for each thing that happened to a recording; written in the transaction that made it true, never changed,
-- kept when the footage (and even the recording's row) is gone.
CREATE TABLE lineage (
    lineage_id    bigint GENERATED ALWAYS AS IDENTITY,
    at            timestamptz NOT NULL,
    recording_id  bigint NOT NULL,
    start_at      timestamptz NOT NULL,
    site_id       int NOT NULL,
    camera_id     int NOT NULL,
    event         text NOT NULL,
    dag_id        text NOT NULL,
    run_id        text NOT NULL,
    task_id       text NOT NULL,
    map_index     int NOT NULL,
    try_number    int NOT NULL,
    host          text NOT NULL,
    detail        jsonb NOT NULL
) PARTITION BY RANGE (at);

-- The history of a recording.
CREATE INDEX lineage_recording ON lineage (recording_id, lineage_id);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON lineage FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON lineage FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE lineage ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE lineage ENABLE ALWAYS TRIGGER append_only_truncate;


-- Who saw or took what. The viewer's role may add rows and read them. Not partitioned: rows are made by people, and the
-- viewer's role could not make a missing partition.
CREATE TABLE view_log (
    view_no       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT now(),
    who           text NOT NULL,
    action        text NOT NULL,
    recording_id  bigint,
    start_at      timestamptz,
    detail        jsonb NOT NULL
);

-- Who saw this recording, newest first; and everything of a period.
CREATE INDEX view_log_recording ON view_log (recording_id, at DESC);
CREATE INDEX view_log_at ON view_log (at);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON view_log FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON view_log FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE view_log ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE view_log ENABLE ALWAYS TRIGGER append_only_truncate;


-- ---------------------------------------------------------------------------------------------------------------------
-- Rollup
-- ---------------------------------------------------------------------------------------------------------------------

-- One camera, one day of the site's zone: for the calendar and the overview of all sites, which must not read raw rows.
-- Rebuilt from recording, never counted up, in the transaction that changes a recording of that day.
-- archived, released, purged, bytes: of recordings that start on the day. secs: footage lying in the day that is still
-- kept, overlaps counted once.
CREATE TABLE camera_day (
    camera_id  int NOT NULL REFERENCES camera,
    day        date NOT NULL,
    archived   int NOT NULL,
    released   int NOT NULL,
    purged     int NOT NULL,
    secs       int NOT NULL,
    bytes_in   bigint NOT NULL,
    bytes_out  bigint NOT NULL,
    first_at   timestamptz,
    last_at    timestamptz,
    PRIMARY KEY (camera_id, day)
);

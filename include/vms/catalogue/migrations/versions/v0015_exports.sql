-- Exports that people order in the viewer. A person adds a row and may ask for its end; all else is written by the worker,
-- which works with the owner's role and looks for footage with the eyes of who asked.

-- [from_at, to_at). reason: why it was ordered. step, done, total, files_done, files: how far the worker is with the
-- step under way. size_bytes: of the ZIP that is handed out. fault: why it failed or what it lacks, a word of
-- vms.exports.worker; message, remedy: the same for people, as far as it is known. tries: how often a worker took it up.
-- cancel_at: somebody asked for its end; kept_until: from when on it is not handed out and its files go.
CREATE TABLE export_order (
    export_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id      int NOT NULL REFERENCES viewer_user,
    made_at      timestamptz NOT NULL DEFAULT now(),
    from_at      timestamptz NOT NULL,
    to_at        timestamptz NOT NULL CHECK (to_at > from_at),
    clip         boolean NOT NULL,
    burn_in      boolean NOT NULL CHECK (clip OR NOT burn_in),
    evidence     boolean NOT NULL,
    reason       text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    state        text NOT NULL DEFAULT 'queued'
                 CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled', 'expired')),
    step         text NOT NULL DEFAULT '',
    done         double precision NOT NULL DEFAULT 0,
    total        double precision NOT NULL DEFAULT 0,
    files_done   int NOT NULL DEFAULT 0,
    files        int NOT NULL DEFAULT 0,
    size_bytes   bigint,
    fault        text NOT NULL DEFAULT '',
    message      text NOT NULL DEFAULT '',
    remedy       text NOT NULL DEFAULT '',
    tries        int NOT NULL DEFAULT 0,
    started_at   timestamptz,
    finished_at  timestamptz,
    cancel_at    timestamptz,
    kept_until   timestamptz
);

-- What is there to do? Whose are the newest? What has expired?
CREATE INDEX export_order_open ON export_order (export_id) WHERE state IN ('queued', 'running');
CREATE INDEX export_order_user ON export_order (user_id, export_id);
CREATE INDEX export_order_kept ON export_order (kept_until) WHERE state = 'done';

CREATE TABLE export_camera (
    export_id  bigint NOT NULL REFERENCES export_order,
    camera_id  int NOT NULL REFERENCES camera,
    PRIMARY KEY (export_id, camera_id)
);

-- A link to one export, for whoever has it. token_hash: SHA-256 of what the link holds, which is stored nowhere. pin: as
-- passwords are kept; null: none is asked for. opened, taken, wrong: how often its page was looked at, the export
-- was taken, a wrong PIN was given.
CREATE TABLE export_share (
    share_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    export_id   bigint NOT NULL REFERENCES export_order,
    token_hash  bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    pin         text,
    made_at     timestamptz NOT NULL DEFAULT now(),
    made_by     text NOT NULL,
    expires_at  timestamptz NOT NULL,
    revoked_at  timestamptz,
    opened      int NOT NULL DEFAULT 0,
    taken       int NOT NULL DEFAULT 0,
    wrong       int NOT NULL DEFAULT 0
);

CREATE INDEX export_share_export ON export_share (export_id);

-- The viewer's role: of a person's own exports, or of all for who sees everything (whose they are is then asked by the
-- viewer); only of cameras that the person sees.
ALTER TABLE export_order ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON export_order TO vms_viewer
    USING ((SELECT asks_for_all()) OR user_id = (SELECT asking_user()))
    WITH CHECK ((SELECT asks_for_all()) OR user_id = (SELECT asking_user()));
ALTER TABLE export_camera ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON export_camera TO vms_viewer
    USING (export_id IN (SELECT export_id FROM export_order))
    WITH CHECK ((SELECT asks_for_all()) OR camera_id IN (SELECT granted_cameras()));
ALTER TABLE export_share ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON export_share TO vms_viewer USING (export_id IN (SELECT export_id FROM export_order));

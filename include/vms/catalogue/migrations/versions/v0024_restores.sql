-- Cold storage: what was found there, and who waits for what to be restored.

-- Recordings none of whose copies can be read before its store has restored it, though their stores give new objects
-- another class: a rule of the bucket moved them. Found out by who tried to read them.
CREATE TABLE cold_recording (
    recording_id  bigint NOT NULL,
    start_at      timestamptz NOT NULL,
    found_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (recording_id, start_at)
);

-- Who asked for a restore. ready_at: when it was found to be readable; until_at: to when, if the store says so; told_at:
-- when the person has seen that.
CREATE TABLE restore_asked (
    recording_id  bigint NOT NULL,
    start_at      timestamptz NOT NULL,
    user_id       int NOT NULL REFERENCES viewer_user,
    asked_at      timestamptz NOT NULL DEFAULT now(),
    ready_at      timestamptz,
    until_at      timestamptz,
    told_at       timestamptz,
    PRIMARY KEY (recording_id, start_at, user_id)
);

-- What is to be looked at, and what a person is still to be told of.
CREATE INDEX restore_waiting ON restore_asked (asked_at) WHERE ready_at IS NULL;
CREATE INDEX restore_news ON restore_asked (user_id) WHERE told_at IS NULL;

-- Both are of their recording, which is asked under its own rule; of a restore a person sees their own.
ALTER TABLE cold_recording ENABLE ROW LEVEL SECURITY;
CREATE POLICY granted ON cold_recording TO vms_viewer USING (
    (SELECT asks_for_all()) OR EXISTS (
        SELECT FROM recording r WHERE r.recording_id = cold_recording.recording_id AND r.start_at = cold_recording.start_at
    )
);
ALTER TABLE restore_asked ENABLE ROW LEVEL SECURITY;
CREATE POLICY granted ON restore_asked TO vms_viewer USING (
    ((SELECT asks_for_all()) OR user_id = (SELECT asking_user())) AND EXISTS (
        SELECT FROM recording r WHERE r.recording_id = restore_asked.recording_id AND r.start_at = restore_asked.start_at
    )
);

-- A message that is of no alert and of no day: a restore has come to its end. detail: what it tells.
ALTER TABLE alert_message ADD COLUMN detail jsonb;
ALTER TABLE alert_message DROP CONSTRAINT alert_message_kind_check, DROP CONSTRAINT alert_message_check;
ALTER TABLE alert_message ADD CHECK (kind IN ('begin', 'end', 'digest', 'restored')),
    ADD CHECK ((kind IN ('digest', 'restored')) = (alert_id IS NULL)),
    ADD CHECK ((kind = 'digest') = (day IS NOT NULL)),
    ADD CHECK ((kind = 'restored') = (detail IS NOT NULL));

-- A link whose ZIP is encrypted with its PIN, which is given by whoever takes it and kept nowhere.
ALTER TABLE export_share ADD COLUMN locked boolean NOT NULL DEFAULT false;

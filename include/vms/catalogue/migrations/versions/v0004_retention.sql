-- Retention and holds: what may not be purged, what was to be purged, and what became of it.


-- ---------------------------------------------------------------------------------------------------------------------
-- Holds
-- ---------------------------------------------------------------------------------------------------------------------

-- Keep what its cameras recorded in [from_at, to_at) until somebody releases it; footage that arrives later, too.
CREATE TABLE hold (
    hold_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    from_at         timestamptz NOT NULL,
    to_at           timestamptz NOT NULL,
    reason          text NOT NULL CHECK (reason <> ''),
    who             text NOT NULL,
    made_at         timestamptz NOT NULL,
    released_at     timestamptz,
    released_by     text,
    release_reason  text,
    CHECK (from_at < to_at),
    CHECK ((released_at IS NULL) = (released_by IS NULL) AND (released_at IS NULL) = (release_reason IS NULL)),
    CHECK (release_reason <> '')
);

-- camera_id NULL: every camera of the site, also one that is added later.
CREATE TABLE hold_scope (
    hold_id    bigint NOT NULL REFERENCES hold,
    site_id    int NOT NULL REFERENCES site,
    camera_id  int REFERENCES camera,
    UNIQUE NULLS NOT DISTINCT (hold_id, site_id, camera_id)
);

-- Copies on which the bucket itself was asked to put a hold of its own: on, or failed and why. Best effort, as the hold
-- counts here whatever a bucket says. A row goes when the bucket's hold has been taken off again.
CREATE TABLE hold_in_store (
    recording_id  bigint NOT NULL,
    start_at      timestamptz NOT NULL,
    store_id      smallint NOT NULL REFERENCES store,
    state         text NOT NULL CHECK (state IN ('on', 'failed')),
    message       text NOT NULL DEFAULT '',
    at            timestamptz NOT NULL,
    PRIMARY KEY (recording_id, store_id, start_at)
);

-- A hold is never deleted and its extent never changed: only its release can be written, once.
CREATE FUNCTION refuse_hold_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.released_at IS NULL AND
       (OLD.hold_id, OLD.from_at, OLD.to_at, OLD.reason, OLD.who, OLD.made_at) =
       (NEW.hold_id, NEW.from_at, NEW.to_at, NEW.reason, NEW.who, NEW.made_at) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a hold can only be released, and only once: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER only_release BEFORE UPDATE OR DELETE ON hold FOR EACH ROW EXECUTE FUNCTION refuse_hold_change();
CREATE TRIGGER only_release_truncate BEFORE TRUNCATE ON hold FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON hold_scope FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON hold_scope FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();


-- ---------------------------------------------------------------------------------------------------------------------
-- Copies on their way out
-- ---------------------------------------------------------------------------------------------------------------------

-- state: 0 live, 1 marked (its object is being deleted), 2 gone (confirmed). state_at: since when.
ALTER TABLE copy
    ADD COLUMN state_at timestamptz,
    ADD CONSTRAINT copy_state_check CHECK (state BETWEEN 0 AND 2);

-- Living footage of a store by time: what may have expired, what a store holds, what was added last.
CREATE INDEX copy_living ON copy (store_id, start_at) WHERE state = 0 AND part = 0;

-- What a run that was killed has left behind.
CREATE INDEX copy_marked ON copy (store_id, recording_id) WHERE state = 1;

-- Whoever asks: a copy under a hold is not marked for deletion. The last line of defence behind vms.catalogue.purging.
CREATE FUNCTION refuse_held() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM recording r
        JOIN hold_scope s ON s.site_id = r.site_id AND (s.camera_id IS NULL OR s.camera_id = r.camera_id)
        JOIN hold h USING (hold_id)
        WHERE r.recording_id = NEW.recording_id AND r.start_at = NEW.start_at AND h.released_at IS NULL
          AND r.start_at < h.to_at AND (r.end_at > h.from_at OR r.start_at >= h.from_at)
    ) THEN
        RAISE EXCEPTION 'recording % is under a hold: its copies are not deleted', NEW.recording_id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER held BEFORE UPDATE OF state ON copy FOR EACH ROW
    WHEN (OLD.state = 0 AND NEW.state = 1) EXECUTE FUNCTION refuse_held();


-- ---------------------------------------------------------------------------------------------------------------------
-- Plans
-- ---------------------------------------------------------------------------------------------------------------------

-- What one run would purge, who let it, and what came of it; kept for good.
-- state: waiting (something is unusual: a person has to approve), ready, applying, done; or never applied: rejected,
-- expired (nobody answered in time), superseded (a newer plan took its place).
-- alarms: what is unusual. kept: what stays although its time has passed, by reason (held, late, only_copy, no_rule,
-- store_away). per_site, per_store: counts and bytes. outcome: of the run, by what became of the copies.
CREATE TABLE purge_plan (
    plan_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    made_at      timestamptz NOT NULL,
    made_by      text NOT NULL,
    state        text NOT NULL CHECK (state IN
                 ('waiting', 'ready', 'applying', 'done', 'rejected', 'expired', 'superseded')),
    recordings   bigint NOT NULL,       -- that lose their last copy
    copies       bigint NOT NULL,
    bytes        bigint NOT NULL,
    oldest       timestamptz,
    newest       timestamptz,
    per_site     jsonb NOT NULL,
    per_store    jsonb NOT NULL,
    kept         jsonb NOT NULL,
    alarms       jsonb NOT NULL,
    late         boolean NOT NULL,      -- also what was too old already when it arrived
    away         smallint[] NOT NULL,   -- stores in which nothing is purged: they did not answer or were not themselves
    expires_at   timestamptz NOT NULL,
    answered_by  text,
    answered_at  timestamptz,
    answered_how text,
    applied_at   timestamptz,
    finished_at  timestamptz,
    outcome      jsonb NOT NULL DEFAULT '{}'
);

CREATE INDEX purge_plan_state ON purge_plan (state, plan_id);

-- The copies of a plan: approving it lets exactly these through. Removed some time after its undo window has closed;
-- lineage tells of each recording for good.
-- outcome: gone, held, kept (its only copy by now, or no longer there), refused or locked (until locked_until) by the
-- store; undone when it was brought back. custody: of the recording before.
CREATE TABLE purge_item (
    plan_id       bigint NOT NULL REFERENCES purge_plan,
    store_id      smallint NOT NULL REFERENCES store,
    recording_id  bigint NOT NULL,
    start_at      timestamptz NOT NULL,
    bytes         bigint NOT NULL,
    custody       smallint NOT NULL,
    outcome       text CHECK (outcome IN ('gone', 'held', 'kept', 'refused', 'locked', 'undone')),
    locked_until  timestamptz,
    PRIMARY KEY (plan_id, store_id, recording_id)
);

-- What of a plan is still to be done in a store, oldest footage first.
CREATE INDEX purge_item_open ON purge_item (plan_id, store_id, start_at) WHERE outcome IS NULL;

-- In which plans was this recording?
CREATE INDEX purge_item_recording ON purge_item (recording_id);


-- On which days did anything happen? From that, purging sees a clock that has jumped.
CREATE INDEX lineage_at ON lineage USING brin (at);

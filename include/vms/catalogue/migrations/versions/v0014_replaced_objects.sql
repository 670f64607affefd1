-- Renditions that took, or were to take, the place of another one of the same recording.

-- state new: written, or about to be, and not yet what the catalogue tells of; an object of a try that was killed.
-- state old: its place has been taken by one that is proven and committed; to be deleted. The row goes with the object.
CREATE TABLE replaced_object (
    store_id      smallint NOT NULL REFERENCES store,
    key           text NOT NULL,
    recording_id  bigint NOT NULL,
    start_at      timestamptz NOT NULL,
    state         text NOT NULL CHECK (state IN ('new', 'old')),
    size_bytes    bigint NOT NULL,
    at            timestamptz NOT NULL,
    PRIMARY KEY (store_id, key)
);

-- What a killed try has left of a recording.
CREATE INDEX replaced_object_recording ON replaced_object (recording_id);

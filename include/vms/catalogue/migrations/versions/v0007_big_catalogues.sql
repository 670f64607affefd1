-- What searches and overviews need when there are 10^8 recordings. Rows of purged recordings stay for a year, so in the
-- end most rows are purged ones: whoever looks for footage must not read through them, nor the other way round.

-- Search by state, newest first, per site; what is planned or quarantined has recording_open.
CREATE INDEX recording_kept ON recording (site_id, start_at DESC, recording_id DESC) WHERE custody IN (1, 2);
CREATE INDEX recording_purged ON recording (site_id, start_at DESC, recording_id DESC) WHERE custody = 3;

-- Search, timeline and gaps of a camera: everything that is asked of a row lies in the index, and its order is that of
-- the pages.
CREATE INDEX recording_camera ON recording (camera_id, start_at, recording_id) INCLUDE (end_at, custody);
DROP INDEX recording_timeline;

-- The sums of a camera over all its days, which are too many to be added up whenever somebody looks. Changed by the
-- database itself, together with the day, which is always made anew from recordings.
CREATE TABLE camera_total (
    camera_id  int PRIMARY KEY REFERENCES camera,
    archived   bigint NOT NULL,
    released   bigint NOT NULL,
    purged     bigint NOT NULL,
    bytes_in   bigint NOT NULL,
    bytes_out  bigint NOT NULL
);

INSERT INTO camera_total
SELECT camera_id, sum(archived), sum(released), sum(purged), sum(bytes_in), sum(bytes_out)
FROM camera_day GROUP BY camera_id;

CREATE FUNCTION sum_up_camera() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before camera_day := CASE WHEN TG_OP <> 'INSERT' THEN OLD END;
    day camera_day := CASE WHEN TG_OP <> 'DELETE' THEN NEW END;
BEGIN
    INSERT INTO camera_total AS total VALUES (
        coalesce(day.camera_id, before.camera_id),
        coalesce(day.archived, 0) - coalesce(before.archived, 0),
        coalesce(day.released, 0) - coalesce(before.released, 0),
        coalesce(day.purged, 0) - coalesce(before.purged, 0),
        coalesce(day.bytes_in, 0) - coalesce(before.bytes_in, 0),
        coalesce(day.bytes_out, 0) - coalesce(before.bytes_out, 0)
    )
    ON CONFLICT (camera_id) DO UPDATE
    SET archived = total.archived + excluded.archived, released = total.released + excluded.released,
        purged = total.purged + excluded.purged, bytes_in = total.bytes_in + excluded.bytes_in,
        bytes_out = total.bytes_out + excluded.bytes_out;
    RETURN NULL;
END $$;
CREATE TRIGGER total AFTER INSERT OR UPDATE OR DELETE ON camera_day
    FOR EACH ROW EXECUTE FUNCTION sum_up_camera();

-- What a store holds, by the day (UTC) on which footage starts and by camera: living copies of renditions, those of them
-- that were proven restorable, and bytes with previews. Changed by the database itself whenever a copy is. By camera
-- only so that no two sites wait for each other: who changes a camera's copies holds the camera.
CREATE TABLE store_day (
    store_id   smallint NOT NULL REFERENCES store,
    day        date NOT NULL,
    camera_id  int NOT NULL,
    copies     int NOT NULL,
    proven     int NOT NULL,
    bytes      bigint NOT NULL,
    PRIMARY KEY (store_id, day, camera_id)
);

INSERT INTO store_day
SELECT k.store_id, (k.start_at AT TIME ZONE 'UTC')::date, r.camera_id, count(*) FILTER (WHERE k.part = 0),
       count(k.proven_at) FILTER (WHERE k.part = 0), sum(k.size_bytes)
FROM copy k JOIN recording r ON r.recording_id = k.recording_id AND r.start_at = k.start_at
WHERE k.state = 0 GROUP BY 1, 2, 3;

CREATE FUNCTION sum_up_store() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lived boolean := TG_OP <> 'INSERT' AND OLD.state = 0;
    lives boolean := TG_OP <> 'DELETE' AND NEW.state = 0;
    one copy := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    many int := CASE WHEN one.part = 0 THEN 1 ELSE 0 END;
    camera int;
BEGIN
    IF NOT lived AND NOT lives THEN
        RETURN NULL;
    END IF;
    SELECT camera_id INTO camera FROM recording WHERE recording_id = one.recording_id AND start_at = one.start_at;
    INSERT INTO store_day AS total VALUES (
        one.store_id, (one.start_at AT TIME ZONE 'UTC')::date, coalesce(camera, 0),
        many * (lives::int - lived::int),
        many * ((lives AND NEW.proven_at IS NOT NULL)::int - (lived AND OLD.proven_at IS NOT NULL)::int),
        CASE WHEN lives THEN NEW.size_bytes ELSE 0 END - CASE WHEN lived THEN OLD.size_bytes ELSE 0 END
    )
    ON CONFLICT (store_id, day, camera_id) DO UPDATE
    SET copies = total.copies + excluded.copies, proven = total.proven + excluded.proven,
        bytes = total.bytes + excluded.bytes;
    RETURN NULL;
END $$;
CREATE TRIGGER total AFTER INSERT OR DELETE ON copy FOR EACH ROW EXECUTE FUNCTION sum_up_store();
CREATE TRIGGER total_changed AFTER UPDATE ON copy FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR OLD.size_bytes <> NEW.size_bytes
          OR (OLD.proven_at IS NULL) <> (NEW.proven_at IS NULL))
    EXECUTE FUNCTION sum_up_store();

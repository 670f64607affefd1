-- What pages ask of very many rows is answered from indexes alone: their rows lie far apart, and of 10^8 most are on disk.

-- What waits at a site or is quarantined: how much it is, what it would have covered, and of which camera, as not everybody
-- may see it.
DROP INDEX recording_open;
CREATE INDEX recording_open ON recording (site_id, start_at DESC, recording_id DESC)
    INCLUDE (end_at, camera_id, custody, duration_s, source_bytes) WHERE custody IN (0, 4);

-- Sums over what was found of a camera, and how long its newest files took to be archived.
DROP INDEX recording_camera;
CREATE INDEX recording_camera ON recording (camera_id, start_at, recording_id)
    INCLUDE (end_at, custody, duration_s, archived_at, source_bytes, rendition_bytes);

-- Seconds of footage that a batch has archived, written whenever it reports: how fast a site works is asked again and again.
ALTER TABLE batch ADD COLUMN footage_s real;
UPDATE batch SET footage_s = (
    SELECT coalesce(sum(r.duration_s), 0)
    FROM batch_item i
    CROSS JOIN LATERAL (
        SELECT duration_s FROM recording
        WHERE recording.recording_id = i.recording_id AND recording.start_at = i.start_at OFFSET 0
    ) AS r
    WHERE i.batch_id = batch.batch_id AND i.outcome = 'archived'
)
FROM run WHERE run.run_no = batch.run_no AND run.planned_at > now() - interval '2 days' AND batch.recorded_at IS NOT NULL;

-- The calendar of all cameras, and where the footage of each one ends.
ALTER TABLE camera_day
    DROP CONSTRAINT camera_day_pkey,
    ADD CONSTRAINT camera_day_pkey PRIMARY KEY (camera_id, day) INCLUDE (secs, last_at);

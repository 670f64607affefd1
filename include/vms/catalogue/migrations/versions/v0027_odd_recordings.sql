-- Of a day of five-minute files all rows were read from the table, one from each page, only to see that nothing about them
-- is odd. What is, is few: all others are answered from recording_camera alone.
CREATE INDEX recording_odd ON recording (camera_id, start_at)
    WHERE coalesce(damaged, '') <> '' OR cardinality(time_marks) > 0 OR lost_at IS NOT NULL;

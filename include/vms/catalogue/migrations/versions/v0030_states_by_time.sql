-- What the timeline asks for: the copies that a site lacks of a day, and the recordings of a day that were found cold.
CREATE INDEX copy_wanted_time ON copy_wanted (site_id, start_at);
CREATE INDEX cold_recording_time ON cold_recording (start_at);

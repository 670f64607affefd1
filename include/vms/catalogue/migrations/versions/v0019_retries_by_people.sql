-- A retry is asked for in the viewer, too, whose role may write neither custody nor lineage: by this function alone, and
-- only for footage of cameras that the person sees. Which role may do so at all is asked by the viewer (vms.users).

-- True when the recording is quarantined and nobody had asked before; the order and its lineage event are then written.
CREATE FUNCTION ask_retry(recording bigint, start timestamptz, who text, asked_at timestamptz) RETURNS boolean
VOLATILE SECURITY DEFINER SET search_path = public LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recording r WHERE r.recording_id = recording AND r.start_at = start AND r.custody = 4
        AND (asks_for_all() OR r.camera_id IN (SELECT granted_cameras())) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE quarantine q SET retry_asked_at = asked_at
        WHERE q.recording_id = recording AND q.start_at = start AND q.retry_asked_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO lineage (at, recording_id, start_at, site_id, camera_id, event, dag_id, run_id, task_id, map_index,
                         try_number, host, detail)
        SELECT asked_at, r.recording_id, r.start_at, r.site_id, r.camera_id, 'retry_asked', '', '', '', -1, 0, '',
               jsonb_build_object('who', who)
        FROM recording r WHERE r.recording_id = recording AND r.start_at = start;
    RETURN true;
END $$;

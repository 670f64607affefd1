-- Whether an export hands over clips alone: its manifest names the recordings that they were made of, with their hashes.
ALTER TABLE export_order
    ADD COLUMN only_clips boolean NOT NULL DEFAULT false CHECK (clip OR NOT only_clips);

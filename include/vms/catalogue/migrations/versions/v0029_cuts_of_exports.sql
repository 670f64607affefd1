-- How the clips of an export are cut, and what of them becomes of gaps.
ALTER TABLE export_order
    ADD COLUMN cut text NOT NULL DEFAULT 'exact' CHECK (cut IN ('exact', 'fast')),
    ADD COLUMN gaps text NOT NULL DEFAULT 'short' CHECK (gaps IN ('short', 'black', 'separate'));

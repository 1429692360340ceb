-- Destinations that were disabled with `hold`: enabling them begins from there, unless it is told otherwise.
ALTER TABLE destinations ADD COLUMN held boolean NOT NULL DEFAULT false;

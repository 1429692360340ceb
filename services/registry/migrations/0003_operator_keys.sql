-- One row for each key that ever was the operator's current one, where there was one row at most.
ALTER TABLE key_check DROP COLUMN one, ADD PRIMARY KEY (key_id);

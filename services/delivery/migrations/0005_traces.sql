-- The trace that a delivery's next attempt goes on in: a W3C traceparent; empty where the event came without one.
ALTER TABLE due ADD COLUMN traceparent text NOT NULL DEFAULT '';

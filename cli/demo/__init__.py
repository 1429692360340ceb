"""`onward demo`: the main job, end to end, with numbers that are known beforehand."""

"""Plans of docmill's statements on a queue that has seen a million jobs."""

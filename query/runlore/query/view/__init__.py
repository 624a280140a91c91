"""The view as a reader sees it: its connection, and the SQL of entities, leaves, links and events."""
